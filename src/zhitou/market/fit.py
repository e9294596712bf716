"""Fits the market to real behaviour before the cut, and opens worlds on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.events.histories import PURCHASE, Histories
from zhitou.market.config import MarketConfig
from zhitou.market.fitted import Fitted
from zhitou.market.habits import fit_habits
from zhitou.market.plan import Plan, draw_plan
from zhitou.market.prices import fit_prices
from zhitou.market.redemption import fit_redemption
from zhitou.market.shelf import stock_shelf
from zhitou.market.tastes import fit_tastes, product_types
from zhitou.market.world import World


@dataclass(frozen=True)
class Market(Fitted):
    """A fitted market: the facts, and the worlds that follow from them."""

    _last_plan: dict[tuple[object, ...], Plan] = field(repr=False, default_factory=dict)

    @classmethod
    def fit(
        cls,
        histories: Histories,
        items: ItemTable,
        *,
        promotions: pa.Table | None = None,
        responses: pa.Table | None = None,
        config: MarketConfig | None = None,
        chance: Chance,
    ) -> Market:
        """The market that these histories (everything known before the cut) make.

        promotions: item, week, stores_display, stores_mailer. responses: EVENT_SCHEMA, kinds send and conversion.
        Refused (SourceError): histories without a single purchase.
        """
        config = config or MarketConfig()
        purchases = histories.keep(histories.action == PURCHASE)
        if len(purchases.item) == 0:
            raise SourceError("expected purchases to fit a market to, found none; map an order table to events first")
        sold = np.bincount(purchases.item, minlength=len(items))
        kind, types = product_types(items, sold, config.loose_types_max)
        end_s = int(purchases.time_s.max()) + 1
        return cls(
            subjects=histories.subjects,
            items=items,
            config=config,
            purchases=purchases,
            type_of_item=kind,
            tastes=fit_tastes(purchases, kind, types, config, chance.stream("market-tastes")),
            habits=fit_habits(purchases, kind, types),
            prices=fit_prices(purchases, items, kind, types, promotions),
            redemption=fit_redemption(responses, end_s, config),
            shelf=stock_shelf(purchases, kind, types, len(items)),
        )

    def world(self, book: AdBook, chance: Chance, start_s: int, days: int) -> World:
        """A fresh world: these shoppers over `days` days from `start_s` (whole hours), with the ads of `book`.

        The same seed draws the same visits, tastes and uniforms whatever is shown, so that policies can be compared
        pairwise. The draws of the last seed are kept, so that a second policy costs next to nothing.
        """
        key = (chance.seed, start_s, days, book.ad_ids, book.price_micros.tobytes())
        if key not in self._last_plan:
            self._last_plan.clear()
            self._last_plan[key] = draw_plan(self, book, chance, start_s, days)
        return World(self._last_plan[key])
