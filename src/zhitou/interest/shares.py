"""How much of taste and of popularity to believe, chosen on behaviour later than what was learnt from.

A model knows the items it was trained on better than those that come next, and its counts of what came soon after
what do not: trained beside them, taste is trusted more than it deserves, and popularity even more, most of all where
there is little to learn from. So both are weighed anew by how well they rank steps that nobody trained on.

N = moments, M = items.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zhitou.events.histories import Histories
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import NOT_WANTED, steps_of

TASTE = (0.0, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
POPULAR = (0.0, 0.1, 0.25, 0.5, 1.0)
MOMENTS, LENGTH, CHUNK = 3_000, 20, 256


def with_shares(interest: Interest, taste: float, popular: float) -> Interest:
    """The same model with other shares of taste and popularity in its predictions."""
    config = replace(interest.config, taste_share=taste, popular_share=popular)
    return Interest(interest.module, interest.vocabulary, config, interest.items, interest.learnt, interest.near)


def chosen_shares(interest: Interest, whole: Histories, cut_s: int, rng: np.random.Generator) -> tuple[float, float]:
    """(taste share, popular share): those of TASTE x POPULAR that rank later steps best, by NDCG@20.

    Asked is for one step of each subject of `whole` that did something at `cut_s` (Unix seconds) or later, after
    something before, for at most MOMENTS of them; of a basket one item. Of equally good shares the smaller win.
    Where there is nobody to ask, the shares stay as they are.
    """
    past, target = later_steps(whole, cut_s, rng)
    if not len(target):
        return interest.config.taste_share, interest.config.popular_share
    none, taste, popular = (with_shares(interest, *shares) for shares in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
    worth = np.zeros((len(TASTE), len(POPULAR)))
    for start in range(0, len(target), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(target)))
        asked = past.select(rows)
        rest = none.scores(asked)
        liked, common = taste.scores(asked) - rest, popular.scores(asked) - rest
        for a, share in enumerate(TASTE):
            for b, part in enumerate(POPULAR):
                worth[a, b] += _gain(rest + np.float32(share) * liked + np.float32(part) * common, target[rows])
    a, b = divmod(int(worth.argmax()), len(POPULAR))
    return TASTE[a], POPULAR[b]


def later_steps(whole: Histories, cut_s: int, rng: np.random.Generator) -> tuple[Histories, np.ndarray]:
    """(N histories, int64 [N] items): what was known before one later step of each subject, and an item of it."""
    steps = steps_of(whole)
    owner = np.repeat(np.arange(len(whole)), steps.sizes)
    number = np.arange(len(owner)) - steps.offsets[:-1][owner]
    asked = np.flatnonzero((steps.time_s >= cut_s) & (number > 0))
    asked = rng.permutation(asked)
    asked = asked[np.unique(owner[asked], return_index=True)[1]]  # one of each subject
    asked = np.sort(rng.permutation(asked)[:MOMENTS])
    lines = rng.permutation(len(whole.item))
    lines = lines[~np.isin(whole.action[lines], NOT_WANTED)]
    step_of = np.repeat(np.arange(len(owner)), np.diff(steps.lines))
    step, first = np.unique(step_of[lines], return_index=True)
    asked = asked[np.isin(asked, step)]
    target = whole.item[lines[first[np.searchsorted(step, asked)]]].astype(np.int64)
    chosen = whole.select(owner[asked])
    return chosen.keep(chosen.step < number[asked][chosen.subject_of_event]), target


def _gain(scores: np.ndarray, target: np.ndarray) -> float:
    """The sum of 1 / log2(rank + 1) over those ranked up to LENGTH; of equal scores the lower item number wins."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    lower = np.arange(scores.shape[1]) < target[:, None]
    rank = ((scores > own) | (lower & (scores == own))).sum(axis=1)
    return float((1.0 / np.log2(rank[rank < LENGTH] + 2.0)).sum())
