"""Does the interest model know the next basket better than counting does?

    python bench/next_basket.py [--quick] [--prepared out/prepared] [--seed 1] [--threads 2]

The Complete Journey, cut 56 days before its last purchase; models learn strictly before the cut and choose their
settings on the last weeks before it; the target is the first basket of each household that buys after the cut, all
items ranked. "new" keeps only products that the household never bought, in targets and rankings alike. Intervals
are 95 % bootstrap over households; differences are paired. Without a prepared folder one is made first (about 20
seconds, not counted). --quick takes a quarter of the households and one pass. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lines import last_line

REPOSITORY = Path(__file__).parents[1]
WEEKS_AFTER = 8
K = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the households, one pass, under 50 s")
    parser.add_argument("--prepared", type=Path, default=REPOSITORY / "out" / "prepared")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _data(folder: Path) -> tuple[Any, Any]:
    """(histories, items) of a prepared folder, which is made in a temporary place if it does not stand there."""
    import pyarrow.parquet as pq

    from zhitou.catalog.table import ItemTable
    from zhitou.core.chance import Chance
    from zhitou.core.clock import SystemClock
    from zhitou.events.clean import PrepareConfig
    from zhitou.events.histories import Histories
    from zhitou.events.prepare import prepare
    from zhitou.events.sources.complete_journey import read_complete_journey
    from zhitou.privacy.consent import PURPOSES, ConsentBook
    from zhitou.privacy.door import EVENTS_FILE, Door
    from zhitou.privacy.pseudonyms import Pseudonyms, demonstration_key

    with tempfile.TemporaryDirectory() as made:
        if not (folder / EVENTS_FILE).exists():
            print(f"no prepared events in {folder}; preparing The Complete Journey", file=sys.stderr)
            folder = Path(made)
            names = Pseudonyms("bench", demonstration_key(Chance(0)))
            prepare(read_complete_journey(), folder, names, PrepareConfig(), SystemClock().now_us())
        items = ItemTable.from_arrow(pq.read_table(folder / "items.parquet"))
        events = Door(folder, ConsentBook(PURPOSES), SystemClock()).read("profile")
        return Histories.from_arrow(events, items), items


def _models(args: argparse.Namespace, past: Any, items: Any, cut_s: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Trained scorers by name, and the seconds each took to train."""
    from zhitou.core.chance import Chance
    from zhitou.interest.config import laptop
    from zhitou.interest.train import fit_interest
    from zhitou.learning.baselines import BASELINES
    from zhitou.learning.progress import Terminal

    chance, models, seconds = Chance(args.seed), {}, {}
    for kind in BASELINES:
        begun = time.perf_counter()
        models[kind.name] = kind().fit(past, items, chance).scores
        seconds[kind.name] = time.perf_counter() - begun
    config = laptop()
    if args.quick:
        config = replace(config, fit=replace(config.fit, epochs=1), valid_share=0.0)
    begun = time.perf_counter()
    interest = fit_interest(past, items, config, chance, progress=Terminal())
    seconds[interest.name] = time.perf_counter() - begun
    models[interest.name] = lambda histories: interest.scores(histories, at_s=cut_s)
    return models, seconds


def _plain_counts(task: Any, past: Any, items: Any) -> dict[str, float]:
    """recall@10 of bare counts, equal counts by the number in the product's id: the figures others know."""
    import numpy as np

    from zhitou.evaluation.next_basket import measure

    number = np.asarray([int(item) for item in items.ids], dtype=np.float64)
    tie = ((number.max() - number) / (number.max() + 1) * 0.5).astype(np.float64)

    def own(histories: Any) -> np.ndarray:
        scores = np.zeros((len(histories), len(items)))
        np.add.at(scores, (histories.subject_of_event, histories.item), 1.0)
        return np.where(scores > 0, scores + tie, 0.0)

    popular = np.bincount(past.item, minlength=len(items)) + tie
    scorers = {"popular": lambda histories: np.tile(popular, (len(histories), 1)), "own": own}
    return {
        f"plain_{n}_recall_at_10": float(measure(s, task, K).values["recall@10"].mean()) for n, s in scorers.items()
    }


def _compare(models: dict[str, Any], task: Any, seed: int) -> dict[str, float]:
    """Print the table; the figures by name."""
    from zhitou.core.chance import Chance
    from zhitou.evaluation.next_basket import measure
    from zhitou.evaluation.ranking import interval, paired_difference

    figures: dict[str, float] = {}
    for new in (False, True):
        results = {name: measure(scores, task, K, new=new) for name, scores in models.items()}
        n, prefix = len(results["interest"].rows), "new_" if new else ""
        print(f"\n{'products new to the household' if new else 'all products'}: {n:,} households")
        print(f"{'model':10} {'metric':10} {'mean':>7}  95 % interval      interest minus it, paired")
        for metric in ("recall@10", "ndcg@10"):
            ours = results["interest"].values[metric]
            key = prefix + metric.replace("@", "_at_")
            for name, result in results.items():
                stream = Chance(seed).stream("bench-interval", prefix, metric, name)
                got = interval(result.values[metric], stream)
                line = f"{name:10} {metric:10} {got.mean:7.4f}  [{got.low:.4f}, {got.high:.4f}]"
                figures[key if name == "interest" else f"{name.replace('-', '_')}_{key}"] = got.mean
                if name != "interest":
                    gap = paired_difference(ours, result.values[metric], stream)
                    figures[f"gain_low_{name.replace('-', '_')}_{key}"] = gap.low
                    line += f"   {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
                print(line)
        figures[f"{prefix}households"] = n
    best = max(figures[f"{name}_recall_at_10"] for name in ("popular", "recent", "item_knn"))
    return {**figures, "best_baseline_recall_at_10": best}


def main() -> None:
    """Train, measure, print."""
    args = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin are 20 times slower on a busy machine
    import numpy as np
    import torch

    from zhitou.evaluation.next_basket import next_basket

    torch.set_num_threads(args.threads)
    histories, items = _data(args.prepared)
    if args.quick:
        histories = histories.select(np.arange(0, len(histories), 4))
    cut_s = int(histories.time_s.max()) - WEEKS_AFTER * 7 * 86_400
    past, task = histories.before(cut_s), next_basket(histories, cut_s)
    print(f"{len(past.item):,} purchases of {len(past):,} households before the cut, {len(items):,} products")
    print(f"{len(task):,} households buy after it; their first basket has {task.targets.sizes.mean():.1f} products")
    models, seconds = _models(args, past, items, cut_s)
    figures: dict[str, Any] = {"quick": args.quick, "seed": args.seed, "threads": args.threads}
    figures |= _plain_counts(task, past, items) | _compare(models, task, args.seed)
    figures |= {f"train_s_{name.replace('-', '_')}": value for name, value in seconds.items()}
    print("\nseconds to train: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}
    last_line("next_basket", rounded)


if __name__ == "__main__":
    main()
