"""Spend a budget as the traffic comes: by stretches of it (DualPacing), or auction by auction (AuctionPacing).

C = campaigns, N = auctions. A horizon is what a budget is for: a day, or a flight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit

from zhitou.core.errors import ConfigError

ETA = 3.0
STEP_MOST = 0.05
MULTIPLIER_LEAST = 0.02
_OWED_MOST = 0.5


class DualPacing:
    """Dual mirror descent with the entropic mirror: bids are multiplied by 1 / lambda, and lambda follows spend.

    After each stretch of traffic: lambda <- lambda * exp(eta * (z - rho) / B), where z is what the stretch cost, rho
    what the plan had for it (what is left of the budget, by the stretch's share of the forecast traffic that is left)
    and B the horizon's budget. lambda stays in [1, 1 / least]: nobody bids above his bid, nobody falls silent.
    lambda outlives its horizon.

    A step is clamped to step_most per 1 % of the horizon's traffic (and to step_most below that), for one dear click
    says little. What the clamp cuts off is owed, up to 0.5, and taken with the next steps: cut off for good it would
    pull lambda down whenever clicks are few, as a stretch without a click is never clamped and one with a click is.

    budget_micros: int64 [C], for one horizon. Pacing does not guard the budget (the ledger does); it avoids that the
    budget is gone before the day is.

    Balseiro, Lu and Mirrokni, "The Best of Many Worlds: Dual Mirror Descent for Online Allocation Problems", arXiv
    2011.10124: mu_t = lambda, b_t(x_t) = z / B, rho = the plan's share of B, step size eta; the mirror map
    h(mu) = mu log mu makes the update multiplicative. Following the plan for what is left is ours.
    """

    def __init__(
        self,
        budget_micros: np.ndarray,
        *,
        eta: float = ETA,
        step_most: float = STEP_MOST,
        least: float = MULTIPLIER_LEAST,
    ) -> None:
        if not (eta > 0 and 0 < step_most < 1 and 0 < least <= 1):
            raise ConfigError("pacing needs eta > 0, 0 < step_most < 1 and 0 < least <= 1")
        self._eta, self._step_most, self._least = eta, step_most, least
        self._lambda = np.ones(len(budget_micros), dtype=np.float64)
        self._owed = np.zeros(len(budget_micros), dtype=np.float64)
        self.renew(budget_micros)

    @property
    def multiplier(self) -> np.ndarray:
        """float64 [C] in [least, 1]: what to multiply each campaign's bids by."""
        answer: np.ndarray = 1.0 / self._lambda
        return answer

    def renew(self, budget_micros: np.ndarray) -> None:
        """A new horizon with these budgets (int64 [C]) begins; the multipliers stay as they are."""
        self._budget = np.asarray(budget_micros, dtype=np.int64).copy()
        self._spent = np.zeros_like(self._budget)
        self._traffic_left = 1.0

    def update(self, spend_micros: np.ndarray, traffic_share: float) -> None:
        """Take in what a stretch of traffic cost (int64 [C]) and its share of the horizon's forecast traffic.

        The shares of a horizon sum to 1. With the stretch that completes it, the next horizon begins with the same
        budget, unless `renew` gives another. A campaign whose budget is spent keeps its multiplier: what it did not
        spend for want of money says nothing about its bids.
        """
        assert 0.0 <= traffic_share <= 1.0, "a stretch holds a share of the horizon's traffic"
        spend = np.asarray(spend_micros, dtype=np.int64)
        left = np.maximum(self._budget - self._spent, 0)
        plan = left * min(1.0, traffic_share / self._traffic_left)
        self._step(np.where(left > 0, (spend - plan) / np.maximum(self._budget, 1), 0.0), traffic_share)
        self._spent += spend
        self._traffic_left -= traffic_share
        if self._traffic_left <= 1e-9:  # the shares are doubles and need not sum to 1 exactly
            self.renew(self._budget)

    def _step(self, surplus: np.ndarray, traffic_share: float) -> None:
        """Move each lambda by its surplus, float64 [C] as a share of the budget."""
        most = self._step_most * max(1.0, 100.0 * traffic_share)
        wanted = self._eta * surplus + self._owed
        step = np.clip(wanted, -most, most)
        self._owed = np.clip(wanted - step, -_OWED_MOST, _OWED_MOST)
        self._lambda = np.clip(self._lambda * np.exp(step), 1.0, 1.0 / self._least)


@dataclass(frozen=True)
class Replay:
    """What a bidder did in N auctions. won: bool [N]. bid_micros: int64 [N]. cost_micros: what it paid in all."""

    won: np.ndarray
    bid_micros: np.ndarray
    cost_micros: int


class Bidder(Protocol):
    """One flight's budget, auction by auction. A price is never above a bid, a bid never above what is left: a flight
    cannot pay more than it has. Where the forecast of traffic changes, set `auctions_left`."""

    remaining_micros: int
    auctions_left: int

    def bid(self, value: float) -> int:
        """The bid in whole micros for a showing of this value (NaN and below: 0)."""
        ...

    def settle(self, value: float, bid_micros: int, price_micros: int | None) -> None:
        """An auction is over: won, at this price, if the price is at most the bid; None = lost, price unknown."""
        ...

    def replay(self, value: np.ndarray, price_micros: np.ndarray) -> Replay:
        """N second-price auctions at once, as bid and settle would. value: float64 [N]. price_micros: int64 [N], the
        best rival's, reserve included; a tie wins."""
        ...


def cost_of(bid_micros: int, price_micros: int | None, remaining_micros: int) -> int:
    """What an auction cost: its price if the bid reached it, else 0."""
    cost = price_micros if price_micros is not None and price_micros <= bid_micros else 0
    assert 0 <= cost <= remaining_micros, "a price is at most the bid, a bid at most what is left"
    return cost


class AuctionPacing:
    """Dual mirror descent auction by auction: bid value / lambda, never more than what is left of the budget.

    lambda, the threshold, is the least value that a micro must buy; value may be in any unit (1.0 = a micro of
    worth, or a click). After each auction, with x = eta (z - rho) / (B / N):

        lambda <- lambda exp(clip(x, -step_most, step_most)),  rho = what is left / auctions left

    where z is what the auction cost, B and N the budget and the auctions that the forecast gives the flight. lambda
    stays within a factor `reach` of where it began. A price is never above a bid and a bid never above what is left,
    so the flight cannot pay more than it has.

    It needs no prices of auctions that were lost, and about 1 / eta auctions to follow a change. Where less than
    that is left, take `landscape.LandscapePacing`.

    Balseiro, Lu and Mirrokni, arXiv 2011.10124: mu_t = lambda, step size eta / rho, h(mu) = mu log mu. They keep
    rho = B / N; following what is left spends the budget where traffic or prices drift.
    """

    def __init__(
        self,
        budget_micros: int,
        auctions: int,
        *,
        threshold: float,
        eta: float = 1e-3,
        step_most: float = STEP_MOST,
        reach: float = 50.0,
    ) -> None:
        if not (eta > 0 and 0 < step_most < 1 and reach >= 1 and 0 < threshold < np.inf):
            raise ConfigError("pacing needs eta > 0, 0 < step_most < 1, reach >= 1 and a finite threshold above 0")
        if budget_micros < 0 or auctions < 1:
            raise ConfigError(f"a flight has a budget and at least one auction, got {budget_micros} and {auctions}")
        self.remaining_micros, self.auctions_left = int(budget_micros), int(auctions)
        rate = eta * auctions / max(1, budget_micros)
        self._multiplier = 1.0 / threshold
        self._settings = np.asarray([rate, step_most, self._multiplier / reach, self._multiplier * reach])

    @property
    def threshold(self) -> float:
        """lambda: the least value that a micro must buy now."""
        return float(1.0 / self._multiplier)

    def bid(self, value: float) -> int:
        """The bid in micros for a showing of this value."""
        return int(whole(value * self._multiplier, self.remaining_micros)) if value > 0 else 0

    def settle(self, value: float, bid_micros: int, price_micros: int | None) -> None:
        """An auction is over; see Bidder."""
        cost = cost_of(bid_micros, price_micros, self.remaining_micros)
        plan = self.remaining_micros * (1.0 / max(self.auctions_left, 1))
        self._multiplier = _follow(self._multiplier, cost - plan, self._settings)
        self.remaining_micros -= cost
        self.auctions_left = max(self.auctions_left - 1, 0)

    def replay(self, value: np.ndarray, price_micros: np.ndarray) -> Replay:
        """Bid in N second-price auctions; see Bidder."""
        bid, won = np.empty(len(value), dtype=np.int64), np.empty(len(value), dtype=np.bool_)
        state = np.asarray([self.remaining_micros, self.auctions_left], dtype=np.int64)
        before = self.remaining_micros
        self._multiplier = _descend(value, price_micros, self._multiplier, self._settings, state, bid, won)
        self.remaining_micros, self.auctions_left = int(state[0]), int(state[1])
        return Replay(won, bid, before - self.remaining_micros)


@njit(cache=True)
def whole(wanted, most):  # type: ignore[no-untyped-def]
    """Whole micros of a bid, at most `most`: compared before it is rounded, as a double can be above an int64."""
    return np.int64(most) if wanted >= most else np.int64(wanted)


@njit(cache=True)
def _follow(multiplier, surplus, settings):  # type: ignore[no-untyped-def]
    """1 / lambda after a step. exp to the fourth term: x is small, and the call would cost more than all the rest."""
    x = -min(settings[1], max(-settings[1], settings[0] * surplus))
    moved = multiplier * (1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0)))))
    return min(settings[3], max(settings[2], moved))


@njit(cache=True, error_model="numpy")
def _descend(value, price, multiplier, settings, state, bids, won):  # type: ignore[no-untyped-def]
    remaining, left = state[0], state[1]
    for t in range(value.shape[0]):
        share = 1.0 / max(left, 1)  # does not wait for the auction before, as remaining / left would
        bid = whole(value[t] * multiplier, remaining) if value[t] > 0 else 0  # 0 for NaN, too
        cost = price[t] if bid >= price[t] else 0
        won[t] = bid >= price[t]
        bids[t] = bid
        multiplier = _follow(multiplier, cost - remaining * share, settings)
        remaining -= cost
        left = max(left - 1, 0)
    state[0], state[1] = remaining, left
    return multiplier
