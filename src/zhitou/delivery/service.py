"""A shop that is open: one decision at a time, facts as they come, everything on disk before an answer leaves.

State in memory (features, interest, caps, consent) is a function of the prepared behaviour and the store's log;
`replay` builds it again at a start. Not safe for several threads; the door takes turns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np

from zhitou.campaign.campaign import CHANNELS
from zhitou.catalog.table import ItemTable
from zhitou.core.errors import ModelError, NotFoundError, SchemaError
from zhitou.core.ids import stable_id
from zhitou.core.units import MICROSECONDS
from zhitou.delivery.decide import Desk
from zhitou.delivery.explain import for_shopper
from zhitou.delivery.live import LiveHistories
from zhitou.delivery.receipt import Asks, Decisions, from_bytes, receipt, to_bytes
from zhitou.delivery.shadow import Offer, ShadowScorer
from zhitou.events.schema import BEHAVIOUR, KIND_CODE, Event
from zhitou.privacy.consent import PURPOSES, ConsentChange
from zhitou.privacy.pseudonyms import Pseudonyms
from zhitou.strategy.eligibility import REASONS
from zhitou.strategy.ports import ResponseModel, Store

# Where clicks on ads of campaigns without a landing page go: a name that is reserved and never resolves to a shop.
PLACEHOLDER_URL = "https://shop.example/item/"
NOT_IN_CATALOGUE = "item {item!r} is not in the catalogue; add it to the feed first"


class Ask(Protocol):
    """One checked request, as the door hands it over."""

    @property
    def request_id(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def at_us(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def slots(self) -> int: ...
    @property
    def locale(self) -> str | None: ...
    @property
    def consent(self) -> tuple[tuple[str, bool], ...]: ...


@dataclass(frozen=True)
class Ad:
    """One served ad."""

    slot: int
    ad_id: str
    item: str
    title: str
    creative_id: str


@dataclass(frozen=True)
class Answer:
    """The ads of a decision; `reason` says why there is none. model: version of the response model that decided."""

    decision_id: str
    ads: tuple[Ad, ...]
    reason: str | None
    model: str = "none"


@dataclass(frozen=True)
class Observed:
    """What became of a batch of events."""

    accepted: int
    duplicates: int
    quarantined: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Placed:
    """What stood in a slot."""

    subject: str
    channel: str
    item: str


@dataclass
class LiveService:
    """Answers for one tenant. report: bytes of the demonstration's page, None if there is none."""

    desk: Desk
    items: ItemTable
    store: Store
    live: LiveHistories
    pseudonyms: Pseudonyms
    report: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    landing: Callable[[str, str], str] = lambda campaign_url, item: (
        campaign_url or PLACEHOLDER_URL + quote(item, safe="")
    )
    _dirty: set[str] = field(default_factory=set)
    _wanted: ResponseModel | None = None
    _shadow: ShadowScorer | None = None

    def swap(self, response: ResponseModel) -> None:
        """From the next request on, decide with this model; a request that is being answered keeps the old one.

        May be called from any thread. Refused (ModelError), and the old model stays: other fields than the desk
        makes, or predictions that are no probabilities.
        """
        _try(response, self.desk.candidates.names, len(self.desk.book))
        self._wanted = response  # one assignment: the thread that decides sees the old model or the new one

    def set_shadow(self, candidate: ResponseModel | None, path: Path | None = None) -> None:
        """Let a candidate score the coming requests unseen, written to `path`; None ends it. From any thread."""
        before, self._shadow = self._shadow, None
        if before is not None:
            before.close()
        if candidate is not None:
            assert path is not None, "what a candidate would do is written somewhere"
            self._shadow = ShadowScorer(self.desk, candidate, path)

    def decide(self, request: Ask) -> Answer:
        """Choose ads for one request and keep the receipt before answering."""
        self.desk.response = self._wanted or self.desk.response
        if request.consent:
            self.observe([self._consent_event(request)])
        if request.channel not in CHANNELS:
            raise SchemaError(f"channel must be one of {', '.join(CHANNELS)}, got {request.channel!r}")
        self._refresh(request.subject)
        asks = Asks(
            subjects=np.asarray([request.subject], dtype=object),
            time_us=np.asarray([request.at_us], dtype=np.int64),
            channel=np.asarray([CHANNELS.index(request.channel)], dtype=np.int8),
            request_ids=np.asarray([request.request_id], dtype=object),
            slots=request.slots,
            size=request.size,
            locale=request.locale or "en",
        )
        decisions = self.desk.decide(asks)
        book, creatives = self.desk.book, self.desk.creatives
        shown = [int(ad) for ad in decisions.ad[0]]
        names = [creatives.creative_id(book.ad_ids[ad], request.size) if ad >= 0 else None for ad in shown]
        record = receipt(decisions, 0, book, names)
        self.store.add_decisions([(decisions.decision_ids[0], to_bytes(record))])
        self._offer(decisions)
        ads = tuple(
            Ad(slot, book.ad_ids[ad], str(self.items.ids[book.item[ad]]), str(self.items.titles[book.item[ad]]), name)
            for slot, (ad, name) in enumerate(zip(shown, names, strict=True))
            if ad >= 0 and name is not None
        )
        why = None if ads else _why_empty(decisions.reason[0])
        return Answer(decisions.decision_ids[0], ads, why, decisions.response_version)

    def observe(self, events: list[Event]) -> Observed:
        """Take facts in. An event about an unknown item is refused with a reason; a known id changes nothing."""
        good, refused = [], []
        for number, event in enumerate(events):
            why = self._objection(event)
            if why:
                refused.append((number, why))
            else:
                good.append(event)
        known: set[str] = set()
        for tenant in {e.tenant for e in good}:
            known |= self.store.known_events(tenant, [e.event_id for e in good if e.tenant == tenant])
        fresh: dict[str, Event] = {}
        for event in good:
            if event.event_id not in known:
                fresh.setdefault(event.event_id, event)
        if fresh:
            self.store.add_events(list(fresh.values()))
            self.apply(list(fresh.values()))
        return Observed(len(fresh), len(good) - len(fresh), tuple(refused))

    def apply(self, events: Sequence[Event]) -> None:
        """Let stored events change what is known: consent, features, caps, money, interest."""
        for event in events:
            if event.kind == "consent":
                self.desk.consent.record(ConsentChange.from_context(event.subject, event.occurred_us, event.context))
            elif event.kind == "unsubscribe":
                purpose = event.channel if event.channel in PURPOSES else "email"
                self.desk.consent.record(ConsentChange(event.subject, event.occurred_us, ((purpose, False),)))
            elif event.kind in ("impression", "click") and event.decision_id:
                self._tracked(event)
            if self.desk.consent.allows(event.subject, "profile"):
                self._learn(event)
            else:
                self._forget(event.subject)

    def receipt(self, decision_id: str) -> dict[str, Any]:
        """The whole record of a decision. Refused: an unknown id (NotFoundError)."""
        data = self.store.decision(decision_id)
        if data is None:
            raise NotFoundError(f"decision {decision_id!r} is not known here")
        return from_bytes(data)

    def placed(self, decision_id: str, slot: int) -> Placed:
        """What stood in this slot. Refused (NotFoundError): an unknown decision, an empty slot."""
        record, entry = self._slot(decision_id, slot)
        item = str(self.items.ids[self.desk.book.item[self.desk.book.ad_ids.index(entry["ad_id"])]])
        return Placed(record["request"]["subject"] or "", record["request"]["channel"], item)

    def clicked(self, decision_id: str, slot: int) -> str:
        """The landing URL of the ad in this slot, looked up; nothing is recorded."""
        _, entry = self._slot(decision_id, slot)
        k = self.desk.book.ad_ids.index(entry["ad_id"])
        campaign = self.desk.book.campaigns[self.desk.book.campaign[k]]
        return self.landing(campaign.material.landing_url, str(self.items.ids[self.desk.book.item[k]]))

    def creative(self, creative_id: str, kind: str) -> tuple[bytes, str]:
        """(bytes, media type) of kind "png" or "html"."""
        return self.desk.creatives.content(creative_id, kind)

    def why(self, decision_id: str) -> dict[str, Any]:
        """The explanation for the shopper, as sentences."""
        record = self.receipt(decision_id)
        at_s = max(record["request"]["at_us"] // MICROSECONDS, self.desk.candidates.features.latest_s) + 1
        strangers = self.desk.candidates.fields(np.asarray([-1]), np.asarray([at_s]))[0]
        return for_shopper(record, self.desk.book, self.items, self.desk.response, strangers)

    def pseudonym(self, raw_subject: str) -> str:
        """The name under which this shopper is known inside."""
        return self.pseudonyms.name(raw_subject)

    def report_html(self) -> bytes:
        """The demonstration's report. Refused (NotFoundError): none was made yet."""
        if self.report is None or not self.report.exists():
            raise NotFoundError("no report yet; `zhitou demo` makes one")
        return self.report.read_bytes()

    def ready(self) -> dict[str, Any]:
        """Facts for an operator."""
        return {
            **self.facts,
            "ads": len(self.desk.book),
            "items": len(self.items),
            "shoppers": len(self.desk.candidates.features),
            "response": model.version if (model := self._wanted or self.desk.response) is not None else "none",
            "shadow": shadow.candidate.version if (shadow := self._shadow) is not None else "none",
            "interest": self.desk.interest_version,
        }

    def replay(self, events: Sequence[Event]) -> None:
        """Build the state again from the store's events, at a start."""
        self.apply(events)

    def close(self) -> None:
        """Let go of the files; nothing is lost without it, but another process may then open them."""
        self.set_shadow(None)
        for part in (self.store, self.desk.ledger):
            if hasattr(part, "close"):
                part.close()

    def _offer(self, decisions: Decisions) -> None:
        """Ask the candidate in the shadow, if there is one, about the request that was just answered."""
        if (shadow := self._shadow) is not None:
            seconds = decisions.asks.time_us // MICROSECONDS + 1
            shadow.offer(Offer(decisions, self.desk.candidates.fields(decisions.rows, seconds)))

    def _objection(self, event: Event) -> str | None:
        if event.item is not None and self.items.number(event.item) < 0:
            return NOT_IN_CATALOGUE.format(item=event.item)
        if event.kind in BEHAVIOUR and event.item is None and event.kind != "search":
            return f"a {event.kind} needs an item"
        if event.kind == "consent":
            try:
                ConsentChange.from_context(event.subject, event.occurred_us, event.context)
            except SchemaError as error:
                return str(error)
        return None

    def _consent_event(self, request: Ask) -> Event:
        context = json.dumps({"purposes": dict(request.consent)}, sort_keys=True)
        at_us = request.at_us
        identity = stable_id("e", self.pseudonyms.tenant, request.subject, request.request_id, context)
        return Event(identity, self.pseudonyms.tenant, request.subject, "consent", at_us, at_us, context=context)

    def _tracked(self, event: Event) -> None:
        """An impression or click of a decision of ours: caps, fatigue, and for a click the advertiser's money."""
        assert event.decision_id is not None, "tracked events name their decision"
        slot = _slot_of(event.context)
        try:
            record, entry = self._slot(event.decision_id, slot)
        except NotFoundError:
            return  # an outsider's decision id: kept in the store, worth nothing here
        k = self.desk.book.ad_ids.index(entry["ad_id"])
        row = self._row(record["request"]["subject"] or "")
        rows, ads, at_us = np.asarray([row]), np.asarray([k]), np.asarray([event.occurred_us])
        if event.kind == "impression":
            self.desk.seen(rows, ads, at_us)
        else:
            price = np.asarray([entry["price_micros_per_click"]])
            self.desk.clicked([f"{event.decision_id}/{slot}"], rows, ads, price, at_us)

    def _learn(self, event: Event) -> None:
        """Behaviour becomes features and history; the interest vector is made anew before the next decision."""
        if event.kind not in BEHAVIOUR or event.item is None:
            return
        item = self.items.number(event.item)
        if item < 0:
            return
        price = -1 if event.price_micros is None else event.price_micros
        self.live.add(event.subject, item, KIND_CODE[event.kind], event.occurred_us, price, event.quantity or 1)
        self._dirty.add(event.subject)
        if not (event.kind == "click" and event.decision_id):  # those were written with their ad
            row = self._row(event.subject)
            self.desk.candidates.features.write(
                np.asarray([row]),
                np.asarray([KIND_CODE[event.kind]], dtype=np.int8),
                np.asarray([item], dtype=np.int32),
                np.asarray([-1], dtype=np.int32),
                np.asarray([event.occurred_us // MICROSECONDS]),
                np.asarray([price]),
            )

    def _forget(self, subject: str) -> None:
        """Who refuses a profile has none: what was known for choosing ads is erased from memory."""
        features = self.desk.candidates.features
        if features.knows(subject):
            self.desk.candidates.board.forget(features.subject_row(subject))
            features.forget(subject)
        self.live.forget(subject)
        self._dirty.discard(subject)

    def _row(self, subject: str) -> int:
        if not subject or not self.desk.consent.allows(subject, "profile"):
            return -1
        return self.desk.candidates.features.subject_row(subject)

    def _refresh(self, subject: str) -> None:
        if subject in self._dirty:
            self._dirty.discard(subject)
            if self.desk.consent.allows(subject, "profile"):
                self.desk.candidates.board.set(np.asarray([self._row(subject)]), self.live.of(subject))

    def _slot(self, decision_id: str, slot: int) -> tuple[dict[str, Any], dict[str, Any]]:
        record = self.receipt(decision_id)
        entries = [e for e in record["slots"] if e["slot"] == slot and e["ad_id"] is not None]
        if not entries or entries[0]["ad_id"] not in self.desk.book.ad_ids:
            raise NotFoundError(f"decision {decision_id!r} has no running ad in slot {slot}")
        return record, entries[0]


def _try(response: ResponseModel, names: tuple[str, ...], ads: int) -> None:
    """Refused (ModelError): a model that could not decide here. Asked about a shopper of whom nothing is known."""
    if tuple(response.fields) != tuple(names):
        raise ModelError(f"{response.version} reads other fields than this shop makes; train it on this shop's log")
    try:
        predicted = response.predict(np.full((1, ads, len(names)), np.nan, dtype=np.float32))
    except Exception as error:
        raise ModelError(f"{response.version} cannot predict ({error}); the model in use stays") from error
    if not all(p.shape == (1, ads) and ((p > 0) & (p < 1)).all() for p in predicted):
        raise ModelError(f"{response.version} predicts no probabilities; the model in use stays")


def _slot_of(context: str | None) -> int:
    """The slot that an event's context names, the first if it names none, -1 if what it names is no slot."""
    try:
        slot = json.loads(context or "{}").get("slot", 0)
    except (ValueError, AttributeError):
        return -1
    return slot if isinstance(slot, int) and not isinstance(slot, bool) else -1


def _why_empty(reason: np.ndarray) -> str:
    """The most common reason in a sentence."""
    codes, counts = np.unique(reason[reason > 0], return_counts=True)
    return REASONS[int(codes[np.argmax(counts)])].sentence if len(codes) else "There are no ads."
