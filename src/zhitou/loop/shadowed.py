"""What a candidate did in the shadow, read back and tied to what came of the champion's decisions. D = rows."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from zhitou.evaluation.classification import rate_interval
from zhitou.feedback.promotion import LoggedDecisions, Shadow
from zhitou.loop.served import Served


def read_shadow(path: Path) -> list[dict[str, Any]]:
    """The lines of a shadow's file; a last line that is still being written is left for the next time."""
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]
    return [orjson.loads(line) for line in whole]


def shadow_of(lines: list[dict[str, Any]]) -> Shadow:
    """The candidate's conduct: requests, failures, agreement, latency."""
    scored = [line for line in lines if "ads" in line]
    errors = sum("error" in line for line in lines)
    left_out = sum(line.get("left_out", 0) for line in lines)
    latency = [line["latency_us"] / 1_000 for line in lines if "latency_us" in line] or [0.0]
    p50, p99 = np.quantile(latency, [0.5, 0.99])
    same = rate_interval(sum(line["same"] for line in scored), len(scored))
    return Shadow(len(scored) + errors + left_out, errors, left_out, same, float(p50), float(p99))


def logged_decisions(served: Served, lines: list[dict[str, Any]], champion: str) -> LoggedDecisions:
    """The champion's shown rows that the candidate was asked about, with both policies' chances; reward = a click.

    The chance of a row is that of its slot and of all slots above it: what a slot earns depends on what is shown
    before it, too. Rows of decisions whose slots above were not all shown are left out.
    """
    chances = {
        line["decision_id"]: line["chance"] for line in lines if "chance" in line and line["champion"] == champion
    }
    logged: dict[str, dict[int, float]] = defaultdict(dict)
    of = zip(served.decision, served.rows.slot.tolist(), served.rows.propensity.tolist(), strict=True)
    for decision, slot, propensity in of:
        logged[decision][slot] = propensity
    target, taken = np.full(len(served), np.nan), np.full(len(served), np.nan)
    for row, (decision, slot) in enumerate(zip(served.decision, served.rows.slot.tolist(), strict=True)):
        above = chances.get(decision)
        mine = [logged[decision].get(s) for s in range(slot + 1)]
        if above is None or None in mine or None in above[: slot + 1]:
            continue
        target[row] = np.prod([float(c) for c in above[: slot + 1]])
        taken[row] = np.prod([float(p) for p in mine if p is not None])
    known = np.isfinite(target)
    return LoggedDecisions(
        reward=served.rows.clicked[known].astype(np.float64),
        propensity=taken[known],
        champion=taken[known],
        candidate=np.clip(target[known], 0.0, 1.0),
        subject=served.subject[known],
    )
