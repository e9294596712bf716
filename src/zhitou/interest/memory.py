"""The memory of what is one's own: for each subject and moment, how often, how lately, how regularly it had each
item, each type of item and each line of a brand. Plain counting; the weights of these features are learnt.

S = subjects, E = events, P = moments asked about, Q = pairs of a moment and a thing had before it, M = items.
A *thing* is an item, or a group of items such as a category; its *kind* is the wider group that it is part of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.interest.tokens import Steps

FEATURES = (
    "log_steps_with_it",
    "log_decayed_10_days",
    "log_decayed_30_days",
    "log_decayed_120_days",
    "log_decayed_5_steps",
    "log_age_days",
    "log_steps_since",
    "share_of_steps",
    "log_age_over_interval",
    "has_interval",
    "in_last_step",
    "log_variety",
    "log_kind_decayed_30_days",
    "log_kind_age_days",
    "share_of_kind",
    "log_steps",
    "log_tenure_days",
)
HALF_LIVES = np.array([10.0, 30.0, 120.0]) * SECONDS_PER_DAY
HALF_LIFE_STEPS = 5.0
SMALL = 1e-3  # what a logarithm sees of a count that has faded away
SHORTEST_INTERVAL = 3_600.0
LIMIT = 4.0  # of the logarithm of age over interval

# Columns of the state that is kept per thing while a subject's steps are walked through.
STEPS, FIRST_S, LAST_S, LAST_STEP, VARIETY, DECAYED = 0, 1, 2, 3, 4, 5
STATE = DECAYED + len(HALF_LIVES) + 1


@dataclass(frozen=True)
class Pairs:
    """Q pairs, in order of moments: moment and thing int64 [Q], features float32 [Q, len(FEATURES)]."""

    moment: np.ndarray
    thing: np.ndarray
    features: np.ndarray


def pairs_at(
    histories: Histories,
    steps: Steps,
    thing: np.ndarray,
    kind: np.ndarray,
    asked: np.ndarray,
    asked_s: np.ndarray,
) -> Pairs:
    """Pairs of each moment with each thing its subject had before.

    thing, kind: int64 [M], what each item counts as. asked: int64 [P, 2], (subject row, number of steps already
    seen), sorted; asked_s: int64 [P], Unix seconds of the moment.
    """
    sizes = np.diff(histories.offsets)
    owner = np.repeat(np.arange(len(histories)), sizes)
    event_thing, event_kind = thing[histories.item], kind[histories.item]
    width = int(event_thing.max(initial=0)) + 1
    keys, local = np.unique(owner * width + event_thing, return_inverse=True)
    first = np.searchsorted(keys, np.arange(len(histories) + 1) * width)
    local = (local - np.repeat(first[:-1], sizes)).astype(np.int64)
    fresh = np.zeros(len(local), dtype=bool)
    fresh[np.unique(owner * (int(histories.item.max(initial=0)) + 1) + histories.item, return_index=True)[1]] = True
    walk = (steps.offsets, steps.lines, steps.time_s.astype(np.float64), local, event_kind.astype(np.int64), fresh)
    size, kinds = int(np.diff(first).max(initial=0)), int(event_kind.max(initial=0)) + 1
    total = _count(*walk[:4], asked, size)
    moment, slot = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    features = np.empty((total, len(FEATURES)), dtype=np.float32)
    _fill(walk, asked, asked_s.astype(np.float64), size, kinds, moment, slot, features)
    return Pairs(moment, keys[first[asked[moment, 0]] + slot] % width, features)


@njit(cache=True)
def _count(step_offsets, lines, time_s, local, asked, size):
    """How many pairs there are in all."""
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
def _fill(walk, asked, asked_s, size, kinds, moment, slot, out):
    """Walk through the steps of each subject once, and write down what is known at each moment asked about."""
    step_offsets, lines, time_s, local, event_kind, fresh = walk
    state = np.zeros((size, STATE))
    order = np.zeros(size, dtype=np.int64)
    kind_of = np.zeros(size, dtype=np.int64)
    kind_state = np.zeros((kinds, 2))  # decayed sum, and when it was last touched
    at, known, step, subject = 0, 0, 0, -1
    for p in range(len(asked)):
        if asked[p, 0] != subject:
            for k in range(known):  # forget the subject before
                kind_state[kind_of[order[k]], 0] = 0.0
                state[order[k], STEPS] = 0.0
            subject, known, step = asked[p, 0], 0, step_offsets[asked[p, 0]]
        begin = step_offsets[subject]
        while step < begin + asked[p, 1]:
            for e in range(lines[step], lines[step + 1]):
                i = local[e]
                if state[i, STEPS] == 0.0:
                    order[known], kind_of[i] = i, event_kind[e]
                    known += 1
                    state[i, FIRST_S], state[i, LAST_STEP], state[i, VARIETY] = time_s[step], -1.0, 0.0
                    state[i, DECAYED:] = 0.0
                state[i, VARIETY] += fresh[e]
                if state[i, LAST_STEP] != step:
                    touch(state[i], kind_state[event_kind[e]], step, time_s[step])
            step += 1
        tenure = max(asked_s[p] - time_s[begin], 0.0) if known else 0.0
        for k in range(known):
            i = order[k]
            moment[at], slot[at] = p, i
            describe(state[i], kind_state[kind_of[i]], step, step - begin, tenure, asked_s[p], out[at])
            at += 1


@njit(cache=True)
def touch(thing, kind, step, now):
    """Take one step with this thing into its state and that of its kind."""
    gap = now - thing[LAST_S]
    for d in range(len(HALF_LIVES)):
        thing[DECAYED + d] = 1.0 + thing[DECAYED + d] * 0.5 ** (gap / HALF_LIVES[d])
    faded = 0.5 ** ((step - thing[LAST_STEP]) / HALF_LIFE_STEPS)
    thing[DECAYED + 3] = 1.0 + thing[DECAYED + 3] * faded
    thing[STEPS] += 1.0
    thing[LAST_S], thing[LAST_STEP] = now, step
    kind[0] = 1.0 + kind[0] * 0.5 ** ((now - kind[1]) / HALF_LIVES[1])
    kind[1] = now


@njit(cache=True)
def describe(thing, kind, step, steps, tenure, now, out):
    """FEATURES of this thing at this moment, in their order."""
    day = float(SECONDS_PER_DAY)
    age, kind_age = max(now - thing[LAST_S], 0.0), max(now - kind[1], 0.0)
    since = step - thing[LAST_STEP]
    kind_now = kind[0] * 0.5 ** (kind_age / HALF_LIVES[1])
    out[0] = np.log(thing[STEPS])
    for d in range(3):
        out[1 + d] = np.log(SMALL + thing[DECAYED + d] * 0.5 ** (age / HALF_LIVES[d]))
    out[4] = np.log(SMALL + thing[DECAYED + 3] * 0.5 ** (since / HALF_LIFE_STEPS))
    out[5] = np.log1p(age / day)
    out[6] = np.log(since)
    out[7] = thing[STEPS] / steps
    out[8], out[9] = 0.0, 0.0
    if thing[STEPS] > 1.5:
        interval = max((thing[LAST_S] - thing[FIRST_S]) / (thing[STEPS] - 1.0), SHORTEST_INTERVAL)
        out[8] = min(max(np.log((age + SHORTEST_INTERVAL) / interval), -LIMIT), LIMIT)
        out[9] = 1.0
    out[10] = 1.0 if since < 1.5 else 0.0
    out[11] = np.log(thing[VARIETY])
    out[12] = np.log(SMALL + kind_now)
    out[13] = np.log1p(kind_age / day)
    out[14] = thing[DECAYED + 1] * 0.5 ** (age / HALF_LIVES[1]) / (kind_now + SMALL)
    out[15] = np.log(steps)
    out[16] = np.log1p(tenure / day)
