"""Position effects: what can be told apart from appeal, and what cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import SchemaError
from zhitou.response.position import appeals, fit_positions, share_predicted


def test_one_item_shown_alike_in_two_positions_gives_the_ratio_of_its_clicks() -> None:
    found = fit_positions(np.array([[4000, 2000]]), np.array([[10**6, 10**6]]))
    assert found.effects[0].value == 1.0
    assert found.effects[1].value == pytest.approx(2000 / 4000, rel=1e-3)
    # the log of a ratio of two counts has variance 1 / 4000 + 1 / 2000
    assert found.log_covariance[0, 0] == pytest.approx(1 / 4000 + 1 / 2000, rel=1e-3)
    assert found.p_value < 1e-6


def test_how_often_an_item_stood_there_is_not_mistaken_for_the_position() -> None:
    found = fit_positions(np.array([[3000, 1000]]), np.array([[300_000, 100_000]]))
    assert found.effects[1].value == pytest.approx(1.0, abs=1e-3)


def test_a_weak_item_in_the_last_slot_does_not_make_the_slot_weak() -> None:
    # both items lose nothing by position; the better one stands first nine times in ten
    shown = np.array([[90_000, 10_000], [10_000, 90_000]])
    clicks = shown * np.array([[0.10], [0.01]])
    assert clicks.sum(0)[1] / clicks.sum(0)[0] < 0.25
    assert fit_positions(clicks, shown).effects[1].value == pytest.approx(1.0, abs=1e-3)


def test_items_that_never_moved_identify_nothing_and_the_answer_says_so() -> None:
    found = fit_positions(np.array([[50, 0], [0, 20], [0, 30]]), np.array([[100, 0], [0, 100], [0, 100]]))
    assert found.effects == ()
    assert found.refusal == "not identified: each of 3 items stood in one position only"


def test_positions_that_no_item_ties_together_are_not_compared() -> None:
    shown = np.array([[9, 9, 0, 0], [0, 0, 9, 9]])
    found = fit_positions(np.ones((2, 4)) * (shown > 0), shown)
    assert found.refusal is not None
    assert found.refusal.startswith("not identified: no chain of items ties positions [2, 3] to position 0")


def test_an_item_that_stood_in_one_position_changes_nothing() -> None:
    shown, clicks = np.array([[100, 100, 50]]), np.array([[40, 30, 5]])
    alone = fit_positions(clicks, shown)
    beside = fit_positions(np.vstack([clicks, [[0, 900, 0]]]), np.vstack([shown, [[0, 1000, 0]]]))
    assert beside.effects == alone.effects
    assert beside.clicks_used == 75


def test_a_position_without_clicks_is_bounded_and_not_zero() -> None:
    found = fit_positions(np.array([[5, 0]]), np.array([[100, 100]]))
    assert 0 < found.effects[1].low < found.effects[1].value < 1
    assert math.isfinite(found.effects[1].high)


def test_truth_lies_in_nineteen_of_twenty_intervals() -> None:
    theta = np.array([1.0, 0.6, 0.3])
    inside = []
    for seed in range(200):
        rng = Chance(seed).stream("positions")
        appeal = rng.gamma(2.0, 0.01, 30)
        shown = rng.integers(0, 800, (30, 3))
        found = fit_positions(rng.poisson(shown * appeal[:, None] * theta), shown)
        inside += [e.low <= t <= e.high for e, t in zip(found.effects[1:], theta[1:], strict=True)]
    # 400 intervals: 95 % give or take three errors of sqrt(0.95 * 0.05 / 200), the two of a seed hanging together
    assert abs(np.mean(inside) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 200)


def test_with_clicks_alone_the_split_over_positions_of_a_click_is_learnt() -> None:
    found = fit_positions(np.array([[600, 300], [60, 30], [7, 0]]))
    assert found.effects[1].value == pytest.approx(0.5, rel=0.01)
    assert found.items_used == 2


def test_appeals_are_drawn_together_when_they_differ_by_chance_alone() -> None:
    same = appeals(np.array([[1, 0], [0, 1], [1, 0]]), np.full((3, 2), 50), np.ones(2))
    assert same == pytest.approx([3 / 300] * 3)
    theta = np.array([1.0, 0.5])
    apart = appeals(np.array([[400, 200], [40, 20]]), np.full((2, 2), 1000), theta)
    # 600 clicks in 1000 + 500 looks, 60 in as many
    assert apart == pytest.approx([600 / 1500, 60 / 1500], rel=0.05)
    assert apart[0] < 600 / 1500
    assert apart[1] > 60 / 1500


def test_the_split_of_clicks_is_scored_by_hand() -> None:
    clicks, shown = np.array([[3, 1], [5, 0]]), np.array([[10, 10], [10, 0]])
    # the second item could be clicked in one place only: no news, and five clicks in the count
    assert share_predicted(clicks, shown) == pytest.approx(4 * math.log(1 / 2) / 9)
    better = share_predicted(clicks, shown * np.array([1.0, 1 / 3]))
    assert better == pytest.approx((3 * math.log(3 / 4) + math.log(1 / 4)) / 9)


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(SchemaError, match="never shown there"):
        fit_positions(np.array([[1, 1]]), np.array([[5, 0]]))
    with pytest.raises(SchemaError, match="got a negative"):
        fit_positions(np.array([[1, -1]]))
    with pytest.raises(SchemaError, match=r"\[items, positions\]"):
        fit_positions(np.array([1, 2]), np.array([1, 2]))
