"""Channels' credit from all journeys: the fast ways agree with trying everything."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError
from zhitou.feedback.attribution import Orders, Touches
from zhitou.feedback.journeys import Journeys, journeys_of
from zhitou.feedback.removal import conversion_probability, markov, removal_effects, transition_counts
from zhitou.feedback.shapley import conversions_of_sets, shapley, shapley_values

SEARCH, MAIL, SOCIAL = range(3)


def journeys(*paths: tuple[list[int], bool]) -> Journeys:
    steps = [(n, channel) for n, (path, _) in enumerate(paths) for channel in path]
    return Journeys(
        np.array([n for n, _ in steps], dtype=np.int64),
        np.array([channel for _, channel in steps], dtype=np.int32),
        np.array([converted for _, converted in paths], dtype=bool),
    )


STORY = journeys(([SEARCH, MAIL], True), ([SEARCH], False), ([MAIL], True), ([SOCIAL, SEARCH], False))


def test_removal_effects_can_be_redone_by_hand():
    # From START half go to SEARCH, a quarter each to MAIL and SOCIAL. SOCIAL always goes on to SEARCH, SEARCH in one
    # of three to MAIL (else it ends), MAIL always converts: P = 1/2 x 1/3 + 1/4 + 1/4 x 1/3 = 1/2
    assert conversion_probability(transition_counts(STORY, 3)) == pytest.approx(1 / 2)
    # without SEARCH only those who start at MAIL are left (1/4), without MAIL nobody, without SOCIAL 1/2 x 1/3 + 1/4
    assert removal_effects(STORY, 3) == pytest.approx([1 / 2, 1.0, 1 - (1 / 6 + 1 / 4) * 2])


def test_sets_are_worth_the_orders_that_needed_no_other_channel():
    value = conversions_of_sets(STORY, 3)
    assert value.tolist() == [0, 0, 1, 2, 0, 0, 1, 2]  # bit 0 search, bit 1 mail, bit 2 social
    assert shapley_values(value).tolist() == [0.5, 1.5, 0.0]  # mail's own order, and half of the shared one


def test_without_an_order_no_channel_has_credit():
    nothing = journeys(([SEARCH, MAIL], False))
    assert removal_effects(nothing, 3).tolist() == [0, 0, 0]
    assert shapley_values(conversions_of_sets(nothing, 3)).tolist() == [0, 0, 0]
    empty = journeys()
    assert removal_effects(empty, 2).tolist() == [0, 0]


def test_more_than_twelve_channels_are_refused():
    with pytest.raises(ConfigError, match="got 13"):
        conversions_of_sets(STORY, 13)
    assert len(conversions_of_sets(STORY, 12)) == 4_096


def paths(channels: int):
    path = st.lists(st.integers(0, channels - 1), min_size=1, max_size=6)
    return st.lists(st.tuples(path, st.booleans()), max_size=25)


def by_all_orders_of_joining(value: np.ndarray, channels: int) -> np.ndarray:
    """What each channel adds when it joins, averaged over every order in which the channels can join."""
    total, count = np.zeros(channels), 0
    for order in permutations(range(channels)):
        before, count = 0, count + 1
        for channel in order:
            total[channel] += value[before | 1 << channel] - value[before]
            before |= 1 << channel
    return total / count


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5).flatmap(lambda k: st.tuples(st.just(k), paths(k))))
def test_shapley_values_are_the_average_over_all_orders_of_joining(given_paths):
    channels, some = given_paths
    value = conversions_of_sets(journeys(*some), channels)
    for chosen in range(2**channels):
        inside = [set(path) <= {k for k in range(channels) if chosen >> k & 1} for path, _ in some]
        assert value[chosen] == sum(ok and converted for ok, (_, converted) in zip(inside, some, strict=True))
    assert shapley_values(value) == pytest.approx(by_all_orders_of_joining(value, channels), abs=1e-12)


@pytest.mark.parametrize("channels", [7, 8])
def test_shapley_of_any_game_of_eight_is_the_average_over_all_orders_of_joining(channels):
    value = np.random.default_rng(channels).integers(-100, 100, 2**channels)
    values = shapley_values(value)
    assert values == pytest.approx(by_all_orders_of_joining(value, channels), abs=1e-9)
    assert values.sum() == pytest.approx(value[-1] - value[0], abs=1e-9)


def by_walking(some: list[tuple[list[int], bool]], channels: int, removed: int | None) -> float:
    """The chance to convert, by moving the crowd at START one step at a time until nobody moves any more."""
    steps: dict[object, list[object]] = {}
    for path, converted in some:
        for here, there in zip(["start", *path], [*path, "conversion" if converted else "null"], strict=True):
            steps.setdefault(here, []).append("null" if there == removed else there)
    crowd, arrived = {"start": 1.0}, 0.0
    for _ in range(2_000):
        following: dict[object, float] = {}
        for here, share in crowd.items():
            for there in steps[here]:
                following[there] = following.get(there, 0.0) + share / len(steps[here])
        arrived += following.pop("conversion", 0.0)
        following.pop("null", None)
        crowd = following
        if sum(crowd.values()) < 1e-15:
            break
    return arrived


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8).flatmap(lambda k: st.tuples(st.just(k), paths(k).filter(bool))))
def test_removal_effects_are_what_walking_the_chain_gives(given_paths):
    channels, some = given_paths
    effects = removal_effects(journeys(*some), channels)
    everything = by_walking(some, channels, None)
    assert conversion_probability(transition_counts(journeys(*some), channels)) == pytest.approx(everything, abs=1e-9)
    for channel in range(channels):
        left = by_walking(some, channels, channel)
        assert effects[channel] == pytest.approx(1 - left / everything if everything else 0.0, abs=1e-9)


def test_clicks_that_led_to_no_order_are_journeys_of_their_own():
    touches = Touches(
        subject=np.asarray(["ann", "ann", "ann", "bob", "bob", "", ""], dtype=object),
        time_us=np.array([0, 95, 99, 10, 20, 10, 11]),
        campaign=np.zeros(7, dtype=np.int32),
        channel=np.array([0, 1, 2, 0, 1, 2, 2], dtype=np.int32),
    )
    orders = Orders(np.asarray(["ann", "cat"], dtype=object), np.array([100, 100]), np.array([9, 9]))
    found = journeys_of(orders, touches, window_us=50, channels=3)
    runs = [found.channel[found.journey == n].tolist() for n in range(len(found))]
    assert runs[0] == [1, 2]  # ann's clicks before her order; cat's order has none
    assert sorted(runs[1:]) == [[0], [0, 1], [2], [2]]  # ann's old click, bob's two, and two that are nobody's
    assert found.converted.tolist() == [True] + [False] * 4


def test_the_channel_without_which_most_is_lost_gets_most_of_a_shared_order():
    # mail alone sells to bob and cat; search only ever came before mail
    subject = np.asarray(["ann", "ann", "bob", "cat", "dan"], dtype=object)
    touches = Touches(subject, np.array([1, 2, 1, 1, 1]), np.zeros(5, np.int32), np.array([0, 1, 1, 1, 0], np.int32))
    orders = Orders(np.asarray(["ann", "bob", "cat"], dtype=object), np.full(3, 5), np.array([300, 100, 100]))
    # by Shapley search has half an order, mail two and a half: 300 x 1/6 and 300 x 5/6
    assert shapley(orders, touches, 10, 2).value_micros.tolist() == [50, 250, 100, 100]
    # P = 1/2 x 1/2 + 1/2 = 3/4; without search 1/2, an effect of 1/3; without mail nothing, an effect of 1: 1 to 3
    assert markov(orders, touches, 10, 2).value_micros.tolist() == [75, 225, 100, 100]
