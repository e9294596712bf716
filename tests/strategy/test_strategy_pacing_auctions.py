"""Bidding auction by auction under a budget: mirror descent, the landscape, the table of short flights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.events.sources.ipinyou import read_sample, read_test_log, read_training
from zhitou.events.sources.raw import data_folder
from zhitou.strategy.bidding import AutoBidding
from zhitou.strategy.episodes import EpisodePacing, EpisodeTable
from zhitou.strategy.landscape import Landscape, LandscapePacing, knapsack
from zhitou.strategy.pacing import AuctionPacing, Bidder

N = 4_000
PRICES = np.arange(400, dtype=np.int64)


def auctions(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Values and prices in micros, log-normal, the dear ones better."""
    rng = Chance(seed).stream("auctions")
    mood = rng.normal(size=n)
    value = np.exp(0.5 * mood + 0.5 * rng.normal(size=n)) * 80
    return value, np.clip(np.exp(0.5 * mood + 0.5 * rng.normal(size=n)) * 60, 0, 399).astype(np.int64)


def table_for(value: np.ndarray, price: np.ndarray, budget: int, flights: int) -> EpisodeTable:
    return EpisodeTable.of(value, price, budget_micros=budget, auctions=flights, levels=300)


MAKERS: dict[str, Callable[[int, int], Bidder]] = {
    "mirror descent": lambda budget, n: AuctionPacing(budget, n, threshold=1.5),
    "landscape": lambda budget, n: LandscapePacing(Landscape.of(*auctions(9)), budget, n, least=0.0),
    "unseen": lambda budget, n: LandscapePacing(Landscape.of(*auctions(9)), budget, n, lost_prices=False, least=0.5),
    "table": lambda budget, n: EpisodePacing(table_for(*auctions(9), max(budget, 1), n), budget, n),
    "target": lambda budget, n: AutoBidding(budget, n, target=1.6),
}


@pytest.mark.parametrize("name", MAKERS)
def test_no_bidder_pays_more_than_it_has_nor_bids_more_than_is_left(name: str) -> None:
    value, price = auctions(1, 200)
    for budget in (0, 1, 57, 900, 10**7 if name != "table" else 9_000):
        bidder = MAKERS[name](budget, 200)
        played = bidder.replay(value, price)
        left = budget - np.concatenate([[0], np.cumsum(np.where(played.won, price, 0))])
        assert played.cost_micros == price[played.won].sum() == budget - bidder.remaining_micros
        assert (played.bid_micros <= left[:-1]).all()
        assert left.min() >= 0
        assert (played.won == (played.bid_micros >= price)).all()


@pytest.mark.parametrize("name", MAKERS)
def test_one_by_one_is_what_a_replay_does(name: str) -> None:
    value, price = auctions(2, 120)
    value[3] = np.nan
    played = MAKERS[name](2_000, 120).replay(value, price)
    bidder = MAKERS[name](2_000, 120)
    for v, p, expected in zip(value, price, played.bid_micros, strict=True):
        bid = bidder.bid(float(v))
        assert bid == expected
        bidder.settle(float(v), bid, int(p) if p <= bid or name != "unseen" else None)
    assert bidder.remaining_micros == 2_000 - played.cost_micros
    assert bidder.auctions_left == 0


@pytest.mark.parametrize("name", MAKERS)
def test_who_asks_after_the_forecast_is_over_still_gets_a_bid_within_the_budget(name: str) -> None:
    value, price = auctions(3, 90)
    played = MAKERS[name](5_000, 30).replay(value, price)
    assert played.cost_micros <= 5_000


@pytest.mark.parametrize(("name", "least"), [("mirror descent", 0.98), ("landscape", 0.99), ("unseen", 0.99)])
@pytest.mark.parametrize("divisor", [2, 8, 32])
def test_a_budget_buys_nearly_what_it_would_have_bought_in_hindsight(name: str, least: float, divisor: int) -> None:
    value, price = auctions(4)
    budget = int(price.sum()) // divisor
    best = float(value @ knapsack(value, price, budget))
    if name == "mirror descent":
        threshold = Landscape.of(*auctions(9)).threshold(budget / N)
        bidder: Bidder = AuctionPacing(budget, N, threshold=threshold)
    else:
        bidder = MAKERS[name](budget, N)
    played = bidder.replay(value, price)
    assert value[played.won].sum() >= least * best
    assert played.cost_micros >= 0.99 * budget


def test_one_step_of_mirror_descent_by_hand() -> None:
    bidder = AuctionPacing(1_000, 10, threshold=2.0, eta=0.01)
    assert bidder.bid(300.0) == 150
    bidder.settle(300.0, 150, 120)  # 100 were planned: x = 0.01 * (120 - 100) / 100
    assert bidder.threshold == pytest.approx(2.0 * np.exp(0.002), rel=1e-9)
    bidder.settle(300.0, 0, 120)  # lost: (1000 - 120) / 9 were planned
    assert bidder.threshold == pytest.approx(2.0 * np.exp(0.002 - 0.01 * 880 / 9 / 100), rel=1e-9)


def test_a_dear_win_moves_the_threshold_by_a_clamped_step_and_never_out_of_reach() -> None:
    bidder = AuctionPacing(10**6, 10**6, threshold=1.0, eta=1.0, reach=1.2)
    bidder.settle(10.0, 50, 50)
    assert bidder.threshold == pytest.approx(np.exp(0.05), rel=1e-7)
    for _ in range(10):
        bidder.settle(10.0, 50, 50)
    assert bidder.threshold == pytest.approx(1.2)


def test_the_knapsack_takes_the_best_ratios_and_a_part_of_the_last() -> None:
    value, price = np.asarray([4.0, 9.0, 1.0, 5.0, 0.0]), np.asarray([2, 3, 1, 5, 0])
    # ratios 2, 3, 1, 1: 3 + 2 spent, then the third for 1, then 3 of the fourth's 5
    assert knapsack(value, price, 9).tolist() == [1.0, 1.0, 1.0, 0.6, 0.0]
    assert knapsack(value, price, 0).tolist() == [0.0] * 5


def test_the_knapsack_is_the_linear_programme() -> None:
    value, price = auctions(5, 60)
    for budget in (10, 500, 2_000, 10**6):
        exact = linprog(-value, A_ub=[price], b_ub=[budget], bounds=(0, 1), method="highs")
        assert value @ knapsack(value, price, budget) == pytest.approx(-exact.fun)


def test_the_landscape_says_what_money_buys() -> None:
    value, price = np.asarray([8.0, 6.0, 2.0]), np.asarray([1, 2, 2])  # ratios 8, 3 and 1
    scape = Landscape.of(value, price, bins=4_000)
    assert scape.value(1 / 3) == pytest.approx(8 / 3)
    assert scape.value(2 / 3) == pytest.approx((8 + 3) / 3)  # half of the second
    assert scape.value(9.0) == pytest.approx(16 / 3)
    assert scape.threshold(2 / 3) == pytest.approx(3.0)
    assert scape.threshold(9.0) == 0.0


def test_a_bid_gives_up_the_worst_purchases_first() -> None:
    value, price = np.asarray([8.0, 6.0, 2.0]), np.asarray([1, 2, 2])
    scape = Landscape.of(value, price, bins=4_000)
    # 4 auctions left, so 3 after this one, in which 5 buys all (16) and 3 the two best (14)
    assert scape.bid(2.0, 5, 4) == 2  # the third, worth 2
    assert scape.bid(5.0, 5, 4) == 3  # and half of the second, worth 3 of its 6
    assert scape.bid(0.5, 5, 4) == 0
    assert scape.bid(0.5, 9, 4) == 4  # 4 of the 9 have no other use
    assert scape.bid(0.5, 9, 1) == 9  # nor has anything in the last auction
    assert scape.bid(float("nan"), 9, 1) == 0


def test_the_landscape_learns_what_has_changed() -> None:
    value, price = auctions(6, 40_000)
    budget, n = int(price.sum()) // 8, len(price)
    bidder = LandscapePacing(
        Landscape.of(value / 3, price), budget, n, least=0.0
    )  # values are three times what they were
    played = bidder.replay(value, price)
    static = LandscapePacing(Landscape.of(value / 3, price, memory_auctions=1e12), budget, n, least=0.0).replay(
        value, price
    )
    best = value @ knapsack(value, price, budget)
    assert value[static.won].sum() < 0.93 * best
    assert value[played.won].sum() > 0.96 * best


def test_no_bid_is_above_its_worth_where_the_least_ratio_is_one() -> None:
    value, price = auctions(7, 500)
    played = LandscapePacing(Landscape.of(value, price), 10**9, 500, least=1.0).replay(value, price)
    assert (played.bid_micros <= value).all()


def test_the_table_by_hand() -> None:
    # one price, 1; values 1 or 3 with one half each; a budget of 1
    table = EpisodeTable.of(np.asarray([1.0, 3.0]), np.asarray([1, 1]), budget_micros=1, auctions=3)
    # V(1) = 2; V(2) = 2 + (3 - 2) / 2; V(3) = 2.5 + (3 - 2.5) / 2, up to the grid of the costs
    assert table.values[:, 1] == pytest.approx([0.0, 2.0, 2.5, 2.75], abs=0.01)
    assert table.values[:, 0].tolist() == [0.0] * 4
    assert [table.bid(v, 1, 3) for v in (1.0, 2.4, 2.6)] == [0, 0, 1]  # a showing now costs V(2) = 2.5
    assert [table.bid(v, 1, 1) for v in (0.0, 1.0)] == [0, 1]  # nothing comes after the last


def test_the_table_knows_that_dear_showings_are_better() -> None:
    # 3 to spend in 2 auctions: price 1 is worth 1, price 2 is worth 10; independent, either would be worth 5.5
    value, price = np.asarray([1.0, 10.0]), np.asarray([1, 2])
    joint = EpisodeTable.of(value, price, budget_micros=3, auctions=2, bands=2)
    apart = EpisodeTable.of(value, price, budget_micros=3, auctions=2, bands=1)
    assert joint.values[1, 1] == pytest.approx(0.5)  # one micro buys the cheap one, if that comes
    assert apart.values[1, 1] == pytest.approx(2.75)


def test_the_published_recursion_is_the_one_with_the_mean() -> None:
    # prices 1 and 2 with one half each, every showing worth 4, a budget of 2
    table = EpisodeTable.of_mean(4.0, np.asarray([1, 2]), np.ones(2), budget_micros=2, auctions=2)
    assert table.values[1].tolist() == [0.0, 2.0, 4.0]
    # with 2 and two auctions left: price 1 costs 4 - 2 of the last one's, so 2 are won; price 2 costs all 4 of it
    assert table.values[2].tolist() == pytest.approx([0.0, 2.0 + 0.5 * 2.0, 4.0 + 0.5 * 2.0], abs=0.01)


def test_more_money_and_more_auctions_are_never_worth_less_and_money_ever_less_so() -> None:
    values = table_for(*auctions(8, 500), 3_000, 60).values
    assert (np.diff(values, axis=0) >= -1e-9).all()
    assert (np.diff(values, axis=1) >= -1e-9).all()
    assert values[60].max() <= 60 * auctions(8, 500)[0].mean() * 1.001


def test_short_flights_gain_by_the_table() -> None:
    value, price = auctions(10, 6_000)
    budget = 300
    table = table_for(*auctions(11), budget, 100)
    bidder, got, best, simple = EpisodePacing(table, budget, 100), 0.0, 0.0, 0.0
    mirror = AuctionPacing(budget, 100, threshold=Landscape.of(*auctions(11)).threshold(3.0))
    for start in range(0, 6_000, 100):
        v, p = value[start : start + 100], price[start : start + 100]
        bidder.renew(budget, 100)
        got += v[bidder.replay(v, p).won].sum()
        mirror = AuctionPacing(budget, 100, threshold=mirror.threshold)
        simple += v[mirror.replay(v, p).won].sum()
        best += v @ knapsack(v, p, budget)
    assert got > 0.85 * best  # which knows all prices, and buys parts of showings
    assert got > simple


def test_the_landscape_bids_nearly_as_the_table_does_and_nearer_as_flights_grow() -> None:
    value, price = auctions(12)
    scape, gaps = Landscape.of(value, price, bins=2_000), []
    for n in (20, 200):
        table = table_for(value, price, 10 * n, n)
        bids = [(table.bid(v, 10 * n, n), scape.bid(v, 10 * n, n)) for v in (50.0, 100.0, 200.0, 400.0)]
        gaps.append(np.mean([abs(t - s) / t for t, s in bids]))
    assert gaps[1] < gaps[0] < 0.5
    assert gaps[1] < 0.15


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.floats(0.0, 1e6), st.integers(0, 10**9)), min_size=1, max_size=40),
    budget=st.integers(0, 10**10),
)
def test_money_is_safe_whatever_comes(pairs: list[tuple[float, int]], budget: int) -> None:
    value = np.asarray([v for v, _ in pairs])
    price = np.asarray([p for _, p in pairs], dtype=np.int64)
    for bidder in (MAKERS[name](budget, len(pairs)) for name in ("mirror descent", "landscape", "unseen", "target")):
        played = bidder.replay(value, price)
        assert 0 <= played.cost_micros <= budget
        assert (played.bid_micros >= 0).all()


def test_money_beyond_53_bits_is_counted_to_the_micro() -> None:
    budget = 2**53 + 3  # as a double: one micro more
    for name in ("mirror descent", "landscape", "unseen", "target"):
        bidder = MAKERS[name](budget, 1)
        assert bidder.bid(1e300) <= budget
        played = bidder.replay(np.asarray([1e300]), np.asarray([budget + 1]))
        assert played.cost_micros == 0, name
    bidder = AuctionPacing(budget, 2, threshold=1e-3)
    assert bidder.replay(np.ones(2), np.asarray([1, 1])).cost_micros == 2
    assert bidder.remaining_micros == budget - 2


def test_settings_and_flights_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="threshold above 0"):
        AuctionPacing(1, 1, threshold=0.0)
    with pytest.raises(ConfigError, match="at least one auction"):
        AuctionPacing(1, 0, threshold=1.0)
    with pytest.raises(ConfigError, match="mirror descent"):
        Landscape.of(np.zeros(3), np.ones(3, dtype=np.int64))
    with pytest.raises(ConfigError, match="at least 2 bins"):
        Landscape.of(np.ones(3), np.ones(3, dtype=np.int64), bins=1)
    with pytest.raises(ConfigError, match="at least one auction"):
        LandscapePacing(Landscape.of(np.ones(3), np.ones(3, dtype=np.int64)), -1, 1, least=1.0)
    with pytest.raises(ConfigError, match="states"):
        EpisodeTable.of(np.ones(1), PRICES[:1], budget_micros=10**9, auctions=10**6)
    table = table_for(*auctions(1, 50), 100, 5)
    with pytest.raises(ConfigError, match="larger table"):
        EpisodePacing(table, 101, 5)
    with pytest.raises(ConfigError, match="must rise"):
        EpisodeTable.of_mean(1.0, PRICES[::-1], np.ones(400), budget_micros=5, auctions=5)
    with pytest.raises(ConfigError, match="past auctions"):
        EpisodeTable.of(np.zeros(3), PRICES[:3], budget_micros=5, auctions=5)


here = pytest.mark.skipif(
    not all((data_folder() / name).exists() for name in ("ipinyou_2997", "ipinyou_rlb")),
    reason="iPinYou is not here: see zhitou.events.sources.ipinyou",
)


@here
def test_the_table_of_the_mean_gives_the_published_rlb_row_and_the_landscape_more_clicks() -> None:
    log, training, sample = read_test_log(), read_training(2997), read_sample(2997)
    budget = int(training.price_mean * 1_000 / 32)
    mean, counts = training.clicks / training.impressions, training.price_counts + 1.0
    table = EpisodeTable.of_mean(mean, np.arange(301), counts, budget_micros=budget, auctions=1_000)
    bidders = (
        EpisodePacing(table, budget, 1_000, level_auctions=0),
        LandscapePacing(Landscape.of(sample.pctr, sample.price), budget, 1_000, least=0.0),
    )
    rows = []
    for bidder in bidders:
        won = []
        for start in range(0, len(log), 1_000):
            bidder.renew(budget, 1_000)
            part = log.part(start, start + 1_000)
            won.append(bidder.replay(part.pctr, part.price).won)
        bought = np.concatenate(won)
        rows.append((int(bought.sum()), int(log.clicked[bought].sum()), int(log.price[bought].sum())))
    assert rows[0] == (39_680, 78, 304_375)
    assert rows[1][1] >= 78


@here
@pytest.mark.parametrize(("divisor", "least"), [(2, 0.995), (4, 0.995), (8, 0.995), (16, 0.995), (32, 0.99)])
def test_a_real_log_gives_nearly_what_its_budget_could_have_bought(divisor: int, least: float) -> None:
    log, sample = read_test_log(), read_sample(2997)
    quarter = len(log) // 4
    past = [np.concatenate([a, b[:quarter]]) for a, b in ((sample.pctr, log.pctr), (sample.price, log.price))]
    rest = log.part(quarter, len(log))
    budget = int(rest.price.sum()) // divisor
    played = LandscapePacing(Landscape.of(*past), budget, len(rest), least=0.0).replay(rest.pctr, rest.price)
    assert 0.995 * budget <= played.cost_micros <= budget
    assert rest.pctr[played.won].sum() >= least * (rest.pctr @ knapsack(rest.pctr, rest.price, budget))
