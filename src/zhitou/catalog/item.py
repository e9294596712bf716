"""An item of the catalogue, and the Arrow schema of `items.parquet`."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from zhitou.core import columns as c

ITEM_SCHEMA = pa.schema(
    [
        pa.field(c.ITEM, pa.string(), nullable=False),
        pa.field(c.TITLE, pa.string()),
        pa.field(c.DESCRIPTION, pa.string()),
        pa.field(c.CATEGORY, pa.string()),  # "GROCERY > SOFT DRINKS > COLA"
        pa.field(c.BRAND, pa.string()),
        pa.field(c.PRICE_MICROS, pa.int64()),
        pa.field(c.SALE_PRICE_MICROS, pa.int64()),
        pa.field(c.CURRENCY, pa.string()),
        pa.field(c.AVAILABILITY, pa.string()),  # in_stock, out_of_stock
        pa.field(c.IMAGE, pa.string()),
        pa.field(c.LOCALE, pa.string()),
        pa.field(c.ATTRIBUTES, pa.string()),  # small JSON object
    ]
)


@dataclass(frozen=True)
class Item:
    """One thing that can be sold. Prices are micros of `currency`; None means unknown, never zero."""

    item: str
    title: str
    category: tuple[str, ...]
    brand: str | None
    price_micros: int | None
    currency: str
    sale_price_micros: int | None = None
    availability: str = "in_stock"
    description: str = ""
    image: str | None = None
    locale: str = "en"
    attributes: str = "{}"
