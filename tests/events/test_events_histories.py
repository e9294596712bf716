"""Histories: who did what, in order, in steps; the past can be cut off from the future."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.events.histories import Histories
from zhitou.events.schema import EVENT_SCHEMA, KIND_CODE

ITEMS = ItemTable.from_arrow(pa.Table.from_pylist([{"item": i} for i in "abcd"], schema=ITEM_SCHEMA))


def table(rows):
    """rows of (subject, item, second, order)"""
    return pa.Table.from_pylist(
        [
            {
                "event_id": str(n),
                "tenant": "t",
                "subject": subject,
                "kind": "purchase",
                "item": item,
                "occurred_at": second * 1_000_000,
                "received_at": second * 1_000_000,
                "order_id": order,
            }
            for n, (subject, item, second, order) in enumerate(rows)
        ],
        schema=EVENT_SCHEMA,
    )


@pytest.fixture
def histories():
    rows = [("v", "b", 9, "o3"), ("u", "b", 1, "o1"), ("u", "a", 1, "o1"), ("u", "a", 5, "o2"), ("u", "?", 6, None)]
    return Histories.from_arrow(table(rows), ITEMS)


def test_rows_are_subjects_in_order_and_events_are_in_time_order(histories):
    assert list(histories.subjects) == ["u", "v"]
    assert histories.offsets.tolist() == [0, 3, 4]
    assert histories.item.tolist() == [0, 1, 0, 1]
    assert histories.time_s.tolist() == [1, 1, 5, 9]


def test_the_lines_of_one_order_are_one_step(histories):
    assert histories.step.tolist() == [0, 0, 1, 0]


def test_an_event_without_a_known_item_is_left_out(histories):
    assert len(histories.item) == 4


def test_missing_prices_are_not_zero_and_a_missing_quantity_is_one(histories):
    assert set(histories.price_micros.tolist()) == {-1}
    assert set(histories.quantity.tolist()) == {1}


def test_before_keeps_every_subject_and_nothing_from_the_cut_on(histories):
    past = histories.before(5)
    assert list(past.subjects) == ["u", "v"]
    assert past.offsets.tolist() == [0, 2, 2]
    assert histories.since(5).step.tolist() == [0, 0]


def test_select_takes_subjects_in_the_order_asked_for(histories):
    chosen = histories.select(np.array([1, 0]))
    assert list(chosen.subjects) == ["v", "u"]
    assert chosen.item.tolist() == [1, 0, 1, 0]


def test_an_unknown_subject_has_no_row(histories):
    assert (histories.row("v"), histories.row("w")) == (1, -1)


def test_no_events_are_no_subjects():
    empty = Histories.from_arrow(table([]), ITEMS)
    assert len(empty) == 0
    assert empty.offsets.tolist() == [0]


def test_codes_are_positions_in_the_list_of_kinds(histories):
    assert set(histories.action.tolist()) == {KIND_CODE["purchase"]}


row = st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(0, 9), st.sampled_from(["x", "y", None]))


@given(st.lists(row, max_size=12), st.integers(0, 10))
def test_a_cut_splits_every_history_in_two_and_loses_nothing(rows, cut):
    whole = Histories.from_arrow(table(rows), ITEMS)
    past, future = whole.before(cut), whole.since(cut)
    assert len(past.item) + len(future.item) == len(whole.item)
    assert (past.time_s < cut).all()
    assert (future.time_s >= cut).all()


@given(st.lists(row, max_size=12))
def test_steps_count_from_zero_without_gaps(rows):
    histories = Histories.from_arrow(table(rows), ITEMS)
    for start, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        assert sorted(set(histories.step[start:end].tolist())) == list(range(len(set(histories.step[start:end]))))
