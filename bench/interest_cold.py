"""What becomes of an item that nobody has touched yet?

    python bench/interest_cold.py [--seeds 3] [--share 0.1] [--epochs 10] [--threads 2] [--quick]

Amazon Beauty (S3-Rec files, strict leave-one-out). A tenth of the items, drawn at random, is taken out of the
catalogue and of every history; the model is trained on what is left. Then the items come back through
interest.newcomers.with_items, without any training, and everybody's last item is asked for among all 12,101. "cold"
are the shoppers whose last item is one of those. A model that knows items by their number only has 0 there. Intervals
are 95 % bootstrap over shoppers of all seeds. --quick: one seed, a quarter of the shoppers. The last line is JSON.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import fields, replace
from typing import Any

from lines import last_line

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
K = 10
FIRST = 2  # on the draw of seed 1 the standing of newcomers was chosen


def main() -> None:
    """Hide, train, bring back, ask."""
    args = _arguments()
    import numpy as np
    from interest_data import read

    from zhitou.core.chance import Chance
    from zhitou.evaluation.ranking import interval

    data = read("beauty", args.quick)
    found: dict[str, list[Any]] = {"cold": [], "warm": [], "cold_popular": []}
    seconds = []
    for seed in range(FIRST, FIRST + args.seeds):
        hit, cold, popular, took = _one(data, args, Chance(seed))
        found["cold"].append(hit[cold])
        found["warm"].append(hit[~cold])
        found["cold_popular"].append(popular[cold])
        seconds.append(took)
    figures: dict[str, Any] = {"quick": args.quick, "seeds": args.seeds, "share": args.share}
    for name, parts in found.items():
        got = interval(np.concatenate(parts).astype(np.float64), Chance(1).stream("cold", name))
        print(f"recall@10, {name:12} {got}  ({got.n:,} shoppers)")
        figures[f"{name}_recall_at_10"] = got.mean
    figures["cold_over_warm"] = figures["cold_recall_at_10"] / figures["warm_recall_at_10"]
    figures["new_items_s"] = max(seconds)
    print(f"cold over warm: {figures['cold_over_warm']:.3f}; a new catalogue is served after {max(seconds):.2f} s")
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}
    last_line("interest_cold", rounded)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    args.seeds = args.seeds or (1 if args.quick else 3)
    args.epochs = args.epochs or (3 if args.quick else 10)
    return args


def _one(data: Any, args: argparse.Namespace, chance: Any) -> tuple[Any, Any, Any, float]:
    """(hit, cold, hit of the popular: bool [N] each, seconds until the whole catalogue is served) of one draw."""
    import numpy as np
    import torch

    from zhitou.interest.config import newcomers
    from zhitou.interest.newcomers import with_items
    from zhitou.interest.train import fit_interest

    torch.set_num_threads(args.threads)
    hidden = chance.stream("cold-items").random(len(data.items)) < args.share
    learn = data.learn(False)
    shown = learn.keep(~hidden[learn.item])
    number = np.cumsum(~hidden) - 1
    few = replace(shown, item=number[shown.item].astype(np.int32))
    config = newcomers()
    config = replace(config, fit=replace(config.fit, epochs=args.epochs))
    trained = fit_interest(few, _some(data.items, ~hidden), config, chance)
    begun = time.perf_counter()
    interest = with_items(trained, data.items)
    took = time.perf_counter() - begun
    asked = data.protocol.test
    top = interest.topk(asked.past, K, exclude_seen=asked.exclude_seen)
    sold = np.argsort(-np.bincount(shown.item, minlength=len(data.items)), kind="stable")[:K]
    return (top == asked.target[:, None]).any(axis=1), hidden[asked.target], np.isin(asked.target, sold), took


def _some(items: Any, keep: Any) -> Any:
    """A catalogue with only these items (bool [M])."""
    arrays = {f.name: getattr(items, f.name) for f in fields(items)}
    return replace(items, **{k: v[keep] for k, v in arrays.items() if getattr(v, "shape", (0,))[0] == len(items)})


if __name__ == "__main__":
    main()
