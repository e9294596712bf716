"""The only file that knows everything: from a Config and a folder to the objects that decide.

A run's folder: config.json, prepared/, features/, models/, creatives/, campaigns.json, report.html, and while the
shop is open store.sqlite and ledger.sqlite.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zhitou import configs
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.files import read_campaigns, redated
from zhitou.campaign.ledger import MemoryLedger, SqliteLedger
from zhitou.catalog.table import ItemTable
from zhitou.configs import Config
from zhitou.core.chance import Chance
from zhitou.core.clock import Clock, SystemClock
from zhitou.core.errors import SourceError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.creative.shelf import Shelf
from zhitou.delivery.candidates import Candidates, InterestBoard
from zhitou.delivery.decide import Desk, DeskConfig, traffic_by_hour
from zhitou.delivery.live import LiveHistories
from zhitou.delivery.service import LiveService
from zhitou.delivery.store import SqliteStore
from zhitou.events.histories import Histories
from zhitou.events.prepare import ITEMS_FILE, PROMOTIONS_FILE
from zhitou.events.schema import BEHAVIOUR
from zhitou.features.build import FeatureSet
from zhitou.features.online import OnlineFeatures
from zhitou.feedback.registry import Registry
from zhitou.interest.predict import Interest
from zhitou.learning.checkpoints import MANIFEST
from zhitou.privacy.consent import ConsentBook, ConsentChange
from zhitou.privacy.door import Door, consent_from_events
from zhitou.privacy.pseudonyms import Pseudonyms, demonstration_key, load_or_create_key
from zhitou.response.response import Response
from zhitou.strategy.policies import Policy, Zhitou
from zhitou.strategy.ports import CreativeSource, InterestModel, Ledger, ResponseModel

PREPARED, FEATURES, INTEREST, RESPONSE, CREATIVES = (
    "prepared",
    "features",
    "models/interest",
    "models/response",
    "creatives",
)
CAMPAIGNS_FILE, RUN_FILE, REPORT_FILE = "campaigns.json", "run.json", "report.html"
KEY_FILE = "keys/pseudonyms.key"
OLD_DAYS = 30


@dataclass(frozen=True)
class Shop:
    """What a prepared folder holds, read through the door. cut_s: models may know what happened before it."""

    config: Config
    folder: Path
    chance: Chance
    clock: Clock
    consent: ConsentBook
    items: ItemTable
    cut_s: int

    @property
    def door(self) -> Door:
        """The door to this shop's behaviour."""
        return Door(self.folder / PREPARED, self.consent, self.clock)

    @cached_property
    def histories(self) -> Histories:
        """Behaviour of everybody who agreed to a profile: what models learn from."""
        return Histories.from_arrow(self.door.read("profile"), self.items)

    @cached_property
    def past(self) -> Histories:
        """The same before the cut: all that a model may know. Cut once, since every world of a study asks for it."""
        return self.histories.before(self.cut_s)

    @cached_property
    def everybody(self) -> Histories:
        """Behaviour of all who agreed to measurement: what the practice market is fitted to."""
        return Histories.from_arrow(self.door.read("measurement"), self.items)

    @cached_property
    def responses(self) -> pa.Table:
        """What advertisers sent before and what came of it, before the cut."""
        events = self.door.read("measurement")
        kinds = pa.compute.is_in(events["kind"], value_set=pa.array(["send", "conversion"]))
        cut = pa.scalar(self.cut_s * MICROSECONDS, pa.timestamp("us", tz="UTC"))
        return events.filter(pa.compute.and_(kinds, pa.compute.less(events["occurred_at"], cut)))

    @cached_property
    def promotions(self) -> pa.Table | None:
        """Weekly promotions per item, None where the source has none."""
        path = self.folder / PREPARED / PROMOTIONS_FILE
        table = pq.read_table(path) if path.exists() else None
        return table if table is not None and len(table) else None


def pseudonyms(config: Config, folder: Path) -> Pseudonyms:
    """Names for this run's shoppers: from a secret key in the folder, or in a demonstration from the seed."""
    if config.real_shoppers:
        return Pseudonyms(config.tenant, load_or_create_key(folder / KEY_FILE))
    return Pseudonyms(config.tenant, demonstration_key(Chance(config.seed)))


def open_shop(config: Config, folder: Path, clock: Clock) -> Shop:
    """The shop in a prepared folder. Refused (SourceError): nothing prepared there, or too little to cut in time."""
    chance = Chance(config.seed)
    consent = consent_from_events(folder / PREPARED, config.consent_default)
    items = ItemTable.from_arrow(pq.read_table(folder / PREPARED / ITEMS_FILE))
    door = Door(folder / PREPARED, consent, clock)
    acts = door.read("measurement", columns=["subject", "kind", "occurred_at"])
    simulate_refusals(consent, acts["subject"].unique().to_pylist(), config.refuse_share, chance)
    return Shop(config, folder, chance, clock, consent, items, _cut(acts, config.judge_days))


def simulate_refusals(consent: ConsentBook, subjects: list[str], share: float, chance: Chance) -> int:
    """Let this share of the subjects refuse a profile from the beginning of time; how many do."""
    draws = chance.stream("refusals").random(len(subjects))
    refusing = [s for s, u in zip(sorted(subjects), draws, strict=True) if u < share]
    for subject in refusing:
        consent.record(ConsentChange(subject, 0, (("profile", False),)))
    return len(refusing)


def _cut(acts: pa.Table, judge_days: int) -> int:
    """Midnight UTC, judge_days before the end of the last day of behaviour; at most a quarter of the time line."""
    kept = acts.filter(pa.compute.is_in(acts["kind"], value_set=pa.array(BEHAVIOUR)))
    if not len(kept):
        raise SourceError("expected behaviour such as views or purchases, found none after preparation")
    days = kept["occurred_at"].cast(pa.int64()).to_numpy() // (MICROSECONDS * SECONDS_PER_DAY)
    first, last = int(days.min()), int(days.max())
    if last - first < 3:
        raise SourceError(f"expected behaviour of more than 3 days, got {last - first + 1}; bring a longer export")
    return (last + 1 - min(judge_days, max(1, (last - first) // 4))) * SECONDS_PER_DAY


@dataclass(frozen=True)
class Stage:
    """Everything that a desk of this run shares with the others: what is sold, shown and known."""

    shop: Shop
    book: AdBook
    interest: InterestModel
    creatives: CreativeSource
    segments: dict[str, frozenset[str]]

    @cached_property
    def traffic(self) -> tuple[float, ...]:
        """The forecast of traffic by hour, from the past."""
        return traffic_by_hour(self.shop.past.time_s)

    @cached_property
    def interest_version(self) -> str:
        """The version that receipts name: a hash of the saved manifest, which holds the hashes of the files."""
        manifest = self.shop.folder / INTEREST / MANIFEST
        if not manifest.exists():
            return self.interest.name
        return f"{self.interest.name}_{hashlib.sha256(manifest.read_bytes()).hexdigest()[:24]}"

    def features(self, histories: Histories) -> OnlineFeatures:
        """Online features that know these histories."""
        features = OnlineFeatures(self.shop.items, self.book, self.shop.chance.child("canary"))
        features.load(histories)
        return features

    def desk(
        self,
        policy: Policy,
        response: ResponseModel | None,
        features: OnlineFeatures,
        *,
        ledger: Ledger | None = None,
        clock: Clock | None = None,
        chance: Chance | None = None,
    ) -> Desk:
        """A desk for this stage; a ledger in memory unless one is given."""
        return Desk(
            book=self.book,
            candidates=Candidates(features, InterestBoard(self.interest, self.book.item)),
            response=response,
            policy=policy,
            creatives=self.creatives,
            ledger=ledger if ledger is not None else MemoryLedger(self.book.campaigns),
            consent=self.shop.consent,
            chance=chance or self.shop.chance.child("desk"),
            clock=clock or self.shop.clock,
            config=DeskConfig(tenant=self.shop.config.tenant, traffic=self.traffic),
            segments=self.segments,
            in_stock=self.shop.items.in_stock[self.book.item],
            interest_version=self.interest_version,
        )


def write_run(folder: Path, config: Config, source: str, facts: dict[str, Any]) -> None:
    """Note which run made this folder, so that `serve` and `explain` can open it."""
    record = {"config": config.name, "seed": config.seed, "tenant": config.tenant, "source": source, **facts}
    (folder / RUN_FILE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def read_run(folder: Path) -> tuple[Config, dict[str, Any]]:
    """The config and facts of the run in this folder. Refused (SourceError): no run there."""
    path = folder / RUN_FILE
    if not path.exists():
        raise SourceError(
            f"expected a run in {folder}, found none; call `zhitou demo --out {folder}` first, or `zhitou prepare`"
        )
    record = json.loads(path.read_text())
    return replace(getattr(configs, record["config"])(record["seed"]), tenant=record["tenant"]), record


def open_service(folder: Path, clock: Clock | None = None) -> LiveService:
    """The shop of this folder, open for requests: the same desk, features and models as in the loop.

    Data that ended long ago is replayed as if it ended yesterday, whole weeks later, and so are the flights: the
    answer's facts say by how many days.
    """
    config, record = read_run(folder)
    clock = clock or SystemClock()
    shop = open_shop(config, folder, clock)
    interest = Interest.load(folder / INTEREST, shop.items)
    past = shop.histories
    shift_s = _shift_s(past, clock)
    campaigns = read_campaigns(folder / CAMPAIGNS_FILE)
    if shift_s:
        campaigns = _reopened(campaigns, clock)
    book = AdBook.build(campaigns, shop.items)
    response = Response.load(Registry(folder / RESPONSE).champion_folder()).for_ads(np.arange(len(book)))
    segments = FeatureSet.read(folder / FEATURES).segments.by_subject()
    stage = Stage(
        shop, book, interest, Shelf.load(folder / CREATIVES), {s: frozenset([g]) for s, g in segments.items()}
    )
    store = SqliteStore(folder / "store.sqlite")
    desk = stage.desk(
        Zhitou(gamma=config.study.gamma),
        response,
        stage.features(past.shifted(shift_s)),
        ledger=SqliteLedger(folder / "ledger.sqlite", campaigns),
        clock=clock,
    )
    desk.candidates.board.set(np.arange(len(past)), past)
    service = LiveService(
        desk=desk,
        items=shop.items,
        store=store,
        live=LiveHistories(past.shifted(shift_s)),
        pseudonyms=pseudonyms(config, folder),
        report=folder / REPORT_FILE,
        facts={"source": record["source"], "replayed_days_later": shift_s // SECONDS_PER_DAY},
    )
    for page in store.pages(config.tenant):
        service.replay(page)
    return service


def _shift_s(past: Histories, clock: Clock) -> int:
    """Seconds to add to old behaviour so that it ends within the last week; a whole number of weeks."""
    week = 7 * SECONDS_PER_DAY
    age_s = clock.now_us() // MICROSECONDS - int(past.time_s.max(initial=0))
    return age_s // week * week if age_s > OLD_DAYS * SECONDS_PER_DAY else 0


def _reopened(campaigns: tuple[Any, ...], clock: Clock) -> tuple[Any, ...]:
    """The flights moved so that they began this midnight, and lengthened to last a month."""
    day_us = SECONDS_PER_DAY * MICROSECONDS
    midnight = clock.now_us() // day_us * day_us
    first = min(c.flight.start_us for c in campaigns)
    return redated(campaigns, midnight - first, days_more=30)
