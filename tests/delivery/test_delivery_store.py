"""What SqliteStore adds to the contract: it survives, it has one owner, and one bad write fails alone."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from zhitou.core.errors import ConfigError, SourceError
from zhitou.delivery import store as module
from zhitou.delivery.store import SqliteStore, read_decision
from zhitou.events.schema import Event
from zhitou.strategy.ports import Store

WRITER = """
import sys
from pathlib import Path
from zhitou.delivery.store import SqliteStore
from zhitou.events.schema import Event
store = SqliteStore(Path(sys.argv[1]))
for n in range(100_000):
    store.add_events([Event(f"e{n:06d}", "shop", "s_1", "view", n, n)])
    store.add_decisions([(f"d{n:06d}", b"{}")])
    print(n, flush=True)
"""


def event(event_id: str, subject: str | None = "s_1") -> Event:
    return Event(event_id, "shop", subject, "view", 0, 0)  # type: ignore[arg-type]


def test_the_store_is_what_the_ports_ask_for(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "s.sqlite") as made:
        seam: Store = made
        assert seam.decision("d_1") is None


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s.sqlite"
    with SqliteStore(path) as first:
        first.add_events([event("a")])
        first.add_decisions([("d_1", b"{}")])
    with SqliteStore(path) as second:
        assert second.events("shop") == [event("a")]
        assert second.decision("d_1") == b"{}"
        assert second.add_events([event("a")]) == 0


def test_whatever_was_acknowledged_survives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(50)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split()]
    child.stdout.close()
    child.wait()
    with SqliteStore(path) as store:
        ids = {e.event_id for e in store.events("shop")}
        assert {f"e{n:06d}" for n in acknowledged} <= ids
        assert all(store.decision(f"d{n:06d}") == b"{}" for n in acknowledged)


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    first = SqliteStore(path)
    with pytest.raises(ConfigError, match="open for writing elsewhere"):
        SqliteStore(path)
    first.close()
    SqliteStore(path).close()


def test_a_closed_store_takes_no_more_and_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    store.close()
    store.close()
    with pytest.raises(ConfigError, match="closed"):
        store.add_events([event("a")])


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"my shopping list" * 400)
    with pytest.raises(SourceError, match="not a store"):
        SqliteStore(path)
    assert path.read_bytes() == b"my shopping list" * 400


def test_a_file_of_a_later_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(SourceError, match="layout 99"):
        SqliteStore(path)


def test_a_write_that_cannot_be_stored_fails_alone_in_its_shared_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    good = [module._Write(module._ADD_EVENT, [module.asdict(event(name))]) for name in ("a", "c")]
    bad = module._Write(module._ADD_EVENT, [module.asdict(event("b0")), module.asdict(event("b", subject=None))])
    with store._engine.connect() as connection:
        module._commit(connection, [good[0], bad, good[1]])
    assert [write.done.result() for write in good] == [1, 1]
    with pytest.raises(sa.exc.IntegrityError):
        bad.done.result()
    assert [e.event_id for e in store.events("shop")] == ["a", "c"]
    store.close()


def test_a_refused_write_does_not_quote_its_rows(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "s.sqlite") as store, pytest.raises(sa.exc.IntegrityError) as caught:
        store.add_events([event("private-id", subject=None)])
    assert "private-id" not in str(caught.value)


def test_when_the_disk_fails_nobody_is_told_that_it_worked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    writes = [module._Write(module._ADD_EVENT, [module.asdict(event(name))]) for name in ("a", "b")]
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1").close()
        connection.rollback()  # ends the transaction that the pragma began
        big = Event("big", "shop", "s_1", "view", 0, 0, context="x" * 1_000_000)
        module._commit(connection, [writes[0], module._Write(module._ADD_EVENT, [module.asdict(big)]), writes[1]])
    for write in writes:
        with pytest.raises(sa.exc.OperationalError):
            write.done.result(timeout=1)
    assert store.events("shop") == []
    store.close()


def test_writes_that_wait_together_share_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    commit, entered, go_on = module._commit, threading.Event(), threading.Event()

    def slow_commit(connection: sa.Connection, batch: list[module._Write]) -> None:
        sizes.append(len(batch))
        entered.set()
        go_on.wait()
        commit(connection, batch)

    monkeypatch.setattr(module, "_commit", slow_commit)
    store = SqliteStore(tmp_path / "s.sqlite")
    callers = [threading.Thread(target=store.add_events, args=([event(f"e{n}")],)) for n in range(6)]
    callers[0].start()
    entered.wait()  # the writer is busy with the first; the other five queue up behind it
    for caller in callers[1:]:
        caller.start()
    while store._queue.qsize() < 5:
        pass
    go_on.set()
    for caller in callers:
        caller.join()
    store.close()
    assert sizes == [1, 5]


def test_a_receipt_can_be_read_while_another_process_owns_the_store(tmp_path) -> None:
    path = tmp_path / "store.sqlite"
    with SqliteStore(path) as store:
        store.add_decisions([("d_1", b"{}")])
        assert read_decision(path, "d_1") == b"{}"
        assert read_decision(path, "d_2") is None
