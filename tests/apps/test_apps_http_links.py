"""Signed links, pictures and explanations: what a browser can do, and cannot."""

from __future__ import annotations

import json
import warnings
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.apps.http.links import Links
from zhitou.apps.http.problems import Problem
from zhitou.core.errors import NotFoundError
from zhitou.feedback.facts import facts_of
from zhitou.feedback.machines import judge_clicks

with warnings.catch_warnings():  # as in conftest
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

LINKS = Links(bytes(range(32)), "https://ads.example", 3_600)
NOW_US = 1_000_000_000_000_000
PARTS = ("kind", "decision_id", "slot", "end", "signature")


def parts(kind: str, decision_id: str, slot: int) -> dict[str, str]:
    """What a link of this kind carries."""
    url = urlsplit(LINKS.make(kind, decision_id, slot, NOW_US))
    query = dict(parse_qsl(url.query))
    found = {"kind": kind, "decision_id": decision_id, "slot": query["s"], "end": query["e"], "signature": query["m"]}
    assert query.get("d", url.path.rpartition("/")[2]) == decision_id
    return found


def test_a_link_is_accepted_until_it_ends_and_not_a_second_longer() -> None:
    made = parts("click", "d_1", 3)
    assert LINKS.check(**made, now_us=NOW_US) == 3
    assert LINKS.check(**made, now_us=NOW_US + 3_600_000_000) == 3
    with pytest.raises(Problem, match="expired"):
        LINKS.check(**made, now_us=NOW_US + 3_600_000_001)


IDS = st.text("abcXYZ019_-", min_size=1, max_size=20)
KINDS = st.sampled_from(["impression", "click", "why"])


@settings(max_examples=300, deadline=None)
@given(kind=KINDS, decision_id=IDS, slot=st.integers(0, 7), data=st.data())
def test_any_change_of_any_part_is_refused(kind: str, decision_id: str, slot: int, data: st.DataObject) -> None:
    made = parts(kind, decision_id, slot)
    part = data.draw(st.sampled_from(PARTS))
    other = data.draw({"kind": KINDS, "decision_id": IDS}.get(part, st.text(max_size=50)))
    if other == made[part]:
        assert LINKS.check(**made, now_us=NOW_US) == slot
    else:
        with pytest.raises(Problem, match="signature"):
            LINKS.check(**made | {part: other}, now_us=NOW_US)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 42), letter=st.sampled_from("ABCabc019-_=+/ é"))
def test_no_other_spelling_of_the_signature_passes(place: int, letter: str) -> None:
    made = parts("click", "d_1", 0)
    text = made["signature"][:place] + letter + made["signature"][place + 1 :]
    if text != made["signature"]:
        with pytest.raises(Problem):
            LINKS.check(**made | {"signature": text}, now_us=NOW_US)


def test_another_servers_key_makes_other_links() -> None:
    theirs = Links(bytes(32), "https://ads.example", 3_600)
    with pytest.raises(Problem):
        theirs.check(**parts("click", "d_1", 0), now_us=NOW_US)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.sampled_from("dsem"), text=st.text(max_size=45))
def test_a_link_changed_in_the_address_bar_counts_nothing(shop, change: str, text: str) -> None:
    url = urlsplit(shop.decide().json()["ads"][0]["click_url"])
    query = dict(parse_qsl(url.query))
    if query[change] == text:
        return
    answer = shop.browser.get("/t/c?" + urlencode(query | {change: text}))
    assert answer.status_code in (403, 422)
    assert "location" not in answer.headers
    assert shop.counted("click") == 0


def test_a_click_counts_once_and_leads_to_the_landing_page_each_time(shop) -> None:
    link = shop.decide().json()["ads"][0]["click_url"]
    for _ in range(3):
        answer = shop.browser.get(link)
        assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/items/mug")
    assert shop.counted("click") == 1


def test_an_impression_counts_once_and_is_a_tiny_picture(shop) -> None:
    first, second = (ad["impression_url"] for ad in shop.decide().json()["ads"])
    for link in (first, first, second):
        answer = shop.browser.get(link)
        assert answer.headers["content-type"] == "image/gif"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.content[:10] == b"GIF89a\x01\x00\x01\x00"
    assert shop.counted("impression") == 2


def test_the_pixel_is_a_picture_that_readers_can_read(shop) -> None:
    import io

    from PIL import Image

    link = shop.decide().json()["ads"][0]["impression_url"]
    assert Image.open(io.BytesIO(shop.browser.get(link).content)).size == (1, 1)


def test_an_impression_link_is_no_click_link(shop) -> None:
    link = shop.decide().json()["ads"][0]["impression_url"]
    assert shop.browser.get(link.replace("/t/i", "/t/c")).json()["code"] == "link"


@pytest.mark.parametrize("name", ["url", "dest", "redirect", "r", "u", "location", "next"])
@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "javascript:alert(1)"])
def test_no_query_leads_elsewhere(shop, name: str, target: str) -> None:
    link = shop.decide().json()["ads"][0]["click_url"]
    answer = shop.browser.get(f"{link}&{urlencode({name: target})}")
    assert answer.headers["location"] == "https://shop.example/items/mug"


@pytest.mark.parametrize("landing", ["", "javascript:alert(1)", "/relative", "https:", "http://a\r\nSet-Cookie: x"])
def test_an_ad_without_a_web_address_leads_nowhere(shop, monkeypatch, landing: str) -> None:
    monkeypatch.setattr(shop.service, "clicked", lambda decision_id, slot: landing)
    answer = shop.browser.get(shop.decide().json()["ads"][0]["click_url"])
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("header", ["Sec-Purpose", "Purpose"])
def test_a_page_fetched_ahead_is_no_click(shop, header: str) -> None:
    link = shop.decide().json()["ads"][0]["click_url"]
    assert shop.browser.get(link, headers={header: "prefetch"}).status_code == 302
    assert shop.counted("click") == 0


def test_a_valid_link_to_a_decision_that_is_gone_is_not_found(shop) -> None:
    from zhitou.apps.http.links import Links

    links = Links(bytes(range(32)), "http://testserver", 60)
    for kind in ("click", "impression", "why"):
        assert shop.browser.get(links.make(kind, "d_gone", 0, shop.clock.now_us())).json()["code"] == "not_found"


def test_a_banner_is_served_in_the_kind_asked_for(shop) -> None:
    ad = shop.decide().json()["ads"][0]
    png, html = shop.browser.get(ad["creative_url"]), shop.browser.get(ad["html_url"])
    assert (png.headers["content-type"], png.content[:4]) == ("image/png", b"\x89PNG")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    bare = ad["creative_url"].removesuffix(".png")
    for accept, kind in [
        ("image/avif,image/*,*/*;q=0.8", "image/png"),
        ("text/html,*/*", "text/html; charset=utf-8"),
    ]:
        answer = shop.browser.get(bare, headers={"Accept": accept})
        assert (answer.headers["content-type"], answer.headers["vary"]) == (kind, "Accept")


def test_a_banner_never_changes_and_an_html_banner_can_run_nothing(shop) -> None:
    ad = shop.decide().json()["ads"][0]
    html = shop.browser.get(ad["html_url"])
    assert html.headers["cache-control"] == "public, max-age=31536000, immutable"
    policy = html.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script" not in policy
    again = shop.browser.get(ad["html_url"], headers={"If-None-Match": html.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_an_html_banner_leads_to_the_signed_click_link_and_to_no_other(shop) -> None:
    ad = shop.decide().json()["ads"][0]
    assert ad["click_url"].replace("&", "&amp;") in shop.browser.get(ad["html_url"]).text
    bare = ad["html_url"].partition("?")[0]
    assert 'href="about:blank"' in shop.browser.get(bare).text
    forged = ad["html_url"].replace("s=0", "s=1")
    assert shop.browser.get(forged).json()["code"] == "link"


@pytest.mark.parametrize("name", ["nothing.png", "nothing.html", "nothing"])
def test_an_unknown_banner_is_not_found_and_not_kept_by_caches(shop, name: str) -> None:
    answer = shop.browser.get(f"/creative/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["a.svg", "a.png.html", "a%00b.png", "x" * 200])
def test_an_impossible_banner_name_is_refused(shop, name: str) -> None:
    assert shop.browser.get(f"/creative/{name}").status_code == 422


def test_the_shopper_is_told_why_as_a_page_or_as_json(shop, view) -> None:
    shop.report(view(item="pot"))
    link = shop.decide().json()["ads"][0]["why_url"]
    page = shop.browser.get(link, headers={"Accept": "text/html"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "You last looked at Iron tea pot." in page.text
    told = shop.browser.get(link, headers={"Accept": "application/json"})
    assert told.json()["sentences"] == ["You last looked at Iron tea pot."]
    assert "shopper-7" not in page.text + told.text


def test_text_in_an_explanation_is_never_markup(shop, monkeypatch) -> None:
    monkeypatch.setattr(shop.service, "why", lambda decision_id: {"sentences": ["<script>alert(1)</script>"]})
    page = shop.browser.get(shop.decide().json()["ads"][0]["why_url"])
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_the_example_has_no_landing_page_for_an_empty_slot(shop) -> None:
    made = shop.decide(slots=1).json()
    with pytest.raises(NotFoundError, match="left slot 1 empty"):
        shop.service.clicked(made["decision_id"], 1)


HOME, AWAY = "203.0.113.9", "203.0.113.10"


def from_address(shop, address: str) -> TestClient:
    """A browser at this address."""
    return TestClient(shop.app, follow_redirects=False, client=(address, 50_000))


def kept_of(shop, kind: str) -> list:
    return [event for event in shop.service._store.events("example") if event.kind == kind]


def test_a_look_and_a_click_say_their_channel_and_a_name_of_the_address_and_never_the_address(shop) -> None:
    for address, subject in ((HOME, "anna"), (HOME, "bert"), (AWAY, "cora")):
        shop.clock.set_us(shop.clock.now_us() + 1)  # the store keeps what came first first
        ad = shop.decide(subject).json()["ads"][0]
        for link in (ad["impression_url"], ad["click_url"]):
            from_address(shop, address).get(link)
    events = kept_of(shop, "impression") + kept_of(shop, "click")
    contexts = [json.loads(event.context) for event in events]
    assert [sorted(context) for context in contexts] == [["channel", "ip_hash", "slot"]] * 6
    assert {context["channel"] for context in contexts} == {"onsite"}
    names = [context["ip_hash"] for context in contexts]
    assert names[0] == names[1] != names[2]
    assert names[:3] == names[3:]
    assert not any(address in str(event) for address in (HOME, AWAY) for event in events)


def test_the_name_of_an_address_changes_with_the_day_and_with_the_key(shop, make_shop) -> None:
    def name(where, address: str) -> str:
        from_address(where, address).get(where.decide().json()["ads"][0]["click_url"])
        return json.loads(kept_of(where, "click")[-1].context)["ip_hash"]

    today = name(shop, HOME)
    assert name(make_shop(), HOME) == today
    assert name(make_shop(address_key=bytes(32)), HOME) != today
    tomorrow = make_shop()
    tomorrow.clock.set_us(shop.clock.now_us() + 86_400_000_000)
    assert name(tomorrow, HOME) != today


def test_a_browser_without_an_ip_address_has_no_name(shop) -> None:
    shop.browser.get(shop.decide().json()["ads"][0]["click_url"])  # its host is "testclient"
    assert json.loads(kept_of(shop, "click")[0].context) == {"channel": "onsite", "slot": 0}


def test_two_hundred_clicks_of_one_address_in_a_minute_are_a_machines(shop) -> None:
    """Each with a new shopper and decision, so that nothing but the address ties them together."""
    home, away = from_address(shop, HOME), from_address(shop, AWAY)
    for n in range(201):
        home.get(shop.decide(f"shopper-{n}").json()["ads"][0]["click_url"])
        shop.clock.set_us(shop.clock.now_us() + 250_000)
    for n in range(5):
        away.get(shop.decide(f"visitor-{n}").json()["ads"][0]["click_url"])
    verdicts = judge_clicks(facts_of(kept_of(shop, "click")))
    assert {rule: count for rule, count in verdicts.counts().items() if count} == {"ip_rate": 201}
    assert verdicts.reason_of().count("human") == 5
