"""Who is let in, and how everybody else is told."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from fastapi.routing import APIRoute

from zhitou.apps.http import settings as module
from zhitou.apps.http.bodies import PUBLIC, DoorRoute
from zhitou.apps.http.settings import HttpSettings, add_key, load_keys, load_or_create_link_key, new_key
from zhitou.core.errors import ConfigError, NotFoundError, SourceError

# Every route and who may call it. A route that is missing here fails the test below.
ACCESS = {
    ("POST", "/v1/decisions"): "decide",
    ("GET", "/v1/decisions/{decision_id}"): "decide",
    ("POST", "/v1/events"): "ingest",
    ("GET", "/t/i"): PUBLIC,
    ("GET", "/t/c"): PUBLIC,
    ("GET", "/creative/{name}"): PUBLIC,
    ("GET", "/why/{decision_id}"): PUBLIC,
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/"): PUBLIC,
    ("GET", "/docs"): PUBLIC,
    ("GET", "/openapi.json"): PUBLIC,
}
SIGNED = {"/t/i", "/t/c", "/why/{decision_id}"}


def test_every_route_stands_in_the_table_of_who_may_call_it(shop) -> None:
    found = {}
    for route in shop.app.routes:
        assert isinstance(route, DoorRoute), f"{route} is not checked at the door"
        found |= {(method, route.path): route.endpoint.access for method in route.methods}
    assert found == ACCESS


@pytest.mark.parametrize(("method", "path"), [way for way, role in ACCESS.items() if role != PUBLIC])
def test_a_keyed_route_refuses_no_key_a_wrong_key_and_a_key_of_another_role(
    shop, decide_key: str, ingest_key: str, method: str, path: str
) -> None:
    address = path.replace("{decision_id}", "d_1")
    other = ingest_key if ACCESS[method, path] == "decide" else decide_key
    for key, status, code in [("", 401, "auth"), ("zt_guess", 401, "auth"), (other, 403, "forbidden")]:
        answer = shop.browser.request(method, address, headers={"X-Api-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize("path", sorted(SIGNED))
def test_a_signed_route_gives_nothing_without_a_signature(shop, path: str) -> None:
    address = path.replace("{decision_id}", "d_1")
    query = {"d": "d_1", "s": "0", "e": "9999999999", "m": "A" * 43}
    assert shop.browser.get(address, params=query).json()["code"] == "link"
    del query["m"]
    assert shop.browser.get(address, params=query).json()["code"] == "invalid"


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_made(shop) -> None:
    with pytest.raises(AssertionError, match="neither which role"):
        shop.app.get("/new")(lambda: None)
    assert issubclass(DoorRoute, APIRoute)


def test_a_key_is_taken_from_either_header(shop, decide_key: str) -> None:
    asked = {"subject": "a", "size": "300x250"}
    for headers in ({"Authorization": f"bearer {decide_key}"}, {"X-Api-Key": decide_key}):
        assert shop.browser.post("/v1/decisions", json=asked, headers=headers).status_code == 200
    wrong = {"Authorization": f"Basic {decide_key}"}
    assert shop.browser.post("/v1/decisions", json=asked, headers=wrong).status_code == 401


def test_the_key_is_checked_before_the_body_is_read(shop) -> None:
    answer = shop.browser.post("/v1/events", content=b"{" * 2_000_000, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_only_the_hash_of_a_key_is_kept(tmp_path) -> None:
    text = add_key(tmp_path, "page", ["decide"])
    other = add_key(tmp_path, "tracker", ["ingest"])
    kept = (tmp_path / module.KEYS_FILE).read_text()
    assert text not in kept
    assert other not in kept
    assert (tmp_path / module.KEYS_FILE).stat().st_mode & 0o077 == 0
    settings = HttpSettings(tenant="t", link_key=bytes(32), keys=load_keys(tmp_path))
    assert settings.who(text) == load_keys(tmp_path)[0]
    assert settings.who(text + "x") is None
    assert settings.who("") is None


def test_a_new_key_of_the_same_name_ends_the_old_one(tmp_path) -> None:
    old, new = add_key(tmp_path, "page"), add_key(tmp_path, "page")
    settings = HttpSettings(tenant="t", link_key=bytes(32), keys=load_keys(tmp_path))
    assert settings.who(old) is None
    assert settings.who(new) is not None


def test_the_link_key_is_drawn_once_and_a_damaged_file_is_refused(tmp_path) -> None:
    assert load_or_create_link_key(tmp_path) == load_or_create_link_key(tmp_path)
    (tmp_path / module.LINK_KEY_FILE).write_text("not a key")
    with pytest.raises(SourceError, match="hexadecimal"):
        load_or_create_link_key(tmp_path)
    (tmp_path / module.KEYS_FILE).write_text('{"a": 1}')
    with pytest.raises(SourceError, match="does not list keys"):
        load_keys(tmp_path)


def test_the_key_that_names_addresses_is_changed_by_deleting_its_file_and_links_stay(tmp_path) -> None:
    links, old = load_or_create_link_key(tmp_path), module.load_or_create_address_key(tmp_path)
    assert module.load_or_create_address_key(tmp_path) == old
    path = tmp_path / module.ADDRESS_KEY_FILE
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()
    assert module.load_or_create_address_key(tmp_path) != old
    assert load_or_create_link_key(tmp_path) == links
    path.write_text("not a key")
    with pytest.raises(SourceError, match="addresses get new names"):
        module.load_or_create_address_key(tmp_path)
    with pytest.raises(ConfigError, match="32 bytes"):
        HttpSettings(tenant="t", link_key=bytes(32), address_key=b"short")


@pytest.mark.parametrize(
    "changes",
    [
        {"link_key": b"short"},
        {"public_url": "http://a.example/path"},
        {"public_url": "javascript:alert(1)"},
        {"cors_origins": ("*",)},
        {"waiting_max": 0},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError):
        HttpSettings(**{"tenant": "t", "link_key": bytes(32)} | changes)
    with pytest.raises(ConfigError, match="unknown roles"):
        new_key("k", ["admin"])


def test_a_strange_host_is_turned_away(shop) -> None:
    answer = shop.browser.get("/healthz", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "host")
    assert shop.browser.get("/healthz", headers={"Host": "TestServer:8000"}).status_code == 200


def test_pages_of_other_origins_may_call_only_if_the_settings_name_them(make_shop) -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = make_shop().browser.options("/v1/events", headers=asks)
    assert closed.status_code == 405
    assert "access-control-allow-origin" not in closed.headers
    browser = make_shop(cors_origins=("https://shop.example",)).browser
    opened = browser.options("/v1/events", headers=asks)
    assert (opened.status_code, opened.headers["access-control-allow-origin"]) == (204, "https://shop.example")
    stranger = browser.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-credentials" not in opened.headers


def test_every_answer_carries_the_security_headers_and_a_request_id(shop) -> None:
    for answer in (shop.browser.get("/healthz"), shop.browser.get("/nothing"), shop.decide(), shop.browser.get("/")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-request-id"]) == 16
    assert "strict-transport-security" not in answer.headers


def test_a_request_id_is_taken_over_if_it_is_harmless(shop) -> None:
    named = shop.browser.get("/nothing", headers={"X-Request-Id": "abc-1"})
    assert named.headers["x-request-id"] == "abc-1"
    assert named.json()["instance"] == "urn:zhitou:request:abc-1"
    odd = shop.browser.get("/nothing", headers={"X-Request-Id": "a b<script>"})
    assert "script" not in odd.headers["x-request-id"]


def test_the_log_names_the_route_but_no_key_no_shopper_and_no_query(shop, caplog, decide_key: str) -> None:
    caplog.set_level(logging.DEBUG)
    links = shop.decide("anna@example.org", context={"q": "secret-wish"}).json()["ads"][0]
    shop.browser.get(links["click_url"])
    shop.post("/v1/decisions", decide_key, json={"subject": "anna@example.org"})
    text = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("zhitou"))
    assert "POST /v1/decisions 200" in text
    assert "GET /t/c 302" in text
    assert "POST /v1/decisions 422" in text
    for secret in (decide_key, "anna", "secret-wish", "m=", shop.service.pseudonym("anna@example.org")):
        assert secret not in text


def test_a_failing_service_is_a_500_problem_that_tells_nothing(shop, caplog, monkeypatch) -> None:
    def broken(request: object) -> None:
        raise KeyError("anna@example.org")

    monkeypatch.setattr(shop.service, "decide", broken)
    answer = shop.decide("anna@example.org")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "anna" not in answer.text + caplog.text
    assert "KeyError at" in caplog.text
    assert answer.headers["x-request-id"] in caplog.text


def test_a_slow_decision_does_not_hold_up_health_and_too_many_are_turned_away(make_shop, monkeypatch) -> None:
    shop = make_shop(waiting_max=1)
    started, go_on, answers = threading.Event(), threading.Event(), []
    decide = shop.service.decide

    def slow(request: object) -> object:
        started.set()
        go_on.wait(5)
        return decide(request)

    monkeypatch.setattr(shop.service, "decide", slow)
    with shop.browser:
        caller = threading.Thread(target=lambda: answers.append(shop.decide().status_code))
        caller.start()
        started.wait(5)
        began = time.perf_counter()
        assert shop.browser.get("/healthz").status_code == 200
        turned_away = shop.decide()
        assert time.perf_counter() - began < 2
        assert (turned_away.status_code, turned_away.headers["retry-after"]) == (503, "1")
        go_on.set()
        caller.join(5)
    assert answers == [200]


def test_readiness_reports_facts_or_says_why_not(shop, monkeypatch) -> None:
    assert shop.browser.get("/readyz").json() == {"ready": True, "ads": 3}

    def not_yet() -> None:
        raise NotFoundError("no model yet; run `zhitou train` first")

    monkeypatch.setattr(shop.service, "ready", not_yet)
    answer = shop.browser.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "zhitou train" in answer.json()["detail"]


def test_the_front_page_is_the_report_or_helps_to_make_one(shop, monkeypatch) -> None:
    assert "zhitou demo" in shop.browser.get("/").text
    monkeypatch.setattr(shop.service, "report_html", lambda: b"<h1>lift</h1>")
    report = shop.browser.get("/")
    assert report.content == b"<h1>lift</h1>"
    assert "default-src 'none'" in report.headers["content-security-policy"]
