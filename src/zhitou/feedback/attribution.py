"""Which clicks an order is credited to. Credit is a rule of bookkeeping: attributed, never caused.

N = orders, W = touches (clicks), L = links of an order to a touch. Only a randomised holdout shows what ads caused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LABEL = "attributed"


@dataclass(frozen=True)
class Orders:
    """subject: object [N]; time_us, value_micros: int64 [N]. One row per order, across all channels."""

    subject: np.ndarray
    time_us: np.ndarray
    value_micros: np.ndarray


@dataclass(frozen=True)
class Touches:
    """Clicks of all channels. subject: object [W]; time_us: int64 [W]; campaign: int32 [W]."""

    subject: np.ndarray
    time_us: np.ndarray
    campaign: np.ndarray


@dataclass(frozen=True)
class Credits:
    """order, touch: int64 [L]; weight: float64 [L], sums to 1 for each order that has a touch.

    value_micros: int64 [L], sums exactly to the order's value. organic: bool [N], orders without a touch.
    label says what the figures are.
    """

    order: np.ndarray
    touch: np.ndarray
    weight: np.ndarray
    value_micros: np.ndarray
    organic: np.ndarray
    method: str
    label: str = LABEL

    def by_campaign(self, touches: Touches, campaigns: int) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [campaigns] orders, int64 [campaigns] micros) credited to each campaign."""
        campaign = touches.campaign[self.touch]
        value = np.zeros(campaigns, dtype=np.int64)
        np.add.at(value, campaign, self.value_micros)
        return np.bincount(campaign, self.weight, campaigns), value


def last_touch(orders: Orders, touches: Touches, window_us: int) -> Credits:
    """All of an order to the latest click of its subject within `window_us` before it."""
    first, last, by_time = _spans(orders, touches, window_us)
    order = np.flatnonzero(last > first)
    return Credits(
        order=order,
        touch=by_time[last[order] - 1],
        weight=np.ones(len(order)),
        value_micros=orders.value_micros[order],
        organic=last == first,
        method="last touch",
    )


def linear(orders: Orders, touches: Touches, window_us: int) -> Credits:
    """An order in equal parts to all clicks of its subject within `window_us` before it; odd micros to the first."""
    first, last, by_time = _spans(orders, touches, window_us)
    count = last - first
    order = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    value, parts = orders.value_micros[order], count[order]
    return Credits(
        order=order,
        touch=by_time[first[order] + place],
        weight=1.0 / parts,
        value_micros=value // parts + (place < value % parts),
        organic=count == 0,
        method="linear",
    )


def _spans(orders: Orders, touches: Touches, window_us: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, last, by_time): the touches of order n are by_time[first[n]:last[n]], in order of time."""
    names = np.unique(np.concatenate([orders.subject.astype(str), touches.subject.astype(str)]))
    who_order = np.searchsorted(names, orders.subject.astype(str))
    who_touch = np.searchsorted(names, touches.subject.astype(str))
    times = np.concatenate([orders.time_us, orders.time_us - window_us, touches.time_us])
    ranks = np.unique(times, return_inverse=True)[1].astype(np.int64)
    width, n = int(ranks.max(initial=0)) + 1, len(orders.time_us)
    by_time = np.lexsort((touches.campaign, touches.time_us, who_touch))
    key = (who_touch * width + ranks[2 * n :])[by_time]
    first = np.searchsorted(key, who_order * width + ranks[n : 2 * n], side="left")
    last = np.searchsorted(key, who_order * width + ranks[:n], side="right")
    return first, last, by_time
