"""The shoppers of bench/day.py: a crowd whose answers are known, and what the system is told of them.

N = shoppers, D = width of an interest, K = ads, L = channels, B = requests. Made up, and no model of a real shop: it
is there to be large. What a system can learn of it (tastes through noise, ads' own pull, channels, hours, tiredness)
it has to learn from clicks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.strategy.draws import request_key, seed_of, uniform

DIMS, KINDS = 16, 24
CLICK_RATE, BUY_RATE = 0.005, 0.06  # of an average request and ad; of an average click
TASTE, NOISE, PULL, TIRED = 0.6, 0.7, 0.3, 0.25
AT_ONCE, AT_ONCE_S, LATER_S, LATER_SHAPE = 0.5, 1_200.0, 2.0 * SECONDS_PER_DAY, 0.8
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 13, 9, 5], dtype=np.float64)
_CLICK, _BUY, _WHEN, _LATE = 0, 1, 2, 3  # purposes of a request's draws


@dataclass(frozen=True)
class Answers:
    """What B shown ads led to. clicked, bought: bool [B]. wait_s: float64 [B], from a click to its conversion (0
    without one). chance: float64 [B], of the click, so that sums need not wait for luck."""

    clicked: np.ndarray
    bought: np.ndarray
    wait_s: np.ndarray
    chance: np.ndarray


class Crowd:
    """N shoppers and K ads of one seed.

    told: float32 [N, D], the interest that the system knows, a noisy picture of the true one. theme: float32 [K, D],
    what an ad is about. consent: bool [N, L].
    """

    def __init__(self, chance: Chance, shoppers: int, ads: int, channels: int) -> None:
        rng = chance.stream("crowd")
        kinds = rng.standard_normal((KINDS, DIMS)).astype(np.float32)
        self._true = _long(kinds[rng.integers(KINDS, size=shoppers)] + _normal(rng, shoppers, 0.7))
        self.told = self._true + NOISE * _normal(rng, shoppers, 1.0)
        self.theme = _long(kinds[rng.integers(KINDS, size=ads)] + _normal(rng, ads, 0.4))
        self.consent = rng.random((shoppers, channels)) < np.linspace(1.0, 0.5, channels)
        self._habit = rng.dirichlet(np.linspace(2.0, 0.5, channels), size=KINDS).cumsum(axis=1)
        self._kind = rng.integers(KINDS, size=shoppers)
        self._active = np.cumsum(rng.lognormal(0.0, 0.8, shoppers))
        self._pull = PULL * rng.standard_normal(ads)
        self._buy = PULL * rng.standard_normal(ads)
        self._channel = np.sort(0.4 * rng.standard_normal(channels))[::-1].copy()
        self._hour = 0.15 * rng.standard_normal(24)
        self._draws = seed_of(chance, "crowd-answers")
        self._chance = chance

    def requests(self, stretch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """(shopper int64 [B], channel int8 [B]) of the B = size requests of this stretch of the day."""
        rng = self._chance.stream("crowd-requests", stretch)
        shopper = np.searchsorted(self._active, np.sort(rng.random(size)) * self._active[-1])
        shopper = np.minimum(shopper, len(self._active) - 1)
        habit = self._habit[self._kind[shopper]]
        channel = (rng.random(size)[:, None] > habit[:, :-1]).sum(axis=1).astype(np.int8)
        return shopper, channel

    def answer(
        self, first: int, shopper: np.ndarray, ad: np.ndarray, channel: np.ndarray, hour: int, seen: np.ndarray
    ) -> Answers:
        """What came of requests first, first + 1, ... ad: int32 [B], -1 = nothing shown. seen: int16 [B], how often
        the shopper saw that ad today."""
        size = len(ad)
        out = np.zeros(size, np.bool_), np.zeros(size, np.bool_), np.zeros(size), np.zeros(size)
        what = shopper, ad, channel.astype(np.int64), seen.astype(np.float64)
        nature = self._true, self.theme, self._pull, self._buy, self._channel + self._hour[hour]
        _answer(what, nature, self._draws, first, *out)
        return Answers(*out)


def _normal(rng: np.random.Generator, rows: int, deviation: float) -> np.ndarray:
    return np.float32(deviation) * rng.standard_normal((rows, DIMS), dtype=np.float32)


def _long(vectors: np.ndarray) -> np.ndarray:
    """Each row at length sqrt(sqrt(D)), so that a product of two such rows is about normal with deviation 1."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True) / DIMS**0.25
    answer: np.ndarray = (vectors / length).astype(np.float32)
    return answer


@njit(parallel=True, cache=True)
def _answer(what, nature, seed, first, clicked, bought, wait, chance):
    for b in prange(clicked.shape[0]):
        if what[1][b] >= 0:
            clicked[b], bought[b], wait[b], chance[b] = _one(what, nature, request_key(seed, first + b), b)


@njit(cache=True)
def _one(what, nature, key, b):
    """(clicked, bought, seconds to the conversion, chance of the click) of one request."""
    shopper, ad, channel, seen = what
    true, theme, pull, buy, where = nature
    who, k, taste = shopper[b], ad[b], 0.0
    for d in range(true.shape[1]):
        taste += true[who, d] * theme[k, d]
    base = np.log(CLICK_RATE) - TASTE**2 / 2
    chance = 1.0 / (1.0 + np.exp(-(base + TASTE * taste + pull[k] + where[channel[b]] - TIRED * np.log1p(seen[b]))))
    clicked = uniform(key, 0, _CLICK) < chance
    base_buy = np.log(BUY_RATE / (1 - BUY_RATE))
    bought = clicked and uniform(key, 0, _BUY) < 1.0 / (1.0 + np.exp(-(base_buy + 0.4 * taste + buy[k])))
    u, wait = -np.log(1.0 - uniform(key, 0, _WHEN)), 0.0
    if bought:
        late = uniform(key, 0, _LATE) >= AT_ONCE
        wait = LATER_S * u ** (1.0 / LATER_SHAPE) if late else AT_ONCE_S * u
    return clicked, bought, wait, chance
