"""Decisions of Vowpal Wabbit's SquareCB: python bench/peers/vw_squarecb.py [DECISIONS] [ADS] [DIMS]

Runs under a Python with bench/peers/requirements-vw.txt. Each request is the text that its Python interface reads
(one shared line, one line an ad, features crossed by -q); reading it is part of the time, as in any use of it. Prints
one JSON object: decisions and lessons a second, by CPU and by wall.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from vowpalwabbit import Workspace


def main() -> None:
    """Learn a little, decide, print."""
    count, ads, dims = (int(x) for x in (*sys.argv[1:], *("2000", "100", "32")[len(sys.argv) - 1 :]))
    rng = np.random.default_rng(1)
    known = rng.random((count, dims), dtype=np.float32)
    actions = "\n".join(f"|a ad{k}" for k in range(ads))
    shared = ["shared |s " + " ".join(f"{d}:{x:.4f}" for d, x in enumerate(row)) for row in known]
    model = Workspace("--cb_explore_adf --squarecb --gamma_scale 300 -q sa --quiet")
    lines = actions.split("\n")
    start = time.process_time()
    taught = count // 4
    for n in range(taught):
        shown = [*lines]
        shown[n % ads] = f"{n % ads}:{-float(rng.random() < 0.05)}:{1 / ads} {lines[n % ads]}"
        model.learn([shared[n], *shown])
    learn_s = time.process_time() - start
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for text in shared:
        chances = model.predict([text, *lines])
        rng.choice(ads, p=np.asarray(chances) / sum(chances))
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    print(json.dumps({"per_cpu_s": count / cpu_s, "per_s": count / wall_s, "learnt_per_cpu_s": taught / learn_s}))


if __name__ == "__main__":
    main()
