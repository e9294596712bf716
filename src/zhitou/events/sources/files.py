"""Behaviour from the user's own CSV, JSONL or Parquet files, through a mapping of ten lines.

Everything is read as text first, so that one bad value costs one row and never the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from zhitou.core import columns as c
from zhitou.core.errors import SchemaError
from zhitou.core.units import MICROS, NO_CURRENCY
from zhitou.events.clean import OF_MONEY, SERVICE_LINE
from zhitou.events.engine import (
    THREADS,
    at_epoch_us,
    count_of,
    json_object,
    local_time,
    open_engine,
    read_time,
    stored,
)
from zhitou.events.sources.mapping import (
    ITEM_FIELDS,
    PRICE,
    SERVICE,
    TOTAL,
    ColumnMapping,
    Rule,
    load_mapping,
    require_columns,
)
from zhitou.events.sources.raw import (
    ITEM_TYPES,
    REFUSED,
    UTC_MICROSECONDS,
    RawBehaviour,
    item_form,
    raw_form,
    word_form,
)
from zhitou.events.sources.tables import find_files, read_lines

UNREADABLE_TIME = "unreadable time"
UNREADABLE_QUANTITY = "unreadable quantity"
UNREADABLE_PRICE = "unreadable price"

NOTHING = ("", "nan", "null", "none", "n/a", "na", "\\n")  # how files write that they do not know
MAJORITY = 0.8  # of the priced rows must share a currency, else the file is two files
UNIX = {"unix": 1_000_000, "unix_ms": 1_000, "unix_us": 1}


def read_files(
    data: Path, mapping: Path | ColumnMapping, threads: int = THREADS, items: pa.Table | None = None
) -> RawBehaviour:
    """The behaviour in a file or a folder of files of one kind (.csv, .tsv, .jsonl, .json, .parquet, also .gz).

    items: the catalogue in ITEM_SCHEMA; without it, the items are those that the rows name.
    Refused: missing, empty or cut files (SourceError); columns that are not there, a mapping of another form, a
    mix of currencies (SchemaError). Rows that cannot be read are handed over with the reason, none is left out.
    """
    said = mapping if isinstance(mapping, ColumnMapping) else load_mapping(mapping)
    paths = find_files(data, said.files)
    engine = open_engine(threads)
    lines = read_lines(engine, paths, lambda there, file: require_columns(said.wanted(), there, file))
    read = stored(engine, "interpreted", _interpreted(lines, said))
    said = replace(said, currency=said.currency or _main_currency(read, said))
    events = _events(read, said)
    own = _items(events, read, said) if items is None else stored(engine, "feed", items.select(list(ITEM_TYPES)))
    return RawBehaviour(
        name=said.name,
        about=said.about,
        currency=said.currency or NO_CURRENCY,
        engine=engine,
        events=events,
        items=own,
        facts=_facts(lines, events, read),
        words=word_form(lines[c.SOURCE_ROW], lines, **_words(lines, said)),
        has_prices=said.priced,
    )


def _words(lines: ir.Table, said: ColumnMapping) -> dict[str, ir.StringValue]:
    """What we read of each row, in the file's own words; never the subject."""
    return {column: lines[column] for column in said.wanted() if column != said.columns[c.SUBJECT]}


def _interpreted(lines: ir.Table, said: ColumnMapping) -> ir.Table:
    """Their columns under our names, trimmed, with "nothing" as null, and a few steps towards our types."""
    text = {name: _known_text(lines[column]) for name, column in said.columns.items()}
    text[c.SUBJECT] = _plain_id(text[c.SUBJECT])
    text[c.ITEM] = _plain_id(text[c.ITEM]) if c.ITEM in text else ibis.null("string")
    named = {f"their_{name}": value for name, value in text.items()}
    context = {key: _known_text(lines[column]) for key, column in said.context.items()}
    rows = lines.select(
        c.SOURCE_ROW,
        REFUSED,
        **named,
        their_context=json_object(**context) if context else ibis.null("string"),
    )
    kind = _kind(rows, said)
    pieces, pieces_bad = _whole_number(rows, c.QUANTITY, said)
    price, price_bad = _price(rows, pieces, said)
    at, at_bad = _time(rows, c.OCCURRED_AT, said)
    arrived, arrived_bad = _time(rows, c.RECEIVED_AT, said)
    bad = ibis.cases(
        (rows[REFUSED].notnull(), rows[REFUSED]),
        (at_bad | arrived_bad, UNREADABLE_TIME),
        (pieces_bad, UNREADABLE_QUANTITY),
        (price_bad, UNREADABLE_PRICE),
        (kind == SERVICE, SERVICE_LINE),
        else_=ibis.null("string"),
    )
    rows = rows.mutate(
        kind=(kind == SERVICE).ifelse(said.kind or "purchase", kind), price=price, at=at, arrived=arrived
    )
    return rows.mutate(pieces=pieces, bad=bad)


def _known_text(column: ir.StringValue) -> ir.StringValue:
    trimmed = column.strip()
    return trimmed.lower().isin(NOTHING).ifelse(ibis.null("string"), trimmed)


def _plain_id(text: ir.StringValue) -> ir.StringValue:
    """17850.0 -> 17850: a table with missing ids often kept whole numbers as floats."""
    return text.re_replace(r"^(\d+)\.0$", r"\1")


def _their(rows: ir.Table, name: str, otherwise: str | None = None) -> ir.StringValue:
    column = f"their_{name}"
    value = rows[column] if column in rows.columns else ibis.null("string")
    return value if otherwise is None else value.fill_null(otherwise)


def _kind(rows: ir.Table, said: ColumnMapping) -> ir.StringValue:
    kind = _their(rows, c.KIND)
    if said.kinds:
        kind = ibis.cases(*((kind == theirs, ours) for theirs, ours in said.kinds.items()), else_=kind)
    if said.kind is not None:
        kind = kind.fill_null(said.kind)
    branches = [(_holds(rows, rule, said).fill_null(False), ibis.literal(rule.kind)) for rule in said.rules]
    return ibis.cases(*branches, else_=kind) if branches else kind


def _holds(rows: ir.Table, rule: Rule, said: ColumnMapping) -> ir.BooleanValue:
    text = _their(rows, rule.field)
    if rule.below is not None:
        return _point(text, said).try_cast("float64") < rule.below
    return text.startswith(rule.prefix) if rule.prefix is not None else text.isin(rule.values)


def _point(text: ir.StringValue, said: ColumnMapping) -> ir.StringValue:
    return text if said.decimal == "." else text.replace(".", "").replace(",", ".")


def _whole_number(rows: ir.Table, name: str, said: ColumnMapping) -> tuple[ir.IntegerValue, ir.BooleanValue]:
    """The number as int64, its sign given away where a rule made it a refund; and whether the text is none."""
    text = _point(_their(rows, name), said)
    number = text.try_cast("decimal(18, 6)")
    whole = (number == number.floor()).ifelse(number.try_cast("int64"), ibis.null("int64"))
    refund = any(rule.kind == "refund" for rule in said.rules)
    value = (_kind(rows, said) == "refund").fill_null(False).ifelse(whole.abs(), whole) if refund else whole
    return value.cast("int64"), text.notnull() & whole.isnull()


def _price(rows: ir.Table, pieces: ir.IntegerValue, said: ColumnMapping) -> tuple[ir.IntegerValue, ir.BooleanValue]:
    """Micros of one piece, and whether a text is there that is no amount."""
    if c.PRICE_MICROS in said.columns:
        return _whole_number(rows, c.PRICE_MICROS, said)
    name = PRICE if PRICE in said.columns else TOTAL
    text = _point(_their(rows, name), said)
    micros = (text.try_cast("decimal(18, 6)") * MICROS).try_cast("int64")
    bad = text.notnull() & micros.isnull()
    if name == PRICE:
        return micros, bad
    some = (pieces.fill_null(1) != 0).ifelse(pieces.fill_null(1), 1)
    return (micros.abs() / some.abs()).round().cast("int64") * micros.sign().cast("int64"), bad


def _time(rows: ir.Table, name: str, said: ColumnMapping) -> tuple[ir.TimestampValue, ir.BooleanValue]:
    """The instant in UTC, and whether a text is there that is no time."""
    text = _their(rows, name)
    if said.time_format in UNIX:
        us = (text.try_cast("decimal(24, 6)") * UNIX[said.time_format]).try_cast("int64")
        fits = us.between(-62_135_596_800_000_000, 253_402_300_799_999_999)  # the years 1 to 9999
        at = at_epoch_us(fits.ifelse(us, ibis.null("int64")))
    else:
        plain = text.try_cast("timestamp(6)") if said.time_format is None else read_time(text, said.time_format)
        at = plain.cast(UTC_MICROSECONDS) if said.zone == "UTC" else local_time(said.zone, plain)
        if said.time_format is None:
            has_offset = text.re_search(r"\d:\d\d.*([+-]\d\d(:?\d\d)?|[Zz])$")
            at = has_offset.ifelse(text.try_cast(UTC_MICROSECONDS), at)
    return at, text.notnull() & at.isnull()


def _main_currency(read: ir.Table, said: ColumnMapping) -> str | None:
    """The currency of most priced rows. Refused (SchemaError): one that fewer than MAJORITY of them share."""
    if c.CURRENCY not in said.columns:
        return None
    priced = read.filter(read.their_currency.notnull() & read.price.notnull())
    counted = priced.group_by(code=priced.their_currency.upper()).agg(n=priced.count())
    found = sorted((-row["n"], row["code"]) for row in counted.to_pyarrow().to_pylist())
    if not found:
        return None
    total = -sum(n for n, _ in found)
    if -found[0][0] < MAJORITY * total:
        parts = ", ".join(f"{name} {-n / total:.0%}" for n, name in found[:4])
        raise SchemaError(f"expected one currency, got {parts}; convert the amounts or read one currency at a time")
    return str(found[0][1])


def _events(read: ir.Table, said: ColumnMapping) -> ir.Table:
    priced = read.price.notnull()
    currency = _their(read, c.CURRENCY).upper()
    stated = currency.fill_null(said.currency) if said.currency else currency
    context = read.their_context
    return raw_form(
        read,
        source_row=read[c.SOURCE_ROW],
        event_id=_their(read, c.EVENT_ID),
        raw_subject=read.their_subject,
        kind=read.kind,
        item=read.their_item,
        quantity=read.pieces,
        price_micros=read.price,
        currency=priced.ifelse(stated, ibis.null("string")),
        occurred_at=read["at"],
        received_at=read.arrived,
        session=_their(read, c.SESSION),
        channel=_their(read, c.CHANNEL, said.channel),
        decision_id=_their(read, c.DECISION_ID),
        order_id=_their(read, c.ORDER_ID),
        context=(context == "{}").ifelse(ibis.null("string"), context),
        refused=read.bad,
    )


def _items(events: ir.Table, read: ir.Table, said: ColumnMapping) -> ir.Table:
    """One row per item that is no service: its most frequent words on lines with a price, its median price."""
    goods = read.filter(read.their_item.notnull() & read.bad.isnull())
    words = {name: _their(goods, name) for name in ITEM_FIELDS}
    told = goods.select(c.SOURCE_ROW, item=goods.their_item, priced=goods.price > 0, **words)
    counted = told.group_by([c.ITEM, *ITEM_FIELDS]).agg(
        paid=told.priced.fill_null(False).cast("int64").sum(), n=told.count()
    )
    best = [
        counted[c.TITLE].notnull().desc(),
        counted.paid.desc(),
        counted.n.desc(),
        *(counted[f] for f in ITEM_FIELDS),
    ]
    first = counted.mutate(nth=ibis.row_number().over(group_by=c.ITEM, order_by=best))
    first = first.filter(first.nth == 0)
    paid = events.filter(events[REFUSED].isnull() & events[c.KIND].isin(OF_MONEY) & (events[c.PRICE_MICROS] > 0))
    prices = paid.group_by(c.ITEM).agg(median=paid[c.PRICE_MICROS].median())
    known = first.left_join(prices, c.ITEM)
    return item_form(
        known,
        **{name: known[name] for name in (c.ITEM, *ITEM_FIELDS)},
        price_micros=known["median"].round(),
        currency=ibis.literal(said.currency) if said.currency else ibis.null("string"),
    )


def _facts(lines: ir.Table, events: ir.Table, read: ir.Table) -> Mapping[str, int]:
    """Counts of the file as it came, before anything is removed."""
    columns = [name for name in lines.columns if name not in (c.SOURCE_ROW, REFUSED)]
    readable = lines.filter(lines[REFUSED].isnull())
    different = readable.select(columns).distinct()
    figures = read.agg(
        lines=read.count(),
        lines_without_shopper=read.their_subject.isnull().sum(),
        shoppers=read.their_subject.nunique(),
        items=read.their_item.nunique(),
        **({"orders": read[f"their_{c.ORDER_ID}"].nunique()} if f"their_{c.ORDER_ID}" in read.columns else {}),
    )
    facts = {name: int(values[0] or 0) for name, values in figures.to_pyarrow().to_pydict().items()}
    signed = events.agg(
        pieces=((events[c.QUANTITY] <= 0) | ((events[c.KIND] == "refund") & events[c.QUANTITY].notnull())).sum(),
        prices=(events[c.PRICE_MICROS] <= 0).sum(),
    )
    counts = {name: int(values[0] or 0) for name, values in signed.to_pyarrow().to_pydict().items()}
    facts["exact_duplicates"] = count_of(readable.count()) - count_of(different.count())
    facts["lines_without_positive_quantity"] = counts["pieces"]
    facts["lines_without_positive_price"] = counts["prices"]
    return facts
