"""Automatic bidding: as much value as a budget and a target return, or target cost per acquisition, allow.

N = auctions. tau = the target: value per cost at least. For a cost per acquisition, value is pCVR x target CPA and
tau is 1; for a return on ad spend, value is pCVR x price and tau the return.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.core.errors import ConfigError
from zhitou.strategy.pacing import STEP_MOST, Replay, cost_of, whole

ETA = 3e-3
REACH = 100.0
ALLOWANCE = 0.02
_EVEN_AT = 0.05  # share of the flight, at its end, in which nothing is allowed below the target
_BUDGET, _RETURN = 0, 1  # the two duals


class AutoBidding:
    """Two duals, lambda of the budget and mu of the return, on one bid:

        b = value (1 + mu / tau) / (lambda + mu)

    What is won is worth it: value - lambda cost - mu (cost - value / tau) >= 0. With x clipped to +-step_most:

        lambda <- lambda exp(x), x = eta (z - remaining / auctions left) / (B / N)
        mu     <- mu exp(x),     x = eta (z - y / tau - surplus / auctions left) / (usual cost of an auction)

    z and y are the cost and the value of the auction, surplus = value so far / tau - cost so far: what the return has
    earned may be spent on dearer showings, over the auctions that are left, as the budget is. Both duals stay within
    a factor `reach` of tau; lambda begins at `threshold` (tau where nothing is known), mu at tau.

    Three bounds hold whatever the duals do. The bid is at most what is left of the budget, and at most `most_micros`.
    And it is at most value / tau + surplus + an allowance: a flight may run below its target by a share of the budget
    that shrinks from `allowance` to nothing when 95 % of its auctions are over; below that, what is bought must pay
    for itself.

    The return is that of the values given, so its promise is as good as their calibration.

    Derivation: the Lagrangian of max sum(value) s.t. sum(cost) <= B and sum(cost) <= sum(value) / tau. On both duals
    at once against one control after the other: Balseiro et al., "A Field Guide for Pacing Budget and ROS
    Constraints", arXiv 2302.08530.
    """

    def __init__(
        self,
        budget_micros: int,
        auctions: int,
        *,
        target: float,
        threshold: float | None = None,
        eta: float = ETA,
        step_most: float = STEP_MOST,
        reach: float = REACH,
        allowance: float = ALLOWANCE,
        most_micros: int | None = None,
    ) -> None:
        if not (0 < target < np.inf and eta > 0 and 0 < step_most < 1 and reach >= 1 and allowance >= 0):
            raise ConfigError(
                "automatic bidding needs a target above 0, eta > 0, 0 < step_most < 1, reach >= 1, allowance >= 0"
            )
        if budget_micros < 0 or auctions < 1:
            raise ConfigError(f"a flight has a budget and at least one auction, got {budget_micros} and {auctions}")
        self.remaining_micros, self.auctions_left = int(budget_micros), int(auctions)
        self.surplus_micros = 0.0
        start = target if threshold is None else min(max(threshold, target / reach), target * reach)
        self._duals = np.asarray([start, target])
        usual = budget_micros / auctions
        # cost of an auction: as planned, and as it has been lately, below 0 until the first one is over
        self._usual = np.asarray([usual, -1.0])
        most = np.inf if most_micros is None else float(most_micros)
        self._settings = np.asarray(
            [target, eta, step_most, reach, allowance * usual / (1.0 - _EVEN_AT), most, _EVEN_AT * auctions]
        )

    @property
    def threshold(self) -> float:
        """The least value that a micro must buy now: (lambda + mu) / (1 + mu / tau)."""
        return float(_threshold(self._duals, self._settings))

    def bid(self, value: float) -> int:
        """The bid in micros for a showing of this value."""
        return int(
            _bid(value, self.remaining_micros, self.auctions_left, self.surplus_micros, self._duals, self._settings)
        )

    def settle(self, value: float, bid_micros: int, price_micros: int | None) -> None:
        """An auction is over; see Bidder."""
        cost = cost_of(bid_micros, price_micros, self.remaining_micros)
        got = value if price_micros is not None and price_micros <= bid_micros and value > 0 else 0.0
        plan = (self.remaining_micros / max(self.auctions_left, 1), self.surplus_micros / max(self.auctions_left, 1))
        _follow(value, float(cost), got, plan[0], plan[1], self._duals, self._usual, self._settings)
        self.remaining_micros -= cost
        self.surplus_micros += got / self._settings[0] - cost
        self.auctions_left = max(self.auctions_left - 1, 0)

    def replay(self, value: np.ndarray, price_micros: np.ndarray) -> Replay:
        """Bid in N second-price auctions; see Bidder."""
        bid, won = np.empty(len(value), dtype=np.int64), np.empty(len(value), dtype=np.bool_)
        state = np.asarray([self.remaining_micros, self.auctions_left], dtype=np.int64)
        before = self.remaining_micros
        self.surplus_micros = float(
            _replay(
                value, price_micros, self.surplus_micros, self._duals, self._usual, self._settings, state, bid, won
            )
        )
        self.remaining_micros, self.auctions_left = int(state[0]), int(state[1])
        return Replay(won, bid, before - self.remaining_micros)


@njit(cache=True, error_model="numpy")
def _threshold(duals, settings):  # type: ignore[no-untyped-def]
    return (duals[_BUDGET] + duals[_RETURN]) / (1.0 + duals[_RETURN] / settings[0])


@njit(cache=True, error_model="numpy")
def _bid(value, remaining, left, surplus, duals, settings):  # type: ignore[no-untyped-def]
    if not value > 0:
        return np.int64(0)
    most = value / settings[0] + max(surplus + settings[4] * max(left - settings[6], 0.0), 0.0)
    return whole(min(value / _threshold(duals, settings), most, settings[5]), remaining)


@njit(cache=True, error_model="numpy")
def _follow(value, cost, got, plan, slack, duals, usual, settings):  # type: ignore[no-untyped-def]
    target, eta, step, reach = settings[0], settings[1], settings[2], settings[3]
    if (
        usual[1] < 0.0 and value > 0
    ):  # a budget that does not bind says nothing of costs; what a showing may cost does
        usual[1] = min(usual[0], value / target)
    usual[1] += eta * (cost - usual[1]) if usual[1] >= 0.0 else 0.0
    wanted = (
        eta * (cost - plan) / max(usual[0], 1e-9),
        eta * (cost - got / target - slack) / max(usual[1], 1e-9),
    )
    for k in range(2):
        moved = duals[k] * np.exp(min(step, max(-step, wanted[k])))
        duals[k] = min(target * reach, max(target / reach, moved))


@njit(cache=True, error_model="numpy")
def _replay(value, price, surplus, duals, usual, settings, state, bids, won):  # type: ignore[no-untyped-def]
    remaining, left = state[0], state[1]
    for t in range(value.shape[0]):
        bid = _bid(value[t], remaining, left, surplus, duals, settings)
        won[t] = bid >= price[t]
        bids[t] = bid
        cost = price[t] if won[t] else 0
        got = value[t] if won[t] and value[t] > 0 else 0.0
        _follow(value[t], float(cost), got, remaining / max(left, 1), surplus / max(left, 1), duals, usual, settings)
        remaining -= cost
        surplus += got / settings[0] - cost
        left = max(left - 1, 0)
    state[0], state[1] = remaining, left
    return surplus
