"""A shop that fits in the eye: five items, two ads, a few shoppers."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.events.schema import EVENT_SCHEMA

DAY = 86_400
T0 = 1_700_006_400  # 2023-11-15 00:00:00 UTC


def _items():
    rows = [
        ("milk", "food > dairy > milk", "own", 1_000_000),
        ("butter", "food > dairy > butter", "own", 2_000_000),
        ("toast", "food > bread > toast", "other", 3_000_000),
        ("towel", "home > bath > towel", "other", 8_000_000),
        ("thing", None, None, None),
    ]
    names = ("item", "category", "brand", "price_micros")
    dicts = [{**dict(zip(names, row, strict=True)), "title": row[0], "currency": "EUR"} for row in rows]
    return ItemTable.from_arrow(pa.Table.from_pylist(dicts, schema=ITEM_SCHEMA))


@pytest.fixture(scope="session")
def items():
    return _items()


@pytest.fixture(scope="session")
def book(items):
    """Ad 0 is milk, ad 1 is towel, both of one campaign."""
    flight = Flight(0, 10**18, 10**9, 10**9)
    material = Material("b", "b", "#000000")
    return AdBook.build(
        (Campaign("c", "a", "n", "EUR", flight, "clicks", 100_000, ("milk", "towel"), material),), items
    )


@pytest.fixture(scope="session")
def make_events():
    """Rows of (subject, kind, item, occurred_s, order, price, quantity, received_s) as a table of EVENT_SCHEMA."""

    def make(rows):
        dicts = []
        for i, row in enumerate(rows):
            subject, kind, item, at_s, order, price, quantity, received_s = (*row, *[None] * (8 - len(row)))
            dicts.append(
                {
                    "event_id": f"e{i}",
                    "tenant": "t",
                    "subject": subject,
                    "kind": kind,
                    "item": item,
                    "quantity": quantity,
                    "price_micros": price,
                    "occurred_at": datetime.fromtimestamp(at_s, UTC),
                    "received_at": datetime.fromtimestamp(at_s if received_s is None else received_s, UTC),
                    "order_id": order,
                }
            )
        return pa.Table.from_pylist(dicts, schema=EVENT_SCHEMA)

    return make
