"""The study: every seed's world lived through by every policy; clicks, conversions, return, with intervals."""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from zhitou.assembly import Stage
from zhitou.core.units import MICROS, SECONDS_PER_DAY
from zhitou.delivery.receipt import Decisions
from zhitou.evaluation.experiment import Claim, Estimate, Moments, paired_difference, paired_lift
from zhitou.feedback.promotion import Verdict
from zhitou.loop.narrator import Narrator
from zhitou.loop.play import Shown, Stretch
from zhitou.loop.s5_deliver import BASELINES, Life, baseline, begin, ours
from zhitou.loop.s6_feedback import collect, training_rows
from zhitou.loop.s7_optimise import bound, first_response, newer, optimise
from zhitou.market.fit import Market
from zhitou.response.compare import Score, compare
from zhitou.response.response import Response

ROUND_1, ROUND_2 = "zhitou round 1", "zhitou round 2"
POLICIES = ("random", "popular", "thompson", ROUND_1, ROUND_2, "oracle")


@dataclass(frozen=True)
class Tally:
    """What one policy's reported days came to. expected_clicks is noise-free: the sum of the true chances."""

    impressions: int
    clicks: int
    conversions: int
    cost_micros: int
    value_micros: int
    expected_clicks: float
    over_budget_micros: int

    @property
    def ctr(self) -> float:
        """Clicks per impression."""
        return self.clicks / max(1, self.impressions)

    @property
    def cvr(self) -> float:
        """Conversions per impression: what a shown ad sells."""
        return self.conversions / max(1, self.impressions)

    @property
    def roas(self) -> float:
        """Value of attributed conversions per unit of spend; NaN where nothing was spent."""
        return self.value_micros / self.cost_micros if self.cost_micros else float("nan")


@dataclass
class SeedResult:
    """One world: the tallies by policy, the verdict on the second round's model, and its digest.

    digest: SHA-256 over every decision of the second round, so that two runs can be compared by one line.
    For the first seed: the response models, hourly spend and some decisions, to look at.
    """

    seed: int
    tallies: dict[str, Tally]
    verdict: Verdict
    digest: str
    models: tuple[Response, Response] | None = None
    spend_by_hour: np.ndarray | None = None
    decisions: list[Decisions] = field(default_factory=list)
    shown: Shown | None = None
    comparison: tuple[Score, ...] = ()


def live(
    stage: Stage, market: Market, scores: np.ndarray, seed: int, narrator: Narrator, *, lead: bool = False
) -> SeedResult:
    """Live through one seed's world under every policy. lead: keep what a person may want to look at."""
    study, chance = stage.shop.config.study, stage.shop.chance.child("seed", seed)
    warm_end_s = stage.shop.cut_s + study.warm_days * SECONDS_PER_DAY
    learn_end_s = warm_end_s + study.learn_days * SECONDS_PER_DAY
    with narrator.stage("deliver", f"{study.warm_days} days at random, then {study.learn_days} days of each policy"):
        start = begin(stage, market, scores, chance)
        warm = start.serve(stage, study.warm_days)
        names = start.desk.candidates.names
        warm_rows = training_rows(names, warm.shown, collect(stage, warm.shown, warm_end_s))
        first = first_response(stage, warm_rows, chance, warm_end_s)
        tallies = {name: _baseline_tally(stage, start, name, warm) for name in BASELINES}
        life = ours(stage, start, bound(stage, first))
        learnt = life.serve(stage, study.learn_days)
        narrator.fact(_served("random warm-up", warm))
        narrator.fact(_served("zhitou, first round", learnt))
    with narrator.stage("feedback", "clicks and conversions come back and are joined by id"):
        both = Shown.concat([warm.shown, learnt.shown])
        joined = collect(stage, both, learn_end_s)
        rows = training_rows(names, both, joined)
        narrator.fact(
            f"{len(both):,} shown ads: {int(joined.clicked.sum()):,} clicks, "
            f"{int(joined.converted.sum()):,} conversions by now, "
            f"{int((joined.clicked & ~joined.mature).sum()):,} clicks too young to tell"
        )
    with narrator.stage("optimise", "a new model replaces the old one only on evidence"):
        before, after = rows.split(warm_end_s)
        done = optimise(stage, first, before, after, both.subject[both.time_s >= warm_end_s], chance, learn_end_s)
        narrator.fact(
            f"response model: {'promoted' if done.verdict.promote else 'kept the old one'}; {done.verdict.reason}"
        )
        narrator.fact(done.lateness.words)
        second = ours(stage, life, bound(stage, done.response))
        known = newer(stage.shop.past, life, warm, learnt)
        second.desk.candidates.board.put(np.arange(len(known)), stage.interest.scores(known, stage.book.item))
        narrator.fact(
            f"interest: every shopper's vector made anew with {len(known.item) - len(start.past.item):,} new acts"
        )
        report_1 = life.serve(stage, study.report_days)
        report_2 = second.serve(stage, study.report_days, keep=24 if lead else 0)
    tallies[ROUND_1], tallies[ROUND_2] = tally(life, report_1.shown), tally(second, report_2.shown)
    result = SeedResult(seed, {name: tallies[name] for name in POLICIES}, done.verdict, digest(report_2))
    if lead:
        result.models = (first, done.response)
        result.spend_by_hour = spend_by_hour(stage, report_2.shown, learn_end_s)
        result.decisions, result.shown = report_2.decisions, report_2.shown
        window_s = study.conversion_days * SECONDS_PER_DAY
        cut_s = after.cut_s(0.5)
        result.comparison = compare(rows, cut_s, chance, stage.shop.config.response, window_s).scores
    return result


def _baseline_tally(stage: Stage, start: Life, name: str, warm: Stretch) -> Tally:
    study = stage.shop.config.study
    life = baseline(stage, start, name, warm)
    life.serve(stage, study.learn_days)
    return tally(life, life.serve(stage, study.report_days).shown)


def _served(who: str, stretch: Stretch) -> str:
    shown = stretch.shown
    rate = shown.clicked.mean() if len(shown) else 0.0
    return f"{who}: {stretch.asked:,} requests, {len(shown):,} ads shown, CTR {rate:.2%}"


def tally(life: Life, shown: Shown) -> Tally:
    """The sums of a stretch; money spent beyond a budget is looked for in the ledger's own books."""
    over = 0
    for campaign, spent in zip(life.desk.book.campaigns, life.desk.ledger.spent_micros(), strict=True):
        over += max(0, int(spent) - campaign.flight.budget_micros_total)
    return Tally(
        impressions=len(shown),
        clicks=int(shown.clicked.sum()),
        conversions=int(shown.converted.sum()),
        cost_micros=int(shown.cost_micros.sum()),
        value_micros=int(shown.value_micros.sum()),
        expected_clicks=float(shown.click_chance.sum()),
        over_budget_micros=over,
    )


def digest(stretch: Stretch) -> str:
    """SHA-256 over decision ids, ads, prices and propensities, in order."""
    shown = stretch.shown
    h = hashlib.sha256("\n".join(shown.decision).encode())
    for column in (shown.slot, shown.ad, shown.price_micros, shown.propensity):
        h.update(np.ascontiguousarray(column).tobytes())
    return h.hexdigest()


def spend_by_hour(stage: Stage, shown: Shown, start_s: int) -> np.ndarray:
    """int64 [C, hours]: what each campaign paid in each hour of the reported days."""
    hours = stage.shop.config.study.report_days * 24
    out = np.zeros((len(stage.book.campaigns), hours), dtype=np.int64)
    np.add.at(out, (stage.book.campaign[shown.ad], (shown.time_s - start_s) // 3600), shown.cost_micros)
    return out


_work: tuple[Stage, Market, np.ndarray] | None = None


def _take(work: tuple[Stage, Market, np.ndarray]) -> None:
    """Hands a worker what all seeds share; one thread each, since the seeds run side by side."""
    global _work
    import torch

    torch.set_num_threads(1)
    _work = work


def _live(seed: int) -> SeedResult:
    assert _work is not None, "a worker is told what to work on first"
    return live(*_work, seed, Narrator(quiet=True))


def live_all(
    stage: Stage, market: Market, scores: np.ndarray, seeds: list[int], told: Callable[[SeedResult], None]
) -> list[SeedResult]:
    """All seeds, several at a time; the results are those of one after another."""
    processes = stage.shop.config.study.processes
    if processes == 1 or len(seeds) == 1:
        results = []
        for seed in seeds:
            results.append(live(stage, market, scores, seed, Narrator(quiet=True)))
            told(results[-1])
        return results
    # A forked worker shares the data without copying it; elsewhere (macOS, Windows) it is sent over once.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(processes, context, _take, ((stage, market, scores),)) as pool:
        return list(_each(pool.map(_live, seeds), told))


def _each(results: Iterator[SeedResult], told: Callable[[SeedResult], None]) -> Iterator[SeedResult]:
    for result in results:
        told(result)
        yield result


@dataclass(frozen=True)
class Line:
    """One policy's row in the table: means over seeds with 95 % intervals; lifts over popular, paired by seed.

    headroom: share of the way from random's to the oracle's noise-free click rate.
    """

    policy: str
    ctr: Estimate
    cvr: Estimate
    roas: Estimate
    ctr_lift: Estimate
    cvr_lift: Estimate
    headroom: Estimate


def summarise(results: list[SeedResult], over: str = "popular") -> list[Line]:
    """The table of the study. Seeds are the units: every interval is over independent worlds."""

    def column(policy: str, name: str) -> np.ndarray:
        return np.asarray([getattr(r.tallies[policy], name) for r in results], dtype=np.float64)

    def true_rate(policy: str) -> np.ndarray:
        return column(policy, "expected_clicks") / np.maximum(1, column(policy, "impressions"))

    low, high = true_rate("random"), true_rate("oracle")
    none = np.zeros(len(results))
    lines = []
    for policy in POLICIES:
        lines.append(
            Line(
                policy=policy,
                ctr=paired_difference(column(policy, "ctr"), none),
                cvr=paired_difference(column(policy, "cvr"), none),
                roas=paired_difference(column(policy, "roas"), none),
                ctr_lift=paired_lift(column(policy, "ctr"), column(over, "ctr")),
                cvr_lift=paired_lift(column(policy, "cvr"), column(over, "cvr")),
                headroom=paired_difference((true_rate(policy) - low) / (high - low), none),
            )
        )
    return lines


CLAIMS = (
    ("ctr_lift", Claim("CTR +30 % over popular", 0.30)),
    ("cvr_lift", Claim("conversions +20 % over popular", 0.20)),
)


def verdicts(lines: list[Line]) -> list[tuple[str, str, Estimate]]:
    """(claim, verdict, lift) of the second round for each of the claims that the loop was started for."""
    last = next(line for line in lines if line.policy == ROUND_2)
    return [(claim.name, claim.verdict(getattr(last, name)), getattr(last, name)) for name, claim in CLAIMS]


def money(results: list[SeedResult], policy: str, name: str) -> float:
    """The mean over seeds of a sum of money, in whole units of currency."""
    return Moments.of([getattr(r.tallies[policy], name) / MICROS for r in results]).mean
