"""What only a ledger on disk can promise: that it is still there."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.campaign.ledger import SqliteLedger
from zhitou.core.errors import ConfigError, SourceError

DAY = 86_400_000_000


def campaign(name: str, total: int = 100, daily: int = 60) -> Campaign:
    flight = Flight(0, 30 * DAY, total, daily)
    return Campaign(name, "a", name, "EUR", flight, "clicks", 10, ("i",), Material("b", "b", "#000000"))


def one(amount: int) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([0]), np.asarray([amount])


def test_a_reopened_ledger_is_the_same_ledger(tmp_path: Path) -> None:
    camps, path = (campaign("c"), campaign("d")), tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, camps)
    ledger.charge(["a", "b"], np.asarray([0, 1]), np.asarray([40, 70]), 5)
    ledger.hold(["h", "gone"], np.asarray([0, 0]), np.asarray([10, 5]), 5)
    ledger.release(["gone"], 6)
    before = ledger.statement(7)
    ledger.close()
    again = SqliteLedger(path, camps)
    assert again.statement(7) == before
    assert again.charge(["b"], np.asarray([1]), np.asarray([70]), 7).tolist() == [60]
    again.close()


def test_an_account_follows_its_campaign_to_another_place_and_budget(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = SqliteLedger(path, (campaign("c"), campaign("d")))
    ledger.charge(["a", "b"], np.asarray([0, 1]), np.asarray([40, 20]), 0)
    ledger.hold(["h"], np.asarray([1]), np.asarray([5]), 0)
    ledger.close()
    again = SqliteLedger(path, (campaign("new"), campaign("c", total=30, daily=30)))
    assert again.spent_micros().tolist() == [0, 40]
    assert again.remaining_micros(0).tolist() == [60, 0]  # lowered below what is spent: nothing remains
    assert again.charge(["b"], *one(20), 0).tolist() == [20]  # the key of a campaign that is gone stays charged
    assert again.spent_micros().tolist() == [0, 40]
    again.close()


def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    owner = SqliteLedger(path, (campaign("c"),))
    with pytest.raises(ConfigError, match="stop the other process"):
        SqliteLedger(path, (campaign("c"),))
    owner.close()
    SqliteLedger(path, (campaign("c"),)).close()


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but long enough to be read as one" * 40)
    with pytest.raises(SourceError, match="expected a ledger"):
        SqliteLedger(path, (campaign("c"),))


def test_a_layout_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(SourceError, match="layout 99"):
        SqliteLedger(path, (campaign("c"),))


def test_a_write_that_fails_leaves_memory_as_the_disk_is(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", (campaign("c"),))
    ledger.charge(["a"], *one(10), 0)
    ledger._db.execute("CREATE TRIGGER full BEFORE INSERT ON charges BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(sqlite3.IntegrityError, match="disk full"):
        ledger.charge(["b"], *one(20), 0)
    assert ledger.spent_micros().tolist() == [10]
    ledger._db.execute("DROP TRIGGER full")
    assert ledger.charge(["b"], *one(20), 0).tolist() == [20]
    ledger.close()


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import numpy as np
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.campaign.ledger import SqliteLedger
flight = Flight(0, 1, 10**9, 10**9)
ledger = SqliteLedger(Path({path!r}), (Campaign("c", "a", "c", "EUR", flight, "clicks", 10, ("i",),
                                                Material("b", "b", "#000000")),))
for n in range(10**6):
    ledger.charge([f"k{{n}}"], np.asarray([0]), np.asarray([3]), 0)
    print(n, flush=True)
"""


def test_what_a_killed_process_had_charged_is_still_charged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = KILLED.format(folder=str(tmp_path), path=str(path))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.stdout.read().splitlines()]
    process.wait()
    process.stdout.close()
    ledger = SqliteLedger(path, (campaign("c", 10**9, 10**9),))
    (line,) = ledger.statement(0)
    # the process may have been killed after a charge was on disk and before it could say so
    assert line.charges in (len(said), len(said) + 1)
    assert line.spent_micros_total == 3 * line.charges
    ledger.close()
