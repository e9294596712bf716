"""The dials of a response model; what they set stands beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from zhitou.core.errors import ConfigError
from zhitou.learning.fit import FitConfig


@dataclass(frozen=True)
class ResponseConfig:
    """How a response model is made.

    expected_ctr, expected_cvr: what the rates are thought to be before a row is seen; they matter where events are
    few. later_share: the share of rows, by time, kept for calibration. pairs_clicks_least: clicks before the later
    fold without which no product of two fields is looked for. clicks_least, conversions_least: events
    before the later fold without which that head has no network. hidden: width of the network. batch: rows of a
    step. negatives_per_click: how many unclicked rows a click is learnt beside in an epoch, drawn anew each epoch;
    the network's logits are corrected for it exactly. negatives_per_click_line: the same for the line, drawn once,
    and at least 50,000. fit: the training loop.
    """

    expected_ctr: float = 0.01
    expected_cvr: float = 0.03
    later_share: float = 0.2
    pairs_clicks_least: int = 100
    clicks_least: int = 500
    conversions_least: int = 2_000
    hidden: int = 32
    batch: int = 512
    negatives_per_click: int = 20
    negatives_per_click_line: int = 40
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=12, lr=2e-3, weight_decay=0.3, patience=4, warmup=10)
    )

    def __post_init__(self) -> None:
        for name in ("expected_ctr", "expected_cvr", "later_share"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} lies between 0 and 1, got {getattr(self, name)}")
        for name in ("hidden", "batch", "negatives_per_click", "negatives_per_click_line"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is at least 1, got {getattr(self, name)}")
