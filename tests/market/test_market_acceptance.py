"""The acceptance report passes what resembles the data and fails what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.market.acceptance import (
    Criterion,
    Report,
    apart_criterion,
    lift_criteria,
    mail_criteria,
    price_criteria,
    two_sample_auc,
)
from zhitou.market.appeal import draw_appeal
from zhitou.market.bandit_fit import BanditFit
from zhitou.market.config import MarketConfig, public_logs
from zhitou.market.resemblance import BASKET_COLUMNS, baskets, next_hour_s
from zhitou.market.responses import ARMS, Answers, Customers, MailResponse
from zhitou.market.rivals import RivalPrices

FITTED = BanditFit(0.0051, 0.301, 0.36, 0.10, np.array([1.0, 1.0, 0.76]), 0.38, (0.0, 0.0, 0.7))


def test_a_criterion_holds_its_bounds_and_fails_what_is_no_number():
    assert Criterion("x", 1.0, 2.0, 1.0, 2.0).passed
    assert not Criterion("x", 1.0, 2.01, 1.0, 2.0).passed
    assert not Criterion("x", 1.0, float("nan"), 1.0, 2.0).passed


def test_one_failure_refuses_the_market_and_is_named():
    good, bad = Criterion("good", 0, 0.0, 0, 1), Criterion("bad", 0, 3.0, 0, 1)
    assert Report((good,)).accepted
    report = Report((good, bad))
    assert not report.accepted
    assert report.failed() == (bad,)
    assert "FAILED" in report.lines()[2]
    assert report.lines()[-1] == "NOT accepted: 1 of 2 failed"


def test_a_report_without_criteria_accepts_nothing():
    assert not Report(()).accepted


def test_a_world_of_equal_ads_fails_the_published_lifts():
    flat = [np.full((20, items), 0.004) for items in (80, 34, 46)]
    told = lift_criteria(FITTED, Chance(5), flat)
    assert [one.simulated for one in told] == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert not any(one.passed for one in told)


def test_twins_cannot_be_told_apart_and_shifted_rows_can():
    draw = np.random.default_rng(0)
    a, b = draw.standard_normal((2, 1_500, 3))
    assert apart_criterion("twins", a, b, Chance(1)).passed
    b[:, 1] += 1.0
    told = apart_criterion("shifted", a, b, Chance(1))
    assert told.simulated > 0.65
    assert not told.passed


def test_rows_that_differ_only_in_how_columns_go_together_are_told_apart():
    draw = np.random.default_rng(1)
    a = draw.standard_normal((2_000, 2))
    b = a[:, [0, 0]] + 0.1 * draw.standard_normal((2_000, 2))
    assert two_sample_auc(a, b, Chance(1)) > 0.8


def test_prices_of_their_own_histogram_pass_and_dearer_ones_fail():
    counts = np.array([5, 20, 30, 20, 10, 10, 5]) * 1_000
    rivals, draw = RivalPrices.of(counts), np.random.default_rng(0)
    assert all(one.passed for one in price_criteria("a", counts, rivals.draw(100_000, draw)))
    assert not any(one.passed for one in price_criteria("a", counts, rivals.dearer(1.5).draw(100_000, draw)))


def _trial(effect: float) -> tuple[Customers, np.ndarray, Answers]:
    """8,000 customers; a mail raises a visit's chance from 0.1 by `effect`; half of the visitors buy for 30.0."""
    draw, n = np.random.default_rng(3), 8_000
    customers = Customers(
        recency=draw.integers(1, 13, n),
        history_micros=draw.integers(30, 500, n) * 1_000_000,
        mens=draw.random(n) < 0.5,
        womens=draw.random(n) < 0.5,
        newbie=draw.random(n) < 0.5,
        zip_code=draw.integers(0, 3, n),
        channel=draw.integers(0, 3, n),
    )
    arm = draw.integers(0, 3, n)
    visited = draw.random(n) < 0.1 + effect * (arm > 0)
    converted = visited & (draw.random(n) < 0.5)
    return customers, arm, Answers(visited, converted, np.where(converted, 30_000_000, 0))


def test_mail_that_was_fitted_passes_and_mail_without_an_effect_fails():
    customers, arm, answers = _trial(0.1)
    fit = MailResponse.fit(customers, arm, answers)
    told = mail_criteria(fit, customers, arm, answers, Chance(1), each=5)
    assert len(told) == 15
    assert [one.name for one in told if not one.passed] == []
    planted = MailResponse.fit(*_trial(0.0))
    failed = [c.name for c in mail_criteria(planted, customers, arm, answers, Chance(1), each=5) if not c.passed]
    assert {f"mail {name} over none: visited" for name in ARMS[1:]} <= set(failed)


def test_the_ads_of_the_second_edition_are_as_unequal_as_it_says(shop):
    config = replace(shop.market.config, ad_spread=0.36)
    market = replace(shop.market, config=config, _last_plan={})
    still = {"drift_sd": 0.0, "trend_sd": 0.0, "due_weight": 0.0}
    market = replace(market, config=replace(config, click_rate=0.001, **still))
    appeal = draw_appeal(market, shop.book, Chance(3), shop.start_s, 1)
    weight = np.sqrt(market.habits.basket_rate)
    rate = (weight[:, None] / weight.sum() / (1 + np.exp(-appeal.click.astype(float)))).sum(axis=0)
    ads = len(shop.book)
    wanted = 0.36 * np.std([_normal_quantile((k + 0.5) / ads) for k in range(ads)])
    assert np.log(rate).std() == pytest.approx(wanted, rel=0.01)


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)


def test_the_demos_market_is_untouched_by_the_second_edition(shop):
    assert MarketConfig().ad_spread is None
    assert (MarketConfig().click_rate, MarketConfig().examination) == (0.01, (1.0, 0.7))
    assert (public_logs().click_rate, public_logs().ad_spread) == (0.0051, 0.35)
    with pytest.raises(ConfigError, match="ad_spread"):
        MarketConfig(ad_spread=-1.0)


def test_baskets_of_a_world_and_of_the_days_that_followed_are_rows_of_the_same_columns(shop, make_purchases):
    start_s = next_hour_s(shop.market)
    item = int(shop.market.purchases.item[0])
    later = make_purchases([(0, item, start_s + 60), (0, item, start_s + 60), (1, item, start_s + 7_200)], 40)
    real, simulated = baskets(shop.market, shop.book, later, Chance(1), days=2)
    assert real.shape == (2, len(BASKET_COLUMNS))
    assert real[0, [1, 2]].tolist() == [2, 1]  # two lines of one type
    assert simulated.shape[1] == len(BASKET_COLUMNS)
    assert (simulated[:, 1] >= simulated[:, 2]).all()
    assert np.isfinite(simulated).all()
