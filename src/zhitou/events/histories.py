"""Behaviour as flat arrays, one contiguous slice per subject in time order: what every model reads.

S = subjects, E = events. A *step* is what happened together: the lines of one order, or one click.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.units import MICROSECONDS
from zhitou.events.schema import BEHAVIOUR, KIND_CODE, KINDS


@dataclass(frozen=True)
class Histories:
    """S subjects' events; row s is the slice offsets[s]:offsets[s + 1] of the E-long arrays.

    subjects: object [S], sorted. offsets: int64 [S + 1]. item: int32 [E], row of the ItemTable.
    action: int8 [E], code in events.schema.KINDS. time_s: int64 [E], Unix seconds, not falling inside a row.
    step: int32 [E], counts 0, 1, 2 ... inside a row. price_micros: int64 [E], -1 = unknown.
    quantity: int64 [E], 1 where unknown.
    """

    subjects: np.ndarray
    offsets: np.ndarray
    item: np.ndarray
    action: np.ndarray
    time_s: np.ndarray
    step: np.ndarray
    price_micros: np.ndarray
    quantity: np.ndarray

    def __len__(self) -> int:
        return len(self.subjects)

    @property
    def subject_of_event(self) -> np.ndarray:
        """int64 [E]: the row that each event belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def keep(self, mask: np.ndarray) -> Histories:
        """The same subjects with only the events where `mask` (bool [E]) holds; steps are counted anew."""
        owner = self.subject_of_event[mask]
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(np.bincount(owner, minlength=len(self)), out=offsets[1:])
        return Histories(
            self.subjects,
            offsets,
            self.item[mask],
            self.action[mask],
            self.time_s[mask],
            _renumber(owner, self.step[mask], offsets),
            self.price_micros[mask],
            self.quantity[mask],
        )

    def before(self, cut_s: int) -> Histories:
        """What was known strictly before `cut_s` (Unix seconds); every subject stays, perhaps with no event."""
        return self.keep(self.time_s < cut_s)

    def since(self, cut_s: int) -> Histories:
        """What happened at `cut_s` or later."""
        return self.keep(self.time_s >= cut_s)

    def select(self, rows: np.ndarray) -> Histories:
        """Only these subjects (int [N] rows), in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        sizes = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offsets[1:])
        take = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], sizes)
        return Histories(
            self.subjects[rows],
            offsets,
            self.item[take],
            self.action[take],
            self.time_s[take],
            self.step[take],
            self.price_micros[take],
            self.quantity[take],
        )

    def extended(
        self,
        owner: np.ndarray,
        item: np.ndarray,
        action: np.ndarray,
        time_s: np.ndarray,
        price_micros: np.ndarray,
        quantity: np.ndarray,
        group: np.ndarray,
    ) -> Histories:
        """The same subjects with n more events, all [n]; owner: row of each. Events of one owner, second and group
        (an order's number) are one step. What is added must not be older than the owner's last event."""
        owners = np.concatenate([self.subject_of_event, owner])
        groups = np.concatenate([self.step.astype(np.int64), 1 + int(self.step.max(initial=0)) + group])
        joined = {
            "item": np.concatenate([self.item, item]),
            "action": np.concatenate([self.action, action]),
            "time_s": np.concatenate([self.time_s, time_s]),
            "price_micros": np.concatenate([self.price_micros, price_micros]),
            "quantity": np.concatenate([self.quantity, quantity]),
        }
        order = np.lexsort((groups, joined["time_s"], owners))
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(np.bincount(owners, minlength=len(self)), out=offsets[1:])
        arrays = {name: values[order].astype(getattr(self, name).dtype) for name, values in joined.items()}
        return Histories(
            subjects=self.subjects, offsets=offsets, step=_renumber(owners[order], groups[order], offsets), **arrays
        )

    def shifted(self, seconds: int) -> Histories:
        """The same behaviour, `seconds` later: to replay old data as if it were recent. Says so nowhere: you must."""
        return replace(self, time_s=self.time_s + seconds)

    def row(self, subject: str) -> int:
        """The row of this subject, -1 if there is none."""
        at = int(np.searchsorted(self.subjects, subject))
        return at if at < len(self) and self.subjects[at] == subject else -1

    @classmethod
    def from_arrow(cls, events: pa.Table, items: ItemTable) -> Histories:
        """The behaviour in a table of EVENT_SCHEMA; events without a known item and other kinds are left out."""
        events = events.filter(pc.is_in(events[c.KIND], value_set=pa.array(BEHAVIOUR)))
        item = items.find(events[c.ITEM])
        kind = pc.index_in(events[c.KIND], value_set=pa.array(KINDS)).to_numpy(zero_copy_only=False)
        codes = events[c.SUBJECT].combine_chunks().dictionary_encode()
        names = np.asarray(codes.dictionary.to_pylist(), dtype=object)
        rank = np.argsort(np.argsort(names)) if len(names) else np.zeros(0, dtype=np.int64)
        owner = rank[codes.indices.to_numpy()] if len(names) else np.zeros(0, dtype=np.int64)
        time_us = events[c.OCCURRED_AT].cast(pa.int64()).to_numpy()
        order = pc.fill_null(events[c.ORDER_ID], "").combine_chunks().dictionary_encode().indices.to_numpy()
        sort = np.lexsort((item, kind, order, time_us, owner))
        sort = sort[item[sort] >= 0]
        owner, time_us, order = owner[sort], time_us[sort], order[sort]
        offsets = np.zeros(len(names) + 1, dtype=np.int64)
        np.cumsum(np.bincount(owner, minlength=len(names)), out=offsets[1:])
        new = np.ones(len(owner), dtype=bool)
        new[1:] = (time_us[1:] != time_us[:-1]) | (order[1:] != order[:-1]) | (owner[1:] != owner[:-1])
        return cls(
            subjects=np.sort(names),
            offsets=offsets,
            item=item[sort],
            action=kind[sort].astype(np.int8),
            time_s=time_us // MICROSECONDS,
            step=_renumber(owner, np.cumsum(new), offsets),
            price_micros=pc.fill_null(events[c.PRICE_MICROS], -1).to_numpy()[sort],
            quantity=pc.fill_null(events[c.QUANTITY], 1).to_numpy()[sort],
        )


PURCHASE = KIND_CODE["purchase"]


def _renumber(owner: np.ndarray, step: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Steps counted from 0 without gaps inside each subject."""
    if len(owner) == 0:
        return np.zeros(0, dtype=np.int32)
    new = np.ones(len(owner), dtype=np.int64)
    new[1:] = (step[1:] != step[:-1]) | (owner[1:] != owner[:-1])
    count = np.cumsum(new) - 1
    first = count[offsets[:-1][np.diff(offsets) > 0]]
    sizes = np.diff(offsets)
    numbered: np.ndarray = (count - np.repeat(first, sizes[sizes > 0])).astype(np.int32)
    return numbered
