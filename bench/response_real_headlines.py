"""Upworthy: 18,225 variants of a headline in 3,924 trials, with visitors and clicks. T = trials, V = variants.

The archive has totals. In which order a variant's visitors came is gone, so "learn from the first half" cannot be
played in time. A half drawn at random can be: its clicks are hypergeometric. Trials themselves are split by time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logit

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import Estimate, paired_difference
from zhitou.events.sources.logged import HeadlineTrials, read_headline_trials

LEARN = 0.7
SHRINKS = (0, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
PENALTIES = (30.0, 100.0, 300.0, 1_000.0, 3_000.0)
BINS = 10


def headlines(chance: Chance, draws: int) -> dict[str, Any]:
    """Print what the trials decide and what not; the same as figures. draws: bootstrap samples."""
    print("\n== Upworthy: trials of headlines, totals only ==")
    trials = read_headline_trials()
    cut = int(LEARN * (trials.test.max() + 1))
    later = trials.test >= cut
    count, week = len(np.unique(trials.test[later])), trials.week[later].min()
    print(f"{cut:,} earlier trials teach, {count:,} later ones judge (from week {week})")
    figures = _halves(trials, cut, chance, draws)
    return figures | _words(_by_headline(trials), cut, chance, draws)


def _halves(trials: HeadlineTrials, cut: int, chance: Chance, draws: int) -> dict[str, Any]:
    """Half of each variant's visitors, drawn at random, teach its rate; the other half judges."""
    n1 = trials.shown // 2
    c1 = chance.stream("headline halves").hypergeometric(trials.clicked, trials.shown - trials.clicked, n1)
    n2, c2 = trials.shown - n1, trials.clicked - c1
    late = trials.test >= cut
    trial_n, trial_c = _of_test(trials.test, n1), _of_test(trials.test, c1)
    past = float(c1[~late].sum() / n1[~late].sum())

    def shrunk(looks: float, trial_looks: float) -> np.ndarray:
        parent = (trial_c + trial_looks * past) / (trial_n + trial_looks)
        return np.clip((c1 + looks * parent) / (n1 + looks), 1e-5, 1 - 1e-5)

    tried = [(looks, trial_looks) for looks in SHRINKS for trial_looks in SHRINKS]
    looks, trial_looks = min(tried, key=lambda one: _losses(c2, n2, shrunk(*one))[~late].sum())
    rates = {
        "shrunk": (f"drawn to its trial by {looks:,} looks", shrunk(looks, trial_looks)),
        "own": ("its own rate", shrunk(0, 0)),
        "mean": ("its trial's rate", np.clip(trial_c / trial_n, 1e-5, 1 - 1e-5)),
    }
    print(
        f"one half of a variant's visitors, foretold from the other half ({looks:,} looks that draw a variant to its"
    )
    print(f"  trial and {trial_looks:,} that draw a trial to all earlier ones were chosen on the earlier trials):")
    figures = _compared(rates, c2[late], n2[late], trials.test[late], late, chance, draws)
    return {"headline_shrink_looks": looks, "headline_shrink_trial_looks": trial_looks, **figures}


def _compared(
    rates: dict[str, tuple[str, np.ndarray]],
    clicked: np.ndarray,
    shown: np.ndarray,
    test: np.ndarray,
    judged: np.ndarray,
    chance: Chance,
    draws: int,
) -> dict[str, Any]:
    """The table of several predictions {key: (name, p [V])} of the judged variants, each held against the first."""
    head = ("nats per 1,000 visitors", "more than the first", "predicted / observed", "ECE (chance)")
    print(f"{'':34}{head[0]:>24}{head[1]:>32}{head[2]:>24}{head[3]:>22}")
    trial = np.unique(test, return_inverse=True)[1]
    first, figures = None, {}
    for key, (name, whole) in rates.items():
        p = whole[judged]
        loss = np.bincount(trial, _losses(clicked, shown, p)) / shown.sum() * 1_000 * (trial.max() + 1)
        first = loss if first is None else first
        gap = paired_difference(loss, first, rng=chance.stream("headline gap", key), draws=draws)
        told = _calibration(clicked, shown, p, trial, chance.stream("headline chance", key), draws)
        ratio, ece = told["ratio"], f"{told['ece']:.2g} ({told['chance']:.2g})"
        print(f"{name:34}{loss.mean():24.4f}{gap!s:>32}{ratio!s:>24}{ece:>22}")
        print(f"{'  by tenths of the prediction':40}{' '.join(f'{value:.2f}' for value in told['tenths'])}")
        figures |= {f"headline_{key}_{end}": told[end] for end in ("ece", "chance")}
        for end, found in (("behind", gap), ("ratio", ratio)):
            figures |= {f"headline_{key}_{end}": found.value, f"headline_{key}_{end}_low": found.low}
            figures[f"headline_{key}_{end}_high"] = found.high
        figures[f"headline_{key}_worst_tenth"] = float(max(told["tenths"], key=lambda v: abs(np.log(v))))
    return figures


def _by_headline(trials: HeadlineTrials) -> HeadlineTrials:
    """One row for each headline of a trial: variants that differ in their picture alone are put together."""
    words = np.unique(trials.headline.astype(str), return_inverse=True)[1]
    _, first, of = np.unique(np.stack([trials.test, words], 1), axis=0, return_index=True, return_inverse=True)
    several = np.bincount(trials.test[first], minlength=trials.test.max() + 1) > 1
    kept = several[trials.test[first]]
    sums = (np.bincount(of.ravel(), values).astype(np.int64)[kept] for values in (trials.shown, trials.clicked))
    return HeadlineTrials(trials.test[first][kept], trials.week[first][kept], trials.headline[first][kept], *sums)


def _words(trials: HeadlineTrials, cut: int, chance: Chance, draws: int) -> dict[str, Any]:
    """A headline's words alone, learnt on earlier trials: which of two is better, and how many will click?"""
    late = trials.test >= cut
    effect, chosen = _text_effects(trials, cut)
    print(
        f"words and pairs of words of a headline, ridge on log odds inside a trial, penalty {chosen:g}; later trials:"
    )
    length = np.array([len(text) for text in trials.headline], dtype=float)
    figures: dict[str, Any] = {"headline_penalty": chosen, "headline_trials": len(np.unique(trials.test[late]))}
    for key, score in (("words", effect), ("longer", length)):
        for sure in (False, True):
            right, pairs, test = _pairs(trials, score, late, sure)
            found = _ratio_bootstrap(right, pairs, test, chance.stream("headline pairs", key, int(sure)), draws)
            name = "the better one by its words" if key == "words" else "the longer one"
            kind = "pairs that differ beyond chance" if sure else "all pairs"
            word = "chance not excluded" if found.low <= 0.5 <= found.high else "not by chance"
            print(f"  {name:28} wins {found!s:>26} of {int(pairs.sum()):6,} {kind:32} (chance 0.5): {word}")
            end = "_sure" if sure else ""
            figures |= {f"headline_{key}_pairs{end}": found.value, f"headline_{key}_pairs{end}_low": found.low}
    return figures | _unseen(trials, effect, late, chance, draws)


def _text_effects(trials: HeadlineTrials, cut: int) -> tuple[np.ndarray, float]:
    """(log odds that the words add, float64 [V], of whatever trial; the penalty).

    The penalty is chosen on the last fifth of the earlier trials, and all earlier trials are then learnt from.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import Ridge

    odds = np.log((trials.clicked + 0.5) / (trials.shown - trials.clicked + 0.5))
    weight = trials.clicked * (1 - trials.clicked / trials.shown) + 0.5
    choose = int(0.8 * cut)

    def fitted(until: int, penalty: float) -> np.ndarray:
        early = trials.test < until
        counter = CountVectorizer(ngram_range=(1, 2), min_df=5, binary=True, token_pattern=r"(?u)\b\w+\b|[?!'\"]")
        counter.fit(trials.headline[early])
        x = counter.transform(trials.headline).astype(np.float64)
        inside = _inside(trials.test, weight)
        ridge = Ridge(alpha=penalty, fit_intercept=False, solver="sparse_cg", tol=1e-6)
        ridge.fit((x - inside @ x)[early], (odds - inside @ odds)[early], sample_weight=weight[early])
        return x @ ridge.coef_

    def accuracy(penalty: float) -> float:
        right, pairs, _ = _pairs(trials, fitted(choose, penalty), (trials.test >= choose) & (trials.test < cut), True)
        return float(right.sum() / pairs.sum())

    chosen = max(PENALTIES, key=accuracy)
    return fitted(cut, chosen), chosen


def _inside(test: np.ndarray, weight: np.ndarray) -> Any:
    """Sparse [V, V]: takes each row to its trial's weighted mean."""
    from scipy import sparse

    marks = sparse.csr_matrix((np.ones(len(test)), (np.arange(len(test)), test)))
    return marks @ sparse.diags(1 / np.maximum(marks.T @ weight, 1e-12)) @ marks.T @ sparse.diags(weight)


def _pairs(
    trials: HeadlineTrials, score: np.ndarray, rows: np.ndarray, sure: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(how often the higher score has the higher rate, how many pairs, trial) of each trial that has pairs. A tie
    counts half. sure: only pairs whose rates differ by more than 1.96 errors."""
    at = np.flatnonzero(rows)
    rate = trials.clicked / trials.shown
    error2 = rate * (1 - rate) / trials.shown
    right, pairs, tests = [], [], []
    for test in np.unique(trials.test[at]):
        mine = at[trials.test[at] == test]
        i, j = np.triu_indices(len(mine), 1)
        i, j = mine[i], mine[j]
        gap = rate[i] - rate[j]
        kept = np.abs(gap) > 1.96 * np.sqrt(error2[i] + error2[j]) if sure else gap != 0
        agree = np.sign(gap) * np.sign(score[i] - score[j])
        if kept.any():
            right.append(float(((agree + 1) / 2)[kept].sum()))
            pairs.append(int(kept.sum()))
            tests.append(int(test))
    return np.array(right), np.array(pairs), np.array(tests)


def _unseen(
    trials: HeadlineTrials, effect: np.ndarray, late: np.ndarray, chance: Chance, draws: int
) -> dict[str, Any]:
    """The click rate of a headline that nobody has seen yet, from its siblings' visitors and its words."""
    others_n = _of_test(trials.test, trials.shown) - trials.shown
    others_c = _of_test(trials.test, trials.clicked) - trials.clicked
    level = logit((others_c + 0.5) / (others_n + 1))
    early = ~late
    past = logit(trials.clicked[early].sum() / trials.shown[early].sum())
    weight = _of_test(trials.test, trials.shown * effect) - trials.shown * effect
    siblings = weight / others_n
    usual = np.average(effect[early], weights=trials.shown[early])
    rates = {
        "siblings": ("its siblings' rate", expit(level)),
        "siblings_words": ("and its words", expit(level + effect - siblings)),
        "past_words": ("all earlier trials' rate, its words", expit(past + effect - usual)),
    }
    print("click rate of a headline that nobody has seen, and how it came out (they differ, so chance is exceeded):")
    n, c = trials.shown[late], trials.clicked[late]
    return _compared(rates, c, n, trials.test[late], late, chance, draws)


def _calibration(
    clicked: np.ndarray, shown: np.ndarray, p: np.ndarray, trial: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Predicted over observed, in all and by tenths of the visitors; calibration error, and what binomial chance
    alone makes of it. Intervals draw trials: their levels differ, and so do their errors.
    """
    order = np.argsort(p, kind="stable")
    tenth = np.minimum(np.cumsum(shown[order]) * BINS // (shown.sum() + 1), BINS - 1)
    due, seen = (np.bincount(tenth, values[order]) for values in (shown * p, clicked))
    visitors = np.bincount(tenth, shown[order]).astype(int)
    by_chance = np.abs(rng.binomial(visitors, due / visitors, (draws, len(due))) - due).sum(1) / shown.sum()
    return {
        "ratio": _ratio_bootstrap(np.bincount(trial, shown * p), np.bincount(trial, clicked), trial, rng, draws),
        "tenths": due / seen,
        "ece": float(np.abs(due - seen).sum() / shown.sum()),
        "chance": float(by_chance.mean()),
    }


def _ratio_bootstrap(
    top: np.ndarray, bottom: np.ndarray, trial: np.ndarray, rng: np.random.Generator, draws: int
) -> Estimate:
    """Sum of top over sum of bottom, one pair a trial; the interval draws trials."""
    rows = rng.integers(0, len(top), (draws, len(top)))
    low, high = np.quantile(top[rows].sum(1) / bottom[rows].sum(1), [0.025, 0.975])
    return Estimate(float(top.sum() / bottom.sum()), float(low), float(high))


def _losses(clicked: np.ndarray, shown: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-log likelihood of a variant's clicks, in nats, without the term that no prediction changes."""
    return -(clicked * np.log(p) + (shown - clicked) * np.log1p(-p))


def _of_test(test: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.bincount(test, value)[test]
