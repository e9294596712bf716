"""Why a shopper has a tag: what its weight would be without this visit or that.

The weight of a tag is a function v of the set of steps that the model is shown, and v(nothing) is the prior. Two
answers, by the length of the history:

- up to `exact_steps` steps: Shapley values over all subsets (Shapley 1953, "A value for n-person games"), exact.
  They are *efficient*: the effects of a tag add up to its weight minus its prior.
- beyond: leave-one-out, effect = v(all) - v(all without this cause). These do *not* add up: two visits of which
  either would have been enough have effects near zero, two that only count together have each the whole effect.

A step left out is as if it had never happened: the gaps between the others grow. The question keeps its time, when
the whole history's next step is due; only where what is left would be due later is it asked then.

N = subjects, C = causes of one subject, S = subsets of its causes, E = its events, M = items.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.interest.predict import Interest, Tag
from zhitou.interest.tokens import SECOND, expected_next_s

EXACT_STEPS = 5  # 2 ** 5 subsets cost less than leave-one-out of MOST_CAUSES
MOST_EXACT = 12
MOST_CAUSES = 40  # 126 ms of one core with the tags themselves, 50 steps, 92,331 items

Method = Literal["shapley", "leave-one-out"]


@dataclass(frozen=True)
class Cause:
    """Steps first_step..last_step (counted from 0) of a shopper and their effect on a tag's weight.

    time_s: Unix seconds of the last of these steps. items: rows of the catalogue that carry the tag's word among
    what happened in them, each once, rising; a cause without any is one that made the tag likelier or less so by
    what else it says of the shopper.
    """

    first_step: int
    last_step: int
    time_s: int
    effect: float
    items: tuple[int, ...]


@dataclass(frozen=True)
class ExplainedTag:
    """A tag, its weight without any history, and its causes: largest effect (of either sign) first."""

    tag: Tag
    prior: float
    method: Method
    causes: tuple[Cause, ...]


def explain(
    interest: Interest,
    histories: Histories,
    top: int = 5,
    *,
    exact_steps: int = EXACT_STEPS,
    most_causes: int = MOST_CAUSES,
) -> list[tuple[ExplainedTag, ...]]:
    """For each of N subjects the causes of its `top` tags (Interest.tags); () where there is no tag.

    A history of more than `most_causes` steps is told as the later half of that many single steps, before them
    periods of about equally many steps. Deterministic. Refused (ConfigError): exact_steps above 12 (4,096
    subsets), fewer than two causes.
    """
    if not 0 <= exact_steps <= MOST_EXACT or most_causes < 2:
        raise ConfigError(
            f"expected exact_steps of 0 to {MOST_EXACT} and most_causes of at least 2, got {exact_steps} and "
            f"{most_causes}; longer histories are explained by leaving causes out"
        )
    found: list[tuple[ExplainedTag, ...]] = []
    for row, tags in enumerate(interest.tags(histories, top)):
        one = histories.select(np.asarray([row]))
        found.append(_explained(interest, one, tags, exact_steps, most_causes) if tags else ())
    return found


def shapley(values: np.ndarray) -> np.ndarray:
    """float64 [C, W]: Shapley values of C players from `values` [2 ** C, W], W games at once.

    Row s is what the players in the bits of s reach together; rows of phi sum to values[-1] - values[0].

    >>> shapley(np.asarray([[0.0], [1.0], [0.0], [4.0]])).ravel().tolist()
    [2.5, 1.5]
    """
    players = len(values).bit_length() - 1
    assert len(values) == 1 << players, "there is one value for each subset"
    subset = np.arange(len(values))
    size = np.asarray([int(s).bit_count() for s in subset])
    share = np.asarray([1.0 / (players * math.comb(players - 1, k)) for k in range(players)])
    phi = np.empty((players, values.shape[1]))
    for player in range(players):
        without = subset[subset >> player & 1 == 0]
        phi[player] = share[size[without]] @ (values[without | 1 << player] - values[without])
    return phi


def periods(steps: int, most: int) -> np.ndarray:
    """int64 [steps]: the cause each step belongs to, rising from 0; at the most `most` causes.

    >>> periods(7, 4).tolist()
    [0, 0, 0, 1, 1, 2, 3]
    """
    if steps <= most:
        return np.arange(steps)
    single = most // 2
    early = np.array_split(np.arange(steps - single), most - single)
    cause = np.repeat(np.arange(len(early)), [len(part) for part in early])
    return np.concatenate([cause, np.arange(len(early), most)])


def subsets(history: Histories, cause: np.ndarray, kept: np.ndarray) -> Histories:
    """One subject as S, all of its name: subject s has only the steps whose cause is in kept[s].

    cause: int [steps]. kept: bool [S, C].
    """
    S = len(kept)
    copies = history.select(np.zeros(S, dtype=np.int64))
    if not kept.shape[1]:
        return copies
    return copies.keep(kept[:, cause[history.step]].ravel())


def _explained(
    interest: Interest, history: Histories, tags: tuple[Tag, ...], exact_steps: int, most_causes: int
) -> tuple[ExplainedTag, ...]:
    cause = periods(int(history.step[-1]) + 1, most_causes)
    C = int(cause[-1]) + 1
    members = [_members(interest, tag) for tag in tags]
    value = _value_function(interest, history, cause, members)
    method: Method
    if exact_steps >= C:
        method = "shapley"
        values = value((np.arange(1 << C)[:, None] >> np.arange(C) & 1).astype(bool))
        whole, prior, effects = values[-1], values[0], shapley(values)
    else:
        method = "leave-one-out"
        kept = np.concatenate([np.ones((1, C), dtype=bool), np.zeros((1, C), dtype=bool), ~np.eye(C, dtype=bool)])
        values = value(kept)
        whole, prior, effects = values[0], values[1], values[0] - values[2:]
    return tuple(
        ExplainedTag(
            replace(tag, weight=float(whole[n])),
            float(prior[n]),
            method,
            _causes(history, cause, effects[:, n], members[n]),
        )
        for n, tag in enumerate(tags)
    )


def _causes(history: Histories, cause: np.ndarray, effects: np.ndarray, members: np.ndarray) -> tuple[Cause, ...]:
    of_event = cause[history.step]
    carries = np.isin(history.item, members)
    found = []
    for c in np.lexsort((-np.arange(len(effects)), -np.abs(effects))):  # of equal ones the later first
        steps = np.flatnonzero(cause == c)
        items = np.unique(history.item[(of_event == c) & carries])
        time_s = int(history.time_s[of_event == c][-1])
        found.append(Cause(int(steps[0]), int(steps[-1]), time_s, float(effects[c]), tuple(int(i) for i in items)))
    return tuple(found)


def _value_function(
    interest: Interest, history: Histories, cause: np.ndarray, members: list[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """kept (bool [S, C]) -> float64 [S, W]: the weights of W tags if only these causes had happened."""
    asked_s = int(expected_next_s(history, None, int(interest.module.gap_s))[0])

    def value(kept: np.ndarray) -> np.ndarray:
        scores = interest.scores(subsets(history, cause, kept), at_s=asked_s)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        total = scores.sum(axis=1, dtype=np.float64)
        return np.stack([scores[:, items].sum(axis=1, dtype=np.float64) / total for items in members], axis=1)

    return value


def _members(interest: Interest, tag: Tag) -> np.ndarray:
    """int64: rows of the items that carry this tag's word."""
    table = interest.items
    if tag.kind == "category":
        return np.flatnonzero(table.category[:, SECOND] == table.category_names[SECOND].index(tag.word))
    return np.flatnonzero(table.brand == table.brand_names.index(tag.word))
