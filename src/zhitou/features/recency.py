"""How long ago, and is it time again: recency of purchases and events, and due-ness by the shopper's own rhythm.

A *visit* is a distinct time at which something was bought; n visits make n - 1 intervals. A late fact that falls
between two known visits counts as one more, even should it repeat the time of an inner one.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from zhitou.events.schema import BEHAVIOUR, KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.protocol import NEVER, NOBODY, SHOPPER, Column, Facts, Key, Questions, State

HOURS_MAX = 8_760.0  # a year; "never" looks like a year ago
HOURS_LOG_MAX = math.log1p(HOURS_MAX)
DUENESS_MAX = 4.0
_SECONDS = 3_600.0
_PURCHASE = KIND_CODE["purchase"]
_BEHAVIOUR = np.array([KIND_CODE[kind] for kind in BEHAVIOUR], dtype=np.int8)


class Recency:
    """Hours since, on a log scale, and time since over usual interval."""

    columns: tuple[Column, ...] = (
        Column(
            "item_purchase_hours_log",
            "time since the shopper last bought the item",
            "ln(1 + hours)",
            0.0,
            HOURS_LOG_MAX,
            HOURS_LOG_MAX,
        ),
        Column(
            "type_event_hours_log",
            "time since the shopper's last act in the item's finest category",
            "ln(1 + hours)",
            0.0,
            HOURS_LOG_MAX,
            HOURS_LOG_MAX,
        ),
        Column(
            "shopper_event_hours_log",
            "time since the shopper's last act",
            "ln(1 + hours)",
            0.0,
            HOURS_LOG_MAX,
            HOURS_LOG_MAX,
        ),
        Column(
            "item_dueness",
            "time since the last purchase of the item, in own mean intervals; 0 below two visits",
            "intervals",
            0.0,
            DUENESS_MAX,
            0.0,
        ),
        Column("type_dueness", "the same for the item's finest category", "intervals", 0.0, DUENESS_MAX, 0.0),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells

    def states(self) -> tuple[State, ...]:
        """First and last purchase and number of visits per item and type; last act per type and shopper."""
        items, types = len(self._cells.item), len(self._cells.type)
        return (
            State("item_first", SHOPPER, items, np.int64, NEVER),
            State("item_last", SHOPPER, items, np.int64, NEVER),
            State("item_visits", SHOPPER, items, np.int32),
            State("type_first", SHOPPER, types, np.int64, NEVER),
            State("type_last", SHOPPER, types, np.int64, NEVER),
            State("type_visits", SHOPPER, types, np.int32),
            State("type_event", SHOPPER, types, np.int64, NEVER),
            State("shopper_event", SHOPPER, 1, np.int64, NEVER),
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Purchases are visits; every kind of behaviour about a known item is an act."""
        bought = facts.kind == _PURCHASE
        acted = np.isin(facts.kind, _BEHAVIOUR) & facts.known_item
        names = ("item_first", "item_last", "item_visits")
        _write_visits(facts.row, facts.item, facts.time_s, bought, *(state[name] for name in names))
        names = ("type_first", "type_last", "type_visits")
        _write_visits(facts.row, facts.type, facts.time_s, bought, *(state[name] for name in names))
        _write_last(facts.row, facts.type, facts.time_s, acted, state["type_event"])
        _write_last(facts.row, np.zeros_like(facts.type), facts.time_s, acted, state["shopper_event"])

    def keys(self) -> tuple[Key, ...]:
        """By item, type, shopper, item, type."""
        item, type_ = self._cells.item.key, self._cells.type.key
        return item, type_, self._cells.per_shopper, item, type_

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Elapsed times and due-ness at the moment of each question."""
        _elapsed_log(state["item_last"], ask.row, ask.time_s, out, at[0])
        _elapsed_log(state["type_event"], ask.row, ask.time_s, out, at[1])
        _elapsed_log(state["shopper_event"], ask.row, ask.time_s, out, at[2])
        for name, start in (("item", at[3]), ("type", at[4])):
            first, last, visits = (state[f"{name}_{part}"] for part in ("first", "last", "visits"))
            _dueness(first, last, visits, ask.row, ask.time_s, out, start)


@njit(cache=True)
def _write_visits(row, cell, time_s, wanted, first, last, visits):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        r, c, t = row[n], cell[n], time_s[n]
        if not wanted[n] or r == NOBODY or c < 0:
            continue
        if visits[r, c] == 0:
            first[r, c] = last[r, c] = t
            visits[r, c] = 1
        elif t != first[r, c] and t != last[r, c]:
            visits[r, c] += 1
            first[r, c] = min(first[r, c], t)
            last[r, c] = max(last[r, c], t)


@njit(cache=True)
def _write_last(row, cell, time_s, wanted, last):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        if wanted[n] and row[n] != NOBODY and cell[n] >= 0:
            last[row[n], cell[n]] = max(last[row[n], cell[n]], time_s[n])


@njit(cache=True)
def _elapsed_log(last, row, time_s, out, at):  # type: ignore[no-untyped-def]
    for b in range(len(row)):
        r, t = row[b], time_s[b]
        for j in range(last.shape[1]):
            out[b, at + j] = HOURS_LOG_MAX
            if last[r, j] != NEVER:
                out[b, at + j] = math.log1p(min((t - last[r, j]) / _SECONDS, HOURS_MAX))


@njit(cache=True)
def _dueness(first, last, visits, row, time_s, out, at):  # type: ignore[no-untyped-def]
    for b in range(len(row)):
        r, t = row[b], time_s[b]
        for j in range(last.shape[1]):
            out[b, at + j] = 0.0
            if visits[r, j] >= 2:
                interval = (last[r, j] - first[r, j]) / (visits[r, j] - 1)
                out[b, at + j] = min((t - last[r, j]) / interval, DUENESS_MAX)
