"""Probabilities by hand, and draws that have exactly the propensities they state."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.strategy.exploration import inverse_gap, one_after_another, slate

SCORE = np.asarray([[10.0, 8.0, 5.0]])
ALL = np.ones((1, 3), dtype=bool)


def test_an_ad_is_tried_less_the_further_it_is_behind() -> None:
    chances = inverse_gap(SCORE, ALL, gamma=10.0, floor=0.0)[0]
    # gaps of 0.2 and 0.5 of the best score: 1 / (3 + 10 * 0.2) and 1 / (3 + 10 * 0.5)
    assert chances == pytest.approx([1 - 1 / 5 - 1 / 8, 1 / 5, 1 / 8])


def test_without_gamma_all_of_the_top_are_alike() -> None:
    assert inverse_gap(SCORE, ALL, gamma=0.0, floor=0.0)[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_the_currency_does_not_matter() -> None:
    dear = inverse_gap(SCORE * 1e6, ALL, gamma=10.0, floor=0.0)
    assert dear == pytest.approx(inverse_gap(SCORE, ALL, gamma=10.0, floor=0.0))


def test_ads_behind_the_top_and_ineligible_ads_have_no_chance_at_all() -> None:
    score, eligible = np.asarray([[4.0, 3.0, 2.0, 9.0]]), np.asarray([[True, True, True, False]])
    chances = inverse_gap(score, eligible, 1.0, 0.1, top=2)
    assert (chances[0] > 0).tolist() == [True, True, False, False]


def test_each_of_the_top_has_the_floor_and_the_rest_follows_the_formula() -> None:
    bare = inverse_gap(SCORE, ALL, gamma=1e6, floor=0.0)[0]
    floored = inverse_gap(SCORE, ALL, gamma=1e6, floor=0.05, top=3)[0]
    assert floored == pytest.approx(0.05 + (1 - 3 * 0.05) * bare)
    assert floored.min() >= 0.05


def test_a_floor_that_not_all_of_the_top_can_have_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="at most 1 / top"):
        inverse_gap(SCORE, ALL, gamma=1.0, floor=0.5, top=3)


def test_a_nested_slate_explores_the_second_slot_as_a_first_slot_among_the_others() -> None:
    nested = inverse_gap(SCORE, ALL, gamma=10.0, floor=0.0, slots=2)[0]
    first = inverse_gap(SCORE, ALL, gamma=10.0, floor=0.0)[0]
    without_best = np.asarray([[False, True, True]])
    second = inverse_gap(SCORE, without_best, gamma=10.0, floor=0.0)[0]
    assert nested[0] == pytest.approx(first[0])  # the best ad's share stays
    assert nested[1:] / (1 - nested[0]) == pytest.approx(second[1:])


def test_requests_without_an_eligible_ad_have_no_chances_to_draw_from() -> None:
    nobody = np.zeros((1, 3), dtype=bool)
    chances = inverse_gap(SCORE, nobody, gamma=10.0, floor=0.01)
    assert chances.tolist() == [[0.0, 0.0, 0.0]]
    order, propensity = slate(chances, np.asarray([[0.5]]))
    assert order.tolist() == [[-1]]
    assert np.isnan(propensity).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 0.06), st.integers(1, 4))
def test_rows_sum_to_one_and_the_top_keeps_its_floor(seed: int, gamma: float, floor: float, slots: int) -> None:
    rng = Chance(seed).stream("exploration")
    score, eligible = rng.random((20, 30)) * 1e6, rng.random((20, 30)) < 0.3
    chances = inverse_gap(score, eligible, gamma, floor, top=16, slots=slots)
    assert chances.sum(axis=1) == pytest.approx(eligible.any(axis=1).astype(float))
    assert not chances[~eligible].any()
    assert ((chances > 0).sum(axis=1) <= 16).all()
    assert chances[chances > 0].min() >= floor * (1 - 1e-9)


def test_each_slot_is_drawn_from_what_is_left_above_it() -> None:
    chances = np.asarray([[0.5, 0.3, 0.2]])
    order, propensity = slate(chances, np.asarray([[0.6, 0.8]]))
    # 0.6 falls on ad 1 (0.5 to 0.8); then 0.8 * 0.7 = 0.56 falls on ad 2 (0.5 to 0.7)
    assert order.tolist() == [[1, 2]]
    assert propensity[0] == pytest.approx([0.3, 0.2 / 0.7])


def test_a_draw_has_the_propensity_it_states() -> None:
    chances, size = np.asarray([0.5, 0.3, 0.2]), 400
    grid = (np.arange(size) + 0.5) / size
    uniforms = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    order, propensity = slate(np.broadcast_to(chances, (len(uniforms), 3)), uniforms)
    for first, second in itertools.permutations(range(3), 2):
        hit = (order[:, 0] == first) & (order[:, 1] == second)
        expected = chances[first] * chances[second] / (1 - chances[first])
        assert hit.mean() == pytest.approx(expected, abs=2 / size)
        assert propensity[hit].prod(axis=1) == pytest.approx(expected)


def test_a_slate_never_shows_an_ad_twice_nor_one_without_a_chance() -> None:
    rng = Chance(3).stream("slate")
    chances = inverse_gap(rng.random((500, 12)), rng.random((500, 12)) < 0.3, 20.0, 0.01)
    order, propensity = slate(chances, rng.random((500, 4)))
    for row, p, mine in zip(order, propensity, chances, strict=True):
        shown = row[row >= 0]
        assert len(set(shown.tolist())) == len(shown) == min(4, int((mine > 0).sum()))
        assert (mine[shown] > 0).all()
        assert (p[: len(shown)] > 0).all()


def test_the_largest_uniform_draws_the_last_ad_with_a_chance() -> None:
    almost = np.nextafter(1.0, 0.0)
    order, _ = slate(np.asarray([[0.1] * 10 + [0.0]]), np.full((1, 1), almost))
    assert order.tolist() == [[9]]


def test_an_order_without_exploration_is_drawn_all_but_once_in_a_billion() -> None:
    wanted = np.asarray([[2, 0, -1]], dtype=np.int32)
    chances = one_after_another(wanted, 4)
    assert chances.sum() == pytest.approx(1.0)
    for u in (1e-6, 0.5, 0.999):
        order, propensity = slate(chances, np.full((1, 3), u))
        assert order.tolist() == [[2, 0, -1]]
        assert propensity[0, :2] == pytest.approx([1.0, 1.0], abs=1e-8)


def test_a_slate_shows_at_most_one_ad_of_a_group_with_exact_propensities():
    chances, group = np.asarray([[0.5, 0.3, 0.2]]), np.asarray([7, 7, 9])
    order, propensity = slate(chances, np.asarray([[0.4, 0.99]]), group)
    assert order.tolist() == [[0, 2]]
    assert propensity.tolist() == [[0.5, 0.2 / 0.2]]


def test_a_slate_ends_where_no_other_group_is_left():
    order, _ = slate(np.asarray([[0.6, 0.4]]), np.asarray([[0.1, 0.1]]), np.asarray([1, 1]))
    assert order.tolist() == [[0, -1]]


def test_the_second_leader_is_the_best_of_another_group():
    score, group = np.asarray([[4.0, 3.9, 2.0, 1.0]]), np.asarray([0, 0, 1, 2])
    chances = inverse_gap(score, np.ones((1, 4), dtype=bool), gamma=1e6, floor=0.0, slots=2, group=group)[0]
    assert chances[2] > chances[1] > 0
    assert chances.sum() == pytest.approx(1.0)
