"""Intervals of a mean whose few large terms make it skewed: clicks under importance weights. U = units.

At 0.5 % clicks the normal interval misses the truth on one side three times as often as on the other, and after 20
clicks it covers 92 % instead of 95 %. `skewed` mends that from about 30 clicks on; below, `few` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zhitou.evaluation.experiment import LEVEL, Estimate

FEW = 30  # effective rewarded units below which the gamma interval is taken
RARE = 0.1  # ... unless they are more than this share of all units, and so no rare events


def standard_error(influence: np.ndarray, rows: int) -> float:
    """Of an estimate whose units' influence (float64 [U], sums to 0) is spread over `rows`; NaN below 2 units."""
    n = len(influence)
    return math.sqrt(n / (n - 1) * float(influence @ influence)) / rows if n > 1 else math.nan


@dataclass(frozen=True)
class Gains:
    """What rewarded units contributed: sum, sum of squares, and the most that one more rewarded row could.

    Days and shards merge with `+`.
    """

    total: float
    squares: float
    largest: float

    @classmethod
    def of(cls, contribution: np.ndarray, largest: float) -> Gains:
        """Of weight · reward of each unit, float64 [U]."""
        return cls(float(contribution.sum()), float(contribution @ contribution), largest)

    def __add__(self, other: Gains) -> Gains:
        most = max(self.largest, other.largest)
        return Gains(self.total + other.total, self.squares + other.squares, most)

    @property
    def count(self) -> float:
        """Effective number of rewarded units: (sum + largest)² / (sum of squares + largest²) - 1, not below 0.

        Thirty clicks of weight 0.5 are worth little while none of weight 17 has come that may well come: with it,
        and less it again, they count for 2.5.
        """
        squares = self.squares + self.largest**2
        return max((self.total + self.largest) ** 2 / squares - 1, 0.0) if squares else 0.0


def skewness(parts: list[np.ndarray]) -> float:
    """Of the sum of independent parts, each float64 [U] with mean about 0; 0 where nothing spreads."""
    m2 = sum(float(part @ part) / len(part) for part in parts if len(part))
    m3 = sum(float((part * part) @ part) / len(part) for part in parts if len(part))  # ** 3 is twenty times as slow
    return m3 / m2**1.5 if m2 > 0 else 0.0


def skewed_reach(skew: float, units: int, level: float = LEVEL) -> tuple[float, float]:
    """(below, above) in standard errors: the interval is [value - below * error, value + above * error].

    Hall (1992), "On the removal of skewness by transformation", his cubic transformation inverted: with
    a = skew / sqrt(U), x -> 3 / a * ((1 + a * (x - a / 6)) ** (1 / 3) - 1) of the normal quantiles x = ±z. Both
    are z where the skewness is 0; the error left is of order 1 / U instead of 1 / sqrt(U).
    """
    z = float(stats.norm.ppf((1 + level) / 2))
    a = skew / math.sqrt(units) if units else 0.0
    if abs(a) < 1e-6:
        return z, z
    low, high = (3 / a * (float(np.cbrt(1 + a * (x - a / 6))) - 1) for x in (z, -z))
    return low, -high


def skewed(value: float, parts: list[np.ndarray], rows: int, level: float = LEVEL) -> Estimate:
    """`value` with Hall's interval; parts: independent influences, float64 [U] each, spread over `rows`.

    Of everything where the error is unknown.
    """
    error = math.hypot(*(standard_error(part, rows) for part in parts))
    if not math.isfinite(error):
        return Estimate(value, -math.inf, math.inf, level)
    below, above = skewed_reach(skewness(parts), len(parts[0]), level)
    return Estimate(value, value - below * error, value + above * error, level)


def few(value: float, gains: Gains, rest_error: float, rows: int, level: float = LEVEL) -> Estimate:
    """`value` when only a handful of units were rewarded: a sum of weighted rare events, plus what else there is.

    gains: of weight · reward, none below 0; their sum over `rows` is y. rest_error: the standard error of value - y
    (the model's part, or a denominator's). Nothing rewarded still has an upper end: about 3.7 · largest / rows.

    Fay and Feuer (1997), intervals of a weighted sum of Poisson counts by the gamma distribution: with v the sum of
    squares, y - low and high - y from chi² of 2 y²/v and 2 (y + largest)²/(v + largest²) degrees of freedom. It
    covers at least `level`. The rest is added in squares, as it is nearly independent of rare rewards.
    """
    y, v = gains.total, gains.squares
    y_up, v_up = y + gains.largest, v + gains.largest**2
    tail = (1 - level) / 2
    low = v / (2 * y) * float(stats.chi2.ppf(tail, 2 * y * y / v)) if y > 0 else 0.0
    high = v_up / (2 * y_up) * float(stats.chi2.ppf(1 - tail, 2 * y_up * y_up / v_up)) if y_up > 0 else 0.0
    rest = float(stats.norm.ppf(1 - tail)) * rest_error
    if not math.isfinite(rest):
        return Estimate(value, -math.inf, math.inf, level)
    below, above = math.hypot((y - low) / rows, rest), math.hypot((high - y) / rows, rest)
    return Estimate(value, value - below, value + above, level)
