"""Banned terms are found in whatever dress, and ordinary words are left alone."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.creative.words.banned import Terms, banned, find_banned, forbidden
from zhitou.creative.words.banned_terms import RULES
from zhitou.creative.words.sounds import SIMPLE, syllables

BENCH = Path(__file__).parents[2] / "bench"
TERMS = [term for rule in RULES for term in rule.terms]


@pytest.fixture
def dress(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("creative_copy_disguise")


def terms_in(text: str) -> set[str]:
    return {found.term for found in find_banned(text)}


def test_there_are_six_hundred_terms_each_with_a_source() -> None:
    assert len(set(TERMS)) >= 600
    assert all(rule.source and rule.terms for rule in RULES)
    assert len({rule.rule for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("全网最佳", "最佳"),
        ("最 佳选择", "最佳"),
        ("最\u200b佳", "最佳"),
        ("最·佳", "最佳"),
        ("國家級", "国家级"),
        ("最加", "最佳"),
        ("zui佳", "最佳"),
        ("ZuiJia 之选", "最佳"),
        ("ｚｕｉｊｉａ", "最佳"),
        ("zuì jiā", "最佳"),
        ("ＧＵＡＲＡＮＴＥＥＤ", "guaranteed"),
        ("g u a r a n t e e d", "guaranteed"),
        ("Guar-anteed", "guaranteed"),
        ("gu4r4nt33d", "guaranteed"),
        ("Lоwеst рriсe", "lowest price"),
        ("the WORLD’S best", "world's best"),
        ("# 1", "# 1"),
        ("最便宜", "最便宜"),
        ("zui pian yi", "最便宜"),
    ],
)
def test_a_term_is_found_in_any_dress(text: str, term: str) -> None:
    assert term in terms_in(text)


@pytest.mark.parametrize(
    "text",
    ["至于颜色", "修身效果很好", "把腰身包裹住", "Chapter 1", "I like it", "Best Buy", "第二天",
     "Kraft Lime Juice", "Diyi", "1 kg", "Procures"],
)  # fmt: skip
def test_ordinary_words_are_left_alone(text: str) -> None:
    assert not terms_in(text)


@pytest.mark.parametrize(
    "kind", ["full_width", "spaced", "zero_width", "punctuated", "traditional", "homophone", "pinyin", "mixed_case"]
)
def test_every_term_is_found_in_every_disguise(dress: ModuleType, kind: str) -> None:
    rng = np.random.default_rng(7)
    assert kind in dress.KINDS
    missed = [
        t for t in TERMS if t not in {f.term for f in banned().find(f"看看 {dress.disguise(t, kind, rng)} here")}
    ]
    assert missed == []


def test_a_match_says_where_it_stands() -> None:
    (found,) = Terms([("mine", "最佳")]).find("全网 zui·佳!")
    assert (found.rule, found.term, found.by_sound) == ("mine", "最佳", True)
    assert "全网 zui·佳!"[found.start : found.end] == "zui·佳"


def test_two_words_far_apart_are_no_term() -> None:
    assert not terms_in("最 ------------ 佳")


def test_a_term_inside_a_longer_word_is_none() -> None:
    assert not Terms([("x", "cures")]).find("manicures and pedicures")


def test_an_advertisers_own_terms_are_found_like_any_other() -> None:
    assert [f.rule for f in forbidden(("soft drink",)).find("A S.o.f.t Drink")] == ["forbidden"]


def test_terms_that_end_in_each_other_are_all_found() -> None:
    assert {f.term for f in Terms([("x", "第一"), ("x", "全国第一")]).find("全国第一")} == {"第一", "全国第一"}


def test_a_character_sounds_as_it_is_sorted_in_gb_2312() -> None:
    assert [syllables()[ch] for ch in "最佳第一女绿"] == ["zui", "jia", "di", "yi", "nv", "lv"]
    assert len(syllables()) > 3_700
    assert "國級".translate(SIMPLE) == "国级"


@given(st.text(max_size=60))
def test_any_text_can_be_searched(text: str) -> None:
    for found in banned().find(text):
        assert 0 <= found.start < found.end <= len(text)
