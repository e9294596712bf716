"""Facts, asks, grammar and verifier: what is said is in the feed, and the interest decides what is said first."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.errors import ConfigError
from zhitou.creative.brief import write_brief
from zhitou.creative.claims import check_claims
from zhitou.creative.copywriter import write_copy
from zhitou.creative.words.ask import ANGLES, INTERESTS, PLACES, TONES, Ask, ask_for, interest_of, possible_angles
from zhitou.creative.words.authors import GrammarAuthor, Proposal, Wanted
from zhitou.creative.words.banned import find_banned
from zhitou.creative.words.facts import facts_of
from zhitou.creative.words.fill import fill, unfill
from zhitou.creative.words.grammar import draw_line, every_ask, lexicon, slots_in
from zhitou.creative.words.verify import check_text
from zhitou.creative.words.write import Copywriter, Variety, banner_lines, grams, repair, write_set

BENCH = Path(__file__).parents[2] / "bench"
SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
SOCKS = Item(
    "s1", "Wool Socks", ("clothing", "socks"), "Northway", 12_000_000, "USD", 9_000_000,
    description="Warm socks for winter, 5% elastane.",
    attributes=json.dumps({"material": "merino wool", "colour": ["grey", "navy"], "rating": "4.6", "stock": "7",
                           "shipping": "Ships in 3-5 business days", "warranty": "No warranty"}),
)  # fmt: skip
COAT = Item(
    "c1", "外套", ("服装", "上衣"), None, 299_000_000, "CNY", locale="zh",
    attributes=json.dumps({"材质": "牛仔布", "风格": ["简约", "复古"], "图案": "刺绣", "衣样式": "外套",
                           "sale_ends": "12月1日"}),
)  # fmt: skip
SOCK_FACTS, COAT_FACTS = facts_of(SOCKS, SHOP, "en"), facts_of(COAT, SHOP, "zh")


def rules(
    text: str, place: str = "subline", item: Item = SOCKS, material: Material = SHOP, locale: str = "en"
) -> set[str]:
    return {finding.rule for finding in check_text(text, place, facts_of(item, material, locale))}


def test_facts_are_the_feeds_own_words() -> None:
    slots = SOCK_FACTS.slots
    assert slots["title"] == "Wool Socks"
    assert slots["colour"] in ("grey and navy", "navy and grey")
    assert (slots["price"], slots["was"], slots["saving"], slots["few"]) == ("$9.00", "$12.00", "25%", "7")
    assert "warranty" not in slots  # "No warranty" is none
    assert "category" not in slots  # the name says it


def test_a_poor_rating_and_a_large_stock_are_no_reason_to_buy() -> None:
    item = dataclasses.replace(SOCKS, attributes='{"rating": 2.9, "stock": 500}')
    assert not {"rating", "few"} & set(facts_of(item, SHOP, "en").slots)


def test_broken_attributes_are_no_facts() -> None:
    for broken in ("[1]", "{", '"x"', '{"material": {"a": 1}}', '{"material": null}'):
        assert "material" not in facts_of(dataclasses.replace(SOCKS, attributes=broken), SHOP, "en").slots


def test_the_value_that_an_interest_names_stands_first() -> None:
    assert facts_of(SOCKS, SHOP, "en", first=("navy",)).slots["colour"] == "navy and grey"
    assert facts_of(SOCKS, SHOP, "en", first=("grey",)).slots["colour"] == "grey and navy"


def test_urgency_social_proof_and_price_need_the_feed() -> None:
    bare = dataclasses.replace(SOCKS, attributes="{}", price_micros=None, sale_price_micros=None)
    assert set(possible_angles(facts_of(bare, SHOP, "en"))) == {"benefit", "curiosity", "gift"}
    assert set(possible_angles(SOCK_FACTS)) == set(ANGLES)
    with pytest.raises(ConfigError, match="urgency"):
        ask_for(facts_of(bare, SHOP, "en"), "headline", "any", np.random.default_rng(0), angle="urgency")


def test_tags_become_one_interest_and_nothing_else() -> None:
    assert interest_of(["wool jumpers", "coupon user"]) == "material"
    assert interest_of(["coupon user", "wool jumpers"]) == "bargain"
    assert interest_of(["零食", "折扣"]) == "taste"
    assert interest_of([]) == "any"


def test_an_unknown_tone_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="shouty"):
        Ask("headline", "gift", "shouty")


def test_a_bargain_hunter_reads_the_price_first_and_a_material_lover_the_material() -> None:
    rng = np.random.default_rng(3)
    for interest, slots in (("bargain", {"price", "was", "saving"}), ("material", {"material"})):
        lines = [
            draw_line(SOCK_FACTS.slots, ask_for(SOCK_FACTS, "subline", interest, rng), "en", rng) for _ in range(60)
        ]
        assert np.mean([bool(set(slots_in(line)[:1]) & slots) for line in lines]) > 0.8


def test_no_line_has_a_number_or_a_banned_word_of_its_own() -> None:
    for locale in ("en", "zh"):
        for piece in lexicon(locale):
            assert not re.search(r"[\d$€£¥%]", piece), piece
            assert not find_banned(piece), piece


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_every_place_angle_and_tone_writes_what_the_verifier_passes(locale: str) -> None:
    facts = facts_of(SOCKS, SHOP, "en") if locale == "en" else COAT_FACTS
    rng = np.random.default_rng(1)
    for place, angle, tone in every_ask():
        if angle in possible_angles(facts):
            text = fill(draw_line(facts.slots, Ask(place, angle, tone), locale, rng), facts.slots, locale)
            assert check_text(text, place, facts) == [], text


def test_tones_speak_differently() -> None:
    said = {
        tone: {draw_line({"title"}, Ask("subline", "gift", tone), "en", np.random.default_rng(n)) for n in range(40)}
        for tone in TONES
    }
    assert all(not said[a] & said[b] for a in TONES for b in TONES if a < b)


def test_a_body_names_every_trait_once() -> None:
    for seed in range(30):
        line = draw_line(COAT_FACTS.slots, Ask("body", "attribute", "plain"), "zh", np.random.default_rng(seed))
        named = slots_in(line)
        assert set(COAT_FACTS.traits) <= set(named)
        assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Wool Socks for $8.00", "grounded.money"),
        ("Wool Socks for €9.00", "grounded.money"),
        ("Now $12.00, was $9.00", "grounded.money"),
        ("30% off Wool Socks", "grounded.percent"),
        ("25% more wool", "grounded.percent"),
        ("5% wool", "grounded.percent"),
        ("With 5 year warranty", "grounded.number"),
        ("Rated 4.9", "grounded.number"),
        ("3 left", "grounded.number"),
        ("By Nike", "grounded.word"),
        ("In cotton", "claim.composition"),
        ("Waterproof socks", "claim.quality"),
        ("Free shipping", "claim.offer"),
        ("Made in winter", "claim.origin"),
        ("A bestseller", "claim.social"),
        ("World's best socks", "banned"),
        ("W.o.r.l.d's b e s t socks", "banned"),
        ("Because you like wool", "personal"),
        ("Merino wool \U0001f525", "text.sign"),
        ("{title}", "text.sign"),
        ("...", "text.empty"),
    ],
)
def test_what_the_feed_does_not_say_is_found(text: str, rule: str) -> None:
    assert rule in rules(text)


@pytest.mark.parametrize(
    "text",
    ["Wool Socks, in merino wool", "Now $9.00, was $12.00", "25% off", "Rated 4.6", "7 left",
     "Ships in 3-5 business days",
     "Warm socks for winter", "5% elastane", "Grey and navy", "By Northway", "Wool Socks, $9.00"],
)  # fmt: skip
def test_what_the_feed_says_passes(text: str) -> None:
    assert rules(text) == set()


@pytest.mark.parametrize(
    ("text", "rule"),
    [("外套，真丝里衬", "grounded.word"), ("现价99元", "grounded.money"), ("三年质保", "grounded.number"),
     ("仅剩两件", "grounded.word"),
     ("外套，全国包邮", "claim.offer"), ("耐克外套", "grounded.word"), ("打八折", "grounded.number"),
     ("最隹外套", "grounded.word")],
)  # fmt: skip
def test_a_chinese_invention_is_found(text: str, rule: str) -> None:
    assert rule in rules(text, item=COAT, locale="zh")


def test_urgency_passes_only_with_an_end_or_a_small_stock() -> None:
    calm = dataclasses.replace(SOCKS, attributes="{}")
    assert "urgency" in rules("Last chance", item=calm)
    assert "urgency" not in rules("Last chance")


def test_the_advertisers_forbidden_words_are_found() -> None:
    assert "forbidden" in rules("Merino w-o-o-l", material=dataclasses.replace(SHOP, forbidden_claims=("wool",)))


@given(st.text(alphabet=st.sampled_from("0123456789$%.,: offatrednwx"), max_size=24))
def test_whatever_is_typed_no_strange_amount_passes(text: str) -> None:
    if not rules(text):
        told = {"9", "00", "12", "25", "5", "4", "6", "7", "3"}
        assert set(re.findall(r"\d+", text)) <= told


@given(st.integers(0, 2**32 - 1), st.sampled_from(PLACES), st.sampled_from([*INTERESTS, "any"]))
def test_unfilling_what_was_filled_gives_the_facts_back(seed: int, place: str, interest: str) -> None:
    rng = np.random.default_rng(seed)
    template = draw_line(SOCK_FACTS.slots, ask_for(SOCK_FACTS, place, interest, rng), "en", rng)
    text = fill(template, SOCK_FACTS.slots, "en")
    assert fill(unfill(text, SOCK_FACTS.slots), SOCK_FACTS.slots, "en") == text


class Liar:
    """An author that says the same thing of everything."""

    name = "liar"

    def __init__(self, text: str) -> None:
        self.text = text

    def propose(self, wanted: list[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        return [Proposal(self.text, self.text)] * len(wanted)


def test_a_lie_is_replaced_by_a_true_line_and_the_record_says_so() -> None:
    (written,) = Copywriter(Liar("Wool Socks, waterproof")).write(
        [Wanted(SOCK_FACTS, Ask("headline", "benefit", "plain"))], np.random.default_rng(0)
    )
    assert written is not None
    assert written.author == "grammar"
    assert ("liar", "claim.quality") in written.findings
    assert check_text(written.text, "headline", SOCK_FACTS) == []


def test_a_body_with_one_false_sentence_keeps_the_others() -> None:
    text = "Meet Wool Socks, in merino wool. Made of pure silk. Rated 4.6."
    assert repair(text, "body", SOCK_FACTS) == "Meet Wool Socks, in merino wool. Rated 4.6."
    assert repair("Silk socks. By Nike.", "body", SOCK_FACTS) is None


def test_where_even_the_name_may_not_be_said_nothing_is_written() -> None:
    banned = facts_of(dataclasses.replace(SOCKS, title="World's Best Socks"), SHOP, "en")
    wanted = [Wanted(banned, Ask("headline", "benefit", "plain"))]
    assert Copywriter().write(wanted, np.random.default_rng(0)) == [None]


def test_nothing_wider_than_its_box_is_written() -> None:
    def measure(text: str) -> float:
        return 7.0 * len(text)

    wanted = [Wanted(SOCK_FACTS, Ask("headline", "attribute", "plain", width_pixels=150.0))] * 20
    written = Copywriter(GrammarAuthor(), measure=measure).write(wanted, np.random.default_rng(0))
    assert all(text is not None and measure(text.text) <= 150.0 for text in written)


def test_of_several_true_texts_the_least_worn_is_kept() -> None:
    variety = Variety()
    variety.add("one two three four five")
    assert variety.repeats("one two three four") == 1.0
    assert variety.repeats("nothing like it here at all") == 0.0
    assert grams("连衣裙，好") == [("连", "衣", "裙", "，"), ("衣", "裙", "，", "好")]


def test_one_ad_has_a_text_for_each_place_and_one_interest() -> None:
    texts = write_set(Copywriter(), SOCK_FACTS, ["wool jumpers"], np.random.default_rng(5))
    assert set(texts) == set(PLACES)
    assert {text.ask.interest for text in texts.values()} == {"material"}
    assert not any("jumper" in text.text.lower() for text in texts.values())


def test_a_banner_tries_the_copywriters_words_before_its_templates() -> None:
    texts = write_set(Copywriter(), SOCK_FACTS, ["wool"], np.random.default_rng(6), places=("headline", "subline"))
    copy = write_copy(write_brief("ad", SOCKS, SHOP, "attribute", (300, 250)), lines=banner_lines(texts))
    assert copy.headlines[0].text == texts["headline"].text
    assert copy.sublines[0].text == texts["subline"].text
    assert len(copy.headlines) > 1
    fixed = {"logo": copy.logo.text, "button": copy.buttons[0].text, "label": copy.label.text}
    shown = {**fixed, "headline": copy.headlines[0].text, "subline": copy.sublines[0].text}
    assert check_claims(shown.items(), SOCKS, SHOP) == []


def test_the_same_seed_writes_the_same_words() -> None:
    def once() -> list[str]:
        texts = write_set(Copywriter(candidates=3), COAT_FACTS, ["复古"], np.random.default_rng(9))
        return [text.text for text in texts.values()]

    assert once() == once()


def test_the_second_checker_agrees_on_lines_of_the_grammar_and_finds_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    checker: ModuleType = importlib.import_module("creative_copy_check")
    row = {
        "title": SOCKS.title,
        "text": SOCKS.description,
        "attributes": SOCKS.attributes,
        "brand": SOCKS.brand or "",
    }
    price = (SOCKS.price_micros, SOCKS.sale_price_micros, SOCKS.currency)
    rng = np.random.default_rng(2)
    wanted = [Wanted(SOCK_FACTS, ask_for(SOCK_FACTS, PLACES[n % 6], "any", rng)) for n in range(600)]
    for text in Copywriter().write(wanted, rng):
        assert text is not None
        assert checker.unsupported(text.text, row, price) == []
    for lie in ("Wool Socks by Nike", "Organic wool", "Wool Socks for $8.99", "Wool Socks, €9.00"):
        assert checker.unsupported(lie, row, price), lie
