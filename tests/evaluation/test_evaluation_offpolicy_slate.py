"""Several ads at once: weights given the ads above, by hand and against known truths."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.evaluation.offpolicy_slate import cascade_dr, iips, plackett_luce, rips, sips, slot_weights

# Two slots, 1,500 times: weights 2 above 0.5, and 0.5 above 2; the first slate is clicked below, the second above.
WEIGHTS = np.tile([[2.0, 0.5], [0.5, 2.0]], (1_500, 1))
REWARD = np.tile([[0.0, 1.0], [1.0, 0.0]], (1_500, 1))


def number(value: object) -> float:
    return value.estimate.value  # type: ignore[attr-defined, no-any-return]


def test_the_three_assumptions_weigh_a_click_by_its_slot_by_what_is_above_or_by_everything() -> None:
    assert number(iips(REWARD, WEIGHTS)) == pytest.approx((0.5 + 0.5) / 2)
    assert number(rips(REWARD, WEIGHTS)) == pytest.approx((2 * 0.5 + 0.5) / 2)
    assert number(sips(REWARD, WEIGHTS)) == pytest.approx((1 + 1) / 2)


def test_cascade_dr_is_rips_with_a_model_of_nothing_and_the_model_where_it_is_right() -> None:
    nothing = np.zeros_like(REWARD)
    assert number(cascade_dr(REWARD, WEIGHTS, nothing, nothing)) == pytest.approx(number(rips(REWARD, WEIGHTS)))
    # The model knows each slate's reward from slot 1 on (1, 1) and from slot 2 on (1, 0): nothing is left to correct.
    ahead = np.tile([[1.0, 1.0], [1.0, 0.0]], (1_500, 1))
    # w1 (0 - 1) + 1 + w12 (1 - 1) + w1 · 1 = 1 and w1 (1 - 1) + 1 + 0 + 0 = 1, whatever the weights
    got = cascade_dr(REWARD, WEIGHTS, ahead, ahead)
    assert number(got) == pytest.approx(1.0)
    assert got.error == pytest.approx(0.0, abs=1e-12)


def test_chances_below_are_shared_among_the_ads_not_yet_shown() -> None:
    chance = plackett_luce(np.array([[0.5, 0.3, 0.2]]), np.array([[0, 2, 1]]))
    assert chance == pytest.approx(np.array([[0.5, 0.2 / 0.5, 1.0]]))
    # Ads 0 and 1 are of one campaign: once one is shown, the other cannot be.
    grouped = plackett_luce(np.array([[0.5, 0.3, 0.2]]), np.array([[0, 2, -1]]), group=np.array([7, 7, 8]))
    assert grouped[0, :2] == pytest.approx([0.5, 1.0])
    assert np.isnan(grouped[0, 2])


def test_an_empty_slot_weighs_one_and_must_be_empty_for_both() -> None:
    assert slot_weights(np.array([[0.5, np.nan]]), np.array([[0.25, np.nan]])).tolist() == [[2.0, 1.0]]
    with pytest.raises(SchemaError, match="for one in 1 slots"):
        slot_weights(np.array([[0.5, 0.1]]), np.array([[0.25, np.nan]]))


def test_a_slot_that_the_log_does_not_cover_refuses_the_slate() -> None:
    spiky = np.ones((3_000, 2))
    spiky[0, 1] = 3_000
    assert "not estimable" in str(iips(np.ones((3_000, 2)), spiky).refusal)
    assert "not estimable" in str(rips(np.ones((3_000, 2)), spiky).refusal)


def test_clicks_that_look_at_the_ad_above_are_told_right_by_rips_and_cascade_dr_only() -> None:
    # Two ads in two slots, both orders equally likely; ad 0 above takes the click from below.
    rng = np.random.default_rng(8)
    rows = 40_000
    first = rng.integers(0, 2, rows)
    order = np.stack([first, 1 - first], 1)
    below = np.where(first == 0, 0.02, 0.10)
    reward = np.stack([np.full(rows, 0.0), (rng.random(rows) < below).astype(float)], 1)
    target = np.tile([0.9, 0.1], (rows, 1))
    weights = slot_weights(plackett_luce(target, order), np.tile([0.5, 1.0], (rows, 1)))
    truth = 0.9 * 0.02 + 0.1 * 0.10
    model = np.full((rows, 2), 0.05)
    for value in (rips(reward, weights), cascade_dr(reward, weights, model, model), sips(reward, weights)):
        assert value.estimate is not None
        assert value.estimate.low <= truth <= value.estimate.high
    naive = iips(reward, weights).estimate
    assert naive is not None
    assert naive.low > truth  # it takes the second slot, whose ad was certain, as it was logged
