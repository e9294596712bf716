"""Losses, ranks and rates of a yes or no."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.evaluation.classification import (
    Accuracy,
    accuracy,
    auc,
    conversion_rate_ignoring_delay,
    entropy,
    log_loss,
    matured_conversion_rate,
    normalised_entropy,
    rate_interval,
)

YES_NO = np.array([True, False, False, False])


def test_log_loss_is_minus_the_log_of_what_was_thought_of_what_came() -> None:
    assert log_loss(YES_NO, np.array([0.5, 0.2, 0.2, 0.2])) == pytest.approx(-(math.log(0.5) + 3 * math.log(0.8)) / 4)


def test_log_loss_of_a_certain_mistake_is_huge_and_finite() -> None:
    assert 30 < log_loss(np.array([True]), np.array([0.0])) < 40


def test_the_base_rate_has_a_normalised_entropy_of_one() -> None:
    got = normalised_entropy(YES_NO, np.full(4, 0.25))
    assert got.value == pytest.approx(1)
    assert entropy(0.25) == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))


def test_normalised_entropy_of_labels_that_all_agree_is_not_a_number() -> None:
    assert math.isnan(normalised_entropy(np.zeros(4, dtype=bool), np.full(4, 0.1)).value)


def test_the_interval_of_normalised_entropy_covers_what_repetitions_give() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.3, 2_000)
    rows = [normalised_entropy(rng.random(2_000) < p, p) for _ in range(200)]
    middle = np.mean([r.value for r in rows])
    covered = np.mean([r.low <= middle <= r.high for r in rows])
    assert 0.9 <= covered <= 0.99


def test_auc_counts_pairs_and_halves_ties() -> None:
    # Yes at 0.9 and 0.5, no at 0.5 and 0.1: pairs won 1, 1, 1/2, 1.
    got = auc(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
    assert got.value == 3.5 / 4


def test_auc_of_a_constant_is_one_half_and_of_one_class_unknown() -> None:
    assert auc(YES_NO, np.full(4, 0.3)).value == 0.5
    assert math.isnan(auc(np.ones(3, dtype=bool), np.arange(3)).value)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    got = auc(labels, scores).value
    assert math.isnan(got) if not pairs else got == pytest.approx(sum(pairs) / len(pairs))


def test_accuracy_never_comes_without_the_constant_guess() -> None:
    assert accuracy(YES_NO, np.array([0.9, 0.1, 0.8, 0.1])) == Accuracy(model=3 / 4, constant=3 / 4)


def test_a_fresh_click_is_no_failed_conversion() -> None:
    clicked = np.array([True, True, True, False])
    converted = np.array([True, False, False, False])
    mature = np.array([True, True, False, True])
    assert matured_conversion_rate(clicked, converted, mature).value == 1 / 2
    assert conversion_rate_ignoring_delay(clicked, converted).value == 1 / 3


def test_a_rate_of_nothing_is_unknown_and_of_none_in_ten_not_certainly_zero() -> None:
    assert math.isnan(rate_interval(0, 0).value)
    none = rate_interval(0, 10)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1.959964**2 / (10 + 1.959964**2), rel=1e-6)
