"""Lookalike audiences: whom they find, whom they never hold, what is too small to be answered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, NotFoundError
from zhitou.events.histories import PURCHASE, Histories
from zhitou.interest.audiences import audience, check_seeds, held_out, seed_rows
from zhitou.interest.config import tiny
from zhitou.interest.predict import Interest
from zhitou.interest.train import fit_interest

DAY = 86_400
KINDS = ("tea", "shoes", "books")  # items 0..9, 10..19, 20..29
SHOPPERS = 150  # shopper s likes KINDS[s % 3]; the last three never came
TEA = np.arange(0, SHOPPERS - 3, 3)


def _catalogue() -> ItemTable:
    rows = [
        {
            "item": f"i{n:02d}",
            "title": f"item {n}",
            "category": f"shop > {KINDS[n // 10]}",
            "brand": f"brand {n % 2}",
            "price_micros": 1_000_000,
            "currency": "EUR",
        }
        for n in range(30)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _behaviour() -> Histories:
    """Six purchases each, a day apart, all of what the shopper likes but one."""
    rng = np.random.default_rng(3)
    came, lines = SHOPPERS - 3, 6
    liked = 10 * (np.arange(came) % 3)[:, None] + rng.integers(0, 10, (came, lines))
    liked[np.arange(came), rng.integers(0, lines, came)] = rng.integers(0, 30, came)
    n = came * lines
    return Histories(
        subjects=np.asarray([f"s{s:03d}" for s in range(SHOPPERS)], dtype=object),
        offsets=np.concatenate([np.arange(came + 1) * lines, np.full(3, n)]).astype(np.int64),
        item=liked.ravel().astype(np.int32),
        action=np.full(n, PURCHASE, dtype=np.int8),
        time_s=np.tile(np.arange(lines, dtype=np.int64) * DAY, came),
        step=np.tile(np.arange(lines, dtype=np.int32), came),
        price_micros=np.full(n, -1, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )


@pytest.fixture(scope="module")
def histories() -> Histories:
    return _behaviour()


@pytest.fixture(scope="module")
def interest(histories) -> Interest:
    return fit_interest(histories, _catalogue(), replace(tiny(), refit=False, valid_share=0.0), Chance(1))


def test_lovers_of_tea_find_the_other_lovers_of_tea(interest, histories) -> None:
    seeds = TEA[:24]
    found = audience(interest, histories, seeds, 25)
    assert len(set(found.rows.tolist())) == 25
    assert np.isin(found.rows, TEA).mean() >= 0.9
    assert not np.isin(found.rows, seeds).any()
    assert (np.diff(found.scores) <= 0).all()
    assert found.words[0][0] in {f"{verb} shop > {kind}" for verb in ("bought", "wants") for kind in KINDS}
    assert sum(weight for word, weight in found.words if word.endswith("shop > tea")) > 0


def test_the_same_question_has_the_same_answer_and_the_order_of_seeds_does_not_matter(interest, histories) -> None:
    one, two = (audience(interest, histories, seeds, 20) for seeds in (TEA[:24], np.append(TEA[23::-1], TEA[0])))
    assert one.rows.tolist() == two.rows.tolist()
    assert one.words == two.words


def test_what_happens_later_is_not_read(interest, histories) -> None:
    at_s = 3 * DAY
    later = replace(histories, item=np.where(histories.time_s >= at_s, 29, histories.item).astype(np.int32))
    one, two = (audience(interest, h, TEA[:24], 20, at_s=at_s) for h in (histories, later))
    assert one.rows.tolist() == two.rows.tolist()
    assert one.scores.tolist() == two.scores.tolist()


def test_shoppers_without_behaviour_are_never_chosen_and_do_not_count_as_seeds(interest, histories) -> None:
    everybody = SHOPPERS - 3 - 24
    found = audience(interest, histories, TEA[:24], everybody)
    assert found.rows.max() < SHOPPERS - 3
    with pytest.raises(ConfigError, match=f"{everybody + 1} was asked for, there are {everybody} other"):
        audience(interest, histories, TEA[:24], everybody + 1)
    with pytest.raises(ConfigError, match="at least 20 seeds with behaviour, got 19"):
        audience(interest, histories, np.append(TEA[:19], [SHOPPERS - 1, SHOPPERS - 2]), 20)


def test_small_audiences_and_rows_outside_are_refused(interest, histories) -> None:
    with pytest.raises(ConfigError, match="audience of at least 20, got 19"):
        audience(interest, histories, TEA[:24], 19)
    for wrong in (np.asarray([-1, *TEA[:24]]), np.asarray([*TEA[:24], SHOPPERS]), TEA[:24] + 0.5):
        with pytest.raises(ConfigError, match="expected seeds as rows 0 to 149"):
            audience(interest, histories, wrong, 20)
    with pytest.raises(ConfigError, match="got 0"):
        audience(interest, histories, np.zeros(0, dtype=np.int64), 20)


def test_seeds_are_found_by_name_and_unknown_names_are_refused(histories) -> None:
    assert seed_rows(histories, ["s007", "s001", "s007"]).tolist() == [1, 7]
    with pytest.raises(NotFoundError, match="1 of 2 seed subjects are not among the 150 known ones"):
        seed_rows(histories, ["s001", "nobody"])


def test_hidden_seeds_that_have_something_in_common_come_back(interest, histories) -> None:
    found = check_seeds(interest, histories, TEA[:40], Chance(1), hidden_share=0.4)
    assert found.hidden == 16
    assert found.others == SHOPPERS - 3 - 24
    assert found.lift.low > 1
    assert found == check_seeds(interest, histories, TEA[:40], Chance(1), hidden_share=0.4)


def test_seeds_drawn_by_chance_do_not_come_back(interest, histories) -> None:
    seeds = np.random.default_rng(0).choice(SHOPPERS - 3, 60, replace=False)
    assert check_seeds(interest, histories, seeds, Chance(1), hidden_share=0.5).lift.low < 1
    with pytest.raises(ConfigError, match="is nobody"):
        check_seeds(interest, histories, seeds, Chance(1), hidden_share=0.0)


def test_lift_is_recall_over_that_of_a_random_audience_of_this_size() -> None:
    scores = np.asarray([9.0, 8.0, 7.0, 1.0, 0.0, 6.0])
    found = held_out(lambda shown: scores, shown=np.asarray([0]), hidden=np.asarray([1, 4]), n=6)
    # 1 and 2 come first among the five others; 1 was hidden, so 1 of 2 is found where chance finds 2 of 5 of them
    assert found.recall.value == 1 / 2
    assert found.lift.value == (1 / 2) / (2 / 5)
