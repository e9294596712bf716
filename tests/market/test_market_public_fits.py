"""Fits to public logs: clicks, mails, prices. The logs here are made up, so that what is fitted is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.events.sources.logged import BanditLog
from zhitou.market.bandit_fit import (
    PUBLISHED,
    BanditFit,
    chosen_among,
    fit_places,
    item_rates,
    replay,
    spread_of_counts,
)
from zhitou.market.responses import ARMS, Answers, Customers, MailResponse, customers_of
from zhitou.market.rivals import AuctionFit, RivalPrices

PLAIN = BanditFit(0.0051, 0.301, 0.36, 0.10, np.array([1.0, 1.0, 0.76]), 0.38, (0.0, 0.0, 0.7))


def _log(item: np.ndarray, slot: np.ndarray, clicked: np.ndarray) -> BanditLog:
    rows, items = len(item), int(item.max()) + 1
    return BanditLog(
        policy="random",
        time_s=np.arange(rows),
        item=item.astype(np.int32),
        slot=slot.astype(np.int8),
        clicked=clicked,
        propensity=np.full(rows, 1 / items),
        affinity=np.zeros((rows, items), dtype=np.float32),
        user=np.full((rows, 4), "a"),
        item_about=np.full((items, 3), "a"),
        item_number=np.zeros(items, dtype=np.float32),
    )


def test_a_place_that_is_clicked_half_as_often_is_found():
    draw, rows = np.random.default_rng(0), 60_000
    item, slot = draw.integers(0, 10, rows), draw.integers(0, 2, rows)
    log = _log(item, slot, draw.random(rows) < np.where(slot == 0, 0.1, 0.05))
    places, p_value = fit_places(log)
    assert places[0] == 1.0
    assert places[1] == pytest.approx(0.5, abs=0.05)
    assert p_value < 1e-6


def test_places_never_rise():
    draw, rows = np.random.default_rng(0), 20_000
    slot = draw.integers(0, 3, rows)
    log = _log(draw.integers(0, 5, rows), slot, draw.random(rows) < np.array([0.02, 0.04, 0.03])[slot])
    places, _ = fit_places(log)
    assert (np.diff(places) <= 0).all()


def test_how_unequal_items_are_is_found_where_the_log_is_large_and_not_where_it_is_small():
    draw = np.random.default_rng(1)
    rates = item_rates(0.4, 0.05, (1, 40), draw)[0]
    item = draw.integers(0, 40, 80_000)
    likely, low, high = spread_of_counts(_log(item, np.zeros(80_000), draw.random(80_000) < rates[item]))
    assert low < 0.4 < high
    assert high - low < 0.3
    assert likely == pytest.approx(0.4, abs=0.12)
    few = draw.integers(0, 34, 5_000)
    assert spread_of_counts(_log(few, np.zeros(5_000), draw.random(5_000) < 0.005))[1] == 0.0


def test_among_how_many_items_a_policy_chose_is_one_over_the_sum_of_squared_shares():
    item = np.array([0, 0, 1, 2])
    assert chosen_among(_log(item, np.zeros(4), np.zeros(4, bool))) == pytest.approx(1 / (0.25 + 2 / 16))


def test_the_published_lifts_come_again_within_five_points():
    for one in PUBLISHED:
        told = replay(PLAIN, one, 60, Chance(77))
        assert told.lift == pytest.approx(one.lift, abs=0.05 + 2 * told.error), one.campaign


def test_random_items_have_the_mean_rate_they_are_given():
    rates = item_rates(0.5, 0.01, (2_000, 20), np.random.default_rng(0))
    assert rates.mean() == pytest.approx(0.01, rel=0.02)
    assert np.log(rates).std() == pytest.approx(0.5, rel=0.02)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12).filter(lambda c: sum(c) > 0), st.floats(0.2, 5))
@settings(max_examples=50, deadline=None)
def test_win_rates_rise_to_one_and_spend_to_the_mean_price(counts, factor):
    rivals = RivalPrices.of(np.asarray(counts)).dearer(factor)
    bids = factor * np.arange(len(counts))
    won, spent = rivals.win_rate(bids), rivals.spend(bids)
    assert (np.diff(won) >= 0).all()
    assert won[-1] == pytest.approx(1)
    assert spent[-1] == pytest.approx(factor * np.average(np.arange(len(counts)), weights=counts))
    assert rivals.win_rate(np.array([-1.0]))[0] == 0


def test_drawn_prices_win_as_often_as_the_histogram_says():
    rivals = RivalPrices.of(np.array([0, 10, 30, 60]))
    prices = rivals.draw(50_000, np.random.default_rng(0))
    assert (prices <= 2).mean() == pytest.approx(0.4, abs=0.01)
    with pytest.raises(SourceError, match="histogram"):
        RivalPrices.of(np.zeros(3))


def test_simulated_auctions_keep_how_price_and_clicks_go_with_the_prediction():
    draw, n = np.random.default_rng(0), 20_000
    pctr = draw.uniform(0.01, 0.3, n)
    price = (100 * pctr + draw.integers(0, 5, n)).astype(np.int64)
    fit = AuctionFit.fit(draw.random(n) < pctr / 2, price, pctr)
    clicked, prices, predicted = fit.draw(n, np.random.default_rng(1))
    assert np.corrcoef(prices, predicted)[0, 1] == pytest.approx(np.corrcoef(price, pctr)[0, 1], abs=0.01)
    high = predicted > 0.2
    assert clicked[high].mean() == pytest.approx(predicted[high].mean() / 2, rel=0.1)
    with pytest.raises(SourceError, match="at least"):
        AuctionFit.fit(np.zeros(3), np.ones(3), np.ones(3))


def _customers(n: int, draw: np.random.Generator) -> Customers:
    return Customers(
        recency=draw.integers(1, 13, n),
        history_micros=draw.integers(30, 500, n) * 1_000_000,
        mens=draw.random(n) < 0.5,
        womens=draw.random(n) < 0.5,
        newbie=draw.random(n) < 0.5,
        zip_code=draw.integers(0, 3, n),
        channel=draw.integers(0, 3, n),
    )


def test_a_mail_that_works_on_some_customers_only_is_learnt_so():
    draw, n = np.random.default_rng(5), 10_000
    customers, arm = _customers(n, draw), draw.integers(0, 3, n)
    visited = draw.random(n) < 0.1 + 0.2 * ((arm == 1) & customers.mens)
    converted = visited & (draw.random(n) < 0.3)
    spend = np.where(converted, np.where(arm == 0, 10, 20) * 1_000_000, 0)
    fit = MailResponse.fit(customers, arm, Answers(visited, converted, spend))
    chance = [fit.chances(customers, np.full(n, one))[0] for one in range(len(ARMS))]
    gain = chance[1] - chance[0]
    assert gain[customers.mens].mean() == pytest.approx(0.2, abs=0.03)
    assert gain[~customers.mens].mean() == pytest.approx(0.0, abs=0.03)
    answers = fit.answer(customers, np.full(n, 1), np.random.default_rng(0))
    assert set(np.unique(answers.spend_micros)) == {0, 20_000_000}
    assert (answers.converted <= answers.visited).all()
    assert ((answers.spend_micros > 0) == answers.converted).all()


def test_a_trial_without_enough_buyers_is_refused():
    draw = np.random.default_rng(5)
    customers, none = _customers(100, draw), np.zeros(100, dtype=bool)
    with pytest.raises(SourceError, match="conversions in each arm"):
        MailResponse.fit(customers, draw.integers(0, 3, 100), Answers(none, none, np.zeros(100, dtype=np.int64)))


def test_the_markets_shoppers_become_customers_by_recency_and_rank_of_spending(shop):
    like = _customers(5_000, np.random.default_rng(0))
    bought = shop.market.purchases
    dearer = replace(bought, price_micros=bought.price_micros * (1 + bought.subject_of_event))  # the last spend most
    end_s = int(bought.time_s.max()) + 1
    customers = customers_of(replace(shop.market, purchases=dearer), like, end_s, Chance(1))
    assert (customers.recency == 1).all()  # everybody bought within the last month
    assert customers.history_micros[-1] > 400_000_000 > 100_000_000 > customers.history_micros[0]
    assert (np.diff(customers.history_micros[::8]) > 0).all()
