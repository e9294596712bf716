"""Segment's own form: one message per line (track, page, identify ...), as its SDKs and RudderStack's send them.

`events_of` turns one message into rows of the contract; the file reader and a server use the same function.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.core.units import MICROS, NO_CURRENCY
from zhitou.events.engine import THREADS, open_engine, stored
from zhitou.events.sources.raw import (
    ITEM_TYPES,
    RAW_SUBJECT,
    RAW_TYPES,
    REFUSED,
    WORD_TYPES,
    RawBehaviour,
    in_memory,
)
from zhitou.events.sources.tables import NO_JSON, NOT_UTF8, find_files

NO_BEHAVIOUR = "message that carries no behaviour"
NO_PRODUCTS = "order without products"

# Segment's e-commerce events, and ours. One product or promotion each, or one row per product.
KIND_OF = {
    "product viewed": "view",
    "product clicked": "click",
    "products searched": "search",
    "product added": "add_to_cart",
    "product removed": "remove_from_cart",
    "product added to wishlist": "favourite",
    "order completed": "purchase",
    "completed order": "purchase",  # the name it had in version 1
    "order refunded": "refund",
    "order cancelled": "refund",
    "product list viewed": "impression",
    "products viewed": "impression",
    "promotion viewed": "impression",
    "promotion clicked": "click",
    "email delivered": "send",
    "email opened": "open",
    "email link clicked": "click",
    "unsubscribed": "unsubscribe",
}
PER_PRODUCT = (
    "order completed",
    "completed order",
    "order refunded",
    "order cancelled",
    "product list viewed",
    "products viewed",
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Row = dict[str, Any]


def events_of(message: Mapping[str, Any], received_us: int | None = None) -> list[Row]:
    """The rows of RAW_TYPES (without source_row) that one message makes; never none: what says nothing is refused.

    messageId is the dedup key (messageId/0, /1 ... for the products of an order). The time is corrected for the
    sender's wrong clock: timestamp = receivedAt - (sentAt - originalTimestamp). The subject is userId, else
    anonymousId. received_us: when we got it, where the message does not say.
    """
    name = str(message.get("event") or "").strip().lower()
    properties = message.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    received = _time_us(message.get("receivedAt")) or received_us
    shared: Row = {
        c.EVENT_ID: _text(message.get("messageId")),
        RAW_SUBJECT: _text(message.get("userId")) or _text(message.get("anonymousId")),
        c.OCCURRED_AT: _occurred_us(message, received),
        c.RECEIVED_AT: received,
        c.SESSION: _session(message),
        c.CHANNEL: "email" if name.startswith(("email", "unsubscribed")) else _text(message.get("channel")) or "web",
        c.DECISION_ID: _text(properties.get("decision_id")),
        c.ORDER_ID: _text(properties.get("order_id")),
        c.CONTEXT: _context(message, properties),
        c.KIND: KIND_OF.get(name),
    }
    if message.get("type", "track") != "track" or name not in KIND_OF:
        return [{**shared, REFUSED: NO_BEHAVIOUR}]
    if name not in PER_PRODUCT:
        return [{**shared, **_product(properties, properties)}]
    products = properties.get("products")
    products = [p for p in products if isinstance(p, dict)] if isinstance(products, list) else []
    if not products:
        return [{**shared, REFUSED: NO_PRODUCTS}]
    rows = [{**shared, **_product(product, properties)} for product in products]
    if shared[c.EVENT_ID] is not None:
        for number, row in enumerate(rows):
            row[c.EVENT_ID] = f"{shared[c.EVENT_ID]}/{number}"
    return rows


def _product(product: Mapping[str, Any], properties: Mapping[str, Any]) -> Row:
    price, price_bad = _micros(product.get("price"))
    quantity, quantity_bad = _whole(product.get("quantity"))
    currency = _text(product.get("currency")) or _text(properties.get("currency"))
    return {
        c.ITEM: _text(product.get("product_id")) or _text(product.get("sku")),
        c.QUANTITY: quantity,
        c.PRICE_MICROS: price,
        c.CURRENCY: currency.upper() if currency and price is not None else None,
        REFUSED: "unreadable price" if price_bad else "unreadable quantity" if quantity_bad else None,
    }


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list | bool):
        return None
    return str(value).strip() or None


def _decimal(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < 10**12 else None


def _micros(value: Any) -> tuple[int | None, bool]:
    """The amount in micros, and whether something is there that is no amount."""
    if _text(value) is None:
        return None, value not in (None, "")
    number = _decimal(value)
    return (None, True) if number is None else (round(number * MICROS), False)


def _whole(value: Any) -> tuple[int | None, bool]:
    if _text(value) is None:
        return None, value not in (None, "")
    number = _decimal(value)
    return (None, True) if number is None or number != int(number) else (int(number), False)


def _time_us(value: Any) -> int | None:
    """UTC microseconds of ISO 8601 text; a time without an offset is UTC."""
    if not isinstance(value, str):
        return None
    try:
        at = dt.datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return (at - _EPOCH) // dt.timedelta(microseconds=1)


def _occurred_us(message: Mapping[str, Any], received_us: int | None) -> int | None:
    sent, original = _time_us(message.get("sentAt")), _time_us(message.get("originalTimestamp"))
    if None not in (received_us, sent, original):
        assert received_us is not None, "checked above"
        assert sent is not None, "checked above"
        assert original is not None, "checked above"
        return received_us - (sent - original)
    return _time_us(message.get("timestamp")) or original or received_us


def _session(message: Mapping[str, Any]) -> str | None:
    context = message.get("context")
    return _text(context.get("sessionId")) if isinstance(context, dict) else None


def _context(message: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
    """The few words of a message that are about no person: what was searched, shown, or clicked through."""
    kept = {key: _text(properties.get(key)) for key in ("query", "list_id", "promotion_id", "coupon", "position")}
    context = message.get("context")
    campaign = context.get("campaign") if isinstance(context, dict) else None
    if isinstance(campaign, dict):
        kept["campaign"] = _text(campaign.get("name"))
    said = {key: value for key, value in kept.items() if value is not None}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")) if said else None


def read_segment(data: Path, threads: int = THREADS) -> RawBehaviour:
    """The messages in a .jsonl file (also .gz) or a folder of them; every line is handed over or refused.

    Refused (SourceError): missing or empty files, a gzip cut short.
    """
    rows: list[Row] = []
    words: list[Row] = []
    items: dict[str, Row] = {}
    counts: Counter[str] = Counter()
    for message, fault in _messages(find_files(data, "*")):
        counts["messages"] += 1
        for row in [{REFUSED: fault}] if message is None else events_of(message):
            rows.append({**row, c.SOURCE_ROW: len(rows) + 1})
            if row.get(REFUSED) is not None and message is not None:
                words.append({c.SOURCE_ROW: len(rows), c.RAW: _words(message)})
        if message is not None:
            _note_items(message, items)
    engine = open_engine(threads)
    currencies = Counter(row[c.CURRENCY] for row in rows if row.get(c.CURRENCY))
    counts["rows"] = len(rows)
    counts["shoppers"] = len({row.get(RAW_SUBJECT) for row in rows} - {None})
    return RawBehaviour(
        name="segment",
        about="Messages in Segment's form, from the user's own shop.",
        currency=min(currencies, key=lambda code: (-currencies[code], code)) if currencies else NO_CURRENCY,
        engine=engine,
        events=stored(engine, "messages", in_memory(rows, RAW_TYPES)),
        items=stored(engine, "feed", in_memory([items[key] for key in sorted(items)], ITEM_TYPES)),
        facts=dict(counts),
        words=stored(engine, "words", in_memory(words, WORD_TYPES)),
        has_prices=bool(currencies),
    )


def _messages(paths: list[Path]) -> Iterator[tuple[Mapping[str, Any] | None, str | None]]:
    """Each line's message, or None and what is wrong with it; blank lines are no lines."""
    for path in paths:
        try:
            with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
                for line in file:
                    if line.strip():
                        yield _message(line)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"could not read {path} to its end: {error}; fetch or export it anew") from None


def _message(line: bytes) -> tuple[Mapping[str, Any] | None, str | None]:
    try:
        message = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None, NOT_UTF8
    except ValueError:
        return None, NO_JSON
    return (message, None) if isinstance(message, dict) else (None, NO_JSON)


def _words(message: Mapping[str, Any]) -> str:
    """What the quarantine keeps of a message: its names, none of its person."""
    kept = {key: _text(message.get(key)) for key in ("type", "event", "messageId", "timestamp")}
    return json.dumps({key: value for key, value in kept.items() if value is not None}, ensure_ascii=False)


def _note_items(message: Mapping[str, Any], items: dict[str, Row]) -> None:
    """Remember each product's words; the latest message that says them wins."""
    properties = message.get("properties")
    if not isinstance(properties, dict):
        return
    listed = properties.get("products")
    for product in listed if isinstance(listed, list) else [properties]:
        item = (_text(product.get("product_id")) or _text(product.get("sku"))) if isinstance(product, dict) else None
        if item is None:
            continue
        currency = _text(product.get("currency")) or _text(properties.get("currency"))
        price = _micros(product.get("price"))[0]
        said = {
            c.TITLE: _text(product.get("name")),
            c.CATEGORY: _text(product.get("category")),
            c.BRAND: _text(product.get("brand")),
            c.IMAGE: _text(product.get("image_url")),
            c.PRICE_MICROS: price if price and price > 0 else None,
            c.CURRENCY: currency.upper() if currency else None,
        }
        known = items.setdefault(item, {c.ITEM: item, c.AVAILABILITY: "in_stock", c.LOCALE: "en", c.ATTRIBUTES: "{}"})
        known.update({key: value for key, value in said.items() if value is not None})
