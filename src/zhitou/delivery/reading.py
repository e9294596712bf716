"""The store's log as another process reads it, while the shop writes: no lock is taken, nobody waits.

Rows come in the order in which they were written, each with its place, so that a reader goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from zhitou.core.errors import NotFoundError
from zhitou.delivery.store import _DECISIONS, _EVENTS, _FIELDS, PAGE_ROWS
from zhitou.events.schema import Event

_PLACE: sa.ColumnElement[int] = sa.literal_column("rowid", sa.BigInteger)
_RECEIPTS_AT_A_TIME = 500  # a receipt holds all candidates: tens of kilobytes


class LogReader:
    """Decisions and events of one store, in the order of writing. Refused (NotFoundError): there is no store."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise NotFoundError(f"expected a store at {path}, found none; open the shop with `zhitou serve` first")
        address = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"
        self._engine = sa.create_engine(address, connect_args={"check_same_thread": False})

    def decisions(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """(place, receipt) of all decisions behind this place."""
        wanted = sa.select(_PLACE, _DECISIONS.c.receipt).select_from(_DECISIONS).order_by(_PLACE)
        with self._engine.connect() as connection:
            while page := connection.execute(wanted.where(after < _PLACE).limit(_RECEIPTS_AT_A_TIME)).all():
                yield from ((place, bytes(receipt)) for place, receipt in page)
                after = page[-1][0]

    def events(self, tenant: str, kinds: tuple[str, ...], after: int = 0) -> Iterator[tuple[int, Event]]:
        """(place, event) of all events of these kinds behind this place."""
        columns = [_EVENTS.c[name] for name in _FIELDS]
        wanted = sa.select(_PLACE.label("place"), *columns).select_from(_EVENTS).order_by(_PLACE)
        wanted = wanted.where(_EVENTS.c.tenant == tenant, _EVENTS.c.kind.in_(kinds))
        with self._engine.connect() as connection:
            while page := connection.execute(wanted.where(after < _PLACE).limit(PAGE_ROWS)).mappings().all():
                for row in page:
                    fields = dict(row)
                    after = fields.pop("place")
                    yield after, Event(**fields)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()
