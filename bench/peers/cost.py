"""What the peers' scripts share: the files they are given, and seconds that can be compared.

Runs under each peer's own Python, after the number of threads is set. Needs numpy and torch, nothing of zhitou.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

K = 20  # the length of an answer


class Clock:
    """Wall and CPU seconds of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """{"wall_s", "cpu_s"}."""
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3)}


def machine_gflop_per_cpu_s() -> float:
    """What this machine gives at this moment: float32 products of 1,024 x 1,024, half a second of them.

    Others on the same cores slow a CPU second down; beside this figure, seconds of two moments compare.
    """
    x = torch.ones(1024, 1024)
    x @ x
    clock = Clock()
    for _ in range(20):
        x @ x
    return round(20 * 2 * 1024**3 / 1e9 / clock.read()["cpu_s"], 1)


def arrays(path: Path) -> dict[str, np.ndarray]:
    """What one npz file holds."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}
