"""Credit is a rule of bookkeeping, and it adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.feedback.attribution import (
    Orders,
    Touches,
    by_channel_credit,
    last_touch,
    linear,
    position_based,
    time_decay,
)
from zhitou.feedback.removal import markov
from zhitou.feedback.shapley import shapley

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


def clicks(*times: int, channel: tuple[int, ...] = ()) -> Touches:
    """Ann's clicks, each of its own campaign."""
    who = np.asarray(["ann"] * len(times), dtype=object)
    channels = np.asarray(channel or [0] * len(times), dtype=np.int32)
    return Touches(who, np.asarray(times), np.arange(len(times), dtype=np.int32), channels)


def order(value_micros: int, time_us: int = 100) -> Orders:
    return Orders(np.asarray(["ann"], dtype=object), np.array([time_us]), np.array([value_micros]))


def test_the_first_and_the_last_touch_take_most_and_the_rest_share_what_is_left():
    credits = position_based(order(100), clicks(1, 2, 3, 4), 100)
    assert credits.weight == pytest.approx([0.4, 0.1, 0.1, 0.4])
    assert credits.value_micros.tolist() == [40, 10, 10, 40]
    other = position_based(order(100), clicks(1, 2, 3), 100, shares=(0.5, 0.0, 0.5))
    assert other.value_micros.tolist() == [50, 0, 50]


def test_with_two_touches_first_and_last_share_alone_and_one_takes_all():
    assert position_based(order(100), clicks(1, 2), 100, (0.6, 0.2, 0.2)).value_micros.tolist() == [75, 25]
    assert position_based(order(100), clicks(1), 100).value_micros.tolist() == [100]


def test_shares_that_are_no_shares_are_refused():
    for shares in ((0.5, 0.5, 0.5), (1.2, -0.4, 0.2)):
        with pytest.raises(ConfigError, match="sum to 1"):
            position_based(order(100), clicks(1), 100, shares)


def test_a_touch_one_half_life_older_counts_half():
    credits = time_decay(order(700), clicks(70, 80, 90), 100, half_life_us=10)
    assert credits.weight == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert credits.value_micros.tolist() == [100, 200, 400]
    ancient = time_decay(order(9, 10**9), clicks(0, 10), 10**9, half_life_us=1)  # 2**-1e9 is no number
    assert ancient.weight == pytest.approx([1 / 1025, 1024 / 1025])
    with pytest.raises(ConfigError, match="half-life"):
        time_decay(order(9), clicks(1), 100, half_life_us=0)


def test_micros_that_rounding_leaves_go_to_whom_it_took_most_from():
    # 10 x (1/7, 2/7, 4/7) = 1.43, 2.86, 5.71: rounded down 1, 2, 5, the two left to .86 and .71
    assert time_decay(order(10), clicks(70, 80, 90), 100, half_life_us=10).value_micros.tolist() == [1, 3, 6]


def test_channels_share_an_order_by_their_credit_and_touching_twice_earns_no_more():
    touches = clicks(1, 2, 3, channel=(0, 1, 0))
    credits = by_channel_credit(order(100), touches, 100, np.array([0.3, 0.1, 5.0]), "mine")
    assert credits.weight == pytest.approx([0.375, 0.25, 0.375])
    assert credits.by_channel(touches, 3)[1].tolist() == [75, 25, 0]
    nobody = by_channel_credit(order(100), touches, 100, np.zeros(3), "mine")
    assert nobody.by_channel(touches, 3)[1].tolist() == [50, 50, 0]


def test_channels_must_be_given_where_they_are_compared():
    with pytest.raises(SchemaError, match="got none"):
        markov(ORDERS, TOUCHES, 100, channels=2)
    with pytest.raises(SchemaError, match="from 0 to 1, got 0 to 2"):
        shapley(order(1), clicks(1, 2, channel=(0, 2)), 100, channels=2)


def test_nobodys_orders_are_not_nobodys_clicks():
    nobody = np.asarray([""], dtype=object)
    one = np.ones(1, dtype=np.int64)
    credits = linear(Orders(nobody, one, one), Touches(nobody, one, one.astype(np.int32)), 100)
    assert credits.organic.tolist() == [True]


METHODS = {
    "last touch": last_touch,
    "linear": linear,
    "position based": position_based,
    "time decay": lambda o, t, w: time_decay(o, t, w, half_life_us=7),
    "markov removal effect": lambda o, t, w: markov(o, t, w, channels=3),
    "shapley": lambda o, t, w: shapley(o, t, w, channels=3),
}


def test_credit_is_called_attributed():
    for name, method in METHODS.items():
        credits = method(order(1), clicks(1, 2), 100)
        assert (credits.method, credits.label) == (name, "attributed")


def test_campaigns_get_the_sum_of_their_touches():
    orders, value = linear(ORDERS, TOUCHES, 100).by_campaign(TOUCHES, 3)
    assert orders.tolist() == [0.5, 0.5, 0.0]
    assert value.tolist() == [51, 50, 0]


PEOPLE = st.sampled_from(["ann", "bob", "cat"])
ROWS = st.lists(st.tuples(PEOPLE, st.integers(0, 50), st.integers(0, 9)), max_size=30)


BOUGHT = st.lists(st.tuples(PEOPLE, st.integers(0, 50), st.integers(0, 2**60)), max_size=30)


def _columns(rows):
    return (
        np.asarray([r[0] for r in rows], dtype=object),
        np.asarray([r[1] for r in rows], dtype=np.int64),
        np.asarray([r[2] for r in rows], dtype=np.int64),
    )


@settings(max_examples=100, deadline=None)
@given(BOUGHT, ROWS, st.integers(0, 60), st.sampled_from(sorted(METHODS)))
def test_the_weights_of_an_order_sum_to_one_and_its_money_to_its_value(orders, touches, window, method):
    who, when, value = _columns(orders)
    subject, time_us, campaign = _columns(touches)
    channel = (campaign % 3).astype(np.int32)
    touch = Touches(subject, time_us, campaign.astype(np.int32), channel)
    credits = METHODS[method](Orders(who, when, value), touch, window)
    weights = np.bincount(credits.order, credits.weight, len(orders))
    paid = np.zeros(len(orders), dtype=np.int64)
    np.add.at(paid, credits.order, credits.value_micros)
    assert (credits.value_micros >= 0).all()
    for n in range(len(orders)):
        fits = [(subject[t] == who[n]) and when[n] - window <= time_us[t] <= when[n] for t in range(len(touches))]
        assert credits.organic[n] == (not any(fits))
        assert weights[n] == pytest.approx(1.0 if any(fits) else 0.0, abs=1e-12)
        assert paid[n] == (value[n] if any(fits) else 0)
        assert all(fits[t] for t in credits.touch[credits.order == n])
