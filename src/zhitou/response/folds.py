"""Which rows teach and which judge: always by time, the judges later."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from zhitou.response.rows import Rows


@dataclass(frozen=True)
class Folds:
    """Which rows teach and which, all of them later, judge; bool [R] each. A fold may be empty."""

    click_early: np.ndarray
    click_later: np.ndarray
    buy_early: np.ndarray
    buy_later: np.ndarray

    @classmethod
    def of(cls, rows: Rows, later_share: float) -> Folds:
        """Rows by time; conversions among mature clicks, whose own last share is the later one.

        The newest clicks are the ones whose conversions are still to come: with the clicks' cut for both, the
        conversion head would have nothing to be calibrated on.
        """
        early = rows.time_s < rows.cut_s(1 - later_share)
        bought = rows.clicked & rows.mature
        cut = rows.select(bought).cut_s(1 - later_share)
        first = bought & early & (rows.time_s < cut)
        return cls(early, ~early, first, bought & ~first)

    def select(self, rows: np.ndarray) -> Folds:
        """Of these rows (int numbers)."""
        return Folds(*(getattr(self, f.name)[rows] for f in fields(self)))


def examined(slot: np.ndarray, there: np.ndarray, first: np.ndarray, slots: int) -> np.ndarray:
    """float64 [S]: clicks expected of a slot's own rows where they are, over those were they in the first.

    there, first: click probabilities [R] in the row's slot and in the first. Of its own rows, not of all: a lower
    slot's ads are weaker ones, and with this ratio first * examination[slot] sums to `there` in every slot.
    """
    tops, bottoms = (np.bincount(slot, p, minlength=slots) for p in (there, first))
    return np.divide(tops, bottoms, out=np.ones(slots), where=bottoms > 0)
