"""The best messages for one shopper at given prices, within his caps: the kernel of the planner.

J = candidate ads, K = channels, H = slots, T = messages a shopper may get. A row is a pair (candidate, channel).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from zhitou.strategy.plan import MOST_A_DAY, PlanProblem

OUT = 1e300  # a price that nobody pays
NODES_MOST = 256
_SLACK = 1e-9


class Tables:
    """The problem as the kernels take it; arrays are shared with the problem, not copied."""

    def __init__(self, problem: PlanProblem) -> None:
        a, t = problem.audience, problem.terms
        k, h = t.capacity.shape
        self.shape = (len(t.local_minute), len(t.campaigns), k, h)
        interrupts = np.asarray([c.interrupts for c in t.channels], dtype=bool)
        never = (t.capacity < 1)[None] | (t.cost_micros > t.budget_micros[:, None])[:, :, None]
        quiet = t.quiet.transpose(1, 0, 2)[:, :, None, :] & interrupts[None, None, :, None]
        shut = ~t.open[None] | never[None] | quiet
        self.shut = np.ascontiguousarray(shut)  # bool [Z, C, K, H]
        block = a.value_micros if a.value_micros is not None else np.zeros((0, 1, 1, 1), dtype=np.float32)
        hour = np.broadcast_to(t.hour_response, (len(t.hour_response), k, t.hour_response.shape[2]))
        wide = t.hour_response.shape[1] > 1
        self.facts = (
            a.candidate,
            a.base_micros,
            a.channel_response,
            a.profile,
            a.zone,
            a.consent,
            a.fatigue_micros,
            a.sent_channel,
            a.sent_campaign,
            a.last_slot,
            block,
            np.ascontiguousarray(hour if wide else t.hour_response, dtype=np.float32),
            np.ascontiguousarray(t.hour_of_slot),
            np.ascontiguousarray(t.ad_campaign, dtype=np.int32),
        )
        self.rules = (
            interrupts,
            np.asarray([c.per_day for c in t.channels], dtype=np.int64),
            np.ascontiguousarray(t.campaign_per_day, dtype=np.int64),
            int(t.per_day),
            int(t.gap_hours),
            float(t.fatigue_growth),
        )
        self.cost = np.ascontiguousarray(t.cost_micros, dtype=np.float64)

    def price(self, slot_micros: np.ndarray, budget: np.ndarray) -> np.ndarray:
        """float64 [Z, C, K, H]: what a message must be worth to be sent, OUT where it may not be."""
        paid = (self.cost * (1.0 + budget[:, None]))[:, :, None] + slot_micros[None]
        return np.ascontiguousarray(np.where(self.shut, OUT, paid[None]))


def workspace(candidates: int, channels: int, slots: int) -> tuple[np.ndarray, ...]:
    """What `choose` writes in; one for each thread.

    net [J, K, H]: worth of a message less its price. Then by depth (messages chosen so far): top [D, J, K], the best
    hour of each pair; taken [D, K, H], 0 or OUT where a slot is gone; sums [D, 2], worth chosen and the fatigue
    of the next message; left [D, K + J], messages left by channel and by campaign; pick [D, 3], what is chosen there;
    gone [nodes, 4], messages struck out, with the first of each depth in the last column; gone_worth [nodes];
    scratch [T + K + J]; same [J], the first candidate of the same campaign; answers [H].
    """
    depths = MOST_A_DAY + 1
    return (
        np.empty((candidates, channels, slots)),
        np.empty((depths, candidates, channels)),
        np.zeros((depths, channels, slots)),
        np.zeros((depths, 2)),
        np.zeros((depths, channels + candidates), dtype=np.int64),
        np.zeros((depths, 3), dtype=np.int64),
        np.zeros((NODES_MOST + 2 * depths, 4), dtype=np.int64),
        np.zeros(NODES_MOST + 2 * depths),
        np.zeros(MOST_A_DAY + channels + candidates),
        np.zeros(candidates, dtype=np.int64),
        np.zeros(slots),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _caps(n, facts, rules, left, same, sums):  # type: ignore[no-untyped-def]
    """Fill the state of depth 0 with the shopper's caps and the fatigue of each message; how many he may get."""
    candidate, fatigue, by_channel, by_campaign, of = facts[0], facts[6], facts[7], facts[8], facts[13]
    per_channel, per_campaign, per_day, growth = rules[1], rules[2], rules[3], rules[5]
    channels, sent = per_channel.shape[0], 0
    for k in range(channels):
        sent += by_channel[n, k]
        left[0, k] = per_channel[k] - by_channel[n, k]
    for j in range(same.shape[0]):
        ad, same[j] = candidate[n, j], j
        left[0, channels + j] = per_campaign[of[ad]] - by_campaign[n, j] if ad >= 0 else 0
        for before in range(j):
            if ad >= 0 and candidate[n, before] >= 0 and of[candidate[n, before]] == of[ad]:
                same[j] = before
                break
    room = max(0, per_day - sent)
    for m in range(room):
        sums[m, 1] = fatigue[n] * (1.0 + growth * (sent + m))
    return room


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def _best_hour(net, j, k, taken, depth):  # type: ignore[no-untyped-def]
    """The greatest of net - taken; without an index, so that it becomes a few vector instructions."""
    top = -OUT
    for h in range(net.shape[2]):
        top = max(top, net[j, k, h] - taken[depth, k, h])
    return top


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def _row(base, answers, price, z, camp, k, closed, net, j):  # type: ignore[no-untyped-def]
    """Fill net[j, k] and return its greatest; apart from the rest, so that it becomes a few vector instructions."""
    top = -OUT
    for h in range(net.shape[2]):
        worth = base * answers[h] - price[z, camp, k, h] - closed[k, h]
        net[j, k, h] = worth
        top = max(top, worth)
    return top


@njit(cache=True, nogil=True, error_model="numpy")
def worths(n, facts, rules, price, closed, broke, work):  # type: ignore[no-untyped-def]
    """Fill net with each message's worth to this shopper less its price, and top[0] with the best hour of each pair.

    Where top[0] is -OUT, nothing is allowed and net is left as it was. closed: float64 [K, H], OUT where a slot is
    full, else 0. broke: bool [C, K], campaigns that cannot pay a message.
    """
    candidate, base, response, profile, zone, consent = facts[0], facts[1], facts[2], facts[3], facts[4], facts[5]
    by_channel, by_campaign, last, block, hour, local, of = (
        facts[7], facts[8], facts[9], facts[10], facts[11], facts[12], facts[13]
    )  # fmt: skip
    net, top, answers = work[0], work[1], work[10]
    z, slots = zone[n], net.shape[2]
    for k in range(net.shape[1]):
        open_ = consent[n, k] and by_channel[n, k] < rules[1][k]
        row = min(k, hour.shape[1] - 1)
        for h in range(slots if open_ else 0):
            answers[h] = response[n, k] * hour[profile[n], row, local[z, h]]
        begin = min(slots, max(0, last[n] + rules[4])) if rules[0][k] else 0
        for j in range(net.shape[0]):
            ad = candidate[n, j]
            camp = of[ad] if ad >= 0 else 0
            if not open_ or ad < 0 or broke[camp, k] or by_campaign[n, j] >= rules[2][camp]:
                top[0, j, k] = -OUT
                continue
            if block.shape[0]:
                for h in range(slots):
                    answers[h] = block[n, j, k, h]
            top[0, j, k] = _row(1.0 if block.shape[0] else base[n, j], answers, price, z, camp, k, closed, net, j)
            if begin > 0:
                for h in range(begin):
                    net[j, k, h] = -OUT
                top[0, j, k] = _best_hour(net, j, k, work[2], 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _most(scratch, begin, end, left, depth, shift, room, sums):  # type: ignore[no-untyped-def]
    """The sum of the `room` greatest of scratch[begin:end], each as often as `left` says, less fatigue, as far as it
    pays."""
    for m in range(room):
        scratch[m] = -OUT
    for group in range(begin, end):
        value = scratch[group]
        for _ in range(min(left[depth, group - shift], room)):
            if value <= scratch[room - 1]:
                break
            place = room - 1
            while place > 0 and value > scratch[place - 1]:
                scratch[place] = scratch[place - 1]
                place -= 1
            scratch[place] = value
    total = 0.0
    for m in range(room):
        gain = scratch[m] - sums[depth + m, 1]
        if gain <= 0:
            break
        total += gain
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _leading(depth, top, left, same, scratch, room, sums):  # type: ignore[no-untyped-def]
    """(pair j * K + k of the best message left, upper limit on what is still to gain) at this depth.

    The limit forgets gaps and one of the two caps at a time: at most the best of each channel, as often as its cap
    allows, and at most the best of each campaign.
    """
    candidates, channels = top.shape[1], top.shape[2]
    first = MOST_A_DAY
    for group in range(first, scratch.shape[0]):
        scratch[group] = -OUT
    lead, best = 0, -OUT
    for j in range(candidates):
        for k in range(channels):
            value = top[depth, j, k]
            if value > best:
                lead, best = j * channels + k, value
            if value > scratch[first + k]:
                scratch[first + k] = value
            if value > scratch[first + channels + same[j]]:
                scratch[first + channels + same[j]] = value
    limit = _most(scratch, first, first + channels, left, depth, first, room, sums)
    if room > 1 and limit > 0:
        limit = min(limit, _most(scratch, first + channels, scratch.shape[0], left, depth, first, room, sums))
    return lead, limit


@njit(cache=True, nogil=True, error_model="numpy")
def _enter(depth, net, top, taken, left, pick, same, interrupts, gap):  # type: ignore[no-untyped-def]
    """The state below a chosen message: its caps are one less; its slot, and those within the gap, are gone.

    A pair that was worth nothing above is worth nothing below, and one that no slot was taken from is worth the same.
    """
    below, (candidates, channels, slots) = depth + 1, net.shape
    j, k, h = pick[depth, 0], pick[depth, 1], pick[depth, 2]
    for group in range(left.shape[1]):
        left[below, group] = left[depth, group]
    left[below, k] -= 1
    left[below, channels + same[j]] -= 1
    for other in range(channels):
        near = gap if interrupts[k] and interrupts[other] else 0
        for hour in range(slots):
            taken[below, other, hour] = OUT if abs(hour - h) < near else taken[depth, other, hour]
    taken[below, k, h] = OUT
    for other in range(candidates):
        for channel in range(channels):
            value = top[depth, other, channel]
            if left[below, channel] <= 0 or left[below, channels + same[other]] <= 0:
                value = -OUT
            elif value > 0 and (channel == k or (interrupts[k] and interrupts[channel])):
                value = _best_hour(net, other, channel, taken, below)
            top[below, other, channel] = value


@njit(cache=True, nogil=True, error_model="numpy")
def choose(n, facts, rules, work, picks, row):  # type: ignore[no-untyped-def]
    """(worth, upper limit, messages): the best set for shopper n; picks[row] (int32 [T], -1 none) gets
    (j * K + k) * H + h of each.

    work[0] as `worths` left it. Branch and bound: take the best message left, or do without it. The limit equals the
    worth unless NODES_MOST was reached; then it is the last bound on all sets that were not looked at.
    """
    net, top, taken, sums, left, pick, gone, gone_worth, scratch, same, _ = work
    _, channels, slots = net.shape
    room = _caps(n, facts, rules, left, same, sums)
    for m in range(picks.shape[1]):
        picks[row, m] = -1
    best, found, limit, nodes, struck, depth = 0.0, 0, 0.0, 0, 0, 0 if room else -1
    sums[0, 0], gone[0, 3] = 0.0, 0
    while depth >= 0:
        lead, more = _leading(depth, top, left, same, scratch, room - depth, sums)
        if depth == 0 and nodes < NODES_MOST:
            limit = max(best, more)
        if sums[depth, 0] + more <= best * (1.0 + _SLACK) or nodes >= NODES_MOST:
            for at in range(gone[depth, 3], struck):
                net[gone[at, 0], gone[at, 1], gone[at, 2]] = gone_worth[at]
            struck = gone[depth, 3]
            depth -= 1
            if depth < 0:
                break
        else:
            j, k, h = lead // channels, lead % channels, 0
            worth = top[depth, j, k]
            while net[j, k, h] - taken[depth, k, h] != worth:
                h += 1
            pick[depth, 0], pick[depth, 1], pick[depth, 2] = j, k, h
            nodes += 1
            sums[depth + 1, 0] = sums[depth, 0] + worth - sums[depth, 1]
            if sums[depth + 1, 0] > best:
                best, found = sums[depth + 1, 0], depth + 1
                for m in range(found):
                    picks[row, m] = (pick[m, 0] * channels + pick[m, 1]) * slots + pick[m, 2]
            if depth + 1 < room:
                _enter(depth, net, top, taken, left, pick, same, rules[0], rules[4])
                depth += 1
                gone[depth, 3] = struck
                continue
        j, k, h = pick[depth, 0], pick[depth, 1], pick[depth, 2]  # all sets with it are known: go on without it
        gone[struck, 0], gone[struck, 1], gone[struck, 2], gone_worth[struck] = j, k, h, net[j, k, h]
        net[j, k, h] = -OUT
        struck += 1
        top[depth, j, k] = _best_hour(net, j, k, taken, depth)
    for m in range(found, picks.shape[1]):
        picks[row, m] = -1
    return best, (max(limit, best) if nodes >= NODES_MOST else best * (1.0 + _SLACK)), found


@njit(cache=True, nogil=True, error_model="numpy")
def answer(rows, price, closed, broke, facts, rules, work, worth, limit, picks):  # type: ignore[no-untyped-def]
    """The best set of each shopper in rows (int64 [n]): worth, limit float64 [n] and picks int32 [n, T]."""
    for i in range(rows.shape[0]):
        worths(rows[i], facts, rules, price, closed, broke, work)
        worth[i], limit[i], _ = choose(rows[i], facts, rules, work, picks, i)


@njit(cache=True, nogil=True, error_model="numpy")
def tally(rows, picks, facts, cost, usage, spent):  # type: ignore[no-untyped-def]
    """Add up what these sets (int32 [n, T] of the shoppers in rows) use, int64 [K, H], and cost, int64 [C]."""
    channels, slots = usage.shape
    for i in range(rows.shape[0]):
        for m in range(picks.shape[1]):
            code = picks[i, m]
            if code >= 0:
                j, k, h = code // (channels * slots), code // slots % channels, code % slots
                camp = facts[13][facts[0][rows[i], j]]
                usage[k, h] += 1
                spent[camp] += cost[camp, k]


def users(picks: np.ndarray, facts: tuple[np.ndarray, ...], slots: np.ndarray, campaigns: np.ndarray) -> np.ndarray:
    """int64 [n]: rows with a message in one of these slots (bool [K, H]) or of these campaigns (bool [C, K])."""
    k, h = slots.shape
    shopper, where = np.nonzero(picks >= 0)
    code = picks[shopper, where]
    camp = facts[13][facts[0][shopper, code // (k * h)]]
    asks = slots.ravel()[code % (k * h)] | campaigns[camp, code // h % k]
    return np.unique(shopper[asks]).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def _shut(k, h, camp, capacity, budget, cost, usage, spent, closed, broke):  # type: ignore[no-untyped-def]
    """Whether this slot is full and what this campaign can still pay, after something changed there."""
    closed[k, h] = OUT if usage[k, h] >= capacity[k, h] else 0.0
    for channel in range(cost.shape[1]):
        broke[camp, channel] = cost[camp, channel] > 0 and spent[camp] + cost[camp, channel] > budget[camp]


@njit(cache=True, nogil=True, error_model="numpy")
def _over(n, picks, facts, capacity, budget, usage, spent):  # type: ignore[no-untyped-def]
    channels, slots = usage.shape
    for m in range(picks.shape[1]):
        code = picks[n, m]
        if code >= 0:
            k, h = code // slots % channels, code % slots
            camp = facts[13][facts[0][n, code // (channels * slots)]]
            if usage[k, h] > capacity[k, h] or spent[camp] > budget[camp]:
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def reassign(order, only_over, price, facts, rules, cost, capacity, budget, work, picks, usage, spent):  # type: ignore[no-untyped-def]
    """One shopper after another chooses again among what is left, his own places included; how many did.

    order: int64 [n]. picks: int32 [N, T], usage and spent are kept in step. only_over: only who uses a slot or a
    budget that is exceeded; once all its users were asked, none is. A message that no longer fits beside the others
    of its set (two that one budget pays) is left out.
    """
    closed, broke = np.zeros(usage.shape), np.zeros(cost.shape, dtype=np.bool_)
    channels, slots = usage.shape
    for k in range(channels):
        for h in range(slots):
            for camp in range(spent.shape[0] if h == 0 else 1):
                _shut(k, h, camp, capacity, budget, cost, usage, spent, closed, broke)
    new, asked = np.empty((1, picks.shape[1]), dtype=np.int32), 0
    for i in range(order.shape[0]):
        n = order[i]
        if only_over and not _over(n, picks, facts, capacity, budget, usage, spent):
            continue
        asked += 1
        for m in range(picks.shape[1]):
            code = picks[n, m]
            if code >= 0:
                j, k, h = code // (channels * slots), code // slots % channels, code % slots
                camp = facts[13][facts[0][n, j]]
                usage[k, h] -= 1
                spent[camp] -= cost[camp, k]
                _shut(k, h, camp, capacity, budget, cost, usage, spent, closed, broke)
        worths(n, facts, rules, price, closed, broke, work)
        choose(n, facts, rules, work, new, 0)
        for m in range(picks.shape[1]):
            code = new[0, m]
            picks[n, m] = code
            if code < 0:
                continue
            j, k, h = code // (channels * slots), code // slots % channels, code % slots
            camp = facts[13][facts[0][n, j]]
            if broke[camp, k]:
                picks[n, m] = -1
            else:
                usage[k, h] += 1
                spent[camp] += cost[camp, k]
                _shut(k, h, camp, capacity, budget, cost, usage, spent, closed, broke)
    return asked
