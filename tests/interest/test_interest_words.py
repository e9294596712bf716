"""Titles as bags of words."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zhitou.interest.words import Words, words_of

TITLES = np.asarray(["Red tea pot", "Green tea pot", "Red cup", "Lamp", "Vase"], dtype=object)


def test_a_word_of_one_item_or_of_almost_all_is_not_known() -> None:
    words = Words.learn(TITLES, 100)  # at most max(30 % of 5, 2) = 2 items
    assert words.known == ("pot", "red", "tea")
    assert words.offsets.tolist() == [0, 3, 5, 6, 6, 6]
    assert words.word.tolist() == [1, 2, 0, 2, 0, 1]


def test_only_the_most_common_words_are_kept_and_ties_go_by_the_alphabet() -> None:
    assert Words.learn(TITLES, 2).known == ("pot", "red")


def test_other_items_are_read_in_the_words_known() -> None:
    other = Words.learn(TITLES, 100).of_titles(np.asarray(["blue tea mug", None], dtype=object))
    assert other.word.tolist() == [2]
    assert other.offsets.tolist() == [0, 1, 1]


def test_chinese_is_read_in_pairs_of_characters() -> None:
    assert words_of("红茶壶 Tea2") == ["红茶", "茶壶", "tea2"]
    assert words_of("A红") == ["a", "红"]


@given(st.text(max_size=60))
def test_any_text_gives_distinct_words_that_come_back_from_a_file(title: str) -> None:
    found = words_of(title)
    assert len(set(found)) == len(found)
    assert all(found)
    known = tuple(sorted(found))
    assert Words.unpacked(Words.of(known, [found]).packed()) == known
