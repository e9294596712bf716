"""Experiments: verdicts under peeking, shared budgets, holdouts, a real e-mail trial, 78 real tests, uplift's speed.

    python bench/experiments.py [--only sequential|budget|holdout|email|asos|uplift] [--quick] [--seed 1]

- sequential: 1,000 worlds without a lift, looked at every 1,000 impressions up to 10 M: how many verdicts are wrong,
  ours and those of a test that is not made for peeking; when a true +30 % is found; what 10,000 real rows can decide.
- budget: 200 campaigns with budgets, a change that brings 30 % more clicks an impression: the true effect on
  everybody against a user split and a budget split, where budgets bind, half bind, and hardly bind.
- holdout: who would have seen the ad, logged; bids on what ads cause.
- email: Hillstrom, 64,000 customers: arms with intervals, CUPED, uplift learners, whether choosing the mail by
  customer pays, over 50 splits.
- asos: 78 real experiments replayed look by look against the test at their end; sample ratios that are off.
- uplift: Qini and AUUC of 10 M rows.

Public sets are found below ZHITOU_DATA; one that is absent is named, with where to get it, and left out. One core.
--quick: fewer worlds, seeds and splits. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import time

from experiments_asos import asos
from experiments_budget import budget
from experiments_email import email
from experiments_holdout import holdout
from experiments_sequential import sequential
from experiments_uplift import uplift
from lines import last_line
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError

PARTS = {
    "sequential": sequential,
    "budget": budget,
    "holdout": holdout,
    "email": email,
    "asos": asos,
    "uplift": uplift,
}


def main() -> None:
    """Each part in turn, then the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer worlds, seeds and splits")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures: dict[str, object] = {"quick": args.quick, "seed": args.seed}
    for name, part in PARTS.items():
        if args.only not in (None, name):
            continue
        begun = time.process_time()
        try:
            with threadpool_limits(1):
                found = part(Chance(args.seed), args.quick)
        except SourceError as error:
            print(f"left out: {error}")
            figures[f"{name}_left_out"] = True
            continue
        figures |= {key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in found.items()}
        figures[f"{name}_cpu_s"] = round(time.process_time() - begun, 1)
    last_line("experiments", figures)


if __name__ == "__main__":
    main()
