"""Whether two models say the same words of the same shoppers: a retraining should not change who people are.

N = subjects, K = depth of the lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.evaluation.ranking import Interval, interval
from zhitou.interest.predict import Tag

PERSISTENCE = 0.9  # of a reader who goes on to the next tag with this probability

Words = Sequence[Sequence[Hashable]]


@dataclass(frozen=True)
class Agreement:
    """Of two models' first `depth` tags of N subjects, means over subjects with bootstrap intervals.

    overlap: share of tags in common. overlap_biased: the same, top tags counting more (`rank_biased_overlap`).
    popular_*: one list for everybody, the tags that the first model gives most often, held against the second's:
    what agrees because all are alike. chance_*: the first's tags of one subject against the second's of another.
    """

    depth: int
    overlap: Interval
    overlap_biased: Interval
    popular_overlap: Interval
    popular_overlap_biased: Interval
    chance_overlap: Interval
    chance_overlap_biased: Interval


def tag_agreement(
    one: Sequence[tuple[Tag, ...]], two: Sequence[tuple[Tag, ...]], chance: Chance, depth: int = 5
) -> Agreement:
    """How far two models agree on the tags of the same subjects, in the same order; weights are not compared.

    Subjects without a tag in both are left out. Refused (ConfigError): lists of different length, or nobody left.
    """
    if len(one) != len(two):
        raise ConfigError(f"expected the tags of the same subjects, got {len(one)} and {len(two)} of them")
    pairs = [(_words(a, depth), _words(b, depth)) for a, b in zip(one, two, strict=True) if a or b]
    if not pairs:
        raise ConfigError("expected subjects with tags, neither model gave any; are the histories empty?")
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    counts = Counter(word for words in ours for word in words)
    common = [word for word, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:depth]]
    # A shift by a random number of places: nobody is held against itself.
    shift = int(chance.stream("tag-agreement-shift").integers(1, max(len(theirs), 2)))
    others = [theirs[(n + shift) % len(theirs)] for n in range(len(theirs))]
    compared = {"": (ours, theirs), "popular_": ([common] * len(theirs), theirs), "chance_": (ours, others)}
    found: dict[str, Interval] = {}
    for name, (left, right) in compared.items():
        for measure, of in (("overlap", overlap), ("overlap_biased", rank_biased_overlap)):
            found[name + measure] = interval(of(left, right, depth), chance.stream("tag-agreement", name + measure))
    return Agreement(depth, **found)


def overlap(one: Words, two: Words, depth: int) -> np.ndarray:
    """float64 [N]: words in common among the first `depth` of each, over the longer list's length.

    >>> overlap([["a", "b"], []], [["b", "c"], []], 5).tolist()
    [0.5, 1.0]
    """
    found = []
    for a, b in zip(one, two, strict=True):
        most = max(len(a[:depth]), len(b[:depth]))
        found.append(len(set(a[:depth]) & set(b[:depth])) / most if most else 1.0)
    return np.asarray(found)


def rank_biased_overlap(one: Words, two: Words, depth: int, persistence: float = PERSISTENCE) -> np.ndarray:
    """float64 [N]: mean over depths d of the overlap of the first d words, weighted persistence ** (d - 1).

    Webber, Moffat, Zobel 2010, "A similarity measure for indefinite rankings", cut at `depth` or at the longer
    list's end and divided by the sum of the weights, so that equal lists agree fully.
    """
    found = []
    for a, b in zip(one, two, strict=True):
        most = max(len(a[:depth]), len(b[:depth]))
        weight = persistence ** np.arange(most)
        common = [len(set(a[:d]) & set(b[:d])) / d for d in range(1, most + 1)]
        found.append(float(weight @ common / weight.sum()) if most else 1.0)
    return np.asarray(found)


def _words(tags: tuple[Tag, ...], depth: int) -> list[tuple[str, str]]:
    return [(tag.kind, tag.word) for tag in tags[:depth]]
