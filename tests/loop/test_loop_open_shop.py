"""The shop that the loop leaves behind, open for requests: facts change the next decision, and money is paid once."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from zhitou.apps.http.service import DecisionRequest
from zhitou.assembly import open_service
from zhitou.core.clock import FixedClock
from zhitou.core.errors import NotFoundError
from zhitou.events.schema import Event

NOW_US = 1_720_000_000_000_000
SECOND = 1_000_000
Ask = partial(DecisionRequest, channel="onsite", size=(300, 250), slots=2, placement="home")


@pytest.fixture
def folder(tmp_path, two_runs):
    target = tmp_path / "run"
    shutil.copytree(two_runs[0].folder, target)
    return target


@pytest.fixture
def clock():
    return FixedClock(NOW_US)


@pytest.fixture
def shop(folder, clock):
    service = open_service(folder, clock)
    yield service
    service.close()


def fact(shop, kind, subject, at_us, n=0, **more):
    return Event(f"e_{kind}_{n}", shop.pseudonyms.tenant, subject, kind, at_us, at_us, **more)


def click(shop, answer, subject, at_us, slot=0):
    item = answer.ads[slot].item
    context = json.dumps({"slot": slot})
    return fact(shop, "click", subject, at_us, item=item, decision_id=answer.decision_id, context=context)


def field(shop, decision_id, name):
    names = shop.desk.candidates.names
    return [slot["fields"][names.index(name)] for slot in shop.receipt(decision_id)["slots"] if slot["ad_id"]]


def test_a_decision_names_ads_with_creatives_and_keeps_its_receipt(shop):
    answer = shop.decide(Ask("r1", "s_new", NOW_US))
    assert len(answer.ads) == 2
    for ad in answer.ads:
        assert shop.creative(ad.creative_id, "png")[0].startswith(b"\x89PNG")
    assert shop.receipt(answer.decision_id)["request"]["subject"] == "s_new"


def test_a_click_is_known_to_the_very_next_decision(shop):
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    shop.observe([click(shop, first, "s_new", NOW_US + 100_000)])
    rows = shop.desk.candidates.features.subject_rows(["s_new"])
    before = shop.desk.candidates.fields(np.asarray([-1]), np.asarray([NOW_US // SECOND + 1]))[0]
    after = shop.desk.candidates.fields(rows, np.asarray([NOW_US // SECOND + 1]))[0]
    column = shop.desk.candidates.names.index("item_clicks_log")
    clicked = list(shop.items.ids[shop.desk.book.item]).index(first.ads[0].item)
    assert before[clicked, column] == 0
    assert after[clicked, column] > 0


def test_a_click_changes_the_scores_of_the_next_decision(shop):
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    shop.observe([click(shop, first, "s_new", NOW_US + 100_000)])
    second = shop.decide(Ask("r2", "s_new", NOW_US + 900_000))
    other = shop.decide(Ask("r3", "s_other", NOW_US + 900_000))
    scores = [shop.receipt(d.decision_id)["candidates"]["pctr"] for d in (second, other)]
    assert scores[0] != scores[1]


def test_a_repeated_click_is_paid_once(shop):
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    event = click(shop, first, "s_new", NOW_US + SECOND)
    price = shop.receipt(first.decision_id)["slots"][0]["price_micros_per_click"]
    assert shop.observe([event]).accepted == 1
    again = shop.observe([event, event])
    assert (again.accepted, again.duplicates) == (0, 2)
    assert int(shop.desk.ledger.spent_micros().sum()) == price


def test_an_event_about_an_unknown_item_is_refused_with_a_reason_and_the_others_are_kept(shop):
    good = fact(shop, "view", "s_new", NOW_US, item=str(shop.items.ids[0]))
    bad = fact(shop, "view", "s_new", NOW_US, n=1, item="nope")
    answer = shop.observe([bad, good])
    assert (answer.accepted, answer.duplicates) == (1, 0)
    assert answer.quarantined == ((0, "item 'nope' is not in the catalogue; add it to the feed first"),)


def test_a_click_on_a_decision_nobody_made_costs_nothing(shop):
    event = fact(shop, "click", "s_new", NOW_US, item=str(shop.items.ids[0]), decision_id="d_invented")
    assert shop.observe([event]).accepted == 1
    assert int(shop.desk.ledger.spent_micros().sum()) == 0


@pytest.mark.parametrize("context", ['{"slot": "x"}', "[]", "{", '{"slot": 77}'])
def test_a_click_with_a_strange_slot_costs_nothing_and_breaks_nothing(shop, context):
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    item = first.ads[0].item
    event = fact(shop, "click", "s_new", NOW_US, item=item, decision_id=first.decision_id, context=context)
    assert shop.observe([event]).accepted == 1
    assert int(shop.desk.ledger.spent_micros().sum()) == 0


def test_who_refuses_a_profile_is_a_stranger_from_then_on(shop):
    subject = str(shop.live._past.subjects[0])
    first = shop.decide(Ask("r1", subject, NOW_US))
    assert shop.receipt(first.decision_id)["consent_basis"].startswith("ads default")
    answer = shop.decide(Ask("r2", subject, NOW_US + SECOND, consent=(("profile", False),)))
    assert "contextual" in shop.receipt(answer.decision_id)["consent_basis"]
    assert not shop.desk.candidates.features.knows(subject)
    assert len(shop.live.of(subject).item) == 0


def test_who_refuses_ads_gets_none_and_is_told_why(shop):
    answer = shop.decide(Ask("r1", "s_new", NOW_US, consent=(("ads", False),)))
    assert answer.ads == ()
    assert answer.reason == "The visitor has not agreed to advertising."


def test_an_ad_is_capped_by_its_impressions(shop):
    caps = shop.desk.book.campaigns[0].caps
    shown = []
    for n in range(60):
        at_us = NOW_US + n * SECOND
        answer = shop.decide(Ask(f"r{n}", "s_new", at_us))
        for ad in answer.ads:
            context = json.dumps({"slot": ad.slot})
            seen = Event(
                f"i_{n}_{ad.slot}", shop.pseudonyms.tenant, "s_new", "impression", at_us, at_us,
                item=ad.item, decision_id=answer.decision_id, context=context,
            )  # fmt: skip
            shop.observe([seen])
            shown.append(ad.ad_id)
    assert max(shown.count(ad) for ad in set(shown)) <= caps.ad_per_day
    campaign = dict(zip(shop.desk.book.ad_ids, shop.desk.book.campaign.tolist(), strict=True))
    by_campaign = [campaign[ad] for ad in shown]
    assert max(by_campaign.count(c) for c in set(by_campaign)) <= caps.campaign_per_day
    assert shop.decide(Ask("last", "s_new", NOW_US + 61 * SECOND)).ads == ()


def test_the_shopper_is_told_why_in_sentences(shop):
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    told = shop.why(first.decision_id)
    assert told["sentences"][0].startswith(first.ads[0].title)
    assert "without looking at you" in told["sentences"][0]


def test_a_restart_builds_the_same_state_from_the_log(folder, clock):
    shop = open_service(folder, clock)
    first = shop.decide(Ask("r1", "s_new", NOW_US))
    shop.observe([click(shop, first, "s_new", NOW_US + SECOND)])
    shop.observe([fact(shop, "purchase", "s_new", NOW_US + SECOND, item=first.ads[0].item, price_micros=5)])
    spent = shop.desk.ledger.spent_micros().tolist()
    shop._refresh("s_new")
    rows, when = shop.desk.candidates.features.subject_rows(["s_new"]), np.asarray([NOW_US // SECOND + 9])
    fields = shop.desk.candidates.fields(rows, when)
    shop.close()
    again = open_service(folder, clock)
    again._refresh("s_new")
    assert again.desk.ledger.spent_micros().tolist() == spent
    rows = again.desk.candidates.features.subject_rows(["s_new"])
    ours = [n for n in again.desk.candidates.names if n != "random_number"]
    keep = [again.desk.candidates.names.index(n) for n in ours]
    np.testing.assert_array_equal(again.desk.candidates.fields(rows, when)[..., keep], fields[..., keep])
    again.close()


def test_what_is_not_known_is_not_found(shop):
    for ask in (lambda: shop.why("d_0"), lambda: shop.placed("d_0", 0), lambda: shop.creative("cr_0", "png")):
        with pytest.raises(NotFoundError):
            ask()
