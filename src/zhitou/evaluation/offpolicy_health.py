"""May this log be asked at all? What is looked at before any number about another policy. R = rows, K = actions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import SAMPLE_RATIO_ALPHA
from zhitou.evaluation.offpolicy import NOT_ESTIMABLE, Overlap, overlap

COUNT_LEAST = 5  # expected draws of an action below which chi² is no chi²


@dataclass(frozen=True)
class FrequencyCheck:
    """Were actions drawn as often as their logged propensities say? sound: p at 0.001 or above.

    chi2, freedom, p_value: the test over `actions` actions; `rare` more were expected too seldom to be tested.
    """

    chi2: float
    freedom: float
    p_value: float
    actions: int
    rare: int

    @property
    def sound(self) -> bool:
        """Whether chance alone makes such frequencies."""
        return self.p_value >= SAMPLE_RATIO_ALPHA


@dataclass(frozen=True)
class LogHealth:
    """What a log is worth for one target policy.

    ess_share: effective sample size over rows. versions: how many policy versions made the log, 0 if not told.
    frequency: None if actions were not told.
    """

    overlap: Overlap
    ess_share: float
    versions: int
    frequency: FrequencyCheck | None

    @property
    def refusal(self) -> str | None:
        """None, or "not estimable: ..." for the first thing that forbids an estimate.

        Too little overlap; weights whose mean is not 1 (the target acts where the log never does, or propensities
        were rebuilt instead of logged); actions that were not drawn as logged (a filter after the draw).
        """
        if self.overlap.refusal:
            return self.overlap.refusal
        if not self.overlap.mean_weight_sound:
            return (
                f"{NOT_ESTIMABLE}: the mean weight is {self.overlap.mean_weight:.4g}, more than 3 errors from 1; "
                "propensities must be the logged ones, of every action that the target may take"
            )
        if self.frequency is not None and not self.frequency.sound:
            return (
                f"{NOT_ESTIMABLE}: actions were not drawn as their propensities say "
                f"(chi² {self.frequency.chi2:.1f}, p {self.frequency.p_value:.2g}); log them after all filters"
            )
        return None

    def __str__(self) -> str:
        lines = [
            f"rows {self.overlap.rows:,}, effective {self.overlap.ess:,.0f} ({self.ess_share:.1%})",
            f"mean weight {self.overlap.mean_weight:.4f}, largest {self.overlap.largest_share:.2%} of all weight",
        ]
        if self.frequency is not None:
            f = self.frequency
            lines.append(
                f"frequencies: chi² {f.chi2:.1f}, p {f.p_value:.3f} ({f.actions} actions, {f.rare} too rare)"
            )
        if self.versions:
            lines.append(f"policy versions: {self.versions}")
        return "\n".join([*lines, self.refusal or "estimable"])


def log_health(
    weights: np.ndarray,
    *,
    propensity: np.ndarray | None = None,
    action: np.ndarray | None = None,
    distribution: np.ndarray | None = None,
    version: np.ndarray | None = None,
) -> LogHealth:
    """All checks of a log. weights: float64 [R]. version: int or str [R], which policy version decided.

    action: int [R] and propensity: float64 [R] for the frequencies; distribution: float64 [R, K], the whole logged
    distribution, where it was kept: the test is then exact also where not every action could be taken in every row.
    """
    cover = overlap(weights)
    frequency = None
    if action is not None and distribution is not None:
        frequency = frequencies_of_distribution(action, distribution)
    elif action is not None and propensity is not None:
        frequency = frequencies(action, propensity)
    share = cover.ess / cover.rows if cover.rows else math.nan
    versions = len(np.unique(version)) if version is not None else 0
    return LogHealth(cover, share, versions, frequency)


def frequencies(action: np.ndarray, propensity: np.ndarray) -> FrequencyCheck:
    """From the propensity of the action taken alone, for logs in which every action could be taken in every row.

    The inverse propensities of an action's own rows sum to R up to chance, and their squares to the sum of 1 / pi
    over all rows, which is R times the mean of 1 / pi over its own, each weighted by 1 / pi. Where propensities do
    not change this is Pearson's chi² with K - 1 degrees of freedom; else their number is the statistic's expectation.
    """
    _, code = np.unique(action, return_inverse=True)
    inverse, n = 1 / np.asarray(propensity, dtype=np.float64), len(action)
    total = np.bincount(code, inverse)
    squares = n * np.bincount(code, inverse**2) / total
    expected = n * n / squares  # draws of the action, were its propensity the same in all rows
    return _check((total - n) ** 2 / squares, 1 - n / squares, expected)


def frequencies_of_distribution(action: np.ndarray, distribution: np.ndarray) -> FrequencyCheck:
    """Pearson's chi² of how often each action was drawn against the sum of its probabilities (float64 [R, K]).

    Probabilities that change from row to row make the statistic smaller than a chi², so the alarm is rare, never
    early. Refused (SchemaError): rows that do not sum to 1.
    """
    p = np.asarray(distribution, dtype=np.float64)
    if bad := int((np.abs(p.sum(1) - 1) > 1e-6).sum()):
        raise SchemaError(f"expected each row's probabilities to sum to 1, got {bad:,} rows that do not")
    expected, squares = p.sum(0), (p * p).sum(0)
    drawn = np.bincount(action, minlength=p.shape[1])
    if (drawn[expected == 0] > 0).any():
        return FrequencyCheck(math.inf, 1.0, 0.0, p.shape[1], 0)
    possible = expected > 0
    expected, squares, drawn = expected[possible], squares[possible], drawn[possible]
    return _check((drawn - expected) ** 2 / expected, 1 - squares / expected, expected)


def _check(terms: np.ndarray, freedom: np.ndarray, expected: np.ndarray) -> FrequencyCheck:
    """Summed over the actions expected often enough."""
    common = expected >= COUNT_LEAST
    chi2, df = float(terms[common].sum()), float(freedom[common].sum())
    p = float(stats.chi2.sf(chi2, df)) if df > 0 else 1.0
    return FrequencyCheck(chi2, df, p, int(common.sum()), int((~common).sum()))
