"""The next-basket protocol: cut the time line, show a model the past, ask for the first step after the cut.

Everything strictly before the cut is past; a subject's target is the set of items of its first step at or after
the cut. All items are ranked. `new` keeps, of targets and ranking, only what the subject never had before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zhitou.evaluation import ranking
from zhitou.evaluation.ranking import Targets
from zhitou.events.histories import Histories

CHUNK = 256


@dataclass(frozen=True)
class NextBasket:
    """The N subjects that act after the cut: their past, and the items of their first step after it."""

    past: Histories
    targets: Targets
    cut_s: int

    def __len__(self) -> int:
        return len(self.past)


def next_basket(histories: Histories, cut_s: int, until_s: int | None = None) -> NextBasket:
    """The task at `cut_s` (Unix seconds); with `until_s`, only first steps strictly before it count."""
    future = histories.since(cut_s)
    if until_s is not None:
        future = future.before(until_s)
    rows = np.flatnonzero(np.diff(future.offsets) > 0)
    first = future.keep(future.step == 0).select(rows)
    width = int(first.item.max(initial=0)) + 1
    pairs = np.unique(first.subject_of_event * width + first.item)
    counts = np.bincount(pairs // width, minlength=len(rows))
    targets = Targets(np.concatenate([[0], np.cumsum(counts)]), pairs % width)
    return NextBasket(histories.before(cut_s).select(rows), targets, cut_s)


@dataclass(frozen=True)
class Measured:
    """Per subject, in the order of `rows` (int64 [N'], rows of the task): float64 [N'] by name of metric."""

    rows: np.ndarray
    values: dict[str, np.ndarray]


def measure(
    scores: Callable[[Histories], np.ndarray], task: NextBasket, k: int = 10, *, new: bool = False
) -> Measured:
    """recall, ndcg, hit and mrr at k of `scores` (Histories of n -> float [n, M]) for each subject.

    new: only items the subject never had; subjects whose target holds none of these are left out.
    """
    targets = task.targets
    if new:
        targets = targets.keep(~had_before(task.past, targets))
    rows = np.flatnonzero(targets.sizes > 0)
    found = np.zeros((len(rows), k), dtype=bool)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        past = task.past.select(part)
        values = np.array(scores(past))
        if new:
            values[past.subject_of_event, past.item] = -np.inf
        top = ranking.topk(values, k)
        found[start : start + len(part), : top.shape[1]] = ranking.hits(top, targets.select(part))
    sizes = targets.sizes[rows]
    return Measured(
        rows,
        {
            f"recall@{k}": ranking.recall(found, sizes),
            f"ndcg@{k}": ranking.ndcg(found, sizes),
            f"hit@{k}": ranking.hit_rate(found),
            f"mrr@{k}": ranking.reciprocal_rank(found),
        },
    )


def had_before(past: Histories, targets: Targets) -> np.ndarray:
    """bool [len(targets.item)]: whether the subject had this item before the cut."""
    width = int(max(past.item.max(initial=0), targets.item.max(initial=0))) + 1
    return np.isin(targets.owner * width + targets.item, past.subject_of_event * width + past.item)
