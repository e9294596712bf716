"""Lines on frozen features: a yes or no, one of several kinds, and making either mean what it says.

R = rows, F = columns, K = kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

_SHIFT_SD, _SLOPE_SD = 0.5, 0.3  # how far calibration is expected to move a logit's level and slope
_ROUNDS = 30


@dataclass(frozen=True)
class Line:
    """logits = ((x - mean) * scale) @ weights + intercept. weights: float64 [F, K], K = 1 for a yes or no."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """float64 [R, K] of columns [R, F]."""
        folded = self.weights * self.scale[:, None]
        return x @ folded.astype(x.dtype) + (self.intercept - self.mean @ folded)


def fit_line(x: np.ndarray, labels: np.ndarray, penalty: np.ndarray) -> Line:
    """The most probable line of columns x [R, F] for labels (bool, or int 0..K - 1, at least two different).

    penalty: float64 [F], the precision of a normal prior around zero of each weight per standard deviation of its
    column; infinite takes the column out.
    """
    mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    # A column's own prior by its scale: sklearn has one C for all.
    scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0) / np.sqrt(penalty)
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=200)
    model.fit((x - mean.astype(x.dtype)) * scale.astype(x.dtype), labels)
    return Line(mean, scale, model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64))


def fit_platt(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(shift, slope) that make shift + slope * logit fit labels (bool [R]) best, held near (0, 1).

    Platt 1999, with normal priors instead of his changed targets: few rows move little, none nothing.
    """
    design = np.stack([np.ones(len(logits)), logits], axis=1)
    start, precision = np.asarray([0.0, 1.0]), np.asarray([_SHIFT_SD, _SLOPE_SD]) ** -2.0
    beta = start.copy()
    for _ in range(_ROUNDS):
        p = expit(design @ beta)
        pull = design.T @ (labels - p) - precision * (beta - start)
        move = np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + np.diag(precision), pull)
        beta += move * min(1.0, 1.0 / max(float(np.abs(move).max()), 1e-9))
        if np.abs(move).max() < 1e-10:
            break
    return float(beta[0]), max(float(beta[1]), 0.05)


def fit_shifts(logits: np.ndarray, labels: np.ndarray, sd: float) -> np.ndarray:
    """float64 [K]: what is added to each column of logits [R, K] to fit labels (bool [R, K]), each a normal of this
    sd around zero: a column of few rows stays where it is."""
    shift, yes = np.zeros(logits.shape[1]), labels.sum(axis=0)
    for _ in range(_ROUNDS):
        p = expit(logits + shift)
        move = (yes - p.sum(axis=0) - shift / sd**2) / ((p * (1 - p)).sum(axis=0) + 1 / sd**2)
        shift += np.clip(move, -1, 1)
        if np.abs(move).max(initial=0) < 1e-9:
            break
    return shift


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """(slope, shifts [K]) that make softmax(slope * logits + shifts) fit labels (int [R]) best, held near (1, 0)."""
    R, K = logits.shape
    chosen = np.zeros((R, K))
    chosen[np.arange(R), labels] = 1.0

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(beta[0] * logits + beta[1:], axis=1)
        miss = np.exp(log_p) - chosen
        held = (beta - start) / sd**2
        value = -float((chosen * log_p).sum()) + 0.5 * float(held @ (beta - start))
        return value, np.append((miss * logits).sum(), miss.sum(axis=0)) + held

    start = np.append(1.0, np.zeros(K))
    sd = np.append(_SLOPE_SD, np.full(K, _SHIFT_SD))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.05, None)] + [(None, None)] * K)
    return float(found.x[0]), np.asarray(found.x[1:], dtype=np.float64)
