"""How fast is the interest model served on one core, without torch?

    python bench/interest_serving.py [--quick] [--seed 1] [--threads 2]

One shopper: read 50 events and rank 12,000 items; take in one more event; with one and two blocks, memories on and
off. All shoppers: the ten best unseen items of 12,101 for 22,363 of them, with as many events as in Amazon Beauty (5
and more, median 6); also, as "nearby", with counts of what came soon after what. A million items: the best hundred by
query . vector + bias, for vectors made of a category, a brand and what is an item's own, and, harder, for noise
without any structure. Weights are random for all this: they change nothing about speed. What an export loses is
measured on a small model that is trained here, on shoppers who mostly go on along a ring of items.

Milliseconds are of the thread's own processor time, which other programs on the machine disturb least; wall time is
printed beside it. --quick asks less often, a fifth of the shoppers, and leaves the noise out. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lines import last_line

REPOSITORY = Path(__file__).parents[1]
ITEMS, EVENTS, K = 12_000, 50, 10
SHOPPERS, SHOPPERS_ITEMS, MEDIAN_EVENTS = 22_363, 12_101, 6
MILLION, BEST = 1_000_000, 100
DAY, NOW = 86_400, 1_700_000_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer questions, under 50 s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="for all shoppers together; the rest is one core")
    return parser.parse_args()


def _catalogue(items: int) -> Any:
    """Items in 20 x 120 x 480 categories, of 700 brands."""
    import pyarrow as pa

    from zhitou.catalog.item import ITEM_SCHEMA
    from zhitou.catalog.table import ItemTable

    rows = [
        {
            "item": f"i{n:07d}",
            "title": f"item {n}",
            "category": f"a{n % 20} > b{n % 120} > c{n % 480}",
            "brand": f"brand {n * 7 % 700}",
            "price_micros": 1_000_000 * (1 + n % 50),
            "currency": "EUR",
        }
        for n in range(items)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(item: Any, sizes: Any, rng: Any) -> Any:
    """Clicks on these items, so many per shopper, some hours apart."""
    import numpy as np

    from zhitou.events.histories import Histories

    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    many, place = int(offsets[-1]), np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    hours = np.cumsum(rng.integers(1, 24 * 5, many))
    time_s = NOW + 3_600 * (hours - np.repeat(hours[np.minimum(offsets[:-1], many - 1)], sizes))
    return Histories(
        subjects=np.asarray([f"s{n:06d}" for n in range(len(sizes))], dtype=object),
        offsets=offsets,
        item=np.asarray(item, dtype=np.int32),
        action=rng.integers(0, 3, many).astype(np.int8),
        time_s=time_s,
        step=place.astype(np.int32),
        price_micros=np.full(many, -1, dtype=np.int64),
        quantity=np.ones(many, dtype=np.int64),
    )


def _random_model(items: int, layers: int, folder: Path, rng: Any, past: Any = None) -> None:
    """A model of width 64 with random weights, saved; with `past`, one without memories that counts what came soon
    after what in it, as config.sequences() has it."""
    import torch

    from zhitou.interest.config import InterestConfig
    from zhitou.interest.model import Decoder
    from zhitou.interest.predict import Interest
    from zhitou.interest.tokens import Vocabulary
    from zhitou.learning.transitions import TransitionConfig, Transitions

    table, config, near = _catalogue(items), InterestConfig(layers=layers), None
    if past is not None:
        config = replace(config, memory=0, tied=True, nearby=TransitionConfig())
        near = Transitions.learn(past, items, config.nearby)
    seen = _histories(rng.integers(0, items, 2 * items), [2 * items], rng)
    vocabulary = Vocabulary.build(seen, table, 1)
    module = Decoder(config, vocabulary)
    for tensor in module.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    Interest(module, vocabulary, config, table, near=near).save(folder)


def _without_memories(served: Any) -> Any:
    import numpy as np

    from zhitou.interest.served import Served

    made = served.weights
    return Served(replace(made, memories=made.memories._replace(on=np.zeros(3, dtype=bool))))


class Timings:
    """Milliseconds of a thing done many times: processor time of the thread, and wall time; before(n) is untimed."""

    def __init__(
        self, what: Callable[[int], Any], times: int, before: Callable[[int], Any] = lambda n: None
    ) -> None:
        import numpy as np

        own, wall = [], []
        for n in range(-20, times):
            before(max(n, 0))
            begun, at = time.perf_counter(), time.thread_time()
            what(max(n, 0))
            if n >= 0:
                own.append(time.thread_time() - at)
                wall.append(time.perf_counter() - begun)
        self.p50, self.p99 = (float(np.quantile(own, q)) * 1e3 for q in (0.5, 0.99))
        self.wall_p50, self.wall_p99 = (float(np.quantile(wall, q)) * 1e3 for q in (0.5, 0.99))

    def __str__(self) -> str:
        return f"{self.p50:8.3f} {self.p99:8.3f}   {self.wall_p50:8.3f} {self.wall_p99:8.3f}"


def _one_shopper(times: int, rng: Any) -> dict[str, float]:
    """Print the table of one shopper."""
    from zhitou.interest.served import Served

    figures: dict[str, float] = {}
    print(f"one shopper, {EVENTS} events, top {K} of {ITEMS:,}, width 64, one core; milliseconds")
    print(f"{'blocks, memories':16} {'what':22} {'p50':>8} {'p99':>8}   {'wall p50':>8} {'wall p99':>8}")
    walks = [_histories(rng.integers(0, ITEMS, EVENTS), [EVENTS], rng) for _ in range(64)]
    long = _histories(rng.integers(0, ITEMS, 200), [200], rng)
    for layers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            _random_model(ITEMS, layers, Path(folder), rng)
            whole = Served.load(Path(folder))
        for name, served in (("on", whole), ("off", _without_memories(whole))):
            rows = _shopper_timings(served, walks, long, times)
            for what, timings in rows.items():
                print(f"{layers}, {name:13} {what:22} {timings}")
            key = f"_{layers}_blocks_memories_{name}"
            figures[f"encode_top10_ms_p50{key}"] = rows["read and rank"].p50
            figures[f"encode_top10_ms_p99{key}"] = rows["read and rank"].p99
            figures[f"one_update_ms_p50{key}"] = rows["one more event"].p50
            figures[f"one_update_ms_p99{key}"] = rows["one more event"].p99
            figures[f"one_update_full_window_ms_p99{key}"] = rows["one more, full window"].p99
    for name in ("encode_top10_ms_p50", "encode_top10_ms_p99", "one_update_ms_p50", "one_update_ms_p99"):
        figures[name] = figures[f"{name}_2_blocks_memories_on"]
    return figures


def _shopper_timings(served: Any, walks: list[Any], long: Any, times: int) -> dict[str, Timings]:
    kept, ends = [served.start(walk) for walk in walks], served.start(long)
    growing: list[Any] = [None]  # a shopper of 50 events and up to 40 more, whose window of 128 never fills

    def begin(n: int) -> None:
        if n % 40 == 0:
            growing[0] = served.start(walks[n // 40 % len(walks)])

    def add(who: Any, n: int) -> None:
        served.add(who, n % ITEMS, 1, who.last_s + 3_600)

    return {
        "read and rank": Timings(lambda n: served.topk_of(served.start(walks[n % 64]), K), times),
        "rank only": Timings(lambda n: served.topk_of(kept[n % 64], K), times),
        "one more event": Timings(lambda n: add(growing[0], n), times, begin),
        "one more, full window": Timings(lambda n: add(ends, n), times),
    }


def _all_shoppers(share: int, threads: int, rng: Any) -> dict[str, float]:
    """Print how fast everybody's ten best unseen items are found, one in `share` of them."""
    import numpy as np

    from zhitou.interest.served import Served

    shoppers = SHOPPERS // share
    sizes = np.clip(np.rint(np.exp(rng.normal(np.log(MEDIAN_EVENTS), 0.6, shoppers))), 5, 200).astype(np.int64)
    walks = _histories(np.minimum(rng.zipf(1.3, sizes.sum()), SHOPPERS_ITEMS) - 1, sizes, rng)
    with tempfile.TemporaryDirectory() as folder:
        _random_model(SHOPPERS_ITEMS, 1, Path(folder), rng, walks)
        nearby = Served.load(Path(folder), threads=threads)
        _random_model(SHOPPERS_ITEMS, 1, Path(folder), rng)
        whole = Served.load(Path(folder), threads=threads)
    figures: dict[str, float] = {"shoppers": shoppers}
    print(f"\n{shoppers:,} shoppers, {sizes.sum():,} events, top {K} of {SHOPPERS_ITEMS:,} without what they had")
    print(f"one block, {threads} threads")
    without = Served(_without_memories(whole).weights, threads)
    for name, served in (("off", without), ("nearby", nearby), ("on", whole)):
        served.topk(walks.select(np.arange(300)), K, exclude_seen=True)
        begun, at = time.perf_counter(), time.process_time()
        served.topk(walks, K, exclude_seen=True)
        wall, own = time.perf_counter() - begun, time.process_time() - at
        print(f"memories {name:6}: {wall:.2f} s wall, {own:.2f} s of processor time", end="")
        print(f" = {shoppers / wall:,.0f} users/s, {shoppers / own:,.0f} per second of one core")
        figures[f"users_per_s_memories_{name}"] = shoppers / wall
        figures[f"users_per_core_s_memories_{name}"] = shoppers / own
        figures["topk_all_users_s"], figures["users_per_s"] = wall, shoppers / wall
        figures["users_per_core_s"] = shoppers / own
    return figures


def _table(kind: str, items: int, queries: int, rng: Any) -> tuple[Any, Any, Any]:
    """(vectors, biases, queries) of width 64: as a trained table is made up, or noise without any structure."""
    import numpy as np

    def noise(rows: int, size: float) -> np.ndarray:
        return rng.standard_normal((rows, 64), dtype=np.float32) * np.float32(size / 8)

    if kind == "noise":
        return noise(items, 2), rng.standard_normal(items, dtype=np.float32) / 2, noise(queries, 12)
    category = noise(600, 1.6)[rng.permutation(600)[np.minimum(rng.zipf(1.2, items), 600) - 1]]
    own = noise(items, 0.8) * np.exp(rng.normal(0, 0.4, (items, 1))).astype(np.float32)
    vectors = category + noise(20_000, 0.8)[rng.integers(0, 20_000, items)] + own
    bias = np.log(np.minimum(rng.zipf(1.6, items), 1e5) + 0.5).astype(np.float32)
    taste = vectors[rng.integers(0, items, (queries, 6))].sum(axis=1)
    return vectors, bias, taste / np.linalg.norm(taste, axis=1)[:, None] * rng.uniform(2, 5, (queries, 1)).astype("f")


def _million(queries: int, kinds: tuple[str, ...], rng: Any) -> dict[str, float]:
    """Print how fast and how completely the best hundred of a million are found."""
    import numpy as np

    from zhitou.interest.nearest import Nearest

    figures: dict[str, float] = {}
    print(f"\nbest {BEST} of {MILLION:,} by query . vector + bias, one core; milliseconds")
    for kind in kinds:
        prefix = "million" if kind == "trained" else f"million_{kind}"
        vectors, bias, asked = _table(kind, MILLION, queries, rng)
        at = time.process_time()
        index = Nearest(vectors, bias)
        build_s = time.process_time() - at
        timings = Timings(lambda n: index.best(asked[n], BEST), queries)  # noqa: B023
        found, exact_s = 0, 0.0
        for query in asked:
            at = time.thread_time()
            scores = vectors @ query + bias
            best = np.argpartition(-scores, BEST)[:BEST]
            exact_s += time.thread_time() - at
            found += len(np.intersect1d(best, index.best(query, BEST)[0]))
        recall = found / BEST / queries
        begun = time.perf_counter()
        number = index.add(asked[:1] * 9, np.zeros(1))
        assert index.best(asked[0], 1)[0] == number, "a new item that fits best is served at once"
        added_s = time.perf_counter() - begun
        print(f"{kind:8} {timings}   recall@{BEST} {recall:.4f}; exact {exact_s / queries * 1e3:.1f}", end="")
        print(f"; built in {build_s:.1f} s, {index.code_bytes / 1e6:.0f} MB of codes; new item in {added_s:.3f} s")
        figures |= {f"{prefix}_ms_p50": timings.p50, f"{prefix}_ms_p99": timings.p99, f"{prefix}_build_s": build_s}
        figures |= {f"{prefix}_recall_at_100": recall, f"{prefix}_exact_ms": exact_s / queries * 1e3}
        figures |= {f"{prefix}_add_s": added_s, f"{prefix}_codes_mb": index.code_bytes / 1e6}
    return figures


def _exports(seed: int, rng: Any) -> dict[str, float]:
    """Print what smaller tables lose: overlap of the ten best with those of the exact model, and NDCG@10."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.evaluation.ranking import Targets, hits, ndcg
    from zhitou.interest import weights
    from zhitou.interest.config import tiny
    from zhitou.interest.served import Served
    from zhitou.interest.train import fit_interest

    items, shoppers, length = 300, 1_000, 12
    shape = (shoppers, length)
    hops = np.where(rng.random(shape) < 0.7, 1, rng.integers(0, items, shape))
    walk = (np.cumsum(hops, axis=1) + rng.integers(0, items, (shoppers, 1))) % items
    past = _histories(walk[:, :-1].reshape(-1), np.full(shoppers, length - 1), rng)
    targets = Targets(np.arange(shoppers + 1), walk[:, -1])
    config = replace(tiny(), width=32, fit=replace(tiny().fit, epochs=12))
    figures: dict[str, float] = {}
    print(f"\nexports of a model trained on {shoppers:,} shoppers who mostly go on along a ring of {items} items")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        fit_interest(past, _catalogue(items), config, Chance(seed)).save(folder / "model")
        exact = Served.load(folder / "model").topk(past, K)
        for kind in weights.KINDS:
            weights.export(folder / "model", folder / kind, kind)
            top = Served.load(folder / kind).topk(past, K)
            overlap = float(np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(exact, top, strict=True)]))
            quality = float(ndcg(hits(top, targets), targets.sizes).mean())
            size = sum(file.stat().st_size for file in (folder / kind).iterdir())
            print(f"{kind:9} {size / 1e3:6.0f} kB   overlap@10 {overlap:.4f}   NDCG@10 {quality:.4f}")
            figures |= {f"export_{kind}_overlap_at_10": overlap, f"export_{kind}_ndcg_at_10": quality}
    return figures


def main() -> None:
    """Measure, print."""
    args = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import numpy as np
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    figures: dict[str, Any] = {"quick": args.quick, "seed": args.seed, "threads": args.threads}
    figures |= _one_shopper(300 if args.quick else 3_000, rng)
    figures |= _all_shoppers(5 if args.quick else 1, args.threads, rng)
    figures |= _million(100, ("trained",), rng) if args.quick else _million(1_000, ("trained", "noise"), rng)
    figures |= _exports(args.seed, rng)
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}
    last_line("interest_serving", rounded)


if __name__ == "__main__":
    main()
