"""Chance as an argument: one seed, one independent stream per purpose.

A stream depends on the seed and its purpose alone, never on what was drawn before elsewhere, so that adding
a draw in one place changes nothing in another.
"""

from __future__ import annotations

import hashlib

import numpy as np


class Chance:
    """A source of named random streams.

    >>> a, b = Chance(7), Chance(7)
    >>> bool(a.stream("auction", 3).random() == b.stream("auction", 3).random())
    True
    """

    def __init__(self, seed: int) -> None:
        assert 0 <= seed < 2**63, "a seed is a whole number from 0 to 2**63 - 1"
        self.seed = seed

    def stream(self, purpose: str, *keys: int | str) -> np.random.Generator:
        """A fresh generator for this purpose and these keys; the same arguments give the same numbers."""
        return np.random.Generator(np.random.Philox(key=self.number(purpose, *keys)))

    def child(self, purpose: str, *keys: int | str) -> Chance:
        """A Chance of its own for a part (a seed of a study, a worker), independent of this one's streams."""
        return Chance(self.number(purpose, *keys) % 2**63)

    def number(self, purpose: str, *keys: int | str) -> int:
        """A 128-bit number for this purpose: the key of `stream`, or a seed for a library."""
        text = "\x1f".join(["zhitou", str(self.seed), purpose, *map(str, keys)])
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")
