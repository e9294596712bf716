"""Behaviour as tokens: one token per step (the lines of one order, or one click), in time order.

S = subjects, E = events, P = steps of all subjects, M = items, V = items with an embedding of their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.events.schema import KIND_CODE
from zhitou.interest.words import Words

GAPS = 20  # buckets of a time gap: 0 = none before; else 1 + floor(log2(1 + gap in quarters of an hour))
WEEKDAYS = 7
SECOND, FINEST, BRAND = 1, 2, 3  # columns of Vocabulary.content
QUARTER_SECONDS = 900
THURSDAY = 3  # 1970-01-01 was one, counted from Monday = 0
NOT_WANTED = (KIND_CODE["remove_from_cart"],)  # actions that are read but never predicted


@dataclass(frozen=True)
class Vocabulary:
    """What the model knows of each item. own: int64 [M], 1..V for items with an embedding of their own, else 0.

    content: int64 [M, 5], category by level, brand and price band. count: int64 [M], events in training.
    sizes: number of codes in each column of `content`. words: of titles, None if they are not read.
    """

    own: np.ndarray
    content: np.ndarray
    count: np.ndarray
    sizes: tuple[int, ...]
    words: Words | None = None

    def __len__(self) -> int:
        return len(self.own)

    @property
    def frequent(self) -> np.ndarray:
        """int64 [V]: rows of the items that have an embedding of their own, in order of its number."""
        return np.flatnonzero(self.own)

    @cached_property
    def line(self) -> np.ndarray:
        """int64 [M]: the line each item belongs to, a brand within a category of the second level."""
        pairs = self.content[:, SECOND] * self.sizes[BRAND] + self.content[:, BRAND]
        return np.unique(pairs, return_inverse=True)[1].astype(np.int64).reshape(-1)

    @property
    def things(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """What the memory counts, as (thing, kind), int64 [M] each: items by type, types, lines by brand."""
        every, finest = np.arange(len(self)), self.content[:, FINEST]
        return (every, finest), (finest, self.content[:, SECOND]), (self.line, self.content[:, BRAND])

    def fingerprint(self) -> str:
        """SHA-256 over everything above."""
        digest = hashlib.sha256()
        sizes = np.asarray(self.sizes, dtype=np.int64)
        words = () if self.words is None else (self.words.packed(), self.words.offsets, self.words.word)
        for part in (self.own, self.content, self.count, sizes, *words):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    @classmethod
    def build(cls, histories: Histories, items: ItemTable, min_count: int, words: int = 0) -> Vocabulary:
        """From training behaviour: an item seen at least `min_count` times gets an embedding of its own.

        words: the most words of titles to know; none with 0.
        """
        count = np.bincount(histories.item, minlength=len(items)).astype(np.int64)
        own = np.where(count >= min_count, np.cumsum(count >= min_count), 0)
        columns = [*items.category.T, items.brand, items.price_band]
        content = np.stack(columns, axis=1).astype(np.int64).reshape(len(items), len(columns))
        price_bands = 11
        sizes = (*(len(names) for names in items.category_names), len(items.brand_names), price_bands)
        titles = Words.learn(items.titles, words) if words else None
        return cls(own.astype(np.int64), content, count, tuple(max(s, 1) for s in sizes), titles)


@dataclass(frozen=True)
class Steps:
    """The steps of S subjects: row s has steps offsets[s]:offsets[s + 1] of the P-long arrays.

    lines: int64 [P + 1], step p holds events lines[p]:lines[p + 1]. time_s: int64 [P], Unix seconds.
    """

    offsets: np.ndarray
    lines: np.ndarray
    time_s: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """int64 [S]: number of steps of each subject."""
        return np.diff(self.offsets)


def steps_of(histories: Histories) -> Steps:
    """The steps of these histories, without copying their events."""
    owner, step = histories.subject_of_event, histories.step
    new = np.ones(len(step), dtype=bool)
    new[1:] = (step[1:] != step[:-1]) | (owner[1:] != owner[:-1])
    starts = np.flatnonzero(new)
    offsets = np.zeros(len(histories) + 1, dtype=np.int64)
    np.cumsum(np.bincount(owner[starts], minlength=len(histories)), out=offsets[1:])
    return Steps(offsets, np.append(starts, len(step)), histories.time_s[starts])


def gap_bucket(seconds: np.ndarray) -> np.ndarray:
    """int64: 1..GAPS - 1 on a scale of doublings from a quarter of an hour to about half a year."""
    quarters = np.maximum(seconds, 0) / QUARTER_SECONDS
    return np.minimum(1 + np.floor(np.log2(1 + quarters)).astype(np.int64), GAPS - 1)


def weekday(time_s: np.ndarray) -> np.ndarray:
    """int64: 0 = Monday, in UTC."""
    return (time_s // SECONDS_PER_DAY + THURSDAY) % WEEKDAYS


def typical_gap_s(histories: Histories) -> int:
    """The median gap between steps over all subjects, in seconds; a day where nobody has two steps."""
    steps = steps_of(histories)
    inside = np.ones(max(len(steps.time_s) - 1, 0), dtype=bool)
    edges = steps.offsets[1:-1] - 1
    inside[edges[(edges >= 0) & (edges < len(inside))]] = False
    gaps = np.diff(steps.time_s)[inside]
    return int(np.median(gaps)) if len(gaps) else SECONDS_PER_DAY


def due_s(steps: Steps, gap_s: int) -> np.ndarray:
    """int64 [S]: when each subject's next step is due: after its median gap, gap_s with one step; 0 without any."""
    sizes, times = steps.sizes, steps.time_s
    owner = np.repeat(np.arange(len(sizes)), sizes)
    inside = owner[1:] == owner[:-1]
    gaps, of = np.diff(times)[inside], owner[1:][inside]
    gaps = np.append(gaps[np.lexsort((gaps, of))], 0)
    many = np.maximum(sizes - 1, 0)
    begin = np.cumsum(many) - many
    low, high = (gaps[np.minimum(begin + n, len(gaps) - 1)] for n in (np.maximum(many - 1, 0) // 2, many // 2))
    due = np.append(times, 0)[steps.offsets[1:] - 1] + np.where(many > 0, (low + high) // 2, gap_s)
    return np.where(sizes > 0, due, 0)


def expected_next_s(histories: Histories, at_s: int | None, gap_s: int) -> np.ndarray:
    """int64 [S]: when each subject's next step is asked for: when it is due, but not before at_s.

    gap_s: the gap of a subject with one step (see typical_gap_s).
    """
    due = due_s(steps_of(histories), gap_s)
    return due if at_s is None else np.maximum(due, at_s)
