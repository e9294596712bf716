"""How often a shopper has seen an ad and its campaign today: the counts that caps are checked against.

N = shoppers, K = ads, C = campaigns, B = requests.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY

DAY_US = SECONDS_PER_DAY * MICROSECONDS
_FIRST_ROWS = 64
_MOST = np.iinfo(np.int16).max


class Exposure:
    """Impressions of each shopper since 00:00 UTC, by ad and by campaign.

    A shopper is a row, 0, 1, 2, ...; row -1 is anonymous, sees no counts and leaves none. Counts stop at 32,767.
    Memory: 2 * (K + C) + 8 bytes a shopper, in arrays that double when a new row needs room: 2,469 shoppers,
    200 ads and 24 campaigns take 1.9 MB. Adding the same impression twice counts it twice: who calls `add` makes
    sure that an impression is new.
    """

    def __init__(self, book: AdBook) -> None:
        self._campaign = np.ascontiguousarray(book.campaign, dtype=np.int32)
        self._ad = np.zeros((0, len(book)), dtype=np.int16)
        self._in_campaign = np.zeros((0, len(book.campaigns)), dtype=np.int16)
        self._day = np.zeros(0, dtype=np.int64)

    def seen(self, rows: np.ndarray, at_us: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int16 [B, K], int16 [B, C]): impressions of each shopper (int [B] rows) on the UTC day of at_us.

        at_us: int64 [B] or one time for all. A row that was never shown anything that day has zeros.
        """
        rows = np.asarray(rows, dtype=np.int64)
        ad = np.zeros((len(rows), self._ad.shape[1]), dtype=np.int16)
        in_campaign = np.zeros((len(rows), self._in_campaign.shape[1]), dtype=np.int16)
        _read(self._ad, self._in_campaign, self._day, rows, _days(at_us, len(rows)), ad, in_campaign)
        return ad, in_campaign

    def add(self, rows: np.ndarray, ads: np.ndarray, at_us: int | np.ndarray) -> None:
        """Count impressions: ads int [B] or [B, S] shown to rows int [B] at at_us (int64 [B] or one for all).

        Ad -1 and row -1 count nothing. An impression of a day before the shopper's latest counts nothing: that day
        is over, and its caps with it.
        """
        rows, ads = np.asarray(rows, dtype=np.int64), np.asarray(ads, dtype=np.int64)
        days = _days(at_us, len(rows))
        if len(rows):
            self._grow(int(rows.max()) + 1)
        table = ads.reshape(len(rows), -1)
        _count(self._ad, self._in_campaign, self._day, self._campaign, rows, days, table)

    def forget(self, row: int) -> None:
        """Drop what is known of this shopper."""
        if 0 <= row < len(self._day):
            self._ad[row], self._in_campaign[row], self._day[row] = 0, 0, 0

    def _grow(self, size: int) -> None:
        if size <= len(self._day):
            return
        room = max(size, 2 * len(self._day), _FIRST_ROWS) - len(self._day)
        self._ad = np.pad(self._ad, ((0, room), (0, 0)))
        self._in_campaign = np.pad(self._in_campaign, ((0, room), (0, 0)))
        self._day = np.pad(self._day, (0, room))


def _days(at_us: int | np.ndarray, size: int) -> np.ndarray:
    days = np.asarray(at_us, dtype=np.int64) // DAY_US
    return np.full(size, days) if days.ndim == 0 else days


# Loops instead of row assignments: numba compiles those in a tenth of the time.
@njit(cache=True)
def _read(by_ad, by_campaign, day, rows, days, out_ad, out_campaign):  # type: ignore[no-untyped-def]
    for b in range(rows.shape[0]):
        row = rows[b]
        if 0 <= row < day.shape[0] and day[row] == days[b]:
            for k in range(by_ad.shape[1]):
                out_ad[b, k] = by_ad[row, k]
            for c in range(by_campaign.shape[1]):
                out_campaign[b, c] = by_campaign[row, c]


@njit(cache=True)
def _count(by_ad, by_campaign, day, campaign, rows, days, ads):  # type: ignore[no-untyped-def]
    for b in range(rows.shape[0]):
        row = rows[b]
        if row < 0 or days[b] < day[row]:
            continue
        if days[b] > day[row]:
            for k in range(by_ad.shape[1]):
                by_ad[row, k] = 0
            for c in range(by_campaign.shape[1]):
                by_campaign[row, c] = 0
            day[row] = days[b]
        for s in range(ads.shape[1]):
            if ads[b, s] >= 0:
                ad, owner = ads[b, s], campaign[ads[b, s]]
                by_ad[row, ad] = min(by_ad[row, ad] + 1, _MOST)
                by_campaign[row, owner] = min(by_campaign[row, owner] + 1, _MOST)
