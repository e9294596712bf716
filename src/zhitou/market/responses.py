"""The e-mail channel: who visits, buys, and for how much when mailed, as a trial of 64,000 customers showed.

N = customers, A = arms. Hillstrom's trial (MineThatData, 2008): two mails and none, at random, two weeks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from sklearn.linear_model import LogisticRegression

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.sources.hillstrom import EmailTrial
from zhitou.market.fitted import Fitted

ARMS = ("none", "mens", "womens")
ZIPS = ("Rural", "Surburban", "Urban")  # as the file spells them
CHANNELS = ("Multichannel", "Phone", "Web")
MONTH_DAYS = 30.4
RECENCY_MONTHS_MOST = 12
INTERACTION_SCALE = 0.5  # effects that differ by customer are held to half the size of those that do not
CONVERSIONS_MIN = 50


@dataclass(frozen=True)
class Customers:
    """What is known of N customers. recency: months since the last purchase, 1 to 12. history_micros: spent in a
    year. mens, womens: bought such goods. newbie: new in a year. zip_code, channel: places in ZIPS and CHANNELS.
    """

    recency: np.ndarray
    history_micros: np.ndarray
    mens: np.ndarray
    womens: np.ndarray
    newbie: np.ndarray
    zip_code: np.ndarray
    channel: np.ndarray

    def __len__(self) -> int:
        return len(self.recency)

    @classmethod
    def of_trial(cls, trial: EmailTrial) -> Customers:
        """The customers of the trial."""
        column = dict(zip(trial.names, trial.known.T, strict=True))

        def place(name: str, words: tuple[str, ...]) -> np.ndarray:
            return sum(code * column[f"{name}={word}"] for code, word in enumerate(words) if code).astype(np.int64)

        return cls(
            recency=column["recency"].astype(np.int64),
            history_micros=np.rint(column["history"] * 1e6).astype(np.int64),
            mens=column["mens"] == 1,
            womens=column["womens"] == 1,
            newbie=column["newbie"] == 1,
            zip_code=place("zip_code", ZIPS),
            channel=place("channel", CHANNELS),
        )

    def table(self) -> np.ndarray:
        """float64 [N, 7]: the columns side by side, spending in whole units."""
        columns = [getattr(self, f.name) / (1e6 if f.name == "history_micros" else 1) for f in fields(self)]
        return np.stack(columns, axis=1).astype(np.float64)

    def take(self, rows: np.ndarray) -> Customers:
        """These customers."""
        return Customers(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Answers:
    """What N customers did. visited, converted: bool; spend_micros: int64, 0 without a conversion."""

    visited: np.ndarray
    converted: np.ndarray
    spend_micros: np.ndarray

    @classmethod
    def of_trial(cls, trial: EmailTrial) -> Answers:
        """What the customers of the trial did."""
        return cls(trial.visited, trial.bought, trial.spent_micros)

    def table(self) -> np.ndarray:
        """float64 [N, 3]: the columns side by side, spending in whole units."""
        return np.stack([self.visited, self.converted, self.spend_micros / 1e6], axis=1).astype(np.float64)

    def take(self, rows: np.ndarray) -> Answers:
        """These customers'."""
        return Answers(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class MailResponse:
    """visit, conversion: coefficients of `_design`, of a visit and of a conversion given one. spends_micros: the real
    spends of each arm's converted customers.
    """

    visit: np.ndarray
    conversion: np.ndarray
    spends_micros: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, customers: Customers, arm: np.ndarray, answers: Answers) -> MailResponse:
        """From a randomised trial. arm: int [N], place in ARMS.

        Two ridge logistic regressions: of a visit, and of a conversion among visitors, on the customer, the arm, and
        the arm's effect by customer. Refused (SourceError): an arm with too few conversions to draw spends from.
        """
        spends = tuple(answers.spend_micros[answers.converted & (arm == one)] for one in range(len(ARMS)))
        if least := [f"{name}: {len(s)}" for name, s in zip(ARMS, spends, strict=True) if len(s) < CONVERSIONS_MIN]:
            raise SourceError(f"expected {CONVERSIONS_MIN} conversions in each arm, got {', '.join(least)}")
        rows, seen = _design(customers, arm), answers.visited
        return cls(_logistic(rows, seen), _logistic(rows[seen], answers.converted[seen]), spends)

    def chances(self, customers: Customers, arm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(chance of a visit, of a conversion given one), float64 [N] each."""
        rows = _design(customers, arm)
        return _sigmoid(rows @ self.visit), _sigmoid(rows @ self.conversion)

    def answer(self, customers: Customers, arm: np.ndarray, draw: np.random.Generator) -> Answers:
        """What these customers do, each mailed by its arm (int [N])."""
        visit, conversion = self.chances(customers, arm)
        u = draw.random((3, len(customers)))
        visited = u[0] < visit
        converted = visited & (u[1] < conversion)
        spend = np.zeros(len(customers), dtype=np.int64)
        for one, real in enumerate(self.spends_micros):
            here = converted & (arm == one)
            spend[here] = real[(u[2][here] * len(real)).astype(np.int64)]
        return Answers(visited, converted, spend)


def customers_of(market: Fitted, like: Customers, end_s: int, chance: Chance) -> Customers:
    """The market's shoppers as customers of the trial: real recency and the rank of real spending.

    What a shop like this does not hold (goods for men or women, zip code, channel, newness) is that of a real
    customer of about the same recency and spending in `like`: assumed, and so is the scale of spending.
    """
    purchases, shoppers = market.purchases, len(market.subjects)
    last, spent = np.full(shoppers, np.iinfo(np.int64).min), np.zeros(shoppers)
    owner = purchases.subject_of_event
    np.maximum.at(last, owner, purchases.time_s)
    np.add.at(spent, owner, purchases.price_micros * purchases.quantity.astype(np.float64))
    months = np.clip(np.ceil((end_s - last.astype(np.float64)) / SECONDS_PER_DAY / MONTH_DAYS), 1, None)
    recency = np.minimum(months, RECENCY_MONTHS_MOST).astype(like.recency.dtype)
    draw = chance.stream("mail-customers")
    rank = np.empty(shoppers)
    rank[np.lexsort((draw.random(shoppers), spent))] = (np.arange(shoppers) + 0.5) / shoppers
    twin = np.empty(shoppers, dtype=np.int64)
    for month in np.unique(recency):
        nearest = np.abs(like.recency - month).min() == np.abs(like.recency - month)
        pool = np.flatnonzero(nearest)
        pool = pool[np.argsort(like.history_micros[pool], kind="stable")]
        here = recency == month
        twin[here] = pool[(rank[here] * len(pool)).astype(np.int64)]
    return replace(like.take(twin), recency=recency)


def _design(customers: Customers, arm: np.ndarray) -> np.ndarray:
    """float64 [N, columns]: 1, customer, arms, arm x customer (scaled down)."""
    months = (customers.recency - 6) / 4
    spent = np.log(np.maximum(customers.history_micros, 1_000_000) / 1e6) - 5
    parts = [months, months**2, spent, spent**2, customers.mens, customers.womens, customers.newbie]
    parts += [customers.mens * customers.womens]
    parts += [customers.zip_code == code for code in range(1, len(ZIPS))]
    parts += [customers.channel == code for code in range(1, len(CHANNELS))]
    who = np.stack(parts, axis=1).astype(np.float64)
    mailed = np.stack([arm == one for one in range(1, len(ARMS))], axis=1).astype(np.float64)
    by_who = (mailed[:, :, None] * who[:, None, :]).reshape(len(who), -1)
    return np.concatenate([np.ones((len(who), 1)), who, mailed, INTERACTION_SCALE * by_who], axis=1)


def _logistic(rows: np.ndarray, happened: np.ndarray) -> np.ndarray:
    return LogisticRegression(C=1.0, fit_intercept=False, max_iter=1_000).fit(rows, happened).coef_[0]


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logit))
