"""What households like: a Poisson factorisation of household x type counts, and how far to trust it.

H = households, T = types, R = factors. A household's share of type t is Dirichlet with mean
(n_ht + A * pi_ht) / (n_h + A): its own lines, and A pseudo-lines spread as its factors say. A is chosen by the
likelihood of the last fifth of the lines given the earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import gammaln

from zhitou.catalog.table import LEVELS, UNKNOWN, ItemTable
from zhitou.events.histories import Histories
from zhitou.market.config import MarketConfig

CONCENTRATIONS = (10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0, 2560.0)
OWN_SHARE = 0.9  # of the prior that follows the factors; the rest follows everybody's shares


@dataclass(frozen=True)
class Tastes:
    """counts: lines, csr [H, T]. weights: float64 [H, R], rows sum to 1. motives: float64 [R, T], rows sum to 1.

    share: float64 [T], everybody's. concentration: A, in lines.
    """

    counts: csr_matrix
    weights: np.ndarray
    motives: np.ndarray
    share: np.ndarray
    concentration: float

    def prior(self, types: np.ndarray) -> np.ndarray:
        """float64 [H, len(types)]: pi_ht, what the factors expect of each household."""
        return OWN_SHARE * (self.weights @ self.motives[:, types]) + (1 - OWN_SHARE) * self.share[types]

    def pseudo_lines(self, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [H, len(types)], float64 [H]): Dirichlet parameters of these types, and their total over all."""
        seen = np.asarray(self.counts[:, types].todense())
        total = np.asarray(self.counts.sum(axis=1)).ravel() + self.concentration
        return seen + self.concentration * self.prior(types), total


def product_types(items: ItemTable, sold: np.ndarray, loose_max: int) -> tuple[np.ndarray, int]:
    """(int32 [M] type of each item, T). A type is a category of the last level.

    Items without a category are types of their own, the `loose_max` best sold ones; the rest share type 0.
    sold: lines of each item [M].
    """
    kind = items.category[:, LEVELS - 1].astype(np.int32)
    types = len(items.category_names[LEVELS - 1])
    loose = np.flatnonzero((kind == UNKNOWN) & (sold > 0))
    loose = loose[np.argsort(-sold[loose], kind="stable")][:loose_max]
    kind[loose] = types + np.arange(len(loose))
    return kind, types + len(loose)


def fit_tastes(
    purchases: Histories, type_of_item: np.ndarray, types: int, config: MarketConfig, draw: np.random.Generator
) -> Tastes:
    """Tastes of the households in `purchases` (every event is a purchase line)."""
    owner, kind = purchases.subject_of_event, type_of_item[purchases.item]
    shape = (len(purchases), types)
    early = purchases.time_s < np.quantile(purchases.time_s, 0.8)
    first, last = _counts(owner[early], kind[early], shape), _counts(owner[~early], kind[~early], shape)
    theta, phi = factorise(first, config.factors, config.iterations, draw)
    everything = _counts(owner, kind, shape)
    share = np.asarray(everything.sum(axis=0)).ravel() + 0.1
    share /= share.sum()
    tastes = Tastes(first, *_normalise(theta, phi), share, CONCENTRATIONS[0])
    best = max(CONCENTRATIONS, key=lambda a: evidence(tastes, last, a))
    theta, phi = factorise(everything, config.factors, max(config.iterations // 4, 1), draw, start=(theta, phi))
    return Tastes(everything, *_normalise(theta, phi), share, best)


def factorise(
    counts: csr_matrix,
    factors: int,
    iterations: int,
    draw: np.random.Generator,
    start: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(theta [H, R], phi [R, T]) of counts ~ Poisson(theta phi): Lee and Seung's multiplicative updates (2001).

    Each step touches the non-zero cells only, so the cost is cells x factors x iterations.
    """
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    columns, values = counts.indices, counts.data.astype(np.float32)
    if start is None:
        theta = draw.gamma(1.0, 1.0, (counts.shape[0], factors)).astype(np.float32) + 0.1
        phi = draw.gamma(1.0, 1.0, (factors, counts.shape[1])).astype(np.float32) + 0.1
    else:
        theta, phi = (np.maximum(part, 1e-6).astype(np.float32) for part in start)
    ratio = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    for step in range(2 * iterations):
        expected = np.einsum("nr,nr->n", theta[rows], phi.T[columns])
        ratio.data = values / np.maximum(expected, 1e-9)
        if step % 2:
            phi *= (ratio.T @ theta).T / np.maximum(theta.sum(axis=0), 1e-9)[:, None]
        else:
            theta *= (ratio @ phi.T) / np.maximum(phi.sum(axis=1), 1e-9)
    return theta, phi


def evidence(tastes: Tastes, later: csr_matrix, concentration: float) -> float:
    """Log-likelihood of later counts under the Dirichlet-multinomial that the earlier ones and A make."""
    rows = np.repeat(np.arange(later.shape[0]), np.diff(later.indptr))
    seen = np.asarray(tastes.counts[rows, later.indices]).ravel()
    prior = OWN_SHARE * np.einsum("nr,nr->n", tastes.weights[rows], tastes.motives.T[later.indices])
    prior += (1 - OWN_SHARE) * tastes.share[later.indices]
    base = seen + concentration * prior
    total = np.asarray(tastes.counts.sum(axis=1)).ravel() + concentration
    new = np.asarray(later.sum(axis=1)).ravel()
    cells = gammaln(base + later.data) - gammaln(base)
    return float(cells.sum() + (gammaln(total) - gammaln(total + new)).sum())


def _normalise(theta: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = phi.sum(axis=1).astype(np.float64) + 1e-12
    weights = theta * size + 1e-9
    return weights / weights.sum(axis=1, keepdims=True), phi / size[:, None]


def _counts(owner: np.ndarray, kind: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    table = csr_matrix((np.ones(len(owner)), (owner, kind)), shape=shape)
    table.sum_duplicates()
    return table
