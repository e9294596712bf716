"""Can what a log says of another policy be trusted, and does it refuse where it cannot?

    python bench/ope.py [--quick] [--seed 1] [--worlds 1000] [--obp PYTHON]

- speed: five estimators with their errors in one pass over float32 rows of 16 bytes, on one core
- error: against known truth, 34 items, about 0.5 % clicks, uniform log, five target policies, 100,000 and 1,000,000
  rows. `mean` is the mean absolute relative error, `rmse` its root mean square, `bound` what no unbiased estimate can
  fall below (the efficient variance, from the truth). The figures rel_* are the worst of the three policies that
  are not greedy; the greedy ones stand beside them
- choice: what SLOPE++ takes, its rmse over that of the best estimator of each policy
- coverage: of 95 % intervals, over so many worlds of 50,000 rows; settings of switch-dr and dros stated before
- refusal: '+30 %' from 10,000 rows of Open Bandit, from the published counts of 26 million, and from worlds without
  a lift that are looked at every 1,000 rows
- obp 0.4.1 in an environment of its own (bench/peers/requirements-obp.txt), on the same rows: largest relative
  difference, and rows a CPU second of both; "not run" without --obp

The last line is one JSON object. --quick: fewer worlds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from lines import last_line
from ope_obp import compare
from ope_verdicts import counts, nulls, open_bandit
from ope_worlds import ITEMS, POLICIES, World, draw_log, draw_policy, draw_world, expectations

from zhitou.core.chance import Chance
from zhitou.evaluation.offpolicy import (
    PolicyValue,
    doubly_robust,
    ips,
    self_normalised_dr,
    shrunk_dr,
    snips,
    switch_dr,
)
from zhitou.evaluation.offpolicy_choice import evaluate
from zhitou.evaluation.offpolicy_slate import cascade_dr, iips, plackett_luce, rips, slot_weights
from zhitou.evaluation.offpolicy_sums import policy_sums
from zhitou.strategy.exploration import slate

THRESHOLD, SHRINKAGE = 10.0, 1_000.0  # of switch-dr and dros, before any world was drawn
MILD = ("uniform", "popular", "personal")  # effective sample size of half the rows or more
COVERAGE_ROWS, SLATE_ROWS = 50_000, 20_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worlds", type=int, default=1_000, help="of coverage and of the null")
    parser.add_argument("--obp", help="a Python with obp 0.4.1 in it")
    args = parser.parse_args()
    chance, worlds = Chance(args.seed), 40 if args.quick else args.worlds
    figures: dict[str, Any] = {"quick": args.quick, "seed": args.seed, "worlds": worlds}
    figures |= speed(chance, 5_000_000 if args.quick else 25_000_000)
    figures |= errors(chance, 100_000, 8 if args.quick else 200, "100k")
    figures |= errors(chance, 1_000_000, 2 if args.quick else 60, "1m")
    figures |= choice(chance, 100_000, 5 if args.quick else 100)
    figures |= coverage(chance, worlds)
    figures |= counts() | open_bandit()
    figures |= nulls(chance, worlds, 20_000 if args.quick else 100_000)
    figures |= compare(args.obp, chance, Path(__file__).parent / "peers")
    last_line("ope", figures)


def speed(chance: Chance, rows: int) -> dict[str, Any]:
    """Print and return rows a CPU second of the five estimators; median of 7."""
    rng = chance.stream("speed")
    weight, logged, target = (rng.random(rows, dtype=np.float32) for _ in range(3))
    reward = (rng.random(rows, dtype=np.float32) < 0.005).astype(np.float32)
    columns = reward, weight * 2, logged * 0.01, target * 0.01
    policy_sums(*(column[:8] for column in columns))
    rates = []
    for _ in range(7):
        begin = time.process_time()
        policy_sums(*columns)
        rates.append(rows / (time.process_time() - begin))
    print(f"== speed: {np.median(rates) / 1e6:,.0f} M rows a CPU second, 16 bytes a row, {rows:,} rows ==")
    return {"rows_per_s_core": float(np.median(rates)), "bytes_per_row": sum(c.itemsize for c in columns)}


def errors(chance: Chance, rows: int, worlds: int, size: str) -> dict[str, Any]:
    """Print and return relative errors of the five at so many rows."""
    off: dict[str, dict[str, list[float]]] = {policy: {} for policy in POLICIES}
    for number in range(worlds):
        rng = chance.stream("error", size, number)
        world = draw_world(rng)
        log = draw_log(world, rows, rng)
        for name in POLICIES:
            policy = draw_policy(name, world, rng)
            model, weights = expectations(log, policy), log.weights(policy)
            sums = policy_sums(log.reward, weights, model.logged, model.target)
            for method, value in sums.values().items():
                if value.estimate is not None:
                    off[name].setdefault(method, []).append(value.estimate.value / world.truth(policy) - 1)
            off[name].setdefault("bound", []).append(world.bound(policy, rows))
            off[name].setdefault("ess", []).append(sums.overlap.ess / rows)
    print(f"\n== relative error in %, {rows:,} rows, {worlds} worlds: mean (rmse) ==")
    print(
        f"{'policy':<14}{'ESS/rows':>9}{'bound':>8}"
        + "".join(f"{m:>15}" for m in ("ips", "snips", "dm", "dr", "sndr"))
    )
    figures: dict[str, Any] = {}
    for name, by_method in off.items():
        bound = float(np.mean(by_method.pop("bound")))
        line = f"{name:<14}{np.mean(by_method.pop('ess')):>9.2f}{bound:>8.2%}"
        for method, values in by_method.items():
            mean, rmse = float(np.mean(np.abs(values))), float(np.sqrt(np.mean(np.square(values))))
            line += f"{mean:>8.2%} ({rmse:.2%})".rjust(16)
            if method == "dr":
                figures |= {f"{name}_error_{size}": mean, f"{name}_rmse_{size}": rmse, f"{name}_bound_{size}": bound}
        print(line)
    for kind in ("error", "rmse", "bound"):
        figures[f"rel_{kind}_{size}"] = max(figures[f"{name}_{kind}_{size}"] for name in MILD)
    return figures


def choice(chance: Chance, rows: int, worlds: int) -> dict[str, Any]:
    """Print and return what SLOPE++ takes, and what that costs against the best of all estimators."""
    off: dict[str, dict[str, list[float]]] = {policy: {} for policy in POLICIES}
    taken: dict[str, list[str]] = {policy: [] for policy in POLICIES}
    covered = []
    for number in range(worlds):
        rng = chance.stream("choice", number)
        world = draw_world(rng)
        log = draw_log(world, rows, rng)
        for name in POLICIES:
            policy = draw_policy(name, world, rng)
            truth, robust = world.truth(policy), expectations(log, policy, robust=True)
            found = evaluate(log.reward, log.weights(policy), expectations(log, policy), robust=robust)
            answers = {**found.values, "SLOPE++": found.values[found.chosen]}
            for method, value in answers.items():
                off[name].setdefault(method, []).append(
                    value.estimate.value / truth - 1 if value.estimate else np.nan
                )
            taken[name].append(found.chosen)
            interval = answers["SLOPE++"].estimate
            covered.append(interval is not None and interval.low <= truth <= interval.high)
    print(f"\n== choice by SLOPE++, {rows:,} rows, {worlds} worlds: rmse ==")
    ratios = []
    for name, by_method in off.items():
        rmse = {method: float(np.sqrt(np.nanmean(np.square(v)))) for method, v in by_method.items()}
        best = min(rmse, key=lambda method: rmse[method])
        ratios.append(rmse["SLOPE++"] / min(value for method, value in rmse.items() if method != "SLOPE++"))
        most = max(set(taken[name]), key=taken[name].count)
        shown = ", ".join(f"{method} {value:.2%}" for method, value in rmse.items())
        print(f"{name:<14} takes {most} most; best {best}; {shown}")
    print(f"the interval of the chosen one covers {np.mean(covered):.1%}: verdicts do not use it")
    return {
        "chosen_rmse_over_best": float(np.mean(ratios)),
        "chosen_rmse_over_best_worst": max(ratios),
        "chosen_coverage": float(np.mean(covered)),
    }


def coverage(chance: Chance, worlds: int) -> dict[str, Any]:
    """Print and return how often 95 % intervals hold the truth."""
    held: dict[str, list[bool]] = {}
    for number in range(worlds):
        rng = chance.stream("coverage", number)
        world = draw_world(rng)
        log, policy = draw_log(world, COVERAGE_ROWS, rng), draw_policy(POLICIES[1 + number % 4], world, rng)
        r, w, truth = log.reward, log.weights(policy), world.truth(policy)
        model, robust = expectations(log, policy), expectations(log, policy, robust=True)
        values = {
            "ips": ips(r, w),
            "snips": snips(r, w),
            "dr": doubly_robust(r, w, model.logged, model.target),
            "sndr": self_normalised_dr(r, w, model),
            "switch-dr": switch_dr(r, w, model, THRESHOLD),
            "dros": shrunk_dr(r, w, model, SHRINKAGE),
            "mrdr": doubly_robust(r, w, robust.logged, robust.target),
        }
        truths = dict.fromkeys(values, truth)
        for method, (value, right) in slates(world, rng).items():
            values[method], truths[method] = value, right
        for method, value in values.items():
            assert value.estimate is not None, f"{method}: {value.refusal}"
            held.setdefault(method, []).append(value.estimate.low <= truths[method] <= value.estimate.high)
    print(f"\n== coverage of 95 % intervals, {worlds:,} worlds, {COVERAGE_ROWS:,} rows or {SLATE_ROWS:,} slates ==")
    shares = {method: float(np.mean(values)) for method, values in held.items()}
    print("  " + ", ".join(f"{method} {share:.1%}" for method, share in shares.items()))
    figures: dict[str, Any] = {f"coverage_{method}": share for method, share in shares.items()}
    return figures | {"coverage": min(shares.values()), "coverage_most": max(shares.values())}


def slates(world: World, rng: np.random.Generator) -> dict[str, tuple[PolicyValue, float]]:
    """(value, truth) of the slate estimators; three slots, visitors of the first kind, clicks that know their own ad.

    A lower slot is seen half as often as the one above. rips and cascade_dr are asked about a policy that orders by
    Plackett and Luce; iips about one that fills slots independently (the same item may stand twice).
    """
    seen, rate = 0.5 ** np.arange(3), world.rate[0] * 4
    logging, target = np.full(ITEMS, 1 / ITEMS), rate**0.5 / (rate**0.5).sum()
    order, propensity = slate(np.tile(logging, (SLATE_ROWS, 1)), rng.random((SLATE_ROWS, 3)))
    weights = slot_weights(plackett_luce(np.tile(target, (SLATE_ROWS, 1)), order), propensity)
    reward = (rng.random(order.shape) < seen * rate[order]).astype(float)
    shown = slate(np.tile(target, (50_000, 1)), rng.random((50_000, 3)))[0]
    truth = float((seen * rate[shown]).sum(1).mean())
    # a crude model: every ad is the mean ad, and what is to come is the mean of the slots to come
    ahead = np.cumsum(seen[::-1])[::-1] * float(rate.mean())
    model = np.tile(ahead, (SLATE_ROWS, 1))
    alone = rng.integers(0, ITEMS, (SLATE_ROWS, 3))
    clicked = (rng.random(alone.shape) < seen * rate[alone]).astype(float)
    return {
        "rips": (rips(reward, weights), truth),
        "cascade-dr": (cascade_dr(reward, weights, model, model), truth),
        "iips": (iips(clicked, target[alone] * ITEMS), float(seen.sum() * (target @ rate))),
    }


if __name__ == "__main__":
    main()
