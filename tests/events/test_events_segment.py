"""Segment's messages, one by one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import SourceError
from zhitou.events.schema import KINDS
from zhitou.events.sources.segment import KIND_OF, NO_BEHAVIOUR, NO_PRODUCTS, events_of, read_segment

AT = "2026-03-01T12:00:00Z"
AT_US = 1_772_366_400_000_000


def _message(event: str = "Product Viewed", **said: object) -> dict[str, object]:
    plain = {"type": "track", "messageId": "m", "userId": "ann", "event": event, "timestamp": AT}
    return {**plain, "properties": {"product_id": "pen", "price": 2.5, "currency": "eur"}, **said}


def test_a_view_is_one_row() -> None:
    (row,) = events_of(_message())
    assert (row["kind"], row["item"], row["event_id"], row["raw_subject"]) == ("view", "pen", "m", "ann")
    assert (row["price_micros"], row["currency"], row["occurred_at"]) == (2_500_000, "EUR", AT_US)


def test_an_order_is_one_purchase_per_product_with_ids_of_their_own() -> None:
    products = [{"product_id": "pen", "price": "1.10", "quantity": 2}, {"sku": "ink", "price": 3, "quantity": "1"}]
    rows = events_of(
        _message("Order Completed", properties={"order_id": "o", "currency": "EUR", "products": products})
    )
    assert [(r["event_id"], r["item"], r["quantity"], r["price_micros"], r["order_id"]) for r in rows] == [
        ("m/0", "pen", 2, 1_100_000, "o"),
        ("m/1", "ink", 1, 3_000_000, "o"),
    ]


def test_the_senders_wrong_clock_is_corrected() -> None:
    times = {"originalTimestamp": "2031-01-01T00:00:00Z", "sentAt": "2031-01-01T00:00:05Z", "receivedAt": AT}
    (row,) = events_of(_message(**times))
    assert (row["occurred_at"], row["received_at"]) == (AT_US - 5_000_000, AT_US)


def test_who_is_not_logged_in_is_the_anonymous_id() -> None:
    (row,) = events_of(_message(userId=None, anonymousId="a-1"))
    assert row["raw_subject"] == "a-1"


@pytest.mark.parametrize("kind", ["identify", "page", "group", "alias"])
def test_what_is_no_behaviour_says_so(kind: str) -> None:
    (row,) = events_of(_message(type=kind))
    assert row["refused"] == NO_BEHAVIOUR


def test_an_order_without_products_says_so() -> None:
    (row,) = events_of(_message("Order Completed", properties={"order_id": "o"}))
    assert row["refused"] == NO_PRODUCTS


@pytest.mark.parametrize("price", ["free", [1], "1e999", True])
def test_a_price_that_is_none_refuses_the_row(price: object) -> None:
    (row,) = events_of(_message(properties={"product_id": "pen", "price": price}))
    assert (row["refused"], row["price_micros"]) == ("unreadable price", None)


def test_a_search_keeps_its_query() -> None:
    (row,) = events_of(_message("Products Searched", properties={"query": "red pen"}))
    assert (row["kind"], json.loads(row["context"])) == ("search", {"query": "red pen"})


def test_every_event_is_mapped_to_a_kind_of_the_contract() -> None:
    assert set(KIND_OF.values()) <= set(KINDS)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
_KEYS = (
    "type",
    "event",
    "messageId",
    "userId",
    "timestamp",
    "sentAt",
    "receivedAt",
    "originalTimestamp",
    "properties",
    "context",
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_KEYS, _JSON)), st.sampled_from([*KIND_OF, "other"]))
def test_no_message_breaks_it_and_none_is_lost(message: dict[str, object], event: str) -> None:
    assert len(events_of({**message, "type": "track", "event": event})) >= 1
    assert len(events_of(message)) >= 1


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    lines = [json.dumps(_message()).encode(), b"{", b'"caf\xe9"', b"", json.dumps(_message(type="identify")).encode()]
    path.write_bytes(b"\n".join(lines))
    raw = read_segment(path, threads=1)
    refused = raw.events.order_by("source_row").to_pyarrow()["refused"].to_pylist()
    assert refused == [None, "line that is no JSON object", "text that is not UTF-8", NO_BEHAVIOUR]
    assert (raw.currency, raw.facts) == ("EUR", {"messages": 4, "rows": 4, "shoppers": 1})
    assert raw.items.to_pyarrow()["item"].to_pylist() == ["pen"]


def test_a_gzip_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(_message()).encode())[:-9])
    with pytest.raises(SourceError, match="to its end"):
        read_segment(path, threads=1)
