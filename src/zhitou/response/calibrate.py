"""Making scores mean what they say, on rows later than those they were learnt from. R = rows.

The rule, by the number of positives in the later fold, because that is what limits how much may be moved:
below 200 a shrunken Platt line (shift and slope of the logit), from 200 beta calibration besides (the two ends bend
apart), from 5,000 isotonic regression. How far a line or curve is shrunk to "as it is" the same rows decide.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

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
IDLE = 0.2  # how probable it is, before looking, that what few events taught tells nothing, against that it does
_LEAST_POWER = 1e-6  # so that the order of two ads is kept even where scores tell nothing
_FEW = 100_000  # rows that are not worth counting
_PER_LOGIT = 1_024  # cells so narrow that their mean logit stands for all of their rows to 1e-6
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


def calibrate(
    logits: np.ndarray, labels: np.ndarray, taught: int, matured: np.ndarray | None = None, idle: float = 0.0
) -> Calibration:
    """The calibration that the rule above allows, of logits float64 [R] and labels bool [R].

    taught: positives that the scores were learnt from. Their level is known to 1 / sqrt(taught) and drifts a little:
    the narrowest of the widths that are tried. matured: float64 [R] in [0, 1], for labels that come
    late: a positive shows by now with p times this (`delay.Delay.matured`); beta is then the most that is fitted.
    idle: how probable it is, before looking, that scores tell nothing and one rate is all there is to say, against
    that they do.
    """
    positives = int(labels.sum())
    shift_sd = float(np.sqrt(1 / (taught + 1) + _DRIFT_SD**2))
    if not len(labels):
        return Calibration()
    if matured is None and min(positives, len(labels) - positives) >= ISOTONIC_FROM:
        return _isotonic(logits, labels)
    if matured is None:
        logits, yes, rows = _counted(logits, labels)
    else:
        yes, rows = labels.astype(np.float64), np.ones(len(labels))
    no = -np.logaddexp(0.0, logits)
    columns = [logits[:, None]]
    if positives >= BETA_FROM:
        columns.append(np.stack([logits + no, -no], 1))
    widths = {shift_sd: 1 - sum(_SHIFT_SD.values())} | {max(sd, 2 * shift_sd): w for sd, w in _SHIFT_SD.items()}
    level = float(np.average(expit(logits), weights=rows))
    found, evidence = [], []
    for shift, share in widths.items() if idle else ():
        (constant,), score = _newton(_Design.flat(logits, logit(level), shift), yes, rows, matured)
        found.append((constant, 0.0, 0.0))
        evidence.append(score + np.log(share * idle * len(columns) * len(_SLOPE_SD)))
    for design, (shift, share), slope in itertools.product(columns, widths.items(), _SLOPE_SD):
        (constant, *powers), score = _newton(_Design.of(design, rows, shift, slope), yes, rows, matured)
        # A negative power would turn the order round where p is large; one power for both ends never does.
        if min(powers) > 0:
            found.append((constant, powers[0], powers[-1]))
            evidence.append(score + np.log(share))
    if not found:
        return Calibration()
    constant, low, high = (float(v) for v in softmax(evidence) @ np.asarray(found))
    low, high = max(low, _LEAST_POWER), max(high, _LEAST_POWER)
    return Calibration("platt" if len(columns) == 1 else "beta", constant, low, low if len(columns) == 1 else high)


def jump(positives: int, expected: float, taught: int) -> float:
    """How probable it is that a later fold's level differs by more than chance and the usual drift, in [0, 1].

    positives: of the fold; expected: what scores learnt from `taught` positives made one expect. The log of their
    ratio is nearly normal; its variance is that of both counts and of what a level may move: a little, or by a jump.
    """
    ratio, noise = np.log((positives + 0.5) / (expected + 0.5)), 1 / (expected + 0.5) + 1 / (taught + 1)
    widths = {_DRIFT_SD: 1 - sum(_SHIFT_SD.values())} | _SHIFT_SD
    variance = noise + np.asarray(list(widths)) ** 2
    share = softmax(np.log(list(widths.values())) - 0.5 * (ratio**2 / variance + np.log(variance)))
    return float(1 - share[0])


def settled(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    taught: int,
    matured: np.ndarray | None = None,
    idle: float = IDLE,
) -> Calibration:
    """The shape that a later fold gives to scores, at the level of scores that have learnt from that fold as well.

    before, after: float64 [R], logits of the fold's rows by scores of earlier rows, and of all; the rest as for
    `calibrate`. Luck of one fold, and drift that will not last, move its level by some per cent: so the level of all
    rows stands, and only as far as a jump is certain (`jump`) the fold's own does.
    """
    shape = calibrate(before, labels, taught, matured, idle)
    if not len(labels):
        return shape
    expected = expit(before) * (1.0 if matured is None else matured)
    jumped = jump(int(labels.sum()), float(expected.sum()), taught)
    wanted = (1 - jumped) * float(expit(after).sum()) + jumped * float(expit(shape(before)).sum())
    moved, z = 0.0, shape(after)
    for _ in range(_STEPS):
        p = expit(z + moved)
        move = float(np.clip((wanted - p.sum()) / max((p * (1 - p)).sum(), 1e-12), -1, 1))
        moved += move
        if abs(move) < 1e-9:
            break
    if shape.knots is None:
        return replace(shape, shift=shape.shift + moved)
    return replace(shape, knots=shape.knots + np.array([[0.0], [moved]]))


def _counted(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean logit, positives, rows) of the rows of nearly the same logit: lines need no more."""
    if len(logits) <= _FEW:
        return logits, labels.astype(np.float64), np.ones(len(labels))
    cell = np.unique(np.round(logits * _PER_LOGIT), return_inverse=True)[1]
    rows, total, yes = (np.bincount(cell, v) for v in (None, logits, labels))
    return total / rows, yes, rows.astype(np.float64)


@dataclass(frozen=True)
class _Design:
    """What a calibration is a line in: one, and scores around `middle`; start: where its prior is centred."""

    columns: np.ndarray
    middle: np.ndarray
    start: np.ndarray
    precision: np.ndarray

    @classmethod
    def flat(cls, logits: np.ndarray, level: float, shift_sd: float) -> _Design:
        """One rate."""
        start, precision = np.array([level]), np.array([1 / shift_sd**2])
        return cls(np.ones((len(logits), 1)), np.zeros(0), start, precision)

    @classmethod
    def of(cls, columns: np.ndarray, rows: np.ndarray, shift_sd: float, slope_sd: float) -> _Design:
        """The identity, held by these widths."""
        # Slopes turn around the logits where the positives are (weights p (1 - p)): there they leave the level alone.
        p = expit(columns.sum(1))
        weight = rows * np.maximum(p * (1 - p), 1e-12)  # so that scores that are too sure have a middle, too
        middle = np.average(columns, axis=0, weights=weight)
        spread = np.sqrt(np.average((columns - middle) ** 2, axis=0, weights=weight))
        centred = np.concatenate([np.ones((len(columns), 1)), columns - middle], 1)
        start = np.concatenate([[middle.sum()], np.ones(columns.shape[1])])
        # Widths are those of what a power moves: where p is small -log(1 - p) hardly varies, its power has far to go.
        slopes = slope_sd * np.maximum(spread[0], 1e-9) / np.maximum(spread, 1e-9)
        return cls(centred, middle, start, np.concatenate([[1 / shift_sd**2], 1 / slopes**2]))


def _newton(
    design: _Design, yes: np.ndarray, rows: np.ndarray, matured: np.ndarray | None
) -> tuple[tuple[float, ...], float]:
    """((constant, powers), log evidence by Laplace) of logistic regression held near its start."""
    X, start, precision = design.columns, design.start, design.precision
    beta = start.copy()
    for _ in range(_STEPS):
        p = expit(X @ beta)
        missed, told = (yes - rows * p, rows * p * (1 - p)) if matured is None else _late(yes > 0, p, matured)
        pull = X.T @ missed - precision * (beta - start)
        whole = X.T @ (X * told[:, None]) + np.diag(precision)
        move = np.linalg.solve(whole, pull)
        beta = beta + move
        if np.abs(move).max() < 1e-7:
            break
    z = X @ beta
    none_yet = -np.logaddexp(0, z) if matured is None else np.log1p(-np.minimum(expit(z) * matured, 1 - 1e-12))
    fit = float((yes * -np.logaddexp(0, -z) + (rows - yes) * none_yet).sum())
    fit -= 0.5 * float(precision @ (beta - start) ** 2)
    evidence = fit + 0.5 * float(np.log(precision).sum() - np.linalg.slogdet(whole)[1])
    return tuple(float(v) for v in np.concatenate([[beta[0] - design.middle @ beta[1:]], beta[1:]])), evidence


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
