"""Point in time: a late row is invisible until it arrives, a row of the same second is not seen."""

from math import log

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from zhitou.features.table import TABLE_COLUMNS, training_table

DAY = 86_400
T0 = 1_700_006_400


def ask(events, items, *requests):
    """TABLE_COLUMNS of (subject, item, time) requests, as dicts."""
    rows = [{"request": i, "subject": s, "item": item, "time_s": t} for i, (s, item, t) in enumerate(requests)]
    con = ibis.duckdb.connect()
    table = training_table(ibis.memtable(events), items, ibis.memtable(pa.Table.from_pylist(rows)))
    out = con.to_pyarrow(table.order_by("request")).to_pylist()
    con.disconnect()
    return out


def test_a_request_sees_what_happened_before_it(items, make_events):
    events = make_events([("ann", "purchase", "milk", T0), ("ann", "purchase", "milk", T0 + 60)])
    same, next_second, later = ask(
        events, items, ("ann", "milk", T0), ("ann", "milk", T0 + 1), ("ann", "milk", T0 + 3_660)
    )
    assert same["item_purchases_log"] == 0
    assert next_second["item_purchases_log"] == pytest.approx(log(2))
    assert later["item_purchases_log"] == pytest.approx(log(3))
    assert later["item_purchase_hours_log"] == pytest.approx(log(1 + 1))


def test_a_late_row_is_invisible_until_it_arrives(items, make_events):
    events = make_events([("ann", "purchase", "milk", T0, None, None, None, T0 + 3 * DAY)])
    before, arrived = ask(events, items, ("ann", "milk", T0 + 3 * DAY - 1), ("ann", "milk", T0 + 3 * DAY))
    assert before["item_purchases_log"] == 0
    assert before["item_popularity_log"] == pytest.approx(log(1 / 5))
    assert arrived["item_purchases_log"] == pytest.approx(log(2))
    assert arrived["item_purchase_hours_log"] == pytest.approx(log(1 + 72))


def test_a_row_that_arrives_within_a_second_counts_from_the_next(items, make_events):
    events = make_events([("ann", "purchase", "milk", T0, None, None, None, T0 + 10)])
    half = pc.add(events["received_at"], pa.scalar(500_000, pa.duration("us")))
    events = events.set_column(events.column_names.index("received_at"), events.schema.field("received_at"), half)
    early, on_time = ask(events, items, ("ann", "milk", T0 + 10), ("ann", "milk", T0 + 11))
    assert early["item_purchases_log"] == 0
    assert on_time["item_purchases_log"] > 0


def test_lines_of_one_moment_are_one_visit(items, make_events):
    rows = [("ann", "purchase", "milk", T0 + day * DAY) for day in (0, 0, 10, 10, 20)]
    (answer,) = ask(make_events(rows), items, ("ann", "milk", T0 + 25 * DAY))
    assert answer["item_dueness"] == pytest.approx(5 / 10)


def test_a_stranger_and_an_item_without_category_get_neutral_values(items, make_events):
    events = make_events([("ann", "purchase", "milk", T0)])
    stranger, thing = ask(events, items, ("zoe", "milk", T0 + 1), ("ann", "thing", T0 + 1))
    assert stranger["item_purchase_hours_log"] == pytest.approx(log(1 + 8760))
    assert stranger["category_lift_log"] == pytest.approx(0, abs=1e-12)
    assert thing["category_lift_log"] == thing["type_lift_log"] == thing["brand_lift_log"] == 0


def test_requests_of_unknown_items_are_left_out_and_all_others_kept(items, make_events):
    events = make_events([("ann", "purchase", "milk", T0)])
    rows = ask(events, items, ("ann", "nothing", T0 + 1), ("ann", "towel", T0 + 1), ("bob", "towel", T0 + 2))
    assert [row["request"] for row in rows] == [1, 2]
    assert set(TABLE_COLUMNS) <= set(rows[0])
