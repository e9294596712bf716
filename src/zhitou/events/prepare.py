"""From raw behaviour to the folder that everything else reads: events, items, promotions, quarantine, quality.

Raw subject ids end here: what is written knows only pseudonyms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.events import clean, quality
from zhitou.events.checks import CLEAN, DUPLICATE, Census, Check, checks_of, share_check, take_census
from zhitou.events.clean import TWICE, PrepareConfig
from zhitou.events.engine import batches, count_of, json_object, json_text
from zhitou.events.schema import EVENT_SCHEMA
from zhitou.events.sessions import with_sessions
from zhitou.events.sources.raw import ITEM_TYPES, PROMOTION_TYPES, RawBehaviour
from zhitou.privacy.door import EVENTS_FILE
from zhitou.privacy.pseudonyms import Pseudonyms

ITEMS_FILE = "items.parquet"
PROMOTIONS_FILE = "promotions.parquet"
QUARANTINE_FILE = "quarantine.parquet"
ROW_GROUP = 131_072

QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field(c.REASON, pa.string(), nullable=False),
        pa.field(c.SOURCE_ROW, pa.int64(), nullable=False),
        pa.field(c.SUBJECT, pa.string()),
        pa.field(c.RAW, pa.string()),
    ]
)
PROMOTION_SCHEMA = pa.schema(
    [
        pa.field(name, pa.string() if kind == "string" else pa.int64(), nullable=False)
        for name, kind in PROMOTION_TYPES.items()
    ]
)


@dataclass(frozen=True)
class Prepared:
    """What stands in the folder. rows_in = events + duplicates + sum(quarantined.values()), always."""

    folder: Path
    name: str
    rows_in: int
    events: int
    duplicates: int
    quarantined: Mapping[str, int]
    items: int
    promotions: int
    checks: tuple[Check, ...]
    quality: Mapping[str, object]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def prepare(
    raw: RawBehaviour, folder: Path, pseudonyms: Pseudonyms, config: PrepareConfig, clock_us: int
) -> Prepared:
    """Clean `raw` into `folder` (made if missing): the Parquet files, quality.json and quality.html.

    clock_us: now, UTC microseconds: what occurred more than a day after it is impossible.
    Refused (SourceError): a source of which no row is fit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    raw.engine.raw_sql(f"SET threads = {config.threads}; SET memory_limit = '{config.memory_mb}MB'")
    judged = clean.judge(raw, pseudonyms.tenant, pseudonyms.names, config, clock_us)
    census = take_census(raw, judged, config, clock_us)
    fit = judged.filter(judged[c.REASON].isnull() & ~judged[TWICE])
    if census.with_fate(CLEAN) == 0:
        raise SourceError(f"expected behaviour in {raw.name}, but no row of {census.total:,} is fit: {_most(census)}")
    moved = clean.winsorised(fit, clean.bounds(raw, fit, config))
    counts = _count(moved)
    events = _write_events(raw.engine, moved, folder / EVENTS_FILE, pseudonyms.tenant, config)
    _write_quarantine(raw, judged, folder / QUARANTINE_FILE)
    items = _write(raw.engine, _one_row_each(raw.items), ITEM_SCHEMA, folder / ITEMS_FILE)
    promotions = _write_promotions(raw, folder / PROMOTIONS_FILE)
    checks = tuple(
        checks_of(census, config) + _outlier_checks(counts, config) + [_listing(raw, fit, counts["events"])]
    )
    ours = _our_facts(fit, items, counts)
    report = quality.report(raw, census, checks, ours, config)
    quality.write(report, folder)
    return Prepared(
        folder=folder,
        name=raw.name,
        rows_in=census.total,
        events=events,
        duplicates=census.with_fate(DUPLICATE),
        quarantined=census.quarantined,
        items=items,
        promotions=promotions,
        checks=checks,
        quality=report,
    )


def _most(census: Census) -> str:
    return "; ".join(f"{count:,} {reason}" for reason, count in list(census.quarantined.items())[:3]) or "it is empty"


def _write_events(engine: Backend, moved: ir.Table, path: Path, tenant: str, config: PrepareConfig) -> int:
    events = with_sessions(moved.mutate(**{c.TENANT: ibis.literal(tenant)}), config.session_gap_seconds)
    events = events.select(EVENT_SCHEMA.names).order_by(c.SUBJECT, c.OCCURRED_AT, c.EVENT_ID)
    return _write(engine, events, EVENT_SCHEMA, path)


def _write_quarantine(raw: RawBehaviour, judged: ir.Table, path: Path) -> int:
    """The refused rows in the sender's words, with the pseudonym where the subject stood."""
    held = judged.filter(judged[c.REASON].notnull() & ~judged[TWICE])
    fields = (c.KIND, c.ITEM, c.QUANTITY, c.PRICE_MICROS, c.CURRENCY, c.OCCURRED_AT, c.CHANNEL, c.ORDER_ID, c.CONTEXT)
    text = json_object(
        **{name: held[name].cast("string") if name == c.OCCURRED_AT else held[name] for name in fields}
    )
    if raw.words is not None:
        held = held.left_join(raw.words, c.SOURCE_ROW).drop(f"{c.SOURCE_ROW}_right")
        text = held[c.RAW].fill_null(text)
    named = ibis.literal('{"subject":"') + held[c.SUBJECT] + ibis.literal('"')
    named = named + (text == "{}").ifelse(ibis.literal("}"), ibis.literal(",") + text[1:])
    written = held.select(c.REASON, c.SOURCE_ROW, c.SUBJECT, raw=named.fill_null(text))
    return _write(raw.engine, written.order_by(c.SOURCE_ROW), QUARANTINE_SCHEMA, path)


def _one_row_each(items: ir.Table) -> ir.Table:
    """The feed's first row of each item: the rest of an id said twice is left out."""
    first = ibis.row_number().over(group_by=c.ITEM, order_by=[c.TITLE, c.CATEGORY, c.PRICE_MICROS])
    one = items.filter(items[c.ITEM].notnull()).mutate(nth=first)
    return one.filter(one.nth == 0).select(*ITEM_TYPES).order_by(c.ITEM)


def _write_promotions(raw: RawBehaviour, path: Path) -> int:
    if raw.promotions is None:
        path.unlink(missing_ok=True)
        return 0
    return _write(raw.engine, raw.promotions.order_by(c.ITEM, c.WEEK), PROMOTION_SCHEMA, path)


def _write(engine: Backend, table: ir.Table, schema: pa.Schema, path: Path) -> int:
    """Stream the rows into a Parquet file of exactly this schema; the file appears whole or not at all."""
    rows, part = 0, path.with_suffix(".part")
    with pq.ParquetWriter(part, schema, compression="zstd", compression_level=1) as writer:
        for batch in batches(engine, table, ROW_GROUP):
            writer.write_batch(pa.RecordBatch.from_arrays([_as(batch, field) for field in schema], schema=schema))
            rows += batch.num_rows
    part.replace(path)
    return rows


def _as(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    column = batch.column(field.name)
    assert field.nullable or column.null_count == 0, f"{field.name} is never null in what is written"
    return column.cast(field.type)


def _count(moved: ir.Table) -> dict[str, int]:
    bought = moved[c.KIND] == "purchase"
    counted = moved.agg(
        events=moved.count(),
        money_lines=moved[c.KIND].isin(clean.OF_MONEY).sum(),
        prices_moved=moved.price_moved.sum(),
        pieces_moved=moved.pieces_moved.sum(),
        purchase_lines=bought.sum(),
        refunds=(moved[c.KIND] == "refund").sum(),
        sends=(moved[c.KIND] == "send").sum(),
        conversions=(moved[c.KIND] == "conversion").sum(),
        shoppers=moved[c.SUBJECT].nunique(),
        items_bought=moved[c.ITEM].nunique(where=bought),
        orders=moved[c.ORDER_ID].nunique(),
    )
    return {name: int(values[0] or 0) for name, values in counted.to_pyarrow().to_pydict().items()}


def _outlier_checks(counts: Mapping[str, int], config: PrepareConfig) -> list[Check]:
    lines = counts["money_lines"]
    limits = (
        f"outside the {config.winsor_low:.2%} and {config.winsor_high:.2%} quantiles of their item (of their "
        f"category for items of fewer than {config.winsor_lines_min:,} lines); they are set to the quantile and kept"
    )
    return [
        share_check("prices are usual", counts["prices_moved"], lines, f"paid lines have a price {limits}", 0.01),
        share_check(
            "quantities are usual", counts["pieces_moved"], lines, f"paid lines have a quantity {limits}", 0.01
        ),
    ]


def _listing(raw: RawBehaviour, fit: ir.Table, total: int) -> Check:
    unlisted = fit.filter(fit[c.ITEM].notnull()).anti_join(raw.items, c.ITEM)
    count = count_of(unlisted.count())
    return share_check(
        "items are listed", count, total, "events name an item that the feed does not list; they are kept", 0.01
    )


def _our_facts(fit: ir.Table, items: int, counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of what was written, under the names that sources use for theirs."""
    sent = fit.filter(fit[c.KIND] == "send")
    campaigns = json_text(sent[c.CONTEXT], "$.campaign").nunique()
    return {**counts, "items": items, "campaigns": count_of(campaigns)}
