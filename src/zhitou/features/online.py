"""What is known of each shopper now, as numbers for every ad: one object for the market, training and the server.

n = facts, B = questions, K = ads, F = columns.
"""

from __future__ import annotations

import copy

import numpy as np
from numba import njit

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.events.schema import KINDS
from zhitou.features.cells import AdCells
from zhitou.features.clicks import Clicks
from zhitou.features.fatigue import Fatigue
from zhitou.features.history import History
from zhitou.features.hours import Hours
from zhitou.features.popularity import Popularity
from zhitou.features.price import Price
from zhitou.features.protocol import NEVER, NOBODY, SHOPPER, Column, Facts, Feature, Questions, State
from zhitou.features.random_number import RandomNumber
from zhitou.features.rates import Rates
from zhitou.features.recency import Recency

_CAPACITY_MIN = 64
_FACT_TYPES = (np.int64, np.int8, np.int32, np.int32, np.int64, np.int64)


def all_features(cells: AdCells, chance: Chance) -> tuple[Feature, ...]:
    """Every feature, in the order of the columns. A new idea is one file and one name here."""
    return (
        Recency(cells),
        History(cells),
        Clicks(cells),
        Rates(cells),
        Fatigue(cells),
        Popularity(cells),
        Price(cells),
        Hours(cells),
        RandomNumber(cells, chance),
    )


class OnlineFeatures:
    """The state of all shoppers for one book of ads; a changed book needs a new one, loaded anew.

    Strictly causal: a fact at second t is seen by questions at t + 1 and later. Facts may be written ahead of the
    questions (they wait) and late (they join when they come). A question is about the present: one at or before
    `latest_s`, the newest fact already answered for, is an assertion error, since what it should not know has
    been mixed in. Same facts, same questions, same seed: the same bytes.
    """

    def __init__(self, items: ItemTable, book: AdBook, chance: Chance) -> None:
        self._items, self._book = items, book
        self._cells = AdCells.build(items, book)
        self.features = all_features(self._cells, chance)
        self.columns: tuple[Column, ...] = tuple(c for feature in self.features for c in feature.columns)
        self.names: tuple[str, ...] = tuple(column.name for column in self.columns)
        self.latest_s = NEVER
        self._rows: dict[str, int] = {}
        self._forgotten = np.zeros(_CAPACITY_MIN, dtype=bool)
        self._count = 0
        self._capacity = _CAPACITY_MIN
        self._state = [{s.name: _empty(s, _CAPACITY_MIN) for s in f.states()} for f in self.features]
        self._lay_out()
        self._pending: tuple[np.ndarray, ...] = tuple(np.zeros(0, dtype=t) for t in _FACT_TYPES)
        self._arrived: list[tuple[np.ndarray, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def _lay_out(self) -> None:
        """Give every column its cells side by side, and every ad its cell in each column."""
        width, self._starts, index = 0, [], []
        for feature in self.features:
            starts = []
            keys = feature.keys()
            for key in keys:
                starts.append(width)
                index.append(width + key.of_ad)
                width += key.cells
            self._starts.append(tuple(starts))
        self._width = width
        self._index = np.ascontiguousarray(np.stack(index, axis=1).astype(np.int32))

    def subject_row(self, subject: str) -> int:
        """The row of this shopper, made if there is none yet."""
        row = self._rows.get(subject)
        if row is None:
            row = self._rows[subject] = self._count
            self._count += 1
            self._reserve(self._count)
        return row

    def knows(self, subject: str) -> bool:
        """Whether anything was ever kept about this shopper, and not forgotten."""
        return subject in self._rows

    def fork(self) -> OnlineFeatures:
        """The same knowledge, on its own from here: what either learns later, the other does not know."""
        twin = copy.copy(self)
        twin._rows, twin._forgotten = dict(self._rows), self._forgotten.copy()
        twin._state = [{name: array.copy() for name, array in state.items()} for state in self._state]
        twin._arrived = list(self._arrived)
        return twin

    def subject_rows(self, subjects: list[str]) -> np.ndarray:
        """int64 [n]: `subject_row` of each."""
        return np.fromiter((self.subject_row(s) for s in subjects), dtype=np.int64, count=len(subjects))

    def _reserve(self, rows: int) -> None:
        """Room for this many shoppers (and NOBODY), by doubling, so that a new shopper costs O(1) on average."""
        capacity = self._capacity
        while capacity < rows + 1:
            capacity *= 2
        if capacity == self._capacity:
            return
        extra, self._capacity = capacity - self._capacity, capacity
        self._forgotten = np.concatenate([self._forgotten, np.zeros(extra, dtype=bool)])
        for feature, state in zip(self.features, self._state, strict=True):
            for spec in feature.states():
                if spec.per == SHOPPER:
                    state[spec.name] = np.concatenate([state[spec.name], _empty(spec, extra)])

    def load(self, histories: Histories) -> None:
        """Write whole histories (S subjects, E events), as if each event had just happened."""
        rows = self.subject_rows(list(histories.subjects))[histories.subject_of_event]
        ads = np.full(len(rows), -1, dtype=np.int32)
        self.write(rows, histories.action, histories.item, ads, histories.time_s, histories.price_micros)

    def write(
        self,
        rows: np.ndarray,
        kinds: np.ndarray,
        items: np.ndarray,
        ads: np.ndarray,
        time_s: np.ndarray,
        price_micros: np.ndarray,
    ) -> None:
        """Take n facts in, in any order.

        rows: int [n] of subject_row, -1 = unknown shopper (counts for the ad and the shop alone). kinds: int8 [n],
        codes of events.schema.KINDS. items: int32 [n], row of the catalogue, -1 = none (then the ad's item, if
        there is an ad). ads: int32 [n], position in the book, -1 = none. time_s: int64 [n]. price_micros:
        int64 [n] of one piece, -1 = unknown. A fact about a forgotten shopper counts as an unknown shopper's.
        """
        given = (rows, kinds, items, ads, time_s, price_micros)
        arrays = tuple(np.array(a, dtype=t) for a, t in zip(given, _FACT_TYPES, strict=True))
        n = len(arrays[0])
        if n == 0:
            return
        assert all(a.shape == (n,) for a in arrays), "facts are equally long flat arrays"
        _check_range("row", arrays[0], self._count)
        _check_range("ad", arrays[3], len(self._book))
        _check_range("item", arrays[2], len(self._items))
        assert np.all((arrays[1] >= 0) & (arrays[1] < len(KINDS))), "a kind is a code of events.schema.KINDS"
        self._arrived.append(arrays)

    def value(self, rows: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """float32 [B, K, F] for shoppers rows (int [B], -1 = unknown) at times time_s (int64 [B])."""
        rows = np.array(rows, dtype=np.int64)
        time_s = np.array(time_s, dtype=np.int64)
        assert rows.shape == time_s.shape == (len(rows),), "one time per shopper"
        out = np.empty((len(rows), len(self._book), len(self.names)), dtype=np.float32)
        if len(rows) == 0:
            return out
        _check_range("row", rows, self._count)
        assert int(time_s.min()) > self.latest_s, "a question is later than every fact that was answered for"
        self._queue()
        seen = np.searchsorted(self._pending[4], time_s, side="left")
        moments = np.unique(seen)
        absorbed = 0
        for moment in moments:  # one, unless facts fall between the questions of this batch
            self._absorb(int(moment) - absorbed)
            absorbed = int(moment)
            if len(moments) == 1:
                self._answer(rows, time_s, out)
            else:
                self._answer_some(np.flatnonzero(seen == moment), rows, time_s, out)
        return out

    def forget(self, subject: str) -> bool:
        """Erase all that is kept about this shopper; whether there was anything. Sums over all shoppers stay."""
        row = self._rows.pop(subject, None)
        if row is None:
            return False
        self._queue()
        self._pending = _anonymous(self._pending, row)
        for feature, state in zip(self.features, self._state, strict=True):
            for spec in feature.states():
                if spec.per == SHOPPER:
                    state[spec.name][row + 1] = spec.empty
        self._forgotten[row] = True
        return True

    def _queue(self) -> None:
        """Put what arrived among what waits, in time order; ties keep the order of arrival."""
        if not self._arrived:
            return
        parts = [self._pending, *self._arrived]
        joined = tuple(np.concatenate([p[i] for p in parts]) for i in range(len(_FACT_TYPES)))
        order = np.argsort(joined[4], kind="stable")
        self._pending, self._arrived = tuple(a[order] for a in joined), []

    def _absorb(self, count: int) -> None:
        """Write the first `count` waiting facts into the states."""
        if count == 0:
            return
        facts = self._facts(*(a[:count] for a in self._pending))
        self._pending = tuple(a[count:] for a in self._pending)
        for feature, state in zip(self.features, self._state, strict=True):
            feature.write(state, facts)
        self.latest_s = max(self.latest_s, int(facts.time_s[-1]))

    def _facts(
        self,
        rows: np.ndarray,
        kinds: np.ndarray,
        items: np.ndarray,
        ads: np.ndarray,
        time_s: np.ndarray,
        price_micros: np.ndarray,
    ) -> Facts:
        with_ad = ads >= 0
        items = items.copy()
        items[with_ad & (items < 0)] = self._book.item[ads[with_ad & (items < 0)]]
        known = items >= 0
        cells = self._cells
        return Facts(
            row=np.where((rows < 0) | self._forgotten[rows], NOBODY, rows + 1),
            kind=kinds.copy(),
            item=np.where(known, cells.item.of_item[items], -1),
            type=np.where(known, cells.type.of_item[items], -1),
            category=np.where(known, cells.category.of_item[items], -1),
            brand=np.where(known, cells.brand.of_item[items], -1),
            ad=ads.copy(),
            time_s=time_s.copy(),
            price_micros=price_micros.copy(),
            price_band=np.where(known, self._items.price_band[items], 0),
            known_item=known,
        )

    def _answer_some(self, which: np.ndarray, rows: np.ndarray, time_s: np.ndarray, out: np.ndarray) -> None:
        part = np.empty((len(which), *out.shape[1:]), dtype=np.float32)
        self._answer(rows[which], time_s[which], part)
        out[which] = part

    def _answer(self, rows: np.ndarray, time_s: np.ndarray, out: np.ndarray) -> None:
        """Fill out [B, K, F] from the states as they are."""
        ask = Questions(np.where(self._forgotten[rows] & (rows >= 0), NOBODY, rows + 1), time_s)
        cells = np.empty((len(rows), self._width), dtype=np.float32)
        for feature, state, starts in zip(self.features, self._state, self._starts, strict=True):
            feature.value(state, ask, cells, starts)
        _spread(cells, self._index, out)


def _empty(spec: State, rows: int) -> np.ndarray:
    return np.full((rows if spec.per == SHOPPER else 1, spec.cells), spec.empty, dtype=spec.dtype)


def _check_range(what: str, values: np.ndarray, size: int) -> None:
    assert np.all((values >= -1) & (values < size)), f"each {what} is -1 or below {size}"


def _anonymous(facts: tuple[np.ndarray, ...], row: int) -> tuple[np.ndarray, ...]:
    return (np.where(facts[0] == row, -1, facts[0]), *facts[1:])


@njit(cache=True)
def _spread(cells, index, out):  # type: ignore[no-untyped-def]
    """Each ad reads its cell of every column: out[b, k, f] = cells[b, index[k, f]]."""
    for b in range(out.shape[0]):
        for k in range(out.shape[1]):
            for f in range(out.shape[2]):
                out[b, k, f] = cells[b, index[k, f]]
