"""Uplift: what a treatment does to a shopper, learnt from a randomised trial by four meta-learners.

R = shoppers, F = fields, A = arms (0 = control). Predictions that are judged are made by models that never saw the
row (`cross_fitted`). A policy that chooses arms replaces "the same for everybody" only on evidence (`choose_arms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from zhitou.core.chance import Chance
from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate, Moments
from zhitou.evaluation.uplift import arm_scores

Learner = Literal["s", "t", "x", "dr"]
Base = Literal["linear", "trees"]
Predict = Callable[[np.ndarray], np.ndarray]

LEARNERS: tuple[Learner, ...] = ("s", "t", "x", "dr")
_RIDGE = 1.0  # rows' worth of prior on each standardised slope
_TREES = {"num_leaves": 8, "min_data_in_leaf": 200, "learning_rate": 0.05, "lambda_l2": 10.0}
_ROUNDS = 60


@dataclass(frozen=True)
class Trial:
    """A randomised trial. fields: float64 [R, F]; arm: int [R], 0 = control; outcome: float64 [R];

    propensity: float64 [A], the chance of each arm, by design. Refused (SchemaError): other lengths, an arm without
    units.
    """

    fields: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray
    propensity: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.fields) == len(self.arm) == len(self.outcome):
            raise SchemaError("expected one row of fields, one arm and one outcome a shopper; align them by row")
        counts = np.bincount(np.asarray(self.arm, dtype=np.int64), minlength=len(self.propensity))
        if len(counts) != len(self.propensity) or not counts.all():
            raise SchemaError(f"expected shoppers in each of {len(self.propensity)} arms, got {counts.tolist()}")

    def __len__(self) -> int:
        return len(self.arm)

    def take(self, rows: np.ndarray) -> Trial:
        """These rows (positions or a mask)."""
        return Trial(self.fields[rows], self.arm[rows], self.outcome[rows], self.propensity)


@dataclass(frozen=True)
class UpliftModel:
    """effects: for each arm but the control, what it adds to the outcome of a shopper with these fields."""

    learner: Learner
    effects: tuple[Predict, ...]

    def predict(self, fields: np.ndarray) -> np.ndarray:
        """float64 [R, A - 1]: uplift over the control, in the outcome's unit."""
        return np.stack([effect(fields) for effect in self.effects], 1)


def fit_uplift(trial: Trial, chance: Chance, learner: Learner = "dr", base: Base = "trees") -> UpliftModel:
    """Each arm against the control by one meta-learner (Künzel et al. 2019; Kennedy 2023 for "dr").

    s: one model of the outcome with the arm among its fields. t: a model an arm, subtracted. x: as t, then what each
    arm's own outcomes say of the effect, weighed by propensity. dr: a regression of doubly robust scores, whose
    outcome models come from the other half of the rows.
    """
    fit = {"s": _s, "t": _t, "x": _x, "dr": _dr}[learner]
    effects = []
    for arm in range(1, len(trial.propensity)):
        two = np.flatnonzero((trial.arm == 0) | (trial.arm == arm))
        share = trial.propensity[[0, arm]] / trial.propensity[[0, arm]].sum()
        pair = Trial(trial.fields[two], (trial.arm[two] == arm).astype(np.int8), trial.outcome[two], share)
        effects.append(fit(pair, chance.child("uplift", learner, arm), base))
    return UpliftModel(learner, tuple(effects))


def cross_fitted(
    trial: Trial, chance: Chance, learner: Learner = "dr", base: Base = "trees", folds: int = 5
) -> np.ndarray:
    """float64 [R, A - 1]: the uplift of each shopper by a model that was fitted on the other folds."""
    out = np.empty((len(trial), len(trial.propensity) - 1))
    for number, (rest, held) in enumerate(_folds(trial, chance, folds)):
        out[held] = fit_uplift(trial.take(rest), chance.child("fold", number), learner, base).predict(
            trial.fields[held]
        )
    return out


def expected_outcomes(trial: Trial, chance: Chance, base: Base = "linear", folds: int = 5) -> np.ndarray:
    """float64 [R, A]: expected outcome of each shopper under each arm, by models of the other folds."""
    out = np.empty((len(trial), len(trial.propensity)))
    for rest, held in _folds(trial, chance, folds):
        for arm, model in enumerate(_outcome_models(trial.take(rest), base)):
            out[held, arm] = model(trial.fields[held])
    return out


@dataclass(frozen=True)
class ArmChoice:
    """Which arm each shopper gets. personal: whether choosing by shopper was proven better than `best_arm` for all.

    gain: choosing by shopper over the best single arm, on rows that neither the models nor the choice of that arm had
    seen.
    """

    best_arm: int
    personal: bool
    gain: Estimate
    model: UpliftModel

    def arms(self, fields: np.ndarray) -> np.ndarray:
        """int64 [R]: the arm of each shopper."""
        if not self.personal:
            return np.full(len(fields), self.best_arm)
        return best_arms(self.model.predict(fields))

    def __str__(self) -> str:
        if self.personal:
            return f"personal choice gains {self.gain} a shopper"
        return f"no personalisation gain ({self.gain} a shopper): arm {self.best_arm} for everybody"


def best_arms(uplift: np.ndarray) -> np.ndarray:
    """int64 [R]: the arm with the highest uplift, the control where none is above 0. uplift: [R, A - 1]."""
    best: np.ndarray = np.concatenate([np.zeros((len(uplift), 1)), uplift], 1).argmax(1)
    return best


def choose_arms(
    trial: Trial, chance: Chance, learner: Learner = "dr", base: Base = "trees", folds: int = 5, level: float = LEVEL
) -> ArmChoice:
    """One arm for everybody, unless choosing by shopper is better beyond its interval.

    The trial is cut into `folds` + 1 parts at random. For each part but the first, models and the best single arm are
    learnt on the parts before it, and judged on it by doubly robust scores. In ordinary cross-validation each part
    is also learnt from, so errors of the parts agree and the interval is too narrow: 5 % of 200 trials without
    any difference passed it, at 2.5 % nominal; 2.5 % pass this one. The naive choice of the highest predicted uplift
    has no such gate and follows noise wherever effects are nearly equal.
    """
    place = _places(trial, chance, folds + 1)
    gains = []
    for number in range(1, folds + 1):
        past, held = trial.take(place < number), trial.take(place == number)
        models = _outcome_models(past, "linear")
        scores = arm_scores(
            held.arm, held.outcome, held.propensity, np.stack([model(held.fields) for model in models], 1)
        )
        uplift = fit_uplift(past, chance.child("fold", number), learner, base)
        rows = np.arange(len(held))
        gains.append(scores[rows, best_arms(uplift.predict(held.fields))] - scores[:, _best_arm(past)])
    gain = Moments.of(np.concatenate(gains)).interval(level)
    whole = fit_uplift(trial, chance.child("whole"), learner, base)
    return ArmChoice(_best_arm(trial), gain.low > 0, gain, whole)


def _best_arm(trial: Trial) -> int:
    """The arm with the highest mean outcome."""
    totals = np.bincount(trial.arm, trial.outcome, minlength=len(trial.propensity))
    return int((totals / np.bincount(trial.arm, minlength=len(trial.propensity))).argmax())


def _outcome_models(trial: Trial, base: Base) -> list[Predict]:
    """A model of the outcome under each arm."""
    arms = [trial.arm == arm for arm in range(len(trial.propensity))]
    return [_regress(trial.fields[own], trial.outcome[own], base) for own in arms]


def _places(trial: Trial, chance: Chance, parts: int) -> np.ndarray:
    """int64 [R]: the part of each shopper, drawn; the same for the same trial and chance."""
    if len(trial) < 2 * parts:
        raise SchemaError(f"expected at least {2 * parts} shoppers for {parts} folds, got {len(trial)}")
    place = np.empty(len(trial), dtype=np.int64)
    place[chance.stream("uplift_folds").permutation(len(trial))] = np.arange(len(trial)) % parts
    return place


def _folds(trial: Trial, chance: Chance, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rest, held) rows of each fold."""
    place = _places(trial, chance, folds)
    return [(np.flatnonzero(place != k), np.flatnonzero(place == k)) for k in range(folds)]


def _s(pair: Trial, chance: Chance, base: Base) -> Predict:
    """One model; a line gets the arm's products with every field, for without them its uplift is one number."""
    arm = pair.arm.astype(np.float64)

    def with_arm(fields: np.ndarray, treated: ArrayLike) -> np.ndarray:
        mark = np.broadcast_to(np.asarray(treated, dtype=np.float64), (len(fields),))[:, None]
        return np.concatenate([fields, mark, mark * fields] if base == "linear" else [fields, mark], 1)

    model = _regress(with_arm(pair.fields, arm), pair.outcome, base)
    return lambda fields: model(with_arm(fields, 1.0)) - model(with_arm(fields, 0.0))


def _t(pair: Trial, chance: Chance, base: Base) -> Predict:
    control, treatment = _outcome_models(pair, base)
    return lambda fields: treatment(fields) - control(fields)


def _x(pair: Trial, chance: Chance, base: Base) -> Predict:
    control, treatment = _outcome_models(pair, base)
    treated = pair.arm == 1
    on, off = pair.fields[treated], pair.fields[~treated]
    by_treated = _regress(on, pair.outcome[treated] - control(on), base)
    by_control = _regress(off, treatment(off) - pair.outcome[~treated], base)
    share = float(pair.propensity[1])  # the larger arm's outcome model is better, and serves the smaller arm's rows
    return lambda fields: share * by_control(fields) + (1 - share) * by_treated(fields)


def _dr(pair: Trial, chance: Chance, base: Base) -> Predict:
    scores = arm_scores(pair.arm, pair.outcome, pair.propensity, expected_outcomes(pair, chance, base, folds=2))
    return _regress(pair.fields, scores[:, 1] - scores[:, 0], base)


def _regress(fields: np.ndarray, outcome: np.ndarray, base: Base) -> Predict:
    return _line(fields, outcome) if base == "linear" else _boosted(fields, outcome)


def _line(fields: np.ndarray, outcome: np.ndarray) -> Predict:
    """Ridge regression on standardised fields; a field that never varies has no weight."""
    mean, spread = fields.mean(0), fields.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    x = (fields - mean) / scale
    gram = x.T @ x + _RIDGE * np.eye(x.shape[1])
    slopes = np.linalg.solve(gram, x.T @ (outcome - outcome.mean())) / scale
    start = float(outcome.mean() - mean @ slopes)
    return lambda new: start + new @ slopes


def _boosted(fields: np.ndarray, outcome: np.ndarray) -> Predict:
    """LightGBM on squared error, which estimates a mean for clicks and for money alike; one thread, repeatable."""
    import lightgbm

    settings = {"objective": "regression", "num_threads": 1, "deterministic": True, "verbosity": -1, "seed": 1}
    least = min(int(_TREES["min_data_in_leaf"]), max(len(outcome) // 20, 1))
    data = lightgbm.Dataset(fields, outcome)
    booster = lightgbm.train(settings | _TREES | {"min_data_in_leaf": least}, data, num_boost_round=_ROUNDS)
    return lambda new: np.asarray(booster.predict(new, num_threads=1), dtype=np.float64)
