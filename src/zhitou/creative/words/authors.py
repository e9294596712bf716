"""Who proposes words: the grammar, the trained model, and, in ports.py, language models from outside.

An author proposes; it decides nothing. Every proposal goes through the verifier, whoever made it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zhitou.creative.words.ask import Ask
from zhitou.creative.words.decode import LanguageModel, Plan
from zhitou.creative.words.facts import Facts
from zhitou.creative.words.fill import fill, unfill
from zhitou.creative.words.grammar import draw_line, slots_in
from zhitou.creative.words.tokens import NEEDS_MOST

Measure = Callable[[str], float]  # text -> pixels on one line


@dataclass(frozen=True)
class Wanted:
    """One text wanted of an item."""

    facts: Facts
    ask: Ask


@dataclass(frozen=True)
class Proposal:
    """A text, and the template behind it: where its facts came from."""

    text: str
    template: str


class Author(Protocol):
    """Proposes texts. name: as it is kept in the record of a creative."""

    @property
    def name(self) -> str: ...

    def propose(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        """One proposal for each text wanted, in their order; None where the author has none."""
        ...


@dataclass(frozen=True)
class GrammarAuthor:
    """Lines of the grammar."""

    name: str = "grammar"

    def propose(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        """One line of the grammar each; None for an item without a name."""
        found: list[Proposal | None] = []
        for want in wanted:
            facts, ask = want.facts, want.ask
            if ask.place != "button" and "title" not in facts.slots:
                found.append(None)
                continue
            template = draw_line(facts.slots, ask, facts.locale, rng)
            found.append(Proposal(fill(template, facts.slots, facts.locale), template))
        return found


@dataclass(frozen=True)
class ModelAuthor:
    """Lines of the model. What a line names is planned by drawing one of the grammar's; its words are its own.

    measure: pixels of a text, for asks with a width. batch: lines written at once.
    """

    model: LanguageModel
    measure: Measure | None = None
    warmth: float = 1.0
    batch: int = 256
    name: str = "model"

    def propose(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        """One line each; None where the model found none that keeps to the constraints."""
        plans: list[Plan | None] = [self._plan(want, rng) for want in wanted]
        places = [n for n, plan in enumerate(plans) if plan is not None]
        places.sort(key=lambda n: len(plans[n].needs))  # type: ignore[union-attr]
        found: list[Proposal | None] = [None] * len(wanted)
        for begin in range(0, len(places), self.batch):
            rows = places[begin : begin + self.batch]
            written = self.model.write([p for n in rows if (p := plans[n])], rng, self.warmth, self.measure)
            for n, template in zip(rows, written, strict=True):
                if template:
                    facts = wanted[n].facts
                    found[n] = Proposal(fill(template, facts.slots, facts.locale), template)
        return found

    @staticmethod
    def _plan(want: Wanted, rng: np.random.Generator) -> Plan | None:
        facts, ask = want.facts, want.ask
        if ask.place != "button" and "title" not in facts.slots:
            return None
        needs = slots_in(draw_line(facts.slots, ask, facts.locale, rng))
        if len(needs) > NEEDS_MOST or len(set(needs)) < len(needs):
            return None
        return Plan(ask, facts.locale, needs, tuple(facts.slots[slot] for slot in needs))


def proposal_of(text: str, facts: Facts) -> Proposal:
    """A text from outside as a proposal: its facts found again, as far as they stand in it letter by letter."""
    return Proposal(text, unfill(text, facts.slots))
