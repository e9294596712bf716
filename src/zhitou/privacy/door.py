"""The one door to raw behaviour. Whoever wants prepared events says what for; the refused stay outside.

Each read is noted in `reads.jsonl` beside the data: when, what for, how many subjects were let through and
how many were held back. A test holds that no other module opens the events file.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from zhitou.core import columns as c
from zhitou.core.clock import Clock
from zhitou.core.errors import SourceError
from zhitou.privacy.consent import PURPOSES, ConsentBook, ConsentChange

EVENTS_FILE = "events.parquet"
READS_FILE = "reads.jsonl"


class Door:
    """Reads of one folder of prepared behaviour."""

    def __init__(self, folder: Path, consent: ConsentBook, clock: Clock) -> None:
        self._folder, self._consent, self._clock = folder, consent, clock
        _need(folder)

    def read(self, purpose: str, *, columns: list[str] | None = None) -> pa.Table:
        """Events (EVENT_SCHEMA or the named columns of it) of the subjects who agreed to `purpose`."""
        assert purpose in PURPOSES, f"a purpose is one of {PURPOSES}"
        wanted = None if columns is None else sorted({*columns, c.SUBJECT})
        table = pq.read_table(self._folder / EVENTS_FILE, columns=wanted)
        subjects = pc.unique(table[c.SUBJECT])
        allowed = self._consent.mask(subjects.to_pylist(), purpose)
        if not allowed.all():
            table = table.filter(pc.is_in(table[c.SUBJECT], value_set=subjects.filter(pa.array(allowed))))
        self._note(purpose, allowed)
        return table if columns is None else table.select(columns)

    def _note(self, purpose: str, allowed: np.ndarray) -> None:
        line = {
            "at_us": self._clock.now_us(),
            "purpose": purpose,
            "subjects_read": int(allowed.sum()),
            "subjects_held_back": int((~allowed).sum()),
        }
        with (self._folder / READS_FILE).open("a") as file:
            file.write(json.dumps(line) + "\n")


def _need(folder: Path) -> None:
    """Refused (SourceError): a folder without prepared events."""
    path = folder / EVENTS_FILE
    if not path.exists():
        raise SourceError(f"expected prepared events at {path}, found none; run `zhitou prepare` first")


def consent_from_events(folder: Path, default_granted: tuple[str, ...]) -> ConsentBook:
    """The consent book that the consent and unsubscribe events of this folder make."""
    _need(folder)
    book = ConsentBook(default_granted)
    wanted = [c.SUBJECT, c.KIND, c.OCCURRED_AT, c.CHANNEL, c.CONTEXT]
    kinds = pc.field(c.KIND).isin(["consent", "unsubscribe"])
    for row in pq.read_table(folder / EVENTS_FILE, columns=wanted, filters=kinds).to_pylist():
        at_us = round(row[c.OCCURRED_AT].timestamp() * 1e6)
        if row[c.KIND] == "consent":
            book.record(ConsentChange.from_context(row[c.SUBJECT], at_us, row[c.CONTEXT]))
        else:
            purpose = row[c.CHANNEL] if row[c.CHANNEL] in PURPOSES else "email"
            book.record(ConsentChange(row[c.SUBJECT], at_us, ((purpose, False),)))
    return book
