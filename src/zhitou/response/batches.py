"""How the networks on top of a line are taught: which rows an epoch takes, and what thinning them does to the odds.

B = rows of a batch, R = rows of the log.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from zhitou.response.folds import Folds
from zhitou.response.late import late_joint_loss
from zhitou.response.model import joint_loss
from zhitou.response.rows import Rows


class Thinned(ABC):
    """Outcomes of R rows as tensors; an epoch takes each early click and a fresh draw of the rows without one.

    base: float64 [R, 2], the line's logits. kept: the share of rows without a click that these are. batch: about how
    many rows a step reads, negatives_per_click of them for each click. buys: whether conversions are taught. matured:
    as `fit_response` takes it. Who inherits says what the network reads, in `logits`.
    """

    def __init__(
        self,
        rows: Rows,
        folds: Folds,
        base: np.ndarray,
        kept: float,
        *,
        batch: int,
        negatives_per_click: int,
        buys: bool,
        matured: np.ndarray | None,
    ) -> None:
        # A row without a click has no age and no say in conversions; its share is never read.
        self.matured = None if matured is None else torch.from_numpy(np.nan_to_num(matured, nan=1.0)).float()
        self.base = torch.from_numpy(base.astype(np.float32))
        self.clicked = torch.from_numpy(rows.clicked.astype(np.float32))
        self.converted = torch.from_numpy(rows.converted.astype(np.float32))
        self.taught = torch.from_numpy((folds.buy_early & buys).astype(np.float32))
        self.later = torch.from_numpy(np.flatnonzero(folds.click_later))
        self.yes = np.flatnonzero(folds.click_early & rows.clicked)
        self.no = np.flatnonzero(folds.click_early & ~rows.clicked)
        self.drawn = min(len(self.no), negatives_per_click * len(self.yes))
        # Dropping a share of the "no" multiplies the odds of a click by its inverse: added while training, it is
        # not part of what the network learns, and nothing is left to undo when it serves.
        share = kept * self.drawn / len(self.no) if len(self.no) else 1.0
        self.offset = torch.tensor([-np.log(share), 0.0]).float()
        self.size = batch

    def __call__(self, epoch: int, rng: np.random.Generator) -> list[torch.Tensor]:
        """Row numbers in batches of about `size`, none of them tiny."""
        order = np.concatenate([self.yes, rng.choice(self.no, self.drawn, replace=False)])
        chosen = torch.from_numpy(rng.permutation(order))
        return list(torch.tensor_split(chosen, max(1, round(len(order) / self.size))))

    @abstractmethod
    def logits(self, network: torch.nn.Module, chosen: torch.Tensor, *, learning: bool = False) -> torch.Tensor:
        """float32 [B, 2]: the line's and the network's logits of these rows, of all rows' odds."""

    def loss(self, network: torch.nn.Module, chosen: torch.Tensor) -> torch.Tensor:
        """The joint loss of these rows (ESMM's space of all impressions; see `model.joint_loss`)."""
        logits = self.logits(network, chosen, learning=True) + self.offset
        outcomes = self.clicked[chosen], self.converted[chosen], self.taught[chosen]
        if self.matured is None:
            return joint_loss(logits, *outcomes)
        return late_joint_loss(logits, *outcomes, self.matured[chosen])
