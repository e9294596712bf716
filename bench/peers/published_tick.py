"""The published form of an auction tick in numpy, as simulators of bidding competitions describe it; written here.

All bids of a tick are sorted, the top slots win and pay the next bid, a chance with truncated normal noise is drawn
for every bidder of every auction, and budgets are mended afterwards: whoever spent more than he had loses auctions
at random until his spending fits. No simulator's code is in it. Needs numpy and scipy, nothing of zhitou.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import truncnorm


def best(bid: np.ndarray, reserve: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """(winner, price), int64 [N, slots]: by sorting; ties to the lowest index, -1 where nobody meets the reserve."""
    offered = np.where(bid >= max(1, reserve), bid, 0).astype(np.int64)
    order = np.argsort(-offered, axis=1, kind="stable")[:, : slots + 1]
    ranked = np.take_along_axis(offered, order, axis=1)
    won = ranked[:, :slots] > 0
    return np.where(won, order[:, :slots], -1), np.where(won, np.maximum(ranked[:, 1:], reserve), 0)


def tick(
    bid: np.ndarray,
    chance: np.ndarray,
    doubt: np.ndarray | None,
    remaining: np.ndarray,
    examination: np.ndarray,
    reserve: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(winner, price, seen, responded) of one tick; remaining int64 [K] is charged in place. doubt None: no noise."""
    slots = len(examination)
    winner, price = best(bid, reserve, slots)
    if doubt is not None:
        low, high = -chance / doubt, (1.0 - chance) / doubt
        chance = truncnorm.rvs(low, high, loc=chance, scale=doubt, random_state=rng)
    seen = (rng.random(winner.shape) < examination) & (winner >= 0)
    mine = np.take_along_axis(chance, np.maximum(winner, 0), axis=1)
    responded = seen & (rng.random(winner.shape) < mine)
    fitted(winner, price, seen, responded, remaining, rng)
    return winner, price, seen, responded


def fitted(
    winner: np.ndarray,
    price: np.ndarray,
    seen: np.ndarray,
    responded: np.ndarray,
    remaining: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Take showings back at random from whoever spent too much, in place, and charge what is left."""
    while True:
        paying = seen & (winner >= 0)
        spent = np.bincount(winner[paying], weights=price[paying], minlength=len(remaining)).astype(np.int64)
        over = np.flatnonzero(spent > remaining)
        if not len(over):
            remaining -= spent
            return
        for k in over:
            rows, places = np.nonzero(paying & (winner == k))
            drop = max(1, int(np.ceil(len(rows) * (1.0 - remaining[k] / spent[k]))))
            gone = rng.permutation(len(rows))[:drop]
            for array, nothing in ((winner, -1), (price, 0), (seen, False), (responded, False)):
                array[rows[gone], places[gone]] = nothing
