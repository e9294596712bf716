"""Ways to choose: ours, and the baselines it is measured against. Each proposes, none of them draws.

A policy sees only ads that passed every filter, and says with which probability each would take the first slot;
`exploration.slate` draws from that, so what is logged is what was done. B = requests, K = ads, S = slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numba import njit

from zhitou.core.chance import Chance
from zhitou.strategy.auction import rank
from zhitou.strategy.best import best_of_row, groups
from zhitou.strategy.exploration import NEARLY_NEVER, TOP, inverse_gap, one_after_another

GAMMA = 300.0
FLOOR = 0.001


@dataclass(frozen=True)
class Context:
    """What a policy may look at.

    eligible: bool [B, K], after all filters. pctr: float64 [B, K] and bid_micros: int64 [B, K], paced; zeros will do
    for policies that use no model. rows: int64 [B], the shoppers, -1 = a stranger. at_us: int64 [B].
    chance: for policies that need more than the draw of the slate; `number` sets one batch apart from the next.
    group: int [K], such as the campaign, of which a slate shows one ad at most; None = every ad is its own.
    """

    eligible: np.ndarray
    pctr: np.ndarray
    bid_micros: np.ndarray
    rows: np.ndarray
    at_us: np.ndarray
    slots: int
    chance: Chance
    number: int = 0
    group: np.ndarray | None = None


@dataclass(frozen=True)
class Proposal:
    """score: float64 [B, K], what the ads are ranked and priced by (finite; 0 where not eligible).

    probabilities: float64 [B, K], of taking the first slot; a row sums to 1, or to 0 where no ad is eligible.
    """

    score: np.ndarray
    probabilities: np.ndarray


@runtime_checkable
class Policy(Protocol):
    """name: for receipts and reports. needs_models: whether pctr and bids are looked at. flat_price: whether a click
    costs the campaign's list bid (a policy without a bid model has no auction) instead of the second price."""

    name: str
    needs_models: bool
    flat_price: bool

    def propose(self, context: Context) -> Proposal:
        """Scores and probabilities for B requests; the same context gives the same proposal."""
        ...


class Zhitou:
    """Rank by paced bid times probability of a click; explore by inverse gaps among the best."""

    needs_models = True
    flat_price = False

    def __init__(self, name: str = "zhitou", *, gamma: float = GAMMA, floor: float = FLOOR, top: int = TOP) -> None:
        self.name, self.gamma, self.floor, self.top = name, gamma, floor, top

    def propose(self, context: Context) -> Proposal:
        """Score = bid_micros * pctr; the probabilities nest one inverse-gap rule per slot."""
        score = np.where(context.eligible, context.bid_micros * context.pctr, 0.0)
        slots = max(1, context.slots)
        chances = inverse_gap(
            score, context.eligible, self.gamma, self.floor, top=self.top, slots=slots, group=context.group
        )
        return Proposal(score, chances)


class Random:
    """Every eligible ad alike."""

    needs_models = False
    flat_price = True

    def __init__(self, name: str = "random") -> None:
        self.name = name

    def propose(self, context: Context) -> Proposal:
        """Score 1 for each eligible ad, probability 1 / their number."""
        score = context.eligible.astype(np.float64)
        return Proposal(score, _shares(score))


class Popular:
    """The ads of the most bought items first, the same for everybody. popularity: float64 [K], not negative."""

    needs_models = False
    flat_price = True

    def __init__(self, popularity: np.ndarray, name: str = "popular") -> None:
        self.name = name
        self._popularity = np.asarray(popularity, dtype=np.float64)

    def propose(self, context: Context) -> Proposal:
        """Score = popularity; the best are shown in order."""
        return _by_score(np.where(context.eligible, self._popularity, 0.0), context)


class Greedy:
    """The ads of the highest given score, never anything else: what an oracle is, or a model without exploration.

    score_of: from a context to float64 [B, K], not negative.
    """

    needs_models = True
    flat_price = True

    def __init__(
        self, score_of: Callable[[Context], np.ndarray], name: str = "greedy", *, needs_models: bool = True
    ) -> None:
        self.name, self.needs_models, self._score_of = name, needs_models, score_of

    def propose(self, context: Context) -> Proposal:
        """Score as given; the best are shown in order."""
        return _by_score(np.where(context.eligible, self._score_of(context), 0.0), context)


class BernoulliThompson:
    """Thompson sampling on one click rate per ad, without a look at the shopper: Beta(1 + clicks, 1 + misses).

    A batch draws `draws` click rates for every ad from the posterior. An ad's probability is the share of the
    draws in which it beats every other eligible ad: to draw from the shares is to take one posterior draw at random
    and show its best ad, which is Thompson sampling. So the logged propensity is exact given the batch's draws (the
    law the ad was in fact drawn from), while over many batches its mean is the Thompson probability; an ad that wins
    no draw has probability 0 in that batch (but for one part in a billion by its share of later places).
    Chapelle and Li (2011), "An Empirical Evaluation of Thompson Sampling".
    """

    needs_models = False
    flat_price = True

    def __init__(
        self, ads: int, name: str = "thompson", *, draws: int = 64, prior: tuple[float, float] = (1.0, 1.0)
    ) -> None:
        self.name, self._draws = name, draws
        self._alpha = np.full(ads, prior[0], dtype=np.float64)
        self._beta = np.full(ads, prior[1], dtype=np.float64)

    def learn(self, ads: np.ndarray, clicked: np.ndarray) -> None:
        """Take in what shown ads (int [n]) led to (bool [n]); ad -1 is an empty slot and teaches nothing."""
        ads, clicked = np.asarray(ads), np.asarray(clicked, dtype=bool)
        shown = ads >= 0
        np.add.at(self._alpha, ads[shown & clicked], 1.0)
        np.add.at(self._beta, ads[shown & ~clicked], 1.0)

    def propose(self, context: Context) -> Proposal:
        """Score = the posterior mean of the click rate; probabilities from this batch's posterior draws."""
        stream = context.chance.stream("thompson", self.name, context.number)
        rates = stream.beta(self._alpha, self._beta, size=(self._draws, len(self._alpha)))
        wins = np.zeros(context.eligible.shape, dtype=np.float64)
        group = groups(context.group, len(self._alpha))
        _count_wins(rates, np.ascontiguousarray(context.eligible), group, max(1, context.slots), wins)
        mean = self._alpha / (self._alpha + self._beta)
        return Proposal(np.where(context.eligible, mean, 0.0), _shares(wins))


def _by_score(score: np.ndarray, context: Context) -> Proposal:
    order = rank(score, context.eligible, max(1, context.slots), context.group)
    return Proposal(score, one_after_another(order, score.shape[1]))


def _shares(weight: np.ndarray) -> np.ndarray:
    total = weight.sum(axis=1, keepdims=True)
    shares = np.zeros_like(weight)
    np.divide(weight, total, out=shares, where=total > 0)
    return shares


@njit(cache=True)
def _count_wins(rates, eligible, group, slots, out):  # type: ignore[no-untyped-def]
    """out[b, k]: in how many draws k is the best of b's eligible ads, + 1e-9 per second place, 1e-18 per third..."""
    best = np.empty(slots, dtype=np.int32)
    for b in range(out.shape[0]):
        for r in range(rates.shape[0]):
            found = best_of_row(rates[r], eligible[b], group, best)
            weight = 1.0
            for place in range(found):
                out[b, best[place]] += weight
                weight *= NEARLY_NEVER
