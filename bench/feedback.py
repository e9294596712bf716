"""How fast are outcomes joined and orders credited, and does the order of arrival change anything?

    python bench/feedback.py [--quick] [--seed 1]

Joining: 1,000,000 different events (impressions, clicks, conversions, refunds of 800,000 shown rows; 5 % arrive up to
three days late, 1,000 ids have a second content), of which 200,000 come twice or more, 30 % of all rows moved to a
random place. Counted from the parsed events as Arrow columns in memory (ids as texts, contexts as JSON texts) to the
joined state with its hash: reading contexts, each id once, factorising ids, finding rows, windows, orders once,
refunds, hash. Not counted: reading files. The rate is different events over seconds (wall and CPU, medians of 5), on
one thread; repeats are work that earns nothing. join_objects is the same from a list of Event objects, join_judged
the same as join_columns with each click judged to be a person's or a machine's. Then the rows are arranged anew 100
times (a full shuffle, other rows repeated): one state hash for all, or this ends with an error.

Credit: 1,000,000 orders, touches over six channels, every method: the largest |sum of an order's weights - 1|, and
how many orders whose micros do not sum to their value.

Machine clicks: people and machines planted in one log, and how many of each the rules told with their defaults.
People click after a random time, so some are too fast; machines run at random speeds, so some are too slow. How many
depends on the speeds drawn here: the figures describe the rules, not anybody's traffic.

--quick: a tenth of all, 10 arrangements. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
from lines import last_line
from medians import median_seconds

from zhitou.core.chance import Chance
from zhitou.events.schema import EVENT_SCHEMA, Event
from zhitou.feedback.attribution import Credits, Orders, Touches, last_touch, linear, position_based, time_decay
from zhitou.feedback.facts import facts_of, facts_of_table
from zhitou.feedback.join import DAY_US, Joined, Shown, join
from zhitou.feedback.machines import MachineRules, judge_clicks
from zhitou.feedback.removal import markov
from zhitou.feedback.shapley import shapley

EVENTS = 1_000_000
SHARES = {"impression": 0.8, "click": 0.12, "conversion": 0.05, "refund": 0.01, "organic": 0.02}
REPEATED, MOVED, LATE, RIVALS = 0.2, 0.3, 0.05, 0.001
DAYS = 30
SLOTS = 2
SECOND_US = 1_000_000
TIMES = 5
CHANNELS, WINDOW_US = 6, 30 * DAY_US
WEIGHT_ERROR_MAX = 1e-12


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    pa.set_cpu_count(1)
    chance = Chance(given.seed)
    size = EVENTS // 10 if given.quick else EVENTS
    figures: dict[str, Any] = {"quick": given.quick, "seed": given.seed, "events": size}
    figures |= joining(chance.child("joining"), size, 10 if given.quick else 100)
    figures |= crediting(chance.stream("orders"), size)
    figures |= telling(chance.stream("machines"), size // 10)
    width = max(map(len, figures))
    for name, figure in figures.items():
        print(f"{name:{width}}  {figure:,.4g}" if isinstance(figure, float) else f"{name:{width}}  {figure}")
    last_line("feedback", figures)


# Joining


@dataclass(frozen=True)
class Stream:
    """What was shown, and every different event row of it."""

    shown: Shown
    rows: pa.Table


def joining(chance: Chance, size: int, arrangements: int) -> dict[str, Any]:
    """Rates, and how many state hashes the arrangements have."""
    stream = make_stream(chance, size)
    watermark_us = (DAYS + 20) * DAY_US
    arrived = arrange(stream.rows, chance.stream("arrival"), MOVED)

    def columns() -> Joined:
        return join(stream.shown, facts_of_table(arrived), watermark_us=watermark_us)

    def judged() -> Joined:
        return join(stream.shown, facts_of_table(arrived), watermark_us=watermark_us, machines=MachineRules())

    events = events_of(arrived)

    def from_objects() -> Joined:
        return join(stream.shown, facts_of(events), watermark_us=watermark_us)

    state = columns()
    same = {from_objects().state_hash, state.state_hash}
    figures: dict[str, Any] = {"rows_received": len(arrived), "shown_rows": len(stream.shown)}
    for name, work in (("columns", columns), ("judged", judged), ("objects", from_objects)):
        cpu, wall = median_seconds(lambda work=work: work().state_hash, TIMES)
        figures |= {f"join_{name}_s": wall, f"join_{name}_cpu_s": cpu}
        figures |= {f"join_{name}_events_per_s": size / wall, f"join_{name}_events_per_cpu_s": size / cpu}
    draws = chance.stream("arrangements")
    hashes = set()
    for _ in range(arrangements):
        table = arrange(stream.rows, draws, 1.0)
        hashes.add(join(stream.shown, facts_of_table(table), watermark_us=watermark_us).state_hash)
    figures |= {"arrangements": arrangements, "state_hashes": len(hashes | same), "state_hash": state.state_hash}
    figures |= {"clicked": int(state.clicked.sum()), "converted": int(state.converted.sum())}
    figures |= {"refunded": int(state.refunded.sum()), "late_rows": int(late(stream.rows).sum())}
    if len(hashes | same) != 1:
        sys.exit(f"expected one state, got {len(hashes | same)}: the order of arrival changed what was learnt")
    return figures


def make_stream(chance: Chance, size: int) -> Stream:
    """A market's shown rows and their outcomes. Every number from the seed."""
    draw = chance.stream("stream")
    count = {kind: int(size * share) for kind, share in SHARES.items()}
    shown_rows = count["impression"]
    decision = np.arange(shown_rows) // SLOTS
    shown_us = draw.integers(0, DAYS * DAY_US, shown_rows // SLOTS)[decision]
    slot = (np.arange(shown_rows) % SLOTS).astype(np.int8)
    names = {kind: np.array(hexes(draw, kind[0], n), dtype=object) for kind, n in (("d", shown_rows // SLOTS),)}
    people = np.array(hexes(draw, "s", shown_rows // 20), dtype=object)
    subject = draw.integers(0, len(people), shown_rows // SLOTS)[decision]
    goods = np.array([f"item{n:05d}" for n in range(20_000)], dtype=object)
    item = draw.integers(0, len(goods), shown_rows)
    shown = Shown(names["d"][decision], slot, people[subject], goods[item], shown_us)
    clicked = draw.choice(shown_rows, count["click"], replace=False)
    click_us = shown_us[clicked] + 300_000 + draw.exponential(600 * SECOND_US, len(clicked)).astype(np.int64)
    bought = draw.choice(len(clicked), count["conversion"], replace=False)
    sale_us = click_us[bought] + draw.exponential(2 * DAY_US, len(bought)).astype(np.int64)
    returned = draw.choice(len(bought), count["refund"], replace=False)
    back_us = sale_us[returned] + draw.exponential(5 * DAY_US, len(returned)).astype(np.int64)
    of = np.concatenate([np.arange(shown_rows), clicked, clicked[bought], clicked[bought][returned]])
    organic = draw.integers(0, shown_rows, count["organic"])
    kind = np.repeat(np.array(list(SHARES)), list(count.values()))
    kind[kind == "organic"] = "conversion"
    total, tied = len(kind), len(of)
    occurred = np.concatenate(
        [shown_us + draw.integers(50_000, SECOND_US, shown_rows), click_us, sale_us, back_us, shown_us[organic]]
    )
    order = np.full(total, None, dtype=object)
    order[-len(organic) :] = hexes(draw, "o", len(organic))
    orders = np.array(hexes(draw, "o", len(bought)), dtype=object)
    order[tied - len(returned) - len(bought) : tied] = np.concatenate([orders, orders[returned]])
    row = np.concatenate([of, organic])
    sale = (kind == "conversion") | (kind == "refund")
    address = np.array(hexes(draw, "a", len(people)), dtype=object)
    context = np.array([f'{{"slot":{n}}}' for n in range(SLOTS)], dtype=object)[slot[row]]
    for at in np.flatnonzero(kind == "click").tolist():
        context[at] = f'{{"ip_hash":"{address[subject[row[at]]]}","slot":{slot[row[at]]}}}'
    context[tied:] = None
    delay = np.where(draw.random(total) < LATE, draw.integers(DAY_US // 24, 3 * DAY_US, total), SECOND_US)
    decisions = names["d"][decision[row]]
    decisions[tied:] = None
    columns = {
        "event_id": hexes(draw, "e", total),
        "tenant": np.full(total, "shop", dtype=object),
        "subject": people[subject[row]],
        "kind": kind,
        "item": goods[item[row]],
        "quantity": pa.array(draw.integers(1, 4, total), mask=~sale),
        "price_micros": pa.array(draw.integers(500_000, 90_000_000, total), mask=~sale),
        "currency": pa.array(np.full(total, "EUR", dtype=object), mask=~sale),
        "occurred_at": pa.array(occurred, pa.timestamp("us", "UTC")),
        "received_at": pa.array(occurred + delay, pa.timestamp("us", "UTC")),
        "channel": np.full(total, "onsite", dtype=object),
        "decision_id": decisions,
        "order_id": order,
        "context": context,
    }
    columns["session"] = pa.nulls(total, pa.string())
    rows = pa.table({f.name: pa.array(columns[f.name]).cast(f.type) for f in EVENT_SCHEMA})
    return Stream(shown, with_rivals(rows, draw))


def with_rivals(rows: pa.Table, draw: np.random.Generator) -> pa.Table:
    """The rows and, for a few ids, another content: half received at the same moment, half later."""
    some = draw.choice(len(rows), int(len(rows) * RIVALS), replace=False)
    other = rows.take(pa.array(some))
    received = other["received_at"].cast(pa.int64()).to_numpy() + (np.arange(len(some)) % 2) * SECOND_US
    received = pa.array(received, pa.timestamp("us", "UTC"))
    others = {name: other[name] for name in other.column_names}
    others |= {"received_at": received, "decision_id": rows["decision_id"].take(pa.array(some[::-1]))}
    return pa.concat_tables([rows, pa.table(others)])


def arrange(rows: pa.Table, draw: np.random.Generator, moved: float) -> pa.Table:
    """The rows by arrival with a share of them repeated, and a share moved to random places."""
    order = np.concatenate([np.arange(len(rows)), draw.integers(0, len(rows), int(len(rows) * REPEATED))])
    order = order[np.argsort(rows["received_at"].cast(pa.int64()).to_numpy()[order], kind="stable")]
    places = np.sort(draw.choice(len(order), int(len(order) * moved), replace=False))
    order[places] = order[draw.permutation(places)]
    return rows.take(pa.array(order)).combine_chunks()


def late(rows: pa.Table) -> np.ndarray:
    """bool: arrived an hour or more after it happened."""
    gap = rows["received_at"].cast(pa.int64()).to_numpy() - rows["occurred_at"].cast(pa.int64()).to_numpy()
    return gap >= DAY_US // 24


def events_of(table: pa.Table) -> list[Event]:
    """The rows as the objects that the doors make."""
    times = {"occurred_at": "occurred_us", "received_at": "received_us"}
    columns = {n: table[n].cast(pa.int64()) if n in times else table[n] for n in table.column_names}
    names = [times.get(name, name) for name in columns]
    values = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    return [Event(**dict(zip(names, row, strict=True))) for row in values]


def hexes(draw: np.random.Generator, prefix: str, count: int) -> list[str]:
    """Ids as core.ids makes them: a letter and 24 hexadecimal digits."""
    text = draw.bytes(12 * count).hex()
    return [f"{prefix}_{text[24 * at : 24 * at + 24]}" for at in range(count)]


# Credit


def crediting(draw: np.random.Generator, size: int) -> dict[str, Any]:
    """How far an order's weights are from 1 and its micros from its value, at most, and the time of each method."""
    orders, touches = make_orders(draw, size)
    methods: dict[str, Callable[[], Credits]] = {
        "last_touch": lambda: last_touch(orders, touches, WINDOW_US),
        "linear": lambda: linear(orders, touches, WINDOW_US),
        "position": lambda: position_based(orders, touches, WINDOW_US),
        "decay": lambda: time_decay(orders, touches, WINDOW_US, half_life_us=DAY_US),
        "markov": lambda: markov(orders, touches, WINDOW_US, CHANNELS),
        "shapley": lambda: shapley(orders, touches, WINDOW_US, CHANNELS),
    }
    figures: dict[str, Any] = {"orders": size, "touches": len(touches.time_us), "channels": CHANNELS}
    worst, wrong, shares = 0.0, 0, {}
    for name, method in methods.items():
        begun = time.process_time()
        credits = method()
        figures[f"credit_{name}_cpu_s"] = time.process_time() - begun
        sums = np.bincount(credits.order, credits.weight, size)[~credits.organic]
        worst = max(worst, float(np.abs(sums - 1).max()))
        paid = np.zeros(size, dtype=np.int64)
        np.add.at(paid, credits.order, credits.value_micros)
        wrong += int((paid != np.where(credits.organic, 0, orders.value_micros)).sum())
        value = credits.by_channel(touches, CHANNELS)[1]
        shares[name] = [round(float(part), 4) for part in value / value.sum()]
    figures |= {"orders_with_touches": len(sums), "weight_error_max": worst, "orders_off_by_a_micro": wrong}
    if worst > WEIGHT_ERROR_MAX or wrong:
        sys.exit(f"expected weights of 1 and exact micros, got an error of {worst} and {wrong} wrong orders")
    return figures | {"channel_shares": shares}


def make_orders(draw: np.random.Generator, size: int) -> tuple[Orders, Touches]:
    """Orders of half as many subjects over 90 days, and three clicks an order, over six unequal channels."""
    people = np.array(hexes(draw, "s", size // 2), dtype=object)
    span = 90 * DAY_US
    value = draw.lognormal(17, 1, size).astype(np.int64)
    orders = Orders(people[draw.integers(0, len(people), size)], draw.integers(0, span, size), value)
    count = 3 * size
    channel = draw.choice(CHANNELS, count, p=np.array([6, 5, 4, 3, 2, 1]) / 21).astype(np.int32)
    who, when = people[draw.integers(0, len(people), count)], draw.integers(0, span, count)
    return orders, Touches(who, when, draw.integers(0, 50, count).astype(np.int32), channel)


# Machine clicks


def telling(draw: np.random.Generator, size: int) -> dict[str, Any]:
    """Of `size` people's clicks and of planted machine clicks, how many were told to be a machine's."""
    rows: list[
        tuple[str, str, str, int, dict[str, Any]]
    ] = []  # who planted it, kind, subject, time, context; decision
    decisions: list[str] = []

    def plant(name: str, kind: str, subject: str, decision: str, at_us: int, **context: Any) -> None:
        rows.append((name, kind, subject, at_us, context))
        decisions.append(decision)

    for n, at in enumerate(draw.integers(0, 7 * DAY_US, size // 2).tolist()):
        who, decision = f"person{n % (size // 8)}", f"p{n}"
        plant("seen", "impression", who, decision, at, slot=0)
        think_us = int(draw.lognormal(np.log(4 * SECOND_US), 1))
        for k in range(2):
            plant(
                "person", "click", who, decision, at + think_us * (k + 1), slot=k, link=f"l{k}", ip_hash=f"a{n % 500}"
            )
    for n, at in enumerate(draw.integers(0, 7 * DAY_US, size // 100).tolist()):
        gap_us = int(draw.integers(50_000, 2 * SECOND_US))
        for k in range(6):
            plant("scanner", "click", f"mail{n}", f"m{n}", at + k * gap_us, link=f"l{k}")
        plant("bait", "click", f"crawler{n}", f"b{n}", at, link="hidden", honeypot=True)
        plant("prefetch", "click", f"browser{n}", f"f{n}", at, slot=0, headers={"Sec-Purpose": "prefetch"})
        plant("seen", "impression", f"quick{n}", f"q{n}", at, slot=0)
        plant("quick", "click", f"quick{n}", f"q{n}", at + int(draw.integers(0, 300_000)), slot=0)
    for n, at in enumerate(draw.integers(0, 7 * DAY_US, size // 2_000).tolist()):
        gap_us = int(draw.integers(100_000, 4 * SECOND_US))
        for k in range(60):
            plant("robot", "click", f"robot{n}", f"r{n}.{k}", at + k * gap_us, slot=0)
    for k in range(400):  # one address, a new name for each click
        plant("farm", "click", f"farm{k}", f"x{k}", k * 100_000, slot=0, ip_hash="farm")
    kinds = [kind for _, kind, _, _, _ in rows]
    times = [at for _, _, _, at, _ in rows]
    table = pa.table(
        {
            "event_id": [f"e{n:08d}" for n in range(len(rows))],
            "subject": [subject for _, _, subject, _, _ in rows],
            "kind": kinds,
            "occurred_at": times,
            "received_at": times,
            "decision_id": decisions,
            "context": [json.dumps(context) for *_, context in rows],
        }
    )
    facts = facts_of_table(table)
    begun = time.process_time()
    verdicts = judge_clicks(facts)
    figures: dict[str, Any] = {"judged_clicks": len(verdicts.click), "judge_cpu_s": time.process_time() - begun}
    planted = {f"e{n:08d}": row[0] for n, row in enumerate(rows)}
    names = [planted[name] for name in facts.event_id.texts(verdicts.click).to_pylist()]
    told, all_of = Counter(compress(names, verdicts.reason > 0)), Counter(names)
    figures |= {f"told_of_{name}": f"{told[name]} of {count}" for name, count in sorted(all_of.items())}
    return figures | {"told_by_rule": verdicts.counts()}


if __name__ == "__main__":
    main()
