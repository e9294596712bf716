"""decision -> impression -> click -> conversion -> refund, joined by id. R = shown rows, E = facts.

A shown row is one slot of one decision. The state is a function of the set of facts known at the watermark:
duplicates, other orders of arrival and late rows (once they are in) change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhitou.core.errors import SchemaError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.events.schema import KIND_CODE
from zhitou.feedback.facts import Facts, digest, names_of
from zhitou.feedback.machines import RULES, MachineRules, judge_clicks

DAY_US = SECONDS_PER_DAY * MICROSECONDS
NEVER = -1
_FAR = np.iinfo(np.int64).max
MACHINE = "machine_"
# why a fact joined no row; a click that a machine made is lost under the rule that told
LOST = ("unknown_decision", "unclear_slot", "outside_window", "without_click", *(MACHINE + rule for rule in RULES))


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

    impressed: a browser said that it was seen. conversion_time_us: of the first one. value_micros sums all its
    conversions, before refunds. refunded_micros never exceeds it; refund_time_us: when the first of it came back, not
    before the first conversion (two clocks may disagree). mature: no later event can add a first click, or after a
    click a conversion, to this row (where machine clicks are left out, an event that comes late may yet tell that a
    click was none). organic: the bucket of conversions without a decision. lost: facts by reason, each of LOST.
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
    refund_time_us: np.ndarray
    mature: np.ndarray
    organic: Organic
    lost: dict[str, int]

    @property
    def state_hash(self) -> str:
        """Equal for equal states."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        rest = [self.watermark_us, self.organic.conversions, self.organic.value_micros, *(self.lost[k] for k in LOST)]
        return digest(*arrays, np.asarray(rest, dtype=np.int64))


def join(
    shown: Shown,
    facts: Facts,
    *,
    watermark_us: int,
    windows: Windows | None = None,
    machines: MachineRules | None = None,
) -> Joined:
    """What is known at `watermark_us` (arrival time) of what became of the shown rows.

    A click counts within click_us of being shown, the earliest one; a conversion within conversion_us of that
    click. A refund counts whenever it comes: on the sales of its order and item, else of its order, else on the row
    that it names; the earliest sales first, each up to what was paid. machines: rules for clicks that no person
    made; with them such clicks join nothing and are counted under `lost`. Refused (SchemaError): a slot shown twice.
    """
    windows = windows or Windows()
    facts = facts.known_at(watermark_us)
    row, lost = _rows(shown, facts)
    click = (facts.kind == KIND_CODE["click"]) & (row >= 0)
    if machines is not None:
        verdicts = judge_clicks(facts, machines)
        lost |= {MACHINE + rule: count for rule, count in verdicts.counts(click).items()}
        click &= ~verdicts.machine
    impressed = np.zeros(len(shown), dtype=bool)
    impressed[row[(facts.kind == KIND_CODE["impression"]) & (row >= 0)]] = True
    click_time = _clicks(shown, facts, row, click, windows, lost)
    sales = _sales(facts, row, click_time, windows, lost)
    first = _earliest(len(shown), row[sales], facts.time_us[sales])
    value = np.zeros(len(shown), dtype=np.int64)
    np.add.at(value, row[sales], facts.value_micros[sales])
    back, back_us = _refunds(facts, row, sales, len(shown))
    organic = (facts.kind == KIND_CODE["conversion"]) & (facts.decision_id.code < 0)
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
        refunded=back > 0,
        refunded_micros=back,
        refund_time_us=np.where(back_us != NEVER, np.maximum(back_us, first), NEVER),
        mature=closes <= watermark_us,
        organic=Organic(int(organic.sum()), int(facts.value_micros[organic].sum())),
        lost=lost,
    )


def _rows(shown: Shown, facts: Facts) -> tuple[np.ndarray, dict[str, int]]:
    """(row of each fact, -1 = none; LOST with how many name no known decision, how many no clear slot of one).

    By decision and slot; without a slot, by the only row of the decision, or its only row with the fact's item.
    """
    decisions = names_of(pa.array(shown.decision_id, pa.string()))
    decision = facts.decision_id.within(decisions)
    by_slot = _Index.of(decisions.code, shown.slot)
    if len(twice := by_slot.repeated()):
        at = int(twice.min())
        raise SchemaError(
            f"slot {shown.slot[at]} of decision {shown.decision_id[at]!r} is shown twice; each slot shows one ad"
        )
    row = np.full(len(facts), -1, dtype=np.int64)
    with_slot = np.flatnonzero((decision >= 0) & (facts.slot >= 0))
    row[with_slot] = by_slot.only(decision[with_slot], facts.slot[with_slot])
    without = np.flatnonzero((decision >= 0) & (facts.slot < 0))
    if len(without):
        row[without] = _Index.of(decisions.code, np.zeros_like(shown.slot)).only(decision[without], 0)
        without = without[row[without] < 0]
        items = names_of(pa.array(shown.item, pa.string()))
        item = facts.item.take(without).within(items)
        by_item = _Index.of(decisions.code, items.code)
        row[without] = np.where(item >= 0, by_item.only(decision[without], item), -1)
    lost = dict.fromkeys(LOST, 0)
    lost["unknown_decision"] = int(((facts.decision_id.code >= 0) & (decision < 0)).sum())
    lost["unclear_slot"] = int(((decision >= 0) & (row < 0)).sum())
    return row, lost


@dataclass(frozen=True)
class _Index:
    """Rows found by two whole numbers, both from -1 on. key: int64 [R] sorted; row: int64 [R]."""

    key: np.ndarray
    row: np.ndarray
    width: int

    @classmethod
    def of(cls, major: np.ndarray, minor: np.ndarray) -> _Index:
        width = int(minor.max(initial=0)) + 2
        key = major.astype(np.int64) * width + minor
        row = np.argsort(key, kind="stable")
        return cls(key[row], row, width)

    def repeated(self) -> np.ndarray:
        """The rows whose numbers an earlier row has."""
        return self.row[1:][self.key[1:] == self.key[:-1]]

    def only(self, major: np.ndarray, minor: np.ndarray | int) -> np.ndarray:
        """int64: the only row with these numbers, -1 where there is none, or more than one."""
        key = major * self.width + minor
        at = np.searchsorted(self.key, key)
        padded = np.append(self.key, [np.iinfo(np.int64).max] * 2)
        alone = (padded[at] == key) & (padded[at + 1] != key) & (np.asarray(minor) < self.width - 1)
        return np.where(alone, np.append(self.row, -1)[at], -1)


def _clicks(
    shown: Shown, facts: Facts, row: np.ndarray, click: np.ndarray, windows: Windows, lost: dict[str, int]
) -> np.ndarray:
    """int64 [R]: the earliest click inside the window."""
    since = facts.time_us[click] - shown.time_us[row[click]]
    inside = (since >= 0) & (since <= windows.click_us)
    lost["outside_window"] += int((~inside).sum())
    return _earliest(len(shown), row[click][inside], facts.time_us[click][inside])


def _sales(
    facts: Facts, row: np.ndarray, click_time: np.ndarray, windows: Windows, lost: dict[str, int]
) -> np.ndarray:
    """int64: the facts that are conversions after a click of their row, inside the window, each order once.

    In order of time, at a tie of event id. One order may arrive under two event ids: the earliest counts.
    """
    at = np.flatnonzero((facts.kind == KIND_CODE["conversion"]) & (row >= 0))
    since = facts.time_us[at] - click_time[row[at]]
    clicked = click_time[row[at]] != NEVER
    inside = clicked & (since >= 0) & (since <= windows.conversion_us)
    lost["without_click"] += int((~clicked).sum())
    lost["outside_window"] += int((clicked & ~inside).sum())
    at = at[inside]
    at = at[np.lexsort((facts.event_id.rank(at), facts.time_us[at]))]
    order = facts.order_id.code[at].astype(np.int64)
    order = np.where(order < 0, len(facts.order_id.text) + facts.event_id.code[at], order)
    same = np.lexsort((facts.item.code[at], order, row[at]))  # stable: the earliest of each order comes first
    again = np.zeros(len(at), dtype=bool)
    again[same[1:]] = (
        (row[at][same[1:]] == row[at][same[:-1]])
        & (order[same[1:]] == order[same[:-1]])
        & (facts.item.code[at][same[1:]] == facts.item.code[at][same[:-1]])
    )
    return at[~again]


def _refunds(facts: Facts, row: np.ndarray, sales: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [rows] micros: what came back, at most what was paid; int64 [rows]: when the first of it did).

    A refund without an amount is of all of it.
    """
    refund = np.flatnonzero(facts.kind == KIND_CODE["refund"])
    order, item = facts.order_id.code.astype(np.int64), facts.item.code
    both = np.where((order >= 0) & (item >= 0), order * (len(facts.item.text) + 1) + item, -1)
    paid = np.maximum(facts.value_micros[sales], 0)
    left = paid  # what of each sale can still come back
    taken_us = np.full(len(sales), _FAR)
    for key in (both, order, row):  # from the most exact to the least
        left, at_us, found = _taken(left, key[sales], key[refund], facts.value_micros[refund], facts.time_us[refund])
        taken_us = np.minimum(taken_us, at_us)
        refund = refund[~found]
    back = np.zeros(rows, dtype=np.int64)
    np.add.at(back, row[sales], paid - left)
    return back, _earliest(rows, row[sales], taken_us)


def _taken(
    left: np.ndarray, of_sale: np.ndarray, of_refund: np.ndarray, amount: np.ndarray, time_us: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(int64: what is left of each sale after the refunds with its key, int64: when the first of them took from it,
    _FAR = none did, bool: refunds whose key a sale has).

    Key -1 is none. The sales of a key give in their order, each up to what is left of it; refunds take in order of
    time.
    """
    if not len(of_sale):
        return left, np.zeros(0, dtype=np.int64), np.zeros(len(of_refund), dtype=bool)
    keys, of_sale = np.unique(of_sale, return_inverse=True)
    at = np.minimum(np.searchsorted(keys, of_refund), len(keys) - 1)
    found = (keys[at] == of_refund) & (of_refund >= 0)
    by_time = np.lexsort((time_us[found], at[found]))
    at, amount, time_us = at[found][by_time], amount[found][by_time], time_us[found][by_time]
    most = np.zeros(len(keys), dtype=np.int64)
    np.add.at(most, of_sale, left)
    takes = np.where(amount == 0, most[at], np.clip(amount, 0, most[at]))
    asked = np.zeros(len(keys), dtype=np.int64)
    np.add.at(asked, at, takes)
    by_key = np.argsort(of_sale, kind="stable")
    key = of_sale[by_key]
    before = np.cumsum(left[by_key]) - left[by_key]
    before -= before[np.searchsorted(key, np.arange(len(keys)))][key]
    gives = np.clip(asked[key] - before, 0, left[by_key])
    rest = left.copy()
    rest[by_key] -= gives
    # The first refund that reaches a sale is the one with which more is taken than the sales before it hold.
    reached = np.searchsorted(np.cumsum(takes), (np.cumsum(asked) - asked)[key] + before, side="right")
    at_us = np.full(len(left), _FAR)
    at_us[by_key] = np.where(gives > 0, np.append(time_us, _FAR)[np.minimum(reached, len(time_us))], _FAR)
    return rest, at_us, found


def _earliest(rows: int, row: np.ndarray, time_us: np.ndarray) -> np.ndarray:
    """int64 [rows]: the earliest time of each row, -1 where there is none."""
    first = np.full(rows, _FAR)
    np.minimum.at(first, row, time_us)
    return np.where(first == _FAR, NEVER, first)
