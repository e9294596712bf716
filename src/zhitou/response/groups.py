"""Calibration per channel, slot or any other group, held near that of its parent. R = rows, L = levels, G = groups.

A group's rows say where its predictions lie too high; few rows say little. So each group gets a shift and a slope of
its parent's logits, both with a normal prior around "as the parent", whose width is learnt from how much the groups
of that level differ: every width counts by its evidence. For rare events this is the known shrinkage to the parent,

    p_f = (n_f · rate_f + kappa · p_parent) / (n_f + kappa),

with kappa = 1 / (sd² · p_parent): a parent counts for 1 / sd² positives. In logits it keeps probabilities inside
(0, 1), takes rows of unequal p, and lets a group bend as well as move; and kappa is read from the data.

Groups share out their parent's positives among themselves: their predictions add up to what the parent's did, so an
only child is its parent, and a group that was never seen gets its parent's calibration.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

from zhitou.core.errors import ModelError, SchemaError
from zhitou.core.files import replace_whole
from zhitou.response.calibrate import Calibration, calibrate

# How far groups of one level may lie from their parent, in logits: from "not at all" to e times.
SHIFT_SD = (0.005, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0)
SLOPE_SD = (0.005, 0.03, 0.06, 0.12, 0.25)
_SLOPE_LEAST = 0.1  # a slope stays above 0: the order of two ads is never turned
_BINS, _STEPS = 128, 30
_KIND = "group calibration"
Key = tuple[str, ...]


@dataclass(frozen=True)
class Level:
    """The groups of one level.

    keys: the values of the columns so far, as text. lines: float64 [G, 2], (shift, slope): the parent's logit ->
    shift + slope · logit. rows, positives: int64 [G], what each was learnt from. sd: how widely shifts and slopes
    were found to lie, in logits.
    """

    keys: tuple[Key, ...]
    lines: np.ndarray
    rows: np.ndarray
    positives: np.ndarray
    sd: tuple[float, float]


@dataclass(frozen=True)
class GroupCalibration:
    """One calibration for all rows, then a line per group and level. names: of the L columns, coarse to fine."""

    names: tuple[str, ...]
    base: Calibration
    levels: tuple[Level, ...]

    def __call__(self, logits: np.ndarray, groups: tuple[np.ndarray, ...]) -> np.ndarray:
        """Calibrated logits, float64 [R]. groups: L columns [R]; from the first unseen value on, the parent's."""
        out = np.asarray(self.base(np.asarray(logits, dtype=np.float64)), dtype=np.float64)
        for level, (keys, which) in zip(self.levels, _keys(groups, self.names, len(out)), strict=True):
            known = {key: at for at, key in enumerate(level.keys)}
            lines = np.vstack([level.lines, [[0.0, 1.0]]])
            at = np.array([known.get(key, -1) for key in keys], dtype=np.int64)[which]
            out = lines[at, 0] + lines[at, 1] * out
        return out

    def save(self, file: Path) -> None:
        """Write it as JSON, whole or not at all; `load` gives the same numbers to the last bit."""
        base = self.base
        facts = {
            "kind": _KIND,
            "names": self.names,
            "base": [base.kind, base.shift, base.low, base.high, None if base.knots is None else base.knots.tolist()],
            "levels": [
                {
                    "keys": level.keys,
                    "lines": level.lines.tolist(),
                    "rows": level.rows.tolist(),
                    "positives": level.positives.tolist(),
                    "sd": level.sd,
                }
                for level in self.levels
            ],
        }
        replace_whole(file, (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, file: Path) -> GroupCalibration:
        """What `save` wrote. Refused (ModelError): anything else."""
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
            if facts["kind"] != _KIND:
                raise ModelError(f"{file} holds {facts['kind']!r}, expected {_KIND!r}")
            kind, shift, low, high, knots = facts["base"]
            base = Calibration(kind, shift, low, high, None if knots is None else np.asarray(knots, dtype=np.float64))
            levels = tuple(
                Level(
                    keys=tuple(tuple(key) for key in level["keys"]),
                    lines=np.asarray(level["lines"], dtype=np.float64).reshape(-1, 2),
                    rows=np.asarray(level["rows"], dtype=np.int64),
                    positives=np.asarray(level["positives"], dtype=np.int64),
                    sd=(level["sd"][0], level["sd"][1]),
                )
                for level in facts["levels"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file} is no {_KIND}: {error}; save it again with GroupCalibration.save") from error
        return cls(tuple(facts["names"]), base, levels)


def calibrate_groups(
    logits: np.ndarray,
    labels: np.ndarray,
    groups: tuple[np.ndarray, ...],
    taught: int,
    names: tuple[str, ...] = ("channel", "slot"),
    base: Calibration | None = None,
) -> GroupCalibration:
    """Calibration of all rows, then of their groups, on rows later than those the logits were learnt from.

    logits: float64 [R]; labels: bool [R]; groups: L columns [R] of values of one kind, from coarse to fine; a
    group of level l is a distinct combination of the first l columns. taught: as for `calibrate`; base: a calibration
    of all rows to keep as it is, instead. Refused (SchemaError): columns of other lengths, or not one per name.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    coded = _keys(groups, names, len(z))
    base = calibrate(z, y > 0, taught) if base is None else base
    out = np.asarray(base(z), dtype=np.float64)
    parent, levels = np.zeros(len(z), dtype=np.int64), []
    for keys, which in coded:
        lines, sd = _lines(out, y, which, parent, len(keys))
        counts = np.bincount(which, minlength=len(keys)), np.bincount(which, y, len(keys)).astype(np.int64)
        levels.append(Level(keys, lines, *counts, sd))
        out = lines[which, 0] + lines[which, 1] * out
        parent = which
    return GroupCalibration(tuple(names), base, tuple(levels))


def _keys(
    groups: tuple[np.ndarray, ...], names: tuple[str, ...], rows: int
) -> list[tuple[tuple[Key, ...], np.ndarray]]:
    """Of each level, the distinct keys in sorted order and which of them each row has (int64 [R])."""
    if len(groups) != len(names) or any(np.shape(column) != (rows,) for column in groups):
        shapes = [np.shape(column) for column in groups]
        raise SchemaError(f"expected a column [{rows:,}] for each of {names}, got shapes {shapes}")
    out: list[tuple[tuple[Key, ...], np.ndarray]] = []
    keys: tuple[Key, ...] = ((),)
    which = np.zeros(rows, dtype=np.int64)
    for column in groups:
        values, code = np.unique(np.asarray(column), return_inverse=True)
        pairs, which = np.unique(which * max(len(values), 1) + code, return_inverse=True)
        keys = tuple((*keys[pair // len(values)], str(values[pair % len(values)])) for pair in pairs.tolist())
        out.append((keys, which))
    return out


def _lines(
    z: np.ndarray, y: np.ndarray, which: np.ndarray, parent: np.ndarray, G: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """(lines [G, 2], mean sd of shifts and slopes) of the groups `which` [R] beneath their parents, for logits z [R].

    The widths are not fixed at one guess: each pair of SHIFT_SD x SLOPE_SD counts as much as the rows bear it out.
    """
    of_group = np.zeros(G, dtype=np.int64)
    of_group[which] = parent
    siblings = np.bincount(of_group, minlength=1)[of_group] > 1
    if not siblings.any():
        return np.tile([0.0, 1.0], (G, 1)), (0.0, 0.0)
    cells = _Cells.of(z, y, which, G)
    theta, scores, means = np.zeros((G, 2)), [], []
    pairs = list(itertools.product(SHIFT_SD, SLOPE_SD))
    for sd in pairs:
        theta, evidence = cells.most_probable(theta, np.asarray(sd))
        # An only child differs from nobody: its line is its parent's, and it says nothing of how groups differ.
        scores.append(float(evidence[siblings].sum()))
        means.append(theta)
    share = softmax(scores)
    theta = np.where(siblings[:, None], np.tensordot(share, np.stack(means), 1), 0.0)
    slope = 1 + theta[:, 1]
    shift = _shared_out(z, theta[:, 0] - theta[:, 1] * cells.middle, slope, which, parent)
    shift[~siblings] = 0.0
    sd_shift, sd_slope = (share @ np.asarray(pairs)).tolist()
    return np.stack([shift, slope], 1), (sd_shift, sd_slope)


@dataclass(frozen=True)
class _Cells:
    """Rows of a group and of nearly the same logit, counted: a shift and a slope need no more. C = cells.

    group: int64 [C]; n, y: float64 [C], rows and positives; z: float64 [C], mean logit. middle: float64 [G], the
    logit that a group's slope turns around: that of its expected positives, where it leaves the level alone.
    """

    group: np.ndarray
    n: np.ndarray
    y: np.ndarray
    z: np.ndarray
    middle: np.ndarray

    @classmethod
    def of(cls, z: np.ndarray, y: np.ndarray, which: np.ndarray, G: int) -> _Cells:
        edges = np.unique(np.quantile(z, np.arange(1, _BINS) / _BINS))
        code = which * (len(edges) + 1) + np.searchsorted(edges, z, side="right")
        distinct, cell = np.unique(code, return_inverse=True)
        n = np.bincount(cell).astype(np.float64)
        group, mean = distinct // (len(edges) + 1), np.bincount(cell, z) / n
        p = expit(mean)
        weight = n * p * (1 - p)
        middle = np.bincount(group, weight * mean, G) / np.bincount(group, weight, G)
        return cls(group, n, np.bincount(cell, y), mean, middle)

    def most_probable(self, theta: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """((shift, slope - 1) of each group [G, 2] under priors of these widths, log evidence [G] by Laplace)."""
        G, precision = len(theta), 1 / sd**2
        off, theta = self.z - self.middle[self.group], theta.copy()
        for _ in range(_STEPS):
            p, a, b, c = self._information(theta, off)
            missed = self.y - self.n * p
            g0 = np.bincount(self.group, missed, G) - precision[0] * theta[:, 0]
            g1 = np.bincount(self.group, missed * off, G) - precision[1] * theta[:, 1]
            a, c = a + precision[0], c + precision[1]
            whole = a * c - b * b
            move = np.stack([c * g0 - b * g1, a * g1 - b * g0], 1) / whole[:, None]
            theta += np.clip(move, -1.0, 1.0)  # far from the top Newton overshoots
            theta[:, 1] = np.maximum(theta[:, 1], _SLOPE_LEAST - 1)
            if np.abs(move).max() < 1e-7:
                break
        logits = self.z + theta[self.group, 0] + theta[self.group, 1] * off
        told = np.bincount(self.group, self.y * logits - self.n * np.logaddexp(0, logits), G)
        evidence = told - 0.5 * (theta**2 @ precision) + 0.5 * np.log(precision).sum() - 0.5 * np.log(whole)
        return theta, evidence

    def _information(
        self, theta: np.ndarray, off: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(p of the cells, then the sums of w, w · off, w · off² of each group, w = n p (1 - p))."""
        G = len(theta)
        p = expit(self.z + theta[self.group, 0] + theta[self.group, 1] * off)
        w = self.n * p * (1 - p)
        return p, *(np.bincount(self.group, w * f, G) for f in (1.0, off, off * off))


def _shared_out(
    z: np.ndarray, shift: np.ndarray, slope: np.ndarray, which: np.ndarray, parent: np.ndarray
) -> np.ndarray:
    """float64 [G]: shifts moved alike within each parent, until its groups' predictions add up to its own."""
    target = np.bincount(parent, expit(z))
    common = np.zeros(len(target))
    for _ in range(_STEPS):
        p = expit(shift[which] + slope[which] * z + common[parent])
        gap = target - np.bincount(parent, p, minlength=len(target))
        bend = np.bincount(parent, p * (1 - p), minlength=len(target))
        move = np.divide(gap, bend, out=np.zeros(len(gap)), where=bend > 0)
        common += np.clip(move, -1.0, 1.0)
        if np.abs(move).max() < 1e-10:
            break
    of_group = np.zeros(len(shift), dtype=np.int64)
    of_group[which] = parent
    return shift + common[of_group]
