"""All estimators beside each other, and the one that SLOPE++ would take. R = rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from zhitou.evaluation.experiment import LEVEL
from zhitou.evaluation.offpolicy import (
    Expected,
    PolicyValue,
    direct_method,
    doubly_robust,
    ips,
    overlap,
    self_normalised_dr,
    shrunk_dr,
    snips,
    switch_dr,
)

# Where the switch thresholds and the shrinkages of a grid lie: quantiles of the weights, from harmless to drastic.
_QUANTILES = (0.999, 0.99, 0.95, 0.9, 0.75, 0.5)
_SLOPE = math.sqrt(6) - 1


@dataclass(frozen=True)
class Evaluation:
    """Every estimator's answer about one target policy.

    values: by name; switch-dr and dros each with the threshold and shrinkage that SLOPE++ took from their grids.
    chosen: the name whose estimate SLOPE++ holds for the nearest, "" where the log is refused. inference: the name
    whose interval a verdict is built on, chosen by nothing that was seen: dr with a model, snips without. An interval
    after a choice does not hold what it says.
    """

    values: dict[str, PolicyValue]
    chosen: str
    inference: str
    threshold: float
    shrinkage: float

    @property
    def refusal(self) -> str | None:
        """Why nothing can be said, None if something can."""
        return self.values["ips"].refusal

    def __str__(self) -> str:
        lines = []
        for name, value in self.values.items():
            mark = {self.chosen: " <- SLOPE++", self.inference: " <- verdicts"}.get(name, "")
            lines.append(f"{name:<10} {value.estimate if value.estimate else value.refusal}{mark}")
        return "\n".join(lines)


def evaluate(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected | None = None,
    *,
    robust: Expected | None = None,
    unit: np.ndarray | None = None,
    level: float = LEVEL,
) -> Evaluation:
    """ips and snips; with a reward model also dm, dr, sndr, switch-dr and dros; with `robust` also mrdr.

    robust: of a model that was fitted with mrdr_weights. unit: the shopper, whose rows hang together. Rows without a
    model may be given with expectations of 0: there all is as without one.
    """
    values = {"ips": ips(reward, weights, level, unit), "snips": snips(reward, weights, level, unit)}
    threshold = shrinkage = math.inf
    if expected is not None:
        values["dm"] = direct_method(expected, weights, level)
        values["dr"] = doubly_robust(reward, weights, expected.logged, expected.target, level, unit)
        values["sndr"] = self_normalised_dr(reward, weights, expected, level, unit)
        threshold, values["switch-dr"] = chosen_switch(reward, weights, expected, level, unit)
        shrinkage, values["dros"] = chosen_shrinkage(reward, weights, expected, level, unit)
    if robust is not None:
        mrdr = doubly_robust(reward, weights, robust.logged, robust.target, level, unit)
        values["mrdr"] = replace(mrdr, method="mrdr")
    candidates = [name for name in values if name != "dm" and values[name].estimate is not None]
    taken = slope([values[name] for name in candidates])
    inference = "dr" if expected is not None else "snips"
    return Evaluation(values, candidates[taken] if candidates else "", inference, threshold, shrinkage)


def slope(values: list[PolicyValue]) -> int:
    """Which of these estimates is about as near the truth as the nearest, without knowing their biases.

    Tucker and Lee (2021), "Improved estimator selection for off-policy evaluation" (SLOPE++), after Lepski: in order
    of falling width, take the last whose distance to each wider one j is at most width_j + (sqrt 6 - 1) · width;
    widths are half intervals. The first breach ends the search. Estimates without an honest width (dm) may not take
    part. Refused values may not either; -1 if there are none.
    """
    if not values:
        return -1
    width = np.array([_half_width(v) for v in values])
    at = np.array([v.estimate.value if v.estimate else math.nan for v in values])
    order = np.argsort(-width, kind="stable")
    for place in range(1, len(order)):
        wider, this = order[:place], order[place]
        if (np.abs(at[wider] - at[this]) > width[wider] + _SLOPE * width[this]).any():
            return int(order[place - 1])
    return int(order[-1])


def chosen_switch(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> tuple[float, PolicyValue]:
    """(threshold, switch_dr at it), by `slope` over infinity (doubly robust) and quantiles of the weights."""
    grid = [math.inf, *_of_weights(weights)]
    values = [switch_dr(reward, weights, expected, threshold, level, unit) for threshold in grid]
    return _taken(grid, values)


def chosen_shrinkage(
    reward: np.ndarray,
    weights: np.ndarray,
    expected: Expected,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> tuple[float, PolicyValue]:
    """(shrinkage, shrunk_dr at it), by `slope` over infinity (doubly robust) and squares of weights' quantiles."""
    squares = {q * q for q in _of_weights(weights)}
    grid = sorted({math.inf, *squares, *(10 * square for square in squares)}, reverse=True)
    values = [shrunk_dr(reward, weights, expected, shrinkage, level, unit) for shrinkage in grid]
    return _taken(grid, values)


def _of_weights(weights: np.ndarray) -> list[float]:
    """Quantiles of the weights above 0, each once, falling; nothing where a log is refused anyway."""
    positive = np.asarray(weights, dtype=np.float64)[np.asarray(weights) > 0]
    if not len(positive) or overlap(weights).refusal:
        return []
    return sorted({float(q) for q in np.quantile(positive, _QUANTILES)}, reverse=True)


def _taken(grid: list[float], values: list[PolicyValue]) -> tuple[float, PolicyValue]:
    """The grid's point and value that `slope` takes; the first where refused."""
    taken = slope(values) if values[0].estimate is not None else 0
    return grid[taken], values[taken]


def _half_width(value: PolicyValue) -> float:
    return (value.estimate.high - value.estimate.low) / 2 if value.estimate else math.inf
