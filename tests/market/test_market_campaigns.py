"""Advertisers made from what sells."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.market.campaigns import CONTRAST_MIN, brand_colour, contrast_with_white, demo_campaigns

DAY = 86_400


def test_campaigns_hold_items_of_one_brand_and_category(shop):
    for campaign in shop.campaigns:
        rows = [shop.items.row(item) for item in campaign.items]
        assert len({int(shop.items.brand[r]) for r in rows}) == 1
        assert len({int(shop.items.category[r, 1]) for r in rows}) == 1


def test_a_group_of_fewer_than_three_items_does_not_advertise(shop):
    assert {c.advertiser for c in shop.campaigns} == {"acme"}  # bolt has one item of each type
    assert all(len(c.items) == 3 for c in shop.campaigns)


def test_the_best_sellers_of_the_lookback_come_first(make_items, make_purchases):
    items = make_items([(f"i{n}", "a > b > c", "acme", 1_000_000) for n in range(5)])
    sales = {0: 1, 1: 5, 2: 3, 3: 9}
    lines = [(0, item, 100 * DAY - 3_600 * n) for item, count in sales.items() for n in range(1, count + 1)]
    lines += [(0, 4, 150 * DAY)] * 50  # after the start: nobody knows
    histories, flight = make_purchases(lines, 1), {"start_s": 100 * DAY, "days": 7}
    campaigns = demo_campaigns(histories, items, **flight, items_per_campaign=3, chance=Chance(0))
    assert [c.items for c in campaigns] == [("i3", "i1", "i2")]


def test_a_promoted_item_goes_first_among_equals(make_items, make_purchases):
    items = make_items([(f"i{n}", "a > b > c", "acme", 1_000_000) for n in range(3)])
    histories = make_purchases([(0, n, 99 * DAY) for n in range(3)], 1)
    promotions = pa.table({"item": ["i2"], "week": [1], "stores_display": [1], "stores_mailer": [0]})
    (campaign,) = demo_campaigns(histories, items, start_s=100 * DAY, days=7, promotions=promotions, chance=Chance(0))
    assert campaign.items == ("i2", "i0", "i1")


def test_without_categories_the_last_word_of_the_title_makes_the_group(make_items, make_purchases):
    items = make_items([(f"i{n} bag", None, None, 1_000_000) for n in range(3)])
    histories = make_purchases([(0, n, 99 * DAY) for n in range(3)], 1)
    (campaign,) = demo_campaigns(histories, items, start_s=100 * DAY, days=7, chance=Chance(0))
    assert campaign.advertiser == "Bag"


def test_money_is_whole_micros_and_every_other_budget_is_tight(shop):
    for number, campaign in enumerate(shop.campaigns):
        flight = campaign.flight
        for amount in (campaign.bid_micros, flight.budget_micros_total, flight.budget_micros_daily):
            assert isinstance(amount, int)
        assert campaign.bid_micros <= flight.budget_micros_daily <= flight.budget_micros_total
        spend = 40 * 10 / 7 * 7 * 2 * 0.015 / len(shop.campaigns) * 0.7 * campaign.bid_micros
        if spend > campaign.bid_micros * 3:
            assert (flight.budget_micros_total < spend) == (number % 2 == 1)
    assert {c.objective for c in shop.campaigns} <= {"clicks", "conversions"}


def test_the_same_seed_makes_the_same_advertisers(shop):
    again = demo_campaigns(shop.histories, shop.items, start_s=shop.start_s, days=7, count=4, chance=Chance(1))
    assert again == shop.campaigns


def test_a_shop_that_sold_nothing_has_no_advertisers(shop):
    empty = shop.histories.keep(np.zeros(len(shop.histories.item), dtype=bool))
    with pytest.raises(SourceError, match="found none"):
        demo_campaigns(empty, shop.items, start_s=shop.start_s, days=7, chance=Chance(0))


@given(st.text(max_size=20))
def test_a_brands_colour_always_reads_on_white(name):
    colour = brand_colour(name)
    assert len(colour) == 7
    assert contrast_with_white(colour) >= CONTRAST_MIN
    assert colour == brand_colour(name)


def test_black_on_white_has_the_greatest_contrast():
    assert contrast_with_white("#000000") == pytest.approx(21.0)
    assert contrast_with_white("#ffffff") == pytest.approx(1.0)
