"""Visits are made of pauses."""

from __future__ import annotations

import ibis

from zhitou.events.sessions import with_sessions

MINUTE_US = 60_000_000
START_US = 1_779_900_000_000_000


def _sessions(raw) -> dict[str, str | None]:
    """Item -> visit, of rows whose subject stands for its pseudonym."""
    events = with_sessions(raw.events.mutate(subject=ibis._.raw_subject))
    return {event["item"]: event["session"] for event in events.to_pyarrow().to_pylist()}


def test_a_pause_of_more_than_half_an_hour_begins_a_visit(row, shop) -> None:
    minutes = {"a": 0, "b": 30, "c": 61, "d": 91}
    rows = [row(kind="view", item=item, occurred_at=START_US + at * MINUTE_US) for item, at in minutes.items()]
    found = _sessions(shop(rows))
    assert found["a"] == found["b"] != found["c"] == found["d"]


def test_two_shoppers_never_share_a_visit(row, shop) -> None:
    rows = [row(kind="view", item=name, raw_subject=name, occurred_at=START_US) for name in ("ann", "bob")]
    found = _sessions(shop(rows))
    assert found["ann"] != found["bob"]


def test_the_lines_of_one_order_share_a_visit_however_long_it_takes(row, shop) -> None:
    rows = [
        row(item="a", order_id="o", occurred_at=START_US),
        row(item="b", order_id="o", occurred_at=START_US + 90 * MINUTE_US),
    ]
    found = _sessions(shop(rows))
    assert found["a"] == found["b"]


def test_the_senders_visit_stays(row, shop) -> None:
    found = _sessions(shop([row(item="a", session="mine"), row(item="b")]))
    assert found["a"] == "mine"
    assert found["b"].startswith("v_")


def test_what_the_shop_does_belongs_to_no_visit(row, shop) -> None:
    rows = [row(item="a"), row(item="b", kind="send", quantity=None, price_micros=None), row(item="c", kind="refund")]
    found = _sessions(shop(rows))
    assert (found["b"], found["c"]) == (None, None)


def test_a_later_batch_renames_no_visit(row, shop) -> None:
    first = [row(kind="view", item="a", occurred_at=START_US)]
    before = _sessions(shop(first))
    later = [*first, row(kind="view", item="b", occurred_at=START_US + 99 * MINUTE_US)]
    assert _sessions(shop(later))["a"] == before["a"]
