"""How much each ad truly appeals to each shopper: the part that behaviour shows, and the part it does not.

H = shoppers, K = ads, C = distinct types of the ads, G = drift groups (categories of the second level), D = days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.table import UNKNOWN
from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.market.fitted import Fitted
from zhitou.market.habits import due_effect

HOURS_PER_DAY = 24
BRAND_PSEUDO_LINES = 3.0
RARE = 1e-3  # a level at which the logit and the log of a chance move together


@dataclass(frozen=True)
class Appeal:
    """click, conversion: float32 [H, K], logits without the parts that move. taste: float32 [H, K], what of the
    click's logit own lines of the type explain. column: int64 [K], the ad's type among the C.

    column_of_type: int64 [T], -1 for types without an ad. group_of_column: int64 [C].
    drift: float32 [D, H, G]. trend: float32 [D, C]. hour: float32 [24, C]. last_days, interval_days: [H, C].
    price_micros: int64 [K], what a conversion pays for a piece.
    """

    click: np.ndarray
    conversion: np.ndarray
    taste: np.ndarray
    column: np.ndarray
    column_of_type: np.ndarray
    group_of_column: np.ndarray
    drift: np.ndarray
    trend: np.ndarray
    hour: np.ndarray
    last_days: np.ndarray
    interval_days: np.ndarray
    price_micros: np.ndarray


def draw_appeal(market: Fitted, book: AdBook, chance: Chance, start_s: int, days: int) -> Appeal:
    """This seed's truth. The mean click chance over shoppers (by visits), ads and slots is config.click_rate."""
    config = market.config
    types, column = np.unique(market.type_of_item[book.item], return_inverse=True)
    column_of_type = np.full(market.tastes.counts.shape[1], -1, dtype=np.int64)
    column_of_type[types] = np.arange(len(types))
    group, groups = _groups(market, book, column, len(types))
    draw = chance.stream("market-drift")
    taste = config.taste_weight * _true_taste(market, types, chance.stream("market-taste"))[:, column]
    seen = taste + _visible(market, book, types[column])
    hidden = _hidden(market, book, chance)
    last, interval = market.habits.clocks(types)
    drift = _walk(draw, days, (len(market.subjects), groups), config.drift_sd, config.drift_memory)
    due = due_effect(market.habits, start_s / SECONDS_PER_DAY - last, interval)
    moving = drift[0][:, group[column]] + config.due_weight * due[:, column]
    weight = np.sqrt(market.habits.basket_rate)
    weight = (weight / weight.sum())[:, None] / len(book)
    click = seen + hidden
    if config.ad_spread is not None:
        click += _respread(click + moving, weight, config.ad_spread)
    click += _level(click + moving, weight, config.click_rate / float(np.mean(config.examination)))
    noise = config.conversion_sd * chance.stream("market-conversion").standard_normal(len(book))
    buying = config.conversion_taste_share * taste + noise
    buying = buying + (1 - config.deal_weight) * _deal(market, book)
    buying = buying + _level(buying, weight * expit(click + moving), market.redemption.rate)
    return Appeal(
        click=click.astype(np.float32),
        conversion=buying.astype(np.float32),
        taste=taste.astype(np.float32),
        column=column,
        column_of_type=column_of_type,
        group_of_column=group,
        drift=drift,
        trend=_walk(chance.stream("market-trend"), days, (len(types),), config.trend_sd, config.drift_memory),
        hour=(config.hour_sd * _hours(chance.stream("market-hour"), len(types))).astype(np.float32),
        last_days=last,
        interval_days=interval,
        price_micros=_paid(market, book),
    )


def _respread(logit: np.ndarray, weight: np.ndarray, spread: float) -> np.ndarray:
    """float64 [K]: what to add to each ad's logits so that the ads' mean chances are lognormal, their order kept.

    Their logs become the quantiles of a normal law with deviation `spread`, as the click rates of real items were
    fitted (bandit_fit). Clicks are rare, so a shift of the logit is a shift of the log of the chance.
    """
    base = _level(logit, weight, RARE)
    of_shoppers = weight[:, :1] / weight[:, :1].sum()
    mean = np.log((of_shoppers * expit(logit + base)).sum(axis=0))
    ads = len(mean)
    rank = np.empty(ads)
    rank[np.argsort(mean, kind="stable")] = np.arange(ads)
    return spread * ndtri((rank + 0.5) / ads) - (mean - mean.mean())


def _true_taste(market: Fitted, types: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """float64 [H, C]: log((N q + A s) / ((N + A) s)) of a share q drawn from what the lines leave possible.

    s is everybody's share, N the lines of an average household, A the concentration: the scale on which the
    answer to real coupons was measured (config.taste_weight), which levels off where a type is never bought.
    """
    parameters, total = market.tastes.pseudo_lines(types)
    share, pseudo = market.tastes.share[types], market.tastes.concentration
    lines = float(total.mean()) - pseudo
    drawn = draw.standard_gamma(parameters) / total[:, None]
    ratio = np.log((lines * drawn + pseudo * share) / ((lines + pseudo) * share))
    return np.clip(ratio, -market.config.taste_clip, market.config.taste_clip)


def _visible(market: Fitted, book: AdBook, kind: np.ndarray) -> np.ndarray:
    """float64 [H, K]: popularity of the type, own brand, own item, price fit and the deal on offer."""
    config, prices = market.config, market.prices
    share = np.log(market.tastes.share[kind])
    popularity = config.popularity_weight * (share - share.mean())
    paid = _paid(market, book).astype(float)
    level = np.log(np.maximum(paid, 1) / np.where(np.isnan(prices.type_price[kind]), paid, prices.type_price[kind]))
    misfit = np.abs(np.clip(level, -2, 2)[None, :] - prices.level[:, None])
    own_item = np.log1p(_own_lines(market, book.item))
    brand = _brand(market, book)
    return (
        popularity[None, :]
        + config.brand_weight * brand
        + config.own_item_weight * own_item
        - config.price_fit_weight * misfit
        + config.deal_weight * _deal(market, book)[None, :]
    )


def _hidden(market: Fitted, book: AdBook, chance: Chance) -> np.ndarray:
    """float64 [H, K]: what no behaviour shows; the ad's own pull, and each shopper's whims by item and brand."""
    config, shoppers = market.config, len(market.subjects)
    brands, brand = np.unique(market.items.brand[book.item], return_inverse=True)
    items, item = np.unique(book.item, return_inverse=True)
    pull = config.ad_sd * chance.stream("market-ad").standard_normal(len(book))
    by_item = chance.stream("market-item").standard_normal((shoppers, len(items)), dtype=np.float32)
    by_brand = chance.stream("market-brand").standard_normal((shoppers, len(brands)), dtype=np.float32)
    return pull + config.item_sd * by_item[:, item] + config.brand_sd * by_brand[:, brand]


def _deal(market: Fitted, book: AdBook) -> np.ndarray:
    """float64 [K]: elasticity x log(the ad's price / the price usually paid); 0 where either is unknown."""
    usual = market.prices.item_price[book.item]
    known = (book.price_micros > 0) & (usual > 0)
    ratio = np.log(np.where(known, book.price_micros, 1) / np.where(known, usual, 1))
    return market.prices.elasticity * np.clip(ratio, -0.7, 0.7)


def _paid(market: Fitted, book: AdBook) -> np.ndarray:
    """int64 [K]: the ad's price, else the item's usual one, else its type's, else 0."""
    price = book.price_micros.astype(float)
    for other in (market.prices.item_price[book.item], market.prices.type_price[market.type_of_item[book.item]]):
        price = np.where(price > 0, price, np.nan_to_num(other))
    return np.round(price).astype(np.int64)


def _own_lines(market: Fitted, item: np.ndarray) -> np.ndarray:
    """float64 [H, K]: lines of each item that each household bought."""
    place = np.full(len(market.items), -1)
    unique, back = np.unique(item, return_inverse=True)
    place[unique] = np.arange(len(unique))
    at = place[market.purchases.item]
    key = market.purchases.subject_of_event[at >= 0] * len(unique) + at[at >= 0]
    count = np.bincount(key, minlength=len(market.subjects) * len(unique))
    return count.reshape(-1, len(unique))[:, back].astype(float)


def _brand(market: Fitted, book: AdBook) -> np.ndarray:
    """float64 [H, K]: log of own lines of the ad's brand against what the household's types make one expect."""
    purchases, brand_of = market.purchases, market.items.brand
    owner, kind, brand = purchases.subject_of_event, market.type_of_item[purchases.item], brand_of[purchases.item]
    size = np.bincount(kind, minlength=market.tastes.counts.shape[1])
    out = np.zeros((len(market.subjects), len(book)))
    for code in np.unique(brand_of[book.item]):
        if code == UNKNOWN:
            continue
        of_brand = brand == code
        seen = np.bincount(owner[of_brand], minlength=len(market.subjects))
        share = np.bincount(kind[of_brand], minlength=len(size)) / np.maximum(size, 1)
        expected = np.asarray(market.tastes.counts @ share).ravel()
        ratio = np.log((seen + BRAND_PSEUDO_LINES) / (expected + BRAND_PSEUDO_LINES))
        out[:, brand_of[book.item] == code] = np.clip(ratio, -1.5, 1.5)[:, None]
    return out


def _groups(market: Fitted, book: AdBook, column: np.ndarray, columns: int) -> tuple[np.ndarray, int]:
    """(int64 [C] drift group of each type, G): its second category level, or without one its strongest motive."""
    motive = np.argmax(market.tastes.motives[:, market.type_of_item[book.item]], axis=0)
    level = market.items.category[book.item, 1].astype(np.int64)
    of_column = np.zeros(columns, dtype=np.int64)
    of_column[column] = np.where(level == UNKNOWN, -1 - motive, level)
    names, group = np.unique(of_column, return_inverse=True)
    return group, len(names)


def _walk(draw: np.random.Generator, days: int, shape: tuple[int, ...], sd: float, memory: float) -> np.ndarray:
    """float32 [days, *shape]: a stationary AR(1) a day with standard deviation `sd`."""
    walk = np.empty((days, *shape), dtype=np.float32)
    for day in range(days):
        draw.standard_normal(shape, dtype=np.float32, out=walk[day])
        walk[day] *= sd
        if day:
            walk[day] *= np.sqrt(1 - memory**2)
            walk[day] += np.float32(memory) * walk[day - 1]
    return walk


def _hours(draw: np.random.Generator, columns: int) -> np.ndarray:
    """float64 [24, C]: a smooth daily curve for each type with standard deviation 1."""
    turn = 2 * np.pi * np.arange(HOURS_PER_DAY)[:, None] / HOURS_PER_DAY
    return np.sqrt(2) * np.cos(turn - 2 * np.pi * draw.random(columns)[None, :])


def _level(logit: np.ndarray, weight: np.ndarray, target: float) -> float:
    """The constant that makes the weighted mean of sigmoid(logit + constant) the target."""
    weight = np.broadcast_to(weight, logit.shape) / np.broadcast_to(weight, logit.shape).sum()
    return float(brentq(lambda base: float((weight * expit(logit + base)).sum()) - target, -20, 20, xtol=1e-4))
