"""Order and price: rank by what a showing is expected to be worth, pay what it takes to keep the place.

B = requests, K = ads, S = slots. A score is a paced bid (micros per click) times a probability of a click, so it
is the expected worth of one showing in micros. Prices are per click, in whole micros.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.strategy.best import best_of_row, groups

# Scores are doubles, so a price that is a whole number on paper may come out a hair above it. A relative slack of
# 1e-12 is far below one micro for any price under 1,000,000 units of currency.
_SLACK = 1e-12


def rank(score: np.ndarray, eligible: np.ndarray, slots: int, group: np.ndarray | None = None) -> np.ndarray:
    """int32 [B, slots]: the eligible ads of the highest score, ties to the lowest index, -1 where none is left.

    group: int [K]; at most one ad of a group takes a slot.
    """
    assert slots >= 1, "a request has at least one slot"
    out = np.empty((score.shape[0], slots), dtype=np.int32)
    allowed = np.ascontiguousarray(eligible, dtype=np.bool_)
    _rank(np.ascontiguousarray(score, dtype=np.float64), allowed, groups(group, score.shape[1]), out)
    return out


def clear(
    score: np.ndarray,
    order: np.ndarray,
    pctr: np.ndarray,
    bid_micros: np.ndarray,
    eligible: np.ndarray,
    reserve_micros: int,
    group: np.ndarray | None = None,
) -> np.ndarray:
    """int64 [B, S]: the generalised second price of a click on each shown ad, 0 where the slot is empty.

    score: float64 [B, K]. order: int32 [B, S], the shown ads from the first slot down, -1 none.
    price_i = max(reserve, score of the best eligible ad not shown in slots 0..i / pctr_i), rounded up to a micro and
    never above the ad's own bid_micros (int64 [B, K]): an ad that exploration lifted above better ones pays at most
    what it bid. Ads that bid less than the reserve must not be eligible (see `biddable`). group: int [K], such as the
    campaign; an ad's rivals are of other groups than it and the ads above it, so that nobody bids against himself.

    Edelman, Ostrovsky and Schwarz (2007), with quality scores: b_(i+1) q_(i+1) / q_i, where q is pctr here.
    """
    out = np.empty(order.shape, dtype=np.int64)
    _clear(
        np.ascontiguousarray(score, dtype=np.float64),
        np.ascontiguousarray(order, dtype=np.int32),
        np.ascontiguousarray(pctr, dtype=np.float64),
        np.ascontiguousarray(bid_micros, dtype=np.int64),
        np.ascontiguousarray(eligible, dtype=np.bool_),
        groups(group, score.shape[1]),
        int(reserve_micros),
        out,
    )
    return out


def biddable(bid_micros: np.ndarray, eligible: np.ndarray, reserve_micros: int) -> np.ndarray:
    """bool [B, K]: eligible and bidding at least the reserve, and at least one micro. Apply before sampling."""
    answer: np.ndarray = eligible & (bid_micros >= max(1, reserve_micros))
    return answer


def first_price(order: np.ndarray, bid_micros: np.ndarray) -> np.ndarray:
    """int64 [B, S]: each shown ad pays what it bid; bid_micros int64 [B, K] or [K]; 0 where the slot is empty.

    With a campaign's list bid this is the flat price of a click that policies without a bid model pay.
    """
    safe = np.maximum(order, 0)
    paid = bid_micros[safe] if bid_micros.ndim == 1 else np.take_along_axis(bid_micros, safe, axis=1)
    answer: np.ndarray = np.where(order >= 0, paid, 0).astype(np.int64)
    return answer


def vcg(
    score: np.ndarray,
    order: np.ndarray,
    pctr: np.ndarray,
    bid_micros: np.ndarray,
    eligible: np.ndarray,
    reserve_micros: int,
    examination: np.ndarray,
) -> np.ndarray:
    """int64 [B, S]: what each shown ad costs the others, per click; 0 where the slot is empty.

    For `order` as `rank` gives it; arguments as in `clear`. examination: float64 [S], not rising.
    pay_i = 1 / theta_i * sum over k >= i of (theta_k - theta_(k+1)) * s_(k+1) / pctr_i, where s_(k+1) is the score of
    the best ad not shown in slots 0..k, at least the reserve's, and theta_S = 0. Rounded up, never above the bid.
    Vickrey (1961), Clarke (1971), Groves (1973); in this form Varian and Harris (2014).
    """
    out = np.empty(order.shape, dtype=np.int64)
    _vcg(
        np.ascontiguousarray(score, dtype=np.float64),
        np.ascontiguousarray(order, dtype=np.int32),
        np.ascontiguousarray(pctr, dtype=np.float64),
        np.ascontiguousarray(bid_micros, dtype=np.int64),
        np.ascontiguousarray(eligible, dtype=np.bool_),
        groups(None, score.shape[1]),
        int(reserve_micros),
        np.asarray(examination, dtype=np.float64),
        out,
    )
    return out


@njit(cache=True)
def _rank(score, eligible, group, out):  # type: ignore[no-untyped-def]
    for b in range(out.shape[0]):
        best_of_row(score[b], eligible[b], group, out[b])


@njit(cache=True)
def _next_scores(score, order, group, best, reach):  # type: ignore[no-untyped-def]
    """reach[i]: the score of the best ad (best: the S + 1 highest, of as many groups) whose group is not in slots
    0..i, 0 if there is none."""
    for i in range(order.shape[0]):
        reach[i] = 0.0
        for place in range(best.shape[0]):
            ad = best[place]
            if ad < 0:
                break
            shown = False
            for above in range(i + 1):
                shown = shown or (order[above] >= 0 and group[order[above]] == group[ad])
            if not shown:
                reach[i] = score[ad]
                break


@njit(cache=True)
def price_of(worth, reserve, bid):  # type: ignore[no-untyped-def]
    """Whole micros of a price of `worth`, between the reserve and the bid; the bid wins."""
    if not worth < bid:
        return bid
    return min(bid, max(reserve, np.int64(np.ceil(worth * (1.0 - _SLACK)))))


@njit(cache=True, error_model="numpy")
def _clear(score, order, pctr, bid, eligible, group, reserve, out):  # type: ignore[no-untyped-def]
    rows, slots = order.shape
    best = np.empty(slots + 1, dtype=np.int32)
    reach = np.empty(slots, dtype=np.float64)
    for b in range(rows):
        best_of_row(score[b], eligible[b], group, best)
        _next_scores(score[b], order[b], group, best, reach)
        for i in range(slots):
            ad = order[b, i]
            worth = reach[i] / pctr[b, ad] if reach[i] > 0 else 0.0
            out[b, i] = 0 if ad < 0 else price_of(worth, reserve, bid[b, ad])


@njit(cache=True, error_model="numpy")
def _vcg(score, order, pctr, bid, eligible, group, reserve, theta, out):  # type: ignore[no-untyped-def]
    rows, slots = order.shape
    best = np.empty(slots + 1, dtype=np.int32)
    reach = np.empty(slots, dtype=np.float64)
    for b in range(rows):
        best_of_row(score[b], eligible[b], group, best)
        _next_scores(score[b], order[b], group, best, reach)
        for i in range(slots):
            ad = order[b, i]
            if ad < 0:
                out[b, i] = 0
                continue
            harm = 0.0
            for k in range(i, slots):
                below = theta[k + 1] if k + 1 < slots else 0.0
                harm += (theta[k] - below) * max(reach[k] / pctr[b, ad], float(reserve))
            out[b, i] = price_of(harm / theta[i], reserve, bid[b, ad])
