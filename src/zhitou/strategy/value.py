"""What a click is worth to the advertiser, in whole micros.

B = requests, K = ads, C = campaigns.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.strategy.rules import Rules


def bids_micros(book: AdBook | Rules, pcvr: np.ndarray) -> np.ndarray:
    """int64 [B, K]: the most that a click is worth under each campaign's objective, rounded down.

    pcvr: float64 [B, K], probability of a conversion given a click.
    clicks: bid_micros. conversions: min(bid_micros, pcvr * target_cpa_micros).
    value: min(bid_micros, pcvr * price_micros / target_roas).
    An ad whose price or pcvr is unknown (NaN) is worth 0 under an objective that needs it: it cannot be bid for.
    """
    rules = Rules.of(book)
    out = np.empty(pcvr.shape, dtype=np.int64)
    _bids(rules.bid_micros, rules.worth_micros, np.ascontiguousarray(pcvr, dtype=np.float64), out)
    return out


def paced(bids: np.ndarray, multiplier: np.ndarray, book: AdBook | Rules) -> np.ndarray:
    """int64 [B, K]: each bid (int64 [B, K]) times its campaign's pacing multiplier (float64 [C]), rounded down."""
    rules = Rules.of(book)
    out = np.empty(bids.shape, dtype=np.int64)
    factors = np.asarray(multiplier, dtype=np.float64)
    _paced(np.ascontiguousarray(bids, dtype=np.int64), factors, rules.campaign, out)
    return out


@njit(cache=True)
def _bids(most, worth, pcvr, out):  # type: ignore[no-untyped-def]
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            if worth[k] == np.inf:
                out[b, k] = most[k]
                continue
            value = pcvr[b, k] * worth[k]
            if value >= most[k]:
                out[b, k] = most[k]
            elif value > 0:
                out[b, k] = int(value)
            else:  # zero, or NaN: nothing that could be paid for
                out[b, k] = 0


@njit(cache=True)
def _paced(bids, multiplier, campaign, out):  # type: ignore[no-untyped-def]
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[b, k] = int(bids[b, k] * multiplier[campaign[k]])
