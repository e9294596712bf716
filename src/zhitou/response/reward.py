"""Reward models for off-policy evaluation: what each action would earn, told for rows the model has never seen.

R = rows, F = features, K = actions. Simpler than response.py on purpose: the estimators correct the model, so it need
not be good, but it must never have seen the rows it speaks of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from zhitou.core.errors import SchemaError
from zhitou.evaluation.offpolicy import Expected

BLOCKS = 4
_PRIOR_ROWS = 200  # rows that an action's rate is pulled to the overall rate by
_TREES = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_TREES_ROUNDS = 100


@dataclass(frozen=True)
class LoggedActions:
    """Rows of a log. time_s: int64 [R]; context: float32 [R, F]; action: int32 [R] below `actions`; reward: float64
    [R], 0 or 1 or any amount.
    """

    time_s: np.ndarray
    context: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    actions: int

    def __len__(self) -> int:
        return len(self.action)

    def select(self, rows: np.ndarray) -> LoggedActions:
        """These rows only (bool [R] or int)."""
        return LoggedActions(
            self.time_s[rows], self.context[rows], self.action[rows], self.reward[rows], self.actions
        )


class RewardModel(Protocol):
    """What an action is expected to earn in a context."""

    def expected(self, context: np.ndarray, action: np.ndarray) -> np.ndarray:
        """float64 [R] of context float32 [R, F] and action int [R]."""
        ...


# (rows, weight of each row float64 [R]) -> model
Fit = Callable[[LoggedActions, np.ndarray], RewardModel]


@dataclass(frozen=True)
class Rates:
    """One rate per action: no context. rate: float64 [K]."""

    rate: np.ndarray

    def expected(self, context: np.ndarray, action: np.ndarray) -> np.ndarray:
        """The action's rate."""
        return self.rate[action]


def fit_rates(rows: LoggedActions, weight: np.ndarray) -> RewardModel:
    """Each action's mean reward, pulled to the overall mean as if by 200 rows of average weight."""
    total, mass = float(weight @ rows.reward), float(weight.sum())
    prior = _PRIOR_ROWS * mass / max(len(rows), 1)
    earned = np.bincount(rows.action, weight * rows.reward, minlength=rows.actions)
    seen = np.bincount(rows.action, weight, minlength=rows.actions)
    return Rates((earned + prior * total / mass) / (seen + prior) if mass else np.zeros(rows.actions))


def rates_by(cell: Callable[[np.ndarray], np.ndarray], cells: int) -> Fit:
    """A Fit of one rate per action and cell of the context (int [R] below `cells`), pulled to the action's own rate.

    For contexts that are a few segments it is as good as anything, and quick on millions of rows.
    """

    def fit(rows: LoggedActions, weight: np.ndarray) -> RewardModel:
        of_action = fit_rates(rows, weight).expected(rows.context, np.arange(rows.actions))
        code = cell(rows.context) * rows.actions + rows.action
        earned = np.bincount(code, weight * rows.reward, minlength=cells * rows.actions)
        seen = np.bincount(code, weight, minlength=cells * rows.actions)
        prior = _PRIOR_ROWS * float(weight.sum()) / max(len(rows), 1)
        rate = (earned + prior * np.tile(of_action, cells)) / (seen + prior) if prior else np.zeros(len(seen))
        return _Called(lambda context, action: rate[cell(context) * rows.actions + action])

    return fit


def fit_logistic(rows: LoggedActions, weight: np.ndarray) -> RewardModel:
    """Logistic regression on the action and the standardised context, for rewards of 0 and 1.

    Refused (SchemaError): other rewards. With one kind of reward only, or no weight, it is `fit_rates`.
    """
    from sklearn.linear_model import LogisticRegression

    _binary(rows)
    if len(np.unique(rows.reward[weight > 0])) < 2:
        return fit_rates(rows, weight)
    middle, spread = rows.context.mean(0), np.maximum(rows.context.std(0), 1e-6)

    def features(context: np.ndarray, action: np.ndarray) -> sparse.csr_array:
        hot = sparse.csr_array((np.ones(len(action)), (np.arange(len(action)), action)), (len(action), rows.actions))
        return sparse.csr_array(sparse.hstack([hot, sparse.csr_array((context - middle) / spread)]))

    model = LogisticRegression(C=0.1, max_iter=300).fit(
        features(rows.context, rows.action), rows.reward > 0, sample_weight=weight / weight.mean()
    )
    return _Called(lambda context, action: model.predict_proba(features(context, action))[:, 1])


def fit_trees(rows: LoggedActions, weight: np.ndarray) -> RewardModel:
    """100 boosted trees (LightGBM) on context and action: for contexts that matter differently to each action.

    Rewards of 0 and 1 by log loss, others by squared error.
    """
    import lightgbm

    binary = set(np.unique(rows.reward)) <= {0.0, 1.0}
    params = {**_TREES, "objective": "binary" if binary else "regression"}
    kept = weight > 0
    if len(np.unique(rows.reward[kept])) < 2:
        return fit_rates(rows, weight)

    def features(context: np.ndarray, action: np.ndarray) -> np.ndarray:
        return np.column_stack([action.astype(np.float32), context])

    given = features(rows.context[kept], rows.action[kept])
    data = lightgbm.Dataset(
        given, rows.reward[kept], weight=weight[kept] / weight[kept].mean(), categorical_feature=[0]
    )
    booster = lightgbm.train(params, data, _TREES_ROUNDS)
    return _Called(lambda context, action: np.asarray(booster.predict(features(context, action), num_threads=1)))


def cross_fit(
    rows: LoggedActions,
    target: np.ndarray,
    fit: Fit,
    *,
    weight: np.ndarray | None = None,
    blocks: int = BLOCKS,
    past_only: bool = False,
) -> Expected:
    """Expectations for every row of a model that was fitted on other rows, earlier ones wherever there are any.

    target: float64 or float32 [R, K], the target policy's probabilities, or [K] where they are the same in every
    row. weight: float64 [R] of the fit, such as offpolicy.mrdr_weights; 1 if None. Rows are cut by time into `blocks`
    of about equal size, rows of one second never apart; the model of a block knows all blocks before it. The first
    block has none before it: it is told by the model of the second block alone, or, with past_only, 0.
    past_only is for confidence sequences and for logs of policies that learnt from these very rows; there, doubly
    robust is plain inverse propensity weighting in the first block, and the direct method means nothing.
    """
    if blocks < 2:
        raise SchemaError(f"expected 2 blocks or more, got {blocks}; one to fit on and one to speak of")
    R = len(rows)
    weight = np.ones(R) if weight is None else np.asarray(weight, dtype=np.float64)
    logged, aimed = np.zeros(R), np.zeros(R)
    order = np.sort(rows.time_s)
    cuts = [order[R * block // blocks] for block in range(1, blocks)] if R else []
    block = np.searchsorted(np.asarray(cuts), rows.time_s, side="right")
    for at in range(1 if past_only else 0, blocks):
        taught = np.flatnonzero(block < at if at else block == 1)
        these = np.flatnonzero(block == at)
        if not len(taught) or not len(these):
            continue
        model, part = fit(rows.select(taught), weight[taught]), rows.select(these)
        logged[these] = model.expected(part.context, part.action)
        for action in range(rows.actions):
            chance = target[action] if target.ndim == 1 else target[these, action]
            if np.any(chance):
                aimed[these] += chance * model.expected(part.context, np.full(len(these), action))
    return Expected(logged, aimed, block_noise(blocks, past_only))


def block_noise(blocks: int, past_only: bool = False) -> float:
    """Variance of the mean of cross_fit's expectations over that of one model fitted on all blocks at once.

    An early block teaches the models of all later ones, the last teaches none: with b a block's share in the mean,
    blocks · the sum of b², were each model a mean over its rows.

    >>> round(block_noise(4), 2)
    1.71
    """
    share = np.zeros(blocks)
    for at in range(1 if past_only else 0, blocks):
        taught = slice(0, at) if at else slice(1, 2)
        share[taught] += 1 / max(at, 1) / blocks
    return float(blocks * (share @ share))


@dataclass(frozen=True)
class _Called:
    call: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def expected(self, context: np.ndarray, action: np.ndarray) -> np.ndarray:
        return self.call(context, action)


def _binary(rows: LoggedActions) -> None:
    if bad := int((~np.isin(rows.reward, (0.0, 1.0))).sum()):
        raise SchemaError(f"expected rewards of 0 and 1, got {bad:,} others; fit_trees takes any amount")
