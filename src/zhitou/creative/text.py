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
_WEAK = "a an and at by for from in of on or the to with without & + -"
_WEAK_END = frozenset(_WEAK.split())
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
    >>> atoms("续航30小时")  # a number stays with its unit
    ['续', '航', '30小', '时']
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
        space, glue = "", piece[-1] in NOT_AT_END or (piece[-1].isdigit() and match.lastgroup == "word")
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


def balanced(text: str, count: int, size: int, width: float, measure: Measure) -> list[str] | None:
    """Exactly `count` lines as even as they can be, none ending in a small word such as "with"; None if impossible.

    The sum over lines of (width left over) squared is least, as in Knuth and Plass (1981) without hyphens.
    """
    pieces = atoms(text)
    n = len(pieces)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}, *({} for _ in range(count))]
    for line in range(1, count + 1):
        for start, (cost, _) in best[line - 1].items():
            for end in range(start + 1, n - (count - line) + 1):
                taken = measure("".join(pieces[start:end]).lstrip(), size)
                if taken > width:
                    break
                total = cost + ((width - taken) / width) ** 2 + (_cost_of_break(pieces, end) if end < n else 0.0)
                if end not in best[line] or total < best[line][end][0]:
                    best[line][end] = (total, start)
    if n not in best[count]:
        return None
    lines, end = [], n
    for line in range(count, 0, -1):
        start = best[line][end][1]
        lines.append("".join(pieces[start:end]).lstrip())
        end = start
    return lines[::-1]


def _cost_of_break(pieces: list[str], end: int) -> float:
    """A break after a small word, or between two Chinese characters that may be one word, is worth avoiding."""
    before, after = pieces[end - 1], pieces[end]
    inside = not after.startswith(" ") and before[-1] not in NOT_AT_START
    return 0.15 if before.strip().lower() in _WEAK_END else 0.1 if inside else 0.0


def fit(text: str, size: int, width: float, lines_max: int, measure: Measure, leading: float = 1.2) -> Fitted | None:
    """The text at this size in at most `lines_max` balanced lines of this width; None if it does not fit."""
    lines = break_lines(text, size, width, measure)
    if not lines or len(lines) > lines_max:
        return None
    if len(lines) > 1:
        lines = balanced(text, len(lines), size, width, measure) or lines
    widths = tuple(measure(line, size) for line in lines)
    return Fitted(tuple(lines), widths, size, round(size * leading))
