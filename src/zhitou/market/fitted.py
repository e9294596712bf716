"""What real behaviour before the cut says about the shoppers: the facts that every part of a world reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.events.histories import Histories
from zhitou.market.config import MarketConfig
from zhitou.market.habits import Habits
from zhitou.market.prices import Prices
from zhitou.market.redemption import Redemption
from zhitou.market.shelf import Shelf
from zhitou.market.tastes import Tastes


@dataclass(frozen=True)
class Fitted:
    """H = shoppers, M = items, T = types. subjects: object [H], the pseudonyms of the histories that were fitted to.

    purchases: their purchase lines. type_of_item: int32 [M], from 0 to T - 1.
    """

    subjects: np.ndarray
    items: ItemTable
    config: MarketConfig
    purchases: Histories = field(repr=False)
    type_of_item: np.ndarray = field(repr=False)
    tastes: Tastes = field(repr=False)
    habits: Habits = field(repr=False)
    prices: Prices = field(repr=False)
    redemption: Redemption = field(repr=False)
    shelf: Shelf = field(repr=False)
