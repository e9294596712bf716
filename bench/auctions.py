"""Auctions in a stream: how many a second, and are they right?

    NUMBA_NUM_THREADS=2 python bench/auctions.py [--auctions 262144] [--seed 1]
    NUMBA_NUM_THREADS=2 python bench/auctions.py --quick

48 bidders, 3 slots (looked at with 1, 0.8, 0.6), a reserve, second prices, budgets that never overspend, draws of
what was seen and answered. First the check: winners and prices of 10,000 auctions with many ties against a sort in
numpy, and budgets against zero. Then speed, each figure the median of 7: paid by showing or by response, with and
without truncated normal noise on the chance, on one thread and on two. The peer is the published tick
(bench/peers/published_tick.py: sort, noise for every bidder, budgets mended afterwards), in ticks of 10,000 auctions,
with and without its noise. Ratios are of CPU seconds on one core. Wall seconds mean something on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lines import last_line
from medians import median_seconds

from zhitou.core.chance import Chance
from zhitou.strategy.draws import seed_of
from zhitou.strategy.leases import Leases
from zhitou.strategy.stream import Market, Outcomes, run_auctions

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import published_tick

BIDDERS, RESERVE, EXAMINATION = 48, 200, (1.0, 0.8, 0.6)
CHECKED, TICK, REPEATS = 10_000, 10_000, 7
PAID: tuple[Literal["showing", "response"], ...] = ("showing", "response")


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--auctions", type=int, default=8 * 4096 * 8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="an eighth of the auctions")
    args = parser.parse_args()
    size = args.auctions // 8 if args.quick else args.auctions
    chance = Chance(args.seed)
    mismatches, overspent = check(chance)
    print(f"{CHECKED:,} auctions with ties against a sort: {mismatches} differ; overspent: {overspent} micros")
    figures: dict[str, Any] = {"quick": args.quick, "auctions": size, "bidders": BIDDERS, "slots": len(EXAMINATION)}
    figures |= {"mismatches": mismatches, "overspend_micros": overspent}
    print(f"\n{'48 bidders x 3 slots':40} {'M / CPU s':>10} {'M / s, 1 thread':>16} {'M / s, 2 threads':>17}")
    figures |= ours(chance, size) | peer(chance, TICK)
    for noise in ("", "_noise"):
        ratio = figures[f"auctions_per_cpu_s{noise}"] / figures[f"peer_auctions_per_cpu_s{noise}"]
        figures[f"over_peer{noise}"] = round(ratio, 1)
    print(f"\nover the published tick, CPU: {figures['over_peer']} x; with noise {figures['over_peer_noise']} x")
    last_line("auctions", figures)


def made(chance: Chance, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bids int32, chances, their doubt): log-normal bids around 1,100 micros, chances around 1 %."""
    rng = chance.stream("auctions", size)
    bid = rng.lognormal(7, 1, (size, BIDDERS)).astype(np.int32)
    mean = (rng.beta(1, 100, (size, BIDDERS)) + 1e-5).astype(np.float32)
    return bid, mean, (0.5 * mean).astype(np.float32)


def check(chance: Chance) -> tuple[int, int]:
    """(auctions that differ from a sort, micros spent beyond a budget). Bids are round, so that ties are many."""
    bid, mean, _ = made(chance, CHECKED)
    bid = (bid // 500 * 500).astype(np.int32)
    plenty = Leases(np.full(BIDDERS, 10**15))
    out = run_auctions(Market(EXAMINATION, RESERVE), bid, mean, plenty, seed=seed_of(chance, "check"))
    winner, price = published_tick.best(bid, RESERVE, len(EXAMINATION))
    differ = (out.winner != winner).any(axis=1) | (out.price_micros != price).any(axis=1)
    budget = chance.stream("budgets").integers(0, 1_000_000, BIDDERS)
    spent = np.zeros(BIDDERS, dtype=np.int64)
    tight = Leases(budget, least_micros=100_000)
    out = run_auctions(Market(EXAMINATION, RESERVE), bid, mean, tight, seed=seed_of(chance, "check"))
    np.add.at(spent, out.winner[out.winner >= 0], out.paid_micros[out.winner >= 0])
    assert (budget - spent == tight.remaining_micros).all(), "what was paid is what the leases lack"
    return int(differ.sum()), int(np.maximum(spent - budget, 0).sum())


def ours(chance: Chance, size: int) -> dict[str, Any]:
    """Auctions a second, by kind of payment, noise and threads."""
    bid, mean, doubt = made(chance, size)
    figures: dict[str, Any] = {}
    for paid in PAID:
        for noise in (False, True):
            market = Market(EXAMINATION, RESERVE, "second", paid)

            def run(threads: int, market: Market = market, noise: bool = noise) -> Outcomes:
                leases = Leases(np.full(BIDDERS, 10**10))
                unsure = doubt if noise else None
                return run_auctions(market, bid, mean, leases, seed=np.uint64(1), doubt=unsure, threads=threads)

            cpu_s, wall_s = median_seconds(lambda: run(1), REPEATS, warm=True)
            _, two_s = median_seconds(lambda: run(2), REPEATS, warm=True)
            name = f"zhitou, paid by {paid}{', noise' if noise else ''}"
            print(f"{name:40} {size / cpu_s / 1e6:10.2f} {size / wall_s / 1e6:16.2f} {size / two_s / 1e6:17.2f}")
            ending = ("_response" if paid == "response" else "") + ("_noise" if noise else "")
            figures[f"auctions_per_cpu_s{ending}"] = round(size / cpu_s)
            figures[f"auctions_per_s{ending}"] = round(size / two_s)
    return figures


def peer(chance: Chance, size: int) -> dict[str, Any]:
    """The published tick, with its noise and without, paid by showing."""
    bid, mean, doubt = made(chance, size)
    figures: dict[str, Any] = {}
    for noise in (False, True):
        rng, unsure = chance.stream("tick", str(noise)), doubt if noise else None

        def run(rng: np.random.Generator = rng, unsure: np.ndarray | None = unsure) -> object:
            remaining = np.full(BIDDERS, 10**10)
            return published_tick.tick(bid, mean, unsure, remaining, np.asarray(EXAMINATION), RESERVE, rng)

        cpu_s, wall_s = median_seconds(run, REPEATS, warm=True)
        name = f"published tick{', noise' if noise else ''}"
        print(f"{name:40} {size / cpu_s / 1e6:10.3f} {size / wall_s / 1e6:16.3f}")
        figures[f"peer_auctions_per_cpu_s{'_noise' if noise else ''}"] = round(size / cpu_s)
        figures[f"peer_auctions_per_s{'_noise' if noise else ''}"] = round(size / wall_s)
    return figures


if __name__ == "__main__":
    main()
