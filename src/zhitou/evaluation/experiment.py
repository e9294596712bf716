"""Experiments: means and ratios with their uncertainty, lifts, intervals that survive peeking, three verdicts.

A statistic is a frozen dataclass of sufficient sums: shards, days and streams merge exactly with `+`. What
cannot be known yet (one row has no variance) is NaN, an interval of everything, the verdict "inconclusive".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy import stats

LEVEL = 0.95  # of every interval here, unless its caller says otherwise
SAMPLE_RATIO_ALPHA = 0.001  # assignments are checked at every look, so the alarm is set to be rare

Verdict = Literal["established", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Estimate:
    """A number and the interval [low, high] that holds the truth in a share `level` of all repetitions."""

    value: float
    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

    @classmethod
    def normal(cls, value: float, error: float, level: float = LEVEL) -> Estimate:
        """value ± z · error; an unknown error (NaN) gives an interval of everything."""
        if not math.isfinite(error):
            return cls(value, -math.inf, math.inf, level)
        reach = _z(level) * error
        return cls(value, value - reach, value + reach, level)


class Statistic(Protocol):
    """What a lift needs to know of an arm."""

    @property
    def n(self) -> int: ...

    @property
    def mean(self) -> float: ...

    @property
    def variance_of_mean(self) -> float: ...


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of one value per unit (the shopper, where shoppers were randomised).

    >>> Moments.of([1.0, 2.0]) + Moments.of([3.0]) == Moments.of([1.0, 2.0, 3.0])
    True
    """

    n: int
    total: float
    squares: float

    @classmethod
    def of(cls, values: np.ndarray | list[float]) -> Moments:
        """The sums of these values."""
        x = np.asarray(values, dtype=np.float64)
        return cls(len(x), float(x.sum()), float(np.dot(x, x)))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """total / n, NaN without rows."""
        return self.total / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """Unbiased sample variance, NaN below two rows (never zero: one row says nothing of spread)."""
        if self.n < 2:
            return math.nan
        return max(self.squares - self.total**2 / self.n, 0.0) / (self.n - 1)

    @property
    def variance_of_mean(self) -> float:
        """variance / n."""
        return self.variance / self.n if self.n else math.nan

    def interval(self, level: float = LEVEL) -> Estimate:
        """The mean with its normal interval."""
        return Estimate.normal(self.mean, math.sqrt(self.variance_of_mean), level)


@dataclass(frozen=True)
class RatioMoments:
    """Sums of a numerator and a denominator per unit: clicks per impression with the shopper as unit.

    The rows of one shopper hang together, so the variance comes from shoppers (delta method), not impressions.
    """

    n: int
    top: float
    bottom: float
    top_squares: float
    bottom_squares: float
    products: float

    @classmethod
    def of(cls, top: np.ndarray | list[float], bottom: np.ndarray | list[float]) -> RatioMoments:
        """The sums of numerators `top` and denominators `bottom`, one pair per unit."""
        y, x = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
        assert y.shape == x.shape, "each unit has one numerator and one denominator"
        return cls(len(y), float(y.sum()), float(x.sum()), float(y @ y), float(x @ x), float(y @ x))

    def __add__(self, other: RatioMoments) -> RatioMoments:
        return RatioMoments(
            self.n + other.n,
            self.top + other.top,
            self.bottom + other.bottom,
            self.top_squares + other.top_squares,
            self.bottom_squares + other.bottom_squares,
            self.products + other.products,
        )

    @property
    def mean(self) -> float:
        """top / bottom, NaN where nothing was counted below."""
        return self.top / self.bottom if self.bottom else math.nan

    @property
    def variance_of_mean(self) -> float:
        """Delta method: the variance of (top_i - ratio · bottom_i), over n · (mean bottom)²."""
        if self.n < 2 or not self.bottom:
            return math.nan
        r = self.mean
        residual = self.top_squares - 2 * r * self.products + r * r * self.bottom_squares
        return max(residual, 0.0) / (self.n - 1) * self.n / self.bottom**2

    def interval(self, level: float = LEVEL) -> Estimate:
        """The ratio with its normal interval."""
        return Estimate.normal(self.mean, math.sqrt(self.variance_of_mean), level)


def relative_lift(treatment: Statistic, control: Statistic, level: float = LEVEL) -> Estimate:
    """treatment / control - 1, its interval built on the log of the ratio; dividing two intervals is wrong."""
    return _lift(treatment, control, _z(level), level)


def anytime_lift(treatment: Statistic, control: Statistic, tuned_n: int, level: float = LEVEL) -> Estimate:
    """The lift by a confidence sequence: right at all looks at once, so one may peek and stop as one likes.

    `tuned_n`: units of both arms together at which the sequence is narrowest; state it before looking.
    """
    n = treatment.n + control.n
    return _lift(treatment, control, sequence_half_width(n, math.sqrt(n), tuned_n, level), level)


def sequence_half_width(n: int, deviation: float, tuned_n: int, level: float = LEVEL) -> float:
    """Half width of an asymptotic confidence sequence of a mean, after n rows of standard deviation `deviation`.

    s · sqrt(2 (n rho² + 1) / (n² rho²) · log(sqrt(n rho² + 1) / alpha)), with s the deviation, alpha = 1 - level
    and rho² = (-2 log alpha + log(1 - 2 log alpha)) / tuned_n, which makes it narrowest at tuned_n
    (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory).
    """
    alpha = 1 - level
    if n < 1:
        return math.inf
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tuned_n
    inner = n * rho2 + 1
    return deviation * math.sqrt(2 * inner / (n * n * rho2) * math.log(math.sqrt(inner) / alpha))


def paired_difference(
    treatment: np.ndarray | list[float],
    control: np.ndarray | list[float],
    level: float = LEVEL,
    rng: np.random.Generator | None = None,
    draws: int = 10_000,
) -> Estimate:
    """Mean of treatment - control over pairs (the same seeds, days or regions), with an interval.

    Student's t without `rng`; with one, the percentile bootstrap over pairs of `draws` samples.
    """
    d = np.asarray(treatment, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    mean = float(d.mean()) if len(d) else math.nan
    if len(d) < 2:
        return Estimate(mean, -math.inf, math.inf, level)
    if rng is not None:
        means = d[rng.integers(0, len(d), (draws, len(d)))].mean(1)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
        return Estimate(mean, float(low), float(high), level)
    reach = float(stats.t.ppf((1 + level) / 2, len(d) - 1)) * float(d.std(ddof=1)) / math.sqrt(len(d))
    return Estimate(mean, mean - reach, mean + reach, level)


def paired_lift(
    treatment: np.ndarray | list[float], control: np.ndarray | list[float], level: float = LEVEL
) -> Estimate:
    """mean(treatment) / mean(control) - 1 over pairs, with Fieller's interval. Pairs with a zero are welcome.

    The interval holds every ratio r for which the mean of treatment - r · control is not different from zero by
    Student's t. Where the control's mean is not itself clearly above zero, it is everything.
    """
    y, x = np.asarray(treatment, dtype=np.float64), np.asarray(control, dtype=np.float64)
    n = len(y)
    value = float(y.mean() / x.mean()) - 1 if n and x.mean() else math.nan
    everything = Estimate(value, -math.inf, math.inf, level)
    if n < 2:
        return everything
    t2 = float(stats.t.ppf((1 + level) / 2, n - 1)) ** 2 / n
    covariance = np.cov(y, x)
    a = x.mean() ** 2 - t2 * covariance[1, 1]
    b = x.mean() * y.mean() - t2 * covariance[0, 1]
    c = y.mean() ** 2 - t2 * covariance[0, 0]
    if a <= 0 or x.mean() <= 0:
        return everything
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Estimate(value, float((b - root) / a) - 1, float((b + root) / a) - 1, level)


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong: `name` is at least `at_least` (0.3 for "+30 %")."""

    name: str
    at_least: float

    def verdict(self, estimate: Estimate) -> Verdict:
        """"established" if the whole interval is at the claim or above, "refuted" if all of it is below."""
        if estimate.low >= self.at_least:
            return "established"
        if estimate.high < self.at_least:
            return "refuted"
        return "inconclusive"


@dataclass(frozen=True)
class SampleRatio:
    """Whether units fell to the arms as planned; if not, something loses units and no result may be read."""

    counts: tuple[int, ...]
    p_value: float
    sound: bool


def sample_ratio(counts: list[int], shares: list[float]) -> SampleRatio:
    """Chi² test of the arms' sizes against the planned shares; not sound below p = 0.001."""
    assert len(counts) == len(shares) > 1, "each arm has a count and a planned share"
    total, weight = sum(counts), sum(shares)
    expected = [total * share / weight for share in shares]
    if not total:
        return SampleRatio(tuple(counts), 1.0, True)
    chi2 = sum((seen - due) ** 2 / due for seen, due in zip(counts, expected, strict=True))
    p = float(stats.chi2.sf(chi2, len(counts) - 1))
    return SampleRatio(tuple(counts), p, p >= SAMPLE_RATIO_ALPHA)


def sample_size(rate: float, lift: float, power: float = 0.8, level: float = LEVEL) -> int:
    """Units per arm to detect that `rate` (of the control) rose by `lift`, two-sided, with this power.

    >>> sample_size(0.005, 0.30)
    39885
    """
    treated = rate * (1 + lift)
    mean = (rate + treated) / 2
    null = _z(level) * math.sqrt(2 * mean * (1 - mean))
    alternative = float(stats.norm.ppf(power)) * math.sqrt(rate * (1 - rate) + treated * (1 - treated))
    return math.ceil((null + alternative) ** 2 / (treated - rate) ** 2)


def _z(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))


def _lift(treatment: Statistic, control: Statistic, reach: float, level: float) -> Estimate:
    """exp(log ratio ± reach errors) - 1; everything where a mean is not above zero or has no error yet."""
    top, bottom = treatment.mean, control.mean
    value = top / bottom - 1 if bottom else math.nan
    if not (top > 0 and bottom > 0):
        return Estimate(value, -math.inf, math.inf, level)
    error = math.sqrt(treatment.variance_of_mean / top**2 + control.variance_of_mean / bottom**2)
    if not math.isfinite(error):
        return Estimate(value, -math.inf, math.inf, level)
    # A wide log interval is an interval of everything above -1, not an overflow.
    high = math.expm1(min(math.log(top / bottom) + reach * error, 700.0))
    return Estimate(value, math.expm1(math.log(top / bottom) - reach * error), high, level)
