"""Events as arrays, each once: the form in which outcomes are joined. E = facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np

from zhitou.events.schema import KIND_CODE, Event

SLOT = "slot"  # of a decision, in an event's context: {"slot": 0}
NOWHERE = -1
OUTCOMES = ("impression", "click", "conversion", "refund")


@dataclass(frozen=True)
class Facts:
    """E facts in order of event id, each id once.

    event_id, subject, decision_id, order_id, item: object [E], "" = unknown. kind: int8 [E], code in
    events.schema.KINDS. slot: int8 [E], -1 = unknown. time_us, received_us: int64 [E]. value_micros: int64 [E],
    price x quantity, 0 where either is unknown.
    """

    event_id: np.ndarray
    kind: np.ndarray
    subject: np.ndarray
    decision_id: np.ndarray
    slot: np.ndarray
    order_id: np.ndarray
    item: np.ndarray
    time_us: np.ndarray
    received_us: np.ndarray
    value_micros: np.ndarray

    def __len__(self) -> int:
        return len(self.event_id)

    def known_at(self, watermark_us: int) -> Facts:
        """Only what had arrived by then."""
        keep = self.received_us <= watermark_us
        return Facts(**{name: value[keep] for name, value in vars(self).items()})


def facts_of(events: Iterable[Event]) -> Facts:
    """The outcome events (impression, click, conversion, refund) among these, in one canonical order.

    Of several events with one id the first received counts, at a tie the smallest by content: the result is a
    function of the set of events, whatever their order and however often each came.
    """
    kept: dict[str, Event] = {}
    for event in events:
        if event.kind not in OUTCOMES:
            continue
        old = kept.get(event.event_id)
        if old is None or _precedes(event, old):
            kept[event.event_id] = event
    rows = [kept[key] for key in sorted(kept)]
    return Facts(
        event_id=_texts(e.event_id for e in rows),
        kind=np.fromiter((KIND_CODE[e.kind] for e in rows), np.int8, len(rows)),
        subject=_texts(e.subject for e in rows),
        decision_id=_texts(e.decision_id or "" for e in rows),
        slot=np.fromiter((slot_of(e.context) for e in rows), np.int8, len(rows)),
        order_id=_texts(e.order_id or "" for e in rows),
        item=_texts(e.item or "" for e in rows),
        time_us=np.fromiter((e.occurred_us for e in rows), np.int64, len(rows)),
        received_us=np.fromiter((e.received_us for e in rows), np.int64, len(rows)),
        value_micros=np.fromiter(((e.price_micros or 0) * (e.quantity or 1) for e in rows), np.int64, len(rows)),
    )


def slot_of(context: str | None) -> int:
    """The slot in an event's context, -1 where there is none."""
    if not context or SLOT not in context:
        return NOWHERE
    try:
        slot = json.loads(context).get(SLOT, NOWHERE)
    except (ValueError, AttributeError):
        return NOWHERE
    return slot if isinstance(slot, int) and not isinstance(slot, bool) and 0 <= slot < 127 else NOWHERE


def digest(*arrays: np.ndarray) -> str:
    """BLAKE2b over the arrays' contents, types and shapes: equal states have equal digests."""
    h = hashlib.blake2b(digest_size=16)
    for array in arrays:
        h.update(f"{array.dtype}{array.shape}".encode())
        h.update("\x1f".join(map(str, array)).encode() if array.dtype == object else array.tobytes())
    return h.hexdigest()


def _precedes(event: Event, old: Event) -> bool:
    return event != old and _rank(event) < _rank(old)


def _rank(event: Event) -> tuple[int, str]:
    return event.received_us, repr(astuple(event))


def _texts(values: Iterable[str]) -> np.ndarray:
    listed = list(values)
    out = np.empty(len(listed), dtype=object)
    out[:] = listed
    return out
