"""What the model is held against: one rate, logistic regression, boosted trees. Same rows, same folds, same protocol.

Each is a function (rows, config, chance) -> Baseline, and each Baseline is a ResponseModel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from zhitou.core.chance import Chance
from zhitou.core.ids import stable_id
from zhitou.response.calibrate import Calibration, calibrate
from zhitou.response.config import ResponseConfig
from zhitou.response.fields import Scaling
from zhitou.response.folds import Folds, examined
from zhitou.response.linear import ad_terms
from zhitou.response.rows import Rows

# (fields float32 [R, F], slot int [R], ad int [R]) -> logits float64 [R]
Scorer = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_EVENTS_LEAST = 10  # positives below which a baseline is its base rate
_WEIGHT = 50  # impressions (or clicks) that the expected rate counts for beside the observed one
_TREES = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 4,
    "min_data_in_leaf": 100,
    "lambda_l2": 5.0,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.7,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_TREES_MOST, _TREES_PATIENCE = 600, 30


@dataclass(frozen=True)
class Baseline:
    """A ResponseModel out of one scorer for clicks and one for conversions, both calibrated on the later fold."""

    name: str
    version: str
    fields: tuple[str, ...]
    examination: np.ndarray
    click: Scorer
    conversion: Scorer

    def predict(self, fields: np.ndarray, ad: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [...], of fields float32 [..., F], as `Response.predict`."""
        lead = fields.shape[:-1]
        flat = np.asarray(fields, dtype=np.float32).reshape(math.prod(lead), fields.shape[-1])
        ads = np.full(len(flat), -1) if ad is None else np.broadcast_to(ad, lead).ravel()
        first = np.zeros(len(flat), dtype=np.int8)
        pctr, pcvr = (expit(np.clip(score(flat, first, ads), -16, 16)) for score in (self.click, self.conversion))
        return pctr.reshape(lead), pcvr.reshape(lead)


def fit_constant(rows: Rows, config: ResponseConfig | None = None, chance: Chance | None = None) -> Baseline:
    """One click rate, one conversion rate per click, one factor per slot: what an ad server without a model knows."""
    config, bought = config or ResponseConfig(), rows.clicked & rows.mature
    by_slot = [
        _rate(rows.clicked[rows.slot == s], config.expected_ctr) for s in range(int(rows.slot.max(initial=0)) + 1)
    ]
    ctr, cvr = by_slot[0], _rate(rows.converted[bought], config.expected_cvr)
    return Baseline(
        "constant",
        stable_id("constant", repr(by_slot), repr(cvr)),
        rows.names,
        np.array(by_slot) / ctr,
        _constant(ctr),
        _constant(cvr),
    )


def fit_logistic(rows: Rows, config: ResponseConfig | None = None, chance: Chance | None = None) -> Baseline:
    """scikit-learn's logistic regression (L2) on standardised fields, slot and ad marks."""
    return _fit("logistic", _logistic_scorer, rows, config or ResponseConfig(), chance or Chance(0))


def fit_trees(rows: Rows, config: ResponseConfig | None = None, chance: Chance | None = None) -> Baseline:
    """LightGBM's boosted trees on raw fields and slot, stopped on the later fold.

    Small trees and no ad: on 100,000 rows 31 leaves, or the ad as a category, made its normalised entropy worse.
    """
    return _fit("trees", _trees_scorer, rows, config or ResponseConfig(), chance or Chance(0))


BASELINES = {"constant": fit_constant, "logistic": fit_logistic, "trees": fit_trees}


@dataclass(frozen=True)
class _Task:
    """One outcome to learn: labels, and which rows teach and judge; `expected` is its rate before looking."""

    rows: Rows
    labels: np.ndarray
    early: np.ndarray
    later: np.ndarray
    expected: float
    seed: int


def _fit(
    name: str, make: Callable[[_Task], Scorer], rows: Rows, config: ResponseConfig, chance: Chance
) -> Baseline:
    folds = Folds.of(rows, config.later_share)
    seed = chance.number(f"response {name}") % 2**31
    click = _scorer(make, _Task(rows, rows.clicked, folds.click_early, folds.click_later, config.expected_ctr, seed))
    buy = _scorer(make, _Task(rows, rows.converted, folds.buy_early, folds.buy_later, config.expected_cvr, seed))
    there, first, bought = (
        expit(score(rows.fields, slot, rows.ad))
        for score, slot in ((click, rows.slot), (click, rows.slot * 0), (buy, rows.slot * 0))
    )
    examination = examined(rows.slot, there, first, int(rows.slot.max(initial=0)) + 1)
    version = stable_id(name, seed, repr(float(there.sum())), repr(float(first.sum())), repr(float(bought.sum())))
    return Baseline(name, version, rows.names, examination, click, buy)


def _scorer(make: Callable[[_Task], Scorer], task: _Task) -> Scorer:
    """`make`'s scorer, calibrated on the later fold; the base rate where there is too little to learn from."""
    positives = int(task.labels[task.early].sum())
    if positives < _EVENTS_LEAST or positives == int(task.early.sum()):
        return _constant(_rate(task.labels[task.early | task.later], task.expected))
    raw, late = make(task), task.later
    rows = task.rows
    calibration = calibrate(raw(rows.fields[late], rows.slot[late], rows.ad[late]), task.labels[late], positives)
    return _calibrated(raw, calibration)


def _calibrated(raw: Scorer, calibration: Calibration) -> Scorer:
    return lambda fields, slot, ad: calibration(raw(fields, slot, ad))


def _constant(rate: float) -> Scorer:
    level = float(np.log(rate / (1 - rate)))
    return lambda fields, slot, ad: np.full(len(fields), level)


def _rate(labels: np.ndarray, expected: float) -> float:
    return float((labels.sum() + _WEIGHT * expected) / (len(labels) + _WEIGHT))


def _logistic_scorer(task: _Task) -> Scorer:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    rows, early = task.rows, task.early
    scaling = Scaling.of(rows.fields[early])
    slots, ads = int(rows.slot.max()) + 1, int(rows.ad[early].max(initial=-1)) + 1
    known = early & (rows.ad >= 0)
    x = scaling.columns(rows.fields[early])
    marks = sparse.csr_matrix(
        (np.ones(int(known.sum()), dtype=np.float32), (np.flatnonzero(known[early]), rows.ad[known])),
        shape=(len(x), ads),
    )
    slot_marks = np.eye(slots, dtype=np.float32)[rows.slot[early]][:, 1:]
    design = sparse.hstack([sparse.csr_matrix(np.concatenate([x, slot_marks], 1)), marks]).tocsr()
    fitted = LogisticRegression(C=0.1, max_iter=300).fit(design, task.labels[early])
    weights, level = fitted.coef_[0], float(fitted.intercept_[0])
    by_field, by_slot, by_ad = np.split(weights, [x.shape[1], x.shape[1] + slots - 1])
    by_slot = np.concatenate([[0.0], by_slot])

    def score(fields: np.ndarray, slot: np.ndarray, ad: np.ndarray) -> np.ndarray:
        return scaling.columns(fields) @ by_field + level + by_slot[slot] + ad_terms(by_ad, ad)

    return score


def _trees_scorer(task: _Task) -> Scorer:
    import lightgbm

    rows = task.rows

    def table(fields: np.ndarray, slot: np.ndarray) -> np.ndarray:
        return np.concatenate([fields, slot[:, None].astype(np.float32)], 1)

    data = [
        lightgbm.Dataset(table(rows.fields[fold], rows.slot[fold]), task.labels[fold], free_raw_data=False)
        for fold in (task.early, task.later)
    ]
    stop = task.labels[task.later].any()
    booster = lightgbm.train(
        {**_TREES, "seed": task.seed},
        data[0],
        num_boost_round=_TREES_MOST if stop else 50,
        valid_sets=[data[1]] if stop else None,
        callbacks=[lightgbm.early_stopping(_TREES_PATIENCE, verbose=False)] if stop else None,
    )

    def score(fields: np.ndarray, slot: np.ndarray, ad: np.ndarray) -> np.ndarray:
        return np.asarray(booster.predict(table(fields, slot), raw_score=True), dtype=np.float64)

    return score
