"""More people like these: the shoppers whose interests are most like those of a seed set.

A shopper is described by its habits, by what it bought of each category, and by where its next step's probability
falls (portraits.py); a logistic regression with an L1 penalty tells the seeds from everybody else, and the others are
ranked by it. On The Complete Journey the decoder's vectors alone found fewer later buyers than a list of the heaviest
shoppers, and an L2 penalty fewer than L1: a seed set is about few things. The weights that are left are the audience
in words.

Small answers say too much of single people: seed sets and audiences below a least size are refused.

N = subjects, C = categories of the second level, F = columns of a description.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, NotFoundError
from zhitou.evaluation.classification import rate_interval
from zhitou.evaluation.experiment import Estimate
from zhitou.events.histories import Histories
from zhitou.interest.portraits import CATEGORY_HABITS, HABITS, category_habits, category_shares, habits
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import SECOND

SEEDS_LEAST = 20
AUDIENCE_LEAST = 20
PENALTY = 1.2  # in standard deviations of an idle column's pull; chosen on half of The Complete Journey's categories
OTHERS_MOST = 50_000  # that the seeds are held against while learning
SMALLEST_SHARE = 1e-5
_BOUGHT = CATEGORY_HABITS.index("log_steps_decayed_120_days")
_CATEGORY_SCALE = 1 / np.sqrt(5)  # of columns by category against habits: there are many more of them


@dataclass(frozen=True)
class Audience:
    """The best `size` others: rows int64 [size] of the histories, best first, and their scores float64 [size].

    A score is the logarithm of the odds of being a seed: it ranks, it is no probability of anything else. words:
    what tells the seeds apart, strongest first, as (habit, "bought CATEGORY" or "wants CATEGORY", weight per
    standard deviation).
    """

    rows: np.ndarray
    scores: np.ndarray
    words: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class SeedCheck:
    """Do the seeds find each other? A part of them was hidden and searched for among everybody else.

    hidden: their number, and the size of the audience. recall: the share of them in it, with Wilson's interval.
    lift: recall over that of a random audience of this size, with the interval that follows.
    """

    hidden: int
    others: int
    recall: Estimate
    lift: Estimate


def seed_rows(histories: Histories, subjects: Sequence[str]) -> np.ndarray:
    """int64: the rows of these subjects, each once, rising. Refused (NotFoundError): a subject without a row."""
    rows = [histories.row(subject) for subject in subjects]
    unknown = [subject for subject, row in zip(subjects, rows, strict=True) if row < 0]
    if unknown:
        raise NotFoundError(
            f"{len(unknown):,} of {len(rows):,} seed subjects are not among the {len(histories):,} known ones, the "
            f"first is {unknown[0]!r}; leave them out, or give their pseudonyms"
        )
    return np.unique(np.asarray(rows, dtype=np.int64))


def audience(
    interest: Interest,
    histories: Histories,
    seeds: np.ndarray,
    size: int,
    *,
    at_s: int | None = None,
) -> Audience:
    """The `size` shoppers most like the seeds (int rows of `histories`), none of whom is a seed.

    at_s: Unix seconds; only what happened strictly before is read (all of it if None). Equal scores rank by row.
    Shoppers without behaviour are neither learnt from nor chosen. Refused (ConfigError): too few seeds with
    behaviour, an audience that is too small or larger than the number of others, rows outside the histories.
    """
    at_s = _after(histories) if at_s is None else at_s
    seeds = _checked(histories, seeds)
    known = np.flatnonzero(np.diff(histories.before(at_s).offsets) > 0)
    seeds = seeds[np.isin(seeds, known)]
    _enough(len(seeds), len(known), size, AUDIENCE_LEAST)
    described = descriptions(interest, histories.select(known), at_s)
    places = np.searchsorted(known, seeds)
    logits, weights = likeness(described, places)
    logits[places] = -np.inf
    best = np.lexsort((np.arange(len(known)), -logits))[:size]
    return Audience(known[best], logits[best], _words(interest, weights))


def check_seeds(
    interest: Interest,
    histories: Histories,
    seeds: np.ndarray,
    chance: Chance,
    *,
    hidden_share: float = 0.3,
    at_s: int | None = None,
) -> SeedCheck:
    """Hide a share of the seeds, ask for an audience as large as what was hidden, count who came back.

    Refused as in `audience`; also a share that leaves nobody hidden. A lift whose interval holds 1 says that these
    seeds have nothing in common that the model knows of.
    """
    at_s = _after(histories) if at_s is None else at_s
    known = np.flatnonzero(np.diff(histories.before(at_s).offsets) > 0)
    seeds = np.intersect1d(_checked(histories, seeds), known)
    hidden = round(hidden_share * len(seeds))
    if hidden < 1:
        raise ConfigError(f"expected a part of {len(seeds)} seeds to hide, {hidden_share:g} of them is nobody")
    _enough(len(seeds) - hidden, len(known), hidden, 1)
    described = descriptions(interest, histories.select(known), at_s)
    mixed = chance.stream("audience-check").permutation(np.searchsorted(known, seeds))
    return held_out(lambda shown: likeness(described, shown)[0], np.sort(mixed[hidden:]), mixed[:hidden], len(known))


def held_out(scores: Callable[[np.ndarray], np.ndarray], shown: np.ndarray, hidden: np.ndarray, n: int) -> SeedCheck:
    """What `scores` (shown seeds -> float [n]) finds of the hidden ones among all n but the shown."""
    logits = np.array(scores(shown), dtype=np.float64)
    logits[shown] = -np.inf
    best = np.lexsort((np.arange(n), -logits))[: len(hidden)]
    others = n - len(shown)
    recall = rate_interval(int(np.isin(best, hidden).sum()), len(hidden))
    by_chance = len(hidden) / others
    lift = Estimate(recall.value / by_chance, recall.low / by_chance, recall.high / by_chance)
    return SeedCheck(len(hidden), others, recall, lift)


def descriptions(interest: Interest, histories: Histories, at_s: int) -> np.ndarray:
    """float64 [N, len(HABITS) + 2 C]: habits, logarithms of what was bought by category and of category shares, each
    column of mean 0 and, within its part and if it varies, of like spread."""
    shares = np.log(category_shares(interest, histories, at_s) + SMALLEST_SHARE).astype(np.float64)
    bought = category_habits(histories, interest.items, at_s)[..., _BOUGHT].astype(np.float64)
    by_category = np.concatenate([_standard(bought), _standard(shares)], axis=1)
    return np.concatenate([_standard(habits(histories, at_s)), by_category * _CATEGORY_SCALE], axis=1)


def likeness(described: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(logits float64 [N], weights float64 [F]): the odds of being one of `seeds` (int rows of described)."""
    label = np.zeros(len(described), dtype=bool)
    label[seeds] = True
    others = np.flatnonzero(~label)
    if len(others) > OTHERS_MOST:
        others = others[np.linspace(0, len(others) - 1, OTHERS_MOST).astype(np.int64)]
    rows = np.concatenate([np.flatnonzero(label), others])
    # An idle column pulls with a normal of this variance: a fixed C would drop everything for few seeds.
    pull = np.sqrt(label.sum() * (1 - label[rows].mean()))
    model = LogisticRegression(C=1 / (PENALTY * pull), l1_ratio=1.0, solver="liblinear", random_state=0, max_iter=500)
    model.fit(described[rows], label[rows])
    weights = model.coef_[0].astype(np.float64)
    return described @ weights + float(model.intercept_[0]), weights


def _words(interest: Interest, weights: np.ndarray) -> tuple[tuple[str, float], ...]:
    categories = [name or "unknown category" for name in interest.items.category_names[SECOND]]
    names = [*HABITS, *(f"bought {name}" for name in categories), *(f"wants {name}" for name in categories)]
    order = np.lexsort((np.arange(len(weights)), -np.abs(weights)))
    return tuple((names[n], float(weights[n])) for n in order if weights[n])


def _standard(columns: np.ndarray) -> np.ndarray:
    spread = columns.std(axis=0)
    return np.where(spread > 1e-6, (columns - columns.mean(axis=0)) / np.maximum(spread, 1e-6), 0.0)


def _after(histories: Histories) -> int:
    return int(histories.time_s.max(initial=-1)) + 1


def _checked(histories: Histories, seeds: np.ndarray) -> np.ndarray:
    rows = np.unique(np.asarray(seeds))
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    if rows.dtype.kind not in "iu" or rows[0] < 0 or rows[-1] >= len(histories):
        raise ConfigError(
            f"expected seeds as rows 0 to {len(histories) - 1} of the histories, got {rows[0]} to {rows[-1]}; "
            "seed_rows(histories, subjects) finds the rows of names"
        )
    return rows.astype(np.int64)


def _enough(seeds: int, known: int, size: int, audience_least: int) -> None:
    if seeds < SEEDS_LEAST:
        raise ConfigError(
            f"expected at least {SEEDS_LEAST} seeds with behaviour, got {seeds}; a smaller set says more of single "
            "people than of what they have in common"
        )
    if size < audience_least:
        raise ConfigError(
            f"expected an audience of at least {audience_least}, got {size}; a smaller one could point at "
            "single people"
        )
    if size > known - seeds:
        raise ConfigError(
            f"an audience of {size:,} was asked for, there are {known - seeds:,} other shoppers with behaviour; "
            "ask for fewer"
        )
