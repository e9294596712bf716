"""The memory of own items: for each subject and moment, how often, how lately and how regularly it had each.

S = subjects, E = events, P = moments asked about, Q = pairs of a moment and an item had before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.interest.tokens import Steps

FEATURES = (
    "log_steps_with_item",
    "decayed_10_days",
    "decayed_30_days",
    "decayed_120_days",
    "log_age_days",
    "log_steps_since",
    "share_of_steps",
    "log_age_over_interval",
    "has_interval",
    "in_last_step",
    "log_steps",
    "log_tenure_days",
    "log_type_decayed_30_days",
    "log_type_age_days",
    "share_of_type",
    "decayed_5_steps",
)
HALF_LIVES_DAYS = (10.0, 30.0, 120.0)


@dataclass(frozen=True)
class Pairs:
    """Q pairs: moment int64 [Q], item int64 [Q] (row of the ItemTable), features float32 [Q, len(FEATURES)]."""

    moment: np.ndarray
    item: np.ndarray
    features: np.ndarray


def pairs_at(
    histories: Histories, steps: Steps, kind: np.ndarray, asked: np.ndarray, asked_s: np.ndarray
) -> Pairs:
    """Pairs of each moment with each item its subject had before.

    asked: int64 [P, 2], (subject row, number of steps already seen), sorted; asked_s: int64 [P], Unix seconds
    of the moment; kind: int32 [M], the finest category of an item (what may stand in for it).
    """
    subject = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
    width = int(histories.item.max(initial=0)) + 1
    keys, local = np.unique(subject * width + histories.item, return_inverse=True)
    first = np.searchsorted(keys, np.arange(len(histories) + 1) * width)
    local = local - np.repeat(first[:-1], np.diff(histories.offsets))
    size = int(np.diff(first).max(initial=0))
    names = (keys % width).astype(np.int64)
    arrays = (steps.offsets, steps.lines, steps.time_s, local.astype(np.int64), first, names, kind[names])
    total = _count(steps.offsets, steps.lines, local.astype(np.int64), asked, size)
    moment = np.empty(total, dtype=np.int64)
    item = np.empty(total, dtype=np.int64)
    features = np.empty((total, len(FEATURES)), dtype=np.float32)
    _fill(*arrays, asked, asked_s, size, int(kind.max(initial=0)) + 1, moment, item, features)
    return Pairs(moment, item, features)


@njit(cache=True)
def _count(step_offsets, lines, local, asked, size):
    seen = np.full(size, -1, dtype=np.int64)
    total, known, step, subject = 0, 0, 0, -1
    for p in range(len(asked)):
        if asked[p, 0] != subject:
            subject, known, step = asked[p, 0], 0, step_offsets[asked[p, 0]]
        while step < step_offsets[subject] + asked[p, 1]:
            for e in range(lines[step], lines[step + 1]):
                if seen[local[e]] != subject:
                    seen[local[e]] = subject
                    known += 1
            step += 1
        total += known
    return total


@njit(cache=True)
def _fill(step_offsets, lines, time_s, local, first, names, kinds, asked, asked_s, size, n_kinds, moment, item, out):
    day = float(SECONDS_PER_DAY)
    steps_with = np.zeros(size)
    last_step = np.full(size, -1, dtype=np.int64)
    first_s, last_s = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    decayed = np.zeros((size, 4))  # three half-lives in days, as of last_s; one of five steps, as of last_step
    order = np.zeros(size, dtype=np.int64)
    kind_sum = np.zeros(n_kinds)
    kind_s = np.zeros(n_kinds, dtype=np.int64)
    lives = np.array([10.0, 30.0, 120.0]) * day
    at, known, step, subject, base = 0, 0, 0, -1, 0
    for p in range(len(asked)):
        if asked[p, 0] != subject:
            for k in range(known):  # forget the subject before
                kind_sum[kinds[base + order[k]]] = 0.0
                last_step[order[k]] = -1
            subject, known = asked[p, 0], 0
            step, base = step_offsets[subject], first[subject]
        begin = step_offsets[subject]
        while step < begin + asked[p, 1]:
            now = time_s[step]
            for e in range(lines[step], lines[step + 1]):
                i = local[e]
                if last_step[i] == step:
                    continue
                if last_step[i] < 0:
                    order[known] = i
                    known += 1
                    steps_with[i] = 0.0
                    first_s[i] = now
                    decayed[i] = 0.0
                else:
                    for d in range(3):
                        decayed[i, d] *= 0.5 ** ((now - last_s[i]) / lives[d])
                    decayed[i, 3] *= 0.5 ** ((step - last_step[i]) / 5.0)
                decayed[i] += 1.0
                steps_with[i] += 1.0
                last_step[i], last_s[i] = step, now
                k = kinds[base + i]
                if kind_sum[k] > 0.0:
                    kind_sum[k] *= 0.5 ** ((now - kind_s[k]) / lives[1])
                kind_sum[k] += 1.0
                kind_s[k] = now
            step += 1
        now = asked_s[p]
        n_steps = float(asked[p, 1])
        tenure = max(now - time_s[begin], 0) / day if asked[p, 1] > 0 else 0.0
        for k in range(known):
            i = order[k]
            age = max(now - last_s[i], 0)
            since = float(step - last_step[i])
            moment[at], item[at] = p, names[base + i]
            f = out[at]
            f[0] = np.log(steps_with[i])
            for d in range(3):
                f[1 + d] = np.log(1e-3 + decayed[i, d] * 0.5 ** (age / lives[d]))
            f[4] = np.log1p(age / day)
            f[5] = np.log(since)
            f[6] = steps_with[i] / n_steps
            f[7], f[8] = 0.0, 0.0
            if steps_with[i] > 1.5:
                interval = max((last_s[i] - first_s[i]) / (steps_with[i] - 1.0), 3600.0)
                f[7] = min(max(np.log((age + 3600.0) / interval), -4.0), 4.0)
                f[8] = 1.0
            f[9] = 1.0 if since < 1.5 else 0.0
            f[10] = np.log(n_steps)
            f[11] = np.log1p(tenure)
            kind = kinds[base + i]
            kind_age = max(now - kind_s[kind], 0)
            kind_now = kind_sum[kind] * 0.5 ** (kind_age / lives[1])
            f[12] = np.log(1e-3 + kind_now)
            f[13] = np.log1p(kind_age / day)
            f[14] = decayed[i, 1] * 0.5 ** (age / lives[1]) / (kind_now + 1e-6)
            f[15] = np.log(1e-3 + decayed[i, 3] * 0.5 ** (since / 5.0))
            at += 1
