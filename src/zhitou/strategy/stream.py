"""Millions of auctions with what became of them: order, price, was it seen, was there a response, who paid what.

N = auctions, K = bidders (each with one budget), S = slots, T = auctions of a tile. `rank` and `clear` of
`auction.py` are for decisions that somebody else makes the outcome of; this is a whole market of the same rules.

How it is fast: T auctions at a time are turned so that bidders are rows, and the S + 1 best of all T are kept by
comparisons without a branch, T lanes abreast. What is compared is one double that holds the score's 31 bits above
the bidder's index, so ties fall to the lowest index by themselves. Budgets stay causal: a tile is ordered among those
who could pay at its start, and an auction one of whose best can no longer pay is ordered anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numba
import numpy as np
from numba import njit, prange

from zhitou.strategy.auction import price_of
from zhitou.strategy.draws import normal, request_key, uniform
from zhitou.strategy.leases import Leases

TILE = 64
ATTEMPTS = 32  # draws of a doubtful chance until one lies in [0, 1]; each has a purpose of its own
OUTCOME, DOUBT = 0, 1  # purposes of the draws of one bidder
_PRICING = {"first": 0, "second": 1, "vcg": 2}
_MOST = np.iinfo(np.int32).max
_REGISTERS = 4  # places that one sweep over a tile's lanes keeps; more slots take more sweeps


@dataclass(frozen=True)
class Market:
    """The rules of a stream of auctions.

    examination: chance that a slot is looked at, from the first slot down, not rising; its length is S.
    reserve_micros: the least bid and the least price, per paid event.
    pricing: "second" is the generalised second price (the second price where there is one slot), "vcg" what a place
    costs the others, "first" the bid. paid: what is bid for, every "showing" that was seen, or every "response".
    """

    examination: tuple[float, ...] = (1.0,)
    reserve_micros: int = 0
    pricing: Literal["first", "second", "vcg"] = "second"
    paid: Literal["showing", "response"] = "showing"

    def __post_init__(self) -> None:
        looks = self.examination
        assert len(looks) >= 1, "an auction has at least one slot"
        assert all(0 < x <= 1 for x in looks), "each slot is looked at with a chance in (0, 1]"
        assert all(a >= b for a, b in pairwise(looks)), "a lower slot is looked at no more"
        assert self.pricing in _PRICING, f"pricing is one of {', '.join(_PRICING)}"


@dataclass(frozen=True)
class Outcomes:
    """All [N, S]. winner: int32 bidder, -1 = empty slot. price_micros: int64, of the paid event, due or not.
    seen, responded: bool; a response needs to be seen first. paid_micros: what was in fact charged."""

    winner: np.ndarray
    price_micros: np.ndarray
    seen: np.ndarray
    responded: np.ndarray
    paid: str

    @property
    def paid_micros(self) -> np.ndarray:
        """int64 [N, S]: the price where the paid event happened, else 0."""
        answer: np.ndarray = self.price_micros * (self.seen if self.paid == "showing" else self.responded)
        return answer


def run_auctions(
    market: Market,
    bid_micros: np.ndarray,
    chance: np.ndarray,
    leases: Leases,
    *,
    seed: np.uint64,
    first: int = 0,
    doubt: np.ndarray | None = None,
    threads: int = 1,
) -> Outcomes:
    """Run auctions first, first + 1, ... and charge the leases.

    bid_micros: int32 [N, K], per paid event. chance: float32 [N, K], of a response once seen. A bidder takes part if
    0 < chance <= 1, his bid is at least max(1, reserve), and the lease of the auction's block covers it. Rank: by
    bid where showings are paid, by float32(bid) * chance where responses are; ties to the lowest index. doubt:
    float32 [N, K]; then a seen winner's chance is drawn from Normal(chance, doubt) within [0, 1]. Prices are whole
    micros, rounded up, never above the bid. Outcomes depend on (seed, number of the auction, bidder) alone: the
    same stream in other batches, or by other threads, ends the same.
    """
    assert bid_micros.dtype == np.int32, "bids are int32 micros: at most 2,147 units of currency an event"
    for beside in (chance,) if doubt is None else (chance, doubt):
        assert beside.dtype == np.float32, "chances and doubts are float32"
        assert beside.shape == bid_micros.shape, "chances and doubts are shaped as the bids"
    size, slots = len(bid_micros), len(market.examination)
    out = (
        np.full((size, slots), -1, dtype=np.int32),
        np.zeros((size, slots), dtype=np.int64),
        np.zeros((size, slots), dtype=np.bool_),
        np.zeros((size, slots), dtype=np.bool_),
    )
    rules = (
        np.asarray(market.examination, dtype=np.float64),
        np.int32(max(1, market.reserve_micros)),
        np.int64(market.reserve_micros),
        _PRICING[market.pricing],
        market.paid == "response",
    )
    unsure = np.zeros((0, 0), dtype=np.float32) if doubt is None else doubt
    matrices = (np.ascontiguousarray(bid_micros), np.ascontiguousarray(chance), np.ascontiguousarray(unsure))
    in_round = leases.blocks * leases.block_size
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    run = _round if threads == 1 else _round_abreast
    for number in range(first // in_round, -(-(first + size) // in_round)):
        run(rules, matrices, leases.open(number), leases.block_size, number * in_round, first, np.uint64(seed), out)
    numba.set_num_threads(before)
    return Outcomes(*out, paid=market.paid)


# Two functions, not one compiled twice: numba keeps one file per function on disk, so that of two ways to compile one
# the first would serve for both.
@njit(cache=True)
def _round(rules, matrices, lease, block_size, start, first, seed, out):  # type: ignore[no-untyped-def]
    """The blocks of the round that starts with auction `start`, as far as this batch (from `first`) has them."""
    for w in range(lease.shape[0]):
        _within_batch(rules, matrices, lease[w], start + w * block_size, block_size, first, seed, out)


@njit(cache=True, parallel=True)
def _round_abreast(rules, matrices, lease, block_size, start, first, seed, out):  # type: ignore[no-untyped-def]
    """The same, blocks side by side."""
    for w in prange(lease.shape[0]):
        _within_batch(rules, matrices, lease[w], start + w * block_size, block_size, first, seed, out)


@njit(cache=True)
def _within_batch(rules, matrices, money, start, block_size, first, seed, out):  # type: ignore[no-untyped-def]
    """The block that starts with auction `start`, as far as the batch has it."""
    begin, end = max(0, start - first), min(matrices[0].shape[0], start + block_size - first)
    if begin < end:
        _block(rules, matrices, money, begin, end, first, seed, out)


@njit(cache=True)
def _block(rules, matrices, money, begin, end, first, seed, out):  # type: ignore[no-untyped-def]
    """One block in order: tile by tile the best, then auction by auction price, outcome and charge."""
    (examination, least, reserve, pricing, by_response), (bid, chance, doubt) = rules, matrices
    winner, price, seen, responded = out
    bidders, places = bid.shape[1], examination.shape[0] + 1
    bits = 1
    while bits < bidders:
        bits *= 2
    bids = np.empty((bidders, TILE), dtype=np.int32)
    chances = np.empty((bidders, TILE), dtype=np.float32)
    best = np.empty((-(-places // _REGISTERS) * _REGISTERS, TILE), dtype=np.float64)
    ranked = np.empty((TILE, places), dtype=np.int32)
    reach = np.empty(places, dtype=np.float64)
    needed = np.empty(bidders, dtype=np.int64)
    for at in range(begin, end, TILE):
        size = min(TILE, end - at)
        _turn(bid, at, size, bids)
        if by_response:
            _turn(chance, at, size, chances)
        _best_of_tile(bids, chances, money, least, by_response, bits, best)
        _read(best, bits, ranked)
        # Where nobody runs dry within the tile, all of it at once.
        step = size if _sure(bids, size, ranked, money, needed) else 1
        for j in range(0, size, step):
            if step == 1 and _stale(bids, j, money, ranked):
                _best_of_one(bids, chances, money, least, by_response, j, ranked[j])
            _price(bid, chance, at, j, j + step, by_response, pricing, examination, reserve, ranked, reach, price)
            _outcome(chance, doubt, at, j, j + step, examination, first, seed, ranked, winner, seen, responded)
            _charge(price, responded if by_response else seen, at, j, j + step, ranked, money)


@njit(cache=True)
def _sure(bids, size, ranked, money, needed):  # type: ignore[no-untyped-def]
    """Whether the best of all auctions of the tile can pay their bids in all of them: then no order goes stale."""
    for k in range(money.shape[0]):
        needed[k] = 0
    for j in range(size):
        for place in range(ranked.shape[1]):
            if ranked[j, place] >= 0:
                needed[ranked[j, place]] += bids[ranked[j, place], j]
    sure = True
    for k in range(money.shape[0]):
        sure = sure and needed[k] <= money[k]
    return sure


@njit(cache=True)
def _read(best, bits, ranked):  # type: ignore[no-untyped-def]
    """Unpack the best of every auction of the tile into `ranked`, -1 = nobody."""
    for j in range(TILE):
        for place in range(ranked.shape[1]):
            key = np.int64(best[place, j])
            ranked[j, place] = np.int32(bits - 1 - (key & (bits - 1))) if key >= bits else np.int32(-1)


@njit(cache=True)
def _stale(bids, j, money, ranked):  # type: ignore[no-untyped-def]
    """Whether one of the best can no longer pay his bid, now that the auctions before are charged."""
    for place in range(ranked.shape[1]):
        k = ranked[j, place]
        if k >= 0 and bids[k, j] > money[k]:
            return True
    return False


@njit(cache=True)
def _turn(matrix, at, size, tile):  # type: ignore[no-untyped-def]
    for j in range(size):
        for k in range(tile.shape[0]):
            tile[k, j] = matrix[at + j, k]


@njit(cache=True)
def _best_of_tile(bids, chances, money, least, by_response, bits, best):  # type: ignore[no-untyped-def]
    """best[p, j]: the p-th best of auction j as score bits * `bits` + (bits - 1 - bidder); below `bits` = nobody.

    Bidders come four at a time: the four best of each lane are then loaded and stored once for four insertions."""
    worth = np.empty(TILE, dtype=np.float32)
    order = worth.view(np.int32)  # positive floats compare as their bits do
    key = np.zeros((_REGISTERS, TILE), dtype=np.float64)
    bidders = bids.shape[0]
    for p in range(best.shape[0]):
        for j in range(TILE):
            best[p, j] = 0.0
    for first in range(0, bidders, _REGISTERS):
        for r in range(_REGISTERS):
            k = first + r
            if k >= bidders:
                for j in range(TILE):
                    key[r, j] = 0.0
                continue
            most = np.int32(min(money[k], _MOST))
            if by_response:
                for j in range(TILE):
                    b, c = bids[k, j], chances[k, j]
                    takes_part = (b >= least) & (b <= most) & (c > 0) & (c <= 1)
                    worth[j] = np.float32(b) * c if takes_part else np.float32(0.0)
            else:
                for j in range(TILE):
                    b = bids[k, j]
                    order[j] = b if (b >= least) & (b <= most) else np.int32(0)
            low, scale = np.float64(bits - 1 - k), np.float64(bits)
            for j in range(TILE):
                key[r, j] = np.float64(order[j]) * scale + low
        for p in range(0, best.shape[0], _REGISTERS):
            for j in range(TILE):
                row = best[p, j], best[p + 1, j], best[p + 2, j], best[p + 3, j]
                row, key[0, j] = _into(row, key[0, j])
                row, key[1, j] = _into(row, key[1, j])
                row, key[2, j] = _into(row, key[2, j])
                row, key[3, j] = _into(row, key[3, j])
                best[p, j], best[p + 1, j], best[p + 2, j], best[p + 3, j] = row


@njit(cache=True)
def _into(row, x):  # type: ignore[no-untyped-def]
    """(the four largest of a falling row and x, the one that falls out), without a branch."""
    a, b, c, d = row
    one, x = (x, a) if x > a else (a, x)
    two, x = (x, b) if x > b else (b, x)
    three, x = (x, c) if x > c else (c, x)
    four, x = (x, d) if x > d else (d, x)
    return (one, two, three, four), x


@njit(cache=True)
def _best_of_one(bids, chances, money, least, by_response, j, ranked):  # type: ignore[no-untyped-def]
    """ranked: the best of auction j of the tile among those who can pay now, best first, -1 where nobody is left."""
    worth = np.zeros(ranked.shape[0], dtype=np.float32)
    whole = np.zeros(ranked.shape[0], dtype=np.int32)
    last = ranked.shape[0] - 1
    for place in range(last + 1):
        ranked[place] = -1
    for k in range(bids.shape[0]):
        b, c = bids[k, j], chances[k, j]
        takes_part = least <= b <= money[k] and (not by_response or 0 < c <= 1)
        score = np.float32(b) * c if by_response else np.float32(0.0)
        if not takes_part or (by_response and not score > worth[last]) or (not by_response and b <= whole[last]):
            continue
        place = last
        while place > 0 and (score > worth[place - 1] if by_response else b > whole[place - 1]):
            worth[place], whole[place], ranked[place] = worth[place - 1], whole[place - 1], ranked[place - 1]
            place -= 1
        worth[place], whole[place], ranked[place] = score, b, k


@njit(cache=True, error_model="numpy")
def _price(  # type: ignore[no-untyped-def]
    bid, chance, at, begin, end, by_response, pricing, examination, reserve, ranked, reach, price
):
    """Micros of each place's paid event, by the market's rule, for auctions `begin` to `end` of the tile."""
    slots = examination.shape[0]
    for j in range(begin, end):
        n = at + j
        for i in range(slots):  # reach[i]: the score that place i has to beat, 0 if there is none
            k, reach[i] = ranked[j, i + 1], 0.0
            if k >= 0:
                reach[i] = np.float64(np.float32(bid[n, k]) * chance[n, k]) if by_response else np.float64(bid[n, k])
        for i in range(slots):
            k = ranked[j, i]
            if k < 0:
                break
            most = np.int64(bid[n, k])
            quality = np.float64(chance[n, k]) if by_response else 1.0
            if pricing == 0:
                price[n, i] = most
            elif pricing == 1:
                price[n, i] = price_of(reach[i] / quality, reserve, most)
            else:
                harm = 0.0
                for s in range(i, slots):
                    below = examination[s + 1] if s + 1 < slots else 0.0
                    harm += (examination[s] - below) * max(reach[s] / quality, np.float64(reserve))
                price[n, i] = price_of(harm / examination[i], reserve, most)


@njit(cache=True)
def _outcome(  # type: ignore[no-untyped-def]
    chance, doubt, at, begin, end, examination, first, seed, ranked, winner, seen, responded
):
    """Who stands where, and what became of it. One draw u decides both: seen if u < examination, and responded if
    u < examination * chance, which of those who looked happens with `chance`."""
    doubtful = doubt.shape[0] > 0
    for j in range(begin, end):
        n = at + j
        key = request_key(seed, first + n)
        for i in range(examination.shape[0]):
            k = ranked[j, i]
            if k < 0:
                break
            p, u = np.float64(chance[n, k]), uniform(key, k, OUTCOME)
            if doubtful and u < examination[i]:
                p = _within_0_and_1(key, k, p, np.float64(doubt[n, k]))
            winner[n, i] = k
            seen[n, i] = u < examination[i]
            responded[n, i] = u < examination[i] * p


@njit(cache=True)
def _charge(price, due, at, begin, end, ranked, money):  # type: ignore[no-untyped-def]
    for j in range(begin, end):
        for i in range(price.shape[1]):
            if due[at + j, i]:
                money[ranked[j, i]] -= price[at + j, i]


@njit(cache=True)
def _within_0_and_1(key, who, mean, deviation):  # type: ignore[no-untyped-def]
    """A draw of Normal(mean, deviation) given that it lies in [0, 1]: the first that does; the mean, clipped, after
    ATTEMPTS draws outside."""
    for attempt in range(ATTEMPTS):
        x = mean + deviation * normal(key, who, DOUBT + 2 * attempt)
        if 0.0 <= x <= 1.0:
            return x
    return min(max(mean, 0.0), 1.0)
