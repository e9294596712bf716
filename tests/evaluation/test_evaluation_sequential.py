"""Verdicts that survive peeking: right at all looks, exact while positives are few, silent where units are lost."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from zhitou.evaluation.experiment import Claim, Counts, Moments
from zhitou.evaluation.sequential import (
    ConfidenceSequence,
    anytime_sample_ratio,
    exact_lift,
    log_evidence,
)

PLAN = ConfidenceSequence(80_000)
Z = 1.959964


def test_peeking_at_a_confidence_sequence_hardly_ever_rejects_the_truth() -> None:
    rng = np.random.default_rng(0)
    plan = ConfidenceSequence(4_000)
    wrong = 0
    for _ in range(200):
        arms = [rng.exponential(1.0, (20, 200)) for _ in range(2)]
        sums = [Moments(0, 0.0, 0.0), Moments(0, 0.0, 0.0)]
        for look in range(20):
            sums = [s + Moments.of(a[look]) for s, a in zip(sums, arms, strict=True)]
            lift = plan.lift(sums[0], sums[1])
            if not lift.low <= 0 <= lift.high:
                wrong += 1
                break
    assert wrong <= 0.05 * 200


def test_few_clicks_looked_at_after_each_one_hardly_ever_show_a_lift_that_is_not_there() -> None:
    rng = np.random.default_rng(1)
    treated = (rng.random((2_000, 199)) < 0.5).cumsum(1)
    control = np.arange(1, 200) - treated
    assert (log_evidence(treated, control, 0.5) >= math.log(1 / 0.05)).any(1).mean() <= 0.05


def test_at_its_tuned_size_an_interval_is_no_more_than_1_6_times_as_wide_as_one_of_a_single_look() -> None:
    t, c = Counts(40_000, 260), Counts(40_000, 200)
    lift = PLAN.lift(t, c)
    error = math.sqrt(t.variance_of_mean / t.mean**2 + c.variance_of_mean / c.mean**2)
    reach = (math.log1p(lift.high) - math.log1p(lift.low)) / 2 / error
    assert 1.5 < reach / Z < 1.6


def test_a_true_lift_of_thirty_percent_is_established_well_before_60_000_a_side() -> None:
    found = PLAN.read(Claim("any lift", 0.0), Counts(60_000, 390), Counts(60_000, 300))
    assert (found.verdict, found.exact, found.stopped) == ("established", False, None)
    assert "established" in str(found)
    assert PLAN.read(Claim("+30 %", 0.3), Counts(60_000, 390), Counts(60_000, 300)).verdict == "inconclusive"
    assert PLAN.read(Claim("+30 %", 0.3), Counts(900_000, 4_500), Counts(900_000, 4_500)).verdict == "refuted"


def test_the_bounds_of_few_positives_are_where_the_evidence_reaches_one_in_alpha() -> None:
    low, high = exact_lift(69, 46)
    for bound in (low, high):
        theta = (1 + bound) / (2 + bound)
        a = 25 / 2
        evidence = special.betaln(a + 69, a + 46) - special.betaln(a, a) - 69 * math.log(theta)
        assert evidence - 46 * math.log(1 - theta) == pytest.approx(math.log(20), rel=1e-9)
    assert low < 69 / 46 - 1 < high


def test_without_positives_every_lift_is_possible() -> None:
    assert exact_lift(0, 0) == (-1, math.inf)
    assert PLAN.lift(Counts(100, 0), Counts(100, 0)).high == math.inf


def test_positives_of_one_arm_alone_bound_the_lift_on_one_side() -> None:
    low, high = exact_lift(60, 0)
    assert low > 0
    assert high == math.inf


def test_unequal_arms_expect_their_share_of_the_positives() -> None:
    # nine units of ten are treated, and so are nine positives of ten: no lift
    low, high = exact_lift(90, 10, treated_share=0.9)
    assert low < 0 < high
    assert exact_lift(90, 10, treated_share=0.5)[0] > 1


def test_the_men_of_open_bandit_cannot_decide_thirty_percent() -> None:
    found = ConfidenceSequence(20_000).read(Claim("+30 %", 0.30), Counts(10_000, 69), Counts(10_000, 46))
    assert (found.verdict, found.exact) == ("inconclusive", True)
    assert found.lift.value == pytest.approx(69 / 46 - 1)


def test_lost_units_stop_the_reading_whatever_the_lift() -> None:
    found = PLAN.read(Claim("any lift", 0.0), Counts(47_000, 940), Counts(50_000, 500))
    assert found.verdict == "inconclusive"
    assert found.stopped is not None
    assert "48.45%" in found.stopped
    assert "not read" in str(found)
    assert found.lift.high == math.inf


def test_the_sample_ratio_may_be_asked_always() -> None:
    rng = np.random.default_rng(2)
    treated = rng.binomial(1_000, 0.5, (300, 20)).cumsum(1)
    alarms = sum(
        any(not anytime_sample_ratio((int(t), 1_000 * k - int(t)), (0.5, 0.5)).sound for k, t in enumerate(life, 1))
        for life in treated
    )
    assert alarms <= 3
    assert anytime_sample_ratio((5_000, 5_000), (0.5, 0.5)).p_value == 1
    assert not anytime_sample_ratio((49_000, 51_000), (0.5, 0.5)).sound


def test_means_and_differences_have_sequences_too() -> None:
    arm, other = Moments.of([1.0, 3.0] * 500), Moments.of([0.5, 1.5] * 500)
    plan = ConfidenceSequence(1_000)
    one = plan.mean(arm)
    assert one.low < arm.interval().low < 2 < arm.interval().high < one.high
    found = ConfidenceSequence(2_000).difference(arm, other)
    assert (found.value, found.low > 0) == (1.0, True)
    assert plan.mean(Moments.of([1.0])).high == math.inf


def test_a_lift_of_money_that_may_be_zero_goes_by_fieller() -> None:
    plan = ConfidenceSequence(2_000)
    returns, sales = Moments.of([-1.0, 1.0] * 500), Moments.of([9.0, 11.0] * 500)
    lift = plan.lift_fieller(returns, sales)
    assert lift.value == -1
    assert -1.1 < lift.low < -1 < lift.high < -0.9
    assert plan.lift(returns, sales).high == math.inf
