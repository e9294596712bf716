"""Time as an argument: microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that moves only when told: for tests, replays and the market."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def set_us(self, now_us: int) -> None:
        """Move to this time. Refused: going back, which no log could explain."""
        assert now_us >= self._now_us, "a clock does not go back"
        self._now_us = now_us
