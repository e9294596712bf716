"""Layouts out of real ones: who is near, what is borrowed, and which candidate the others agree with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError
from zhitou.creative.layout_retrieval import NOWHERE, Retriever, Slots, agreement, choose, in_slots, paired

TOP, MIDDLE, BOTTOM = (0.0, 0.0, 1.0, 0.2), (0.0, 0.4, 1.0, 0.2), (0.0, 0.8, 1.0, 0.2)


def _slots(*layouts: list[tuple[int, tuple[float, float, float, float]]], kinds: int = 3) -> Slots:
    most = max(map(len, layouts))
    boxes, kind = np.zeros((len(layouts), most, 4)), np.zeros((len(layouts), most), dtype=np.int64)
    present = np.zeros((len(layouts), most), dtype=bool)
    for row, elements in enumerate(layouts):
        for place, (number, box) in enumerate(elements):
            boxes[row, place], kind[row, place], present[row, place] = box, number, True
    return in_slots(boxes, present, kind, kinds)


def test_places_are_by_kind_and_then_as_one_reads() -> None:
    found = _slots([(2, TOP), (1, BOTTOM), (1, MIDDLE)], [(0, TOP)])
    assert found.kinds.tolist() == [[1, 1, 2], [0, 0, 0]]
    assert found.boxes[0].tolist() == [list(MIDDLE), list(BOTTOM), list(TOP)]
    assert found.present.tolist() == [[True, True, True], [True, False, False]]
    assert found.counts.tolist() == [[0, 2, 1], [1, 0, 0]]
    with pytest.raises(ConfigError, match="0 to 1"):
        _slots([(2, TOP)], kinds=2)


def test_the_nearest_exemplar_lends_its_boxes_and_the_next_one_what_it_lacks() -> None:
    corpus = _slots([(0, TOP)], [(0, MIDDLE), (1, BOTTOM)], [(2, TOP)])
    query = _slots([(0, TOP), (0, TOP), (1, TOP)])
    found = Retriever(corpus).candidates(query, 2)
    assert found.rows[0].tolist() == [1, 0]  # one missing, against two
    assert found.boxes[0, 0].tolist() == [list(MIDDLE), list(TOP), list(BOTTOM)]
    assert found.borrowed[0].tolist() == [[False, True, False], [False, True, True]]
    alone = Retriever(corpus).candidates(_slots([(0, TOP)]), 2, leave_out=np.array([0]))
    assert 0 not in alone.rows[0]
    with pytest.raises(ConfigError, match="4 candidates"):
        Retriever(corpus).candidates(query, 4)


def test_a_kind_that_no_exemplar_has_still_gets_a_box() -> None:
    found = Retriever(_slots([(0, TOP)])).candidates(_slots([(1, TOP)]), 1)
    assert found.boxes[0, 0, 0].tolist() == list(NOWHERE)


def test_the_layout_that_the_others_agree_with_is_chosen_though_another_is_nearest() -> None:
    candidates = np.array([[BOTTOM], [TOP], [TOP]])
    assert choose(candidates, np.array([0]), np.array([0.4, 0.3, 0.3])).tolist() == [list(TOP)]
    assert choose(candidates, np.array([0]), np.array([0.7, 0.15, 0.15])).tolist() == [list(BOTTOM)]


def test_each_kind_may_follow_another_candidate_unless_that_heaps_boxes() -> None:
    kinds = np.array([0, 1])
    candidates = np.array([[TOP, MIDDLE], [BOTTOM, TOP], [TOP, TOP]])
    weight = np.array([0.3, 0.35, 0.35])
    free = choose(candidates, kinds, weight)
    assert free.tolist() == [list(TOP), list(TOP)]  # each the likeliest by itself
    apart = choose(candidates, kinds, weight, overlap_price=0.5)
    assert apart.tolist() in ([list(TOP), list(MIDDLE)], [list(BOTTOM), list(TOP)])
    assert choose(candidates, kinds, weight, whole=True).tolist() in candidates.tolist()


def test_a_candidate_without_weight_can_be_chosen_but_never_votes() -> None:
    around = [(0.34, 0.4), (0.46, 0.4), (0.4, 0.34), (0.4, 0.46)]
    options = np.array([[(x, y, 0.2, 0.2)] for x, y in [*around, (0.4, 0.4)]])
    made = choose(options, np.array([0]), np.array([0.25, 0.25, 0.25, 0.25, 0.0]))
    assert made.tolist() == [[0.4, 0.4, 0.2, 0.2]]  # .14 / .26 with each; one of the four is .475 with all of them


def test_boxes_of_one_kind_are_matched_before_they_are_compared() -> None:
    two = np.array([[TOP, BOTTOM], [BOTTOM, TOP]])
    assert agreement(two).tolist() == pytest.approx(np.full((2, 2), 2.0))
    assert paired(two[0], two[1], np.array([4, 4])).tolist() == two[0].tolist()
    assert paired(two[0], two[1], np.array([4, 5])).tolist() == two[1].tolist()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_choice_is_always_made_of_the_candidates_boxes(seed: int) -> None:
    draw = np.random.default_rng(seed)
    kinds = np.sort(draw.integers(0, 3, 5))
    boxes = draw.random((4, 5, 4))
    made = choose(boxes, kinds, draw.random(4) + 0.01, overlap_price=draw.random())
    for kind in np.unique(kinds):
        part = kinds == kind
        assert any(np.array_equal(made[part], some[part]) for some in boxes)
