"""CUPED: what the past explains goes, what it does not stays, and the effect is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.evaluation.cuped import cuped


def test_a_past_that_explains_half_of_the_variance_takes_out_half() -> None:
    rng = np.random.default_rng(0)
    past, noise, treated = rng.normal(size=20_000), rng.normal(size=20_000), rng.random(20_000) < 0.5
    found = cuped(5 + past + noise + 0.1 * treated, treated, past)
    assert found.variance_cut == pytest.approx(0.5, abs=0.02)
    assert found.adjusted.low < 0.1 < found.adjusted.high
    assert found.adjusted.high - found.adjusted.low < 0.75 * (found.plain.high - found.plain.low)
    assert found.lift.value == pytest.approx(found.adjusted.value / 5, rel=0.05)


def test_a_past_that_says_nothing_costs_nothing() -> None:
    rng = np.random.default_rng(1)
    past, treated = rng.normal(size=(5_000, 3)), rng.random(5_000) < 0.3
    found = cuped((rng.random(5_000) < 0.1).astype(float), treated, past)
    assert abs(found.variance_cut) < 0.01
    assert found.adjusted.value == pytest.approx(found.plain.value, abs=0.003)


def test_the_adjusted_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(400):
        past, treated = rng.exponential(size=300), rng.random(300) < 0.5
        outcome = past * (1 + 0.5 * treated) + rng.normal(size=300)
        found = cuped(outcome, treated, past).adjusted
        held += found.low <= 0.5 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_mean_below_zero_has_no_lift() -> None:
    rng = np.random.default_rng(3)
    past, treated = rng.normal(size=100), np.arange(100) < 50
    found = cuped(past - 5, treated, rng.normal(size=100))
    assert math.isnan(found.lift.value)
    assert found.lift.high == math.inf
