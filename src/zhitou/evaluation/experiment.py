"""Experiments: means and ratios with their uncertainty, lifts, claims and their three verdicts.

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

    @classmethod
    def from_mean(cls, n: int, mean: float, variance: float) -> Moments:
        """From a count, a mean and the unbiased variance, as reports give them."""
        return cls(n, n * mean, max(n - 1, 0) * variance + n * mean**2)

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
class Counts:
    """Units and how many of them were positive: clicks of impressions, buyers of shoppers.

    >>> Counts(1000, 5) + Counts(1000, 7)
    Counts(n=2000, positives=12)
    """

    n: int
    positives: int

    def __post_init__(self) -> None:
        assert 0 <= self.positives <= self.n, "positives are some of the units"

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.n + other.n, self.positives + other.positives)

    @property
    def mean(self) -> float:
        """positives / n, NaN without units."""
        return self.positives / self.n if self.n else math.nan

    @property
    def variance_of_mean(self) -> float:
        """p (1 - p) / (n - 1), NaN below two units."""
        return self.mean * (1 - self.mean) / (self.n - 1) if self.n > 1 else math.nan

    def interval(self, level: float = LEVEL) -> Estimate:
        """The rate with Wilson's interval, which bears no positives at all."""
        if not self.n:
            return Estimate(math.nan, 0.0, 1.0, level)
        z2 = _z(level) ** 2
        centre = (self.positives + z2 / 2) / (self.n + z2)
        reach = math.sqrt(z2 * (self.positives * (1 - self.mean) + z2 / 4)) / (self.n + z2)
        return Estimate(self.mean, max(centre - reach, 0.0), min(centre + reach, 1.0), level)


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
    return lift_within(treatment, control, _z(level), level)


def relative_lift_fieller(treatment: Statistic, control: Statistic, level: float = LEVEL) -> Estimate:
    """treatment / control - 1 with Fieller's interval: every ratio r for which treatment - r · control may be zero.

    Bears a treatment without positives; where the control may itself be zero, the interval is everything.
    """
    spread = treatment.variance_of_mean, control.variance_of_mean
    return fieller(treatment.mean, control.mean, *spread, _z(level), level)


def difference(treatment: Statistic, control: Statistic, level: float = LEVEL) -> Estimate:
    """treatment - control, with its normal interval."""
    error = math.sqrt(treatment.variance_of_mean + control.variance_of_mean)
    return Estimate.normal(treatment.mean - control.mean, error, level)


def sequence_reach(n: int | float | np.ndarray, tuned_n: float, level: float = LEVEL) -> np.ndarray:
    """Half width, in standard errors after n rows, of an asymptotic confidence sequence: right at all looks at once.

    sqrt(2 (x + 1) / x · log(sqrt(x + 1) / alpha)) with x = n rho², alpha = 1 - level and
    rho² = (-2 log alpha + log(1 - 2 log alpha)) / tuned_n, which makes the sequence narrowest at tuned_n
    (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory). inf without rows.
    """
    alpha = 1 - level
    x = np.asarray(n, dtype=np.float64) * ((-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tuned_n)
    safe = np.where(x > 0, x, 1.0)
    return np.where(x > 0, np.sqrt(2 * (safe + 1) / safe * np.log(np.sqrt(safe + 1) / alpha)), np.inf)


def sequence_half_width(n: int, deviation: float, tuned_n: float, level: float = LEVEL) -> float:
    """Half width of that sequence for a mean, after n rows of standard deviation `deviation`."""
    return deviation / math.sqrt(n) * float(sequence_reach(n, tuned_n, level)) if n > 0 else math.inf


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
    if n < 2:
        value = float(y.mean() / x.mean()) - 1 if n and x.mean() else math.nan
        return Estimate(value, -math.inf, math.inf, level)
    covariance = np.cov(y, x) / n
    reach = float(stats.t.ppf((1 + level) / 2, n - 1))
    spread = float(covariance[0, 0]), float(covariance[1, 1])
    return fieller(float(y.mean()), float(x.mean()), *spread, reach, level, float(covariance[0, 1]))


def fieller(
    top: float,
    bottom: float,
    top_variance: float,
    bottom_variance: float,
    reach: float,
    level: float,
    covariance: float = 0.0,
) -> Estimate:
    """top / bottom - 1, its interval all r with |top - r · bottom| <= reach · its standard error (Fieller 1954).

    variances and covariance are those of the two means. Everything where bottom is not clearly above zero.
    """
    value = top / bottom - 1 if bottom else math.nan
    a = bottom**2 - reach**2 * bottom_variance
    b = bottom * top - reach**2 * covariance
    c = top**2 - reach**2 * top_variance
    if not (a > 0 and bottom > 0 and math.isfinite(c)):
        return Estimate(value, -math.inf, math.inf, level)
    root = math.sqrt(max(b * b - a * c, 0.0))
    return Estimate(value, (b - root) / a - 1, (b + root) / a - 1, level)


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


def lift_within(treatment: Statistic, control: Statistic, reach: float, level: float) -> Estimate:
    """treatment / control - 1 within exp(log ratio ± reach errors) - 1.

    Everything where a mean is not above zero or has no error yet.
    """
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
