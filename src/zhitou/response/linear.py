"""The part that few clicks can carry: a straight line in the columns, a term per slot, a term per ad.

Each coefficient has a normal prior around zero whose width is learnt from the same rows (MacKay's evidence rule),
so that thirty clicks give little more than a base rate and a million give what they say. R = rows, P = columns,
S = slots, A = ads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_ROUNDS = 25
_INTERCEPT_SD = 1.0  # in logits around the rate given: e times more or less is no surprise
_SLOT_SD = 1.0
_COLUMN_SD = (0.02, 1.0)  # the widths that may be learnt
_AD_SD = (0.02, 1.0)
_AD_NONE = 1e9  # precision of an unknown ad: its term stays 0


@dataclass(frozen=True)
class Linear:
    """logit = intercept + x · weights + slots[slot] + ads[ad]; slots[0] == 0, and an unknown ad adds 0."""

    intercept: float
    weights: np.ndarray
    slots: np.ndarray
    ads: np.ndarray

    def logits(self, x: np.ndarray, slot: np.ndarray | None = None, ad: np.ndarray | None = None) -> np.ndarray:
        """float64 [R] of columns float32 [R, P]; the first slot without `slot`, an unknown ad without `ad`."""
        out = x.astype(np.float64) @ self.weights + self.intercept
        if slot is not None:
            out += self.slots[slot]
        return out if ad is None else out + ad_terms(self.ads, ad)


def ad_terms(terms: np.ndarray, ad: np.ndarray) -> np.ndarray:
    """terms[ad], and 0 for a number that the training rows did not hold (a new ad, or -1)."""
    if not len(terms):
        return np.zeros(np.shape(ad))
    known = (ad >= 0) & (ad < len(terms))
    return np.where(known, terms[np.where(known, ad, 0)], 0.0)


def fit_linear(
    x: np.ndarray, y: np.ndarray, slot: np.ndarray, ad: np.ndarray, slots: int, ads: int, rate: float
) -> Linear:
    """The most probable line for labels `y` (bool [R]) of columns `x` (float32 [R, P]).

    slot, ad: int [R], ad -1 = unknown. `rate`: what the mean probability is expected to be before looking.
    Newton's method; ads are eliminated block by block, so 10,000 of them cost no more than their rows.
    """
    design = _design(x, slot, slots)
    owner = np.where((ad >= 0) & (ad < ads), ad, ads).astype(np.int64)
    state = _State(design, y.astype(np.float64), owner, x.shape[1], slots, ads, rate)
    for _ in range(_ROUNDS):
        if state.step() < 1e-4:
            break
    P = x.shape[1]
    return Linear(
        float(state.beta[0]),
        state.beta[1 : P + 1].copy(),
        np.concatenate([[0.0], state.beta[P + 1 :]]),
        state.ads[:ads].copy(),
    )


def _design(x: np.ndarray, slot: np.ndarray, slots: int) -> np.ndarray:
    """float32 [R, 1 + P + S - 1]: one, the columns, a mark for each slot but the first."""
    R, P = x.shape
    design = np.zeros((R, P + slots), dtype=np.float32)
    design[:, 0] = 1
    design[:, 1 : P + 1] = x
    for s in range(1, slots):
        design[:, P + s] = slot == s
    return design


class _State:
    """Where Newton's method stands."""

    def __init__(
        self, design: np.ndarray, y: np.ndarray, owner: np.ndarray, P: int, slots: int, ads: int, rate: float
    ) -> None:
        R = len(y)
        self.design, self.y, self.owner = design, y, owner
        self.columns = slice(1, P + 1)
        self.mean = np.zeros(P + slots)
        self.mean[0] = np.log(rate / (1 - rate))
        self.precision = np.full(P + slots, 1 / 0.2**2)
        self.precision[0] = 1 / _INTERCEPT_SD**2
        self.precision[P + 1 :] = 1 / _SLOT_SD**2
        self.ad_precision = np.full(ads + 1, 1 / 0.2**2)
        self.ad_precision[ads] = _AD_NONE
        self.members = sparse.csr_matrix((np.ones(R, dtype=np.float32), (owner, np.arange(R))), shape=(ads + 1, R))
        self.seen = np.asarray(self.members.sum(1)).ravel() > 0
        self.seen[ads] = False
        self.beta, self.ads = self.mean.copy(), np.zeros(ads + 1)
        observed = (y.sum() + 20 * rate) / (R + 20)
        self.beta[0] = np.log(observed / (1 - observed))

    def step(self) -> float:
        """One Newton step and one update of the priors' widths; the largest change of a coefficient."""
        X, d, D = self.design, self.y, self.ad_precision
        p = 1 / (1 + np.exp(-(X @ self.beta.astype(np.float32) + self.ads[self.owner])))
        w = (p * (1 - p)).astype(np.float32)
        wX = X * w[:, None]
        lean = np.bincount(self.owner, w, minlength=len(D)) + D
        cross = self.members @ wX
        pull = X.T @ (d - p).astype(np.float32) - self.precision * (self.beta - self.mean)
        ad_pull = np.bincount(self.owner, d - p, minlength=len(D)) - D * self.ads
        whole = (X.T @ wX).astype(np.float64)
        whole[np.diag_indices_from(whole)] += self.precision
        across = cross / lean[:, None]
        inverse = np.linalg.inv(whole - cross.T @ across)
        move = inverse @ (pull - across.T @ ad_pull)
        ad_move = ad_pull / lean - across @ move
        reach = max(np.abs(move).max(), np.abs(ad_move).max())
        scale = min(1.0, 2.0 / max(reach, 1e-9))  # far from the top Newton overshoots
        self.beta += scale * move
        self.ads += scale * ad_move
        spread = 1 / lean + np.einsum("ap,pq,aq->a", across, inverse, across, optimize=True)
        self._widths(np.diag(inverse), spread)
        return float(reach)

    def _widths(self, variance: np.ndarray, ad_variance: np.ndarray) -> None:
        """Evidence rule: sd² = sum of squares over the number of well-determined coefficients."""
        w, c = self.beta[self.columns], self.columns
        self.precision[c] = 1 / _width(w, 1 - self.precision[c] * variance[c], _COLUMN_SD) ** 2
        if self.seen.any():
            s = self.seen
            known = 1 - self.ad_precision[s] * ad_variance[s]
            self.ad_precision[:-1] = 1 / _width(self.ads[s], known, _AD_SD) ** 2


def _width(values: np.ndarray, determined: np.ndarray, bounds: tuple[float, float]) -> float:
    """The prior's sd, within bounds; one pseudo-observation at the lower end keeps it from running off."""
    if not len(values):
        return bounds[0]
    count = float(np.clip(determined, 0, 1).sum())
    return float(np.clip(np.sqrt((values @ values + 0.1**2) / (count + 1)), *bounds))
