"""zhitou's model in bench/interest.py: one function, so that what is measured is what anybody may call."""

from __future__ import annotations

from dataclasses import replace

from interest_data import Data

from zhitou.core.chance import Chance
from zhitou.evaluation.next_item import Rank
from zhitou.interest.committee import Committee
from zhitou.interest.config import laptop, many_visits, sequences, visits
from zhitou.interest.predict import Interest
from zhitou.interest.train import fit_interest

NAME, COMMITTEE = "interest", "committee"
MEMBERS = 3
CONFIGS = {
    "beauty": sequences,
    "sports": sequences,
    "diginetica": many_visits,
    "yoochoose": visits,
    "journey": laptop,
}
_trained: dict[tuple[str, bool], dict[int, Interest]] = {}  # a committee of seeds 1 to 3 is not trained again


def fit_ours(data: Data, seed: int, refit: bool, quick: bool = False) -> Rank:
    """Train on what this way of training allows, and answer with rankings of all items."""
    return _rank(_one(data, seed, refit, quick), data)


def fit_committee(data: Data, refit: bool, quick: bool = False) -> Rank:
    """Seeds 1 to 3 of the same model, answering together (interest.committee)."""
    return _rank(Committee([_one(data, seed, refit, quick) for seed in range(1, MEMBERS + 1)]), data)


def _one(data: Data, seed: int, refit: bool, quick: bool) -> Interest:
    """The model of this seed, trained once."""
    known = _trained.setdefault((data.name, refit), {})
    if seed not in known:
        config = CONFIGS[data.name]()
        if quick:
            config = replace(config, fit=replace(config.fit, epochs=1))
        known[seed] = fit_interest(data.learn(refit), data.items, config, Chance(seed))
    return known[seed]


def _rank(model: Interest | Committee, data: Data) -> Rank:
    at_s = data.cut_s
    return lambda histories, k, exclude_seen: model.topk(histories, k, exclude_seen=exclude_seen, at_s=at_s)
