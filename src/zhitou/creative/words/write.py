"""The copywriter: propose, verify, repair, and fall back to what is surely true.

    author -> verify -> repair -> grammar -> the product's name

What comes out has passed the verifier, always. Where several candidates pass, the one that repeats least of what was
written before is kept, so that a campaign does not say the same thing everywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zhitou.creative.copywriter import Line
from zhitou.creative.words.ask import PLACES, Ask, ask_for, interest_of
from zhitou.creative.words.authors import Author, GrammarAuthor, Measure, Proposal, Wanted, proposal_of
from zhitou.creative.words.facts import Facts
from zhitou.creative.words.grammar import slots_in
from zhitou.creative.words.verify import check_text

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_GRAMMAR_TRIES = 4
GRAM = 4  # length of the pieces that repetition is counted in: words of English, characters of Chinese


@dataclass(frozen=True)
class Written:
    """A text that passed. author: who wrote it ("model", "grammar", "name", a port's name). slots: (slot, fact) of
    what it states. findings: rules that earlier proposals for this text broke, as (author, rule)."""

    text: str
    ask: Ask
    template: str
    slots: tuple[tuple[str, str], ...]
    author: str
    findings: tuple[tuple[str, str], ...] = ()


class Variety:
    """Counts what was written, to prefer what was not."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, ...]] = Counter()

    def repeats(self, text: str) -> float:
        """Share of the text's pieces that were written before, and how often: 0 for a text all new."""
        pieces = grams(text)
        return sum(min(self._seen[piece], 3) for piece in pieces) / len(pieces) if pieces else 0.0

    def add(self, text: str) -> None:
        """Remember this text."""
        self._seen.update(grams(text))


def units(text: str) -> list[str]:
    """Words of Latin script, characters of Chinese; in lower case."""
    return re.findall(r"[a-z0-9$%.'-]+|[^\sa-z0-9]", text.lower())


def grams(text: str, n: int = GRAM) -> list[tuple[str, ...]]:
    """The pieces of n neighbouring units in a text."""
    found = units(text)
    return [tuple(found[k : k + n]) for k in range(len(found) - n + 1)]


def repair(text: str, place: str, facts: Facts) -> str | None:
    """The text without the sentences that break a rule; None if nothing that names the product is left."""
    kept = [s for s in _SENTENCE.split(text) if s and not check_text(s, place, facts)]
    shorter = ("" if facts.locale == "zh" else " ").join(kept)
    title = facts.slots.get("title", "")
    if not kept or shorter == text or (place in ("headline", "push", "subject", "body") and title not in shorter):
        return None
    return None if check_text(shorter, place, facts) else shorter


@dataclass
class Copywriter:
    """Writes texts that the feed row and the material prove.

    author: proposes first; without one, the grammar. candidates: proposals for each text, of which the least
    repetitive that passes is kept. measure: pixels of a text on one line, for asks with a width.
    """

    author: Author = field(default_factory=GrammarAuthor)
    candidates: int = 1
    measure: Measure | None = None
    variety: Variety = field(default_factory=Variety)
    grammar: GrammarAuthor = field(default_factory=GrammarAuthor)

    def write(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Written | None]:
        """One text for each wanted, in their order; None only where even the product's name may not be shown, or
        does not fit the width."""
        rounds = [self.author.propose(wanted, rng) for _ in range(self.candidates)]
        return [self._best(want, [r[n] for r in rounds], rng) for n, want in enumerate(wanted)]

    def _best(self, want: Wanted, proposals: Sequence[Proposal | None], rng: np.random.Generator) -> Written | None:
        broken: list[tuple[str, str]] = []
        passed = self._passing(want, proposals, self.author.name, broken)
        if not passed:
            passed = self._repaired(want, proposals)
        if not passed:
            tries = [self.grammar.propose([want], rng)[0] for _ in range(_GRAMMAR_TRIES)]
            passed = self._passing(want, tries, self.grammar.name, broken)
        if not passed and want.ask.place != "button" and "title" in want.facts.slots:
            name = Proposal(want.facts.slots["title"], "{title}")
            passed = self._passing(want, [name], "name", broken)
        if not passed:
            return None
        author, best = min(passed, key=lambda found: self.variety.repeats(found[1].text))
        self.variety.add(best.text)
        told = tuple((slot, want.facts.slots[slot]) for slot in slots_in(best.template))
        return Written(best.text, want.ask, best.template, told, author, tuple(broken))

    def _passing(
        self, want: Wanted, proposals: Sequence[Proposal | None], author: str, broken: list[tuple[str, str]]
    ) -> list[tuple[str, Proposal]]:
        found = []
        for proposal in proposals:
            if proposal is None:
                continue
            findings = check_text(proposal.text, want.ask.place, want.facts)
            wide = self._too_wide(proposal.text, want.ask)
            if findings or wide:
                broken += [(author, finding.rule) for finding in findings] or [(author, "text.wide")]
            else:
                found.append((author, proposal))
        return found

    def _repaired(self, want: Wanted, proposals: Sequence[Proposal | None]) -> list[tuple[str, Proposal]]:
        found = []
        for proposal in proposals:
            shorter = repair(proposal.text, want.ask.place, want.facts) if proposal else None
            if shorter and not self._too_wide(shorter, want.ask):
                found.append((f"{self.author.name} repaired", proposal_of(shorter, want.facts)))
        return found

    def _too_wide(self, text: str, ask: Ask) -> bool:
        return ask.width_pixels is not None and self.measure is not None and self.measure(text) > ask.width_pixels


def write_set(
    copywriter: Copywriter, facts: Facts, tags: Sequence[str], rng: np.random.Generator, tone: str | None = None,
    places: Sequence[str] = PLACES, widths: Mapping[str, float] | None = None,
) -> dict[str, Written]:  # fmt: skip
    """One text for each place of one ad, all for the interest that the tags show; without a text, no place."""
    interest = interest_of(tags)
    wanted = [
        Wanted(facts, ask_for(facts, place, interest, rng, tone, width_pixels=(widths or {}).get(place)))
        for place in places
    ]
    written = copywriter.write(wanted, rng)
    return {place: found for place, found in zip(places, written, strict=True) if found is not None}


def banner_lines(written: Mapping[str, Written]) -> dict[str, Line]:
    """Texts as `copywriter.write_copy` takes them."""
    return {place: Line(text.text, text.template, text.slots) for place, text in written.items()}
