"""What came soon after what: counts from item to item over short distances, and what they say of the next item.

Nothing is trained. For items q and c, count[q, c] is a sum over pairs of events of one subject, at most `window`
steps apart: each adds d ** -decay where c came d steps after q, and `backward` times that where it came before. Two
lines of one step add half of each, as at d = 1. A history asks with its last `reach` steps; an event r steps before
the last speaks with (r + 1) ** -fade, and

    score(c) = sum of (r + 1) ** -fade * count[q, c] / (mass(q) + smooth) ** row / (seen(c) + smooth) ** rarity

over these events, where q is an event's item, mass(q) the sum of count[q, .] and seen(c) the number of c's events.
Zero means that nothing is known.

With `once`, a pair of different items counts once for each subject, as at its best pair of events, and mass(q) and
seen(q) are the number of subjects who had q: then somebody who goes to and fro between two things speaks no louder
than others. With row = rarity = 0.5, decay = 0 and backward = 1 that is the cosine of item-kNN.

S = subjects, E = events, M = items, N = moments asked about, L = the most candidates kept for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from scipy import sparse

from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories

NOISE = 1e-5  # of a count: what is left of a difference of float32 sums that is really zero
CHUNK = 8_192  # moments scored at a time, so that N x L places never lie in memory at once

_jit = numba.njit(cache=True, nogil=True)


@dataclass(frozen=True)
class TransitionConfig:
    """window, reach: steps. decay, fade, rarity, row: powers. backward: share, 0 and up. smooth: events.

    own: an item is taken to follow itself own * (mass + smooth) times, where people come back to things; 0 where they
    do not. once: whether a pair counts once for each subject. neighbours: the most items kept for each (the largest
    counts), which bounds memory on large baskets.
    """

    window: int = 20
    decay: float = 0.5
    backward: float = 0.3
    reach: int = 10
    fade: float = 0.7
    rarity: float = 0.2
    row: float = 0.3
    smooth: float = 10.0
    own: float = 0.0
    once: bool = False
    neighbours: int = 2_000

    def __post_init__(self) -> None:
        for name in ("window", "reach", "neighbours"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)}")
        for name in ("decay", "backward", "fade", "rarity", "row", "own"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(f"{name} is a number from 0, got {getattr(self, name)}")
        if not 0 < self.smooth < np.inf:
            raise ConfigError(f"smooth is a number of events above 0, got {self.smooth}")


@dataclass(frozen=True)
class Transitions:
    """Counts learnt from histories; scores, rankings and training features read them. Made by `learn`.

    offsets: int64 [M + 1] and item: int32 [nnz], rising in a row: the neighbours c of each q. count: float32 [nnz].
    mass: float64 [M], of each row before it was cut to its largest. seen: float64 [M], events of each item. With
    `once`, both are its subjects.
    """

    config: TransitionConfig
    offsets: np.ndarray = field(repr=False)
    item: np.ndarray = field(repr=False)
    count: np.ndarray = field(repr=False)
    mass: np.ndarray = field(repr=False)
    seen: np.ndarray = field(repr=False)

    @classmethod
    def learn(cls, histories: Histories, items: int, config: TransitionConfig | None = None) -> Transitions:
        """The counts of these histories over a catalogue of so many items."""
        config = config or TransitionConfig()
        order = np.argsort(histories.item, kind="stable")
        seen = np.bincount(histories.item, minlength=items)
        starts = np.concatenate([[0], np.cumsum(seen)])
        events = histories.item, histories.step, _ends(histories)
        found = _count(events, order, starts, _pair_weights(config), config.once, config.neighbours)
        offsets, item, count, mass, subjects = found
        if config.once:
            mass = seen = subjects
        rising = sparse.csr_array((count, item, offsets), shape=(items, items))
        rising.sort_indices()
        return cls(config, offsets, rising.indices, rising.data, mass, seen.astype(np.float64))

    def __len__(self) -> int:
        return len(self.seen)

    def scores(self, histories: Histories, limit: int = 200) -> sparse.csr_array:
        """float32 [N, M]: for each subject its `limit` best candidates above zero, after all it did."""
        rows = np.arange(len(histories))
        return self._sparse(histories, rows, np.diff(histories.offsets), limit, apart=False)

    def moments(
        self, histories: Histories, row: np.ndarray, place: np.ndarray, limit: int = 200, *, apart: bool = True
    ) -> sparse.csr_array:
        """float32 [N, M]: as `scores`, after the events of `row` (int [N]) whose step is before that of its event
        number `place` (int [N]) - and, if `apart`, with all that this subject itself added to the counts taken out.

        Apart is for training on the histories that the counts were learnt from: a target never speaks for itself.
        Exact unless a row was cut to its `neighbours`. Fastest where equal rows stand together.
        """
        return self._sparse(histories, row, place, limit, apart=apart)

    def topk(self, histories: Histories, k: int, *, exclude_seen: bool = False) -> np.ndarray:
        """int64 [N, min(k, M)]: the best items of each subject, best first, equal scores by item number. What no
        count speaks for follows by its number of events; -1 where items run out."""
        k = min(k, len(self))
        best = np.full((len(histories), k), -1, dtype=np.int64)
        common = np.lexsort((np.arange(len(self)), -self.seen))
        for start in range(0, len(best), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(best)))
            item, _ = self._score(histories, rows, np.diff(histories.offsets)[rows], k, (False, exclude_seen, True))
            best[rows] = item
        _fill(best, histories.item, histories.offsets, common, exclude_seen, len(self))
        return best

    def _sparse(
        self, histories: Histories, row: np.ndarray, place: np.ndarray, limit: int, apart: bool
    ) -> sparse.csr_array:
        row, place = np.asarray(row, dtype=np.int64), np.asarray(place, dtype=np.int64)
        assert len(row) == len(place), "a moment is a row and a place in it"
        limit, sizes, items, values = min(limit, len(self)), [], [], []
        for start in range(0, len(row), CHUNK):
            part = slice(start, start + CHUNK)
            item, score = self._score(histories, row[part], place[part], limit, (apart, False, False))
            kept = item >= 0
            sizes.append(kept.sum(axis=1))
            items.append(item[kept])
            values.append(score[kept])
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes]))])
        joined = np.concatenate([np.zeros(0, np.float32), *values]), np.concatenate([np.zeros(0, np.int32), *items])
        found = sparse.csr_array((*joined, offsets), shape=(len(row), len(self)))
        found.sort_indices()
        return found

    def _score(
        self, histories: Histories, row: np.ndarray, place: np.ndarray, limit: int, flags: tuple[bool, bool, bool]
    ) -> tuple[np.ndarray, np.ndarray]:
        """int32 and float32 [n, limit]: the best candidates, -1 where there are no more. flags: whether a subject's
        own counts are taken out, whether what it had is left out, whether the best come first."""
        config = self.config
        item = np.full((len(row), limit), -1, dtype=np.int32)
        score = np.zeros((len(row), limit), dtype=np.float32)
        fades = np.arange(1, config.reach + 1) ** -float(config.fade)
        _ask(
            (histories.item, histories.step, histories.offsets),
            (np.asarray(row, dtype=np.int64), np.asarray(place, dtype=np.int64)),
            (self.offsets, self.item, self.count, self.mass, self.seen),
            (*_pair_weights(config), config.once),
            (fades, config.row, config.rarity, config.smooth, config.own),
            flags,
            (item, score),
        )
        return item, score


def log_scores(scores: sparse.csr_array, floor: float) -> sparse.csr_array:
    """log(1 + score / floor) of each entry: a term of a logit that is zero where nothing is known.

    floor: the score from which on the logarithm grows; a good one is a low quantile of the scores themselves.
    """
    return sparse.csr_array((np.log1p(scores.data / floor), scores.indices, scores.indptr), shape=scores.shape)


def _pair_weights(config: TransitionConfig) -> tuple[np.ndarray, np.ndarray]:
    """float64 [window + 1] each: what a pair d steps apart adds if c came after q, and if c came before it."""
    distance = np.maximum(np.arange(config.window + 1), 1)
    ahead = distance ** -float(config.decay)
    behind = config.backward * ahead
    ahead[0] = behind[0] = (1 + config.backward) / 2
    return ahead, behind


def _ends(histories: Histories) -> np.ndarray:
    """int64 [E, 2]: first event of the row of each event, and the one after its last."""
    owner = histories.subject_of_event
    return np.stack([histories.offsets[:-1][owner], histories.offsets[1:][owner]], axis=1)


@_jit
def _count(events, order, starts, pair_weights, once, most):
    """(offsets, item, count, mass, subjects) of the table, one row after the other through a dense accumulator."""
    m = len(starts) - 1
    sums = np.zeros(m), np.empty(m, np.int32), np.ones(m, np.bool_)
    of_subject = np.full(m, -1, np.int64), np.zeros(m)  # the event that began a subject's part, its best pair yet
    offsets, mass, subjects = np.zeros(m + 1, np.int64), np.zeros(m), np.zeros(m)
    out_item, out_count = np.empty(1024, np.int32), np.empty(1024, np.float32)
    best, value = np.empty(most, np.int32), np.empty(most, np.float64)
    for q in range(m):
        n = _pairs_of(events, order[starts[q] : starts[q + 1]], pair_weights, once, sums, of_subject, subjects)
        size = 0
        for i in range(n):
            c = sums[1][i]
            sums[2][c] = True
            mass[q] += sums[0][c]
            if sums[0][c] > 0:
                size = offer(best, value, size, most, c, sums[0][c])
        begin = offsets[q]
        offsets[q + 1] = begin + size
        if begin + size > len(out_item):
            out_item, out_count = _grown(out_item, begin + size), _grown(out_count, begin + size)
        for i in range(size):
            out_item[begin + i], out_count[begin + i] = best[i], value[i]
    return offsets, out_item[: offsets[m]].copy(), out_count[: offsets[m]].copy(), mass, subjects


@_jit
def _pairs_of(events, mine, pair_weights, once, sums, of_subject, subjects):
    """Sum up the pairs of one item, whose events are `mine`, with all others; returns how many others there are."""
    item, step, ends = events
    ahead, behind = pair_weights
    since, yet = of_subject
    n, begun = 0, -1
    for event in mine:
        q = item[event]
        if begun < 0 or ends[event, 0] != ends[begun, 0]:
            begun = event
            subjects[q] += 1
        for side in (-1, 1):
            other = event + side
            while ends[event, 0] <= other < ends[event, 1]:
                distance = abs(step[other] - step[event])
                if distance >= len(ahead):
                    break
                c = item[other]
                more = ahead[distance] if side > 0 else behind[distance]
                if once:
                    last = yet[c] if since[c] == begun else 0.0
                    since[c], yet[c] = begun, max(last, more)
                    more = yet[c] - last
                if not (once and c == q):
                    n = _add(sums[0], sums[1], sums[2], n, c, more)
                other += side
    return n


@_jit
def _grown(values, need):
    longer = np.empty(max(need, 2 * len(values)), values.dtype)
    longer[: len(values)] = values
    return longer


@_jit
def _worse(value, item, i, j):
    return value[i] < value[j] or (value[i] == value[j] and item[i] > item[j])


@_jit
def offer(item, value, size, most, new_item, new_value):
    """Put a candidate into a heap of the `most` best, its worst on top; returns the new size."""
    if size < most:
        at = size
        item[at], value[at] = new_item, new_value
        while at > 0 and _worse(value, item, at, (at - 1) // 2):
            up = (at - 1) // 2
            item[at], item[up] = item[up], item[at]
            value[at], value[up] = value[up], value[at]
            at = up
        return size + 1
    if new_value < value[0] or (new_value == value[0] and new_item > item[0]):
        return size
    item[0], value[0] = new_item, new_value
    _sink(item, value, size)
    return size


@_jit
def _sink(item, value, size):
    """Move the heap's first entry to where it belongs."""
    at = 0
    while 2 * at + 1 < size:
        down = 2 * at + 1
        if down + 1 < size and _worse(value, item, down + 1, down):
            down += 1
        if not _worse(value, item, down, at):
            break
        item[at], item[down] = item[down], item[at]
        value[at], value[down] = value[down], value[at]
        at = down


@_jit
def _own_counts(item, step, begin, end, pair_weights, local):
    """What the events begin:end of one subject added: (its K items, counts [K, K], masses [K], events [K]).

    `local` (int32 [M], -1) then holds the number of each of these items.
    """
    ahead, behind, once = pair_weights
    window, k = len(ahead) - 1, 0
    things = np.empty(end - begin, np.int32)
    for event in range(begin, end):
        if local[item[event]] < 0:
            local[item[event]], things[k] = k, item[event]
            k += 1
    counts, seen = np.zeros((k, k)), np.zeros(k)
    for event in range(begin, end):
        q = local[item[event]]
        seen[q] += 1
        other = event + 1
        while other < end and step[other] - step[event] <= window:
            distance, c = step[other] - step[event], local[item[other]]
            if not once:
                counts[q, c] += ahead[distance]
                counts[c, q] += behind[distance]
            elif q != c:
                counts[q, c] = max(counts[q, c], ahead[distance])
                counts[c, q] = max(counts[c, q], behind[distance])
            other += 1
    if once:
        seen[:] = 1.0
        return things[:k], counts, np.ones(k), seen
    return things[:k], counts, counts.sum(axis=1), seen


@_jit
def _ask(histories, moments, table, pair_weights, weights, flags, out):
    """Fill `out` with the best candidates of each moment; see Transitions.moments."""
    item, step, offsets = histories
    rows, places = moments
    _, _, _, mass, seen = table
    fades, row_power, rarity, smooth, again = weights
    apart, unseen, ordered = flags
    m, before = len(seen), -1
    total, touched, is_new = np.zeros(m), np.empty(m, np.int32), np.ones(m, np.bool_)
    local, things = np.full(m, -1, np.int32), np.empty(0, np.int32)
    own, own_mass, own_seen = np.zeros((0, 0)), np.zeros(0), np.zeros(0)
    speaks, rare = (mass + smooth) ** -row_power, (seen + smooth) ** -rarity
    value = np.empty(out[0].shape[1])
    for n in range(len(rows)):
        begin, end = offsets[rows[n]], offsets[rows[n] + 1]
        if apart and rows[n] != before:
            local[things] = -1
            things, own, own_mass, own_seen = _own_counts(item, step, begin, end, pair_weights, local)
            before = rows[n]
        last = begin + places[n] - 1
        while last >= begin and last + 1 < end and step[last] == step[last + 1]:
            last -= 1  # what happened together with the target is not known before it
        past, mine = (item, step, begin, last), (local, own, own_mass)
        powers = (fades, speaks, row_power, smooth, again)
        size = _gather(past, table, powers, mine, (total, touched, is_new))
        if unseen:
            for event in range(begin, last + 1):
                total[item[event]] = 0.0
        kept = 0
        for i in range(size):
            c = touched[i]
            is_new[c] = True
            weight = rare[c]
            if local[c] >= 0:
                weight = (max(seen[c] - own_seen[local[c]], 0.0) + smooth) ** -rarity
            if total[c] > 0:
                # rounded first: equal in float32 is equal, and then the lower number wins
                kept = offer(out[0][n], value, kept, len(value), c, np.float64(np.float32(total[c] * weight)))
        if ordered:
            _ranked(out[0][n], value, kept, out[1][n])
        else:
            out[1][n, :kept] = value[:kept]


@_jit
def _gather(past, table, powers, apart, sums):
    """Add up what the events begin ... last say of each candidate; returns how many were touched."""
    item, step, begin, last = past
    offsets, neighbour, count, mass, _ = table
    fades, speaks, row_power, smooth, again = powers
    local, own, own_mass = apart
    total, touched, is_new = sums
    size = 0
    for event in range(last, begin - 1, -1):
        back = step[last] - step[event]
        if back >= len(fades):
            break
        q = item[event]
        mine = local[q]
        weight, all_else = fades[back] * speaks[q], mass[q]
        if mine >= 0:
            all_else = max(mass[q] - own_mass[mine], 0.0)
            weight = fades[back] * (all_else + smooth) ** -row_power
        if again > 0:
            size = _add(total, touched, is_new, size, q, weight * again * (all_else + smooth))
        for at in range(offsets[q], offsets[q + 1]):
            c, found = neighbour[at], np.float64(count[at])
            if mine >= 0 and local[c] >= 0:
                found -= own[mine, local[c]]
                if found < NOISE * count[at]:
                    continue
            size = _add(total, touched, is_new, size, c, weight * found)
    return size


@_jit
def _add(total, touched, is_new, size, c, value):
    """Add to the sum of c, which is new if nothing was added before; returns how many were touched."""
    if is_new[c]:
        is_new[c], touched[size], total[c] = False, c, 0.0
        size += 1
    total[c] += value
    return size


@_jit
def _ranked(item, value, size, score):
    """Turn the heap into a list, best first, equal ones by item; write its values to `score`."""
    for left in range(size - 1, -1, -1):
        score[left] = value[0]
        item[0], item[left] = item[left], item[0]
        value[0] = value[left]
        _sink(item, value, left)


@_jit
def _fill(best, item, offsets, common, unseen, m):
    """Fill the places that hold -1 with the most common items that may still appear."""
    taken = np.zeros(m, np.bool_)
    for n in range(len(best)):
        size = 0
        while size < best.shape[1] and best[n, size] >= 0:
            taken[best[n, size]] = True
            size += 1
        if unseen and size < best.shape[1]:
            taken[item[offsets[n] : offsets[n + 1]]] = True
        for c in common:
            if size == best.shape[1]:
                break
            if not taken[c]:
                taken[c], best[n, size] = True, c
                size += 1
        taken[best[n, :size]] = False
        if unseen:
            taken[item[offsets[n] : offsets[n + 1]]] = False
