"""Times as people type them, and a wait that a signal ends."""

from __future__ import annotations

import os
import signal
import time

import pytest

from zhitou.apps.pace import SignalledPace, seconds_of
from zhitou.core.errors import ConfigError


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5_400), (" 1d ", 86_400)])
def test_a_time_is_a_number_and_a_unit(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "-5m", "15 minutes", "0s", "0.5s", "1e9s"])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match="such as 90s"):
        seconds_of(text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_asks_to_stop(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        pace = SignalledPace()
        assert pace.wait(0.0)
        os.kill(os.getpid(), number)
        begun = time.monotonic()
        assert not pace.wait(30.0)
        assert time.monotonic() - begun < 5
        assert signal.getsignal(number) is signal.SIG_DFL  # a second one ends the program at once
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
