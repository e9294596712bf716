"""What another policy would have earned, from logs that keep each decision's propensity. R = rows.

A weight is target probability over logged probability of the action that was taken. Where the log knows too
little of what the other policy would do, the answer is "not estimable" and why, never a wide interval.

Around it: offpolicy_health.py (may this log be asked at all), offpolicy_sums.py (five estimators in one pass over
hundreds of millions of rows), offpolicy_choice.py (thresholds, and which estimator), offpolicy_lift.py (is a claim
about target over logged policy established), offpolicy_slate.py (several ads at once).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate
from zhitou.evaluation.offpolicy_intervals import FEW, RARE, Gains, few, skewed, standard_error

ESS_LEAST = 1_000
WEIGHT_SHARE_MOST = 0.05
NOT_ESTIMABLE = "not estimable"


@dataclass(frozen=True)
class Overlap:
    """How well the log covers the target policy.

    ess: effective sample size, (sum w)² / sum w². largest_share: the largest weight over the sum of weights.
    mean_weight: 1 up to chance if the logged propensities are true; mean_weight_sound: within 3 errors of 1.
    """

    rows: int
    ess: float
    largest_share: float
    mean_weight: float
    mean_weight_sound: bool

    @property
    def refusal(self) -> str | None:
        """None, or "not estimable: ..." with the figure that forbids an estimate."""
        if not self.ess >= ESS_LEAST:
            return f"{NOT_ESTIMABLE}: effective sample size {self.ess:,.0f} is below {ESS_LEAST:,}"
        if not self.largest_share <= WEIGHT_SHARE_MOST:
            share = f"{self.largest_share:.1%} of all weight, above {WEIGHT_SHARE_MOST:.0%}"
            return f"{NOT_ESTIMABLE}: one row holds {share}"
        return None


@dataclass(frozen=True)
class PolicyValue:
    """The mean reward per decision that the target policy would have had; None where `refusal` says why not.

    error: its standard error, over shoppers where `unit` was given. gains: what rewarded rows (or shoppers) brought;
    below 30 of them (`rewarded`) the interval is made for rare events. influence: float64 [R], what each row moves
    the estimate, times R; it sums to 0, and two values of one log are compared by its difference. None where refused,
    and where only sums were kept.
    """

    method: str
    estimate: Estimate | None
    overlap: Overlap
    refusal: str | None
    error: float = math.nan
    gains: Gains | None = None
    influence: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def rewarded(self) -> float:
        """Effective number of rewarded rows (or shoppers); NaN where unknown."""
        return self.gains.count if self.gains else math.nan


@dataclass(frozen=True)
class Expected:
    """What a reward model expects of each row. float64 or float32 [R] each.

    logged: of the action that was taken. target: averaged over the actions of the target policy. The model must have
    been fitted on rows before these (zhitou.response.reward.cross_fit), or every interval is too narrow. noise: how
    much more the model's own mistakes vary than those of one fitted on all rows at once; cross_fit says it.
    """

    logged: np.ndarray
    target: np.ndarray
    noise: float = 1.0


def importance_weights(target: np.ndarray, propensity: np.ndarray) -> np.ndarray:
    """float64 [R]: target / propensity. Refused (SchemaError): propensities outside (0, 1], target outside [0, 1]."""
    t, p = np.asarray(target, dtype=np.float64), np.asarray(propensity, dtype=np.float64)
    if bad := int((~((p > 0) & (p <= 1))).sum()):
        raise SchemaError(f"expected propensities in (0, 1], got {bad:,} outside; log them after all filters")
    if bad := int((~((t >= 0) & (t <= 1))).sum()):
        raise SchemaError(f"expected targets in [0, 1], got {bad:,} outside; give the logged action's chance")
    return t / p


def overlap(weights: np.ndarray) -> Overlap:
    """The diagnostics that come before any estimate."""
    w = np.asarray(weights, dtype=np.float64)
    if not len(w):
        return Overlap(0, 0.0, math.nan, math.nan, False)
    return overlap_of_sums(len(w), float(w.sum()), float(w @ w), float(w.max()))


def overlap_of_sums(rows: int, total: float, squares: float, largest: float) -> Overlap:
    """The same from the sum, the sum of squares and the largest of the weights."""
    if not total:
        return Overlap(rows, 0.0, math.nan, 0.0, False)
    mean = total / rows
    error = math.sqrt(max(squares / rows - mean * mean, 0.0) / (rows - 1)) if rows > 1 else math.inf
    sound = abs(mean - 1) <= 3 * error + 1e-12
    return Overlap(rows, total**2 / squares, largest / total, mean, sound)


def ips(reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None) -> PolicyValue:
    """Inverse propensity score: mean of w · r (Horvitz and Thompson). Unbiased; spreads with the weights.

    `unit` (int or str [R], the shopper) makes the interval count shoppers instead of decisions.
    """
    terms = weights * np.asarray(reward, dtype=np.float64)
    value = float(terms.mean()) if len(terms) else math.nan
    return _value("ips", value, terms - value, reward, weights, overlap(weights), level, unit)


def snips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Self-normalised IPS: sum of w · r over sum of w (Swaminathan and Joachims). Small bias, less spread.

    Its interval knows that the denominator varies too: the influence of a row is w / mean(w) · (r - value).
    """
    r, w = np.asarray(reward, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not w.sum():
        return _value("snips", math.nan, w, r, w, overlap(w), level, unit)
    value, share = float(w @ r) / float(w.sum()), w / w.mean()
    return _value("snips", value, share * (r - value), r, share, overlap(w), level, unit)


def direct_method(expected: Expected, weights: np.ndarray, level: float = LEVEL) -> PolicyValue:
    """Mean of q_target: the model's word alone. `error` is that of averaging it, as if the model were the truth.

    How wrong the model is stands nowhere in these rows, so the interval is of everything: an interval of the
    averaging alone would be a hundred times too narrow.
    """
    cover = overlap(weights)
    if cover.refusal:
        return PolicyValue("dm", None, cover, cover.refusal)
    q = np.asarray(expected.target, dtype=np.float64)
    value = float(q.mean())
    everything = Estimate(value, -math.inf, math.inf, level)
    return PolicyValue("dm", everything, cover, None, standard_error(q - value, len(q)), None, q - value)


def doubly_robust(
    reward: np.ndarray,
    weights: np.ndarray,
    expected_logged: np.ndarray,
    expected_target: np.ndarray,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> PolicyValue:
    """Mean of q_target + w · (r - q_logged) (Dudik, Langford, Li): right if the weights or the model q are.

    expected_logged [R]: q of the action taken; expected_target [R]: q averaged over the target's actions.
    q must come from rows before these, or the interval is too narrow.
    """
    return _corrected("dr", reward, weights, weights, Expected(expected_logged, expected_target), level, unit)


def self_normalised_dr(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> PolicyValue:
    """Mean of q_target, plus the sum of w · (r - q_logged) over the sum of w. Its interval knows both sums."""
    w = np.asarray(weights, dtype=np.float64)
    cover = overlap(w)
    if not w.sum():
        return _value("sndr", math.nan, w, reward, w, cover, level, unit)
    left = np.asarray(reward, dtype=np.float64) - expected.logged
    correction, share = float(w @ left) / float(w.sum()), w / w.mean()
    model = float(np.mean(expected.target, dtype=np.float64))
    influence = expected.target - model + share * (left - correction)
    return _value("sndr", model + correction, influence, reward, share, cover, level, unit)


def switch_dr(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    threshold: float,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> PolicyValue:
    """Doubly robust where w <= threshold, the model alone elsewhere (Wang, Agarwal, Dudik 2017).

    The interval knows the model's doubt where it stands alone, as if it knew no more than these rows do
    (Expected.noise), but not its bias there: state a threshold that few weights pass before looking, or let
    offpolicy_choice.py choose.
    """
    kept = np.where(weights <= threshold, weights, 0.0)
    return _corrected("switch-dr", reward, kept, weights, expected, level, unit)


def shrunk_dr(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    shrinkage: float,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> PolicyValue:
    """DRos, doubly robust with optimistic shrinkage (Su, Dimakopoulou, Krishnamurthy, Dudik 2020).

    w becomes lambda · w / (w² + lambda), lambda = `shrinkage`: infinity is doubly robust, 0 the model alone. Its
    interval is to be read as that of switch_dr.
    """
    w = np.asarray(weights, dtype=np.float64)
    kept = w if math.isinf(shrinkage) else shrinkage * w / (w * w + shrinkage) if shrinkage else np.zeros_like(w)
    return _corrected("dros", reward, kept, w, expected, level, unit)


def mrdr_weights(weights: np.ndarray, propensity: np.ndarray) -> np.ndarray:
    """float64 [R]: the weight of each row's squared error in the fit of q that makes doubly robust spread least.

    w² · (1 - pi), pi the logged propensity: the diagonal of the variance that q's errors add, and all of it where the
    target is deterministic (Farajtabar, Chow, Ghavamzadeh 2018, "More robust doubly robust"). Fit q with them, give
    it to `doubly_robust`: that is MRDR.
    """
    return np.asarray(weights, dtype=np.float64) ** 2 * (1 - np.asarray(propensity, dtype=np.float64))


def by_unit(values: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
    """Sums over the rows of each unit; the values themselves without units."""
    if unit is None:
        return values
    return np.bincount(np.unique(unit, return_inverse=True)[1], values)


def _corrected(
    method: str,
    reward: np.ndarray,
    kept: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    level: float,
    unit: np.ndarray | None,
) -> PolicyValue:
    """Mean of q_target + kept · (r - q_logged)."""
    left = np.asarray(reward, dtype=np.float64) - expected.logged
    terms = expected.target + kept * left
    value = float(terms.mean()) if len(terms) else math.nan
    doubt = None if kept is weights else math.sqrt(expected.noise) * (weights - kept) * left
    return _value(method, value, terms - value, reward, kept, overlap(weights), level, unit, doubt)


def policy_value(
    method: str,
    value: float,
    influence: np.ndarray,
    gained: np.ndarray,
    largest: float,
    cover: Overlap,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
    doubt: np.ndarray | None = None,
) -> PolicyValue:
    """Any estimator's value with its error and interval over units; refused where the overlap forbids.

    influence: float64 [R], sums to 0; gained: float64 [R], the part of each row's term that its reward makes, weight
    · reward; largest: the most that one more rewarded row could gain. Few gains are rare events (intervals.few),
    unless some are below 0. doubt: float64 [R], the terms that were left to a model, (w - kept) · (r - q): the model
    learnt from such rows too, so their noise stands for its own. Refused (SchemaError): a value that is not finite.
    """
    if cover.refusal:
        return PolicyValue(method, None, cover, cover.refusal)
    if not math.isfinite(value):
        raise SchemaError(f"expected finite rewards, weights and expectations, got {method} {value}; drop NaN rows")
    rows, moved, gains = len(influence), by_unit(influence, unit), Gains.of(by_unit(gained, unit), largest)
    unsure = np.zeros(len(moved)) if doubt is None else by_unit(doubt - doubt.mean(), unit)
    if gains.count >= FEW or gains.count > RARE * len(moved) or gained.min() < 0:
        estimate = skewed(value, [moved, unsure], rows, level)
    else:
        rest = by_unit(influence - gained + float(gained.mean()), unit)
        rest_error = math.hypot(standard_error(rest, rows), standard_error(unsure, rows))
        estimate = few(value, gains, rest_error, rows, level)
    error = math.hypot(standard_error(moved, rows), standard_error(unsure, rows))
    return PolicyValue(method, estimate, cover, None, error, gains, influence)


def _value(
    method: str,
    value: float,
    influence: np.ndarray,
    reward: np.ndarray,
    kept: np.ndarray,
    cover: Overlap,
    level: float,
    unit: np.ndarray | None,
    doubt: np.ndarray | None = None,
) -> PolicyValue:
    """policy_value of an estimator that takes each reward with the weight `kept`."""
    r = np.asarray(reward, dtype=np.float64)
    largest = float(np.max(kept)) * max(float(np.max(r)), 1.0) if len(r) else math.nan
    return policy_value(method, value, influence, kept * r, largest, cover, level, unit, doubt)
