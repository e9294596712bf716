"""The bidders and the two protocols of bench/pacing.py on iPinYou's auctions: one budget for all, or one per 1,000.

Every bidder knows the campaign's past (its history) and nothing of the auctions it plays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.events.sources.ipinyou import PRICE_MOST, Auctions
from zhitou.strategy.episodes import EpisodePacing, EpisodeTable
from zhitou.strategy.landscape import Landscape, LandscapePacing, knapsack
from zhitou.strategy.pacing import AuctionPacing, Bidder

EPISODE = 1_000
BASE_BIDS = np.geomspace(1.0, 3_000.0, 80)
LEVELS = 1_000  # of money in the tables of the dynamic programme, where the budget is not smaller
PRICES = np.arange(PRICE_MOST + 1, dtype=np.int64)


@dataclass(frozen=True)
class Played:
    """What a bidder got: impressions, clicks, cost, value = summed pCTR; `over`: the most it paid above a budget."""

    impressions: int
    clicks: float
    cost: int
    value: float
    over: int = 0


@dataclass(frozen=True)
class Past:
    """What a bidder may know: earlier auctions, and prices and rates, of a longer training log if there is one."""

    auctions: Auctions
    price_counts: np.ndarray
    pctr_mean: float
    cost_per_click: float
    price_mean: float

    @classmethod
    def of(cls, auctions: Auctions) -> Past:
        """All from these auctions."""
        cost, clicks = int(auctions.price.sum()), max(int(auctions.clicked.sum()), 1)
        counts = np.bincount(auctions.price, minlength=PRICE_MOST + 1).astype(np.float64)
        return cls(auctions, counts, float(auctions.pctr.mean()), cost / clicks, cost / len(auctions))


Player = Callable[[Past, Auctions, int, int], Played]


def flights(auctions: Auctions, length: int) -> list[Auctions]:
    """The auctions in flights of this length, the last one shorter."""
    return [auctions.part(start, start + length) for start in range(0, len(auctions), length)]


def hindsight(auctions: Auctions, budget: int, length: int) -> Played:
    """The linear programme: fractional knapsack of each flight."""
    parts = [(a, knapsack(a.pctr, a.price, budget)) for a in flights(auctions, length)]
    return Played(
        sum(int((x > 0).sum()) for _, x in parts),
        sum(float(a.clicked @ x) for a, x in parts),
        sum(int(a.price @ x) for a, x in parts),
        sum(float(a.pctr @ x) for a, x in parts),
    )


def _sum(parts: list[tuple[Auctions, np.ndarray]], budget: int) -> Played:
    costs = [int(a.price[won].sum()) for a, won in parts]
    return Played(
        sum(int(won.sum()) for _, won in parts),
        sum(int(a.clicked[won].sum()) for a, won in parts),
        sum(costs),
        sum(float(a.pctr[won].sum()) for a, won in parts),
        max(max(cost - budget, 0) for cost in costs),
    )


@njit(cache=True)
def _bought(bid, price, budget):  # type: ignore[no-untyped-def]
    won = np.zeros(len(bid), dtype=np.bool_)
    for t in range(len(bid)):
        won[t] = min(bid[t], budget) >= price[t]
        budget -= price[t] if won[t] else 0
    return won


def _linear(auctions: Auctions, factor: float, budget: int, length: int) -> Played:
    bids = [np.minimum((a.pctr * factor).astype(np.int64), PRICE_MOST) for a in flights(auctions, length)]
    parts = [(a, _bought(b, a.price, budget)) for a, b in zip(flights(auctions, length), bids, strict=True)]
    return _sum(parts, budget)


def mcpc(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """pCTR x what a click has cost."""
    return _linear(auctions, past.cost_per_click, budget, length)


def lin(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """pCTR x the base bid that got the most value in the past, under the same budget per auction."""
    known = past.auctions
    span = min(length, len(known))
    share = budget * span // length
    factors = BASE_BIDS / known.pctr.mean()
    best = max(factors, key=lambda f: _linear(known, f, share, span).value)
    return _linear(auctions, float(best), budget, length)


def _each(auctions: Auctions, length: int, budget: int, start: Callable[[int, int], Bidder]) -> Played:
    parts = []
    for a in flights(auctions, length):
        parts.append((a, start(budget, length).replay(a.pctr, a.price).won))
    return _sum(parts, budget)


def _renewed(bidder: LandscapePacing | EpisodePacing) -> Callable[[int, int], Bidder]:
    def start(budget: int, length: int) -> Bidder:
        bidder.renew(budget, length)
        return bidder

    return start


def mirror(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """Dual mirror descent, from the threshold that the past's landscape has for this budget; it outlives a flight."""
    known = past.auctions
    threshold = [Landscape.of(known.pctr, known.price).threshold(budget / length)]
    parts = []
    for a in flights(auctions, length):
        bidder = AuctionPacing(budget, length, threshold=threshold[0])
        parts.append((a, bidder.replay(a.pctr, a.price).won))
        threshold[0] = bidder.threshold
    return _sum(parts, budget)


def landscape(past: Past, auctions: Auctions, budget: int, length: int, lost_prices: bool = True) -> Played:
    """LandscapePacing, learning on through the flights."""
    scape = Landscape.of(past.auctions.pctr, past.auctions.price)
    return _each(
        auctions, length, budget, _renewed(LandscapePacing(scape, budget, length, least=0.0, lost_prices=lost_prices))
    )


def unseen(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """The same, without the prices of the auctions it lost."""
    return landscape(past, auctions, budget, length, lost_prices=False)


def _levels(budget: int) -> int:
    return max(LEVELS, budget if budget <= 2 * LEVELS else 0)


def _tabled(auctions: Auctions, budget: int, length: int, table: EpisodeTable, level: float) -> Played:
    """Flight by flight if they have the table's length; else one budget, shared out anew before each 1,000."""
    bidder = EpisodePacing(table, 0, EPISODE, level_auctions=level)
    if length == EPISODE:
        return _each(auctions, length, budget, _renewed(bidder))
    parts, left = [], budget
    ceiling = int(table.unit_micros * (table.values.shape[1] - 1))
    for k, a in enumerate(flights(auctions, EPISODE)):
        auctions_left = len(auctions) - k * EPISODE
        bidder.renew(min(left * min(EPISODE, auctions_left) // auctions_left, ceiling), EPISODE)
        won = bidder.replay(a.pctr, a.price).won
        parts.append((a, won))
        left -= int(a.price[won].sum())
    return _sum(parts, budget)


def _table_budget(budget: int, length: int) -> int:
    return budget if length == EPISODE else 2 * budget * EPISODE // length


def rlb(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """The dynamic programme as published: every showing has the mean pCTR, prices smoothed by one each."""
    most = _table_budget(budget, length)
    table = EpisodeTable.of_mean(
        past.pctr_mean,
        PRICES,
        past.price_counts + 1.0,
        budget_micros=most,
        auctions=EPISODE,
        levels=_levels(most),
    )
    return _tabled(auctions, budget, length, table, 0.0)


def table(past: Past, auctions: Auctions, budget: int, length: int) -> Played:
    """EpisodePacing: over the distribution of pCTR by price, with its level followed."""
    most, old = _table_budget(budget, length), past.auctions
    known = EpisodeTable.of(old.pctr, old.price, budget_micros=most, auctions=EPISODE, levels=_levels(most))
    return _tabled(auctions, budget, length, known, 3_000.0)


def forecast(past: Past, auctions: Auctions, budget: int, expected: int, revised: bool) -> tuple[float, float]:
    """(share of hindsight, share spent) of LandscapePacing that expects so many auctions; `revised`: told half way
    how many are left."""
    bidder = LandscapePacing(Landscape.of(past.auctions.pctr, past.auctions.price), budget, expected, least=0.0)
    half, value = len(auctions) // 2, 0.0
    for start, stop in ((0, half), (half, len(auctions))):
        if start and revised:
            bidder.auctions_left = stop - start
        part = auctions.part(start, stop)
        value += float(part.pctr[bidder.replay(part.pctr, part.price).won].sum())
    best = hindsight(auctions, budget, len(auctions)).value
    return value / best, 1 - bidder.remaining_micros / budget


PLAYERS: dict[str, Player] = {
    "Mcpc": mcpc,
    "linear bid": lin,
    "RLB": rlb,
    "mirror descent": mirror,
    "episode table": table,
    "landscape": landscape,
    "landscape, lost prices unseen": unseen,
}
