"""Uplift curves redone by hand, ties as one step, the order of rows without effect, policies by their shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import SchemaError
from zhitou.evaluation.uplift import (
    Ranking,
    arm_scores,
    policy_difference,
    policy_value,
    rank_quality,
    top_share,
    uplift_curve,
)

SCORE = np.array([0.9, 0.8, 0.8, 0.1])
TREATED = np.array([True, True, False, False])
BOUGHT = np.array([1.0, 0.0, 1.0, 0.0])


def test_a_curve_of_four_units_is_redone_by_hand() -> None:
    curve = uplift_curve(SCORE, TREATED, BOUGHT)
    assert curve.units.tolist() == [1, 3, 4]  # the two of 0.8 are one step
    assert curve.gains().tolist() == [1.0, 1 - 1 * 2 / 1, 1 - 1 * 2 / 2]
    assert curve.uplifts().tolist() == [1.0, (1 / 2 - 1 / 1) * 3, (1 / 2 - 1 / 2) * 4]


def test_qini_is_the_area_over_the_line_as_a_share_of_the_best_order() -> None:
    found = rank_quality(SCORE, TREATED, BOUGHT)
    ours = 1 * (0 + 1) / 2 + 2 * (1 - 1) / 2 + 1 * (-1 + 0) / 2
    # best: the treated buyer first (1 at 1), then who did nothing (1 at 3), then the buyer without treatment (0 at 4)
    best = 1 * 1 / 2 + 2 * 1 + 1 * 1 / 2
    assert found.qini == pytest.approx(ours / best)
    assert found.gain_per_unit == pytest.approx(ours / 4 / 4)
    # best uplift: treated buyer (1 at 1), control without (1 · 2 at 2), treated without (1/2 · 3), control buyer (0)
    best_uplift = 1 / 2 + (1 + 2) / 2 + (2 + 1.5) / 2 + 1.5 / 2
    assert found.auuc == pytest.approx((1 / 2 + 2 * (1 - 1.5) / 2 - 1.5 / 2) / best_uplift)


def quality(rows: list[tuple[int, bool, int]]) -> Ranking:
    score, treated, outcome = zip(*rows, strict=True)
    return rank_quality(np.array(score, dtype=float), np.array(treated), np.array(outcome))


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 1)), min_size=2, max_size=40), st.randoms()
)
def test_the_order_of_rows_changes_no_bit(rows: list[tuple[int, bool, int]], random: object) -> None:
    arms = {treated for _, treated, _ in rows}
    if len(arms) < 2:
        return
    mixed = list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert quality(rows) == quality(mixed)


def test_money_in_any_order_of_rows_sums_to_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    score, treated, spent = rng.integers(0, 5, 500) / 10, rng.random(500) < 0.5, rng.exponential(0.1, 500)
    order = rng.permutation(500)
    one = rank_quality(score, treated, spent)
    other = rank_quality(score[order], treated[order], spent[order])
    assert math.isnan(one.qini)
    assert one.gain_per_unit == other.gain_per_unit != 0
    assert uplift_curve(score, treated, spent).treated_total[-1] == pytest.approx(spent[treated].sum())


def test_one_score_for_everybody_ranks_nobody() -> None:
    found = rank_quality(np.zeros(4), TREATED, BOUGHT)
    assert (found.qini, found.auuc, found.gain_per_unit) == (0, 0, 0)
    assert rank_quality(np.array([0.0, -0.0, 0.0, -0.0]), TREATED, BOUGHT) == found


def test_scores_that_differ_in_their_last_bit_are_two_scores() -> None:
    score = np.array([1.0, np.nextafter(1.0, 2.0), -1e-300, 1e-300])
    assert len(uplift_curve(score, TREATED, BOUGHT).units) == 4


def test_areas_without_the_curve_equal_those_below_it() -> None:
    rng = np.random.default_rng(1)
    score, treated = np.round(rng.normal(size=3_000), 2), rng.random(3_000) < 0.4
    outcome = (rng.random(3_000) < 0.1 + 0.1 * treated * (score > 0)).astype(float)
    curve = uplift_curve(score, treated, outcome)
    over = np.trapezoid(np.append(0, curve.gains()), np.append(0, curve.units)) - 3_000 * curve.gains()[-1] / 2
    assert rank_quality(score, treated, outcome).gain_per_unit == pytest.approx(over / 3_000**2)
    assert rank_quality(score, treated, outcome).qini > rank_quality(-score, treated, outcome).qini


@pytest.mark.parametrize(
    ("score", "treated", "outcome"),
    [
        ([1.0, math.nan], [True, False], [0.0, 1.0]),
        ([1.0, 2.0], [True, False], [0.0, math.inf]),
        ([1.0, 2.0], [True, True], [0.0, 1.0]),
        ([1.0, 2.0], [True, False], [0.0]),
    ],
)
def test_a_curve_without_numbers_or_without_a_control_is_refused(
    score: list[float], treated: list[bool], outcome: list[float]
) -> None:
    with pytest.raises(SchemaError, match="expected"):
        rank_quality(np.array(score), np.array(treated), np.array(outcome))


def test_doubly_robust_scores_are_the_model_mended_where_the_arm_was_given() -> None:
    scores = arm_scores(
        np.array([0, 1]), np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([[0.4, 0.6], [0.2, 0.3]])
    )
    assert scores == pytest.approx(np.array([[0.4 + 0.6 / 0.5, 0.6], [0.2, 0.3 - 0.3 / 0.5]]))
    assert arm_scores(np.array([1]), np.array([1.0]), np.array([0.8, 0.2])).tolist() == [[0.0, 5.0]]


def test_a_policy_against_itself_has_no_noise() -> None:
    scores = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])
    arms = np.array([0, 1, 1])
    same = policy_difference(scores, arms, arms)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert policy_value(scores, arms).value == pytest.approx((0 + 0 + 1) / 3)
    assert policy_value(scores, np.full((3, 2), 0.5)).value == pytest.approx((0.5 + 1 + 1) / 3)


def test_units_tied_at_the_cut_share_the_treatments_that_are_left() -> None:
    policy = top_share(np.array([3.0, 1.0, 1.0, 1.0]), 0.5)
    assert policy[:, 1] == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3])
    assert top_share(np.array([1.0, 2.0]), 0.0)[:, 1].tolist() == [0, 0]
    assert top_share(np.array([1.0, 2.0]), 1.0)[:, 1].tolist() == [1, 1]
