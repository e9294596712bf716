"""Visits are made of pauses."""

from __future__ import annotations

import pyarrow.parquet as pq

MINUTE_US = 60_000_000
START_US = 1_779_900_000_000_000


def _sessions(made) -> dict[str, str | None]:
    return {e["item"]: e["session"] for e in pq.read_table(made.folder / "events.parquet").to_pylist()}


def test_a_pause_of_more_than_half_an_hour_begins_a_visit(row, shop, prepared) -> None:
    minutes = {"a": 0, "b": 30, "c": 61, "d": 91}
    rows = [row(kind="view", item=item, occurred_at=START_US + at * MINUTE_US) for item, at in minutes.items()]
    found = _sessions(prepared(shop(rows)))
    assert found["a"] == found["b"] != found["c"] == found["d"]


def test_two_shoppers_never_share_a_visit(row, shop, prepared) -> None:
    rows = [row(kind="view", item=name, raw_subject=name, occurred_at=START_US) for name in ("ann", "bob")]
    found = _sessions(prepared(shop(rows)))
    assert found["ann"] != found["bob"]


def test_the_lines_of_one_order_share_a_visit_however_long_it_takes(row, shop, prepared) -> None:
    rows = [
        row(item="a", order_id="o", occurred_at=START_US),
        row(item="b", order_id="o", occurred_at=START_US + 90 * MINUTE_US),
    ]
    found = _sessions(prepared(shop(rows)))
    assert found["a"] == found["b"]


def test_the_senders_visit_stays(row, shop, prepared) -> None:
    found = _sessions(prepared(shop([row(item="a", session="mine"), row(item="b")])))
    assert found["a"] == "mine"
    assert found["b"].startswith("v_")


def test_what_the_shop_does_belongs_to_no_visit(row, shop, prepared) -> None:
    rows = [row(item="a"), row(item="b", kind="send", quantity=None, price_micros=None), row(item="c", kind="refund")]
    found = _sessions(prepared(shop(rows)))
    assert (found["b"], found["c"]) == (None, None)


def test_a_later_batch_renames_no_visit(row, shop, prepared) -> None:
    first = [row(kind="view", item="a", occurred_at=START_US)]
    before = _sessions(prepared(shop(first)))
    later = [*first, row(kind="view", item="b", occurred_at=START_US + 99 * MINUTE_US)]
    assert _sessions(prepared(shop(later)))["a"] == before["a"]
