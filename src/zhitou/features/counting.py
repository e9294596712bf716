"""The loops that several features share: add to cells, read counts on a log scale."""

from __future__ import annotations

import math

from numba import njit

from zhitou.features.protocol import NOBODY


@njit(cache=True)
def add_counts(row, cell, wanted, count):  # type: ignore[no-untyped-def]
    """count[row, cell] += 1 for each wanted fact of a known shopper and cell."""
    for n in range(len(row)):
        if wanted[n] and row[n] != NOBODY and cell[n] >= 0:
            count[row[n], cell[n]] += 1


@njit(cache=True)
def add_weights(row, cell, wanted, weight, own, everybody):  # type: ignore[no-untyped-def]
    """Add each wanted fact's weight to everybody's cell, and to the shopper's own if it is known whose."""
    for n in range(len(row)):
        if wanted[n] and cell[n] >= 0:
            everybody[0, cell[n]] += weight[n]
            if row[n] != NOBODY:
                own[row[n], cell[n]] += weight[n]


@njit(cache=True)
def counts_log(count, row, out, at):  # type: ignore[no-untyped-def]
    """out[b, at + j] = ln(1 + count[row[b], j])."""
    for b in range(len(row)):
        for j in range(count.shape[1]):
            n = count[row[b], j]
            out[b, at + j] = math.log1p(n) if n > 0 else 0.0
