"""A day of ten million impressions in one process: how long does the closed loop take, and does it hold its promises?

    python bench/day.py [--quick] [--threads 2] [--seed 1]

200 campaigns, half of whose budgets bind, 6 channels, 400,000 shoppers, 288 stretches of five minutes. In each:
filters with caps, consent and quiet hours; bids paced; pCTR; inverse-gap exploration; second prices; clicks charged
to the ledger. Each hour the events that came back, some of them twice, are joined; every six hours the model is
learnt anew, conversions still to come reckoned in, and swapped. Prints a line an hour and, last, one JSON line with
`day_s` (wall), `day_cpu_s`, `peak_gib`, `overspend_micros`, and how well the day's predictions held.
"""

from __future__ import annotations

import argparse
import resource
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from day_crowd import HOURS, Crowd
from day_desk import Desk, campaigns
from day_feedback import Batch, joined, refreshed
from lines import last_line

from zhitou.campaign.campaign import CHANNELS
from zhitou.core.chance import Chance
from zhitou.core.units import MICROSECONDS
from zhitou.evaluation.classification import normalised_entropy
from zhitou.feedback.join import NEVER
from zhitou.response.delay import Clicks

CAMPAIGNS, SHOPPERS, REQUESTS = 200, 400_000, 13_000_000
STRETCHES_AN_HOUR, HOUR_US = 12, 3_600 * MICROSECONDS
REFRESH_HOURS = (6, 12, 18)
DAY_US = 20_000 * 24 * HOUR_US  # a midnight


@dataclass
class Day:
    """What the day left: shown rows and joined clicks by hour, and the seconds that each part took."""

    shown: list[Batch] = field(default_factory=list)
    clicked: list[Future[np.ndarray]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    refreshes: int = 0


def main() -> None:
    """Run the day and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the requests and shoppers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    scale = 20 if asked.quick else 1
    chance = Chance(asked.seed)
    crowd = Crowd(chance, SHOPPERS // scale, CAMPAIGNS, len(CHANNELS))
    orders = campaigns(chance, CAMPAIGNS, REQUESTS // scale, DAY_US)
    _play(chance.child("warm"), crowd, orders, 48_000, asked.threads)  # compiles what is compiled on first use
    wall, cpu = time.perf_counter(), time.process_time()
    desk, day = _play(chance, crowd, orders, REQUESTS // scale, asked.threads, talk=True)
    seconds = {"day_s": time.perf_counter() - wall, "day_cpu_s": time.process_time() - cpu}
    figures = _figures(desk, day) | {name: round(value, 2) for name, value in (seconds | day.seconds).items()}
    figures |= {"quick": asked.quick, "seed": asked.seed, "threads": asked.threads, "channels": len(CHANNELS)}
    last_line("day", figures)


def _play(
    chance: Chance, crowd: Crowd, orders: tuple, requests: int, threads: int, talk: bool = False
) -> tuple[Desk, Day]:
    """The day hour by hour; an hour's feedback is joined beside the next hour's decisions."""
    desk, day = Desk(crowd, chance, orders, threads), Day()
    plan = np.repeat(HOURS / HOURS.sum() / STRETCHES_AN_HOUR, STRETCHES_AN_HOUR)
    ends = np.round(np.cumsum(plan) * requests).astype(np.int64)
    with ThreadPoolExecutor(1) as beside:
        for hour in range(24):
            if hour in REFRESH_HOURS:
                _timed(day, "refresh_s", lambda hour=hour: _refresh(desk, day, DAY_US + hour * HOUR_US, chance))
            parts = _timed(day, "decide_s", lambda hour=hour: _hour(desk, crowd, hour, ends, plan))
            batch = Batch.join(parts)
            day.shown.append(batch)
            now_us = DAY_US + (hour + 1) * HOUR_US
            day.clicked.append(beside.submit(_joined, batch, now_us, chance.stream("day-twice", hour)))
            if talk:
                rate = batch.clicked.mean()
                print(f"{hour:2d}:00 {len(batch):>9,} shown, {rate:.3%} clicked, predicted {batch.pctr.mean():.3%}")
        _timed(day, "wait_s", lambda: [done.result() for done in day.clicked])
    return desk, day


def _hour(desk: Desk, crowd: Crowd, hour: int, ends: np.ndarray, plan: np.ndarray) -> list[Batch]:
    """Decide, show and charge the hour's stretches; the shown rows of each."""
    parts = []
    for stretch in range(hour * STRETCHES_AN_HOUR, (hour + 1) * STRETCHES_AN_HOUR):
        first = int(ends[stretch - 1]) if stretch else 0
        at_us = DAY_US + stretch * HOUR_US // STRETCHES_AN_HOUR
        shopper, channel = crowd.requests(stretch, int(ends[stretch]) - first)
        decided = desk.decide(first, shopper, channel, at_us, hour)
        answers = crowd.answer(first, shopper, decided.ad, channel, hour, decided.seen)
        desk.charge(first, decided, answers.clicked, at_us, float(plan[stretch]))
        rows = np.flatnonzero(decided.ad >= 0)
        ad = decided.ad[rows]
        taste = np.einsum("nd,nd->n", crowd.told[shopper[rows]], crowd.theme[ad])
        parts.append(
            Batch(
                number=first + rows,
                shopper=shopper[rows].astype(np.int32),
                ad=ad.astype(np.int16),
                channel=channel[rows],
                seen=decided.seen[rows],
                taste=taste.astype(np.float32),
                pctr=decided.pctr[rows].astype(np.float32),
                propensity=decided.propensity[rows].astype(np.float32),
                time_us=np.full(len(rows), at_us),
                clicked=answers.clicked[rows],
                bought=answers.bought[rows],
                wait_s=answers.wait_s[rows].astype(np.float32),
            )
        )
    return parts


def _joined(batch: Batch, now_us: int, rng: np.random.Generator) -> np.ndarray:
    """bool [R]: which rows were clicked, by the events that arrived."""
    return joined(batch, now_us, rng).clicked


def _refresh(desk: Desk, day: Day, now_us: int, chance: Chance) -> None:
    """Learn anew from all hours that are closed, and swap."""
    clicked = [done.result() for done in day.clicked]
    clicks = Batch.join([batch.select(np.flatnonzero(x)) for batch, x in zip(day.shown, clicked, strict=True)])
    known = joined(clicks, now_us, chance.stream("day-twice", "clicks", now_us))
    bought_s = np.where(known.conversion_time_us == NEVER, np.nan, known.conversion_time_us / MICROSECONDS)
    late = Clicks.known_at(now_us / MICROSECONDS, known.click_time_us / MICROSECONDS, bought_s)
    desk.model = refreshed(desk.model, day.shown, clicked, late, clicks.ad, chance.child(f"refresh-{now_us}"))
    day.refreshes += 1


def _figures(desk: Desk, day: Day) -> dict[str, object]:
    """What the day's promises came to."""
    clicked = [done.result() for done in day.clicked]
    after = range(REFRESH_HOURS[-1], 24)
    truth, told = (np.concatenate([x[h] for h in after]) for x in (clicked, [b.pctr for b in day.shown]))
    first = range(REFRESH_HOURS[0])
    spent, budget = desk.ledger.spent_micros(), [c.flight.budget_micros_daily for c in desk.book.campaigns]
    bound = spent > 0.5 * np.asarray(budget)
    return {
        "impressions": sum(map(len, day.shown)),
        "clicks": int(sum(map(np.count_nonzero, clicked))),
        "clicks_lost_in_the_join": int(sum((b.clicked != x).sum() for b, x in zip(day.shown, clicked, strict=True))),
        "conversions_in_time": int(sum(b.bought.sum() for b in day.shown)),
        "refreshes": day.refreshes,
        "overspend_micros": int(np.maximum(spent - budget, 0).sum()),
        "over_delivered_share": round(float(desk.ledger.over_delivered_micros().sum() / spent.sum()), 5),
        "spent_of_binding_budgets": round(float((spent / budget)[bound].mean()), 4),
        "ctr_before_refresh": round(float(np.concatenate([clicked[h] for h in first]).mean()), 5),
        "ctr_after_last_refresh": round(float(truth.mean()), 5),
        "calibration_ratio_after": round(float(told.sum() / truth.sum()), 4),
        "ne_after": round(normalised_entropy(truth, told.astype(np.float64)).value, 4),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def _timed(day: Day, name: str, work):  # type: ignore[no-untyped-def]
    start = time.perf_counter()
    answer = work()
    day.seconds[name] = day.seconds.get(name, 0.0) + time.perf_counter() - start
    return answer


if __name__ == "__main__":
    main()
