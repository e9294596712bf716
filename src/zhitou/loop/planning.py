"""From the folder of a run to the question of a plan: who, which ads, at what worth, through which channels, when.

U = shoppers, A = ads, J = candidates of each shopper, K = channels, C = campaigns.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from zhitou.assembly import (
    CAMPAIGNS_FILE,
    CREATIVES,
    FEATURES,
    INTEREST,
    RESPONSE,
    Stage,
    open_shop,
    read_run,
)
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS as TARGETED
from zhitou.campaign.files import read_campaigns
from zhitou.core.clock import Clock
from zhitou.core.errors import ConfigError, MoneyError, NotFoundError, SourceError
from zhitou.core.files import replace_whole
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.creative.shelf import Shelf
from zhitou.events.histories import Histories
from zhitou.features.build import FeatureSet
from zhitou.feedback.registry import Registry
from zhitou.interest.predict import Interest
from zhitou.privacy.consent import PURPOSES
from zhitou.response.response import Response
from zhitou.strategy.channels import CHANNELS, Channel, consent_mask
from zhitou.strategy.eligibility import CODE, eligibility
from zhitou.strategy.plan import Audience, Plan, PlanProblem, Prices, Terms
from zhitou.strategy.plan_solve import SolveConfig, solve
from zhitou.strategy.plan_table import MESSAGES, messages, summary
from zhitou.strategy.policies import Random
from zhitou.strategy.timing import SendTimes
from zhitou.strategy.value import bids_micros

PLAN = "plan"
MESSAGES_FILE, SUMMARY_FILE = "messages.parquet", "plan.json"
PRICES_FILE, SETTINGS_FILE = "prices.json", "settings.json"
SLOTS = 24
_BLOCK = 256
_ANY = (CODE["eligible"], CODE["quiet_hours"])


@dataclass(frozen=True)
class PlanSettings:
    """What a shop decides about its messages; everything else comes from the run.

    channels: costs, caps, needs of consent. per_shopper_hour: by channel, messages an hour that can be sent, per
    shopper of the audience. quiet_hours: local, for campaigns that name none of their own. zone: where shoppers live.
    incremental_share: iota, the share of answers that a message brings about; 1 as long as no experiment says less.
    fatigue_micros: what the first message of a day costs in later attention. candidates: ads looked at per shopper.
    """

    channels: tuple[Channel, ...] = CHANNELS
    per_shopper_hour: tuple[tuple[str, float], ...] = (
        ("onsite", 0.1), ("email", 0.05), ("push", 0.05), ("sms", 0.005), ("app", 0.05), ("social", 0.05),
    )  # fmt: skip
    quiet_hours: tuple[int, int] = (21, 8)
    zone: str = "UTC"
    per_day: int = 3
    gap_hours: int = 4
    incremental_share: float = 1.0
    fatigue_micros: int = 100
    candidates: int = 4
    seed: int = 1
    threads: int = 1
    solver: SolveConfig = field(default_factory=SolveConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.incremental_share <= 1 or self.candidates < 1 or self.fatigue_micros < 0:
            raise ConfigError("incremental_share is 0 to 1, candidates at least 1, fatigue_micros zero or more")
        if unknown := {name for name, _ in self.per_shopper_hour} - {c.name for c in self.channels}:
            raise ConfigError(f"per_shopper_hour names no channel of the plan: {', '.join(sorted(unknown))}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError(f"expected zone to be a name such as Europe/London, got {self.zone!r}") from None

    @classmethod
    def read(cls, path: Path) -> PlanSettings:
        """From TOML: the fields by name; [per_shopper_hour] by channel; [channel.email] changes single values of a
        channel. Refused: no file (SourceError), no TOML, unknown names or values (ConfigError)."""
        try:
            said = tomllib.loads(path.read_text())
        except OSError:
            raise SourceError(f"expected settings in {path}, found no file") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is no TOML: {error}") from None
        return cls.of(said)

    @classmethod
    def of(cls, said: dict[str, Any]) -> PlanSettings:
        """From plain values, as in the file."""
        said = dict(said)
        changes: dict[str, dict[str, Any]] = said.pop("channel", {})
        plain = {f.name for f in fields(cls)} - {"channels", "solver", "threads"}
        if unknown := (set(said) - plain) | (set(changes) - {c.name for c in CHANNELS}):
            names = ", ".join(sorted(unknown))
            raise ConfigError(f"unknown plan settings {names}; known are {', '.join(sorted(plain))}")
        try:
            if "per_shopper_hour" in said:
                given = said["per_shopper_hour"]
                said["per_shopper_hour"] = tuple((name, float(given.get(name, 0.0))) for name in sorted(given))
            if "quiet_hours" in said:
                start, end = said["quiet_hours"]
                said["quiet_hours"] = (int(start), int(end))
            channels = tuple(replace(c, **_typed(changes.get(c.name, {}))) for c in CHANNELS)
            return cls(channels=channels, **said)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"plan settings are not of their type: {error}") from None

    def plain(self) -> dict[str, Any]:
        """What `of` reads, as plain values."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("channels", "solver", "threads")}
        own["per_shopper_hour"] = dict(self.per_shopper_hour)
        own["quiet_hours"] = list(self.quiet_hours)
        own["channel"] = {
            c.name: {f.name: getattr(c, f.name) for f in fields(c) if f.name != "name"}
            | {"purposes": list(c.purposes)}
            for c in self.channels
        }
        return own


def _typed(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name == "purposes" else value for name, value in changes.items()}


def problem_of(folder: Path, clock: Clock, settings: PlanSettings) -> PlanProblem:
    """The question for the day on which this run's models stop knowing, from its models, campaigns and consent.

    Refused: no finished run there (SourceError), campaigns in several currencies (MoneyError).
    """
    stage, response = _stage(folder, clock)
    shop, book, past = stage.shop, stage.book, stage.shop.past
    start_us = shop.cut_s * MICROSECONDS
    currency = {camp.currency for camp in book.campaigns}
    if len(currency) != 1:
        raise MoneyError(f"expected campaigns in one currency, got {', '.join(sorted(currency)) or 'no campaign'}")
    candidate, base = _worth(stage, response, settings, start_us)
    granted = {purpose: shop.consent.mask(past.subjects, purpose) for purpose in PURPOSES}
    consent = consent_mask(settings.channels, granted, len(past))
    audience = Audience.of(
        past.subjects,
        candidate,
        base,
        np.broadcast_to([c.response for c in settings.channels], consent.shape),
        consent,
        profile=np.arange(len(past)),
        fatigue_micros=settings.fatigue_micros,
    )
    hours = send_times(past, stage.segments, shop.cut_s, settings.zone).response(np.arange(len(past)))
    return PlanProblem(audience, _terms(book, settings, currency.pop(), start_us, hours[:, None, :], len(past)))


def send_times(past: Histories, segments: dict[str, frozenset[str]], end_s: int, zone: str) -> SendTimes:
    """Hours of each shopper's day in which he acts, out of the days since he was first seen, by his segment."""
    groups = {name: n for n, name in enumerate(sorted({g for some in segments.values() for g in some}))}
    none = len(groups)
    group = [min((groups[g] for g in segments.get(str(s), ())), default=none) for s in past.subjects]
    owner = past.subject_of_event
    hours, where = np.unique(past.time_s // 3600, return_inverse=True)
    clock = ZoneInfo(zone)
    local = np.asarray([_local(int(h), clock) for h in hours], dtype=np.int64).reshape(-1, 2)
    day, hour = local[where, 0], local[where, 1]
    acts = np.unique(np.stack([owner, day, hour], axis=1), axis=0) if len(owner) else np.zeros((0, 3), dtype=np.int64)
    answered = np.zeros((len(past), SLOTS))
    np.add.at(answered, (acts[:, 0], acts[:, 2]), 1.0)
    first = np.full(len(past), end_s, dtype=np.int64)
    np.minimum.at(first, owner, past.time_s)
    days = np.maximum(1, -(-(end_s - first) // SECONDS_PER_DAY) + 1)
    return SendTimes.fit(answered, np.repeat(days[:, None].astype(float), SLOTS, axis=1), np.asarray(group))


def _local(hour: int, clock: ZoneInfo) -> tuple[int, int]:
    at = dt.datetime.fromtimestamp(hour * 3600, tz=dt.UTC).astimezone(clock)
    return at.toordinal(), at.hour


def _stage(folder: Path, clock: Clock) -> tuple[Stage, Response]:
    config, _ = read_run(folder)
    champion = Registry(folder / RESPONSE).champion_folder()
    shop = open_shop(config, folder, clock)
    book = AdBook.build(read_campaigns(folder / CAMPAIGNS_FILE), shop.items)
    segments = FeatureSet.read(folder / FEATURES).segments.by_subject()
    named = {s: frozenset([g]) for s, g in segments.items()}
    interest = Interest.load(folder / INTEREST, shop.items)
    return Stage(shop, book, interest, Shelf.load(folder / CREATIVES), named), Response.load(champion)


def _worth(stage: Stage, response: Response, settings: PlanSettings, start_us: int) -> tuple[np.ndarray, np.ndarray]:
    """(candidate int32 [U, J], base float32 [U, J]): each shopper's best ads, pCTR x worth of a click x iota."""
    past, book = stage.shop.past, stage.book
    bound = response.for_ads(np.arange(len(book)))
    desk = stage.desk(Random(), bound, stage.features(past))
    desk.candidates.board.set(np.arange(len(past)), past)
    size = min(settings.candidates, len(book))
    candidate = np.empty((len(past), size), dtype=np.int32)
    base = np.empty((len(past), size), dtype=np.float32)
    noon = start_us // MICROSECONDS + SECONDS_PER_DAY // 2
    for begin in range(0, len(past), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(past)))
        fields_ = desk.candidates.fields(rows, np.full(len(rows), noon))
        pctr, pcvr = bound.predict(fields_)
        worth = pctr * bids_micros(book, pcvr) * settings.incremental_share
        worth[~_may(stage, rows, start_us)] = 0.0
        best = np.argsort(-worth, axis=1, kind="stable")[:, :size]
        base[rows] = np.take_along_axis(worth, best, axis=1)
        candidate[rows] = np.where(base[rows] > 0, best, -1)
    return candidate, base


def _may(stage: Stage, rows: np.ndarray, start_us: int) -> np.ndarray:
    """bool [n, A]: ads that targeting, stock and review let these shoppers see in some channel and hour."""
    book, study = stage.book, stage.shop.config.study
    names = [str(s) for s in stage.shop.past.subjects[rows]]
    approved = np.asarray([stage.creatives.creative_id(ad, study.size) is not None for ad in book.ad_ids])
    out = np.zeros((len(rows), len(book)), dtype=bool)
    for channel in range(len(TARGETED)):
        for slot in (0, SLOTS - 1):
            code = eligibility(
                book,
                at_us=np.full(len(rows), start_us + slot * 3600 * MICROSECONDS),
                channel=np.full(len(rows), channel),
                ads_allowed=np.ones(len(rows), dtype=bool),
                in_stock=stage.shop.items.in_stock[book.item],
                approved=approved,
                remaining_micros=np.ones(len(book.campaigns), dtype=np.int64),
                seen_ad=np.zeros((len(rows), len(book)), dtype=np.int16),
                seen_campaign=np.zeros((len(rows), len(book.campaigns)), dtype=np.int16),
                hour_local=np.zeros(len(rows), dtype=np.int64),
                segments=[stage.segments.get(name, frozenset()) for name in names],
            )
            out |= np.isin(code, _ANY)
    return out


def _terms(
    book: AdBook, settings: PlanSettings, currency: str, start_us: int, hours: np.ndarray, shoppers: int
) -> Terms:
    camps, channels = book.campaigns, settings.channels
    begins = start_us + np.arange(SLOTS, dtype=np.int64) * 3600 * MICROSECONDS
    flying = [(begins >= c.flight.start_us) & (begins + 3600 * MICROSECONDS <= c.flight.end_us) for c in camps]
    named = [[ch.name in c.targeting.channels for ch in channels] for c in camps]
    rate = dict(settings.per_shopper_hour)
    capacity = np.asarray([round(rate.get(ch.name, 0.0) * shoppers) for ch in channels], dtype=np.int64)
    return Terms(
        start_us=start_us,
        currency=currency,
        channels=channels,
        campaigns=tuple(c.campaign_id for c in camps),
        ads=book.ad_ids,
        ad_campaign=book.campaign.astype(np.int32),
        hour_response=hours,
        zones=(settings.zone,),
        quiet_hours=tuple(c.quiet_hours or settings.quiet_hours for c in camps),
        open=np.asarray(named)[:, :, None] & np.asarray(flying)[:, None, :],
        cost_micros=np.tile([ch.cost_micros for ch in channels], (len(camps), 1)).astype(np.int64),
        budget_micros=np.asarray([min(c.flight.budget_micros_total, c.flight.budget_micros_daily) for c in camps]),
        capacity=np.repeat(capacity[:, None], SLOTS, axis=1),
        campaign_per_day=np.asarray([min(c.caps.campaign_per_day, c.caps.ad_per_day) for c in camps]),
        per_day=settings.per_day,
        gap_hours=settings.gap_hours,
    )


def make_plan(folder: Path, clock: Clock, settings: PlanSettings, into: Path) -> dict[str, Any]:
    """Plan a day of the run in `folder` and write it below `into`; its summary. The same run and settings give the
    same bytes."""
    problem = problem_of(folder, clock, settings)
    plan = solve(problem, replace(settings.solver, seed=settings.seed, threads=settings.threads))
    write_plan(plan, problem, into)
    replace_whole(into / SETTINGS_FILE, _json(settings.plain()))
    told: dict[str, Any] = json.loads((into / SUMMARY_FILE).read_text())
    return told


def write_plan(plan: Plan, problem: PlanProblem, into: Path) -> None:
    """messages.parquet, plan.json (the summary) and prices.json (exact, to explain with)."""
    into.mkdir(parents=True, exist_ok=True)
    sink = pa.BufferOutputStream()
    pq.write_table(messages(plan, problem), sink, compression="zstd")
    replace_whole(into / MESSAGES_FILE, sink.getvalue().to_pybytes())
    replace_whole(into / SUMMARY_FILE, _json(summary(plan, problem)))
    exact = {
        "slot_micros": plan.prices.slot_micros.tolist(),
        "budget": plan.prices.budget.tolist(),
        "sets": [a.tolist() for a in (plan.shopper, plan.place, plan.channel, plan.slot)],
        "total_micros": plan.total_micros,
        "bound_micros": plan.bound_micros,
        "unproven": plan.unproven,
    }
    replace_whole(into / PRICES_FILE, orjson.dumps(exact, option=orjson.OPT_SORT_KEYS) + b"\n")


def _json(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def read_messages(folder: Path) -> pa.Table:
    """The messages of a written plan. Refused (SourceError): none there, or not a plan's columns."""
    path = folder / MESSAGES_FILE
    if not path.exists():
        raise SourceError(f"expected a plan in {folder}, found none; call `zhitou plan make` first")
    table = pq.read_table(path)
    if not table.schema.equals(MESSAGES):
        raise SourceError(f"{path} is no plan of this version; make it again")
    return table


def read_plan(folder: Path, run: Path, clock: Clock) -> tuple[Plan, PlanProblem]:
    """A written plan, and the question it answers asked anew. Refused (SourceError): the run has changed."""
    read_messages(folder)
    settings = PlanSettings.of(json.loads((folder / SETTINGS_FILE).read_text()))
    problem = problem_of(run, clock, settings)
    exact = orjson.loads((folder / PRICES_FILE).read_bytes())
    told = json.loads((folder / SUMMARY_FILE).read_text())
    if told["problem"] != problem.digest():
        raise SourceError(f"the run in {run} has changed since {folder} was planned; call `zhitou plan make` again")
    shopper, place, channel, slot = (np.asarray(a, dtype=np.int32) for a in exact["sets"])
    prices = Prices(np.asarray(exact["slot_micros"]), np.asarray(exact["budget"]))
    return Plan.of(
        problem,
        shopper,
        place,
        channel,
        slot,
        prices=prices,
        bound_micros=exact["bound_micros"],
        unproven=exact["unproven"],
    ), problem


def row_of(problem: PlanProblem, shopper: str) -> int:
    """The row of this shopper. Refused (NotFoundError): nobody of that name in the audience."""
    found = np.flatnonzero(problem.audience.shoppers == shopper)
    if not len(found):
        raise NotFoundError(f"{shopper!r} is not in the audience: no such pseudonym, or no consent to a profile")
    return int(found[0])


def export_csv(table: pa.Table, path: Path) -> None:
    """The messages as CSV with a header; the same plan gives the same bytes."""
    sink = pa.BufferOutputStream()
    pcsv.write_csv(table, sink)
    replace_whole(path, sink.getvalue().to_pybytes())
