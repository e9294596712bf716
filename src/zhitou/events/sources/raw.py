"""The one form in which every source hands over behaviour: the event contract with raw subject ids.

E = rows handed over. Nothing here is clean: every row of the outside data is one row (or, for an order with
several products, several), and what the source could not read says so in `refused`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.events.engine import json_object

RAW_SUBJECT = "raw_subject"  # leaves this form only as a pseudonym
REFUSED = "refused"  # why the source itself could not read the row; null = it could

UTC_MICROSECONDS = "timestamp('UTC', 6)"

# What a source may say of an event; what it leaves out is null.
RAW_TYPES = {
    c.SOURCE_ROW: "int64",
    c.EVENT_ID: "string",
    RAW_SUBJECT: "string",
    c.KIND: "string",
    c.ITEM: "string",
    c.QUANTITY: "int64",
    c.PRICE_MICROS: "int64",
    c.CURRENCY: "string",
    c.OCCURRED_AT: UTC_MICROSECONDS,
    c.RECEIVED_AT: UTC_MICROSECONDS,
    c.SESSION: "string",
    c.CHANNEL: "string",
    c.DECISION_ID: "string",
    c.ORDER_ID: "string",
    c.CONTEXT: "string",
    REFUSED: "string",
}
# the sender's own words of what we read, as a JSON object without the subject: read only for the quarantine
WORD_TYPES = {c.SOURCE_ROW: "int64", c.RAW: "string"}
ITEM_TYPES = {
    field.name: "int64" if field.name in (c.PRICE_MICROS, c.SALE_PRICE_MICROS) else "string" for field in ITEM_SCHEMA
}
PROMOTION_TYPES = {c.ITEM: "string", c.WEEK: "int64", c.STORES_DISPLAY: "int64", c.STORES_MAILER: "int64"}

EARLIEST_US = 946_684_800_000_000  # 2000-01-01: no shop on the web has older behaviour worth learning from


@dataclass(frozen=True)
class RawBehaviour:
    """One source's behaviour, not yet checked.

    events: RAW_TYPES; source_row is unique. items: ITEM_TYPES, one row per item. promotions: PROMOTION_TYPES or
    None. about: one sentence: what it is, real or simulated, licence. facts: counts of the source as it came.
    currency: ISO 4217, NO_CURRENCY where no price is known (then has_prices is False, and a purchase needs none).
    earliest_us: older times are refused. words: WORD_TYPES, for the quarantine; without them it holds our fields.
    """

    name: str
    about: str
    currency: str
    engine: Backend
    events: ir.Table
    items: ir.Table
    facts: Mapping[str, int]
    promotions: ir.Table | None = None
    words: ir.Table | None = None
    has_prices: bool = True
    earliest_us: int = EARLIEST_US


def in_memory(rows: Sequence[Mapping[str, object]], types: Mapping[str, str]) -> pa.Table:
    """Rows held in Python as an Arrow table of these types; times are UTC microseconds, what is missing is null."""
    arrow = {"string": pa.string(), "int64": pa.int64(), UTC_MICROSECONDS: pa.timestamp("us", tz="UTC")}
    return pa.table({name: pa.array([row.get(name) for row in rows], arrow[kind]) for name, kind in types.items()})


def raw_form(table: ir.Table, **given: ir.Value) -> ir.Table:
    """`table` in RAW_TYPES: the given columns cast to their type, every other one null."""
    unknown = sorted(set(given) - set(RAW_TYPES))
    assert not unknown, f"no such columns in the raw form: {unknown}"
    return _in_form(table, RAW_TYPES, given)


def word_form(source_row: ir.IntegerValue, table: ir.Table, **fields: ir.Value) -> ir.Table:
    """WORD_TYPES: these columns of the source, under its own names, as one JSON object a row."""
    return table.select(**{c.SOURCE_ROW: source_row.cast("int64"), c.RAW: json_object(**fields)})


def item_form(table: ir.Table, **given: ir.Value) -> ir.Table:
    """`table` in ITEM_TYPES: the given columns, in stock and in English where nothing is said, the rest null."""
    defaults = {
        c.AVAILABILITY: ibis.literal("in_stock"),
        c.LOCALE: ibis.literal("en"),
        c.ATTRIBUTES: ibis.literal("{}"),
    }
    return _in_form(table, ITEM_TYPES, {**defaults, **given})


def _in_form(table: ir.Table, types: Mapping[str, str], given: Mapping[str, ir.Value]) -> ir.Table:
    columns = {}
    for name, kind in types.items():
        value = given.get(name)
        columns[name] = ibis.null(kind) if value is None else value.cast(kind)
    return table.select(**columns)


def data_folder() -> Path:
    """Where data sets that are not part of the project lie: ZHITOU_DATA, else shared/data beside the repository."""
    named = os.environ.get("ZHITOU_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[5] / "shared" / "data"


def need(path: Path, what: str, where: str) -> Path:
    """`path`. Refused (SourceError): a file that is not there; the message says where to get it."""
    if not path.exists():
        raise SourceError(f"expected {what} at {path}, found nothing; get it from {where}")
    return path
