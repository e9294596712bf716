"""Is it the shopper's kind of price: the item's price against what the shopper pays in its category.

Means are of ln(price), decayed like taste and smoothed to all shoppers with the weight of PRICE_PRIOR purchases.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from zhitou.catalog.table import PRICE_BANDS
from zhitou.core.units import MICROS
from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.counting import add_weights
from zhitou.features.decay import TASTE_HALF_LIFE_DAYS, weight
from zhitou.features.protocol import SHOP, SHOPPER, Column, Facts, Key, Questions, State

PRICE_PRIOR = 5.0
RATIO_MAX = 2.0
_PURCHASE = KIND_CODE["purchase"]


class Price:
    """Log ratio to the usual price, and the band of the price."""

    columns: tuple[Column, ...] = (
        Column(
            "price_ratio_log",
            "the item's price over the shopper's mean price in its category; 0 if unknown",
            "ln(ratio)",
            -RATIO_MAX,
            RATIO_MAX,
            None,
        ),
        Column(
            "price_band",
            "decile of the item's price inside its broadest category; 0 if unknown",
            "band / 10",
            0.0,
            1.0,
            None,
        ),
        Column(
            "price_band_gap",
            "the item's band less the shopper's mean band; 0 if unknown",
            "bands / 10",
            -1.0,
            1.0,
            None,
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells
        self._category_of_item = np.zeros(len(cells.item), dtype=np.int32)
        self._category_of_item[cells.item.of_ad] = cells.category.of_ad
        price = cells.price_micros
        self._price_log = np.log(np.maximum(price, 1) / MICROS)
        self._priced = (price > 0) & cells.category.known[self._category_of_item]
        self._band = cells.price_band.astype(np.float64) / PRICE_BANDS

    def states(self) -> tuple[State, ...]:
        """Decayed sums of weights and of weighted values, of each shopper and of all."""
        categories = len(self._cells.category)
        return tuple(
            State(f"{who}_{what}", per, cells, np.float64)
            for who, per in (("own", SHOPPER), ("all", SHOP))
            for what, cells in (("lines", categories), ("price", categories), ("banded", 1), ("band", 1))
        )

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Purchases with a price above zero; for the bands, purchases of items with a band."""
        growth = weight(facts.time_s, TASTE_HALF_LIFE_DAYS)
        bought = facts.kind == _PURCHASE
        paid = bought & (facts.price_micros > 0)
        price_log = np.log(np.maximum(facts.price_micros, 1) / MICROS)
        add_weights(facts.row, facts.category, paid, growth, state["own_lines"], state["all_lines"])
        add_weights(facts.row, facts.category, paid, growth * price_log, state["own_price"], state["all_price"])
        banded, only = bought & (facts.price_band > 0), np.zeros_like(facts.category)
        band = facts.price_band.astype(np.float64) / PRICE_BANDS
        add_weights(facts.row, only, banded, growth, state["own_banded"], state["all_banded"])
        add_weights(facts.row, only, banded, growth * band, state["own_band"], state["all_band"])

    def keys(self) -> tuple[Key, ...]:
        """By item."""
        return (self._cells.item.key,) * 3

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Differences to the own means of the moment of each question."""
        now, items = weight(ask.time_s, TASTE_HALF_LIFE_DAYS), len(self._cells.item)
        usual = _own_means(
            state["own_lines"], state["own_price"], state["all_lines"], state["all_price"], ask.row, now
        )
        _ratios(usual, self._category_of_item, self._price_log, self._priced, out, at[0])
        out[:, at[1] : at[1] + items] = self._band
        band = _own_means(
            state["own_banded"], state["own_band"], state["all_banded"], state["all_band"], ask.row, now
        )
        gap = np.where((self._band > 0)[None, :] & ~np.isnan(band), self._band[None, :] - band, 0.0)
        out[:, at[2] : at[2] + items] = gap


@njit(cache=True)
def _own_means(own, own_sum, everybody, everybody_sum, row, now):  # type: ignore[no-untyped-def]
    means = np.empty((len(row), own.shape[1]))
    for b in range(len(row)):
        r, prior = row[b], PRICE_PRIOR * now[b]
        for j in range(own.shape[1]):
            means[b, j] = math.nan
            if everybody[0, j] > 0.0:
                usual = everybody_sum[0, j] / everybody[0, j]
                means[b, j] = (own_sum[r, j] + prior * usual) / (own[r, j] + prior)
    return means


@njit(cache=True)
def _ratios(usual, category, price_log, priced, out, at):  # type: ignore[no-untyped-def]
    for b in range(usual.shape[0]):
        for j in range(len(category)):
            mean = usual[b, category[j]]
            out[b, at + j] = 0.0
            if priced[j] and not math.isnan(mean):
                out[b, at + j] = min(max(price_log[j] - mean, -RATIO_MAX), RATIO_MAX)
