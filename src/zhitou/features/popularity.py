"""What sells: the item's share of all purchases, ever and lately, smoothed by one purchase of each item."""

from __future__ import annotations

import numpy as np

from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.decay import RECENT_HALF_LIFE_DAYS, weight
from zhitou.features.protocol import SHOP, Column, Facts, Key, Questions, State

_PURCHASE = KIND_CODE["purchase"]


class Popularity:
    """ln((n + 1) / (N + M)): n of N purchases were of this item of M."""

    columns: tuple[Column, ...] = (
        Column("item_popularity_log", "the item's share of all purchases", "ln(share)", -25.0, 0.0, None),
        Column(
            "item_popularity_recent_log",
            "the same with purchases halved every 28 days",
            "ln(share)",
            -25.0,
            0.0,
            None,
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells

    def states(self) -> tuple[State, ...]:
        """Purchases per item and in all, plain and decayed."""
        items = len(self._cells.item)
        return (
            State("lines", SHOP, items, np.float64),
            State("lines_total", SHOP, 1, np.float64),
            State("recent", SHOP, items, np.float64),
            State("recent_total", SHOP, 1, np.float64),
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Purchases of known items, whoever made them."""
        bought = (facts.kind == _PURCHASE) & facts.known_item
        growth = np.where(bought, weight(facts.time_s, RECENT_HALF_LIFE_DAYS), 0.0)
        state["lines_total"][0, 0] += np.count_nonzero(bought)
        state["recent_total"][0, 0] += growth.sum()
        cell = facts.item[bought & (facts.item >= 0)]
        np.add.at(state["lines"][0], cell, 1.0)
        np.add.at(state["recent"][0], cell, growth[bought & (facts.item >= 0)])

    def keys(self) -> tuple[Key, ...]:
        """By item."""
        return self._cells.item.key, self._cells.item.key

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Shares of the moment of each question."""
        items, catalogue = len(self._cells.item), self._cells.item.codes
        lines, total = state["lines"][0], state["lines_total"][0, 0]
        out[:, at[0] : at[0] + items] = np.log((lines + 1.0) / (total + catalogue))
        moments, which = np.unique(ask.time_s, return_inverse=True)  # most questions of a batch share a moment
        now = weight(moments, RECENT_HALF_LIFE_DAYS)[:, None]
        recent = np.log((state["recent"] / now + 1.0) / (state["recent_total"] / now + catalogue))
        out[:, at[1] : at[1] + items] = recent[which]
