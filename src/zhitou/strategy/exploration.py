"""Try what is not known yet, and know with which probability it was tried.

B = requests, K = ads, S = slots, M = how many of the best ads take part.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.strategy.best import best_of_row, groups

TOP = 16
# One draw in a billion: small enough to be called never, large enough that two or three in a row stay a double.
NEARLY_NEVER = 1e-9


def inverse_gap(
    score: np.ndarray,
    eligible: np.ndarray,
    gamma: float,
    floor: float,
    *,
    top: int = TOP,
    slots: int = 1,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """float64 [B, K]: SquareCB's probabilities over the M = min(top, eligible) best ads; rows sum to 1.

    pi_a = 1 / (M + gamma * (s* - s_a) / s*), the best ad takes what is left, ties go to the lowest index. Gaps are
    relative to the best score, so gamma means the same in every currency. Rows without an eligible ad are all 0.

    The rule of the floor: M * floor of the probability is spread evenly over the M ads and the rest follows the
    formula, so each of them has at least `floor`, and every other ad exactly 0. The support is those M ads, and a
    weight of off-policy evaluation is at most 1 / floor. Refused: floor * top > 1.

    slots > 1 nests the rule, for a draw without replacement (`slate`): the best ad keeps its share, and the rest is
    shared by inverse gaps among the others with the second best as the best of them, and so on. Given that the best
    ad is shown above, the next slot then follows the inverse-gap rule among the others (but for the floor); without
    nesting it would be close to uniform, because what SquareCB leaves beside the best ad is nearly flat.

    group: int [K], such as the campaign: the leader of each nesting is the best ad of another group than the leaders
    before it, as `slate` will draw at most one of a group.

    Foster and Rakhlin (2020), "Beyond UCB", arXiv 2002.04926: mu = M, s* - s_a = the gap of predicted rewards.
    """
    assert 0.0 <= floor * top <= 1.0, "a floor that all of the top ads can have is at most 1 / top"
    assert gamma >= 0.0, "a larger gamma explores less; below zero has no meaning"
    assert slots >= 1, "a slate has at least one slot"
    out = np.empty(score.shape, dtype=np.float64)
    values = np.ascontiguousarray(score, dtype=np.float64)
    allowed = np.ascontiguousarray(eligible, dtype=np.bool_)
    of = groups(group, score.shape[1])
    _inverse_gap(values, allowed, of, float(gamma), float(floor), int(top), int(slots), out)
    return out


def one_after_another(order: np.ndarray, ads: int) -> np.ndarray:
    """float64 [B, K]: probabilities that draw `order` (int32 [B, S], -1 none) all but once in a billion.

    A policy that never explores is written this way, so that one kind of draw serves all policies and the slots
    below the first have propensities too.
    """
    out = np.zeros((order.shape[0], ads), dtype=np.float64)
    weight = 1.0
    for slot in range(order.shape[1]):
        rows = np.flatnonzero(order[:, slot] >= 0)
        out[rows, order[rows, slot]] = weight
        weight *= NEARLY_NEVER
    total = out.sum(axis=1, keepdims=True)
    np.divide(out, total, out=out, where=total > 0)
    return out


def slate(
    probabilities: np.ndarray, uniforms: np.ndarray, group: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(order int32 [B, S], propensity float64 [B, S]): ads drawn slot by slot without replacement.

    probabilities: float64 [B, K], of the first slot. uniforms: float64 [B, S] in [0, 1), one per draw. The
    propensity of a slot is conditional on the ads above it, p_a / (sum of p over the ads not yet shown), and exact:
    the draw inverts that very sum. group: int [K], such as the campaign; once one ad of a group is drawn, the others
    of it have probability 0 further down. Where no ad with p > 0 is left: order -1, propensity NaN.
    Plackett (1975); Luce (1959).
    """
    assert probabilities.shape[0] == uniforms.shape[0], "one row of uniforms per request"
    order = np.empty(uniforms.shape, dtype=np.int32)
    propensity = np.empty(uniforms.shape, dtype=np.float64)
    chances = np.ascontiguousarray(probabilities, dtype=np.float64)
    of = groups(group, probabilities.shape[1])
    _slate(chances, np.ascontiguousarray(uniforms, dtype=np.float64), of, order, propensity)
    return order, propensity


@njit(cache=True)
def _leaders_first(best, size, group, slots):  # type: ignore[no-untyped-def]
    """Move the best ad of each of the first `slots` groups to the front, otherwise keeping the order."""
    for lead in range(1, min(slots, size)):
        for place in range(lead, size):
            fresh = True
            for before in range(lead):
                fresh = fresh and group[best[before]] != group[best[place]]
            if fresh:
                ad = best[place]
                for back in range(place, lead, -1):
                    best[back] = best[back - 1]
                best[lead] = ad
                break


@njit(cache=True)
def _inverse_gap(score, eligible, group, gamma, floor, top, slots, out):  # type: ignore[no-untyped-def]
    alone = np.arange(score.shape[1]).astype(np.int32)
    best = np.empty(top, dtype=np.int32)
    share = np.empty(top, dtype=np.float64)
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[b, k] = 0.0
        size = best_of_row(score[b], eligible[b], alone, best)
        _leaders_first(best, size, group, slots)
        left = 1.0
        for first in range(min(slots, size)):
            lead, count = score[b, best[first]], size - first
            rest = 0.0
            for place in range(first + 1, size):
                gap = max(0.0, lead - score[b, best[place]]) / lead if lead > 0 else 0.0
                share[place] = left / (count + gamma * gap)
                rest += share[place]
            share[first] = left - rest
            left = rest
        others = 0.0
        for place in range(1, size):
            out[b, best[place]] = floor + (1.0 - size * floor) * share[place]
            others += out[b, best[place]]
        if size > 0:
            out[b, best[0]] = 1.0 - others


@njit(cache=True)
def _slate(probabilities, uniforms, group, order, propensity):  # type: ignore[no-untyped-def]
    rows, slots = uniforms.shape
    left = np.empty(probabilities.shape[1], dtype=np.float64)
    for b in range(rows):
        for k in range(left.shape[0]):
            left[k] = probabilities[b, k]
        for s in range(slots):
            total = 0.0
            for k in range(left.shape[0]):
                total += left[k]
            chosen, reached = -1, 0.0
            target = uniforms[b, s] * total
            for k in range(left.shape[0]):
                if left[k] > 0.0:
                    chosen = k
                    reached += left[k]
                    if target < reached:
                        break
            order[b, s] = chosen
            propensity[b, s] = left[chosen] / total if chosen >= 0 else np.nan
            if chosen >= 0:
                for k in range(left.shape[0]):
                    if group[k] == group[chosen]:
                        left[k] = 0.0
