"""Ranking metrics, one value per subject, and the intervals that make a comparison honest.

N = subjects, M = items, K = length of a ranking. Equal scores rank by item number, lowest first, so that every
machine gives the same ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
BLOCK = 64


@dataclass(frozen=True)
class Targets:
    """What N subjects went on to do: row n's items are item[offsets[n]:offsets[n + 1]], each once."""

    offsets: np.ndarray
    item: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> np.ndarray:
        """int64 [N]: how many items each subject's target holds."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> np.ndarray:
        """int64 [len(item)]: the subject of each target item."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def keep(self, mask: np.ndarray) -> Targets:
        """The same subjects with only the target items where `mask` (bool [len(item)]) holds."""
        counts = np.bincount(self.owner[mask], minlength=len(self))
        return Targets(np.concatenate([[0], np.cumsum(counts)]), self.item[mask])

    def select(self, rows: np.ndarray) -> Targets:
        """Only these subjects (int [n] rows), in that order."""
        sizes = self.sizes[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        take = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Targets(offsets, self.item[take])


def topk(scores: np.ndarray, k: int) -> np.ndarray:
    """int64 [N, min(k, M)]: the best items of each row, best first; -inf marks an item that may not appear.

    Where fewer than k items may appear, the row is filled up with -1.

    >>> topk(np.asarray([[0.5, 2.0, 2.0, -np.inf]]), 4).tolist()
    [[1, 2, 0, -1]]
    """
    n, m = scores.shape
    k = min(k, m)
    best = np.full((n, k), -1, dtype=np.int64)
    edges = _edges(scores, k)
    for row in range(n):
        values, edge = scores[row], edges[row]
        chosen = np.flatnonzero(values > edge)
        if len(chosen) < k and edge > -np.inf:
            chosen = np.concatenate([chosen, np.flatnonzero(values == edge)[: k - len(chosen)]])
        ranked = chosen[np.lexsort((chosen, -values[chosen]))][:k]
        best[row, : len(ranked)] = ranked
    return best


def _edges(scores: np.ndarray, k: int) -> np.ndarray:
    """[N]: a bound that at least k values of a row reach, and not many more exceed: the k-th best block's best.

    np.partition of whole rows of 92,331 took 7.9 ms where most values are equal; this takes 0.2 ms.
    """
    n, m = scores.shape
    blocks = m // BLOCK
    if k == 0 or blocks < k:
        return np.full(n, -np.inf)
    peaks = scores[:, : blocks * BLOCK].reshape(n, blocks, BLOCK).max(axis=2)
    return np.partition(peaks, blocks - k, axis=1)[:, blocks - k]


def hits(top: np.ndarray, targets: Targets) -> np.ndarray:
    """bool [N, K]: whether the item at each place of `top` (int [N, K], -1 = none) is one of its targets."""
    width = int(max(top.max(initial=-1), targets.item.max(initial=-1))) + 2
    wanted = np.sort(targets.owner * width + targets.item)
    asked = (np.arange(len(top))[:, None] * width + top).ravel()
    place = np.searchsorted(wanted, asked)
    found = np.zeros(len(asked), dtype=bool)
    inside = place < len(wanted)
    found[inside] = wanted[place[inside]] == asked[inside]
    return found.reshape(top.shape) & (top >= 0)


def recall(hit: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """float64 [N]: the share of a subject's target items that the ranking holds. sizes: int [N], above zero."""
    return hit.sum(axis=1) / sizes


def ndcg(hit: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """float64 [N]: sum of 1 / log2(1 + place) over hits, divided by the most that this ranking could have had."""
    gain = 1.0 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.cumsum(gain)[np.minimum(sizes, hit.shape[1]) - 1]
    return np.asarray((hit * gain).sum(axis=1) / ideal)


def hit_rate(hit: np.ndarray) -> np.ndarray:
    """float64 [N]: 1 where at least one target is in the ranking."""
    return np.asarray(hit.any(axis=1), dtype=np.float64)


def reciprocal_rank(hit: np.ndarray) -> np.ndarray:
    """float64 [N]: 1 / place of the first hit, 0 without one. Its mean is the MRR."""
    first = hit.argmax(axis=1)
    return np.where(hit.any(axis=1), 1.0 / (first + 1), 0.0)


@dataclass(frozen=True)
class Interval:
    """A mean over n subjects and the bootstrap interval [low, high] around it."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def interval(values: np.ndarray, rng: np.random.Generator, level: float = 0.95) -> Interval:
    """The mean of `values` (float [N], one per subject) with a percentile bootstrap over subjects."""
    n = len(values)
    assert n > 0, "an interval needs at least one subject"
    share = np.full(n, 1.0 / n)
    means = np.concatenate([rng.multinomial(n, share, size=100) @ values / n for _ in range(RESAMPLES // 100)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.mean(values)), float(low), float(high), n)


def paired_difference(
    ours: np.ndarray, theirs: np.ndarray, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """The mean of ours - theirs over the same subjects in the same order, with its bootstrap interval."""
    assert len(ours) == len(theirs), "a paired difference compares the same subjects"
    return interval(np.asarray(ours) - np.asarray(theirs), rng, level)
