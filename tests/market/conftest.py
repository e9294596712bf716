"""A shop that fits in the eye: 40 households, four types of four items, two brands, 120 days."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.market.campaigns import demo_campaigns
from zhitou.market.config import MarketConfig
from zhitou.market.fit import Market

DAY = 86_400
MONDAY = 345_600  # 1970-01-05 00:00 UTC
KINDS = ("milk", "bread", "soup", "soap")


def item_table(rows: list[tuple[str, str | None, str | None, int]]) -> ItemTable:
    """An ItemTable of (id, category, brand, price in micros)."""
    columns = {name: [None] * len(rows) for name in ITEM_SCHEMA.names}
    columns |= {
        "item": [r[0] for r in rows],
        "title": [f"nice {r[0]}" for r in rows],
        "category": [r[1] for r in rows],
        "brand": [r[2] for r in rows],
        "price_micros": [r[3] for r in rows],
        "currency": ["EUR"] * len(rows),
    }
    return ItemTable.from_arrow(pa.table(columns, schema=ITEM_SCHEMA))


def purchases(
    lines: list[tuple[int, int, int]], households: int, price_micros: int | list[int] = 2_000_000
) -> Histories:
    """Histories of purchase lines (household, item row, Unix second), one piece each."""
    order = sorted(range(len(lines)), key=lambda i: (lines[i][0], lines[i][2], lines[i][1]))
    owner, item, time_s = (np.asarray([lines[i][k] for i in order], dtype=np.int64) for k in range(3))
    price = np.broadcast_to(price_micros, len(lines))[order]
    step = np.zeros(len(lines), dtype=np.int32)
    for i in range(1, len(lines)):
        same = owner[i] == owner[i - 1]
        step[i] = step[i - 1] + (time_s[i] != time_s[i - 1]) if same else 0
    return Histories(
        subjects=np.asarray([f"s_{h:03d}" for h in range(households)], dtype=object),
        offsets=np.searchsorted(owner, np.arange(households + 1)),
        item=item.astype(np.int32),
        action=np.full(len(lines), 4, dtype=np.int8),
        time_s=time_s,
        step=step,
        price_micros=price.astype(np.int64),
        quantity=np.ones(len(lines), dtype=np.int64),
    )


@pytest.fixture(scope="session")
def shop() -> SimpleNamespace:
    """A fitted market: household h buys type h % 4 in four lines of five, every other day."""
    items = item_table(
        [
            (f"{kind}{n}", f"food > {kind} > {kind}", "acme" if n else "bolt", 1_000_000 * (n + 1))
            for kind in KINDS
            for n in range(4)
        ]
    )
    draw = np.random.default_rng(0)
    first = {kind: int(items.find(np.asarray([f"{kind}0"]))[0]) for kind in KINDS}
    lines = []
    for household in range(40):
        for day in range(household % 2, 120, 2):
            kind = KINDS[household % 4] if draw.random() < 0.8 else KINDS[draw.integers(4)]
            item = first[kind] + int(draw.integers(4))
            lines.append((household, item, MONDAY + day * DAY + int(draw.integers(8, 20)) * 3_600))
    histories = purchases(lines, 40)
    start_s = MONDAY + 120 * DAY
    config = MarketConfig(visits_per_week=40.0, click_rate=0.05)
    market = Market.fit(histories, items, config=config, chance=Chance(1))
    campaigns = demo_campaigns(histories, items, start_s=start_s, days=7, count=4, chance=Chance(1))
    book = AdBook.build(campaigns, items)
    return SimpleNamespace(
        items=items, histories=histories, start_s=start_s, market=market, campaigns=campaigns, book=book
    )


@pytest.fixture(scope="session")
def make_items():
    """Builds an ItemTable from (id, category, brand, price) rows."""
    return item_table


@pytest.fixture(scope="session")
def make_purchases():
    """Builds Histories from (household, item row, second) lines."""
    return purchases
