"""Uplift learners: they find who is moved, judge no row they were fitted on, and change nothing without proof."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import SchemaError
from zhitou.evaluation.uplift import rank_quality
from zhitou.response.uplift import (
    LEARNERS,
    Base,
    Learner,
    Trial,
    best_arms,
    choose_arms,
    cross_fitted,
    expected_outcomes,
    fit_uplift,
)

HALF = np.full(2, 0.5)


def trial(rows: int, moved: float, seed: int = 0) -> Trial:
    """Half of the shoppers, those whose first field is positive, are moved by `moved`; the others by as much less."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(rows, 3))
    arm = (rng.random(rows) < 0.5).astype(np.int8)
    chance = 0.3 + 0.1 * (fields[:, 1] > 0) + arm * moved * np.sign(fields[:, 0])
    return Trial(fields, arm, (rng.random(rows) < chance).astype(float), HALF)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("base", ["linear", "trees"])
def test_every_learner_ranks_those_who_are_moved_first(learner: Learner, base: Base) -> None:
    known = trial(4_000, 0.2)
    uplift = cross_fitted(known, Chance(1), learner, base, folds=2)
    assert uplift.shape == (4_000, 1)
    assert rank_quality(uplift[:, 0], known.arm == 1, known.outcome).qini > 0.1
    assert np.corrcoef(uplift[:, 0], np.sign(known.fields[:, 0]))[0, 1] > 0.5


def test_an_uplift_that_is_the_same_for_all_is_found_as_one_number() -> None:
    rng = np.random.default_rng(1)
    arm = (np.arange(2_000) % 2).astype(np.int8)
    same = Trial(np.zeros((2_000, 1)), arm, 1.0 + 0.25 * arm, HALF)
    for learner in LEARNERS:
        effect = fit_uplift(same, Chance(2), learner, "linear").predict(rng.normal(size=(5, 1)))
        assert effect == pytest.approx(np.full((5, 1), 0.25), abs=1e-3)


def test_the_same_chance_gives_the_same_uplifts() -> None:
    known = trial(1_000, 0.1)
    one, other = (cross_fitted(known, Chance(3), "dr", "trees", folds=2) for _ in range(2))
    assert (one == other).all()


def test_a_row_s_own_outcome_never_enters_its_expected_outcomes() -> None:
    known = trial(400, 0.1)
    moved = known.outcome.copy()
    moved[7] += 1_000
    before = expected_outcomes(known, Chance(4))
    after = expected_outcomes(replace(known, outcome=moved), Chance(4))
    assert (before[7] == after[7]).all()
    assert (before != after).any()


def test_choosing_by_shopper_is_kept_where_it_is_proven() -> None:
    choice = choose_arms(trial(4_000, 0.2), Chance(5), "t", "linear")
    assert choice.personal
    assert choice.gain.low > 0
    assert "personal choice gains" in str(choice)
    arms = choice.arms(np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]]))
    assert arms.tolist() == [1, 0]


def test_no_personalisation_gain_is_said_where_nobody_differs() -> None:
    rng = np.random.default_rng(6)
    arm = rng.integers(0, 3, 3_000).astype(np.int8)
    outcome = (rng.random(3_000) < np.array([0.1, 0.3, 0.2])[arm]).astype(float)
    known = Trial(rng.normal(size=(3_000, 4)), arm, outcome, np.full(3, 1 / 3))
    choice = choose_arms(known, Chance(6), "dr", "linear")
    assert (choice.personal, choice.best_arm) == (False, 1)
    assert "no personalisation gain" in str(choice)
    assert (choice.arms(known.fields) == 1).all()


def test_a_null_trial_is_seldom_personalised() -> None:
    personal = [
        choose_arms(trial(300, 0.0, seed), Chance(seed), "t", "linear", folds=2).personal for seed in range(100)
    ]
    assert sum(personal) <= 7


def test_the_control_is_best_where_every_mail_repels() -> None:
    assert best_arms(np.array([[-0.1, -0.2], [0.1, 0.2], [0.0, -0.1]])).tolist() == [0, 2, 0]


def test_trials_that_cannot_be_read_are_refused() -> None:
    known = trial(20, 0.0)
    with pytest.raises(SchemaError, match="align them by row"):
        replace(known, arm=known.arm[:-1])
    with pytest.raises(SchemaError, match="in each of 2 arms"):
        replace(known, arm=np.zeros(20, dtype=np.int8))
    with pytest.raises(SchemaError, match="folds"):
        cross_fitted(known, Chance(1), folds=15)
