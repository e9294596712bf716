"""The best of many items: exact where they are few, nearly so where they are many, and new ones at once."""

from __future__ import annotations

import importlib.util
import sys
import time

import numpy as np
import pytest

from zhitou.core.errors import ConfigError, MissingExtraError, SchemaError
from zhitou.interest import nearest
from zhitou.interest.nearest import TAIL, Nearest

D = 16


def _table(items: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vectors, biases, one query): categories, brands and what is an item's own."""
    rng = np.random.default_rng(seed)
    category, brand = rng.normal(size=(20, D)), rng.normal(size=(200, D)) * 0.5
    vectors = category[rng.integers(0, 20, items)] + brand[rng.integers(0, 200, items)] + rng.normal(size=(items, D))
    bias, query = rng.normal(size=items), rng.normal(size=D)
    return vectors.astype(np.float32), bias.astype(np.float32), query.astype(np.float32)


def _exact(vectors: np.ndarray, bias: np.ndarray, query: np.ndarray, k: int) -> list[int]:
    scores = vectors @ query + bias
    return np.lexsort((np.arange(len(scores)), -scores))[:k].tolist()


def test_few_items_are_ranked_exactly_with_the_bias_and_ties_by_number() -> None:
    index = Nearest(np.asarray([[1.0, 0], [0, 1], [1, 0], [0, 0]]), np.asarray([0.0, 0, 0, 0.5]))
    items, scores = index.best(np.asarray([2.0, 1]), 4)
    assert items.tolist() == [0, 2, 1, 3]
    assert scores.tolist() == [2, 2, 1, 0.5]
    assert index.code_bytes == 0


def test_items_may_be_left_out_and_more_asked_for_than_there_are() -> None:
    vectors, bias, query = _table(500)
    order = _exact(vectors, bias, query, 500)
    items, _ = Nearest(vectors, bias).best(query, 10_000, leave_out=np.asarray(order[:3] + order[:1]))
    assert items.tolist() == order[3:]
    assert len(Nearest(vectors, bias).best(query, 0)[0]) == 0


@pytest.fixture(scope="module")
def many() -> tuple[np.ndarray, np.ndarray, Nearest]:
    if importlib.util.find_spec("faiss") is None:
        pytest.skip("very large catalogues are ranked with faiss: pip install faiss-cpu")
    vectors, bias, _ = _table(30_000)
    return vectors, bias, Nearest(vectors, bias, exact=1_000)


def test_of_many_items_nearly_all_of_the_best_hundred_are_found_with_their_exact_scores(many) -> None:
    vectors, bias, index = many
    found = 0
    for seed in range(20):
        query = _table(1, seed)[2] * 2
        items, scores = index.best(query, 100)
        found += len(set(items.tolist()) & set(_exact(vectors, bias, query, 100)))
        np.testing.assert_allclose(scores, vectors[items] @ query + bias[items], atol=1e-4)
        assert (np.diff(scores) <= 0).all()
    assert found >= 0.99 * 20 * 100
    assert index.code_bytes == 30_000 * (D + 2) / 2  # four bits for each number, the bias and one to make it even


def test_what_is_left_out_of_many_makes_place_for_the_next(many) -> None:
    index, query = many[2], _table(1, 3)[2]
    first = index.best(query, 50)[0]
    second = index.best(query, 50, leave_out=first[:20])[0]
    assert second[:30].tolist() == first[20:].tolist()
    assert len(second) == 50


def test_a_new_item_is_served_at_once_without_building_anew(many) -> None:
    vectors, bias, _ = many
    index, query = Nearest(vectors, bias, exact=1_000), _table(1, 4)[2]
    begun = time.perf_counter()
    (number,) = index.add(query[None] * 50, np.zeros(1))  # far outside of anything the codes were chosen from
    assert index.best(query, 1)[0].tolist() == [number] == [30_000]
    assert time.perf_counter() - begun < 1.0


def test_many_new_items_get_codes_and_stay_served(many) -> None:
    vectors, bias, _ = many
    index = Nearest(vectors[:20_000], bias[:20_000], exact=1_000)
    for start in range(20_000, 30_000, 2_500):
        index.add(vectors[start : start + 2_500], bias[start : start + 2_500])
    index.add(vectors[:5], bias[:5])
    assert len(index) == 30_005
    assert index.code_bytes == 30_005 * (D + 2) / 2  # more than TAIL had come
    assert TAIL == 10_000
    query = _table(1, 5)[2]
    exact = set(_exact(vectors, bias, query, 100))
    assert len(exact & set(index.best(query, 100)[0].tolist())) >= 95


def test_growing_beyond_what_is_ranked_exactly_chooses_codes(many) -> None:
    vectors, bias, _ = many
    index = Nearest(vectors[:900], bias[:900], exact=1_000)
    assert index.code_bytes == 0
    index.add(vectors[900:5_000], bias[900:5_000])
    assert index.code_bytes > 0
    query = _table(1, 6)[2]
    exact = set(_exact(vectors[:5_000], bias[:5_000], query, 10))
    assert exact == set(index.best(query, 10)[0].tolist())


def test_what_cannot_be_ranked_is_refused() -> None:
    vectors, bias, query = _table(10)
    with pytest.raises(SchemaError, match="finite vectors"):
        Nearest(vectors * np.nan, bias)
    with pytest.raises(SchemaError, match="bias"):
        Nearest(vectors, bias[:9])
    with pytest.raises(SchemaError, match=r"\[M, 16\]"):
        Nearest(vectors, bias).add(vectors[:, :3], bias)
    with pytest.raises(SchemaError, match="16 finite numbers"):
        Nearest(vectors, bias).best(query * np.inf, 3)
    with pytest.raises(ConfigError, match="0 or more"):
        Nearest(vectors, bias).best(query, -1)


def test_without_faiss_a_large_catalogue_says_what_to_install(monkeypatch) -> None:
    vectors, bias, _ = _table(10)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="pip install faiss-cpu"):
        Nearest(vectors, bias, exact=5)
    assert nearest.EXACT == 100_000
