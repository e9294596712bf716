"""Order and price, by hand and against a plain-Python reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.strategy.auction import biddable, clear, first_price, rank, vcg

# Three ads: bids of 50, 40 and 100 micros, clicked with 0.4, 0.2 and 0.1: worth 20, 8 and 10 a showing.
PCTR = np.asarray([[0.4, 0.2, 0.1]])
BID = np.asarray([[50, 40, 100]])
SCORE = PCTR * BID
ALL = np.ones((1, 3), dtype=bool)


def test_ads_are_ranked_by_what_a_showing_is_worth() -> None:
    assert rank(SCORE, ALL, 3).tolist() == [[0, 2, 1]]
    assert rank(SCORE, ALL, 3).dtype == np.int32


def test_slots_beyond_the_eligible_ads_stay_empty() -> None:
    assert rank(SCORE, np.asarray([[False, True, True]]), 3).tolist() == [[2, 1, -1]]


def test_equal_scores_go_to_the_lowest_index() -> None:
    assert rank(np.ones((1, 5)), np.ones((1, 5), dtype=bool), 3).tolist() == [[0, 1, 2]]


def test_a_click_costs_what_it_takes_to_keep_the_place() -> None:
    order = rank(SCORE, ALL, 2)
    # 10 / 0.4 = 25 keeps the first place, 8 / 0.1 = 80 the second
    assert clear(SCORE, order, PCTR, BID, ALL, 0).tolist() == [[25, 80]]


def test_a_price_is_rounded_up_to_a_micro() -> None:
    pctr, bid = np.asarray([[0.3, 0.2]]), np.asarray([[50, 40]])
    # 8 / 0.3 = 26.67
    assert clear(pctr * bid, np.asarray([[0]]), pctr, bid, ALL[:, :2], 0).tolist() == [[27]]


def test_the_reserve_is_the_least_price_and_the_bid_the_most() -> None:
    order = rank(SCORE, ALL, 3)
    assert clear(SCORE, order, PCTR, BID, ALL, 30).tolist() == [[30, 80, 30]]


def test_an_ad_that_exploration_lifted_pays_at_most_its_bid() -> None:
    order = np.asarray([[1, 0]], dtype=np.int32)
    # keeping the first place from ad 0 would take 20 / 0.2 = 100; ad 1 bid 40
    assert clear(SCORE, order, PCTR, BID, ALL, 0).tolist() == [[40, 25]]


def test_an_empty_slot_costs_nothing() -> None:
    order = np.asarray([[0, -1]], dtype=np.int32)
    assert clear(SCORE, order, PCTR, BID, ALL, 0)[0, 1] == 0
    assert first_price(order, BID).tolist() == [[50, 0]]


def test_ads_below_the_reserve_do_not_take_part() -> None:
    assert biddable(BID, ALL, 45).tolist() == [[True, False, True]]
    assert biddable(np.asarray([[0, 1]]), ALL[:, :2], 0).tolist() == [[False, True]]


def test_the_flat_price_is_the_list_bid() -> None:
    assert first_price(np.asarray([[2, 0], [-1, 1]]), np.asarray([50, 40, 100])).tolist() == [[100, 50], [0, 40]]


def test_an_ad_pays_by_vcg_what_its_place_costs_the_others() -> None:
    # One is looked at fully, the next half: ad 0 pushes ad 2 down (10 * 0.5 lost) and ad 1 out (8 * 0.5 lost);
    # per click of ad 0: (5 + 4) / 0.4 = 22.5. Ad 2 pushes ad 1 out: 8 * 0.5 / (0.5 * 0.1) = 80.
    order, looked_at = rank(SCORE, ALL, 2), np.asarray([1.0, 0.5])
    assert vcg(SCORE, order, PCTR, BID, ALL, 0, looked_at).tolist() == [[23, 80]]


def auctions(seed: int, count: int, ads: int, slots: int) -> tuple[np.ndarray, ...]:
    """Random auctions with ties, ineligible ads, and orders that exploration has shuffled."""
    rng = Chance(seed).stream("auctions", count, ads, slots)
    pctr = rng.integers(1, 20, (count, ads)) / 100
    bid = rng.integers(1, 12, (count, ads)) * 50
    eligible = rng.random((count, ads)) < 0.7
    order = np.full((count, slots), -1, dtype=np.int32)
    for b in range(count):
        shown = rng.permutation(np.flatnonzero(eligible[b]))[:slots]
        order[b, : len(shown)] = shown
    return pctr, bid, eligible, order


def plain_rank(score: list[float], eligible: list[bool], slots: int) -> list[int]:
    best = sorted((k for k in range(len(score)) if eligible[k]), key=lambda k: (-score[k], k))[:slots]
    return best + [-1] * (slots - len(best))


def plain_clear(score: list[float], order: list[int], pctr: list[float], bid: list[int], eligible: list[bool],
                reserve: int) -> list[int]:  # fmt: skip
    prices = []
    for i, ad in enumerate(order):
        rivals = [score[k] for k in range(len(score)) if eligible[k] and k not in order[: i + 1]]
        needed = max(rivals, default=0.0) / pctr[ad] if ad >= 0 else 0.0
        prices.append(min(bid[ad], max(reserve, math.ceil(needed * (1 - 1e-12)))) if ad >= 0 else 0)
    return prices


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 4), st.integers(0, 200))
def test_order_and_price_equal_a_plain_reference(seed: int, ads: int, slots: int, reserve: int) -> None:
    pctr, bid, eligible, order = auctions(seed, 20, ads, slots)
    score = pctr * bid
    ranked, prices = rank(score, eligible, slots), clear(score, order, pctr, bid, eligible, reserve)
    for b in range(20):
        row = (score[b].tolist(), order[b].tolist(), pctr[b].tolist(), bid[b].tolist(), eligible[b].tolist())
        assert ranked[b].tolist() == plain_rank(row[0], row[4], slots)
        assert prices[b].tolist() == plain_clear(*row, reserve)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_vcg_never_asks_more_than_the_second_price(seed: int) -> None:
    pctr, bid, eligible, _ = auctions(seed, 20, 8, 3)
    score, looked_at = pctr * bid, np.asarray([1.0, 0.6, 0.3])
    order = rank(score, eligible, 3)
    second = clear(score, order, pctr, bid, eligible, 0)
    assert (vcg(score, order, pctr, bid, eligible, 0, looked_at) <= second).all()


@pytest.mark.parametrize("reserve", [0, 5_000])
def test_under_vcg_no_other_bid_is_better_than_the_true_value(reserve: int) -> None:
    rng = Chance(11).stream("vcg")
    looked_at = np.asarray([1.0, 0.6, 0.3])

    def gain(bids: np.ndarray, pctr: np.ndarray, value: int) -> float:
        may = biddable(bids, np.ones_like(bids, dtype=bool), reserve)
        order = rank(pctr * bids, may, 3)
        at = np.flatnonzero(order[0] == 0)
        if not len(at):
            return 0.0
        price = vcg(pctr * bids, order, pctr, bids, may, reserve, looked_at)[0, at[0]]
        return float(pctr[0, 0] * looked_at[at[0]] * (value - price))

    for _ in range(40):
        pctr, bids = rng.random((1, 6)), rng.integers(1, 20_000, (1, 6))
        value = int(bids[0, 0])
        honest = gain(bids, pctr, value)
        for other in rng.integers(1, 40_000, 20):
            changed = bids.copy()
            changed[0, 0] = other
            assert gain(changed, pctr, value) <= honest + 1.0  # prices are rounded up to whole micros


def test_at_most_one_ad_of_a_group_is_ranked():
    score, everyone = np.asarray([[5.0, 4.0, 3.0]]), np.ones((1, 3), dtype=bool)
    assert rank(score, everyone, 2, np.asarray([0, 0, 1])).tolist() == [[0, 2]]
    assert rank(np.asarray([[4.0, 5.0, 3.0]]), everyone, 3, np.asarray([0, 0, 1])).tolist() == [[1, 2, -1]]


def test_nobody_bids_against_his_own_ads():
    score, everyone = np.asarray([[10.0, 9.0, 4.0]]), np.ones((1, 3), dtype=bool)
    pctr, bid = np.full((1, 3), 0.1), np.asarray([[100, 90, 40]])
    order = np.asarray([[0]], dtype=np.int32)
    assert clear(score, order, pctr, bid, everyone, 1).tolist() == [[90]]
    assert clear(score, order, pctr, bid, everyone, 1, np.asarray([0, 0, 1])).tolist() == [[40]]
