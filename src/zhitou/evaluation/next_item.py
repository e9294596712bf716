"""Three protocols for "which item comes next", and figures with intervals that cover subjects and seeds.

Leave-one-out: everybody's last item is asked for. Session prefixes: each click of visits set apart is asked for,
given the clicks before it. Global time: the same for the visits that begin after a cut, or, where people come back,
`next_basket`. In all of them every item is ranked; equal scores rank by item number (`ranking.topk`).

N = questions, K = length of a ranking, S = seeds, C = clusters (people or visits: what is drawn in the bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import SourceError
from zhitou.evaluation import ranking
from zhitou.evaluation.next_basket import NextBasket, had_before
from zhitou.evaluation.ranking import RESAMPLES, Interval, Targets
from zhitou.events.histories import Histories

CHUNK = 1_024  # questions ranked at a time
LEAST_EVENTS = 3  # one to learn from, one to validate, one to test

Rank = Callable[[Histories, int, bool], np.ndarray]  # histories, k, whether to leave out what was seen: int [n, k]


@dataclass(frozen=True)
class Questions:
    """N moments. past: N rows, what was known at each. targets: what came next. cluster: int64 [N], whose question it
    is. exclude_seen: items of the past may not be ranked."""

    past: Histories
    targets: Targets
    cluster: np.ndarray
    exclude_seen: bool

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def target(self) -> np.ndarray:
        """int64 [N]: the one item that came next; only where each question has one."""
        assert len(self.targets.item) == len(self.targets), "a basket is not one item; read `targets`"
        return self.targets.item

    def select(self, rows: np.ndarray) -> Questions:
        """Only these questions (int [n])."""
        return Questions(self.past.select(rows), self.targets.select(rows), self.cluster[rows], self.exclude_seen)


@dataclass(frozen=True)
class NextItem:
    """A protocol laid over data: what settings are chosen on, and what the figures are taken from.

    choose: learnt from while choosing; valid: the questions chosen on. learn: by name of the way of training, what a
    final model may learn from; test: the questions of the figures, the same for every way.
    """

    choose: Histories
    valid: Questions
    learn: Mapping[str, Histories]
    test: Questions


def leave_one_out(histories: Histories) -> NextItem:
    """The last event of each subject is the test target, the one before it the validation target; no repeats.

    "strict" learns from all but these two: at test time the validation item is part of the history that asks, but it
    never was a target. "refit" learns from all but the last. The two must never be compared with each other.
    Subjects of fewer than three events are learnt from and not asked about. Refused: histories without any other.
    """
    place = _from_end(histories)
    sizes = np.diff(histories.offsets)
    rows = np.flatnonzero(sizes >= LEAST_EVENTS)
    if not len(rows):
        raise SourceError(f"leave-one-out asks about subjects of {LEAST_EVENTS} events or more, there are none")
    asked = (sizes >= LEAST_EVENTS)[histories.subject_of_event]
    known = histories.keep(~asked | (place >= 2))
    before_last = histories.keep(~asked | (place >= 1))
    ends = histories.offsets[1:][rows]
    return NextItem(
        choose=known,
        valid=Questions(known.select(rows), one_each(histories.item[ends - 2]), rows, exclude_seen=True),
        learn={"strict": known, "refit": before_last},
        test=Questions(before_last.select(rows), one_each(histories.item[ends - 1]), rows, exclude_seen=True),
    )


def session_prefixes(sessions: Histories, test: Questions, valid_share: float = 0.1) -> NextItem:
    """Sessions to learn from and questions about others. The last `valid_share` of the sessions, by the time of their
    first event, are held back to choose settings on; final models ("all") learn from every session. Repeats count."""
    order = np.lexsort((np.arange(len(sessions)), begins_s(sessions)))
    first = len(order) - round(valid_share * len(order))
    held = sessions.select(np.sort(order[first:]))
    return NextItem(sessions.select(np.sort(order[:first])), every_click(held), {"all": sessions}, test)


def global_time(visits: Histories, cut_s: int, valid_s: int) -> NextItem:
    """Everything strictly before `cut_s` (Unix seconds) is learnt from; every click but the first of each visit that
    begins at the cut or later is asked for. The `valid_s` seconds before the cut are the validation, likewise."""
    earlier = visits.before(cut_s)

    def asked(part: Histories, since_s: int) -> Questions:
        return every_click(part.select(np.flatnonzero(begins_s(part) >= since_s)))

    return NextItem(
        choose=_active(visits.before(cut_s - valid_s)),
        valid=asked(_active(earlier), cut_s - valid_s),
        learn={"all": _active(earlier)},
        test=asked(_active(visits), cut_s),
    )


def begins_s(histories: Histories) -> np.ndarray:
    """int64 [S]: Unix seconds of each subject's first event; the largest number where it has none."""
    begun = np.full(len(histories), np.iinfo(np.int64).max)
    some = np.diff(histories.offsets) > 0
    begun[some] = histories.time_s[histories.offsets[:-1][some]]
    return begun


def every_click(visits: Histories) -> Questions:
    """Each event but the first of each visit as a question, given the events before it; repeats count."""
    place = np.arange(len(visits.item)) - visits.offsets[:-1][visits.subject_of_event]
    asked = np.flatnonzero(place > 0)
    lengths = place[asked]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    take = np.arange(offsets[-1]) + np.repeat(asked - lengths - offsets[:-1], lengths)
    past = Histories(
        subjects=numbered(len(asked)),
        offsets=offsets,
        item=visits.item[take],
        action=visits.action[take],
        time_s=visits.time_s[take],
        step=visits.step[take],
        price_micros=visits.price_micros[take],
        quantity=visits.quantity[take],
    )
    return Questions(past, one_each(visits.item[asked]), visits.subject_of_event[asked], exclude_seen=False)


def first_baskets(task: NextBasket, *, new: bool) -> Questions:
    """The next-basket task as questions; new: only about items that the subject never had, as `measure` there."""
    if not new:
        return Questions(task.past, task.targets, np.arange(len(task)), exclude_seen=False)
    targets = task.targets.keep(~had_before(task.past, task.targets))
    rows = np.flatnonzero(targets.sizes > 0)
    return Questions(task.past.select(rows), targets.select(rows), rows, exclude_seen=True)


def one_each(item: np.ndarray) -> Targets:
    """Targets of N subjects with one item (int [N]) each."""
    return Targets(np.arange(len(item) + 1), np.asarray(item, dtype=np.int64))


def numbered(n: int) -> np.ndarray:
    """object [n]: names that sort as their numbers do, for questions that are nobody's whole history."""
    return np.asarray([f"q{number:09d}" for number in range(n)], dtype=object)


def ranked(scores: Callable[[Histories], np.ndarray]) -> Rank:
    """The ranking of a scorer (Histories of n -> float [n, M], higher is better)."""

    def rank(histories: Histories, k: int, exclude_seen: bool) -> np.ndarray:
        values = np.array(scores(histories))
        if exclude_seen:
            values[histories.subject_of_event, histories.item] = -np.inf
        return ranking.topk(values, k)

    return rank


def top_items(rank: Rank, questions: Questions, k: int) -> np.ndarray:
    """int64 [N, k]: what `rank` answers to each question, asked some at a time."""
    top = np.full((len(questions), k), -1, dtype=np.int64)
    for start in range(0, len(questions), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(questions)))
        part = rank(questions.past.select(rows), k, questions.exclude_seen)
        top[rows, : part.shape[1]] = part
    return top


def figures(top: np.ndarray, targets: Targets | np.ndarray, ks: tuple[int, ...]) -> dict[str, np.ndarray]:
    """float64 [N] by name: hr@k, recall@k, ndcg@k, mrr@k. top: int [N, K] with K >= each k, -1 = none.

    targets: baskets, or one item (int [N]) each; then hr@k = recall@k is also what papers on sessions call P@k.
    """
    if isinstance(targets, np.ndarray):
        targets = one_each(targets)
    found, values = ranking.hits(top, targets), {}
    for k in ks:
        assert k <= top.shape[1], "a metric at k needs a ranking of k"
        values[f"hr@{k}"] = ranking.hit_rate(found[:, :k])
        values[f"recall@{k}"] = ranking.recall(found[:, :k], targets.sizes)
        values[f"ndcg@{k}"] = ranking.ndcg(found[:, :k], targets.sizes)
        values[f"mrr@{k}"] = ranking.reciprocal_rank(found[:, :k])
    return values


@dataclass(frozen=True)
class Compared:
    """A model's mean, and its mean minus the reference's; n counts questions."""

    mean: Interval
    gain: Interval


def compare(
    values: Mapping[str, np.ndarray],
    cluster: np.ndarray,
    reference: str,
    rng: np.random.Generator,
    level: float = 0.95,
) -> dict[str, Compared]:
    """Means over seeds and questions of each model, and paired differences to `reference`, with intervals.

    values: float [S, N] by model, one row a seed; S may differ (1 for what has no chance in it). Each of 2,000 draws
    takes C clusters with replacement, the same for every model, and S seeds with replacement, each model's its own;
    a seed's distance from its model's mean is first made sqrt(S / (S - 1)) larger, for that few draws show too
    little spread. The interval holds the middle `level` of the draws, and so covers both who was asked and which seed
    was trained.
    """
    number, counts = np.unique(cluster, return_inverse=True, return_counts=True)[1:]
    names, c, draws = list(values), len(counts), []
    sums = np.concatenate([_cluster_sums(_spread_out(values[name]), number, c) for name in names])
    for _ in range(RESAMPLES // 50):
        weight = np.stack([np.bincount(rng.integers(0, c, c), minlength=c) for _ in range(50)]).astype(np.float64)
        draws.append((weight @ sums.T) / (weight @ counts)[:, None])
    by_seed = np.concatenate(draws)
    drawn, at = {}, 0
    for name in names:
        s = len(values[name])
        seeds = rng.multinomial(s, np.full(s, 1 / s), size=len(by_seed)) / s
        drawn[name] = (by_seed[:, at : at + s] * seeds).sum(axis=1)
        at += s
    means = {name: float(values[name].mean()) for name in names}
    tails, n = [(1 - level) / 2, (1 + level) / 2], len(cluster)

    def interval(mean: float, draws: np.ndarray) -> Interval:
        low, high = np.quantile(draws, tails)
        return Interval(mean, float(low), float(high), n)

    return {
        name: Compared(
            interval(means[name], drawn[name]),
            interval(means[name] - means[reference], drawn[name] - drawn[reference]),
        )
        for name in names
    }


def _spread_out(values: np.ndarray) -> np.ndarray:
    s = len(values)
    assert s > 0, "a model is measured with one seed at least"
    if s == 1:
        return values
    mean = values.mean(axis=0)
    return mean + (values - mean) * np.sqrt(s / (s - 1))


def _cluster_sums(values: np.ndarray, number: np.ndarray, c: int) -> np.ndarray:
    return np.stack([np.bincount(number, row, minlength=c) for row in values])


def _from_end(histories: Histories) -> np.ndarray:
    """int64 [E]: how many events of its subject come after each event."""
    return histories.offsets[1:][histories.subject_of_event] - 1 - np.arange(len(histories.item))


def _active(histories: Histories) -> Histories:
    return histories.select(np.flatnonzero(np.diff(histories.offsets) > 0))
