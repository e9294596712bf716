"""Behaviour before a moment as one flat table of numbers: what tags, segments and rules are made from.

S = subjects, E = acts. An act is one line of behaviour about a known item. A *basket* is what was bought together:
the lines of one order, or of one second where no order is named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.core.units import MICROSECONDS
from zhitou.events.schema import BEHAVIOUR
from zhitou.features.cells import CATEGORY_LEVEL, TYPE_LEVEL
from zhitou.features.decay import TASTE_HALF_LIFE_DAYS, weight

COLUMNS = [c.SUBJECT, c.KIND, c.ITEM, c.QUANTITY, c.PRICE_MICROS, c.OCCURRED_AT, c.RECEIVED_AT, c.ORDER_ID]
# How much an act says of taste, in purchases. Chosen by hand: the nearer to paying, the more.
POINTS = {
    "purchase": 1.0,
    "add_to_cart": 0.5,
    "favourite": 0.5,
    "click": 0.2,
    "view": 0.1,
    "search": 0.1,
    "remove_from_cart": 0.0,
}
POINT = 1_000_000  # points are whole millionths, so that their sums do not depend on the order of adding
PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")  # six hours each from midnight, UTC
PRICE_LEVELS = ("low", "middle", "high")  # bands 1-3, 4-7, 8-10


@dataclass(frozen=True)
class Acts:
    """E acts of S subjects before `at_s`.

    table: subject int32 (position in subjects), basket int64, item, category, type, brand int32 (codes of the
    ItemTable, 0 = unknown), price_level, part int8, time_s int64, points int64, bought bool, spend_micros int64
    (0 unless bought at a known price), quantity int64. subjects: sorted; only those with an act.
    """

    table: pa.Table
    subjects: np.ndarray
    at_s: int

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> np.ndarray:
        """One column as numpy."""
        return self.table[name].to_numpy()

    @classmethod
    def build(cls, events: pa.Table, items: ItemTable, at_s: int) -> Acts:
        """The acts in `events` (at least COLUMNS of EVENT_SCHEMA) that happened before `at_s` and were known then.

        Refused (SourceError): no act at all, from which nothing could be learnt.
        """
        item = _items(events[c.ITEM], items)
        keep = pc.is_in(events[c.KIND], value_set=pa.array(BEHAVIOUR)).to_numpy(zero_copy_only=False) & (item >= 0)
        time_s = events[c.OCCURRED_AT].cast(pa.int64()).to_numpy() // MICROSECONDS
        keep &= time_s < at_s
        keep &= events[c.RECEIVED_AT].cast(pa.int64()).to_numpy() <= at_s * MICROSECONDS
        if not keep.any():
            raise SourceError(f"expected behaviour before Unix second {at_s}, found none; choose a later cut")
        if not keep.all():
            events, item, time_s = events.filter(pa.array(keep)), item[keep], time_s[keep]
        subject, subjects = _codes(events[c.SUBJECT])
        bought, points = _worth(events[c.KIND], time_s, at_s)
        quantity = pc.fill_null(events[c.QUANTITY], 1).to_numpy()
        price = pc.fill_null(events[c.PRICE_MICROS], 0).to_numpy()
        band = items.price_band[item]
        arrays = {
            "subject": subject,
            "basket": _baskets(subject, events[c.ORDER_ID], time_s),
            "item": item,
            "category": items.category[item, CATEGORY_LEVEL],
            "type": items.category[item, TYPE_LEVEL],
            "brand": items.brand[item],
            "price_level": np.where(band > 0, 1 + (band > 3) + (band > 7), 0).astype(np.int8),
            "part": ((time_s % 86_400) // 21_600 + 1).astype(np.int8),
            "time_s": time_s,
            "points": points,
            "bought": bought,
            "spend_micros": np.where(bought, price * quantity, 0),
            "quantity": quantity,
        }
        return cls(pa.table(arrays), subjects, at_s)


def _items(ids: pa.ChunkedArray, items: ItemTable) -> np.ndarray:
    """int32 [N] rows of the catalogue, -1 = none; each distinct id is looked up once."""
    coded = ids.combine_chunks().dictionary_encode()
    rows = np.append(items.find(coded.dictionary), np.int32(-1))
    return rows[pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)]


def _codes(values: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """int32 [N] codes in order of the sorted distinct values, and those values."""
    coded = values.combine_chunks().dictionary_encode()
    names = np.asarray(coded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names)
    rank = np.empty(len(names), dtype=np.int32)
    rank[order] = np.arange(len(names), dtype=np.int32)
    return rank[coded.indices.to_numpy()], names[order]


def _worth(kind: pa.ChunkedArray, time_s: np.ndarray, at_s: int) -> tuple[np.ndarray, np.ndarray]:
    coded = kind.combine_chunks().dictionary_encode()
    kinds = coded.dictionary.to_pylist()
    code = coded.indices.to_numpy()
    fade = weight(time_s, TASTE_HALF_LIFE_DAYS) / weight(np.array([at_s]), TASTE_HALF_LIFE_DAYS)
    worth = np.array([POINTS[k] for k in kinds])[code]
    return np.array([k == "purchase" for k in kinds])[code], np.rint(worth * fade * POINT).astype(np.int64)


def _baskets(subject: np.ndarray, order_id: pa.ChunkedArray, time_s: np.ndarray) -> np.ndarray:
    """int64 [E]: the same number for lines of one subject's order, or of one second if the order has no id."""
    coded = order_id.combine_chunks().dictionary_encode()
    order = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    orders = len(coded.dictionary)
    named = order * (int(subject.max()) + 1) + subject
    if (order >= 0).all():
        return named
    seconds, second = np.unique(time_s, return_inverse=True)
    alone = orders * (int(subject.max()) + 1) + subject.astype(np.int64) * len(seconds) + second
    return np.where(order >= 0, named, alone)
