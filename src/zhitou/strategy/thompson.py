"""Thompson sampling on the last layer of a model, with the exact probability of each ad.

B = requests, K = ads, D = numbers of the last layer, M = ads that take part.

Thompson sampling draws a value for every ad from its posterior and shows the best. How often an ad is the best is an
integral; drawing from the integrals instead of from the posteriors shows the same ads as often, and then the logged
propensity is the very number that was drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit

from zhitou.strategy.best import best_of_row
from zhitou.strategy.exploration import TOP
from zhitou.strategy.policies import FLOOR, Context, Proposal

NODES = 64
_PASSES = 3  # of placing the nodes: evenly, then twice by the law of the greatest value
_DENSITY = 1.0 / math.sqrt(2.0 * math.pi)
_REACH = 6.0  # deviations beyond which nothing is looked for


class LastLayer:
    """A Gaussian posterior of one linear layer per ad over D numbers that a model knows of a request.

    reward of ad a = x . w_a + noise, w_a ~ Normal(0, I / prior_precision), noise variance `noise`: then the
    posterior of w_a is Normal(A^-1 b, A^-1) with A = prior_precision I + sum x x' / noise, b = sum x reward / noise.
    Memory: 16 K D^2 bytes, 1.6 MB for 100 ads and 32 numbers. Bishop (2006), section 3.3.
    """

    def __init__(self, ads: int, dims: int, *, prior_precision: float = 1.0, noise: float = 1.0) -> None:
        assert min(prior_precision, noise) > 0, "precision and noise are above 0"
        self._noise = noise
        self._precision = np.tile(np.eye(dims) * prior_precision, (ads, 1, 1))
        self._sum = np.zeros((ads, dims))
        self._weights = np.zeros((ads, dims))
        self._covariance = np.linalg.inv(self._precision)

    def learn(self, known: np.ndarray, ads: np.ndarray, reward: np.ndarray) -> None:
        """Take in rows x (float [n, D]) of shown ads (int [n], -1 = none) with their rewards (float [n])."""
        ads = np.asarray(ads)
        known, reward = (np.asarray(x, dtype=np.float64) for x in (known, reward))
        for ad in np.unique(ads[ads >= 0]):
            x, y = known[ads == ad], reward[ads == ad]
            self._precision[ad] += x.T @ x / self._noise
            self._sum[ad] += x.T @ y / self._noise
            self._covariance[ad] = np.linalg.inv(self._precision[ad])
            self._weights[ad] = self._covariance[ad] @ self._sum[ad]

    def posterior(self, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean, deviation), each float64 [B, K], of x . w_a for rows x, float [B, D]."""
        x = np.asarray(known, dtype=np.float64)
        variance = np.einsum("kbd,bd->bk", x @ self._covariance, x, optimize=True)
        return x @ self._weights.T, np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))


def win_probabilities(
    mean: np.ndarray, deviation: np.ndarray, eligible: np.ndarray, floor: float, *, top: int = TOP
) -> np.ndarray:
    """float64 [B, K]: how often each ad is the best of independent draws Normal(mean, deviation); rows sum to 1.

    The M = min(top, eligible) ads that most often exceed the highest mean take part. The floor is that of
    `exploration.inverse_gap`: each of them has at least `floor`, every other ad exactly 0. Refused: floor * top > 1;
    a deviation that is not above 0.

    pi_a = integral of phi_a(x) prod over b != a of Phi_b(x) dx = integral of r_a dF, where F = prod of Phi_b is the
    law of the greatest draw and r_a = h_a / sum of h_b, h = phi / Phi, says whose it is if it is x. By the trapezoid
    rule over F in 64 nodes that are placed by F, not by x, so that narrow and wide posteriors may stand together.
    Thompson (1933).
    """
    assert 0.0 <= floor * top <= 1.0, "a floor that all of the top ads can have is at most 1 / top"
    assert (np.where(eligible, deviation, 1.0) > 0).all(), "a posterior has a deviation above 0"
    out = np.zeros(mean.shape, dtype=np.float64)
    arrays = [np.ascontiguousarray(x, dtype=np.float64) for x in (mean, deviation)]
    _win(arrays[0], arrays[1], np.ascontiguousarray(eligible, dtype=np.bool_), float(floor), int(top), out)
    return out


class GaussianThompson:
    """A policy that draws by `win_probabilities`. posterior_of: from a context to (mean, deviation), float64 [B, K]
    each, of what a showing is worth in micros, such as bids times a `LastLayer` posterior."""

    needs_models = True
    flat_price = False

    def __init__(
        self,
        posterior_of: Callable[[Context], tuple[np.ndarray, np.ndarray]],
        name: str = "last-layer-thompson",
        *,
        floor: float = FLOOR,
        top: int = TOP,
    ) -> None:
        self.name, self._posterior_of, self._floor, self._top = name, posterior_of, floor, top

    def propose(self, context: Context) -> Proposal:
        """Score = the posterior mean, at least 0; probabilities of winning, of the first slot."""
        mean, deviation = self._posterior_of(context)
        score = np.where(context.eligible, np.maximum(mean, 0.0), 0.0)
        return Proposal(score, win_probabilities(mean, deviation, context.eligible, self._floor, top=self._top))


@njit(cache=True)
def _below(z):  # type: ignore[no-untyped-def]
    """Phi(z), the standard normal law; 1 from 7 on, where it lacks 1e-12."""
    return 1.0 if z > 7.0 else 0.5 * math.erfc(-z * math.sqrt(0.5))


@njit(cache=True)
def _greatest(mean, deviation, best, size, x):  # type: ignore[no-untyped-def]
    """F(x): the chance that no draw of the `size` best lies above x."""
    f = 1.0
    for i in range(size):
        f *= _below((x - mean[best[i]]) / deviation[best[i]])
        if f < 1e-12:
            return 0.0
    return f


@njit(cache=True)
def _spread(node, law, fresh):  # type: ignore[no-untyped-def]
    """Move the nodes to shares of a law known at them, between which it is taken to rise evenly; shares are closer
    near 0 and 1, where the answer to "whose is it" turns fastest."""
    n, at = node.shape[0], 0
    for i in range(n):
        share = law[0] + (law[n - 1] - law[0]) * 0.5 * (1.0 - math.cos(math.pi * i / (n - 1)))
        while at < n - 2 and law[at + 1] < share:
            at += 1
        rise = law[at + 1] - law[at]
        part = (share - law[at]) / rise if rise > 0 else 0.0
        fresh[i] = node[at] + min(1.0, max(0.0, part)) * (node[at + 1] - node[at])
    for i in range(n):
        node[i] = fresh[i]


@njit(cache=True, error_model="numpy")
def _win(mean, deviation, eligible, floor, top, out):  # type: ignore[no-untyped-def]
    ads = mean.shape[1]
    alone, best = np.arange(ads).astype(np.int32), np.empty(top, dtype=np.int32)
    ahead, hazard = np.empty(ads, dtype=np.float64), np.empty(top, dtype=np.float64)
    node, law, fresh = np.empty(NODES), np.empty(NODES), np.empty(NODES)
    for b in range(mean.shape[0]):
        highest = -np.inf
        for k in range(ads):
            highest = max(highest, mean[b, k]) if eligible[b, k] else highest
        for k in range(ads):
            ahead[k] = (mean[b, k] - highest) / deviation[b, k] if eligible[b, k] else -np.inf
        size = best_of_row(ahead, eligible[b], alone, best)
        if size == 0:
            continue
        low = high = -np.inf
        for i in range(size):
            low = max(low, mean[b, best[i]] - _REACH * deviation[b, best[i]])
            high = max(high, mean[b, best[i]] + _REACH * deviation[b, best[i]])
        for i in range(NODES):
            node[i] = low + (high - low) * i / (NODES - 1)
        for turn in range(_PASSES):
            for i in range(NODES):
                law[i] = _greatest(mean[b], deviation[b], best, size, node[i])
            if turn < _PASSES - 1:
                _spread(node, law, fresh)
        for i in range(NODES):
            left = law[i - 1] if i > 0 else -law[0]
            right = law[i + 1] if i < NODES - 1 else 2.0 - law[i]
            _share(mean[b], deviation[b], best, size, node[i], 0.5 * (right - left), hazard, out[b])
        for i in range(size):
            out[b, best[i]] = floor + (1.0 - size * floor) * out[b, best[i]]


@njit(cache=True)
def _share(mean, deviation, best, size, x, weight, hazard, out):  # type: ignore[no-untyped-def]
    """Share `weight` among the ads by how likely the greatest draw is theirs, given that it is x."""
    total = 0.0
    for i in range(size):
        z = (x - mean[best[i]]) / deviation[best[i]]
        ratio = -z if z < -25.0 else _DENSITY * math.exp(-0.5 * z * z) / _below(z)
        hazard[i] = ratio / deviation[best[i]]
        total += hazard[i]
    for i in range(size):
        out[best[i]] += weight * (hazard[i] / total if total > 0 else 1.0 / size)
