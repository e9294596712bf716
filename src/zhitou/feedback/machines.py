"""Which clicks no person made: each click gets a verdict with its reason, and nothing is deleted.

E = facts, C = clicks.

The rules read times and contents of the facts that are known, never their order of arrival, so the verdicts are a
function of the set of facts. A late fact may change a verdict, as it may change any label.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROSECONDS
from zhitou.events.schema import KIND_CODE
from zhitou.feedback.facts import Facts, Names

HUMAN = "human"
# in the order of judgement: a click that breaks two rules is counted under the first
RULES = ("prefetch", "honeypot", "scanner", "too_fast", "subject_rate", "ip_rate")
REASONS = (HUMAN, *RULES)
MILLISECOND_US = 1_000


@dataclass(frozen=True)
class MachineRules:
    """The dials. Units stand in the names; all are whole numbers of at least 1.

    fast_ms: a click this soon after its impression, or sooner, is no person's (nobody sees, chooses and presses
    within it). scanner_links: so many different links of one decision followed within scanner_seconds are a scanner
    reading a message. subject_clicks_max, ip_clicks_max: more clicks than that of one subject, or from one address,
    within window_seconds are a program (an address is shared by an office, hence more).
    """

    fast_ms: int = 200
    scanner_links: int = 4
    scanner_seconds: int = 3
    subject_clicks_max: int = 30
    ip_clicks_max: int = 200
    window_seconds: int = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ConfigError(f"expected {field.name} of at least 1, got {getattr(self, field.name)}")


@dataclass(frozen=True)
class Verdicts:
    """One verdict for each click. click: int64 [C], its place in the facts. reason: int8 [C], code in REASONS.

    machine: bool [E], the facts that are clicks of a machine.
    """

    click: np.ndarray
    reason: np.ndarray
    machine: np.ndarray

    def counts(self, among: np.ndarray | None = None) -> dict[str, int]:
        """How many machine clicks each rule told, of all or `among` some (bool [E])."""
        reason = self.reason if among is None else self.reason[among[self.click]]
        return dict(zip(RULES, np.bincount(reason, minlength=len(REASONS))[1:].tolist(), strict=True))

    def reason_of(self) -> list[str]:
        """The reason of each click, as a word."""
        return [REASONS[code] for code in self.reason.tolist()]


def judge_clicks(facts: Facts, rules: MachineRules | None = None) -> Verdicts:
    """The verdict on every click among the facts, by the first of RULES that it breaks, else "human".

    prefetch: the browser's headers say that it fetched ahead. honeypot: a link that no person can see, and the other
    clicks on that decision within scanner_seconds of it. scanner: many different links of one decision at once.
    too_fast: at most fast_ms after the impression of its slot (the earliest; a click before it is two clocks that
    disagree, and is not judged). subject_rate, ip_rate: too many within a window, all of them and not only the rest.
    """
    rules = rules or MachineRules()
    click = np.flatnonzero(facts.kind == KIND_CODE["click"])
    some = facts.take(click)
    window_us = rules.window_seconds * MICROSECONDS
    told = (
        some.prefetch,
        _honeypot(some, rules),
        _scanner(some, rules),
        _too_fast(facts, some, rules),
        _crowded(some.subject.code, some.time_us, rules.subject_clicks_max, window_us),
        _crowded(some.ip_hash.code, some.time_us, rules.ip_clicks_max, window_us),
    )
    reason = np.zeros(len(click), dtype=np.int8)
    for code in range(len(RULES), 0, -1):  # the first rule is written last
        reason[told[code - 1]] = code
    machine = np.zeros(len(facts), dtype=bool)
    machine[click[reason > 0]] = True
    return Verdicts(click, reason, machine)


def _honeypot(clicks: Facts, rules: MachineRules) -> np.ndarray:
    """bool [C]: on a honeypot, or on its decision near to such a click in time."""
    told = clicks.honeypot.copy()
    near_us = rules.scanner_seconds * MICROSECONDS
    decision, time_us = clicks.decision_id.code, clicks.time_us
    bait = np.flatnonzero(clicks.honeypot & (decision >= 0))
    beside = np.flatnonzero(np.isin(decision, decision[bait]) & (decision >= 0))
    if not len(bait):
        return told
    # both sides as one whole number, decision first, with room between decisions for the window
    zero, width = int(time_us[beside].min()), int(np.ptp(time_us[beside])) + 2 * near_us + 2
    rank = np.unique(decision[beside], return_inverse=True)[1]
    place = rank * width + (time_us[beside] - zero)
    baits = np.sort(place[clicks.honeypot[beside]])
    first = np.searchsorted(baits, place - near_us, side="left")
    told[beside] |= first < np.searchsorted(baits, place + near_us, side="right")
    return told


def _scanner(clicks: Facts, rules: MachineRules) -> np.ndarray:
    """bool [C]: one of `scanner_links` different links of one decision that were followed within the window.

    A link is what the context calls so, else the slot, else the item.
    """
    told = np.zeros(len(clicks), dtype=bool)
    decision = clicks.decision_id.code
    link = np.where(clicks.slot >= 0, clicks.slot * 3 + 1, clicks.item.code * 3 + 2)
    link = np.where(clicks.link.code >= 0, clicks.link.code * 3, link)
    pairs = np.unique(np.stack([decision, link]), axis=1)[0]
    names, count = np.unique(pairs[pairs >= 0], return_counts=True)
    some = np.flatnonzero(np.isin(decision, names[count >= rules.scanner_links]))
    some = some[np.lexsort((clicks.time_us[some], decision[some]))]
    bounds = np.flatnonzero(np.diff(decision[some], prepend=-1, append=-1))
    for begin, end in pairwise(bounds):
        at = some[begin:end]
        told[at] = _many_at_once(
            clicks.time_us[at].tolist(), link[at].tolist(), rules.scanner_links, rules.scanner_seconds * MICROSECONDS
        )
    return told


def _many_at_once(times: list[int], links: list[int], many: int, window_us: int) -> np.ndarray:
    """bool: whether each is in a stretch of at most `window_us` with `many` different links. times ascend."""
    told = np.zeros(len(times), dtype=bool)
    inside: dict[int, int] = {}
    begin = 0
    for at, link in enumerate(links):
        inside[link] = inside.get(link, 0) + 1
        while times[at] - times[begin] > window_us:
            inside[links[begin]] -= 1
            if not inside[links[begin]]:
                del inside[links[begin]]
            begin += 1
        if len(inside) >= many:
            told[begin : at + 1] = True
    return told


def _too_fast(facts: Facts, clicks: Facts, rules: MachineRules) -> np.ndarray:
    """bool [C]: at most fast_ms after the earliest impression of its decision's slot, or, without a slot, of its
    decision."""
    seen = facts.take(np.flatnonzero((facts.kind == KIND_CODE["impression"]) & (facts.decision_id.code >= 0)))
    since = np.full(len(clicks), -1, dtype=np.int64)
    for with_slot in (True, False):
        mine = (clicks.slot >= 0) == with_slot
        theirs = seen.slot >= 0 if with_slot else np.ones(len(seen), dtype=bool)
        key = _slots(clicks.decision_id, clicks.slot, with_slot)[mine]
        of_seen = _slots(seen.decision_id, seen.slot, with_slot)[theirs]
        since[mine] = _since(of_seen, seen.time_us[theirs], key, clicks.time_us[mine])
    return (since >= 0) & (since <= rules.fast_ms * MILLISECOND_US)


def _slots(decision: Names, slot: np.ndarray, with_slot: bool) -> np.ndarray:
    place = decision.code.astype(np.int64) * 128 + (slot if with_slot else 0)
    return np.where(decision.code >= 0, place, -1)


def _since(key: np.ndarray, time_us: np.ndarray, of: np.ndarray, at_us: np.ndarray) -> np.ndarray:
    """int64: how long after the earliest time of its key each moment is, -1 where the key has none."""
    order = np.lexsort((time_us, key))
    keys, first = np.unique(key[order], return_index=True)
    at = np.searchsorted(keys, of)
    known = np.append(keys, -2)[at] == of
    return np.where(known, at_us - np.append(time_us[order][first], 0)[at], -1)


def _crowded(who: np.ndarray, time_us: np.ndarray, most: int, window_us: int) -> np.ndarray:
    """bool [C]: whether each is in a stretch of less than `window_us` with more than `most` of the same `who`."""
    told = np.zeros(len(who), dtype=bool)
    order = np.lexsort((time_us, who))
    order = order[who[order] >= 0]
    begin, end = order[: max(len(order) - most, 0)], order[most:]
    full = np.flatnonzero((who[begin] == who[end]) & (time_us[end] - time_us[begin] < window_us))
    change = np.zeros(len(order) + 1, dtype=np.int64)
    np.add.at(change, full, 1)
    np.add.at(change, full + most + 1, -1)
    told[order] = np.cumsum(change[:-1]) > 0
    return told
