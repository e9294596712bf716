"""Chances of slates, and estimators of slate values that need nothing but the log."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.strategy.exploration import inverse_gap, slate
from zhitou.strategy.slates import SlateChances, slate_chances

LOGGING, TARGET = np.asarray([0.5, 0.3, 0.15, 0.05]), np.asarray([0.1, 0.2, 0.3, 0.4])
SLATES = np.asarray(list(itertools.permutations(range(4), 3)), dtype=np.int32)


def chances(law: np.ndarray, slates: np.ndarray = SLATES, group: np.ndarray | None = None) -> SlateChances:
    return slate_chances(np.tile(law, (len(slates), 1)), slates, group)


def test_an_ad_in_the_second_slot_has_a_chance_by_hand() -> None:
    made = slate_chances(np.asarray([[0.5, 0.3, 0.2]]), np.asarray([[0, 1]], dtype=np.int32))
    assert made.conditional[0] == pytest.approx([0.5, 0.3 / 0.5])
    assert made.cascade[0] == pytest.approx([0.5, 0.5 * 0.3 / 0.5])
    # ad 1 comes second after ad 0 or after ad 2
    assert made.marginal[0] == pytest.approx([0.5, 0.5 * 0.3 / 0.5 + 0.2 * 0.3 / 0.8])


def test_chances_of_all_slates_sum_to_one_and_marginals_are_their_sums() -> None:
    made = chances(LOGGING)
    whole = made.cascade[:, -1]
    assert whole.sum() == pytest.approx(1.0)
    for s, ad in itertools.product(range(3), range(4)):
        here = SLATES[:, s] == ad
        assert made.marginal[here, s] == pytest.approx(whole[here].sum())


def test_ads_of_one_group_never_stand_together() -> None:
    group = np.asarray([0, 0, 1, 2])
    made = chances(LOGGING, group=group)
    together = np.asarray([len(set(group[row])) < 3 for row in SLATES])
    assert (made.cascade[together, -1] == 0).all()
    assert made.cascade[:, -1].sum() == pytest.approx(1.0)
    for s, ad in itertools.product(range(3), range(4)):
        here = SLATES[:, s] == ad
        assert made.marginal[here, s] == pytest.approx(made.cascade[here, -1].sum())


def test_they_are_the_propensities_that_the_draw_states() -> None:
    rng = Chance(2).stream("slates")
    law = inverse_gap(rng.random((50, 9)), rng.random((50, 9)) < 0.6, 20.0, 0.01, slots=2)
    group = np.arange(9) // 2
    order, propensity = slate(law, rng.random((50, 3)), group)
    assert slate_chances(law, order, group).conditional == pytest.approx(propensity, nan_ok=True)


def test_too_many_orders_are_refused() -> None:
    with pytest.raises(AssertionError, match="too many orders"):
        slate_chances(np.full((1, 400), 1 / 400), np.arange(4, dtype=np.int32)[None])


def reward(row: np.ndarray) -> np.ndarray:
    """What the slots yield: an ad's pull, less if a more popular one stands above it."""
    pull = np.asarray([1.0, 2.0, 4.0, 3.0])[row]
    return np.asarray([pull[s] * (0.5 if (row[:s] < row[s]).any() else 1.0) for s in range(len(row))])


def test_slate_values_are_estimated_without_bias_from_the_log_alone() -> None:
    """Over all slates, each weighted by its logging chance: the mean of an estimator is the target's value."""
    logged, wanted = chances(LOGGING), chances(TARGET)
    often, rewards = logged.cascade[:, -1], np.asarray([reward(row) for row in SLATES])
    value = (wanted.cascade[:, -1] * rewards.sum(axis=1)).sum()

    weight = wanted.cascade / logged.cascade
    assert (often * (weight * rewards).sum(axis=1)).sum() == pytest.approx(value)  # reward interaction

    alone = np.asarray([1.0, 2.0, 4.0, 3.0])[SLATES] * np.asarray([1.0, 0.7, 0.4])  # of ad and slot only
    by_slot = wanted.marginal / logged.marginal
    assert (often * (by_slot * alone).sum(axis=1)).sum() == pytest.approx(
        (wanted.cascade[:, -1] * alone.sum(axis=1)).sum()
    )  # independent

    guess, before = np.asarray([3.0, 1.0, 2.0, 5.0]), np.hstack([np.ones((len(SLATES), 1)), weight[:, :-1]])
    expected = np.zeros(SLATES.shape)
    for ad in range(4):
        for s in range(3):
            other = SLATES[:, : s + 1].copy()
            other[:, s] = ad
            expected[:, s] += chances(TARGET, other).conditional[:, s] * guess[ad]
    robust = weight * (rewards - guess[SLATES]) + before * expected
    assert (often * robust.sum(axis=1)).sum() == pytest.approx(value)  # cascade, doubly robust, whatever the guess
