"""Lifts, intervals and verdicts, each redoable with a pocket calculator."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.evaluation.experiment import (
    Claim,
    Counts,
    Estimate,
    Moments,
    RatioMoments,
    difference,
    paired_difference,
    paired_lift,
    relative_lift,
    relative_lift_fieller,
    sample_ratio,
    sample_size,
    sequence_half_width,
)

Z = 1.959964  # two-sided 95 %


def test_moments_give_mean_and_unbiased_variance() -> None:
    arm = Moments.of([1.0, 2.0, 3.0, 6.0])
    assert arm.mean == 12 / 4
    assert arm.variance == pytest.approx((4 + 1 + 0 + 9) / 3)
    assert arm.variance_of_mean == pytest.approx((4 + 1 + 0 + 9) / 3 / 4)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30), st.integers(1, 29))
def test_shards_of_whole_numbers_merge_to_exactly_the_whole(values: list[int], cut: int) -> None:
    whole = [float(v) for v in values]
    assert Moments.of(whole[:cut]) + Moments.of(whole[cut:]) == Moments.of(whole)
    ones = np.ones(len(whole))
    parts = RatioMoments.of(whole[:cut], ones[:cut]) + RatioMoments.of(whole[cut:], ones[cut:])
    assert parts == RatioMoments.of(whole, ones)


def test_one_row_has_no_variance_and_so_an_interval_of_everything() -> None:
    assert math.isnan(Moments.of([5.0]).variance)
    interval = Moments.of([5.0]).interval()
    assert (interval.value, interval.low, interval.high) == (5.0, -math.inf, math.inf)


def test_a_ratio_with_constant_denominator_is_the_plain_mean() -> None:
    clicks = [0.0, 1.0, 1.0, 4.0]
    ratio, plain = RatioMoments.of(clicks, [2.0] * 4), Moments.of([c / 2 for c in clicks])
    assert ratio.mean == plain.mean == 6 / 8
    assert ratio.variance_of_mean == pytest.approx(plain.variance_of_mean)


def test_a_ratio_takes_its_spread_from_shoppers_not_impressions() -> None:
    # Ratio 3 / 6 = 1/2, residuals 1 - 2/2 = 0 and 2 - 4/2 = 0: both shoppers click half of what they see.
    assert RatioMoments.of([1.0, 2.0], [2.0, 4.0]).variance_of_mean == 0
    # Ratio 2 / 4, residuals 0 - 1 and 2 - 1: variance 2, over n 2 and the mean denominator 2 squared.
    assert RatioMoments.of([0.0, 2.0], [2.0, 2.0]).variance_of_mean == pytest.approx(2 / 2 / 2**2)


def test_a_lift_has_its_interval_on_the_log_of_the_ratio() -> None:
    treatment, control = Moments.of([1.0, 3.0] * 50), Moments.of([0.5, 1.5] * 50)
    error = math.sqrt(treatment.variance_of_mean / 2**2 + control.variance_of_mean / 1**2)
    lift = relative_lift(treatment, control)
    assert lift.value == pytest.approx(2 / 1 - 1)
    assert lift.low == pytest.approx(2 * math.exp(-Z * error) - 1, rel=1e-5)
    assert lift.high == pytest.approx(2 * math.exp(Z * error) - 1, rel=1e-5)


def test_a_lift_over_nothing_is_unknown_not_infinite_proof() -> None:
    lift = relative_lift(Moments.of([1.0, 0.0]), Moments.of([0.0, 0.0]))
    assert Claim("ctr lift", 0.3).verdict(lift) == "inconclusive"


def test_paired_difference_is_students_t() -> None:
    # Differences 1, 2, 3: mean 2, sd 1, t with 2 degrees of freedom 4.302653.
    got = paired_difference([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert got.value == 2
    assert got.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert got.low == pytest.approx(2 - 4.302653 / math.sqrt(3), rel=1e-6)


def test_paired_difference_by_bootstrap_stays_inside_the_differences_and_repeats_by_seed() -> None:
    pair = [3.0, 5.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    first = paired_difference(*pair, rng=np.random.default_rng(1), draws=500)
    assert first == paired_difference(*pair, rng=np.random.default_rng(1), draws=500)
    assert 1 <= first.low < first.value == 2.5 < first.high <= 4


def test_pairs_in_constant_proportion_have_a_lift_without_doubt() -> None:
    lift = paired_lift([1.3, 1.43, 1.56], [1.0, 1.1, 1.2])
    assert (lift.value, lift.low, lift.high) == pytest.approx((0.3, 0.3, 0.3))


def test_both_ends_of_fiellers_interval_are_just_significant() -> None:
    y, x = np.array([3.0, 2.5, 4.0, 3.2]), np.array([2.0, 2.1, 2.5, 1.9])
    lift = paired_lift(y, x)
    for end in (lift.low, lift.high):
        rest = y - (1 + end) * x
        assert abs(rest.mean()) / (rest.std(ddof=1) / 2) == pytest.approx(3.182446, rel=1e-6)  # t, 3 degrees


def test_a_paired_lift_bears_a_seed_without_conversions() -> None:
    lift = paired_lift([2.0, 3.0, 0.0, 4.0, 3.0], [1.0, 2.0, 1.0, 2.0, 2.0])
    assert lift.value == pytest.approx(12 / 8 - 1)
    assert lift.low < lift.value < lift.high


def test_a_control_that_may_be_zero_leaves_the_lift_open() -> None:
    assert paired_lift([1.0, 1.0], [0.0, 1.0]).high == math.inf


def test_a_confidence_sequence_is_wider_than_one_look_and_narrows() -> None:
    one_look = Z / math.sqrt(10_000)
    assert sequence_half_width(10_000, 1.0, tuned_n=10_000) > one_look
    assert sequence_half_width(40_000, 1.0, 10_000) < sequence_half_width(10_000, 1.0, 10_000)
    # n rho² = 1 at n = 1, tuned so: sqrt(2 · 2 / 1 · log(sqrt(2) / 0.05)).
    tuned = -2 * math.log(0.05) + math.log(1 - 2 * math.log(0.05))
    expected = math.sqrt(4 * math.log(math.sqrt(2) / 0.05))
    assert sequence_half_width(1, 1.0, tuned_n=tuned) == pytest.approx(expected)  # type: ignore[arg-type]


def test_counts_are_moments_of_zeros_and_ones() -> None:
    counts, moments = Counts(4, 1), Moments.of([0.0, 1.0, 0.0, 0.0])
    assert counts.mean == moments.mean == 1 / 4
    assert counts.variance_of_mean == pytest.approx(moments.variance_of_mean)
    assert Counts(1, 0) + Counts(3, 1) == counts


def test_a_rate_without_positives_still_has_an_upper_limit() -> None:
    # Wilson: z² / (n + z²) = 3.8415 / 103.8415.
    rate = Counts(100, 0).interval()
    assert (rate.value, rate.low) == (0, 0)
    assert rate.high == pytest.approx(3.841459 / 103.841459, rel=1e-6)


def test_moments_come_back_from_a_reported_mean_and_variance() -> None:
    arm = Moments.of([1.0, 2.0, 3.0, 6.0])
    again = Moments.from_mean(4, 3.0, 14 / 3)
    assert (again.mean, again.variance) == (arm.mean, pytest.approx(arm.variance))


def test_a_difference_adds_the_variances_of_both_arms() -> None:
    found = difference(Counts(101, 50), Counts(401, 100))
    error = math.sqrt(50 / 101 * 51 / 101 / 100 + 100 / 401 * 301 / 401 / 400)
    assert found.value == pytest.approx(50 / 101 - 100 / 401)
    assert found.high - found.value == pytest.approx(Z * error, rel=1e-6)


def test_fieller_bears_a_treatment_without_positives_and_the_log_does_not() -> None:
    nothing, some = Counts(1_000, 0), Counts(1_000, 100)
    assert relative_lift(nothing, some).high == math.inf
    assert -1.1 < relative_lift_fieller(nothing, some).low <= -1 <= relative_lift_fieller(nothing, some).high < -0.9


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.30, 0.50, "established"),
        (0.10, 0.29, "refuted"),
        (0.10, 0.50, "inconclusive"),
        (math.nan, math.nan, "inconclusive"),
    ],
)
def test_a_claim_of_thirty_percent_gets_one_of_three_verdicts(low: float, high: float, verdict: str) -> None:
    assert Claim("ctr lift", 0.30).verdict(Estimate(0.4, low, high)) == verdict


def test_arms_of_unplanned_sizes_stop_the_experiment() -> None:
    # Chi² = 50² / 5000 · 2 = 1 of 1 degree: p = 0.3173.
    fair = sample_ratio([5_050, 4_950], [0.5, 0.5])
    assert (fair.sound, fair.p_value) == (True, pytest.approx(0.317311, rel=1e-4))
    assert not sample_ratio([5_200, 4_800], [0.5, 0.5]).sound  # Chi² = 16
    assert sample_ratio([2_000, 1_000], [2.0, 1.0]).p_value == 1


def test_sample_sizes_are_those_of_the_textbook() -> None:
    assert sample_size(0.0035, 0.30) == 57_078
    assert sample_size(0.005, 0.30) == 39_885
