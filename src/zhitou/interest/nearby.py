"""What came soon after what in others' histories, as a term of the score, without torch.

B = shoppers, M = items, D = width, C = columns (items scored).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zhitou.interest.kernels import fast
from zhitou.learning.transitions import offer

BUCKET_BITS, BUCKETS = np.int32(19), 4_096  # exponent and first four bits of a float32 above zero


class Nearby(NamedTuple):
    """What came soon after what in others' histories, see learning.transitions. offsets int64 [M + 1], item int32 and
    counts float32 [nnz]; speaks, rare: float64 [M], what an event and a candidate weigh by their numbers; again:
    float64 [M], what an item counts as following itself; fades: float64, by steps since. of_state: float32 [D + 1], a
    constant last; lift: float32 [1], 1 / floor of the logarithm. limit: int64 [1], the most candidates spoken for."""

    offsets: np.ndarray
    item: np.ndarray
    counts: np.ndarray
    speaks: np.ndarray
    rare: np.ndarray
    again: np.ndarray
    fades: np.ndarray
    of_state: np.ndarray
    lift: np.ndarray
    limit: np.ndarray


@fast
def _gathered(n, past, b, total, touched):
    """Add up in total [M] what the last steps of shopper b say of each candidate; how many are touched.

    All that is added is above zero, so zero marks a candidate as new: without a branch this is five times faster.
    """
    begin, end, size = past.offsets[b], past.offsets[b + 1], 0
    for back in range(min(end - begin, len(n.fades))):
        p = end - 1 - back
        for e in range(past.lines[p + 1] - 1, past.lines[p] - 1, -1):
            q = past.item[e]
            weight = n.fades[back] * n.speaks[q]
            if n.again[q] > 0:
                touched[size] = q
                size += 1 if total[q] == 0 else 0
                total[q] += weight * n.again[q]
            for at in range(n.offsets[q], n.offsets[q + 1]):
                c = n.item[at]
                before = total[c]
                touched[size] = c
                size += 1 if before == 0 else 0
                total[c] = before + weight * n.counts[at]
    return size


@fast
def _keep_best(touched, value, size, limit, spare):
    """Bring the `limit` best of the candidates touched[:size] by their value (equal ones by number) to the front; how
    many. They are counted by the first bits of their values, and only those at the edge have to be compared."""
    hist, edge_item, edge_value = spare
    if size <= limit:
        return size
    high = 0
    for i in range(size):
        bucket = np.float32(value[i]).view(np.int32) >> BUCKET_BITS
        hist[bucket] += 1
        high = max(high, int(bucket))
    edge, many = high, 0
    while many + hist[edge] <= limit:
        many += hist[edge]
        edge -= 1
    wanted, found, front = limit - many, 0, 0
    for i in range(size):
        c, v = touched[i], value[i]
        bucket = np.float32(v).view(np.int32) >> BUCKET_BITS
        hist[bucket] = 0
        if bucket > edge:
            touched[front], value[front] = c, v
            front += 1
        elif bucket == edge and wanted > 0:
            found = offer(edge_item, edge_value, found, wanted, c, float(v))
    for i in range(found):
        touched[front], value[front] = edge_item[i], edge_value[i]
        front += 1
    return front


@fast
def add_nearby(n, columns, past, states, scores):
    """Add to scores [B, C] of shoppers in these states [B, D] what speaks for items that came soon after theirs."""
    items, limit, last = len(n.rare), n.limit[0], states.shape[1]
    total, touched = np.zeros(items), np.empty(items + 1, dtype=np.int64)
    value = np.empty(items, dtype=np.float32)
    spare = np.zeros(BUCKETS, dtype=np.int64), np.empty(limit, dtype=np.int64), np.empty(limit)
    for b in range(len(states)):
        size = _gathered(n, past, b, total, touched)
        for i in range(size):
            c = touched[i]
            value[i], total[c] = total[c] * n.rare[c], 0.0
        strength = n.of_state[last]
        for d in range(last):
            strength += states[b, d] * n.of_state[d]
        strength = np.float32(max(strength, 0) + np.log1p(np.exp(-abs(strength))))
        for i in range(_keep_best(touched, value, size, limit, spare)):
            c, logit = touched[i], strength * np.float32(np.log1p(value[i] * n.lift[0]))
            for at in range(columns.start[0][c], columns.start[0][c + 1]):
                scores[b, columns.member[0][at]] += logit
