"""A small world whose true click and conversion probabilities are known: for tests, benches and tutorials.

It is no shopper model: its curves, interactions, ad effects, slots, selection and delay only have the shapes that
make real click logs hard, so that "close to the truth" can be measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.response.rows import Rows

NAMES = (
    "affinity", "category_fit", "brand_fit", "price_gap", "recency_days", "views_log", "basket_value", "novelty",
    "discount", "season", "seen_today", "weekend", "hour_sin", "hour_cos", "is_new", "popularity",
    *(f"idle_{i}" for i in range(9)),
)  # fmt: skip
EXAMINATION = (1.0, 0.6, 0.4)
_START_S = 1_700_000_000
_DAYS = 7
_WINDOW_S = 2 * SECONDS_PER_DAY


@dataclass(frozen=True)
class Practice:
    """Rows with the truth beside them, each float64 [R].

    pctr: in the first slot; pclick: in the row's own slot; pcvr: given a click. ads: the number of ads.
    """

    rows: Rows
    pctr: np.ndarray
    pclick: np.ndarray
    pcvr: np.ndarray
    ads: int


def practice(
    count: int,
    chance: Chance,
    ctr: float = 0.012,
    cvr: float = 0.04,
    ads: int = 200,
    curved: float = 1.0,
) -> Practice:
    """`count` rows over a week, in order of time; mean pctr and pcvr about `ctr` and `cvr`.

    `curved` scales everything that no straight line in the fields can follow (0 = a logistic world).
    """
    rng = chance.stream("practice")
    fields, ad, slot = _fields(count, ads, rng)
    pctr, pcvr = _truth(fields, ad, ads, rng, ctr, cvr, curved)
    pclick = pctr * np.asarray(EXAMINATION)[slot]
    clicked = rng.random(count) < pclick
    will_convert = clicked & (rng.random(count) < pcvr)
    time_s = _START_S + np.sort(rng.integers(0, _DAYS * SECONDS_PER_DAY, count))
    delay_s = rng.exponential(0.5 * SECONDS_PER_DAY, count)
    now_s = _START_S + _DAYS * SECONDS_PER_DAY
    mature = time_s + _WINDOW_S <= now_s
    converted = will_convert & (time_s + delay_s <= now_s)
    hidden = rng.random(count) < 0.1
    fields[hidden, NAMES.index("recency_days")] = np.nan
    propensity = rng.uniform(0.02, 0.6, count)
    rows = Rows(fields, NAMES, slot, ad, clicked, converted, mature, time_s, propensity)
    return Practice(rows, pctr, pclick, pcvr, ads)


def _fields(count: int, ads: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(fields float32 [R, F], ad [R], slot [R]); popular ads come often, good ones are shown higher up."""
    x = rng.normal(size=(count, len(NAMES)))
    at = NAMES.index
    share = rng.gamma(0.7, size=ads)
    ad = rng.choice(ads, size=count, p=share / share.sum())
    x[:, at("category_fit")] = 0.6 * x[:, at("affinity")] + 0.8 * x[:, at("category_fit")]
    x[:, at("recency_days")] = rng.exponential(10, count)
    x[:, at("views_log")] = np.log1p(rng.poisson(rng.gamma(0.5, 4, count)))
    x[:, at("basket_value")] = rng.lognormal(3, 1, count)
    x[:, at("discount")] = np.where(rng.random(count) < 0.3, rng.uniform(0.05, 0.5, count), 0)
    x[:, at("seen_today")] = rng.poisson(1.0, count)
    x[:, at("weekend")] = rng.random(count) < 2 / 7
    x[:, at("is_new")] = rng.random(count) < 0.1
    hour = rng.uniform(0, 2 * np.pi, count)
    x[:, at("hour_sin")], x[:, at("hour_cos")] = np.sin(hour), np.cos(hour)
    x[:, at("popularity")] = np.log(share[ad])
    order = x[:, at("affinity")] + rng.normal(size=count)
    slot = np.digitize(-order, [-0.3, 1.2])
    return x.astype(np.float32), ad.astype(np.int32), slot.astype(np.int8)


def _truth(
    fields: np.ndarray, ad: np.ndarray, ads: int, rng: np.random.Generator, ctr: float, cvr: float, curved: float
) -> tuple[np.ndarray, np.ndarray]:
    """(pctr, pcvr) of the first slot, each float64 [R]."""
    x = dict(zip(NAMES, fields.astype(np.float64).T, strict=True))
    gap, fit = x["price_gap"], x["category_fit"]
    straight = 0.55 * x["affinity"] + 0.35 * fit + 0.2 * x["brand_fit"] + 1.2 * x["discount"] + 0.15 * x["weekend"]
    bent = -0.3 * gap**2 + 0.35 * x["affinity"] * x["novelty"] - 0.5 * np.minimum(x["seen_today"], 2)
    bent += 0.3 * np.exp(-x["recency_days"] / 5) * (1 + fit) + 0.25 * x["hour_sin"] * x["weekend"]
    quality = rng.normal(0, 0.3, ads)[ad]
    click = straight + curved * bent + quality
    buy = 0.3 * x["affinity"] + 0.3 * np.log(x["basket_value"]) + 1.5 * x["discount"] - 0.2 * gap
    buy = buy + curved * (0.3 * x["is_new"] * fit - 0.15 * gap**2) + rng.normal(0, 0.2, ads)[ad]
    pctr = _logistic(click + _level(click, ctr))
    return pctr, _logistic(buy + _level(buy, cvr, pctr))


def _level(logit: np.ndarray, mean: float, weights: np.ndarray | None = None) -> float:
    """The constant that brings the (weighted) mean probability to `mean`, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.average(_logistic(logit + middle), weights=weights) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
