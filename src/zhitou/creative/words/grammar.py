"""The grammar of lines: from the slots of an item and an ask to a line whose facts are still slots.

A line is a template such as "Meet {title}, in {material}": everything outside braces was written for this project
and states nothing about a product, so what a line claims is what its slots hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from types import ModuleType

import numpy as np

from zhitou.creative.words import lines_en, lines_zh
from zhitou.creative.words.ask import ANGLES, PLACES, TONES, Ask
from zhitou.creative.words.facts import TRAITS

_BOOKS: Mapping[str, ModuleType] = {"en": lines_en, "zh": lines_zh}
_SLOT = re.compile(r"{(\w+)}")
_PART = re.compile(r"\[(\w+)\]|<(\w+)>|{(\w+)}")
_EXTRAS = ("size", "brand", "category")  # told after the traits, in a body
_SERVICE = ("shipping", "warranty", "returns")  # sentences of their own
_EXTRAS_MOST = 2
_FIRST_OFTEN = 0.9  # how often a line must name what the interest looks at first, where there is such a line
_MERGED = ("style", "colour", "material", "pattern", "fit", "cut")  # read well as one noun phrase in Chinese
_MERGE_OFTEN = 0.5


def slots_in(template: str) -> tuple[str, ...]:
    """The slots of a template in their order."""
    return tuple(_SLOT.findall(template))


@cache
def _options(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


@cache
def lines_for(locale: str, place: str, angle: str) -> tuple[str, ...]:
    """The lines of this place and angle as they were written."""
    return _options(_BOOKS[locale].LINES[place, angle])


def words_for(locale: str, word: str, tone: str) -> tuple[str, ...]:
    """The alternatives for a word in this tone, or in any where it has none of its own."""
    book = _BOOKS[locale].WORDS
    return _options(book.get(f"{word}.{tone}") or book[word])


def draw_line(slots: Collection[str], ask: Ask, locale: str, rng: np.random.Generator) -> str:
    """A template for this ask that names only `slots`; "{title}" if the place and angle have no line for them.

    What `ask.first` names comes first; the rest in the order of chance.
    """
    rest = [slot for slot in (*TRAITS, *_EXTRAS) if slot in slots and slot not in ask.first]
    rng.shuffle(rest)
    order = [*(slot for slot in ask.first if slot in slots and slot in (*TRAITS, *_EXTRAS)), *rest]
    usable = [line for line in lines_for(locale, ask.place, ask.angle) if _usable(line, slots, order)]
    if not usable:
        return "{title}"
    wanted = [line for line in usable if _names_first(line, ask.first, order)]
    pick = wanted if wanted and rng.random() < _FIRST_OFTEN else usable
    line = pick[int(rng.integers(len(pick)))]
    explicit = set(slots_in(line))
    told = _expand(line, [slot for slot in order if slot not in explicit], ask, locale, rng)
    return told + _service(slots, ask, locale, rng) if ask.place == "body" else told


def _service(slots: Collection[str], ask: Ask, locale: str, rng: np.random.Generator) -> str:
    """Delivery and warranty at the end of a body, one of them, or what the interest asks for."""
    there = [slot for slot in _SERVICE if slot in slots]
    wanted = [slot for slot in there if slot in ask.first] or there[: int(rng.integers(2))]
    return "".join(f" {{{slot}}}." if locale == "en" else f"{{{slot}}}。" for slot in wanted)


def _usable(line: str, slots: Collection[str], order: Sequence[str]) -> bool:
    explicit = set(slots_in(line))
    free = [slot for slot in order if slot not in explicit]
    clauses = max((int(mark[0]) for mark in re.findall(r"<(\d)", line)), default=0)
    needs_one = "<with>" in line
    return explicit <= set(slots) and len(free) >= max(clauses, int(needs_one))


def _names_first(line: str, first: Sequence[str], order: Sequence[str]) -> bool:
    """Whether the first fact that the line names beside the product's name is one of `first`."""
    explicit = set(slots_in(line))
    free = [slot for slot in order if slot not in explicit]
    for slot in re.findall(r"{(\w+)}|<\w+>", line):
        if slot != "title":
            named = slot or (free[0] if free else "")
            return named in first
    return not first


def _expand(line: str, order: Sequence[str], ask: Ask, locale: str, rng: np.random.Generator) -> str:
    """The line with its words and clauses in place; each slot of `order` is named at most once."""

    def put(match: re.Match[str]) -> str:
        word, clause, slot = match.groups()
        if slot:
            return f"{{{slot}}}"
        if word:
            options = words_for(locale, word, ask.tone)
            return _expand(options[int(rng.integers(len(options)))], order, ask, locale, rng)
        name = clause
        if name == "all":
            return _all(order, ask, locale, rng)
        if name == "with":
            return (", " if locale == "en" else "，") + _clause(order[0], ask, locale, rng)
        return _clause(order[int(name) - 1], ask, locale, rng)

    return _PART.sub(put, line)


def _clause(slot: str, ask: Ask, locale: str, rng: np.random.Generator) -> str:
    options = _options(_BOOKS[locale].CLAUSES[slot])
    return _expand(options[int(rng.integers(len(options)))], (), ask, locale, rng)


def _all(order: Sequence[str], ask: Ask, locale: str, rng: np.random.Generator) -> str:
    """Every trait, and a few of the other facts after them, as clauses joined to the line."""
    extras = [slot for slot in order if slot in _EXTRAS and (locale, slot) != ("zh", "category")][:_EXTRAS_MOST]
    told = [slot for slot in order if slot not in _EXTRAS] + [s for s in extras if s not in ask.first]
    told = [*(s for s in ask.first if s in extras), *told]
    if not told:
        return ""
    if locale == "en":
        clauses = [_clause(slot, ask, locale, rng) for slot in told]
        last = f" and {clauses[-1]}" if len(clauses) > 1 else ""
        return (", ", ": ")[int(rng.integers(2))] + ", ".join(clauses[: -1 if last else None]) + last
    text, joins = "", _options(lines_zh.JOINS)
    for clause in _chinese_clauses(told, ask, rng):
        text += ("，" if not text else joins[int(rng.integers(len(joins)))]) + clause
    return text


def _chinese_clauses(told: Sequence[str], ask: Ask, rng: np.random.Generator) -> Iterator[str]:
    """Clauses; neighbours that read well as one noun phrase are sometimes merged into one."""
    waiting = list(told)
    while waiting:
        slot = waiting.pop(0)
        if slot in _MERGED and rng.random() < _MERGE_OFTEN:
            others = [s for s in waiting if s in _MERGED][: 1 + int(rng.integers(2))]
            if others:
                waiting = [s for s in waiting if s not in others]
                # what the interest looks at stays in front; "cut" is the noun and ends the phrase
                phrase = sorted([slot, *others], key=lambda s: (s == "cut", s != slot))
                yield "".join(f"{{{s}}}" for s in phrase)
                continue
        yield _clause(slot, ask, "zh", rng)


@cache
def lexicon(locale: str) -> tuple[str, ...]:
    """Everything the grammar says outside slots, as pieces between slots: what a writer without facts may say."""
    book = _BOOKS[locale]
    pieces: dict[str, None] = {}
    for table in (book.LINES, book.CLAUSES, book.WORDS):
        for text in table.values():
            for option in _options(text):
                pieces.update(dict.fromkeys(p.strip() for p in _PART.sub("\0", option).split("\0") if p.strip()))
    pieces.update(dict.fromkeys(_options(lines_zh.JOINS) if locale == "zh" else ()))
    return tuple(pieces)


def every_ask() -> Iterator[tuple[str, str, str]]:
    """(place, angle, tone), all of them."""
    for place in PLACES:
        for angle in ANGLES:
            for tone in TONES:
                yield place, angle, tone
