"""What a logged slate was worth being drawn: the chances that estimators of slate values divide by.

B = requests, K = ads, S = slots. A slate is drawn slot by slot without replacement (`exploration.slate`), by
Plackett and Luce's law; the log keeps the first slot's probabilities, so every chance below can be had for the
logging policy and for any other one that draws so.

With r the rewards of the slots and w = target chance / logging chance: independent IPS weights r_s by `marginal`
(Li et al. 2018, arXiv 1804.10488, the item-position model), reward-interaction IPS by `cascade` at s (McInerney et
al. 2020, arXiv 2007.12986), and Cascade-DR, with a model Q of what is still to come given the slots above, adds
w_(s-1) sum over a of target(a | above) Q(a) - w_s Q(shown) to it, where w_s is by `cascade` at s (Kiyohara et al.
2022, arXiv 2202.01562).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.strategy.best import groups

_MOST_PREFIXES = 10_000_000


@dataclass(frozen=True)
class SlateChances:
    """All float64 [B, S], NaN where the slot is empty. conditional: of the ad, given the ads above it. cascade: of
    this ad and those above it, in this order. marginal: of the ad in this slot, whatever stands above."""

    conditional: np.ndarray
    cascade: np.ndarray
    marginal: np.ndarray


def slate_chances(probabilities: np.ndarray, order: np.ndarray, group: np.ndarray | None = None) -> SlateChances:
    """How likely a policy that draws from `probabilities` (float64 [B, K], of the first slot) shows these slates.

    order: int32 [B, S], -1 = empty, from the first slot down. group as in `slate`: at most one ad of each is shown.
    An ad that the policy could not have drawn has chance 0. Marginals sum over all that may stand above: M^(S - 1)
    orders of the M ads with a chance. Refused: more than ten million of them.
    """
    slots = order.shape[1]
    most = int((probabilities > 0).sum(axis=1).max(initial=1))
    assert most ** (slots - 1) <= _MOST_PREFIXES, (
        f"{most} ads in {slots} slots are too many orders to sum over; draw from fewer ads (top), or log fewer slots"
    )
    conditional, marginal = (np.full(order.shape, np.nan) for _ in range(2))
    _chances(
        np.ascontiguousarray(probabilities, dtype=np.float64),
        np.ascontiguousarray(order, dtype=np.int32),
        groups(group, probabilities.shape[1]),
        conditional,
        marginal,
    )
    return SlateChances(conditional, np.cumprod(conditional, axis=1), marginal)


@njit(cache=True)
def left_over(chances, group, above):  # type: ignore[no-untyped-def]
    """The sum of the chances of ads whose group is not that of any ad in `above` (int [n], -1 = none)."""
    total = 0.0
    for k in range(chances.shape[0]):
        free = chances[k] > 0.0
        for i in range(above.shape[0]):
            free = free and (above[i] < 0 or group[above[i]] != group[k])
        total += chances[k] if free else 0.0
    return total


@njit(cache=True)
def _free(k, chances, group, above, depth):  # type: ignore[no-untyped-def]
    """Whether ad k can be drawn below the first `depth` ads of above."""
    for i in range(depth):
        if above[i] >= 0 and group[above[i]] == group[k]:
            return False
    return chances[k] > 0.0


@njit(cache=True)
def _marginal(chances, group, ad, slot, above, weight):  # type: ignore[no-untyped-def]
    """The chance of `ad` in `slot`: over all orders of `slot` other ads, above being counted through like an
    odometer; weight[d] is the chance of the first d ads of it."""
    if not chances[ad] > 0.0:
        return 0.0
    total, depth = 0.0, 0
    for i in range(above.shape[0]):
        above[i] = -1
    weight[0] = 1.0
    while depth >= 0:
        if depth == slot:
            if _free(ad, chances, group, above, depth):
                total += weight[depth] * chances[ad] / left_over(chances, group, above[:depth])
            depth -= 1
            continue
        k = above[depth] + 1
        while k < chances.shape[0] and (group[k] == group[ad] or not _free(k, chances, group, above, depth)):
            k += 1
        if k == chances.shape[0]:
            above[depth] = -1
            depth -= 1
            continue
        above[depth] = k
        weight[depth + 1] = weight[depth] * chances[k] / left_over(chances, group, above[:depth])
        depth += 1
    return total


@njit(cache=True)
def _chances(probabilities, order, group, conditional, marginal):  # type: ignore[no-untyped-def]
    slots = order.shape[1]
    above, weight = np.empty(slots, dtype=np.int32), np.empty(slots + 1, dtype=np.float64)
    for b in range(order.shape[0]):
        for s in range(slots):
            ad = order[b, s]
            if ad < 0:
                continue
            total = left_over(probabilities[b], group, order[b, :s])
            free = _free(ad, probabilities[b], group, order[b], s)
            conditional[b, s] = probabilities[b, ad] / total if free else 0.0
            marginal[b, s] = _marginal(probabilities[b], group, ad, s, above, weight)
