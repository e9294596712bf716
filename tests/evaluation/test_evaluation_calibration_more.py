"""The largest calibration error, Brier's score, errors against a known truth, segments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.evaluation.calibration import (
    brier_score,
    calibration_error_of_truth,
    max_calibration_error,
    segment_errors,
)


def test_the_largest_error_is_that_of_the_worst_bin() -> None:
    p = np.array([0.1, 0.1, 0.6, 0.6])
    y = np.array([False, False, True, True])
    assert max_calibration_error(y, p, bins=2) == pytest.approx(1 - 0.6)
    assert math.isnan(max_calibration_error(y[:0], p[:0]))


def test_briers_score_is_the_mean_square_of_what_was_missed() -> None:
    assert brier_score(np.array([True, False]), np.array([0.7, 0.2])) == pytest.approx((0.3**2 + 0.2**2) / 2)
    assert math.isnan(brier_score(np.zeros(0), np.zeros(0)))


def test_against_the_truth_a_right_prediction_has_no_error() -> None:
    p = np.linspace(0.01, 0.05, 100)
    assert calibration_error_of_truth(p, p) == 0
    assert calibration_error_of_truth(p, 1.1 * p) == pytest.approx(0.1 * p.mean())


def test_only_segments_with_enough_rows_are_looked_at() -> None:
    groups = np.repeat(["mail", "web"], [3, 2])
    truth, p = np.full(5, 0.02), np.repeat([0.03, 0.02], [3, 2])
    assert segment_errors(groups, truth, p, rows_least=3) == {"mail": pytest.approx(0.5)}
    assert segment_errors(groups, truth, p, rows_least=1)["web"] == pytest.approx(0)
    assert segment_errors(groups, np.zeros(5), p, rows_least=3) == {"mail": math.inf}
