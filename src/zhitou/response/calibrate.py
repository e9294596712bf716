"""Making scores mean what they say, on rows later than those they were learnt from. R = rows.

The rule, by the number of positives in the later fold, because that is what limits how much may be moved:
below 200 a shrunken Platt line (shift and slope of the logit), from 200 beta calibration besides (the two ends bend
apart), from 5,000 isotonic regression. How far a line or curve is shrunk to "as it is" the same rows decide.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, softmax

from zhitou.core.errors import ConfigError

BETA_FROM = 200
ISOTONIC_FROM = 5_000
_DRIFT_SD = 0.05  # how much a click rate moves from one fold to the next by itself, in logits
# How wrong a level and a slope may be, in logits. Each pair of widths counts by its evidence: a later fold that bears
# the scores out leaves them nearly alone, one that contradicts them is believed. With one narrow width, 500 positives
# left 11 of 29 per cent too much standing; with these 5, and no more where nothing is wrong (bench/calibration.py).
# Before looking, a level is 9 to 1 as certain as its count of positives says: scores come from the same log.
_SHIFT_SD, _SLOPE_SD = {0.3: 0.08, 1.0: 0.02}, (0.05, 0.15, 0.5)
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


def without_downsampling(probabilities: np.ndarray, kept: float) -> np.ndarray:
    """p = q / (q + (1 - q) / w), float64: what q means where every "no" is there. The exact inverse of thinning.

    probabilities: q, learnt from all positives and a share w = `kept` of the negatives, in (0, 1]. In logits it is
    logit q + log w. Refused (ConfigError): a share that is not one.
    """
    if not 0 < kept <= 1:
        raise ConfigError(f"expected the share of negatives that was kept, in (0, 1], got {kept}")
    q = np.asarray(probabilities, dtype=np.float64)
    return q / (q + (1 - q) / kept)


def calibrate(logits: np.ndarray, labels: np.ndarray, taught: int, matured: np.ndarray | None = None) -> Calibration:
    """The calibration that the rule above allows, of logits float64 [R] and labels bool [R].

    taught: positives that the scores were learnt from. Their level is known to 1 / sqrt(taught) and drifts a little:
    the narrowest of the widths that are tried. matured: float64 [R] in [0, 1], for labels that come
    late: a positive shows by now with p times this (`delay.Delay.matured`); beta is then the most that is fitted.
    """
    positives = int(labels.sum())
    shift_sd = float(np.sqrt(1 / (taught + 1) + _DRIFT_SD**2))
    if not len(labels):
        return Calibration()
    if matured is None and min(positives, len(labels) - positives) >= ISOTONIC_FROM:
        return _isotonic(logits, labels)
    no = -np.logaddexp(0.0, logits)
    columns = [logits[:, None]]
    if positives >= BETA_FROM:
        columns.append(np.stack([logits + no, -no], 1))
    found, evidence = [], []
    widths = {shift_sd: 1 - sum(_SHIFT_SD.values())} | {max(sd, 2 * shift_sd): w for sd, w in _SHIFT_SD.items()}
    for design, (shift, share), slope in itertools.product(columns, widths.items(), _SLOPE_SD):
        (constant, *powers), score = _newton(design, labels, shift, slope, matured)
        # A negative power would turn the order round where p is large; one power for both ends never does.
        if min(powers) > 0:
            found.append((constant, powers[0], powers[-1]))
            evidence.append(score + np.log(share))
    if not found:
        return Calibration()
    constant, low, high = (float(v) for v in softmax(evidence) @ np.asarray(found))
    return Calibration("platt" if len(columns) == 1 else "beta", constant, low, low if len(columns) == 1 else high)


def _newton(
    columns: np.ndarray, labels: np.ndarray, shift_sd: float, slope_sd: float, matured: np.ndarray | None
) -> tuple[tuple[float, ...], float]:
    """((constant, powers), log evidence by Laplace) of logistic regression held near the identity by these widths."""
    # Slopes turn around the logits where the positives are (weights p (1 - p)): there they leave the level alone.
    p = expit(columns.sum(1))
    weight = np.maximum(p * (1 - p), 1e-12)  # so that a few rows of scores that are too sure have a middle, too
    middle = np.average(columns, axis=0, weights=weight)
    spread = np.sqrt(np.average((columns - middle) ** 2, axis=0, weights=weight))
    centred = np.concatenate([np.ones((len(labels), 1)), columns - middle], 1)
    start = np.concatenate([[middle.sum()], np.ones(columns.shape[1])])
    # Widths are those of what a power moves: where p is small -log(1 - p) hardly varies, and its power has far to go.
    slopes = slope_sd * np.maximum(spread[0], 1e-9) / np.maximum(spread, 1e-9)
    precision = np.concatenate([[1 / shift_sd**2], 1 / slopes**2])
    beta = start.copy()
    for _ in range(_STEPS):
        p = expit(centred @ beta)
        missed, told = (labels - p, p * (1 - p)) if matured is None else _late(labels, p, matured)
        pull = centred.T @ missed - precision * (beta - start)
        whole = centred.T @ (centred * told[:, None]) + np.diag(precision)
        move = np.linalg.solve(whole, pull)
        beta = beta + move
        if np.abs(move).max() < 1e-7:
            break
    z = centred @ beta
    none_yet = -np.logaddexp(0, z) if matured is None else np.log1p(-np.minimum(expit(z) * matured, 1 - 1e-12))
    fit = float(np.where(labels, -np.logaddexp(0, -z), none_yet).sum())
    fit -= 0.5 * float(precision @ (beta - start) ** 2)
    evidence = fit + 0.5 * float(np.log(precision).sum() - np.linalg.slogdet(whole)[1])
    return tuple(float(v) for v in np.concatenate([[beta[0] - middle @ beta[1:]], beta[1:]])), evidence


def _late(labels: np.ndarray, p: np.ndarray, matured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(slope of the log likelihood in the logit, Fisher's information) where a label shows with p · F.

    log(p · F) has the slope 1 - p, log(1 - p · F) the slope -F · p · (1 - p) / (1 - p · F).
    """
    left = np.maximum(1 - p * matured, 1e-12)
    return np.where(labels, 1 - p, -matured * p * (1 - p) / left), matured * p * (1 - p) ** 2 / left


def _isotonic(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Pool-adjacent-violators on blocks of rows, joined by lines so that the order of two ads is never lost."""
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(logits, kind="stable")
    blocks = np.array_split(order, min(1_000, int(labels.sum()) // 10))
    before = np.array([logits[b].mean() for b in blocks])
    # Half a positive more per block, at the rate of all rows: a block without positives is rare, not impossible.
    rate = labels.mean()
    n = np.array([len(b) for b in blocks], dtype=np.float64)
    after = isotonic_regression([(labels[b].sum() + 0.5) for b in blocks] / (n + 0.5 / rate), sample_weight=n)
    level = np.unique(after, return_inverse=True)[1]
    x = np.array([before[level == v].mean() for v in range(level.max() + 1)])
    y = logit(np.array([after[level == v][0] for v in range(level.max() + 1)]))
    if len(x) == 1:
        return Calibration("platt", y[0] - x[0])
    # Lines between the knots lie above a curve that bends up, as probabilities do: 1 % too much money. Taken back.
    for _ in range(_STEPS):
        p = expit(_along(np.stack([x, y]), logits))
        move = float((labels.sum() - p.sum()) / (p * (1 - p)).sum())
        y = y + move
        if abs(move) < 1e-9:
            break
    return Calibration("isotonic", knots=np.stack([x, y]))


def _along(knots: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Between the knots by straight lines, beyond them with slope 1."""
    x, y = knots
    inside = np.interp(logits, x, y)
    return inside + np.minimum(logits - x[0], 0) + np.maximum(logits - x[-1], 0)
