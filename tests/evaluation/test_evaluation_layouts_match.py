"""Matching made layouts to real ones: MaxIoU and DocSim by hand, and LayoutDM's published figure."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import ConfigError, SourceError
from zhitou.evaluation.layouts_match import Elements, box_iou, doc_sim, elements, layout_iou, max_iou
from zhitou.events.sources.layouts import read_rico

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0)


def _layout(kinds: list[int], *boxes: tuple[float, float, float, float]) -> Elements:
    return Elements(np.array(kinds), np.array(boxes))


def test_elements_of_one_kind_may_be_matched_crosswise_but_not_across_kinds() -> None:
    assert layout_iou(_layout([3, 3], LEFT, RIGHT), _layout([3, 3], RIGHT, LEFT)) == 1.0
    assert layout_iou(_layout([3, 4], LEFT, RIGHT), _layout([3, 4], RIGHT, LEFT)) == 0.0
    with pytest.raises(ConfigError, match="same kinds"):
        layout_iou(_layout([3], LEFT), _layout([4], LEFT))


def test_max_iou_matches_layouts_of_one_label_set_and_leaves_the_others_out() -> None:
    made = [_layout([1], LEFT), _layout([1], RIGHT), _layout([2], LEFT)]
    real = [_layout([1], RIGHT), _layout([1], (0.0, 0.0, 0.25, 1.0)), _layout([5], LEFT)]
    assert sorted(max_iou(made, real).tolist()) == pytest.approx([0.5, 1.0])
    assert len(max_iou(made, [])) == 0


def test_elements_are_taken_by_kind_whatever_their_order() -> None:
    boxes, kinds = np.array([[LEFT, RIGHT, LEFT]]), np.array([[7, 2, 9]])
    (found,) = elements(boxes, np.array([[True, True, False]]), kinds)
    assert found.kinds.tolist() == [2, 7]
    assert found.boxes.tolist() == [list(RIGHT), list(LEFT)]


def test_two_equal_pages_have_a_doc_sim_of_the_root_of_their_area() -> None:
    assert doc_sim(_layout([1], LEFT), _layout([1], LEFT)) == pytest.approx(0.5**0.5)
    assert doc_sim(_layout([1], LEFT), _layout([1], RIGHT)) == pytest.approx(0.5**0.5 * 2**-0.5)
    assert doc_sim(_layout([1], LEFT), _layout([2], LEFT)) == 0.0
    assert doc_sim(_layout([1], LEFT), _layout([1] * 4, LEFT, LEFT, LEFT, LEFT)) == 0.0


def test_boxes_without_area_have_no_iou() -> None:
    assert box_iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


def test_layoutdm_comes_out_as_published_and_on_the_fixed_split() -> None:
    try:
        data = read_rico()
    except SourceError as missing:
        pytest.skip(f"{missing}; set ZHITOU_DATA to the folder that holds it")
    made, real = (elements(some.boxes, some.present, some.kinds) for some in (data.layoutdm, data.real))
    assert max_iou(made, real).mean() == pytest.approx(0.27705, abs=1e-5)
    test = data.test.tolist()
    on_split = max_iou([made[row] for row in test], [real[row] for row in test])
    assert len(on_split) == 844
    assert round(float(on_split.mean()), 4) == 0.2745
