"""Training tables as they would have been at the time: for each request, features from what was known then.

One plan for all columns, in Ibis, so that the same expressions run on DuckDB and on Spark: events and requests are
put into one list, and a running window per key (shopper and item, shopper and category, item ...) carries sums and
extremes of the events to the requests that come after them. Cost grows with the list, not with its square.

An event counts for a request at second t if it happened before t and had arrived by t, that is from
visible_s = max(occurred_s + 1, received_s) on. A late row is invisible until it arrives, and joins then.
The columns are those of the online features with the same names, from the same constants.
"""

from __future__ import annotations

import ibis
import pyarrow as pa
from ibis import _
from ibis.common.deferred import Deferred
from ibis.expr.types import NumericValue, Table

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.schema import BEHAVIOUR
from zhitou.features.cells import CATEGORY_LEVEL, TYPE_LEVEL
from zhitou.features.decay import LANDMARK_S, RECENT_HALF_LIFE_DAYS, TASTE_HALF_LIFE_DAYS
from zhitou.features.history import TASTE_PRIOR
from zhitou.features.recency import DUENESS_MAX, HOURS_MAX

REQUEST, TIME_S = "request", "time_s"
TABLE_COLUMNS = (
    "item_purchase_hours_log",
    "type_event_hours_log",
    "shopper_event_hours_log",
    "item_dueness",
    "type_dueness",
    "item_purchases_log",
    "category_share_log",
    "category_lift_log",
    "type_lift_log",
    "brand_lift_log",
    "item_popularity_log",
    "item_popularity_recent_log",
)
"""Columns that a training table and the online features share; a test holds them to the same numbers."""

_LEVELS = ("category", "type", "brand")


def item_attributes(items: ItemTable) -> Table:
    """item, category, type, brand (codes, 0 = unknown) of each item, for `training_table`."""
    return ibis.memtable(
        pa.table(
            {
                c.ITEM: pa.array(items.ids, type=pa.string()),
                "category": items.category[:, CATEGORY_LEVEL],
                "type": items.category[:, TYPE_LEVEL],
                "brand": items.brand,
            }
        )
    )


def training_table(events: Table, items: ItemTable, requests: Table) -> Table:
    """One row per request: request, subject, item, time_s and TABLE_COLUMNS (float64).

    events: EVENT_SCHEMA (event_id, subject, kind, item, occurred_at, received_at are read). requests: request
    (int64, unique), subject, item (an id of the catalogue; requests of other items are left out), time_s (int64,
    Unix seconds).
    """
    attributes = item_attributes(items)
    facts = _facts(events, attributes)
    asks = requests.select(REQUEST, c.SUBJECT, c.ITEM, TIME_S).inner_join(attributes, c.ITEM)
    asks = asks.select(REQUEST, c.SUBJECT, c.ITEM, TIME_S, *_LEVELS)
    out = asks
    for part in _parts(facts, asks):
        out = out.inner_join(part, REQUEST)
    sizes = {
        "category": len(items.category_names[CATEGORY_LEVEL]),
        "type": len(items.category_names[TYPE_LEVEL]),
        "brand": len(items.brand_names),
    }
    values = _values(out, sizes, len(items))
    return out.select(REQUEST, c.SUBJECT, c.ITEM, TIME_S, **{name: values[name] for name in TABLE_COLUMNS})


def _facts(events: Table, attributes: Table) -> Table:
    """Behaviour about known items with the weights that windows add up."""
    acts = events.filter(_[c.KIND].isin(BEHAVIOUR)).inner_join(attributes, c.ITEM)
    acts = acts.mutate(
        occurred_s=_epoch_s(_[c.OCCURRED_AT]),
        received_s=_epoch_s(_[c.RECEIVED_AT], up=True),
        bought=(_[c.KIND] == "purchase").cast("int64"),
    )
    acts = acts.mutate(at_s=ibis.greatest(_.occurred_s + 1, _.received_s))
    acts = acts.mutate(
        taste=_.bought * _weight(_.occurred_s, TASTE_HALF_LIFE_DAYS),
        recent=_.bought * _weight(_.occurred_s, RECENT_HALF_LIFE_DAYS),
        bought_s=_.bought.nullif(0) * _.occurred_s,
    )
    keep = (c.SUBJECT, c.ITEM, *_LEVELS, "event_id", "at_s", "occurred_s", "bought", "taste", "recent", "bought_s")
    return acts.select(*keep)


def _epoch_s(stamp: Deferred, up: bool = False) -> Deferred:
    """Whole Unix seconds of a timestamp, rounded down or up."""
    micros = stamp.epoch_seconds().cast("int64")
    if not up:
        return micros
    fraction = (stamp.microsecond() > 0).cast("int64")
    return micros + fraction


def _weight(time_s: Deferred | NumericValue, half_life_days: float) -> Deferred | NumericValue:
    """The forward weight of features/decay.py as an expression."""
    return 2.0 ** ((time_s - LANDMARK_S) / (half_life_days * SECONDS_PER_DAY))


def _parts(facts: Table, asks: Table) -> list[Table]:
    """One table per key: request and what the events of that key amount to at that time."""
    visit = {
        "lines": ("bought", "sum"),
        "visits": ("visit", "sum"),
        "first": ("bought_s", "min"),
        "last": ("bought_s", "max"),
    }
    taste = {"taste": ("taste", "sum")}
    seen = {"seen": ("occurred_s", "max")}
    own_item = _running(_visits(facts, asks, [c.SUBJECT, c.ITEM]), asks, [c.SUBJECT, c.ITEM], "own_item", visit)
    types = _visits(facts.filter(_.type > 0), asks, [c.SUBJECT, "type"])
    own_type = _running(types, asks, [c.SUBJECT, "type"], "own_type", {**visit, **taste, **seen})
    popular = {"lines": ("bought", "sum"), "recent": ("recent", "sum")}
    parts = [
        own_item,
        own_type,
        _running(facts, asks, [c.SUBJECT], "own", {**taste, **seen}),
        _running(facts, asks, [], "all", {**taste, **popular}),
        _running(facts, asks, [c.ITEM], "item", popular),
        _running(facts.filter(_.type > 0), asks, ["type"], "all_type", taste),
    ]
    for level in ("category", "brand"):
        known = facts.filter(_[level] > 0)
        parts.append(_running(known, asks, [c.SUBJECT, level], f"own_{level}", taste))
        parts.append(_running(known, asks, [level], f"all_{level}", taste))
    return parts


def _visits(facts: Table, asks: Table, keys: list[str]) -> Table:
    """Facts under the keys asked for, with visit = 1 for the first to arrive of the purchases of one second."""
    facts = facts.semi_join(asks, keys)
    order = ibis.window(group_by=[*keys, "occurred_s", "bought"], order_by=["at_s", "event_id"])
    return facts.mutate(visit=((ibis.row_number().over(order) == 0) & (_.bought == 1)).cast("int64"))


def _running(facts: Table, asks: Table, keys: list[str], prefix: str, measures: dict[str, tuple[str, str]]) -> Table:
    """request and {prefix}_{name}: sums (0 if none) and extremes (null if none) of the facts visible to it."""
    wanted = {name: column for name, (column, _how) in measures.items()}
    left = facts.select(*keys, "at_s", asked=ibis.literal(0), **{REQUEST: ibis.null("int64")}, **wanted)
    types = facts.schema()
    right = asks.select(
        *keys,
        at_s=_[TIME_S],
        asked=ibis.literal(1),
        **{REQUEST: _[REQUEST].cast("int64")},
        **{name: ibis.null(types[column]) for name, column in wanted.items()},
    )
    both = left.union(right)
    window = ibis.window(group_by=keys, order_by=["at_s", "asked"], rows=(None, 0))
    results = {}
    for name, (_column, how) in measures.items():
        value = getattr(both[name], how)().over(window)
        results[f"{prefix}_{name}"] = value.fill_null(0) if how == "sum" else value
    ran = both.select("asked", REQUEST, **results).filter(_.asked == 1)
    return ran.drop("asked")


def _values(t: Table, sizes: dict[str, int], catalogue: int) -> dict[str, NumericValue]:
    """TABLE_COLUMNS as expressions over the joined parts."""
    now = _weight(t[TIME_S], TASTE_HALF_LIFE_DAYS)
    recent = _weight(t[TIME_S], RECENT_HALF_LIFE_DAYS)
    tastes = {level: _taste(t, level, now, sizes[level]) for level in _LEVELS}
    return {
        "item_purchase_hours_log": _elapsed_log(t, "own_item_last"),
        "type_event_hours_log": _elapsed_log(t, "own_type_seen"),
        "shopper_event_hours_log": _elapsed_log(t, "own_seen"),
        "item_dueness": _dueness(t, "own_item"),
        "type_dueness": _dueness(t, "own_type"),
        "item_purchases_log": (t.own_item_lines + 1.0).ln(),
        "category_share_log": tastes["category"][0],
        **{f"{level}_lift_log": tastes[level][1] for level in _LEVELS},
        "item_popularity_log": ((t.item_lines + 1.0) / (t.all_lines + catalogue)).ln(),
        "item_popularity_recent_log": ((t.item_recent / recent + 1.0) / (t.all_recent / recent + catalogue)).ln(),
    }


def _elapsed_log(t: Table, last: str) -> NumericValue:
    hours = ibis.least((t[TIME_S] - t[last]) / 3_600.0, ibis.literal(HOURS_MAX))
    return (hours.fill_null(HOURS_MAX) + 1.0).ln()


def _dueness(t: Table, prefix: str) -> NumericValue:
    first, last, visits = t[f"{prefix}_first"], t[f"{prefix}_last"], t[f"{prefix}_visits"]
    interval = (last - first) / (visits - 1).nullif(0)
    due = ibis.least((t[TIME_S] - last) / interval, ibis.literal(DUENESS_MAX))
    return ibis.ifelse(visits >= 2, due, 0.0)


def _taste(t: Table, level: str, now: NumericValue, codes: int) -> tuple[NumericValue, NumericValue]:
    """(ln share, ln lift) of features/history.py; of an unknown code the usual share and no lift."""
    usual = (t[f"all_{level}_taste"] / now + 1.0) / (t.all_taste / now + codes)
    share = (t[f"own_{level}_taste"] + now * TASTE_PRIOR * usual) / (t.own_taste + now * TASTE_PRIOR)
    known = t[level] > 0
    return ibis.ifelse(known, share, usual).ln(), ibis.ifelse(known, (share / usual).ln(), 0.0)
