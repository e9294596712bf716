"""Chance, time and ids are arguments: the same arguments give the same bytes."""

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.clock import FixedClock, SystemClock
from zhitou.core.ids import stable_id


def test_one_seed_gives_the_same_numbers_twice():
    assert np.array_equal(Chance(1).stream("a").random(5), Chance(1).stream("a").random(5))


def test_purposes_and_keys_have_streams_of_their_own():
    first = Chance(1).stream("a", 1).random()
    assert first != Chance(1).stream("a", 2).random()
    assert first != Chance(1).stream("b", 1).random()
    assert first != Chance(2).stream("a", 1).random()


def test_a_draw_elsewhere_changes_nothing_here():
    chance = Chance(3)
    chance.stream("other").random(100)
    assert chance.stream("a").random() == Chance(3).stream("a").random()


def test_a_child_is_not_its_parent():
    assert Chance(3).child("seed", 1).stream("a").random() != Chance(3).stream("a").random()


def test_a_fixed_clock_does_not_go_back():
    clock = FixedClock(10)
    clock.set_us(20)
    assert clock.now_us() == 20
    with pytest.raises(AssertionError, match="does not go back"):
        clock.set_us(19)


def test_the_system_clock_counts_microseconds():
    assert SystemClock().now_us() > 1_700_000_000_000_000


def test_an_id_follows_from_its_parts_and_their_borders():
    assert stable_id("e", "ab", "c") != stable_id("e", "a", "bc")
    assert stable_id("e", 1) == stable_id("e", "1")
