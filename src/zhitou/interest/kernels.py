"""The decoder and its memories on one core, without torch: compiled loops around small matrix products.

Letters: B = shoppers, N = tokens of all of them (a start token, then one per step), D = width, P = half the width of
a head, L = blocks, M = items of the catalogue, C = columns (items scored), S = slots for things, F = features of a
memory, E = its hidden width. Tokens of several shoppers lie one after the other, so nothing is padded. Every kernel
lets go of the interpreter. Rows are copied by loops: a slice on the left costs the compiler a third of a second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.interest.memory import FIRST_S, LAST_S, LAST_STEP, STATE, VARIETY, describe, touch
from zhitou.interest.tokens import GAPS, QUARTER_SECONDS, THURSDAY, WEEKDAYS

EPS = np.float32(np.finfo(np.float32).eps)  # what torch's RMSNorm adds by default
BLOCK = 64  # scores are looked at in blocks whose best is found first
GROUPS = 3  # what memories are of: items, types, lines
LOG2_E, LN_2 = np.float32(np.log2(np.e)), np.float32(np.log(2))
SIGNLESS = np.int32(0x7FFFFFFF)
ONE, HALF, LOWEST = np.float32(1), np.float32(0.5), np.float32(-np.inf)
SPREAD = 2_654_435_761  # 2^32 over the golden ratio: keys that follow each other land far apart

# Sums may be taken in another order; infinities and NaN keep their meaning.
fast = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})


class Embeddings(NamedTuple):
    """float32: table [M, D], bias [M], action [kinds, D], gap [GAPS, D], day [WEEKDAYS, D], start [D]."""

    table: np.ndarray
    bias: np.ndarray
    action: np.ndarray
    gap: np.ndarray
    day: np.ndarray
    start: np.ndarray


class Blocks(NamedTuple):
    """float32, matrices [L, in, out]: norms [2 L + 1, D] (before attention and feed of each block, and the last),
    q, kv (keys, then values), mix, feed (gate, then value), back."""

    norms: np.ndarray
    q: np.ndarray
    kv: np.ndarray
    mix: np.ndarray
    feed: np.ndarray
    back: np.ndarray


class Memories(NamedTuple):
    """float32: vectors, of items, types and lines, [things, D] each; inner [3, F + D, E] of features and vector;
    of_state [3, D + 1, E], a constant last; straight [3, F + 1], a constant last; out [3, E]. on: bool [3]."""

    vectors: tuple[np.ndarray, np.ndarray, np.ndarray]
    inner: np.ndarray
    of_state: np.ndarray
    straight: np.ndarray
    out: np.ndarray
    on: np.ndarray


class Columns(NamedTuple):
    """Which items are scored: the columns of thing g (of items, types, lines) are member[start[g]:start[g + 1]]."""

    start: tuple[np.ndarray, np.ndarray, np.ndarray]
    member: tuple[np.ndarray, np.ndarray, np.ndarray]


class Past(NamedTuple):
    """int64: histories of B shoppers as tokens.Steps has them, and their events. Shopper b has the steps
    offsets[b]:offsets[b + 1]; step p has the events lines[p]:lines[p + 1] and the time time_s[p]."""

    offsets: np.ndarray
    lines: np.ndarray
    time_s: np.ndarray
    item: np.ndarray
    action: np.ndarray


class Turns(NamedTuple):
    """Rotary angles: cos and sin [context + 1, P / 2] by number of the step; scale float32 [P / 2] of the others."""

    cos: np.ndarray
    sin: np.ndarray
    scale: np.ndarray


class Ledger(NamedTuple):
    """What the memories know of one shopper: for each grouping slots of things, in order of first appearance.

    key: int64 [3, 2, S], of things and of kinds. kind: int64 [3, S], slot of a thing's kind. state: float64
    [3, S, states], kind_state: float64 [3, S, 2]. hash: int64 [3, 2, I], from key to slot, -1 = free; I is a
    power of two above 2 S. used: int64 [3, 2], slots taken.
    """

    key: np.ndarray
    kind: np.ndarray
    state: np.ndarray
    kind_state: np.ndarray
    hash: np.ndarray
    used: np.ndarray


def turns(width: int, heads: int, context: int) -> Turns:
    """The angles of `context` steps and a start token, for heads of width / heads."""
    exponents = np.linspace(0, -1, width // heads // 4, dtype=np.float32).astype(np.float64)
    scale = (100.0**exponents).astype(np.float32)
    angles = np.arange(context + 1, dtype=np.float32)[:, None] * scale
    return Turns(np.cos(angles), np.sin(angles), scale)


def ledger(slots: int) -> Ledger:
    """An empty one with room for so many things of each grouping."""
    size = 1 << int(2 * slots + 1).bit_length()
    return Ledger(
        key=np.empty((GROUPS, 2, slots), dtype=np.int64),
        kind=np.empty((GROUPS, slots), dtype=np.int64),
        state=np.empty((GROUPS, slots, STATE)),
        kind_state=np.empty((GROUPS, slots, 2)),
        hash=np.full((GROUPS, 2, size), -1, dtype=np.int64),
        used=np.zeros((GROUPS, 2), dtype=np.int64),
    )


# Tokens.


@fast
def exp32(x):
    """e^x of a float32 to 3e-7 of itself; a loop of these becomes vector code, one of np.exp does not."""
    x = min(max(x, np.float32(-87)), np.float32(88))
    k = np.floor(x * LOG2_E + HALF)
    r = x - k * LN_2
    high = np.float32(1 / 6) + r * (np.float32(1 / 24) + r * (np.float32(1 / 120) + r * np.float32(1 / 720)))
    power = ONE + r * (ONE + r * (HALF + r * high))
    return power * np.int32((np.int32(k) + 127) << 23).view(np.float32)  # times 2^k, made of its bits


@fast
def gap_bucket(seconds):
    """tokens.gap_bucket of one gap, in whole numbers."""
    bucket, edge = 1, 2 * QUARTER_SECONDS
    while bucket < GAPS - 1 and seconds + QUARTER_SECONDS >= edge:
        bucket, edge = bucket + 1, edge * 2
    return bucket


@fast
def _add_line(w, item, action, lines):
    """Add one line of a step to the sum of its lines [D]."""
    for d in range(len(lines)):
        lines[d] += w.table[item, d] + w.action[action, d]


@fast
def _set_token(w, lines, many, gap_s, now, row, x):
    """Row of x [N, D]: the token of a step of `many` lines whose sum is `lines`; gap_s: seconds since the step
    before, -1 without one."""
    share, gap = np.float32(1 / np.sqrt(many)), 0 if gap_s < 0 else gap_bucket(gap_s)
    day = (now // SECONDS_PER_DAY + THURSDAY) % WEEKDAYS
    for d in range(len(lines)):
        x[row, d] = lines[d] * share + w.gap[gap, d] + w.day[day, d]


@fast
def _set_angles(turning, number, since_s, row, cos, sin):
    """Row of cos and sin [N, P]: of the token with this number in the window, since_s after its first step."""
    half, days = len(turning.scale), np.float32(since_s / SECONDS_PER_DAY)
    for p in range(half):
        cos[row, p], sin[row, p] = turning.cos[number, p], turning.sin[number, p]
        angle = days * turning.scale[p] * HALF
        cos[row, half + p], sin[row, half + p] = np.cos(angle), np.sin(angle)


@fast
def set_tokens(w, turning, context, past, lines, x, cos, sin):
    """Tokens x [N, D] and angles cos, sin [N, P] of the start and the last `context` steps of each shopper.

    lines [D] is left as the sum of the lines of the very last step.
    """
    row = 0
    for b in range(len(past.offsets) - 1):
        begin, end = past.offsets[b], past.offsets[b + 1]
        first = max(end - context, begin)
        for d in range(len(lines)):
            x[row, d] = w.start[d]
        _set_angles(turning, 0, 0, row, cos, sin)
        row += 1
        for p in range(first, end):
            for d in range(len(lines)):
                lines[d] = 0
            for e in range(past.lines[p], past.lines[p + 1]):
                _add_line(w, past.item[e], past.action[e], lines)
            now = past.time_s[p]
            gap_s = now - past.time_s[p - 1] if p > begin else -1
            _set_token(w, lines, past.lines[p + 1] - past.lines[p], gap_s, now, row, x)
            _set_angles(turning, p - first + 1, now - past.time_s[first], row, cos, sin)
            row += 1


@fast
def set_last(w, turning, thing, kind, book, step, past, many, gap_s, times_s, first, lines, x, cos, sin):
    """The token of one step with more lines: those of `past`, which has this one step, of `many` in all.

    x [T, D], the window with this step last, and times_s int64 [T] of its steps; the angles of rows first: and on are
    computed, in rows 0 and on of cos, sin. The lines go into the ledger, as of step number `step`.
    """
    last, now = len(x) - 1, past.time_s[0]
    for e in range(len(past.item)):
        _add_line(w, past.item[e], past.action[e], lines)
        remember(book, book.hash.shape[2], thing, kind, past.item[e], float(step), float(now))
    _set_token(w, lines, many, gap_s, now, last, x)
    for row in range(first, last + 1):
        _set_angles(turning, row, times_s[row] - times_s[1] if row else 0, row - first, cos, sin)


# The decoder.


@fast
def _normed(x, weight):
    """RMS norm of rows [n, D]."""
    out = np.empty_like(x)
    for n in range(len(x)):
        total = np.float32(0)
        for d in range(x.shape[1]):
            total += x[n, d] * x[n, d]
        scale = ONE / np.sqrt(total / np.float32(x.shape[1]) + EPS)
        for d in range(x.shape[1]):
            out[n, d] = x[n, d] * scale * weight[d]
    return out


@fast
def _by_head(x, first, cos, sin, out, at):
    """Columns first:first + H 2 P of rows x [n, .] into out [H, ., 2 P], from token `at` on. With angles
    cos, sin [n, P] the planes are turned by them, with none of either the columns are only copied."""
    width = out.shape[2]
    half = width // 2
    for h in range(len(out)):
        for n in range(len(x)):
            a = first + h * width
            if len(cos):
                for p in range(half):
                    one, two = x[n, a + p], x[n, a + half + p]
                    out[h, at + n, p] = one * cos[n, p] - two * sin[n, p]
                    out[h, at + n, half + p] = one * sin[n, p] + two * cos[n, p]
            else:
                for p in range(width):
                    out[h, at + n, p] = x[n, a + p]


@fast
def _attend(query, keys, values, before, row, column, mixed):
    """Columns column: and on of mixed [., D], from row `row` on, = what queries [n, 2 P] read of keys and values
    [T, 2 P] of one head; the first query is that of token number `before`, and none reads a later one."""
    weight = np.dot(query, keys.T)
    scale = np.float32(1 / np.sqrt(query.shape[1]))
    for n in range(len(query)):
        peak, mass, end = LOWEST, np.float32(0), before + n + 1
        for t in range(end):
            peak = max(peak, weight[n, t])
        for t in range(end):
            weight[n, t] = exp32((weight[n, t] - peak) * scale)
            mass += weight[n, t]
        for t in range(end):
            weight[n, t] /= mass
        for t in range(end, len(keys)):
            weight[n, t] = 0
    read = np.dot(weight, values)
    for n in range(len(query)):
        for e in range(query.shape[1]):
            mixed[row + n, column + e] = read[n, e]


@fast
def _picked(x, rows, less):
    """Rows of x, `less` taken from each number."""
    out = np.empty((len(rows), x.shape[1]), dtype=np.float32)
    for n in range(len(rows)):
        for d in range(x.shape[1]):
            out[n, d] = x[rows[n] - less, d]
    return out


@fast
def _add(x, more):
    """The sum of two arrays of rows."""
    out = np.empty_like(x)
    for n in range(len(x)):
        for d in range(x.shape[1]):
            out[n, d] = x[n, d] + more[n, d]
    return out


@fast
def _feed(x, w_feed, w_back, norm):
    """SwiGLU of rows x [n, D], added to them."""
    both = np.dot(_normed(x, norm), w_feed)
    inner = both.shape[1] // 2
    gated = np.empty((len(x), inner), dtype=np.float32)
    for n in range(len(x)):
        for i in range(inner):
            gated[n, i] = both[n, i] / (ONE + exp32(-both[n, i])) * both[n, inner + i]
    return _add(x, np.dot(gated, w_back))


@fast
def encode(w, x, cos, sin, known, ends, kv):
    """[B, D]: the state after each shopper's last token.

    x [N, D], cos and sin [N, P]: new tokens. kv [L or 1, 2, H, known + N or more, 2 P]: keys and values of the H
    heads of each block, of which those of `known` tokens are there (then B is 1); with room for one block they are
    not kept. ends: int64 [B], where in kv the tokens of each shopper end.
    """
    layers, heads, width, last, bare = len(w.q), kv.shape[2], kv.shape[4], False, cos[:0]
    for layer in range(layers):
        y, at, last = _normed(x, w.norms[2 * layer]), min(layer, len(kv) - 1), layer == layers - 1
        both = np.dot(y, w.kv[layer])
        _by_head(both, 0, cos, sin, kv[at, 0], known)
        _by_head(both, heads * width, bare, bare, kv[at, 1], known)
        if last:  # only the state after the last token is asked for
            x, y = _picked(x, ends, known + 1), _picked(y, ends, known + 1)
            cos, sin = _picked(cos, ends, known + 1), _picked(sin, ends, known + 1)
        query, mixed = np.empty((heads, len(x), width), dtype=np.float32), np.empty_like(x)
        _by_head(np.dot(y, w.q[layer]), 0, cos, sin, query, 0)
        n, first = 0, 0
        for b in range(len(ends)):
            begin = ends[b] - 1 if last else max(first, known)
            many = ends[b] - begin
            for h in range(heads):
                keys, values = kv[at, 0, h, first : ends[b]], kv[at, 1, h, first : ends[b]]
                _attend(query[h, n : n + many], keys, values, begin - first, n, h * width, mixed)
            n, first = n + many, ends[b]
        x = _add(x, np.dot(mixed, w.mix[layer]))
        x = _feed(x, w.feed[layer], w.back[layer], w.norms[2 * layer + 1])
    return _normed(x, w.norms[2 * layers])


# The memories.


@fast
def _slot(book, g, what, size, key):
    """(the slot of this key, whether it is new); a new one is entered. what: 0 = things, 1 = kinds."""
    at = ((key * SPREAD) >> 15) & (size - 1)
    while book.hash[g, what, at] >= 0:
        slot = book.hash[g, what, at]
        if book.key[g, what, slot] == key:
            return slot, False
        at = (at + 1) & (size - 1)
    slot = book.used[g, what]
    book.hash[g, what, at], book.key[g, what, slot] = slot, key
    book.used[g, what] += 1
    return slot, True


@fast
def remember(book, size, thing, kind, item, step, now):
    """Take one line into the ledger, whose hash has `size` places: this item in step `step` at `now`, both float64.

    thing, kind: int64 [3, M], what each item counts as.
    """
    fresh = 0.0
    for g in range(GROUPS):
        slot, new = _slot(book, g, 0, size, thing[g, item])
        state = book.state[g, slot]
        if new:
            at, other = _slot(book, g, 1, size, kind[g, item])
            book.kind[g, slot] = at
            if other:
                book.kind_state[g, at, 0], book.kind_state[g, at, 1] = 0.0, now
            for s in range(STATE):
                state[s] = 0.0
            state[FIRST_S], state[LAST_S], state[LAST_STEP] = now, now, -1.0
            fresh = 1.0 if g == 0 else fresh
        state[VARIETY] += fresh
        if state[LAST_STEP] != step:
            touch(state, book.kind_state[g, book.kind[g, slot]], step, now)


@fast
def remember_all(book, size, thing, kind, past, b):
    """Empty the ledger, whose hash is to have `size` places, and take all steps of shopper b into it."""
    begin, end = past.offsets[b], past.offsets[b + 1]
    for g in range(GROUPS):
        for what in range(2):
            book.used[g, what] = 0
            for i in range(size):
                book.hash[g, what, i] = -1
    for p in range(begin, end):
        for e in range(past.lines[p], past.lines[p + 1]):
            remember(book, size, thing, kind, past.item[e], float(p - begin), float(past.time_s[p]))


@fast
def enter_again(old, new):
    """Enter the keys of a ledger in an empty one with more room, in the same slots."""
    for g in range(GROUPS):
        for what in range(2):
            for i in range(old.used[g, what]):
                _slot(new, g, what, new.hash.shape[2], old.key[g, what, i])


@fast
def _recall(m, book, g, state, steps, first_s, now, row, scores, columns):
    """Add the logit of each thing that memory g holds to the scores [., C] of its items."""
    n, hidden, features = book.used[g, 0], m.out.shape[1], m.straight.shape[1] - 1
    width = m.vectors[g].shape[1]
    inputs = np.empty((n, features + width), dtype=np.float32)
    for i in range(n):
        of_kind = book.kind_state[g, book.kind[g, i]]
        describe(book.state[g, i], of_kind, steps, steps, max(now - first_s, 0.0), now, inputs[i])
        for d in range(width):
            inputs[i, features + d] = m.vectors[g][book.key[g, 0, i], d]
    inner, shift = np.dot(inputs, m.inner[g]), np.empty(hidden, dtype=np.float32)
    for h in range(hidden):
        shift[h] = m.of_state[g, width, h]
    for d in range(width):
        for h in range(hidden):
            shift[h] += state[d] * m.of_state[g, d, h]
    for i in range(n):
        logit = m.straight[g, features]
        for f in range(features):
            logit += inputs[i, f] * m.straight[g, f]
        for h in range(hidden):
            z = inner[i, h] + shift[h]
            logit += m.out[g, h] * z / (ONE + exp32(-z))
        thing = book.key[g, 0, i]
        for c in range(columns.start[g][thing], columns.start[g][thing + 1]):
            scores[row, columns.member[g][c]] += logit


@fast
def add_memories(m, columns, thing, kind, book, kept, past, steps, first_s, asked_s, states, exclude, scores):
    """Add what the memories say to scores [B, C] of shoppers in these states [B, D], asked at asked_s float64 [B].

    kept: whether the ledger holds the one shopper already, and `past` is not looked at. steps: float64 [B], how many
    there were, the first of them at first_s float64 [B]. exclude: the scores of what a shopper had become -inf.
    """
    on = m.on[0] or m.on[1] or m.on[2]
    for b in range(len(steps)):
        if steps[b] == 0 or not (on or exclude):
            continue
        if not kept and on:  # with a hash no larger than this history asks for, as all of it is emptied
            size = 4
            while size <= 2 * (past.lines[past.offsets[b + 1]] - past.lines[past.offsets[b]]):
                size *= 2
            remember_all(book, size, thing, kind, past, b)
        for g in range(GROUPS):
            if m.on[g]:
                _recall(m, book, g, states[b], steps[b], first_s[b], asked_s[b], b, scores, columns)
        if exclude and kept:
            for i in range(book.used[0, 0]):
                _leave_out(columns, book.key[0, 0, i], b, scores)
        elif exclude:
            for e in range(past.lines[past.offsets[b]], past.lines[past.offsets[b + 1]]):
                _leave_out(columns, past.item[e], b, scores)


@fast
def _leave_out(columns, item, row, scores):
    """An item's scores become -inf."""
    for c in range(columns.start[0][item], columns.start[0][item + 1]):
        scores[row, columns.member[0][c]] = LOWEST


# Rankings.


@fast
def dots(table, bias, query, scores):
    """Row 0 of scores [1, C] = table [C, D] . query [1, D] + bias: as fast as the memory can be read."""
    for c in range(len(table)):
        total = np.float32(0)
        for d in range(table.shape[1]):
            total += table[c, d] * query[0, d]
        scores[0, c] = total + bias[c]


@fast
def _ordered(bits):
    """The bits of a float32 as a whole number that orders as the floats do: the compiler makes vector code of its
    maximum, and none of that of floats, which is four times slower."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & SIGNLESS))


@fast
def best(scores, items):
    """Into items [B, K] the columns of the highest scores [B, C] of each row, best first, equal ones by number; -1
    where fewer than K may appear (a score of -inf may not)."""
    k, width = items.shape[1], scores.shape[1]
    values = np.empty(k, dtype=np.float32)
    for b in range(len(items) if k else 0):
        row = scores[b]
        bits = row.view(np.int32)
        for i in range(k):
            values[i], items[b, i] = LOWEST, -1
        worst = _ordered(np.float32(values[k - 1]).view(np.int32))
        for start in range(0, width, BLOCK):
            block, peak = bits[start : start + BLOCK], worst
            for c in range(len(block)):
                peak = max(peak, _ordered(block[c]))
            if peak <= worst:
                continue
            for c in range(start, min(start + BLOCK, width)):
                if row[c] > values[k - 1]:
                    at = k - 1
                    while at > 0 and values[at - 1] < row[c]:
                        values[at], items[b, at] = values[at - 1], items[b, at - 1]
                        at -= 1
                    values[at], items[b, at] = row[c], c
            worst = _ordered(np.float32(values[k - 1]).view(np.int32))
