"""Many decisions at once, or one: value, filters, inverse-gap propensities, draw, and what the receipt needs.

B = requests, K = ads, D = numbers known of a request, M = ads that take part in the draw, W = words of 64 ads.

The same law as `exploration.inverse_gap` with one slot, without a [B, K] array of probabilities in between: a row's
values are made, masked, cut to the M best, given chances and drawn from while they lie in the first cache. The value
of a request does not depend on its batch, nor does its draw, which is by counter (`draws`).
"""

from __future__ import annotations

import numba
import numpy as np
from numba import njit, prange

from zhitou.strategy.draws import request_key, uniform
from zhitou.strategy.exploration import TOP
from zhitou.strategy.sieve import Sieve

CHUNK = 1024  # requests that one thread takes at a time
TILE = 64  # requests that go through a step together; their values stay in the cache
_ABREAST = 4  # requests that share one reading of the weights
SHOWN = 0  # purpose of the draw
_OUT, _MOST = np.iinfo(np.int32).min, np.iinfo(np.int32).max
_INFINITE = np.int32(0x7F800000)  # the ordinal of infinity; that of minus infinity is its complement
_NONE = np.zeros((0, 0), dtype=np.float32)


# One decision of one slot, as a record: the fields that a receipt needs.
CHOICE = np.dtype(
    [
        ("propensity", np.float64),  # chance with which `shown` was drawn, after all filters; 0 where nothing was
        ("shown", np.int32),  # the ad; -1 = none was eligible
        ("eligible", np.int32),  # how many ads passed the filters
        ("best", np.int32),  # the ad of the highest value among them; -1 = none
        ("best_value", np.float32),
        ("rival_value", np.float32),  # the highest value of another eligible ad; 0 = none, or top is 1
    ]
)


def choose(
    values: np.ndarray,
    sieve: Sieve,
    *,
    seed: np.uint64,
    first: int = 0,
    gamma: float,
    floor: float,
    top: int = TOP,
    threads: int = 1,
) -> np.ndarray:
    """CHOICE [B]: one ad drawn for each of the requests first, first + 1, ...; values: float32 [B, K], of a showing.

    Among the M = min(top, eligible) ads of the highest value (ties to the lowest index) by `inverse_gap`'s rule with
    the same gamma and floor. Refused: floor * top > 1; eligible ads whose value is not finite.
    """
    assert values.dtype == np.float32, "values are float32"
    assert values.shape[1] == sieve.ads, "values have one column per ad"
    return _choose(values, _NONE, sieve, seed, first, (gamma, floor, top), threads)


def choose_linear(
    known: np.ndarray,
    weights: np.ndarray,
    sieve: Sieve,
    *,
    seed: np.uint64,
    first: int = 0,
    gamma: float,
    floor: float,
    top: int = TOP,
    threads: int = 1,
) -> np.ndarray:
    """`choose` with values = known @ weights: float32 [B, D] and [D, K], such as a model's last layer times the bids.

    Each sum runs over D in order, so a request has the same values alone and in any batch.
    """
    assert known.dtype == weights.dtype == np.float32, "known and weights are float32"
    assert weights.shape == (known.shape[1], sieve.ads), "known @ weights is [B, K]"
    return _choose(known, weights, sieve, seed, first, (gamma, floor, top), threads)


def _choose(
    known: np.ndarray,
    weights: np.ndarray,
    sieve: Sieve,
    seed: np.uint64,
    first: int,
    rule: tuple[float, float, int],
    threads: int,
) -> np.ndarray:
    gamma, floor, top = rule
    assert 0.0 <= floor * top <= 1.0, "floor is at most 1 / top"
    assert gamma >= 0.0, "a larger gamma explores less; below zero has no meaning"
    assert len(known) == len(sieve.place), "one row of the sieve per request"
    out = np.empty(len(known), dtype=CHOICE)
    numbers = (np.uint64(seed), int(first), float(gamma), float(floor), int(top))
    arrays = (np.ascontiguousarray(known), weights, sieve.table, sieve.place, sieve.capped)
    if threads == 1:
        wrong = _rows(arrays, sieve.ads, numbers, out)
    else:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        wrong = _rows_abreast(arrays, sieve.ads, numbers, out)
        numba.set_num_threads(before)
    assert not wrong, f"values are finite; those of {wrong} of {len(known)} requests are not"
    return out


# Each step takes a tile of requests, not one: handing a dozen arrays to a function costs more than a step of one row.
@njit(cache=True)
def decide_rows(arrays, ads, numbers, out, begin, end):  # type: ignore[no-untyped-def]
    """Decide requests begin to end for a compiled caller, arguments as `_choose` makes them; how many of them have a
    value that is not finite, and no true decision."""
    known, weights, table, place, capped = arrays
    seed, first, gamma, floor, top = numbers
    eligible = np.empty(TILE, dtype=np.int32)
    wrong = 0
    values = np.empty((TILE, ads), dtype=np.float32)
    passed = np.empty((TILE, table.shape[1]), dtype=np.uint64)
    members = np.empty((TILE, ads + 1), dtype=np.int32)
    order, worth = np.empty((TILE, ads), dtype=np.int32), np.empty((TILE, ads + 1), dtype=np.int32)
    least, most = np.empty(TILE, dtype=np.int32), np.empty(TILE, dtype=np.int32)
    share = np.empty(top, dtype=np.float64)
    for at in range(begin, end, TILE):
        rows = min(TILE, end - at)
        if weights.shape[0] > 0:
            for r in range(0, rows, _ABREAST):
                _values(known, weights, at + r, min(_ABREAST, rows - r), r, values)
        else:
            for r in range(rows):  # a loop: numba takes four seconds to compile the assignment of a slice
                for k in range(ads):
                    values[r, k] = known[at + r, k]
        _passed(table, place, capped, at, rows, passed)
        wrong += _masked(passed, rows, values, order, eligible, least, most)
        _leading(order, eligible, least, most, top, rows, members, worth)
        _draw(members, worth, eligible, top, gamma, floor, seed, first, at, rows, share, out)
    return wrong


# Two functions, not one compiled twice: numba keeps one file per function on disk, so that of two ways to compile one
# the first would serve for both.
@njit(cache=True)
def _rows(arrays, ads, numbers, out):  # type: ignore[no-untyped-def]
    return decide_rows(arrays, ads, numbers, out, 0, out.shape[0])


@njit(cache=True, parallel=True)
def _rows_abreast(arrays, ads, numbers, out):  # type: ignore[no-untyped-def]
    wrong = 0
    for chunk in prange(-(-out.shape[0] // CHUNK)):
        wrong += decide_rows(arrays, ads, numbers, out, chunk * CHUNK, min(out.shape[0], (chunk + 1) * CHUNK))
    return wrong


@njit(cache=True, fastmath={"contract"})
def _values(known, weights, at, rows, into, values):  # type: ignore[no-untyped-def]
    """values[into + r] = known[at + r] @ weights for four requests, the last one again where fewer are left."""
    last, depth = at + rows - 1, weights.shape[0]
    for k in range(weights.shape[1]):
        for r in range(_ABREAST):
            values[into + r, k] = 0.0
    for r in range(0, _ABREAST, 2):  # two requests and four numbers at a time: eight products per load and store
        one, two = min(at + r, last), min(at + r + 1, last)
        for d in range(0, depth - 3, 4):
            a, b, c, e = known[one, d], known[one, d + 1], known[one, d + 2], known[one, d + 3]
            f, g, h, i = known[two, d], known[two, d + 1], known[two, d + 2], known[two, d + 3]
            for k in range(weights.shape[1]):
                p, q, s, t = weights[d, k], weights[d + 1, k], weights[d + 2, k], weights[d + 3, k]
                values[into + r, k] = values[into + r, k] + a * p + b * q + c * s + e * t
                values[into + r + 1, k] = values[into + r + 1, k] + f * p + g * q + h * s + i * t
        for d in range(depth - depth % 4, depth):
            for k in range(weights.shape[1]):
                values[into + r, k] += known[one, d] * weights[d, k]
                values[into + r + 1, k] += known[two, d] * weights[d, k]


@njit(cache=True)
def _passed(table, place, capped, at, rows, passed):  # type: ignore[no-untyped-def]
    """The words of ads that pass every filter of each request."""
    for r in range(rows):
        for w in range(passed.shape[1]):
            word = ~(capped[at + r, 0, w] | capped[at + r, 1, w])
            for f in range(place.shape[1]):
                word &= table[place[at + r, f], w]
            passed[r, w] = word


@njit(cache=True)
def _ordinal(bits):  # type: ignore[no-untyped-def]
    """From a float32's bits to an int32 in the order of the floats, and back."""
    return bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))


@njit(cache=True)
def _masked(passed, rows, values, order, eligible, least, most):  # type: ignore[no-untyped-def]
    """order: int32, the values as ordinals, _OUT where an ad did not pass; how many passed, their least and most.
    Returned: how many requests have a value that is no finite number.

    Whole numbers, because the least and the most of floats cannot be looked for several lanes at once."""
    bits, ads, wrong = values.view(np.int32), values.shape[1], 0
    for r in range(rows):
        for w in range(passed.shape[1]):
            word, start = passed[r, w], np.uint64(64 * w)  # unsigned: an index that may not count from the end
            for i in range(min(64, ads - 64 * w)):
                order[r, start + np.uint64(i)] = np.int32((word >> np.uint64(i)) & np.uint64(1))
        count, low, high = np.int32(0), np.int32(_MOST), np.int32(_OUT)
        for k in range(ads):
            passes, key = order[r, k], _ordinal(bits[r, k])
            count += passes
            low = min(low, key if passes != 0 else np.int32(_MOST))
            key = key if passes != 0 else np.int32(_OUT)
            high = max(high, key)
            order[r, k] = key
        eligible[r], least[r], most[r] = count, low, high
        wrong += int(count > 0 and (high >= _INFINITE or low <= ~_INFINITE))
    return wrong


@njit(cache=True)
def _leading(order, eligible, least, most, top, rows, members, worth):  # type: ignore[no-untyped-def]
    """members, worth: the min(top, eligible) ads of the highest value, by index, and the ordinals of their values.

    Narrows the span of values until exactly `top` lie above the cut: counting a row is a few vector comparisons,
    where keeping `top` in order moves them about. Ties at the cut go to the lowest index.
    """
    for r in range(rows):
        low, high = np.int64(least[r]), np.int64(most[r]) + 1
        below, above = np.int64(eligible[r]), np.int64(0)  # how many are worth at least low, at least high
        turn = 0  # where the cut lies if values are spread evenly; every third time the middle, so that it ends soon
        while below > top and high - low > 1:
            part = np.float64(below - top) / np.float64(below - above) if turn % 3 < 2 else 0.5
            middle, turn = min(low + max(np.int64(part * (high - low)), np.int64(1)), high - np.int64(1)), turn + 1
            count = np.int32(0)
            for k in range(order.shape[1]):
                count += np.int32(order[r, k] >= middle)
            if count >= top:
                low, below = middle, np.int64(count)
            else:
                high, above = middle, np.int64(count)
        size, ties = 0, top - int(above)
        if below <= top:
            for k in range(order.shape[1]):
                members[r, size], worth[r, size] = k, order[r, k]
                size += int(order[r, k] >= low)
        else:  # the cut goes through equal values: the first of them that have room
            for k in range(order.shape[1]):
                members[r, size], worth[r, size] = k, order[r, k]
                size += int(order[r, k] > low or (order[r, k] == low and ties > 0))
                ties -= int(order[r, k] == low)


@njit(cache=True, error_model="numpy")
def _draw(  # type: ignore[no-untyped-def]
    members, worth, eligible, top, gamma, floor, seed, first, at, rows, share, out
):
    """Give the members their chances by the rule of `inverse_gap` and draw: the best first, then by index."""
    bits = np.empty(top, dtype=np.int32)
    value = bits.view(np.float32)
    for r in range(rows):
        b, size = at + r, min(np.int64(eligible[r]), top)
        out[b].eligible = eligible[r]
        if size == 0:
            out[b].shown, out[b].propensity, out[b].best, out[b].best_value = -1, 0.0, -1, 0.0
            out[b].rival_value = 0.0
            continue
        lead = 0
        for i in range(size):
            bits[i] = _ordinal(worth[r, i])
            lead = i if worth[r, i] > worth[r, lead] else lead
        scale, spread = gamma / max(0.0, np.float64(value[lead])), 1.0 - size * floor
        if not scale < np.inf:  # nothing is worth anything: all alike, as `inverse_gap` has it
            scale = 0.0
        others = 0.0
        for i in range(size):
            gap = np.float64(value[lead]) - np.float64(value[i])
            share[i] = floor + spread / (size + scale * gap)
            others += share[i]
        share[lead] = 1.0 - (others - share[lead])
        chosen, reached = lead, share[lead]
        u = uniform(request_key(seed, first + b), 0, SHOWN)
        for i in range(size if u >= reached else 0):
            if i != lead:
                chosen, reached = i, reached + share[i]
                if u < reached:
                    break
        out[b].shown, out[b].propensity = members[r, chosen], share[chosen]
        out[b].best, out[b].best_value = members[r, lead], value[lead]
        rival = -1
        for i in range(size):
            if i != chosen and (rival < 0 or value[i] > value[rival]):
                rival = i
        out[b].rival_value = value[rival] if rival >= 0 else 0.0
