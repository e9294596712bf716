"""Templates as numbers: one token per phrase of the grammar, or word, character, sign or slot, after a head that says
what is wanted.

Head (HEAD tokens): language, place, angle, tone, interest, the slots to name in their order filled up with PAD, TEXT.
The words are those of the lines that the model was trained on; a word with a digit, a currency or a percent sign is
never one of them, so that the model cannot write a number: it has no token for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zhitou.core.errors import ModelError
from zhitou.creative.words.ask import ANGLES, ANY, INTERESTS, LOCALES, PLACES, TONES, Ask
from zhitou.creative.words.facts import SLOTS
from zhitou.creative.words.grammar import lexicon

PAD, TEXT, END = 0, 1, 2
NEEDS_MOST = 13
HEAD = 5 + NEEDS_MOST + 1
PHRASE_MOST = 8  # words or characters in one token
_MARKS = ("<pad>", "<text>", "<end>")
_PIECE = re.compile(r"{\w+}|[A-Za-z]+(?:['-][A-Za-z]+)*|[^\sA-Za-z]")
_NEVER = re.compile(r"[\d$€£¥￥₹₩%％‰]")
_CLOSING = ",.:;?!"


def split(template: str) -> list[str]:
    """The words, Chinese characters, signs and slots of a template.

    >>> split("Meet {title}, in {material}."), split("遇见{title}，好")
    (['Meet', '{title}', ',', 'in', '{material}', '.'], ['遇', '见', '{title}', '，', '好'])
    """
    return _PIECE.findall(template)


def join(pieces: Sequence[str], locale: str) -> str:
    """The template of these tokens; `split` of it gives them back."""
    if locale == "zh":
        return "".join(pieces)
    text = ""
    for piece in pieces:
        text += piece if not text or piece[0] in _CLOSING else f" {piece}"
    return text


@dataclass(frozen=True)
class Vocabulary:
    """words: every token's text, marks and controls first. locale: int8 [V], 0 all languages, 1 + place in LOCALES
    for those of one."""

    words: tuple[str, ...]
    locale: np.ndarray

    @cached_property
    def number(self) -> dict[str, int]:
        """Text -> token."""
        return {word: n for n, word in enumerate(self.words)}

    @cached_property
    def slot(self) -> dict[str, int]:
        """Slot -> its token in a text."""
        return {slot: self.number[f"{{{slot}}}"] for slot in SLOTS}

    @cached_property
    def first_text(self) -> int:
        """From here on tokens are words of lines; before are marks, controls and slots."""
        return len(_fixed())

    def head(self, ask: Ask, locale: str, needs: Sequence[str]) -> list[int]:
        """HEAD tokens. Refused (ModelError): more than NEEDS_MOST slots to name."""
        if len(needs) > NEEDS_MOST:
            raise ModelError(f"a line names at most {NEEDS_MOST} facts, got {len(needs)}")
        control = [f"<{locale}>", f"<{ask.place}>", f"<{ask.angle}>", f"<{ask.tone}>", f"<{ask.interest}>"]
        wanted = [self.number[f"<need:{slot}>"] for slot in needs]
        return [*(self.number[word] for word in control), *wanted, *[PAD] * (NEEDS_MOST - len(wanted)), TEXT]

    @cached_property
    def _phrases(self) -> dict[str, list[tuple[tuple[str, ...], int]]]:
        """First piece -> (pieces, token) of everything that begins with it, the longest first."""
        found: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for token in range(self.first_text - len(SLOTS), len(self.words)):
            pieces = tuple(split(self.words[token]))
            found.setdefault(pieces[0], []).append((pieces, token))
        for options in found.values():
            options.sort(key=lambda option: -len(option[0]))
        return found

    def encode(self, template: str) -> list[int] | None:
        """The tokens of a template and END, the longest phrases first; None if it has a word that is not known."""
        pieces, tokens, at = tuple(split(template)), [], 0
        while at < len(pieces):
            options = self._phrases.get(pieces[at], ())
            match = next((option for option in options if pieces[at : at + len(option[0])] == option[0]), None)
            if match is None:
                return None
            tokens.append(match[1])
            at += len(match[0])
        return [*tokens, END]

    def decode(self, tokens: Sequence[int], locale: str) -> str:
        """The template of these tokens, up to END."""
        pieces = []
        for token in tokens:
            if token == END:
                break
            pieces.append(self.words[token])
        return join(pieces, locale)

    @classmethod
    def of(cls, lines: Iterable[tuple[str, str]]) -> Vocabulary:
        """The phrases of the grammar and, from (locale, template) lines, the words that are in none of them.

        Words with digits or signs of money are left out, and lines that hold one cannot be encoded.
        """
        seen: dict[str, set[str]] = {}
        for locale in LOCALES:
            for phrase in lexicon(locale):
                if len(split(phrase)) <= PHRASE_MOST:
                    seen.setdefault(join(split(phrase), locale), set()).add(locale)
        for locale, template in lines:
            for piece in split(template):
                if not piece.startswith("{"):
                    seen.setdefault(piece, set()).add(locale)
        kept = sorted(word for word in seen if not _NEVER.search(word))
        where = [0] * len(_fixed()) + [
            0 if len(seen[w]) > 1 else 1 + LOCALES.index(next(iter(seen[w]))) for w in kept
        ]
        return cls((*_fixed(), *kept), np.asarray(where, dtype=np.int8))


def _fixed() -> tuple[str, ...]:
    controls = [*LOCALES, *PLACES, *ANGLES, *TONES, *INTERESTS, ANY]
    return (
        *_MARKS,
        *(f"<{name}>" for name in dict.fromkeys(controls)),
        *(f"<need:{slot}>" for slot in SLOTS),
        *(f"{{{slot}}}" for slot in SLOTS),
    )
