"""A quick watch over a rate: Page's cumulative sum, its limit set for a day. G = states, Y = numbers of events.

A test that may be wrong once in a shop's life has to be very sure; one that may be wrong on a few days of a hundred
need not, and names the same change with half the evidence.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

FACTOR = 1.35  # the charts are tuned to rates so many times too high or low; half and twice are found as well
_STATES, _HALVINGS, _STEPS = 120, 12, 64


class RateChart:
    """Whether events come at another rate than allowed, at a false-alarm chance of `alpha` a day.

    For blocks of Y events that are Poisson with a mean of at most m, S = max(0, S + Y log theta - (theta - 1) m) with
    theta = FACTOR rises where they come too often, and with 1 / FACTOR where too seldom (Page 1954; for Poisson
    counts Lucas 1985). An alarm is a sum at its limit. The chance that a sum gets there in a day is a Markov chain's
    (Brook, Evans 1972), and each of the two limits is the one with which it is alpha / 2.
    """

    def __init__(self, alpha: float, blocks: int, most: float, least: float) -> None:
        """blocks: how many make a day. most, least: the largest and smallest mean of a block that are no matter."""
        self._log_theta = np.array([math.log(FACTOR), -math.log(FACTOR)])
        self.limits = np.array(
            [limit(alpha / 2, blocks, m, t) for m, t in zip((most, least), self._log_theta, strict=True)]
        )
        self._sums = np.zeros(2)
        self._since = np.zeros(2, dtype=np.int64)
        self._rows = 0

    def add(self, rows: int, events: int, most: float, least: float) -> int | None:
        """The next block, as for `RateAlarm.add`: the row since which a sum has been above 0, if it is an alarm."""
        raised = np.maximum(self._sums, 0) + _step(self._log_theta, float(events), np.array([most, least]))
        self._since = np.where(self._sums > 0, self._since, self._rows)
        self._sums, self._rows = np.maximum(raised, 0), self._rows + rows
        over = self._sums - self.limits
        return int(self._since[np.argmax(over)]) if (over >= 0).any() else None


def limit(alpha: float, blocks: int, mean: float, log_theta: float) -> float:
    """The height that a sum reaches within so many blocks of this mean with a chance of `alpha`.

    Never above log(blocks / alpha): from each of its starts a sum gets that high with a chance of alpha / blocks.
    """
    low, high = 0.0, math.log(blocks / alpha)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if crossing(middle, blocks, mean, log_theta) > alpha else (low, middle)
    return high


def crossing(height: float, blocks: int, mean: float, log_theta: float) -> float:
    """The chance that a sum reaches `height` within so many blocks whose events are Poisson with this mean.

    State 0 is a sum of 0, the others are cells of equal width up to the height, each at its middle. After _STEPS
    blocks as many sums of a hundred are lost in each block as in the one before.
    """
    width = height / (_STATES - 1)
    at = np.concatenate([[0.0], (np.arange(_STATES - 1) + 0.5) * width])
    events = np.arange(int(mean + 12 * math.sqrt(mean) + 20))
    chance = stats.poisson.pmf(events, mean)
    after = at[:, None] + _step(log_theta, events, mean)[None, :]
    to = np.where(after > 0, 1 + (after / width).astype(np.int64), 0)
    inside = after < height
    of = np.broadcast_to(np.arange(_STATES)[:, None], to.shape)
    weight = np.broadcast_to(chance, to.shape)[inside]
    moves = np.bincount(of[inside] * _STATES + np.minimum(to[inside], _STATES - 1), weight, _STATES**2)
    chain, here = moves.reshape(_STATES, _STATES), np.zeros(_STATES)
    here[0] = stays = before = 1.0
    for _ in range(min(blocks, _STEPS)):
        here = here @ chain
        before, stays = stays, float(here.sum())
    stays *= (stays / before) ** max(0, blocks - _STEPS) if before > 0 else 1.0
    return float(np.clip(1 - stays, 0.0, 1.0))


def _step(log_theta: np.ndarray | float, events: np.ndarray | float, mean: np.ndarray | float) -> np.ndarray:
    """What a block adds: the log likelihood ratio of theta times its mean."""
    return np.asarray(events * log_theta - (np.exp(log_theta) - 1) * mean)
