"""Budgets that both arms draw on: what a user split and a budget split say of a change whose true effect is known.

200 campaigns bid for requests in second-price auctions by the click; the treatment brings 30 % more clicks an
impression. The truth is a world in which everybody is treated against one in which nobody is.
T = requests, C = campaigns, A = arms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from zhitou.core.chance import Chance
from zhitou.evaluation.designs import budget_split_lift, budget_strain
from zhitou.evaluation.experiment import paired_difference
from zhitou.feedback.experiments import split_budgets

CAMPAIGNS = 200
RIVALS = 8  # campaigns that ask for one request
CLICK_RATE = 0.15
LIFT = 0.30
# budget of a campaign over what it would spend untreated without one
REGIMES = {"bind": (0.4, 0.4), "half bind": (0.5, 1.1), "loose": (1.25, 1.45)}


def budget(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print the table of the three regimes; the same as figures."""
    seeds, requests = (8, 300_000) if quick else (40, 1_000_000)
    print(f"\n== {CAMPAIGNS} campaigns with budgets, +30 % clicks an impression, {seeds} seeds ==")
    print("budgets     true effect   user split   budget split   bias in points     spent by bound   95 % covers")
    figures: dict[str, Any] = {"budget_seeds": seeds}
    worst, naive_worst = 0.0, 0.0
    for name, shares in REGIMES.items():
        runs = [_world(chance.child("budget", seed), requests, shares) for seed in range(seeds)]
        true, naive, split, strain, covered = (np.array([run[k] for run in runs]) for k in range(5))
        bias = paired_difference(split * 100, true * 100)
        naive_bias = float((naive - true).mean()) * 100
        worst, naive_worst = max(worst, abs(bias.value)), max(naive_worst, abs(naive_bias))
        print(
            f"{name:<10}  {true.mean():>10.1%}   {naive.mean():>10.1%}   {split.mean():>12.1%}   {bias!s:>22}   "
            f"{strain.mean():>8.0%}   {covered.mean():>11.0%}"
        )
        mark = name.replace(" ", "_")
        figures |= {
            f"budget_split_bias_points_{mark}": bias.value,
            f"budget_split_bias_points_{mark}_reach": bias.high - bias.value,
            f"naive_bias_points_{mark}": naive_bias,
            f"true_effect_{mark}": float(true.mean()),
            f"budget_split_coverage_{mark}": float(covered.mean()),
        }
    return figures | {"budget_split_bias_points_worst": worst, "naive_bias_points_worst": naive_worst}


def _world(chance: Chance, requests: int, shares: tuple[float, float]) -> tuple[float, float, float, float, bool]:
    """(true, naive and split lift of clicks, share of the naive test's spend by bound campaigns, whether the split's
    interval holds the truth) of one seed. All four runs read the same draws."""
    rng = chance.stream("campaigns")
    value = np.exp(rng.normal(0.0, 0.3, CAMPAIGNS)) * 500_000  # micros a click
    rate = np.minimum(CLICK_RATE * np.exp(rng.normal(0.0, 0.3, CAMPAIGNS)), 0.5)
    who = rng.integers(0, CAMPAIGNS, (requests, RIVALS)).astype(np.int16)
    draw = rng.random(requests)
    arm = (rng.random(requests) < 0.5).astype(np.int8)

    def run(lifts: np.ndarray, arms: np.ndarray, purse: np.ndarray, limits: np.ndarray) -> tuple[Any, Any]:
        return _auctions(value, rate, who, draw, arms, lifts, purse, limits)  # type: ignore[no-any-return]

    both = np.zeros(2, dtype=np.int64)
    endless = np.full((CAMPAIGNS, 1), 2**60)
    nobody, everybody = np.ones(2), np.full(2, 1 + LIFT)
    alone = run(nobody, arm, both, endless)[1].sum(1)
    factor = np.where(np.arange(CAMPAIGNS) % 2 == 0, shares[0], shares[1])
    whole = (alone * factor).astype(np.int64)
    off = run(nobody, arm, both, whole[:, None])[0].sum()
    on = run(everybody, arm, both, whole[:, None])[0].sum()
    tested, true = np.array([1.0, 1 + LIFT]), float(on / off - 1)
    naive, splits = [], []
    for arms in (arm, 1 - arm):  # both ways round, so that the luck of who fell where cancels
        shown, spent = run(tested, arms, both, whole[:, None])
        naive.append((shown[:, 1].sum() / arms.mean()) / (shown[:, 0].sum() / (1 - arms.mean())) - 1)
        parts, _ = run(tested, arms, np.arange(2), split_budgets(whole, (0.5, 0.5)))
        splits.append(budget_split_lift(parts[:, 1], parts[:, 0]))
    strain = budget_strain(spent.sum(1), whole).bound_share
    covered = splits[0].low <= true <= splits[0].high
    return true, float(np.mean(naive)), float(np.mean([s.value for s in splits])), strain, covered


@njit(cache=True)
def _auctions(value, rate, who, draw, arm, lifts, purse, budget):  # type: ignore[no-untyped-def]
    """(clicks [C, A], spent micros [C, A]): request after request, the highest bid with money left wins.

    purse [A]: which column of the budgets an arm draws on. A click that the purse cannot pay is not sold.
    """
    left = budget.copy()
    clicks, spent = np.zeros((len(value), 2), np.int64), np.zeros((len(value), 2), np.int64)
    for t in range(len(draw)):
        a = arm[t]
        best, winner, second = 0.0, -1, 0.0
        for k in range(who.shape[1]):
            c = who[t, k]
            if left[c, purse[a]] < value[c] or c == winner:
                continue
            score = value[c] * rate[c]
            if score > best:
                best, winner, second = score, c, best
            elif score > second:
                second = score
        if winner < 0 or draw[t] >= rate[winner] * lifts[a]:
            continue
        price = np.int64(second / rate[winner])
        left[winner, purse[a]] -= price
        spent[winner, a] += price
        clicks[winner, a] += 1
    return clicks, spent
