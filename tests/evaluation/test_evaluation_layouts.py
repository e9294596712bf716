"""Measures of layouts: sums that one can redo by hand, and the published rows that prove them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, SourceError
from zhitou.evaluation import layouts as measure
from zhitou.events.sources.layouts import Layouts, RicoBenchmark, read_dsgan, read_real_posters, read_rico

TEXT, LOGO, UNDERLAY = 0, 1, 2


def _one(*boxes: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([boxes]), np.ones((1, len(boxes)), dtype=bool)


def _dsgan() -> Layouts:
    try:
        return read_dsgan()
    except SourceError as missing:
        pytest.skip(f"{missing}; set ZHITOU_DATA to the folder that holds it")


def _rico() -> RicoBenchmark:
    try:
        return read_rico()
    except SourceError as missing:
        pytest.skip(f"{missing}; set ZHITOU_DATA to the folder that holds it")


def test_two_boxes_that_share_half_overlap_by_half_of_each() -> None:
    boxes, present = _one((0, 0, 0.4, 0.5), (0.2, 0, 0.4, 0.5))
    assert measure.pair_overlap(boxes, present) == pytest.approx([(0.5 + 0.5) / 2])
    assert measure.pair_iou(boxes, present)[0, 0, 1] == pytest.approx(0.1 / 0.3)
    assert measure.poster_overlap(boxes, present) == pytest.approx([0.1 / 0.3 / 2])
    assert measure.mean_overlap(boxes, present) == pytest.approx([0.1 / 0.3])


def test_alignment_is_the_nearest_line_of_each_element() -> None:
    boxes, present = _one((0.1, 0, 0.2, 0.1), (0.13, 0.5, 0.3, 0.31))  # left edges lie .03 apart, all else further
    assert measure.alignment(boxes, present) == pytest.approx([-math.log(1 - 0.03)])
    assert measure.ralf_alignment(boxes, present) == pytest.approx([-math.log10(1 - 0.03)])
    assert measure.poster_alignment(boxes, present) == pytest.approx([-2 * math.log10(1 - 0.03)])


def test_a_single_element_has_no_alignment_and_no_overlap() -> None:
    boxes, present = _one((0.1, 0.1, 0.2, 0.2))
    assert np.isnan(measure.alignment(boxes, present)).all()
    assert np.isnan(measure.pair_overlap(boxes, present)).all()
    assert measure.poster_alignment(boxes, present) == [0.0]
    assert math.isnan(measure.average(measure.alignment(boxes, present)))


def test_an_underlay_holds_text_whole_or_in_part() -> None:
    boxes, present = _one((0.1, 0.1, 0.4, 0.4), (0.2, 0.2, 0.2, 0.2), (0.6, 0.6, 0.2, 0.2), (0.7, 0.6, 0.2, 0.2))
    kinds = np.array([[UNDERLAY, TEXT, UNDERLAY, TEXT]])
    assert measure.underlay_loose(boxes, present, kinds, UNDERLAY) == pytest.approx([(1 + 0.5) / 2])
    assert measure.underlay_strict(boxes, present, kinds, UNDERLAY) == [0.5]
    assert measure.ralf_underlay_strict(boxes, present, kinds, UNDERLAY) == [0.5]
    assert np.isnan(measure.underlay_strict(boxes, present, np.zeros_like(kinds), UNDERLAY)).all()


def test_the_published_code_takes_text_that_sticks_out_on_the_right_for_held() -> None:
    boxes, present = _one((0.1, 0.1, 0.4, 0.4), (0.2, 0.2, 0.7, 0.2))
    kinds = np.array([[UNDERLAY, TEXT]])
    assert measure.underlay_strict(boxes, present, kinds, UNDERLAY) == [0.0]
    assert measure.underlay_strict(boxes, present, kinds, UNDERLAY, published=True) == [1.0]


def test_an_element_below_a_thousandth_of_the_canvas_is_empty() -> None:
    boxes, present = _one(
        (0, 0, 0.03, 0.03), (0.5, 0.5, 0.4, 0.4), (0.99, 0.2, 0.5, 0.05)
    )  # .0009, .16, .0005 inside
    assert measure.valid(boxes, present).tolist() == [[False, True, False]]
    assert measure.validity(boxes, present) == pytest.approx(1 / 3)
    assert measure.outside(*_one((0.9, 0.0, 0.2, 0.5))) == pytest.approx([0.5])


def test_saliency_and_gradients_are_averaged_under_the_elements() -> None:
    boxes, present = _one((0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.5, 0.5))
    picture = np.array([[[1.0, 0.0], [0.2, 0.0]]])  # the left half is covered
    kinds = np.array([[TEXT, UNDERLAY]])
    assert measure.occlusion(boxes, present, picture) == pytest.approx([0.6])
    assert measure.utility(boxes, present, picture) == pytest.approx([0.8 / 2.8])
    assert measure.unreadability(boxes, present, kinds, TEXT, UNDERLAY, picture) == pytest.approx([0.2])


def test_a_copy_covers_everything_and_a_heap_almost_nothing() -> None:
    real = np.random.default_rng(1).random((60, 3))
    copy = measure.spread(real, real.copy())
    assert (copy.coverage, copy.precision, copy.recall) == (1.0, 1.0, 1.0)
    heap = measure.spread(real, np.tile(real[:1], (60, 1)))
    assert heap.precision == 1.0
    assert heap.coverage < 0.25
    assert heap.recall == 0.0
    with pytest.raises(ConfigError, match="5 neighbours"):
        measure.spread(real[:5], real)


def test_two_samples_of_one_source_have_the_coverage_that_theory_says() -> None:
    draw = np.random.default_rng(2)
    found = measure.spread(draw.normal(size=(800, 4)), draw.normal(size=(800, 4)))
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.025)
    assert found.density == pytest.approx(1, abs=0.12)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_absent_places_and_the_order_of_elements_change_nothing(seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    boxes = np.concatenate([0.6 * draw.random((1, n, 2)), 0.05 + 0.3 * draw.random((1, n, 2))], -1)
    present, kinds = np.ones((1, n), dtype=bool), draw.integers(0, 3, (1, n))
    order = draw.permutation(n)
    wider = np.concatenate([boxes[:, order], np.full((1, 2, 4), np.nan)], 1)
    seen, sorts = np.pad(present, ((0, 0), (0, 2))), np.pad(kinds[:, order], ((0, 0), (0, 2)))
    for of in (measure.alignment, measure.pair_overlap, measure.poster_alignment, measure.mean_overlap):
        assert of(wider, seen) == pytest.approx(of(boxes, present), nan_ok=True)
    for under in (measure.underlay_loose, measure.underlay_strict):
        want = under(boxes, present, kinds, UNDERLAY)
        assert under(wider, seen, sorts, UNDERLAY) == pytest.approx(want, nan_ok=True)


def test_ds_gans_published_row_comes_out_to_four_decimals() -> None:
    made = _dsgan()
    present = measure.valid(made.boxes, made.present)
    said = (made.boxes, present, made.kinds, UNDERLAY)
    row = (
        measure.validity(made.boxes, made.present),
        measure.average(measure.poster_overlap(made.boxes, present & (made.kinds != UNDERLAY))),
        measure.average(measure.poster_alignment(made.boxes, present)),
        measure.average(measure.underlay_loose(*said)),
        measure.average(measure.underlay_strict(*said, published=True)),
        measure.average(measure.underlay_strict(*said)),
    )
    assert [round(value, 4) for value in row] == [0.8788, 0.0220, 0.0046, 0.8315, 0.4320, 0.4254]


def test_layoutdm_and_real_interfaces_have_their_known_alignment_and_overlap() -> None:
    data = _rico()
    for some, aligned, overlap in ((data.layoutdm, 0.226, 92.9), (data.real, 0.071, 67.5)):
        test = some.select(data.test)
        assert round(100 * measure.average(measure.alignment(test.boxes, test.present)), 3) == aligned
        assert round(100 * measure.average(measure.pair_overlap(test.boxes, test.present)), 1) == overlap


def test_the_mean_of_8734_real_posters_is_what_generated_layouts_are_held_against() -> None:
    try:
        table = read_real_posters()
    except SourceError as missing:
        pytest.skip(f"{missing}; set ZHITOU_DATA to the folder that holds it")
    names = ("overlay", "alignment-LayoutGAN++", "underlay_effectiveness_loose", "underlay_effectiveness_strict")
    found = [measure.average(table[name]) for name in names]
    assert found == pytest.approx([0.0012, 0.00265, 0.9970, 0.9905], abs=5e-5)
