"""What the shopper looks at right now: decayed clicks on the item and in its category.

Half-lives of hours: this is what makes the very next decision differ after a click. A click is any act of
interest that is no purchase: click, view, favourite, add_to_cart.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.protocol import NEVER, NOBODY, SHOPPER, Column, Facts, Key, Questions, State

NOW_HALF_LIFE_HOURS = 12.0
WEEK_HALF_LIFE_HOURS = 168.0
_INTEREST = np.array([KIND_CODE[kind] for kind in ("click", "view", "favourite", "add_to_cart")], dtype=np.int8)


class Clicks:
    """Clicks that fade in half a day, and in a week."""

    columns: tuple[Column, ...] = (
        Column("item_clicks_log", "clicks on the item, halved every 12 hours", "ln(1 + clicks)", 0.0, 12.0, 0.0),
        Column(
            "category_clicks_log",
            "clicks in the item's category, halved every 12 hours",
            "ln(1 + clicks)",
            0.0,
            12.0,
            0.0,
        ),
        Column(
            "category_clicks_week_log",
            "clicks in the item's category, halved every week",
            "ln(1 + clicks)",
            0.0,
            12.0,
            0.0,
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells
        items, categories = len(cells.item), len(cells.category)
        self._parts = (
            ("item", items, NOW_HALF_LIFE_HOURS * 3_600),
            ("category", categories, NOW_HALF_LIFE_HOURS * 3_600),
            ("category_week", categories, WEEK_HALF_LIFE_HOURS * 3_600),
        )

    def states(self) -> tuple[State, ...]:
        """A decayed count and the time it is worth that much, per item and category."""
        counts = [State(f"{name}_count", SHOPPER, cells, np.float64) for name, cells, _ in self._parts]
        times = [State(f"{name}_time", SHOPPER, cells, np.int64, NEVER) for name, cells, _ in self._parts]
        return (*counts, *times)

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Acts of interest; a late one joins at what is left of it."""
        wanted = np.isin(facts.kind, _INTEREST)
        cells = {"item": facts.item, "category": facts.category, "category_week": facts.category}
        for name, _, half_life_s in self._parts:
            count, time = state[f"{name}_count"], state[f"{name}_time"]
            _write_decayed(facts.row, cells[name], facts.time_s, wanted, half_life_s, count, time)

    def keys(self) -> tuple[Key, ...]:
        """By item, category, category."""
        return self._cells.item.key, self._cells.category.key, self._cells.category.key

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """What is left of the clicks at the moment of each question."""
        for (name, _, half_life_s), start in zip(self._parts, at, strict=True):
            count, time = state[f"{name}_count"], state[f"{name}_time"]
            _decayed_log(count, time, ask.row, ask.time_s, half_life_s, out, start)


@njit(cache=True)
def _write_decayed(row, cell, time_s, wanted, half_life_s, count, time):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        r, c, t = row[n], cell[n], time_s[n]
        if not wanted[n] or r == NOBODY or c < 0:
            continue
        if count[r, c] == 0.0:
            count[r, c], time[r, c] = 1.0, t
        elif t >= time[r, c]:
            count[r, c] = 1.0 + count[r, c] * 2.0 ** (-(t - time[r, c]) / half_life_s)
            time[r, c] = t
        else:
            count[r, c] += 2.0 ** (-(time[r, c] - t) / half_life_s)


@njit(cache=True)
def _decayed_log(count, time, row, time_s, half_life_s, out, at):  # type: ignore[no-untyped-def]
    for b in range(len(row)):
        r, t = row[b], time_s[b]
        for j in range(count.shape[1]):
            out[b, at + j] = 0.0
            if count[r, j] > 0.0:
                out[b, at + j] = math.log1p(count[r, j] * 2.0 ** (-(t - time[r, j]) / half_life_s))
