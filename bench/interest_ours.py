"""zhitou's model in bench/interest.py: one function, so that what is measured is what anybody may call."""

from __future__ import annotations

from dataclasses import replace

from interest_data import Data

from zhitou.core.chance import Chance
from zhitou.evaluation.next_item import Rank
from zhitou.interest.config import laptop, sequences, visits
from zhitou.interest.train import fit_interest

NAME = "interest"
CONFIGS = {"beauty": sequences, "sports": sequences, "diginetica": visits, "yoochoose": visits, "journey": laptop}


def fit_ours(data: Data, seed: int, refit: bool, quick: bool = False) -> Rank:
    """Train on what this way of training allows, and answer with rankings of all items."""
    config = CONFIGS[data.name]()
    if quick:
        config = replace(config, fit=replace(config.fit, epochs=1))
    interest = fit_interest(data.learn(refit), data.items, config, Chance(seed))
    at_s = data.cut_s
    return lambda histories, k, exclude_seen: interest.topk(histories, k, exclude_seen=exclude_seen, at_s=at_s)
