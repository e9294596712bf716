"""Decisions: how many a second in a batch, and how long does one take?

    NUMBA_NUM_THREADS=2 python bench/decisions.py [--decisions 65536] [--vw PYTHON] [--mabwiser PYTHON]
    NUMBA_NUM_THREADS=2 python bench/decisions.py --quick

100 ads of 20 campaigns, 32 numbers known of a request. A decision is: value of every ad (a product with the last
layer), ten filters with the shopper's caps, inverse-gap propensities among the 16 best, the draw, and the receipt's
fields (ad, propensity, how many were eligible, the best and its value). First the check: propensities against
`exploration.inverse_gap`, eligible ads against `eligibility`. Then a batch on one thread and on two (medians of 7),
and 20,000 single decisions by the same code: in a compiled caller, from Python with the filters' sieve given, and
from Python with the sieve made for the one request. Last, Thompson sampling by integrals, 16 of 20 ads taking part.
Peers run under the Pythons that are named (bench/peers/requirements-*.txt): Vowpal Wabbit's SquareCB, MABWiser's
LinUCB and LinTS. Wall seconds mean something on an idle machine only; ratios are of CPU seconds on one core.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lines import last_line
from medians import median_seconds
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS, Campaign, Caps, Flight, Material, Targeting
from zhitou.core.chance import Chance
from zhitou.strategy.choices import choose_linear, decide_rows
from zhitou.strategy.draws import seed_of
from zhitou.strategy.eligibility import eligibility
from zhitou.strategy.exploration import inverse_gap
from zhitou.strategy.sieve import Sieve, Sieves
from zhitou.strategy.thompson import win_probabilities

ADS, CAMPAIGNS, DIMS, GAMMA, FLOOR, REPEATS, SINGLES = 100, 20, 32, 300.0, 0.001, 7, 20_000
DAY_US = 86_400_000_000
PEERS = {"vw": "vw_squarecb.py", "mabwiser": "mabwiser_linear.py"}


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=65_536)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a quarter of the decisions")
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path, help=f"the Python of an environment with {name}")
    args = parser.parse_args()
    size = args.decisions // 4 if args.quick else args.decisions
    shop = Shop(Chance(args.seed), size)
    figures: dict[str, Any] = {"quick": args.quick, "decisions": size, "ads": ADS, "dims": DIMS}
    figures |= check(shop) | batch(shop) | single(shop) | thompson(shop.chance)
    for name, script in PEERS.items():
        figures |= peer(name, script, getattr(args, name))
    if "vw_per_cpu_s" in figures:
        figures["peer_decisions_per_s"] = figures["vw_per_s"]
        figures["over_vw"] = round(figures["decisions_per_cpu_s"] / figures["vw_per_cpu_s"], 1)
    if "mabwiser_linucb_batch_per_cpu_s" in figures:
        for policy in ("linucb", "lints"):
            theirs = figures[f"mabwiser_{policy}_batch_per_cpu_s"]
            figures[f"over_mabwiser_{policy}_batch"] = round(figures["decisions_per_cpu_s"] / theirs, 1)
    print("\nratios, CPU:", {name: value for name, value in figures.items() if name.startswith("over_")})
    last_line("decisions", figures)


class Shop:
    """An ad book, requests with their facts, what is known of each, and a last layer."""

    def __init__(self, chance: Chance, size: int) -> None:
        rng = chance.stream("shop", size)
        self.chance, self.size = chance, size
        self.book = _book()
        self.facts: dict[str, Any] = {
            "at_us": DAY_US + rng.integers(0, DAY_US, size),
            "channel": (rng.random(size) < 0.2).astype(np.int8),
            "ads_allowed": rng.random(size) < 0.98,
            "in_stock": rng.random(ADS) < 0.95,
            "approved": rng.random(ADS) < 0.98,
            "remaining_micros": rng.integers(0, 20, CAMPAIGNS),
            "seen_ad": (rng.random((size, ADS)) < 0.03).astype(np.int16) * 2,
            "seen_campaign": rng.integers(0, 6, (size, CAMPAIGNS)).astype(np.int16),
            "hour_local": rng.integers(0, 24, size),
        }
        names = [("loyal",), ("new",), ("rich", "new"), ()]
        self.segments = [names[n] for n in rng.integers(0, 4, size)]
        self.sieves = Sieves(self.book)
        self.audience = self.sieves.audiences(size, self.segments, "en")
        self.known = rng.random((size, DIMS), dtype=np.float32)
        self.weights = (rng.random((DIMS, ADS)) / DIMS).astype(np.float32)
        self.seed = seed_of(chance, "draw")

    def sieve(self, rows: slice = slice(None)) -> Sieve:
        """The sieve of these requests, filters and caps."""
        once = {"in_stock", "approved", "remaining_micros"}
        facts = {name: value if name in once else value[rows] for name, value in self.facts.items()}
        return self.sieves.of(**facts, audience=self.audience[rows])

    def decide(self, sieve: Sieve, rows: slice = slice(None), threads: int = 1) -> np.ndarray:
        """Choose for these requests."""
        rule: dict[str, Any] = {"seed": self.seed, "first": rows.start or 0, "gamma": GAMMA, "floor": FLOOR}
        return choose_linear(self.known[rows], self.weights, sieve, threads=threads, **rule)


def _book() -> AdBook:
    camps = tuple(
        Campaign(
            campaign_id=f"c{number}",
            advertiser="a",
            name="n",
            currency="EUR",
            flight=Flight(0, (2 + number % 3) * DAY_US, 1_000, 100),
            objective="clicks",
            bid_micros=10,
            items=("i",),
            material=Material("b", "b", "#000000"),
            targeting=Targeting(("loyal", "rich") if number % 4 == 0 else (), CHANNELS[:2], ()),
            caps=Caps(campaign_per_day=5, ad_per_day=2),
            quiet_hours=(22, 8),
        )
        for number in range(CAMPAIGNS)
    )
    owner = np.repeat(np.arange(CAMPAIGNS, dtype=np.int32), ADS // CAMPAIGNS)
    return AdBook(
        ad_ids=tuple(f"ad{k}" for k in range(ADS)),
        campaigns=camps,
        item=np.arange(ADS, dtype=np.int32),
        campaign=owner,
        bid_micros=np.full(ADS, 10),
        price_micros=np.full(ADS, 100),
        channels=np.tile([True, True, False], (ADS, 1)),
    )


def check(shop: Shop) -> dict[str, Any]:
    """Of up to 10,000 requests: how many have another propensity or other eligible ads than the plain path."""
    rows = slice(0, min(10_000, shop.size))
    sieve = shop.sieve(rows)
    made = shop.decide(sieve, rows)
    once = {"in_stock", "approved", "remaining_micros"}
    facts = {name: value if name in once else value[rows] for name, value in shop.facts.items()}
    may = eligibility(shop.book, **facts, segments=shop.segments[rows], locale="en") == 0
    values = np.asarray(shop.known[rows].astype(np.float64) @ shop.weights.astype(np.float64))
    law = inverse_gap(values, may, GAMMA, FLOOR)
    stated = np.take_along_axis(law, np.maximum(made["shown"], 0)[:, None], axis=1)[:, 0] * (made["shown"] >= 0)
    differ = np.abs(stated - made["propensity"]) > 1e-3 * stated  # values are float32 here and float64 there
    differ |= (made["eligible"] != may.sum(axis=1)) | (sieve.eligible() != may).any(axis=1)
    off = float(np.abs(law.sum(axis=1) - may.any(axis=1)).max())
    some = f"{len(may):,} requests, {made['eligible'].mean():.1f} ads eligible"
    print(f"{some}: {differ.sum()} differ; probabilities sum to 1 within {off:.0e}")
    return {"mismatches": int(differ.sum()), "eligible_mean": round(float(made["eligible"].mean()), 1)}


def batch(shop: Shop) -> dict[str, Any]:
    """Decisions a second of the whole path: sieve with caps, then choice."""
    cpu_s, wall_s = median_seconds(lambda: shop.decide(shop.sieve()), REPEATS, warm=True)
    _, two_s = median_seconds(lambda: shop.decide(shop.sieve(), threads=2), REPEATS, warm=True)
    sieve_s, _ = median_seconds(shop.sieve, REPEATS, warm=True)
    size = shop.size
    print(f"\nbatch: {size / cpu_s / 1e6:.2f} M / CPU s, {size / wall_s / 1e6:.2f} M / s on one thread", end=", ")
    print(f"{size / two_s / 1e6:.2f} M / s on two; filters and caps are {sieve_s / cpu_s:.0%} of it")
    return {"decisions_per_s": round(size / two_s), "decisions_per_cpu_s": round(size / cpu_s)}


def single(shop: Shop) -> dict[str, Any]:
    """Microseconds of one decision after the other, by wall."""
    figures: dict[str, Any] = {}
    count, whole = min(SINGLES, shop.size), shop.sieve()
    arrays = (shop.known, shop.weights, whole.table, whole.place, whole.capped)
    numbers = (shop.seed, 0, GAMMA, FLOOR, 16)
    out = shop.decide(whole)
    spent, clock = np.empty(count, dtype=np.int64), _clock()
    _one_by_one(arrays, ADS, numbers, out, spent[:1], clock, np.empty(2, dtype=np.int64))
    _one_by_one(arrays, ADS, numbers, out, spent, clock, np.empty(2, dtype=np.int64))
    figures |= _percentiles("compiled caller", "single_us", spent / 1e3)
    sieves = [shop.sieve(slice(b, b + 1)) for b in range(2000)]
    figures |= _percentiles("from Python, sieve given", "single_python_us", _spent(shop, sieves))
    figures |= _percentiles("from Python, sieve made", "single_python_with_sieve_us", _spent(shop, [None] * 2000))
    return figures


def _spent(shop: Shop, sieves: Sequence[Sieve | None]) -> np.ndarray:
    spent = []
    for b, sieve in enumerate(sieves):
        start = time.perf_counter_ns()
        shop.decide(sieve or shop.sieve(slice(b, b + 1)), slice(b, b + 1))
        spent.append(time.perf_counter_ns() - start)
    return np.asarray(spent[100:]) / 1e3


def _percentiles(name: str, figure: str, spent_us: np.ndarray) -> dict[str, Any]:
    half, most = (round(float(np.quantile(spent_us, q)), 2) for q in (0.5, 0.99))
    print(f"one decision, {name:26} p50 {half:7.2f} us, p99 {most:7.2f} us")
    return {f"{figure}_p50": half, f"{figure}_p99": most}


def _clock() -> Any:
    """The C library's monotonic clock, for compiled callers."""
    read = ctypes.CDLL(None).clock_gettime
    read.argtypes, read.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_int
    return read


@njit
def _one_by_one(arrays, ads, numbers, out, spent, clock, now):  # type: ignore[no-untyped-def]
    for b in range(spent.shape[0]):
        clock(1, now.ctypes)
        start = now[0] * 1_000_000_000 + now[1]
        decide_rows(arrays, ads, numbers, out, b, b + 1)
        clock(1, now.ctypes)
        spent[b] = now[0] * 1_000_000_000 + now[1] - start


def thompson(chance: Chance) -> dict[str, Any]:
    """Requests a second whose 16 Thompson probabilities are integrated, and the largest error against draws."""
    rng = chance.stream("thompson")
    mean, deviation = rng.normal(0, 1, (1000, 20)), np.exp(rng.normal(-0.5, 0.6, (1000, 20)))
    everyone = np.ones(mean.shape, dtype=bool)
    cpu_s, _ = median_seconds(lambda: win_probabilities(mean, deviation, everyone, FLOOR), REPEATS, warm=True)
    worst = 0.0
    for b in range(10):
        chances = win_probabilities(mean[b : b + 1], deviation[b : b + 1], everyone[:1], 0.0)[0]
        part = np.flatnonzero(chances > 0)
        best = rng.normal(mean[b, part], deviation[b, part], (400_000, len(part))).argmax(axis=1)
        worst = max(worst, float(np.abs(np.bincount(best, minlength=len(part)) / len(best) - chances[part]).max()))
    print(f"\nThompson by integrals: {len(mean) / cpu_s:,.0f} / CPU s, at most {worst:.4f} off 400,000 draws")
    return {"thompson_per_cpu_s": round(len(mean) / cpu_s), "thompson_error": round(worst, 5)}


def peer(name: str, script: str, python: Path | None) -> dict[str, Any]:
    """What the peer's script prints, if its Python is named."""
    if python is None:
        print(f"{name}: not run (--{name} PYTHON)")
        return {}
    command = [str(python), str(Path(__file__).parent / "peers" / script)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = {f"{name}_{figure}": round(value) for figure, value in json.loads(answer.splitlines()[-1]).items()}
    print(f"{name}: {figures}")
    return figures


if __name__ == "__main__":
    main()
