"""Whether a probability means what it says. R = rows, G = groups.

Scale mistakes pass straight into bids: a model that predicts 10 % too much bids 10 % too much.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zhitou.evaluation.classification import rate_interval
from zhitou.evaluation.experiment import LEVEL, Estimate

RATIO_WITHIN = (0.97, 1.03)  # of a model as a whole
FIELD_RATIO_WITHIN = (0.9, 1.1)  # of each group that has enough positives to be judged
FIELD_POSITIVES = 200
SEGMENT_ROWS = 10_000  # impressions from which a segment is looked at by itself


@dataclass(frozen=True)
class Bin:
    """Rows of similar prediction: their number, mean prediction, and observed rate with Wilson's interval."""

    n: int
    predicted: float
    observed: Estimate


@dataclass(frozen=True)
class GroupRatio:
    """Predicted over observed in one group; `judged` only with FIELD_POSITIVES positives or more."""

    group: str
    n: int
    positives: int
    ratio: Estimate
    judged: bool


def calibration_ratio(labels: np.ndarray, probabilities: np.ndarray, level: float = LEVEL) -> Estimate:
    """Sum of predictions over the number of positives; 1 is right, 1.1 predicts 10 % too much.

    The interval treats the number of positives as a Poisson count (Garwood's exact limits): rare events, few
    rows. Without positives the ratio is infinite, and its lower limit still tells how far too high it may be.
    """
    predicted = float(np.asarray(probabilities, dtype=np.float64).sum())
    positives = int(np.asarray(labels, dtype=bool).sum())
    if predicted <= 0:
        return Estimate(math.nan, 0.0, math.inf, level)
    tail = (1 - level) / 2
    most = float(stats.chi2.isf(tail, 2 * positives + 2)) / 2
    fewest = float(stats.chi2.ppf(tail, 2 * positives)) / 2 if positives else 0.0
    return Estimate(
        predicted / positives if positives else math.inf,
        predicted / most,
        predicted / fewest if fewest else math.inf,
        level,
    )


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> tuple[Bin, ...]:
    """At most `bins` bins of about equal numbers of rows, in rising order of prediction.

    Rows of equal prediction are never parted: which of them came first would otherwise decide the result.
    """
    p, y, edges = _binned(labels, probabilities, bins)
    return tuple(
        Bin(b - a, float(p[a:b].mean()), rate_interval(int(y[a:b].sum()), b - a))
        for a, b in itertools.pairwise(edges)
    )


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """Mean over rows of |mean prediction - observed rate| of the row's equal-mass bin; NaN without rows.

    Chance alone makes it larger than zero: read it beside `calibration_error_by_chance`.
    """
    p, y, edges = _binned(labels, probabilities, bins)
    if not len(p):
        return math.nan
    return float(np.abs(np.add.reduceat(p - y, edges[:-1])).sum()) / len(p)


def max_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """The largest |mean prediction - observed rate| of the equal-mass bins; NaN without rows.

    Equal mass, because a bin of equal width may hold three rows and then shows their luck.
    """
    gaps = _gaps(labels, probabilities, bins)
    return float(gaps.max()) if len(gaps) else math.nan


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of (p - y)²; NaN without rows. With rare events nearly all of it is the base rate: compare on one log."""
    off = np.asarray(probabilities, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
    return float(off @ off) / len(off) if len(off) else math.nan


def calibration_error_of_truth(truth: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> float:
    """`expected_calibration_error` against true probabilities float64 [R], where a simulation knows them: no luck."""
    return expected_calibration_error(truth, probabilities, bins)


def segment_errors(
    groups: np.ndarray, truth: np.ndarray, probabilities: np.ndarray, rows_least: int = SEGMENT_ROWS
) -> dict[str, float]:
    """Predicted over true, minus 1, of each distinct value of `groups` [R] with `rows_least` rows, in sorted order.

    truth: true probabilities, or labels; labels of few positives show luck of 1 / sqrt(positives) besides.
    """
    values, which = np.unique(groups, return_inverse=True)
    rows = np.bincount(which, minlength=len(values))
    said, true = (np.bincount(which, np.asarray(x, dtype=np.float64), len(values)) for x in (probabilities, truth))
    ratio = np.divide(said, true, out=np.full(len(values), np.inf), where=true > 0)
    return {str(values[g]): float(ratio[g] - 1) for g in range(len(values)) if rows[g] >= rows_least}


def calibration_error_by_chance(
    probabilities: np.ndarray,
    rng: np.random.Generator,
    bins: int = 10,
    draws: int = 50,
    level: float = LEVEL,
) -> Estimate:
    """The error that a perfectly calibrated model of these predictions would show: mean and quantiles."""
    p, _, edges = _binned(np.zeros(len(probabilities), dtype=bool), probabilities, bins)
    if not len(p):
        return Estimate(math.nan, 0.0, 1.0, level)
    counts = np.diff(edges)
    centre = np.add.reduceat(p, edges[:-1]) / counts
    # A bin's positives are nearly binomial: inside a bin the predictions hardly differ.
    seen = rng.binomial(counts, np.clip(centre, 0, 1), (draws, len(counts)))
    errors = np.abs(seen - counts * centre).sum(1) / len(p)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(errors.mean()), float(low), float(high), level)


def group_ratios(groups: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> tuple[GroupRatio, ...]:
    """`calibration_ratio` of each distinct value of `groups` [R], in their sorted order."""
    result = []
    for group in np.unique(groups):
        rows = groups == group
        positives = int(np.asarray(labels, dtype=bool)[rows].sum())
        ratio = calibration_ratio(labels[rows], probabilities[rows])
        result.append(GroupRatio(str(group), int(rows.sum()), positives, ratio, positives >= FIELD_POSITIVES))
    return tuple(result)


def fit_for_bidding(ratio: Estimate, groups: tuple[GroupRatio, ...] = ()) -> bool:
    """Whether predictions may be used as money: the whole in RATIO_WITHIN, judged groups in FIELD_RATIO_WITHIN."""
    low, high = FIELD_RATIO_WITHIN
    whole = RATIO_WITHIN[0] <= ratio.value <= RATIO_WITHIN[1]
    return whole and all(low <= group.ratio.value <= high for group in groups if group.judged)


def _gaps(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> np.ndarray:
    """float64 [bins']: |mean prediction - mean label| of each equal-mass bin."""
    p, y, edges = _binned(labels, probabilities, bins)
    return np.abs(np.add.reduceat(p - y, edges[:-1])) / np.diff(edges) if len(p) else np.zeros(0)


def _binned(labels: np.ndarray, probabilities: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions and labels in rising order of prediction, and the bins' edges (int [bins' + 1])."""
    assert bins >= 1, "there is at least one bin"
    p = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    p, y = p[order], np.asarray(labels, dtype=np.float64)[order]
    cuts = np.arange(1, bins) * len(p) // bins
    cuts = np.searchsorted(p, p[cuts - 1], side="right") if len(p) >= bins else np.arange(1, len(p))
    edges = np.unique(np.concatenate([[0], cuts, [len(p)]]))
    return p, y, edges.astype(np.int64)
