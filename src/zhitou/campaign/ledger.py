"""The campaigns' money: what is set aside, what was charged, and what was given for nothing. Whole micros only.

A key names one thing that can be paid for (a shown ad). It may be held once and is charged once; saying so again
changes nothing and returns the first answer. A budget is never exceeded by one micro: a click that the budget does
not cover is charged as far as it reaches, and the rest is counted as over-delivery, which the advertiser gets free.
C = campaigns, n = keys in one call.
"""

from __future__ import annotations

import heapq
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zhitou.campaign.campaign import Campaign
from zhitou.core.errors import ConfigError, MoneyError, SourceError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY

HOLD_SECONDS = 1_800
_DAY_US = SECONDS_PER_DAY * MICROSECONDS


@dataclass(frozen=True)
class StatementLine:
    """One campaign's account at a time. Today is the UTC day of that time; charges counts charged keys.

    budget_micros_total = spent_micros_total + what is left, of which held_micros is set aside; over_delivered_micros
    is worth that was delivered beyond the budget and never charged.
    """

    campaign_id: str
    currency: str
    budget_micros_total: int
    budget_micros_daily: int
    spent_micros_total: int
    spent_micros_today: int
    held_micros: int
    remaining_micros: int
    over_delivered_micros: int
    charges: int


class MemoryLedger:
    """The ledger in this process: exact, gone with it. About 0.2 KB for each charged key, 0.3 KB for a held one.

    hold_seconds: how long an unused hold stands; an older one is swept by the next call, by that call's time.
    A hold keeps money from new showings. It does not keep a click that happened from being paid: a charge draws on
    all that is unspent, its own hold or not, so no click goes free while its campaign has money.
    """

    def __init__(self, campaigns: Sequence[Campaign], *, hold_seconds: int = HOLD_SECONDS) -> None:
        self.campaigns = tuple(campaigns)
        if len({c.campaign_id for c in self.campaigns}) < len(self.campaigns):
            raise ConfigError("two campaigns have the same campaign_id; an account needs one owner")
        if hold_seconds <= 0:
            raise ConfigError(f"expected hold_seconds above zero, got {hold_seconds}")
        self._hold_us = hold_seconds * MICROSECONDS
        self._total = [c.flight.budget_micros_total for c in self.campaigns]
        self._daily = [c.flight.budget_micros_daily for c in self.campaigns]
        # Python integers: the loops below take one key at a time, and a list is faster there than an array
        self._spent = self._zeros()
        self._spent_on: dict[int, list[int]] = {}
        self._held = self._zeros()
        self._over = self._zeros()
        self._charges = self._zeros()
        self._charged: dict[str, int] = {}
        self._holds: dict[str, tuple[int, int, int]] = {}  # key: (campaign, amount, expires_us)
        self._expiries: list[tuple[int, str]] = []  # a heap; entries of holds that are gone are skipped

    def remaining_micros(self, at_us: int) -> np.ndarray:
        """int64 [C]: what may still be set aside: the lesser of total and today's budget, less spend and holds."""
        self._sweep(at_us)
        return np.asarray(self._remaining(at_us), dtype=np.int64)

    def hold(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """bool [n]: whether each amount is set aside under its key, first come first served.

        campaigns: int [n], positions. A key that is already held or charged is True and takes nothing more.
        Refused: amounts that are not whole micros or below zero (MoneyError).
        """
        where, micros = self._checked(keys, campaigns, amounts)
        self._sweep(at_us)
        left, expires_us = self._remaining(at_us), int(at_us) + self._hold_us
        granted = np.ones(len(keys), dtype=bool)
        for n, (key, camp, amount) in enumerate(zip(keys, where, micros, strict=True)):
            if key in self._holds or key in self._charged:
                continue
            if amount > left[camp]:
                granted[n] = False
                continue
            left[camp] -= amount
            self._set_aside(key, camp, amount, expires_us)
        return granted

    def charge(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """int64 [n]: what was charged for each key on the UTC day of at_us: the amount, or what the budget still has.

        The key's hold ends. A key that was charged before returns what was charged then. Refused as in `hold`.
        """
        where, micros = self._checked(keys, campaigns, amounts)
        self._sweep(at_us)
        paid = np.zeros(len(keys), dtype=np.int64)
        for n, (key, camp, amount) in enumerate(zip(keys, where, micros, strict=True)):
            before = self._charged.get(key)
            paid[n] = self._pay(key, camp, amount, at_us) if before is None else before
        return paid

    def release(self, keys: list[str], at_us: int) -> None:
        """Give back the holds of these keys; keys without one are passed over."""
        self._sweep(at_us)
        for key in keys:
            self._drop(key)

    def spent_micros(self) -> np.ndarray:
        """int64 [C]: charged in all."""
        return np.asarray(self._spent, dtype=np.int64)

    def spent_micros_today(self, at_us: int) -> np.ndarray:
        """int64 [C]: charged on the UTC day of at_us."""
        return np.asarray(self._today(at_us), dtype=np.int64)

    def held_micros(self, at_us: int) -> np.ndarray:
        """int64 [C]: set aside and not yet charged, released or swept."""
        self._sweep(at_us)
        return np.asarray(self._held, dtype=np.int64)

    def over_delivered_micros(self) -> np.ndarray:
        """int64 [C]: what was delivered beyond the budgets and given for nothing."""
        return np.asarray(self._over, dtype=np.int64)

    def statement(self, at_us: int) -> tuple[StatementLine, ...]:
        """Every campaign's account at this time."""
        self._sweep(at_us)
        today, remaining = self._today(at_us), self._remaining(at_us)
        return tuple(
            StatementLine(
                campaign_id=camp.campaign_id,
                currency=camp.currency,
                budget_micros_total=self._total[n],
                budget_micros_daily=self._daily[n],
                spent_micros_total=self._spent[n],
                spent_micros_today=today[n],
                held_micros=self._held[n],
                remaining_micros=remaining[n],
                over_delivered_micros=self._over[n],
                charges=self._charges[n],
            )
            for n, camp in enumerate(self.campaigns)
        )

    def _zeros(self) -> list[int]:
        return [0] * len(self.campaigns)

    def _today(self, at_us: int) -> list[int]:
        return self._spent_on.get(at_us // _DAY_US) or self._zeros()

    def _remaining(self, at_us: int) -> list[int]:
        rows = zip(self._total, self._spent, self._daily, self._today(at_us), self._held, strict=True)
        return [max(0, min(total - spent, daily - today) - held) for total, spent, daily, today, held in rows]

    def _checked(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray) -> tuple[list[int], list[int]]:
        where, micros = np.asarray(campaigns), np.asarray(amounts)
        assert len(keys) == len(where) == len(micros), "one campaign and one amount per key"
        if len(keys) == 0:
            return [], []
        if micros.dtype.kind not in "iu" or micros.min() < 0:
            raise MoneyError(f"expected whole micros, none below zero; got {micros.dtype}, least {micros.min()}")
        assert 0 <= where.min() <= where.max() < len(self.campaigns), "a campaign is a position in the ledger"
        return where.tolist(), micros.tolist()

    def _pay(self, key: str, camp: int, amount: int, at_us: int) -> int:
        self._drop(key)
        today = self._spent_on.setdefault(at_us // _DAY_US, self._zeros())
        room = min(self._total[camp] - self._spent[camp], self._daily[camp] - today[camp])
        paid = max(0, min(amount, room))
        self._record(key, camp, amount, paid, today)
        return paid

    def _record(self, key: str, camp: int, amount: int, paid: int, today: list[int]) -> None:
        self._charged[key] = paid
        self._spent[camp] += paid
        today[camp] += paid
        self._over[camp] += amount - paid
        self._charges[camp] += 1

    def _set_aside(self, key: str, camp: int, amount: int, expires_us: int) -> None:
        self._holds[key] = (camp, amount, expires_us)
        self._held[camp] += amount
        heapq.heappush(self._expiries, (expires_us, key))

    def _drop(self, key: str) -> None:
        hold = self._holds.pop(key, None)
        if hold is not None:
            self._held[hold[0]] -= hold[1]

    def _sweep(self, at_us: int) -> list[str]:
        """Drop the holds that ended by at_us; return their keys."""
        swept = []
        while self._expiries and self._expiries[0][0] <= at_us:
            expires_us, key = heapq.heappop(self._expiries)
            hold = self._holds.get(key)
            if hold is not None and hold[2] == expires_us:
                self._drop(key)
                swept.append(key)
        return swept


_TABLES = """
CREATE TABLE IF NOT EXISTS charges (
    key TEXT PRIMARY KEY, campaign_id TEXT NOT NULL, amount_micros INTEGER NOT NULL,
    charged_micros INTEGER NOT NULL CHECK (charged_micros BETWEEN 0 AND amount_micros), at_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
    key TEXT PRIMARY KEY, campaign_id TEXT NOT NULL, amount_micros INTEGER NOT NULL, expires_us INTEGER NOT NULL
) WITHOUT ROWID;
"""
_LAYOUT = 1
_OWNER_WAIT_SECONDS = 0.2


class SqliteLedger:
    """The same ledger on disk. What a call returns is on disk when it returns, also after a power cut.

    The arithmetic is MemoryLedger's; its state is read from the file at the start and each change is committed before
    it is told. One process owns the file for as long as it is open (others are refused, readers too), any of its
    threads may call. An account belongs to a campaign_id: campaigns may change places, budgets, or be gone.
    """

    def __init__(self, path: Path, campaigns: Sequence[Campaign], *, hold_seconds: int = HOLD_SECONDS) -> None:
        self.campaigns = tuple(campaigns)
        self._path, self._hold_seconds = path, hold_seconds
        self._lock = threading.Lock()
        self._db = _open(path)
        try:
            self._memory = self._load()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def remaining_micros(self, at_us: int) -> np.ndarray:
        """As MemoryLedger.remaining_micros."""
        with self._swept(at_us) as memory:
            return memory.remaining_micros(at_us)

    def hold(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """As MemoryLedger.hold."""
        with self._swept(at_us) as memory:
            fresh = [key for key in dict.fromkeys(keys) if key not in memory._holds]
            granted = memory.hold(keys, campaigns, amounts, at_us)
            taken = ((key, memory._holds[key]) for key in fresh if key in memory._holds)
            rows = [(key, self.campaigns[camp].campaign_id, micros, ends) for key, (camp, micros, ends) in taken]
            self._db.executemany("INSERT INTO holds VALUES (?, ?, ?, ?)", rows)
            return granted

    def charge(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """As MemoryLedger.charge."""
        with self._swept(at_us) as memory:
            fresh = [n for n, key in enumerate(keys) if key not in memory._charged]
            paid = memory.charge(keys, campaigns, amounts, at_us)
            rows: dict[str, tuple[str, str, int, int, int]] = {}
            for n in fresh:  # of a key that comes twice in one call the first is the charge
                camp = self.campaigns[int(campaigns[n])].campaign_id
                rows.setdefault(keys[n], (keys[n], camp, int(amounts[n]), int(paid[n]), int(at_us)))
            self._db.executemany("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", list(rows.values()))
            self._db.executemany("DELETE FROM holds WHERE key = ?", [(key,) for key in rows])
            return paid

    def release(self, keys: list[str], at_us: int) -> None:
        """As MemoryLedger.release."""
        with self._swept(at_us) as memory:
            held = [(key,) for key in keys if key in memory._holds]
            memory.release(keys, at_us)
            self._db.executemany("DELETE FROM holds WHERE key = ?", held)

    def spent_micros(self) -> np.ndarray:
        """As MemoryLedger.spent_micros."""
        with self._lock:
            return self._memory.spent_micros()

    def spent_micros_today(self, at_us: int) -> np.ndarray:
        """As MemoryLedger.spent_micros_today."""
        with self._lock:
            return self._memory.spent_micros_today(at_us)

    def held_micros(self, at_us: int) -> np.ndarray:
        """As MemoryLedger.held_micros."""
        with self._swept(at_us) as memory:
            return memory.held_micros(at_us)

    def over_delivered_micros(self) -> np.ndarray:
        """As MemoryLedger.over_delivered_micros."""
        with self._lock:
            return self._memory.over_delivered_micros()

    def statement(self, at_us: int) -> tuple[StatementLine, ...]:
        """As MemoryLedger.statement."""
        with self._swept(at_us) as memory:
            return memory.statement(at_us)

    @contextmanager
    def _swept(self, at_us: int) -> Iterator[MemoryLedger]:
        """The account at this time inside one transaction; whatever fails leaves file and memory as they were."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                swept = [(key,) for key in self._memory._sweep(at_us)]
                self._db.executemany("DELETE FROM holds WHERE key = ?", swept)
                yield self._memory
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._memory = self._load()
                raise

    def _load(self) -> MemoryLedger:
        memory = MemoryLedger(self.campaigns, hold_seconds=self._hold_seconds)
        place = {camp.campaign_id: n for n, camp in enumerate(self.campaigns)}
        for key, camp, amount, paid, at_us in self._db.execute("SELECT * FROM charges"):
            if camp in place:
                today = memory._spent_on.setdefault(at_us // _DAY_US, memory._zeros())
                memory._record(key, place[camp], amount, paid, today)
            else:  # of a campaign that is no longer here: only the key must stay charged
                memory._charged[key] = paid
        for key, camp, amount, expires_us in self._db.execute("SELECT * FROM holds"):
            if camp in place:
                memory._set_aside(key, place[camp], amount, expires_us)
        return memory


def _open(path: Path) -> sqlite3.Connection:
    """The database, owned by this process. Refused: no database, a later layout, another owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_OWNER_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # in WAL mode NORMAL may lose the last commits in a power cut
        layout = db.execute("PRAGMA user_version").fetchone()[0]
        if layout > _LAYOUT:
            raise SourceError(f"{path} has layout {layout}, known here is {_LAYOUT}; install a newer zhitou")
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_LAYOUT}; COMMIT;")
    except sqlite3.OperationalError as error:
        db.close()
        raise ConfigError(f"{path} cannot be owned ({error}); stop the other process that has it open") from None
    except sqlite3.DatabaseError as error:
        db.close()
        raise SourceError(f"expected a ledger at {path}; {error}; name another file or restore a copy") from None
    except SourceError:
        db.close()
        raise
    return db
