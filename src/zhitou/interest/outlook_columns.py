"""What the lines of an outlook read: one row of columns for each subject, or subject and category, at a moment.

N = subjects, C = categories of the second level, H = habits, D = width of the interest vector, K = all kinds.
"""

from __future__ import annotations

import numpy as np

from zhitou.events.histories import Histories
from zhitou.events.schema import KINDS
from zhitou.interest.portraits import CATEGORY_HABITS, NEVER_DAYS, category_habits, category_shares, habits
from zhitou.interest.predict import Interest

LATE_STEPS = 5  # what counts as lately in kinds of action
_SMALLEST_SHARE = 1e-6
_SINCE = CATEGORY_HABITS.index("log_days_since")


def buys_columns(interest: Interest, known: Histories, at_s: int, *, vectors: bool) -> np.ndarray:
    """float64 [N, 2 H (+ D)]: habits, their squares and, if it is used, the interest vector."""
    counted = habits(known, at_s)
    parts = [counted, counted**2]
    if vectors:
        parts.append(interest.vectors(known).astype(np.float64))
    return np.concatenate(parts, axis=1)


def category_columns(
    interest: Interest,
    known: Histories,
    at_s: int,
    buys_logit: np.ndarray,
    base_logit: np.ndarray,
    *,
    with_shares: bool,
) -> np.ndarray:
    """float32 [N * C, columns] of pairs: base rate, whether it buys at all, own counts and, if used, interest.

    buys_logit: float64 [N]. base_logit: float64 [C]. A category never bought has weights of its own.
    """
    own = category_habits(known, interest.items, at_s)
    N, C, _ = own.shape
    base = np.broadcast_to(base_logit.astype(np.float32), (N, C))
    buys = np.broadcast_to(buys_logit.astype(np.float32)[:, None], (N, C))
    never = (own[..., _SINCE] >= np.float32(np.log1p(NEVER_DAYS))).astype(np.float32)
    columns = [base, base**2, buys, np.logaddexp(0, -buys), never, never * base, never * buys]
    columns += [own[..., n] for n in range(own.shape[2])] + [own[..., -1] * buys, own[..., 2] ** 2]
    if with_shares:
        share = np.log(category_shares(interest, known, at_s) + _SMALLEST_SHARE)
        columns += [share, share**2, share * buys, never * share, never * share**2]
    return np.stack([c.ravel() for c in columns], axis=1).astype(np.float32)


def kind_columns(interest: Interest, known: Histories, at_s: np.ndarray, *, vectors: bool) -> np.ndarray:
    """float64 [N, columns]: kind of the last action, counts of kinds lately and ever, wait until at_s [N], vector."""
    N, K = len(known), len(KINDS)
    owner = known.subject_of_event
    sizes = np.diff(known.offsets)
    some = sizes > 0
    end = np.maximum(known.offsets[1:] - 1, 0)
    last = np.zeros((N, K))
    wait = np.zeros(N)
    steps_left = np.zeros(len(owner), dtype=np.int64)
    if len(owner):
        last[np.flatnonzero(some), known.action[end[some]]] = 1.0
        wait[some] = np.log1p((at_s[some] - known.time_s[end[some]]) / 60)
        steps_left = known.step[end][owner] - known.step
    lately = steps_left < LATE_STEPS
    counts = [
        np.bincount(owner[mask] * K + known.action[mask], minlength=N * K).reshape(N, K)
        for mask in (lately, np.ones(len(owner), dtype=bool))
    ]
    parts = [last, *(np.log1p(c) for c in counts), wait[:, None], wait[:, None] ** 2, wait[:, None] * last]
    if vectors:
        parts.append(interest.vectors(known).astype(np.float64))
    return np.concatenate(parts, axis=1)
