"""Automatic bidding with a budget and a target, on made-up auctions in which dear showings are better ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.strategy.bidding import AutoBidding

N = 8_000


def auctions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Worth and price in micros."""
    rng = Chance(seed).stream("auto")
    mood = rng.normal(size=N)
    value = np.exp(0.8 * mood) * 100_000
    return value, (np.exp(0.4 * mood + 0.6 * rng.normal(size=N)) * 70_000).astype(np.int64) + 1


def optimum(value: np.ndarray, price: np.ndarray, budget: int, target: float) -> float:
    """The linear programme in hindsight, both constraints in it."""
    limits = np.vstack([price, price - value / target]) / 1e5
    found = linprog(-value / 1e5, A_ub=limits, b_ub=[budget / 1e5, 0.0], bounds=(0, 1), method="highs")
    return float(-found.fun * 1e5)


@pytest.mark.parametrize(
    ("budget_share", "target", "binds"),
    [(0.2, 1.0, "budget"), (10.0, 1.6, "target"), (0.85, 1.6, "both are near"), (10.0, 2.2, "target")],
)
def test_both_constraints_hold_and_nearly_all_value_is_bought(budget_share: float, target: float, binds: str) -> None:
    value, price = auctions(0)
    budget = int(price.sum() * budget_share)
    played = AutoBidding(budget, N, target=target).replay(value, price)
    got = value[played.won].sum()
    assert played.cost_micros <= budget
    assert got >= 0.999 * target * played.cost_micros
    assert got >= 0.97 * optimum(value, price, budget, target), binds


def test_a_target_cost_per_acquisition_is_a_return_of_one_on_its_worth() -> None:
    value, price = auctions(3)
    pcvr, target_cpa = value / 20_000_000, 12_000_000
    played = AutoBidding(10**12, N, target=1.0).replay(pcvr * target_cpa, price)
    acquisitions = pcvr[played.won].sum()
    assert 0.98 * target_cpa <= played.cost_micros / acquisitions <= 1.001 * target_cpa


def test_the_bid_of_the_two_duals_by_hand() -> None:
    bidder = AutoBidding(10**6, 100, target=2.0, threshold=3.0)
    assert bidder.threshold == pytest.approx((3.0 + 2.0) / (1.0 + 2.0 / 2.0))  # lambda = 3, mu = tau = 2
    assert bidder.bid(1_000.0) == 400


def test_the_duals_rise_with_a_dear_win_and_fall_when_nothing_is_bought() -> None:
    bidder = AutoBidding(100_000, 100, target=2.0, allowance=1.0)
    before = bidder.threshold
    bidder.settle(2_000.0, 5_000, 5_000)  # 1,000 were planned, and the value allowed 1,000
    assert bidder.threshold > before
    risen = bidder.threshold
    for _ in range(3):
        bidder.settle(2_000.0, 100, None)
    assert bidder.threshold < risen
    assert bidder.surplus_micros == 2_000.0 / 2.0 - 5_000
    assert bidder.remaining_micros == 95_000


def test_below_the_allowance_what_is_bought_must_pay_for_itself() -> None:
    bidder = AutoBidding(1_000_000, 100, target=1.0, threshold=0.01, allowance=0.001)
    assert bidder.bid(500.0) <= 500 + 1_000  # 0.1 % of the budget is allowed
    bidder.settle(500.0, 1_500, 1_500)
    assert bidder.bid(500.0) == 500
    bidder.settle(500.0, 500, 400)  # 100 of the 1,000 are back
    assert bidder.bid(500.0) <= 600


def test_no_bid_is_above_the_most_or_above_what_is_left() -> None:
    assert AutoBidding(10**9, 10, target=0.01, most_micros=70).bid(1e9) == 70
    assert AutoBidding(50, 10, target=0.01).bid(1e9) == 50
    assert AutoBidding(50, 10, target=0.01).bid(float("nan")) == 0
    assert AutoBidding(0, 10, target=0.01).bid(5.0) == 0


def test_the_target_is_kept_while_values_drift() -> None:
    value, price = auctions(4)
    drifting = value * np.exp(np.linspace(0.4, -0.4, N))
    played = AutoBidding(10**12, N, target=1.6).replay(drifting, price)
    assert drifting[played.won].sum() >= 0.999 * 1.6 * played.cost_micros


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="target above 0"):
        AutoBidding(1, 1, target=0.0)
    with pytest.raises(ConfigError, match="at least one auction"):
        AutoBidding(1, 0, target=1.0)
