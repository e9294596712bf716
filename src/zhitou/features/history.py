"""What the shopper buys: own purchases of the item, and own taste against everybody's.

Taste is a decayed share (half-life TASTE_HALF_LIFE_DAYS), smoothed to the share among all shoppers with the weight
of TASTE_PRIOR purchases, so that one purchase is not yet a taste. Its *lift* is own share over everybody's.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells, Lookup
from zhitou.features.counting import add_counts, add_weights, counts_log
from zhitou.features.decay import TASTE_HALF_LIFE_DAYS, weight
from zhitou.features.protocol import SHOP, SHOPPER, Column, Facts, Key, Questions, State

TASTE_PRIOR = 20.0
_PURCHASE = KIND_CODE["purchase"]
_LIFT = 12.0


class History:
    """Counts of the item, and shares and lifts of its category, type and brand."""

    columns: tuple[Column, ...] = (
        Column("item_purchases_log", "how often the shopper bought the item", "ln(1 + lines)", 0.0, 15.0, 0.0),
        Column(
            "category_share_log",
            "share of the item's category in the shopper's purchases",
            "ln(share)",
            -25.0,
            0.0,
            None,
        ),
        Column("category_lift_log", "that share against all shoppers'", "ln(ratio)", -_LIFT, _LIFT, 0.0),
        Column("type_lift_log", "the same for the item's finest category", "ln(ratio)", -_LIFT, _LIFT, 0.0),
        Column("brand_lift_log", "the same for the item's brand", "ln(ratio)", -_LIFT, _LIFT, 0.0),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells
        self._tastes = {"category": cells.category, "type": cells.type, "brand": cells.brand}

    def states(self) -> tuple[State, ...]:
        """Lines per item; decayed lines per category, type, brand and in all, of each shopper and of all."""
        own = [State(f"own_{name}", SHOPPER, len(cells), np.float64) for name, cells in self._tastes.items()]
        everybody = [State(f"all_{name}", SHOP, len(cells), np.float64) for name, cells in self._tastes.items()]
        return (
            State("item_lines", SHOPPER, len(self._cells.item), np.float32),
            State("own_total", SHOPPER, 1, np.float64),
            State("all_total", SHOP, 1, np.float64),
            *own,
            *everybody,
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Purchases of known items only."""
        bought = (facts.kind == _PURCHASE) & facts.known_item
        growth = weight(facts.time_s, TASTE_HALF_LIFE_DAYS)
        add_counts(facts.row, facts.item, bought, state["item_lines"])
        total = np.zeros_like(facts.type)
        add_weights(facts.row, total, bought, growth, state["own_total"], state["all_total"])
        for name, cell in (("category", facts.category), ("type", facts.type), ("brand", facts.brand)):
            add_weights(facts.row, cell, bought, growth, state[f"own_{name}"], state[f"all_{name}"])

    def keys(self) -> tuple[Key, ...]:
        """By item, category, category, type, brand."""
        category = self._cells.category.key
        return self._cells.item.key, category, category, self._cells.type.key, self._cells.brand.key

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Counts, and tastes at the weight of the moment of each question."""
        now = weight(ask.time_s, TASTE_HALF_LIFE_DAYS)
        counts_log(state["item_lines"], ask.row, out, at[0])
        self._taste("category", self._cells.category, state, ask, now, out, at[1], at[2])
        self._taste("type", self._cells.type, state, ask, now, out, -1, at[3])
        self._taste("brand", self._cells.brand, state, ask, now, out, -1, at[4])

    def _taste(
        self,
        name: str,
        cells: Lookup,
        state: dict[str, np.ndarray],
        ask: Questions,
        now: np.ndarray,
        out: np.ndarray,
        share_at: int,
        lift_at: int,
    ) -> None:
        moments, moment = np.unique(now, return_inverse=True)  # most questions of a batch share a moment
        everybody, total = state[f"all_{name}"], state["all_total"]
        usual = (everybody / moments[:, None] + 1.0) / (total / moments[:, None] + cells.codes)
        own, own_total = state[f"own_{name}"], state["own_total"]
        _tastes(own, own_total, usual, np.log(usual), moment, cells.known, ask.row, now, out, share_at, lift_at)


@njit(cache=True)
def _tastes(own, own_total, usual, usual_log, moment, known, row, now, out, share_at, lift_at):  # type: ignore[no-untyped-def]
    """lift = share / usual with share = (own + prior * usual) / (total + prior), all at the weight of now.

    Where the shopper bought nothing the lift is prior / (total + prior), the same in every such cell: one logarithm.
    """
    for b in range(len(row)):
        r, m = row[b], moment[b]
        total = own_total[r, 0] + TASTE_PRIOR * now[b]
        untouched = TASTE_PRIOR * now[b] / total
        untouched_log = math.log(untouched)
        for j in range(own.shape[1]):
            lift_log = untouched_log if known[j] else 0.0
            if own[r, j] > 0.0:
                lift_log = math.log(own[r, j] / (total * usual[m, j]) + untouched)
            out[b, lift_at + j] = lift_log
            if share_at >= 0:
                out[b, share_at + j] = usual_log[m, j] + lift_log
