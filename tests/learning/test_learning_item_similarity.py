"""Popular, random, item-kNN and EASE against arithmetic and a direct solution."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.learning.item_similarity import (
    EASE_ITEMS,
    Ease,
    ItemKnn,
    NextItemBaseline,
    Popularity,
    RandomOrder,
    recency_weights,
)

DAY = 86_400


def histories(*rows: list[int]) -> Histories:
    """One subject a row, an item a day."""
    item = np.asarray([item for row in rows for item in row], dtype=np.int32)
    step = np.asarray([s for row in rows for s in range(len(row))], dtype=np.int32)
    return Histories(
        subjects=np.asarray([f"s{number:03d}" for number in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        item=item,
        action=np.zeros(len(item), dtype=np.int8),
        time_s=step.astype(np.int64) * DAY,
        step=step,
        price_micros=np.full(len(item), -1, dtype=np.int64),
        quantity=np.ones(len(item), dtype=np.int64),
    )


def test_the_latest_event_of_an_item_says_how_long_ago_it_was() -> None:
    weights = recency_weights(histories([0, 1, 0, 2], []), 4, fade=1.0).toarray()
    assert weights == pytest.approx(np.asarray([[1 / 2, 1 / 3, 1, 0], [0, 0, 0, 0]]))


def test_popularity_forgets_by_half() -> None:
    share = Popularity(histories([0, 0, 1]), 3, half_life_days=1.0).share
    assert share == pytest.approx(np.asarray([1 / 4 + 1 / 2, 1, 0]) / (1 / 4 + 1 / 2 + 1))


def test_item_knn_is_the_cosine_over_people() -> None:
    model = ItemKnn(histories([0, 1], [0, 1], [0, 2]), 3, shrink=0.0, fade=0.0)
    scores = model.scores(histories([0]))[0]
    assert scores == pytest.approx([0, 2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 1)], abs=1e-5)


def test_an_item_lends_itself_what_own_says() -> None:
    learnt = histories([0, 1], [0, 1], [0, 2])
    for make in (ItemKnn, Ease):
        without, within = make(learnt, 3, fade=1.0), make(learnt, 3, fade=1.0, own=0.5)
        gained = within.scores(histories([0, 2])) - without.scores(histories([0, 2]))
        assert gained[0] == pytest.approx([0.5 / 2, 0, 0.5], abs=1e-6)


def test_item_knn_keeps_only_the_nearest() -> None:
    model = ItemKnn(histories([0, 1], [0, 1], [0, 2]), 3, shrink=0.0, neighbours=1)
    assert model.near.toarray()[0, 2] == 0


def test_ease_is_the_solution_of_its_own_equations() -> None:
    learnt = histories([0, 1, 2], [0, 1], [2, 3], [1, 3])
    had = recency_weights(learnt, 4, 0.0).toarray()
    inverse = np.linalg.inv(had.T @ had + 5.0 * np.eye(4))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(Ease(learnt, 4, l2=5.0).weights, expected, rtol=1e-4, atol=1e-6)


def test_a_large_ease_is_whole_where_blocks_meet() -> None:
    rng = np.random.default_rng(0)
    learnt = histories(*(list(rng.choice(1_100, 5, replace=False)) for _ in range(300)))
    had = recency_weights(learnt, 1_100, 0.0).toarray().astype(np.float64)
    inverse = np.linalg.inv(had.T @ had + 10.0 * np.eye(1_100))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(Ease(learnt, 1_100, l2=10.0).weights, expected, atol=1e-5)


def test_ease_refuses_a_catalogue_whose_table_would_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"at most 40,000 items, got 40,001; use ItemKnn or Transitions"):
        Ease(histories([0]), EASE_ITEMS + 1)
    with pytest.raises(ConfigError, match="an l2 above 0"):
        Ease(histories([0]), 1, l2=0.0)


MAKERS: dict[str, Callable[[Histories], NextItemBaseline]] = {
    "popular": lambda h: Popularity(h, 6),
    "random": lambda h: RandomOrder(6, Chance(1)),
    "item-knn": lambda h: ItemKnn(h, 6),
    "ease": lambda h: Ease(h, 6),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_ranking_holds_each_item_once_and_none_that_was_seen(name: str) -> None:
    learnt = histories([0, 1, 2], [3, 1], [4, 5, 0])
    model = MAKERS[name](learnt)
    assert [sorted(row) for row in model.topk(learnt, 6).tolist()] == [list(range(6))] * 3
    assert [set(row) - {-1} for row in model.topk(learnt, 6, exclude_seen=True).tolist()] == [
        {3, 4, 5},
        {0, 2, 4, 5},
        {1, 2, 3},
    ]
    assert model.topk(learnt.select(np.zeros(0, dtype=np.int64)), 6).shape == (0, 6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_ranking_does_not_depend_on_who_else_is_asked_about(name: str) -> None:
    learnt = histories([0, 1, 2], [3, 1], [4, 5, 0])
    model = MAKERS[name](learnt)
    assert model.topk(learnt, 4)[1:2].tolist() == model.topk(learnt.select(np.asarray([1])), 4).tolist()
