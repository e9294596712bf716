"""Decisions of MABWiser's LinUCB and LinTS: python bench/peers/mabwiser_linear.py [DECISIONS] [ADS] [DIMS]

Runs under a Python with bench/peers/requirements-mabwiser.txt. Prints one JSON object: decisions a second of either
policy, all requests in one call and one request a call, by CPU and by wall.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from mabwiser.mab import MAB, LearningPolicy


def main() -> None:
    """Learn, decide, print."""
    count, ads, dims = (int(x) for x in (*sys.argv[1:], *("4096", "100", "32")[len(sys.argv) - 1 :]))
    rng = np.random.default_rng(1)
    known = rng.random((count, dims))
    shown, clicked = rng.integers(0, ads, 5000), (rng.random(5000) < 0.05).astype(int)
    taught, figures = rng.random((5000, dims)), {}
    for name, policy in (("linucb", LearningPolicy.LinUCB(alpha=1.0)), ("lints", LearningPolicy.LinTS(alpha=0.5))):
        bandit = MAB(list(range(ads)), policy, seed=1)
        bandit.fit(shown, clicked, taught)
        few = min(count, 500)
        for ending, batches in (("batch", [known]), ("single", list(known[:few, None]))):
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            for batch in batches:
                bandit.predict(batch)
            decided = sum(len(batch) for batch in batches)
            figures[f"{name}_{ending}_per_cpu_s"] = decided / (time.process_time() - cpu_s)
            figures[f"{name}_{ending}_per_s"] = decided / (time.perf_counter() - wall_s)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
