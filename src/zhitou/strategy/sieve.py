"""Eligibility as bitsets: an ad is a bit, a filter is a word-wise AND, a reason is the first filter without the bit.

B = requests, K = ads, C = campaigns, W = words of 64 ads, V = rows of the table.

Most of what a filter looks at takes few values: 24 hours, three channels, a handful of audiences. So each value has a
row in one table with the ads that pass, a request names the row of each filter, and E(x) = AND over f of M_f[x_f].
Only the caps are the shopper's own. The rules are those of `Rules`, the filters and their order those of REASONS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.strategy.eligibility import IS_MESSAGE, in_quiet_hours, prefixes
from zhitou.strategy.rules import Rules

HOURS = 24
# Codes of REASONS whose filter is a row of the table, in the order of Sieve.place; 8 and 9 are the caps.
TABLED = (1, 2, 3, 4, 5, 6, 7, 10)
_AD_CAP, _CAMPAIGN_CAP = 8, 9


def packed(passes: np.ndarray) -> np.ndarray:
    """uint64 [..., W]: bool [..., K] as bits, ad k in bit k % 64 of word k // 64; bits beyond K are 0."""
    words = -(-passes.shape[-1] // 64)
    padded = np.zeros((*passes.shape[:-1], words * 64), dtype=np.uint8)
    padded[..., : passes.shape[-1]] = passes
    answer: np.ndarray = np.packbits(padded, axis=-1, bitorder="little").view("<u8").astype(np.uint64)
    return answer


def unpacked(words: np.ndarray, ads: int) -> np.ndarray:
    """bool [..., K]: the inverse of `packed`."""
    octets = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    answer: np.ndarray = np.unpackbits(octets, axis=-1, count=ads, bitorder="little").astype(bool)
    return answer


@dataclass(frozen=True)
class Sieve:
    """Which of K ads pass which filter, for B requests.

    table: uint64 [V, W]. place: int32 [B, 8], the table's row for each filter of TABLED. capped: uint64 [B, 2, W],
    the ads that the ad's cap (0) or the campaign's cap (1) stops.
    """

    table: np.ndarray
    place: np.ndarray
    capped: np.ndarray
    ads: int

    def eligible(self) -> np.ndarray:
        """bool [B, K]: the pairs that pass every filter."""
        words = np.bitwise_and.reduce(self.table[self.place], axis=1) & ~self.capped[:, 0] & ~self.capped[:, 1]
        return unpacked(words, self.ads)

    def reasons(self, request: int) -> np.ndarray:
        """uint8 [K]: for one request, what `eligibility` says: the code of the first filter that fails, 0 if none."""
        fails = {code: ~self.table[row] for code, row in zip(TABLED, self.place[request], strict=True)}
        fails |= {_AD_CAP: self.capped[request, 0], _CAMPAIGN_CAP: self.capped[request, 1]}
        codes = np.zeros(self.ads, dtype=np.uint8)
        for code in sorted(fails, reverse=True):
            codes[unpacked(fails[code], self.ads)] = code
        return codes


class Sieves:
    """The table of one ad book: all that does not change from request to request, made once."""

    def __init__(self, book: AdBook | Rules) -> None:
        rules = Rules.of(book)
        owner = rules.campaign
        self.rules = rules
        edges = np.unique(np.concatenate([rules.start_us, rules.end_us]))
        at = np.concatenate([[np.iinfo(np.int64).min], edges])[:, None]
        self._edges = edges
        running = ((at >= rules.start_us) & (at < rules.end_us))[:, owner]
        quiet = [
            [in_quiet_hours(hour, start, end) for start, end in zip(rules.quiet_start, rules.quiet_end, strict=True)]
            for hour in range(HOURS)
        ]
        awake = ~np.asarray([*quiet, [False] * len(rules.start_us)], dtype=bool)[:, owner]
        nobody, everybody = np.zeros((1, len(owner)), dtype=bool), np.ones((1, len(owner)), dtype=bool)
        parts = [running, rules.channels.T, nobody, everybody, awake]
        self._fixed = packed(np.concatenate(parts))
        starts = np.cumsum([0, *(len(part) for part in parts)])
        self._running, self._channel, self._consent, _, self._awake, self._size = (int(x) for x in starts)
        self._ad_cap = np.ascontiguousarray(rules.ad_cap[owner])
        self._ads_of = packed(owner == np.arange(len(rules.start_us))[:, None])
        self._audiences: dict[tuple[frozenset[str], str], int] = {}
        self._rows: list[np.ndarray] = []

    def audience(self, segments: Iterable[str], locale: str | None) -> int:
        """The number of those who have these segments and this locale, for `Sieves.of`; a new one gets a new row."""
        known = frozenset(name for name in segments if name in self.rules.segments)
        key = (known, (locale or "").lower() if self.rules.locales else "")
        number = self._audiences.get(key)
        if number is None:
            number = self._audiences[key] = len(self._rows)
            rules, spoken = self.rules, prefixes(self.rules.locales, key[1])
            wanted = (rules.wants_segment[:, [*(rules.segments[name] for name in known), -1]] > 0).any(axis=1)
            tongue = (rules.wants_locale[:, [*spoken, -1]] > 0).any(axis=1)
            self._rows.append(packed(np.logical_and(wanted, tongue)[rules.campaign]))
        return number

    def audiences(
        self, requests: int, segments: Sequence[Iterable[str]] | None, locale: str | Sequence[str] | None
    ) -> np.ndarray:
        """int32 [B]: the audience of each request; segments and locale as `eligibility` takes them."""
        tags = [locale] * requests if locale is None or isinstance(locale, str) else locale
        sets = [()] * requests if segments is None else segments
        return np.asarray([self.audience(s, t) for s, t in zip(sets, tags, strict=True)], dtype=np.int32)

    def of(
        self,
        *,
        at_us: np.ndarray,
        channel: np.ndarray,
        ads_allowed: np.ndarray,
        in_stock: np.ndarray,
        approved: np.ndarray,
        remaining_micros: np.ndarray,
        seen_ad: np.ndarray,
        seen_campaign: np.ndarray,
        hour_local: np.ndarray,
        audience: np.ndarray,
    ) -> Sieve:
        """The sieve of B requests. Arguments as in `eligibility`, but audience: int [B], from `audiences`."""
        own = packed(np.stack([in_stock, approved, (np.asarray(remaining_micros) > 0)[self.rules.campaign]]))
        table = np.concatenate([self._fixed, own, np.asarray(self._rows).reshape(-1, own.shape[1])])
        channel = np.asarray(channel)
        place = np.empty((len(at_us), len(TABLED)), dtype=np.int32)
        place[:, 0] = self._running + np.searchsorted(self._edges, at_us, side="right")
        place[:, 1] = self._channel + channel
        place[:, 2] = self._consent + np.asarray(ads_allowed, dtype=bool)
        place[:, 3] = self._size + len(own) + audience
        place[:, 4:7] = self._size + np.arange(len(own))
        place[:, 7] = self._awake + np.where(IS_MESSAGE[channel], hour_local, HOURS)
        return Sieve(table, place, self.capped(seen_ad, seen_campaign), len(self.rules.campaign))

    def capped(self, seen_ad: np.ndarray, seen_campaign: np.ndarray) -> np.ndarray:
        """uint64 [B, 2, W]: the ads that the cap of the ad, and of the campaign, stops."""
        out = np.empty((len(seen_ad), 2, self._fixed.shape[1]), dtype=np.uint64)
        counts = np.ascontiguousarray(seen_ad, dtype=np.int16), np.ascontiguousarray(seen_campaign, dtype=np.int16)
        _capped(*counts, self._ad_cap, self.rules.campaign_cap, self._ads_of, out)
        return out


@njit(cache=True)
def _capped(seen_ad, seen_campaign, ad_cap, campaign_cap, ads_of, out):  # type: ignore[no-untyped-def]
    ads = ad_cap.shape[0]
    for b in range(out.shape[0]):
        for w in range(out.shape[2]):
            word, start = np.uint64(0), np.uint64(64 * w)  # unsigned: an index that may not count from the end
            for i in range(min(64, ads - 64 * w)):
                k = start + np.uint64(i)
                word |= np.uint64(seen_ad[b, k] >= ad_cap[k]) << np.uint64(i)
            out[b, 0, w], out[b, 1, w] = word, np.uint64(0)
        for c in range(campaign_cap.shape[0]):
            if seen_campaign[b, c] >= campaign_cap[c]:
                for w in range(out.shape[2]):
                    out[b, 1, w] |= ads_of[c, w]
