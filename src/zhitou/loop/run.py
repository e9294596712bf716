"""The whole loop, in order, on one page: behaviour to report."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zhitou.assembly import (
    CAMPAIGNS_FILE,
    CREATIVES,
    FEATURES,
    INTEREST,
    PREPARED,
    REPORT_FILE,
    RESPONSE,
    Shop,
    Stage,
    open_shop,
    pseudonyms,
    write_run,
)
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.files import write_campaigns
from zhitou.configs import Config
from zhitou.core.clock import Clock
from zhitou.creative.shelf import Shelf, make_creatives
from zhitou.delivery.receipt import receipt, to_bytes
from zhitou.delivery.store import SqliteStore
from zhitou.evaluation.experiment import Estimate
from zhitou.evaluation.ranking import Interval
from zhitou.events.prepare import Prepared
from zhitou.features.build import FeatureSet
from zhitou.feedback.registry import Entry, Registry
from zhitou.interest.predict import Interest
from zhitou.loop.narrator import Narrator
from zhitou.loop.s1_behaviour import collect
from zhitou.loop.s2_preprocess import preprocess
from zhitou.loop.s3_features import mine
from zhitou.loop.s4_train import Trained, learn
from zhitou.loop.study import POLICIES, Line, SeedResult, live, live_all, summarise, verdicts
from zhitou.market.campaigns import demo_campaigns
from zhitou.market.fit import Market


@dataclass(frozen=True)
class Outcome:
    """Everything a run found out; the report shows it."""

    config: Config
    folder: Path
    source: str
    about: str
    prepared: Prepared
    features: FeatureSet
    trained: Trained
    stage: Stage
    shelf: Shelf
    results: list[SeedResult]
    lines: list[Line]
    seconds: dict[str, float]


def run_loop(
    config: Config,
    folder: Path,
    narrator: Narrator,
    clock: Clock,
    data: Path | None = None,
    mapping: Path | None = None,
) -> Outcome:
    """Run the loop on the default data or a user's own, writing everything below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = collect(narrator, data, mapping)
    prepared = preprocess(narrator, raw, folder / PREPARED, pseudonyms(config, folder), config, clock)
    write_run(folder, config, raw.name, {})
    shop = open_shop(config, folder, clock)
    features = mine(narrator, shop, folder / FEATURES)
    trained = learn(narrator, shop, folder / INTEREST)
    stage, shelf = open_stage(narrator, shop, trained.interest, features)
    with narrator.stage("market", "a practice market, fitted to the same past by another family of models"):
        market = fit_market(shop)
        past = shop.past
        scores = trained.interest.scores(past, stage.book.item)
        narrator.fact(
            f"{len(market.subjects):,} shoppers; it knows the true chance of every click, our models do not"
        )
    lead = live(stage, market, scores, 0, narrator, lead=True)
    others = study(narrator, stage, market, scores)
    results = [lead, *others]
    keep_models(stage, lead)
    keep_receipts(stage, lead)
    write_run(folder, config, raw.name, {"cut_s": shop.cut_s, "digest": lead.digest})
    outcome = Outcome(
        config=config,
        folder=folder,
        source=raw.name,
        about=raw.about,
        prepared=prepared,
        features=features,
        trained=trained,
        stage=stage,
        shelf=shelf,
        results=results,
        lines=summarise(results),
        seconds=narrator.seconds,
    )
    tell(narrator, outcome)
    return outcome


def fit_market(shop: Shop) -> Market:
    """The market of this shop, from everybody's behaviour before the cut."""
    return Market.fit(
        shop.everybody.before(shop.cut_s),
        shop.items,
        promotions=shop.promotions,
        responses=shop.responses,
        config=shop.config.market,
        chance=shop.chance.child("market"),
    )


def open_stage(narrator: Narrator, shop: Shop, interest: Interest, features: FeatureSet) -> tuple[Stage, Shelf]:
    """Campaigns of plausible advertisers and their banners, reviewed."""
    study = shop.config.study
    with narrator.stage("creatives", "campaigns, and a banner for each of their ads: brief, copy, layout, review"):
        campaigns = demo_campaigns(
            shop.everybody.before(shop.cut_s),
            shop.items,
            start_s=shop.cut_s,
            days=study.days,
            count=study.campaigns,
            items_per_campaign=study.items_per_campaign,
            promotions=shop.promotions,
            config=shop.config.advertisers,
            chance=shop.chance.child("advertisers"),
        )
        write_campaigns(shop.folder / CAMPAIGNS_FILE, campaigns)
        book = AdBook.build(campaigns, shop.items)
        shelf = make_creatives(book, shop.items, shop.folder / CREATIVES, shop.chance.child("creatives"))
        narrator.fact(f"{len(campaigns)} campaigns, {len(book)} ads")
        narrator.fact(f"{len(shelf)} banners approved, {len(shelf.rejected)} refused by the review")
        for record in shelf.rejected[:3]:
            narrator.fact(f"  refused: {record['item']} {record['size']}: {record['findings'][0]}")
        narrator.fact(f"wrote {shop.folder / CAMPAIGNS_FILE}, {shop.folder / CREATIVES}/")
    segments = {s: frozenset([name]) for s, name in features.segments.by_subject().items()}
    return Stage(shop, book, interest, shelf, segments), shelf


def study(narrator: Narrator, stage: Stage, market: Market, scores: np.ndarray) -> list[SeedResult]:
    """The other seeds, so that there is an interval."""
    count = stage.shop.config.study.seeds
    with narrator.stage("study", f"the same again in {count - 1} other worlds, for the interval"):
        return live_all(stage, market, scores, list(range(1, count)), lambda r: _told(narrator, r, count))


def _told(narrator: Narrator, result: SeedResult, count: int) -> None:
    rates = ", ".join(f"{name} {result.tallies[name].ctr:.2%}" for name in POLICIES)
    narrator.fact(f"world {result.seed + 1} of {count}: CTR {rates}")


def keep_models(stage: Stage, lead: SeedResult) -> None:
    """Both rounds' response models of the lead world into the registry; the second only if it was promoted."""
    assert lead.models is not None, "the lead world keeps its models"
    folder = stage.shop.folder / RESPONSE
    shutil.rmtree(folder, ignore_errors=True)  # a run begins a history of its own
    registry, at_us = Registry(folder), stage.shop.cut_s * 1_000_000
    first, second = lead.models
    first.save(folder / first.version)
    registry.register(Entry(first.version, None, at_us))
    registry.promote(first.version, None, at_us)
    if second.version != first.version:
        loss = lead.verdict.loss_difference
        second.save(folder / second.version)
        metrics = {"log_loss_difference": (loss.value, loss.low, loss.high)}
        registry.register(Entry(second.version, first.version, at_us + 1, metrics))
        registry.promote(second.version, lead.verdict, at_us + 1)


def keep_receipts(stage: Stage, lead: SeedResult) -> None:
    """The receipts of the lead world's first reported day, so that `zhitou explain` has something to explain."""
    size = stage.shop.config.study.size
    rows = []
    for decisions in lead.decisions:
        for b in range(len(decisions)):
            shown = [int(ad) for ad in decisions.ad[b]]
            names = [stage.creatives.creative_id(stage.book.ad_ids[ad], size) if ad >= 0 else None for ad in shown]
            rows.append((decisions.decision_ids[b], to_bytes(receipt(decisions, b, stage.book, names))))
    for stale in (*stage.shop.folder.glob("store.sqlite*"), *stage.shop.folder.glob("ledger.sqlite*")):
        stale.unlink()  # decision ids may repeat from run to run, and what is kept first stays
    with SqliteStore(stage.shop.folder / "store.sqlite") as store:
        store.add_decisions(rows)


def tell(narrator: Narrator, outcome: Outcome) -> None:
    """The table, the verdicts, and what of this is real."""
    days, seeds = outcome.config.study.report_days, len(outcome.results)
    narrator.table(
        f"{days} reported days in {seeds} worlds, mean ± half of the 95 % interval over worlds",
        ["policy", "CTR %", "conversions per 1,000", "return on ad spend", "CTR lift over popular", "headroom"],
        [
            [
                line.policy,
                _pm(line.ctr, 100, 3),
                _pm(line.cvr, 1000, 3),
                _pm(line.roas, 1, 2),
                f"{line.ctr_lift.value:+.1%} [{line.ctr_lift.low:+.1%}, {line.ctr_lift.high:+.1%}]",
                _pm(line.headroom, 100, 1) + " %",
            ]
            for line in outcome.lines
        ],
    )
    for claim, verdict, lift in verdicts(outcome.lines):
        narrator.say(
            f"{claim}: [bold]{verdict}[/bold] ({lift.value:+.1%}, 95 % interval {lift.low:+.1%} to {lift.high:+.1%})"
        )
    promoted = sum(r.verdict.promote for r in outcome.results)
    narrator.say(f"the second round's model was promoted in {promoted} of {seeds} worlds")
    over = sum(t.over_budget_micros for r in outcome.results for t in r.tallies.values())
    narrator.say(f"money spent beyond a budget, all policies and worlds: {over} micros")
    narrator.say(f"real: {outcome.about}")
    refusals = " and refusals of consent" if outcome.config.refuse_share else ""
    narrator.say(f"simulated: who sees and clicks which ad, what it leads to, advertisers, budgets{refusals}")
    narrator.say(f"digest of the lead world's decisions: {outcome.results[0].digest}")
    narrator.say(f"report: {outcome.folder / REPORT_FILE}")


def figures(outcome: Outcome) -> dict[str, object]:
    """The run's figures as plain JSON values, for `--json` and the benches."""
    return {
        "seconds": {name: round(value, 2) for name, value in outcome.seconds.items()},
        "digest": outcome.results[0].digest,
        "next_basket": {
            "shoppers": outcome.trained.shoppers,
            "all": {s.name: _intervals(s.everything) for s in outcome.trained.standings},
            "new": {s.name: _intervals(s.new) for s in outcome.trained.standings},
        },
        "policies": {
            line.policy: {
                "ctr": line.ctr.value,
                "cvr": line.cvr.value,
                "roas": line.roas.value,
                "ctr_lift": [line.ctr_lift.value, line.ctr_lift.low, line.ctr_lift.high],
                "cvr_lift": [line.cvr_lift.value, line.cvr_lift.low, line.cvr_lift.high],
                "headroom": line.headroom.value,
            }
            for line in outcome.lines
        },
        "verdicts": {claim: verdict for claim, verdict, _ in verdicts(outcome.lines)},
    }


def _intervals(measured: dict[str, Interval]) -> dict[str, list[float]]:
    """metric -> [mean, low, high]."""
    return {name: [value.mean, value.low, value.high] for name, value in measured.items()}


def as_json(outcome: Outcome) -> str:
    """`figures` as one line."""
    return json.dumps(figures(outcome), sort_keys=True)


def _pm(estimate: Estimate, scale: float, digits: int) -> str:
    half = (estimate.high - estimate.low) / 2 * scale
    return f"{estimate.value * scale:.{digits}f} ± {half:.{digits}f}"
