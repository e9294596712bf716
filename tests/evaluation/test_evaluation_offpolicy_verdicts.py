"""Which log may be asked, which estimator to take, and what may be said of a lift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import Claim, Estimate, Moments, relative_lift
from zhitou.evaluation.offpolicy import Expected, PolicyValue, direct_method, importance_weights, ips, overlap, snips
from zhitou.evaluation.offpolicy_choice import evaluate, slope
from zhitou.evaluation.offpolicy_health import frequencies, frequencies_of_distribution, log_health
from zhitou.evaluation.offpolicy_intervals import Gains
from zhitou.evaluation.offpolicy_lift import LiftSums, judge_lift, lift_sums, stream_sums

BETTER = Claim("better than what was logged", 0.0)


def drawn(rows: int, share: list[float], seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(share), rows, p=share)


def valued(value: float, half: float) -> PolicyValue:
    """An estimate with this half width."""
    return PolicyValue("some", Estimate(value, value - half, value + half), overlap(np.ones(2_000)), None)


def test_frequencies_of_unchanging_propensities_are_pearsons_chi_square() -> None:
    action = np.repeat([0, 1], [60, 40])
    check = frequencies(action, np.full(100, 0.5))
    assert check.chi2 == pytest.approx(10**2 / 50 + 10**2 / 50)
    assert check.freedom == pytest.approx(1.0)
    whole = frequencies_of_distribution(action, np.full((100, 2), 0.5))
    assert (whole.chi2, whole.freedom) == (pytest.approx(4.0), pytest.approx(1.0))


def test_actions_drawn_as_logged_are_sound_and_a_filter_after_the_draw_is_found() -> None:
    share = np.array([0.5, 0.3, 0.2])
    action = drawn(20_000, share.tolist())
    weights = np.ones(20_000)
    assert log_health(weights, propensity=share[action], action=action).refusal is None
    kept = np.flatnonzero((action != 2) | (np.arange(20_000) % 2 == 0))  # every second draw of ad 2 was filtered away
    health = log_health(weights[kept], propensity=share[action[kept]], action=action[kept])
    assert "not drawn as their propensities say" in str(health.refusal)
    assert "not drawn" in str(health)


def test_changing_propensities_are_tested_by_what_was_logged_alone_or_by_the_whole_distribution() -> None:
    rng = np.random.default_rng(9)
    distribution = rng.dirichlet([3, 2, 1], 6_000) * 0.9 + 0.1 / 3
    action = (rng.random(6_000)[:, None] > distribution.cumsum(1)).sum(1)
    propensity = distribution[np.arange(6_000), action]
    assert frequencies(action, propensity).sound
    assert frequencies_of_distribution(action, distribution).sound
    wrong = np.roll(distribution, 1, axis=1)
    assert not frequencies(action, wrong[np.arange(6_000), action]).sound
    assert not frequencies_of_distribution(action, wrong).sound


def test_an_action_that_was_impossible_is_never_sound_and_half_a_distribution_is_refused() -> None:
    assert not frequencies_of_distribution(np.array([2, 0]), np.array([[0.5, 0.5, 0.0]] * 2)).sound
    with pytest.raises(SchemaError, match="sum to 1"):
        frequencies_of_distribution(np.array([0]), np.array([[0.5, 0.4]]))


def test_a_target_that_acts_where_the_log_never_does_is_refused_by_its_mean_weight() -> None:
    # The log takes ads 0 and 1; a third of the target's mass is on ad 2, so the mean weight is 2 / 3.
    weights = importance_weights(np.full(5_000, 1 / 3), np.full(5_000, 0.5))
    assert "the mean weight is 0.6667" in str(log_health(weights).refusal)


def test_policy_versions_are_counted() -> None:
    assert log_health(np.ones(4), version=np.array(["a", "a", "b", "c"])).versions == 3
    assert log_health(np.ones(4)).versions == 0


def test_slope_takes_the_narrowest_estimate_that_every_wider_one_allows() -> None:
    # widths 4, 2, 1: the second is near the first, the third 5 from the second, which allows 2 + 1.449 · 1
    assert slope([valued(10, 4), valued(9, 2), valued(4, 1)]) == 1
    assert slope([valued(10, 4), valued(9, 2), valued(6, 1)]) == 2
    assert slope([valued(4, 1), valued(10, 4), valued(9, 2)]) == 2  # in whatever order they are given
    assert slope([]) == -1


def test_all_estimators_stand_beside_the_chosen_one_and_verdicts_rest_on_one_named_before() -> None:
    action = drawn(20_000, [0.5, 0.5])
    reward = (np.random.default_rng(1).random(20_000) < 0.05 * (1 + action)).astype(float)
    weights = np.where(action == 1, 1.4, 0.6)
    model = Expected(0.05 * (1.0 + action), np.full(20_000, 0.085))
    found = evaluate(reward, weights, model, robust=model)
    assert list(found.values) == ["ips", "snips", "dm", "dr", "sndr", "switch-dr", "dros", "mrdr"]
    assert found.inference == "dr"
    assert found.chosen in found.values
    assert found.chosen != "dm"
    assert "<- verdicts" in str(found)
    assert evaluate(reward, weights).inference == "snips"
    alone = evaluate(reward[:500], weights[:500], Expected(model.logged[:500], model.target[:500]))
    assert (alone.chosen, str(alone.refusal)[:13]) == ("", "not estimable")


def test_a_lift_over_the_log_is_the_ratio_of_two_means_of_the_same_rows() -> None:
    reward = np.tile([1.0, 0.0, 1.0, 0.0], 1_000)
    weights = np.tile([1.5, 1.5, 0.5, 0.5], 1_000)
    lift = lift_sums(ips(reward, weights), reward).lift()
    assert lift.value == pytest.approx(0.0)
    assert lift.low < 0 < lift.high
    # The log's own policy is exactly as good as itself, without any doubt.
    same = lift_sums(ips(reward, np.ones(4_000)), reward).lift()
    assert (same.low, same.high) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_a_lift_agrees_with_fiellers_interval_where_there_is_no_skewness() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(1.0, 0.2, 4_000), rng.normal(1.3, 0.2, 4_000)
    lift = LiftSums.of(y, x, Gains(4_000.0, 4_000.0, 1.0)).lift()
    z, n = 1.959964, 4_000
    error = math.sqrt((y.var(ddof=1) + 1.3**2 * x.var(ddof=1)) / n)  # of y - 1.3 x, whose mean is near 0
    assert lift.high - lift.low == pytest.approx(2 * z * error, rel=0.02)


def test_parts_of_a_stream_add_up_and_one_log_gives_the_same() -> None:
    reward = np.tile([1.0, 0.0, 1.0, 1.0], 1_000)
    weights = np.tile([1.5, 0.5, 0.5, 1.5], 1_000)
    parts = stream_sums(reward[:1_000], weights[:1_000]) + stream_sums(reward[1_000:], weights[1_000:])
    whole = lift_sums(ips(reward, weights), reward)
    assert parts.lift().low == pytest.approx(whole.lift().low, rel=1e-6)
    assert parts.n == whole.n
    model = Expected(np.full(4_000, 0.75), np.full(4_000, 0.75))
    assert stream_sums(reward, weights, model).lift().value == pytest.approx(parts.lift().value)


def test_an_interval_for_all_looks_is_wider_than_that_of_one_look() -> None:
    rng = np.random.default_rng(4)
    reward = (rng.random(20_000) < 0.05).astype(float)
    sums = stream_sums(reward, rng.choice([0.5, 1.5], 20_000))
    once, always = sums.lift(), sums.sequence(20_000)
    assert always.low < once.low < once.high < always.high


def test_too_few_clicks_say_nothing_of_a_lift() -> None:
    reward = np.zeros(5_000)
    reward[:20] = 1
    judged = judge_lift(BETTER, snips(reward, np.ones(5_000)), reward)
    assert judged.verdict == "inconclusive"
    assert "too few rewards" in judged.reason
    light = stream_sums(np.ones(40), np.append(np.full(39, 0.5), 17.0))
    assert math.isinf(light.lift().low)  # forty equal clicks, were it not for the one weight of 17


def test_a_claim_is_established_refuted_or_refused_with_a_reason() -> None:
    share = np.array([0.5, 0.5])
    action = drawn(40_000, [0.5, 0.5])
    reward = (np.random.default_rng(3).random(40_000) < np.array([0.02, 0.08])[action]).astype(float)
    weights = importance_weights(np.array([0.1, 0.9])[action], share[action])  # 7.4 % against 5 %: +48 %
    value, health = snips(reward, weights), log_health(weights, propensity=share[action], action=action)
    verdicts = {at: judge_lift(Claim("lift", at), value, reward, health=health).verdict for at in (0.3, 0.48, 0.7)}
    assert verdicts == {0.3: "established", 0.48: "inconclusive", 0.7: "refuted"}
    thin = judge_lift(BETTER, ips(reward[:900], weights[:900]), reward[:900])
    assert (thin.verdict, thin.lift) == ("inconclusive", None)
    assert "below 1,000" in str(thin)
    model = Expected(np.full(40_000, 0.05), np.full(40_000, 0.074))
    assert judge_lift(BETTER, direct_method(model, weights), reward).verdict == "inconclusive"


def test_ten_thousand_rows_cannot_establish_30_per_cent_and_the_published_millions_can_for_one_campaign() -> None:
    # Open Bandit Dataset, table 1 of its paper: impressions and click rates of random and Thompson sampling.
    published = {
        "all": ((1_374_327, 0.0035), (12_168_084, 0.0050)),
        "men": ((452_949, 0.0051), (4_077_727, 0.0067)),
        "women": ((864_585, 0.0048), (7_765_497, 0.0064)),
    }
    low_high = {"all": (0.387, 0.471), "men": (0.259, 0.371), "women": (0.292, 0.376)}

    def arm(shown: int, clicks: int) -> Moments:
        return Moments(shown, clicks, clicks)

    plus_30 = Claim("+30 % clicks", 0.30)
    for name, (random, bts) in published.items():
        lift = relative_lift(arm(bts[0], round(bts[0] * bts[1])), arm(random[0], round(random[0] * random[1])))
        assert (lift.low, lift.high) == (
            pytest.approx(low_high[name][0], abs=6e-4),
            pytest.approx(low_high[name][1], abs=6e-4),
        )
        assert plus_30.verdict(lift) == ("established" if name == "all" else "inconclusive")
    # The small logs of campaign "men": 46 and 69 clicks of 10,000 impressions each.
    assert plus_30.verdict(relative_lift(arm(10_000, 69), arm(10_000, 46))) == "inconclusive"
