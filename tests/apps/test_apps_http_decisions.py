"""Decisions and events over HTTP: what is taken, what is refused, what is answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.apps.http.bodies import deeper_than
from zhitou.apps.http.example import TENANT

JSON = {"Content-Type": "application/json"}


def test_the_next_decision_knows_the_click(shop) -> None:
    before = shop.decide().json()["ads"]
    assert [ad["item"] for ad in before] == ["mug", "pot"]
    shop.browser.get(before[1]["click_url"])
    assert [ad["item"] for ad in shop.decide().json()["ads"]] == ["pot", "mug"]
    assert [ad["item"] for ad in shop.decide("somebody else").json()["ads"]] == ["mug", "pot"]


def test_a_decision_answers_with_everything_a_page_needs(shop) -> None:
    ad = shop.decide(slots=1).json()["ads"][0]
    assert set(ad) == {
        *("slot", "ad_id", "item", "title", "creative_url", "html_url", "click_url", "impression_url", "why_url")
    }
    assert ad["title"] == "Stoneware mug"
    assert all(url.startswith("http://testserver/") for name, url in ad.items() if name.endswith("_url"))


def test_an_empty_answer_says_why(shop) -> None:
    answer = shop.decide(consent={"ads": False}).json()
    assert answer["ads"] == []
    assert answer["reason"] == "the shopper did not agree to ads"


def test_the_service_sees_a_pseudonym_and_the_receipt_holds_no_raw_id(shop, decide_key: str) -> None:
    made = shop.decide("anna@example.org").json()
    answer = shop.browser.get(f"/v1/decisions/{made['decision_id']}", headers={"X-Api-Key": decide_key})
    assert answer.json()["subject"] == shop.service.pseudonym("anna@example.org")
    assert "anna" not in answer.text
    unknown = shop.browser.get("/v1/decisions/d_0", headers={"X-Api-Key": decide_key})
    assert unknown.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"size": "300"}, "body.size"),
        ({"size": "0x250"}, "body.size"),
        ({"size": [300, 250]}, "body.size"),
        ({"slots": 0}, "body.slots"),
        ({"slots": 9}, "body.slots"),
        ({"slots": True}, "body.slots"),
        ({"slots": "2"}, "body.slots"),
        ({"slots": 10**30}, "body.slots"),
        ({"subject": ""}, "body.subject"),
        ({"subject": "a\x00b"}, "body.subject"),
        ({"subject": "x" * 257}, "body.subject"),
        ({"subject": None}, "body.subject"),
        ({"channel": "fax"}, "body.channel"),
        ({"locale": "x"}, "body.locale"),
        ({"consent": {"ads": "yes"}}, "body.consent.ads"),
        ({"consent": {"everything": True}}, "body.consent.everything"),
        ({"context": {"q": "x" * 3_000}}, "body.context"),
        ({"context": [1]}, "body.context"),
        ({"tenant": "rival"}, "body.tenant"),
        ({"bid_micros": 1}, "body.bid_micros"),
    ],
)
def test_a_field_of_the_wrong_shape_is_named(shop, change: dict, field: str) -> None:
    answer = shop.decide(**change)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid"
    assert [error["at"] for error in answer.json()["errors"]] == [field]


def test_a_refusal_does_not_repeat_what_came(shop) -> None:
    assert "anna" not in shop.decide(subject="anna\x00").text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"null", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b'"text"', 400, "malformed"),
        (b'{"slots": NaN}', 400, "malformed"),
        (b'{"slots": Infinity}', 400, "malformed"),
        (b'{"slots": 1e999}', 400, "malformed"),
        (b'{"subject": "\xff"}', 400, "malformed"),
        (b'{"subject": "\\ud800"}', 400, "malformed"),
        (b'{"context": ' + b'{"a":' * 16 + b"1" + b"}" * 17, 400, "too_deep"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400, "malformed"),
        (b'{"subject": "' + b"x" * 1_100_000 + b'"}', 413, "too_large"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/events"])
def test_a_body_that_is_no_reasonable_json_is_the_clients_mistake(
    shop, decide_key: str, ingest_key: str, path: str, body: bytes, status: int, code: str
) -> None:
    key = decide_key if path == "/v1/decisions" else ingest_key
    answer = shop.post(path, key, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) >= {"type", "title", "status", "detail", "code", "instance"}


def test_a_chunked_body_is_counted_as_it_is_read(shop, ingest_key: str) -> None:
    sent = []

    def endless():
        while len(sent) < 1_000:
            sent.append(1)
            yield b" " * 65_536

    answer = shop.post("/v1/events", ingest_key, content=endless(), headers=JSON)
    assert answer.status_code == 413
    announced = shop.post("/v1/events", ingest_key, content=b"{}", headers={**JSON, "Content-Length": "99999999999"})
    assert announced.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": ""},
    ],
)
def test_only_plain_json_is_taken(shop, ingest_key: str, headers: dict) -> None:
    answer = shop.post("/v1/events", ingest_key, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/decisions", 405),
        ("HEAD", "/t/c", 405),
        ("DELETE", "/v1/events", 405),
        ("GET", "/v1/decisions/", 404),
        ("GET", "/admin", 404),
        ("GET", "//evil.example", 404),
        ("GET", "/creative/../../etc/passwd", 404),
    ],
)
def test_what_is_not_served_is_told_as_a_problem(shop, method: str, path: str, status: int) -> None:
    answer = shop.browser.request(method, "http://testserver" + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) == (status == 405)


def test_a_batch_counts_the_new_the_known_and_the_refused(shop, view) -> None:
    first = shop.report(view("e1"), view("e2", item="unicorn"), view("e3", kind="stare"), 7)
    assert first.status_code == 200
    answer = first.json()
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (1, 0, 3)
    assert [result["status"] for result in answer["results"]] == ["kept", "refused", "refused", "refused"]
    assert [result["event_id"] for result in answer["results"]] == ["e1", "e2", "e3", None]
    assert "not in the catalogue" in answer["results"][1]["reason"]
    assert answer["results"][2]["reason"].startswith("kind: ")
    second = shop.report(view("e1"), view("e4")).json()
    assert (second["accepted"], second["duplicates"], second["refused"]) == (1, 1, 0)
    assert shop.counted("view") == 2


def test_a_batch_of_which_nothing_is_kept_is_a_problem_with_each_reason(shop, view) -> None:
    answer = shop.report(view(item="unicorn"), {"kind": "view"})
    assert (answer.status_code, answer.json()["code"]) == (422, "refused_events")
    assert [result["status"] for result in answer.json()["results"]] == ["refused", "refused"]
    assert "unicorn" in answer.json()["detail"]


def test_an_event_is_kept_as_it_came_under_a_pseudonym(shop, view) -> None:
    buy = view(
        kind="purchase", quantity=2, price_micros=3_990_000, currency="EUR", order_id="o1", context={"b": 1, "a": "é"}
    )
    assert shop.report(buy).status_code == 200
    (kept,) = shop.service._store.events(TENANT)
    assert kept.subject == shop.service.pseudonym("shopper-7")
    assert (kept.tenant, kept.item, kept.quantity, kept.price_micros, kept.currency) == (
        TENANT,
        "tea",
        2,
        3_990_000,
        "EUR",
    )
    assert kept.occurred_us == kept.received_us - 60_000_000  # reported at noon, seen a minute before
    assert kept.context == '{"a":"é","b":1}'


@pytest.mark.parametrize(
    "change",
    [
        {"occurred_at": 1_782_907_200},
        {"occurred_at": "1782907200"},
        {"occurred_at": "2026-07-01T12:00:00"},
        {"occurred_at": "2026-07-01"},
        {"occurred_at": "2026-13-01T12:00:00Z"},
        {"occurred_at": "1969-01-01T00:00:00Z"},
        {"price_micros": 100},
        {"price_micros": 1.5, "currency": "EUR"},
        {"price_micros": -1, "currency": "EUR"},
        {"quantity": 2**53},
        {"quantity": 10**30},
        {"currency": "euro"},
        {"event_id": ""},
        {"received_at": "2026-07-01T12:00:00Z"},
        {"tenant": "rival"},
        {"context": "{}"},
        {"context": {"slot": "first"}, "kind": "click"},
        {"context": {"slot": None}, "kind": "impression"},
        {"context": {"slot": 10**9}, "kind": "click"},
    ],
)
def test_an_event_of_the_wrong_shape_is_refused_with_its_field(shop, view, change: dict) -> None:
    answer = shop.report(view(**change))
    assert answer.status_code == 422
    assert next(iter(change)) in answer.json()["results"][0]["reason"]


def test_a_clock_that_is_wrong_is_corrected_and_noted(shop, view) -> None:
    hour_ahead = shop.report(view(occurred_at="2026-07-01T12:59:00Z"), sent_at="2026-07-01T13:00:00Z")
    assert hour_ahead.json()["clock_skew_seconds"] == 3_600
    (kept,) = shop.service._store.events(TENANT)
    assert kept.occurred_us == kept.received_us - 60_000_000  # seen a minute before it was sent
    assert json.loads(kept.context) == {"clock_skew_us": 3_600_000_000}
    near = shop.report(view("e2"), sent_at="2026-07-01T12:00:20Z")
    assert near.json()["clock_skew_seconds"] == 0


def test_an_event_from_the_future_is_refused(shop, view) -> None:
    answer = shop.report(view(occurred_at="2026-07-02T12:00:00Z"), view("e2", occurred_at="2026-07-01T12:04:00Z"))
    assert "86,400 s in the future" in answer.json()["results"][0]["reason"]
    assert answer.json()["results"][1]["status"] == "kept"


def test_a_batch_is_bounded(make_shop, view) -> None:
    shop = make_shop(events_max=2)
    assert shop.report(view("a"), view("b")).status_code == 200
    answer = shop.report(view("a"), view("b"), view("c"))
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "body.events")
    assert shop.report().status_code == 422


TREES = st.recursive(
    st.sampled_from([1, "[[", '"}', "\\", None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("a[{"), inner, max_size=3),
    max_leaves=12,
)


def depth(value: object) -> int:
    """Levels of lists and objects, the plain way."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@settings(max_examples=200, deadline=None)
@given(TREES, st.integers(0, 6))
def test_depth_is_counted_right_whatever_stands_in_strings(value: object, levels: int) -> None:
    assert deeper_than(json.dumps(value).encode(), levels) == (depth(value) > levels)
