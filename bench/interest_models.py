"""The baselines of bench/interest.py, and the walk that chooses their settings on the validation questions.

A walk starts from one setting and tries at most eleven changes, one after the other; a change that ranks the
validation questions better stays. So no baseline gets more than twelve trials here, and none ever sees a test
question. One had help before: what `transitions` starts from was found in 63 trials each on the validation
questions of beauty and sports: it is the stronger to beat for that, but its lead over the others is not a fair one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from interest_als import Als
from interest_data import Data, sampled

from zhitou.core.chance import Chance
from zhitou.evaluation.next_item import Rank, figures, ranked, top_items
from zhitou.events.histories import Histories
from zhitou.learning import baselines
from zhitou.learning.item_similarity import Ease, ItemKnn, Popularity, RandomOrder
from zhitou.learning.transitions import TransitionConfig, Transitions

VALID_QUESTIONS = 10_000
TRIALS = 12

Settings = dict[str, Any]
Learn = Callable[[Histories, Data, Settings, Chance], Rank]


@dataclass
class Kept:
    """The model learnt last, for trials that change only how it is asked."""

    key: Any = None
    histories: Histories | None = None
    model: Any = None

    def of(self, histories: Histories, key: Any, make: Callable[[], Any]) -> Any:
        """The model of this key and these histories, made if it is not the one kept."""
        if self.histories is not histories or self.key != key:
            self.forget()  # EASE of 18,357 items is 1.3 GB: let go of the old one first
            self.model, self.histories, self.key = make(), histories, key
        return self.model

    def forget(self) -> None:
        """Keep nothing."""
        self.key = self.histories = self.model = None


@dataclass(frozen=True)
class Model:
    """learn(histories, data, settings, chance) gives a ranking. changes: what the walk tries, in order; a change of
    `timed_changes` only where times are known and items come back. chancy: whether seeds matter."""

    name: str
    learn: Learn
    start: Settings = field(default_factory=dict)
    changes: tuple[Settings, ...] = ()
    timed_changes: tuple[Settings, ...] = ()
    chancy: bool = False
    forget: Callable[[], None] = lambda: None


def chosen(model: Model, data: Data, chance: Chance, most: int = TRIALS) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings that do best on the validation questions, and the log of the trials."""
    changes = (model.changes + (model.timed_changes if data.timed else ()))[: most - 1]
    if not changes:
        return dict(model.start), []
    questions = sampled(data.protocol.valid, VALID_QUESTIONS, chance)
    best, settings, log = -1.0, dict(model.start), []
    for change in ({}, *changes):
        tried = {**settings, **change}
        begun_s = time.process_time()
        rank = model.learn(data.protocol.choose, data, tried, chance)
        top = top_items(rank, questions, 20)
        metric = data.metrics[data.main]
        value = float(figures(top, questions.targets, (10, 20))[metric].mean())
        cpu_s = time.process_time() - begun_s
        said = {name: "none" if setting == np.inf else setting for name, setting in tried.items()}
        log.append({"settings": said, data.main: round(value, 5), "kept": value > best, "cpu_s": round(cpu_s, 2)})
        if value > best:
            best, settings = value, tried
    return settings, log


def _of(model: Any) -> Rank:
    return lambda histories, k, exclude_seen: model.topk(histories, k, exclude_seen=exclude_seen)


def _random(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
    return _of(RandomOrder(len(data.items), chance))


def _popular(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
    return _of(Popularity(histories, len(data.items), **settings))


def _fading(kind: type[ItemKnn] | type[Ease], setting: str, kept: Kept) -> Learn:
    """A model that is built by one setting, and read by two that cost nothing to change."""

    def learn(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
        value = settings[setting]
        model = kept.of(histories, value, lambda: kind(histories, len(data.items), value))
        model.fade, model.own = settings["fade"], settings["own"]
        return _of(model)

    return learn


def _als(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
    return _of(Als(histories, len(data.items), chance, **settings))


def _transitions(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
    return _of(Transitions.learn(histories, len(data.items), TransitionConfig(**settings)))


def _counted(kind: type) -> Learn:
    """A baseline of learning/baselines.py, which chooses its settings itself, on the last weeks it is given."""

    def learn(histories: Histories, data: Data, settings: Settings, chance: Chance) -> Rank:
        return ranked(kind().fit(histories, data.items, chance).scores)

    return learn


_KNN, _EASE = Kept(), Kept()
SEQUENCES = (
    Model("random", _random, chancy=True),
    Model(
        "popular",
        _popular,
        {"half_life_days": np.inf},
        timed_changes=tuple({"half_life_days": days} for days in (112.0, 56.0, 28.0, 14.0, 7.0, 3.0, 1.0)),
    ),
    Model(
        "item-knn",
        _fading(ItemKnn, "shrink", _KNN),
        {"shrink": 10.0, "fade": 0.7, "own": 0.0},
        (
            *({"shrink": shrink} for shrink in (0.0, 30.0, 100.0)),
            *({"fade": fade} for fade in (0.0, 1.0, 1.5, 2.0, 3.0)),
        ),
        tuple({"own": own} for own in (0.2, 0.5, 1.0)),
        forget=_KNN.forget,
    ),
    Model(
        "als",
        _als,
        {"factors": 64, "regularization": 0.1, "alpha": 10.0},
        (
            {"factors": 128},
            {"factors": 256},
            {"alpha": 3.0},
            {"alpha": 1.0},
            {"alpha": 30.0},
            {"regularization": 1.0},
            {"regularization": 10.0},
        ),
        chancy=True,
    ),
    Model(
        "ease",
        _fading(Ease, "l2", _EASE),
        {"l2": 300.0, "fade": 0.7, "own": 0.0},
        ({"fade": 0.0}, {"fade": 1.0}, {"fade": 1.5}, {"l2": 100.0}, {"l2": 30.0}, {"l2": 600.0}),
        tuple({"own": own} for own in (0.1, 0.2, 0.5, 1.0)),
        forget=_EASE.forget,
    ),
    Model(
        "transitions",
        _transitions,
        {"window": 20, "decay": 0.5, "backward": 0.3, "reach": 5, "fade": 1.0, "rarity": 0.2, "row": 0.3},
        (
            {"row": 0.5},
            {"row": 0.8},
            {"decay": 1.0},
            {"backward": 0.6},
            {"fade": 0.5},
            {"fade": 2.0},
            {"rarity": 0.1},
            {"rarity": 0.3},
            {"backward": 0.15},
        ),
        ({"own": 0.3}, {"own": 1.0}),
    ),
)
BASKETS = (
    *(Model(kind.name, _counted(kind), chancy=kind is baselines.RandomBaseline) for kind in baselines.BASELINES),
    Model(
        "transitions",
        _transitions,
        {"window": 1, "decay": 0.5, "backward": 1.0, "reach": 20, "fade": 0.5, "rarity": 0.2, "row": 0.5},
        ({"rarity": 0.0}, {"rarity": 0.4}, {"row": 0.8}, {"fade": 0.2}, {"fade": 1.0}),
    ),
)


def models(data: Data) -> Mapping[str, Model]:
    """The baselines of this data set by name."""
    return {model.name: model for model in (BASKETS if data.name == "journey" else SEQUENCES)}
