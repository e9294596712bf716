"""The event: the one fact everything else is made of. docs/events.md explains each field to its senders."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from zhitou.core import columns as c

# Order is the contract: the position of a kind is its code in arrays and on disk. Append, never reorder.
KINDS = (
    "view",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "purchase",
    "favourite",
    "impression",
    "click",
    "conversion",
    "refund",
    "consent",
    "send",
    "open",
    "unsubscribe",
)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}

# Kinds that say what a shopper wants; the interest model reads these and no others.
BEHAVIOUR = ("view", "search", "add_to_cart", "remove_from_cart", "purchase", "favourite", "click")

EVENT_SCHEMA = pa.schema(
    [
        pa.field(c.EVENT_ID, pa.string(), nullable=False),
        pa.field(c.TENANT, pa.string(), nullable=False),
        pa.field(c.SUBJECT, pa.string(), nullable=False),
        pa.field(c.KIND, pa.string(), nullable=False),
        pa.field(c.ITEM, pa.string()),
        pa.field(c.QUANTITY, pa.int64()),
        pa.field(c.PRICE_MICROS, pa.int64()),  # of one piece, after discounts
        pa.field(c.CURRENCY, pa.string()),
        pa.field(c.OCCURRED_AT, pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field(c.RECEIVED_AT, pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field(c.SESSION, pa.string()),
        pa.field(c.CHANNEL, pa.string()),
        pa.field(c.DECISION_ID, pa.string()),
        pa.field(c.ORDER_ID, pa.string()),
        pa.field(c.CONTEXT, pa.string()),  # small JSON object
    ]
)


@dataclass(frozen=True)
class Event:
    """One fact about one shopper. `subject` is a pseudonym, never an e-mail address; times are UTC microseconds.

    `occurred_us` is when it happened, `received_us` when we learnt of it; a late row has a gap between the two.
    `price_micros` is the price of one piece after discounts. None means unknown, never zero.
    """

    event_id: str
    tenant: str
    subject: str
    kind: str
    occurred_us: int
    received_us: int
    item: str | None = None
    quantity: int | None = None
    price_micros: int | None = None
    currency: str | None = None
    session: str | None = None
    channel: str | None = None
    decision_id: str | None = None
    order_id: str | None = None
    context: str | None = None
