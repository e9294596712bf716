"""decision -> impression -> click -> conversion -> refund, joined by id. R = shown rows, E = facts.

A shown row is one slot of one decision. The state is a function of the set of facts known at the watermark:
duplicates, other orders of arrival and late rows (once they are in) change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import SchemaError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.events.schema import KIND_CODE
from zhitou.feedback.facts import Facts, digest

DAY_US = SECONDS_PER_DAY * MICROSECONDS
NEVER = -1
LOST = ("unknown_decision", "unclear_slot", "outside_window", "without_click")  # why a fact joined no row


@dataclass(frozen=True)
class Windows:
    """How long after it was shown a click counts, and after its click a conversion. Microseconds."""

    click_us: int = DAY_US
    conversion_us: int = 7 * DAY_US


@dataclass(frozen=True)
class Shown:
    """R rows that were shown. decision_id, subject, item: object [R]; slot: int8 [R]; time_us: int64 [R].

    (decision_id, slot) is unique; refused (SchemaError) where it is not.
    """

    decision_id: np.ndarray
    slot: np.ndarray
    subject: np.ndarray
    item: np.ndarray
    time_us: np.ndarray

    def __len__(self) -> int:
        return len(self.decision_id)


@dataclass(frozen=True)
class Organic:
    """Conversions that name no decision: how many, and their value."""

    conversions: int
    value_micros: int


@dataclass(frozen=True)
class Joined:
    """Outcomes of the R shown rows, as known at the watermark. Times are microseconds, -1 = never.

    impressed: a browser said that it was seen. value_micros sums all its conversions, before refunds.
    refunded_micros never exceeds it. mature: no later event can add a first click, or after a click a
    conversion, to this row. organic: the bucket of conversions without a decision. lost: facts by reason.
    """

    watermark_us: int
    impressed: np.ndarray
    clicked: np.ndarray
    click_time_us: np.ndarray
    converted: np.ndarray
    conversion_time_us: np.ndarray
    value_micros: np.ndarray
    refunded: np.ndarray
    refunded_micros: np.ndarray
    mature: np.ndarray
    organic: Organic
    lost: dict[str, int]

    @property
    def state_hash(self) -> str:
        """Equal for equal states."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        rest = [self.watermark_us, self.organic.conversions, self.organic.value_micros, *(self.lost[k] for k in LOST)]
        return digest(*arrays, np.asarray(rest, dtype=np.int64))


def join(shown: Shown, facts: Facts, *, watermark_us: int, windows: Windows | None = None) -> Joined:
    """What is known at `watermark_us` (arrival time) of what became of the shown rows.

    A click counts within click_us of being shown, the earliest one; a conversion within conversion_us of that
    click. A refund counts whenever it comes, found by its order, else by its decision.
    """
    windows = windows or Windows()
    facts = facts.known_at(watermark_us)
    row, reason = _rows(shown, facts)
    lost = dict.fromkeys(LOST, 0)
    lost["unknown_decision"], lost["unclear_slot"] = int((reason == 1).sum()), int((reason == 2).sum())
    of = {kind: (facts.kind == KIND_CODE[kind]) & (row >= 0) for kind in ("impression", "click", "conversion")}
    impressed = np.zeros(len(shown), dtype=bool)
    impressed[row[of["impression"]]] = True
    click_time = _clicks(shown, facts, row, of["click"], windows, lost)
    sales = _in_window(facts, row, of["conversion"], click_time, windows, lost)
    first = _earliest(len(shown), row[sales], facts.time_us[sales])
    value = np.zeros(len(shown), dtype=np.int64)
    np.add.at(value, row[sales], facts.value_micros[sales])
    refunded, back = _refunds(facts, row, sales, value)
    organic = (facts.kind == KIND_CODE["conversion"]) & (facts.decision_id == "")
    clicked = click_time != NEVER
    closes = np.where(clicked, click_time + windows.conversion_us, shown.time_us + windows.click_us)
    return Joined(
        watermark_us=watermark_us,
        impressed=impressed,
        clicked=clicked,
        click_time_us=click_time,
        converted=first != NEVER,
        conversion_time_us=first,
        value_micros=value,
        refunded=refunded,
        refunded_micros=back,
        mature=closes <= watermark_us,
        organic=Organic(int(organic.sum()), int(facts.value_micros[organic].sum())),
        lost=lost,
    )


def _rows(shown: Shown, facts: Facts) -> tuple[np.ndarray, np.ndarray]:
    """(row of each fact, -1 = none; why none: 1 unknown decision, 2 unclear slot, 0 otherwise).

    By decision and slot; without a slot, by the only row of the decision, or its only row with the fact's item.
    """
    by_slot: dict[tuple[str, int], int] = {}
    by_decision: dict[str, list[int]] = {}
    for at, (decision, slot) in enumerate(zip(shown.decision_id, shown.slot.tolist(), strict=True)):
        if (decision, slot) in by_slot:
            raise SchemaError(f"slot {slot} of decision {decision!r} is shown twice; each slot shows one ad")
        by_slot[decision, slot] = at
        by_decision.setdefault(decision, []).append(at)
    row, reason = np.full(len(facts), -1, dtype=np.int64), np.zeros(len(facts), dtype=np.int8)
    listed = zip(facts.decision_id, facts.slot.tolist(), facts.item, strict=True)
    for at, (decision, slot, item) in enumerate(listed):
        if not decision:
            continue
        rows = by_decision.get(decision)
        if rows is None:
            reason[at] = 1
        elif slot >= 0:
            row[at] = by_slot.get((decision, slot), -1)
            reason[at] = 0 if row[at] >= 0 else 2
        else:
            fits = rows if len(rows) == 1 else [r for r in rows if item and shown.item[r] == item]
            row[at], reason[at] = (fits[0], 0) if len(fits) == 1 else (-1, 2)
    return row, reason


def _clicks(
    shown: Shown, facts: Facts, row: np.ndarray, click: np.ndarray, windows: Windows, lost: dict[str, int]
) -> np.ndarray:
    """int64 [R]: the earliest click inside the window."""
    since = facts.time_us[click] - shown.time_us[row[click]]
    inside = (since >= 0) & (since <= windows.click_us)
    lost["outside_window"] += int((~inside).sum())
    return _earliest(len(shown), row[click][inside], facts.time_us[click][inside])


def _in_window(
    facts: Facts, row: np.ndarray, sale: np.ndarray, click_time: np.ndarray, windows: Windows, lost: dict[str, int]
) -> np.ndarray:
    """int64: the facts that are conversions after a click of their row, inside the window, each order once."""
    at = np.flatnonzero(sale)
    since = facts.time_us[at] - click_time[row[at]]
    clicked = click_time[row[at]] != NEVER
    inside = clicked & (since >= 0) & (since <= windows.conversion_us)
    lost["without_click"] += int((~clicked).sum())
    lost["outside_window"] += int((clicked & ~inside).sum())
    at = at[inside]
    seen: set[tuple[int, str, str]] = set()
    once = []
    for fact in at[np.lexsort((at, facts.time_us[at]))].tolist():  # one order may arrive under two event ids
        key = (int(row[fact]), facts.order_id[fact] or "event " + facts.event_id[fact], facts.item[fact])
        if key not in seen:
            seen.add(key)
            once.append(fact)
    return np.asarray(once, dtype=np.int64)


def _refunds(facts: Facts, row: np.ndarray, sales: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(bool [R], int64 [R] micros): what came back, at most what was paid; an amount of 0 means all of it."""
    row_of_order = {facts.order_id[s]: int(row[s]) for s in sales[::-1].tolist() if facts.order_id[s]}
    refunded, back = np.zeros(len(value), dtype=bool), np.zeros(len(value), dtype=np.int64)
    for fact in np.flatnonzero(facts.kind == KIND_CODE["refund"]).tolist():
        at = row_of_order.get(facts.order_id[fact], int(row[fact]))
        if at >= 0 and value[at] > 0:
            refunded[at] = True
            back[at] = min(back[at] + (facts.value_micros[fact] or value[at]), value[at])
    return refunded, back


def _earliest(rows: int, row: np.ndarray, time_us: np.ndarray) -> np.ndarray:
    """int64 [rows]: the earliest time of each row, -1 where there is none."""
    far = np.iinfo(np.int64).max
    first = np.full(rows, far)
    np.minimum.at(first, row, time_us)
    return np.where(first == far, NEVER, first)
