"""The simple models every learned one is held against: random, popular, recent ("buy again") and item-kNN.

Each has `fit(histories, items, chance)`, which chooses its few settings by NDCG@10 on the last weeks of the
histories it is given (never on what comes later), and then uses all of them. S = subjects, N = subjects asked
about, M = items, D = width of a vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from scipy import sparse

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.evaluation.next_basket import NextBasket, measure, next_basket
from zhitou.events.histories import Histories

Option = TypeVar("Option")

FLOOR = 1e-9  # what the logarithm sees of an item that nothing speaks for
SLICE_SHARE = 0.15  # the last part of the time line that settings are chosen on


class _Baseline(ABC):
    """What the baselines share: the catalogue, and vectors that say how a subject's events fall on categories."""

    name = "baseline"
    slice_subjects = 2_000  # the most subjects that settings are chosen on

    def __init__(self) -> None:
        self.items: ItemTable | None = None

    def fit(self, histories: Histories, items: ItemTable, chance: Chance) -> _Baseline:
        """Learn from these histories; returns itself."""
        self.items = items
        self._learn(histories, chance)
        return self

    def scores(self, histories: Histories, items: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, len(items)] (all M if None): log-scale; higher means more likely to be next."""
        assert self.items is not None, "fit comes before scores"
        chosen = np.arange(len(self.items)) if items is None else np.asarray(items)
        return np.log(self._weights(histories, chosen) + FLOOR).astype(np.float32)

    def vectors(self, histories: Histories) -> np.ndarray:
        """float32 [N, D]: the share of each broadest category in a subject's events; all zero without events."""
        assert self.items is not None, "fit comes before vectors"
        owner, group = histories.subject_of_event, self.items.category[histories.item, 0]
        width = max(len(self.items.category_names[0]), 1)
        counts = np.zeros((len(histories), width), dtype=np.float32)
        np.add.at(counts, (owner, group), 1)
        return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    @abstractmethod
    def _learn(self, histories: Histories, chance: Chance) -> None:
        """Take from the histories what the weights need."""

    @abstractmethod
    def _weights(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        """float [N, len(items)], zero or more."""


class RandomBaseline(_Baseline):
    """An order of items drawn once per subject: the same subject always gets the same one."""

    name = "random"

    def _learn(self, histories: Histories, chance: Chance) -> None:
        self._chance = chance.child("random-baseline")

    def _weights(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        assert self.items is not None
        rows = np.zeros((len(histories), len(items)), dtype=np.float32)
        for row, subject in enumerate(histories.subjects):
            rows[row] = self._chance.stream("order", str(subject)).random(len(self.items), np.float32)[items]
        return rows


class PopularBaseline(_Baseline):
    """What most events are about, recent events counting more: half as much every `half_life_days`."""

    name = "popular"
    half_lives_days = (14.0, 56.0, 224.0, np.inf)

    def _learn(self, histories: Histories, chance: Chance) -> None:
        task = _slice(histories, chance, self.slice_subjects)
        self.half_life_days = _best(self.half_lives_days, lambda value: self._try(task, histories, value))
        self._popularity = self._count(histories, self.half_life_days)

    def _try(self, task: NextBasket, histories: Histories, half_life_days: float) -> float:
        popularity = self._count(histories.before(task.cut_s), half_life_days)
        return _ndcg(lambda past: np.tile(popularity, (len(past), 1)), task)

    def _count(self, histories: Histories, half_life_days: float) -> np.ndarray:
        assert self.items is not None
        end_s = int(histories.time_s.max(initial=0))
        weight = _decay(end_s - histories.time_s, half_life_days)
        counts = np.bincount(histories.item, weight, minlength=len(self.items))
        return (counts / max(counts.sum(), 1.0)).astype(np.float32)

    def _weights(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        return np.tile(self._popularity[items], (len(histories), 1))


class RecentBaseline(_Baseline):
    """Buy again: a subject's own items, each event counting half as much every `half_life_days` before its last.

    A small share of popularity orders what the subject never had.
    """

    name = "recent"
    half_lives_days = (7.0, 28.0, 56.0, 112.0, 224.0, np.inf)
    popular_share = 1e-3

    def _learn(self, histories: Histories, chance: Chance) -> None:
        assert self.items is not None
        counts = np.bincount(histories.item, minlength=len(self.items))
        self._popularity = (counts / max(counts.sum(), 1)).astype(np.float32)
        task = _slice(histories, chance, self.slice_subjects)
        every = np.arange(len(self.items))
        self.half_life_days = _best(
            self.half_lives_days, lambda value: _ndcg(lambda past: self._mix(past, every, value), task)
        )

    def _mix(self, histories: Histories, items: np.ndarray, half_life_days: float) -> np.ndarray:
        assert self.items is not None
        own = _own_weights(histories, len(self.items), half_life_days)
        return _columns(own, items) + self.popular_share * self._popularity[items]

    def _weights(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        return self._mix(histories, items, self.half_life_days)


class ItemKnnBaseline(_Baseline):
    """Items near a subject's own: cosine of co-occurrence in the same step, `neighbours` per item.

    An item's similarity with itself is `self_weight`, so the model may recommend buying again; the subject's
    events count half as much every `half_life_days`. All three are chosen on the slice.
    """

    name = "item-knn"
    slice_subjects = 400  # it has 18 settings to try; 2,000 chose the same on The Complete Journey, in 40 s
    half_lives_days = (28.0, 112.0, np.inf)
    self_weights = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
    neighbours = 100
    shrink = 10.0
    largest_step = 200  # steps longer than this say nothing about which items belong together

    def _learn(self, histories: Histories, chance: Chance) -> None:
        task = _slice(histories, chance, self.slice_subjects)
        self._near = self._similarities(histories.before(task.cut_s))
        values = {}
        for half in self.half_lives_days:
            own, near = self._spread(task.past, half)
            for weight in self.self_weights:
                values[half, weight] = _ndcg(_looked_up(task.past, (near + own * weight).tocsr()), task)
        self.half_life_days, self.self_weight = _best(list(values), values.__getitem__)
        self._near = self._similarities(histories)

    def _similarities(self, histories: Histories) -> sparse.csr_array:
        """[M, M] cosine of step vectors, without the diagonal, the nearest `neighbours` of each row."""
        assert self.items is not None
        m, owner = len(self.items), histories.subject_of_event
        step = np.unique(owner * (int(histories.step.max(initial=0)) + 1) + histories.step, return_inverse=True)[1]
        cells = np.unique(step.astype(np.int64) * m + histories.item)
        row, col = cells // m, cells % m
        small = np.bincount(row, minlength=1)[row] <= self.largest_step if len(row) else np.zeros(0, dtype=bool)
        row, col = row[small], col[small]
        steps = int(row.max(initial=-1)) + 1
        table = sparse.csr_array((np.ones(len(row), np.float32), (row, col)), shape=(max(steps, 1), m))
        norm = np.sqrt(np.asarray(table.sum(axis=0)).ravel() + self.shrink)
        both = (table.T @ table).tocsr()
        both.data /= norm[both.indices] * np.repeat(norm, np.diff(both.indptr))
        both.setdiag(0)
        return _nearest(both, self.neighbours)

    def _mix(self, histories: Histories, items: np.ndarray, half_life_days: float, self_weight: float) -> np.ndarray:
        own, near = self._spread(histories, half_life_days)
        return _columns((near + own * self_weight).tocsr(), items)

    def _spread(self, histories: Histories, half_life_days: float) -> tuple[sparse.csr_array, sparse.csr_array]:
        """[N, M] each: the weights of own items, and what they lend to their neighbours."""
        assert self.items is not None
        own = _own_weights(histories, len(self.items), half_life_days)
        return own, (own @ self._near).tocsr()

    def _weights(self, histories: Histories, items: np.ndarray) -> np.ndarray:
        return self._mix(histories, items, self.half_life_days, self.self_weight)


BASELINES = (RandomBaseline, PopularBaseline, RecentBaseline, ItemKnnBaseline)


def _looked_up(past: Histories, table: sparse.csr_array) -> Callable[[Histories], np.ndarray]:
    """A scorer that reads the rows of `table` [N, M], whose subjects are those of `past`."""
    return lambda asked: table[np.searchsorted(past.subjects, asked.subjects)].toarray()


def _decay(age_s: np.ndarray, half_life_days: float) -> np.ndarray:
    return np.exp2(-age_s / (half_life_days * SECONDS_PER_DAY)).astype(np.float32)


def _own_weights(histories: Histories, m: int, half_life_days: float) -> sparse.csr_array:
    """[N, M]: the decayed count of each subject's events by item, ages from the subject's last event."""
    owner, ends = histories.subject_of_event, histories.offsets[1:] - 1
    last_s = histories.time_s[np.maximum(ends, 0)] if len(histories.time_s) else np.zeros(len(histories), np.int64)
    weight = _decay(last_s[owner] - histories.time_s, half_life_days)
    return sparse.csr_array((weight, (owner, histories.item)), shape=(len(histories), m))


def _columns(table: sparse.csr_array, items: np.ndarray) -> np.ndarray:
    whole = len(items) == table.shape[1] and np.array_equal(items, np.arange(len(items)))
    return (table if whole else table[:, items]).toarray()


def _nearest(table: sparse.csr_array, k: int) -> sparse.csr_array:
    """The k largest entries above zero of each row; of equal ones those with the lower column."""
    kept = np.flatnonzero(table.data > 0)
    bounds = np.searchsorted(kept, table.indptr)
    for row in np.flatnonzero(np.diff(bounds) > k):
        part = kept[bounds[row] : bounds[row + 1]]
        order = np.lexsort((table.indices[part], -table.data[part]))
        kept[bounds[row] : bounds[row + 1]] = np.where(np.arange(len(part)) < k, part[order], -1)
    owner = np.repeat(np.arange(table.shape[0]), np.diff(bounds))[kept >= 0]
    kept = kept[kept >= 0]
    return sparse.csr_array((table.data[kept], (owner, table.indices[kept])), shape=table.shape)


def _slice(histories: Histories, chance: Chance, subjects: int) -> NextBasket:
    """The task that settings are chosen on: first steps in the last part of the time line."""
    if not len(histories.time_s):
        return next_basket(histories, 0)
    start_s, end_s = int(histories.time_s.min()), int(histories.time_s.max())
    task = next_basket(histories, end_s - round(SLICE_SHARE * (end_s - start_s)))
    rows = chance.stream("baseline-slice").permutation(len(task))[:subjects]
    rows.sort()
    chosen = histories.select(np.searchsorted(histories.subjects, task.past.subjects[rows]))
    return next_basket(chosen, task.cut_s)


def _ndcg(scores: Callable[[Histories], np.ndarray], task: NextBasket) -> float:
    return float(measure(scores, task).values["ndcg@10"].mean()) if len(task) else 0.0


def _best(options: Sequence[Option], value: Callable[[Option], float]) -> Option:
    """The option of the highest value, the first of equals."""
    return max(options, key=value)
