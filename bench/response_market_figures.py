"""What is measured of click probabilities where the truth behind each row is known. R = rows.

Losses and ranks are expected under the true chances, so that labels add no noise: only the rows themselves do, and
the intervals draw shoppers, the unit that repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.calibration import FIELD_POSITIVES, calibration_error_of_truth, segment_errors
from zhitou.evaluation.classification import entropy

DRAWS = 300
AUCTION = 20  # rows of which the one of the highest predicted value wins


@dataclass(frozen=True)
class Figures:
    """ne: normalised entropy. behind: ne minus that of a reference, (value, low, high) of 95 %. auc. ratio, won:
    predicted over true clicks, of all rows and of those that win. ece: against the truth. segment: the worst of
    10,000 rows, (name, error). fields_off: how many segments of 200 true clicks are more than 10 % off, and how many
    there are.
    """

    ne: float
    behind: tuple[float, float, float]
    auc: float
    ratio: float
    won: float
    ece: float
    segment: tuple[str, float]
    fields_off: tuple[int, int]


def expected_losses(truth: np.ndarray, p: np.ndarray) -> np.ndarray:
    """float64 [R]: log loss of each row, expected under its true chance."""
    q = np.clip(p, 1e-9, 1 - 1e-9)
    return np.asarray(-(truth * np.log(q) + (1 - truth) * np.log1p(-q)))


def expected_auc(truth: np.ndarray, p: np.ndarray) -> float:
    """The chance that of a row that is clicked and one that is not, the first is ranked higher; ties count half."""
    value, which = np.unique(p, return_inverse=True)
    yes, no = (np.bincount(which, w, len(value)) for w in (truth, 1 - truth))
    below = np.cumsum(no) - no / 2
    return float(yes @ below / (yes.sum() * no.sum()))


def measure(
    truth: np.ndarray,
    p: np.ndarray,
    reference: np.ndarray,
    shopper: np.ndarray,
    segments: dict[str, np.ndarray],
    value_micros: np.ndarray,
    chance: Chance,
) -> Figures:
    """All figures of one model. reference: another model's p; value_micros: float [R], of a click on the row's ad."""
    base = entropy(float(truth.mean()))
    losses = expected_losses(truth, p)
    gap = (losses - expected_losses(truth, reference)) / base
    errors = {
        f"{name} {group}": error
        for name, groups in segments.items()
        for group, error in segment_errors(groups, truth, p).items()
    }
    worst = max(errors, key=lambda name: abs(errors[name]), default="none")
    won = _winners(p * value_micros)
    return Figures(
        ne=float(losses.mean() / base),
        behind=_interval(gap, shopper, chance.stream("shoppers")),
        auc=expected_auc(truth, p),
        ratio=float(p.sum() / truth.sum()),
        won=float(p[won].sum() / truth[won].sum()),
        ece=calibration_error_of_truth(truth, p),
        segment=(worst, errors.get(worst, 0.0)),
        fields_off=_off(segments, truth, p),
    )


def _winners(value: np.ndarray) -> np.ndarray:
    """Of each AUCTION rows that follow each other, the one of the highest value."""
    auctions = len(value) // AUCTION
    best = value[: auctions * AUCTION].reshape(auctions, AUCTION).argmax(1)
    return np.asarray(np.arange(auctions) * AUCTION + best)


def _off(segments: dict[str, np.ndarray], truth: np.ndarray, p: np.ndarray) -> tuple[int, int]:
    off = judged = 0
    for groups in segments.values():
        _, which = np.unique(groups, return_inverse=True)
        true, said = np.bincount(which, truth), np.bincount(which, p)
        enough = true >= FIELD_POSITIVES
        off += int((np.abs(said[enough] / true[enough] - 1) > 0.1).sum())
        judged += int(enough.sum())
    return off, judged


def _interval(gap: np.ndarray, shopper: np.ndarray, draw: np.random.Generator) -> tuple[float, float, float]:
    """(mean, low, high) of the gap's mean, shoppers drawn with replacement."""
    _, which = np.unique(shopper, return_inverse=True)
    total, count = np.bincount(which, gap), np.bincount(which)
    means = []
    for _ in range(DRAWS):
        times = np.bincount(draw.integers(0, len(total), len(total)), minlength=len(total))
        means.append(float(times @ total / (times @ count)))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(gap.mean()), float(low), float(high)
