"""What ads cause: a holdout that logs who would have seen the ad, against what is usually compared; bids on causes.

U = shoppers, S = seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import Counts, Estimate, relative_lift
from zhitou.feedback.experiments import Exposures, Holdout, read_holdout
from zhitou.strategy.increments import Increments

TRUE_LIFT = 0.10
SHARE = 0.2
DAY_US = 86_400_000_000


def holdout(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print three readings of one campaign, and what bidding on causes brings; the same as figures."""
    seeds, shoppers = (10, 100_000) if quick else (40, 200_000)
    found = [_read(chance.child("holdout", seed), shoppers) for seed in range(seeds)]
    print(f"\n== A retargeting campaign that causes {TRUE_LIFT:+.0%} among those it reaches, {seeds} seeds ==")
    print("compared                             lift   mean reach of the interval   holds the truth")
    figures: dict[str, Any] = {"holdout_seeds": seeds}
    names = {"ghosts": "exposed with ghosts", "all": "all, held out or not", "exposed": "exposed with unexposed"}
    for at, (mark, name) in enumerate(names.items()):
        lifts = [one[at] for one in found]
        truths = [one[3] if mark == "all" else TRUE_LIFT for one in found]
        covered = float(np.mean([e.low <= truth <= e.high for e, truth in zip(lifts, truths, strict=True)]))
        reach = float(np.mean([(e.high - e.low) / 2 for e in lifts]))
        value = float(np.mean([e.value for e in lifts]))
        print(f"{name:<28}   {value:>10.1%}   {reach:>26.1%}   {covered:>15.0%}")
        figures |= {f"holdout_{mark}_lift": value, f"holdout_{mark}_reach": reach, f"holdout_{mark}_covers": covered}
    return figures | _bids(chance, seeds)


def _read(chance: Chance, shoppers: int) -> tuple[Estimate, Estimate, Estimate, float]:
    """(exposed v. ghosts, all v. held out, exposed v. unexposed, the true lift among all) of one seed."""
    rng = chance.stream("shoppers")
    names = np.array([f"s{n}" for n in range(shoppers)])
    keen = rng.gamma(1.0, 0.03, shoppers).clip(max=0.5)  # chance to buy without the ad
    reached = rng.random(shoppers) < 0.05 + 0.9 * (keen / 0.5) ** 0.5  # the ad wins for those who are keen
    held = Holdout(f"salt{chance.seed}", SHARE).held(names, ["retargeting"])[:, 0]
    buys = rng.random(shoppers) < keen * (1 + TRUE_LIFT * (reached & ~held))
    exposures = Exposures(names[reached], np.zeros(int(reached.sum()), dtype=np.int64), held[reached])
    when = rng.integers(1, 7 * DAY_US, int(buys.sum()))
    ghosts, _ = read_holdout(exposures, names[buys], when, 7 * DAY_US, SHARE)
    arms = [Counts(int(one.sum()), int((one & buys).sum())) for one in (~held, held, reached & ~held, ~reached)]
    truth = TRUE_LIFT * float(keen[reached].sum() / keen.sum())
    return ghosts.lift, relative_lift(*arms[:2]), relative_lift(*arms[2:]), truth


def _bids(chance: Chance, seeds: int) -> dict[str, Any]:
    """Conversions that one budget causes: bids on what follows a click, bids on what holdouts say it causes."""
    gains = []
    for seed in range(seeds):
        rng = chance.stream("iota", seed)
        campaigns, asks = 20, 20_000
        iota = rng.beta(1.5, 2.5, campaigns)
        follows = 0.02 * np.exp(rng.normal(0.0, 0.4, campaigns) - 0.8 * (iota - iota.mean()))
        campaign = rng.integers(0, campaigns, asks)
        pcvr = follows[campaign] * np.exp(rng.normal(0.0, 0.3, asks))
        price = np.exp(rng.normal(0.0, 0.5, asks))
        error = 0.15
        shares = {c: Estimate.normal(float(iota[c] + rng.normal(0, error)), error) for c in range(campaigns)}
        measured = Increments.of(shares, campaigns).iota[campaign]
        budget = 0.2 * price.sum()
        by_follow, by_cause = (_bought(v, price, budget) for v in (pcvr, pcvr * measured))
        caused = pcvr * iota[campaign]
        gains.append(float(caused[by_cause].sum() / caused[by_follow].sum() - 1))
    mean, error = float(np.mean(gains)), float(np.std(gains, ddof=1)) / len(gains) ** 0.5
    gain = Estimate.normal(mean, error)
    print(f"\nsame money, bids on what a click causes: conversions caused {gain} over bids on what follows it")
    return {"caused_gain": gain.value, "caused_gain_low": gain.low, "caused_gain_high": gain.high}


def _bought(value: np.ndarray, price: np.ndarray, budget: float) -> np.ndarray:
    """What bidding value x one multiplier buys until the money is spent: the best value for money first."""
    order = np.argsort(-value / price, kind="stable")
    return order[np.cumsum(price[order]) <= budget]
