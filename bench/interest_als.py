"""ALS of the library `implicit` as a baseline: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback
Datasets", ICDM 2008. A subject's vector is solved anew from the history that asks."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from zhitou.core.chance import Chance
from zhitou.core.errors import MissingExtraError
from zhitou.events.histories import Histories
from zhitou.learning.item_similarity import NextItemBaseline, recency_weights


class Als(NextItemBaseline):
    """factors, regularization, alpha, iterations: as in implicit. Refused (MissingExtraError): without it."""

    def __init__(
        self,
        histories: Histories,
        items: int,
        chance: Chance,
        factors: int = 64,
        regularization: float = 0.1,
        alpha: float = 10.0,
        iterations: int = 15,
    ) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError:
            raise MissingExtraError("ALS needs the library implicit; pip install implicit==0.7.3") from None
        self.items, self.model = items, AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            num_threads=1,
            random_state=chance.number("als") % 2**31,
        )
        self.model.fit(sparse.csr_matrix(recency_weights(histories, items, 0.0)), show_progress=False)

    def scores(self, histories: Histories) -> np.ndarray:
        """float32 [N, M]: subject . item."""
        asked = sparse.csr_matrix(recency_weights(histories, self.items, 0.0))
        vectors = self.model.recalculate_user(np.arange(len(histories)), asked)
        return np.asarray(vectors @ self.model.item_factors.T, dtype=np.float32)
