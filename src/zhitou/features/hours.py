"""Is it the shopper's time of day, and the category's: lifts of the current part of the day (four hours, UTC)."""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.events.schema import BEHAVIOUR, KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.protocol import NOBODY, SHOP, SHOPPER, Column, Facts, Key, Questions, State

PARTS = 6
PART_SECONDS = 86_400 // PARTS
SHOPPER_PRIOR, CATEGORY_PRIOR = 20.0, 100.0  # acts that pull a share towards everybody's
_BEHAVIOUR = np.array([KIND_CODE[kind] for kind in BEHAVIOUR], dtype=np.int8)


def part_of_day(time_s: np.ndarray) -> np.ndarray:
    """int64: which sixth of the UTC day, 0 = midnight to four."""
    return (time_s % 86_400) // PART_SECONDS


class Hours:
    """Share of own (or the category's) acts in this part of the day, against everybody's share."""

    columns: tuple[Column, ...] = (
        Column(
            "shopper_hour_lift_log",
            "how usual this part of the day is for the shopper",
            "ln(ratio)",
            -10.0,
            10.0,
            0.0,
        ),
        Column(
            "category_hour_lift_log",
            "how usual this part of the day is for the item's category",
            "ln(ratio)",
            -10.0,
            10.0,
            None,
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells

    def states(self) -> tuple[State, ...]:
        """Acts per part of the day: of each shopper, of each category, of all."""
        return (
            State("own", SHOPPER, PARTS, np.float32),
            State("category", SHOP, len(self._cells.category) * PARTS, np.float64),
            State("all", SHOP, PARTS, np.float64),
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Every kind of behaviour about a known item."""
        wanted = np.isin(facts.kind, _BEHAVIOUR) & facts.known_item
        part = part_of_day(facts.time_s)
        _write_parts(facts.row, facts.category, part, wanted, state["own"], state["category"], state["all"])

    def keys(self) -> tuple[Key, ...]:
        """By shopper and by category."""
        return self._cells.per_shopper, self._cells.category.key

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Lifts of the part of the day that each question falls into."""
        part = part_of_day(ask.time_s)
        usual = (state["all"][0] + 1.0) / (state["all"].sum() + PARTS)
        own = state["own"][ask.row].astype(np.float64)
        share = (own[np.arange(len(part)), part] + SHOPPER_PRIOR * usual[part]) / (own.sum(1) + SHOPPER_PRIOR)
        out[:, at[0]] = np.log(share / usual[part])
        category = state["category"].reshape(-1, PARTS)
        total = category.sum(axis=1, keepdims=True)
        lift = np.log((category + CATEGORY_PRIOR * usual) / (total + CATEGORY_PRIOR) / usual)
        out[:, at[1] : at[1] + len(category)] = lift[:, part].T


@njit(cache=True)
def _write_parts(row, category, part, wanted, own, of_category, everybody):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        if not wanted[n]:
            continue
        everybody[0, part[n]] += 1.0
        if category[n] >= 0:
            of_category[0, category[n] * PARTS + part[n]] += 1.0
        if row[n] != NOBODY:
            own[row[n], part[n]] += 1.0
