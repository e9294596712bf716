"""The four questions every online feature answers: which states, how to write, which keys, what value.

n = facts, B = questions, K = ads, W = cells of one column (items, categories, ads ... or 1 for the shopper alone).

A feature keeps *states*: arrays with one row per shopper (or one row in all) and one cell per thing that an ad
can be looked up by. Facts are *written* into them in time order. A question fills, per column, W cells for each
of B shoppers; *keys* say which of the W cells each ad reads. Training and serving ask through the same four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

NEVER = -(2**62)  # a time before all times; differences with it still fit into int64
NOBODY = 0  # the state row of shoppers nobody knows: always empty, so that unknown and new look the same

SHOPPER, SHOP = "shopper", "shop"  # what a state has one row for


@dataclass(frozen=True)
class Column:
    """One number a model reads. `neutral` is the value of a shopper nobody knows, None if that is the average's."""

    name: str
    what: str
    unit: str
    low: float
    high: float
    neutral: float | None


@dataclass(frozen=True)
class State:
    """An array that a feature keeps: [shoppers + 1, cells] if `per` is SHOPPER, [1, cells] if it is SHOP."""

    name: str
    per: str
    cells: int
    dtype: type
    empty: float = 0


@dataclass(frozen=True)
class Key:
    """Which of a column's `cells` each ad reads: of_ad is int32 [K]."""

    cells: int
    of_ad: np.ndarray


@dataclass(frozen=True)
class Facts:
    """n facts in time order, each already looked up.

    row: int64 [n], state row of the shopper, NOBODY = unknown. kind: int8 [n], code of events.schema.KINDS.
    item, type, category, brand: int32 [n], cell of the advertised item (its finest category, category, brand)
    that the fact is about, -1 if no ad has it. ad: int32 [n], -1 = none. time_s: int64 [n].
    price_micros: int64 [n], -1 = unknown. price_band: int8 [n], 0 = unknown. known_item: bool [n].
    """

    row: np.ndarray
    kind: np.ndarray
    item: np.ndarray
    type: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    ad: np.ndarray
    time_s: np.ndarray
    price_micros: np.ndarray
    price_band: np.ndarray
    known_item: np.ndarray


@dataclass(frozen=True)
class Questions:
    """B questions: row int64 [B], state row of each shopper; time_s int64 [B]. Every fact written so far is older."""

    row: np.ndarray
    time_s: np.ndarray


class Feature(Protocol):
    """One idea, one file: the columns it gives and the four questions."""

    columns: tuple[Column, ...]

    def states(self) -> tuple[State, ...]:
        """The arrays to keep for it."""
        ...

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Take facts into the arrays. Facts about NOBODY change only what has one row in all."""
        ...

    def keys(self) -> tuple[Key, ...]:
        """For each column, which cell each ad reads."""
        ...

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Fill out[:, at[j] : at[j] + cells of column j], float32, for each column j."""
        ...
