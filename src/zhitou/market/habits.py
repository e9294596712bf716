"""When households shop, how much, and how their wish for a type comes back after they bought it.

H = households, T = types. A basket is one step of a history. Days are whole days since the epoch, hours of the
week run from Monday 00:00 (the hour stands as in the data; the data's own zone counts as UTC).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories

HOURS = 168
HOUR_S = 3_600
EPOCH_MONDAY_HOURS = 72  # 1970-01-01 was a Thursday
RECENT_DAYS = 182  # of basket rates: who left half a year ago is gone
BIN = 0.1  # of the repeat clock, in own intervals
BINS = 31  # the last bin holds 3 intervals and more


@dataclass(frozen=True)
class Habits:
    """basket_rate: float64 [H], a day. hours: float32 [H, HOURS], rows sum to 1.

    basket_sizes: int64 [baskets], lines of each real basket, by household from basket_offsets [H + 1].
    pair, pair_days, pair_first, pair_last: int64 [P], sorted household * T + type, on how many days it was
    bought, the first and the last of them. interval_days: float64 [T], typical gap. due: float64 [BINS],
    log of the repeat rate against its mean, by time since the last purchase in own intervals.
    """

    basket_rate: np.ndarray
    hours: np.ndarray
    basket_sizes: np.ndarray
    basket_offsets: np.ndarray
    pair: np.ndarray
    pair_days: np.ndarray
    pair_first: np.ndarray
    pair_last: np.ndarray
    interval_days: np.ndarray
    due: np.ndarray

    def clocks(self, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(last, interval), float64 [H, len(types)] in days: NaN where the household never bought the type.

        An interval is shrunk to the type's own with the weight of two gaps.
        """
        kinds, households = len(self.interval_days), len(self.basket_rate)
        last = np.full((households, len(types)), np.nan)
        gaps, span = np.zeros(last.shape), np.zeros(last.shape)
        for column, kind in enumerate(types):
            key = np.arange(households) * kinds + kind
            at = np.minimum(np.searchsorted(self.pair, key), len(self.pair) - 1)
            hit = self.pair[at] == key
            last[hit, column] = self.pair_last[at[hit]]
            gaps[hit, column] = self.pair_days[at[hit]] - 1
            span[hit, column] = self.pair_last[at[hit]] - self.pair_first[at[hit]]
        return last, (span + 2 * self.interval_days[types]) / (gaps + 2)


def due_effect(habits: Habits, since_days: np.ndarray, interval_days: np.ndarray) -> np.ndarray:
    """Log repeat rate so long after the last purchase, interpolated; 0 where there was none (NaN)."""
    at = np.clip(since_days / interval_days / BIN - 0.5, 0, BINS - 1)
    missing = np.isnan(at)
    at = np.where(missing, 0, at)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, BINS - 1)
    value = habits.due[low] + (at - low) * (habits.due[high] - habits.due[low])
    return np.where(missing, 0.0, value)


def hour_of_week(time_s: np.ndarray) -> np.ndarray:
    """0 (Monday 00:00) to 167 for Unix seconds."""
    return (time_s // HOUR_S + EPOCH_MONDAY_HOURS) % HOURS


def fit_habits(purchases: Histories, type_of_item: np.ndarray, types: int) -> Habits:
    """Habits of the households in `purchases` (every event is a purchase line)."""
    owner = purchases.subject_of_event
    start = np.ones(len(owner), dtype=bool)
    start[1:] = (np.diff(purchases.step) != 0) | (np.diff(owner) != 0)
    first = np.flatnonzero(start)
    basket_owner, basket_time = owner[first], purchases.time_s[first]
    offsets = np.searchsorted(basket_owner, np.arange(len(purchases) + 1))
    pair, days, begin, end, interval, due = _clocks(purchases, type_of_item, types)
    return Habits(
        basket_rate=_rates(basket_owner, basket_time, len(purchases)),
        hours=_hours(basket_owner, basket_time, len(purchases)),
        basket_sizes=np.diff(np.append(first, len(owner))),
        basket_offsets=offsets,
        pair=pair,
        pair_days=days,
        pair_first=begin,
        pair_last=end,
        interval_days=interval,
        due=due,
    )


def _rates(owner: np.ndarray, time_s: np.ndarray, households: int) -> np.ndarray:
    """Baskets a day over the recent span, each household shrunk to the mean with the weight of two baskets."""
    end = time_s.max() + 1
    begin = max(time_s.min(), end - RECENT_DAYS * SECONDS_PER_DAY)
    days = max((end - begin) / SECONDS_PER_DAY, 1.0)
    count = np.bincount(owner[time_s >= begin], minlength=households)
    mean = count.mean() / days
    return (count + 2) / (days + 2 / mean)


def _hours(owner: np.ndarray, time_s: np.ndarray, households: int) -> np.ndarray:
    """Each household's week, shrunk to everybody's with the weight of 30 baskets; own hours blur by one each way."""
    hour = hour_of_week(time_s)
    everybody = np.bincount(hour, minlength=HOURS) + 0.5
    everybody = everybody / everybody.sum()
    own = np.bincount(owner * HOURS + hour, minlength=households * HOURS).reshape(households, HOURS)
    week = (own + np.roll(own, 1, axis=1) + np.roll(own, -1, axis=1)) / 3 + 30 * everybody
    return (week / week.sum(axis=1, keepdims=True)).astype(np.float32)


def _clocks(purchases: Histories, type_of_item: np.ndarray, types: int) -> tuple[np.ndarray, ...]:
    """Pairs of household and type with their days, the types' intervals and the repeat clock."""
    day = purchases.time_s // SECONDS_PER_DAY
    base = int(day.min())
    width = int(day.max()) - base + 1
    key = (purchases.subject_of_event * types + type_of_item[purchases.item]) * width + (day - base)
    key = np.unique(key)
    pair_of_day, day = key // width, key % width + base
    first = np.flatnonzero(np.diff(pair_of_day, prepend=-1))
    size = np.diff(np.append(first, len(key)))
    pair, begin, end = pair_of_day[first], day[first], day[first + size - 1]
    gaps = size - 1
    kind = pair % types
    many = np.bincount(kind, gaps, types)
    span = np.bincount(kind, end - begin, types)
    mean = span.sum() / max(gaps.sum(), 1) if span.sum() else 30.0
    interval = (span + 5 * mean) / (many + 5)
    return pair, size, begin, end, interval, _due(pair_of_day, day, first, size)


def _due(pair_of_day: np.ndarray, day: np.ndarray, first: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Log hazard of a repeat by time since the last, in mean gaps; each gap is measured by the others' mean."""
    of_pair = np.repeat(np.arange(len(first)), size)
    inner = np.flatnonzero(np.diff(of_pair) == 0)
    gap, pair = np.diff(day)[inner].astype(float), of_pair[inner]
    keep = size[pair] >= 5
    gap, pair = gap[keep], pair[keep]
    if len(gap) < 1_000:  # too few repeats to read a clock from
        return np.zeros(BINS)
    others = (np.bincount(pair, gap)[pair] - gap) / (size[pair] - 2)
    at = gap / np.maximum(others, 1e-9) / BIN
    slot = np.minimum(at.astype(int), BINS - 1)
    events = np.bincount(slot, minlength=BINS)
    outlasted = len(at) - np.cumsum(events)  # gaps that cross a bin are at risk in all of it, the others in a part
    exposure = np.bincount(slot, at - slot, BINS) + outlasted
    rate = (events + 1) / (exposure + 1 / (events.sum() / at.sum()))
    smooth = np.convolve(np.pad(np.log(rate), 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    return smooth - np.log(events.sum() / at.sum())
