"""What a shop has served: the shown rows of its log with their outcomes, read while the shop writes. R = rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS
from zhitou.catalog.table import ItemTable
from zhitou.core.units import MICROSECONDS
from zhitou.delivery.reading import LogReader
from zhitou.delivery.receipt import from_bytes
from zhitou.events.schema import Event
from zhitou.feedback.facts import facts_of
from zhitou.feedback.join import Joined, Shown, Windows, join
from zhitou.feedback.machines import MachineRules
from zhitou.loop.s6_feedback import outcome_times
from zhitou.privacy.consent import PURPOSES, ConsentBook, ConsentChange
from zhitou.response.rows import Rows

KINDS = ("impression", "click", "conversion", "refund", "consent", "unsubscribe")
STORE_FILE = "store.sqlite"


@dataclass(frozen=True)
class Served:
    """R shown rows whose click window has closed, in order of time.

    rows: fields as logged, outcomes as joined. decision, subject (the decision's id for a stranger): object [R].
    model: object [R], the version that decided. spend_micros: int64 [R], the price of the click, 0 without one.
    """

    rows: Rows
    decision: np.ndarray
    subject: np.ndarray
    model: np.ndarray
    spend_micros: np.ndarray
    currency: str

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, chosen: np.ndarray) -> Served:
        """These rows (int numbers or bool [R])."""
        columns = {n: getattr(self, n)[chosen] for n in ("decision", "subject", "model", "spend_micros")}
        return replace(self, rows=self.rows.select(chosen), **columns)

    def after(self, time_us: int) -> Served:
        """The rows decided after this moment, to the second."""
        return self.select(self.rows.time_s > time_us // MICROSECONDS)


class Log(Protocol):
    """Where served rows come from."""

    def settled(self, now_us: int, since_us: int = 0) -> Served:
        """All rows decided after `since_us`, as known at `now_us`, whose click window has closed by then."""
        ...

    def fresh(self, now_us: int) -> Served:
        """Those of them that no earlier call of this method has given, in order of time."""
        ...


@dataclass(frozen=True)
class _Slot:
    """One filled slot of one receipt."""

    decision: str
    slot: int
    subject: str
    item: str
    ad: int
    time_us: int
    propensity: float
    price_micros: int
    model: str
    personal: bool
    channel: int
    fields: tuple[float, ...]


class ShopLog:
    """The log of an open shop's store. A row counts once a browser said that it was seen, or it was clicked; clicks
    that machines made count as none (feedback.machines).

    consent: what is known of refusals besides the log; the log's own are added to it. Rows that hold a shopper's
    profile are left out from the moment that shopper refuses one, whenever they were written. windows: a click
    counts within click_us; labels are final once it has passed.
    """

    def __init__(
        self,
        folder: Path,
        tenant: str,
        book: AdBook,
        items: ItemTable,
        names: tuple[str, ...],
        consent: ConsentBook,
        windows: Windows,
    ) -> None:
        self._reader = LogReader(folder / STORE_FILE)
        self._tenant, self._names, self._windows = tenant, names, windows
        self._item_of = {ad: str(items.ids[book.item[k]]) for k, ad in enumerate(book.ad_ids)}
        self._ad_of = {ad: k for k, ad in enumerate(book.ad_ids)}
        self._currency = book.campaigns[0].currency
        self._consent = consent
        self._slots: list[_Slot] = []
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._open: list[_Slot] = []  # given to nobody by `fresh` yet
        self._decisions_place = self._events_place = 0
        self.other_fields = 0  # slots of decisions that logged other fields than these models read

    def settled(self, now_us: int, since_us: int = 0) -> Served:
        """All rows decided after `since_us` whose click window has closed by now."""
        self._catch_up()
        return self._served([s for s in self._slots if since_us < s.time_us and self._closed(s, now_us)], now_us)

    def fresh(self, now_us: int) -> Served:
        """The rows whose click window has closed since the last call; each is given once."""
        self._catch_up()
        due = [s for s in self._open if self._closed(s, now_us)]
        self._open = [s for s in self._open if not self._closed(s, now_us)]
        return self._served(due, now_us)

    def close(self) -> None:
        """Let go of the store."""
        self._reader.close()

    def _closed(self, slot: _Slot, now_us: int) -> bool:
        return slot.time_us + self._windows.click_us <= now_us

    def _catch_up(self) -> None:
        """Read what was written since. Decisions first: an event never comes before its decision."""
        for place, data in self._reader.decisions(self._decisions_place):
            self._decisions_place = place
            slots = self._parse(from_bytes(data))
            self._slots += slots
            self._open += slots
        for place, event in self._reader.events(self._tenant, KINDS, self._events_place):
            self._events_place = place
            if event.kind == "consent":
                self._consent.record(ConsentChange.from_context(event.subject, event.occurred_us, event.context))
            elif event.kind == "unsubscribe":
                purpose = event.channel if event.channel in PURPOSES else "email"
                self._consent.record(ConsentChange(event.subject, event.occurred_us, ((purpose, False),)))
            elif event.decision_id:
                self._events[event.decision_id].append(event)

    def _parse(self, record: dict[str, Any]) -> list[_Slot]:
        request, slots = record["request"], []
        for entry in record["slots"]:
            if entry["ad_id"] is None:
                continue
            if len(entry["fields"]) != len(self._names):
                self.other_fields += 1
                continue
            slots.append(
                _Slot(
                    decision=record["decision_id"],
                    slot=entry["slot"],
                    subject=request["subject"] or "",
                    item=self._item_of.get(entry["ad_id"], ""),
                    ad=self._ad_of.get(entry["ad_id"], -1),
                    time_us=request["at_us"],
                    propensity=entry["propensity"],
                    price_micros=entry["price_micros_per_click"],
                    model=record["models"]["response"],
                    personal="contextual" not in record["consent_basis"],
                    channel=CHANNELS.index(request["channel"]),
                    fields=tuple(np.nan if value is None else value for value in entry["fields"]),
                )
            )
        return slots

    def _served(self, slots: list[_Slot], now_us: int) -> Served:
        """The slots that were seen, of shoppers who still agree, with their outcomes."""
        allows = self._consent.allows
        kept = [s for s in slots if s.decision in self._events and (not s.personal or allows(s.subject, "profile"))]
        kept.sort(key=lambda s: (s.time_us, s.decision, s.slot))
        shown = Shown(
            decision_id=_texts([s.decision for s in kept]),
            slot=np.asarray([s.slot for s in kept], dtype=np.int8),
            subject=_texts([s.subject for s in kept]),
            item=_texts([s.item for s in kept]),
            time_us=np.asarray([s.time_us for s in kept], dtype=np.int64),
        )
        facts = facts_of(event for decision in dict.fromkeys(shown.decision_id) for event in self._events[decision])
        joined = join(shown, facts, watermark_us=now_us, windows=self._windows, machines=MachineRules())
        everything = self._of(kept, shown, joined)
        return everything.select(joined.impressed | joined.clicked)

    def _of(self, kept: list[_Slot], shown: Shown, joined: Joined) -> Served:
        rows = Rows(
            fields=np.asarray([s.fields for s in kept], dtype=np.float32).reshape(len(kept), len(self._names)),
            names=self._names,
            slot=shown.slot,
            ad=np.asarray([s.ad for s in kept], dtype=np.int32),
            clicked=joined.clicked,
            converted=joined.converted,
            mature=joined.mature,
            time_s=shown.time_us // MICROSECONDS,
            propensity=np.asarray([s.propensity for s in kept], dtype=np.float64),
            channel=np.asarray([s.channel for s in kept], dtype=np.int8),
            **outcome_times(joined),
        )
        price = np.asarray([s.price_micros for s in kept], dtype=np.int64)
        return Served(
            rows=rows,
            decision=shown.decision_id,
            subject=np.where(shown.subject == "", shown.decision_id, shown.subject),
            model=_texts([s.model for s in kept]),
            spend_micros=np.where(joined.clicked, price, 0),
            currency=self._currency,
        )


def _texts(values: list[str]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
