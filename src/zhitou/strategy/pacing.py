"""Spend a budget over its day as the traffic comes, by one multiplier on the bids of each campaign.

C = campaigns. A horizon is what a budget is for: a day, or a flight.
"""

from __future__ import annotations

import numpy as np

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
