"""Several ads at once: what another policy's slates would have earned. B = slates, S = slots, K = ads.

Propensities are those that strategy.exploration.slate logs: of each slot's ad, given the ads above it; NaN where a
slot stayed empty. Three assumptions of what a click depends on, from bold to cautious: on its own ad alone (iips), on
it and the ads above (rips, cascade_dr), on the whole slate (sips). The bolder, the narrower, and wrong if untrue.
"""

from __future__ import annotations

import numpy as np

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL
from zhitou.evaluation.offpolicy import Overlap, PolicyValue, importance_weights, overlap, policy_value


def slot_weights(target: np.ndarray, propensity: np.ndarray) -> np.ndarray:
    """float64 [B, S]: target / propensity of each slot's ad given the ads above; 1 in empty slots (NaN in both).

    Refused (SchemaError): what importance_weights refuses, a slot that is empty for one policy only.
    """
    t, p = np.asarray(target, dtype=np.float64), np.asarray(propensity, dtype=np.float64)
    empty = np.isnan(p)
    if bad := int((np.isnan(t) != empty).sum()):
        raise SchemaError(f"expected NaN for both policies in an empty slot, got it for one in {bad:,} slots")
    return importance_weights(np.where(empty, 1.0, t), np.where(empty, 1.0, p))


def plackett_luce(probabilities: np.ndarray, order: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
    """float64 [B, S]: the chance of each slot's ad given the ads above, were slates drawn by `probabilities`.

    probabilities: float64 [B, K] of a policy's first slot; order: int [B, S], the ads that were shown, -1 none;
    group: int [K], of which at most one ad is shown, as exploration.slate draws. NaN in empty slots.
    """
    p, B = np.array(probabilities, dtype=np.float64), len(order)
    of = np.arange(p.shape[1]) if group is None else np.asarray(group)
    out, rows = np.full(order.shape, np.nan), np.arange(B)
    for slot in range(order.shape[1]):
        ad = order[:, slot]
        shown = ad >= 0
        total, chance = p.sum(1), p[rows, ad]
        out[shown, slot] = np.divide(chance, total, out=np.zeros(B), where=total > 0)[shown]
        p[shown] *= of[None, :] != of[ad[shown], None]
    return out


def sips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Mean over slates of all weights' product · all rewards: no assumption, and hopeless beyond a few slots.

    reward, weights: float64 [B, S], as slot_weights gives them. The value is the reward of a whole slate.
    """
    whole = np.prod(weights, axis=1)
    every = np.repeat(whole[:, None], weights.shape[1], axis=1)
    return _summed("sips", every * reward, every, reward, overlap(whole), level, unit)


def iips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Each slot by its own weight (Li, Abbasi-Yadkori, Kveton and others 2018): a click depends on its own ad alone.

    The weights must be of the ad in its slot whatever stands above; given the ads above, as logged, they are the same
    only for policies that fill slots independently. Refused by the worst slot's overlap.
    """
    covers = [overlap(weights[:, slot]) for slot in range(weights.shape[1])]
    worst = min(covers, key=lambda cover: cover.ess)
    refused = next((cover for cover in covers if cover.refusal), worst)
    return _summed("iips", weights * reward, weights, reward, refused, level, unit)


def rips(
    reward: np.ndarray, weights: np.ndarray, level: float = LEVEL, unit: np.ndarray | None = None
) -> PolicyValue:
    """Each slot by the product of the weights down to it (McInerney and others 2020).

    A click depends on the ads above and on none below: eyes that go from top to bottom.
    """
    down = np.cumprod(weights, axis=1)
    return _summed("rips", down * reward, down, reward, overlap(down[:, -1]), level, unit)


def cascade_dr(
    reward: np.ndarray,
    weights: np.ndarray,
    expected_logged: np.ndarray,
    expected_target: np.ndarray,
    level: float = LEVEL,
    unit: np.ndarray | None = None,
) -> PolicyValue:
    """RIPS with a model of what is still to come (Kiyohara, Saito, Matsuhiro and others 2022, Cascade-DR).

    expected_logged: float64 [B, S], Q_k of the ad in slot k: the reward of slots k, k + 1, ... under the target
    policy, given the ads down to k. expected_target: the same averaged over the target's ads for slot k. Term:
    w_1k · (r_k - Q_k) + w_1(k-1) · target's Q_k. Right if the weights are, or the model.
    """
    down = np.cumprod(weights, axis=1)
    above = np.concatenate([np.ones((len(down), 1)), down[:, :-1]], axis=1)
    terms = down * (reward - expected_logged) + above * expected_target
    return _summed("cascade-dr", terms, down, reward, overlap(down[:, -1]), level, unit)


def _summed(
    method: str,
    terms: np.ndarray,
    weights: np.ndarray,
    reward: np.ndarray,
    cover: Overlap,
    level: float,
    unit: np.ndarray | None,
) -> PolicyValue:
    """policy_value of terms [B, S] summed over slots. One more click gains at most the largest weight."""
    each = terms.sum(1)
    value = float(each.mean()) if len(each) else np.nan
    largest = float(weights.max()) * max(float(reward.max()), 1.0) if len(each) else np.nan
    return policy_value(method, value, each - value, (weights * reward).sum(1), largest, cover, level, unit)
