"""Does the loop's contextual policy gain in the market that was fitted to public logs, and how much of the possible?

    python bench/market.py [--run out] [--seeds 30] [--lines FILE] [--demo-market]
    python bench/market.py --quick          # two seeds of two days a stage, says so in its figures

Needs the folder of a demo (`zhitou demo --out out`): its data, its interest model, its creatives. One seed is one
world lived through by every policy (loop/study.py, the code of the demo). Each finished seed is a line of --lines,
and a stopped bench goes on where it was; about half a CPU minute a seed, `--processes` of them side by side.

The configuration was fixed before the reported seeds (0 and up) were looked at; trials used seeds from 1,000 up:
market.config.public_logs with 20 visits a week, the demo's study (5 days at random, 5 of learning, 5 reported; two
slots; gamma 300) and advertisers who reckon with these clicks. At half the demo's click rate and twice its traffic
the loop learns from as many clicks as in the demo. --demo-market plays the market of the demo instead.

Printed: every policy's click and conversion rate, lift over popularity and over Thompson, share of the way from
random to the oracle; the goals, reached or not. These are figures of a simulation, never a lift in a real shop. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lines import REPOSITORY, last_line

from zhitou.assembly import CREATIVES, FEATURES, INTEREST, Stage, open_shop, read_run
from zhitou.campaign.adbook import AdBook
from zhitou.configs import Config, laptop
from zhitou.core.clock import SystemClock
from zhitou.core.errors import SourceError
from zhitou.creative.shelf import Shelf
from zhitou.evaluation.experiment import Claim, Estimate
from zhitou.features.build import FeatureSet
from zhitou.interest.predict import Interest
from zhitou.loop.narrator import Narrator
from zhitou.loop.run import fit_market
from zhitou.loop.study import POLICIES, ROUND_2, SeedResult, Tally, live, summarise
from zhitou.market.campaigns import DemoConfig, demo_campaigns
from zhitou.market.config import public_logs
from zhitou.market.fit import Market

VISITS_PER_WEEK = 20.0
BETTER_THAN_RANDOM = 1.5  # the click rate that advertisers reckon with, as in the demo, over that of random ads
GOALS = (
    ("ctr_lift_vs_popular", Claim("CTR +30 % over popularity", 0.30)),
    ("ctr_lift_vs_popular_floor", Claim("CTR, lower limit at least +25 % over popularity", 0.25)),
    ("cvr_lift_vs_popular", Claim("conversions +20 % over popularity", 0.20)),
    ("cvr_lift_vs_popular_floor", Claim("conversions, lower limit at least +15 % over popularity", 0.15)),
    ("ctr_lift_vs_thompson", Claim("CTR +15 % over Thompson", 0.15)),
    ("headroom", Claim("80 % of the way from random to the oracle", 0.80)),
)


@dataclass(frozen=True)
class Setting:
    """What is played. key: names every number of it, so that lines of another setting are not mixed in."""

    stage: Stage
    market: Market
    scores: Any
    key: str


def configuration(seed: int, *, demo_market: bool, quick: bool) -> Config:
    """The configuration of the bench; see above."""
    config = laptop(seed)
    if not demo_market:
        market = replace(public_logs(), visits_per_week=VISITS_PER_WEEK)
        advertisers = DemoConfig(visits_per_week=VISITS_PER_WEEK, click_rate=BETTER_THAN_RANDOM * market.click_rate)
        config = replace(config, name="market-2", market=market, advertisers=advertisers)
    days = {"warm_days": 2, "learn_days": 2, "report_days": 2} if quick else {}
    return replace(config, study=replace(config.study, processes=1, **days))


def open_setting(folder: Path, *, demo_market: bool, quick: bool) -> Setting:
    """The demo's shop, models, creatives under this bench's configuration. Refused (SourceError): no demo there."""
    ran, record = read_run(folder)
    if not (folder / INTEREST).exists() or "cut_s" not in record:
        raise SourceError(f"expected a finished demo in {folder}; call `zhitou demo --out {folder}` first")
    config = configuration(ran.seed, demo_market=demo_market, quick=quick)
    shop = open_shop(config, folder, SystemClock())
    market = fit_market(shop)
    campaigns = demo_campaigns(
        shop.everybody.before(shop.cut_s),
        shop.items,
        start_s=shop.cut_s,
        days=config.study.days,
        count=config.study.campaigns,
        items_per_campaign=config.study.items_per_campaign,
        promotions=shop.promotions,
        config=config.advertisers,
        chance=shop.chance.child("advertisers"),
    )
    book = AdBook.build(campaigns, shop.items)
    interest = Interest.load(folder / INTEREST, shop.items)
    segments = FeatureSet.read(folder / FEATURES).segments.by_subject()
    stage = Stage(
        shop, book, interest, Shelf.load(folder / CREATIVES), {s: frozenset([g]) for s, g in segments.items()}
    )
    told = json.dumps(asdict(config), sort_keys=True, default=str) + stage.interest_version
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    return Setting(stage, market, interest.scores(shop.past, book.item), key)


_SETTING: list[Setting] = []  # of a forked worker


def play_seed(seed: int) -> dict[str, Any]:
    """One world under every policy, as a line."""
    setting = _SETTING[0]
    result = live(setting.stage, setting.market, setting.scores, seed, Narrator(quiet=True))
    tallies = {name: asdict(tally) for name, tally in result.tallies.items()}
    promoted = result.verdict.promote
    return {"seed": seed, "key": setting.key, "promoted": promoted, "digest": result.digest, "tallies": tallies}


def known_lines(path: Path, key: str) -> dict[int, dict[str, Any]]:
    """Finished seeds of this setting; a last line that was cut short does not count."""
    found: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if record["key"] == key:
            found[record["seed"]] = record
    return found


def play_all(setting: Setting, seeds: list[int], path: Path, processes: int) -> list[dict[str, Any]]:
    """A line for each seed; those that are missing are played and written as they come."""
    _SETTING[:] = [setting]
    done = known_lines(path, setting.key)
    missing = [seed for seed in seeds if seed not in done]
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with (
        path.open("a") as file,
        ProcessPoolExecutor(processes, context, _SETTING.append, (setting,)) as pool,
    ):
        for record in pool.map(play_seed, missing):
            file.write(json.dumps(record) + "\n")
            file.flush()
            done[record["seed"]] = record
            rates = {name: Tally(**record["tallies"][name]).ctr for name in POLICIES}
            print(f"seed {record['seed']}: " + ", ".join(f"{n} {r:.3%}" for n, r in rates.items()), flush=True)
    return [done[seed] for seed in seeds]


def figures_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The table, the goals and the figures. Worlds are the units of every interval."""
    results = [
        SeedResult(r["seed"], {n: Tally(**t) for n, t in r["tallies"].items()}, r["promoted"], r["digest"])
        for r in records
    ]
    over_popular = {line.policy: line for line in summarise(results)}
    over_thompson = {line.policy: line for line in summarise(results, over="thompson")}
    head = f"{'CTR over popular':>28}{'conv. over popular':>28}{'headroom':>10}"
    print(f"\n{'policy':16}{'CTR':>9}{'conv/1,000':>12}{head}")
    for name, line in over_popular.items():
        ctr, cvr = _told(line.ctr_lift), _told(line.cvr_lift)
        rates = f"{line.ctr.value:9.3%}{line.cvr.value * 1000:12.3f}"
        print(f"{name:16}{rates}{ctr:>28}{cvr:>28}{line.headroom.value:10.1%}")
    ours, beside = over_popular[ROUND_2], over_thompson[ROUND_2]
    measured = {
        "ctr_lift_vs_popular": ours.ctr_lift,
        "cvr_lift_vs_popular": ours.cvr_lift,
        "ctr_lift_vs_thompson": beside.ctr_lift,
        "cvr_lift_vs_thompson": beside.cvr_lift,
        "headroom": ours.headroom,
    }
    print("\ngoals, in this simulated market:")
    missed = []
    for name, claim in GOALS:
        estimate = measured[name.removesuffix("_floor")]
        # a goal of a value is reached by the value, a goal of a lower limit by the limit
        reached = (estimate.low if name.endswith("_floor") else estimate.value) >= claim.at_least
        missed += [] if reached else [claim.name]
        print(f"  {claim.name:52}{_told(estimate):>28}  {'reached' if reached else 'not reached'}")
    figures: dict[str, Any] = {}
    for name, estimate in measured.items():
        figures |= {name: round(estimate.value, 4), f"{name}_low": round(estimate.low, 4)}
    over_budget = sum(t["over_budget_micros"] for r in records for t in r["tallies"].values())
    return {**figures, "worlds": len(records), "over_budget_micros": over_budget, "goals_missed": missed}


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:+.1%} [{estimate.low:+.1%}, {estimate.high:+.1%}]"


def main() -> None:
    """Play what is missing, print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=REPOSITORY / "out", help="folder of a finished demo")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="the first seed; 1,000 and up are for trials")
    parser.add_argument("--lines", type=Path, help="finished seeds; without it RUN/market_seeds.jsonl")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--demo-market", action="store_true", help="the demo's own market")
    parser.add_argument("--quick", action="store_true", help="two seeds of two days a stage")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error("an interval needs at least 2 seeds")
    seeds = list(range(args.first, args.first + (2 if args.quick else args.seeds)))
    setting = open_setting(args.run, demo_market=args.demo_market, quick=args.quick)
    records = play_all(setting, seeds, args.lines or args.run / "market_seeds.jsonl", args.processes)
    market = "demo" if args.demo_market else "public_logs"
    last_line("market", {"quick": args.quick, "market": market, "key": setting.key, **figures_of(records)})


if __name__ == "__main__":
    main()
