"""How sure the deep model is of a click's logit: a Laplace approximation of its last layer. R = rows, A = ads.

Given the hidden layers, a logit is linear in phi = (1, the line's terms, last hidden layer), and its weights have the
normal posterior N(w, S) with S^-1 = prior + sum over rows of p (1 - p) phi phi' (Fisher's information; MacKay 1992,
Kristiadi et al. 2020). So var(logit) = phi' S phi. An ad's own term adds 1 / (1 / sd² + sum of its rows' p (1 - p)):
wide for a new ad, and narrow once it was shown often. How far the line's weights and the ads' terms may lie, the line
itself shows (MacKay's evidence rule, as in `linear`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from zhitou.response.linear import Linear

_LEVEL_SD = 1.0
_TERM_SD = (0.02, 1.0)
_ROUNDS = 10
_AD_SD = (0.05, 1.0)


@dataclass(frozen=True)
class Doubt:
    """root: float32 [P, P], S = root root'. ad_variance: float32 [A + 1], the last for an ad never seen."""

    root: np.ndarray
    ad_variance: np.ndarray

    def __call__(self, terms: np.ndarray, hidden: np.ndarray, ad: np.ndarray | None) -> np.ndarray:
        """float64 [R]: standard deviation of the logit, for terms [R, P], hidden [R, H], ads int [R]."""
        spread = _phi(terms, hidden) @ self.root
        variance = np.einsum("rp,rp->r", spread, spread).astype(np.float64)
        last = len(self.ad_variance) - 1
        known = last if ad is None else np.where((ad >= 0) & (ad < last), ad, last)
        return np.asarray(np.sqrt(variance + self.ad_variance[known]))

    @classmethod
    def of(
        cls,
        terms: np.ndarray,
        hidden: np.ndarray,
        ad: np.ndarray,
        information: np.ndarray,
        line: Linear,
        groups: tuple[int, ...],
        weight_sd: float,
    ) -> Doubt:
        """From training rows. information: float [R], p (1 - p) times how many rows one stands for.

        line: of these terms, in groups of these sizes; the spread of its ads is what an unseen one may differ by.
        weight_sd: prior of the last layer's weights.
        """
        phi = _phi(terms, hidden)
        whole = ((phi * information[:, None].astype(np.float32)).T @ phi).astype(np.float64)
        precision = _precision(whole, line.weights, groups, weight_sd)
        root = np.linalg.inv(np.linalg.cholesky(whole + np.diag(precision))).T
        told = np.bincount(ad[ad >= 0], information[ad >= 0], minlength=len(line.ads))[: len(line.ads)]
        variance = 1 / (1 / _ad_sd(line.ads, told) ** 2 + np.append(told, 0.0))
        return cls(root.astype(np.float32), variance.astype(np.float32))


def _precision(whole: np.ndarray, weights: np.ndarray, groups: tuple[int, ...], weight_sd: float) -> np.ndarray:
    """float64 [P]: of the prior of every weight, for this information; each group's width by the evidence rule."""
    precision = np.full(len(whole), 1 / weight_sd**2)
    precision[0] = 1 / _LEVEL_SD**2
    ends = 1 + np.cumsum([0, *groups])
    for _ in range(_ROUNDS):
        variance = np.diag(np.linalg.inv(whole + np.diag(precision)))
        for begin, end in itertools.pairwise(ends):
            w, determined = weights[begin - 1 : end - 1], 1 - precision[begin:end] * variance[begin:end]
            precision[begin:end] = 1 / _width(w, determined, _TERM_SD) ** 2
    return precision


def _ad_sd(terms: np.ndarray, told: np.ndarray) -> float:
    """How far ads lie from each other: terms are drawn in, so the doubt that is left in each belongs to it, too."""
    seen = terms != 0
    if seen.sum() < 2:
        return _AD_SD[0]
    sd = float(np.clip(terms[seen].std(), *_AD_SD))
    for _ in range(_ROUNDS):
        left = 1 / (1 / sd**2 + told[seen])
        sd = float(np.clip(np.sqrt(np.mean(terms[seen] ** 2 + left)), *_AD_SD))
    return sd


def _width(values: np.ndarray, determined: np.ndarray, bounds: tuple[float, float]) -> float:
    if not len(values):
        return bounds[0]
    return float(np.clip(np.sqrt((values @ values + 1e-4) / (np.clip(determined, 0, 1).sum() + 0.1)), *bounds))


def _phi(terms: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(terms), 1), np.float32), terms, hidden], 1, dtype=np.float32)
