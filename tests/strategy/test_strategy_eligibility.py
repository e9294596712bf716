"""Who may see which ad, one filter at a time."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS, Campaign, Caps, Flight, Material, Targeting
from zhitou.core.chance import Chance
from zhitou.strategy import rules
from zhitou.strategy.eligibility import CODE, REASONS, eligibility
from zhitou.strategy.rules import Rules

DAY = 86_400_000_000
ONSITE, EMAIL, PUSH = (CHANNELS.index(name) for name in ("onsite", "email", "push"))


def campaign(number: int, **changes: Any) -> Campaign:
    plain: dict[str, Any] = {
        "campaign_id": f"c{number}",
        "advertiser": "a",
        "name": "n",
        "currency": "EUR",
        "flight": Flight(DAY, 3 * DAY, 1_000, 100),
        "objective": "clicks",
        "bid_micros": 10,
        "items": ("i",),
        "material": Material("b", "b", "#000000"),
        "targeting": Targeting(channels=("onsite", "email")),
    }
    return Campaign(**(plain | changes))


def book(*campaigns: Campaign, ads_each: int = 1) -> AdBook:
    owner = np.repeat(np.arange(len(campaigns), dtype=np.int32), ads_each)
    return AdBook(
        ad_ids=tuple(f"ad{k}" for k in range(len(owner))),
        campaigns=campaigns,
        item=np.arange(len(owner), dtype=np.int32),
        campaign=owner,
        bid_micros=np.full(len(owner), 10),
        price_micros=np.full(len(owner), 100),
        channels=np.asarray([[name in campaigns[n].targeting.channels for name in CHANNELS] for n in owner]),
    )


def ask(the_book: AdBook, **changes: Any) -> dict[str, Any]:
    """One request that every filter lets through, but for the changes."""
    ads, camps = len(the_book), len(the_book.campaigns)
    plain: dict[str, Any] = {
        "at_us": np.asarray([2 * DAY]),
        "channel": np.asarray([ONSITE], dtype=np.int8),
        "ads_allowed": np.asarray([True]),
        "in_stock": np.ones(ads, dtype=bool),
        "approved": np.ones(ads, dtype=bool),
        "remaining_micros": np.full(camps, 100),
        "seen_ad": np.zeros((1, ads), dtype=np.int16),
        "seen_campaign": np.zeros((1, camps), dtype=np.int16),
        "segments": [frozenset({"loyal"})],
        "locale": "en",
        "hour_local": np.asarray([12]),
    }
    return plain | changes


def reason(the_book: AdBook, **changes: Any) -> str:
    """The reason for the first ad."""
    return REASONS[eligibility(the_book, **ask(the_book, **changes))[0, 0]].name


def test_an_ad_that_passes_every_filter_may_be_shown() -> None:
    assert reason(book(campaign(0))) == "eligible"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"at_us": np.asarray([DAY - 1])}, "flight"),
        ({"at_us": np.asarray([3 * DAY])}, "flight"),
        ({"channel": np.asarray([PUSH], dtype=np.int8)}, "channel"),
        ({"ads_allowed": np.asarray([False])}, "consent"),
        ({"in_stock": np.asarray([False])}, "out_of_stock"),
        ({"approved": np.asarray([False])}, "no_creative"),
        ({"remaining_micros": np.asarray([0])}, "budget"),
        ({"seen_ad": np.asarray([[3]])}, "ad_cap"),
        ({"seen_campaign": np.asarray([[6]])}, "campaign_cap"),
    ],
)
def test_each_filter_names_itself(changes: dict[str, Any], name: str) -> None:
    assert reason(book(campaign(0)), **changes) == name


def test_the_first_filter_that_fails_is_the_reason() -> None:
    fails_all = {
        "at_us": np.asarray([0]),
        "channel": np.asarray([PUSH], dtype=np.int8),
        "ads_allowed": np.asarray([False]),
        "segments": None,
        "in_stock": np.asarray([False]),
        "approved": np.asarray([False]),
        "remaining_micros": np.asarray([0]),
        "seen_ad": np.asarray([[3]]),
        "seen_campaign": np.asarray([[6]]),
        "hour_local": np.asarray([23]),
    }
    passes = ask(book(campaign(0))) | {"channel": np.asarray([EMAIL], dtype=np.int8)}
    order = ["flight", "channel", "consent", "targeting", "out_of_stock", "no_creative", "budget", "ad_cap"]
    order += ["campaign_cap", "quiet_hours"]
    the_book = book(campaign(0, targeting=Targeting(("loyal",), ("onsite", "email")), quiet_hours=(22, 8)))
    mend = ["at_us", "channel", "ads_allowed", "segments", "in_stock", "approved", "remaining_micros", "seen_ad"]
    mend += ["seen_campaign", "hour_local"]
    found = []
    for name in mend:
        found.append(reason(the_book, **fails_all))
        fails_all[name] = passes[name]
    assert found == order
    assert reason(the_book, **fails_all) == "eligible"


def test_whoever_refused_ads_is_not_compared_with_any_targeting() -> None:
    targeted = book(campaign(0, targeting=Targeting(segments=("rich",))))
    assert reason(targeted, ads_allowed=np.asarray([False])) == "consent"


@pytest.mark.parametrize(
    ("segments", "name"),
    [
        ([frozenset({"loyal"})], "eligible"),
        ([frozenset({"new", "rich"})], "eligible"),
        ([frozenset({"new"})], "targeting"),
        ([frozenset()], "targeting"),
        (None, "targeting"),
    ],
)
def test_a_shopper_needs_one_of_the_segments(segments: list[frozenset[str]] | None, name: str) -> None:
    targeted = book(campaign(0, targeting=Targeting(segments=("loyal", "rich"))))
    assert reason(targeted, segments=segments) == name


@pytest.mark.parametrize(
    ("locale", "name"),
    [
        ("en", "eligible"),
        ("EN-gb", "eligible"),
        ("zh-Hant-TW", "eligible"),
        ("zh", "targeting"),
        ("eng", "targeting"),
        (None, "targeting"),
        (["en"], "eligible"),
        (["de"], "targeting"),
    ],
)
def test_a_campaign_for_a_language_reaches_its_regions(locale: str | list[str] | None, name: str) -> None:
    targeted = book(campaign(0, targeting=Targeting(locales=("en", "zh-Hant"))))
    assert reason(targeted, locale=locale) == name


def test_a_shopper_must_match_each_field_that_is_not_empty() -> None:
    targeted = book(campaign(0, targeting=Targeting(segments=("loyal",), locales=("de",))))
    assert reason(targeted, locale="en") == "targeting"
    assert reason(targeted, locale="de") == "eligible"


@pytest.mark.parametrize(
    ("quiet", "hour", "quietly"),
    [
        ((22, 8), 21, False),
        ((22, 8), 22, True),
        ((22, 8), 3, True),
        ((22, 8), 8, False),
        ((12, 14), 13, True),
        ((12, 14), 14, False),
        ((9, 9), 9, False),
    ],
)
def test_quiet_hours_bind_messages_and_may_pass_midnight(quiet: tuple[int, int], hour: int, quietly: bool) -> None:
    the_book = book(campaign(0, quiet_hours=quiet))
    by_mail = {"channel": np.asarray([EMAIL], dtype=np.int8), "hour_local": np.asarray([hour])}
    assert reason(the_book, **by_mail) == ("quiet_hours" if quietly else "eligible")
    assert reason(the_book, hour_local=np.asarray([hour])) == "eligible"  # the site is never quiet


def test_a_capped_shopper_is_never_shown_the_same_ad_again() -> None:
    the_book = book(campaign(0, caps=Caps(campaign_per_day=6, ad_per_day=1)), ads_each=2)
    codes = eligibility(the_book, **ask(the_book, seen_ad=np.asarray([[1, 0]]), seen_campaign=np.asarray([[1]])))
    assert [REASONS[code].name for code in codes[0]] == ["ad_cap", "eligible"]


def test_reasons_have_one_code_each_and_speak_in_sentences() -> None:
    assert CODE["eligible"] == 0
    assert len(CODE) == len(REASONS)
    assert all(reason.sentence.endswith(".") for reason in REASONS)


def test_a_book_of_rules_is_made_once_and_gone_with_the_book() -> None:
    the_book = book(campaign(0))
    assert Rules.of(the_book) is Rules.of(the_book)
    assert Rules.of(Rules.of(the_book)) is Rules.of(the_book)
    assert Rules.of(book(campaign(0))) is not Rules.of(the_book)
    key = id(the_book)
    assert key in rules._known
    del the_book
    gc.collect()
    assert key not in rules._known


def test_a_batch_says_of_each_pair_what_one_request_says() -> None:
    rng = Chance(5).stream("eligibility")
    camps = [
        campaign(0, quiet_hours=(20, 6)),
        campaign(1, targeting=Targeting(("loyal",), ("push", "email"))),
        campaign(2, targeting=Targeting(locales=("de", "fr")), flight=Flight(0, 2 * DAY, 1, 1)),
    ]
    the_book, size = book(*camps, ads_each=4), 200
    batch = {
        "at_us": rng.integers(0, 4 * DAY, size),
        "channel": rng.integers(0, 3, size).astype(np.int8),
        "ads_allowed": rng.random(size) < 0.8,
        "in_stock": rng.random(12) < 0.8,
        "approved": rng.random(12) < 0.8,
        "remaining_micros": np.asarray([5, 0, 7]),
        "seen_ad": rng.integers(0, 4, (size, 12)),
        "seen_campaign": rng.integers(0, 7, (size, 3)),
        "segments": [frozenset({"loyal"} if rng.random() < 0.5 else ()) for _ in range(size)],
        "locale": [("de-AT", "en")[n] for n in rng.integers(0, 2, size)],
        "hour_local": rng.integers(0, 24, size),
    }
    codes = eligibility(the_book, **batch)
    per_book = {"in_stock", "approved", "remaining_micros"}
    for b in range(size):
        one = {name: value if name in per_book else value[b : b + 1] for name, value in batch.items()}
        assert eligibility(the_book, **one)[0].tolist() == codes[b].tolist()
    assert len(np.unique(codes)) >= 9
