"""The catalogue as arrays: numbers follow from the data, missing values are values on purpose."""

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import PRICE_BANDS, ItemTable, price_bands
from zhitou.core.errors import NotFoundError

ROWS = [
    {
        "item": "b",
        "title": "Cola",
        "category": "DRINKS > SODA > COLA",
        "brand": "B",
        "price_micros": 2,
        "currency": "EUR",
    },
    {
        "item": "a",
        "title": None,
        "category": "DRINKS",
        "brand": None,
        "price_micros": None,
        "currency": "EUR",
    },
    {"item": "c", "title": "Tea", "category": None, "brand": "A", "price_micros": 1, "currency": "EUR"},
]


@pytest.fixture
def table():
    return ItemTable.from_arrow(pa.Table.from_pylist(ROWS, schema=ITEM_SCHEMA))


def test_items_are_numbered_in_the_order_of_their_ids(table):
    assert list(table.ids) == ["a", "b", "c"]
    assert [table.row(i) for i in "abc"] == [0, 1, 2]


def test_an_unknown_item_is_an_error_and_minus_one_in_bulk(table):
    with pytest.raises(NotFoundError, match="'zz' is not in the catalogue"):
        table.row("zz")
    assert table.find(np.array(["c", "zz", None, "a"], dtype=object)).tolist() == [2, -1, -1, 0]


def test_a_category_is_numbered_at_each_level_and_unknown_is_zero(table):
    assert table.category_names[2] == ("", "DRINKS", "DRINKS > SODA > COLA")
    assert table.category.tolist() == [[1, 1, 1], [1, 2, 2], [0, 0, 0]]


def test_a_missing_title_is_the_id_and_a_missing_price_is_not_zero(table):
    assert table.item(0).title == "a"
    assert table.item(0).price_micros is None
    assert table.price_micros.tolist() == [-1, 2, 1]


def test_an_item_comes_back_in_words(table):
    item = table.item(1)
    assert (item.item, item.title, item.category, item.brand) == (
        "b",
        "Cola",
        ("DRINKS", "SODA", "COLA"),
        "B",
    )


def test_price_bands_are_deciles_inside_the_group():
    prices = np.array([*range(100, 120), 7, -1])
    group = np.array([1] * 20 + [2, 2])
    bands = price_bands(prices, group)
    assert bands[:20].tolist() == [1 + i // 2 for i in range(PRICE_BANDS * 2)]
    assert bands[20:].tolist() == [1, 0]
