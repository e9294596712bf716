"""A trained interest model served on a CPU without torch: whole histories, and shoppers who are kept up to date.

N = shoppers, M = items, D = width, K = length of a ranking, T = tokens, L = blocks, P = steps.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.core.errors import ConfigError, NotFoundError, SchemaError
from zhitou.events.histories import Histories
from zhitou.events.schema import KINDS
from zhitou.interest import kernels, weights
from zhitou.interest.kernels import Columns, Ledger, Past
from zhitou.interest.nearby import add_nearby
from zhitou.interest.tokens import Steps, due_s, gap_bucket, steps_of
from zhitou.interest.weights import Weights

CHUNK, SCORES = 256, 2**22  # the most shoppers and scores worked on together
ROOM = 8  # tokens and things that a shopper gets room for beyond what is there


@dataclass
class Shopper:
    """One shopper who is kept up to date: some kilobytes, more with a longer history.

    steps, events: so far; tokens: steps in the decoder's window; many: lines of the last step. first_s, before_s,
    last_s: Unix seconds of the first, the last but one and the last step. gaps: seconds between steps, sorted.
    x: float32 [T, D], tokens, the start token first; times_s: int64 [T]. kv: float32 [L, 2, heads, T, D / heads].
    lines: float32 [D], the sum over the lines of the last step. book: what the memories know. state: float32 [1, D],
    the interest vector. recent: the items of each of the last steps, as many as `nearby` looks at. Of x, times_s and
    kv the first tokens + 1 rows are in use.
    """

    steps: int
    events: int
    tokens: int
    many: int
    first_s: int
    before_s: int
    last_s: int
    gaps: list[int]
    x: np.ndarray
    times_s: np.ndarray
    kv: np.ndarray
    lines: np.ndarray
    book: Ledger
    state: np.ndarray
    recent: list[list[int]]


class Served:
    """interest = f(behaviour), read from disk. Implements strategy.ports.InterestModel.

    Scores equal those of predict.Interest to 1e-4. One shopper is answered on the calling thread; only many use
    `threads`. Start Python with OPENBLAS_NUM_THREADS=1, or the small matrix products wait for other threads.
    """

    name = "interest"

    def __init__(self, made: Weights, threads: int = 1) -> None:
        if threads < 1:
            raise ConfigError(f"threads is at least 1, got {threads}")
        self.weights, self.threads = made, threads
        self._width, self._blocks = made.embeddings.table.shape[1], len(made.blocks.q)
        self._turning = kernels.turns(self._width, made.heads, made.context)
        self._every = _columns(made, np.arange(len(made)))
        self._reach = 0 if made.nearby is None else len(made.nearby.fades)

    @classmethod
    def load(cls, folder: Path, items: ItemTable | None = None, threads: int = 1) -> Served:
        """The model in a folder written by `Interest.save` or `weights.export`. Refused as in `weights.read`."""
        return cls(weights.read(folder, items), threads)

    def __len__(self) -> int:
        return len(self.weights)

    # Many shoppers, by their whole histories.

    def scores(self, histories: Histories, items: np.ndarray | None = None, *, at_s: int | None = None) -> np.ndarray:
        """float32 [N, len(items)] (all M if None): log-scale score of each item being in the next step.

        at_s: Unix seconds of the question; without it, each subject is asked when its next step is due. Refused here
        and below: numbers of items (NotFoundError) or actions (SchemaError) that are not known, and times that fall.
        """
        columns, table = self._every, self._table
        if items is not None:
            chosen = self._known(items)
            columns, table = _columns(self.weights, chosen), _below(self.weights, chosen)
        group = self._group(histories, at_s)
        out = np.empty((len(histories), table.shape[1]), dtype=np.float32)

        def answer(chunks: list[slice]) -> None:
            for rows in chunks:
                self._score(group, rows, columns, table, False, out[rows])

        self._each(len(histories), answer)
        return out

    def vectors(self, histories: Histories) -> np.ndarray:
        """float32 [N, D]: the decoder's state after each subject's last step; the start token's without any."""
        group = self._group(histories, None)
        out = np.empty((len(histories), self._width), dtype=np.float32)

        def answer(chunks: list[slice]) -> None:
            for rows in chunks:
                out[rows] = self._states(group.part(rows))

        self._each(len(histories), answer)
        return out

    def topk(
        self, histories: Histories, k: int, *, exclude_seen: bool = False, at_s: int | None = None
    ) -> np.ndarray:
        """int64 [N, min(k, M)]: the best items of each subject, best first, equal scores by item number; -1 where
        fewer may appear."""
        group = self._group(histories, at_s)
        best = np.empty((len(histories), self._length(k)), dtype=np.int64)

        def answer(chunks: list[slice]) -> None:
            room = np.empty((self._chunk(), len(self)), dtype=np.float32)  # once: new pages cost time
            for rows in chunks:
                scores = room[: rows.stop - rows.start]
                self._score(group, rows, self._every, self._table, exclude_seen, scores)
                kernels.best(scores, best[rows])

        self._each(len(histories), answer)
        return best

    # One shopper, kept up to date.

    def start(self, history: Histories) -> Shopper:
        """The shopper with this history of one subject, perhaps without any event; `add` keeps it up to date."""
        if len(history) != 1:
            raise SchemaError(f"expected the history of one subject, got {len(history)}; select one of them")
        steps, past = self._past(history)
        n, events = len(steps.time_s), len(past.item)
        tokens = min(n, self.weights.context)
        room = min(tokens + ROOM, self.weights.context) + 1
        kv = self._empty(self._blocks, room)
        lines, book = np.zeros(self._width, dtype=np.float32), kernels.ledger(events + ROOM)
        x = np.empty((room, self._width), dtype=np.float32)
        state = self._encoded(past, x, kv, lines)
        if n:
            kernels.remember_all(book, book.hash.shape[2], self.weights.thing, self.weights.kind, past, 0)
        first_s, before_s, last_s = (int(steps.time_s[p]) if n else 0 for p in (0, max(n - 2, 0), n - 1))
        times_s = np.zeros(room, dtype=np.int64)
        times_s[1 : tokens + 1] = steps.time_s[n - tokens :]
        many = int(np.diff(steps.lines)[-1]) if n else 0
        gaps = np.sort(np.diff(steps.time_s)).tolist()
        recent = [past.item[steps.lines[p] : steps.lines[p + 1]].tolist() for p in range(max(n - self._reach, 0), n)]
        return Shopper(
            n, events, tokens, many, first_s, before_s, last_s, gaps, x, times_s, kv, lines, book, state, recent
        )

    def add(
        self, who: Shopper, item: int | np.ndarray, action: int | np.ndarray, time_s: int, *, together: bool = False
    ) -> Shopper:
        """The same shopper, changed in place, after one more step: a click, or all lines of an order (int [n] each).

        time_s: Unix seconds, not before the last step. together: the lines belong to the last step, as when those of
        an order come one by one. Costs one token; from `context` steps on the window slides and all its tokens are
        computed anew, since what fell out of it had been read by the others.
        """
        items, actions = self._known(np.atleast_1d(item)), _actions(np.atleast_1d(action))
        now = _seconds(time_s)
        if not len(items) or len(items) != len(actions):
            raise SchemaError(f"expected lines with an action each, got {len(items)} and {len(actions)}")
        if who.steps and now < who.last_s:
            raise SchemaError(f"expected a time at or after the last step, {who.last_s}, got {now}; start anew")
        if together and not who.steps:
            raise SchemaError("expected a shopper with a step to add lines to, got one without; leave out `together`")
        slides = not together and who.tokens == self.weights.context
        self._make_room(who, len(items))
        if not together:
            _begin_step(who, now, slides)
            who.recent = [*who.recent, []][-self._reach :] if self._reach else []
        if self._reach:
            who.recent[-1].extend(items.tolist())
        who.many += len(items)
        who.events += len(items)
        self._read_last(who, items, actions, 0 if slides else who.tokens)
        return who

    def scores_of(self, who: Shopper, items: np.ndarray | None = None, *, at_s: int | None = None) -> np.ndarray:
        """float32 [len(items)]: `scores` of one shopper."""
        w = self.weights.embeddings
        if items is None:
            return self._scores_of(who, self._every, w.table, w.bias, at_s, False)[0]
        chosen = self._known(items)
        columns = _columns(self.weights, chosen)
        return self._scores_of(who, columns, w.table[chosen], w.bias[chosen], at_s, False)[0]

    def topk_of(self, who: Shopper, k: int, *, exclude_seen: bool = False, at_s: int | None = None) -> np.ndarray:
        """int64 [min(k, M)]: `topk` of one shopper."""
        w, best = self.weights.embeddings, np.empty((1, self._length(k)), dtype=np.int64)
        kernels.best(self._scores_of(who, self._every, w.table, w.bias, at_s, exclude_seen), best)
        return best[0]

    def query_of(self, who: Shopper, *, at_s: int | None = None) -> np.ndarray:
        """float32 [D]: what is held against item vectors. Vectors @ it + biases are the scores, but for memories and
        what came soon after what."""
        return self._queries(who.state, np.full(1, self._moment(who, at_s)[1]))[0]

    # How.

    @cached_property
    def _table(self) -> np.ndarray:
        """float32 [D + 1, M]: vectors with the bias below them, as a product with many queries reads them fastest."""
        return _below(self.weights, np.arange(len(self)))

    def _past(self, histories: Histories) -> tuple[Steps, Past]:
        """The steps of these histories, after all that has no answer is refused."""
        item, action, (time_s,) = self._known(histories.item), _actions(histories.action), _whole(histories.time_s)
        _check_order(histories, time_s)
        steps = steps_of(histories)
        return steps, Past(steps.offsets, steps.lines, _whole(steps.time_s)[0], item, action)

    def _group(self, histories: Histories, at_s: int | None) -> _Group:
        steps, past = self._past(histories)
        asked_s = due_s(steps, self.weights.gap_s)
        if at_s is not None:
            asked_s = np.maximum(asked_s, _seconds(at_s))
        first, last = (_at(steps, steps.offsets[:-1]), _at(steps, steps.offsets[1:] - 1))
        wait = np.where(steps.sizes == 0, 0, gap_bucket(asked_s - last))
        sizes, first_s, moment_s = (part.astype(np.float64) for part in (steps.sizes, first, asked_s))
        return _Group(past, sizes, first_s, moment_s, wait)

    def _chunk(self) -> int:
        """How many shoppers are scored together."""
        return max(1, min(CHUNK, SCORES // max(len(self), 1)))

    def _each(self, many: int, answer: Callable[[list[slice]], None]) -> None:
        """Call answer(chunks) for this many subjects, on `threads` threads with every so-manieth chunk each."""
        chunk = self._chunk()
        chunks = [slice(a, min(a + chunk, many)) for a in range(0, many, chunk)]
        if self.threads == 1 or len(chunks) < 2:
            answer(chunks)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(answer, [chunks[n :: self.threads] for n in range(self.threads)]))

    def _encoded(self, past: Past, x: np.ndarray, kv: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """[B, D] states; x [tokens or more, D], kv and lines are filled."""
        made = self.weights
        ends = np.cumsum(np.minimum(np.diff(past.offsets), made.context) + 1)
        tokens, planes = int(ends[-1]), 2 * len(self._turning.scale)
        cos, sin = np.empty((2, tokens, planes), dtype=np.float32)
        kernels.set_tokens(made.embeddings, self._turning, made.context, past, lines, x, cos, sin)
        states: np.ndarray = kernels.encode(made.blocks, x[:tokens], cos, sin, 0, ends, kv)
        return states

    def _states(self, past: Past) -> np.ndarray:
        """[B, D] without anything that would be kept."""
        tokens = int(np.minimum(np.diff(past.offsets), self.weights.context).sum()) + len(past.offsets) - 1
        x, lines = np.empty((tokens, self._width), dtype=np.float32), np.empty(self._width, dtype=np.float32)
        return self._encoded(past, x, self._empty(1, tokens), lines)

    def _empty(self, blocks: int, tokens: int) -> np.ndarray:
        """Room for the keys and values of so many tokens."""
        heads = self.weights.heads
        return np.empty((blocks, 2, heads, tokens, self._width // heads), dtype=np.float32)

    def _queries(self, states: np.ndarray, wait: np.ndarray) -> np.ndarray:
        """[B, D]: what is held against item vectors, from states [B, D] and buckets of the time since [B]."""
        made = self.weights
        query: np.ndarray = (states + made.wait[wait]) @ made.query[:-1] + made.query[-1]
        return query

    def _score(
        self, group: _Group, rows: slice, columns: Columns, table: np.ndarray, exclude: bool, scores: np.ndarray
    ) -> None:
        """Fill scores [B, C] of these subjects."""
        made, past = self.weights, group.part(rows)
        states = self._states(past)
        query = np.ones((len(states), self._width + 1), dtype=np.float32)
        query[:, :-1] = self._queries(states, group.wait[rows])
        np.matmul(query, table, out=scores)
        if made.nearby is not None:
            add_nearby(made.nearby, columns, past, states, scores)
        book = kernels.ledger(int(np.diff(past.lines[past.offsets]).max()))
        kernels.add_memories(
            made.memories, columns, made.thing, made.kind, book, False, past, group.steps[rows], group.first_s[rows],
            group.asked_s[rows], states, exclude, scores,
        )  # fmt: skip

    def _moment(self, who: Shopper, at_s: int | None) -> tuple[int, int]:
        """(when this shopper is asked, Unix seconds; the bucket of the time since the last step)."""
        asked_s = who.last_s + _median(who.gaps, self.weights.gap_s) if who.steps else 0
        asked_s = asked_s if at_s is None else max(asked_s, _seconds(at_s))
        return asked_s, int(kernels.gap_bucket(asked_s - who.last_s)) if who.steps else 0

    def _scores_of(
        self, who: Shopper, columns: Columns, table: np.ndarray, bias: np.ndarray, at_s: int | None, exclude: bool
    ) -> np.ndarray:
        """[1, C]"""
        made, (asked_s, wait) = self.weights, self._moment(who, at_s)
        scores = np.empty((1, len(bias)), dtype=np.float32)
        kernels.dots(table, bias, self._queries(who.state, np.full(1, wait)), scores)
        if made.nearby is not None:
            add_nearby(made.nearby, columns, _recent(who), who.state, scores)
        kernels.add_memories(
            made.memories, columns, made.thing, made.kind, who.book, True, NOBODY, np.full(1, float(who.steps)),
            np.full(1, float(who.first_s)), np.full(1, float(asked_s)), who.state, exclude, scores,
        )  # fmt: skip
        return scores

    def _read_last(self, who: Shopper, item: np.ndarray, action: np.ndarray, first: int) -> None:
        """Take these lines of the last step in, and compute the tokens from row `first` of the window on."""
        made, n = self.weights, who.tokens + 1
        past = NOBODY._replace(time_s=np.full(1, who.last_s), item=item, action=action)
        gap_s = who.last_s - who.before_s if who.steps > 1 else -1
        cos, sin = np.empty((2, n - first, 2 * len(self._turning.scale)), dtype=np.float32)
        kernels.set_last(
            made.embeddings, self._turning, made.thing, made.kind, who.book, who.steps - 1, past, who.many, gap_s,
            who.times_s, first, who.lines, who.x[:n], cos, sin,
        )  # fmt: skip
        who.state = kernels.encode(made.blocks, who.x[first:n], cos, sin, first, np.full(1, n), who.kv)

    def _make_room(self, who: Shopper, lines: int) -> None:
        """Room for one more step of so many lines."""
        if who.tokens + 1 == len(who.x) and who.tokens < self.weights.context:
            room = min(2 * who.tokens, self.weights.context) + 1
            who.x, who.times_s = _longer(who.x, room), _longer(who.times_s, room)
            kv = self._empty(self._blocks, room)
            kv[:, :, :, : who.tokens + 1] = who.kv
            who.kv = kv
        if who.events + lines > who.book.kind.shape[1]:
            old, new = who.book, kernels.ledger(2 * (who.events + lines))
            kernels.enter_again(old, new)
            n = who.book.kind.shape[1]
            new.kind[:, :n], new.state[:, :n], new.kind_state[:, :n] = old.kind, old.state, old.kind_state
            who.book = new

    def _length(self, k: int) -> int:
        if k < 0:
            raise ConfigError(f"a ranking has a length of 0 or more, got {k}")
        return min(int(k), len(self))

    def _known(self, items: np.ndarray) -> np.ndarray:
        """int64 [n]. Refused: numbers of items that are not in the catalogue."""
        (chosen,) = _whole(items)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            wrong = chosen[(chosen < 0) | (chosen >= len(self))][0]
            raise NotFoundError(f"expected item numbers from 0 to {len(self) - 1}, got {wrong}; see ItemTable.find")
        return chosen


@dataclass(frozen=True)
class _Group:
    """Subjects who are asked: steps, first_s and asked_s float64 [N], wait int64 [N] as add_memories reads them."""

    past: Past
    steps: np.ndarray
    first_s: np.ndarray
    asked_s: np.ndarray
    wait: np.ndarray

    def part(self, rows: slice) -> Past:
        """The past of these subjects."""
        return self.past._replace(offsets=self.past.offsets[rows.start : rows.stop + 1])


NOBODY = Past(np.zeros(1, np.int64), *(np.zeros(0, np.int64) for _ in range(4)))


def _median(gaps: list[int], gap_s: int) -> int:
    """The median of these sorted gaps, as tokens.due_s has it; gap_s without any."""
    n = len(gaps)
    return (gaps[(n - 1) // 2] + gaps[n // 2]) // 2 if n else gap_s


def _recent(who: Shopper) -> Past:
    """The last steps of one shopper, as add_nearby reads them."""
    lines = np.cumsum([0, *(len(step) for step in who.recent)])
    item = np.asarray([item for step in who.recent for item in step], dtype=np.int64)
    return NOBODY._replace(offsets=np.asarray([0, len(who.recent)]), lines=lines, item=item)


def _at(steps: Steps, number: np.ndarray) -> np.ndarray:
    """int64: the times of these steps; 0 where there is none at all."""
    if not len(steps.time_s):
        return np.zeros(len(number), dtype=np.int64)
    return steps.time_s[np.clip(number, 0, len(steps.time_s) - 1)]


def _begin_step(who: Shopper, now: int, slides: bool) -> None:
    """Make place for a step at this time."""
    if who.steps:
        insort(who.gaps, now - who.last_s)
    else:
        who.first_s = who.last_s = now
    who.before_s, who.last_s = who.last_s, now
    if slides:
        who.x[1:-1], who.times_s[1:-1] = who.x[2:].copy(), who.times_s[2:].copy()
    else:
        who.tokens += 1
    who.times_s[who.tokens] = now
    who.steps, who.many = who.steps + 1, 0
    who.lines[:] = 0


def _columns(made: Weights, chosen: np.ndarray) -> Columns:
    """Where each item, type and line is among the chosen items."""
    start, member = [], []
    for group in range(kernels.GROUPS):
        of = made.thing[group, chosen]
        size = len(made.memories.vectors[group])
        start.append(np.concatenate([[0], np.cumsum(np.bincount(of, minlength=size))]))
        member.append(np.argsort(of, kind="stable"))
    return Columns((start[0], start[1], start[2]), (member[0], member[1], member[2]))


def _below(made: Weights, chosen: np.ndarray) -> np.ndarray:
    return np.concatenate([made.embeddings.table[chosen].T, made.embeddings.bias[None, chosen]])


def _check_order(histories: Histories, time_s: np.ndarray) -> None:
    """Refuse times that fall inside a history."""
    falls = time_s[1:] < time_s[:-1]
    if falls.any():
        begins = histories.offsets[1:-1]
        falls[begins[(begins > 0) & (begins < len(time_s))] - 1] = False
        if falls.any():
            at = int(np.flatnonzero(falls)[0]) + 1
            who = histories.subjects[int(np.searchsorted(histories.offsets, at, side="right")) - 1]
            raise SchemaError(f"expected times that do not fall, but event {at}, of {who!r}, is before the last one")


def _actions(action: np.ndarray) -> np.ndarray:
    (codes,) = _whole(action)
    if len(codes) and not (codes.min() >= 0 and codes.max() < len(KINDS)):
        raise SchemaError(f"expected actions from 0 to {len(KINDS) - 1} (see events.schema.KINDS), got {codes.max()}")
    return codes


def _whole(*arrays: np.ndarray) -> list[np.ndarray]:
    """int64 arrays. Refused: values that are no whole numbers."""
    for array in arrays:
        if array.dtype.kind not in "iu":
            raise SchemaError(f"expected whole numbers for items, actions and times, got {array.dtype}")
    return [np.ascontiguousarray(array, dtype=np.int64) for array in arrays]


def _seconds(at_s: Any) -> int:
    """Unix seconds. Refused: anything that is no whole number."""
    if isinstance(at_s, bool) or not isinstance(at_s, int | np.integer):
        raise SchemaError(f"expected Unix seconds as a whole number, got {at_s!r}")
    return int(at_s)


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    out = np.zeros((size, *array.shape[1:]), dtype=array.dtype)
    out[: len(array)] = array
    return out
