"""The catalogue as arrays: every item has a number, and so have its categories, brand and price band.

M = items, L = category levels (LEVELS, broadest first).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from zhitou.catalog.item import Item
from zhitou.core import columns as c
from zhitou.core.errors import NotFoundError
from zhitou.core.units import NO_CURRENCY

LEVELS = 3
PRICE_BANDS = 10  # bands 1..10 are deciles of known prices inside the broadest category; 0 is unknown
UNKNOWN = 0  # code 0 of category and brand is "unknown", so that a missing value is a value on purpose


@dataclass(frozen=True)
class ItemTable:
    """M items as arrays, in the order of `ids` (sorted, so that equal data gives equal numbers).

    category: int32 [M, LEVELS], code of the path down to that level, 0 = unknown; names in category_names.
    brand: int32 [M], 0 = unknown. price_micros, sale_price_micros: int64 [M], -1 = unknown or no sale.
    price_band: int8 [M], 0 = unknown. in_stock: bool [M], false only where the feed says so.
    """

    ids: np.ndarray
    titles: np.ndarray
    category: np.ndarray
    category_names: tuple[tuple[str, ...], ...]
    brand: np.ndarray
    brand_names: tuple[str, ...]
    price_micros: np.ndarray
    price_band: np.ndarray
    currency: str
    sale_price_micros: np.ndarray = field(repr=False)
    in_stock: np.ndarray = field(repr=False)
    locale: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.ids)}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids in order: what item numbers mean."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()

    def row(self, item: str) -> int:
        """The number of this item. Refused: an id that is not in the catalogue."""
        try:
            return self._rows[item]
        except KeyError:
            raise NotFoundError(f"item {item!r} is not in the catalogue; add it to the feed first") from None

    def number(self, item: str) -> int:
        """The number of this item, -1 if it is not in the catalogue; `find` is for many at once."""
        return self._rows.get(item, -1)

    def find(self, items: np.ndarray | pa.ChunkedArray) -> np.ndarray:
        """int32 [N]: numbers of these ids, -1 where an id is missing or not in the catalogue."""
        values = items.combine_chunks() if isinstance(items, pa.ChunkedArray) else pa.array(items, type=pa.string())
        words = values.dictionary_encode()  # each id is looked up once, however often it is asked
        rows = pa.compute.index_in(words.dictionary, value_set=pa.array(self.ids, type=pa.string())).fill_null(-1)
        found = np.append(rows.to_numpy(zero_copy_only=False), -1).astype(np.int32)
        return found[words.indices.fill_null(len(rows)).to_numpy(zero_copy_only=False)]

    def item(self, row: int) -> Item:
        """The item at this number, in words."""
        levels = self.category_names[LEVELS - 1][self.category[row, LEVELS - 1]]
        price, sale = int(self.price_micros[row]), int(self.sale_price_micros[row])
        return Item(
            item=str(self.ids[row]),
            title=str(self.titles[row]),
            category=tuple(levels.split(c.CATEGORY_SEPARATOR)) if levels else (),
            brand=self.brand_names[self.brand[row]] or None,
            price_micros=None if price < 0 else price,
            currency=self.currency,
            sale_price_micros=None if sale < 0 else sale,
            availability="in_stock" if self.in_stock[row] else "out_of_stock",
            image=self.images[row],
            locale=str(self.locale[row]),
        )

    @classmethod
    def from_arrow(cls, table: pa.Table) -> ItemTable:
        """The arrays of a table in ITEM_SCHEMA. Rows are sorted by id; ids must be unique."""
        table = table.sort_by(c.ITEM)
        ids = np.asarray(table[c.ITEM].to_pylist(), dtype=object)
        assert len(set(ids)) == len(ids), "item ids are unique after preparation"
        category, names = _categories(table[c.CATEGORY].to_pylist())
        brand, brand_names = _codes(table[c.BRAND].to_pylist())
        price = table[c.PRICE_MICROS].fill_null(-1).to_numpy().astype(np.int64)
        currencies = sorted({v for v in table[c.CURRENCY].unique().to_pylist() if v})
        assert len(currencies) <= 1, "a prepared catalogue has one currency"
        return cls(
            ids=ids,
            titles=np.asarray(
                [t or i for t, i in zip(table[c.TITLE].to_pylist(), ids, strict=True)], dtype=object
            ),
            category=category,
            category_names=names,
            brand=brand,
            brand_names=brand_names,
            price_micros=price,
            price_band=price_bands(price, category[:, 0]),
            currency=currencies[0] if currencies else NO_CURRENCY,
            sale_price_micros=table[c.SALE_PRICE_MICROS].fill_null(-1).to_numpy().astype(np.int64),
            in_stock=np.asarray([v != "out_of_stock" for v in table[c.AVAILABILITY].to_pylist()], dtype=bool),
            locale=np.asarray([v or "en" for v in table[c.LOCALE].to_pylist()], dtype=object),
            images=np.asarray(table[c.IMAGE].to_pylist(), dtype=object),
        )


def price_bands(price_micros: np.ndarray, group: np.ndarray) -> np.ndarray:
    """int8 [M]: 1..PRICE_BANDS, the decile of a known price inside its group; 0 where the price is unknown."""
    band = np.zeros(len(price_micros), dtype=np.int8)
    known = price_micros >= 0
    order = np.lexsort((price_micros, group))
    order = order[known[order]]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    band[order] = 1 + (rank * PRICE_BANDS) // np.repeat(sizes, sizes)
    return band


def _codes(values: Sequence[str | None]) -> tuple[np.ndarray, tuple[str, ...]]:
    names = ("", *sorted({v for v in values if v}))
    index = {name: code for code, name in enumerate(names)}
    return np.asarray([index.get(v or "", UNKNOWN) for v in values], dtype=np.int32), names


def _categories(paths: Sequence[str | None]) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
    columns, names = [], []
    for level in range(1, LEVELS + 1):
        cut = [c.CATEGORY_SEPARATOR.join((p or "").split(c.CATEGORY_SEPARATOR)[:level]) for p in paths]
        codes, level_names = _codes(cut)
        columns.append(codes)
        names.append(level_names)
    return np.stack(columns, axis=1).reshape(-1, LEVELS), tuple(names)
