"""The same rows to zhitou and to obp 0.4.1: are the numbers equal, and how fast is each?"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ope_worlds import ITEMS, KINDS, draw_log, draw_policy, draw_world, expectations

from zhitou.core.chance import Chance
from zhitou.evaluation.offpolicy import Expected, PolicyValue, importance_weights, shrunk_dr, switch_dr
from zhitou.evaluation.offpolicy_slate import iips, rips, sips
from zhitou.evaluation.offpolicy_sums import policy_sums

ROWS, SLATES = 100_000, 20_000
THRESHOLD, SHRINKAGE = 2.0, 5.0


def compare(python: str | None, chance: Chance, peers: Path) -> dict[str, Any]:
    """Print and return the largest relative difference, and rows a CPU second of both."""
    print("\n== obp 0.4.1 on the same rows ==")
    if python is None:
        print("  not run: python3.11 -m venv obp && obp/bin/pip install -r bench/peers/requirements-obp.txt")
        print("           obp/bin/pip install --no-deps obp==0.4.1, then --obp obp/bin/python")
        return {"obp": "not run"}
    arrays = _arrays(chance)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, **arrays)
        command = [python, str(peers / "obp_estimators.py"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    ours, pass_s, whole_s = _ours(arrays)
    apart = {name: abs(ours[name] / value - 1) for name, value in theirs["values"].items()}
    for name, value in theirs["values"].items():
        print(f"  {name:<10} obp {value:.10f}  zhitou {ours[name]:.10f}  apart {apart[name]:.1e}")
    rate = ROWS / theirs["five_cpu_s"]
    print(f"  five estimators: obp {rate:,.0f} rows a CPU second; zhitou {ROWS / pass_s:,.0f} once the columns are")
    print(f"  gathered, with errors, {ROWS / whole_s:,.0f} from obp's own dense arrays on")
    return {
        "obp_difference": max(apart.values()),
        "obp_rows_per_s_core": rate,
        "speed_over_obp": theirs["five_cpu_s"] / pass_s,
        "speed_over_obp_dense": theirs["five_cpu_s"] / whole_s,
    }


def _arrays(chance: Chance) -> dict[str, np.ndarray]:
    """One log with a target policy and a model's expectations of every item, and one of slates."""
    rng = chance.stream("obp")
    world = draw_world(rng)
    log, policy = draw_log(world, ROWS, rng), draw_policy("personal", world, rng)
    every = np.empty((ROWS, ITEMS))
    for item in range(ITEMS):
        alone = np.zeros((KINDS, ITEMS))
        alone[:, item] = 1
        every[:, item] = expectations(log, alone).target
    chosen = rng.random((SLATES, 3, 2)) * 0.5 + 0.25
    return {
        "reward": log.reward,
        "action": log.item.astype(np.int64),
        "propensity": np.full(ROWS, 1 / ITEMS),
        "target": policy[log.kind],
        "expected": every,
        "threshold": np.array(THRESHOLD),
        "shrinkage": np.array(SHRINKAGE),
        "slate_reward": (rng.random((SLATES, 3)) < 0.05).astype(float),
        "slate_propensity": chosen[..., 0],
        "slate_target": chosen[..., 1],
    }


def _ours(arrays: dict[str, np.ndarray]) -> tuple[dict[str, float], float, float]:
    """(values by obp's names, CPU seconds of the pass, of gathering and the pass)."""
    rows, action = np.arange(ROWS), arrays["action"]
    passes, wholes = [], []
    for _ in range(7):
        begin = time.process_time()
        weights = importance_weights(arrays["target"][rows, action], arrays["propensity"])
        logged = arrays["expected"][rows, action]
        target = np.einsum("rk,rk->r", arrays["target"], arrays["expected"])
        gathered = time.process_time()
        five = policy_sums(arrays["reward"], weights, logged, target).values()
        passes.append(time.process_time() - gathered)
        wholes.append(time.process_time() - begin)
    expected = Expected(logged, target)
    values: dict[str, PolicyValue] = dict(five)
    values["switch-dr"] = switch_dr(arrays["reward"], weights, expected, THRESHOLD)
    values["dros"] = shrunk_dr(arrays["reward"], weights, expected, SHRINKAGE)
    slots = arrays["slate_target"] / arrays["slate_propensity"]
    values |= {f.__name__: f(arrays["slate_reward"], slots) for f in (sips, iips, rips)}
    return (
        {name: v.estimate.value for name, v in values.items() if v.estimate},
        float(np.median(passes)),
        float(np.median(wholes)),
    )
