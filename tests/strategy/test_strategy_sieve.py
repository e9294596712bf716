"""Bitsets say of every pair what the filters say one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS, Campaign, Caps, Flight, Material, Targeting
from zhitou.core.chance import Chance
from zhitou.strategy.eligibility import eligibility
from zhitou.strategy.sieve import Sieves, packed, unpacked

DAY = 86_400_000_000
SEGMENTS, LOCALES = ("loyal", "new", "rich"), ("de", "en", "zh-Hant")


def some(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if rng.random() < 0.4)


def book(rng: np.random.Generator, campaigns: int, ads: int) -> AdBook:
    """Campaigns that differ in every rule that a filter looks at."""
    camps = []
    for number in range(campaigns):
        start = int(rng.integers(0, 3)) * DAY
        camps.append(
            Campaign(
                campaign_id=f"c{number}",
                advertiser="a",
                name="n",
                currency="EUR",
                flight=Flight(start, start + int(rng.integers(1, 3)) * DAY, 1_000, 100),
                objective="clicks",
                bid_micros=10,
                items=("i",),
                material=Material("b", "b", "#000000"),
                targeting=Targeting(some(rng, SEGMENTS), some(rng, CHANNELS) or ("onsite",), some(rng, LOCALES)),
                caps=Caps(campaign_per_day=int(rng.integers(2, 6)), ad_per_day=int(rng.integers(1, 3))),
                quiet_hours=[None, (22, 8), (12, 14), (9, 9)][rng.integers(0, 4)],
            )
        )
    owner = np.sort(rng.integers(0, campaigns, ads)).astype(np.int32)
    return AdBook(
        ad_ids=tuple(f"ad{k}" for k in range(ads)),
        campaigns=tuple(camps),
        item=np.arange(ads, dtype=np.int32),
        campaign=owner,
        bid_micros=np.full(ads, 10),
        price_micros=np.full(ads, 100),
        channels=np.asarray([[name in camps[n].targeting.channels for name in CHANNELS] for n in owner]),
    )


def facts(rng: np.random.Generator, the_book: AdBook, size: int) -> dict[str, Any]:
    ads, camps = len(the_book), len(the_book.campaigns)
    return {
        "at_us": rng.integers(0, 10, size) * (DAY // 2),
        "channel": rng.integers(0, 3, size).astype(np.int8),
        "ads_allowed": rng.random(size) < 0.9,
        "in_stock": rng.random(ads) < 0.9,
        "approved": rng.random(ads) < 0.9,
        "remaining_micros": rng.integers(0, 4, camps),
        "seen_ad": rng.integers(0, 3, (size, ads)),
        "seen_campaign": rng.integers(0, 5, (size, camps)),
        "hour_local": rng.integers(0, 24, size),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 150), st.sampled_from(["each", "one", "none"]))
def test_every_pair_has_the_reason_that_the_filters_give_one_by_one(
    seed: int, campaigns: int, ads: int, known: str
) -> None:
    rng = Chance(seed).stream("sieve")
    the_book, size = book(rng, campaigns, ads), 12
    asked = facts(rng, the_book, size)
    segments = None if known == "none" else [frozenset(some(rng, (*SEGMENTS, "other"))) for _ in range(size)]
    tags = ("EN-gb", "de", "zh", "zh-Hant-TW")
    locale: Any = {"none": None, "one": "en-GB", "each": [tags[n] for n in rng.integers(0, 4, size)]}[known]
    expected = eligibility(the_book, **asked, segments=segments, locale=locale)
    sieves = Sieves(the_book)
    sieve = sieves.of(**asked, audience=sieves.audiences(size, segments, locale))
    assert [sieve.reasons(b).tolist() for b in range(size)] == expected.tolist()
    assert sieve.eligible().tolist() == (expected == 0).tolist()


def test_alike_shoppers_share_one_row_of_the_table() -> None:
    sieves = Sieves(book(Chance(1).stream("book"), 6, 20))
    assert sieves.audience(["new"], "en") == sieves.audience(["new", "never heard of"], "EN")
    assert sieves.audiences(3, None, None).tolist() == [1, 1, 1]


def test_ad_65_is_the_second_bit_of_the_second_word() -> None:
    passes = np.zeros(70, dtype=bool)
    passes[[0, 65]] = True
    assert packed(passes).tolist() == [1, 2]
    assert unpacked(packed(passes), 70).tolist() == passes.tolist()
