"""The feedback of bench/day.py: what was shown, the events that come back of it, the join, the refresh.

R = shown rows, K = ads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from day_desk import PCVR_BEFORE, Model, columns, width

from zhitou.core import columns as c
from zhitou.core.chance import Chance
from zhitou.core.units import MICROSECONDS
from zhitou.feedback.facts import facts_of_table
from zhitou.feedback.join import Joined, Shown, join
from zhitou.response.delay import CONVERSIONS_LEAST, Clicks, fit_delay
from zhitou.response.linear import fit_linear

TWICE = 0.02  # of the events arrive a second time
CLICK_AFTER_US = 4 * MICROSECONDS
NEGATIVES = 15  # rows without a click for each with one that the refresh reads
CLICKS_LEAST = 100  # fewer teach nothing that is worth a swap
PRIOR_CLICKS = 100.0  # what the rate before anything was learnt weighs in an ad's conversion rate


@dataclass(frozen=True)
class Batch:
    """R shown rows. number: int64, of the decision. shopper: int32. ad: int16. channel: int8. seen: int16.
    taste, pctr, propensity: float32. time_us: int64. clicked, bought: bool and wait_s: float32 are the world's, and
    are read by nothing but `events`."""

    number: np.ndarray
    shopper: np.ndarray
    ad: np.ndarray
    channel: np.ndarray
    seen: np.ndarray
    taste: np.ndarray
    pctr: np.ndarray
    propensity: np.ndarray
    time_us: np.ndarray
    clicked: np.ndarray
    bought: np.ndarray
    wait_s: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def select(self, rows: np.ndarray) -> Batch:
        """These rows."""
        return Batch(**{name: values[rows] for name, values in vars(self).items()})

    @classmethod
    def join(cls, parts: list[Batch]) -> Batch:
        """One after the other."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


def events(batch: Batch, now_us: int, rng: np.random.Generator) -> pa.Table:
    """The events of these rows that have arrived by `now_us`, some of them twice, in any order."""
    click_us = batch.time_us + CLICK_AFTER_US
    buy_us = click_us + (batch.wait_s * MICROSECONDS).astype(np.int64)
    parts = [
        _events("impression", batch, np.arange(len(batch)), batch.time_us),
        _events("click", batch, np.flatnonzero(batch.clicked & (click_us <= now_us)), click_us),
        _events("conversion", batch, np.flatnonzero(batch.bought & (buy_us <= now_us)), buy_us),
    ]
    table = pa.concat_tables(parts)
    again = rng.integers(len(table), size=int(TWICE * len(table)))
    return pa.concat_tables([table, table.take(pa.array(again))])


def _events(kind: str, batch: Batch, rows: np.ndarray, time_us: np.ndarray) -> pa.Table:
    number = pa.array(batch.number[rows]).cast(pa.string())
    at = pa.array(time_us[rows])
    return pa.table(
        {
            c.EVENT_ID: pc.binary_join_element_wise(pa.scalar(kind[:1]), number, ""),
            c.SUBJECT: pa.array(batch.shopper[rows]).cast(pa.string()),
            c.KIND: pa.repeat(pa.scalar(kind), len(rows)),
            c.OCCURRED_AT: at,
            c.RECEIVED_AT: at,
            c.DECISION_ID: number,
            c.ORDER_ID: pc.binary_join_element_wise(pa.scalar("o"), number, "")
            if kind == "conversion"
            else pa.nulls(len(rows), pa.string()),
        }
    )


def joined(batch: Batch, now_us: int, rng: np.random.Generator) -> Joined:
    """What is known of these rows at `now_us`, by the project's own join."""
    text = np.asarray(pa.array(batch.number).cast(pa.string()).to_numpy(zero_copy_only=False))
    shown = Shown(text, np.zeros(len(batch), dtype=np.int8), text, text, batch.time_us)
    return join(shown, facts_of_table(events(batch, now_us, rng)), watermark_us=now_us)


def refreshed(
    model: Model, hours: list[Batch], clicked: list[np.ndarray], late: Clicks, of_ad: np.ndarray, chance: Chance
) -> Model:
    """The model learnt anew from all rows so far. hours, clicked: shown rows by hour, and bool [R] of each as joined.
    late: the clicks with what is known of their conversions; of_ad: int [clicks], their ads."""
    ads, shown, clicks = len(model.pcvr), sum(map(len, hours)), sum(int(c.sum()) for c in clicked)
    if clicks < CLICKS_LEAST:
        return model
    kept = min(1.0, NEGATIVES * clicks / (shown - clicks))
    rng = chance.stream("day-thinned")
    some = [np.flatnonzero(c | (rng.random(len(c), dtype=np.float32) < kept)) for c in clicked]
    rows = Batch.join([batch.select(at) for batch, at in zip(hours, some, strict=True)])
    label = np.concatenate([c[at] for c, at in zip(clicked, some, strict=True)])
    line = fit_linear(
        columns(rows.taste, rows.seen, rows.channel),
        label,
        np.zeros(len(rows), dtype=np.int64),
        rows.ad.astype(np.int64),
        1,
        clicks / shown,
        (2, width() - 2),
        kept=kept,
    )
    own = np.zeros(ads)
    own[: len(line.ads)] = line.ads
    return Model(replace(line, ads=own), _pcvr(late, of_ad, ads))


def _pcvr(late: Clicks, of_ad: np.ndarray, ads: int) -> np.ndarray:
    """float64 [K]: conversions a click in the end, those to come reckoned in, each ad's drawn to the rate of all."""
    counted = int(late.converted.sum()) >= CONVERSIONS_LEAST
    share = fit_delay(late).matured(late.age_s) if counted else np.ones(len(late))
    bought, ripe = np.bincount(of_ad, late.converted, ads), np.bincount(of_ad, share, ads)
    rate = (bought.sum() + PCVR_BEFORE * PRIOR_CLICKS) / (ripe.sum() + PRIOR_CLICKS)
    answer: np.ndarray = (bought + rate * PRIOR_CLICKS) / (ripe + PRIOR_CLICKS)
    return answer
