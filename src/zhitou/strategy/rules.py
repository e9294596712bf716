"""The ad book's rules as arrays, laid out for the decision kernels.

K = ads, C = campaigns, G = segments and L = locales that any campaign names.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign

NO_HOUR = -1


@dataclass(frozen=True)
class Rules:
    """What does not change between two decisions of one ad book.

    campaign: int32 [K]. channels: bool [K, channels]. bid_micros: int64 [K], the most a click may cost.
    worth_micros: float64 [K], what a conversion is worth at the most (target CPA, or price / target ROAS);
    inf where every click is worth the bid, NaN where it is unknown. start_us, end_us: int64 [C]. ad_cap,
    campaign_cap: int32 [C], impressions a day. quiet_start, quiet_end: int8 [C], local hours, -1 = none.
    segments, locales: place of each name; wants_segment: float32 [C, G + 1], wants_locale: float32 [C, L + 1], 1
    where the campaign names it; the last column is "anyone", 1 where the campaign names none.
    """

    campaign: np.ndarray
    channels: np.ndarray
    bid_micros: np.ndarray
    worth_micros: np.ndarray
    start_us: np.ndarray
    end_us: np.ndarray
    ad_cap: np.ndarray
    campaign_cap: np.ndarray
    quiet_start: np.ndarray
    quiet_end: np.ndarray
    segments: dict[str, int]
    wants_segment: np.ndarray
    locales: dict[str, int]
    wants_locale: np.ndarray

    @classmethod
    def of(cls, book: AdBook | Rules) -> Rules:
        """The rules of this book. Computed once per book object; a Rules is handed through."""
        if isinstance(book, Rules):
            return book
        known = _known.get(id(book))
        if known is not None and known[0]() is book:
            return known[1]
        rules, key = _build(book), id(book)
        _known[key] = (weakref.ref(book, lambda _: _forget(key)), rules)
        return rules


# An AdBook is frozen but holds arrays, so it cannot be hashed; it is known by identity for as long as it lives.
_known: dict[int, tuple[weakref.ref[AdBook], Rules]] = {}


def _forget(key: int) -> None:
    _known.pop(key, None)


def _build(book: AdBook) -> Rules:
    camps = book.campaigns
    segments, wants_segment = _wanted([c.targeting.segments for c in camps])
    locales, wants_locale = _wanted([tuple(n.lower() for n in c.targeting.locales) for c in camps])
    quiet = [c.quiet_hours or (NO_HOUR, NO_HOUR) for c in camps]
    return Rules(
        campaign=np.ascontiguousarray(book.campaign, dtype=np.int32),
        channels=np.ascontiguousarray(book.channels, dtype=bool),
        bid_micros=np.ascontiguousarray(book.bid_micros, dtype=np.int64),
        worth_micros=_worth_micros(book),
        start_us=np.asarray([c.flight.start_us for c in camps], dtype=np.int64),
        end_us=np.asarray([c.flight.end_us for c in camps], dtype=np.int64),
        ad_cap=np.asarray([c.caps.ad_per_day for c in camps], dtype=np.int32),
        campaign_cap=np.asarray([c.caps.campaign_per_day for c in camps], dtype=np.int32),
        quiet_start=np.asarray([q[0] for q in quiet], dtype=np.int8),
        quiet_end=np.asarray([q[1] for q in quiet], dtype=np.int8),
        segments=segments,
        wants_segment=wants_segment,
        locales=locales,
        wants_locale=wants_locale,
    )


def _wanted(names: list[tuple[str, ...]]) -> tuple[dict[str, int], np.ndarray]:
    place = {name: number for number, name in enumerate(sorted({n for some in names for n in some}))}
    wants = np.zeros((len(names), len(place) + 1), dtype=np.float32)
    for number, some in enumerate(names):
        wants[number, [place[n] for n in some]] = 1.0
        wants[number, -1] = float(not some)
    return place, wants


def _worth_micros(book: AdBook) -> np.ndarray:
    def of(camp: Campaign, price_micros: int) -> float:
        if camp.objective == "conversions":
            return float(camp.target_cpa_micros or 0)
        if camp.objective == "value":
            return price_micros / float(camp.target_roas or np.nan) if price_micros >= 0 else np.nan
        return np.inf

    pairs = zip(book.campaign.tolist(), book.price_micros.tolist(), strict=True)
    return np.asarray([of(book.campaigns[number], price) for number, price in pairs], dtype=np.float64)
