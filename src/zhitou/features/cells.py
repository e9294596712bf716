"""What an ad can be looked up by: its item, the item's finest category, its category, its brand, its campaign.

K = ads, M = items. A *cell* numbers the things that ads are about and nothing else, so that a shopper's state is
as wide as the book of ads, not as the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.table import LEVELS, UNKNOWN, ItemTable
from zhitou.features.protocol import Key

CATEGORY_LEVEL = min(1, LEVELS - 1)  # the second level: "frozen pizza" in "grocery > frozen pizza > thin crust"
TYPE_LEVEL = LEVELS - 1  # the finest level


@dataclass(frozen=True)
class Lookup:
    """Cells of one kind. code: int32 [W], what each cell stands for; of_ad: int32 [K]; of_item: int32 [M], -1 = none.

    known: bool [W]: False for the cell of "unknown", into which nothing is ever written. codes: how many there
    are in the whole catalogue.
    """

    code: np.ndarray
    of_ad: np.ndarray
    of_item: np.ndarray
    known: np.ndarray
    codes: int

    def __len__(self) -> int:
        return len(self.code)

    @property
    def key(self) -> Key:
        """Each ad reads the cell of its own code."""
        return Key(len(self.code), self.of_ad)

    @classmethod
    def build(cls, code_of_item: np.ndarray, items_of_ads: np.ndarray, codes: int, unknown: int) -> Lookup:
        """Cells for the codes that ads have, in order of code; `unknown` is the code that means nothing."""
        code, of_ad = np.unique(code_of_item[items_of_ads], return_inverse=True)
        cell = np.full(codes + 1, -1, dtype=np.int32)
        cell[code] = np.arange(len(code))
        known = code != unknown
        cell[code[~known]] = -1
        return cls(code, of_ad.astype(np.int32).reshape(-1), cell[code_of_item], known, codes)


@dataclass(frozen=True)
class AdCells:
    """The lookups of one book of ads. campaign: int32 [K]; price_micros: int64 [W items], -1 = unknown."""

    item: Lookup
    type: Lookup
    category: Lookup
    brand: Lookup
    campaign: np.ndarray
    campaigns: int
    price_micros: np.ndarray
    price_band: np.ndarray

    @property
    def ads(self) -> int:
        """How many ads there are."""
        return len(self.campaign)

    @property
    def per_ad(self) -> Key:
        """A column with one cell per ad."""
        return Key(self.ads, np.arange(self.ads, dtype=np.int32))

    @property
    def per_shopper(self) -> Key:
        """A column that is the same for all ads."""
        return Key(1, np.zeros(self.ads, dtype=np.int32))

    @classmethod
    def build(cls, items: ItemTable, book: AdBook) -> AdCells:
        """The lookups of this book over this catalogue."""
        rows = np.arange(len(items), dtype=np.int32)
        item = Lookup.build(rows, book.item, len(items), unknown=-1)
        type_, category = (
            Lookup.build(items.category[:, level], book.item, len(items.category_names[level]), UNKNOWN)
            for level in (TYPE_LEVEL, CATEGORY_LEVEL)
        )
        return cls(
            item=item,
            type=type_,
            category=category,
            brand=Lookup.build(items.brand, book.item, len(items.brand_names), UNKNOWN),
            campaign=book.campaign.astype(np.int32),
            campaigns=len(book.campaigns),
            price_micros=items.price_micros[item.code],
            price_band=items.price_band[item.code],
        )
