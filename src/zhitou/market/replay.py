"""Logged auctions held again under other settings: same requests, same luck of the draw, other money and caps.

B = requests, K = ads, S = slots, C = campaigns. What depends on settings is worked out anew: pacing, budgets, caps,
bids, slate and price. What does not is as logged: who asked when, what the models said, which other filters held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.strategy.auction import biddable, clear
from zhitou.strategy.caps import Exposure
from zhitou.strategy.exploration import slate
from zhitou.strategy.pacing import DualPacing
from zhitou.strategy.policies import Context, Policy

HOUR_US = 3_600 * MICROSECONDS
DAY_US = SECONDS_PER_DAY * MICROSECONDS
HOURS = 24


@dataclass(frozen=True)
class AuctionLog:
    """B requests in order of time.

    time_us: int64 [B]. shopper: int64 [B], 0, 1, ..., -1 = a stranger. allowed: bool [B, K], past every filter but
    budget, caps and the least price. worth_micros: float64 [B, K], bids before pacing. pctr: float64 [B, K], in the
    first slot. probability: float64 [B, K], as logged. eligible: bool [B, K], as logged. uniforms: float64 [B, S].
    shown: int32 [B, S], -1 = empty; seen, clicked: bool [B, S]; price_micros: int64 [B, S], of a click.
    score: float64 [B, K], as logged. reserve_micros: the least price.
    """

    time_us: np.ndarray
    shopper: np.ndarray
    allowed: np.ndarray
    eligible: np.ndarray
    worth_micros: np.ndarray
    pctr: np.ndarray
    score: np.ndarray
    probability: np.ndarray
    uniforms: np.ndarray
    shown: np.ndarray
    seen: np.ndarray
    clicked: np.ndarray
    price_micros: np.ndarray
    reserve_micros: int

    def __len__(self) -> int:
        return len(self.time_us)

    def take(self, rows: np.ndarray) -> AuctionLog:
        """These requests (bool [B], or places in rising order)."""
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "reserve_micros"}
        return replace(self, **columns)

    @property
    def slots(self) -> int:
        """S."""
        return int(self.shown.shape[1])

    def spend_micros(self) -> np.ndarray:
        """int64 [B, S]: what the clicks cost."""
        return np.where(self.clicked, self.price_micros, 0)


@dataclass(frozen=True)
class Change:
    """What is asked. campaign: its place in the book, None = every campaign. budget, bid: factors. cap_per_day: most
    impressions of the campaign for a shopper a day, None = as it is. rivals: a factor on the other campaigns' bids.

    Refused (ConfigError): factors that are not above zero, a negative cap, rivals of every campaign.
    """

    campaign: int | None = None
    budget: float = 1.0
    bid: float = 1.0
    cap_per_day: int | None = None
    rivals: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < factor < 1_000 for factor in (self.budget, self.bid, self.rivals)):
            raise ConfigError("budget, bid and rivals are factors above 0 and below 1,000; 1.2 means 20 % more")
        if self.cap_per_day is not None and self.cap_per_day < 0:
            raise ConfigError(f"a cap is 0 or more impressions a day, got {self.cap_per_day}")
        if self.campaign is None and self.rivals != 1.0:
            raise ConfigError("rivals are those of one campaign; name it")

    def of_campaigns(self, count: int) -> np.ndarray:
        """bool [C]: which campaigns are changed."""
        return np.arange(count) == self.campaign if self.campaign is not None else np.ones(count, dtype=bool)


@dataclass(frozen=True)
class Calibration:
    """Clicks over predicted clicks: by_slot float64 [S], its examination included; by_campaign float64 [C]."""

    by_slot: np.ndarray
    by_campaign: np.ndarray


@dataclass(frozen=True)
class Replayed:
    """The log held again. ad: int32 [B, S], -1 = empty. price_micros: int64 [B, S]. chance: float64 [B, S], of a
    click; paid: float64 [B, S], the share of a click's price that the budget still covered."""

    ad: np.ndarray
    price_micros: np.ndarray
    chance: np.ndarray
    paid: np.ndarray

    def spend_micros(self) -> np.ndarray:
        """float64 [B, S]: expected cost."""
        return self.chance * self.price_micros * self.paid


def replay(
    log: AuctionLog,
    book: AdBook,
    policy: Policy,
    calibration: Calibration,
    change: Change,
    *,
    traffic: tuple[float, ...] = (1 / HOURS,) * HOURS,
    budget_share: float = 1.0,
    spent_micros: np.ndarray | None = None,
) -> Replayed:
    """Hold the auctions again, hour by hour, every click counted by its chance.

    traffic: the forecast that pacing follows, share of a day by UTC hour. budget_share: the share of the shop's
    requests in the log, if it was thinned. spent_micros: float64 [C], spent of the total budgets before the log.
    """
    chosen = change.of_campaigns(len(book.campaigns))
    money = _Money(book, np.where(chosen, change.budget, 1.0) * budget_share, traffic, spent_micros)
    factor = np.where(chosen, change.bid, change.rivals)[book.campaign]
    caps, ad_caps = _caps(book, change, chosen)
    exposure = Exposure(book)
    shape = (len(log), log.slots)
    ads, prices = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.int64)
    chances, paid = np.zeros(shape), np.ones(shape)
    for number, rows in enumerate(_hours(log.time_us)):
        hour = log.take(rows)
        multiplier = money.begin(int(hour.time_us[0]))
        by_ad, by_campaign = exposure.seen(hour.shopper, hour.time_us)
        free = hour.allowed & (by_ad < ad_caps) & (by_campaign < caps)[:, book.campaign]
        free &= (money.left() > 0)[book.campaign]
        bids = np.floor(hour.worth_micros * factor * multiplier[book.campaign]).astype(np.int64)
        eligible = biddable(bids, free, log.reserve_micros)
        proposal = policy.propose(_context(hour, eligible, bids, book, number))
        order = slate(proposal.probabilities, hour.uniforms, book.campaign)[0]
        price = clear(proposal.score, order, hour.pctr, bids, eligible, log.reserve_micros, book.campaign)
        chance = _chance(hour.pctr, order, calibration, book)
        exposure.add(hour.shopper, order, hour.time_us)
        ads[rows], prices[rows], chances[rows] = order, price, chance
        paid[rows] = money.charge(order, chance * price)
    return Replayed(ads, prices, chances, paid)


def same_policy(log: AuctionLog, book: AdBook, policy: Policy, rows_max: int = 2_000) -> float:
    """Share of (evenly chosen) logged requests whose probabilities this policy gives again, from the logged scores.

    Below 1, the log is another policy's, or other settings', and a replay would answer about something else.
    """
    some = log.take(np.unique(np.linspace(0, len(log) - 1, min(len(log), rows_max)).astype(np.int64)))
    pctr = np.where(some.eligible, some.pctr, 0.0)
    bids = np.rint(np.divide(some.score, pctr, out=np.zeros_like(pctr), where=pctr > 0)).astype(np.int64)
    again = policy.propose(_context(some, some.eligible, bids, book, 0)).probabilities
    return float((np.abs(again - some.probability).max(axis=1) < 1e-6).mean())


def _context(log: AuctionLog, eligible: np.ndarray, bids: np.ndarray, book: AdBook, number: int) -> Context:
    chance = Chance(0)  # a replayed policy draws nothing of its own: the uniforms are logged
    return Context(eligible, log.pctr, bids, log.shopper, log.time_us, log.slots, chance, number, group=book.campaign)


def _chance(pctr: np.ndarray, order: np.ndarray, calibration: Calibration, book: AdBook) -> np.ndarray:
    at = np.maximum(order, 0)
    chance = np.take_along_axis(pctr, at, axis=1) * calibration.by_slot * calibration.by_campaign[book.campaign[at]]
    return np.where(order >= 0, np.minimum(chance, 1.0), 0.0)


def _caps(book: AdBook, change: Change, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(most impressions a shopper and day of each campaign [C], of each ad [K])."""
    campaigns = np.asarray([c.caps.campaign_per_day for c in book.campaigns])
    ads = np.asarray([c.caps.ad_per_day for c in book.campaigns])[book.campaign]
    if change.cap_per_day is not None:
        campaigns = np.where(chosen, change.cap_per_day, campaigns)
    return campaigns, ads


def _hours(time_us: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of each hour that has any."""
    yield from np.split(np.arange(len(time_us)), 1 + np.flatnonzero(np.diff(time_us // HOUR_US)))


class _Money:
    """Budgets and pacing of a replay. Money is expected money, so these are floats; nothing here is charged."""

    def __init__(
        self, book: AdBook, factor: np.ndarray, traffic: tuple[float, ...], spent_micros: np.ndarray | None
    ) -> None:
        flights = [c.flight for c in book.campaigns]
        self._daily = np.asarray([f.budget_micros_daily for f in flights]) * factor
        spent = np.zeros(len(flights)) if spent_micros is None else spent_micros
        self._total = np.maximum(np.asarray([f.budget_micros_total for f in flights]) * factor - spent, 0)
        self._today, self._hour_spend = np.zeros(len(flights)), np.zeros(len(flights))
        self._pacing = DualPacing(self._daily.astype(np.int64))
        self._campaign, self._traffic = book.campaign, traffic
        self._hour: int | None = None

    def begin(self, at_us: int) -> np.ndarray:
        """float64 [C]: the multipliers of the hour that begins, after the hours since the last one."""
        hour = at_us // HOUR_US
        if self._hour is None:
            self._pacing.update(np.zeros(len(self._daily), dtype=np.int64), sum(self._traffic[: hour % HOURS]))
            self._hour = hour
        for past in range(max(self._hour, hour - HOURS), hour):
            self._pacing.update(self._hour_spend.astype(np.int64), self._traffic[past % HOURS])
            self._hour_spend[:] = 0
        if hour // HOURS != self._hour // HOURS:
            self._today[:] = 0
        self._hour = hour
        return self._pacing.multiplier

    def left(self) -> np.ndarray:
        """float64 [C]: what each campaign may still spend today."""
        return np.maximum(np.minimum(self._daily - self._today, self._total), 0)

    def charge(self, order: np.ndarray, cost: np.ndarray) -> np.ndarray:
        """float64, like cost: the share of each slot's expected cost that its campaign could still pay."""
        shown, of = order >= 0, self._campaign[np.maximum(order, 0)]
        due = np.bincount(of[shown], cost[shown], minlength=len(self._daily)).astype(np.float64)
        share = np.divide(np.minimum(due, self.left()), due, out=np.ones_like(due), where=due > 0)
        spent = due * share
        self._today += spent
        self._total = np.maximum(self._total - spent, 0)
        self._hour_spend += spent
        return np.where(shown, share[of], 1.0)
