"""How long a call takes, as the median of several."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def median_seconds(work: Callable[[], object], times: int, *, warm: bool = False) -> tuple[float, float]:
    """(CPU, wall) seconds of one call, the medians of so many. warm: after one more that compiles."""
    if warm:
        work()
    cpus, walls = [], []
    for _ in range(times):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
    return statistics.median(cpus), statistics.median(walls)
