"""Plays a stretch of a market: ask, decide, respond, observe, hour by hour; keeps what was shown and what it brought.

R = shown ads. The log of a stretch is what a real deployment would hold: decisions and events that name them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import numpy as np

from zhitou.campaign.campaign import CHANNELS
from zhitou.core.units import MICROSECONDS
from zhitou.delivery.decide import Desk
from zhitou.delivery.receipt import Asks, Decisions
from zhitou.events.schema import KIND_CODE
from zhitou.market.world import Organic, Outcomes, Tick, World

ONSITE = CHANNELS.index("onsite")
HOUR_S = 3600


@dataclass(frozen=True)
class Shown:
    """R ads that were shown. subject: row of market.subjects; row: row of the features, -1 = stranger.

    clicked .. value_micros are what the market answered (a conversion may lie after the stretch);
    click_chance and conversion_chance are the truth behind the draws, which no policy and no model may read.
    """

    decision: np.ndarray  # object [R]
    subject: np.ndarray
    slot: np.ndarray
    ad: np.ndarray
    time_s: np.ndarray
    price_micros: np.ndarray
    propensity: np.ndarray
    pctr: np.ndarray
    pcvr: np.ndarray
    fields: np.ndarray  # float32 [R, F]
    clicked: np.ndarray
    click_time_s: np.ndarray
    converted: np.ndarray
    conversion_time_s: np.ndarray
    value_micros: np.ndarray
    cost_micros: np.ndarray
    click_chance: np.ndarray
    conversion_chance: np.ndarray

    def __len__(self) -> int:
        return len(self.ad)

    @classmethod
    def concat(cls, parts: list[Shown]) -> Shown:
        """The rows of all parts, in order. Refused: no part at all."""
        assert parts, "a stretch has at least one tick"
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass
class Stretch:
    """What a stretch left behind: the shown ads, what shoppers bought on their own, chosen receipts."""

    shown: Shown
    organic: list[Organic]
    asked: int
    decisions: list[Decisions] = field(default_factory=list)


def play(
    desk: Desk,
    world: World,
    ticks: Iterable[Tick],
    rows: np.ndarray,
    *,
    size: tuple[int, int],
    slots: int,
    keep: int = 0,
) -> Stretch:
    """Let the desk serve these ticks of the world.

    rows: int64 [H], the feature row of each of the market's shoppers, -1 for who refused a profile.
    keep: how many of the first batches' decisions to hold on to.
    """
    parts: list[Shown] = []
    organic: list[Organic] = []
    kept: list[Decisions] = []
    asked = 0
    coming = _Coming()
    for tick in ticks:
        end_s = tick.start_s + HOUR_S - 1
        if len(tick.subjects):
            asks = _asks(world, tick, size, slots)
            decisions = desk.decide(asks)
            outcomes = world.respond(tick, decisions.ad)
            shown = _observe(desk, tick, decisions, outcomes, end_s)
            coming.add(shown, decisions)
            parts.append(shown)
            asked += len(asks)
            if len(kept) < keep:
                kept.append(decisions)
        own = world.organic(tick)
        _learn_organic(desk, own, rows, end_s)
        coming.deliver(desk, end_s)
        organic.append(own)
    return Stretch(Shown.concat(parts), organic, asked, kept)


def _asks(world: World, tick: Tick, size: tuple[int, int], slots: int) -> Asks:
    names = world.plan.market.subjects[tick.subjects]
    ids = np.asarray([f"{world.plan.start_s}-{visit}" for visit in tick.visit.tolist()], dtype=object)
    channel = np.full(len(names), ONSITE, dtype=np.int8)
    return Asks(names, tick.time_s * MICROSECONDS, channel, ids, slots, size)


def _observe(desk: Desk, tick: Tick, decisions: Decisions, outcomes: Outcomes, end_s: int) -> Shown:
    """Tell the desk what was seen and clicked, at the latest by the end of the hour, and write it down."""
    desk.shown(decisions, decisions.ad >= 0)
    b, s = np.nonzero(decisions.ad >= 0)
    keys = [f"{decisions.decision_ids[i]}/{j}" for i, j in zip(b, s, strict=True)]
    clicked = outcomes.clicked[b, s]
    cost = np.zeros(len(b), dtype=np.int64)
    hit = np.flatnonzero(clicked)
    at_s = np.minimum(outcomes.click_time_s[b, s][hit], end_s)
    cost[hit] = desk.clicked(
        [keys[i] for i in hit],
        decisions.rows[b[hit]],
        decisions.ad[b, s][hit],
        decisions.price_micros[b, s][hit],
        at_s * MICROSECONDS,
    )
    if hasattr(desk.policy, "learn"):
        desk.policy.learn(decisions.ad[b, s], clicked)
    return Shown(
        decision=np.asarray(decisions.decision_ids, dtype=object)[b],
        subject=tick.subjects[b],
        slot=s.astype(np.int8),
        ad=decisions.ad[b, s],
        time_s=tick.time_s[b],
        price_micros=decisions.price_micros[b, s],
        propensity=decisions.propensity[b, s],
        pctr=decisions.pctr[b, s],
        pcvr=decisions.pcvr[b, s],
        fields=decisions.fields[b, s],
        clicked=clicked,
        click_time_s=outcomes.click_time_s[b, s],
        converted=outcomes.converted[b, s],
        conversion_time_s=outcomes.conversion_time_s[b, s],
        value_micros=outcomes.value_micros[b, s],
        cost_micros=cost,
        click_chance=outcomes.click_chance[b, s],
        conversion_chance=outcomes.conversion_chance[b, s],
    )


def _learn_organic(desk: Desk, own: Organic, rows_of: np.ndarray, end_s: int) -> None:
    """What shoppers bought on their own becomes behaviour, as far as they agreed to a profile."""
    features = desk.candidates.features
    rows = rows_of[own.subjects]
    known = rows >= 0
    ads = np.full(int(known.sum()), -1, dtype=np.int32)
    times = np.minimum(own.time_s[known], end_s)
    features.write(rows[known], own.kind[known], own.item[known], ads, times, own.price_micros[known])


class _Coming:
    """Conversions that have happened in the market but are not yet known to the desk: labels arrive late."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []

    def add(self, shown: Shown, decisions: Decisions) -> None:
        sold = np.flatnonzero(shown.converted)
        if len(sold):
            row_of = dict(zip(decisions.decision_ids, decisions.rows, strict=True))
            rows = [row_of[d] for d in shown.decision[sold]]
            self._rows.append(
                np.stack([rows, shown.ad[sold], shown.conversion_time_s[sold]], axis=1).astype(np.int64)
            )

    def deliver(self, desk: Desk, until_s: int) -> None:
        """Tell the desk about the conversions up to this second."""
        if not self._rows:
            return
        rows = np.concatenate(self._rows)
        due = rows[:, 2] <= until_s
        self._rows = [rows[~due]]
        if due.any():
            now = rows[due]
            ads = now[:, 1].astype(np.int32)
            items, prices = desk.book.item[ads], desk.book.price_micros[ads]
            # once for the ad, and once as what it is to the shopper: a purchase
            for kind, of_ad in (("conversion", ads), ("purchase", np.full_like(ads, -1))):
                kinds = np.full(len(now), KIND_CODE[kind], dtype=np.int8)
                desk.candidates.features.write(now[:, 0], kinds, items, of_ad, now[:, 2], prices)
