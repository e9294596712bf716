"""Is the target policy better than the policy that made the log, and by how much? Both answers from the same rows.

y is what a row says of the target policy, x its reward under the logged one; the lift is mean(y) / mean(x) - 1.
Dividing two intervals would count the same luck twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from zhitou.evaluation.experiment import LEVEL, Claim, Estimate, Verdict, sequence_half_width
from zhitou.evaluation.offpolicy import NOT_ESTIMABLE, Expected, PolicyValue, by_unit
from zhitou.evaluation.offpolicy_health import LogHealth
from zhitou.evaluation.offpolicy_intervals import FEW, Gains, skewed_reach


@dataclass(frozen=True)
class LiftSums:
    """Sums of products of y and x over units (rows, or shoppers): days and shards merge with `+`.

    yx: yx[i][j] is the sum of y**i · x**j for i + j <= 3. gains: of rewarded rows under the target.

    >>> sums = LiftSums.of(np.array([1.0, 3.0]), np.array([1.0, 1.0]), Gains(4.0, 10.0, 3.0))
    >>> (sums + sums).n, sums.lift().value
    (4, 1.0)
    """

    n: int
    yx: tuple[tuple[float, ...], ...]
    gains: Gains

    @classmethod
    def of(cls, y: np.ndarray, x: np.ndarray, gains: Gains) -> LiftSums:
        """The sums of one pair per unit."""
        y, x = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
        assert y.shape == x.shape, "each unit has one y and one x"
        powers = [[np.ones_like(z), z, z * z, z * z * z] for z in (y, x)]
        sums = tuple(tuple(float(powers[0][i] @ powers[1][j]) for j in range(4 - i)) for i in range(4))
        return cls(len(y), sums, gains)

    def __add__(self, other: LiftSums) -> LiftSums:
        sums = tuple(
            tuple(a + b for a, b in zip(mine, theirs, strict=True))
            for mine, theirs in zip(self.yx, other.yx, strict=True)
        )
        return LiftSums(self.n + other.n, sums, self.gains + other.gains)

    def lift(self, level: float = LEVEL) -> Estimate:
        """The lift with Fieller's interval, each ratio's test corrected for skewness (offpolicy_intervals).

        It holds every ratio at which the mean of y - ratio · x is not different from zero. Everything, where the
        logged policy's mean is not itself clearly above zero, or either policy had fewer than 30 effective rewards.
        """
        if self._too_few():
            return self._everything(level)
        return Estimate(self._value(), self._end(-1, level), self._end(+1, level), level)

    def sequence(self, tuned_n: int, level: float = LEVEL) -> Estimate:
        """The lift's interval as a confidence sequence: right at all looks at once. State tuned_n before looking.

        It holds every ratio at which the sequence of the mean of y - ratio · x holds zero. Rows must come in the
        order of time, and y from expectations fitted on rows before them.
        """
        mean_y, mean_x = self._mean(1, 0), self._mean(0, 1)
        if self._too_few():
            return self._everything(level)
        reach = sequence_half_width(self.n, 1.0, tuned_n, level) ** 2
        a = mean_x**2 - reach * self._variance(0, 1)
        b = mean_x * mean_y - reach * self._covariance()
        c = mean_y**2 - reach * self._variance(1, 0)
        if a <= 0:
            return self._everything(level)
        root = math.sqrt(max(b * b - a * c, 0.0))
        return Estimate(self._value(), (b - root) / a - 1, (b + root) / a - 1, level)

    def _too_few(self) -> bool:
        x, xx = self.yx[0][1], self.yx[0][2]
        return not (self.n > 1 and x > 0 and x * x / xx >= FEW and self.gains.count >= FEW)

    def _everything(self, level: float) -> Estimate:
        return Estimate(self._value(), -math.inf, math.inf, level)

    def _value(self) -> float:
        return self.yx[1][0] / self.yx[0][1] - 1 if self.yx[0][1] else math.nan

    def _mean(self, i: int, j: int) -> float:
        return self.yx[i][j] / self.n

    def _variance(self, i: int, j: int) -> float:
        """Unbiased, of y (1, 0) or x (0, 1)."""
        return max(self._mean(2 * i, 2 * j) - self._mean(i, j) ** 2, 0.0) * self.n / (self.n - 1)

    def _covariance(self) -> float:
        return (self._mean(1, 1) - self._mean(1, 0) * self._mean(0, 1)) * self.n / (self.n - 1)

    def _distance(self, ratio: float, level: float) -> tuple[float, float]:
        """How far below (first) and above (second) its skewed interval of y - ratio · x zero lies, in errors."""
        m1 = self._mean(1, 0) - ratio * self._mean(0, 1)
        m2 = self._mean(2, 0) - 2 * ratio * self._mean(1, 1) + ratio**2 * self._mean(0, 2)
        m3 = (
            self._mean(3, 0)
            - 3 * ratio * self._mean(2, 1)
            + 3 * ratio**2 * self._mean(1, 2)
            - ratio**3 * self._mean(0, 3)
        )
        variance = max(m2 - m1 * m1, 1e-100)
        skew = (m3 - 3 * m1 * m2 + 2 * m1**3) / variance**1.5
        below, above = skewed_reach(skew, self.n, level)
        t = m1 / math.sqrt(variance / (self.n - 1))
        return t - below, -above - t

    def _end(self, side: int, level: float) -> float:
        """The lift at one end of the interval: where zero leaves the interval of y - ratio · x."""
        at = 1 + self._value()

        def outside(ratio: float) -> float:
            return self._distance(ratio, level)[0 if side < 0 else 1]

        step = 0.05 * max(at, 1e-3)
        far = at + side * step
        while outside(far) < 0:
            step *= 2
            far = at + side * step
            if step > 1e6 * max(at, 1e-3):
                return side * math.inf
        return float(brentq(outside, at, far, xtol=1e-12)) - 1


@dataclass(frozen=True)
class Judgement:
    """What a log says to a claim about target over logged policy, and why."""

    claim: Claim
    verdict: Verdict
    lift: Estimate | None
    reason: str

    def __str__(self) -> str:
        return f"{self.claim.name}: {self.verdict} ({self.reason})"


def lift_sums(value: PolicyValue, reward: np.ndarray, unit: np.ndarray | None = None) -> LiftSums:
    """The sums for the lift of `value` over the policy that logged `reward` (float64 [R]), by shopper if `unit`.

    y = estimate + influence, so that its mean is the estimate and its error the estimator's.
    """
    assert value.estimate is not None, "a refused value has no lift"
    assert value.influence is not None, "sums alone have no rows to pair"
    assert value.gains is not None, "the direct method has no interval to build on"
    y = value.influence + value.estimate.value
    return LiftSums.of(by_unit(y, unit), by_unit(np.asarray(reward, dtype=np.float64), unit), value.gains)


def stream_sums(
    reward: np.ndarray, weights: np.ndarray, expected: Expected | None = None, unit: np.ndarray | None = None
) -> LiftSums:
    """The sums of some rows of a longer log, to be added to those before: y = w · r, or with a model dr's own terms.

    Neither needs the whole log, so they may be added as rows come; the self-normalised ones do. Whether the log may
    be asked at all is for the sums of its weights to say (offpolicy_sums.policy_sums, + and .overlap). A shopper
    must not be in two parts.
    """
    r = np.asarray(reward, dtype=np.float64)
    gained = weights * r
    y = gained if expected is None else expected.target + gained - weights * expected.logged
    largest = float(np.max(weights, initial=0.0)) * max(float(np.max(r, initial=0.0)), 1.0)
    return LiftSums.of(by_unit(y, unit), by_unit(r, unit), Gains.of(by_unit(gained, unit), largest))


def judge_lift(
    claim: Claim,
    value: PolicyValue,
    reward: np.ndarray,
    *,
    health: LogHealth | None = None,
    unit: np.ndarray | None = None,
    level: float = LEVEL,
) -> Judgement:
    """The verdict on "target over logged policy is at least so much", from one look at a log.

    value: of an estimator chosen before looking (Evaluation.inference). An unsound or too thin log is "inconclusive",
    with its refusal as the reason. For many looks use `lift_sums(...)`, `+` and `sequence`.
    """
    refusal = (health.refusal if health else None) or value.refusal
    if refusal is None and value.gains is None:
        refusal = f"{NOT_ESTIMABLE}: {value.method} has no interval of its own; take dr or snips"
    if refusal is not None:
        return Judgement(claim, "inconclusive", None, refusal)
    lift = lift_sums(value, reward, unit).lift(level)
    reason = f"lift {lift.value:+.1%} [{lift.low:+.1%}, {lift.high:+.1%}]"
    if math.isinf(lift.low):
        reason = f"lift {lift.value:+.1%}, but too few rewards to say more: {value.rewarded:.0f} effective ones"
    return Judgement(claim, claim.verdict(lift), lift, reason)
