"""How fast is the interest model trained, and how soon is it good?

    python bench/interest_speed.py [--threads 2] [--epochs 3] [--rectools PYTHON --recbole PYTHON] [--quick]

Amazon Beauty (S3-Rec files, strict leave-one-out: 22,363 shoppers, about 131,000 next items to predict), one block of
width 64, softmax over all 12,101 items, no titles, no counts: what peers train too. Three parts, each in a process of
its own: an epoch's seconds (median over --epochs; the first one, with compilation, is left out) and the peak of
memory; from the raw file to a test NDCG@10 of 0.053, by two passes of the whole model (`sequences()`); and 20
batches of the peers, told as an epoch, if their Pythons are given (bench/peers/*.py say how to install them), in the
same run and with as many threads. Ratios are of CPU seconds, which other work on the machine disturbs less. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lines import last_line

BENCH = Path(__file__).parent
GOAL = 0.053
PASSES = 2  # of the whole model; three reach 0.065
BATCHES = ["--epochs", "1", "--batches", "20"]  # padded batches cost the same each: 20 tell the epoch
PEERS = {
    "rectools_256": ("rectools", ["--time-only", "--loss", "sampled_softmax", "--negatives", "256"]),
    "rectools_full": ("rectools", ["--time-only", "--loss", "softmax"]),
    "recbole": ("recbole", []),
}


def main() -> None:
    """Run the parts one after the other, print, sum up."""
    args = _arguments()
    if args.part:
        print(json.dumps(_epoch(args) if args.part == "epoch" else _goal(args)))
        return

    figures: dict[str, Any] = {"quick": args.quick, "threads": args.threads, **_child(args, "epoch")}
    if not args.quick:
        figures |= _child(args, "goal")
    figures |= _peers(args)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}
    last_line("interest_speed", rounded)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rectools", type=Path, help="the Python of an environment with RecTools")
    parser.add_argument("--recbole", type=Path, help="the Python of an environment with RecBole")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=("epoch", "goal"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _child(args: argparse.Namespace, part: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--threads", str(args.threads), "--epochs", str(args.epochs)]
    threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **threads, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _epoch(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of an epoch, and the process's peak of memory."""
    from dataclasses import replace

    import numpy as np
    import torch
    from interest_data import read

    from zhitou.core.chance import Chance
    from zhitou.interest.config import sequences
    from zhitou.interest.train import fit_interest

    torch.set_num_threads(args.threads)
    data = read("beauty")
    clock = _Clock()
    config = replace(sequences(), width=64, words=0, nearby=None)
    config = replace(config, fit=replace(config.fit, epochs=args.epochs + 1))
    fit_interest(data.learn(False), data.items, config, Chance(1), progress=clock)
    wall, cpu = (float(np.median(np.diff(marks)[1:])) for marks in ([*clock.wall], [*clock.cpu]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    steps = data.learn(False)
    predicted = len(steps.item) - len(steps)
    return {"epoch_s": wall, "epoch_cpu_s": cpu, "actions_per_s": predicted / wall, "train_peak_gib": peak}


class _Clock:
    """Notes when each epoch begins and the last one ends; the rest of a Progress it leaves out."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def start(self, label: str, total: int | None) -> None:
        self._note()

    def advance(self, note: str = "") -> None:
        """Nothing to say."""

    def stop(self) -> None:
        self._note()

    def _note(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


def _goal(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from the raw file until a model is there whose test NDCG@10 reaches the goal, and that figure."""
    from dataclasses import replace

    import torch
    from interest_data import read

    from zhitou.core.chance import Chance
    from zhitou.evaluation.next_item import figures
    from zhitou.interest.config import sequences
    from zhitou.interest.train import fit_interest

    torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    data = read("beauty")
    config = replace(sequences(), fit=replace(sequences().fit, epochs=PASSES, lr=4e-3))
    interest = fit_interest(data.learn(False), data.items, config, Chance(1))
    asked = data.protocol.test
    top = interest.topk(asked.past, 10, exclude_seen=True)
    took = time.perf_counter() - begun
    ndcg = float(figures(top, asked.targets, (10,))["ndcg@10"].mean())
    return {"to_goal_s": took if ndcg >= GOAL else None, "to_goal_ndcg_at_10": ndcg, "to_goal_passes": PASSES}


def _peers(args: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of an epoch of each peer whose Python was given."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        pythons = {"rectools": args.rectools, "recbole": args.recbole}
        if any(pythons.values()):
            subprocess.run([sys.executable, BENCH / "peers" / "dump.py", made, "beauty"], check=True)
        for name, (peer, options) in PEERS.items():
            if pythons[peer] is None:
                continue
            script, out = BENCH / "peers" / f"{peer}_sasrec.py", Path(made) / name
            arguments = [f"{made}/beauty", out, "--factors", "64", "--threads", str(args.threads), *BATCHES]
            subprocess.run([pythons[peer], script, *arguments, *options], check=True)
            result = json.loads((out / "result.json").read_text(encoding="utf-8"))
            found[f"{name}_epoch_cpu_s"] = result["learning"]["epoch_cpu_s_median"]
    return found


if __name__ == "__main__":
    main()
