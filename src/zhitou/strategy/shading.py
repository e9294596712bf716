"""First-price auctions: bid less than it is worth, by a model of how often a bid wins.

N = bids, X = facts about a showing that the price may depend on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numba import njit
from scipy.special import expit

from zhitou.core.errors import ConfigError

RIDGE = 1.0  # as strong as one squared unit of each standardised slope: tells only where bids are few
_NEWTON_STEPS = 50
_ROOT_STEPS = 60
_STEEP_LEAST = 0.05


@dataclass(frozen=True)
class WinRate:
    """F(b | x) = 1 / (1 + exp(-(intercept + slope log b + x . facts))): the chance that a bid of b micros wins.

    slope > 0. facts: float64 [X]. With no facts, the best rival's bid is log-logistic with median
    exp(-intercept / slope).
    """

    intercept: float
    slope: float
    facts: np.ndarray

    @classmethod
    def fit(
        cls, bid_micros: np.ndarray, won: np.ndarray, facts: np.ndarray | None = None, *, ridge: float = RIDGE
    ) -> Self:
        """From all bids that were made, won and lost: a lost bid says that the price was above it (censored), and
        without those F comes out too high. bid_micros: int64 [N], at least 1; won: bool [N]; facts: float64 [N, X].

        Newton's steps on the logistic likelihood, less ridge / 2 x the squares of the standardised slopes.
        Refused (ConfigError): bids that all won or all lost, or were all the same; more won where bids are lower.
        """
        bid, outcome = np.asarray(bid_micros, dtype=np.float64), np.asarray(won, dtype=np.float64)
        if not len(bid) or bid.min() < 1 or not 0 < outcome.mean() < 1:
            raise ConfigError(
                "a win rate needs bids of at least one micro, some won and some lost; explore with bids"
            )
        columns = np.log(bid)[:, None] if facts is None else np.column_stack([np.log(bid), facts])
        middle, spread = columns.mean(axis=0), columns.std(axis=0)
        if not (np.isfinite(columns).all() and (spread > 1e-9).all()):
            raise ConfigError("a win rate needs bids and facts that differ, and are finite; explore with bids")
        weights = _logistic((columns - middle) / spread, outcome, ridge)
        slopes = weights[1:] / spread
        if slopes[0] < _STEEP_LEAST:
            raise ConfigError(
                f"expected higher bids to win more, got a slope of {slopes[0]:.3f} in log bid; explore with bids"
            )
        return cls(float(weights[0] - slopes @ middle), float(slopes[0]), slopes[1:])

    def chance(self, bid_micros: np.ndarray, facts: np.ndarray | None = None) -> np.ndarray:
        """float64 [N]: F of each bid (at least 0); 0 for a bid of 0."""
        with np.errstate(divide="ignore"):
            logit = self.base(facts, len(bid_micros)) + self.slope * np.log(np.asarray(bid_micros, dtype=np.float64))
        answer: np.ndarray = expit(logit)
        return answer

    def base(self, facts: np.ndarray | None, rows: int) -> np.ndarray:
        """float64 [rows]: the logit without the bid's part."""
        if facts is None:
            assert not len(self.facts), "this win rate was fitted with facts: give them"
            return np.full(rows, self.intercept)
        answer: np.ndarray = self.intercept + np.asarray(facts, dtype=np.float64) @ self.facts
        return answer


def shade(worth_micros: np.ndarray, win_rate: WinRate, facts: np.ndarray | None = None) -> np.ndarray:
    """int64 [N]: argmax of (worth - b) F(b | x) over whole b, the bid of a first-price auction.

    worth_micros: float64 [N]: value / lambda where a budget binds, for max (value - lambda b) F(b) has the same
    answer; value (1 + mu / tau) / (lambda + mu) with a target. A worth below 1 micro is not bid for.

    With s the slope, the derivative vanishes where s (worth - b) (1 - F(b)) = b: the left side falls and the right
    rises, so there is one root. It is found to the micro by halving its bracket in log b, Newton's step where it
    stays inside.
    Pan et al., "Bid Shading by Win-Rate Estimation and Surplus Maximization", AdKDD 2020 (arXiv 2009.09259): the same
    surplus, a logistic win rate.
    """
    worth = np.asarray(worth_micros, dtype=np.float64)
    out = np.empty(len(worth), dtype=np.int64)
    _shade(worth, win_rate.base(facts, len(worth)), win_rate.slope, out)
    return out


def _logistic(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """[1 + columns] weights of a logistic regression on standardised columns, intercept first and not penalised."""
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-9
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(y.mean() / (1.0 - y.mean()))
    for _ in range(_NEWTON_STEPS):
        p = expit(design @ weights)
        gradient = design.T @ (y - p) - penalty * weights
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        weights += step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return weights


@njit(cache=True, error_model="numpy")
def _surplus(worth, base, slope, bid):  # type: ignore[no-untyped-def]
    return (worth - bid) / (1.0 + np.exp(-(base + slope * np.log(bid)))) if bid > 0 else 0.0


@njit(cache=True, error_model="numpy")
def _shade(worth, base, slope, out):  # type: ignore[no-untyped-def]
    for t in range(worth.shape[0]):
        out[t] = 0
        if not worth[t] > 1.0:
            continue
        low, high = np.log(1e-3), np.log(worth[t])
        y = high + np.log(0.5)
        for _ in range(_ROOT_STEPS):
            b = np.exp(y)
            f = 1.0 / (1.0 + np.exp(-(base[t] + slope * y)))
            side = slope * (worth[t] - b) * (1.0 - f) - b
            if side > 0:
                low = y
            else:
                high = y
            fall = -slope * b * (1.0 - f) - slope * slope * (worth[t] - b) * f * (1.0 - f) - b
            step = y - side / fall
            y = step if low < step < high else 0.5 * (low + high)
            if abs(np.exp(y) - b) < 1e-3 or high - low < 1e-13:
                break
        below = np.floor(np.exp(y))
        best = (
            below
            if _surplus(worth[t], base[t], slope, below) >= _surplus(worth[t], base[t], slope, below + 1.0)
            else (below + 1.0)
        )
        out[t] = np.int64(min(best, np.floor(worth[t])))
