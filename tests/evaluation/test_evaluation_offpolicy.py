"""What another policy would have earned: by hand, against a known truth, and refused where it cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.evaluation.offpolicy import doubly_robust, importance_weights, ips, overlap, snips


def test_a_weight_is_target_over_logged_probability() -> None:
    assert importance_weights(np.array([1.0, 0.0, 0.5]), np.array([0.5, 0.5, 0.25])).tolist() == [2, 0, 2]


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.1, np.nan])
def test_a_propensity_that_is_no_probability_is_refused(propensity: float) -> None:
    with pytest.raises(SchemaError, match="after all filters"):
        importance_weights(np.array([0.5]), np.array([propensity]))


def test_effective_sample_size_is_the_square_of_the_sum_over_the_sum_of_squares() -> None:
    cover = overlap(np.array([1.0, 1.0, 2.0]))
    assert cover.ess == pytest.approx(4**2 / 6)
    assert cover.largest_share == 2 / 4
    assert cover.mean_weight == pytest.approx(4 / 3)


def test_the_three_estimators_agree_with_hand_arithmetic() -> None:
    # 2,000 rows: weights 2, 0 alternating, reward 1 for every second of the weighted rows.
    weights = np.tile([2.0, 0.0, 2.0, 0.0], 500)
    reward = np.tile([1.0, 0.0, 0.0, 1.0], 500)
    one_half = np.full(2_000, 0.5)
    for value in (ips(reward, weights), snips(reward, weights), doubly_robust(reward, weights, one_half, one_half)):
        assert value.estimate is not None
        assert value.estimate.value == pytest.approx(0.5)
    # SNIPS divides by the sum of weights: twice the weights change IPS only.
    assert ips(reward, 2 * weights).estimate.value == pytest.approx(1.0)  # type: ignore[union-attr]
    assert snips(reward, 2 * weights).estimate.value == pytest.approx(0.5)  # type: ignore[union-attr]


def test_logging_policy_as_target_is_the_plain_mean_with_its_plain_interval() -> None:
    reward = np.tile([0.0, 1.0], 1_000)
    got = ips(reward, np.ones(2_000)).estimate
    assert got is not None
    assert got.value == 0.5
    assert got.high - got.value == pytest.approx(1.959964 * reward.std(ddof=1) / np.sqrt(2_000), rel=1e-6)


def test_few_effective_rows_are_not_estimable() -> None:
    value = ips(np.ones(999), np.ones(999))
    assert value.estimate is None
    assert value.refusal == "not estimable: effective sample size 999 is below 1,000"


def test_one_row_that_dominates_is_not_estimable() -> None:
    weights = np.ones(40_000)
    weights[0] = 3_000  # 3,000 of 42,999; the effective sample size is only 205
    assert str(snips(np.ones(40_000), weights).refusal).startswith("not estimable: effective sample size")
    weights = np.concatenate([[100.0], np.ones(1_850)])  # 5.1 %
    cover = overlap(weights)
    assert cover.ess < 1_000
    assert cover.largest_share > 0.05
    assert ips(np.ones(1_851), weights).estimate is None


def test_weights_that_do_not_average_one_betray_wrong_propensities() -> None:
    rng = np.random.default_rng(0)
    right = rng.choice([0.5, 1.5], 5_000)
    assert overlap(right).mean_weight_sound
    assert not overlap(right * 1.2).mean_weight_sound


def test_no_rows_and_no_weight_are_refused_not_divided_by() -> None:
    none = np.zeros(0)
    for value in (ips(none, none), snips(np.ones(3), np.zeros(3)), doubly_robust(none, none, none, none)):
        assert value.estimate is None
        assert "not estimable" in str(value.refusal)


def test_rows_of_one_shopper_do_not_count_as_many() -> None:
    reward = np.repeat([0.0, 1.0], 2_000)
    alone = ips(reward, np.ones(4_000)).estimate
    together = ips(reward, np.ones(4_000), unit=np.arange(4_000) // 100).estimate
    assert alone is not None
    assert together is not None
    assert together.value == alone.value
    # 100 rows to a shopper, all alike: the interval is sqrt(100) times as wide (and 40 / 39 for few shoppers).
    wide = (together.high - together.low) / (alone.high - alone.low)
    assert wide == pytest.approx(10 * np.sqrt(40 / 39), rel=1e-3)


def test_intervals_cover_a_known_truth() -> None:
    rng = np.random.default_rng(7)
    rates = np.array([0.02, 0.05, 0.10, 0.03])
    logging, target = np.array([0.4, 0.3, 0.1, 0.2]), np.array([0.1, 0.2, 0.4, 0.3])
    truth = float(target @ rates)
    guess = rates * 0.8  # a wrong reward model: doubly robust must not mind
    covered = np.zeros(3)
    for _ in range(150):
        action = rng.choice(4, 5_000, p=logging)
        reward = (rng.random(5_000) < rates[action]).astype(float)
        w = importance_weights(target[action], logging[action])
        expected = np.full(5_000, target @ guess)
        values = ips(reward, w), snips(reward, w), doubly_robust(reward, w, guess[action], expected)
        for i, value in enumerate(values):
            assert value.estimate is not None
            covered[i] += value.estimate.low <= truth <= value.estimate.high
    assert (covered / 150 >= 0.9).all()
