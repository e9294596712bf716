"""Verdicts under peeking: how many are wrong, how soon a true lift is found, and what little data cannot decide.

W = worlds, L = looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.evaluation.experiment import Claim, Counts, relative_lift, sequence_reach
from zhitou.evaluation.power import sample_size, sequence_factor
from zhitou.evaluation.sequential import (
    FEW_ALPHA,
    FEW_POSITIVES,
    ConfidenceSequence,
    log_evidence,
)
from zhitou.events.sources.logged import read_bandit_log

CTR = 0.005
LIFT = 0.30
EACH = 1_000  # impressions of both arms between two looks
Z = 1.959964
# Rows and (rounded) click rates of the whole Open Bandit log, as published by Saito et al. 2020, table 1.
PUBLISHED = {
    "all": (1_374_327, 0.0035, 12_168_084, 0.0050),
    "men": (452_949, 0.0051, 4_077_727, 0.0067),
    "women": (864_585, 0.0048, 7_765_497, 0.0064),
}


@dataclass(frozen=True)
class Lives:
    """Counts at each look, int64 [W, L]."""

    treated_n: np.ndarray
    treated_clicks: np.ndarray
    control_n: np.ndarray
    control_clicks: np.ndarray


def sequential(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print the three tables; the same as figures."""
    plan = ConfidenceSequence(2 * sample_size(CTR, LIFT))
    worlds, looks = (1_000, 1_000) if quick else (1_000, 10_000)
    figures: dict[str, Any] = {"null_worlds": worlds, "looks": looks, "tuned_n": plan.tuned_n}
    print(f"\n== {worlds:,} worlds at CTR {CTR:.1%}, a look every {EACH:,} impressions up to {looks * EACH:,} ==")
    print("true lift   wrong verdicts   of a test of one look   +30 % established   found, impressions a side")
    for lift in (0.0, 0.10, LIFT):
        seen = _lives(plan, chance, lift, worlds, looks if lift == 0 else min(looks, 2_000))
        median = float(np.median(seen["found"])) / 2
        shown = f"{median:>12,.0f}" if math.isfinite(median) else "hardly ever"
        print(
            f"{lift:>8.0%}   {seen['wrong']:>14.1%}   {seen['naive']:>21.1%}   {seen['claimed']:>17.1%}   {shown:>25}"
        )
        name = {0.0: "null", 0.10: "lift_10", LIFT: "lift_30"}[lift]
        figures |= {f"wrong_{name}": seen["wrong"], f"naive_wrong_{name}": seen["naive"]}
        if lift == LIFT:
            share = float((seen["found"] <= 120_000).mean())
            figures |= {"found_median_n": median, "found_within_60k": share}
    figures["wrong_verdicts"] = figures["wrong_null"]
    figures["width_at_tuned_n"] = float(sequence_reach(plan.tuned_n, plan.tuned_n, plan.many_level)) / Z
    figures["units_for_equal_width"] = sequence_factor(plan.many_level)
    figures["looks_that_differ_from_the_library"] = _agreement(plan, chance)
    print(f"interval at {plan.tuned_n:,} impressions over that of one look: {figures['width_at_tuned_n']:.2f}")
    return figures | _little_data()


def _lives(plan: ConfidenceSequence, chance: Chance, lift: float, worlds: int, looks: int) -> dict[str, Any]:
    rng = chance.stream("null", str(lift))
    wrong, naive, claimed = 0, 0, 0
    found = []
    for _ in range(worlds // 50):
        lives = _draw(rng, lift, 50, looks)
        low, high, error = _log_bounds(plan, lives)
        wrong += int(((low > math.log1p(lift)) | (high < math.log1p(lift))).any(1).sum())
        claimed += int((low >= math.log1p(LIFT)).any(1).sum())
        ratio = np.log(np.maximum(lives.treated_clicks, 1) / lives.treated_n)
        ratio = ratio - np.log(np.maximum(lives.control_clicks, 1) / lives.control_n)
        naive += int((np.abs(ratio - math.log1p(lift)) > Z * error).any(1).sum())
        sure = low >= 0
        found.append(np.where(sure.any(1), (sure.argmax(1) + 1) * EACH, np.inf))
    return {
        "wrong": wrong / worlds,
        "naive": naive / worlds,
        "claimed": claimed / worlds,
        "found": np.concatenate(found),
    }


def _draw(rng: np.random.Generator, lift: float, worlds: int, looks: int) -> Lives:
    treated = rng.binomial(EACH, 0.5, (worlds, looks))
    clicks = rng.binomial(treated, CTR * (1 + lift)), rng.binomial(EACH - treated, CTR)
    return Lives(treated.cumsum(1), clicks[0].cumsum(1), (EACH - treated).cumsum(1), clicks[1].cumsum(1))


def _log_bounds(plan: ConfidenceSequence, lives: Lives) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(low, high, error) of the log ratio at each look [W, L], by the library's formulas on whole arrays.

    While counts are few only three things are asked of the exact interval, whether it excludes 0, +10 % or +30 %, so
    its ends are moved just beyond the furthest of those that it excludes.
    """
    t, c = lives.treated_clicks, lives.control_clicks
    p, q = np.maximum(t, 1) / lives.treated_n, np.maximum(c, 1) / lives.control_n
    error = np.sqrt((1 - p) / (np.maximum(t, 1)) + (1 - q) / np.maximum(c, 1))
    reach = sequence_reach(lives.treated_n + lives.control_n, plan.tuned_n, plan.many_level) * error
    ratio = np.log(p / q)
    low, high = ratio - reach, ratio + reach
    few = np.minimum(t, c) < FEW_POSITIVES
    limit = -math.log(FEW_ALPHA * (1 - plan.level))
    low_few, high_few = np.full(int(few.sum()), -np.inf), np.full(int(few.sum()), np.inf)
    mean = (t[few] + 0.5) / (t[few] + c[few] + 1)
    for lift in (0.0, 0.10, LIFT):
        theta = (1 + lift) / (2 + lift)
        out = log_evidence(t[few], c[few], theta) >= limit
        low_few = np.where(out & (mean > theta), math.log1p(lift) + 1e-9, low_few)
        high_few = np.where(out & (mean < theta), np.minimum(high_few, math.log1p(lift) - 1e-9), high_few)
    low[few], high[few] = low_few, high_few
    return low, high, error


def _agreement(plan: ConfidenceSequence, chance: Chance) -> int:
    """Looks, of 400, at which ConfidenceSequence.lift says otherwise about 0 or +30 % than the arrays above."""
    lives = _draw(chance.stream("agreement"), LIFT, 4, 100)
    low, high, _ = _log_bounds(plan, lives)
    differ = 0
    for at in np.ndindex(low.shape):
        one = plan.lift(
            Counts(int(lives.treated_n[at]), int(lives.treated_clicks[at])),
            Counts(int(lives.control_n[at]), int(lives.control_clicks[at])),
        )
        for truth in (0.0, LIFT):
            ours = (low[at] > math.log1p(truth), high[at] < math.log1p(truth))
            differ += ours != (one.low > truth, one.high < truth)
    return differ


def _little_data() -> dict[str, Any]:
    """What Open Bandit decides about +30 %: the 10,000 rows that anybody has, and the whole log as published."""
    claim, lower = Claim("+30 %", LIFT), Claim("+25 %", 0.25)
    print("\n== Thompson sampling over random, Open Bandit ==")
    figures: dict[str, Any] = {}
    try:
        logs = {policy: read_bandit_log(policy) for policy in ("bts", "random")}
        t, c = (Counts(len(log), int(log.clicked.sum())) for log in logs.values())
        reading = ConfidenceSequence(20_000).read(claim, t, c)
        once = relative_lift(t, c)
        print(f"men, 20,000 rows at hand: {reading} (one look: {once}, {claim.verdict(once)})")
        figures |= {"bandit_small": reading.verdict, "bandit_small_one_look": claim.verdict(once)}
    except SourceError as error:
        print(f"left out: {error}")
    for name, (n_c, rate_c, n_t, rate_t) in PUBLISHED.items():
        t, c = Counts(n_t, round(n_t * rate_t)), Counts(n_c, round(n_c * rate_c))
        lift = relative_lift(t, c)
        figures[f"bandit_published_{name}"] = claim.verdict(lift)
        figures[f"bandit_published_{name}_25"] = lower.verdict(lift)
        print(f"{name}, {n_c + n_t:,} published: {lift}; +30 % {claim.verdict(lift)}, +25 % {lower.verdict(lift)}")
    return figures
