"""Bids on what an ad causes: shares drawn toward each other as far as they are unsure, and never above 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.evaluation.experiment import Estimate
from zhitou.strategy.increments import Increments, uplift_pcvr


def measured(value: float, error: float) -> Estimate:
    return Estimate.normal(value, error)


def test_without_a_holdout_every_conversion_counts_in_full() -> None:
    none = Increments.unmeasured(3)
    assert none.iota.tolist() == [1, 1, 1]
    assert not none.measured.any()


def test_a_campaign_alone_keeps_what_its_holdout_measured() -> None:
    found = Increments.of({1: measured(0.4, 0.1)}, 3)
    assert found.iota == pytest.approx([1, 0.4, 1])
    assert found.measured.tolist() == [False, True, False]


def test_shares_that_differ_no_more_than_chance_become_one() -> None:
    found = Increments.of({0: measured(0.4, 0.2), 1: measured(0.6, 0.2)}, 2)
    assert found.iota == pytest.approx([0.5, 0.5])


def test_shares_that_clearly_differ_are_drawn_a_little() -> None:
    # weights 100 each, mean 0.5, excess 100 · (0.16 + 0.16) - 1 = 31, scale 200 - 20000 / 200 = 100: t² = 0.31
    found = Increments.of({0: measured(0.1, 0.1), 1: measured(0.9, 0.1)}, 2)
    keep = 0.31 / (0.31 + 0.01)
    assert found.iota == pytest.approx([0.5 - keep * 0.4, 0.5 + keep * 0.4])


def test_a_holdout_that_says_nothing_counts_as_none() -> None:
    found = Increments.of({0: Estimate(0.2, -math.inf, 1.0)}, 1)
    assert (found.iota.tolist(), found.measured.tolist()) == ([1.0], [False])


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(0.01, 1)), min_size=1, max_size=8))
def test_a_share_is_never_below_nothing_nor_above_everything(shares: list[tuple[float, float]]) -> None:
    found = Increments.of({c: measured(*share) for c, share in enumerate(shares)}, len(shares))
    assert ((found.iota >= 0) & (found.iota <= 1)).all()


def test_an_uplift_is_held_between_nothing_and_the_probability() -> None:
    held = uplift_pcvr(np.array([[-0.1, 0.02, 0.5]]), np.array([[0.1, 0.1, 0.1]]))
    assert held.tolist() == [[0.0, 0.02, 0.1]]
