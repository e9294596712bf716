"""Whether a probability means what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.evaluation.calibration import (
    calibration_error_by_chance,
    calibration_ratio,
    expected_calibration_error,
    fit_for_bidding,
    group_ratios,
    reliability,
)
from zhitou.evaluation.experiment import Estimate


def test_the_ratio_is_predicted_over_observed() -> None:
    ratio = calibration_ratio(np.array([True, False, False, False]), np.array([0.5, 0.3, 0.2, 0.2]))
    assert ratio.value == pytest.approx(1.2 / 1)


def test_without_positives_only_the_lower_end_of_the_ratio_is_known() -> None:
    # At most 3.6889 events are expected where none was seen (exp(-3.6889) = 0.025).
    ratio = calibration_ratio(np.zeros(10, dtype=bool), np.full(10, 0.5))
    assert (ratio.value, ratio.high) == (math.inf, math.inf)
    assert ratio.low == pytest.approx(5 / -math.log(0.025))


def test_the_error_is_the_mean_gap_of_equally_full_bins() -> None:
    p = np.array([0.1, 0.1, 0.6, 0.6])
    y = np.array([False, False, True, True])
    assert expected_calibration_error(y, p, bins=2) == pytest.approx((0.1 + 0.4) / 2)
    low, high = reliability(y, p, bins=2)
    assert (low.n, low.predicted, low.observed.value) == (2, pytest.approx(0.1), 0)
    assert (high.n, high.predicted, high.observed.value) == (2, pytest.approx(0.6), 1)


def test_equal_predictions_share_a_bin_whatever_their_order() -> None:
    p = np.full(10, 0.5)
    y = np.arange(10) < 5
    assert expected_calibration_error(y, p, bins=5) == 0
    assert expected_calibration_error(~y, p, bins=5) == 0


def test_a_calibrated_model_shows_the_error_that_chance_gives() -> None:
    rng = np.random.default_rng(3)
    p = rng.uniform(0.01, 0.05, 20_000)
    seen = expected_calibration_error(rng.random(20_000) < p, p)
    chance = calibration_error_by_chance(p, np.random.default_rng(4), draws=400)
    assert chance.low <= seen <= chance.high
    assert expected_calibration_error(rng.random(20_000) < p, p * 1.3) > chance.high


def test_no_rows_have_no_calibration() -> None:
    none = np.zeros(0)
    assert math.isnan(expected_calibration_error(none.astype(bool), none))
    assert reliability(none.astype(bool), none) == ()


def test_groups_with_few_positives_are_shown_and_not_judged() -> None:
    groups = np.array(["site"] * 400 + ["push"] * 4)
    labels = np.array([True, False] * 202)
    site, push = reversed(group_ratios(groups, labels, np.full(404, 0.6)))
    assert (site.group, site.positives, site.judged, site.ratio.value) == ("site", 200, True, pytest.approx(1.2))
    assert (push.group, push.positives, push.judged) == ("push", 2, False)
    right = Estimate(1.0, 0.9, 1.1)
    assert fit_for_bidding(right)
    assert fit_for_bidding(right, (push,))
    assert not fit_for_bidding(right, (site,))
    assert not fit_for_bidding(Estimate(1.04, 0.9, 1.1))
