"""What households put into a basket when nobody advertises: an urn of their own lines and of their likes.

H = households, M = items, T = types, E = real lines, N = lines drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.events.histories import Histories
from zhitou.market.tastes import OWN_SHARE, Tastes

LATER = 0.8  # quantile of time: early lines have too short a past to repeat


@dataclass(frozen=True)
class Shelf:
    """Sales lookups. by_item: int64 [E], lines sorted by item, those of item m from item_offsets[m].

    by_type: int32 [E], items of all lines sorted by type, those of type t from type_offsets[t].
    same_item: chance that a repeat of a type repeats an item the household had bought before.
    """

    purchases: Histories
    by_item: np.ndarray
    item_offsets: np.ndarray
    by_type: np.ndarray
    type_offsets: np.ndarray
    same_item: float

    def sale_of(self, item: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int64 [N]: a real line of each item, -1 where it was never sold."""
        size = np.diff(self.item_offsets)[item]
        at = self.item_offsets[item] + np.minimum((uniform * size).astype(np.int64), np.maximum(size - 1, 0))
        return np.where(size > 0, self.by_item[np.minimum(at, len(self.by_item) - 1)], -1)

    def item_of_type(self, kind: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """int32 [N]: an item of each type, as often as it is bought. The types must have been sold."""
        size = np.diff(self.type_offsets)[kind]
        assert (size > 0).all(), "an item is drawn from a type that was sold"
        return self.by_type[self.type_offsets[kind] + np.minimum((uniform * size).astype(np.int64), size - 1)]


def stock_shelf(purchases: Histories, type_of_item: np.ndarray, types: int, items: int) -> Shelf:
    """The lookups of these purchase lines, and how loyal households are to an item inside its type."""
    kind = type_of_item[purchases.item]
    by_kind = np.argsort(kind, kind="stable")
    return Shelf(
        purchases=purchases,
        by_item=np.argsort(purchases.item, kind="stable"),
        item_offsets=_offsets(purchases.item, items),
        by_type=purchases.item[by_kind],
        type_offsets=_offsets(kind, types),
        same_item=_loyalty(purchases, kind, items, types),
    )


def draw_lines(
    shelf: Shelf, tastes: Tastes, type_of_item: np.ndarray, household: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """int32 [N]: the item of one line of each household [N], from the predictive distribution of its tastes.

    With chance n_h / (n_h + A) one of its own lines is drawn again (its item, or another of the same type);
    otherwise a type is drawn from its factors and an item from the type.
    """
    own = np.diff(shelf.purchases.offsets)[household]
    u = draw.random((6, len(household)))
    repeat = u[0] < own / (own + tastes.concentration)
    line = shelf.purchases.offsets[household] + (u[1] * own).astype(np.int64)
    own_item = shelf.purchases.item[np.minimum(line, len(shelf.purchases.item) - 1)]
    kind = np.where(repeat, type_of_item[own_item], _liked(tastes, household, u[2], u[3], u[5]))
    same = repeat & (u[4] < shelf.same_item)
    return np.where(same, own_item, shelf.item_of_type(kind, draw.random(len(household))))


def _liked(tastes: Tastes, household: np.ndarray, *u: np.ndarray) -> np.ndarray:
    """A type from the household's factors, or with chance 1 - OWN_SHARE from everybody's; only types ever sold."""
    sold = np.asarray(tastes.counts.sum(axis=0)).ravel() > 0
    factor = _pick(np.cumsum(tastes.weights, axis=1), household, u[0])
    motives = np.cumsum(np.vstack([tastes.motives * sold, tastes.share * sold]), axis=1)
    return _pick(motives, np.where(u[2] < OWN_SHARE, factor, len(tastes.motives)), u[1])


def _pick(cumulative: np.ndarray, row: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The column of each row in which `uniform` falls. The rows of `cumulative` end in positive totals."""
    steps = cumulative / cumulative[:, -1:]
    flat = (steps + np.arange(len(steps))[:, None]).ravel()
    at = np.searchsorted(flat, row + np.minimum(uniform, 1 - 1e-9), side="right")
    return np.clip(at - row * steps.shape[1], 0, steps.shape[1] - 1)


def _loyalty(purchases: Histories, kind: np.ndarray, items: int, types: int) -> float:
    """The chance to draw an own item again that gives the real share of repeats.

    Among later lines of a type the household had bought before, `again` is the share whose very item it had bought
    before; an item drawn by popularity is an own one with chance `luck`: again = same + (1 - same) x luck.
    """
    owner = purchases.subject_of_event
    of_type, of_item = owner * types + kind, owner * items + purchases.item
    late = ~_first(of_type) & (purchases.time_s >= np.quantile(purchases.time_s, LATER))
    new = _first(of_item)
    if not late.any():
        return 0.5
    again = float((~new)[late].mean())
    share = np.bincount(purchases.item, minlength=items)[purchases.item] / np.bincount(kind)[kind]
    code = np.unique(of_type, return_inverse=True)[1]
    luck = float(np.bincount(code[new], share[new])[code[late]].mean())
    return float(np.clip((again - luck) / max(1 - luck, 1e-9), 0, 1))


def _first(key: np.ndarray) -> np.ndarray:
    """bool: whether a key stands at its first place."""
    first = np.zeros(len(key), dtype=bool)
    order = np.argsort(key, kind="stable")
    first[order[np.diff(key[order], prepend=-1) != 0]] = True
    return first


def _offsets(group: np.ndarray, groups: int) -> np.ndarray:
    offsets = np.zeros(groups + 1, dtype=np.int64)
    np.cumsum(np.bincount(group, minlength=groups), out=offsets[1:])
    return offsets
