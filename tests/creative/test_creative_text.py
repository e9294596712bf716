"""Line breaking with a ruler of 10 px per Latin and 20 px per Chinese character, redoable by hand."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from zhitou.creative.text import NOT_AT_END, NOT_AT_START, atoms, break_lines, fit


def ruler(text: str, size: int) -> float:
    return sum(20.0 if ord(ch) > 0x2E80 else 10.0 for ch in text) * size / 20


def test_words_break_at_spaces_and_never_inside() -> None:
    assert break_lines("soft drink bottle", 20, 100, ruler) == ["soft drink", "bottle"]
    assert break_lines("unbreakable", 20, 100, ruler) is None


def test_chinese_breaks_between_characters_but_not_before_a_comma() -> None:
    assert break_lines("跑步鞋，轻", 20, 60, ruler) == ["跑步", "鞋，轻"]


def test_a_currency_sign_stays_with_its_number() -> None:
    assert atoms("现价￥499元起") == ["现", "价", "￥499元", "起"]


def test_two_lines_are_set_evenly_rather_than_long_and_short() -> None:
    fitted = fit("one two three four", 20, 150, 2, ruler)
    assert fitted is not None
    assert fitted.lines == ("one two", "three four")


def test_a_line_does_not_end_in_a_small_word() -> None:
    fitted = fit("silver pot with glass cap", 20, 160, 2, ruler)
    assert fitted is not None
    assert fitted.lines == ("silver pot", "with glass cap")


@given(st.text(alphabet="ab 1跑步鞋，。（）￥《》", min_size=1, max_size=40), st.integers(40, 300))
def test_no_line_is_too_wide_nor_starts_or_ends_wrongly(text: str, width: int) -> None:
    lines = break_lines(text, 20, width, ruler)
    if not lines:
        return
    assert all(ruler(line, 20) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line, following in itertools.pairwise(lines):
        joined = f"{line}{following}" in text  # no space in between, so the break was ours
        assert not (joined and following[0] in NOT_AT_START)
        assert not (joined and line[-1] in NOT_AT_END)
