"""Readable names from shouty feed titles, with nothing added."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.creative.titles import clean, read_title
from zhitou.creative.wordlist import EXPANSIONS


@pytest.mark.parametrize(
    ("feed", "name", "size"),
    [
        ("SFT DRNK 2 LITER BTL CARB INCL", "Soft Drink Bottle", "2\xa0liter"),
        ("FLUID MILK WHITE ONLY 1 GA", "Fluid Milk White", "1\xa0gal"),
        ("CHEESE CRACKERS (CHEEZ-ITS/GOL 13.5 OZ", "Cheese Crackers", "13.5\xa0oz"),
        ("SNACK CAKE - MULTI PACK 12 OZ/6 CT", "Snack Cake Multi Pack", "12\xa0oz, 6\xa0ct"),
        ("SOFT DRINK POWDER POUCHES .16 OZ", "Soft Drink Powder Pouches", ".16\xa0oz"),
        ("MARGARINE: SQUEEZE", "Squeeze Margarine", ""),
        ("PIZZA/ECONOMY", "Economy Pizza", ""),
        ("Essence Mascara Lash Princess", "Essence Mascara Lash Princess", ""),
        ("SET OF 3 CAKE TINS", "Set of 3 Cake Tins", ""),
    ],
)
def test_a_shouty_title_reads_like_a_name(feed: str, name: str, size: str) -> None:
    title = read_title(feed)
    assert (title.names[0], title.size) == (name, size)


def test_a_multipack_is_not_sold_as_one_of_its_sizes() -> None:
    assert read_title("SOFT DRINKS 12/18&15PK CAN CAR 12 OZ").size == "12\xa0oz"


def test_a_name_ends_before_what_the_product_is_not() -> None:
    assert read_title("MINTS CANDY & BREATH (NOT LIF").names[0] == "Mints Candy & Breath"
    assert read_title("VINEGAR ALL-EXCEPT WINE").names[0] == "Vinegar"


def test_a_name_that_denies_something_is_never_cut() -> None:
    assert read_title("Cheese, without Lactose").names == ("Cheese, without Lactose",)


def test_salt_and_pepper_mill_is_not_shortened_to_salt() -> None:
    assert read_title("Salt & Pepper Mill").names == ("Salt & Pepper Mill",)


def test_a_chinese_title_offers_its_first_phrase() -> None:
    assert read_title("无线蓝牙耳机 降噪【新款】").names[-1] == "无线蓝牙耳机"


@pytest.mark.parametrize("nothing", ["", "   ", "🔥🔥", "—", "\u200b\u200d"])
def test_a_title_without_a_word_has_no_name(nothing: str) -> None:
    assert read_title(nothing).names == ()


@given(st.text(alphabet=st.sampled_from("ABCDEFGHIJ KLMNOPRSTUVWXYZ0123456789 /&-.,()%:"), max_size=60))
def test_no_word_is_invented(feed: str) -> None:
    known = {w.lower() for w in re.findall(r"[^\W\d_]+", feed)}
    spelled = {EXPANSIONS[w.upper()].lower() for w in known if w.upper() in EXPANSIONS}
    for name in read_title(feed).names:
        assert {w.lower() for w in re.findall(r"[^\W\d_]+", name)} <= known | spelled


@given(st.text(max_size=80))
def test_cleaning_keeps_no_control_character_and_is_stable(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert "\n" not in once
    assert "  " not in once
