"""One call into the service at a time, off the event loop: a slow decision never holds up /healthz."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from zhitou.apps.http.problems import Problem

T = TypeVar("T")


class Turns:
    """A queue of calls, served in order of arrival by one thread: the lock around a service that needs one.

    waiting_max: how many calls may wait; the next is refused (503) at once, which beats answering all too late.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max, self._waiting = waiting_max, 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="service")

    async def take(self, call: Callable[[], T], *, patient: bool = False) -> T:
        """The result of `call`. patient: wait however many are before (a shopper's click is not turned away)."""
        if self._waiting >= self._waiting_max and not patient:
            raise Problem("overloaded", f"{self._waiting} requests wait already", headers={"Retry-After": "1"})
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the running call end and take no more."""
        self._thread.shutdown(wait=True)
