"""How sales answer to price, and where in a type's price range each household buys. H = households, T = types."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories

WEEK_S = 7 * SECONDS_PER_DAY
ELASTICITY_ASSUMED = -1.5  # where the data holds too little price variation to tell
ITEM_WEEKS_MIN = 500
LINES_A_WEEK_MIN = 5.0  # below, "nothing sold" weeks are missing too often and flatten the slope


@dataclass(frozen=True)
class Prices:
    """elasticity: of lines sold to price. elasticity_se: NaN where it is assumed. promotion_lift: log sales of an
    item-week on display or in the mailer against the item's others, NaN without promotions.

    level: float64 [H], mean log price of what the household buys against its type's median.
    type_price: float64 [T], median micros, NaN where unknown. item_price: float64 [M], median paid, NaN unknown.
    """

    elasticity: float
    elasticity_se: float
    promotion_lift: float
    level: np.ndarray
    type_price: np.ndarray
    item_price: np.ndarray


def fit_prices(
    purchases: Histories, items: ItemTable, type_of_item: np.ndarray, types: int, promotions: pa.Table | None
) -> Prices:
    """Price habits of the households in `purchases`.

    promotions: item, week (1 = the first of the purchases), stores_display, stores_mailer.
    """
    known = purchases.price_micros > 0
    item, price = purchases.item[known], purchases.price_micros[known].astype(float)
    item_price = group_median(item, price, len(items))
    kind = type_of_item[item]
    type_price = group_median(kind, price, types)
    relative = np.log(price / type_price[kind])
    owner = purchases.subject_of_event[known]
    lines = np.bincount(owner, minlength=len(purchases))
    level = np.bincount(owner, np.clip(relative, -2, 2), len(purchases)) / (lines + 20)
    slope, error, lift = _elasticity(item, price, purchases.time_s[known], item_price, items, promotions)
    return Prices(slope, error, lift, level, type_price, item_price)


def group_median(group: np.ndarray, value: np.ndarray, groups: int) -> np.ndarray:
    """float64 [groups]: median of the values in each group, NaN where it is empty (the lower of two middles)."""
    order = np.lexsort((value, group))
    size = np.bincount(group, minlength=groups)
    start = np.cumsum(size) - size
    median = np.full(groups, np.nan)
    filled = size > 0
    median[filled] = value[order][start[filled] + (size[filled] - 1) // 2]
    return median


def _elasticity(
    item: np.ndarray,
    price: np.ndarray,
    time_s: np.ndarray,
    item_price: np.ndarray,
    items: ItemTable,
    promotions: pa.Table | None,
) -> tuple[float, float, float]:
    """Within-item slope of log weekly lines on log mean price, with its error and the lift of promoted weeks."""
    week = (time_s - time_s.min()) // WEEK_S
    weeks = int(week.max()) + 1
    cell, where = np.unique(item.astype(np.int64) * weeks + week, return_inverse=True)
    lines = np.bincount(where)
    log_price = np.bincount(where, np.log(price)) / lines
    of_item = cell // weeks
    steady = (np.bincount(item, minlength=len(items)) / weeks >= LINES_A_WEEK_MIN)[of_item]
    if steady.sum() < ITEM_WEEKS_MIN:
        return ELASTICITY_ASSUMED, float("nan"), float("nan")
    of_item, cell = of_item[steady], cell[steady]
    y = _within(np.log(lines[steady]), of_item)
    x = _within(np.clip(log_price[steady] - np.log(item_price[of_item]), -1, 1), of_item)
    promoted = _promoted(cell, weeks, items, promotions)
    columns = [x] if promoted is None else [x, _within(promoted, of_item)]
    table = np.stack(columns, axis=1)
    if (np.linalg.norm(table, axis=0) < 1e-6).any():
        return ELASTICITY_ASSUMED, float("nan"), float("nan")
    inverse = np.linalg.inv(table.T @ table)
    beta = inverse @ (table.T @ y)
    meat = table * (y - table @ beta)[:, None]
    by_item = np.stack([np.bincount(of_item, m) for m in meat.T], axis=1)  # weeks of an item are not independent
    error = np.sqrt(np.diag(inverse @ (by_item.T @ by_item) @ inverse))
    return float(np.clip(beta[0], -4, 0)), float(error[0]), float(beta[1]) if len(beta) > 1 else float("nan")


def _within(value: np.ndarray, group: np.ndarray) -> np.ndarray:
    size = np.maximum(np.bincount(group), 1)
    return value - (np.bincount(group, value) / size)[group]


def _promoted(cell: np.ndarray, weeks: int, items: ItemTable, promotions: pa.Table | None) -> np.ndarray | None:
    """1.0 for an item-week that stood on display or in the mailer in some shop."""
    if promotions is None or promotions.num_rows == 0:
        return None
    item = items.find(promotions[c.ITEM]).astype(np.int64)
    week = promotions[c.WEEK].to_numpy().astype(np.int64) - 1
    shops = promotions[c.STORES_DISPLAY].to_numpy() + promotions[c.STORES_MAILER].to_numpy()
    keep = (item >= 0) & (week >= 0) & (week < weeks) & (shops > 0)
    if not keep.any():
        return None
    return np.isin(cell, item[keep] * weeks + week[keep]).astype(float)
