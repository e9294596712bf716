"""How often ads are clicked and convert: the ad smoothed to its campaign, the campaign and the shopper to all.

A rate of c successes in n trials, smoothed to a broader rate p with the weight of m trials, is (c + m p) / (n + m).
"""

from __future__ import annotations

import numpy as np

from zhitou.events.schema import KIND_CODE
from zhitou.features.cells import AdCells
from zhitou.features.protocol import NOBODY, SHOP, SHOPPER, Column, Facts, Key, Questions, State

CLICK_RATE_GUESS, CLICK_RATE_GUESS_IMPRESSIONS = 0.02, 100.0  # before any impression was seen
CONVERSION_RATE_GUESS, CONVERSION_RATE_GUESS_CLICKS = 0.05, 20.0
CAMPAIGN_WEIGHT_IMPRESSIONS, AD_WEIGHT_IMPRESSIONS, SHOPPER_WEIGHT_IMPRESSIONS = 200.0, 100.0, 50.0
CAMPAIGN_WEIGHT_CLICKS, AD_WEIGHT_CLICKS = 20.0, 20.0
_KINDS = ("impression", "click", "conversion")


class Rates:
    """Click and conversion rates on a log scale."""

    columns: tuple[Column, ...] = (
        Column(
            "ad_click_rate_log",
            "clicks per impression of the ad, smoothed to its campaign",
            "ln(rate)",
            -20.0,
            0.7,
            None,
        ),
        Column(
            "ad_conversion_rate_log",
            "conversions per click of the ad, smoothed to its campaign",
            "ln(rate)",
            -20.0,
            5.0,
            None,
        ),
        Column(
            "shopper_click_rate_log",
            "the shopper's clicks per impression, smoothed to all shoppers",
            "ln(rate)",
            -20.0,
            5.0,
            None,
        ),
    )

    def __init__(self, cells: AdCells) -> None:
        self._cells = cells

    def states(self) -> tuple[State, ...]:
        """Impressions, clicks and conversions of each ad; impressions and clicks of each shopper."""
        ads = [State(f"ad_{kind}", SHOP, self._cells.ads, np.float64) for kind in _KINDS]
        return (*ads, State("own_impression", SHOPPER, 1, np.float64), State("own_click", SHOPPER, 1, np.float64))

    def write(self, state: dict[str, np.ndarray], facts: Facts) -> None:
        """Facts that name an ad."""
        for kind in _KINDS:
            wanted = (facts.kind == KIND_CODE[kind]) & (facts.ad >= 0)
            np.add.at(state[f"ad_{kind}"][0], facts.ad[wanted], 1.0)
            if kind != "conversion":
                np.add.at(state[f"own_{kind}"][:, 0], facts.row[wanted & (facts.row != NOBODY)], 1.0)

    def keys(self) -> tuple[Key, ...]:
        """By ad, ad, shopper."""
        return self._cells.per_ad, self._cells.per_ad, self._cells.per_shopper

    def value(self, state: dict[str, np.ndarray], ask: Questions, out: np.ndarray, at: tuple[int, ...]) -> None:
        """Smoothed rates; the same for every question of one moment but for the shopper's own."""
        shown, clicked, bought = (state[f"ad_{kind}"][0] for kind in _KINDS)
        guess, weight = CLICK_RATE_GUESS, CLICK_RATE_GUESS_IMPRESSIONS
        overall = (clicked.sum() + weight * guess) / (shown.sum() + weight)
        ads = self._cells.ads
        click = self._by_ad(clicked, shown, overall, CAMPAIGN_WEIGHT_IMPRESSIONS, AD_WEIGHT_IMPRESSIONS)
        out[:, at[0] : at[0] + ads] = np.log(click)
        guess, weight = CONVERSION_RATE_GUESS, CONVERSION_RATE_GUESS_CLICKS
        converted = (bought.sum() + weight * guess) / (clicked.sum() + weight)
        conversion = self._by_ad(bought, clicked, converted, CAMPAIGN_WEIGHT_CLICKS, AD_WEIGHT_CLICKS)
        out[:, at[1] : at[1] + ads] = np.log(conversion)
        own_clicks, own_shown = state["own_click"][ask.row, 0], state["own_impression"][ask.row, 0]
        weight = SHOPPER_WEIGHT_IMPRESSIONS
        out[:, at[2]] = np.log((own_clicks + weight * overall) / (own_shown + weight))

    def _by_ad(self, hits: np.ndarray, trials: np.ndarray, overall: float, wide: float, narrow: float) -> np.ndarray:
        campaign, campaigns = self._cells.campaign, self._cells.campaigns
        campaign_hits = np.bincount(campaign, weights=hits, minlength=campaigns)
        campaign_trials = np.bincount(campaign, weights=trials, minlength=campaigns)
        rate = (campaign_hits + wide * overall) / (campaign_trials + wide)
        return (hits + narrow * rate[campaign]) / (trials + narrow)
