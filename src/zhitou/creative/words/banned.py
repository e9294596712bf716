"""Banned terms found however they are written: full width, spaced, split by signs, in traditional characters, by
characters that sound alike, in pinyin, in mixed case, with digits or foreign letters for Latin ones.

A text is read twice. By sign: the characters alone, simplified, in one case, look-alikes made equal, whatever stands
between them taken out. By sound: each Chinese character as its syllable, Latin letters as they are. Both readings
go through one automaton of all terms (Aho and Corasick, 1975). A match counts if it begins and ends where a word
does; by sound, it must also hold a character of the term itself or have three syllables or more, or be written in
pinyin whole: "治于" is found for 治愈, but "至于" is an ordinary word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import pairwise

from zhitou.creative.words.banned_terms import RULES
from zhitou.creative.words.sounds import OTHERWISE, SIMPLE, syllables

# Digits, signs and letters of other scripts that stand for a Latin letter; l, i, 1, ! and | become one.
_LATIN = "0123456789@$!|£¢€+©"
_FOR = "oizeasbtbgasiilcetc"
_CYRILLIC = "авеёкмнорстухіјѕԁһӏьɡαεικνορτυχ"
_ALIKE = "abeekmhopctyxijsdhibgaeiknoptux"
_FOLD = str.maketrans(_LATIN + _CYRILLIC + "l", _FOR + _ALIKE + "i")
_SIGNS = frozenset(_LATIN) - frozenset("0123456789")
_APOSTROPHES = "'\u2019\u02bc`"
_GAP_MOST = 4  # signs between two letters of one term; more is two separate things


@dataclass(frozen=True)
class Found:
    """A term in a text. start, end: where it stands, in characters of the text. by_sound: not letter by letter."""

    rule: str
    term: str
    start: int
    end: int
    by_sound: bool = False


@dataclass
class _Reading:
    """Characters, the place in the text each comes from, and where a word begins (bit 1) or ends (bit 2)."""

    chars: list[str] = field(default_factory=list)
    place: list[int] = field(default_factory=list)
    edge: list[int] = field(default_factory=list)

    def add(self, chars: str, place: int, begins: bool, ends: bool) -> None:
        for n, char in enumerate(chars):
            self.chars.append(char)
            self.place.append(place)
            self.edge.append((1 if begins and n == 0 else 0) | (2 if ends and n == len(chars) - 1 else 0))


class Terms:
    """Terms by rule, ready to be looked for.

    >>> [found.term for found in Terms([("mine", "最佳")]).find("全网 zui·佳")]
    ['最佳']
    """

    def __init__(self, terms: Iterable[tuple[str, str]]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._fail: list[int] = [0]
        self._out: list[list[tuple[str, str, int, bool]]] = [[]]
        self.terms = tuple(dict.fromkeys(terms))
        for rule, term in self.terms:
            sign = "".join(read_by_sign(term).chars)
            if sign:
                self._insert(sign, (rule, term, len(sign), False))
            if any(is_hanzi(ch) for ch in term):
                other = "".join(OTHERWISE.get(ch, ch) for ch in term)
                for sound in dict.fromkeys("".join(read_by_sound(spoken).chars) for spoken in (term, other)):
                    self._insert(sound, (rule, term, len(sound), True))
        self._link()

    def _insert(self, key: str, out: tuple[str, str, int, bool]) -> None:
        state = 0
        for char in key:
            if char not in self._next[state]:
                self._next[state][char] = len(self._next)
                self._next.append({})
                self._fail.append(0)
                self._out.append([])
            state = self._next[state][char]
        self._out[state].append(out)

    def _link(self) -> None:
        queue = list(self._next[0].values())
        for state in queue:
            for char, target in self._next[state].items():
                queue.append(target)
                back = self._fail[state]
                while back and char not in self._next[back]:
                    back = self._fail[back]
                self._fail[target] = self._next[back].get(char, 0)
                self._out[target] = self._out[target] + self._out[self._fail[target]]

    def find(self, text: str) -> list[Found]:
        """Every term in the text, once each, in the order they end."""
        found: dict[tuple[str, str], Found] = {}
        for by_sound, reading in ((False, read_by_sign(text)), (True, read_by_sound(text))):
            state = 0
            for at, char in enumerate(reading.chars):
                while state and char not in self._next[state]:
                    state = self._fail[state]
                state = self._next[state].get(char, 0)
                for rule, term, length, sounds in self._out[state]:
                    first = at - length + 1
                    if sounds != by_sound or not (reading.edge[first] & 1 and reading.edge[at] & 2):
                        continue
                    start, end = reading.place[first], reading.place[at] + 1
                    if not _torn(reading.place[first : at + 1]) and (not sounds or _meant(text[start:end], term)):
                        found.setdefault((rule, term), Found(rule, term, start, end, sounds))
        return list(found.values())


def is_hanzi(char: str) -> bool:
    """Whether this is a Chinese character."""
    return "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\u2e80" <= char <= "\u2fdf"


def _torn(places: list[int]) -> bool:
    """Whether more than a few signs stand between two characters: then it is not one term."""
    return any(b - a > _GAP_MOST + 1 for a, b in pairwise(places))


def _meant(span: str, term: str) -> bool:
    """Whether a match by sound is the term and no ordinary word: see the head of this file."""
    signs = [ch for ch in unicodedata.normalize("NFKC", span).translate(SIMPLE) if is_hanzi(ch)]
    if not signs:
        return True
    own = sum(ch in term for ch in signs)
    spelled = any(ch.isascii() and ch.isalpha() for ch in span)
    long = sum(is_hanzi(ch) for ch in term) >= 3
    return (own >= 1 or spelled) if not long else own >= 1 or spelled or len(signs) >= 4


@lru_cache(maxsize=16384)
def _plain(char: str) -> str:
    """The character in NFKC, lower case, simplified, without accents; empty if nothing of it is seen."""
    kept = []
    for part in unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", char).casefold()):
        if unicodedata.category(part) not in ("Mn", "Cf", "Me"):
            kept.append(part)
    return "".join(kept).translate(SIMPLE)


def _pieces(text: str) -> list[tuple[str, int, bool, bool]]:
    """(character, place, begins, ends): what is read of a text. A word is bounded by space, by a change of script,
    and by the ends; signs inside are nothing, and a sign between spaces is a boundary like them."""
    kept: list[tuple[str, int, str]] = []
    gap = " "
    for place, raw in enumerate(text):
        followed = place + 1 < len(text) and (text[place + 1].isalnum() or text[place + 1] in _SIGNS)
        for char in _plain(raw):
            if char.isalnum() or char in "#@" or (char in _SIGNS and (followed or (kept and not gap))):
                kept.append((char, place, gap))
                gap = ""
            elif char.isspace():
                gap = " "
            elif not gap and char not in _APOSTROPHES:
                gap = "."
    out = []
    for n, (char, place, before) in enumerate(kept):
        after = kept[n + 1] if n + 1 < len(kept) else ("", 0, " ")
        hanzi = is_hanzi(char)
        begins = hanzi or bool(before) or is_hanzi(kept[n - 1][0])
        ends = hanzi or bool(after[2]) or is_hanzi(after[0])
        out.append((char, place, begins, ends))
    return out


def read_by_sign(text: str) -> _Reading:
    """The text letter by letter, look-alikes made equal."""
    reading = _Reading()
    for char, place, begins, ends in _pieces(text):
        reading.add(char.translate(_FOLD), place, begins, ends)
    return reading


def read_by_sound(text: str) -> _Reading:
    """The text as it is spoken: syllables for Chinese characters."""
    reading, sound = _Reading(), syllables()
    for char, place, begins, ends in _pieces(text):
        reading.add(sound.get(char, char) if is_hanzi(char) else char, place, begins, ends)
    return reading


@cache
def banned() -> Terms:
    """All of banned_terms.RULES."""
    return Terms((rule.rule, term) for rule in RULES for term in rule.terms)


@lru_cache(maxsize=256)
def forbidden(terms: tuple[str, ...]) -> Terms:
    """An advertiser's own forbidden claims."""
    return Terms(("forbidden", term) for term in terms)


@lru_cache(maxsize=8192)
def find_banned(text: str) -> tuple[Found, ...]:
    """Banned terms in this text."""
    return tuple(banned().find(text))
