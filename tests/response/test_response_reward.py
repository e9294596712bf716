"""Reward models for other policies: fitted on earlier rows, asked about all actions."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.response.reward import (
    LoggedActions,
    RewardModel,
    block_noise,
    cross_fit,
    fit_logistic,
    fit_rates,
    fit_trees,
    rates_by,
)


def log(rows: int = 4_000, seed: int = 6) -> LoggedActions:
    """Two actions and one context of two values; action 1 earns where the context is 1, else action 0 does."""
    rng = np.random.default_rng(seed)
    context, action = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    reward = (rng.random(rows) < np.where(context == action, 0.4, 0.1)).astype(float)
    return LoggedActions(np.arange(rows), context[:, None].astype(np.float32), action.astype(np.int32), reward, 2)


class Remembers:
    """Expects the number of rows that it was taught."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def expected(self, context: np.ndarray, action: np.ndarray) -> np.ndarray:
        return np.full(len(action), float(self.rows))


def remember(rows: LoggedActions, weight: np.ndarray) -> RewardModel:
    return Remembers(len(rows))


def test_each_block_is_told_by_a_model_of_the_blocks_before_it_and_the_first_by_the_second() -> None:
    rows = log(400)
    told = cross_fit(rows, np.array([0.5, 0.5]), remember)
    assert told.logged.tolist() == [100.0] * 100 + [100.0] * 100 + [200.0] * 100 + [300.0] * 100
    assert told.target.tolist() == told.logged.tolist()
    past = cross_fit(rows, np.array([0.5, 0.5]), remember, past_only=True)
    assert past.logged[:100].tolist() == [0.0] * 100
    assert past.logged[100:].tolist() == told.logged[100:].tolist()


def test_no_row_is_told_by_a_model_that_has_seen_it_or_anything_later() -> None:
    rows = log(400)
    before = cross_fit(rows, np.array([0.5, 0.5]), fit_rates, past_only=True)
    changed = LoggedActions(rows.time_s, rows.context, rows.action, rows.reward.copy(), 2)
    changed.reward[200:] = 1 - changed.reward[200:]
    after = cross_fit(changed, np.array([0.5, 0.5]), fit_rates, past_only=True)
    assert np.array_equal(before.logged[:300], after.logged[:300])
    assert not np.array_equal(before.logged[300:], after.logged[300:])


def test_rows_of_one_second_are_never_on_both_sides_of_a_cut() -> None:
    rows = log(400)
    at_once = LoggedActions(rows.time_s // 130, rows.context, rows.action, rows.reward, 2)
    told = cross_fit(at_once, np.array([0.5, 0.5]), remember, past_only=True)
    for second in range(4):
        assert len(np.unique(told.logged[at_once.time_s == second])) == 1


def test_a_rate_is_pulled_to_the_overall_rate_as_if_by_200_rows() -> None:
    rows = LoggedActions(
        np.arange(300), np.zeros((300, 1)), np.repeat([0, 1], [100, 200]), np.repeat([1.0, 0.0], [100, 200]), 2
    )
    model = fit_rates(rows, np.ones(300))
    assert model.expected(rows.context[:2], np.array([0, 1])) == pytest.approx(
        [(100 + 200 / 3) / (100 + 200), (0 + 200 / 3) / (200 + 200)]
    )


def test_a_row_of_no_weight_teaches_nothing() -> None:
    rows = log(1_000)
    half = np.repeat([1.0, 0.0], 500)
    of_half, first = fit_rates(rows, half), fit_rates(rows.select(np.arange(500)), np.ones(500))
    both = np.zeros((2, 1)), np.array([0, 1])
    # the pull is of 200 rows of average weight, which is 0.5 here
    earned = [rows.reward[:500][rows.action[:500] == a].sum() for a in (0, 1)]
    seen = [(rows.action[:500] == a).sum() for a in (0, 1)]
    overall = rows.reward[:500].mean()
    assert of_half.expected(*both) == pytest.approx(
        [(e + 100 * overall) / (n + 100) for e, n in zip(earned, seen, strict=True)]
    )
    assert first.expected(*both).shape == (2,)


@pytest.mark.parametrize("kind", ["cells", "trees"])
def test_models_with_context_know_which_action_suits_whom(kind: str) -> None:
    fit = fit_trees if kind == "trees" else rates_by(lambda context: context[:, 0].astype(int), 2)
    model = fit(log(), np.ones(4_000))
    who, what = np.array([[0.0], [0.0], [1.0], [1.0]], dtype=np.float32), np.array([0, 1, 0, 1])
    assert model.expected(who, what) == pytest.approx([0.4, 0.1, 0.1, 0.4], abs=0.08)


def test_logistic_regression_knows_actions_and_refuses_amounts() -> None:
    rows = log()
    better = LoggedActions(rows.time_s, rows.context, rows.action, (rows.action == 1) * rows.reward, 2)
    told = fit_logistic(better, np.ones(4_000)).expected(rows.context[:2], np.array([0, 1]))
    assert told[0] < 0.02 < 0.2 < told[1]
    with pytest.raises(SchemaError, match="fit_trees takes any amount"):
        fit_logistic(LoggedActions(rows.time_s, rows.context, rows.action, rows.reward * 3, 2), np.ones(4_000))


def test_one_kind_of_reward_is_a_rate_whatever_the_model() -> None:
    rows = log(200)
    never = LoggedActions(rows.time_s, rows.context, rows.action, np.zeros(200), 2)
    for fit in (fit_logistic, fit_trees):
        assert fit(never, np.ones(200)).expected(rows.context, rows.action).tolist() == [0.0] * 200


def test_one_block_is_refused() -> None:
    with pytest.raises(SchemaError, match="2 blocks or more"):
        cross_fit(log(10), np.array([0.5, 0.5]), fit_rates, blocks=1)


def test_models_of_early_blocks_make_expectations_noisier_than_one_model_of_all() -> None:
    # Shares of the four blocks: the first teaches blocks 2, 3, 4 (1, 1 / 2, 1 / 3), the second 1, 3, 4, the third 4.
    share = np.array([1 + 1 / 2 + 1 / 3, 1 + 1 / 2 + 1 / 3, 1 / 3, 0]) / 4
    assert block_noise(4) == pytest.approx(4 * (share @ share))
    assert block_noise(2) == pytest.approx(1.0)  # each tells the other: every row is used once
    assert cross_fit(log(400), np.array([0.5, 0.5]), fit_rates).noise == block_noise(4)
