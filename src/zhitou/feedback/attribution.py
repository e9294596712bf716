"""Which clicks an order is credited to. Credit is a rule of bookkeeping: attributed, never caused.

N = orders, W = touches (clicks), L = links of an order to a touch, K = channels. Only a randomised holdout shows what
ads caused. The rules here look at one order at a time; `removal` and `shapley` look at all journeys first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.feedback.facts import names_of

LABEL = "attributed"
SHARES = (0.4, 0.2, 0.4)  # of the first touch, of all between together, of the last
SHARES_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Orders:
    """subject: object [N]; time_us, value_micros: int64 [N]. One row per order, across all channels."""

    subject: np.ndarray
    time_us: np.ndarray
    value_micros: np.ndarray


@dataclass(frozen=True)
class Touches:
    """Clicks of all channels. subject: object [W]; time_us: int64 [W]; campaign: int32 [W]; channel: int32 [W] from 0
    to K - 1, needed only where channels are compared."""

    subject: np.ndarray
    time_us: np.ndarray
    campaign: np.ndarray
    channel: np.ndarray | None = None

    def channel_below(self, channels: int) -> np.ndarray:
        """int32 [W], the channels. Refused (SchemaError): touches without channels, or one that is not 0 to K - 1."""
        if self.channel is None:
            raise SchemaError("expected the channel of each touch, got none; give Touches(channel=...)")
        if len(self.channel) and not 0 <= self.channel.min() <= self.channel.max() < channels:
            raise SchemaError(
                f"expected channels from 0 to {channels - 1}, got {self.channel.min()} to {self.channel.max()}"
            )
        return self.channel


@dataclass(frozen=True)
class Links:
    """Which touches come into question for which order: by order, then by time. order, touch: int64 [L].

    place: int64 [L], 0 for the first touch of its order. count: int64 [N], touches of each order.
    """

    order: np.ndarray
    touch: np.ndarray
    place: np.ndarray
    count: np.ndarray


@dataclass(frozen=True)
class Credits:
    """order, touch: int64 [L]; weight: float64 [L], sums to 1 (within 1e-12) for each order that has a touch.

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
        return self._by(touches.campaign, campaigns)

    def by_channel(self, touches: Touches, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [K] orders, int64 [K] micros) credited to each channel."""
        return self._by(touches.channel_below(channels), channels)

    def _by(self, group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
        value = np.zeros(groups, dtype=np.int64)
        np.add.at(value, group[self.touch], self.value_micros)
        return np.bincount(group[self.touch], self.weight, groups), value


def last_touch(orders: Orders, touches: Touches, window_us: int) -> Credits:
    """All of an order to the latest click of its subject within `window_us` before it."""
    links = links_of(orders, touches, window_us)
    last = links.place == links.count[links.order] - 1
    order, touch = links.order[last], links.touch[last]
    only = Links(order, touch, np.zeros(len(order), dtype=np.int64), np.minimum(links.count, 1))
    return share_out(orders, only, np.ones(len(order)), "last touch")


def linear(orders: Orders, touches: Touches, window_us: int) -> Credits:
    """An order in equal parts to all clicks of its subject within `window_us` before it; odd micros to the first."""
    links = links_of(orders, touches, window_us)
    return share_out(orders, links, np.ones(len(links.order)), "linear")


def position_based(
    orders: Orders, touches: Touches, window_us: int, shares: tuple[float, float, float] = SHARES
) -> Credits:
    """`shares` to the first touch, to all between together, and to the last.

    Two touches share as first and last do, one takes all. Refused (ConfigError): shares below 0, or not summing to 1.
    """
    if min(shares) < 0 or abs(sum(shares) - 1) > SHARES_TOLERANCE:
        raise ConfigError(f"expected three shares of at least 0 that sum to 1, got {shares}")
    links = links_of(orders, touches, window_us)
    count = links.count[links.order]
    part = shares[1] / np.maximum(count - 2, 1)
    part = np.where(links.place == 0, shares[0], np.where(links.place == count - 1, shares[2], part))
    return share_out(orders, links, part, "position based")


def time_decay(orders: Orders, touches: Touches, window_us: int, half_life_us: int) -> Credits:
    """A touch counts half as much as one that is `half_life_us` younger. Refused (ConfigError): no time at all."""
    if half_life_us <= 0:
        raise ConfigError(f"expected a half-life above 0 microseconds, got {half_life_us}")
    links = links_of(orders, touches, window_us)
    time_us = touches.time_us[links.touch]
    last = np.flatnonzero(links.place == links.count[links.order] - 1)
    youngest = np.repeat(time_us[last], links.count[links.count > 0])
    # measured from the youngest touch, not from the order: the largest part is 1, and never do all vanish together
    return share_out(orders, links, np.exp2((time_us - youngest) / half_life_us), "time decay")


def by_channel_credit(orders: Orders, touches: Touches, window_us: int, credit: np.ndarray, method: str) -> Credits:
    """Each order among the channels that touched it in proportion to their credit (float64 [K], at least 0).

    A channel's part is divided equally among its touches of that order, so that touching twice earns no more. Where
    all channels of an order have no credit, they share equally.
    """
    channels = len(credit)
    links = links_of(orders, touches, window_us)
    channel = touches.channel_below(channels)[links.touch].astype(np.int64)
    same = links.order * channels + channel
    where, times = np.unique(same, return_inverse=True, return_counts=True)[1:]
    times = times[where]
    part = np.maximum(credit, 0.0)[channel] / times
    none = np.bincount(links.order, part, len(links.count)) <= 0
    return share_out(orders, links, np.where(none[links.order], 1.0 / times, part), method)


def links_of(orders: Orders, touches: Touches, window_us: int) -> Links:
    """The touches of each order: those of its subject within `window_us` before it, or in its very microsecond.

    A touch before two orders comes into question for both. A subject that is empty is nobody's, and shares nothing.
    """
    n = len(orders.time_us)
    who = names_of(pa.array(np.concatenate([orders.subject, touches.subject]), pa.string())).code.astype(np.int64)
    times = np.concatenate([orders.time_us, orders.time_us - window_us, touches.time_us])
    ranks = np.unique(times, return_inverse=True)[1].astype(np.int64)
    width = int(ranks.max(initial=0)) + 1
    key = who[n:] * width + ranks[2 * n :]
    by_time = np.lexsort((touches.campaign, key))
    key = key[by_time]
    first = np.searchsorted(key, who[:n] * width + ranks[n : 2 * n], side="left")
    last = np.searchsorted(key, who[:n] * width + ranks[:n], side="right")
    count = np.where(who[:n] >= 0, np.maximum(last - first, 0), 0)
    order = np.repeat(np.arange(n), count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    return Links(order, by_time[first[order] + place], place, count)


def share_out(orders: Orders, links: Links, part: np.ndarray, method: str) -> Credits:
    """Weights in proportion to `part` (float64 [L], at least 0, in sum above 0 for each order), and money by them.

    Money by the largest remainder: each touch gets value x weight rounded down, and the micros that are left go one
    each to the touches that lost most by that, at a tie to the earlier touch. For values up to 2**53 micros no amount
    is more than one micro from value x weight; the sum is exact for all.
    """
    orders_in_all = len(links.count)
    weight = part / np.bincount(links.order, part, orders_in_all)[links.order]
    value = orders.value_micros
    exact = value[links.order] * weight
    micros = np.floor(exact).astype(np.int64)
    given = np.zeros(orders_in_all, dtype=np.int64)
    np.add.at(given, links.order, micros)
    left = (value - given)[links.order]
    lost = exact - micros
    loser = np.lexsort((links.place, -lost, links.order))
    rank = np.empty(len(loser), dtype=np.int64)
    rank[loser] = links.place  # links are by order, so the places count up from 0 within each order
    count = links.count[links.order]
    # rounding may leave less than nothing or more than one each where values pass 2**53: then all give or take alike
    micros += left // count + (rank < left % count)
    return Credits(links.order, links.touch, weight, micros, links.count == 0, method)
