"""A shopper as numbers at a moment: how often and how lately it acts and buys, what of, and where its next step's
probability falls. Only what happened strictly before the moment is read.

N = subjects, C = categories of the second level, E = events.
"""

from __future__ import annotations

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import PURCHASE, Histories
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import SECOND, steps_of

SPANS_DAYS = (7, 30, 90)
LAST_WEEKS = 4
WEEKS = (4, 13, 52)
HALF_LIVES_WEEKS = (2, 6, 16)
HALF_LIVES_DAYS = (10, 30, 120)
HABITS = (
    "has_history",
    "log_days_since_last",
    "log_gap_days_median",
    "log_days_over_gap",
    "has_gap",
    *(f"log_steps_{days}_days" for days in SPANS_DAYS),
    "log_steps",
    "log_tenure_days",
    "log_events_per_step",
    "has_bought",
    "log_days_since_bought",
    *(f"log_bought_{days}_days" for days in SPANS_DAYS),
    *(f"bought_{n + 1}_weeks_ago" for n in range(LAST_WEEKS)),
    *(f"logit_weeks_bought_of_{weeks}" for weeks in WEEKS),
    *(f"logit_weeks_bought_decayed_{weeks}" for weeks in HALF_LIVES_WEEKS),
)
CATEGORY_HABITS = (
    *(f"log_steps_decayed_{days}_days" for days in HALF_LIVES_DAYS),
    "log_days_since",
    f"log_weeks_of_{WEEKS[1]}",
)
CHUNK = 64
NEVER_DAYS = 400.0  # since a purchase that never was, and the most that is told apart
_LIMIT = 4.0  # of the logarithm of age over gap
_HOUR_DAYS = 1 / 24
_HALF, _SOME, _FADED = 0.5, 0.2, 0.01  # what logarithms see of nothing


def habits(histories: Histories, at_s: int) -> np.ndarray:
    """float64 [N, len(HABITS)]: recency, frequency and gaps of steps, and of the purchases among them, at `at_s`.

    Weeks count back from `at_s`. A subject without any event has a row of zeros.
    """
    known = histories.before(at_s)
    steps = steps_of(known)
    every = _rhythm(steps.offsets, steps.time_s, at_s)
    owner = np.repeat(np.arange(len(known)), steps.sizes)
    bought = np.zeros(len(owner), dtype=bool)
    if len(owner):
        bought = np.maximum.reduceat(known.action == PURCHASE, steps.lines[:-1])
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[bought], minlength=len(known)))])
    orders = _rhythm(offsets, steps.time_s[bought], at_s)
    size = np.diff(known.offsets) / np.maximum(steps.sizes, 1)
    spans = range(4, 4 + len(SPANS_DAYS))
    columns = [
        every[:, 0],
        every[:, 1],
        every[:, 2],
        every[:, 3],
        (steps.sizes > 1).astype(np.float64),
        *(every[:, n] for n in spans),
        np.log1p(steps.sizes),
        every[:, -1],
        np.log1p(size),
        orders[:, 0],
        orders[:, 1],
        *(orders[:, n] for n in spans),
        *_weeks(offsets, steps.time_s[bought], every_first_s=_first_s(known, at_s), at_s=at_s).T,
    ]
    return np.stack(columns, axis=1)


def category_habits(histories: Histories, items: ItemTable, at_s: int) -> np.ndarray:
    """float32 [N, C, len(CATEGORY_HABITS)]: how often and how lately each category was bought."""
    known = histories.before(at_s)
    known = known.keep(known.action == PURCHASE)
    N, C = len(known), len(items.category_names[SECOND])
    steps = steps_of(known)
    step = np.repeat(np.arange(len(steps.time_s)), np.diff(steps.lines))
    pairs = np.unique(step * C + items.category[known.item, SECOND])
    step = pairs // C
    cell = np.repeat(np.arange(N), steps.sizes)[step] * C + pairs % C
    days = (at_s - steps.time_s[step]) / SECONDS_PER_DAY
    out = np.empty((N * C, len(CATEGORY_HABITS)), dtype=np.float32)
    for n, half_life in enumerate(HALF_LIVES_DAYS):
        out[:, n] = np.log(_FADED + np.bincount(cell, 0.5 ** (days / half_life), minlength=N * C))
    since = np.full(N * C, NEVER_DAYS)
    np.minimum.at(since, cell, days)
    out[:, -2] = np.log1p(since)
    recent = days < 7 * WEEKS[1]
    weeks = np.unique(cell[recent] * WEEKS[1] + (days[recent] // 7).astype(np.int64)) // WEEKS[1]
    out[:, -1] = np.log(_SOME + np.bincount(weeks, minlength=N * C))
    return out.reshape(N, C, -1)


def category_shares(interest: Interest, histories: Histories, at_s: int) -> np.ndarray:
    """float32 [N, C]: where the softmax over all items falls, by category of the second level; rows sum to 1.

    Only what happened strictly before `at_s` is read. Column c is interest.items.category_names[SECOND][c].
    """
    known = histories.before(at_s)
    code = interest.items.category[:, SECOND]
    order = np.argsort(code, kind="stable")
    present, first = np.unique(code[order], return_index=True)
    out = np.zeros((len(known), len(interest.items.category_names[SECOND])), dtype=np.float32)
    by_length = np.argsort(np.diff(known.offsets), kind="stable")
    for start in range(0, len(known), CHUNK):
        rows = by_length[start : start + CHUNK]
        scores = interest.scores(known.select(rows), order, at_s=at_s)
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        sums = np.add.reduceat(scores, first, axis=1)
        out[rows[:, None], present] = sums / sums.sum(axis=1, keepdims=True)
    return out


def _rhythm(offsets: np.ndarray, time_s: np.ndarray, at_s: int) -> np.ndarray:
    """float64 [N, 5 + len(SPANS_DAYS)]: any at all, log age, log median gap, log age over gap, log number within each
    span, log tenure; in days."""
    sizes = np.diff(offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    age = (at_s - time_s) / SECONDS_PER_DAY
    some = sizes > 0
    last, first = (np.zeros(len(sizes)) for _ in range(2))
    last[some], first[some] = age[offsets[1:][some] - 1], age[offsets[:-1][some]]
    gap = _median_gaps(offsets, time_s)
    over = np.where(sizes > 1, np.log((last + _HOUR_DAYS) / (gap + _HOUR_DAYS)), 0.0)
    within = [np.log1p(np.bincount(owner[age <= days], minlength=len(sizes))) for days in SPANS_DAYS]
    columns = [some, np.log1p(last), np.log1p(gap), np.clip(over, -_LIMIT, _LIMIT), *within, np.log1p(first)]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _first_s(histories: Histories, none_s: int) -> np.ndarray:
    first = np.full(len(histories), none_s, dtype=np.int64)
    some = np.diff(histories.offsets) > 0
    first[some] = histories.time_s[histories.offsets[:-1][some]]
    return first


def _weeks(offsets: np.ndarray, time_s: np.ndarray, every_first_s: np.ndarray, at_s: int) -> np.ndarray:
    """float64 [N, LAST_WEEKS + len(WEEKS) + len(HALF_LIVES_WEEKS)]: marks of the last weeks, and smoothed logits of
    the share of weeks with any, among those since the first event."""
    N, most = len(offsets) - 1, max(WEEKS)
    ago = (at_s - 1 - time_s) // (7 * SECONDS_PER_DAY)
    marks = np.zeros((N, most))
    inside = ago < most
    marks[np.repeat(np.arange(N), np.diff(offsets))[inside], ago[inside]] = 1.0
    lived = np.ceil((at_s - every_first_s) / (7 * SECONDS_PER_DAY))[:, None] > np.arange(most)
    kernels = [(np.arange(most) < weeks).astype(np.float64) for weeks in WEEKS]
    kernels += [0.5 ** (np.arange(most) / weeks) for weeks in HALF_LIVES_WEEKS]
    kernel = np.stack(kernels, axis=1)
    yes, no = marks @ kernel, (lived * (1 - marks)) @ kernel
    return np.concatenate([marks[:, :LAST_WEEKS], np.log((yes + _HALF) / (no + _HALF))], axis=1)


def _median_gaps(offsets: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """float64 [N]: the lower median gap in days, 0 below two."""
    sizes = np.diff(offsets)
    gap = np.zeros(len(sizes))
    if len(time_s) < 2:
        return gap
    owner = np.repeat(np.arange(len(sizes)), sizes)
    inside = owner[1:] == owner[:-1]
    gaps, of = np.diff(time_s)[inside] / SECONDS_PER_DAY, owner[1:][inside]
    order = np.lexsort((gaps, of))
    count = np.bincount(of, minlength=len(sizes))
    some = count > 0
    begin = np.cumsum(count) - count
    gap[some] = gaps[order][begin[some] + (count[some] - 1) // 2]
    return gap
