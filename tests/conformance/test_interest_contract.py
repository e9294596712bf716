"""One suite for every InterestModel: the baselines first, then the decoder."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import PURCHASE, Histories
from zhitou.interest.config import tiny
from zhitou.interest.train import fit_interest
from zhitou.learning.baselines import BASELINES
from zhitou.strategy.ports import InterestModel

DAY = 86_400
ITEMS, SHOPPERS = 50, 5


def _catalogue() -> ItemTable:
    """50 items in 5 categories of 10, one brand a category, one without any fact."""
    rows = [
        {
            "item": f"i{n:02d}",
            "title": f"item {n}",
            "category": f"c{n // 10} > d{n // 5}" if n else None,
            "brand": f"b{n // 10}" if n else None,
            "price_micros": 1_000_000 * (n + 1) if n else None,
            "currency": "EUR",
            "locale": "en",
        }
        for n in range(ITEMS)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _behaviour(lines: int, seed: int = 0) -> Histories:
    """5 shoppers; shopper s buys `lines` of its own ten items, a day apart; the last one never came."""
    rng = np.random.default_rng(seed)
    item = np.concatenate([10 * s + rng.integers(0, 10, lines) for s in range(SHOPPERS - 1)]).astype(np.int32)
    n = len(item)
    return Histories(
        subjects=np.asarray([f"s{s}" for s in range(SHOPPERS)], dtype=object),
        offsets=np.asarray([*range(0, n + 1, lines), n]) if lines else np.zeros(SHOPPERS + 1, dtype=np.int64),
        item=item,
        action=np.full(n, PURCHASE, dtype=np.int8),
        time_s=np.tile(np.arange(lines, dtype=np.int64) * DAY, SHOPPERS - 1),
        step=np.tile(np.arange(lines, dtype=np.int32), SHOPPERS - 1),
        price_micros=np.full(n, -1, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )


def _interest(histories: Histories, items: ItemTable, chance: Chance) -> InterestModel:
    return fit_interest(histories, items, tiny(), chance)


MAKERS = {"interest": _interest} | {kind.name: lambda h, i, c, kind=kind: kind().fit(h, i, c) for kind in BASELINES}


@pytest.fixture(scope="module")
def past() -> Histories:
    return _behaviour(12)


@pytest.fixture(scope="module", params=sorted(MAKERS))
def model(request, past) -> InterestModel:
    return MAKERS[request.param](past, _catalogue(), Chance(1))


def test_it_is_an_interest_model(model) -> None:
    assert isinstance(model, InterestModel)
    assert model.name


def test_scores_are_finite_float32_for_every_subject_and_item(model, past) -> None:
    scores = model.scores(past)
    assert scores.shape == (SHOPPERS, ITEMS)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_scores_of_some_items_are_those_of_all_in_the_order_asked_for(model, past) -> None:
    chosen = np.asarray([7, 3, 49])
    np.testing.assert_allclose(model.scores(past, chosen), model.scores(past)[:, chosen], rtol=1e-4, atol=1e-5)


def test_a_subject_alone_is_scored_as_among_others(model, past) -> None:
    alone = model.scores(past.select(np.asarray([2])))
    np.testing.assert_allclose(alone[0], model.scores(past)[2], rtol=1e-3, atol=1e-4)


def test_vectors_are_one_finite_row_per_subject_and_the_empty_history_has_the_prior_one(model, past) -> None:
    vectors = model.vectors(past)
    assert vectors.dtype == np.float32
    assert len(vectors) == SHOPPERS
    assert np.isfinite(vectors).all()
    nothing = past.keep(np.zeros(len(past.item), dtype=bool))
    np.testing.assert_allclose(model.vectors(nothing)[0], vectors[-1], rtol=1e-4, atol=1e-5)


def test_histories_without_any_event_and_without_any_subject_are_scored(model, past) -> None:
    nothing = past.keep(np.zeros(len(past.item), dtype=bool))
    assert np.isfinite(model.scores(nothing)).all()
    nobody = past.select(np.zeros(0, dtype=np.int64))
    assert model.scores(nobody).shape == (0, ITEMS)
    assert len(model.vectors(nobody)) == 0


def test_asking_changes_nothing(model, past) -> None:
    before = {name: value.copy() for name, value in vars(past).items()}
    first = model.scores(past)
    assert np.array_equal(first, model.scores(past))
    for name, value in before.items():
        assert np.array_equal(value, getattr(past, name)), name


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_the_same_seed_gives_the_same_scores(maker, past) -> None:
    first, second = (MAKERS[maker](past, _catalogue(), Chance(3)).scores(past) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize("maker", sorted(set(MAKERS) - {"random", "popular"}))
def test_a_personal_model_prefers_what_the_shopper_buys(maker, past) -> None:
    scores = MAKERS[maker](past, _catalogue(), Chance(3)).scores(past)
    for shopper in range(SHOPPERS - 1):
        own = scores[shopper, 10 * shopper : 10 * shopper + 10].mean()
        assert own > np.delete(scores[shopper], np.s_[10 * shopper : 10 * shopper + 10]).mean()
