"""What it takes to win against rivals: real market prices, and how price, predicted and true clicks go together.

N = auctions, P = prices 0 .. P - 1 in units of the log. A bid wins if it is at least the price, and pays the price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from zhitou.core.errors import SourceError

GROUPS = 40  # of auctions by predicted click rate; inside one, prices do not depend on it
AUCTIONS_MIN = 20 * GROUPS


@dataclass(frozen=True)
class RivalPrices:
    """counts: int64 [P], how often each price was the least that won. factor: every price times this.

    >>> rivals = RivalPrices.of(np.array([1, 0, 3]))
    >>> rivals.win_rate(np.array([0, 1, 2])).tolist(), float(rivals.spend(np.array([2]))[0])
    ([0.25, 0.25, 1.0], 1.5)
    """

    counts: np.ndarray
    factor: float = 1.0

    @classmethod
    def of(cls, counts: np.ndarray) -> RivalPrices:
        """From a histogram of prices. Refused (SourceError): one without an auction, or with less than none."""
        counts = np.asarray(counts, dtype=np.int64)
        if counts.ndim != 1 or counts.sum() <= 0 or (counts < 0).any():
            raise SourceError(f"expected a histogram of won prices, got {counts.sum()} auctions in {counts.shape}")
        return cls(counts)

    def dearer(self, factor: float) -> RivalPrices:
        """The same rivals bidding `factor` times as much."""
        assert factor > 0, "rivals bid more than nothing"
        return RivalPrices(self.counts, self.factor * factor)

    def draw(self, auctions: int, draw: np.random.Generator) -> np.ndarray:
        """float64 [N]: the price of so many auctions."""
        below = np.cumsum(self.counts)
        return self.factor * np.searchsorted(below, draw.random(auctions) * below[-1], side="right")

    def win_rate(self, bid: np.ndarray) -> np.ndarray:
        """float64, like bid: the share of auctions that a bid wins."""
        below = np.concatenate([[0], np.cumsum(self.counts)])
        return below[self._place(bid)] / below[-1]

    def spend(self, bid: np.ndarray) -> np.ndarray:
        """float64, like bid: what bidding so costs per auction, won or not: the mean of price x [price <= bid]."""
        paid = np.concatenate([[0], np.cumsum(self.counts * np.arange(len(self.counts)))])
        return self.factor * paid[self._place(bid)] / self.counts.sum()

    def _place(self, bid: np.ndarray) -> np.ndarray:
        """How many prices a bid reaches; a hair of slack, since 2 x 1.1 / 1.1 is not 2."""
        reached = np.floor(np.asarray(bid, dtype=np.float64) / self.factor * (1 + 1e-12))
        return np.clip(reached + 1, 0, len(self.counts)).astype(np.int64)


@dataclass(frozen=True)
class AuctionFit:
    """Auctions of one campaign as a law: predicted click rate, price given it, click given it.

    pctr: float64 [N], sorted. price: int64 [N], beside it. chance: float64 [N], of a click, rising with pctr.
    """

    pctr: np.ndarray
    price: np.ndarray
    chance: np.ndarray

    @classmethod
    def fit(cls, clicked: np.ndarray, price: np.ndarray, pctr: np.ndarray) -> AuctionFit:
        """From logged auctions, [N] each. The chance of a click is the isotonic regression of clicks on pctr.

        Refused (SourceError): too few auctions to see how price goes with pctr.
        """
        if len(pctr) < AUCTIONS_MIN:
            raise SourceError(f"expected at least {AUCTIONS_MIN:,} auctions to fit, got {len(pctr):,}")
        order = np.argsort(pctr, kind="stable")
        chance = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(pctr[order], clicked[order])
        return cls(np.asarray(pctr[order], dtype=np.float64), np.asarray(price[order], dtype=np.int64), chance)

    def draw(self, auctions: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(clicked bool [N], price int64 [N], pctr float64 [N]) of new auctions.

        pctr at a uniform place among the logged ones; price that of a logged auction of the same group of pctr.
        """
        size = len(self.pctr)
        place = draw.random(auctions) * size
        near = np.minimum(place.astype(np.int64), size - 1)
        group = near * GROUPS // size
        first, last = -(-group * size // GROUPS), -(-(group + 1) * size // GROUPS)
        other = first + (draw.random(auctions) * (last - first)).astype(np.int64)
        return draw.random(auctions) < self.chance[near], self.price[other], self.pctr[near]
