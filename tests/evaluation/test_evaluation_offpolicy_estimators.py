"""The estimators that lean on a model, their one pass over float32 rows, and intervals of a handful of clicks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from zhitou.core.errors import SchemaError
from zhitou.evaluation.offpolicy import (
    Expected,
    PolicyValue,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    mrdr_weights,
    self_normalised_dr,
    shrunk_dr,
    snips,
    switch_dr,
)
from zhitou.evaluation.offpolicy_intervals import Gains, few, skewed, skewed_reach
from zhitou.evaluation.offpolicy_sums import policy_sums

# Four rows, 500 times: weights 2, 0, 1, 1; clicks 1, 0, 0, 1; the model says 0.5 of the shown, 0.4 of the target.
REWARD = np.tile([1.0, 0.0, 0.0, 1.0], 500)
WEIGHTS = np.tile([2.0, 0.0, 1.0, 1.0], 500)
MODEL = Expected(np.full(2_000, 0.5), np.full(2_000, 0.4))


def number(value: PolicyValue) -> float:
    assert value.estimate is not None
    return value.estimate.value


def test_each_estimator_is_its_formula_redone_by_hand() -> None:
    # w · (r - 0.5) is 1, 0, -0.5, 0.5: a mean of 1 / 4, and the mean weight is 1
    assert number(direct_method(MODEL, WEIGHTS)) == pytest.approx(0.4)
    assert number(self_normalised_dr(REWARD, WEIGHTS, MODEL)) == pytest.approx(0.4 + 1 / 4)
    # weights above 1.5 are left to the model: 0, 0, -0.5, 0.5
    assert number(switch_dr(REWARD, WEIGHTS, MODEL, 1.5)) == pytest.approx(0.4 + 0.0)
    # lambda 4: 2 -> 4 · 2 / (4 + 4) = 1, 1 -> 4 / 5; so 0.5, 0, -0.4, 0.4
    assert number(shrunk_dr(REWARD, WEIGHTS, MODEL, 4.0)) == pytest.approx(0.4 + 0.5 / 4)


def test_weights_twice_too_high_move_dr_but_not_the_self_normalised_one() -> None:
    assert number(self_normalised_dr(REWARD, 2 * WEIGHTS, MODEL)) == pytest.approx(0.4 + 1 / 4)
    assert number(doubly_robust(REWARD, 2 * WEIGHTS, MODEL.logged, MODEL.target)) == pytest.approx(0.4 + 2 / 4)


def test_no_threshold_and_no_shrinkage_are_doubly_robust_and_all_of_it_is_the_model_alone() -> None:
    plain = doubly_robust(REWARD, WEIGHTS, MODEL.logged, MODEL.target)
    for value in (switch_dr(REWARD, WEIGHTS, MODEL, math.inf), shrunk_dr(REWARD, WEIGHTS, MODEL, math.inf)):
        assert value.estimate == plain.estimate
        assert value.error == plain.error
    for value in (switch_dr(REWARD, WEIGHTS, MODEL, -1.0), shrunk_dr(REWARD, WEIGHTS, MODEL, 0.0)):
        assert number(value) == pytest.approx(0.4)
        # a model is no surer than the rows that it learnt from
        assert value.error == pytest.approx(plain.error)


def test_the_model_alone_has_no_interval() -> None:
    value = direct_method(MODEL, WEIGHTS)
    assert value.estimate is not None
    assert (value.estimate.low, value.estimate.high) == (-math.inf, math.inf)


def test_a_ratio_knows_that_its_denominator_varies() -> None:
    # Every row rewarded 1: whatever the weights, the self-normalised value is 1 without doubt, and IPS is not.
    ones = np.ones(2_000)
    sure = snips(ones, WEIGHTS)
    assert number(sure) == 1.0
    assert sure.error == 0.0
    assert ips(ones, WEIGHTS).error > 0.01


def test_influences_sum_to_nothing_and_make_the_error() -> None:
    for value in (
        ips(REWARD, WEIGHTS),
        snips(REWARD, WEIGHTS),
        doubly_robust(REWARD, WEIGHTS, MODEL.logged, MODEL.target),
        self_normalised_dr(REWARD, WEIGHTS, MODEL),
    ):
        assert value.influence is not None
        assert value.influence.sum() == pytest.approx(0, abs=1e-9)
        assert value.error == pytest.approx(value.influence.std(ddof=1) / math.sqrt(2_000))


def test_rows_of_a_deterministic_target_weigh_in_mrdr_as_published() -> None:
    # (1 - pi) / pi² where the target takes the logged action, 0 elsewhere
    propensity = np.array([0.5, 0.25, 0.5])
    weights = importance_weights(np.array([1.0, 1.0, 0.0]), propensity)
    assert mrdr_weights(weights, propensity).tolist() == [0.5 / 0.25, 0.75 / 0.0625, 0.0]


def test_one_pass_gives_what_the_estimators_give_one_by_one() -> None:
    rng = np.random.default_rng(3)
    reward = (rng.random(4_000) < 0.05).astype(float)
    weights, logged, target = rng.random(4_000) * 2, rng.random(4_000) * 0.1, rng.random(4_000) * 0.1
    model = Expected(logged, target)
    alone = {
        "ips": ips(reward, weights),
        "snips": snips(reward, weights),
        "dm": direct_method(model, weights),
        "dr": doubly_robust(reward, weights, logged, target),
        "sndr": self_normalised_dr(reward, weights, model),
    }
    whole = policy_sums(reward, weights, logged, target)
    for name, value in whole.values().items():
        assert number(value) == pytest.approx(number(alone[name]), rel=1e-12)
        assert value.error == pytest.approx(alone[name].error, rel=1e-9)
        if name != "dm":
            assert value.rewarded == pytest.approx(alone[name].rewarded, rel=0.05)
    assert whole.overlap.ess == pytest.approx(alone["ips"].overlap.ess)


def test_parts_of_a_log_add_up_to_the_log() -> None:
    columns = [c.astype(np.float32) for c in (REWARD, WEIGHTS, MODEL.logged, MODEL.target)]
    whole = policy_sums(*columns)
    parts = policy_sums(*(c[:700] for c in columns)) + policy_sums(*(c[700:] for c in columns))
    assert parts.rows == 2_000
    assert [parts.w, parts.largest, parts.reward_most] == [whole.w, 2.0, 1.0]
    assert number(parts.values()["sndr"]) == pytest.approx(0.4 + 1 / 4)
    assert policy_sums(*(c[:0] for c in columns)).rows == 0


def test_a_pass_over_unequal_columns_or_nan_is_refused() -> None:
    with pytest.raises(SchemaError, match="one length"):
        policy_sums(REWARD, WEIGHTS[1:], MODEL.logged, MODEL.target)
    with pytest.raises(SchemaError, match="finite"):
        policy_sums(np.where(REWARD > 0, np.nan, 0.0), WEIGHTS, MODEL.logged, MODEL.target)
    with pytest.raises(SchemaError, match="drop NaN rows"):
        ips(np.where(REWARD > 0, np.nan, 0.0), WEIGHTS)


def test_no_click_at_all_is_not_certainty() -> None:
    value = snips(np.zeros(10_000), np.ones(10_000))
    assert value.estimate is not None
    # the exact upper limit of a count of 0: -log(0.025) expected clicks
    assert value.estimate.low == 0.0
    assert value.estimate.high == pytest.approx(-math.log(0.025) / 10_000, rel=1e-6)


def test_equal_weights_give_the_exact_interval_of_a_count() -> None:
    got = few(7 / 1_000, Gains(7.0, 7.0, 1.0), 0.0, 1_000)
    assert got.low == pytest.approx(stats.chi2.ppf(0.025, 14) / 2 / 1_000)
    assert got.high == pytest.approx(stats.chi2.ppf(0.975, 16) / 2 / 1_000)


def test_light_clicks_count_little_while_a_heavy_one_may_come() -> None:
    assert Gains(30.0, 30.0, 1.0).count == pytest.approx(30)
    assert Gains(15.0, 7.5, 17.0).count == pytest.approx((15 + 17) ** 2 / (7.5 + 17**2) - 1)  # 2.5
    assert (Gains(15.0, 7.5, 0.5) + Gains(0.0, 0.0, 17.0)).count < 3
    assert Gains(0.0, 0.0, 0.0).count == 0


def test_a_skewed_interval_reaches_further_to_where_the_tail_is() -> None:
    z = stats.norm.ppf(0.975)
    assert skewed_reach(0.0, 100) == (pytest.approx(z), pytest.approx(z))
    below, above = skewed_reach(2.0, 100)
    assert below < z < above
    assert skewed_reach(-2.0, 100) == (pytest.approx(above), pytest.approx(below))
    assert skewed(1.0, [np.zeros(1)], 1).low == -math.inf  # one unit says nothing of spread


def test_few_clicks_under_uneven_weights_are_covered_where_the_normal_interval_fails() -> None:
    rng = np.random.default_rng(11)
    rates, target = np.array([0.002, 0.004, 0.03]), np.array([0.4, 0.4, 0.2])
    share = np.array([0.5, 0.48, 0.02])
    truth = float(rates @ target)
    ours = normal = 0
    for _ in range(400):
        action = rng.choice(3, 3_000, p=share)
        reward = (rng.random(3_000) < rates[action]).astype(float)
        value = ips(reward, importance_weights(target[action], share[action]))
        assert value.estimate is not None
        ours += value.estimate.low <= truth <= value.estimate.high
        normal += abs(value.estimate.value - truth) <= 1.96 * value.error
    assert ours >= 0.94 * 400
    assert normal < 0.90 * 400
