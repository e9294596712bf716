"""Visits: what one shopper does without a pause of half an hour, and the orders placed in it.

The lines of one order never fall into two visits, however long the till takes.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from zhitou.core import columns as c
from zhitou.core.units import MICROSECONDS
from zhitou.events.engine import epoch_us
from zhitou.events.schema import BEHAVIOUR

GAP_SECONDS = 1_800  # the gap that web analytics has used since the 1990s


def with_sessions(events: ir.Table, gap_seconds: int = GAP_SECONDS) -> ir.Table:
    """`events` with `session` filled where the sender gave none; only what a shopper does belongs to a visit.

    A session's id hashes the subject and the instant it began, so that a later batch that only adds visits
    renames none. What the shop does (send, impression) and what has no hour (refund, conversion) stays without.
    """
    events = _with_began_us(events)
    visits = _visits(events, gap_seconds)
    joined = events.left_join(visits, [c.SUBJECT, "began_us"]).drop(
        f"{c.SUBJECT}_right", "began_us_right", "began_us"
    )
    of_visit = joined[c.KIND].isin(BEHAVIOUR)
    found = of_visit.ifelse(joined["visit"], ibis.null("string"))
    return joined.mutate(**{c.SESSION: ibis.coalesce(joined[c.SESSION], found)}).drop("visit")


def _with_began_us(events: ir.Table) -> ir.Table:
    """began_us: the first instant of the row's order, the row's own where it has no order."""
    at_us = epoch_us(events[c.OCCURRED_AT])
    ordered = events.filter(events[c.ORDER_ID].notnull())
    span = {
        "order_began_us": epoch_us(ordered[c.OCCURRED_AT].min()),
        "order_ended_us": epoch_us(ordered[c.OCCURRED_AT].max()),
    }
    orders = ordered.group_by([c.SUBJECT, c.ORDER_ID]).agg(**span)
    # most shops stamp a whole order with one time: the join then meets an empty table
    long = orders.filter(orders.order_began_us < orders.order_ended_us).drop("order_ended_us")
    joined = events.left_join(long, [c.SUBJECT, c.ORDER_ID]).drop(f"{c.SUBJECT}_right", f"{c.ORDER_ID}_right")
    return joined.mutate(began_us=joined.order_began_us.fill_null(at_us)).drop("order_began_us")


def _visits(events: ir.Table, gap_seconds: int) -> ir.Table:
    instants = events.filter(events[c.KIND].isin(BEHAVIOUR)).select(c.SUBJECT, "began_us").distinct()
    in_time = ibis.window(group_by=c.SUBJECT, order_by="began_us")
    pause = instants.began_us - instants.began_us.lag().over(in_time)
    starts = (pause.isnull() | (pause > gap_seconds * MICROSECONDS)).ifelse(instants.began_us, ibis.null("int64"))
    instants = instants.mutate(start=starts)
    so_far = ibis.cumulative_window(group_by=c.SUBJECT, order_by="began_us")
    visit_start = instants.start.max().over(so_far)
    text = instants[c.SUBJECT] + ibis.literal("\x1f") + visit_start.cast("string")
    return instants.select(c.SUBJECT, "began_us", visit=ibis.literal("v_") + text.hexdigest("sha256")[:24])
