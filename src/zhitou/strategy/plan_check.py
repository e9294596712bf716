"""Does a plan keep every rule? Read from the rules as they are written, one message after another, in plain Python.

Shares no code with the planner: an error there is not repeated here.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise
from zoneinfo import ZoneInfo

from zhitou.core.units import MICROSECONDS
from zhitou.strategy.plan import Plan, PlanProblem

RULES = (
    "candidate",
    "consent",
    "closed",
    "quiet_hours",
    "per_day",
    "channel_cap",
    "campaign_cap",
    "same_slot",
    "gap",
    "capacity",
    "budget",
    "cost",
)


def violations(plan: Plan, problem: PlanProblem) -> dict[str, int]:
    """How often each of RULES is broken: all 0 for a plan that may be sent.

    Per message: candidate, consent, closed (flight and targeting), quiet_hours (any minute of the slot), cost. Per
    shopper: caps, two messages in one slot of a channel, gaps. In all: slots above capacity, campaigns above budget.
    """
    found: Counter[str] = Counter()
    people, terms = problem.audience, problem.terms
    quiet = _Quiet(problem)
    days: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    slots: Counter[tuple[int, int]] = Counter()
    spent: Counter[int] = Counter()
    columns = (plan.shopper, plan.place, plan.channel, plan.slot, plan.cost_micros)
    for n, j, k, h, cost in zip(*(a.tolist() for a in columns), strict=True):
        ad = int(people.candidate[n, j])
        if ad < 0:
            found["candidate"] += 1
            continue
        camp = int(terms.ad_campaign[ad])
        found["consent"] += not people.consent[n, k]
        found["closed"] += not terms.open[camp, k, h]
        found["cost"] += cost != int(terms.cost_micros[camp, k])
        if terms.channels[k].interrupts:
            found["quiet_hours"] += quiet.at(camp, int(people.zone[n]), h)
        days[n].append((h, k, j))
        slots[k, h] += 1
        spent[camp] += cost
    for n, day in days.items():
        _day(n, day, problem, found)
    found["capacity"] += sum(count > terms.capacity[slot] for slot, count in slots.items())
    found["budget"] += sum(micros > terms.budget_micros[camp] for camp, micros in spent.items())
    return {rule: int(found[rule]) for rule in RULES}


def _day(n: int, day: list[tuple[int, int, int]], problem: PlanProblem, found: Counter[str]) -> None:
    """One shopper's messages (slot, channel, place) against his caps and the gap."""
    people, terms = problem.audience, problem.terms
    before = [int(count) for count in people.sent_channel[n]]
    found["per_day"] += len(day) + sum(before) > terms.per_day
    for k, count in Counter(k for _, k, _ in day).items():
        found["channel_cap"] += count + before[k] > terms.channels[k].per_day
    camps = Counter(int(terms.ad_campaign[people.candidate[n, j]]) for _, _, j in day)
    for j, ad in enumerate(people.candidate[n]):
        camp = int(terms.ad_campaign[ad]) if ad >= 0 else -1
        count = camps.pop(camp, 0)
        found["campaign_cap"] += count > 0 and count + int(people.sent_campaign[n, j]) > terms.campaign_per_day[camp]
    found["same_slot"] += len(day) - len({(h, k) for h, k, _ in day})
    times = sorted(h for h, k, _ in day if terms.channels[k].interrupts)
    times = [int(people.last_slot[n]), *times]
    found["gap"] += sum(later - sooner < terms.gap_hours for sooner, later in pairwise(times))


class _Quiet:
    """Whether a slot has a quiet minute, by looking at all its minutes on a clock of the zone."""

    def __init__(self, problem: PlanProblem) -> None:
        self._terms = problem.terms
        self._known: dict[tuple[int, int, int], bool] = {}

    def at(self, camp: int, zone: int, slot: int) -> bool:
        """Any minute of the slot inside the campaign's quiet hours."""
        key = camp, zone, slot
        if key not in self._known:
            self._known[key] = self._look(*key)
        return self._known[key]

    def _look(self, camp: int, zone: int, slot: int) -> bool:
        hours = self._terms.quiet_hours[camp]
        if hours is None or hours[0] == hours[1]:
            return False
        start, end = hours
        begin = dt.datetime.fromtimestamp(self._terms.start_us / MICROSECONDS, tz=dt.UTC) + dt.timedelta(hours=slot)
        clock = ZoneInfo(self._terms.zones[zone])
        for minute in range(60):
            hour = (begin + dt.timedelta(minutes=minute)).astimezone(clock).hour
            if (start <= hour < end) if start < end else (hour >= start or hour < end):
                return True
        return False
