"""Who may see which ad. Every filter comes before sampling, so that a logged propensity stays true.

B = requests, K = ads, C = campaigns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS, MESSAGES
from zhitou.strategy.rules import Rules


@dataclass(frozen=True)
class Reason:
    """Why an ad was not shown. openrtb_code: a code of OpenRTB's lists of no-bid and loss reasons, 500 and above
    are our own as the lists allow; sentence: for the advertiser, about his ad and never about the shopper."""

    name: str
    openrtb_code: int
    sentence: str


# The position is the code, in arrays and in receipts: append, never reorder. The filters run in this order too,
# and the first that fails is the reason: what holds for the campaign, then consent, before anything that is known
# about the shopper is looked at.
REASONS: tuple[Reason, ...] = (
    Reason("eligible", 0, "The ad could be shown."),
    Reason("flight", 500, "The campaign was not running at that time; see the dates of its flight."),
    Reason("channel", 501, "The campaign does not use this channel; add it to the targeting to be shown there."),
    Reason("consent", 8, "The visitor has not agreed to advertising."),
    Reason("targeting", 502, "The visitor is outside the segments or locales that the campaign targets."),
    Reason("out_of_stock", 503, "The item was out of stock; the ad returns with the stock."),
    Reason("no_creative", 202, "The ad has no approved creative in this size."),
    Reason("budget", 504, "The campaign's budget for the day or in all was spent; raise it, or wait for 00:00 UTC."),
    Reason("ad_cap", 9, "The visitor has seen this ad as often today as its cap allows."),
    Reason("campaign_cap", 9, "The visitor has seen this campaign as often today as its cap allows."),
    Reason("quiet_hours", 505, "It was a quiet hour of the campaign where the visitor lives."),
    Reason("below_floor", 100, "The bid was below the least price of the place."),
    Reason("outbid", 102, "Other ads were worth more in this place."),
)
CODE: Mapping[str, int] = {reason.name: code for code, reason in enumerate(REASONS)}
IS_MESSAGE = np.isin(CHANNELS, MESSAGES)


def eligibility(
    book: AdBook | Rules,
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
    segments: Sequence[Iterable[str]] | None = None,
    locale: str | Sequence[str] | None = None,
) -> np.ndarray:
    """uint8 [B, K]: the place in REASONS of the first filter that the pair fails, 0 where the ad may be shown.

    at_us: int64 [B], UTC. channel: int8 [B], place in CHANNELS. ads_allowed: bool [B], consent to advertising.
    in_stock, approved: bool [K]. remaining_micros: int64 [C]; a campaign with nothing left is out.
    seen_ad: int [B, K], seen_campaign: int [B, C], impressions today. hour_local: int [B], 0 to 23; quiet hours
    [start, end) may pass midnight and bind messages only. segments: the B shoppers' segments, None =
    nothing is known of anybody, which no targeted campaign matches. locale: one for all or one each; "en-GB" is
    reached by a campaign for "en".
    """
    rules = Rules.of(book)
    requests, ads = len(at_us), len(rules.campaign)
    assert seen_ad.shape == (requests, ads), "seen_ad has one row per request and one column per ad"
    out = np.empty((requests, ads), dtype=np.uint8)
    _codes(
        rules.campaign,
        rules.channels,
        rules.start_us,
        rules.end_us,
        rules.ad_cap,
        rules.campaign_cap,
        rules.quiet_start,
        rules.quiet_end,
        _reached(rules, requests, segments, locale),
        np.asarray(at_us, dtype=np.int64),
        np.asarray(channel, dtype=np.int8),
        np.asarray(ads_allowed, dtype=np.bool_),
        np.asarray(in_stock, dtype=np.bool_),
        np.asarray(approved, dtype=np.bool_),
        np.asarray(remaining_micros, dtype=np.int64),
        np.ascontiguousarray(seen_ad, dtype=np.int16),
        np.ascontiguousarray(seen_campaign, dtype=np.int16),
        np.asarray(hour_local, dtype=np.int8),
        out,
    )
    return out


def _reached(
    rules: Rules, requests: int, segments: Sequence[Iterable[str]] | None, locale: str | Sequence[str] | None
) -> np.ndarray:
    """bool [B, C]: whether each shopper is someone the campaign wants to reach."""
    reached = np.ones((requests, len(rules.start_us)), dtype=bool)
    if rules.segments:
        places = [[rules.segments[n] for n in names if n in rules.segments] for names in segments or ()]
        reached &= _wanted(places, requests, rules.wants_segment)
    if rules.locales:
        one = isinstance(locale, str)
        tags: Sequence[str] = [str(locale)] if one else (locale or ())
        spoken = _wanted([prefixes(rules.locales, tag) for tag in tags], 1 if one else requests, rules.wants_locale)
        reached &= spoken  # one locale for all is broadcast
    return reached


def _wanted(places: Sequence[Sequence[int]], requests: int, wants: np.ndarray) -> np.ndarray:
    """bool [B, C]: whether any of each request's places is among those a campaign wants; `wants` as in Rules."""
    matches = np.zeros((requests, wants.shape[1]), dtype=np.float32)
    matches[:, -1] = 1.0
    rows = [row for row, some in enumerate(places) for _ in some]
    matches[rows, [place for some in places for place in some]] = 1.0
    answer: np.ndarray = (matches @ wants.T) > 0  # a count of matches, as floats so that BLAS takes it
    return answer


def prefixes(locales: dict[str, int], tag: str) -> list[int]:
    """Places of the wanted locales that this language tag falls under: zh-Hant-TW is also zh-Hant and zh."""
    parts = tag.lower().split("-")
    cuts = ("-".join(parts[: n + 1]) for n in range(len(parts)))
    return [locales[cut] for cut in cuts if cut in locales]


@njit(cache=True)
def in_quiet_hours(hour, start, end):  # type: ignore[no-untyped-def]
    """Whether the hour lies in [start, end), which may pass midnight; start -1 = never quiet."""
    if start < 0 or start == end:
        return False
    if start < end:
        return start <= hour < end
    return hour >= start or hour < end


@njit(cache=True)
def _of_campaign(  # type: ignore[no-untyped-def]
    start_us, end_us, campaign_cap, quiet_start, quiet_end, reached, at_us, messaged, allowed, remaining, seen, hour
):
    """The least code that one campaign fails at for one request, 255 if none."""
    if at_us < start_us or at_us >= end_us:
        return 1
    if not allowed:
        return 3
    if not reached:
        return 4
    if remaining <= 0:
        return 7
    if seen >= campaign_cap:
        return 9
    if messaged and in_quiet_hours(hour, quiet_start, quiet_end):
        return 10
    return 255


@njit(cache=True)
def _codes(  # type: ignore[no-untyped-def]
    campaign, channels, start_us, end_us, ad_cap, campaign_cap, quiet_start, quiet_end, reached,
    at_us, channel, ads_allowed, in_stock, approved, remaining, seen_ad, seen_campaign, hour, out,
):  # fmt: skip
    """The codes are in the filters' order, so the first that fails is the least code that fails."""
    requests, ads = out.shape
    of_ad = np.empty(ads, dtype=np.uint8)
    cap = np.empty(ads, dtype=np.int32)
    for k in range(ads):
        of_ad[k] = 5 if not in_stock[k] else (6 if not approved[k] else 255)
        cap[k] = ad_cap[campaign[k]]
    of_campaign = np.empty(start_us.shape[0], dtype=np.uint8)
    for b in range(requests):
        messaged = IS_MESSAGE[channel[b]]
        for c in range(start_us.shape[0]):
            of_campaign[c] = _of_campaign(
                start_us[c], end_us[c], campaign_cap[c], quiet_start[c], quiet_end[c], reached[b, c],
                at_us[b], messaged, ads_allowed[b], remaining[c], seen_campaign[b, c], hour[b],
            )  # fmt: skip
        for k in range(ads):
            code = min(of_ad[k], of_campaign[campaign[k]])
            code = min(code, np.uint8(255) if channels[k, channel[b]] else np.uint8(2))
            code = min(code, np.uint8(8) if seen_ad[b, k] >= cap[k] else np.uint8(255))
            out[b, k] = 0 if code == 255 else code
