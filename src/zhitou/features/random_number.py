"""The canary: a number that cannot help. A model that leans on it is fitting noise.

Uniform on [0, 1), a hash of shopper, ad, time and seed: it keeps no state and the same question gets the same answer.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.core.chance import Chance
from zhitou.features.cells import AdCells
from zhitou.features.protocol import Column, Facts, Key, Questions, State

# SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a step and a finaliser; every input bit moves every output bit.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class RandomNumber:
    """One uniform number per shopper, ad and second."""

    columns: tuple[Column, ...] = (
        Column("random_number", "a hash of shopper, ad and time that means nothing", "1", 0.0, 1.0, None),
    )

    def __init__(self, cells: AdCells, chance: Chance) -> None:
        self._cells = cells
        self._seed = np.uint64(chance.number("features/random-number") % 2**64)

    def states(self) -> tuple[State, ...]:
        """None."""
        return ()

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Nothing that happens changes it."""

    def keys(self) -> tuple[Key, ...]:
        """By ad."""
        return (self._cells.per_ad,)

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Twenty-four bits of the hash as a float."""
        _uniform(ask.row, ask.time_s, self._cells.ads, self._seed, out, at[0])


@njit(cache=True)
def _mix(z):  # type: ignore[no-untyped-def]
    z = (z + _STEP) & np.uint64(0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def _uniform(row, time_s, ads, seed, out, at):  # type: ignore[no-untyped-def]
    for b in range(len(row)):
        head = _mix(_mix(seed ^ np.uint64(row[b])) ^ np.uint64(time_s[b]))
        for k in range(ads):
            out[b, at + k] = np.float32(_mix(head ^ np.uint64(k)) >> np.uint64(40)) / np.float32(16777216.0)
