"""Designs that a naive split gets wrong: budgets that are shared, and buyers who would have bought anyway.

C = campaigns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zhitou.evaluation.experiment import LEVEL, Estimate, Statistic, difference, paired_lift, relative_lift

BOUND_AT = 0.98  # a campaign that spent this share of its budget was stopped by it
SHARED_MOST = 0.05  # of the spend; above it a user split is not read


@dataclass(frozen=True)
class Incrementality:
    """What ads cause among those who won one, against those who would have won one and were held out.

    lift: caused over what happens anyway. difference: conversions caused per unit. share: caused over all conversions
    of the treated, the iota of a bid; below 0 ads put people off.
    """

    lift: Estimate
    difference: Estimate
    share: Estimate


def incrementality(exposed: Statistic, ghosts: Statistic, level: float = LEVEL) -> Incrementality:
    """Both arms of a ghost-ad holdout: units who were shown the ad, and those for whom its winning was only logged.

    The share is lift / (1 + lift), which rises with the lift, so its interval has the lift's ends
    (Johnson, Lewis, Nubbemeyer 2017).
    """
    lift = relative_lift(exposed, ghosts, level)
    ends = (_share_of(lift.value), _share_of(lift.low), _share_of(lift.high))
    return Incrementality(lift, difference(exposed, ghosts, level), Estimate(*ends, level))


def budget_split_lift(
    treatment: np.ndarray, control: np.ndarray, treated_share: float = 0.5, level: float = LEVEL
) -> Estimate:
    """The lift of a total (clicks, conversions, value) where each arm had its share of users and of every budget.

    treatment, control: [C], each campaign's total in each arm. Campaigns are the units, since what one of them
    wins in an arm hangs together; both arms have the same ones, so they are paired (Liu, Mao, Kang 2020).
    """
    y = np.asarray(treatment, dtype=np.float64) / treated_share
    x = np.asarray(control, dtype=np.float64) / (1 - treated_share)
    return paired_lift(y, x, level)


@dataclass(frozen=True)
class BudgetStrain:
    """bound_share: share of the spend by campaigns whose budget ran out. sound: whether a user split may be read."""

    bound_share: float
    campaigns_bound: int
    sound: bool


def budget_strain(spent_micros: np.ndarray, budget_micros: np.ndarray) -> BudgetStrain:
    """Whether budgets that both arms drew on ran out. spent_micros, budget_micros: int64 [C], of both arms together.

    Where they did, an arm that spends more takes the money from the other, and a split of users alone says +30 % of a
    change that does nothing: read such a test only if budgets were split, too.
    """
    spent, budget = np.asarray(spent_micros, dtype=np.int64), np.asarray(budget_micros, dtype=np.int64)
    bound = spent >= BOUND_AT * budget
    total = int(spent.sum())
    share = float(spent[bound].sum()) / total if total else 0.0
    return BudgetStrain(share, int(bound.sum()), share <= SHARED_MOST)


def _share_of(lift: float) -> float:
    if math.isinf(lift):
        return 1.0 if lift > 0 else -math.inf
    return lift / (1 + lift) if lift > -1 else -math.inf
