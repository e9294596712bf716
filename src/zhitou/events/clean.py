"""Which rows become events and which do not: duplicates, impossible values, robots, outliers, each with a reason.

Every row of a source ends in exactly one of three places: clean, duplicate, or quarantined under one reason.
The order of REASONS is the order of judgement: a row with two faults is counted under the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from zhitou.core import columns as c
from zhitou.core.errors import ConfigError, SchemaError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.events.engine import MEMORY_MB, THREADS, count_of, epoch_us, json_type, json_valid, stored
from zhitou.events.schema import BEHAVIOUR, KINDS
from zhitou.events.sources.raw import RAW_SUBJECT, REFUSED, RawBehaviour
from zhitou.privacy.consent import ConsentChange

END_OF_TIME_US = 4_102_444_800_000_000  # 2100-01-01: no later time is believed where no clock is given
DAY_US = SECONDS_PER_DAY * MICROSECONDS
TWICE = "twice"  # bool: another row says the same and came earlier
SKEWED = "skewed"  # bool: occurred after it was received, by less than a day

# kinds that are about one item, about goods that were paid, and about money that moved
OF_AN_ITEM = ("view", "add_to_cart", "remove_from_cart", "purchase", "favourite", "refund")
OF_GOODS = ("purchase", "refund", "add_to_cart", "remove_from_cart")
OF_MONEY = ("purchase", "refund")

UNKNOWN_KIND = "kind that is not in the contract"
NO_TIME = "no readable time"
TIME_IMPOSSIBLE = "time before the shop existed or after it was received"
NO_SUBJECT = "no shopper named"
NO_ITEM = "no item named"
SERVICE_LINE = "service line, no item of the catalogue"
NO_QUANTITY = "no positive quantity"
NO_PRICE = "no positive price"
FOREIGN_CURRENCY = "another currency than the rest"
BAD_CONTEXT = "context that is no small JSON object"
BAD_CONSENT = "consent that says neither yes nor no"
ROBOT_MINUTE = "robot: too many actions in one minute"
ROBOT_DAY = "robot: too many actions in one day"
ROBOT_ITEMS = "robot: too many different items in one day"
REASONS = (
    UNKNOWN_KIND,
    NO_TIME,
    TIME_IMPOSSIBLE,
    SERVICE_LINE,
    NO_ITEM,
    NO_QUANTITY,
    NO_PRICE,
    FOREIGN_CURRENCY,
    BAD_CONTEXT,
    BAD_CONSENT,
    NO_SUBJECT,
    ROBOT_MINUTE,
    ROBOT_DAY,
    ROBOT_ITEMS,
)
CONTEXT_BYTES_MAX = 4_096


@dataclass(frozen=True)
class PrepareConfig:
    """The dials of preparation. Units stand in the names.

    actions_*_max: a shopper with more is a robot; the lines of one order are one action. items_day_max: different
    items looked at in a day (bought ones do not count: a wholesaler's order may have hundreds).
    winsor_low, winsor_high: prices and quantities outside these quantiles of their item (from winsor_lines_min
    lines on; of their broadest category below) are set to the quantile.
    """

    threads: int = THREADS
    memory_mb: int = MEMORY_MB
    session_gap_seconds: int = 1_800
    actions_minute_max: int = 60
    actions_day_max: int = 3_000
    items_day_max: int = 1_500
    winsor_low: float = 0.0005
    winsor_high: float = 0.9995
    winsor_lines_min: int = 1_000
    late_seconds: int = SECONDS_PER_DAY

    def __post_init__(self) -> None:
        if not 0 <= self.winsor_low < self.winsor_high <= 1:
            raise ConfigError(
                f"expected 0 <= winsor_low < winsor_high <= 1, got {self.winsor_low} and {self.winsor_high}"
            )
        for name in ("threads", "session_gap_seconds", "actions_minute_max", "actions_day_max", "items_day_max"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} of at least 1, got {getattr(self, name)}")


def judge(
    raw: RawBehaviour,
    tenant: str,
    name: Callable[[list[str]], list[str]],
    config: PrepareConfig,
    clock_us: int | None,
) -> ir.Table:
    """Every row of the source, judged: a table on the engine with `reason` (null = fit) and TWICE.

    name: pseudonyms of a list of raw subject ids; the raw ids do not enter the table, nor the event ids, which
    hash the pseudonym (a hash of an e-mail address could be guessed by whoever knows the rest of the row).
    """
    rows = _named(raw, name)
    rows = _timed(rows)
    rows = rows.mutate(**{c.EVENT_ID: rows[c.EVENT_ID].fill_null(_content_id(rows, tenant))})
    rows = rows.mutate(reason=_reason(raw, rows, clock_us))
    rows = stored(raw.engine, "rows_read", rows)
    rows = _with_twice(raw, rows)
    return _with_robots(raw, rows, config)


def _named(raw: RawBehaviour, name: Callable[[list[str]], list[str]]) -> ir.Table:
    seen = raw.events.select(RAW_SUBJECT).distinct().to_pyarrow()[RAW_SUBJECT].drop_null().to_pylist()
    table = pa.table({RAW_SUBJECT: pa.array(seen, pa.string()), c.SUBJECT: pa.array(name(seen), pa.string())})
    names = stored(raw.engine, "subject_names", table)
    return raw.events.left_join(names, RAW_SUBJECT).drop(RAW_SUBJECT, f"{RAW_SUBJECT}_right")


def _timed(rows: ir.Table) -> ir.Table:
    """Arrival of what names none = its occurrence; what occurred up to a day after its arrival = its arrival."""
    received = rows[c.RECEIVED_AT].fill_null(rows[c.OCCURRED_AT])
    skew = epoch_us(rows[c.OCCURRED_AT]) - epoch_us(received)
    skewed = ((skew > 0) & (skew <= DAY_US)).fill_null(False)
    occurred = skewed.ifelse(received, rows[c.OCCURRED_AT])
    return rows.mutate(**{c.RECEIVED_AT: received, c.OCCURRED_AT: occurred, SKEWED: skewed})


def _content_id(rows: ir.Table, tenant: str) -> ir.StringValue:
    """`e_` + 24 hexadecimal digits of SHA-256 over all that the event says."""
    text = ibis.literal(tenant)
    says = (c.SUBJECT, c.KIND, c.ITEM, c.QUANTITY, c.PRICE_MICROS, c.CURRENCY, c.SESSION, c.CHANNEL)
    for column in (*says, c.DECISION_ID, c.ORDER_ID, c.CONTEXT):
        text = text + ibis.literal("\x1f") + rows[column].cast("string").fill_null("")
    for column in (c.OCCURRED_AT,):
        text = text + ibis.literal("\x1f") + epoch_us(rows[column]).cast("string").fill_null("")
    return ibis.literal("e_") + text.hexdigest("sha256")[:24]


def faults(raw: RawBehaviour, rows: ir.Table, clock_us: int | None) -> dict[str, ir.BooleanValue]:
    """What can be wrong with one row by itself: reason -> whether it holds; a row may have several."""
    kind, at_us = rows[c.KIND], epoch_us(rows[c.OCCURRED_AT])
    known = kind.isin(KINDS).fill_null(False)
    quantity, price = rows[c.QUANTITY], rows[c.PRICE_MICROS]
    paid = kind.isin(OF_MONEY) if raw.has_prices else ibis.literal(False)
    return {
        UNKNOWN_KIND: ~known,
        NO_TIME: at_us.isnull(),
        TIME_IMPOSSIBLE: (at_us < raw.earliest_us) | (at_us > _latest_us(rows, clock_us)),
        NO_ITEM: known & kind.isin(OF_AN_ITEM) & rows[c.ITEM].isnull(),
        NO_QUANTITY: kind.isin(OF_GOODS) & (quantity <= 0),
        NO_PRICE: (paid & (price.isnull() | (price <= 0))) | (price < 0),
        FOREIGN_CURRENCY: rows[c.CURRENCY] != raw.currency,
        BAD_CONTEXT: _bad_context(rows[c.CONTEXT]),
        BAD_CONSENT: (kind == "consent") & rows[c.CONTEXT].fill_null("").isin(_unreadable_consents(rows)),
        NO_SUBJECT: rows[c.SUBJECT].isnull(),
    }


def _latest_us(rows: ir.Table, clock_us: int | None) -> ir.IntegerValue:
    """A day after arrival, and never more than a day after now."""
    arrival = epoch_us(rows[c.RECEIVED_AT]) + DAY_US
    return ibis.least(arrival, ibis.literal(END_OF_TIME_US if clock_us is None else clock_us + DAY_US))


def _bad_context(context: ir.StringValue) -> ir.BooleanValue:
    valid = json_valid(context)
    is_object = json_type(valid.ifelse(context, "null")) == "OBJECT"
    return context.notnull() & (~valid | ~is_object | (context.length() > CONTEXT_BYTES_MAX))


def _unreadable_consents(rows: ir.Table) -> list[str]:
    spoken = rows.filter(rows[c.KIND] == "consent").select(c.CONTEXT).distinct().to_pyarrow()[c.CONTEXT].to_pylist()
    return sorted({text or "" for text in spoken if not _readable_consent(text)})


def _readable_consent(context: str | None) -> bool:
    try:
        ConsentChange.from_context("", 0, context)
    except SchemaError:
        return False
    return True


def _reason(raw: RawBehaviour, rows: ir.Table, clock_us: int | None) -> ir.StringValue:
    wrong = faults(raw, rows, clock_us)
    branches = [(rows[REFUSED].notnull(), rows[REFUSED])]
    branches += [(wrong[reason], ibis.literal(reason)) for reason in REASONS if reason in wrong]
    return ibis.cases(*branches, else_=ibis.null("string"))


def _with_twice(raw: RawBehaviour, rows: ir.Table) -> ir.Table:
    """TWICE: same event id as an earlier row. What the source could not read is never called a duplicate."""
    legible = rows[REFUSED].isnull() | (rows[REFUSED] == SERVICE_LINE)
    read = rows.filter(legible)
    counted = read.group_by(c.EVENT_ID).agg(times=read.count(), first=read[c.SOURCE_ROW].min())
    again = stored(raw.engine, "said_twice", counted.filter(counted.times > 1).drop("times"))
    if not count_of(again.count()):
        return rows.mutate(**{TWICE: ibis.literal(False)})
    joined = rows.left_join(again, c.EVENT_ID).drop(f"{c.EVENT_ID}_right")
    later = (joined[REFUSED].isnull() | (joined[REFUSED] == SERVICE_LINE)) & (joined[c.SOURCE_ROW] != joined["first"])
    return stored(raw.engine, "rows_told", joined.mutate(**{TWICE: later.fill_null(False)}).drop("first"))


def _with_robots(raw: RawBehaviour, rows: ir.Table, config: PrepareConfig) -> ir.Table:
    """The reason of robots' rows: all that a subject did, as no part of it can be trusted."""
    acts = rows.filter(rows.reason.isnull() & ~rows[TWICE] & rows[c.KIND].isin(BEHAVIOUR))
    at_s = epoch_us(acts[c.OCCURRED_AT]) // MICROSECONDS
    order = acts[c.ORDER_ID].fill_null(acts[c.EVENT_ID])
    minutes = acts.select(c.SUBJECT, minute=at_s // 60, act=order).distinct()
    minutes = minutes.group_by(c.SUBJECT, "minute").agg(acts=minutes.count())
    days = minutes.group_by(c.SUBJECT, day=minutes.minute // (24 * 60)).agg(acts=minutes.acts.sum())
    looked = acts.filter(acts[c.KIND] != "purchase")
    looked = looked.select(c.SUBJECT, c.ITEM, day=epoch_us(looked[c.OCCURRED_AT]) // DAY_US).distinct()
    looked = looked.group_by(c.SUBJECT, "day").agg(items=looked.count())
    caught = [
        minutes.filter(minutes.acts > config.actions_minute_max).select(c.SUBJECT, rank=ibis.literal(0)),
        days.filter(days.acts > config.actions_day_max).select(c.SUBJECT, rank=ibis.literal(1)),
        looked.filter(looked["items"] > config.items_day_max).select(c.SUBJECT, rank=ibis.literal(2)),
    ]
    robots = ibis.union(*caught)
    robots = robots.group_by(c.SUBJECT).agg(rank=robots["rank"].min())
    robots = stored(raw.engine, "robots", robots)
    if not count_of(robots.count()):
        return rows
    joined = rows.left_join(robots, c.SUBJECT).drop(f"{c.SUBJECT}_right")
    why = ibis.cases(
        *((joined["rank"] == rank, text) for rank, text in enumerate((ROBOT_MINUTE, ROBOT_DAY, ROBOT_ITEMS))),
        else_=ibis.null("string"),
    )
    return stored(raw.engine, "rows_judged", joined.mutate(reason=joined.reason.fill_null(why)).drop("rank"))


def bounds(raw: RawBehaviour, events: ir.Table, config: PrepareConfig) -> ir.Table:
    """The quantile bounds of prices and quantities per item: item, price_low, price_high, pieces_high.

    An item with few lines takes the bounds of its broadest category; one with none there has no row.
    """
    top = raw.items.select(c.ITEM, group=raw.items[c.CATEGORY].split(c.CATEGORY_SEPARATOR)[0].fill_null(""))
    sold = events.filter(events[c.KIND].isin(OF_MONEY)).select(c.ITEM, c.PRICE_MICROS, c.QUANTITY)
    sold = sold.left_join(top, c.ITEM).drop(f"{c.ITEM}_right")
    sold = sold.mutate(group=sold.group.fill_null(""))
    own = sold.group_by(c.ITEM, "group").agg(lines=sold.count(), **_quantiles(sold, config))
    shared = sold.group_by("group").agg(**_quantiles(sold, config))
    both = own.left_join(shared, "group", rname="{name}_of_group")
    enough = both.lines >= config.winsor_lines_min
    names = ("price_low", "price_high", "pieces_high")
    chosen = {name: enough.ifelse(both[name], both[f"{name}_of_group"]) for name in names}
    return stored(raw.engine, "bounds", both.select(both[c.ITEM], **chosen))


def _quantiles(sold: ir.Table, config: PrepareConfig) -> dict[str, ir.Value]:
    # the discrete quantile is a value that occurred, so that few lines are never moved
    return {
        "price_low": quantile_seen(sold[c.PRICE_MICROS], config.winsor_low),
        "price_high": quantile_seen(sold[c.PRICE_MICROS], config.winsor_high),
        "pieces_high": quantile_seen(sold[c.QUANTITY], config.winsor_high),
    }


@ibis.udf.agg.builtin(name="quantile_disc", signature=(("int64", "float64"), "int64"))
def quantile_seen(values, share):  # type: ignore[no-untyped-def]
    """The smallest value that at least `share` of the values do not exceed."""


def winsorised(events: ir.Table, limits: ir.Table) -> ir.Table:
    """`events` with prices and quantities inside their bounds, and two bools: price_moved, pieces_moved."""
    joined = events.left_join(limits, c.ITEM).drop(f"{c.ITEM}_right")
    of_money = joined[c.KIND].isin(OF_MONEY)
    price, pieces = joined[c.PRICE_MICROS], joined[c.QUANTITY]
    inside = ibis.least(ibis.greatest(price, joined.price_low), joined.price_high)
    fewer = ibis.least(pieces, joined.pieces_high)
    new_price = (of_money & price.notnull() & joined.price_low.notnull()).ifelse(inside, price)
    new_pieces = (of_money & pieces.notnull() & joined.pieces_high.notnull()).ifelse(fewer, pieces)
    moved = joined.mutate(
        price_moved=(new_price != price).fill_null(False),
        pieces_moved=(new_pieces != pieces).fill_null(False),
        new_price=new_price,
        new_pieces=new_pieces,
    )
    kept = moved.drop(c.PRICE_MICROS, c.QUANTITY, "price_low", "price_high", "pieces_high")
    return kept.rename({c.PRICE_MICROS: "new_price", c.QUANTITY: "new_pieces"})
