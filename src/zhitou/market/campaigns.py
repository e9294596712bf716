"""Plausible advertisers for a demonstration, made from what sells: real brands and items, assumed money.

G = groups (brand x category), M = items.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.catalog.table import UNKNOWN, ItemTable
from zhitou.core import columns as c
from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.core.ids import stable_id
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.events.histories import PURCHASE, Histories

CONTRAST_MIN = 4.5  # of primary colour against white paper, the AA level of WCAG 2.2 for text
ITEMS_MIN = 3
EXPECTED_PRICE = 0.7  # of a click, in bids


@dataclass(frozen=True)
class DemoConfig:
    """What is assumed about advertisers; docs/market.md says why. Shares and rates are fractions."""

    lookback_days: int = 84  # of sales, to choose groups and items
    weak_share: float = 1 / 3  # of campaigns that come from ordinary groups instead of the best
    margin: float = 0.3  # of the price
    conversion_rate: float = 0.12  # that a bid reckons with
    bid_micros_min: int = 20_000
    visits_per_week: float = 10.0  # of a shopper
    slots: int = 2
    click_rate: float = 0.015  # of a policy that is better than random
    tight: tuple[float, float] = (0.5, 0.9)  # budget of every other campaign, in expected spend
    loose: tuple[float, float] = (2.0, 4.0)  # and of the rest


def demo_campaigns(
    histories: Histories,
    items: ItemTable,
    *,
    start_s: int,
    days: int,
    count: int = 24,
    items_per_campaign: int = 8,
    promotions: pa.Table | None = None,
    config: DemoConfig | None = None,
    chance: Chance,
) -> tuple[Campaign, ...]:
    """`count` campaigns (fewer in a small shop) running `days` days from `start_s`; purchases before it only.

    Most are the best selling brand x category groups, no brand more than three times; the rest are drawn from
    ordinary groups. promotions (item, week, ...): items that were promoted go first within equal sales.
    Refused (SourceError): a shop without a group of three priced items that sold.
    """
    config = config or DemoConfig()
    demand, promoted = _demand(histories, items, start_s, config), _promoted(items, promotions)
    groups = _groups(items, demand)
    if not groups:
        raise SourceError(f"expected {ITEMS_MIN} priced items of one brand and category that sold, found none")
    draw = chance.stream("market-campaigns")
    chosen = _choose(groups, demand, count, config, draw)
    clicks = len(histories) * config.visits_per_week / 7 * days * config.slots * config.click_rate / len(chosen)
    flight = (start_s, start_s + days * SECONDS_PER_DAY)
    campaigns = []
    for number, key in enumerate(chosen):
        rows = groups[key]
        rows = rows[np.lexsort((rows, ~promoted[rows], -demand[rows]))][:items_per_campaign]
        bid, total = _money(items.price_micros[rows], clicks, tight=number % 2 == 1, config=config, draw=draw)
        objective = "conversions" if number % 3 else "clicks"
        campaigns.append(_campaign(key, items, rows, flight, bid, total, objective, config))
    return tuple(campaigns)


def _demand(histories: Histories, items: ItemTable, start_s: int, config: DemoConfig) -> np.ndarray:
    """int64 [M]: lines sold in the lookback before the start."""
    bought = (histories.action == PURCHASE) & (histories.time_s < start_s)
    bought &= histories.time_s >= start_s - config.lookback_days * SECONDS_PER_DAY
    return np.bincount(histories.item[bought], minlength=len(items))


def _promoted(items: ItemTable, promotions: pa.Table | None) -> np.ndarray:
    promoted = np.zeros(len(items), dtype=bool)
    if promotions is not None and promotions.num_rows:
        rows = items.find(promotions[c.ITEM].unique())
        promoted[rows[rows >= 0]] = True
    return promoted


def _groups(items: ItemTable, demand: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Priced, sold items by (brand, category of the second level); without both, by the last word of the title."""
    sold = np.flatnonzero((demand > 0) & (items.price_micros > 0))
    keys: dict[tuple[str, str], list[int]] = {}
    for row in sold.tolist():
        category = items.category_names[1][items.category[row, 1]]
        brand = items.brand_names[items.brand[row]]
        if items.category[row, 1] == UNKNOWN:
            words = str(items.titles[row]).split()
            category = words[-1].title() if words else ""
        if category:
            keys.setdefault((brand, category), []).append(row)
    return {key: np.asarray(rows) for key, rows in sorted(keys.items()) if len(rows) >= ITEMS_MIN}


def _choose(
    groups: dict[tuple[str, str], np.ndarray],
    demand: np.ndarray,
    count: int,
    config: DemoConfig,
    draw: np.random.Generator,
) -> list[tuple[str, str]]:
    """The groups that advertise, strongest first; a named brand and a category appear three times at most."""
    ranked = sorted(groups, key=lambda key: (-int(demand[groups[key]].sum()), key))
    times: dict[str, int] = {}
    strong: list[tuple[str, str]] = []
    for brand, category in ranked:
        names = [name for name in (brand and "brand " + brand, "category " + category) if name]
        if len(strong) < round(count * (1 - config.weak_share)) and all(times.get(n, 0) < 3 for n in names):
            strong.append((brand, category))
            times.update({n: times.get(n, 0) + 1 for n in names})
    ordinary = [key for key in ranked[: len(ranked) // 2 + 1] if key not in strong]
    extra = min(count - len(strong), len(ordinary))
    picked = draw.permutation(len(ordinary))[:extra].tolist()
    return strong + [ordinary[i] for i in sorted(picked)]


def _money(
    price_micros: np.ndarray, clicks: float, *, tight: bool, config: DemoConfig, draw: np.random.Generator
) -> tuple[int, int]:
    """(bid, total budget): a click is worth margin x conversion rate; the budget is a part of the expected spend.

    Spend is expected at EXPECTED_PRICE of the bid for `clicks` clicks; a tight budget does not reach for them.
    """
    worth = config.margin * float(np.median(price_micros)) * config.conversion_rate
    bid = max(round(worth * draw.uniform(0.8, 1.25)), config.bid_micros_min)
    factor = draw.uniform(*(config.tight if tight else config.loose))
    return bid, max(round(clicks * EXPECTED_PRICE * bid * factor), bid)


def _campaign(
    key: tuple[str, str],
    items: ItemTable,
    rows: np.ndarray,
    flight_s: tuple[int, int],
    bid_micros: int,
    total_micros: int,
    objective: str,
    config: DemoConfig,
) -> Campaign:
    """One advertiser's order for these items."""
    (brand, category), (start_s, end_s) = key, flight_s
    days = (end_s - start_s) / SECONDS_PER_DAY
    daily = min(max(round(total_micros / days), bid_micros), total_micros)
    material = _material(brand, category)
    margin = config.margin * float(np.median(items.price_micros[rows]))
    return Campaign(
        campaign_id=stable_id("c", brand, category, start_s),
        advertiser=material.brand,
        name=f"{material.brand}: {category.split(c.CATEGORY_SEPARATOR)[-1].capitalize()}",
        currency=items.currency,
        flight=Flight(start_s * MICROSECONDS, end_s * MICROSECONDS, total_micros, daily),
        objective=objective,
        bid_micros=bid_micros,
        items=tuple(str(items.ids[row]) for row in rows),
        material=material,
        target_cpa_micros=max(round(margin), 1) if objective == "conversions" else None,
    )


def _material(brand: str, category: str) -> Material:
    name = f"Brand {brand}" if brand.isdigit() else brand or category.split(c.CATEGORY_SEPARATOR)[-1].title()
    return Material(brand=name, logo_text=name, colour_primary=brand_colour(name))


def brand_colour(name: str) -> str:
    """#rrggbb that follows from the name and stands out from white by CONTRAST_MIN at least.

    >>> contrast_with_white(brand_colour("Acme")) >= 4.5
    True
    """
    hue = int(stable_id("colour", name).split("_")[1][:6], 16) / 0xFFFFFF
    for lightness in np.arange(0.45, 0.0, -0.02):
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, float(lightness), 0.7))
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        if contrast_with_white(colour) >= CONTRAST_MIN:
            return colour
    raise AssertionError("a dark enough colour of any hue stands out from white")


def contrast_with_white(colour: str) -> float:
    """WCAG contrast ratio of #rrggbb against #ffffff: 1.05 / (relative luminance + 0.05)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
