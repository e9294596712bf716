"""First-price auctions: the win rate from won and lost bids, and the bid of the largest surplus."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.strategy.pacing import AuctionPacing
from zhitou.strategy.shading import WinRate, shade


def bids(n: int = 20_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bids, prices, facts): the price is log-logistic with slope 3 around exp(6 + fact)."""
    rng = Chance(1).stream("shading")
    fact = 0.5 * rng.normal(size=n)
    price = np.exp(6 + fact + rng.logistic(size=n) / 3)
    return np.exp(6 + rng.normal(size=n)).astype(np.int64) + 1, price, fact[:, None]


def test_the_win_rate_is_learnt_from_who_won_alone() -> None:
    bid, price, fact = bids()
    model = WinRate.fit(bid, bid >= price, fact)
    assert (model.intercept, model.slope, model.facts[0]) == pytest.approx((-18.0, 3.0, -3.0), rel=0.06)
    assert model.chance(np.asarray([0, 403, 10**9]), np.zeros((3, 1))) == pytest.approx([0.0, 0.5, 1.0], abs=0.02)


def test_it_is_the_logistic_regression_of_scikit_learn() -> None:
    bid, price, fact = bids(3_000)
    model = WinRate.fit(bid, bid >= price, fact, ridge=1e-6)
    x = np.column_stack([np.log(bid), fact])
    peer = LogisticRegression(C=1e8, tol=1e-10, max_iter=1_000).fit(x, bid >= price)
    assert (model.intercept, model.slope) == pytest.approx((peer.intercept_[0], peer.coef_[0, 0]), rel=1e-3)


def test_without_the_lost_bids_nothing_can_be_learnt() -> None:
    bid, price, fact = bids(1_000)
    won = bid >= price
    with pytest.raises(ConfigError, match="some lost"):
        WinRate.fit(bid[won], won[won], fact[won])


@settings(max_examples=200, deadline=None)
@given(worth=st.floats(0.0, 20_000.0), slope=st.floats(0.1, 30.0), middle=st.floats(-1.0, 10.0))
def test_no_whole_bid_has_a_larger_surplus(worth: float, slope: float, middle: float) -> None:
    model = WinRate(-slope * middle, slope, np.zeros(0))
    bid = int(shade(np.asarray([worth]), model)[0])
    grid = np.arange(0, int(worth) + 1)
    surplus = (worth - grid) * model.chance(grid)
    assert 0 <= bid <= worth
    assert surplus[bid] >= surplus.max() * (1 - 1e-7) - 1e-300


def test_a_sharper_price_is_bid_for_from_just_above_it_and_a_dull_one_from_far_below_the_worth() -> None:
    worth = np.asarray([1_000.0])
    sharp, dull = (int(shade(worth, WinRate(-s * np.log(400.0), s, np.zeros(0)))[0]) for s in (60.0, 0.5))
    assert 400 < sharp < 450
    # with F nearly b^0.5 around there: the bid is at worth * s / (1 + s) or below
    assert dull < 1_000 * 0.5 / 1.5


def test_shaded_bids_of_a_paced_budget_buy_more_for_the_same_money() -> None:
    _, price, fact = bids(4_000)
    rng = Chance(2).stream("values")
    value, price = np.exp(6.5 + fact[:, 0] + 0.5 * rng.normal(size=4_000)), np.ceil(price).astype(np.int64)
    bid, old_price, old_fact = bids()
    model, budget, got = WinRate.fit(bid, bid >= old_price, old_fact), int(price.sum()) // 10, []
    for shading in (False, True):
        pacing, won = AuctionPacing(budget, 4_000, threshold=2.0), 0.0
        for v, p, x in zip(value, price, fact, strict=True):
            offer = pacing.bid(float(v))
            if shading:
                offer = int(shade(np.asarray([offer], dtype=np.float64), model, x[None])[0])
            pacing.settle(float(v), offer, offer if offer >= p else None)  # a first price: what was bid
            won += float(v) if offer >= p else 0.0
        assert 0.97 * budget <= budget - pacing.remaining_micros <= budget
        got.append(won)
    assert got[1] > 1.02 * got[0]  # the pacing alone shades a good deal where a budget binds


def test_bids_that_teach_nothing_are_refused() -> None:
    bid = np.asarray([10, 20, 30, 40])
    with pytest.raises(ConfigError, match="differ"):
        WinRate.fit(np.full(4, 10), np.asarray([True, False, True, False]))
    with pytest.raises(ConfigError, match="higher bids to win more"):
        WinRate.fit(np.repeat(bid, 50), np.repeat([True, True, False, False], 50))
    with pytest.raises(ConfigError, match="at least one micro"):
        WinRate.fit(bid - 10, np.asarray([True, False, True, False]))
    with pytest.raises(AssertionError, match="give them"):
        WinRate(0.0, 1.0, np.ones(2)).chance(bid)
