"""Short flights: the dynamic programme over (auctions left, money left), when a handful of wins is all there is.

N = auctions of a flight, M = levels of money, P = distinct prices.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numba import njit

from zhitou.core.errors import ConfigError
from zhitou.strategy.pacing import Replay, cost_of

LEVELS_MOST = 2_000
BANDS = 16
GRID = 512
LEVEL_AUCTIONS = 3000.0
_STATES_MOST = 50_000_000  # float64: 400 MB


class EpisodeTable:
    """V(n, b): the value that b buys in n auctions, if one bids at best in each of them.

        V(n, b) = V(n - 1, b) + sum over prices p <= b of m(p) E[(theta - c)^+ | p]
        c = V(n - 1, b) - V(n - 1, b - p)

    with V(0, b) = 0, m the distribution of the best rival's price and theta the value of a showing. To be bid for a
    showing of value theta: the largest p <= b with V(n - 1, b) - V(n - 1, b - p) <= theta.

    Cai, Ren, Zhang, Malialis, Wang, Yu, Guo: "Real-Time Bidding by Reinforcement Learning in Display Advertising",
    WSDM 2017 (arXiv 1701.02490), section 4: t = n, delta = p, D(t, b) = V(t, b), m(delta) = m. They put the mean
    theta_avg in the place of theta in the sum: `of_mean`. `of` takes the distribution of theta, by bands of price, as
    dear showings are rarely worth the same as cheap ones.

    values: float64 [N + 1, M + 1], money in steps of unit_micros, linear between them. More than 50 million states
    are refused; it costs N x M x P steps (1,000 auctions, 2,000 levels, 300 prices: a second or two).
    """

    def __init__(self, values: np.ndarray, unit_micros: float, value_mean: float) -> None:
        self.values, self.unit_micros, self.value_mean = values, unit_micros, value_mean

    @classmethod
    def of(
        cls,
        value: np.ndarray,
        price_micros: np.ndarray,
        *,
        budget_micros: int,
        auctions: int,
        levels: int = LEVELS_MOST,
        bands: int = BANDS,
    ) -> Self:
        """For flights of up to this budget and so many auctions, from past ones: value float64 [n], price int64 [n].

        A budget of at most `levels` micros is not rounded at all. Values are taken as independent of the price within
        a band; there are at most `bands` of about equal size.
        """
        if not len(value) or not value.min() >= 0 or not value.max() > 0 or price_micros.min() < 0 or bands < 1:
            raise ConfigError("a table needs past auctions with values above 0 and no negative price, and a band")
        prices, counts = np.unique(price_micros, return_counts=True)
        edges = np.unique(np.quantile(price_micros, np.arange(1, bands) / bands))
        own = np.searchsorted(edges, price_micros, "right")
        known = np.unique(own)
        hopes = np.asarray([_hopes(value[own == band], float(value.max())) for band in known])
        place = np.searchsorted(known, np.searchsorted(edges, prices, "right"))
        return cls._solved(hopes, place, prices, counts, float(value.max()), float(value.mean()), budget_micros,
                           auctions, levels)  # fmt: skip

    @classmethod
    def of_mean(
        cls,
        value_mean: float,
        prices_micros: np.ndarray,
        weights: np.ndarray,
        *,
        budget_micros: int,
        auctions: int,
        levels: int = LEVELS_MOST,
    ) -> Self:
        """As published: every showing has the mean value. prices_micros: int64 [P], rising; weights: float64 [P], how
        often each was the best rival's price."""
        if not (value_mean > 0 and weights.min() >= 0 and weights.sum() > 0):
            raise ConfigError("a table needs a mean value above 0 and prices with weights that are not negative")
        if (np.diff(prices_micros) <= 0).any() or prices_micros[0] < 0:
            raise ConfigError("the prices of a table must rise from 0 or above")
        hopes, place = _hopes(np.asarray([value_mean]), value_mean)[None], np.zeros(len(weights), dtype=np.int64)
        return cls._solved(hopes, place, prices_micros, weights, value_mean, value_mean, budget_micros, auctions,
                           levels)  # fmt: skip

    @classmethod
    def _solved(
        cls,
        hopes: np.ndarray,
        place: np.ndarray,
        prices: np.ndarray,
        weights: np.ndarray,
        most: float,
        mean: float,
        budget: int,
        auctions: int,
        levels: int,
    ) -> Self:
        levels = int(min(levels, budget))
        if auctions < 1 or levels < 1 or (auctions + 1) * (levels + 1) > _STATES_MOST:
            raise ConfigError(f"a table needs a budget, an auction and at most {_STATES_MOST:,} states of both")
        unit, values = budget / levels, np.zeros((auctions + 1, levels + 1))
        _solve(values, prices / unit, weights / weights.sum(), hopes, place, most)
        return cls(values, unit, mean)

    def bid(self, value: float, remaining_micros: int, auctions_left: int) -> int:
        """The highest price worth paying for this value, at most what is left."""
        left = min(max(auctions_left, 1), len(self.values) - 1)
        return int(_bid(self.values[left - 1], self.unit_micros, value, remaining_micros))


class EpisodePacing:
    """Bids by an EpisodeTable, flight after flight (`renew`).

    level_auctions: values are read relative to their mean over about so many past auctions, against the mean that
    the table was made with, so that a drift of the level needs no new table (V is proportional to theta); 0 = as they
    are.
    """

    def __init__(
        self, table: EpisodeTable, budget_micros: int, auctions: int, *, level_auctions: float = LEVEL_AUCTIONS
    ) -> None:
        if level_auctions != 0 and not level_auctions >= 1:
            raise ConfigError("the level is a mean over at least one auction, or 0: not followed")
        self.table, self._rate = table, 1.0 / level_auctions if level_auctions else 0.0
        self._mean = table.value_mean
        self.renew(budget_micros, auctions)

    def renew(self, budget_micros: int, auctions: int) -> None:
        """A new flight begins. Refused (ConfigError): more money or auctions than the table has."""
        levels = self.table.values.shape[1] - 1
        if not (0 <= budget_micros <= levels * self.table.unit_micros and 1 <= auctions < len(self.table.values)):
            raise ConfigError("a flight must fit its table in budget and auctions; make a larger table")
        self.remaining_micros, self.auctions_left = int(budget_micros), int(auctions)

    def bid(self, value: float) -> int:
        """The bid in micros for a showing of this value."""
        level = self.table.value_mean / self._mean
        return self.table.bid(value * level, self.remaining_micros, self.auctions_left)

    def settle(self, value: float, bid_micros: int, price_micros: int | None) -> None:
        """An auction is over; see Bidder."""
        self.remaining_micros -= cost_of(bid_micros, price_micros, self.remaining_micros)
        self._mean += (max(value, 0.0) - self._mean) * self._rate
        self.auctions_left = max(self.auctions_left - 1, 0)

    def replay(self, value: np.ndarray, price_micros: np.ndarray) -> Replay:
        """Bid in N second-price auctions; see Bidder."""
        bid, won = np.empty(len(value), dtype=np.int64), np.empty(len(value), dtype=np.bool_)
        state = np.asarray([self.remaining_micros, self.auctions_left], dtype=np.int64)
        level = np.asarray([self._mean, self.table.value_mean, self._rate])
        before = self.remaining_micros
        _replay(value, price_micros, self.table.values, self.table.unit_micros, level, state, bid, won)
        self._mean, self.remaining_micros, self.auctions_left = float(level[0]), int(state[0]), int(state[1])
        return Replay(won, bid, before - self.remaining_micros)


def _hopes(value: np.ndarray, most: float) -> np.ndarray:
    """E[(theta - c)^+] at the costs c = most (j / GRID)^2, linear between them; float64 [GRID + 1].

    Squares, as a few values are hundreds of times the mean, and the costs that decide are about the mean.
    """
    ordered = np.sort(np.asarray(value, dtype=np.float64))
    costs = most * (np.arange(GRID + 1) / GRID) ** 2
    above = np.append(np.cumsum(ordered[::-1])[::-1], 0.0)
    at = np.searchsorted(ordered, costs, "right")
    answer: np.ndarray = (above[at] - costs * (len(ordered) - at)) / len(ordered)
    return answer


@njit(cache=True)
def _at(row, place):  # type: ignore[no-untyped-def]
    j = int(place)
    part = place - j
    return row[j] if part == 0.0 else row[j] * (1.0 - part) + row[j + 1] * part


@njit(cache=True, error_model="numpy")
def _solve(values, steps, weights, hopes, place, most):  # type: ignore[no-untyped-def]
    grid = hopes.shape[1] - 1
    scale = most / (grid * grid)
    for n in range(1, values.shape[0]):
        before = values[n - 1]
        for b in range(values.shape[1]):
            total = before[b]
            for k in range(steps.shape[0]):
                if steps[k] > b:
                    break
                cost = before[b] - _at(before, b - steps[k])
                if cost >= most:
                    break
                cell = max(cost, 0.0) / scale  # below 0 by rounding only
                j = min(int(np.sqrt(cell)), grid - 1)
                part = (cell - j * j) / (2 * j + 1)
                row = hopes[place[k]]
                total += weights[k] * (row[j] * (1.0 - part) + row[j + 1] * part)
            values[n, b] = total


@njit(cache=True, error_model="numpy")
def _bid(row, unit, value, remaining):  # type: ignore[no-untyped-def]
    """The largest whole p <= remaining with row(remaining) - row(remaining - p) <= value, by halving: row rises."""
    if not value > 0:
        return np.int64(0)
    here = min(remaining / unit, row.shape[0] - 1.0)
    floor = _at(row, here) - value
    low, high = np.int64(0), remaining
    while low < high:
        middle = (low + high + 1) // 2
        if _at(row, min((remaining - middle) / unit, here)) >= floor:
            low = middle
        else:
            high = middle - 1
    return low


@njit(cache=True, error_model="numpy")
def _replay(value, price, values, unit, level, state, bids, won):  # type: ignore[no-untyped-def]
    remaining, left = state[0], state[1]
    for t in range(value.shape[0]):
        bid = _bid(values[max(left - 1, 0)], unit, value[t] * level[1] / level[0], remaining)
        won[t] = bid >= price[t]
        bids[t] = bid
        level[0] += (max(value[t], 0.0) - level[0]) * level[2]
        remaining -= price[t] if won[t] else 0
        left = max(left - 1, 0)
    state[0], state[1] = remaining, left
