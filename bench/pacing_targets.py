"""Automatic bidding with a target, first-price shading and speed: the parts of bench/pacing.py beside the budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from zhitou.core.chance import Chance
from zhitou.events.sources.ipinyou import Auctions
from zhitou.strategy.bidding import AutoBidding
from zhitou.strategy.episodes import EpisodePacing, EpisodeTable
from zhitou.strategy.landscape import Landscape, LandscapePacing
from zhitou.strategy.pacing import AuctionPacing, Bidder, Replay
from zhitou.strategy.shading import WinRate, shade

# budget as a share of what all auctions cost, and the target, of value per cost; value is pCVR x target CPA in micros
REGIMES = {
    "budget binds": (0.20, 1.0),
    "target binds": (10.0, 1.6),
    "both are near": (0.85, 1.6),
    "a hard target": (10.0, 2.2),
}
TARGET_CPA = 20_000_000


def worth_in_hindsight(value: np.ndarray, price: np.ndarray, budget: int, target: float) -> float:
    """The linear programme with both constraints: the longest stretch of ratios from the best that keeps both."""
    order = np.argsort(-value / np.maximum(price, 1e-9), kind="stable")
    cost, worth = np.cumsum(price[order]), np.cumsum(value[order])
    broken = np.flatnonzero((cost > budget) | (cost > worth / target))
    if not broken.size:
        return float(worth[-1])
    k = int(broken[0])
    had, spent = (float(worth[k - 1]), float(cost[k - 1])) if k else (0.0, 0.0)
    v, p = float(value[order[k]]), float(price[order[k]])
    part = min(1.0, (budget - spent) / p)
    if p > v / target:
        part = min(part, (had / target - spent) / (p - v / target))
    return had + max(part, 0.0) * v


def made_up(seed: int, auctions: int, drift: float) -> tuple[np.ndarray, np.ndarray]:
    """(pCVR, prices in micros): dear showings are better ones; values rise by exp(2 drift) over the flight."""
    rng = Chance(seed).stream("auto-bidding")
    mood = rng.normal(size=auctions)
    pcvr = np.minimum(np.exp(0.8 * mood + drift * np.linspace(-1, 1, auctions)) * 5e-3, 0.9)
    price = (np.exp(0.4 * mood + 0.6 * rng.normal(size=auctions)) * 70_000).astype(np.int64) + 1
    return pcvr, price


def targets(seeds: int, auctions: int = 20_000) -> tuple[list[tuple[str, ...]], dict[str, float]]:
    """Rows of (world, share of the optimum, worst share, value per cost over target, its worst, spend)."""
    rows, figures = [], {"target_return_worst": np.inf, "target_share_of_lp_worst": np.inf}
    over = 0
    for drift in (0.0, 0.3):
        for name, (budget_share, target) in REGIMES.items():
            share, got, spend = [], [], []
            for seed in range(seeds):
                pcvr, price = made_up(seed, auctions, drift)
                value, budget = pcvr * TARGET_CPA, int(price.sum() * budget_share)
                result = AutoBidding(budget, auctions, target=target).replay(value, price)
                won, cost = result.won, result.cost_micros
                over = max(over, cost - budget)
                share.append(float(value[won].sum()) / worth_in_hindsight(value, price, budget, target))
                got.append(float(value[won].sum()) / cost / target)
                spend.append(cost / budget)
            title = name + (", drift" if drift else "")
            figures["target_return_worst"] = min(figures["target_return_worst"], *got)
            figures["target_share_of_lp_worst"] = min(figures["target_share_of_lp_worst"], *share)
            shares = (f"{100 * np.mean(share):.1f} %", f"{100 * min(share):.1f} %")
            returns = (f"{np.mean(got):.4f}", f"{min(got):.4f}")
            rows.append((title, *shares, *returns, f"{100 * np.mean(spend):.1f} %"))
    return rows, figures | {"target_overspend_micros": max(over, 0)}


def real_targets(past: Auctions, auctions: Auctions) -> list[tuple[str, ...]]:
    """Rows (budget, target as a multiple of what this budget alone got in the past, share of the optimum, value per
    cost over the target, spend)."""
    rows = []
    known = Landscape.of(past.pctr, past.price)
    for divisor, multiple in ((2, 1.0), (2, 2.0), (8, 1.0), (8, 2.0), (32, 1.0), (32, 2.0)):
        budget = int(auctions.price.sum()) // divisor
        each = budget / len(auctions)
        target = multiple * known.value(each) / each
        bidder = AutoBidding(budget, len(auctions), target=target, threshold=known.threshold(each))
        result = bidder.replay(auctions.pctr, auctions.price)
        value = float(auctions.pctr[result.won].sum())
        best = worth_in_hindsight(auctions.pctr, auctions.price, budget, target)
        got = f"{value / result.cost_micros / target:.4f}"
        spent = f"{100 * result.cost_micros / budget:.1f} %"
        rows.append((f"1/{divisor}", f"x {multiple}", f"{100 * value / best:.1f} %", got, spent))
    return rows


def first_price(past: Auctions, auctions: Auctions, seed: int) -> dict[str, float]:
    """Surplus (worth - bid, summed over wins) as a share of paying the rival's price wherever it is below the worth.

    The past is bid for at random, 0.1 to 1.5 times the worth: only the bids and whether they won are learnt from.
    """
    click = past.price.sum() / past.pctr.sum()  # what a click is worth, so that both sides of the price occur
    rng = Chance(seed).stream("explore-bids")
    worth = past.pctr * click
    bid = np.maximum((worth * rng.uniform(0.1, 1.5, len(past))).astype(np.int64), 1)
    won = bid >= past.price
    level = np.log(past.pctr)[:, None]
    model = WinRate.fit(bid, won, level)

    def surplus(bids: np.ndarray, of: Auctions) -> float:
        wins = bids >= of.price
        return float(((of.pctr * click - bids) * wins).sum())

    factors = np.linspace(0.02, 1.0, 99)
    best = max(factors, key=lambda f: float(((worth - bid) * won)[np.abs(bid / worth - f) < 0.05].sum()))
    later, most = auctions.pctr * click, np.maximum(auctions.pctr * click - auctions.price, 0.0).sum()
    shaded = shade(later, model, np.log(auctions.pctr)[:, None])
    return {
        "shaded": surplus(shaded, auctions) / most,
        "constant factor": surplus((later * best).astype(np.int64), auctions) / most,
        "median price": surplus(np.minimum(later, _median_bid(model, auctions)).astype(np.int64), auctions) / most,
        "bid the worth": surplus(later.astype(np.int64), auctions) / most,
        "price over worth": float(shaded.sum() / later.sum()),
    }


def _median_bid(model: WinRate, auctions: Auctions) -> np.ndarray:
    """The bid that wins half the time."""
    middle: np.ndarray = np.exp(-model.base(np.log(auctions.pctr)[:, None], len(auctions)) / model.slope)
    return middle


def speed(auctions: int, repeats: int) -> dict[str, float]:
    """Millions a second on one core, by CPU time, medians: auctions bid for and learnt from; bids shaded."""
    pcvr, price = made_up(0, auctions, 0.0)
    value, budget = pcvr * TARGET_CPA, int(price.sum()) // 8
    flights = auctions // 1_000
    small = EpisodeTable.of(value[:300], price[:300], budget_micros=budget // flights, auctions=1_000)
    scape = Landscape.of(value[:10_000], price[:10_000])
    model = WinRate(-40.0, 3.5, np.zeros(0))

    def episodes() -> Callable[[], object]:
        bidder = EpisodePacing(small, 0, 1_000)

        def play() -> list[Replay]:
            out = []
            for k in range(flights):
                bidder.renew(budget // flights, 1_000)
                out.append(bidder.replay(value[k * 1_000 : (k + 1) * 1_000], price[k * 1_000 : (k + 1) * 1_000]))
            return out

        return play

    def replay(bidder: Bidder) -> Callable[[], object]:
        return lambda: bidder.replay(value, price)

    makers: dict[str, Callable[[], Callable[[], object]]] = {
        "mirror_descent": lambda: replay(AuctionPacing(budget, auctions, threshold=2.0)),
        "landscape": lambda: replay(LandscapePacing(scape, budget, auctions, least=1.0)),
        "episode_table": episodes,
        "auto_bidding": lambda: replay(AutoBidding(budget, auctions, target=1.2)),
        "shading": lambda: lambda: shade(value, model),
    }
    return {f"{name}_millions_per_s": _rate(make, auctions, repeats) for name, make in makers.items()}


def _rate(make: Callable[[], Callable[[], object]], auctions: int, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        work = make()
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return auctions / median(times[1:]) / 1e6  # the first call compiles
