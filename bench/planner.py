"""Are a day's messages for a million shoppers planned in seconds, near the best plan there is, breaking no rule?

    python bench/planner.py            # 1,000,000 shoppers; HiGHS' exact LP on 20,000 of them
    python bench/planner.py --quick    # 100,000; the LP on 2,000

Made-up shoppers: 6 channels x 24 hours, 3 candidate ads each out of 24 campaigns, 8 time zones, 16 hour profiles,
consent per channel, fatigue, caps (3 a day, 1 of a campaign, 1 or 2 of a channel), 4 hours between messages that
interrupt, quiet hours per campaign. Capacities are a fifth of what the free demand's order of magnitude is, so that
slots and budgets bind. Printed: seconds and CPU seconds of the plan, the gap to the bound of weak duality, rules
broken by the plan as counted by zhitou.strategy.plan_check, the same for first come first served, and on a sample
the gap to the LP's optimum. The LP is solved by HiGHS over the columns that can matter and closed by pricing all
others: no column with a positive reduced cost is left out, so its optimum is that of the whole LP.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from lines import last_line

from zhitou.core.chance import Chance
from zhitou.strategy.channels import CHANNELS
from zhitou.strategy.plan import HOURS, Audience, PlanProblem, Terms
from zhitou.strategy.plan_check import violations
from zhitou.strategy.plan_solve import SolveConfig, first_come, solve

CAMPAIGNS, ADS_EACH, CANDIDATES, PROFILES = 24, 8, 3, 16
ZONES = (
    "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles",
    "Asia/Kolkata", "Asia/Tokyo", "America/Sao_Paulo", "Australia/Adelaide",
)  # fmt: skip
START_US = 1_782_864_000_000_000  # 2026-07-01T00:00:00Z
SHARE_OF_SLOT = np.asarray([0.06, 0.012, 0.01, 0.002, 0.03, 0.02])  # messages an hour per shopper
TIGHT = 0.2


def world(shoppers: int, seed: int) -> PlanProblem:
    """Shoppers who differ in everything that a plan looks at."""
    rng, k = Chance(seed).stream("planner"), len(CHANNELS)
    liked = rng.dirichlet(np.full(CAMPAIGNS, 0.5))
    campaign = rng.choice(CAMPAIGNS, size=(shoppers, CANDIDATES), p=liked)
    candidate = campaign * ADS_EACH + rng.integers(0, ADS_EACH, (shoppers, CANDIDATES))
    base = rng.lognormal(9, 1, (shoppers, 1)) * rng.lognormal(0, 0.5, (shoppers, CANDIDATES))
    response = np.asarray([c.response for c in CHANNELS]) * rng.gamma(4, 0.25, (shoppers, k))
    away = np.arange(HOURS) - rng.choice([8, 12, 18, 20, 21], PROFILES)[:, None]
    hours = np.exp(np.cos(away * 2 * np.pi / HOURS))
    hours = (hours / hours.mean(axis=1, keepdims=True))[:, None] * rng.lognormal(0, 0.1, (PROFILES, k, HOURS))
    audience = Audience.of(
        np.arange(shoppers),
        candidate,
        base,
        response,
        rng.random((shoppers, k)) < np.asarray([0.9, 0.5, 0.4, 0.15, 0.6, 0.5]),
        profile=rng.integers(0, PROFILES, shoppers),
        zone=rng.integers(0, len(ZONES), shoppers),
        fatigue_micros=rng.gamma(2, 1_000, shoppers),
    )
    open_ = np.broadcast_to(rng.random((CAMPAIGNS, k, 1)) >= 0.2, (CAMPAIGNS, k, HOURS)).copy()
    budget = liked * shoppers * 1_500 * rng.uniform(0.3, 3, CAMPAIGNS) * TIGHT
    terms = Terms(
        start_us=START_US,
        currency="EUR",
        channels=CHANNELS,
        campaigns=tuple(f"c{n}" for n in range(CAMPAIGNS)),
        ads=tuple(f"a{n}" for n in range(CAMPAIGNS * ADS_EACH)),
        ad_campaign=np.repeat(np.arange(CAMPAIGNS, dtype=np.int32), ADS_EACH),
        hour_response=hours.astype(np.float32),
        zones=ZONES,
        quiet_hours=tuple((21, 8) if n % 3 else (20, 9) for n in range(CAMPAIGNS)),
        open=open_,
        cost_micros=np.tile([c.cost_micros for c in CHANNELS], (CAMPAIGNS, 1)),
        budget_micros=budget.astype(np.int64),
        capacity=np.repeat((SHARE_OF_SLOT * shoppers * TIGHT).astype(np.int64)[:, None], HOURS, axis=1),
        campaign_per_day=np.ones(CAMPAIGNS, dtype=np.int64),
    )
    return PlanProblem(audience, terms)


@dataclass(frozen=True)
class Columns:
    """Messages the LP may use, all int64 [m], and what each is worth less its cost, float64 [m]."""

    n: np.ndarray
    j: np.ndarray
    k: np.ndarray
    h: np.ndarray
    worth: np.ndarray


class Lp:
    """The relaxed problem over all allowed messages, told to HiGHS as far as columns matter.

    Rows: capacity of each slot, budgets, and per shopper: messages of the day (one fatigue price each), of a channel,
    of a campaign, one of a slot, one interrupting message in any `gap_hours` slots in a row.
    """

    def __init__(self, problem: PlanProblem) -> None:
        self.problem = problem
        a, t = problem.audience, problem.terms
        (n, j), (k, h) = a.candidate.shape, t.capacity.shape
        self.campaign = t.ad_campaign[a.candidate].astype(np.int64)
        hour = t.hour_of_slot[a.zone]
        self.interrupts = np.asarray([c.interrupts for c in t.channels])
        rows = np.minimum(np.arange(k), t.hour_response.shape[1] - 1)[None, :, None]
        answers = t.hour_response[a.profile[:, None, None], rows, hour[:, None]].astype(float)
        answers *= a.channel_response[:, :, None]
        quiet = t.quiet[self.campaign, a.zone[:, None]][:, :, None] & self.interrupts[:, None]
        self.allowed = t.open[self.campaign] & ~quiet & a.consent[:, None, :, None]
        self.worth = a.base_micros[:, :, None, None].astype(float) * answers[:, None]
        self.worth -= t.cost_micros[self.campaign][:, :, :, None]
        self.shape = (n, j, k, h)
        self.most = np.asarray([c.per_day for c in t.channels])

    def columns(self, chosen: np.ndarray) -> Columns:
        """Those where chosen (bool [N, J, K, H]) holds."""
        n, j, k, h = np.nonzero(chosen)
        return Columns(n, j, k, h, self.worth[n, j, k, h])

    def _keys(self, c: Columns) -> list[tuple[np.ndarray, np.ndarray, int | np.ndarray]]:
        """Per family of shopper rows: (column, key of its row, most of the row)."""
        _, _, k_all, h_all = self.shape
        gap, every = self.problem.terms.gap_hours, np.arange(len(c.n))
        camps = len(self.problem.terms.campaigns)
        tied = np.flatnonzero(self.interrupts[c.k])
        at = np.repeat(tied, gap)
        first = c.h[at] - np.tile(np.arange(gap), len(tied))
        keep = (first >= 0) & (first <= h_all - gap)
        return [
            (every, c.n * k_all + c.k, self.most[(c.n * k_all + c.k) % k_all]),
            (every, c.n * camps + self.campaign[c.n, c.j], 1),
            (every, (c.n * k_all + c.k) * h_all + c.h, 1),
            (at[keep], c.n[at[keep]] * h_all + first[keep], 1),
        ]

    def solve(self, c: Columns) -> tuple[float, np.ndarray]:
        """(optimum over these columns, reduced worth float64 [N, J, K, H] of all, by the LP's duals)."""
        t, m = self.problem.terms, len(c.n)
        n_all, _, _, h_all = self.shape
        camp = self.campaign[c.n, c.j]
        cost = t.cost_micros[camp, c.k].astype(float)
        scale = 1e-3  # in thousands of micros HiGHS' numbers are near 1
        entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        upper: list[np.ndarray] = []
        row = 0

        def rows(at: np.ndarray, key: np.ndarray, value: np.ndarray, most: np.ndarray) -> None:
            nonlocal row
            entries.append((row + key, at, value))
            upper.append(most)
            row += len(most)

        every, one = np.arange(m), np.ones(m)
        rows(every, c.k * h_all + c.h, one, t.capacity.ravel().astype(float))
        rows(every, camp, cost * scale, t.budget_micros * scale)
        day = row
        rows(every, c.n, one, np.zeros(n_all))
        kept: list[tuple[np.ndarray, int]] = []
        for at, key, most in self._keys(c):
            names, place, count = np.unique(key, return_inverse=True, return_counts=True)
            limit = np.broadcast_to(most, key.shape)
            most_of = np.zeros(len(names))
            most_of[place] = limit
            binds = count > most_of
            new = np.cumsum(binds) - 1
            use = binds[place]
            kept.append((names[binds], row))
            rows(at[use], new[place[use]], np.ones(int(use.sum())), most_of[binds])
        a = self.problem.audience
        steps = t.per_day
        charge = a.fatigue_micros[:, None].astype(float) * (1 + t.fatigue_growth * np.arange(steps))
        people = np.repeat(np.arange(n_all), steps)
        entries.append((day + people, m + np.arange(n_all * steps), np.full(n_all * steps, -1.0)))
        objective = np.concatenate([c.worth, -charge.ravel()]) * scale
        duals, value = _highs(objective, np.ones(m + n_all * steps), entries, np.concatenate(upper))
        return value / scale, self._reduced(duals / scale, kept, day, scale)

    def _reduced(self, duals: np.ndarray, kept: list[tuple[np.ndarray, int]], day: int, scale: float) -> np.ndarray:
        """Worth less what the rows ask for it, of every column; rows that were left out ask nothing."""
        t = self.problem.terms
        n_all, _, k_all, h_all = self.shape
        cells, camps = k_all * h_all, len(t.campaigns)

        def of(family: int, size: int) -> np.ndarray:
            names, first = kept[family]
            full = np.zeros(size)
            full[names] = duals[first : first + len(names)]
            return full

        channel = of(0, n_all * k_all).reshape(n_all, 1, k_all, 1)
        campaign = np.take_along_axis(of(1, n_all * camps).reshape(n_all, camps), self.campaign, axis=1)
        slot = of(2, n_all * cells).reshape(n_all, 1, k_all, h_all)
        window = of(3, n_all * h_all).reshape(n_all, h_all)
        near = np.zeros_like(window)
        for back in range(t.gap_hours):
            near[:, back:] += window[:, : h_all - back]
        mu = duals[cells : cells + camps] * scale
        asked = (t.cost_micros * mu[:, None])[self.campaign][:, :, :, None] + duals[:cells].reshape(k_all, h_all)
        asked = asked + duals[day : day + n_all].reshape(-1, 1, 1, 1) + channel + campaign[:, :, None, None] + slot
        asked = asked + near[:, None, None, :] * self.interrupts[None, None, :, None]
        return np.where(self.allowed, self.worth - asked, -np.inf)


def _highs(
    objective: np.ndarray,
    most: np.ndarray,
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]],
    upper: np.ndarray,
) -> tuple[np.ndarray, float]:
    """max objective · x, rows · x <= upper, 0 <= x <= most: (duals of the rows, optimum). One thread."""
    row, column, value = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    order = np.lexsort((row, column))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(objective), len(upper)
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = objective, np.zeros(len(objective)), most
    lp.row_lower_, lp.row_upper_ = np.full(len(upper), -highspy.kHighsInf), upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.searchsorted(column[order], np.arange(len(objective) + 1)).astype(np.int32)
    lp.a_matrix_.index_, lp.a_matrix_.value_ = row[order].astype(np.int32), value[order]
    solver = highspy.Highs()
    for name, option in (("output_flag", False), ("threads", 1), ("solver", "ipm"), ("run_crossover", "off")):
        solver.setOptionValue(name, option)
    solver.passModel(lp)
    solver.run()
    status = solver.getModelStatus()
    assert status == highspy.HighsModelStatus.kOptimal, f"HiGHS ended with {status}"
    return np.asarray(solver.getSolution().row_dual), float(solver.getInfo().objective_function_value)


def lp_optimum(problem: PlanProblem, slot_micros: np.ndarray, budget: np.ndarray) -> tuple[float, float, int, int]:
    """(optimum, what pricing leaves open as a share of it, rounds, columns): the LP's, started from prices."""
    lp, t = Lp(problem), problem.terms
    asked = slot_micros[None, None] + (t.cost_micros * budget[:, None])[lp.campaign][:, :, :, None]
    reduced = np.where(lp.allowed, lp.worth - asked, -np.inf)
    flat = reduced.reshape(len(problem), -1)
    lead = np.partition(flat, -24, axis=1)[:, -24]
    chosen = (flat >= np.maximum(lead, -1_000.0)[:, None]).reshape(reduced.shape)
    for rounds in range(1, 20):
        columns = lp.columns(chosen)
        value, reduced = lp.solve(columns)
        missing = (reduced > 1.0) & ~chosen
        # a shopper gets at most per_day messages, so no more than that many times his best missing one is open
        best = np.where(missing, reduced, 0.0).reshape(len(problem), -1).max(axis=1)
        open_share = float(best.sum() * t.per_day / value)
        if open_share < 1e-5:
            return value, open_share, rounds, len(columns.n)
        chosen |= missing
    raise AssertionError("pricing did not close; the sample is no LP that columns can settle")


def sample_gap(shoppers: int, seed: int) -> dict[str, Any]:
    """The plan of a small world against the LP's optimum."""
    problem = world(shoppers, seed)
    begun = time.process_time()
    plan = solve(problem)
    ours = time.process_time() - begun
    begun = time.process_time()
    value, left, rounds, columns = lp_optimum(problem, plan.prices.slot_micros, plan.prices.budget)
    theirs = time.process_time() - begun
    gap = 1 - plan.total_micros / value
    print(
        f"{shoppers:,} shoppers: plan {plan.total_micros / 1e6:,.2f} EUR in {ours:.1f} CPU s, violations "
        f"{sum(violations(plan, problem).values())}"
    )
    print(
        f"  HiGHS' LP {value / 1e6:,.2f} in {theirs:.1f} CPU s ({columns:,} columns, {rounds} rounds, "
        f"open {left:.1e}); our bound {plan.bound_micros / 1e6:,.2f}"
    )
    print(f"  gap to the LP {gap:.3%}; gap to our own bound {plan.bound_gap:.3%}")
    return {
        "gap_to_lp": round(gap, 6),
        "lp_shoppers": shoppers,
        "lp_cpu_s": round(theirs, 2),
        "plan_cpu_s_of_lp_sample": round(ours, 2),
        "lp_over_bound": round(value / plan.bound_micros, 6),
    }  # fmt: skip


def large(shoppers: int, seed: int, threads: int) -> dict[str, Any]:
    """Seconds, gap and violations of the large world; first come first served beside it."""
    problem = world(shoppers, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    plan = solve(problem, SolveConfig(threads=threads))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    broken = violations(plan, problem)
    greedy = first_come(problem)
    full = float((plan.usage(problem) >= problem.terms.capacity).mean())
    print(
        f"{shoppers:,} shoppers x 6 channels x 24 hours, {threads} threads: {wall:.1f} s, {cpu:.1f} CPU s, "
        f"{peak:.2f} GiB at most"
    )
    print(
        f"  {len(plan):,} messages, {full:.0%} of slots full; worth {plan.total_micros / 1e6:,.0f} EUR, no plan is "
        f"worth more than {plan.bound_micros / 1e6:,.0f}: gap {plan.bound_gap:.3%}"
    )
    print(
        f"  rules broken: {sum(broken.values())}; first come first served: "
        f"{greedy.total_micros / plan.bound_micros:.1%} of the bound"
    )
    # a small crowd is asked more often, so that its seconds say nothing about a million
    name = "million_shoppers" if shoppers == 1_000_000 else "crowd"
    timed = {f"{name}_s": round(wall, 2), f"{name}_cpu_s": round(cpu, 2)}
    return {
        "shoppers": shoppers,
        **timed,
        "threads": threads,
        "peak_gib": round(peak, 3),
        "violations": sum(broken.values()),
        "bound_gap": round(plan.bound_gap, 6),
        "first_come_share": round(greedy.total_micros / plan.bound_micros, 4),
        "messages": len(plan),
        "unproven": plan.unproven,
    }  # fmt: skip


def main() -> None:
    """The LP on a sample, then the large world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    solve(world(500, args.seed))  # compiles
    figures: dict[str, Any] = {"quick": args.quick}
    figures |= sample_gap(2_000 if args.quick else 20_000, args.seed + 1)
    figures |= large(100_000 if args.quick else 1_000_000, args.seed, args.threads)
    last_line("planner", figures)


if __name__ == "__main__":
    main()
