"""How large an experiment must be: the published table, and what peeking, users and clicks cost."""

from __future__ import annotations

import math

import pytest

from zhitou.evaluation.power import (
    design_effect,
    detectable_lift,
    impressions_for_clicks,
    power,
    sample_size,
    sequence_factor,
    size_for_half_width,
)


@pytest.mark.parametrize(
    ("rate", "lift", "find", "surely", "measure"),
    [
        (0.0035, 0.30, 57_078, 94_498, 1.31e6),
        (0.005, 0.30, 39_885, 66_034, 0.914e6),
        (0.005, 0.05, 1.28e6, 2.12e6, 0.66e6),
        (0.02, 0.20, 21_109, 34_947, 198e3),
        (1e-4, 0.20, 4.3e6, 7.1e6, 40.6e6),
        (0.0057, 0.20, 75_260, 124_599, 0.71e6),
    ],
)
def test_sizes_to_find_and_to_measure_are_those_of_the_table(
    rate: float, lift: float, find: float, surely: float, measure: float
) -> None:
    assert sample_size(rate, lift) == pytest.approx(find, rel=0.01)
    assert sample_size(rate, lift, power=0.95) == pytest.approx(surely, rel=0.01)
    assert size_for_half_width(rate, lift, 0.05) == pytest.approx(measure, rel=0.01)


def test_power_and_size_and_detectable_lift_are_one_equation() -> None:
    n = sample_size(0.005, 0.30)
    assert power(0.005, 0.30, n) == pytest.approx(0.8, abs=1e-4)
    assert detectable_lift(0.005, n) == pytest.approx(0.30, abs=1e-4)
    assert detectable_lift(0.005, 1) == math.inf


def test_a_test_of_conversions_per_click_is_as_long_as_its_impressions() -> None:
    assert impressions_for_clicks(21_109, 0.005) == 4_221_800


def test_users_with_several_rows_need_more_of_them() -> None:
    assert design_effect(1, 0.3) == 1
    assert design_effect(11, 0.1) == pytest.approx(1 + 10 * 0.1)
    assert design_effect(11, 0.1, rows_cv=1.0) == pytest.approx(1 + 21 * 0.1)


def test_peeking_costs_2_4_times_the_units() -> None:
    assert sequence_factor() == pytest.approx(2.4, abs=0.05)
