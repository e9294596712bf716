"""What a position does to clicks, apart from what stood there. I = items, P = positions.

An item that was seen in several positions tells of them: its own appeal is the same in each. An item that only ever
stood in one says nothing, however many clicks it has, and where all items are like that, position and appeal cannot
be told apart by anybody: the answer is "not identified", never a number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse, stats
from scipy.sparse.csgraph import connected_components

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate

NOT_IDENTIFIED = "not identified"
_PRIOR_SD = 2.0  # of a log effect: one position e² = 7 times as good as another is unusual, no click there no proof
_STEPS = 100


@dataclass(frozen=True)
class PositionEffects:
    """How often a position is clicked relative to the first one, for one and the same item.

    effects: Estimate [P], the first exactly 1; empty where `refusal` says why nothing can be said. log_covariance:
    float64 [P - 1, P - 1], of the logs of the others. clicks_used: clicks of items that stood in several positions.
    p_value: of "all positions are alike" (Wald, chi² with P - 1 degrees).
    """

    effects: tuple[Estimate, ...]
    log_covariance: np.ndarray
    clicks_used: int
    items_used: int
    p_value: float
    refusal: str | None


def fit_positions(clicks: np.ndarray, shown: np.ndarray | None = None, level: float = LEVEL) -> PositionEffects:
    """Position effects from clicks float [I, P], where and how often each item was clicked.

    Model: clicks_ip ~ Poisson(shown_ip · a_i · theta_p), the position-based model of Richardson et al. for rare
    clicks: a_i = appeal of item i, theta_p = examination of position p, theta_0 = 1. Given an item's clicks in all,
    their split over positions is multinomial with shares shown_ip theta_p / sum_q shown_iq theta_q: the appeals drop
    out exactly, so no item's rate has to be known. theta maximises that likelihood with a normal prior of sd 2 on
    log theta; the interval is the normal one of log theta from its curvature.

    shown: float [I, P], how often each item stood in each position. None: only clicks are known; then an item
    counts as equally long in each position where it was ever clicked, and what is measured also holds how long.
    Assumed: a position takes the same share from every item, and what moved an item did not know who was looking.
    Refused (SchemaError): other shapes, negative counts, clicks where nothing was shown.
    """
    c = np.asarray(clicks, dtype=np.float64)
    n = (c > 0).astype(np.float64) if shown is None else np.asarray(shown, dtype=np.float64)
    _refuse_wrong(c, n)
    if refusal := _not_identified(n):
        return PositionEffects((), np.full((0, 0), math.nan), 0, 0, math.nan, refusal)
    several = (n > 0).sum(1) > 1
    c, n = c[several], n[several]
    log_theta, covariance = _maximum(c, n)
    z = float(stats.norm.ppf((1 + level) / 2))
    errors = np.sqrt(np.diag(covariance))
    effects = [Estimate(1.0, 1.0, 1.0, level)] + [
        Estimate(math.exp(b), math.exp(b - z * e), math.exp(b + z * e), level)
        for b, e in zip(log_theta.tolist(), errors.tolist(), strict=True)
    ]
    wald = float(log_theta @ np.linalg.solve(covariance, log_theta)) if len(log_theta) else 0.0
    return PositionEffects(
        effects=tuple(effects),
        log_covariance=covariance,
        clicks_used=int(c.sum()),
        items_used=int((c.sum(1) > 0).sum()),
        p_value=float(stats.chi2.sf(wald, max(len(log_theta), 1))),
        refusal=None,
    )


def appeals(clicks: np.ndarray, shown: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """float64 [I]: each item's click rate in the first position, drawn towards all items' by how little is known.

    Gamma(m k, k) prior on a_i, so that a_i = (clicks_i + m k) / (sum_p shown_ip theta_p + k): m = the rate of all
    items, and k looks it takes to move half the way, by the method of moments (Marshall's empirical Bayes).
    Without visible differences beyond chance every item gets m. theta: float [P], as in `fit_positions`.
    """
    c, looks = np.asarray(clicks, dtype=np.float64).sum(1), np.asarray(shown, dtype=np.float64) @ theta
    m = float(c.sum() / looks.sum()) if looks.sum() else math.nan
    rate = np.divide(c, looks, out=np.full(len(c), m), where=looks > 0)
    between = float(looks @ (rate - m) ** 2 / looks.sum() - m / looks.mean()) if looks.sum() else 0.0
    if not between > 0:
        return np.full(len(c), m)
    k = m / between
    return np.asarray((c + m * k) / (looks + k))


def share_predicted(clicks: np.ndarray, expected: np.ndarray) -> float:
    """Mean log likelihood per click, in nats, of each item's split over positions; higher is better.

    expected: float [I, P], what the split is thought to be proportional to (shown · theta, or shown alone). Rows
    whose clicks all fall where only one position was possible count zero, as they must. NaN without clicks.
    """
    c, e = np.asarray(clicks, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    total = e.sum(1, keepdims=True)
    share = np.divide(e, total, out=np.ones_like(e), where=(total > 0) & (e > 0))
    return float((c * np.log(share)).sum() / c.sum()) if c.sum() else math.nan


def _maximum(c: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log theta [P - 1], its covariance) by Newton; the penalised likelihood is concave, a halved step is enough."""
    free = c.shape[1] - 1
    items = c.sum(1)
    log_n = np.log(np.where(n > 0, n, 1.0))
    beta = np.zeros(free)

    def split(b: np.ndarray) -> tuple[np.ndarray, float]:
        x = np.where(n > 0, log_n + np.concatenate([[0.0], b]), -np.inf)
        top = x.max(1, keepdims=True)
        size = np.exp(x - top).sum(1, keepdims=True)
        log_share = np.where(n > 0, x - top - np.log(size), 0.0)
        return np.where(n > 0, np.exp(log_share), 0.0), float((c * log_share).sum() - (b @ b) / (2 * _PRIOR_SD**2))

    share, value = split(beta)
    for _ in range(_STEPS):
        slope = (c - items[:, None] * share).sum(0)[1:] - beta / _PRIOR_SD**2
        step = np.linalg.solve(_curvature(items, share), slope)
        while (new := split(beta + step))[1] < value - 1e-12:
            step = step / 2
        beta, (share, value) = beta + step, new
        if np.abs(step).max(initial=0) < 1e-10:
            break
    return beta, np.linalg.inv(_curvature(items, share))


def _curvature(items: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Minus the second derivative: sum_i items_i (diag(share_i) - share_i share_i'), the prior's precision added."""
    s = share[:, 1:]
    return np.diag(items @ s + 1 / _PRIOR_SD**2) - s.T @ (s * items[:, None])


def _not_identified(n: np.ndarray) -> str | None:
    """None, or why positions cannot be compared: items must tie all of them together."""
    here = n > 0
    single, used = int((here.sum(1) == 1).sum()), here.any(1)
    if not (here.sum(1) > 1).any():
        return f"{NOT_IDENTIFIED}: each of {int(used.sum()):,} items stood in one position only"
    items, P = n.shape
    item, position = np.nonzero(here)
    tied = sparse.coo_matrix((np.ones(len(item)), (item, items + position)), shape=(items + P, items + P))
    groups = connected_components(tied, directed=False)[1][items:]
    apart = [p for p in range(P) if groups[p] != groups[0]]
    if apart:
        return (
            f"{NOT_IDENTIFIED}: no chain of items ties positions {apart} to position 0 "
            f"({single:,} of {int(used.sum()):,} items stood in one position only)"
        )
    return None


def _refuse_wrong(c: np.ndarray, n: np.ndarray) -> None:
    if c.ndim != 2 or c.shape != n.shape:
        raise SchemaError(f"expected clicks and shown as [items, positions], got {c.shape} and {n.shape}")
    if not ((c >= 0).all() and (n >= 0).all()):
        raise SchemaError("expected counts of clicks and looks of 0 or more, got a negative or unknown one")
    if lost := int(((c > 0) & (n == 0)).sum()):
        raise SchemaError(f"{lost:,} cells have clicks on what was never shown there; join clicks to what was shown")
