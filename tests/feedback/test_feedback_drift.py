"""Drift is named, priced and dated; a stream without drift stays silent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import SchemaError
from zhitou.feedback.chart import FACTOR, RateChart, crossing, limit
from zhitou.feedback.drift import DriftRows, DriftRules, DriftWatch, RateAlarm, Reference, overbid
from zhitou.feedback.psi import Bins, psi

NAMES = ("basket", "views", "device", "hour_sin")
WITHIN = 10_000  # impressions in which a drift has to be named
QUIET, START = 12_000, 12_000


def stream(rows: int, seed: int, *, ctr: float = 0.02, told: float = 1.0, rate: float = 1.0, moved: str = ""):
    """Rows of 400 shoppers. told: predicted over true chances. rate: true chances over `ctr`'s. moved: a feature."""
    draw = np.random.default_rng(seed)
    basket = draw.lognormal(3, 1, rows) * (1.8 if moved == "basket" else 1)
    views = draw.poisson(1.0 if moved != "views" else 2.0, rows).astype(float)
    device = draw.choice(["phone", "desk"] + ["watch"] * (moved == "device"), rows).astype(object)
    basket[draw.random(rows) < 0.1] = np.nan
    chance = np.clip(ctr * rate * np.exp(0.5 * draw.standard_normal(rows) - 0.125), 0, 0.9)
    clicked = draw.random(rows) < chance
    columns = (basket, views, device, np.sin(np.arange(rows) / 3_000))
    spend = np.where(clicked, 200_000, 0)
    return DriftRows(columns, clicked, np.clip(chance * told, 0, 0.99), spend, draw.integers(0, 400, rows))


def watch(reference_rows: int = 10_000, seed: int = 0, **world) -> DriftWatch:
    return DriftWatch(Reference.of(stream(reference_rows, seed, **world), NAMES), "EUR")


def rows_until(name: str, seed: int, ctr: float = 0.02, **after) -> int:
    """Impressions from the planted start to the alarm; the stretch before it must be silent."""
    watching = watch(seed=1_000 + seed, ctr=ctr)
    assert watching.add(stream(QUIET, 2_000 + seed, ctr=ctr)) == ()
    alarms = watching.add(stream(WITHIN, 3_000 + seed, ctr=ctr, **after))
    (found,) = [alarm for alarm in alarms if alarm.name == name]
    return found.rows_seen - START


@pytest.mark.parametrize("feature", ["basket", "views", "device"])
def test_a_feature_that_moves_is_named_within_ten_thousand_impressions(feature):
    assert all(rows_until(feature, seed, moved=feature) <= WITHIN for seed in range(10))


@pytest.mark.parametrize(("ctr", "told"), [(0.01, 2.5), (0.02, 1.8), (0.02, 0.5), (0.05, 1.5), (0.05, 0.6)])
def test_predictions_that_go_off_are_named_within_ten_thousand_impressions(ctr, told):
    assert all(rows_until("predictions", seed, ctr=ctr, told=told) <= WITHIN for seed in range(10))


def quick(seed: int, rows: int, told: float = 1.0, ctr: float = 0.01) -> DriftRows:
    """Rows without features, for what is looked for in rates alone."""
    one = stream(rows, seed, ctr=ctr, told=told)
    return DriftRows((), one.labels, one.predicted, one.spend_micros, one.unit)


def test_predictions_half_too_high_are_named_within_ten_thousand_impressions_in_most_streams_at_one_per_cent():
    named = 0
    for seed in range(40):
        watching = DriftWatch(Reference.of(quick(seed, 10_000), ()), "EUR")
        assert watching.add(quick(2_000 + seed, QUIET)) == ()
        named += any(a.name == "predictions" for a in watching.add(quick(3_000 + seed, WITHIN, told=1.5)))
    assert named >= 28  # 170 of 200 in a longer run, 76 without the quick chart


def test_a_chart_alarms_as_often_as_its_limit_says():
    """At the limit of 1 in 10 a day: 2,000 days of 20 blocks with 5 events each."""
    height = limit(0.1, 20, 5.0, -math.log(FACTOR))
    draw = np.random.default_rng(1)
    sums, reached = np.zeros(2_000), np.zeros(2_000, dtype=bool)
    for _ in range(20):
        step = -math.log(FACTOR) * draw.poisson(5.0, 2_000) - (1 / FACTOR - 1) * 5.0
        sums = np.maximum(0, sums + step)
        reached |= sums >= height
    assert reached.mean() == pytest.approx(0.1, abs=0.025)
    assert crossing(height, 20, 5.0, -math.log(FACTOR)) == pytest.approx(0.1, abs=0.01)


@given(st.floats(0.1, 200), st.integers(1, 500), st.sampled_from([-1, 1]))
def test_no_limit_is_higher_than_counting_every_start_would_make_it(mean, blocks, sign):
    assert 0 < limit(0.01, blocks, mean, sign * math.log(FACTOR)) <= math.log(blocks / 0.01) + 1e-9


def test_a_chart_says_since_when():
    chart = RateChart(0.02, 30, most=10.0, least=10.0)
    assert [chart.add(1_000, 10, 10.0, 10.0) for _ in range(5)] == [None] * 5
    found = [chart.add(1_000, 3, 10.0, 10.0) for _ in range(5)]
    assert next(f for f in found if f is not None) == 5_000


def test_a_base_rate_that_halves_is_named_even_if_the_model_follows_it():
    watching = watch(ctr=0.05)
    alarms = watching.add(stream(QUIET, 1, ctr=0.05)) + watching.add(stream(WITHIN, 2, ctr=0.05, rate=0.5))
    assert [(a.kind, a.name) for a in alarms] == [("base rate", "clicks")]
    assert alarms[0].measure == pytest.approx(0.5, abs=0.15)
    assert abs(alarms[0].since_row - START) <= 2_000


def test_streams_without_drift_raise_an_alarm_in_at_most_five_of_a_hundred():
    false = 0
    for seed in range(100):
        false += bool(watch(5_000, seed).add(stream(16_000, 10_000 + seed)))
    assert false <= 5


def test_a_feature_that_follows_the_clock_is_no_drift():
    assert "hour_sin" not in {a.name for a in watch().add(stream(40_000, 5))}


def test_each_thing_is_named_once():
    watching = watch()
    alarms = watching.add(stream(30_000, 7, moved="device"))
    assert [a.name for a in alarms] == ["device"]
    assert "a value not seen before: 0% -> " in alarms[0].where
    assert "feature drift in device" in str(alarms[0])


def test_the_cost_is_spend_times_the_excess():
    clicked = np.zeros(2_000, dtype=bool)
    clicked[:400] = True
    rows = DriftRows(
        (np.zeros(2_000),), clicked, np.full(2_000, 0.25), np.where(clicked, 50_000, 0), np.arange(2_000)
    )
    # 2,000 impressions cost 400 x 50,000; predicted 500 clicks, seen 400
    assert overbid(rows, "EUR").micros == 10_000_000 * (500 / 400 - 1)
    assert overbid(rows, "EUR").low < overbid(rows, "EUR").micros < overbid(rows, "EUR").high


def test_without_a_click_the_cost_has_no_upper_limit():
    rows = DriftRows(
        (np.zeros(100),), np.zeros(100, dtype=bool), np.full(100, 0.2), np.full(100, 1_000), np.arange(100)
    )
    cost = overbid(rows, "EUR")
    assert cost.high is None
    assert cost.micros == cost.low > 0
    assert str(cost).endswith("to ?)")


def test_a_rate_alarm_is_false_at_most_as_often_as_promised_at_any_look():
    false = 0
    for seed in range(400):
        draw, alarm = np.random.default_rng(seed), RateAlarm(0.05)
        false += any(alarm.add(100, int(n), 5.0, 5.0) is not None for n in draw.binomial(100, 0.05, 100))
    assert false / 400 <= 0.05


def test_a_change_within_the_tolerance_is_no_matter_for_ever():
    draw, alarm = np.random.default_rng(3), RateAlarm(0.05)
    for _ in range(300):
        events = int(draw.binomial(1_000, 0.052))
        assert alarm.add(1_000, events, 1_000 * 0.05 / 0.95, 1_000 * 0.05 / 1.05) is None


def test_psi_by_hand():
    p, q = np.array([500.5, 500.5]) / 1_001, np.array([250.5, 750.5]) / 1_001
    assert psi([500, 500], [250, 750]) == pytest.approx(sum((q - p) * np.log(q / p)))
    assert psi([500, 500], [5, 5]) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12), st.integers(0, 2**31))
def test_psi_is_never_below_zero_and_the_same_both_ways(counts, seed):
    other = np.random.default_rng(seed).permutation(counts)
    assert psi(counts, other) >= 0
    assert psi(counts, other) == pytest.approx(psi(other, counts))


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), min_size=1, max_size=60))
def test_every_value_falls_into_one_bin(values):
    bins = Bins.of(np.asarray(values), 10)
    assert bins.counts(np.asarray([*values, 1e9, -1e9, math.nan])).sum() == len(values) + 3


def test_columns_of_different_length_are_refused():
    with pytest.raises(SchemaError, match="one length"):
        DriftRows((np.zeros(3),), np.zeros(2, dtype=bool), np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(SchemaError, match="expected rows with 2 columns"):
        Reference.of(stream(10, 0), ("a", "b"))


def test_rules_that_ask_for_larger_moves_are_quieter():
    rows = stream(20_000, 9, moved="views")
    loud = DriftWatch(watch().reference, "EUR")
    quiet = DriftWatch(watch().reference, "EUR", DriftRules(psi_least=2.0))
    assert [a.name for a in loud.add(rows)] == ["views"]
    assert quiet.add(rows) == ()
