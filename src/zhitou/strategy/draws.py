"""Random numbers by counter: what is drawn depends on the seed, the request and the purpose, on nothing else.

A generator with a state gives a request other numbers when a batch is cut elsewhere or a second thread takes part.
Here a number is a hash of (seed, number of the request, who, purpose), so it can be had in any order, by any thread,
and again for an audit. Two rounds of the splitmix64 finaliser: Steele, Lea and Flood (2014), "Fast splittable
pseudorandom number generators"; its constants are Stafford's mix 13.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from zhitou.core.chance import Chance

_GOLDEN, _ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)
_ONE, _FIRST, _SECOND = np.uint64(1), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
PURPOSES = np.uint64(256)  # purposes of one drawer: 0 to 255


def seed_of(chance: Chance, purpose: str, *keys: int | str) -> np.uint64:
    """The 64-bit seed that kernels take, of a named purpose."""
    return np.uint64(chance.number(purpose, *keys) % 2**64)


@njit(cache=True)
def _mix(x):  # type: ignore[no-untyped-def]
    x = (x ^ (x >> _30)) * _FIRST
    x = (x ^ (x >> _27)) * _SECOND
    return x ^ (x >> _31)


@njit(cache=True)
def request_key(seed, number):  # type: ignore[no-untyped-def]
    """uint64: the key of one request (an auction, a decision) under a uint64 seed."""
    return _mix(seed + (np.uint64(number) + _ONE) * _GOLDEN)


@njit(cache=True)
def uniform(key, who, purpose):  # type: ignore[no-untyped-def]
    """float64 in [0, 1), a multiple of 2**-53: the draw of `who` (such as a bidder) for `purpose` in this request."""
    counter = np.uint64(who) * PURPOSES + np.uint64(purpose) + _ONE
    return np.float64(_mix(key + counter * _ODD) >> _11) * 2.0**-53


@njit(cache=True)
def normal(key, who, purpose):  # type: ignore[no-untyped-def]
    """float64: a standard normal draw. Takes the uniforms of `purpose` and `purpose + 1`. Box and Muller (1958)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(key, who, purpose)))
    return radius * math.cos(2.0 * math.pi * uniform(key, who, purpose + 1))
