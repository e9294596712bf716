"""The part that few clicks can carry: a line in the columns that bends once, a few products, a term per slot and ad.

Each coefficient has a normal prior around zero whose width is learnt from the same rows (MacKay's evidence rule),
so that thirty clicks give little more than a base rate and a million give what they say. R = rows, G = columns,
P = terms, S = slots, A = ads.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

_ROUNDS = 25
_FAR_OFF = 0.1  # steps longer than this measure curvature anew; nearer the top it hardly changes, and costs most
_CLOSE = 2e-3  # of a coefficient, in logits: far below what the rows can tell
_INTERCEPT_SD = 1.0  # in logits around the rate given: e times more or less is no surprise
_SLOT_SD = 1.0
_MOVED_SD = 0.15  # of intercept and slots around a prior line: what a level moves between two refreshes
_COLUMN_SD = (0.02, 1.0)  # the widths that may be learnt
_AD_SD = (0.02, 1.0)
_TAIL_MOST = 15.0  # fourth moment over squared second of a column that may be multiplied; 3 is a bell curve's
_PAIRS_MOST = 24
_KNOTS = (0.25, 0.5, 0.75)
_ATOM_SHARE = 0.05
_MEASURED = 50_000
_SAME = 1e-4  # in deviations of a column
_CHUNK = 1_024  # rows whose terms are made at once
_BLOCK = 4_096  # rows whose products stay in the cache of one core
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
    """What the weights multiply: columns, what each is above its knots, marks of its commonest value, some products.

    hinged: int32 [H] and knots: float32 [H], column and knot of each hinge. marked: int32 [M] and atoms: float32
    [M], column and value of each mark. pairs: int32 [Q, 2]. P = G + H + M + Q.
    """

    width: int
    hinged: np.ndarray
    knots: np.ndarray
    marked: np.ndarray
    atoms: np.ndarray
    pairs: np.ndarray

    @classmethod
    def of(cls, columns: np.ndarray) -> Terms:
        """Without pairs, measured on training columns [R, G], of which at most _MEASURED are read.

        Knots are the quartiles of a column, less its commonest value if that alone is a twentieth of the rows:
        "never bought" stands for no number, and drew the one knot of half the columns to itself. It has a mark.
        """
        some = columns[:: max(1, len(columns) // _MEASURED)]
        hinged: list[int] = []
        knots: list[float] = []
        marked: list[int] = []
        atoms: list[float] = []
        for g, column in enumerate(some.T):
            values, counts = np.unique(column, return_counts=True)
            if len(values) < 3:
                continue  # a line through two values has nothing to bend
            most = int(counts.argmax())
            if counts[most] >= _ATOM_SHARE * len(column):
                marked.append(g)
                atoms.append(values[most])
                column = column[column != values[most]]
            inner = np.unique(np.quantile(column, _KNOTS))
            hinged.extend([g] * len(inner))
            knots.extend(inner)
        return cls(
            width=columns.shape[1],
            hinged=np.asarray(hinged, dtype=np.int32),
            knots=np.asarray(knots, dtype=np.float32),
            marked=np.asarray(marked, dtype=np.int32),
            atoms=np.asarray(atoms, dtype=np.float32),
            pairs=np.zeros((0, 2), dtype=np.int32),
        )

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """float32 [R, P] of columns float32 [R, G]."""
        G, H, M, _ = self.groups
        out = np.empty((len(columns), sum(self.groups)), dtype=np.float32)
        for begin in range(0, len(columns), _CHUNK):
            # Columns side by side: picking some of them is copying stretches.
            x = np.ascontiguousarray(columns[begin : begin + _CHUNK].T)
            part = np.empty((out.shape[1], x.shape[1]), dtype=np.float32)
            part[:G] = x
            hinges = part[G : G + H]
            np.subtract(x[self.hinged], self.knots[:, None], out=hinges)
            np.maximum(hinges, 0, out=hinges)
            part[G + H : G + H + M] = np.abs(x[self.marked] - self.atoms[:, None]) < _SAME
            np.multiply(x[self.pairs[:, 0]], x[self.pairs[:, 1]], out=part[G + H + M :])
            out[begin : begin + _CHUNK] = part.T
        return out

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of the groups of terms; each group's weights have a prior of their own."""
        return (self.width, len(self.hinged), len(self.marked), len(self.pairs))


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
    kept: float = 1.0,
    start: Linear | None = None,
) -> Linear:
    """The most probable line for labels `y` (bool [R]) of terms `x` (float32 [R, P]).

    slot, ad: int [R], ad -1 = unknown. `rate`: what the mean probability is expected to be before looking. groups:
    sizes of runs of terms, P in all, whose weights share a prior. prior: a line of the same terms that the priors
    are centred on instead of zero and `rate`; what the rows say nothing of stays as it was there. offset: float [R],
    logits that are known already and added to the line's. kept: the share of rows without a label that are there;
    the line is about all rows, exactly: thinning multiplies the odds by 1 / kept. start: a line of the same terms
    that is thought to be near.
    Newton's method; ads are eliminated block by block, so 10,000 of them cost little more than 10.
    """
    P, ads = x.shape[1], max(int(ad.max(initial=-1)) + 1, len(prior.ads) if prior else 0)
    owner = np.where(ad >= 0, ad, ads).astype(np.int64)
    # Rows of one ad lie side by side, so that sums over ads are sums over stretches.
    order = np.argsort(owner, kind="stable")
    label, owner = y.astype(np.float64)[order], owner[order]
    state = _State(_design(x, slot, slots, order), label, owner, groups, slots, ads, rate)
    state.offset += np.float32(-np.log(kept))
    state.beta[0] += np.log(kept)
    if offset is not None:
        state.offset += np.asarray(offset, dtype=np.float32)[order]
    if prior is not None:
        state.centre(prior)
    elif start is not None:
        state.begin(start)
    for _ in range(_ROUNDS):
        if state.step() < _CLOSE:
            break
    # An unknown ad counts as the average impression: the log of the mean factor, not the mean of the logs.
    stands = np.where(label > 0, 1.0, 1 / kept)
    average = float(np.log(np.average(np.exp(state.ads[owner]), weights=stands))) if len(y) else 0.0
    known = state.seen[:ads] | (state.ad_mean[:ads] != 0)
    seen = np.where(known, state.ads[:ads] - average, 0.0)
    return Linear(
        float(state.beta[0]) + average,
        state.beta[1 : P + 1].copy(),
        np.concatenate([[0.0], state.beta[P + 1 :]]),
        seen,
    )


def _design(x: np.ndarray, slot: np.ndarray, slots: int, order: np.ndarray) -> np.ndarray:
    """float32 [R, 1 + P + S - 1]: one, the columns, a mark for each slot but the first; rows in this order."""
    R, P = x.shape
    design = np.zeros((R, P + slots), dtype=np.float32)
    design[:, 0] = 1
    for begin in range(0, R, _BLOCK):
        some = order[begin : begin + _BLOCK]
        design[begin : begin + _BLOCK, 1 : P + 1] = x[some]
    for s in range(1, slots):
        design[:, P + s] = slot[order] == s
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
        self.seen = np.bincount(owner, minlength=ads + 1) > 0
        self.seen[ads] = False
        self.beta, self.ads = self.mean.copy(), np.zeros(ads + 1)
        self.ad_mean, self.offset = np.zeros(ads + 1), np.zeros(R, dtype=np.float32)
        self.reach = np.inf
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

    def begin(self, near: Linear) -> None:
        """Start at this line, without believing it."""
        P, slots = len(near.weights), min(len(near.slots), len(self.mean) - len(near.weights))
        self.beta[0], self.beta[1 : P + 1] = near.intercept, near.weights
        self.beta[P + 1 : P + slots] = near.slots[1:slots]
        self.ads[: min(len(near.ads), len(self.ads) - 1)] = near.ads[: len(self.ads) - 1]

    def _chances(self) -> np.ndarray:
        """float [R]: the probabilities as the coefficients stand."""
        logits = self.design @ self.beta.astype(np.float32) + self.ads[self.owner] + self.offset
        return 1 / (1 + np.exp(-logits))

    def step(self) -> float:
        """One Newton step and one update of the priors' widths; the largest change of a coefficient."""
        X, d, D = self.design, self.y, self.ad_precision
        p = self._chances()
        w = (p * (1 - p)).astype(np.float32)
        if self.reach > _FAR_OFF:
            self.information = self._information(w), np.bincount(self.owner, w, minlength=len(D))
        (whole, cross), lean = self.information
        whole, lean = whole.copy(), lean + D
        pull = X.T @ (d - p).astype(np.float32) - self.precision * (self.beta - self.mean)
        ad_pull = np.bincount(self.owner, d - p, minlength=len(D)) - D * (self.ads - self.ad_mean)
        whole[np.diag_indices_from(whole)] += self.precision
        across = cross / lean[:, None]
        inverse = np.linalg.inv(whole - cross.T @ across)
        move = inverse @ (pull - across.T @ ad_pull)
        ad_move = ad_pull / lean - across @ move
        self.reach = reach = float(max(np.abs(move).max(), np.abs(ad_move).max()))
        scale = min(1.0, 2.0 / max(reach, 1e-9))  # far from the top Newton overshoots
        self.beta += scale * move
        self.ads += scale * ad_move
        spread = 1 / lean + np.einsum("ap,pq,aq->a", across, inverse, across, optimize=True)
        self._widths(np.diag(inverse), spread)
        return reach

    def _information(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(X' W X float64 [Q, Q], each ad's sum of w x float64 [A + 1, Q]), block by block."""
        Q = self.design.shape[1]
        whole, cross = np.zeros((Q, Q)), np.zeros((len(self.ads), Q))
        for begin in range(0, len(w), _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            X, owner = self.design[rows], self.owner[rows]
            weighted = X * w[rows, None]
            whole += X.T @ weighted
            stretch = np.flatnonzero(np.diff(owner, prepend=-1))
            cross[owner[stretch]] += np.add.reduceat(weighted, stretch, axis=0)
        return whole, cross

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
