"""The dials of the deep response model; what they set stands beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from zhitou.core.errors import ConfigError
from zhitou.learning.fit import FitConfig
from zhitou.response.config import ResponseConfig


@dataclass(frozen=True)
class DeepConfig:
    """How a deep response model is made.

    line: the line it stands on; its `later_share`, expected rates and least events hold for the whole. width: of a
    table's rows. rank: of the cross layer. hidden: widths of the two hidden layers. code_rows_least: training rows
    that a value of a category needs for a row of its own, the others share one; codes_most: such rows of one
    category, the most frequent ones. unseen_share: of categories that are hidden while training, so that the shared
    row knows what to answer. batch: rows of a step. negatives_per_click: unclicked rows that a click is learnt
    beside in an epoch, drawn anew each epoch; line_negatives_per_click: the same for the line, drawn once. Both are
    corrected exactly. weight_sd: how far a weight of the last layer may lie, in logits, before looking: the prior of
    the doubt. fit: the training loop.
    """

    line: ResponseConfig = field(default_factory=ResponseConfig)
    width: int = 8
    rank: int = 16
    hidden: tuple[int, int] = (64, 32)
    code_rows_least: int = 20
    codes_most: int = 100_000
    unseen_share: float = 0.05
    batch: int = 1_024
    negatives_per_click: int = 20
    line_negatives_per_click: int = 40
    weight_sd: float = 0.3
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=12, lr=2e-3, weight_decay=0.3, patience=3, warmup=20, average=0.995)
    )

    def __post_init__(self) -> None:
        least = ("width", "rank", "code_rows_least", "codes_most", "batch", "negatives_per_click")
        for name in (*least, "line_negatives_per_click"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)}")
        if len(self.hidden) != 2 or min(self.hidden) < 1:
            raise ConfigError(f"hidden is two widths of at least 1, got {self.hidden}")
        if not 0 <= self.unseen_share < 1 or self.weight_sd <= 0:
            raise ConfigError("unseen_share lies in [0, 1) and weight_sd above 0")
