"""The brief: everything one banner may say, copied from the feed row and the campaign's material."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROS, NO_CURRENCY

SIZES = ((300, 250), (728, 90), (320, 50))
ANGLES = ("attribute", "price", "brand", "category", "newness")
LOCALES = ("en", "zh")
MIN_DISCOUNT_PERCENT = 5  # a smaller saving is not worth a badge

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥", "JPY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$"}
_NO_DECIMALS = frozenset({"JPY", "KRW"})


@dataclass(frozen=True)
class Offer:
    """What the shopper pays. `was_micros` and `discount_percent` exist only where the feed proves a sale price."""

    price_micros: int | None
    was_micros: int | None
    discount_percent: int | None
    currency: str


@dataclass(frozen=True)
class Brief:
    """One banner to make. `tag` is the interest word that chose the ad; it is kept for the record, never shown."""

    ad_id: str
    item: Item
    material: Material
    offer: Offer
    angle: str
    tag: str
    locale: str
    size: tuple[int, int]


def offer_of(item: Item) -> Offer:
    """The offer in this feed row.

    A price that is missing or not above zero is unknown. There is a was-price only if the sale price is above
    zero and below the price; the percentage is rounded down, so that it never promises too much.
    """
    price = item.price_micros if item.price_micros and item.price_micros > 0 else None
    sale = item.sale_price_micros if item.sale_price_micros and item.sale_price_micros > 0 else None
    if price is None or sale is None or sale >= price:
        return Offer(price, None, None, item.currency)
    percent = (price - sale) * 100 // price
    return Offer(sale, price, percent if percent >= MIN_DISCOUNT_PERCENT else None, item.currency)


def write_brief(
    ad_id: str,
    item: Item,
    material: Material,
    angle: str,
    size: tuple[int, int],
    locale: str | None = None,
    tag: str = "",
) -> Brief:
    """A brief for this ad and size; the locale is the item's unless given.

    Refused (ConfigError): sizes, angles and locales that are not in SIZES, ANGLES, LOCALES.
    """
    locale = locale or ("zh" if item.locale.lower().startswith("zh") else "en")
    for name, value, known in (("size", size, SIZES), ("angle", angle, ANGLES), ("locale", locale, LOCALES)):
        if value not in known:
            raise ConfigError(f"{name} must be one of {known}, got {value!r}; correct the creatives' settings")
    return Brief(ad_id, item, material, offer_of(item), angle, tag, locale, size)


def price_text(micros: int, currency: str, locale: str = "en", round_up: bool = True) -> str:
    """The price as printed: "$2.49", "¥499", "12.50 PLN". Part of a cent is rounded up (down for a was-price).

    >>> price_text(2_490_000, "USD"), price_text(499_000_000, "CNY", "zh"), price_text(12_500_000, "PLN")
    ('$2.49', '¥499', '12.50\\xa0PLN')
    """
    step = Decimal(1) if currency in _NO_DECIMALS else Decimal("0.01")
    rounding = ROUND_CEILING if round_up else ROUND_FLOOR
    amount = (Decimal(micros) / MICROS).quantize(step, rounding=rounding)
    text = f"{amount:,}"
    if currency == "CNY" or locale == "zh":
        text = text.removesuffix(".00")
    symbol = _SYMBOLS.get(currency)
    if symbol:
        return symbol + text
    return text if currency == NO_CURRENCY else f"{text}\u00a0{currency}"


def attributes_of(item: Item) -> dict[str, str]:
    """The feed's attributes as flat text; anything that is not a JSON object of plain values is left out."""
    try:
        found = json.loads(item.attributes or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): str(v) for k, v in found.items() if isinstance(v, str | int | float | bool)}
