"""How large an experiment must be, before it begins: to find a lift, to measure it, by peeking, by users."""

from __future__ import annotations

import math

from scipy import stats

from zhitou.evaluation.experiment import LEVEL, sample_size, sequence_reach

__all__ = [
    "design_effect",
    "detectable_lift",
    "impressions_for_clicks",
    "power",
    "sample_size",
    "sequence_factor",
    "size_for_half_width",
]


def power(rate: float, lift: float, n: int, level: float = LEVEL) -> float:
    """Chance to find, two-sided, that `rate` (of the control) rose by `lift`, with n units in each arm.

    The chance to find it in the wrong direction is not counted.
    """
    treated = rate * (1 + lift)
    mean = (rate + treated) / 2
    null = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(2 * mean * (1 - mean))
    spread = math.sqrt(rate * (1 - rate) + treated * (1 - treated))
    return float(stats.norm.cdf((abs(treated - rate) * math.sqrt(n) - null) / spread))


def detectable_lift(rate: float, n: int, power_wanted: float = 0.8, level: float = LEVEL) -> float:
    """The smallest rise that n units in each arm find with this chance; inf if not even a doubling ten times over."""
    low, high = 0.0, min(1_000.0, 1 / rate - 1)
    if power(rate, high, n, level) < power_wanted:
        return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(rate, middle, n, level) >= power_wanted else (middle, high)
    return high


def size_for_half_width(rate: float, lift: float, half_width: float, level: float = LEVEL) -> int:
    """Units per arm after which the lift's interval reaches `half_width` to each side (0.05 = five points).

    To measure a lift takes many times the units that finding it takes. Delta method: the lift's variance is
    (1 + lift)² · ((1 - p_t) / (n p_t) + (1 - p_c) / (n p_c)).

    >>> size_for_half_width(0.005, 0.30, 0.05)
    913684
    """
    treated = rate * (1 + lift)
    one = (1 + lift) ** 2 * ((1 - treated) / treated + (1 - rate) / rate)
    return math.ceil(one * (float(stats.norm.ppf((1 + level) / 2)) / half_width) ** 2)


def impressions_for_clicks(clicks: int, ctr: float) -> int:
    """Impressions that bring so many clicks: a test of conversions per click is as long as that.

    >>> impressions_for_clicks(21108, 0.005)
    4221600
    """
    return math.ceil(round(clicks / ctr, 6))


def design_effect(rows_per_user: float, correlation: float, rows_cv: float = 0.0) -> float:
    """By how much more rows are needed because the rows of one user hang together, who is assigned as a whole.

    1 + ((1 + cv²) m - 1) icc, with m = rows_per_user, cv = rows_cv, the deviation of m over its mean, and
    icc = correlation of two rows of one user (Kish; Eldridge, Ashby and Kerry for unequal sizes).

    >>> design_effect(rows_per_user=5, correlation=0.1)
    1.4
    """
    return 1 + ((1 + rows_cv**2) * rows_per_user - 1) * correlation


def sequence_factor(level: float = LEVEL) -> float:
    """How many times the units an interval takes that may be looked at always, to be as narrow at its tuned size.

    >>> round(sequence_factor(), 1)
    2.4
    """
    return (float(sequence_reach(1.0, 1.0, level)) / float(stats.norm.ppf((1 + level) / 2))) ** 2
