"""The desk of bench/day.py: filters, bids, pacing, exploration, prices and money of a stretch of requests at once.

B = requests, K = ads = campaigns (one ad each), D = width of an interest, L = channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from day_crowd import Crowd
from numba import njit, prange

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS, Campaign, Caps, Flight, Material, Targeting
from zhitou.campaign.ledger import MemoryLedger
from zhitou.core.chance import Chance
from zhitou.core.units import MICROS
from zhitou.response.linear import Linear
from zhitou.strategy.caps import DAY_US, Exposure
from zhitou.strategy.choices import choose
from zhitou.strategy.draws import seed_of
from zhitou.strategy.pacing import DualPacing
from zhitou.strategy.policies import FLOOR, GAMMA
from zhitou.strategy.sieve import Sieves

RESERVE_MICROS = 10_000
TIRED_MOST = 7  # exposures beyond count as so many
CTR_BEFORE = 0.006  # what is believed of every ad before anything was learnt
PCVR_BEFORE = 0.05


@dataclass(frozen=True)
class Decided:
    """A stretch's decisions, arrays [B]. ad: int32, -1 = none. propensity, pctr: float64. price_micros: int64 of a
    click. seen: int16, how often the shopper had seen that ad today."""

    ad: np.ndarray
    propensity: np.ndarray
    pctr: np.ndarray
    price_micros: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Model:
    """logit of a click = line over (taste, exposures, channel) + the ad's own term; pcvr: float64 [K].

    Nothing of the hour: what the evening does cannot be learnt from a first morning, only made up from it."""

    line: Linear
    pcvr: np.ndarray

    @classmethod
    def before(cls, ads: int) -> Model:
        """What is believed before the first click: every ad alike."""
        nothing = Linear(float(np.log(CTR_BEFORE / (1 - CTR_BEFORE))), np.zeros(width()), np.zeros(1), np.zeros(ads))
        return cls(nothing, np.full(ads, PCVR_BEFORE))

    def of_request(self, channel: np.ndarray) -> np.ndarray:
        """float32 [B]: the part of the logit that all ads of a request share."""
        shared = self.line.intercept + np.append(0.0, self.line.weights[2:])[channel]
        answer: np.ndarray = np.asarray(shared, dtype=np.float32)
        return answer


def width() -> int:
    """Columns of the model: taste, log exposures, all channels but the first."""
    return 2 + len(CHANNELS) - 1


def columns(taste: np.ndarray, seen: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """float32 [R, width()]: the model's columns of shown rows."""
    out = np.zeros((len(taste), width()), dtype=np.float32)
    out[:, 0], out[:, 1] = taste, np.log1p(seen)
    rows = np.flatnonzero(channel > 0)
    out[rows, 1 + channel[rows]] = 1.0
    return out


def campaigns(chance: Chance, count: int, requests: int, day_us: int) -> tuple[Campaign, ...]:
    """`count` advertisers with one ad each; half of the budgets bind. A third pays for conversions."""
    rng = chance.stream("day-campaigns")
    bids = (MICROS * rng.lognormal(-1.0, 0.4, count)).astype(np.int64)
    free = requests * 0.012 * bids.mean() / count  # about what one would spend without a budget
    shares = np.where(rng.random(count) < 0.5, rng.uniform(0.2, 0.7, count), rng.uniform(2.0, 4.0, count))
    made = []
    for number in range(count):
        budget, bid = int(free * shares[number]), int(bids[number])
        channels = tuple(name for name in CHANNELS if rng.random() < 0.8) or CHANNELS[:1]
        made.append(
            Campaign(
                campaign_id=f"c{number}",
                advertiser=f"a{number % 40}",
                name=f"campaign {number}",
                currency="USD",
                flight=Flight(day_us, day_us + DAY_US, budget, budget),
                objective="conversions" if number % 3 == 0 else "clicks",
                bid_micros=bid,
                items=(),
                material=Material(brand="b", logo_text="b", colour_primary="#000000"),
                target_cpa_micros=int(bid / PCVR_BEFORE) if number % 3 == 0 else None,
                targeting=Targeting(channels=channels),
                caps=Caps(campaign_per_day=6, ad_per_day=4),
                quiet_hours=(22, 7) if number % 2 else None,
            )
        )
    return tuple(made)


def book_of(all_campaigns: tuple[Campaign, ...]) -> AdBook:
    """One ad a campaign."""
    numbers = np.arange(len(all_campaigns), dtype=np.int32)
    bids = np.asarray([c.bid_micros for c in all_campaigns], dtype=np.int64)
    allowed = np.asarray([[name in c.targeting.channels for name in CHANNELS] for c in all_campaigns], dtype=bool)
    ids = tuple(f"ad{n}" for n in numbers)
    return AdBook(ids, all_campaigns, numbers, numbers, bids, np.full(len(numbers), -1, dtype=np.int64), allowed)


class Desk:
    """All that decides, with its money. One call a stretch."""

    def __init__(self, crowd: Crowd, chance: Chance, orders: tuple[Campaign, ...], threads: int) -> None:
        self.book, self._crowd, self._threads = book_of(orders), crowd, threads
        self.sieves, self.exposure, self.ledger = Sieves(self.book), Exposure(self.book), MemoryLedger(orders)
        self.pacing = DualPacing(np.asarray([c.flight.budget_micros_daily for c in orders]))
        self.model = Model.before(len(self.book))
        self._seed = seed_of(chance, "day-desk")
        self._audience = self.sieves.audience((), None)
        self.exposure.add(np.array([len(crowd.told) - 1]), np.array([-1]), 0)  # all the room at once
        self._cpa = np.asarray([c.target_cpa_micros or 0 for c in orders], dtype=np.float64)

    def decide(self, first: int, shopper: np.ndarray, channel: np.ndarray, at_us: int, hour: int) -> Decided:
        """Decide requests first, first + 1, ... and count what was shown."""
        size, ads = len(shopper), len(self.book)
        seen, seen_campaign = self.exposure.seen(shopper, at_us)
        bids = np.where(
            self._cpa > 0, np.minimum(self.book.bid_micros, self.model.pcvr * self._cpa), self.book.bid_micros
        )
        paced = np.floor(bids * self.pacing.multiplier)
        sieve = self.sieves.of(
            at_us=np.full(size, at_us),
            channel=channel,
            ads_allowed=self._crowd.consent[shopper, channel],
            in_stock=np.ones(ads, dtype=bool),
            approved=paced >= RESERVE_MICROS,  # what bids below the reserve is out before anything is drawn
            remaining_micros=self.ledger.remaining_micros(at_us),
            seen_ad=seen,
            seen_campaign=seen_campaign,
            hour_local=np.full(size, hour, dtype=np.int8),
            audience=np.full(size, self._audience),
        )
        line = self.model.line
        worth = self._crowd.told[shopper] @ (self._crowd.theme.T * np.float32(line.weights[0]))
        tired = (line.weights[1] * np.log1p(np.arange(TIRED_MOST + 1.0))).astype(np.float32)
        _add(worth, self.model.of_request(channel), line.ads.astype(np.float32), seen, tired)
        np.exp(worth, out=worth)
        _times_chance(worth, paced.astype(np.float32))
        chosen = choose(worth, sieve, seed=self._seed, first=first, gamma=GAMMA, floor=FLOOR, threads=self._threads)
        rows, ad = np.arange(size), np.ascontiguousarray(chosen["shown"])
        shown = np.maximum(ad, 0)
        bid = paced[shown]
        pctr = np.divide(worth[rows, shown], bid, out=np.zeros(size), where=bid > 0)
        rival = np.divide(chosen["rival_value"], pctr, out=np.zeros(size), where=pctr > 0)
        price = np.minimum(bid, np.maximum(RESERVE_MICROS, np.ceil(rival))).astype(np.int64)
        self.exposure.add(shopper, ad, at_us)
        price = np.where(ad >= 0, price, 0)
        return Decided(ad, np.ascontiguousarray(chosen["propensity"]), pctr, price, seen[rows, shown])

    def charge(self, first: int, decided: Decided, clicked: np.ndarray, at_us: int, share: float) -> np.ndarray:
        """Take the money for the clicks and pace on; int64 [clicks], what was charged, never above what was left."""
        rows = np.flatnonzero(clicked)
        keys = [f"{number}:0" for number in (first + rows).tolist()]
        paid = self.ledger.charge(keys, decided.ad[rows], decided.price_micros[rows], at_us)
        self.pacing.update(np.bincount(decided.ad[rows], paid, len(self.book)).astype(np.int64), share)
        return paid


# numpy's exp in between is several times faster than a compiled loop's.
@njit(parallel=True, cache=True)
def _add(logit, shared, own, seen, tired):
    """To logits of taste, in place, what a request's ads share, what an ad has of its own, and tiredness of it."""
    for b in prange(logit.shape[0]):
        for k in range(logit.shape[1]):
            logit[b, k] += shared[b] + own[k] + tired[min(seen[b, k], TIRED_MOST)]


@njit(parallel=True, cache=True)
def _times_chance(odds, bid):
    """From odds of a click to what a showing is worth in micros, in place."""
    for b in prange(odds.shape[0]):
        for k in range(odds.shape[1]):
            odds[b, k] = bid[k] * (odds[b, k] / (np.float32(1.0) + odds[b, k]))
