"""A plan as a table to send from, its summary as plain values, and what changed between two plans."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from zhitou.core import columns as c
from zhitou.core.errors import MoneyError, SchemaError
from zhitou.strategy.plan import Plan, PlanProblem, fatigue_of, numbers
from zhitou.strategy.plan_check import violations
from zhitou.strategy.plan_explain import refusals

AD, SEND_FROM, LOCAL_HOUR, NUMBER = "ad", "send_from", "local_hour", "number"
VALUE_MICROS, COST_MICROS, FATIGUE_MICROS = "value_micros", "cost_micros", "fatigue_micros"
SLOT_PRICE_MICROS, BUDGET_PRICE_MICROS = "slot_price_micros", "budget_price_micros"
SLOT_US = 3_600 * 1_000_000
MESSAGES = pa.schema(
    [
        (c.SUBJECT, pa.string()),
        (NUMBER, pa.int8()),  # of the shopper's day, from 1
        (AD, pa.string()),
        (c.CAMPAIGN, pa.string()),
        (c.CHANNEL, pa.string()),
        (SEND_FROM, pa.timestamp("us", tz="UTC")),  # any time from here on, for an hour
        (LOCAL_HOUR, pa.int8()),
        (VALUE_MICROS, pa.int64()),
        (COST_MICROS, pa.int64()),
        (FATIGUE_MICROS, pa.int64()),
        (SLOT_PRICE_MICROS, pa.int64()),
        (BUDGET_PRICE_MICROS, pa.int64()),
        (c.CURRENCY, pa.string()),
    ]
)


def messages(plan: Plan, problem: PlanProblem) -> pa.Table:
    """One row for each message, in order of the audience and of time; MESSAGES is the schema.

    Expected values and prices are rounded to whole micros, half to even; costs are whole.
    """
    a, t = problem.audience, problem.terms
    ad, camp = plan.ad(problem), plan.campaign(problem)
    number = numbers(problem, plan.shopper)
    price = plan.prices
    columns: dict[str, Any] = {
        c.SUBJECT: pa.array([str(s) for s in a.shoppers[plan.shopper]], pa.string()),
        NUMBER: number,
        AD: np.asarray(t.ads, dtype=object)[ad],
        c.CAMPAIGN: np.asarray(t.campaigns, dtype=object)[camp],
        c.CHANNEL: np.asarray([ch.name for ch in t.channels], dtype=object)[plan.channel],
        SEND_FROM: t.start_us + plan.slot.astype(np.int64) * SLOT_US,
        LOCAL_HOUR: t.hour_of_slot[a.zone[plan.shopper], plan.slot],
        VALUE_MICROS: _whole(plan.value_micros),
        COST_MICROS: plan.cost_micros,
        FATIGUE_MICROS: _whole(fatigue_of(a, t.fatigue_growth, plan.shopper, number)),
        SLOT_PRICE_MICROS: _whole(price.slot_micros[plan.channel, plan.slot]),
        BUDGET_PRICE_MICROS: _whole(price.budget[camp] * plan.cost_micros),
        c.CURRENCY: np.full(len(plan), t.currency, dtype=object),
    }
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=field.type)
        for field, column in ((field, columns[field.name]) for field in MESSAGES)
    ]
    return pa.table(arrays, schema=MESSAGES)


def summary(plan: Plan, problem: PlanProblem) -> dict[str, Any]:
    """What the plan does and how good it is, as plain values: the same plan gives the same summary.

    Money is whole micros; budget prices are micros of value per micro beyond itself, to six decimals.
    """
    t = problem.terms
    usage, spend = plan.usage(problem), plan.spend_micros(problem)
    names = [ch.name for ch in t.channels]
    fatigue = fatigue_of(problem.audience, t.fatigue_growth, plan.shopper, numbers(problem, plan.shopper))
    return {
        "problem": plan.digest,
        "start_us": t.start_us,
        "currency": t.currency,
        "shoppers": len(problem),
        "shoppers_reached": len(np.unique(plan.shopper)),
        "messages": len(plan),
        "value_micros": round(float(plan.value_micros.sum())),
        "cost_micros": int(plan.cost_micros.sum()),
        "fatigue_micros": round(float(fatigue.sum())),
        "total_micros": round(plan.total_micros),
        "bound_micros": round(plan.bound_micros),
        "bound_gap": round(plan.bound_gap, 6),
        "shoppers_bounded_only": plan.unproven,
        "violations": violations(plan, problem),
        "alternatives": refusals(plan, problem),
        "channels": {
            name: {
                "messages": int(usage[k].sum()),
                "by_slot": usage[k].tolist(),
                "capacity": t.capacity[k].tolist(),
                "slot_price_micros": _whole(plan.prices.slot_micros[k]).tolist(),
            }
            for k, name in enumerate(names)
        },
        "campaigns": {
            name: {
                "spend_micros": int(spend[n]),
                "budget_micros": int(t.budget_micros[n]),
                "budget_price": round(float(plan.prices.budget[n]), 6),
            }
            for n, name in enumerate(t.campaigns)
        },
    }


@dataclass(frozen=True)
class Moved:
    """What a channel or a campaign has in two plans: messages and micros, (before, after)."""

    messages: tuple[int, int]
    cost_micros: tuple[int, int]
    value_micros: tuple[int, int]


@dataclass(frozen=True)
class PlanDiff:
    """Two plans side by side. Shoppers are counted once: same (the very same messages), changed, only_before,
    only_after. changes: a table of the messages that only one plan has, with "change" first, "removed" or "added"."""

    same: int
    changed: int
    only_before: int
    only_after: int
    channels: dict[str, Moved]
    campaigns: dict[str, Moved]
    changes: pa.Table


def diff(before: pa.Table, after: pa.Table) -> PlanDiff:
    """What changed from one table of messages to another. A message is the same if shopper, ad, channel and hour are.

    Refused: tables that are no plans (SchemaError), or in two currencies (MoneyError).
    """
    for table in (before, after):
        if not table.schema.equals(MESSAGES):
            names = ", ".join(MESSAGES.names)
            raise SchemaError(f"expected the columns {names}; got {', '.join(table.schema.names)}")
    money = {*before[c.CURRENCY].unique().to_pylist(), *after[c.CURRENCY].unique().to_pylist()}
    if len(money) > 1:
        raise MoneyError(f"expected plans in one currency, got {', '.join(sorted(money))}; convert before comparing")
    old, new = _keys(before), _keys(after)
    gone, come = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    touched = {key[0] for key in (*gone, *come)}
    was, now = {key[0] for key in old}, {key[0] for key in new}
    parts = ((before, [old[key] for key in gone]), (after, [new[key] for key in come]))
    rows = pa.concat_tables([table.take(pa.array(places, pa.int64())) for table, places in parts])
    label = pa.array(["removed"] * len(gone) + ["added"] * len(come), pa.string())
    return PlanDiff(
        same=len((was & now) - touched),
        changed=len(was & now & touched),
        only_before=len(was - now),
        only_after=len(now - was),
        channels=_moved(before, after, c.CHANNEL),
        campaigns=_moved(before, after, c.CAMPAIGN),
        changes=rows.add_column(0, "change", label).sort_by(
            [(c.SUBJECT, "ascending"), (SEND_FROM, "ascending"), ("change", "descending"), (AD, "ascending")]
        ),
    )


def _keys(table: pa.Table) -> dict[tuple[Any, ...], int]:
    parts = [table[c.SUBJECT], table[AD], table[c.CHANNEL], table[SEND_FROM].cast(pa.int64())]
    return {key: row for row, key in enumerate(zip(*(p.to_pylist() for p in parts), strict=True))}


def _moved(before: pa.Table, after: pa.Table, by: str) -> dict[str, Moved]:
    sums: list[tuple[Counter[str], Counter[str], Counter[str]]] = []
    for table in (before, after):
        count, cost, value = Counter[str](), Counter[str](), Counter[str]()
        parts = (table[name].to_pylist() for name in (by, COST_MICROS, VALUE_MICROS))
        for name, micros, worth in zip(*parts, strict=True):
            count[name] += 1
            cost[name] += micros
            value[name] += worth
        sums.append((count, cost, value))
    (n0, c0, v0), (n1, c1, v1) = sums
    return {k: Moved((n0[k], n1[k]), (c0[k], c1[k]), (v0[k], v1[k])) for k in sorted({*n0, *n1})}


def _whole(micros: np.ndarray) -> np.ndarray:
    answer: np.ndarray = np.rint(micros).astype(np.int64)
    return answer
