"""What another policy would have earned, from logs that keep each decision's propensity. R = rows.

A weight is target probability over logged probability of the action that was taken. Where the log knows too
little of what the other policy would do, the answer is "not estimable" and why, never a wide interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate

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
    """The mean reward per decision that the target policy would have had; None where `refusal` says why not."""

    method: str
    estimate: Estimate | None
    overlap: Overlap
    refusal: str | None


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
    total, squares = float(w.sum()), float(w @ w)
    if not total:
        return Overlap(len(w), 0.0, math.nan, 0.0 if len(w) else math.nan, False)
    error = float(w.std(ddof=1)) / math.sqrt(len(w)) if len(w) > 1 else math.inf
    mean = total / len(w)
    sound = abs(mean - 1) <= 3 * error + 1e-12
    return Overlap(len(w), total**2 / squares, float(w.max()) / total, mean, sound)


def ips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Inverse propensity score: mean of w · r (Horvitz and Thompson). Unbiased; spreads with the weights.

    `unit` (int or str [R], the shopper) makes the interval count shoppers instead of decisions.
    """
    terms = weights * np.asarray(reward, dtype=np.float64)
    return _value("ips", terms, float(terms.mean()) if len(terms) else math.nan, weights, level, unit)


def snips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Self-normalised IPS: sum of w · r over sum of w (Swaminathan and Joachims). Small bias, less spread."""
    r, w = np.asarray(reward, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    value = float(w @ r) / float(w.sum()) if w.sum() else math.nan
    return _value("snips", w / w.mean() * (r - value) + value if w.sum() else w, value, weights, level, unit)


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
    terms = expected_target + weights * (np.asarray(reward, dtype=np.float64) - expected_logged)
    return _value("dr", terms, float(terms.mean()) if len(terms) else math.nan, weights, level, unit)


def _value(
    method: str, terms: np.ndarray, value: float, weights: np.ndarray, level: float, unit: np.ndarray | None
) -> PolicyValue:
    """The value with a normal interval over units of `terms` [R]; refused where overlap forbids."""
    cover = overlap(weights)
    if cover.refusal:
        return PolicyValue(method, None, cover, cover.refusal)
    centred: np.ndarray = terms - value
    if unit is not None:
        centred = np.bincount(np.unique(unit, return_inverse=True)[1], centred)
    n = len(centred)
    error = math.sqrt(n / (n - 1) * float(centred @ centred)) / len(terms) if n > 1 else math.nan
    return PolicyValue(method, Estimate.normal(value, error, level), cover, None)
