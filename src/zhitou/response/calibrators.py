"""The calibrators of the literature, beside which `calibrate` is measured. R = rows.

Each is a function (logits float64 [R], labels bool [R]) -> (logits -> logits), fitted on rows later than those the
logits were learnt from. None holds back where positives are few; `calibrate` does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from zhitou.response.calibrate import Calibration, calibrate

Curve = Callable[[np.ndarray], np.ndarray]
Calibrator = Callable[[np.ndarray, np.ndarray], Curve]

_BINS = 10
_TINY = 1e-6  # the least probability that bins and steps may answer, as they may hold no positive at all
_LOG_SLOPES = (-2.0, 2.0)


def none(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """As they are."""
    return Calibration()


def temperature(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """slope · logit, of most likelihood (Guo et al. 2017). It cannot move a level that is wrong."""

    def loss(log_slope: float) -> float:
        z = np.exp(log_slope) * logits
        return float((np.logaddexp(0, z) - labels * z).sum())

    slope = float(np.exp(minimize_scalar(loss, bounds=_LOG_SLOPES, method="bounded").x))
    return Calibration("temperature", 0.0, slope, slope)


def platt(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """shift + slope · logit, of most likelihood (Platt 1999, without his smoothed targets)."""
    shift, (slope,) = _logistic(logits[:, None], labels)
    return Calibration("platt", shift, slope, slope)


def beta(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """shift + low · log p - high · log(1 - p), of most likelihood, both powers at least 0 (Kull et al. 2017)."""
    no = -np.logaddexp(0.0, logits)
    columns = np.stack([logits + no, -no], 1)
    shift, (low, high) = _logistic(columns, labels)
    if low < 0:
        shift, (high,) = _logistic(columns[:, 1:], labels)
        low = 0.0
    elif high < 0:
        shift, (low,) = _logistic(columns[:, :1], labels)
        high = 0.0
    return Calibration("beta", shift, low, high)


def isotonic(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """Steps that rise, of least squares, joined by lines: scikit-learn's isotonic regression as it is."""
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(y_min=_TINY, y_max=1 - _TINY, out_of_bounds="clip").fit(logits, labels)
    return lambda z: logit(np.clip(steps.predict(z), _TINY, 1 - _TINY))


def histogram(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """The observed rate of each of ten bins of equally many rows (Zadrozny and Elkan 2001)."""
    edges = np.unique(np.quantile(logits, np.arange(1, _BINS) / _BINS))
    which = np.searchsorted(edges, logits, side="right")
    rows, yes = np.bincount(which, minlength=len(edges) + 1), np.bincount(which, labels, len(edges) + 1)
    rates = np.clip(yes / np.maximum(rows, 1), _TINY, 1 - _TINY)
    return lambda z: logit(rates[np.searchsorted(edges, z, side="right")])


def rule(logits: np.ndarray, labels: np.ndarray) -> Curve:
    """`calibrate`, for scores learnt from four times as many positives: what a later fold of one fifth is."""
    return calibrate(logits, labels, taught=4 * int(labels.sum()))


CALIBRATORS: dict[str, Calibrator] = {
    "none": none,
    "temperature": temperature,
    "platt": platt,
    "beta": beta,
    "isotonic": isotonic,
    "histogram": histogram,
    "zhitou": rule,
}


def _logistic(columns: np.ndarray, labels: np.ndarray) -> tuple[float, list[float]]:
    """(intercept, slopes) of logistic regression without a penalty."""
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8).fit(columns, labels)
    return float(line.intercept_[0]), line.coef_[0].tolist()


def probabilities(curve: Curve, logits: np.ndarray) -> np.ndarray:
    """float64 [R]: the calibrated probabilities."""
    return expit(curve(logits))
