"""Why a shopper gets this message and not that one: every alternative with its worth, its prices and its reason.

n = shoppers asked about, J = candidate ads, K = channels, H = slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zhitou.strategy.plan import Plan, PlanProblem, message_values

# The position is the code: the first that holds is the reason.
REASONS: tuple[tuple[str, str], ...] = (
    ("sent", "The message is in the plan."),
    ("no_candidate", "There is no ad in this place."),
    ("consent", "The shopper has not agreed to all that this channel needs."),
    ("closed", "The campaign's flight or targeting does not open this channel in this hour, or nothing can be sent."),
    ("quiet_hours", "Part of the hour is quiet where the shopper lives."),
    ("sent_today", "Messages that he already got today fill his cap, or the last one is too near."),
    ("not_worth", "It brings less than it costs in money and attention."),
    ("outbid", "Other shoppers' messages are worth more in this slot."),
    ("budget", "The campaign's budget earns more elsewhere."),
    ("cap", "Messages worth more fill his day, this channel or this campaign."),
    ("gap", "It would come too near to a message worth more."),
    ("capacity", "It was worth the slot's price, but the slot was full."),
    ("spent", "It was worth its price, but the campaign's budget was used up."),
    ("fatigue", "It would pay as the first message of his day, but not as one more."),
    ("left_over", "It could still be sent: the plan lacks it, which its distance to the bound includes."),
)
CODE = {name: code for code, (name, _) in enumerate(REASONS)}
_BLOCK = 2_048
_FAR = 1e15  # beyond any net worth: what is sent is told first, what may not be sent last


@dataclass(frozen=True)
class Alternatives:
    """All messages that some shoppers could get, every array [n, J, K, H] or spread to it.

    code: uint8, place in REASONS. worth_micros: before costs. cost_micros; fatigue_micros: of one message more than
    those sent today before the plan; slot_price_micros and budget_price_micros: what it takes from others.
    """

    code: np.ndarray
    worth_micros: np.ndarray
    cost_micros: np.ndarray
    fatigue_micros: np.ndarray
    slot_price_micros: np.ndarray
    budget_price_micros: np.ndarray

    @property
    def net_micros(self) -> np.ndarray:
        """float64 [n, J, K, H]: worth less costs, fatigue and prices: above 0 it would be sent if caps let it."""
        answer: np.ndarray = (
            self.worth_micros
            - self.cost_micros
            - self.fatigue_micros
            - self.slot_price_micros
            - self.budget_price_micros
        )
        return answer


@dataclass(frozen=True)
class Filled:
    """What the whole plan used up: full bool [K, H]; left_micros int64 [C]; first int64 [N + 1], where each shopper's
    messages begin."""

    full: np.ndarray
    left_micros: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, plan: Plan, problem: PlanProblem) -> Filled:
        """Counted once, for many questions."""
        return cls(
            plan.usage(problem) >= problem.terms.capacity,
            problem.terms.budget_micros - plan.spend_micros(problem),
            np.searchsorted(plan.shopper, np.arange(len(problem) + 1)),
        )


def alternatives(plan: Plan, problem: PlanProblem, rows: np.ndarray, filled: Filled | None = None) -> Alternatives:
    """For these shoppers (int [n] rows of the audience)."""
    filled = filled or Filled.of(plan, problem)
    a, t = problem.audience, problem.terms
    rows = np.asarray(rows, dtype=np.int64)
    (j, (k, h)), n = (a.candidate.shape[1], t.capacity.shape), len(rows)
    shape = (n, j, k, h)
    grid = np.indices(shape, sparse=True)
    at = rows[grid[0]]
    worth = message_values(problem, *np.broadcast_arrays(at, grid[1], grid[2], grid[3]))
    campaign = t.ad_campaign[np.maximum(a.candidate[rows], 0)].astype(np.int64)
    cost = t.cost_micros[campaign].astype(np.int64)[:, :, :, None]
    sent = a.sent_channel[rows].sum(axis=1, dtype=np.int64)
    fatigue = a.fatigue_micros[rows] * (1.0 + t.fatigue_growth * sent)
    found = Alternatives(
        code=np.zeros(shape, dtype=np.uint8),
        worth_micros=worth,
        cost_micros=np.broadcast_to(cost, shape),
        fatigue_micros=np.broadcast_to(fatigue[:, None, None, None], shape),
        slot_price_micros=np.broadcast_to(plan.prices.slot_micros, shape),
        budget_price_micros=np.broadcast_to(cost * plan.prices.budget[campaign][:, :, None, None], shape),
    )
    taken = _taken(plan, problem, rows, campaign, filled)
    tests = _barred(problem, rows, campaign) | _priced(found) | taken
    tests["capacity"] = filled.full[None, None]
    tests["spent"] = cost > filled.left_micros[campaign][:, :, None, None]
    more = a.fatigue_micros[rows] * t.fatigue_growth * (filled.first[rows + 1] - filled.first[rows])
    tests["fatigue"] = found.net_micros - more[:, None, None, None] <= 0
    for name in sorted(tests, key=CODE.__getitem__, reverse=True):  # the first reason is written last
        found.code[np.broadcast_to(tests[name], shape)] = CODE[name]
    return found


def refusals(plan: Plan, problem: PlanProblem) -> dict[str, int]:
    """How many of all alternatives (shopper x candidate x channel x slot) ended under each reason."""
    filled, counts = Filled.of(plan, problem), np.zeros(len(REASONS), dtype=np.int64)
    for begin in range(0, len(problem), _BLOCK):
        rows = np.arange(begin, min(begin + _BLOCK, len(problem)))
        counts += np.bincount(alternatives(plan, problem, rows, filled).code.ravel(), minlength=len(REASONS))
    return {name: int(count) for (name, _), count in zip(REASONS, counts, strict=True)}


@dataclass(frozen=True)
class Alternative:
    """One message of one shopper, whole micros. reason: a name of REASONS, sentence says it."""

    ad: str
    campaign: str
    channel: str
    slot: int
    local_hour: int
    worth_micros: int
    cost_micros: int
    fatigue_micros: int
    slot_price_micros: int
    budget_price_micros: int
    net_micros: int
    reason: str
    sentence: str


def explain(plan: Plan, problem: PlanProblem, row: int, *, every_slot: bool = False) -> list[Alternative]:
    """A shopper's alternatives: sent ones first, then by net worth; each ad and channel at its best slot."""
    found = alternatives(plan, problem, np.asarray([row]))
    return list(_told(found, problem, row, every_slot))


def _told(found: Alternatives, problem: PlanProblem, row: int, every_slot: bool) -> Iterator[Alternative]:
    a, t, net, code = problem.audience, problem.terms, found.net_micros[0], found.code[0]
    barred = (code > CODE["sent"]) & (code <= CODE["sent_today"])
    rank = net + np.where(code == CODE["sent"], _FAR, np.where(barred, -_FAR, 0.0))
    best = rank == rank.max(axis=2, keepdims=True)
    first = best & (np.cumsum(best, axis=2) == 1)
    chosen = (a.candidate[row] >= 0)[:, None, None] & (first | (code == CODE["sent"]) | every_slot)
    where = np.argwhere(chosen)
    order = np.lexsort((*where.T[::-1], -rank[tuple(where.T)]))
    for j, k, h in where[order]:
        ad = int(a.candidate[row, j])
        name, sentence = REASONS[code[j, k, h]]
        yield Alternative(
            ad=t.ads[ad],
            campaign=t.campaigns[int(t.ad_campaign[ad])],
            channel=t.channels[k].name,
            slot=int(h),
            local_hour=int(t.hour_of_slot[a.zone[row], h]),
            worth_micros=round(float(found.worth_micros[0, j, k, h])),
            cost_micros=int(found.cost_micros[0, j, k, h]),
            fatigue_micros=round(float(found.fatigue_micros[0, j, k, h])),
            slot_price_micros=round(float(found.slot_price_micros[0, j, k, h])),
            budget_price_micros=round(float(found.budget_price_micros[0, j, k, h])),
            net_micros=round(float(net[j, k, h])),
            reason=name,
            sentence=sentence,
        )


def _barred(problem: PlanProblem, rows: np.ndarray, campaign: np.ndarray) -> dict[str, np.ndarray]:
    """Masks that spread to [n, J, K, H]: what may not be sent, whatever it is worth."""
    a, t = problem.audience, problem.terms
    channels = np.arange(len(t.channels))
    most = np.asarray([c.per_day for c in t.channels])
    interrupts = np.asarray([c.interrupts for c in t.channels])
    quiet = t.quiet[campaign, a.zone[rows][:, None]][:, :, None, :] & interrupts[:, None]
    before = a.sent_channel[rows].astype(np.int64)
    full = (before >= most)[:, None, :, None] | (before.sum(axis=1) >= t.per_day)[:, None, None, None]
    full = full | (a.sent_campaign[rows] >= t.campaign_per_day[campaign])[:, :, None, None]
    near = (np.arange(t.slots) - a.last_slot[rows].astype(np.int64)[:, None] < t.gap_hours)[:, None, None, :]
    never = (t.capacity < 1)[None, None] | (t.cost_micros > t.budget_micros[:, None])[campaign][:, :, :, None]
    return {
        "no_candidate": (a.candidate[rows] < 0)[:, :, None, None],
        "consent": ~a.consent[rows][:, None, channels, None],
        "closed": ~t.open[campaign] | never,
        "quiet_hours": quiet,
        "sent_today": full | (near & interrupts[:, None]),
    }


def _priced(found: Alternatives) -> dict[str, np.ndarray]:
    """Masks [n, J, K, H]: what does not pay, by what it fails at: itself, the slot's price, the budget's price."""
    own = found.worth_micros - found.cost_micros - found.fatigue_micros
    slot = own - found.slot_price_micros
    return {"not_worth": own <= 0, "outbid": slot <= 0, "budget": slot - found.budget_price_micros <= 0}


def _taken(
    plan: Plan, problem: PlanProblem, rows: np.ndarray, campaign: np.ndarray, filled: Filled
) -> dict[str, np.ndarray]:
    """Masks [n, J, K, H]: the messages of the plan, and what they leave no room for; the last two cover the rest."""
    a, t = problem.audience, problem.terms
    (n, j), (k, h) = campaign.shape, t.capacity.shape
    interrupts = np.asarray([c.interrupts for c in t.channels])
    sent, gap = np.zeros((n, j, k, h), dtype=bool), np.zeros((n, 1, k, h), dtype=bool)
    by_channel, by_campaign = a.sent_channel[rows].astype(np.int64), a.sent_campaign[rows].astype(np.int64)
    size = filled.first[rows + 1] - filled.first[rows]
    for m in range(int(size.max(initial=0))):
        i = np.flatnonzero(size > m)
        at = filled.first[rows[i]] + m
        place, channel, slot = plan.place[at], plan.channel[at], plan.slot[at]
        sent[i, place, channel, slot] = True
        gap[i, 0, channel, slot] = True
        near = np.abs(np.arange(h) - slot[:, None]) < t.gap_hours
        gap[i, 0] |= near[:, None, :] & (interrupts[channel][:, None] & interrupts)[:, :, None]
        by_channel[i, channel] += 1
        by_campaign[i] += campaign[i] == campaign[i, place][:, None]
    most = np.asarray([c.per_day for c in t.channels])
    cap = (by_channel >= most)[:, None, :, None] | (by_campaign >= t.campaign_per_day[campaign])[:, :, None, None]
    cap = cap | (by_channel.sum(axis=1) >= t.per_day)[:, None, None, None]
    return {"sent": sent, "cap": cap, "gap": gap, "left_over": np.ones((1, 1, 1, 1), dtype=bool)}
