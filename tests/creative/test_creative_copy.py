"""Offers, templates and the rules on words."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.errors import ConfigError
from zhitou.creative.brief import ANGLES, offer_of, price_text, write_brief
from zhitou.creative.claims import BANNED, check_claims, said
from zhitou.creative.copywriter import BUTTONS, HEADLINES, SUBLINES, TASTES, angles_of, write_copy

COLA = Item("i1", "SFT DRNK 2 LITER BTL CARB INCL", ("GROCERY", "SOFT DRINKS", "COLA"), "Brand 69", 1_990_000, "USD")
SALE = dataclasses.replace(COLA, price_micros=10_000_000, sale_price_micros=7_490_000)
SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
GOOD = (
    ("logo", "Fresh Market"),
    ("headline", "Soft Drink Bottle, 2 liter"),
    ("button", "Shop now"),
    ("label", "Ad"),
)


def rules(*texts: tuple[str, str], item: Item = COLA, material: Material = SHOP) -> set[str]:
    changed = {**dict(GOOD), **dict(texts)}
    return {finding.rule for finding in check_claims(changed.items(), item, material)}


def test_a_was_price_exists_only_where_the_feed_has_a_lower_sale_price() -> None:
    assert offer_of(COLA).was_micros is None
    assert offer_of(dataclasses.replace(COLA, sale_price_micros=1_990_000)).was_micros is None
    assert offer_of(SALE).price_micros == 7_490_000
    assert offer_of(SALE).discount_percent == 25  # 2.51 of 10 is 25.1 %, rounded down


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_discount_is_never_overstated(price: int, sale: int) -> None:
    offer = offer_of(dataclasses.replace(COLA, price_micros=price, sale_price_micros=sale))
    if offer.discount_percent is not None:
        assert offer.discount_percent * price <= 100 * (price - sale)


@pytest.mark.parametrize(
    ("micros", "currency", "text"),
    [
        (2_490_000, "USD", "$2.49"),
        (2_490_001, "USD", "$2.50"),
        (499_000_000, "CNY", "¥499"),
        (1_234_500_000, "GBP", "£1,234.50"),
        (12_500_000, "PLN", "12.50\xa0PLN"),
        (990_000_000, "JPY", "¥990"),
    ],
)
def test_a_price_is_printed_as_it_is_paid(micros: int, currency: str, text: str) -> None:
    assert price_text(micros, currency) == text


def test_no_template_has_a_number_of_its_own() -> None:
    words = [
        t for table in (HEADLINES, SUBLINES) for by in table.values() for options in by.values() for t in options
    ]
    words += [t for options in TASTES.values() for t in options]
    words += [verb for verbs in BUTTONS.values() for pair in verbs for verb in pair]
    assert not [t for t in words if re.search(r"\d", re.sub(r"{\w+}", "", t))]
    assert not [t for t in words if said(t, BANNED)]


def test_a_made_up_brand_is_not_shown_and_gives_no_brand_angle() -> None:
    brief = write_brief("ad", COLA, SHOP, "attribute", (300, 250))
    assert angles_of(brief) == ("attribute", "price", "category", "newness")
    assert all("69" not in line.text for line in write_copy(brief).headlines)


def test_a_stock_name_without_a_noun_gets_its_category() -> None:
    bare = dataclasses.replace(
        COLA, title="TRADITIONAL 56 OZ", category=("GROCERY", "ICE CREAM/MILK/SHERBTS", "TRADITIONAL")
    )
    assert write_copy(write_brief("ad", bare, SHOP, "price", (300, 250))).headlines[0].text == "Traditional Ice Cream"


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("locale", ["en", "zh"])
def test_whatever_the_angle_the_copy_passes_the_rules_on_words(angle: str, locale: str) -> None:
    item = dataclasses.replace(SALE, brand="Fizz", attributes='{"flavour": "cherry"}')
    copy = write_copy(write_brief("ad", item, SHOP, angle, (300, 250), locale))
    assert copy.price
    assert copy.was_price
    assert copy.badge
    fixed = [
        ("logo", copy.logo.text),
        ("label", copy.label.text),
        ("price", copy.price.text),
        ("badge", copy.badge.text),
    ]
    fixed += [("was_price", copy.was_price.text), ("button", copy.buttons[0].text)]
    for headline in copy.headlines:
        for subline in copy.sublines:
            texts = [*fixed, ("headline", headline.text), ("subline", subline.text)]
            assert check_claims(texts, item, SHOP) == []


def test_the_interest_that_chose_the_ad_is_never_on_it() -> None:
    copy = write_copy(write_brief("ad", COLA, SHOP, "category", (300, 250), tag="regular of soft drinks"))
    assert not any("regular" in line.text.lower() for line in (*copy.headlines, *copy.sublines))
    assert "personal" in rules(("subline", "For a regular of soft drinks"))


def test_good_copy_has_no_finding() -> None:
    assert rules() == set()


@pytest.mark.parametrize(
    ("role", "text", "rule"),
    [
        ("headline", "Soft Drink, 3 liter", "grounded.number"),
        ("headline", "Organic Soft Drink", "grounded.word"),
        ("price", "$1.89", "price.exact"),
        ("was_price", "$2.99", "was.proof"),
        ("badge", "-20%", "was.proof"),
        ("subline", "Limited time", "urgency"),
        ("subline", "限时抢购", "urgency"),
        ("subline", "全网第 一", "banned"),
        ("subline", "最 佳選擇", "banned"),
        ("subline", "ＧＵＡＲＡＮＴＥＥＤ", "banned"),
        ("subline", "The World’s Best", "banned"),
        ("label", "News", "missing.label"),
        ("headline", "", "missing.headline"),
    ],
)
def test_a_claim_the_feed_does_not_make_is_found(role: str, text: str, rule: str) -> None:
    assert rule in rules((role, text))


def test_a_badge_may_say_less_than_the_feed_proves_but_not_more() -> None:
    assert "was.proof" not in rules(("badge", "-25%"), item=SALE)
    assert "was.proof" in rules(("badge", "-26%"), item=SALE)


def test_the_brands_own_forbidden_words_are_kept_off() -> None:
    strict = dataclasses.replace(SHOP, forbidden_claims=("soft drink",))
    assert rules(material=strict) == {"forbidden"}


def test_urgency_is_allowed_where_the_feed_has_an_end() -> None:
    item = dataclasses.replace(COLA, attributes='{"sale_ends": "2026-12-01"}')
    own = dataclasses.replace(SHOP, slogan="Limited time")
    assert rules(("subline", "Limited time"), item=item, material=own) == set()


def test_what_is_out_of_stock_is_not_advertised() -> None:
    assert rules(item=dataclasses.replace(COLA, availability="out_of_stock")) == {"stock"}


def test_a_landing_page_must_be_a_web_address() -> None:
    assert rules(material=dataclasses.replace(SHOP, landing_url="javascript:alert(1)")) == {"landing"}


def test_an_unknown_angle_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="urgency"):
        write_brief("ad", COLA, SHOP, "urgency", (300, 250))
