"""How long Qini and AUUC of 10 M rows take, and whether order or company change them."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.uplift import rank_quality


def uplift(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print times and differences; the same as figures. Quick: fewer repeats; always 10 M rows."""
    rows, repeats = 10_000_000, 3 if quick else 7
    rng = chance.stream("uplift_speed")
    score, treated = rng.normal(size=rows), rng.random(rows) < 0.5
    outcome = (rng.random(rows) < 0.05 + 0.02 * treated * (score > 0)).astype(np.float64)
    tied = np.round(score, 2)
    rank_quality(score[:1_000], treated[:1_000], outcome[:1_000])  # compiles
    figures: dict[str, Any] = {}
    for name, s in (("qini_10m_s", score), ("qini_10m_tied_s", tied)):
        times = []
        for _ in range(repeats):
            begun = time.process_time()
            rank_quality(s, treated, outcome)
            times.append(time.process_time() - begun)
        figures[name] = statistics.median(times)
    order = rng.permutation(rows)
    moved = rank_quality(tied[order], treated[order], outcome[order])
    figures["order_changes"] = int(moved != rank_quality(tied, treated, outcome))
    print("\n== Qini and AUUC of 10,000,000 rows, one core ==")
    print(f"{figures['qini_10m_s']:.2f} s with different scores, {figures['qini_10m_tied_s']:.2f} s with many ties")
    print(f"another order of rows changes {figures['order_changes']} of 1 results")
    return figures
