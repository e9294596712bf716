"""Every model on the same later rows: who is sharp, who is calibrated, and how sure one can be of it.

Nothing at or after the cut is trained on, and nothing learnt after the cut about earlier rows is either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.evaluation.calibration import (
    calibration_error_by_chance,
    calibration_ratio,
    expected_calibration_error,
)
from zhitou.evaluation.classification import auc, entropy, log_losses, normalised_entropy
from zhitou.evaluation.experiment import Estimate
from zhitou.response.baselines import BASELINES
from zhitou.response.config import ResponseConfig
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response


class Model(Protocol):
    """What is compared: a response model that may be told the ads."""

    @property
    def name(self) -> str: ...

    @property
    def examination(self) -> np.ndarray: ...

    def predict(self, fields: np.ndarray, ad: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]: ...


Fit = Callable[[Rows, ResponseConfig, Chance], Model]


@dataclass(frozen=True)
class Score:
    """One model on one outcome ("click", or "conversion" of mature clicks) of the rows after the cut.

    ne: normalised entropy. auc. ratio: predicted over observed. ece: calibration error, beside ece_by_chance, what a
    perfectly calibrated model would show on so few rows. behind: its ne minus that of the first model, on the same
    rows, so that it is far surer than the difference of two intervals; above 0 = worse than the first.
    """

    model: str
    outcome: str
    rows: int
    positives: int
    ne: Estimate
    auc: Estimate
    ratio: Estimate
    ece: float
    ece_by_chance: Estimate
    behind: Estimate


@dataclass(frozen=True)
class Comparison:
    """All scores, the models in order, clicks before conversions. str() is a table for people."""

    scores: tuple[Score, ...]

    def __str__(self) -> str:
        return "\n".join(_line(cells) for cells in [_HEAD, *map(_cells, self.scores)])


_HEAD = ("outcome", "model", "ne", "behind", "auc", "ratio", "ece (by chance)", "positives")
_WIDTHS = (10, 10, 23, 28, 23, 23, 17, 16)


def compare(
    rows: Rows,
    cut_s: int,
    chance: Chance,
    config: ResponseConfig | None = None,
    window_s: int = 0,
    models: Mapping[str, Fit] | None = None,
) -> Comparison:
    """Train every model on what was known at `cut_s` (Unix seconds) and score it on the rows from then on.

    window_s: the conversion window; an earlier row whose window ends after the cut has no conversion label yet.
    models: name -> function that fits one; the first is the one the others are held against. Default: ours, then
    the baselines. Refused (ConfigError): a cut with no row on one of its sides.
    """
    earlier, later = rows.as_known_at(cut_s, window_s), rows.split(cut_s)[1]
    if not len(earlier) or not len(later):
        raise ConfigError(f"expected rows on both sides of the cut, got {len(earlier):,} and {len(later):,}; move it")
    fits = models or {"zhitou": fit_response, **BASELINES}
    fitted = {name: fit(earlier, config or ResponseConfig(), chance) for name, fit in fits.items()}
    predicted = {name: in_slots(model, later) for name, model in fitted.items()}
    bought = later.clicked & later.mature
    clicks = _scores("click", later.clicked, {n: p[0] for n, p in predicted.items()}, chance)
    buys = _scores("conversion", later.converted[bought], {n: p[1][bought] for n, p in predicted.items()}, chance)
    return Comparison((*clicks, *buys))


def in_slots(model: Model, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """(probability of a click in the row's own slot, pcvr), float64 [R].

    Of its own channel, too, where rows and model know of any. A slot that the model has not seen counts as the last
    one it has.
    """
    pctr, pcvr = model.predict(rows.fields, rows.ad)
    if isinstance(model, Response):
        unknown = np.full(len(rows), -1, dtype=np.int8)
        return model.in_place(pctr, unknown if rows.channel is None else rows.channel, rows.slot), pcvr
    slot = np.minimum(rows.slot, len(model.examination) - 1)
    return np.minimum(pctr * model.examination[slot], 1 - 1e-7), pcvr


def _scores(outcome: str, labels: np.ndarray, predicted: dict[str, np.ndarray], chance: Chance) -> list[Score]:
    first = next(iter(predicted.values()))
    base = entropy(float(labels.mean())) if len(labels) else math.nan
    scores = []
    for name, p in predicted.items():
        gap = log_losses(labels, p) - log_losses(labels, first)
        error = float(gap.std(ddof=1)) / math.sqrt(len(gap)) if len(gap) > 1 else math.nan
        sure = base > 0
        scores.append(
            Score(
                model=name,
                outcome=outcome,
                rows=len(labels),
                positives=int(labels.sum()),
                ne=normalised_entropy(labels, p),
                auc=auc(labels, p),
                ratio=calibration_ratio(labels, p),
                ece=expected_calibration_error(labels, p),
                ece_by_chance=calibration_error_by_chance(p, chance.stream("calibration error", outcome, name)),
                behind=Estimate.normal(
                    float(gap.mean()) / base if sure else math.nan, error / base if sure else math.nan
                ),
            )
        )
    return scores


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.outcome,
        score.model,
        _short(score.ne),
        _short(score.behind),
        _short(score.auc),
        _short(score.ratio),
        f"{score.ece:.5f} ({score.ece_by_chance.value:.5f})",
        f"{score.positives:,} of {score.rows:,}",
    )


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
