"""Where events and decisions are kept: SQLite with one owning writer and group commit, or plain memory.

Every write goes through one thread. It takes whatever waits, writes it in one transaction and tells all
callers together, so that many small writes share one sync of the disk. Reads run beside it (write-ahead log).

    from zhitou.delivery.store import SqliteStore
    with SqliteStore(folder / "store.sqlite") as store:
        new = store.add_events(events)         # durable when this returns
        page = store.events_page("shop", after=None, rows_max=1_000)
"""

from __future__ import annotations

import bisect
import fcntl
import os
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from zhitou.core import columns as c
from zhitou.core.errors import ConfigError, SourceError
from zhitou.events.schema import Event

PAGE_ROWS = 10_000
COMMIT_ROWS_MAX = 20_000  # rows in one transaction: bounds how long a caller can wait for its neighbours
LOOKUP_MAX = 1_000  # ids in one query; SQLite bounds the variables of a statement
LAYOUT = 1  # PRAGMA user_version of the file
OCCURRED_US, RECEIVED_US = "occurred_us", "received_us"

# A place in the order of events: (occurred_us, event_id).
Place = tuple[int, str]

_TABLES = sa.MetaData()
_EVENTS = sa.Table(
    "events",
    _TABLES,
    sa.Column(c.TENANT, sa.Text, primary_key=True),
    sa.Column(c.EVENT_ID, sa.Text, primary_key=True),
    sa.Column(c.SUBJECT, sa.Text, nullable=False),
    sa.Column(c.KIND, sa.Text, nullable=False),
    sa.Column(OCCURRED_US, sa.BigInteger, nullable=False),
    sa.Column(RECEIVED_US, sa.BigInteger, nullable=False),
    sa.Column(c.ITEM, sa.Text),
    sa.Column(c.QUANTITY, sa.BigInteger),
    sa.Column(c.PRICE_MICROS, sa.BigInteger),
    sa.Column(c.CURRENCY, sa.Text),
    sa.Column(c.SESSION, sa.Text),
    sa.Column(c.CHANNEL, sa.Text),
    sa.Column(c.DECISION_ID, sa.Text),
    sa.Column(c.ORDER_ID, sa.Text),
    sa.Column(c.CONTEXT, sa.Text),
    sa.Index("events_in_order", c.TENANT, OCCURRED_US, c.EVENT_ID),
    sa.Index("events_of_subject", c.TENANT, c.SUBJECT, OCCURRED_US, c.EVENT_ID),
)
_DECISIONS = sa.Table(
    "decisions",
    _TABLES,
    sa.Column(c.DECISION_ID, sa.Text, primary_key=True),
    sa.Column("receipt", sa.LargeBinary, nullable=False),
)
_FIELDS = (
    *(c.EVENT_ID, c.TENANT, c.SUBJECT, c.KIND, OCCURRED_US, RECEIVED_US, c.ITEM, c.QUANTITY, c.PRICE_MICROS),
    *(c.CURRENCY, c.SESSION, c.CHANNEL, c.DECISION_ID, c.ORDER_ID, c.CONTEXT),
)
_ADD_EVENT = insert(_EVENTS).on_conflict_do_nothing()
_ADD_DECISION = insert(_DECISIONS).on_conflict_do_nothing()


@dataclass(frozen=True)
class _Write:
    """Rows that one caller waits for; `done` gets how many of them were new."""

    statement: Any
    rows: list[dict[str, Any]]
    done: Future[int] = field(default_factory=Future)


class SqliteStore:
    """Events and decisions in one SQLite file. Fulfils strategy.ports.Store; safe to call from many threads.

    What was added twice is kept once: events by (tenant, event_id), decisions by their id; the first stays as
    it is. Every write is on disk (synced) when its call returns. Refused: a second process or object that opens
    the same file for writing (ConfigError), a file that is no store of this layout (SourceError).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock_file = _own(path)
        self._engine = _engine(path)
        try:
            _prepare(self._engine, path)
        except BaseException:
            self._engine.dispose()
            os.close(self._lock_file)
            raise
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._door = threading.Lock()  # no write may join the queue once it is closed
        self._closed = False
        self._writer = threading.Thread(target=self._write_for_ever, name=f"store-{path.name}", daemon=True)
        self._writer.start()

    def add_events(self, events: list[Event]) -> int:
        """How many of these were new; all of them are on disk when this returns."""
        return self._submit(_ADD_EVENT, [asdict(event) for event in events])

    def add_decisions(self, decisions: list[tuple[str, bytes]]) -> None:
        """Keep (decision id, receipt as canonical JSON); on disk when this returns."""
        self._submit(_ADD_DECISION, [{c.DECISION_ID: name, "receipt": data} for name, data in decisions])

    def decision(self, decision_id: str) -> bytes | None:
        """The receipt, None if unknown."""
        wanted = sa.select(_DECISIONS.c.receipt).where(_DECISIONS.c.decision_id == decision_id)
        with self._engine.connect() as connection:
            found = connection.execute(wanted).scalar_one_or_none()
        return None if found is None else bytes(found)

    def known_events(self, tenant: str, event_ids: list[str]) -> set[str]:
        """Which of these ids this tenant's events have already."""
        known: set[str] = set()
        with self._engine.connect() as connection:
            for start in range(0, len(event_ids), LOOKUP_MAX):
                some = event_ids[start : start + LOOKUP_MAX]
                wanted = sa.select(_EVENTS.c.event_id).where(_EVENTS.c.tenant == tenant, _EVENTS.c.event_id.in_(some))
                known.update(connection.execute(wanted).scalars())
        return known

    def events(self, tenant: str, subject: str | None = None) -> list[Event]:
        """All events in order of (occurred_us, event_id). For a whole tenant, `pages` keeps memory small."""
        return [event for page in self.pages(tenant, subject) for event in page]

    def pages(self, tenant: str, subject: str | None = None, rows_max: int = PAGE_ROWS) -> Iterator[list[Event]]:
        """The same events, at most `rows_max` at a time."""
        after: Place | None = None
        while page := self.events_page(tenant, subject, after=after, rows_max=rows_max):
            yield page
            after = (page[-1].occurred_us, page[-1].event_id)

    def events_page(
        self,
        tenant: str,
        subject: str | None = None,
        *,
        after: Place | None = None,
        rows_max: int = PAGE_ROWS,
    ) -> list[Event]:
        """The first `rows_max` events behind the place `after`; an empty list is the end."""
        assert rows_max > 0, "a page holds at least one row"
        wanted = sa.select(*(_EVENTS.c[name] for name in _FIELDS)).where(_EVENTS.c.tenant == tenant)
        if subject is not None:
            wanted = wanted.where(_EVENTS.c.subject == subject)
        if after is not None:
            wanted = wanted.where(sa.tuple_(_EVENTS.c[OCCURRED_US], _EVENTS.c.event_id) > after)
        wanted = wanted.order_by(_EVENTS.c[OCCURRED_US], _EVENTS.c.event_id).limit(rows_max)
        with self._engine.connect() as connection:
            return [Event(**row) for row in connection.execute(wanted).mappings()]

    def close(self) -> None:
        """Write what waits, then let the file go. Closing twice changes nothing."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        self._engine.dispose()
        os.close(self._lock_file)

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, statement: Any, rows: list[dict[str, Any]]) -> int:
        if not rows:
            return 0
        write = _Write(statement, rows)
        with self._door:
            if self._closed:
                raise ConfigError(f"the store {self._path.name} is closed; open it again before writing")
            self._queue.put(write)
        return write.done.result()

    def _write_for_ever(self) -> None:
        with self._engine.connect() as connection:
            while True:
                batch, last = self._next_batch()
                if batch:
                    _commit(connection, batch)
                if last:
                    return

    def _next_batch(self) -> tuple[list[_Write], bool]:
        """All that waits (at least one write), up to COMMIT_ROWS_MAX rows; True once the end was reached."""
        batch: list[_Write] = []
        rows = 0
        write = self._queue.get()
        while write is not None:
            batch.append(write)
            rows += len(write.rows)
            if rows >= COMMIT_ROWS_MAX or self._queue.empty():
                return batch, False
            write = self._queue.get()
        return batch, True


class MemoryStore:
    """The same promises without a disk: for tests, the market and trying things out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: dict[tuple[str, str], Event] = {}
        self._order: dict[str, list[tuple[Place, Event]]] = {}
        self._decisions: dict[str, bytes] = {}

    def add_events(self, events: list[Event]) -> int:
        """How many of these were new."""
        new = 0
        with self._lock:
            for event in events:
                key = (event.tenant, event.event_id)
                if key not in self._events:
                    self._events[key] = event
                    place = (event.occurred_us, event.event_id)
                    bisect.insort(self._order.setdefault(event.tenant, []), (place, event), key=lambda pair: pair[0])
                    new += 1
        return new

    def add_decisions(self, decisions: list[tuple[str, bytes]]) -> None:
        """Keep (decision id, receipt as canonical JSON)."""
        with self._lock:
            for decision_id, receipt in decisions:
                self._decisions.setdefault(decision_id, receipt)

    def decision(self, decision_id: str) -> bytes | None:
        """The receipt, None if unknown."""
        return self._decisions.get(decision_id)

    def known_events(self, tenant: str, event_ids: list[str]) -> set[str]:
        """Which of these ids this tenant's events have already."""
        return {event_id for event_id in event_ids if (tenant, event_id) in self._events}

    def events(self, tenant: str, subject: str | None = None) -> list[Event]:
        """All events in order of (occurred_us, event_id)."""
        with self._lock:
            return [e for _, e in self._order.get(tenant, []) if subject in (None, e.subject)]

    def pages(self, tenant: str, subject: str | None = None, rows_max: int = PAGE_ROWS) -> Iterator[list[Event]]:
        """The same events, at most `rows_max` at a time."""
        found = self.events(tenant, subject)
        for start in range(0, len(found), rows_max):
            yield found[start : start + rows_max]

    def events_page(
        self,
        tenant: str,
        subject: str | None = None,
        *,
        after: Place | None = None,
        rows_max: int = PAGE_ROWS,
    ) -> list[Event]:
        """The first `rows_max` events behind the place `after`; an empty list is the end."""
        assert rows_max > 0, "a page holds at least one row"
        found = self.events(tenant, subject)
        start = 0 if after is None else bisect.bisect_right([(e.occurred_us, e.event_id) for e in found], after)
        return found[start : start + rows_max]

    def close(self) -> None:
        """Nothing to let go of."""


def _own(path: Path) -> int:
    """Take the file `NAME.lock` for this object alone: two writers on one log can lose a commit."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(f"the store {path} is open for writing elsewhere; stop the other server first") from None
    return lock


def _engine(path: Path) -> sa.Engine:
    """An engine whose connections sync each commit and begin transactions only where the code says so."""
    engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for SAVEPOINT
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _prepare(engine: sa.Engine, path: Path) -> None:
    """Create the tables in a new file. Refused: a file of another layout."""
    try:
        with engine.begin() as connection:
            layout = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if layout not in (0, LAYOUT):
                raise SourceError(f"{path} has store layout {layout}, this version reads {LAYOUT}; update zhitou")
            _TABLES.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={LAYOUT}")
    except sa.exc.DatabaseError as error:
        raise SourceError(f"{path} is not a store ({error.orig}); move it away or name another file") from None


def _commit(connection: sa.Connection, batch: list[_Write]) -> None:
    """One transaction for the whole batch. A write that cannot be stored fails alone; the others are kept."""
    outcomes: list[int | BaseException] = []
    try:
        with connection.begin():
            outcomes = [_attempt(connection, write) for write in batch]
    except Exception as error:  # the disk is full or gone: nobody's rows are kept and everybody is told
        outcomes = [error] * len(batch)
    for write, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            write.done.set_exception(outcome)
        else:
            write.done.set_result(outcome)


def _attempt(connection: sa.Connection, write: _Write) -> int | BaseException:
    try:
        with connection.begin_nested():
            return connection.execute(write.statement, write.rows).rowcount
    except sa.exc.OperationalError:
        raise  # the disk, not the rows: SQLite may have undone the neighbours' rows already, so all must fail
    except Exception as error:
        return error


def read_decision(path: Path, decision_id: str) -> bytes | None:
    """One receipt of a store that another process may be writing; None if unknown. Takes no lock of the writer's."""
    address = f"sqlite:///file:{quote(str(path.resolve()))}?mode=ro&uri=true"
    engine = sa.create_engine(address, poolclass=sa.pool.NullPool)
    wanted = sa.select(_DECISIONS.c.receipt).where(_DECISIONS.c.decision_id == decision_id)
    with engine.connect() as connection:
        found = connection.execute(wanted).scalar_one_or_none()
    return None if found is None else bytes(found)
