"""How often the shopper has seen this ad: in the last 24 hours, and ever."""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.counting import counts_log
from zhitou.features.protocol import NEVER, NOBODY, SHOPPER, Column, Facts, Key, Questions, State

REMEMBERED = 128  # impressions of one shopper that are kept with their time; more in a day are not counted
_IMPRESSION = KIND_CODE["impression"]


class Fatigue:
    """Impressions of this ad to this shopper."""

    columns: tuple[Column, ...] = (
        Column(
            "ad_impressions_day",
            "impressions of the ad to the shopper in the last 24 hours",
            "impressions",
            0.0,
            REMEMBERED,
            0.0,
        ),
        Column(
            "ad_impressions_log", "impressions of the ad to the shopper ever", "ln(1 + impressions)", 0.0, 15.0, 0.0
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells

    def states(self) -> tuple[State, ...]:
        """A ring of the latest impressions of each shopper, and a count per ad."""
        return (
            State("ring_ad", SHOPPER, REMEMBERED, np.int32, -1),
            State("ring_time", SHOPPER, REMEMBERED, np.int64, NEVER),
            State("ring_next", SHOPPER, 1, np.int32),
            State("count", SHOPPER, self._cells.ads, np.float32),
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Impressions that name an ad."""
        shown = (facts.kind == _IMPRESSION) & (facts.ad >= 0) & (facts.row != NOBODY)
        if shown.any():
            ring = (state["ring_ad"], state["ring_time"], state["ring_next"])
            _write_ring(facts.row[shown], facts.ad[shown], facts.time_s[shown], *ring, state["count"])

    def keys(self) -> tuple[Key, ...]:
        """By ad."""
        return self._cells.per_ad, self._cells.per_ad

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Impressions not older than 24 hours at the moment of each question, and all of them."""
        _day(state["ring_ad"], state["ring_time"], ask.row, ask.time_s, self._cells.ads, out, at[0])
        counts_log(state["count"], ask.row, out, at[1])


@njit(cache=True)
def _write_ring(row, ad, time_s, ring_ad, ring_time, ring_next, count):  # type: ignore[no-untyped-def]
    for n in range(len(row)):
        r = row[n]
        place = ring_next[r, 0]
        ring_ad[r, place], ring_time[r, place] = ad[n], time_s[n]
        ring_next[r, 0] = (place + 1) % REMEMBERED
        count[r, ad[n]] += 1


@njit(cache=True)
def _day(ring_ad, ring_time, row, time_s, ads, out, at):  # type: ignore[no-untyped-def]
    for b in range(len(row)):
        for j in range(ads):
            out[b, at + j] = 0.0
        for place in range(REMEMBERED):
            ad = ring_ad[row[b], place]
            if ad < 0:
                break  # the ring fills from the front
            if time_s[b] - ring_time[row[b], place] <= SECONDS_PER_DAY:
                out[b, at + ad] += 1.0
