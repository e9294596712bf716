"""Hillstrom's e-mail trial: what the mails caused, whom they moved, and whether choosing the mail by customer pays.

R = customers.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.cuped import cuped
from zhitou.evaluation.designs import incrementality
from zhitou.evaluation.experiment import Counts, Estimate, Moments, relative_lift
from zhitou.evaluation.uplift import arm_scores, policy_difference, rank_quality, top_share
from zhitou.events.sources.hillstrom import ARMS, EmailTrial, read_email_trial
from zhitou.response.uplift import (
    LEARNERS,
    Trial,
    best_arms,
    choose_arms,
    cross_fitted,
    expected_outcomes,
    fit_uplift,
)

HALF = 0.5
SHARES = (0.2, 0.5, 0.8)


def email(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print the arms, CUPED, the learners and the splits; the same as figures."""
    trial = read_email_trial()
    figures = _arms(trial) | _cuped(trial)
    figures |= _learners(trial, chance, quick)
    figures |= _splits(trial, chance, 10 if quick else 50, quick)
    return figures | _gate(trial, chance, 10 if quick else 40)


def _of(trial: EmailTrial, arm: int, outcome: np.ndarray) -> Counts:
    own = trial.arm == arm
    return Counts(int(own.sum()), int(outcome[own].sum()))


def _arms(trial: EmailTrial) -> dict[str, Any]:
    print(f"\n== Hillstrom: {len(trial):,} customers; each mail against none ==")
    figures: dict[str, Any] = {}
    for arm in (1, 2):
        mark = ARMS[arm].split()[0].lower()
        for name, outcome in (("visit", trial.visited), ("conversion", trial.bought)):
            found = incrementality(_of(trial, arm, outcome), _of(trial, 0, outcome))
            print(f"{ARMS[arm]:<14} {name:<11} {_percent(found.lift)}; caused share {found.share}")
            figures |= _ends(f"hillstrom_{mark}_{name}", found.lift)
        spent = [Moments.of(trial.spent_micros[trial.arm == a] / 1e6) for a in (arm, 0)]
        lift = relative_lift(*spent)
        print(f"{ARMS[arm]:<14} {'spend':<11} {_percent(lift)}")
        figures |= _ends(f"hillstrom_{mark}_spend", lift)
    return figures


def _cuped(trial: EmailTrial) -> dict[str, Any]:
    """What a year's spending, and all that is known, take out of the variance, men's mail against none."""
    two = trial.arm != 2
    treated = trial.arm[two] == 1
    past = trial.known[two][:, trial.names.index("history")]
    figures: dict[str, Any] = {}
    cuts = []
    for name, outcome in (("visit", trial.visited), ("conversion", trial.bought), ("spend", trial.spent_micros)):
        for mark, before in (("", past), ("_all", trial.known[two])):
            cut = cuped(outcome[two].astype(np.float64), treated, before).variance_cut
            figures[f"hillstrom_cuped_{name}{mark}"] = cut
            cuts.append(f"{name}{mark.replace('_', ' ')} {cut:.2%}")
    print(f"CUPED takes out of the variance: {', '.join(cuts)}: too little to plan with")
    return figures


def _learners(trial: EmailTrial, chance: Chance, quick: bool) -> dict[str, Any]:
    """Qini of visits, cross-fitted, each mail against none, and what mailing the top share is worth."""
    print("\nmeta-learner, visits   Qini men's   women's   mailing the top 20 % / 50 % / 80 %, over a lot's visits")
    figures: dict[str, Any] = {}
    data = _trial(trial)
    pair = np.flatnonzero(trial.arm != 2)
    two = Trial(data.fields[pair], data.arm[pair], data.outcome[pair], np.full(2, 0.5))
    scores = arm_scores(two.arm, two.outcome, two.propensity, expected_outcomes(two, chance))
    for base in ("linear",) if quick else ("linear", "trees"):
        for learner in LEARNERS:
            uplift = cross_fitted(data, chance, learner, base, folds=2 if quick else 5)
            qini = []
            for arm in (1, 2):
                rows = trial.arm != 3 - arm
                qini.append(rank_quality(uplift[rows, arm - 1], trial.arm[rows] == arm, trial.visited[rows]).qini)
            values = [_over_chance(scores, uplift[pair, 0], share) for share in SHARES]
            print(
                f"{learner + ', ' + base:<20} {qini[0]:>12.4f} {qini[1]:>9.4f}   "
                + "   ".join(str(v) for v in values)
            )
            figures |= {
                f"hillstrom_qini_{learner}_{base}_{k}": q for k, q in zip(("men", "women"), qini, strict=True)
            }
    return figures


def _over_chance(scores: np.ndarray, uplift: np.ndarray, share: float) -> Estimate:
    """Treating the top share over treating the same share drawn by lot, doubly robust."""
    lot = np.broadcast_to(np.array([1 - share, share]), scores.shape)
    return policy_difference(scores, top_share(uplift, share), lot)


def _splits(trial: EmailTrial, chance: Chance, splits: int, quick: bool) -> dict[str, Any]:
    """Learn the policy on one half, judge it on the other, against the best single mail: gated, and naively."""
    data, figures = _trial(trial), {}
    best = int(np.argmax([data.outcome[data.arm == a].mean() for a in range(3)]))
    whole = data.outcome[data.arm == best].mean()
    print(
        f"\n{splits} splits; policies learnt on one half and judged on the other against {ARMS[best]} for everybody"
    )
    for base in ("linear",) if quick else ("linear", "trees"):
        begun, rows = time.process_time(), []
        for number in range(splits):
            rows.append(_split(data, best, chance.child("split", number), base))
        gated, naive = ([row[k] for row in rows] for k in (0, 1))
        personal = sum(row[2] for row in rows)
        for name, found in (("gated", gated), ("naive", naive)):
            below, above = sum(e.high < 0 for e in found), sum(e.low > 0 for e in found)
            mean = float(np.mean([e.value for e in found])) / whole
            low = float(np.mean([e.low for e in found])) / whole
            print(
                f"{name}, {base}: {mean:+.2%} of visits on average, mean lower limit {low:+.2%}; "
                f"significantly below in {below}, above in {above} splits"
            )
            figures |= {
                f"hillstrom_{name}_{base}_below": below,
                f"hillstrom_{name}_{base}_above": above,
                f"hillstrom_{name}_{base}_gain": mean,
                f"hillstrom_{name}_{base}_gain_low": low,
                f"hillstrom_{name}_{base}_gain_low_worst": min(e.low for e in found) / whole,
            }
        print(
            f"  personal in {personal} of {splits} splits; on all customers: {choose_arms(data, chance, base=base)}"
        )
        figures |= {
            f"hillstrom_personal_{base}": personal,
            f"hillstrom_split_{base}_s": (time.process_time() - begun) / splits,
        }
    return figures


def _gate(trial: EmailTrial, chance: Chance, worlds: int) -> dict[str, Any]:
    """How often the gate opens: on the trial's other outcomes, and in worlds on its customers whose truth is known.

    In those each customer visits with 15 %; a mail that suits the year's shopping (men's or women's) adds 5 points
    and the other nothing, or both add them for everybody.
    """
    figures: dict[str, Any] = {}
    for name, outcome in (("conversion", trial.bought), ("spend", trial.spent_micros / 1e6)):
        data = Trial(trial.known, trial.arm, outcome.astype(np.float64), np.full(3, 1 / 3))
        choice = choose_arms(data, chance, "dr", "linear")
        figures[f"hillstrom_personal_{name}"] = choice.personal
        print(f"{name}: {choice}")
    suits = trial.known[:, [trial.names.index("mens"), trial.names.index("womens")]]
    only = np.where(suits.sum(1)[:, None] == 2, 0.5, suits)
    for name, adds in (("suiting", only), ("alike", np.ones_like(only))):
        opened = []
        for world in range(worlds):
            rng = chance.stream("gate", name, world)
            arm = rng.integers(0, 3, len(trial))
            each = np.concatenate([np.zeros((len(trial), 1)), adds], 1)[np.arange(len(trial)), arm]
            outcome = (rng.random(len(trial)) < 0.15 + 0.05 * each).astype(np.float64)
            data = Trial(trial.known, arm, outcome, np.full(3, 1 / 3))
            opened.append(choose_arms(data, chance.child("gate", name, world), "dr", "linear", folds=2).personal)
        figures[f"gate_opens_{name}"] = float(np.mean(opened))
    print(
        f"worlds in which suiting mails add 5 points of visits: personal in {figures['gate_opens_suiting']:.0%}; "
        f"in which both mails are alike: {figures['gate_opens_alike']:.0%}"
    )
    return figures


def _split(data: Trial, best: int, chance: Chance, base: Any) -> tuple[Estimate, Estimate, bool]:
    """(gated policy, naive argmax, whether the gate let it choose), over the best arm, on the half not learnt on."""
    mine = chance.stream("half").random(len(data)) < HALF
    learn, judge = data.take(mine), data.take(~mine)
    scores = arm_scores(judge.arm, judge.outcome, judge.propensity, expected_outcomes(judge, chance))
    blanket = np.full(len(judge), best)
    choice = choose_arms(learn, chance, "dr", base, folds=2)
    naive = best_arms(fit_uplift(learn, chance, "dr", base).predict(judge.fields))
    gains = [policy_difference(scores, arms, blanket) for arms in (choice.arms(judge.fields), naive)]
    return gains[0], gains[1], choice.personal


def _trial(trial: EmailTrial) -> Trial:
    return Trial(trial.known, trial.arm, trial.visited.astype(np.float64), np.full(3, 1 / 3))


def _percent(lift: Estimate) -> str:
    return f"{lift.value:+.1%} [{lift.low * 100:.1f}, {lift.high * 100:.1f}]"


def _ends(name: str, lift: Estimate) -> dict[str, float]:
    return {f"{name}_lift": lift.value, f"{name}_low": lift.low, f"{name}_high": lift.high}
