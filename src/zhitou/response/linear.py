"""The part that few clicks can carry: a line in the columns that bends once, a few products, a term per slot and ad.

Each coefficient has a normal prior around zero whose width is learnt from the same rows (MacKay's evidence rule),
so that thirty clicks give little more than a base rate and a million give what they say. R = rows, G = columns,
P = terms, S = slots, A = ads.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

_ROUNDS = 25
_CLOSE = 2e-3  # of a coefficient, in logits: far below what the rows can tell
_INTERCEPT_SD = 1.0  # in logits around the rate given: e times more or less is no surprise
_SLOT_SD = 1.0
_MOVED_SD = 0.15  # of intercept and slots around a prior line: what a level moves between two refreshes
_COLUMN_SD = (0.02, 1.0)  # the widths that may be learnt
_AD_SD = (0.02, 1.0)
_TAIL_MOST = 15.0  # fourth moment over squared second of a column that may be multiplied; 3 is a bell curve's
_PAIRS_MOST = 24
_AD_NONE = 1e9  # precision of an unknown ad: its term stays 0


@dataclass(frozen=True)
class Linear:
    """logit = intercept + terms(x) · weights + slots[slot] + ads[ad]; slots[0] == 0, and an unknown ad adds 0.

    weights: float64 [P]. slots: float64 [S]. ads: float64 [A], centred: the average impression has ad term 0.
    """

    intercept: float
    weights: np.ndarray
    slots: np.ndarray
    ads: np.ndarray


@dataclass(frozen=True)
class Terms:
    """What the weights multiply: columns, what each is above its knot, and the products of some pairs of them.

    knots: float32 [G]. pairs: int32 [Q, 2]. P = 2 G + Q.
    """

    knots: np.ndarray
    pairs: np.ndarray

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """float32 [R, P] of columns float32 [R, G]."""
        R, G = columns.shape
        out = np.empty((R, 2 * G + len(self.pairs)), dtype=np.float32)
        out[:, :G] = columns
        np.maximum(columns - self.knots, 0, out=out[:, G : 2 * G])
        np.multiply(columns[:, self.pairs[:, 0]], columns[:, self.pairs[:, 1]], out=out[:, 2 * G :])
        return out

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of the groups of terms; each group's weights have a prior of their own."""
        return (len(self.knots), len(self.knots), len(self.pairs))


def telling_pairs(columns: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """int32 [Q, 2]: pairs of columns whose product would tell more of `y` than the line's probabilities `p` know.

    Rao's score test of each product, all pairs by two matrix products; a pair counts if its chi² exceeds 2 log of
    the number of pairs (the risk inflation criterion of Foster and George), about what the best of so many idle
    pairs reaches by chance. Columns whose variance is carried by few rows take no part: the test is not chi² for
    them, and what a handful of recent clicks times a weekend once seemed to say moved later logits by sixteen.
    """
    squares = columns * columns
    broad = squares.mean(0) ** 2 * _TAIL_MOST >= (squares * squares).mean(0)
    missed = columns.T @ (columns * (y - p).astype(np.float32)[:, None])
    spread = squares.T @ (squares * (p * (1 - p)).astype(np.float32)[:, None])
    first, second = np.triu_indices(columns.shape[1], 1)
    chi2 = missed[first, second] ** 2 / np.maximum(spread[first, second], 1e-6)
    chi2[~(broad[first] & broad[second])] = 0.0
    best = np.argsort(-chi2, kind="stable")[:_PAIRS_MOST]
    best = best[chi2[best] > 2 * np.log(max(len(chi2), 2))]
    return np.stack([first[best], second[best]], 1).astype(np.int32)


def ad_terms(terms: np.ndarray, ad: np.ndarray) -> np.ndarray:
    """terms[ad], and 0 for a number that the training rows did not hold (a new ad, or -1)."""
    if not len(terms):
        return np.zeros(np.shape(ad))
    known = (ad >= 0) & (ad < len(terms))
    return np.where(known, terms[np.where(known, ad, 0)], 0.0)


def fit_linear(
    x: np.ndarray,
    y: np.ndarray,
    slot: np.ndarray,
    ad: np.ndarray,
    slots: int,
    rate: float,
    groups: tuple[int, ...],
    *,
    prior: Linear | None = None,
    offset: np.ndarray | None = None,
) -> Linear:
    """The most probable line for labels `y` (bool [R]) of terms `x` (float32 [R, P]).

    slot, ad: int [R], ad -1 = unknown. `rate`: what the mean probability is expected to be before looking. groups:
    sizes of runs of terms, P in all, whose weights share a prior. prior: a line of the same terms that the priors
    are centred on instead of zero and `rate`; what the rows say nothing of stays as it was there. offset: float [R],
    logits that are known already and added to the line's.
    Newton's method; ads are eliminated block by block, so 10,000 of them cost little more than 10.
    """
    P, ads = x.shape[1], max(int(ad.max(initial=-1)) + 1, len(prior.ads) if prior else 0)
    owner = np.where(ad >= 0, ad, ads).astype(np.int64)
    state = _State(_design(x, slot, slots), y.astype(np.float64), owner, groups, slots, ads, rate)
    if offset is not None:
        state.offset = np.asarray(offset, dtype=np.float32)
    if prior is not None:
        state.centre(prior)
    for _ in range(_ROUNDS):
        if state.step() < _CLOSE:
            break
    # An unknown ad counts as the average impression: the log of the mean factor, not the mean of the logs.
    average = float(np.log(np.exp(state.ads[owner]).mean())) if len(y) else 0.0
    known = state.seen[:ads] | (state.ad_mean[:ads] != 0)
    seen = np.where(known, state.ads[:ads] - average, 0.0)
    return Linear(
        float(state.beta[0]) + average,
        state.beta[1 : P + 1].copy(),
        np.concatenate([[0.0], state.beta[P + 1 :]]),
        seen,
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
        self,
        design: np.ndarray,
        y: np.ndarray,
        owner: np.ndarray,
        groups: tuple[int, ...],
        slots: int,
        ads: int,
        rate: float,
    ) -> None:
        R, P = len(y), sum(groups)
        self.design, self.y, self.owner = design, y, owner
        ends = np.cumsum([1, *groups])
        self.groups = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends) if b > a]
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
        self.ad_mean, self.offset = np.zeros(ads + 1), np.zeros(R, dtype=np.float32)
        observed = (y.sum() + 20 * rate) / (R + 20)
        self.beta[0] = np.log(observed / (1 - observed))  # a start, not a prior

    def centre(self, prior: Linear) -> None:
        """Start from this line, and let every prior pull towards it."""
        P, known = len(prior.weights), min(len(prior.slots), len(self.mean) - len(prior.weights))
        self.mean[0], self.mean[1 : P + 1] = prior.intercept, prior.weights
        self.mean[P + 1 : P + known] = prior.slots[1:known]
        self.ad_mean[: len(prior.ads)] = prior.ads
        self.beta, self.ads = self.mean.copy(), self.ad_mean.copy()
        # A level that has plainly jumped is freed, or the weights of other columns would be bent to make up for it.
        told = self._chances().mean() if len(self.y) else 0.5
        seen = (self.y.sum() + told) / (len(self.y) + 1)
        jump = np.log(seen / (1 - seen)) - np.log(told / (1 - told))
        self.beta[0] += jump
        self.precision[0] = 1 / max(_MOVED_SD, abs(jump)) ** 2
        self.precision[P + 1 :] = 1 / _MOVED_SD**2

    def _chances(self) -> np.ndarray:
        """float [R]: the probabilities as the coefficients stand."""
        logits = self.design @ self.beta.astype(np.float32) + self.ads[self.owner] + self.offset
        return 1 / (1 + np.exp(-logits))

    def step(self) -> float:
        """One Newton step and one update of the priors' widths; the largest change of a coefficient."""
        X, d, D = self.design, self.y, self.ad_precision
        p = self._chances()
        w = (p * (1 - p)).astype(np.float32)
        wX = X * w[:, None]
        lean = np.bincount(self.owner, w, minlength=len(D)) + D
        cross = self.members @ wX
        pull = X.T @ (d - p).astype(np.float32) - self.precision * (self.beta - self.mean)
        ad_pull = np.bincount(self.owner, d - p, minlength=len(D)) - D * (self.ads - self.ad_mean)
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
        for c in self.groups:
            known = 1 - self.precision[c] * variance[c]
            self.precision[c] = 1 / _width(self.beta[c] - self.mean[c], known, _COLUMN_SD) ** 2
        if self.seen.any():
            s = self.seen
            known = 1 - self.ad_precision[s] * ad_variance[s]
            self.ad_precision[:-1] = 1 / _width(self.ads[s] - self.ad_mean[s], known, _AD_SD) ** 2


def _width(values: np.ndarray, determined: np.ndarray, bounds: tuple[float, float]) -> float:
    """The prior's sd, within bounds; one pseudo-observation at the lower end keeps it from running off."""
    if not len(values):
        return bounds[0]
    count = float(np.clip(determined, 0, 1).sum())
    return float(np.clip(np.sqrt((values @ values + 0.1**2) / (count + 1)), *bounds))
