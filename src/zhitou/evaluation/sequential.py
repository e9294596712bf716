"""Looking as often as one likes: confidence sequences, and verdicts that stay right under peeking.

An interval of one look is wrong in far more than 5 % of experiments once somebody looks every day. A confidence
sequence holds the truth at all looks at once, so one may stop at any of them. Few positives are counted exactly, many
asymptotically; an experiment that lost units is not read at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from zhitou.evaluation.experiment import (
    LEVEL,
    SAMPLE_RATIO_ALPHA,
    Claim,
    Counts,
    Estimate,
    SampleRatio,
    Statistic,
    Verdict,
    difference,
    fieller,
    lift_within,
    sequence_reach,
)

FEW_POSITIVES = 100  # below so many in either arm counts are read exactly
FEW_ALPHA = 0.1  # share of alpha spent while they are few; the rest is spent after, so both together keep the level
_PRIOR = 25.0  # weight of the beta mixture in positives: narrowest near the 200 at which it hands over
_RATIO_PRIOR = 10_000.0  # of the assignments' mixture: narrowest for shares that are off by about half a point
_HALVINGS = 60


@dataclass(frozen=True)
class Reading:
    """What an experiment says at a look. stopped: why nothing may be read, None if something may.

    exact: the interval is the exact one of few positives. lift: everything where stopped.
    """

    claim: Claim
    verdict: Verdict
    lift: Estimate
    ratio: SampleRatio
    exact: bool
    stopped: str | None = None

    def __str__(self) -> str:
        if self.stopped:
            return f"{self.claim.name}: not read: {self.stopped}"
        return f"{self.claim.name}: {self.verdict}; lift {self.lift}"


@dataclass(frozen=True)
class ConfidenceSequence:
    """The plan of a test that is looked at often; state it before the first look.

    tuned_n: units of both arms together at which the intervals are narrowest (there 1.55 times as wide as those of a
    single look, at 95 %). treated_share: the planned share of units in the treatment.
    """

    tuned_n: int
    level: float = LEVEL
    treated_share: float = 0.5

    def __post_init__(self) -> None:
        assert self.tuned_n > 0, "the planned number of units"
        assert 0 < self.treated_share < 1, "a share of the units"

    def mean(self, arm: Statistic) -> Estimate:
        """The arm's mean. The sequence counts its own units, so tuned_n is taken as the arm's."""
        reach = float(sequence_reach(arm.n, self.tuned_n, self.level))
        return _within(arm.mean, reach * math.sqrt(arm.variance_of_mean), self.level)

    def difference(self, treatment: Statistic, control: Statistic) -> Estimate:
        """treatment - control. For 0/1 values with few positives prefer `lift`, which is exact there."""
        one = difference(treatment, control)
        error = math.sqrt(treatment.variance_of_mean + control.variance_of_mean)
        return _within(one.value, self._reach(treatment, control, self.level) * error, self.level)

    def lift(self, treatment: Statistic, control: Statistic) -> Estimate:
        """treatment / control - 1, on the log of the ratio; exactly while counts are few."""
        if self.exact(treatment, control):
            assert isinstance(treatment, Counts)
            assert isinstance(control, Counts)
            few = 1 - FEW_ALPHA * (1 - self.level)
            low, high = exact_lift(treatment.positives, control.positives, self.treated_share, few)
            top, bottom = treatment.mean, control.mean
            return Estimate(top / bottom - 1 if bottom else math.nan, float(low), float(high), self.level)
        level = self.many_level if isinstance(treatment, Counts) else self.level
        return lift_within(treatment, control, self._reach(treatment, control, level), self.level)

    def lift_fieller(self, treatment: Statistic, control: Statistic) -> Estimate:
        """treatment / control - 1 by Fieller: for values that may be negative or whose mean may be zero."""
        reach = self._reach(treatment, control, self.level)
        spread = treatment.variance_of_mean, control.variance_of_mean
        return fieller(treatment.mean, control.mean, *spread, reach, self.level)

    def exact(self, treatment: Statistic, control: Statistic) -> bool:
        """Whether these are counts with fewer than 100 positives in an arm."""
        if not (isinstance(treatment, Counts) and isinstance(control, Counts)):
            return False
        return min(treatment.positives, control.positives) < FEW_POSITIVES

    @property
    def many_level(self) -> float:
        """Level of the asymptotic sequence of counts: what the exact one before it has left."""
        return 1 - (1 - FEW_ALPHA) * (1 - self.level)

    def read(
        self, claim: Claim, treatment: Statistic, control: Statistic, assigned: tuple[int, int] | None = None
    ) -> Reading:
        """The verdict on a claim about the lift, at this look; read nothing where the sample ratio is off.

        assigned: units (treatment, control) as randomised, where the statistics count something finer, such as
        impressions; their own n where not given.
        """
        counts = assigned or (treatment.n, control.n)
        ratio = anytime_sample_ratio(counts, (self.treated_share, 1 - self.treated_share))
        exact = self.exact(treatment, control)
        if not ratio.sound:
            share = counts[0] / max(sum(counts), 1)
            reason = (
                f"expected {self.treated_share:.2%} of units in the treatment, got {share:.2%} of {sum(counts):,} "
                f"(p = {ratio.p_value:.2g}); find what loses units and begin anew"
            )
            nothing = Estimate(math.nan, -math.inf, math.inf, self.level)
            return Reading(claim, "inconclusive", nothing, ratio, exact, reason)
        lift = self.lift(treatment, control)
        return Reading(claim, claim.verdict(lift), lift, ratio, exact)

    def _reach(self, treatment: Statistic, control: Statistic, level: float) -> float:
        return float(sequence_reach(treatment.n + control.n, self.tuned_n, level))


def exact_lift(
    treated_positives: int | np.ndarray,
    control_positives: int | np.ndarray,
    treated_share: float = 0.5,
    level: float = LEVEL,
) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of treatment / control - 1 from positives alone, right at all looks and for any number of them.

    Each positive is the treatment's with probability theta = s p_t / (s p_t + (1 - s) p_c), independently, where
    units are assigned with share s: so theta has a beta-binomial mixture martingale, and
    p_t / p_c = theta / (1 - theta) · (1 - s) / s. The bounds are where its log evidence against theta is
    log(1 / alpha) (Ville). Assumes that unit after unit was assigned by that share.
    """
    t, c = (np.asarray(x, dtype=np.float64) for x in (treated_positives, control_positives))
    t, c = np.broadcast_arrays(t, c)
    odds_planned = treated_share / (1 - treated_share)
    limit = -math.log(1 - level)
    centre = (t + 0.5) / (t + c + 1)
    ends = []
    for far in (-60.0, 60.0):  # log odds of theta: nothing that could be counted lies beyond
        inside, outside = np.log(centre / (1 - centre)), np.full(t.shape, far)
        reached = log_evidence(t, c, special.expit(outside), treated_share) >= limit
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            out = log_evidence(t, c, special.expit(middle), treated_share) >= limit
            inside, outside = np.where(out, inside, middle), np.where(out, middle, outside)
        ends.append(np.where(reached, np.exp(outside) / odds_planned - 1, -1.0 if far < 0 else np.inf))
    return ends[0], ends[1]


def log_evidence(
    treated_positives: np.ndarray,
    control_positives: np.ndarray,
    theta: np.ndarray | float,
    treated_share: float = 0.5,
) -> np.ndarray:
    """log of the mixture martingale against `theta`, the share of the positives that are the treatment's.

    log B(a + t, b + c) - log B(a, b) - t log theta - c log(1 - theta), B the beta function and (a, b) a beta
    distribution about the planned share. Above log(1 / alpha) theta is rejected, at any look.
    """
    a, b = _PRIOR * treated_share, _PRIOR * (1 - treated_share)
    mixture = special.betaln(a + treated_positives, b + control_positives) - special.betaln(a, b)
    at = np.asarray(theta, dtype=np.float64)
    return mixture - special.xlogy(treated_positives, at) - special.xlog1py(control_positives, -at)


def anytime_sample_ratio(counts: tuple[int, ...] | list[int], shares: tuple[float, ...] | list[float]) -> SampleRatio:
    """Whether units fell to the arms as planned; may be asked at every look, and cries wolf once in 1,000 lives.

    1 / p is the evidence of a Dirichlet mixture about the planned shares against those shares themselves
    (Lindon and Malek: Anytime-valid inference for multinomial count data).
    """
    assert len(counts) == len(shares) > 1, "each arm has a count and a planned share"
    n = np.asarray(counts, dtype=np.float64)
    planned = np.asarray(shares, dtype=np.float64) / sum(shares)
    prior = _RATIO_PRIOR * planned
    mixture = special.gammaln(prior + n).sum() - special.gammaln(_RATIO_PRIOR + n.sum())
    mixture += special.gammaln(_RATIO_PRIOR) - special.gammaln(prior).sum()
    p = float(math.exp(min(0.0, float(special.xlogy(n, planned).sum() - mixture))))
    return SampleRatio(tuple(int(x) for x in counts), p, p >= SAMPLE_RATIO_ALPHA)


def _within(value: float, reach: float, level: float) -> Estimate:
    if not math.isfinite(reach):
        return Estimate(value, -math.inf, math.inf, level)
    return Estimate(value, value - reach, value + reach, level)
