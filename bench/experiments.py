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

from experiments_asos import asos
from experiments_budget import budget
from experiments_email import email
from experiments_holdout import holdout
from experiments_sequential import sequential
from experiments_uplift import uplift
from parts import run_parts

PARTS = {
    "sequential": sequential,
    "budget": budget,
    "holdout": holdout,
    "email": email,
    "asos": asos,
    "uplift": uplift,
}


if __name__ == "__main__":
    run_parts("experiments", __doc__, PARTS, "fewer worlds, seeds and splits")
