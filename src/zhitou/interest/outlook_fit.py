"""Learning an outlook: which moments, which shoppers at them, the lines, and their calibration on later moments.

N = subjects, R = rows (a subject at a moment), C = categories of the second level, K = kinds of action.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import PURCHASE, Histories
from zhitou.interest.heads import Line, fit_line, fit_platt, fit_shifts, fit_temperature
from zhitou.interest.outlook import Heads, Outlook, OutlookConfig, buys_logits, chunks, moved
from zhitou.interest.outlook_columns import buys_columns, category_columns, kind_columns
from zhitou.interest.portraits import HABITS
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import SECOND

HORIZON_DAYS = 7
WEEK_S = HORIZON_DAYS * SECONDS_PER_DAY
BUYS_LEAST = 30  # yes and no each, in the weeks to learn from


def fit_outlook(
    interest: Interest,
    histories: Histories,
    chance: Chance,
    *,
    cut_s: int | None = None,
    config: OutlookConfig | None = None,
) -> Outlook:
    """Learnt from what happened strictly before `cut_s` (Unix seconds; just after the last event if None).

    Refused (ConfigError): fewer weeks than one to learn from and one to calibrate on, fewer than 30 purchases or
    quiet weeks among the rows to learn from (there is nothing to tell apart).
    """
    config = config or OutlookConfig()
    cut_s = int(histories.time_s.max(initial=-1)) + 1 if cut_s is None else cut_s
    past = histories.before(cut_s)
    learn, later = _moments(past, cut_s, config)
    first, second = (_sampled(past, m, config.rows_most, chance, n) for n, m in enumerate((learn, later)))
    buys, platt_buys, facts = _fit_buys(interest, past, first, second, config)
    parts = [_sampled(past, m, config.category_rows_most, chance, n + 2) for n, m in enumerate((learn, later))]
    category = _fit_category(interest, past, parts[0], parts[1], buys, platt_buys, config)
    kind = _fit_kind(interest, past, int(later[0]), cut_s - config.delay_days * SECONDS_PER_DAY, chance, config)
    rate = np.asarray([_bought(past, second).mean()])
    heads = Heads(buys=buys, platt_buys=platt_buys, base_buys=rate, **category, **kind)
    learnt = {
        "cut_s": cut_s,
        "moments_learnt_s": [int(m) for m in learn],
        "moments_calibrated_s": [int(m) for m in later],
        "rows": len(first.row),
        "rows_calibrated": len(second.row),
        "buys_share": float(rate[0]),
        **facts,
    }
    return Outlook(interest, heads, config, learnt)


@dataclass(frozen=True)
class _Rows:
    """R rows, sorted by moment: row int64 [R] of the histories, at_s int64 [R]."""

    row: np.ndarray
    at_s: np.ndarray

    def by_moment(self) -> Iterator[tuple[int, np.ndarray]]:
        for at_s in np.unique(self.at_s):
            yield int(at_s), self.row[self.at_s == at_s]


def _moments(past: Histories, cut_s: int, config: OutlookConfig) -> tuple[np.ndarray, np.ndarray]:
    """(to learn from, to calibrate on), rising: weekly, the last one's seven days and the delay over at the cut."""
    begin_s = int(past.time_s.min(initial=cut_s))
    last_s = cut_s - config.delay_days * SECONDS_PER_DAY - WEEK_S
    wanted = last_s - WEEK_S * np.arange(config.learn_weeks + config.calibrate_weeks)[::-1]
    moments = wanted[wanted > begin_s]
    calibrate = min(config.calibrate_weeks, len(moments) // 2)
    if not calibrate:
        have, need = (cut_s - begin_s) / SECONDS_PER_DAY, 3 * HORIZON_DAYS + config.delay_days
        raise ConfigError(
            f"expected more than {need} days of behaviour before the cut (one week to know shoppers by, one to learn "
            f"from, one to calibrate on), got {have:.1f}; wait, or give more of the past"
        )
    return moments[:-calibrate], moments[-calibrate:]


def _sampled(past: Histories, moments: np.ndarray, most: int, chance: Chance, number: int) -> _Rows:
    """At most about `most` of the subjects with behaviour before each moment, as many of each."""
    rows, times = [], []
    for at_s in moments:
        known = np.flatnonzero(np.diff(past.before(int(at_s)).offsets) > 0)
        share = max(most // len(moments), 1)
        if len(known) > share:
            known = np.sort(chance.stream("outlook-rows", number, int(at_s)).choice(known, share, replace=False))
        rows.append(known)
        times.append(np.full(len(known), at_s, dtype=np.int64))
    return _Rows(np.concatenate(rows), np.concatenate(times))


def bought_within_7_days(histories: Histories, at_s: int) -> np.ndarray:
    """bool [N]: whether there was a purchase in the seven days from `at_s` on."""
    inside = (histories.time_s >= at_s) & (histories.time_s < at_s + WEEK_S) & (histories.action == PURCHASE)
    return np.bincount(histories.subject_of_event[inside], minlength=len(histories)) > 0


def categories_within_7_days(histories: Histories, category: np.ndarray, categories: int, at_s: int) -> np.ndarray:
    """bool [N, C]: of which categories (int [M] of items) something was bought in the seven days from `at_s` on."""
    inside = (histories.time_s >= at_s) & (histories.time_s < at_s + WEEK_S) & (histories.action == PURCHASE)
    found = np.zeros((len(histories), categories), dtype=bool)
    found[histories.subject_of_event[inside], category[histories.item[inside]]] = True
    return found


def _bought(past: Histories, rows: _Rows) -> np.ndarray:
    return np.concatenate([bought_within_7_days(past, at_s)[row] for at_s, row in rows.by_moment()])


# Will it buy?


def _fit_buys(
    interest: Interest, past: Histories, learn: _Rows, later: _Rows, config: OutlookConfig
) -> tuple[Line, np.ndarray, dict[str, Any]]:
    """The line, its calibration, and which penalty of the vectors was chosen on the later rows."""
    used = config.with_interest

    def columns(rows: _Rows) -> np.ndarray:
        known = ((at_s, past.before(at_s).select(row)) for at_s, row in rows.by_moment())
        return np.concatenate([buys_columns(interest, part, at_s, vectors=used) for at_s, part in known])

    x, x_later = columns(learn), columns(later)
    y, y_later = _bought(past, learn), _bought(past, later)
    if min(y.sum(), (~y).sum()) < BUYS_LEAST:
        raise ConfigError(
            f"expected at least {BUYS_LEAST} weeks with a purchase and as many without among {len(y):,} weeks of "
            f"shoppers to learn from, got {int(y.sum())} and {int((~y).sum())}; give more behaviour"
        )
    best: tuple[float, Line, np.ndarray, float] | None = None
    for precision in config.penalties_vectors if used else (config.penalty,):
        penalty = np.full(x.shape[1], config.penalty)
        penalty[2 * len(HABITS) :] = precision
        line = fit_line(x, y, penalty)
        logits = line(x_later)[:, 0]
        platt = np.asarray(fit_platt(logits, y_later))
        loss = float(np.logaddexp(0.0, np.where(y_later, -1, 1) * moved(logits, platt)).mean())
        if best is None or loss < best[0]:
            best = (loss, line, platt, precision)
    assert best is not None, "there is at least one penalty"
    loss, line, platt, precision = best
    if not np.isfinite(precision):  # the vectors say nothing: do not even compute them
        n = 2 * len(HABITS)
        line = Line(line.mean[:n], line.scale[:n], line.weights[:n], line.intercept)
    return line, platt, {"penalty_vectors": str(precision), "log_loss_calibrated": loss}


# Of which category?


def _fit_category(
    interest: Interest,
    past: Histories,
    learn: _Rows,
    later: _Rows,
    buys: Line,
    platt_buys: np.ndarray,
    config: OutlookConfig,
) -> dict[str, Any]:
    """The parts of Heads that speak of categories: one line over all pairs, a shift for each category."""
    code, C = interest.items.category[:, SECOND], len(interest.items.category_names[SECOND])
    used = config.with_interest

    def labels(rows: _Rows) -> np.ndarray:
        return np.concatenate([categories_within_7_days(past, code, C, t)[r] for t, r in rows.by_moment()])

    def columns(rows: _Rows) -> np.ndarray:
        found = []
        for at_s, row in rows.by_moment():
            known = past.before(at_s).select(row)
            said = buys_logits(interest, buys, platt_buys, known, at_s)
            found.append(category_columns(interest, known, at_s, said, base_logit, with_shares=used))
        return np.concatenate(found)

    y, y_later = labels(learn), labels(later)
    base_logit = logit((y.sum(axis=0) + 0.5) / (len(y) + 1.0))
    x = columns(learn)
    line = fit_line(x, y.ravel(), np.ones(x.shape[1]))
    del x
    logits = line(columns(later))[:, 0]
    platt = np.asarray(fit_platt(logits, y_later.ravel()))
    level = moved(logits, platt).reshape(y_later.shape)
    return {
        "category": line,
        "platt_category": platt,
        "category_logit": base_logit,
        "category_shift": fit_shifts(level, y_later, config.category_shift_sd),
        "base_category": (y_later.sum(axis=0) + 0.5) / (len(y_later) + 1.0),
    }


# What next?


def _fit_kind(
    interest: Interest, past: Histories, later_s: int, end_s: int, chance: Chance, config: OutlookConfig
) -> dict[str, Any]:
    """The parts of Heads that speak of the next action, learnt at moments drawn evenly between two steps.

    Steps from `later_s` on calibrate what the earlier ones taught; none at `end_s` or later is read.
    """
    known = past.before(end_s)
    begins = np.diff(known.step, prepend=-1) != 0
    begins[known.offsets[:-1][np.diff(known.offsets) > 0]] = True
    first = np.flatnonzero(begins & (known.step > 0))  # the first event of each step but a subject's first
    parts = []
    for number, inside in enumerate((known.time_s[first] < later_s, known.time_s[first] >= later_s)):
        chosen, stream = first[inside], chance.stream("outlook-kinds", number)
        if len(chosen) > config.category_rows_most:
            chosen = np.sort(stream.choice(chosen, config.category_rows_most, replace=False))
        before_s = known.time_s[chosen - 1]
        gap_s = known.time_s[chosen] - before_s
        asked_s = before_s + np.round(stream.random(len(chosen)) * gap_s).astype(np.int64)
        columns = [
            kind_columns(interest, _prefixes(known, chosen[r]), asked_s[r], vectors=config.with_interest)
            for r in chunks(len(chosen))
        ]
        parts.append((columns, known.action[chosen].astype(np.int64)))
    nobody = known.select(np.zeros(0, dtype=np.int64))
    empty = kind_columns(interest, nobody, np.zeros(0, dtype=np.int64), vectors=config.with_interest)
    (x, y), (x_later, y_later) = ((np.concatenate([empty, *columns]), labels) for columns, labels in parts)
    return _kind_heads(x, y, x_later, y_later, config)


def _kind_heads(
    x: np.ndarray, y: np.ndarray, x_later: np.ndarray, y_later: np.ndarray, config: OutlookConfig
) -> dict[str, Any]:
    """One kind alone is certain; later steps of a kind that was not learnt do not calibrate."""
    kinds = np.unique(y) if len(y) else np.asarray([PURCHASE])
    K, F = len(kinds), x.shape[1]
    line = Line(np.zeros(F), np.zeros(F), np.zeros((F, K)), np.zeros(K))
    if K > 1:
        line = fit_line(x, np.searchsorted(kinds, y), np.full(F, config.penalty))
    if K == 2:  # the logit of the second against the first
        line = Line(line.mean, line.scale, np.pad(line.weights, ((0, 0), (1, 0))), np.append(0.0, line.intercept))
    taught = np.isin(y_later, kinds)
    labels = np.searchsorted(kinds, y_later[taught])
    slope, shift = fit_temperature(line(x_later[taught]), labels)
    counts = np.bincount(labels, minlength=K) + np.bincount(np.searchsorted(kinds, y), minlength=K)
    rates = (counts + 0.5) / (counts + 0.5).sum()
    return {
        "kinds": kinds.astype(np.int64),
        "kind": line,
        "kind_slope": np.asarray([slope]),
        "kind_shift": shift,
        "base_kind": rates,
    }


def _prefixes(known: Histories, first: np.ndarray) -> Histories:
    """One subject for each event of `first` (int [R], a step's first event): its history before that step."""
    owner = known.subject_of_event[first]
    copies = known.select(owner)
    return copies.keep(copies.step < known.step[first][copies.subject_of_event])
