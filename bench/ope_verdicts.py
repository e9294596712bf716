"""What may be said of a lift: on real logs too small for it, on published counts, on worlds without one.

The published counts are those of the Open Bandit Dataset's own table (Saito, Aihara, Matsutani, Narita 2020,
"Open Bandit Dataset and Pipeline", table 1; also in the project's README): impressions, and click rates to two digits
of a per cent, of a week of randomised traffic at ZOZOTOWN in November 2019.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ope_worlds import draw_log, draw_world, expectations, null_policy

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.evaluation.experiment import Claim, Estimate, Moments, relative_lift
from zhitou.evaluation.offpolicy import importance_weights, snips
from zhitou.evaluation.offpolicy_health import log_health
from zhitou.evaluation.offpolicy_lift import LiftSums, judge_lift, stream_sums
from zhitou.events.sources.logged import OPEN_BANDIT_ITEMS, BanditLog, read_bandit_log

PLUS_30 = Claim("+30 % clicks over random", 0.30)
# campaign -> ((impressions, click rate) of the random policy, of Bernoulli Thompson sampling)
OPEN_BANDIT_FULL = {
    "all": ((1_374_327, 0.0035), (12_168_084, 0.0050)),
    "men": ((452_949, 0.0051), (4_077_727, 0.0067)),
    "women": ((864_585, 0.0048), (7_765_497, 0.0064)),
}
LOOK_ROWS = 1_000
TUNED_ROWS = 20_000


def of_counts(arm: tuple[int, float]) -> Moments:
    """Clicks of so many impressions at this rate."""
    shown, rate = arm
    clicks = float(round(shown * rate))
    return Moments(shown, clicks, clicks)


def published() -> dict[str, Estimate]:
    """The lift of Thompson sampling over random in each campaign."""
    return {
        name: relative_lift(of_counts(bts), of_counts(random)) for name, (random, bts) in OPEN_BANDIT_FULL.items()
    }


def counts() -> dict[str, Any]:
    """Print what the published counts decide; the same as figures."""
    figures: dict[str, Any] = {}
    print("\n== '+30 %' from the published counts of Open Bandit, 26 million impressions ==")
    for name, lift in published().items():
        print(f"  {name:<6} {lift.value:+.1%} [{lift.low:+.1%}, {lift.high:+.1%}]: {PLUS_30.verdict(lift)}")
        figures |= {
            f"full_{name}": PLUS_30.verdict(lift),
            f"full_{name}_low": lift.low,
            f"full_{name}_high": lift.high,
        }
    return figures


def open_bandit() -> dict[str, Any]:
    """Print what the two logs of 10,000 rows decide, on policy and off policy; the same as figures."""
    print("\n== '+30 %' from 10,000 impressions each of Open Bandit, men ==")
    try:
        logs = {policy: read_bandit_log(policy) for policy in ("random", "bts")}
    except SourceError as missing:
        print(f"  not run: {missing}")
        return {"small_verdict": "not run"}
    random, bts = logs["random"], logs["bts"]
    ran = relative_lift(Moments.of(bts.clicked), Moments.of(random.clicked))
    print(f"  both ran: {ran.value:+.1%} [{ran.low:+.1%}, {ran.high:+.1%}]: {PLUS_30.verdict(ran)}")
    figures: dict[str, Any] = {"small_on_policy": PLUS_30.verdict(ran)}
    uniform = np.full(len(bts), 1 / OPEN_BANDIT_ITEMS)
    asked = {
        "small_verdict": ("BTS as it showed, from the random log", random, shown_by(bts)[random.slot, random.item]),
        "small_backwards": ("random, from the log of BTS", bts, uniform),
    }
    for figure, (name, log, target) in asked.items():
        weights = importance_weights(target, log.propensity)
        health = log_health(weights, propensity=log.propensity, action=log.item)
        judgement = judge_lift(PLUS_30, snips(log.clicked, weights), log.clicked, health=health)
        print(f"  {name}: {judgement.verdict} ({judgement.reason})")
        print("    " + str(health).replace("\n", "\n    "))
        figures[figure] = judgement.verdict
    return figures


def shown_by(log: BanditLog) -> np.ndarray:
    """float64 [slots, items]: how often each item was shown in each slot; rows sum to 1."""
    counts = np.zeros((3, OPEN_BANDIT_ITEMS))
    np.add.at(counts, (log.slot, log.item), 1.0)
    return counts / counts.sum(1, keepdims=True)


def nulls(chance: Chance, worlds: int, rows: int) -> dict[str, Any]:
    """Print how often a lift is claimed that is none, at a look every 1,000 rows; the same as figures.

    Each world has a policy that is exactly as good as the log's, half of them spiky. Wrong is any look at which the
    interval does not hold 0.
    """
    wrong = dict.fromkeys(("ips, sequence", "dr, sequence", "ips, looked at as if once"), 0)
    for number in range(worlds):
        rng = chance.stream("null", number)
        world = draw_world(rng)
        log, policy = draw_log(world, rows, rng), null_policy(world, number % 2 == 1, rng)
        weights, expected = log.weights(policy), expectations(log, policy, past_only=True)
        sums: dict[str, LiftSums] = {}
        missed = dict.fromkeys(wrong, False)
        for begin in range(0, rows, LOOK_ROWS):
            look = slice(begin, begin + LOOK_ROWS)
            model = type(expected)(expected.logged[look], expected.target[look])
            for name, given in (("ips", None), ("dr", model)):
                part = stream_sums(log.reward[look], weights[look], given)
                sums[name] = sums[name] + part if name in sums else part
                missed[f"{name}, sequence"] |= _excludes_zero(sums[name].sequence(TUNED_ROWS))
            once = "ips, looked at as if once"
            missed[once] = missed[once] or _excludes_zero(sums["ips"].lift())
        wrong = {name: count + missed[name] for name, count in wrong.items()}
    print(f"\n== {worlds:,} worlds without a lift, a look every {LOOK_ROWS:,} of {rows:,} rows: wrong verdicts ==")
    for name, count in wrong.items():
        print(f"  {name:<26} {count / worlds:.1%}")
    shares = [count / worlds for count in wrong.values()]
    return {"wrong_verdicts": max(shares[:2]), "wrong_verdicts_peeking": shares[2], "null_worlds": worlds}


def _excludes_zero(lift: Estimate) -> bool:
    """Whether the interval says that there is a lift, or a loss."""
    return lift.low > 0 or lift.high < 0
