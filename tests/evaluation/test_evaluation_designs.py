"""Shared budgets and holdouts: what may be read, and what share of conversions is caused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.evaluation.designs import budget_split_lift, budget_strain, incrementality
from zhitou.evaluation.experiment import Counts


def test_the_caused_share_is_what_the_holdout_did_not_do_anyway() -> None:
    found = incrementality(Counts(1_000, 120), Counts(1_000, 90))
    assert found.lift.value == pytest.approx(120 / 90 - 1)
    assert found.share.value == pytest.approx((120 - 90) / 120)
    assert found.difference.value == pytest.approx(0.03)
    for share, lift in ((found.share.low, found.lift.low), (found.share.high, found.lift.high)):
        assert share == pytest.approx(lift / (1 + lift))


def test_a_holdout_in_which_nobody_bought_says_nothing_of_the_share() -> None:
    found = incrementality(Counts(1_000, 10), Counts(50, 0))
    assert (found.share.low, found.share.high) == (-math.inf, 1.0)


def test_an_arm_with_a_fifth_of_the_budget_is_compared_by_its_share() -> None:
    control, treatment = np.array([80.0, 88.0, 96.0]), np.array([26.0, 28.6, 31.2])
    lift = budget_split_lift(treatment, control, treated_share=0.2)
    assert (lift.value, lift.low, lift.high) == pytest.approx((0.3, 0.3, 0.3))


def test_a_user_split_is_read_only_where_budgets_did_not_run_out() -> None:
    spent, budget = np.array([100, 50, 30]), np.array([100, 100, 100])
    strain = budget_strain(spent, budget)
    assert (strain.campaigns_bound, strain.sound) == (1, False)
    assert strain.bound_share == pytest.approx(100 / 180)
    assert budget_strain(np.array([50]), np.array([100])).sound
    assert budget_strain(np.array([0]), np.array([100])).bound_share == 0
