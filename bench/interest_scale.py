"""Does training hold at scale: in several processes, over a million items, and what do sizes weigh on paper?

    python bench/interest_scale.py [--quick] [--seed 1] [--items 1000000] [--draws 8192]

1. The sizes of interest/size.py, counted without building them.
2. One process against two started by torchrun, each with one thread, on the same histories: the largest difference
   between their losses of an epoch, and how long each takes. Dropout is off, since its masks differ on purpose.
3. A catalogue of a million items, 64 wide: a training step of 512 moments against 8,192 drawn items, through the
   decoder and the sampled softmax (without the memories of own things), with row-sparse tables and running mean;
   the same with dense tables, whose optimiser passes over every item in every step; and, unless --quick, the first
   again with a checkpoint at its end. Each is a process of its own, whose peak memory is what the system says it
   was. CPU time is that of the process: on a busy machine it is the figure to trust.

All histories are drawn from `seed`: what is measured is cost and arithmetic, never quality. --quick takes fewer
steps, under 50 seconds. The last line is one JSON object.
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

REPOSITORY = Path(__file__).parents[1]
KIB_PER_GIB = 2**20
PAPER = (("tiny", 1_000), ("base", 92_331), ("base", 1_000_000), (8, 200_000), ("large", 180_000))
CONTENT = (40, 300, 2_400, 6_000, 11)  # codes of category levels, brand and price band


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps, under 50 s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=8_192)
    parser.add_argument("--part", choices=("processes", "sparse", "dense", "saved"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _histories(subjects: int, steps: int, items: int, seed: int) -> Any:
    """Single clicks an hour apart; few items get most of them, and each subject keeps near one of its own."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.events.histories import Histories
    from zhitou.events.schema import KIND_CODE

    rng = Chance(seed).stream("bench-histories")
    total = subjects * steps
    home = np.repeat(rng.integers(0, items, subjects), steps)
    near = (home + rng.geometric(0.2, total)) % items
    popular = (items * rng.random(total) ** 6).astype(np.int64)
    return Histories(
        subjects=np.asarray([f"s{n:07d}" for n in range(subjects)], dtype=object),
        offsets=np.arange(0, total + 1, steps),
        item=np.where(rng.random(total) < 0.5, near, popular).astype(np.int32),
        action=np.full(total, KIND_CODE["view"], dtype=np.int8),
        time_s=1_700_000_000 + 3_600 * np.tile(np.arange(steps), subjects),
        step=np.tile(np.arange(steps), subjects).astype(np.int32),
        price_micros=np.full(total, -1, dtype=np.int64),
        quantity=np.ones(total, dtype=np.int64),
    )


def _vocabulary(histories: Any, items: int, seed: int) -> Any:
    """Every item has an embedding of its own and belongs to something."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.interest.tokens import Vocabulary

    rng = Chance(seed).stream("bench-content")
    content = np.stack([rng.integers(0, size, items) for size in CONTENT], axis=1)
    count = np.bincount(histories.item, minlength=items).astype(np.int64)
    return Vocabulary(np.arange(1, items + 1), content, count, CONTENT)


def _processes(args: argparse.Namespace) -> dict[str, Any]:
    """What one of the processes finds: the curve, and the seconds of its epochs."""
    import torch

    from zhitou.core.chance import Chance
    from zhitou.interest.batches import Examples
    from zhitou.interest.config import InterestConfig
    from zhitou.interest.model import Decoder
    from zhitou.interest.train import part_loss
    from zhitou.learning.fit import FitConfig, fit
    from zhitou.learning.parallel import joined

    with joined() as me:
        histories = _histories(150 if args.quick else 1_000, 40, 2_000, args.seed)
        vocabulary = _vocabulary(histories, 2_000, args.seed)
        settings = FitConfig(epochs=2, lr=4e-3, warmup=30, eps=1e-6, average=0.98, patience=None)
        config = InterestConfig(dropout=0.0, size_power=0.0, fit=settings)
        torch.manual_seed(args.seed)
        examples = Examples(histories, vocabulary, config)
        begun, cpu = time.perf_counter(), time.process_time()
        report = fit(
            Decoder(config, vocabulary),
            batches=lambda epoch, rng: examples.epoch(rng),
            loss=part_loss,
            validate=None,
            config=settings,
            chance=Chance(args.seed),
            split=lambda plan, parts: plan.split(parts),
        )
        seconds = {"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu}
    return {"rank": me.rank, "train": [r.train for r in report.curve], "steps": report.steps, **seconds}


class _Million:
    """Batches of 512 moments over a catalogue of which each step ranks a sample."""

    def __init__(self, args: argparse.Namespace) -> None:
        import numpy as np

        from zhitou.interest.sampled import Negatives
        from zhitou.interest.tokens import steps_of

        self.histories = _histories(4_000, 33, args.items, args.seed)
        self.steps = steps_of(self.histories)
        self.vocabulary = _vocabulary(self.histories, args.items, args.seed)
        self.negatives = Negatives(self.vocabulary.count, args.draws)
        self.column = np.zeros(args.items, dtype=np.int64)
        self.batches = {"saved": 4}.get(args.part, 12 if args.quick else 60)
        self.begun: list[tuple[float, float]] = []

    def epoch(self, _number: int, rng: Any) -> list[Any]:
        """16 subjects to a batch, each with 32 moments after the first."""
        return [(rng.integers(0, len(self.histories), 16), rng.integers(2**62)) for _ in range(self.batches)]

    def loss(self, module: Any, batch: Any) -> Any:
        import numpy as np
        import torch

        from zhitou.interest.batches import token_batch
        from zhitou.interest.sampled import sampled_loss
        from zhitou.interest.tokens import steps_of

        self.begun.append((time.perf_counter(), time.process_time()))
        rows, seed = batch
        histories = self.histories.select(np.unique(rows))
        steps = steps_of(histories)
        ranked = self.negatives.rank(histories.item, np.random.default_rng(seed))
        self.column[ranked.items] = np.arange(len(ranked.items))
        sizes = steps.sizes
        tokens = token_batch(histories, steps, sizes * 0, sizes - 1, ranked.items, self.column)
        table, bias = module.items(tokens.items)
        b, t = tokens.shape
        states = module.states(tokens, table)[:, 1:].reshape(b * (t - 1), -1)
        query = module.queries(states, torch.ones(len(states), dtype=torch.int64))
        following = self.column[histories.item.reshape(b, t)[:, 1:]].reshape(-1)
        moment = torch.arange(len(query))
        target = (moment, torch.from_numpy(following), torch.full((len(query),), 1 / len(query)))
        none = (moment[:0], moment[:0], torch.zeros(0))
        return sampled_loss(query, table, bias, none, target, torch.from_numpy(ranked.log_weight))


def _million(args: argparse.Namespace) -> dict[str, Any]:
    """ms of wall and of CPU a step, and the peak of memory in GiB."""
    import torch

    from zhitou.core.chance import Chance
    from zhitou.interest.model import Decoder
    from zhitou.interest.size import size
    from zhitou.learning.fit import FitConfig, fit

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GIB
    task = _Million(args)
    torch.manual_seed(args.seed)
    module = Decoder(size("base", items=args.items), task.vocabulary)
    for table in (module.items.own, module.items.own_bias):
        table.sparse = args.part != "dense"
    with tempfile.TemporaryDirectory() as folder:
        fit(
            module,
            batches=task.epoch,
            loss=task.loss,
            validate=None,
            config=FitConfig(epochs=1, lr=4e-3, eps=1e-6, average=0.98, patience=None),
            chance=Chance(args.seed),
            folder=Path(folder) if args.part == "saved" else None,
        )
    (wall, cpu), (wall_end, cpu_end), steps = task.begun[2], task.begun[-1], len(task.begun) - 3
    return {
        "step_ms": 1_000 * (wall_end - wall) / steps,
        "step_cpu_ms": 1_000 * (cpu_end - cpu) / steps,
        "start_gib": before,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GIB,
    }


def _found(args: argparse.Namespace, part: str, start: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """What processes of this part said, one line each."""
    options = ["--part", part, "--seed", str(args.seed), "--items", str(args.items), "--draws", str(args.draws)]
    call = [sys.executable, *start, __file__, *options, *(["--quick"] if args.quick else [])]
    done = subprocess.run(call, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _paper() -> dict[str, Any]:
    from zhitou.interest.size import describe, size

    figures: dict[str, Any] = {}
    for dial, items in PAPER:
        report = describe(size(dial, items), items)
        print(f"{dial if isinstance(dial, str) else f'depth {dial}'}: {report}\n")
        figures[f"parameters_{dial}_{items}"] = report.total
    return figures


def main() -> None:
    """Measure each part in processes of its own, print."""
    args = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if args.part:
        print(json.dumps(_processes(args) if args.part == "processes" else _million(args)), flush=True)
        return
    figures: dict[str, Any] = {"quick": args.quick, "seed": args.seed, "items": args.items, "draws": args.draws}
    figures |= _paper()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    (one,), two = _found(args, "processes"), _found(args, "processes", torchrun)
    figures["two_rank_loss_gap"] = max(abs(a - b) for r in two for a, b in zip(one["train"], r["train"], strict=True))
    for name, ranks in (("one_rank", [one]), ("two_rank", two)):
        seconds, cpu_s = (max(rank[key] for rank in ranks) for key in ("seconds", "cpu_s"))
        figures |= {f"{name}_s": seconds, f"{name}_cpu_s": cpu_s}
        print(
            f"{len(ranks)} x one thread, {ranks[0]['steps']} steps: losses {ranks[0]['train']}, "
            f"{seconds:.1f} s ({cpu_s:.1f} s of CPU each)"
        )
    parts = {"sparse": "million_items", "dense": "million_items_dense", "saved": "million_items_saved"}
    for part, prefix in list(parts.items())[: 2 if args.quick else 3]:
        (found,) = _found(args, part)
        figures |= {f"{prefix}_{name}": value for name, value in found.items()}
        print(
            f"{args.items:,} items, {part} tables: {found['step_ms']:.0f} ms a step "
            f"({found['step_cpu_ms']:.0f} ms of CPU), peak {found['peak_gib']:.2f} GiB"
        )
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items()}
    last_line("interest_scale", rounded)


if __name__ == "__main__":
    main()
