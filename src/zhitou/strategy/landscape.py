"""The landscape: what money buys, by the ratio of value to price; and the bids that a flight's budget asks of it.

N = auctions, J = bins of the ratio, from the best to the worst. Value is in any unit (1.0 = a micro of worth, or a
click), prices in whole micros.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numba import njit

from zhitou.core.errors import ConfigError
from zhitou.strategy.pacing import Replay, cost_of, whole

BINS = 256
MEMORY_AUCTIONS = 3000.0
EVERY_AUCTIONS = 20
_BEYOND = 3.0  # the bins reach this far in log ratio beyond what the history holds

COUNT, SPEND, VALUE = 0, 1, 2


class Landscape:
    """Auctions, prices and value per auction by ratio, with a memory that fades over `memory_auctions`.

    density: float64 [3, J], per auction: share of auctions, their price, their value. curve: float64 [2, J + 1], what
    one spends and gets per auction by taking every bin up to the j-th: a concave curve, on which W(x) is the value
    per auction that x micros per auction buy, and its slope the threshold lambda at which they are spent.

    The fractional knapsack of the hindsight optimum (take ratios from the best down until the money is gone) is the
    same curve for the auctions that came.
    """

    def __init__(self, density: np.ndarray, top: float, width: float, memory_auctions: float) -> None:
        self.density, self.top, self.width = density, top, width
        self.memory_auctions = memory_auctions
        self.curve = np.zeros((2, density.shape[1] + 1))
        _accumulate(self.density, self.curve)

    @classmethod
    def of(
        cls,
        value: np.ndarray,
        price_micros: np.ndarray,
        *,
        bins: int = BINS,
        memory_auctions: float = MEMORY_AUCTIONS,
    ) -> Self:
        """The landscape of past auctions: value float64 [N] at least 0, price_micros int64 [N] of the best rival.

        Refused (ConfigError): no auction with a value and a price above 0; fewer than 2 bins; a memory under 1.
        """
        if bins < 2 or not memory_auctions >= 1:
            raise ConfigError("a landscape has at least 2 bins and a memory of at least one auction")
        known = (value > 0) & (price_micros > 0)
        if not known.any():
            raise ConfigError(
                "expected past auctions with a value and a price above 0, got none: pace by mirror descent"
            )
        ratio = np.log(value[known] / price_micros[known])
        top = float(ratio.max()) + _BEYOND
        width = (top - float(ratio.min()) + _BEYOND) / bins
        places = _bins(value, price_micros, top, width, bins)
        sums = [np.bincount(places, w, bins) for w in (np.ones(len(value)), price_micros, np.nan_to_num(value))]
        return cls(np.asarray(sums) / len(value), top, width, memory_auctions)

    def threshold(self, spend_micros: float) -> float:
        """lambda: the least value per micro that is bought when this much is spent per auction."""
        return float(_slope(self.curve, spend_micros))

    def value(self, spend_micros: float) -> float:
        """W: the value per auction that this much per auction buys."""
        return float(np.interp(spend_micros, self.curve[0], self.curve[1]))

    def bid(self, value: float, remaining_micros: int, auctions_left: int) -> int:
        """The highest price worth paying now, given what is left after this auction for the others; see _bid."""
        return int(_bid(self.curve, value, remaining_micros, auctions_left))


def knapsack(value: np.ndarray, price_micros: np.ndarray, budget_micros: int) -> np.ndarray:
    """float64 [N] in 0..1: what the budget should have bought, all values (float64 [N]) and prices (int64 [N]) known.

    The fractional knapsack, exact: ratios of value to price from the best down, the last in part (Dantzig 1957).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(price_micros > 0, value / price_micros, np.where(value > 0, np.inf, 0.0))
    order = np.argsort(-ratio, kind="stable")
    before = np.cumsum(price_micros[order]) - price_micros[order]
    taken = np.empty(len(value))
    taken[order] = np.clip((budget_micros - before) / np.maximum(price_micros[order], 1), 0.0, 1.0)
    taken[value <= 0] = 0.0
    return np.where((price_micros == 0) & (value > 0), 1.0, taken)


class LandscapePacing:
    """Bid what a micro is worth to the rest of the flight: the largest price p, at most what is left, with

        V(n - 1, R) - V(n - 1, R - p) <= value,   V(n, R) = n W(R / n),

    R the money and n the auctions left. This is the rule of the dynamic programme over (n, R) with the fluid value
    function in place of the table: exact as n grows, and still meaningful at its end, as lambda comes from what
    auctions there are and not from a step (in the last auction, V = 0 and everything left is bid). The landscape
    fades towards the newest auctions, every `every` of them; it outlives the flight (`renew`).

    least: no bid is above value / least: 1.0, where value is in micros, keeps every bid within its worth. With 0
    (value in another unit, money of no other use) the last auction is bid all that is left.
    lost_prices: whether the price of a lost auction is known (as "minimum bid to win", or in an auction of one's
    own). If not, an auction that was lost is spread over the bins under its bid as the landscape has them
    (self-consistency, Efron 1967).
    """

    def __init__(
        self,
        landscape: Landscape,
        budget_micros: int,
        auctions: int,
        *,
        least: float,
        lost_prices: bool = True,
        every: int = EVERY_AUCTIONS,
    ) -> None:
        if not least >= 0 or every < 1:
            raise ConfigError("pacing by the landscape needs least >= 0 and every >= 1")
        self.landscape, self._least, self._lost_prices, self._every = landscape, float(least), lost_prices, every
        bins = landscape.density.shape[1]
        self._fresh, self._lost, self._held = np.zeros((3, bins)), np.zeros(bins), np.zeros(1, dtype=np.int64)
        self.renew(budget_micros, auctions)

    def renew(self, budget_micros: int, auctions: int) -> None:
        """A new flight with this budget and forecast of auctions begins; what was learnt stays."""
        if budget_micros < 0 or auctions < 1:
            raise ConfigError(f"a flight has a budget and at least one auction, got {budget_micros} and {auctions}")
        self.remaining_micros, self.auctions_left = int(budget_micros), int(auctions)

    def bid(self, value: float) -> int:
        """The bid in micros for a showing of this value."""
        wanted = self.landscape.bid(value, self.remaining_micros, self.auctions_left)
        return int(whole(value / self._least, wanted)) if self._least > 0 and value > 0 else wanted

    def settle(self, value: float, bid_micros: int, price_micros: int | None) -> None:
        """An auction is over; see Bidder. A price above the bid is learnt from where `lost_prices` says so."""
        scape, cost = self.landscape, cost_of(bid_micros, price_micros, self.remaining_micros)
        known = price_micros is not None and (self._lost_prices or price_micros <= bid_micros)
        price = int(price_micros or 0) if known else -1
        _observe(value, price, bid_micros, scape.top, scape.width, self._fresh, self._lost)
        self._held[0] += 1
        if self._held[0] >= self._every:
            _fade(scape.density, scape.curve, self._fresh, self._lost, self._held, scape.memory_auctions)
        self.remaining_micros -= cost
        self.auctions_left = max(self.auctions_left - 1, 0)

    def replay(self, value: np.ndarray, price_micros: np.ndarray) -> Replay:
        """Bid in N second-price auctions; see Bidder."""
        bid, won = np.empty(len(value), dtype=np.int64), np.empty(len(value), dtype=np.bool_)
        state = np.asarray([self.remaining_micros, self.auctions_left], dtype=np.int64)
        scape, before = self.landscape, self.remaining_micros
        learn = (self._fresh, self._lost, self._held)
        settings = np.asarray(
            [scape.top, scape.width, scape.memory_auctions, self._least, self._every, self._lost_prices]
        )
        _replay(value, price_micros, scape.density, scape.curve, learn, settings, state, bid, won)
        self.remaining_micros, self.auctions_left = int(state[0]), int(state[1])
        return Replay(won, bid, before - self.remaining_micros)


@njit(cache=True, error_model="numpy")
def _bin(value, price, top, width, bins):  # type: ignore[no-untyped-def]
    if not value > 0:
        return bins - 1
    if price <= 0:
        return 0
    return min(bins - 1, max(0, int((top - np.log(value / price)) / width)))


@njit(cache=True)
def _bins(value, price, top, width, bins):  # type: ignore[no-untyped-def]
    out = np.empty(value.shape[0], dtype=np.int64)
    for t in range(value.shape[0]):
        out[t] = _bin(value[t], price[t], top, width, bins)
    return out


@njit(cache=True)
def _accumulate(density, curve):  # type: ignore[no-untyped-def]
    for j in range(density.shape[1]):
        curve[0, j + 1] = curve[0, j] + density[1, j]
        curve[1, j + 1] = curve[1, j] + density[2, j]


@njit(cache=True)
def _place(spend, x):  # type: ignore[no-untyped-def]
    """The bin in which spending reaches x: spend[j] < x <= spend[j + 1]; the last one if it never does."""
    low, high = 0, spend.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if spend[middle] < x:
            low = middle + 1
        else:
            high = middle
    return max(low - 1, 0)


@njit(cache=True, error_model="numpy")
def _slope(curve, x):  # type: ignore[no-untyped-def]
    j = _place(curve[0], x)
    cost = curve[0, j + 1] - curve[0, j]
    return (curve[1, j + 1] - curve[1, j]) / cost if cost > 0 and x <= curve[0, -1] else 0.0


@njit(cache=True, error_model="numpy")
def _bid(curve, value, remaining, left):  # type: ignore[no-untyped-def]
    """The largest p <= remaining with m (W(R / m) - W((R - p) / m)) <= value, m = left - 1: give up the worst
    purchases of the rest of the flight first, bin by bin, until as much value is given up as this showing has."""
    if not value > 0:
        return np.int64(0)
    m = max(left - 1, 0)
    if m == 0:
        return np.int64(remaining)
    spend, worth = curve[0], curve[1]
    plan = remaining / m
    price, x = max(0.0, remaining - m * spend[-1]), min(plan, spend[-1])
    j = _place(spend, x)
    given = 0.0
    while j >= 0 and x > 0:
        money = m * (x - spend[j])
        if money > 0:
            loss = money * (worth[j + 1] - worth[j]) / (spend[j + 1] - spend[j])
            if given + loss >= value:
                price += money * (value - given) / loss
                break
            given += loss
            price += money
            x = spend[j]
        j -= 1
    # a price that is a whole number on paper may come out a hair under it
    return whole(price * (1.0 + 1e-12), remaining)


@njit(cache=True, error_model="numpy")
def _observe(value, price, bid, top, width, fresh, lost):  # type: ignore[no-untyped-def]
    """Note an auction; a price below 0 = lost, price unknown."""
    if price >= 0:
        j = _bin(value, price, top, width, lost.shape[0])
        fresh[0, j] += 1.0
        fresh[1, j] += price
        fresh[2, j] += max(value, 0.0)
    else:
        lost[_bin(value, bid, top, width, lost.shape[0])] += 1.0


@njit(cache=True, error_model="numpy")
def _fade(density, curve, fresh, lost, held, memory):  # type: ignore[no-untyped-def]
    """Mix what was noted into the landscape; auctions whose price is unknown go to the bins below their bid's."""
    keep = np.exp(-held[0] / memory)
    bins = density.shape[1]
    below = density[0].sum()
    rate = 0.0
    for j in range(bins):
        inside = density[0, j]
        for k in range(3):
            density[k, j] = keep * density[k, j] + (1.0 - keep) / held[0] * (fresh[k, j] + rate * density[k, j])
            fresh[k, j] = 0.0
        below -= inside
        if lost[j] > 0 and below > 1e-12:
            rate += lost[j] / below
        lost[j] = 0.0
    held[0] = 0
    _accumulate(density, curve)


@njit(cache=True, error_model="numpy")
def _replay(value, price, density, curve, learn, settings, state, bids, won):  # type: ignore[no-untyped-def]
    fresh, lost, held = learn
    top, width, memory, least, every, told = settings
    remaining, left = state[0], state[1]
    for t in range(value.shape[0]):
        bid = _bid(curve, value[t], remaining, left)
        if least > 0 and value[t] > 0:
            bid = whole(value[t] / least, bid)
        won[t] = bid >= price[t]
        bids[t] = bid
        _observe(value[t], price[t] if won[t] or told > 0 else -1, bid, top, width, fresh, lost)
        held[0] += 1
        if held[0] >= every:
            _fade(density, curve, fresh, lost, held, memory)
        remaining -= price[t] if won[t] else 0
        left = max(left - 1, 0)
    state[0], state[1] = remaining, left
