"""How sure the deep model is of a click's logit: a Laplace approximation of its last layer. R = rows, A = ads.

Given the hidden layers, a logit is linear in phi = (1, columns, last hidden layer), and its weights have about the
normal posterior N(w, S) with S^-1 = prior + sum over rows of p (1 - p) phi phi' (Fisher's information; MacKay 1992,
Kristiadi et al. 2020). So var(logit) = phi' S phi. An ad's own term adds 1 / (1 / sd² + sum of its rows' p (1 - p)):
wide for a new ad, and narrow once it was shown often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_COLUMN_SD = 1.0
_AD_SD = (0.05, 1.0)


@dataclass(frozen=True)
class Doubt:
    """root: float32 [P, P], S = root root'. ad_variance: float32 [A + 1], the last for an ad never seen."""

    root: np.ndarray
    ad_variance: np.ndarray

    def __call__(self, columns: np.ndarray, hidden: np.ndarray, ad: np.ndarray | None) -> np.ndarray:
        """float64 [R]: standard deviation of the logit, for columns [R, G], hidden [R, H], ads int [R]."""
        spread = _phi(columns, hidden) @ self.root
        variance = np.einsum("rp,rp->r", spread, spread).astype(np.float64)
        last = len(self.ad_variance) - 1
        known = last if ad is None else np.where((ad >= 0) & (ad < last), ad, last)
        return np.asarray(np.sqrt(variance + self.ad_variance[known]))

    @classmethod
    def of(
        cls,
        columns: np.ndarray,
        hidden: np.ndarray,
        ad: np.ndarray,
        information: np.ndarray,
        ad_terms: np.ndarray,
        weight_sd: float,
    ) -> Doubt:
        """From training rows. information: float [R], p (1 - p) times how many rows one stands for.

        ad_terms: float64 [A], what the line gives each ad: their spread is what an unseen ad may differ by.
        weight_sd: prior of the last layer's weights.
        """
        phi = _phi(columns, hidden)
        whole = ((phi * information[:, None].astype(np.float32)).T @ phi).astype(np.float64)
        prior = np.full(phi.shape[1], 1 / weight_sd**2)
        prior[: 1 + columns.shape[1]] = 1 / _COLUMN_SD**2
        root = np.linalg.inv(np.linalg.cholesky(whole + np.diag(prior))).T
        seen = ad_terms[ad_terms != 0]
        sd = float(np.clip(seen.std() if len(seen) > 1 else _AD_SD[0], *_AD_SD))
        told = np.bincount(ad[ad >= 0], information[ad >= 0], minlength=len(ad_terms))[: len(ad_terms)]
        variance = 1 / (1 / sd**2 + np.append(told, 0.0))
        return cls(root.astype(np.float32), variance.astype(np.float32))


def _phi(columns: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(columns), 1), np.float32), columns, hidden], 1, dtype=np.float32)
