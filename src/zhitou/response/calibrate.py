"""Making scores mean what they say, on rows later than those they were learnt from. R = rows.

The rule, by the number of positives in the later fold, because that is what limits how much may be moved:
below 200 a shrunken Platt line (shift and slope of the logit), from 200 beta calibration (the two ends bend apart),
from 5,000 isotonic regression. No positives at all: Platt, held by its prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

BETA_FROM = 200
ISOTONIC_FROM = 5_000
_DRIFT_SD = 0.05  # how much a click rate moves from one fold to the next by itself, in logits
_SLOPE_SD = 0.15
_STEPS = 20


@dataclass(frozen=True)
class Calibration:
    """logit -> logit: shift + low · log p - high · log(1 - p), or straight lines between knots if there are any.

    low == high is Platt's line, low != high beta calibration (Kull, Silva Filho, Flach), knots isotonic.
    """

    kind: str = "none"
    shift: float = 0.0
    low: float = 1.0
    high: float = 1.0
    knots: np.ndarray | None = None  # float64 [2, n]: logits before, logits after, both rising

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits, float64, of the same shape."""
        if self.knots is not None:
            return _along(self.knots, logits)
        if self.low == self.high:
            return self.shift + self.low * logits
        no = -np.logaddexp(0.0, logits)  # log(1 - p)
        return self.shift + self.low * (logits + no) - self.high * no


def calibrate(logits: np.ndarray, labels: np.ndarray, taught: int) -> Calibration:
    """The calibration that the rule above allows, of logits float64 [R] and labels bool [R].

    taught: positives that the scores were learnt from. Their level is known to 1 / sqrt(taught) and drifts a little;
    the later fold moves it by what that leaves open, no more.
    """
    positives = int(labels.sum())
    shift_sd = float(np.sqrt(1 / (taught + 1) + _DRIFT_SD**2))
    if not len(labels):
        return Calibration()
    if min(positives, len(labels) - positives) >= ISOTONIC_FROM:
        return _isotonic(logits, labels)
    no = -np.logaddexp(0.0, logits)
    if positives >= BETA_FROM:
        design = np.stack([np.ones_like(no), logits + no, -no], 1)
        shift, low, high = _newton(design, labels, np.array([0, 1.0, 1.0]), shift_sd)
        # A negative power would turn the order round where p is large; one power for both ends never does.
        if low > 0 and high > 0:
            return Calibration("beta", shift, low, high)
    shift, slope = _newton(np.stack([np.ones_like(no), logits], 1), labels, np.array([0, 1.0]), shift_sd)
    return Calibration("platt", shift, max(slope, 0.05), max(slope, 0.05))


def _newton(design: np.ndarray, labels: np.ndarray, prior: np.ndarray, shift_sd: float) -> tuple[float, ...]:
    """Logistic regression whose coefficients are held near `prior`: the identity."""
    # Slopes turn around the logits where the positives are (weights p (1 - p)): there they leave the level alone.
    weight = expit(design @ prior)
    middle = np.average(design[:, 1:], axis=0, weights=weight * (1 - weight))
    centred = np.concatenate([design[:, :1], design[:, 1:] - middle], 1)
    start = np.concatenate([[prior[0] + middle @ prior[1:]], prior[1:]])
    precision = np.concatenate([[1 / shift_sd**2], np.full(len(prior) - 1, 1 / _SLOPE_SD**2)])
    beta = start.copy()
    for _ in range(_STEPS):
        p = expit(centred @ beta)
        pull = centred.T @ (labels - p) - precision * (beta - start)
        whole = centred.T @ (centred * (p * (1 - p))[:, None]) + np.diag(precision)
        move = np.linalg.solve(whole, pull)
        beta = beta + move
        if np.abs(move).max() < 1e-9:
            break
    return tuple(float(v) for v in np.concatenate([[beta[0] - middle @ beta[1:]], beta[1:]]))


def _isotonic(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Pool-adjacent-violators on blocks of rows, joined by lines so that the order of two ads is never lost."""
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(logits, kind="stable")
    blocks = np.array_split(order, min(1_000, int(labels.sum()) // 10))
    before = np.array([logits[b].mean() for b in blocks])
    # Half a positive and half a negative more per block: a block without positives is rare, not impossible.
    after = isotonic_regression(
        [(labels[b].sum() + 0.5) / (len(b) + 1) for b in blocks], sample_weight=[float(len(b)) for b in blocks]
    )
    level = np.unique(after, return_inverse=True)[1]
    x = np.array([before[level == v].mean() for v in range(level.max() + 1)])
    y = logit(np.array([after[level == v][0] for v in range(level.max() + 1)]))
    return Calibration("isotonic", knots=np.stack([x, y])) if len(x) > 1 else Calibration("platt", y[0] - x[0])


def _along(knots: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Between the knots by straight lines, beyond them with slope 1."""
    x, y = knots
    inside = np.interp(logits, x, y)
    return inside + np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
