"""Counts of impressions by day."""

from __future__ import annotations

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.strategy.caps import DAY_US, Exposure


def book() -> AdBook:
    """Three ads: 0 and 1 of campaign 0, 2 of campaign 1."""
    camps = tuple(
        Campaign(f"c{n}", "a", "n", "EUR", Flight(0, 1, 1, 1), "clicks", 1, ("i",), Material("b", "b", "#000000"))
        for n in range(2)
    )
    return AdBook(
        ad_ids=("a", "b", "c"),
        campaigns=camps,
        item=np.arange(3, dtype=np.int32),
        campaign=np.asarray([0, 0, 1], dtype=np.int32),
        bid_micros=np.ones(3, dtype=np.int64),
        price_micros=np.ones(3, dtype=np.int64),
        channels=np.ones((3, 3), dtype=bool),
    )


def test_an_impression_counts_for_the_ad_and_its_campaign() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([5, 5, 0]), np.asarray([0, 1, 2]), DAY_US)
    ads, campaigns = exposure.seen(np.asarray([5, 0, 3]), DAY_US)
    assert ads.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert campaigns.tolist() == [[2, 0], [0, 1], [0, 0]]


def test_a_slate_counts_each_slot_and_no_empty_one() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([0, 1]), np.asarray([[2, 0], [1, -1]]), np.asarray([DAY_US, DAY_US]))
    ads, _ = exposure.seen(np.asarray([0, 1]), np.asarray([DAY_US, DAY_US]))
    assert ads.tolist() == [[1, 0, 1], [0, 1, 0]]


def test_the_counts_of_yesterday_do_not_count_today() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([0, 0]), np.asarray([0, 0]), np.asarray([2 * DAY_US - 1, 2 * DAY_US - 1]))
    assert exposure.seen(np.asarray([0]), 2 * DAY_US - 1)[0].tolist() == [[2, 0, 0]]
    assert exposure.seen(np.asarray([0]), 2 * DAY_US)[0].tolist() == [[0, 0, 0]]
    exposure.add(np.asarray([0]), np.asarray([1]), 2 * DAY_US)
    assert exposure.seen(np.asarray([0]), 2 * DAY_US)[0].tolist() == [[0, 1, 0]]


def test_an_impression_of_a_day_that_is_over_counts_nothing() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([0]), np.asarray([0]), 3 * DAY_US)
    exposure.add(np.asarray([0]), np.asarray([0]), 2 * DAY_US)
    assert exposure.seen(np.asarray([0]), 3 * DAY_US)[0].tolist() == [[1, 0, 0]]


def test_strangers_leave_no_counts_and_see_none() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([-1, 0]), np.asarray([0, 1]), DAY_US)
    ads, _ = exposure.seen(np.asarray([-1, 0]), DAY_US)
    assert ads.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_room_grows_by_doubling_and_keeps_the_counts() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([0]), np.asarray([0]), DAY_US)
    exposure.add(np.asarray([64]), np.asarray([1]), DAY_US)
    assert exposure._ad.shape == (128, 3)
    exposure.add(np.asarray([10_000]), np.asarray([2]), DAY_US)
    ads, _ = exposure.seen(np.asarray([0, 64, 10_000, 99_999]), DAY_US)
    assert ads.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_a_forgotten_shopper_has_seen_nothing() -> None:
    exposure = Exposure(book())
    exposure.add(np.asarray([0]), np.asarray([0]), DAY_US)
    exposure.forget(0)
    exposure.forget(77)
    assert not exposure.seen(np.asarray([0]), DAY_US)[0].any()


def test_counts_stop_where_their_integers_end() -> None:
    exposure = Exposure(book())
    exposure.add(np.zeros(40_000, dtype=np.int64), np.zeros(40_000, dtype=np.int64), DAY_US)
    assert exposure.seen(np.asarray([0]), DAY_US)[0][0, 0] == 32_767
