"""Time as a command line has it: the machine's clock, and a wait that Ctrl-C or SIGTERM ends."""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType

from zhitou.core.clock import SystemClock
from zhitou.core.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class SignalledPace:
    """Waits in real time until a signal asks to stop; what runs is finished first. Made by the main thread."""

    def __init__(self) -> None:
        self._clock, self._stop = SystemClock(), threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked)

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        return self._clock.now_us()

    def wait(self, seconds: float) -> bool:
        """Wait; False as soon as a signal has come."""
        return not self._stop.wait(seconds)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
        signal.signal(number, signal.SIG_DFL)  # whoever asks twice means now


def seconds_of(text: str) -> float:
    """Seconds of "90s", "15m", "2h" or "1d". Refused (ConfigError): anything else, and less than a second.

    >>> seconds_of("15m")
    900.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if not found or (seconds := float(found[1]) * _UNITS[found[2]]) < 1:
        raise ConfigError(f"expected a time such as 90s, 15m, 2h or 1d, got {text!r}")
    return seconds
