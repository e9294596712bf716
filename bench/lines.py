"""The last line of a bench, for programs: which bench, on which machine, of which commit, with which figures."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]


def last_line(bench: str, figures: dict[str, Any]) -> None:
    """Print it; nothing may be printed after."""
    print(json.dumps({"bench": bench, "machine": machine(), "commit": commit(), "figures": figures}))


def machine() -> str:
    """The processor and how many cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def commit() -> str:
    """The checked-out commit, read from the repository's own files."""
    folder = REPOSITORY / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        name = head.removeprefix("ref: ")
        if (folder / name).exists():
            return (folder / name).read_text().strip()[:12]
        packed = (folder / "packed-refs").read_text().splitlines()
        return next(line.split()[0] for line in packed if line.endswith(" " + name))[:12]
    except (OSError, StopIteration):
        return "unknown"
