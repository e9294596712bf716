"""Line breaking and fitting. A word is never cut and a text never shortened: what does not fit is not used.

Chinese breaks between any two characters, except that a line never starts with closing punctuation or a unit and
never ends with an opening bracket or a currency sign (the kinsoku rules for basic punctuation).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

NOT_AT_START = "，。！？、；：）》〉」』】〕’”％℃·…—～,.!?;:)]}%ー々元折件个只片瓶"
NOT_AT_END = "（《〈「『【〔‘“¥￥$€£#([{"
_ATOM = re.compile(
    r"(?P<space>[ \u3000]+)|(?P<cjk>[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef])"
    r"|(?P<word>[^ \u3000\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+)"
)

Measure = Callable[[str, int], float]  # (text, type size) -> pixels


@dataclass(frozen=True)
class Fitted:
    """A text set in lines at one size. `widths` in pixels."""

    lines: tuple[str, ...]
    widths: tuple[float, ...]
    size: int
    line_height: int

    @property
    def height(self) -> int:
        return len(self.lines) * self.line_height

    @property
    def width(self) -> float:
        return max(self.widths)


def atoms(text: str) -> list[str]:
    """The pieces that a line may end after; each keeps the space before it.

    >>> atoms("跑步鞋，¥499元 Air Max")
    ['跑', '步', '鞋，', '¥499元', ' Air', ' Max']
    """
    found: list[str] = []
    space, glue = "", False
    for match in _ATOM.finditer(text):
        piece = match[0]
        if match.lastgroup == "space":
            space = " " if found else ""
            glue = False
            continue
        if found and not space and (glue or piece[0] in NOT_AT_START):
            found[-1] += piece
        else:
            found.append(space + piece)
        space, glue = "", piece[-1] in NOT_AT_END
    return found


def break_lines(text: str, size: int, width: float, measure: Measure) -> list[str] | None:
    """Lines no wider than `width`, filled greedily; None if a piece alone is wider."""
    lines: list[str] = []
    line = ""
    for atom in atoms(text):
        longer = line + atom if line else atom.lstrip()
        if measure(longer, size) <= width:
            line = longer
            continue
        if not line or measure(atom.lstrip(), size) > width:
            return None
        lines.append(line)
        line = atom.lstrip()
    return [*lines, line] if line else lines


def balanced(text: str, size: int, width: float, measure: Measure) -> list[str] | None:
    """Lines as in break_lines, with the same count but as even as they can be: no lonely word on the last."""
    lines = break_lines(text, size, width, measure)
    if lines is None or len(lines) < 2:
        return lines
    low, high, best = width / len(lines) * 0.8, width, lines
    for _ in range(6):
        middle = (low + high) / 2
        tried = break_lines(text, size, middle, measure)
        if tried is None or len(tried) > len(lines):
            low = middle
        else:
            high, best = middle, tried
    return best


def fit(
    text: str, size: int, width: float, lines_max: int, measure: Measure, leading: float = 1.2
) -> Fitted | None:
    """The text at this size in at most `lines_max` balanced lines of this width; None if it does not fit."""
    lines = break_lines(text, size, width, measure)
    if not lines or len(lines) > lines_max:
        return None
    if len(lines) > 1:
        lines = balanced(text, size, width, measure) or lines
    widths = tuple(measure(line, size) for line in lines)
    return Fitted(tuple(lines), widths, size, round(size * leading))
