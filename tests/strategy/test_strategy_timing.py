import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, SchemaError
from zhitou.strategy.timing import SendTimes, choose_hours, compare_arms, thompson_shares

PEAKS = np.array([8, 20])
HOURS = np.arange(24)


def rates(group, rng=None, kappa=40.0):
    """True rates: 2 % at any hour, 12 % at the group's peak; with rng each shopper differs."""
    away = (HOURS - PEAKS[:, None] + 12) % 24 - 12
    mean = 0.02 + 0.10 * np.exp(-0.5 * (away / 1.5) ** 2)
    return mean[group] if rng is None else rng.beta(kappa * mean[group], kappa * (1 - mean[group]))


def made_up(seed, shoppers=1_500, per_hour=2.0):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, shoppers)
    truth = rates(group, rng)
    sent = rng.poisson(per_hour, truth.shape)
    return rng, group, truth, SendTimes.fit(rng.binomial(sent, truth), sent, group)


def test_the_best_hour_of_each_group_is_recovered():
    times = made_up(1)[3]
    assert times.rate.argmax(axis=1).tolist() == PEAKS.tolist()


def test_how_much_shoppers_differ_is_recovered():
    # 3,000 messages an hour determine kappa to about a tenth
    found = [made_up(seed, 3_000)[3].kappa for seed in (1, 2, 3)]
    assert 30 < np.mean(found) < 50


def test_a_silent_shopper_is_his_group_and_a_talkative_one_himself():
    sent = np.full((40, 24), 10.0)
    answered = np.zeros((40, 24))
    answered[:, 9] = np.tile([1.0, 3.0], 20)
    answered[1, 9], sent[0] = 9.0, 0.0
    answered[0] = 0.0
    times = SendTimes.fit(answered, sent)
    mean = times.mean(np.array([0, 1]))
    assert mean[0] == pytest.approx(times.rate[0])
    k, m = times.kappa, times.rate[0, 9]
    assert mean[1, 9] == pytest.approx((k * m + 9) / (k + 10))


def test_shoppers_who_do_not_differ_are_pooled():
    rng = np.random.default_rng(3)
    sent = np.full((500, 24), 20.0)
    times = SendTimes.fit(rng.binomial(20, np.full((500, 24), 0.1)), sent)
    assert times.kappa > 500
    assert np.abs(times.mean(np.arange(500)) - 0.1).max() < 0.03


def test_learnt_hours_beat_one_fixed_hour_and_are_never_worse_than_random():
    learnt, fixed, random = [], [], []
    for seed in range(6):
        rng, _, truth, times = made_up(seed, 800)
        rows = np.arange(800)
        best = times.mean(rows).argmax(axis=1)
        learnt.append(truth[rows, best].mean())
        fixed.append(truth.mean(axis=0).max())
        random.append(truth[rows, rng.integers(0, 24, 800)].mean())
    assert min(np.subtract(learnt, fixed)) > 0
    assert min(np.subtract(learnt, random)) > 0
    flat = SendTimes.fit(np.zeros((5, 24)), np.full((5, 24), 3.0))  # where hours do not differ, no hour is lost
    assert np.ptp(flat.mean(np.arange(5))) < 0.02


def test_thompson_sends_get_better_while_they_learn():
    rng = np.random.default_rng(5)
    group = rng.integers(0, 2, 150)
    truth, rows, allowed = rates(group), np.arange(150), np.ones((150, 24), dtype=bool)
    sent, answered, share = np.ones((150, 24)), rng.binomial(1, truth).astype(float), []
    for day in range(12):
        choice = choose_hours(SendTimes.fit(answered, sent, group), rows, allowed, Chance(day))
        share.append(truth[rows, choice.hour].mean())
        sent[rows, choice.hour] += 1
        answered[rows, choice.hour] += rng.random(150) < truth[rows, choice.hour]
    assert np.mean(share[-4:]) > 1.5 * truth.mean()


def test_shares_by_quadrature_are_those_of_draws():
    rng = np.random.default_rng(2)
    a = np.stack([rng.uniform(0.05, 3, 24), np.full(24, 0.4), rng.uniform(1, 80, 24)])
    b = np.stack([rng.uniform(1, 30, 24), np.full(24, 20.0), rng.uniform(50, 400, 24)])
    allowed = np.ones((3, 24), dtype=bool)
    allowed[0, :5] = False
    draws = np.where(allowed[:, None], rng.beta(a[:, None], b[:, None], (3, 100_000, 24)), -1).argmax(axis=2)
    counted = np.stack([np.bincount(row, minlength=24) for row in draws]) / 100_000
    # a count's own error is at most sqrt(1/4 / 100,000) = 0.0016
    assert np.abs(thompson_shares(a, b, allowed) - counted).max() < 4 * 0.0016


def test_two_equal_hours_share_evenly_and_an_hour_alone_has_everything():
    a, b = np.array([[2.0, 2.0, 50.0]]), np.array([[9.0, 9.0, 1.0]])
    assert thompson_shares(a, b, np.array([[True, True, False]]))[0] == pytest.approx([0.5, 0.5, 0.0])
    assert thompson_shares(a, b, np.array([[False, True, False]]))[0] == pytest.approx([0.0, 1.0, 0.0])
    assert thompson_shares(a, b, np.zeros((1, 3), dtype=bool))[0].tolist() == [0.0, 0.0, 0.0]


def test_logged_propensities_make_the_log_unbiased():
    group = np.random.default_rng(8).integers(0, 2, 20)
    times = SendTimes.fit(rates(group) * 3, np.full((20, 24), 3.0), group)
    allowed = np.ones((20, 24), dtype=bool)
    allowed[:, :7] = False
    weight = []
    for seed in range(80):
        choice = choose_hours(times, np.arange(20), allowed, Chance(seed))
        assert (choice.hour >= 7).all()
        assert choice.propensity.min() >= 0.1 / 17 - 1e-12
        weight.append((1 / 17 / choice.propensity).mean())  # of the policy that sends at a random allowed hour
    assert np.mean(weight) == pytest.approx(1.0, abs=4 * np.std(weight) / 80**0.5)


def test_a_tenth_is_held_out_at_random_hours():
    times = made_up(4, 400)[3]
    choice = choose_hours(times, np.arange(400), np.ones((400, 24), dtype=bool), Chance(1))
    assert 20 <= choice.held_out.sum() <= 60  # 40 expected, sd 6
    same = choose_hours(times, np.arange(400), np.ones((400, 24), dtype=bool), Chance(1))
    assert (choice.hour == same.hour).all()


def test_who_may_be_sent_nothing_is_sent_nothing():
    times = made_up(4, 10)[3]
    choice = choose_hours(times, np.arange(2), np.zeros((2, 24), dtype=bool), Chance(1))
    assert choice.hour.tolist() == [-1, -1]
    assert choice.propensity.tolist() == [0.0, 0.0]
    assert not choice.held_out.any()


def test_arms_are_compared_within_the_same_days():
    # arm 1 was mostly sent on a good day: pooled it looks 20 points better, day by day it is equal
    window = np.repeat([1, 1, 2, 2], [90, 10, 10, 90])
    arm = np.repeat([0, 1, 0, 1], [90, 10, 10, 90])
    answered = np.concatenate([np.arange(90) < 9, np.arange(10) < 1, np.arange(10) < 4, np.arange(90) < 36])
    found = compare_arms(answered, arm, window)
    assert found.value == pytest.approx(0.0)
    assert found.low < 0 < found.high
    with pytest.raises(SchemaError, match="same days"):
        compare_arms(answered, arm, arm)


def test_a_plan_reads_hours_against_the_mean_of_those_that_are_allowed():
    times = made_up(4, 10)[3]
    allowed = (HOURS >= 9) & (HOURS < 21)
    response = times.response(np.arange(10), allowed)
    assert (response[:, ~allowed] == 0).all()
    assert response[:, allowed].mean(axis=1) == pytest.approx(np.ones(10), rel=1e-5)


def test_impossible_counts_are_refused():
    with pytest.raises(SchemaError, match="answered <= sent"):
        SendTimes.fit(np.ones((1, 24)), np.zeros((1, 24)))
    with pytest.raises(SchemaError, match="fit"):
        SendTimes.fit(np.ones((1, 24)), np.ones((2, 24)))
    with pytest.raises(ConfigError, match="held_out"):
        choose_hours(made_up(1, 5)[3], np.arange(1), np.ones((1, 24), bool), Chance(1), held_out=2.0)
