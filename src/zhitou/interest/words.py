"""Titles as bags of words: what an item says of itself before anybody has touched it.

M = items, W = words known, Z = words of all items together.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

LEAST_ITEMS = 2  # a word of one item says nothing of another
MOST_SHARE = 0.3  # a word of almost every item tells none apart
_RUN = re.compile(r"[^\W_]+")
_TOGETHER = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")  # scripts that put no space between words


def words_of(title: str) -> list[str]:
    """The distinct words of a title in order: runs of letters and digits, pairs of characters where a script
    puts no space between words.

    >>> words_of("OPI Nail Lacquer, 0.5-Ounce nail")
    ['opi', 'nail', 'lacquer', '0', '5', 'ounce']
    >>> words_of("红茶壶 new")
    ['红茶', '茶壶', 'new']
    """
    found: dict[str, None] = {}
    for run in _RUN.findall(title.lower()):
        start = 0
        for part in _TOGETHER.finditer(run):
            found.update(dict.fromkeys(filter(None, [run[start : part.start()]])))
            text, start = part.group(), part.end()
            found.update(dict.fromkeys([text] if len(text) == 1 else [text[n : n + 2] for n in range(len(text) - 1)]))
        found.update(dict.fromkeys(filter(None, [run[start:]])))
    return list(found)


@dataclass(frozen=True)
class Words:
    """Which of W known words each of M items has: item m has word[offsets[m]:offsets[m + 1]].

    known: the W words, sorted. offsets: int64 [M + 1]. word: int64 [Z].
    """

    known: tuple[str, ...]
    offsets: np.ndarray
    word: np.ndarray

    @classmethod
    def learn(cls, titles: np.ndarray, most: int) -> Words:
        """The `most` words of the most items among those that at least two and not almost all items have."""
        bags = [words_of(str(title or "")) for title in titles]
        items = Counter(word for bag in bags for word in bag)
        limit = max(MOST_SHARE * len(titles), LEAST_ITEMS)
        useful = [word for word, count in items.items() if LEAST_ITEMS <= count <= limit]
        kept = sorted(useful, key=lambda word: (-items[word], word))[:most]
        return cls.of(tuple(sorted(kept)), bags)

    @classmethod
    def of(cls, known: tuple[str, ...], bags: list[list[str]]) -> Words:
        """These bags, as far as their words are known."""
        number = {word: n for n, word in enumerate(known)}
        rows = [[number[word] for word in bag if word in number] for bag in bags]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(known, offsets, np.asarray([n for row in rows for n in row], dtype=np.int64))

    def of_titles(self, titles: np.ndarray) -> Words:
        """Other items, in the words known here."""
        return self.of(self.known, [words_of(str(title or "")) for title in titles])

    def packed(self) -> np.ndarray:
        """uint8: the known words as one text, to lie beside weights in a file of arrays."""
        return np.frombuffer("\n".join(self.known).encode() or b"\n", dtype=np.uint8)

    @staticmethod
    def unpacked(text: np.ndarray) -> tuple[str, ...]:
        """The known words again."""
        return tuple(filter(None, text.tobytes().decode().split("\n")))
