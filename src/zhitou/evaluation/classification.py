"""How good probabilities of a yes or no are. R = rows.

Accuracy is never shown alone: at 1 % clicks "never" is right 99 % of the time. A conversion takes days, so a
figure that counts the ones still to come as "no" carries `ignoring_delay` in its name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zhitou.evaluation.experiment import LEVEL, Estimate

_TINY = 1e-15  # keeps log finite; far below any probability a model of clicks can honestly claim


@dataclass(frozen=True)
class Accuracy:
    """The share of right guesses beside that of always guessing the more frequent answer."""

    model: float
    constant: float


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """float64 [R]: -log of the probability given to what happened, in nats."""
    p = np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, 1 - _TINY)
    return -np.where(np.asarray(labels, dtype=bool), np.log(p), np.log1p(-p))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of `log_losses`, NaN without rows."""
    return float(log_losses(labels, probabilities).mean()) if len(labels) else math.nan


def entropy(rate: float) -> float:
    """Entropy in nats of a yes with probability `rate`: the log loss of the best constant."""
    if not 0 < rate < 1:
        return 0.0 if rate in (0.0, 1.0) else math.nan
    return -rate * math.log(rate) - (1 - rate) * math.log1p(-rate)


def normalised_entropy(labels: np.ndarray, probabilities: np.ndarray, level: float = LEVEL) -> Estimate:
    """Log loss over the entropy of the rows' own base rate: below 1 beats the best constant, 0 is an oracle.

    The interval is the delta method over rows, the base rate uncertain too. NaN if all labels agree.
    """
    y = np.asarray(labels, dtype=np.float64)
    rate = float(y.mean()) if len(y) else math.nan
    base = entropy(rate)
    if not base > 0:
        return Estimate(math.nan, -math.inf, math.inf, level)
    losses = log_losses(labels, probabilities)
    value = float(losses.mean()) / base
    slope = math.log((1 - rate) / rate)  # of the entropy in the rate
    influence = (losses - losses.mean() - value * slope * (y - rate)) / base
    error = float(influence.std(ddof=1)) / math.sqrt(len(y)) if len(y) > 1 else math.nan
    return Estimate.normal(value, error, level)


def auc(labels: np.ndarray, scores: np.ndarray, level: float = LEVEL) -> Estimate:
    """The probability that a yes scores above a no, a tie counting half; DeLong's interval. NaN for one class."""
    yes = np.asarray(labels, dtype=bool)
    m, n = int(yes.sum()), int((~yes).sum())
    if not m or not n:
        return Estimate(math.nan, 0.0, 1.0, level)
    score = np.asarray(scores, dtype=np.float64)
    rank = stats.rankdata(score)
    # Of each yes, the share of no's below it; of each no, the share of yes's above it (ties half).
    above = (rank[yes] - stats.rankdata(score[yes])) / n
    below = 1 - (rank[~yes] - stats.rankdata(score[~yes])) / m
    value = float(above.mean())
    if m < 2 or n < 2:
        return Estimate(value, 0.0, 1.0, level)
    wide = Estimate.normal(value, math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n), level)
    return Estimate(value, max(wide.low, 0.0), min(wide.high, 1.0), level)


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> Accuracy:
    """Guessing yes where the probability is one half or more, beside the constant guess. NaN without rows."""
    y = np.asarray(labels, dtype=bool)
    if not len(y):
        return Accuracy(math.nan, math.nan)
    rate = float(y.mean())
    return Accuracy(float(((np.asarray(probabilities) >= 0.5) == y).mean()), max(rate, 1 - rate))


def matured_conversion_rate(clicked: np.ndarray, converted: np.ndarray, mature: np.ndarray) -> Estimate:
    """Conversions per click among clicks whose window has passed, with Wilson's interval; NaN without any."""
    kept = np.asarray(clicked, dtype=bool) & np.asarray(mature, dtype=bool)
    return rate_interval(int(np.asarray(converted, dtype=bool)[kept].sum()), int(kept.sum()))


def conversion_rate_ignoring_delay(clicked: np.ndarray, converted: np.ndarray) -> Estimate:
    """Conversions so far per click, fresh clicks included: too low by all that is still to come."""
    kept = np.asarray(clicked, dtype=bool)
    return rate_interval(int(np.asarray(converted, dtype=bool)[kept].sum()), int(kept.sum()))


def rate_interval(yes: int, n: int, level: float = LEVEL) -> Estimate:
    """yes / n with Wilson's interval, which stays inside [0, 1] and is honest for few cases."""
    if not n:
        return Estimate(math.nan, 0.0, 1.0, level)
    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    centre = (yes + z2 / 2) / (n + z2)
    reach = math.sqrt(z2 * (yes * (n - yes) / n + z2 / 4)) / (n + z2)
    return Estimate(yes / n, max(centre - reach, 0.0), min(centre + reach, 1.0), level)
