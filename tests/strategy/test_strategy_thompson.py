"""Thompson sampling whose propensities are integrals, against draws."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.strategy.thompson import LastLayer, win_probabilities

EVERYONE = np.ones((1, 2), dtype=bool)


def test_of_two_ads_the_better_one_wins_as_often_as_their_difference_is_positive() -> None:
    # 1 - 0 over sqrt(0.6^2 + 0.8^2) = 1 deviation: Phi(1) = 0.8413
    chances = win_probabilities(np.asarray([[1.0, 0.0]]), np.asarray([[0.6, 0.8]]), EVERYONE, 0.0)
    assert chances[0] == pytest.approx([0.8413, 0.1587], abs=5e-4)


def test_alike_ads_win_alike_and_the_floor_is_kept() -> None:
    assert win_probabilities(np.zeros((1, 2)), np.ones((1, 2)), EVERYONE, 0.0)[0] == pytest.approx([0.5, 0.5])
    sure = win_probabilities(np.asarray([[9.0, 0.0]]), np.full((1, 2), 1e-3), EVERYONE, 0.05)
    assert sure[0] == pytest.approx([0.95, 0.05])


def test_400_000_draws_agree_within_two_in_a_thousand() -> None:
    rng = Chance(7).stream("thompson")
    for spread in (0.1, 0.6, 2.0):
        mean, deviation = rng.normal(0, 1, (1, 20)), np.exp(rng.normal(-0.5, spread, (1, 20)))
        eligible = rng.random((1, 20)) < 0.9
        chances = win_probabilities(mean, deviation, eligible, 0.0)[0]
        part = np.flatnonzero(chances > 0)
        draws = rng.normal(mean[0, part], deviation[0, part], (400_000, len(part)))
        shares = np.bincount(draws.argmax(axis=1), minlength=len(part)) / len(draws)
        # the draws' own error is at most 0.0008 a deviation
        assert chances[part] == pytest.approx(shares, abs=0.002)
        assert len(part) == min(16, eligible.sum())


def test_narrow_and_wide_posteriors_stand_together() -> None:
    # a narrow one at 1 between two of deviation 1 at 0: wins if both are below 1: Phi(1)^2 = 0.7078
    chances = win_probabilities(
        np.asarray([[0.0, 1.0, 0.0]]), np.asarray([[1.0, 1e-4, 1.0]]), np.ones((1, 3), dtype=bool), 0.0
    )
    assert chances[0] == pytest.approx([0.1461, 0.7078, 0.1461], abs=0.002)


def test_rows_sum_to_one_over_the_eligible_and_no_other_has_a_chance() -> None:
    rng = Chance(8).stream("thompson")
    eligible = rng.random((50, 30)) < 0.5
    eligible[0] = False
    chances = win_probabilities(rng.normal(size=(50, 30)), rng.random((50, 30)) + 0.01, eligible, 0.01)
    assert chances.sum(axis=1) == pytest.approx(eligible.any(axis=1).astype(float))
    assert not chances[~eligible].any()
    assert chances[chances > 0].min() >= 0.01 * (1 - 1e-9)
    assert ((chances > 0).sum(axis=1) <= 16).all()


def test_a_posterior_without_doubt_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="deviation above 0"):
        win_probabilities(np.zeros((1, 2)), np.zeros((1, 2)), EVERYONE, 0.0)


def test_the_last_layer_learns_what_a_ridge_regression_learns() -> None:
    layer = LastLayer(2, 1, prior_precision=1.0, noise=0.5)
    layer.learn(np.asarray([[1.0], [2.0], [9.0]]), np.asarray([0, 0, -1]), np.asarray([1.0, 3.0, 5.0]))
    mean, deviation = layer.posterior(np.asarray([[3.0]]))
    # precision 1 + (1 + 4) / 0.5 = 11, weight (1 + 6) / 0.5 / 11
    assert mean[0] == pytest.approx([3 * 14 / 11, 0.0])
    assert deviation[0] == pytest.approx([3 / 11**0.5, 3.0])
