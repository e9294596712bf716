"""How near a fitted world is to the data: what its shoppers buy on their own beside what real ones bought.

Each row has a yardstick: the same distance between two real periods. A world need not be closer to the data than
the data are to themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import PURCHASE, Histories
from zhitou.market.fit import Market
from zhitou.market.habits import HOUR_S, HOURS, hour_of_week

TOTAL_VARIATION = "total variation"
KOLMOGOROV = "Kolmogorov-Smirnov"
DIFFERENCE = "difference"


@dataclass(frozen=True)
class Resemblance:
    """One line of the report. real and simulated: the headline figure of each (a mean, a rate, a top share).

    distance by `measure`: 0 is equal, 1 as far as can be. yardstick: the distance between two real periods of that
    length, NaN where there is no second one.
    """

    name: str
    real: float
    simulated: float
    distance: float
    measure: str
    yardstick: float


@dataclass(frozen=True)
class _Period:
    """What was bought in some days. owner, kind, hour, repeat: one per line; baskets: int64 [H]; price micros."""

    kind: np.ndarray
    price: np.ndarray
    repeat: np.ndarray
    baskets: np.ndarray
    sizes: np.ndarray
    hour: np.ndarray


def resemblance(
    market: Market, book: AdBook, later: Histories, chance: Chance, *, days: int = 28
) -> tuple[Resemblance, ...]:
    """The report: a world of `days` days after the fit beside the real days that followed, `later`.

    later: the same subjects' behaviour from the cut on (at least `days` days of it, or the yardstick shrinks).
    """
    start_s = next_hour_s(market)
    span = days * SECONDS_PER_DAY
    own = market.world(book, chance, start_s, days).plan.own
    simulated = _period(market, own.subject, own.item, own.time_s, own.price_micros, own.order)
    real = _real(market, later.keep(later.time_s < start_s + span))
    before = _real(market, market.purchases.since(start_s - span), known_before_s=start_s - span)
    lines = [_compare(name, measure, real, simulated, before, days) for name, measure in MEASURES]
    return tuple(lines) + _redemption(market, chance)


BASKET_COLUMNS = ("hour of the week", "lines", "types", "log value", "mean log price", "repeats", "days since")


def baskets(
    market: Market, book: AdBook, later: Histories, chance: Chance, *, days: int = 28
) -> tuple[np.ndarray, ...]:
    """(real, simulated), float64 [N, BASKET_COLUMNS]: one row a basket of the `days` days after the fit.

    Real ones are those of `later`. repeats: share of lines whose item the shopper had bought before the fit. The days
    since the shopper's last basket are NaN for one who never had any.
    """
    start_s = next_hour_s(market)
    own = market.world(book, chance, start_s, days).plan.own
    simulated = (own.subject, own.item, own.time_s, own.price_micros, own.order)
    bought = later.keep((later.action == PURCHASE) & (later.time_s < start_s + days * SECONDS_PER_DAY))
    order = bought.subject_of_event * (int(bought.step.max(initial=0)) + 1) + bought.step
    real = (bought.subject_of_event, bought.item, bought.time_s, bought.price_micros, order)
    return tuple(_basket_rows(market, *lines) for lines in (real, simulated))


def next_hour_s(market: Market) -> int:
    """The first whole hour after all that the market was fitted to, in Unix seconds."""
    return -(-(int(market.purchases.time_s.max()) + 1) // HOUR_S) * HOUR_S


def _basket_rows(
    market: Market, owner: np.ndarray, item: np.ndarray, time_s: np.ndarray, price: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """float64 [N, BASKET_COLUMNS] of lines, in order of shopper and time."""
    first, of, lines = np.unique(order, return_index=True, return_inverse=True, return_counts=True)[1:]
    kinds = np.unique(of * len(market.tastes.share) + market.type_of_item[item]) // len(market.tastes.share)
    past = market.purchases
    known = np.isin(owner * len(market.items) + item, past.subject_of_event * len(market.items) + past.item)
    paid = np.maximum(price, 1).astype(np.float64)
    who, at = owner[first], time_s[first]
    last = np.full(len(market.subjects), np.nan)
    np.fmax.at(last, past.subject_of_event, past.time_s.astype(np.float64))
    sort = np.lexsort((at, who))
    before = np.where(np.diff(who[sort], prepend=-1) != 0, last[who[sort]], np.roll(at[sort], 1))
    since = np.empty(len(first))
    since[sort] = (at[sort] - before) / SECONDS_PER_DAY
    columns = (
        hour_of_week(at),
        lines,
        np.bincount(kinds, minlength=len(first)),
        np.log(np.bincount(of, paid)),
        np.bincount(of, np.log(paid)) / lines,
        np.bincount(of, known) / lines,
        since,
    )
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _real(market: Market, histories: Histories, known_before_s: int | None = None) -> _Period:
    bought = histories.keep(histories.action == PURCHASE)
    owner = bought.subject_of_event
    order = owner * (int(bought.step.max(initial=0)) + 1) + bought.step
    return _period(market, owner, bought.item, bought.time_s, bought.price_micros, order, known_before_s)


def _period(
    market: Market,
    owner: np.ndarray,
    item: np.ndarray,
    time_s: np.ndarray,
    price: np.ndarray,
    order: np.ndarray,
    known_before_s: int | None = None,
) -> _Period:
    past = market.purchases if known_before_s is None else market.purchases.before(known_before_s)
    width = len(market.items)
    seen = np.sort(past.subject_of_event * width + past.item)
    key = owner * width + item
    first, sizes = np.unique(order, return_index=True, return_counts=True)[1:]
    return _Period(
        kind=np.bincount(market.type_of_item[item], minlength=len(market.tastes.share)),
        price=np.log(price[price > 0]),
        repeat=seen[np.minimum(np.searchsorted(seen, key), len(seen) - 1)] == key,
        baskets=np.bincount(owner[first], minlength=len(market.subjects)),
        sizes=sizes,
        hour=np.bincount(hour_of_week(time_s), minlength=HOURS),
    )


MEASURES = (
    ("type shares", TOTAL_VARIATION),
    ("hour of the week", TOTAL_VARIATION),
    ("baskets a week", KOLMOGOROV),
    ("lines a basket", KOLMOGOROV),
    ("price paid", KOLMOGOROV),
    ("repeat share", DIFFERENCE),
)


def _compare(name: str, measure: str, real: _Period, simulated: _Period, before: _Period, days: int) -> Resemblance:
    values = [_values(name, period) for period in (real, simulated, before)]
    measured = {TOTAL_VARIATION: total_variation, KOLMOGOROV: kolmogorov, DIFFERENCE: _difference}[measure]
    scale = 7 / days if name == "baskets a week" else 1.0
    head = [_headline(measure, name, v) * scale for v in values[:2]]
    distance, yardstick = (measured(values[0], other) for other in values[1:])
    return Resemblance(name, head[0], head[1], distance, measure, yardstick)


def _values(name: str, period: _Period) -> np.ndarray:
    return {
        "type shares": period.kind,
        "hour of the week": period.hour,
        "baskets a week": period.baskets,
        "lines a basket": period.sizes,
        "price paid": period.price,
        "repeat share": period.repeat,
    }[name]


def _headline(measure: str, name: str, values: np.ndarray) -> float:
    """The largest share, the mean, or for prices the geometric mean in units of currency."""
    if measure == TOTAL_VARIATION:
        return float(values.max() / max(values.sum(), 1))
    return float(np.exp(values.mean()) / 1e6) if name == "price paid" else float(values.mean())


def _redemption(market: Market, chance: Chance) -> tuple[Resemblance, ...]:
    """Rate and delay of answers to contacts, where they were fitted to data."""
    fitted = market.redemption
    if not fitted.fitted:
        return ()
    draw = chance.stream("market-acceptance")
    rate = float((draw.random(fitted.contacts) < fitted.rate).mean())
    delay = fitted.delay_days(draw.random(10_000))
    half = fitted.delays_days[draw.permutation(fitted.redeemed)]
    yardstick = kolmogorov(half[::2], half[1::2])
    days = (float(fitted.delays_days.mean()), float(delay.mean()))
    gap = abs(rate - fitted.rate)
    return (
        Resemblance("redemption rate", fitted.rate, rate, gap, DIFFERENCE, float("nan")),
        Resemblance("redemption delay", *days, kolmogorov(fitted.delays_days, delay), KOLMOGOROV, yardstick),
    )


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Half the summed distance of two count vectors' shares.

    >>> total_variation(np.array([1, 1]), np.array([3, 1]))
    0.25
    """
    return float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum() / 2)


def kolmogorov(a: np.ndarray, b: np.ndarray) -> float:
    """The greatest distance of two samples' distribution functions; NaN if one is empty.

    >>> kolmogorov(np.array([1.0, 2.0]), np.array([2.0, 3.0]))
    0.5
    """
    if len(a) == 0 or len(b) == 0:
        return float("nan")
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    below = np.searchsorted(a, at, side="right") / len(a) - np.searchsorted(b, at, side="right") / len(b)
    return float(np.abs(below).max())


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    return abs(float(a.mean()) - float(b.mean()))
