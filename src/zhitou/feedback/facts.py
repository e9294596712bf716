"""Events as arrays, each once: the form in which outcomes are joined. E = facts, V = different texts of a column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhitou.core import columns as c
from zhitou.core.errors import MoneyError, SchemaError
from zhitou.events.schema import EVENT_SCHEMA, KIND_CODE, Event
from zhitou.feedback.context import NOTHING, read_context, slot_of

__all__ = ["OUTCOMES", "UNKNOWN", "Facts", "Names", "digest", "facts_of", "facts_of_table", "names_of", "slot_of"]

OUTCOMES = ("impression", "click", "conversion", "refund")
UNKNOWN = -1  # code of a text that is not there
VALUE_MAX = 2**62  # micros of one line; sums of a few of them must not leave int64

_FIELD = {c.OCCURRED_AT: "occurred_us", c.RECEIVED_AT: "received_us"}  # of an Event, where it has another name
_TIMES = (c.OCCURRED_AT, c.RECEIVED_AT)
_ENCODED = (c.SUBJECT, c.DECISION_ID, c.ORDER_ID, c.ITEM, c.CONTEXT)


@dataclass(frozen=True)
class Names:
    """A column of texts, each different text kept once. code: int32 [E], -1 = unknown. text: pyarrow string [V].

    Codes are names, not ranks: which text has which code depends on the order of arrival, so codes are only ever
    compared for equality; where texts must be ordered, `rank` orders the texts.
    """

    code: np.ndarray
    text: pa.Array

    def __len__(self) -> int:
        return len(self.code)

    def take(self, rows: np.ndarray) -> Names:
        """These rows (positions or a mask); the texts stay."""
        return Names(self.code[rows], self.text)

    def texts(self, rows: np.ndarray) -> pa.Array:
        """The texts of these rows, null where unknown."""
        code = self.code[rows]
        return self.text.take(pa.array(code, mask=code < 0))

    def rank(self, rows: np.ndarray) -> np.ndarray:
        """int64: the rank of each row's text among these rows, by code point; unknown last."""
        order = pc.sort_indices(self.texts(rows)).to_numpy()
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        return rank

    def within(self, others: Names) -> np.ndarray:
        """int64 [E]: the code in `others` of each row's text, -1 where it is unknown or not among them."""
        found = pc.fill_null(pc.index_in(self.text, value_set=others.text), UNKNOWN).to_numpy()
        return np.append(found, UNKNOWN)[self.code].astype(np.int64)  # code -1 reads the last


@dataclass(frozen=True)
class Facts:
    """E facts, each event id once, in no order that means anything.

    event_id, subject, decision_id, order_id, item, link, ip_hash: Names [E]. kind: int8 [E], code in
    events.schema.KINDS. slot: int8 [E], -1 = unknown. prefetch, honeypot: bool [E]. time_us, received_us: int64 [E].
    value_micros: int64 [E], price x quantity; 0 where the price is unknown, one piece where the quantity is.
    """

    event_id: Names
    kind: np.ndarray
    subject: Names
    decision_id: Names
    slot: np.ndarray
    order_id: Names
    item: Names
    link: Names
    ip_hash: Names
    prefetch: np.ndarray
    honeypot: np.ndarray
    time_us: np.ndarray
    received_us: np.ndarray
    value_micros: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: np.ndarray) -> Facts:
        """These rows (positions or a mask)."""
        columns: dict[str, Any] = {
            k: v.take(rows) if isinstance(v, Names) else v[rows] for k, v in vars(self).items()
        }
        return replace(self, **columns)

    def known_at(self, watermark_us: int) -> Facts:
        """Only what had arrived by then."""
        known = self.received_us <= watermark_us
        return self if known.all() else self.take(known)


def facts_of(events: Iterable[Event]) -> Facts:
    """The outcome events (impression, click, conversion, refund) among these, each id once; see facts_of_table."""
    rows = [event for event in events if event.kind in OUTCOMES]
    columns = {}
    for field in EVENT_SCHEMA:
        values = list(map(attrgetter(_FIELD.get(field.name, field.name)), rows))
        columns[field.name] = pa.array(values, pa.int64() if field.name in _TIMES else field.type)
    return facts_of_table(pa.table(columns))


def facts_of_table(table: pa.Table) -> Facts:
    """The outcome events among the rows of a table with the columns of events.schema.EVENT_SCHEMA, each id once.

    Of several rows with one id the first received counts, at a tie the smallest by content (field by field in the
    contract's order, unknown last): the result is a function of the set of rows, whatever their order and however
    often each came. Times are timestamps or whole microseconds. Columns that may be null may be left out; up to 2 GiB
    of text per column. Refused (SchemaError): a needed column that is missing or has nulls; (MoneyError): a line
    worth more than 2**62 micros.
    """
    table = _outcomes(_checked(table))
    ids = names_of(table[c.EVENT_ID])
    if (ids.code == UNKNOWN).any():
        count = int((ids.code == UNKNOWN).sum())
        raise SchemaError(
            f"expected an event_id in each row, got {count} empty of {len(table)}; quarantine those rows"
        )
    encoded = {name: names_of(table[name]) for name in _ENCODED}
    keep = _first_received(table, ids, encoded)
    if len(keep) < len(table):
        ids = ids.take(keep)
        encoded = {name: names.take(keep) for name, names in encoded.items()}
        table = table.select([c.KIND, *_TIMES, c.QUANTITY, c.PRICE_MICROS]).take(pa.array(keep))
    kinds = names_of(table[c.KIND])
    code_of = np.array([KIND_CODE[kind] for kind in kinds.text.to_pylist()], dtype=np.int8)
    return Facts(
        event_id=ids,
        kind=code_of[kinds.code],
        subject=encoded[c.SUBJECT],
        decision_id=encoded[c.DECISION_ID],
        order_id=encoded[c.ORDER_ID],
        item=encoded[c.ITEM],
        time_us=_numbers(table[c.OCCURRED_AT]),
        received_us=_numbers(table[c.RECEIVED_AT]),
        value_micros=_value(_numbers(table[c.PRICE_MICROS]), _numbers(table[c.QUANTITY])),
        **_said(encoded[c.CONTEXT]),
    )


def names_of(column: pa.Array | pa.ChunkedArray) -> Names:
    """A column of texts as Names; null and "" are both unknown."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    coded = column.cast(pa.string()).dictionary_encode()
    code = pc.fill_null(coded.indices, UNKNOWN).to_numpy(zero_copy_only=False)
    empty = pc.index(coded.dictionary, pa.scalar("", pa.string())).as_py()
    if empty >= 0:
        code = np.where(code == empty, np.int32(UNKNOWN), code)
    return Names(code, coded.dictionary)


def digest(*arrays: np.ndarray) -> str:
    """BLAKE2b over the arrays' contents, types and shapes: equal states have equal digests."""
    h = hashlib.blake2b(digest_size=16)
    for array in arrays:
        h.update(f"{array.dtype}{array.shape}".encode())
        h.update(np.ascontiguousarray(array).data)
    return h.hexdigest()


def _checked(table: pa.Table) -> pa.Table:
    """The table with all columns of the contract in its order and types, times as whole microseconds."""
    columns = {}
    for field in EVENT_SCHEMA:
        kind = pa.int64() if field.name in _TIMES else field.type
        if field.name not in table.column_names:
            if not field.nullable and field.name != c.TENANT:
                raise SchemaError(
                    f"expected a column {field.name!r}, got {', '.join(table.column_names)}; see docs/events.md"
                )
            columns[field.name] = pa.nulls(len(table), kind)
            continue
        column = table[field.name]
        if not field.nullable and column.null_count:
            count = column.null_count
            raise SchemaError(
                f"expected {field.name} in each row, got {count} null of {len(table)}; quarantine those rows"
            )
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
        columns[field.name] = column.cast(kind)
    return pa.table(columns)


def _outcomes(table: pa.Table) -> pa.Table:
    told = pc.is_in(table[c.KIND], value_set=pa.array(OUTCOMES))
    return table if pc.all(told).as_py() is not False else table.filter(told)


def _first_received(table: pa.Table, ids: Names, encoded: dict[str, Names]) -> np.ndarray:
    """int64: one row for each event id: the first received, at a tie the smallest content."""
    code, received = ids.code, _numbers(table[c.RECEIVED_AT])
    if len(code) == len(ids.text):
        return np.arange(len(code))
    earliest = np.full(len(ids.text), np.iinfo(np.int64).max)
    np.minimum.at(earliest, code, received)
    first = np.flatnonzero(received == earliest[code])
    chosen = np.zeros(len(ids.text), dtype=np.int64)
    chosen[code[first]] = first  # any of them, wherever they say the same
    rival = first[chosen[code[first]] != first]
    differs = np.zeros(len(rival), dtype=bool)
    for name in table.column_names:
        if name in encoded:
            differs |= _differs_in_text(table[name], encoded[name], rival, chosen[code[rival]])
        elif name not in (c.EVENT_ID, c.RECEIVED_AT):
            differs |= _differs(table[name], rival, chosen[code[rival]])
    if differs.any():
        doubtful = np.zeros(len(ids.text), dtype=bool)
        doubtful[code[rival[differs]]] = True
        some = first[doubtful[code[first]]]
        keys = [(name, "ascending") for name in table.column_names]
        order = pc.sort_indices(table.take(pa.array(some)), sort_keys=keys).to_numpy()
        some = some[order[::-1]]
        chosen[code[some]] = some  # the last written is the smallest
    return np.sort(chosen)


def _differs(column: pa.ChunkedArray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool: whether the column says another thing in each row than in the other; null is a thing to say."""
    left, right = column.take(pa.array(rows)), column.take(pa.array(others))
    same = pc.fill_null(pc.equal(left, right), False)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return ~pc.or_(same, both_null).to_numpy()


def _differs_in_text(column: pa.ChunkedArray, names: Names, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The same by code; only where one of the two is unknown, null and "" are told apart by the text."""
    out = names.code[rows] != names.code[others]
    unknown = np.flatnonzero((names.code[rows] == UNKNOWN) & ~out)
    if len(unknown) and column.null_count < (names.code == UNKNOWN).sum():
        out[unknown] = _differs(column, rows[unknown], others[unknown])
    return out


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column, 0).to_numpy() if column.null_count else column.to_numpy()


def _value(price: np.ndarray, quantity: np.ndarray) -> np.ndarray:
    pieces = np.where(quantity == 0, 1, quantity)
    rough = np.abs(price.astype(float) * pieces)
    if len(rough) and rough.max() > VALUE_MAX:
        at = int(rough.argmax())
        raise MoneyError(
            f"expected at most 2**62 micros, got {pieces[at]} pieces at {price[at]} micros; quarantine the event"
        )
    return price * pieces


def _said(context: Names) -> dict[str, Any]:
    """The columns of Facts that come from contexts; each different context is read once."""
    said = [*map(read_context, context.text.to_pylist()), NOTHING]  # code -1 reads the last
    code = context.code
    return {
        "slot": np.array([s.slot for s in said], dtype=np.int8)[code],
        "link": names_of(pa.array([s.link for s in said], pa.string())).take(code),
        "ip_hash": names_of(pa.array([s.ip_hash for s in said], pa.string())).take(code),
        "prefetch": np.array([s.prefetch for s in said])[code],
        "honeypot": np.array([s.honeypot for s in said])[code],
    }
