"""What-if questions answered from what a shop has served, with the error of such answers on the shop's own past."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.assembly import CAMPAIGNS_FILE, RESPONSE, open_shop, read_run
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.files import read_campaigns
from zhitou.core.chance import Chance
from zhitou.core.clock import Clock
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.core.units import MICROS, MICROSECONDS, SECONDS_PER_DAY
from zhitou.delivery.decide import traffic_by_hour
from zhitou.delivery.reading import LogReader
from zhitou.delivery.receipt import from_bytes
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.join import Windows
from zhitou.feedback.registry import Registry
from zhitou.loop.served import STORE_FILE, Served, ShopLog
from zhitou.market.replay import AuctionLog, Change
from zhitou.market.whatif import FIGURES, Answer, Prediction, Shop, ask, back_test
from zhitou.response.response import Response
from zhitou.strategy.policies import Zhitou

CLICK_SECONDS = 600.0
REQUESTS_MAX = 100_000  # 190 ads of so many requests take a gigabyte
# filters that a change of money or caps can open again; the others hold whatever is asked
MOVABLE = frozenset({"eligible", "outbid", "budget", "ad_cap", "campaign_cap", "below_floor"})
BIDDING = frozenset({"eligible", "outbid"})


@dataclass(frozen=True)
class Simulation:
    """The answers to a question, what was predicted of the past, and what the log holds.

    answers: one for each of whatif.FIGURES. past: empty where the log is too short to be tested on itself. names:
    the campaigns, as in past. other: receipts left out, of other ads, policies or prices.
    """

    answers: tuple[Answer, ...]
    past: tuple[Prediction, ...]
    names: tuple[str, ...]
    currency: str
    requests: int
    hours: float
    seen: int
    clicks: int
    other: int
    share: float

    @property
    def covered(self) -> float:
        """Share of predicted figures of the past that lay in their interval; NaN without any."""
        return sum(one.inside for one in self.past) / len(self.past) if self.past else math.nan

    def past_error(self, figure: str) -> float:
        """(predicted - happened) / happened of all campaigns together; NaN without a past."""
        return next((p.error for p in self.past if p.campaign is None and p.figure == figure), math.nan)


@dataclass(frozen=True)
class Question:
    """A change in a user's words. campaign: its id, or "" for all of them."""

    campaign: str = ""
    budget: float = 1.0
    bid: float = 1.0
    cap_per_day: int | None = None
    rivals: float = 1.0

    def change(self, book: AdBook) -> Change:
        """The same for this book. Refused (NotFoundError): a campaign that is not in it."""
        ids = [c.campaign_id for c in book.campaigns]
        if self.campaign and self.campaign not in ids:
            raise NotFoundError(f"expected one of the campaigns {', '.join(ids[:5])}, ... got {self.campaign!r}")
        place = ids.index(self.campaign) if self.campaign else None
        return Change(place, self.budget, self.bid, self.cap_per_day, self.rivals)


def simulate(
    folder: Path,
    question: Question,
    clock: Clock,
    *,
    click_seconds: float = CLICK_SECONDS,
    requests_max: int = REQUESTS_MAX,
) -> Simulation:
    """Answer from the store of this folder, which a server may be writing at the same time.

    Above requests_max requests a part of the shoppers is taken, whole, and sums are scaled. Refused: no run, model or
    store there, no campaign of that id (NotFoundError), no receipt of these ads (SourceError).
    """
    config, _ = read_run(folder)
    shop = open_shop(config, folder, clock)
    book = AdBook.build(read_campaigns(folder / CAMPAIGNS_FILE), shop.items)
    change = question.change(book)
    fields = Response.load(Registry(folder / RESPONSE).champion_folder()).fields
    days_us = config.study.conversion_days * SECONDS_PER_DAY * MICROSECONDS
    windows = Windows(click_us=int(click_seconds * MICROSECONDS), conversion_us=days_us)
    served_log = ShopLog(folder, config.tenant, book, shop.items, fields, shop.consent, windows)
    try:
        served = served_log.settled(clock.now_us())
    finally:
        served_log.close()
    policy = Zhitou(gamma=config.study.gamma)
    log, other, share = read_auctions(folder / STORE_FILE, book, policy.name, served, requests_max)
    held = Shop(book, policy, traffic_by_hour(shop.past.time_s), share)
    chance = Chance(config.seed).child("simulate")
    return Simulation(
        answers=ask(log, held, change, chance),
        past=back_test(log, held, chance),
        names=tuple(c.name for c in book.campaigns),
        currency=book.campaigns[0].currency,
        requests=len(log),
        hours=(int(log.time_us[-1]) - int(log.time_us[0])) / MICROSECONDS / 3_600,
        seen=int(log.seen.sum()),
        clicks=int(log.clicked.sum()),
        other=other,
        share=share,
    )


def read_auctions(
    store: Path, book: AdBook, policy: str, served: Served, requests_max: int
) -> tuple[AuctionLog, int, float]:
    """(the log, receipts of other ads or policies, share of shoppers taken).

    Refused (SourceError): not one receipt of these ads and this policy.
    """
    reader = LogReader(store)
    try:
        count = sum(1 for _ in reader.decisions())
        share = min(1.0, requests_max / max(1, count))
        kept, other = [], 0
        for record in _records(reader):
            if not _ours(record, book, policy):
                other += 1
            elif share == 1.0 or _place(record) < share:
                kept.append(_row(record))
    finally:
        reader.close()
    if not kept:
        raise SourceError(f"expected receipts of these campaigns by {policy} in {store}, found {other} others")
    kept.sort(key=lambda row: (row["time_us"], row["decision"]))
    return _stacked(kept, book, served), other, share


def _records(reader: LogReader) -> Iterator[dict[str, Any]]:
    yield from (from_bytes(data) for _, data in reader.decisions())


def _ours(record: dict[str, Any], book: AdBook, policy: str) -> bool:
    same_ads = tuple(record["candidates"]["ad_id"]) == book.ad_ids
    return same_ads and record["models"]["policy"] == policy and not record["auction"]["flat_price"]


def _place(record: dict[str, Any]) -> float:
    """Where a shopper (a request of a stranger) falls in [0, 1), the same for all of its requests."""
    name = record["request"]["subject"] or record["decision_id"]
    return zlib.crc32(name.encode()) / 2**32


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """The columns of one receipt."""
    columns, slots = record["candidates"], record["slots"]
    bid = np.asarray(columns["bid_micros"], dtype=np.float64)
    return {
        "decision": record["decision_id"],
        "subject": record["request"]["subject"] or "",
        "time_us": record["request"]["at_us"],
        "allowed": np.asarray([reason in MOVABLE for reason in columns["reason"]]),
        "eligible": np.asarray([reason in BIDDING for reason in columns["reason"]]),
        "worth_micros": np.ceil(bid / np.asarray(columns["pacing_multiplier"])),
        "pctr": np.asarray(columns["pctr"], dtype=np.float64),
        "score": np.asarray(columns["score"], dtype=np.float64),
        "probability": np.asarray(columns["probability"], dtype=np.float64),
        "uniforms": np.asarray(record["auction"]["uniforms"], dtype=np.float64),
        "shown": [slot["ad_id"] for slot in slots],
        "price_micros": [slot.get("price_micros_per_click", 0) for slot in slots],
        "reserve_micros": record["auction"]["reserve_micros"],
    }


def _stacked(rows: list[dict[str, Any]], book: AdBook, served: Served) -> AuctionLog:
    """The rows as arrays, with what was seen and clicked of them. The most common number of slots is kept."""
    widths = np.bincount([len(row["shown"]) for row in rows])
    rows = [row for row in rows if len(row["shown"]) == widths.argmax()]
    ad_of = {name: number for number, name in enumerate(book.ad_ids)}
    names, who = np.unique([row["subject"] for row in rows], return_inverse=True)
    outcome = {
        (decision, int(slot)): bool(clicked)
        for decision, slot, clicked in zip(served.decision, served.rows.slot, served.rows.clicked, strict=True)
    }
    told = [[outcome.get((row["decision"], s)) for s in range(len(row["shown"]))] for row in rows]

    def stack(name: str, dtype: type) -> np.ndarray:
        return np.asarray([row[name] for row in rows], dtype=dtype)

    return AuctionLog(
        time_us=stack("time_us", np.int64),
        shopper=np.where(names[who] == "", -1, who - (names[0] == "")).astype(np.int64),
        allowed=stack("allowed", np.bool_),
        eligible=stack("eligible", np.bool_),
        worth_micros=stack("worth_micros", np.float64),
        pctr=stack("pctr", np.float64),
        score=stack("score", np.float64),
        probability=stack("probability", np.float64),
        uniforms=stack("uniforms", np.float64),
        shown=np.asarray([[ad_of.get(ad, -1) for ad in row["shown"]] for row in rows], dtype=np.int32),
        seen=np.asarray([[one is not None for one in line] for line in told]),
        clicked=np.asarray([[one is True for one in line] for line in told]),
        price_micros=stack("price_micros", np.int64),
        reserve_micros=int(rows[-1]["reserve_micros"]),
    )


def lines_of(told: Simulation) -> list[str]:
    """What was found, for a person."""
    part = "" if told.share == 1.0 else f", {told.share:.0%} of the shoppers"
    lines = [
        f"{told.requests:,} requests, {told.hours:.0f} hours{part}; {told.seen:,} ads seen, {told.clicks:,} clicks"
        + (f"; {told.other:,} receipts of other ads or policies left out" if told.other else ""),
        f"{'figure':12}{'as it is':>30}{'changed':>30}{'difference':>28}  verdict",
    ]
    for one in told.answers:
        scale = MICROS if one.figure == "spend" else 1
        name = f"spend, {told.currency}" if one.figure == "spend" else one.figure
        verdict = f"inconclusive: {one.because}" if one.because else one.verdict
        difference = f"{one.change.value:+.1%} [{one.change.low:+.1%}, {one.change.high:+.1%}]"
        lines.append(
            f"{name:12}{_amount(one.before, scale):>30}{_amount(one.after, scale):>30}{difference:>28}  {verdict}"
        )
    if not told.past:
        return [*lines, "error on the past: unknown, the log is shorter than two days or holds no outcome"]
    errors = ", ".join(f"{figure} {told.past_error(figure):+.1%}" for figure in FIGURES)
    inside = sum(one.inside for one in told.past)
    return [
        *lines,
        f"error on the past, second half predicted from the first: {errors};",
        f"{inside} of {len(told.past)} figures (all and by campaign) inside their 95 % interval",
    ]


def plain(told: Simulation) -> dict[str, Any]:
    """The same as plain JSON values; money in micros."""
    answers = {
        one.figure: {
            "before": _numbers(one.before),
            "after": _numbers(one.after),
            "change": _numbers(one.change),
            "verdict": one.verdict,
            "because": one.because,
        }
        for one in told.answers
    }
    past = [
        {
            "campaign": "" if one.campaign is None else told.names[one.campaign],
            "figure": one.figure,
            "predicted": _numbers(one.predicted),
            "happened": one.happened,
            "inside": one.inside,
        }
        for one in told.past
    ]
    names = ("currency", "requests", "hours", "seen", "clicks", "other", "share")
    facts = {name: getattr(told, name) for name in names}
    return {**facts, "answers": answers, "past": past, "past_covered": _number(told.covered)}


def _amount(estimate: Estimate, scale: float) -> str:
    value, low, high = (x / scale for x in (estimate.value, estimate.low, estimate.high))
    digits = 2 if scale != 1 else 0
    return f"{value:,.{digits}f} [{low:,.{digits}f}, {high:,.{digits}f}]"


def _numbers(estimate: Estimate) -> list[float | None]:
    return [_number(x) for x in (estimate.value, estimate.low, estimate.high)]


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
