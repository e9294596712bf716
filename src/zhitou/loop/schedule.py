"""Opens the schedule of a run's folder: who does what, from which log, and that there is one at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from zhitou.assembly import CAMPAIGNS_FILE, RESPONSE, open_shop, read_run
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.files import read_campaigns
from zhitou.core.clock import Clock
from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.feedback.join import Windows
from zhitou.feedback.registry import Registry
from zhitou.feedback.watch import HealthRules
from zhitou.loop.guard import Guard
from zhitou.loop.narrator import Narrator
from zhitou.loop.optimise import Optimiser, Pace, Plan, keep_guarding, keep_optimising
from zhitou.loop.served import ShopLog
from zhitou.response.response import Response

CLICK_SECONDS = 600.0


@dataclass(frozen=True)
class Schedule:
    """What works on one folder: the rounds, and the guard with a log of its own, since it runs beside them."""

    optimiser: Optimiser
    guard: Guard


@contextmanager
def open_schedule(
    folder: Path,
    clock: Clock,
    narrator: Narrator,
    plan: Plan | None = None,
    rules: HealthRules | None = None,
    click_seconds: float = CLICK_SECONDS,
) -> Iterator[Schedule]:
    """The schedule of this folder, which a server may be serving at the same time.

    click_seconds: how long after it was shown a click counts; labels are final then, and evidence is. Refused: no
    run, no store or no model there (SourceError, NotFoundError), another schedule at work on it (ConfigError).
    """
    config, _ = read_run(folder)
    shop = open_shop(config, folder, clock)
    registry = Registry(folder / RESPONSE)
    names = Response.load(registry.champion_folder()).fields
    book = AdBook.build(read_campaigns(folder / CAMPAIGNS_FILE), shop.items)
    days_us = config.study.conversion_days * SECONDS_PER_DAY * MICROSECONDS
    windows = Windows(click_us=int(click_seconds * MICROSECONDS), conversion_us=days_us)
    with _alone(folder):
        logs = [ShopLog(folder, config.tenant, book, shop.items, names, shop.consent, windows) for _ in range(2)]
        plan = replace(plan or Plan(), conversion_seconds=days_us / MICROSECONDS)
        chance = shop.chance.child("optimise")
        optimiser = Optimiser(registry, logs[0], folder, chance, narrator, plan, config.response)
        try:
            yield Schedule(optimiser, Guard(registry, logs[1], rules))
        finally:
            for log in logs:
                log.close()


def run_schedule(schedule: Schedule, pace: Pace, every_s: float | None) -> None:
    """The rounds here, the guard beside them; one look and one round if `every_s` is None."""
    narrator, guard = schedule.optimiser.narrator, schedule.guard
    if every_s is None:
        guard.look(pace.now_us())
        keep_optimising(schedule.optimiser, pace)
        return
    done = threading.Event()
    failed: list[BaseException] = []

    def guarding() -> None:
        try:
            keep_guarding(guard, narrator, _Until(pace, done))
        except BaseException as error:
            failed.append(error)

    beside = threading.Thread(target=guarding, name="guard", daemon=True)
    beside.start()
    try:
        keep_optimising(schedule.optimiser, _Alive(pace, beside), every_s)
    finally:
        done.set()
        beside.join()
    if failed:
        raise failed[0]


@dataclass(frozen=True)
class _Until:
    """A pace that also ends once `done` is set."""

    pace: Pace
    done: threading.Event

    def now_us(self) -> int:
        return self.pace.now_us()

    def wait(self, seconds: float) -> bool:
        return self.pace.wait(seconds) and not self.done.is_set()


@dataclass(frozen=True)
class _Alive:
    """A pace that also ends once the thread beside has: an unguarded champion is not optimised further."""

    pace: Pace
    beside: threading.Thread

    def now_us(self) -> int:
        return self.pace.now_us()

    def wait(self, seconds: float) -> bool:
        until_us = self.pace.now_us() + int(seconds * MICROSECONDS)
        while self.pace.wait(min(1.0, max(0.0, (until_us - self.pace.now_us()) / MICROSECONDS))):
            if not self.beside.is_alive():
                return False
            if self.pace.now_us() >= until_us:
                return True
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One schedule per folder."""
    path = folder / "optimise" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"another `zhitou optimise` works on {folder}; stop it first") from None
        yield
    finally:
        os.close(lock)
