"""Credit is a rule of bookkeeping, and it adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.feedback.attribution import Orders, Touches, last_touch, linear

TOUCHES = Touches(
    subject=np.asarray(["ann", "bob", "ann", "ann"], dtype=object),
    time_us=np.array([10, 10, 20, 40]),
    campaign=np.array([0, 1, 1, 2], dtype=np.int32),
)
ORDERS = Orders(
    subject=np.asarray(["ann", "cat", "bob"], dtype=object),
    time_us=np.array([30, 30, 111]),
    value_micros=np.array([101, 7, 50]),
)


def test_the_last_click_before_an_order_takes_all():
    credits = last_touch(ORDERS, TOUCHES, window_us=100)
    assert credits.order.tolist() == [0]
    assert credits.touch.tolist() == [2]  # not the click at 40, which came after
    assert credits.value_micros.tolist() == [101]
    assert credits.organic.tolist() == [False, True, True]  # bob's click is 101 old


def test_linear_credit_is_in_equal_parts_to_the_last_micro():
    credits = linear(ORDERS, TOUCHES, window_us=100)
    assert credits.touch.tolist() == [0, 2]
    assert credits.weight.tolist() == [0.5, 0.5]
    assert credits.value_micros.tolist() == [51, 50]


def test_credit_is_called_attributed():
    assert last_touch(ORDERS, TOUCHES, 100).label == linear(ORDERS, TOUCHES, 100).label == "attributed"


def test_campaigns_get_the_sum_of_their_touches():
    orders, value = linear(ORDERS, TOUCHES, 100).by_campaign(TOUCHES, 3)
    assert orders.tolist() == [0.5, 0.5, 0.0]
    assert value.tolist() == [51, 50, 0]


PEOPLE = st.sampled_from(["ann", "bob", "cat"])
ROWS = st.lists(st.tuples(PEOPLE, st.integers(0, 50), st.integers(0, 9)), max_size=30)


def _columns(rows):
    return (
        np.asarray([r[0] for r in rows], dtype=object),
        np.asarray([r[1] for r in rows], dtype=np.int64),
        np.asarray([r[2] for r in rows], dtype=np.int64),
    )


@settings(max_examples=150, deadline=None)
@given(ROWS, ROWS, st.integers(0, 60), st.sampled_from([last_touch, linear]))
def test_the_weights_of_an_order_sum_to_one_and_its_money_to_its_value(orders, touches, window, method):
    who, when, value = _columns(orders)
    subject, time_us, campaign = _columns(touches)
    order, touch = Orders(who, when, value), Touches(subject, time_us, campaign.astype(np.int32))
    credits = method(order, touch, window)
    weights = np.bincount(credits.order, credits.weight, len(orders))
    paid = np.bincount(credits.order, credits.value_micros, len(orders))
    for n in range(len(orders)):
        fits = [(subject[t] == who[n]) and when[n] - window <= time_us[t] <= when[n] for t in range(len(touches))]
        assert credits.organic[n] == (not any(fits))
        assert weights[n] == pytest.approx(1.0 if any(fits) else 0.0, abs=1e-12)
        assert paid[n] == (value[n] if any(fits) else 0)
        assert all(fits[t] for t in credits.touch[credits.order == n])
