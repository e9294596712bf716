"""All of a world that does not depend on what is shown: visits, uniforms, true tastes, drift, own shopping.

H = shoppers, K = ads, C = distinct types of the ads, G = drift groups, V = visits, T = ticks of an hour,
D = days, O = lines that shoppers buy on their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.market.appeal import Appeal, draw_appeal
from zhitou.market.fitted import Fitted
from zhitou.market.habits import HOUR_S, HOURS, due_effect, hour_of_week
from zhitou.market.shelf import draw_lines

DRAWS = 5  # uniforms of one (visit, slot): click, click delay, conversion, conversion delay, quantity
HOURS_PER_DAY = 24


@dataclass(frozen=True)
class Visits:
    """Visits in order of tick and time. offsets: int64 [T + 1]. subject, time_s: int64 [V].

    uniform: float32 [V, slots_max, DRAWS]; row v is the same for a seed whatever is shown before.
    """

    offsets: np.ndarray
    subject: np.ndarray
    time_s: np.ndarray
    uniform: np.ndarray


@dataclass(frozen=True)
class OwnLines:
    """Lines bought without an ad, in order of tick and time. offsets: int64 [T + 1]; the rest [O].

    order numbers the baskets; column: type as one of the C, -1 if no ad is of that type; uniform decides
    whether an ad's sale takes the line's place.
    """

    offsets: np.ndarray
    subject: np.ndarray
    item: np.ndarray
    time_s: np.ndarray
    price_micros: np.ndarray
    quantity: np.ndarray
    order: np.ndarray
    column: np.ndarray
    uniform: np.ndarray


@dataclass(frozen=True)
class Plan:
    """One seed's world before anything is shown."""

    market: Fitted
    book: AdBook
    start_s: int
    days: int
    visits: Visits
    appeal: Appeal
    own: OwnLines


def draw_plan(market: Fitted, book: AdBook, chance: Chance, start_s: int, days: int) -> Plan:
    """The draws of this seed. Refused (ConfigError): no ad, no day, a start that is no whole hour."""
    if len(book) == 0 or days < 1 or start_s % HOUR_S:
        raise ConfigError(
            f"a world needs ads, days and a start on the hour; got {len(book)} ads, {days} days, {start_s} s"
        )
    visits = _visits(market, chance, start_s, days)
    appeal = draw_appeal(market, book, chance, start_s, days)
    return Plan(market, book, start_s, days, visits, appeal, _own_lines(market, appeal, chance, start_s, days))


def _visits(market: Fitted, chance: Chance, start_s: int, days: int) -> Visits:
    """Poisson visits: a shopper comes as the square root of how often it buys, at the hours it buys."""
    wish = np.sqrt(market.habits.basket_rate)
    daily = market.config.visits_per_week / 7 * wish / wish.mean()
    subject, time_s, offsets = _arrivals(market, daily, chance, "market-visits", start_s, days)
    draw = chance.stream("market-uniforms")
    uniform = draw.random((len(subject), market.config.slots_max, DRAWS), dtype=np.float32)
    return Visits(offsets, subject, time_s, uniform)


def _arrivals(
    market: Fitted, daily: np.ndarray, chance: Chance, purpose: str, start_s: int, days: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(subject, time_s, offsets by tick) of Poisson arrivals at `daily` [H] a day, spread over each own week."""
    subjects, times = [], []
    for day in range(days):
        draw = chance.stream(purpose, day)
        ticks = start_s // HOUR_S + day * HOURS_PER_DAY + np.arange(HOURS_PER_DAY)
        rate = 7 * daily[:, None] * market.habits.hours[:, hour_of_week(ticks * HOUR_S)]
        who, hour = np.nonzero(count := draw.poisson(rate))
        who, hour = np.repeat(who, count[who, hour]), np.repeat(hour, count[who, hour])
        at = ticks[hour] * HOUR_S + draw.integers(0, HOUR_S, len(who))
        sort = np.lexsort((who, at))
        subjects.append(who[sort])
        times.append(at[sort])
    time_s = np.concatenate(times)
    edges = start_s + HOUR_S * np.arange(days * HOURS_PER_DAY + 1)
    return np.concatenate(subjects), time_s, np.searchsorted(time_s, edges)


def _own_lines(market: Fitted, appeal: Appeal, chance: Chance, start_s: int, days: int) -> OwnLines:
    """Baskets at the household's own rate and size. Of two candidate lines the more wanted one tends to win.

    Wanted: exp(drift + trend + repeat clock), so that what moves clicks is visible in behaviour too.
    """
    subject, time_s, _ = _arrivals(market, market.habits.basket_rate, chance, "market-baskets", start_s, days)
    draw = chance.stream("market-lines")
    habits, shelf = market.habits, market.shelf
    baskets = np.diff(habits.basket_offsets)[subject]
    subject, time_s, baskets = subject[baskets > 0], time_s[baskets > 0], baskets[baskets > 0]
    pick = habits.basket_offsets[subject] + (draw.random(len(subject)) * baskets).astype(np.int64)
    order = np.repeat(np.arange(len(subject)), habits.basket_sizes[pick])
    subject, time_s = subject[order], time_s[order]
    item = _more_wanted(market, appeal, subject, time_s, (time_s - start_s) // SECONDS_PER_DAY, draw)
    sale = shelf.sale_of(item, draw.random(len(item)))
    lines = OwnLines(
        offsets=np.searchsorted(time_s, start_s + HOUR_S * np.arange(days * HOURS_PER_DAY + 1)),
        subject=subject,
        item=item,
        time_s=time_s,
        price_micros=market.purchases.price_micros[sale],
        quantity=market.purchases.quantity[sale],
        order=order,
        column=appeal.column_of_type[market.type_of_item[item]],
        uniform=draw.random(len(item)),
    )
    return replace(lines, item=lines.item.astype(np.int32))


def _more_wanted(
    market: Fitted,
    appeal: Appeal,
    subject: np.ndarray,
    time_s: np.ndarray,
    day: np.ndarray,
    draw: np.random.Generator,
) -> np.ndarray:
    """int32 [N]: the item of each line, of two candidates drawn from the household's tastes."""
    items, wants = [], []
    for _ in range(2):
        item = draw_lines(market.shelf, market.tastes, market.type_of_item, subject, draw)
        column = appeal.column_of_type[market.type_of_item[item]]
        known = column >= 0
        want = np.zeros(len(item))
        rows, cols = subject[known], column[known]
        since = time_s[known] / SECONDS_PER_DAY - appeal.last_days[rows, cols]
        want[known] = (
            appeal.drift[day[known], rows, appeal.group_of_column[cols]]
            + appeal.trend[day[known], cols]
            + due_effect(market.habits, since, appeal.interval_days[rows, cols])
        )
        items.append(item)
        wants.append(want)
    first = draw.random(len(subject)) < 1 / (1 + np.exp(wants[1] - wants[0]))
    return np.where(first, items[0], items[1])


assert HOURS == 7 * HOURS_PER_DAY
