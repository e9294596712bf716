"""Next-item baselines that need an order of events and no clock: popular, random, item-kNN and EASE.

They answer `topk(histories, k, exclude_seen=...)`: int64 [N, k], best first, equal scores by item number. Their
settings are arguments, to be chosen on a validation set by whoever compares (`evaluation.next_item`).

N = subjects asked about, M = items, S = subjects learnt from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy import linalg, sparse

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.evaluation import ranking
from zhitou.events.histories import Histories

EASE_ITEMS = 40_000  # a table of 40,000 x 40,000 float32 holds 6.4 GB, and is inverted in half an hour of one core
BLOCK = 1_024
CHUNK = 1_024
CROWD = 1e-6  # what popularity counts for where nothing else speaks


class NextItemBaseline(ABC):
    """What they share: a ranking from dense scores, some subjects at a time."""

    @abstractmethod
    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: higher means more likely to come next."""

    def topk(self, histories: Histories, k: int, *, exclude_seen: bool = False) -> np.ndarray:
        """int64 [N, min(k, M)]: the best items of each subject; -1 where items run out."""
        parts = [np.zeros((0, k), dtype=np.int64)]
        for start in range(0, len(histories), CHUNK):
            part = histories.select(np.arange(start, min(start + CHUNK, len(histories))))
            values = self.scores(part)
            if exclude_seen:
                values[part.subject_of_event, part.item] = -np.inf
            parts.append(ranking.topk(values, k))
        return np.concatenate(parts[1:] or parts)


class Popularity(NextItemBaseline):
    """The most frequent items, for everybody the same; an event counts half as much every `half_life_days` before
    the last one of all."""

    def __init__(self, histories: Histories, items: int, half_life_days: float = np.inf) -> None:
        age_s = int(histories.time_s.max(initial=0)) - histories.time_s
        weight = np.exp2(-age_s / (half_life_days * SECONDS_PER_DAY))
        self.share = np.bincount(histories.item, weight, minlength=items) / max(weight.sum(), 1e-300)

    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: the decayed share of all events, each row the same."""
        return np.tile(self.share.astype(np.float32), (len(histories), 1))


class RandomOrder(NextItemBaseline):
    """An order of items drawn for each subject by its name."""

    def __init__(self, items: int, chance: Chance) -> None:
        self.items, self.chance = items, chance.child("random-order")

    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: uniform numbers."""
        rows = [self.chance.stream("order", str(name)).random(self.items, np.float32) for name in histories.subjects]
        return np.stack(rows) if rows else np.zeros((0, self.items), dtype=np.float32)


class ItemKnn(NextItemBaseline):
    """Items that the same subjects had: cosine of co-occurrence, `neighbours` an item, for histories and visits.

    cosine(q, c) = subjects with both / sqrt((subjects with q + shrink) * (subjects with c + shrink)), and the score
    is its sum over the history's items, the one r steps before the last weighted (r + 1) ** -fade; `own` is what an
    item lends itself, 0 where nobody comes back to one. Sarwar et al. 2001; with a high fade it is the item-kNN of
    session papers.
    """

    def __init__(
        self,
        histories: Histories,
        items: int,
        shrink: float = 10.0,
        fade: float = 1.0,
        own: float = 0.0,
        neighbours: int = 200,
    ) -> None:
        self.fade, self.own = fade, own
        had = _had(histories, items)
        seen = np.asarray(had.sum(axis=0)).ravel()
        norm = np.sqrt(seen + max(shrink, 1e-9))
        both = (had.T @ had).tocsr()
        both.setdiag(0)
        both.data /= norm[both.indices] * np.repeat(norm, np.diff(both.indptr))
        self.near = _nearest(both, neighbours)
        self.crowd = (CROWD * seen / max(seen.sum(), 1)).astype(np.float32)

    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: summed similarities, and a trace of popularity where there are none."""
        asked = recency_weights(histories, self.near.shape[0], self.fade)
        return (asked @ self.near + asked * np.float32(self.own)).toarray() + self.crowd


class Ease(NextItemBaseline):
    """A linear item-to-item model with a zero diagonal, in closed form (Steck, "Embarrassingly Shallow Autoencoders
    for Sparse Data", WWW 2019): with G = X^T X + l2 I and P = G^-1, B[i, j] = -P[i, j] / P[j, j].

    X is who had what, 0 or 1. A history's items count (r + 1) ** -fade, r steps before its last, and lend themselves
    `own` of that; 0 and 0 are the paper's.
    Refused (ConfigError): more than EASE_ITEMS items, as the table is dense.
    """

    def __init__(
        self, histories: Histories, items: int, l2: float = 300.0, fade: float = 0.0, own: float = 0.0
    ) -> None:
        if items > EASE_ITEMS:
            raise ConfigError(
                f"EASE holds a dense table of items by items, expected at most {EASE_ITEMS:,} items, got {items:,}; "
                "use ItemKnn or Transitions, which are sparse"
            )
        if not l2 > 0:
            raise ConfigError(f"EASE needs an l2 above 0, got {l2}; start from 300")
        self.fade, self.own = fade, own
        self.weights = _ease_weights(_had(histories, items), l2)

    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: X @ B of the histories asked about."""
        asked = recency_weights(histories, len(self.weights), self.fade)
        scores = np.asarray(asked @ self.weights)
        owner = np.repeat(np.arange(len(histories)), np.diff(asked.indptr))
        scores[owner, asked.indices] += np.float32(self.own) * asked.data
        return scores


def recency_weights(histories: Histories, items: int, fade: float) -> sparse.csr_array:
    """float32 [N, M]: (r + 1) ** -fade for each item of a history whose latest event is r steps before the last."""
    owner, sizes = histories.subject_of_event, np.diff(histories.offsets)
    last = np.zeros(len(histories), dtype=np.int64)
    last[sizes > 0] = histories.step[histories.offsets[1:][sizes > 0] - 1]
    cell = owner * items + histories.item
    order = np.lexsort((-histories.step, cell))
    latest = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    weight = (last[owner[latest]] - histories.step[latest] + 1.0) ** -fade
    return sparse.csr_array(
        (weight.astype(np.float32), (owner[latest], histories.item[latest])), shape=(len(histories), items)
    )


def _had(histories: Histories, items: int) -> sparse.csr_array:
    """float32 [S, M]: 1 where a subject had an item."""
    return recency_weights(histories, items, 0.0)


def _nearest(table: sparse.csr_array, k: int) -> sparse.csr_array:
    """The k largest entries of each row; of equal ones those with the lower column."""
    owner = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((table.indices, -table.data, owner))
    place = np.arange(len(order)) - table.indptr[owner]
    kept = np.sort(order[(place < k) & (table.data[order] > 0)])
    return sparse.csr_array((table.data[kept], (owner[kept], table.indices[kept])), shape=table.shape)


def _ease_weights(had: sparse.csr_array, l2: float) -> np.ndarray:
    """float32 [M, M]. One table is overwritten from G to P to B: at 18,357 items each copy is 1.3 GB."""
    table = np.asfortranarray((had.T @ had).astype(np.float32).toarray())
    table[np.diag_indices(len(table))] += np.float32(l2)
    table, wrong = linalg.lapack.spotrf(table, lower=1, overwrite_a=1)
    assert wrong == 0, "G is positive definite for an l2 above 0"
    table, wrong = linalg.lapack.spotri(table, lower=1, overwrite_c=1)
    assert wrong == 0, "a Cholesky factor with a positive diagonal has an inverse"
    for start in range(0, len(table), BLOCK):  # spotri fills the lower half only
        end = start + BLOCK
        block = table[start:end, start:end]
        table[start:end, start:end] = np.tril(block) + np.tril(block, -1).T
        table[start:end, end:] = table[end:, start:end].T
    table /= -np.diag(table).copy()
    table[np.diag_indices(len(table))] = 0.0
    return np.ascontiguousarray(table)
