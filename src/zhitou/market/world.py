"""One seed's world, hour by hour: who comes, what they would do, what they did.

B = visits of a tick, S = slots, K = ads, H = shoppers, C = distinct types of the ads, N = lines.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import PURCHASE
from zhitou.market.habits import HOUR_S, due_effect
from zhitou.market.plan import HOURS_PER_DAY, Plan

CLICK, CLICK_DELAY, CONVERT, CONVERT_DELAY, PIECES = range(5)
CLICK_SECONDS_MEAN = 10.0
NEVER = -1


@dataclass(frozen=True)
class Tick:
    """One hour's visits, in order of time. subjects: rows of market.subjects; visit: running number. int64 [B]."""

    number: int
    start_s: int
    subjects: np.ndarray
    time_s: np.ndarray
    visit: np.ndarray


@dataclass(frozen=True)
class Outcomes:
    """What the shown ads brought, all [B, S]. Times are Unix seconds, -1 = never; a conversion may come after the
    last tick. value_micros is price x pieces of the conversion, else 0.

    click_chance, conversion_chance (given a click): the truth behind the draws, 0 where nothing was shown; their
    sums are the noise-free counterparts of clicks and conversions. The slot's examination is in click_chance.
    """

    clicked: np.ndarray
    click_time_s: np.ndarray
    converted: np.ndarray
    conversion_time_s: np.ndarray
    value_micros: np.ndarray
    click_chance: np.ndarray
    conversion_chance: np.ndarray


@dataclass(frozen=True)
class Organic:
    """Lines that shoppers bought on their own, in order of time, all [N]. kind is a code of events.schema.KINDS;
    order numbers the baskets of this world.
    """

    subjects: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    time_s: np.ndarray
    price_micros: np.ndarray
    quantity: np.ndarray
    order: np.ndarray


class World:
    """Shoppers who answer. Its state moves only by what is shown and bought in it; time runs once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        config, shoppers = plan.market.config, len(plan.market.subjects)
        self.examination = np.asarray(config.examination)
        self._last_days = plan.appeal.last_days.copy()
        self._ad_bought_days = np.full(self._last_days.shape, -np.inf)
        self._seen = np.zeros((shoppers, len(plan.book)), dtype=np.float32)  # decayed exposures
        self._seen_days = np.full(shoppers, plan.start_s / SECONDS_PER_DAY)
        self._coming: list[tuple[float, int, int]] = []  # (day, shopper, column) of sales still to come
        self._next = 0
        self._last: Tick | None = None

    def ticks(self) -> Iterator[Tick]:
        """The hours that are left, in order; go on with another call. What shoppers buy in an hour is known to the
        world from the next hour on."""
        visits = self.plan.visits
        while self._next < len(visits.offsets) - 1:
            self._absorb_last()
            number, self._next = self._next, self._next + 1
            span = slice(visits.offsets[number], visits.offsets[number + 1])
            start_s = self.plan.start_s + number * HOUR_S
            self._sell_until(start_s / SECONDS_PER_DAY)
            self._last = Tick(
                number, start_s, visits.subject[span], visits.time_s[span], np.arange(span.start, span.stop)
            )
            yield self._last

    def fork(self) -> World:
        """The same world, on its own from here: to let another policy go on from the same morning."""
        twin = copy.copy(self)
        for name in ("_last_days", "_ad_bought_days", "_seen", "_seen_days", "_coming"):
            setattr(twin, name, getattr(self, name).copy())
        return twin

    def _absorb_last(self) -> None:
        """What was bought in the last hour becomes part of the shoppers' state."""
        if self._last is None:
            return
        bought = self.organic(self._last)
        column = self._column(bought.item)
        known = column >= 0
        at = (bought.subjects[known], column[known])
        self._last_days[at] = np.fmax(self._last_days[at], bought.time_s[known] / SECONDS_PER_DAY)
        self._last = None

    def truth(self, tick: Tick) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [B, K]: chance of a click in the first slot, and of a conversion given it."""
        return self._chances(tick, np.arange(len(self.plan.book))[None, :])

    def respond(self, tick: Tick, shown: np.ndarray) -> Outcomes:
        """What the visitors of this tick do with `shown`, int [B, S] ads, -1 = empty. Call it once a tick.

        Refused: more slots than have an examination, numbers that are no ad.
        """
        shown = np.asarray(shown)
        visitors, slots = shown.shape
        assert visitors == len(tick.subjects), "one row of ads for each visit"
        assert slots <= len(self.examination), f"this market looks at {len(self.examination)} slots"
        assert ((shown >= -1) & (shown < len(self.plan.book))).all(), "an ad is its place in the book, or -1"
        pctr, pcvr = self._chances(tick, np.maximum(shown, 0))
        pctr = np.where(shown >= 0, pctr * self.examination[:slots], 0.0)
        pcvr = np.where(shown >= 0, pcvr, 0.0)
        u = self.plan.visits.uniform[tick.visit, :slots].astype(np.float64)
        clicked = u[..., CLICK] < pctr
        converted = clicked & (u[..., CONVERT] < pcvr)
        click_s = tick.time_s[:, None] + 1 + (-np.log1p(-u[..., CLICK_DELAY]) * CLICK_SECONDS_MEAN).astype(np.int64)
        sale_s = click_s + self._delay_s(u[..., CONVERT_DELAY])
        value = self._value(np.maximum(shown, 0), u[..., PIECES])
        self._remember(tick, shown, converted, sale_s)
        return Outcomes(
            clicked=clicked,
            click_time_s=np.where(clicked, click_s, NEVER),
            converted=converted,
            conversion_time_s=np.where(converted, sale_s, NEVER),
            value_micros=np.where(converted, value, 0),
            click_chance=pctr,
            conversion_chance=pcvr,
        )

    def organic(self, tick: Tick) -> Organic:
        """What shoppers buy in this tick without an ad, less what ads sold them shortly before."""
        own = self.plan.own
        span = slice(own.offsets[tick.number], own.offsets[tick.number + 1])
        subject, column = own.subject[span], own.column[span]
        known = np.maximum(column, 0)
        since = own.time_s[span] / SECONDS_PER_DAY - self._ad_bought_days[subject, known]
        fresh = (column >= 0) & (since < self.plan.appeal.interval_days[subject, known])
        keep = ~(fresh & (own.uniform[span] < self.plan.market.config.displacement))
        return Organic(
            subjects=subject[keep],
            item=own.item[span][keep],
            kind=np.full(int(keep.sum()), PURCHASE, dtype=np.int8),
            time_s=own.time_s[span][keep],
            price_micros=own.price_micros[span][keep],
            quantity=own.quantity[span][keep],
            order=own.order[span][keep],
        )

    def _chances(self, tick: Tick, ads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr) of ads [1, K] for everyone or [B, S] for each, in the first slot."""
        plan, config, row = self.plan, self.plan.market.config, tick.subjects
        appeal, day = plan.appeal, tick.number // HOURS_PER_DAY
        column = appeal.column[ads]
        here = np.arange(len(row))[:, None]
        now_days = tick.time_s / SECONDS_PER_DAY
        due = due_effect(
            plan.market.habits, now_days[:, None] - self._last_days[row], appeal.interval_days[row]
        ).astype(np.float32)
        wish = config.due_weight * due + appeal.drift[day, row][:, appeal.group_of_column]
        wish += appeal.trend[day] + appeal.hour[tick.start_s // HOUR_S % HOURS_PER_DAY]
        fade = np.exp((self._seen_days[row] - now_days) / config.fatigue_days).astype(np.float32)[:, None]
        seen = np.log1p(self._seen[row[:, None], ads] * fade)
        click = appeal.click[row[:, None], ads] + wish[here, column] - config.fatigue_weight * seen
        buying = appeal.conversion[row[:, None], ads]
        return _sigmoid(click), _sigmoid(buying)

    def _delay_s(self, uniform: np.ndarray) -> np.ndarray:
        """int64: seconds from click to sale; some at once, the others as earlier campaigns were answered."""
        config, share = self.plan.market.config, self.plan.market.config.at_once_share
        at_once = uniform < share
        quick = -np.log1p(-np.where(at_once, uniform / share, 0)) * config.at_once_minutes * 60
        rest = np.where(at_once, 0, (uniform - share) / (1 - share))
        slow = self.plan.market.redemption.delay_days(rest) * SECONDS_PER_DAY
        return 30 + np.where(at_once, quick, slow).astype(np.int64)

    def _value(self, ads: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64 micros: the ad's price times the pieces of a real sale of its item."""
        market = self.plan.market
        sale = market.shelf.sale_of(self.plan.book.item[ads], uniform)
        pieces = np.where(sale >= 0, market.purchases.quantity[sale], 1)
        return self.plan.appeal.price_micros[ads] * np.maximum(pieces, 1)

    def _remember(self, tick: Tick, shown: np.ndarray, converted: np.ndarray, sale_s: np.ndarray) -> None:
        """Exposures tire; sales to come wait until their time."""
        rows, slots = np.nonzero(shown >= 0)
        subject, now_days = tick.subjects, tick.time_s / SECONDS_PER_DAY
        who = np.unique(subject)
        latest = np.zeros(len(who))
        np.maximum.at(latest, np.searchsorted(who, subject), now_days)
        fade = np.exp((self._seen_days[who] - latest) / self.plan.market.config.fatigue_days)
        self._seen[who] *= fade.astype(np.float32)[:, None]
        self._seen_days[who] = latest
        np.add.at(self._seen, (subject[rows], shown[rows, slots]), self.examination[slots].astype(np.float32))
        for row, slot in zip(*np.nonzero(converted), strict=True):
            column = int(self.plan.appeal.column[shown[row, slot]])
            heapq.heappush(self._coming, (sale_s[row, slot] / SECONDS_PER_DAY, int(subject[row]), column))

    def _sell_until(self, day: float) -> None:
        while self._coming and self._coming[0][0] <= day:
            at, subject, column = heapq.heappop(self._coming)
            self._last_days[subject, column] = np.fmax(self._last_days[subject, column], at)
            self._ad_bought_days[subject, column] = at

    def _column(self, item: np.ndarray) -> np.ndarray:
        return self.plan.appeal.column_of_type[self.plan.market.type_of_item[item]]


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
