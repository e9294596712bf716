"""Bidding on what an ad causes instead of what follows it: shares of conversions that are incremental.

B = requests, K = ads, C = campaigns. Until a holdout has measured a campaign its share is 1, and its conversions
are "attributed", not caused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from zhitou.campaign.adbook import AdBook
from zhitou.evaluation.experiment import Estimate
from zhitou.strategy.rules import Rules


@dataclass(frozen=True)
class Increments:
    """iota: float64 [C], share of a campaign's conversions that its ads cause, in [0, 1]. measured: bool [C]."""

    iota: np.ndarray
    measured: np.ndarray

    @classmethod
    def unmeasured(cls, campaigns: int) -> Increments:
        """No holdout yet: every conversion counts in full."""
        return cls(np.ones(campaigns), np.zeros(campaigns, dtype=bool))

    @classmethod
    def of(cls, shares: Mapping[int, Estimate], campaigns: int) -> Increments:
        """From the shares that holdouts measured (campaign -> estimate with a normal interval).

        One campaign's holdout says little, so each share is drawn toward the precision-weighted mean of all, by
        t² / (t² + e²): e the estimate's own error, t² the variance between campaigns beyond chance (DerSimonian and
        Laird 1986). A campaign without a holdout keeps 1. Shares end in [0, 1]: a bid is never negative, and never
        above the attributed one.
        """
        out = cls.unmeasured(campaigns)
        known = {at: (s.value, _error(s)) for at, s in shares.items() if math.isfinite(_error(s))}
        if not known:
            return out
        value = np.array([v for v, _ in known.values()])
        variance = np.array([max(e, 1e-9) ** 2 for _, e in known.values()])
        weight = 1 / variance
        mean = float(weight @ value) / weight.sum()
        excess = float(weight @ (value - mean) ** 2) - (len(value) - 1)
        scale = weight.sum() - float(weight @ weight) / weight.sum()
        between = max(excess / scale, 0.0) if scale > 0 else math.inf  # one campaign alone stands for itself
        keep = np.ones(len(value)) if math.isinf(between) else between / (between + variance)
        at = np.array(list(known), dtype=np.int64)
        out.iota[at] = np.clip(mean + keep * (value - mean), 0.0, 1.0)
        out.measured[at] = True
        return out

    def caused(self, pcvr: np.ndarray, book: AdBook | Rules) -> np.ndarray:
        """float64 [B, K]: the probability that a click causes a conversion. Give it to `value.bids_micros`.

        pcvr: float64 [B, K]. Campaigns that pay for clicks alone do not read it, so their bids stay.
        """
        caused: np.ndarray = np.asarray(pcvr, dtype=np.float64) * self.iota[Rules.of(book).campaign]
        return caused


def uplift_pcvr(uplift: np.ndarray, pcvr: np.ndarray) -> np.ndarray:
    """float64 [B, K]: what a click causes by an uplift model, held between 0 and the probability itself.

    A negative uplift is not bid for; one above pcvr is the uplift model's error, not a certainty.
    """
    return np.clip(np.asarray(uplift, dtype=np.float64), 0.0, np.asarray(pcvr, dtype=np.float64))


def _error(estimate: Estimate) -> float:
    """Standard error that belongs to the interval's width, infinite or NaN where it has none."""
    return (estimate.high - estimate.low) / 2 / float(stats.norm.ppf((1 + estimate.level) / 2))
