"""The baselines, on data that fits in the eye."""

from __future__ import annotations

from math import log

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import PURCHASE, Histories
from zhitou.learning.baselines import ItemKnnBaseline, PopularBaseline, RandomBaseline, RecentBaseline

DAY = 86_400


def _items(count: int = 6) -> ItemTable:
    rows = [{"item": f"i{n}", "title": f"i{n}", "category": "all", "currency": "EUR"} for n in range(count)]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(baskets: dict[str, list[tuple[int, list[int]]]]) -> Histories:
    """{subject: [(day, items), ...]}"""
    lines = [
        (row, step, day, item)
        for row, subject in enumerate(sorted(baskets))
        for step, (day, items) in enumerate(baskets[subject])
        for item in items
    ]
    owner, step, day, item = (np.asarray(part) for part in zip(*lines, strict=True))
    n = len(lines)
    return Histories(
        subjects=np.asarray(sorted(baskets), dtype=object),
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(baskets)))]),
        item=item.astype(np.int32),
        action=np.full(n, PURCHASE, dtype=np.int8),
        time_s=day * DAY,
        step=step.astype(np.int32),
        price_micros=np.full(n, -1),
        quantity=np.ones(n, dtype=np.int64),
    )


PAST = _histories(
    {
        "a": [(0, [0, 1]), (10, [0, 1]), (20, [2])],
        "b": [(0, [0, 1]), (20, [3])],
        "c": [(0, [4]), (20, [4])],
    }
)


def test_popular_orders_items_by_their_decayed_share() -> None:
    model = PopularBaseline()
    model.half_lives_days = (10.0,)
    scores = model.fit(PAST, _items(), Chance(1)).scores(PAST)
    # seen from day 20 with a half-life of 10 days: item 0 has 2 x 1/4 + 1/2, item 2 has 1, item 4 has 1/4 + 1
    total = 2 * (2 / 4 + 1 / 2) + 1 + 1 + 1 / 4 + 1
    assert scores[0, :5] == pytest.approx([log(w / total) for w in (1, 1, 1, 1, 1.25)], abs=1e-5)
    assert np.array_equal(scores[0], scores[2])


def test_recent_weighs_frequency_and_recency_of_own_items() -> None:
    model = RecentBaseline()
    model.half_lives_days = (10.0,)
    scores = np.exp(model.fit(PAST, _items(), Chance(1)).scores(PAST))
    share = model.popular_share
    assert scores[0, 0] == pytest.approx(1 / 4 + 1 / 2 + share * 3 / 10, rel=1e-4)
    assert scores[0, 2] == pytest.approx(1 + share * 1 / 10, rel=1e-4)
    assert scores[2, 0] == pytest.approx(share * 3 / 10, rel=1e-3)


def test_item_knn_recommends_what_is_bought_together() -> None:
    model = ItemKnnBaseline()
    model.shrink = 0.0
    model.fit(PAST, _items(), Chance(1))
    # items 0 and 1 share all their 3 baskets: cosine 3 / sqrt(3 x 3) = 1; item 4 was always alone
    assert model._near[0, 1] == pytest.approx(1.0)
    assert model._near[4].nnz == 0
    only_zero = _histories({"d": [(0, [0])]})
    assert np.argsort(-model.scores(only_zero)[0])[:2].tolist() in ([0, 1], [1, 0])


def test_random_keeps_its_order_for_a_subject_and_differs_between_subjects() -> None:
    model = RandomBaseline().fit(PAST, _items(50), Chance(1))
    alone = model.scores(PAST.select(np.asarray([1])))
    assert np.array_equal(alone[0], model.scores(PAST)[1])
    assert not np.array_equal(model.scores(PAST)[0], model.scores(PAST)[1])


def test_settings_are_chosen_on_the_past_alone() -> None:
    """A half-life is chosen from what lies before the end of the given histories; the future is not among them."""
    weeks = [(7 * w, [0] if w < 30 else [1]) for w in range(40)]
    past = _histories({f"s{n}": weeks for n in range(5)})
    assert RecentBaseline().fit(past, _items(), Chance(1)).half_life_days <= 28.0
