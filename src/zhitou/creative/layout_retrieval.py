"""Layouts for given elements, out of real ones: find layouts of like elements, complete them, choose by agreement.

The network of `creative.layout_net` learns on top of this and is measured against it. Nothing here is trained but
the weights of the kinds, which are counted.

Q = queries, N = exemplars, P = places, K = kinds, E = candidates of a query, n = elements of one query, S = how many
exemplars are looked through for a missing element.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from zhitou.core.errors import ConfigError
from zhitou.evaluation.layouts_match import box_iou

NOWHERE = (0.25, 0.25, 0.5, 0.1)  # the box of a kind that no exemplar has; never seen on real data
SWEEPS = 2  # over the kinds of a layout; a third changed no box of 500 layouts


@dataclass(frozen=True)
class Slots:
    """Layouts whose places are in one order: by kind, within a kind as one reads. boxes: float64 [N, P, 4], 0 where
    absent. present: bool [N, P], the first places. kinds: int64 [N, P], 0 where absent. counts: int64 [N, K]."""

    boxes: np.ndarray
    present: np.ndarray
    kinds: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def select(self, rows: np.ndarray) -> Slots:
        """The layouts in these rows."""
        return Slots(self.boxes[rows], self.present[rows], self.kinds[rows], self.counts[rows])


def in_slots(boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray, kind_count: int) -> Slots:
    """These layouts (arrays as in `evaluation.layouts`) in the order of `Slots`. Refused (ConfigError): a kind beyond
    `kind_count`."""
    if present.any() and not (kinds[present].min() >= 0 and kinds[present].max() < kind_count):
        raise ConfigError(f"kinds are numbers from 0 to {kind_count - 1}, got up to {kinds[present].max()}")
    order = np.lexsort((boxes[..., 0], boxes[..., 1], kinds, ~present), axis=1)
    here = np.take_along_axis(present, order, 1)
    kind = np.where(here, np.take_along_axis(kinds, order, 1), 0).astype(np.int64)
    box = np.where(here[..., None], np.take_along_axis(boxes, order[..., None], 1), 0.0)
    counts = ((kind[..., None] == np.arange(kind_count)) & here[..., None]).sum(1)
    return Slots(box.astype(np.float64), here, kind, counts)


@dataclass(frozen=True)
class Candidates:
    """What exemplars say of Q queries. boxes: float64 [Q, E, P, 4], one complete layout for each of E exemplars,
    nearest first. borrowed: bool [Q, E, P], taken from a further exemplar because the first lacks the element.
    distance: float64 [Q, E]. rows: int64 [Q, E], which exemplar."""

    boxes: np.ndarray
    borrowed: np.ndarray
    distance: np.ndarray
    rows: np.ndarray


class Retriever:
    """Real layouts to be looked up by the elements that a design must have.

    distance(q, c) = sum over kinds of weight_k * |count_k(q) - count_k(c)|, weight_k = sqrt(-ln(share of exemplars
    that have the kind)): a kind that every layout has says little. On held-out training layouts the root was better
    than equal weights and than the logarithm itself (MaxIoU .321, .308 and .319 of the nearest exemplar).
    """

    def __init__(self, corpus: Slots, weight: np.ndarray | None = None, searched: int = 300) -> None:
        if not len(corpus):
            raise ConfigError("a retriever needs at least one exemplar")
        self.corpus, self.searched = corpus, searched
        seen = np.maximum((corpus.counts > 0).mean(0), 1e-3)
        self.weight = np.sqrt(-np.log(seen)) if weight is None else weight
        self._of = [_by_kind(corpus, row) for row in range(len(corpus))]

    def near(self, counts: np.ndarray, leave_out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(rows int64 [Q, S], distance float64 [Q, S]) of the nearest exemplars, nearest first, equal ones in the
        corpus's order. leave_out: int [Q], a row that may not be found: the query itself, in training."""
        most = min(self.searched, len(self.corpus) - (leave_out is not None))
        rows, distances = np.zeros((len(counts), most), dtype=np.int64), np.zeros((len(counts), most))
        for q, count in enumerate(counts):
            distance = np.abs(self.corpus.counts - count) @ self.weight
            if leave_out is not None:
                distance[leave_out[q]] = np.inf
            rows[q] = np.argsort(distance, kind="stable")[:most]
            distances[q] = distance[rows[q]]
        return rows, distances

    def candidates(self, queries: Slots, count: int, leave_out: np.ndarray | None = None) -> Candidates:
        """`count` complete layouts for the elements of each query; its boxes are never read."""
        rows, distance = self.near(queries.counts, leave_out)
        if rows.shape[1] < count:
            raise ConfigError(f"{count} candidates need as many exemplars, got {rows.shape[1]}")
        boxes = np.zeros((len(queries), count, *queries.boxes.shape[1:]))
        borrowed = np.zeros(boxes.shape[:3], dtype=bool)
        for q in range(len(queries)):
            kinds = queries.kinds[q][queries.present[q]]
            for kind, start, need in runs_of(kinds):
                have = [self._of[row].get(kind) for row in rows[q].tolist()]
                for e in range(count):
                    found, lacks = _filled(have, e, need)
                    boxes[q, e, start : start + need] = found
                    borrowed[q, e, start + need - lacks : start + need] = lacks > 0
        return Candidates(boxes, borrowed, distance[:, :count], rows[:, :count])


def choose(
    boxes: np.ndarray, kinds: np.ndarray, weight: np.ndarray, overlap_price: float = 0.0, whole: bool = False
) -> np.ndarray:
    """float64 [n, 4]: of E complete layouts (boxes [E, n, 4], kinds int [n] in rising order), the one that agrees
    most with all of them: the greatest expected IoU if candidate e is the truth with probability ~ weight_e [E].

    weight may also be [E, n], one for each place; that of a kind's first place counts for its kind. A candidate of
    weight 0 is never the truth but may be chosen. This is minimum-risk decoding: the nearest exemplar is only the
    likeliest. whole: take one candidate as it is. Otherwise each kind's boxes then change to another candidate's
    where the expected sum of IoU gains more than `overlap_price` times the growth of the sum of overlap shares (as in
    `evaluation.layouts.pair_overlap`).
    """
    chance = np.broadcast_to(weight.reshape(len(boxes), -1), (len(boxes), len(kinds)))
    chance = chance / chance.sum(0)
    runs = runs_of(kinds)
    gain = np.array([agreement(boxes[:, start : start + need]) @ chance[:, start] for _, start, need in runs])
    best = int(gain.sum(0).argmax())
    made = np.asarray(boxes[best].copy())
    if whole:
        return made
    for _ in range(SWEEPS):
        for place, (_, start, need) in enumerate(runs):
            part = slice(start, start + need)
            rest = np.delete(made, np.arange(start, start + need), axis=0)
            price = np.array([_crowding(some[part], rest) for some in boxes]) if overlap_price else 0.0
            made[part] = boxes[int((gain[place] - overlap_price * price).argmax()), part]
    return made


def agreement(boxes: np.ndarray) -> np.ndarray:
    """float64 [E, E]: the summed IoU of each two candidates' boxes [E, n, 4] of one kind, under the best matching."""
    count, n = boxes.shape[:2]
    iou = box_iou(boxes.reshape(-1, 4), boxes.reshape(-1, 4)).reshape(count, n, count, n).transpose(0, 2, 1, 3)
    if n == 1:
        return np.asarray(iou[..., 0, 0])
    total = np.zeros((count, count))
    for a in range(count):
        for b in range(a, count):
            total[a, b] = total[b, a] = iou[a, b][linear_sum_assignment(iou[a, b], maximize=True)].sum()
    return total


def paired(anchor: np.ndarray, other: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """float64 [n, 4]: `other` (same kinds) with the boxes within each kind in the order that is nearest to `anchor`,
    so that one place means one spot."""
    out = other.copy()
    for _, start, need in runs_of(kinds):
        if need > 1:
            part = slice(start, start + need)
            cost = np.abs(anchor[part][:, None] - other[part][None]).sum(-1)
            out[part] = other[part][linear_sum_assignment(cost)[1]]
    return out


def _crowding(part: np.ndarray, rest: np.ndarray) -> float:
    """The sum of overlap shares, both ways, among `part` and between it and `rest`."""
    total = 0.0
    for other in (part, rest):
        if not len(other):
            continue
        low = np.maximum(part[:, None, :2], other[None, :, :2])
        high = np.minimum(part[:, None, :2] + part[:, None, 2:], other[None, :, :2] + other[None, :, 2:])
        common = np.clip(high - low, 0, None).prod(-1)
        if other is part:
            np.fill_diagonal(common, 0.0)
        areas = part[:, 2:].prod(-1)[:, None], other[:, 2:].prod(-1)[None]
        total += float((common / np.maximum(areas[0], 1e-9)).sum())
        if other is rest:
            total += float((common / np.maximum(areas[1], 1e-9)).sum())
    return total


def runs_of(kinds: np.ndarray) -> list[tuple[int, int, int]]:
    """(kind, where it starts, how many) of kinds in rising order."""
    found, start, count = np.unique(kinds, return_index=True, return_counts=True)
    return list(zip(found.tolist(), start.tolist(), count.tolist(), strict=True))


def _by_kind(corpus: Slots, row: int) -> dict[int, np.ndarray]:
    kinds, boxes = corpus.kinds[row][corpus.present[row]], corpus.boxes[row]
    return {kind: boxes[start : start + need] for kind, start, need in runs_of(kinds)}


def _filled(have: list[np.ndarray | None], first: int, need: int) -> tuple[np.ndarray, int]:
    """`need` boxes of a kind, those of exemplar `first` and then of the nearest others; how many were borrowed."""
    own = have[first]
    found = [] if own is None else list(own[:need])
    lacks = need - len(found)
    for place, other in enumerate(have):
        if len(found) == need:
            break
        if other is not None and place != first:
            found.extend(other[: need - len(found)])
    while len(found) < need:
        found.append(found[-1] if found else np.array(NOWHERE))
    return np.array(found), lacks
