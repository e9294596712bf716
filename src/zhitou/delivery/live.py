"""Histories that grow: the prepared past of each shopper, and what has come in since."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from zhitou.core.units import MICROSECONDS
from zhitou.events.histories import Histories

STEP_S = 1  # what arrives for one shopper within a second is one step


class LiveHistories:
    """The past (Histories) and the fresh events of each subject."""

    def __init__(self, past: Histories) -> None:
        self._past = past
        self._fresh: dict[str, list[tuple[int, int, int, int, int]]] = defaultdict(list)
        self._forgotten: set[str] = set()

    def add(self, subject: str, item: int, kind: int, at_us: int, price_micros: int, quantity: int) -> None:
        """One more fact: item is a row of the ItemTable, kind a code of events.schema.KINDS."""
        self._fresh[subject].append((at_us // MICROSECONDS, item, kind, price_micros, quantity))

    def forget(self, subject: str) -> None:
        """From now on this subject has no past."""
        self._forgotten.add(subject)
        self._fresh.pop(subject, None)

    def of(self, subject: str) -> Histories:
        """The whole history of one subject, in time order; empty for someone unknown."""
        row = -1 if subject in self._forgotten else self._past.row(subject)
        past = self._past.select(np.asarray([row] if row >= 0 else [], dtype=np.int64))
        fresh = sorted(self._fresh.get(subject, []))
        new = np.asarray(fresh, dtype=np.int64).reshape(len(fresh), 5)
        time_s = np.concatenate([past.time_s, new[:, 0]])
        order = np.argsort(time_s, kind="stable")
        time_s = time_s[order]
        joined = np.concatenate([past.step.astype(np.int64), np.full(len(new), -1)])[order]
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (time_s[1:] - time_s[:-1] >= STEP_S) | (joined[1:] != joined[:-1])
        return Histories(
            subjects=np.asarray([subject], dtype=object),
            offsets=np.asarray([0, len(order)], dtype=np.int64),
            item=np.concatenate([past.item, new[:, 1].astype(np.int32)])[order],
            action=np.concatenate([past.action, new[:, 2].astype(np.int8)])[order],
            time_s=time_s,
            step=(np.cumsum(begins) - 1).astype(np.int32),
            price_micros=np.concatenate([past.price_micros, new[:, 3]])[order],
            quantity=np.concatenate([past.quantity, new[:, 4]])[order],
        )
