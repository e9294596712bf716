"""zhitou's click model, and LightGBM, on the folder of arrays that bench/peers/click_folder.py describes.

`fit_zhitou(train, about) -> predict` is the seam: another model of ours takes its place by having that form. Today's
model reads numbers alone, so a category becomes two of them: the click rate it had before the row, and how often it
had been seen. R = rows, F = numeric columns, C = categorical columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from click_folder import Split

Predict = Callable[[Split], np.ndarray]  # probabilities of a click, float64 [R]

LOOKS = 20  # rows that the rate of all categories counts for beside a category's own
TREE_SETTINGS = [
    {"num_leaves": 31, "learning_rate": 0.1},
    {"num_leaves": 127, "learning_rate": 0.1},
    {"num_leaves": 31, "learning_rate": 0.03},
    {"num_leaves": 8, "learning_rate": 0.1},
]


@dataclass(frozen=True)
class PastRates:
    """What the training rows say of each category in the end. clicks, looks: float64 per column, by code."""

    clicks: list[np.ndarray]
    looks: list[np.ndarray]
    rate: float

    @classmethod
    def of(cls, train: Split, cardinalities: list[int]) -> PastRates:
        """Sums over all training rows."""
        clicks, looks = [], []
        for at, size in enumerate(cardinalities):
            codes = np.asarray(train.categorical[:, at])
            clicks.append(np.bincount(codes, np.asarray(train.label, dtype=np.float64), minlength=size))
            looks.append(np.bincount(codes, minlength=size).astype(np.float64))
        return cls(clicks, looks, float(train.label.mean()))

    def columns(self, split: Split) -> np.ndarray:
        """float32 [R, 2 C] of later rows: nothing after the training rows is read."""
        told = []
        for at, (clicks, looks) in enumerate(zip(self.clicks, self.looks, strict=True)):
            codes = np.asarray(split.categorical[:, at])
            told.append(_two_columns(clicks[codes], looks[codes], np.full(len(codes), self.rate)))
        return np.concatenate(told, 1) if told else np.zeros((len(split.label), 0), np.float32)


def past_columns(train: Split, time: np.ndarray) -> np.ndarray:
    """float32 [R, 2 C] of the training rows themselves: each row sees the clicks of earlier times and no others."""
    label = np.asarray(train.label, dtype=np.float64)
    overall = _before(np.zeros(len(label), dtype=np.int32), time, label)
    rate = (overall[0] + 1) / (overall[1] + 100)  # before the first rows: one click in a hundred
    told = [
        _two_columns(*_before(np.asarray(train.categorical[:, at]), time, label), rate)
        for at in range(train.categorical.shape[1])
    ]
    return np.concatenate(told, 1) if told else np.zeros((len(label), 0), np.float32)


def fit_zhitou(train: Split, time: np.ndarray, about: dict[str, Any]) -> Predict:
    """Learn from the training rows; the model keeps its own last fifth of them for calibration."""
    from zhitou.core.chance import Chance
    from zhitou.response.rows import Rows
    from zhitou.response.train import fit_response

    rates = PastRates.of(train, about["cardinalities"])
    fields = np.concatenate([_numbers(train), past_columns(train, time)], 1)
    rows, clicked = len(fields), np.asarray(train.label) > 0
    none = np.zeros(rows, dtype=bool)
    model = fit_response(
        Rows(
            fields=fields,
            names=tuple(f"f{at}" for at in range(fields.shape[1])),
            slot=np.zeros(rows),
            ad=np.full(rows, -1),
            clicked=clicked,
            converted=none,
            mature=none,
            time_s=time,
            propensity=np.ones(rows),
        ),
        chance=Chance(1),
    )

    def predict(split: Split) -> np.ndarray:
        return model.predict(np.concatenate([_numbers(split), rates.columns(split)], 1))[0]

    return predict


def fit_trees(
    train: Split, valid: Split, time: np.ndarray, about: dict[str, Any], setting: dict[str, Any]
) -> tuple[Predict, int]:
    """LightGBM on the same columns, stopped on valid: the same data for the same budget as the peers."""
    import lightgbm

    rates = PastRates.of(train, about["cardinalities"])
    first = np.concatenate([np.asarray(train.numeric), past_columns(train, time)], 1)
    then = np.concatenate([np.asarray(valid.numeric), rates.columns(valid)], 1)
    data = [lightgbm.Dataset(x, np.asarray(s.label)) for x, s in ((first, train), (then, valid))]
    fixed = {"objective": "binary", "num_threads": 1, "verbosity": -1, "seed": 1, "deterministic": True}
    booster = lightgbm.train(
        {**fixed, "force_row_wise": True, **setting},
        data[0],
        num_boost_round=500,
        valid_sets=[data[1]],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )

    def predict(split: Split) -> np.ndarray:
        return np.asarray(booster.predict(np.concatenate([np.asarray(split.numeric), rates.columns(split)], 1)))

    return predict, booster.best_iteration


def _before(codes: np.ndarray, time: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(clicks, looks) of each row's code at times before the row's own, float64 [R] each."""
    order = np.lexsort((time, codes))
    code, at, clicked = codes[order], time[order], label[order]
    new_code = np.r_[True, code[1:] != code[:-1]]
    new_time = new_code | np.r_[True, at[1:] != at[:-1]]
    place = np.arange(len(code))
    group, moment = (np.maximum.accumulate(np.where(new, place, 0)) for new in (new_code, new_time))
    clicks_before = np.concatenate([[0.0], np.cumsum(clicked)])
    clicks, looks = np.empty(len(code)), np.empty(len(code))
    clicks[order] = clicks_before[moment] - clicks_before[group]
    looks[order] = moment - group
    return clicks, looks


def _two_columns(clicks: np.ndarray, looks: np.ndarray, rate: np.ndarray) -> np.ndarray:
    p = (clicks + LOOKS * rate) / (looks + LOOKS)
    return np.stack([np.log(p / (1 - p)), np.log1p(looks)], 1).astype(np.float32)


def _numbers(split: Split) -> np.ndarray:
    x = np.asarray(split.numeric)
    return (np.sign(x) * np.log1p(np.abs(x))).astype(np.float32)
