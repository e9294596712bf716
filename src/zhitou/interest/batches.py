"""From histories to the arrays a training step or a prediction reads. Nothing here is learnt.

B = subjects, T = tokens, P = moments, U = items, M = items of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.interest.config import InterestConfig
from zhitou.interest.memory import pairs_at
from zhitou.interest.model import TokenBatch
from zhitou.interest.sampled import Negatives
from zhitou.interest.tokens import NOT_WANTED, Steps, Vocabulary, gap_bucket, steps_of, weekday
from zhitou.learning.transitions import Transitions


@dataclass(frozen=True)
class Example:
    """One training step: tokens, P moments (cells of the token table), their own-item pairs, their targets."""

    tokens: TokenBatch
    hidden: Tensor
    cell: Tensor
    wait: Tensor
    memories: tuple[tuple[Tensor, Tensor, Tensor], ...]  # moment, thing, features of items, types and lines
    target_moment: Tensor
    target_column: Tensor
    target_weight: Tensor
    weight: float  # what this part counts for beside the others of a step: the sum of its moments' weights
    log_weight: Tensor | None  # of the columns, where the catalogue is sampled (see sampled.Ranked)
    near: tuple[Tensor, Tensor, Tensor] | None  # moment, column, score of what came soon after in others' histories


def token_batch(
    histories: Histories, steps: Steps, begin: np.ndarray, end: np.ndarray, items: np.ndarray, column: np.ndarray
) -> TokenBatch:
    """The tokens of steps begin[b]:end[b] (int64 [B], numbers inside the subject) of each subject.

    items: int64 [U]; column: int64 [M], where in `items` each item of these steps is.
    """
    sizes = end - begin
    shape = (len(sizes), int(sizes.max(initial=0)) + 1)
    row = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    step = np.repeat(steps.offsets[:-1] + begin, sizes) + place
    cell = row * shape[1] + place + 1
    many = np.diff(steps.lines)[step]
    line = np.arange(many.sum()) + np.repeat(steps.lines[step] - np.cumsum(many) + many, many)
    gap, day, days = (np.zeros(shape[0] * shape[1], dtype=t) for t in (np.int64, np.int64, np.float32))
    before = np.maximum(step - 1, np.repeat(steps.offsets[:-1], sizes))
    gap[cell] = np.where(step == before, 0, gap_bucket(steps.time_s[step] - steps.time_s[before]))
    day[cell] = weekday(steps.time_s[step])
    days[cell] = (steps.time_s[step] - steps.time_s[step - place]) / SECONDS_PER_DAY
    return TokenBatch(
        shape,
        torch.from_numpy(np.asarray(items, dtype=np.int64)),
        torch.from_numpy(np.repeat(cell, many)),
        torch.from_numpy(column[histories.item[line]].astype(np.int64)),
        torch.from_numpy(histories.action[line].astype(np.int64)),
        torch.from_numpy(np.repeat(1 / np.sqrt(np.maximum(many, 1)), many).astype(np.float32)),
        *(torch.from_numpy(part.reshape(shape)) for part in (gap, day, days)),
    )


def memory_arrays(
    histories: Histories, steps: Steps, vocabulary: Vocabulary, memories: int, asked: np.ndarray, asked_s: np.ndarray
) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """(moment, thing, features) for so many of the memories of items, types and lines; arguments as in pairs_at."""
    found = (pairs_at(histories, steps, *things, asked, asked_s) for things in vocabulary.things[:memories])
    return tuple((torch.from_numpy(p.moment), torch.from_numpy(p.thing), torch.from_numpy(p.features)) for p in found)


def column_of(items: Tensor, column: np.ndarray) -> Tensor:
    """int64: the columns of these items."""
    return torch.from_numpy(column).index_select(0, items)


def near_columns(scores: sparse.csr_array, column: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """(moment, column, score) of these entries in order, as far as their items are ranked; column: int64 [M]."""
    moment = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    place = column[scores.indices]
    kept = place >= 0
    parts = moment[kept], place[kept].astype(np.int64), scores.data[kept].astype(np.float32)
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in parts)  # type: ignore[return-value]


def _near_each_step(
    histories: Histories, steps: Steps, near: Transitions, limit: int, apart: bool
) -> sparse.csr_array:
    """float32 [P, M]: for each step, what the steps before it made likely by others' histories alone. apart: whether
    `near` was learnt from these histories, so that a subject's own part must be taken out of it."""
    owner = np.repeat(np.arange(len(histories)), steps.sizes)
    place = steps.lines[:-1] - histories.offsets[owner]
    return near.moments(histories, owner, place, limit, apart=apart)


class Examples:
    """Batches of training examples: subjects of like length together, a sample of moments of each."""

    def __init__(
        self,
        histories: Histories,
        vocabulary: Vocabulary,
        config: InterestConfig,
        *,
        since_s: int | None = None,
        negatives: Negatives | None = None,
        near: Transitions | None = None,
        apart: bool = True,
    ) -> None:
        """since_s: predict only steps at this time or later (what came before is context). negatives: draws the items
        that a step ranks; None ranks all frequent ones. near: what came soon after what, for a model that reads it.
        apart: whether it was learnt from these very histories: each subject's own part is then taken out again."""
        self.histories, self.vocabulary, self.config = histories, vocabulary, config
        self.steps, self.negatives = steps_of(histories), negatives
        sizes = self.steps.sizes
        first = np.full(len(sizes), 0 if config.first_step else 1, dtype=np.int64)
        if since_s is not None:
            owner = np.repeat(np.arange(len(sizes)), sizes)
            first = np.maximum(first, np.bincount(owner[self.steps.time_s < since_s], minlength=len(sizes)))
        self.first = first
        self.subjects = np.flatnonzero(sizes > first)
        self.near = None
        if near is not None:
            self.near = _near_each_step(histories, self.steps, near, config.candidates, apart)

    def epoch(self, rng: np.random.Generator) -> list[_Plan]:
        """The plan of one epoch: which moments of which subjects make up each batch."""
        chosen = [self._moments(int(subject), rng) for subject in self.subjects]
        length = np.asarray([m[-1] for m in chosen]) if chosen else np.zeros(0)
        order = np.argsort(length * np.exp(rng.normal(0, 0.1, len(length))), kind="stable")
        plans, part, count = [], [], 0
        for n in order:
            part.append((int(self.subjects[n]), chosen[n]))
            count += len(chosen[n])
            if count >= self.config.positions_batch:
                plans.append(_Plan(self, part, int(rng.integers(2**62))))
                part, count = [], 0
        if part:
            plans.append(_Plan(self, part, int(rng.integers(2**62))))
        return [plans[n] for n in rng.permutation(len(plans))]

    def _moments(self, subject: int, rng: np.random.Generator) -> np.ndarray:
        """Numbers of the steps to predict, within one window of `context` steps, later ones more often."""
        first, total = self.first[subject], self.steps.sizes[subject]
        top = total if total <= self.config.context else rng.integers(min(self.config.context, total), total + 1)
        top = max(top, first + 1)
        candidates = np.arange(max(first, top - self.config.context + (top > self.config.context)), top)
        if len(candidates) <= self.config.positions_subject:
            return candidates
        weight = 1.0 + np.arange(len(candidates)) / len(candidates)
        picked = rng.choice(candidates, self.config.positions_subject, replace=False, p=weight / weight.sum())
        return np.sort(picked)

    def example(
        self,
        part: list[tuple[int, np.ndarray]],
        rng: np.random.Generator | None,
        whole: list[tuple[int, np.ndarray]] | None = None,
    ) -> Example:
        """The arrays of one batch; with a generator, some items' own embeddings are hidden. whole: the batch that
        `part` is a share of: all its shares rank the same items and hide the same embeddings."""
        part = sorted(part, key=lambda entry: entry[0])
        rows = np.asarray([subject for subject, _ in part])
        histories = self.histories.select(rows)
        steps = steps_of(histories)
        wanted = [moments for _, moments in part]
        end = np.asarray([m[-1] for m in wanted])
        begin = np.maximum(end - self.config.context, 0)
        row = np.repeat(np.arange(len(part)), [len(m) for m in wanted])
        number = np.concatenate(wanted)
        step = steps.offsets[row] + number
        seen = histories.item
        if whole is not None:
            seen = self.histories.select(np.asarray([subject for subject, _ in whole])).item
        items, column, log_weight = self._columns(seen, rng)
        asked = np.stack([row, number], axis=1)
        memories = memory_arrays(histories, steps, self.vocabulary, self.config.memories, asked, steps.time_s[step])
        if memories:
            memories = ((memories[0][0], column_of(memories[0][1], column), memories[0][2]), *memories[1:])
        near = None if self.near is None else near_columns(self.near[self.steps.offsets[rows[row]] + number], column)
        tokens = token_batch(histories, steps, begin, end, items, column)
        target_moment, target_item, target_weight = _targets(histories, steps, step)
        hidden = np.zeros(len(items), dtype=bool) if rng is None else rng.random(len(items)) < self.config.id_dropout
        last_s = steps.time_s[np.maximum(step - 1, 0)]
        wait = np.where(number == 0, 0, gap_bucket(steps.time_s[step] - last_s))
        share, mass = self._shares(row, target_moment)
        return Example(
            tokens=tokens,
            hidden=torch.from_numpy(hidden),
            cell=torch.from_numpy(row * tokens.shape[1] + number - begin[row]),
            wait=torch.from_numpy(wait),
            memories=memories,
            target_moment=torch.from_numpy(target_moment),
            target_column=torch.from_numpy(column[target_item]),
            target_weight=torch.from_numpy((target_weight * share[target_moment]).astype(np.float32)),
            weight=mass,
            log_weight=log_weight,
            near=near,
        )

    def _shares(self, row: np.ndarray, target_moment: np.ndarray) -> tuple[np.ndarray, float]:
        """(float64 [P], their sum before): the weights of the moments, summing to one: more for large steps, less for
        busy subjects. A subject is never in two parts, so the sums of parts are those of the whole."""
        size = np.bincount(target_moment, minlength=len(row))
        share = size**self.config.size_power / np.bincount(row)[row] ** self.config.subject_power
        return share / max(share.sum(), 1e-9), float(share.sum())

    def _columns(
        self, seen: np.ndarray, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray, Tensor | None]:
        """The items ranked in this batch, frequent or drawn ones and those of its subjects, the column of each item,
        and the log of what a column counts for where they are drawn."""
        if self.negatives is not None:
            ranked = self.negatives.rank(seen, rng or np.random.default_rng(0))
            items, log_weight = ranked.items, torch.from_numpy(ranked.log_weight)
        else:
            inside = self.vocabulary.own > 0
            inside[seen] = True
            items, log_weight = np.flatnonzero(inside), None
        column = np.full(len(self.vocabulary), -1, dtype=np.int64)
        column[items] = np.arange(len(items))
        return items, column, log_weight


@dataclass(frozen=True)
class _Plan:
    """A batch that is built when it is needed."""

    examples: Examples
    part: list[tuple[int, np.ndarray]]
    seed: int
    whole: list[tuple[int, np.ndarray]] | None = None

    def build(self) -> Example:
        return self.examples.example(self.part, np.random.default_rng(self.seed), self.whole)

    def split(self, parts: int) -> list[_Plan]:
        """At most so many plans that share the subjects of this one, dealt out so that long and short ones mix."""
        dealt = [self.part[rank::parts] for rank in range(min(parts, len(self.part)))]
        return [replace(self, part=part, whole=self.part) for part in dealt]


def _targets(histories: Histories, steps: Steps, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(moment, item, weight) of the distinct items of each step; the weights of a moment sum to one.

    A step of nothing but actions that are never predicted keeps its moment with weights of zero.
    """
    many = np.diff(steps.lines)[step]
    line = np.arange(many.sum()) + np.repeat(steps.lines[step] - np.cumsum(many) + many, many)
    moment = np.repeat(np.arange(len(step)), many)
    wanted = ~np.isin(histories.action[line], NOT_WANTED)
    width = int(histories.item.max(initial=0)) + 1
    cells = np.unique(moment[wanted] * width + histories.item[line[wanted]])
    moment = cells // width
    weight = 1.0 / np.bincount(moment, minlength=len(step))[moment]
    return moment, cells % width, weight.astype(np.float32)
