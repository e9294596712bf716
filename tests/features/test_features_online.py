"""Numbers of the online features that one can redo by hand, and the manners of the object that holds them."""

from dataclasses import replace
from math import log

import numpy as np
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.events.schema import KIND_CODE
from zhitou.features.fatigue import REMEMBERED
from zhitou.features.online import OnlineFeatures

HOUR, DAY = 3_600, 86_400
T0 = 1_700_006_400  # midnight UTC
MILK_AD, TOWEL_AD = 0, 1


class Shop:
    """Writes facts in words and reads one column of one ad."""

    def __init__(self, items, book):
        self.items, self.features = items, OnlineFeatures(items, book, Chance(1))

    def happens(self, shopper, kind, time_s, *, item=None, ad=-1, price=-1, times=1):
        row = -1 if shopper is None else self.features.subject_row(shopper)
        number = -1 if item is None else self.items.row(item)
        one = ([row], [KIND_CODE[kind]], [number], [ad], [time_s], [price])
        self.features.write(*(column * times for column in one))

    def value(self, shopper, time_s, name, ad=MILK_AD):
        row = -1 if shopper is None else self.features.subject_row(shopper)
        answer = self.features.value(np.array([row]), np.array([time_s]))
        return float(answer[0, ad, self.features.names.index(name)])


@pytest.fixture
def shop(items, book):
    return Shop(items, book)


def test_hours_since_the_last_purchase_count_from_the_last_one(shop):
    shop.happens("ann", "purchase", T0, item="milk")
    shop.happens("ann", "purchase", T0 + 5 * HOUR, item="milk")
    assert shop.value("ann", T0 + 7 * HOUR, "item_purchase_hours_log") == pytest.approx(log(1 + 2))


def test_never_bought_looks_like_a_year_ago(shop):
    shop.happens("ann", "purchase", T0, item="toast")
    assert shop.value("ann", T0 + HOUR, "item_purchase_hours_log") == pytest.approx(log(1 + 8760))


def test_a_view_is_an_act_in_the_category_and_no_purchase(shop):
    shop.happens("ann", "view", T0, item="milk")
    assert shop.value("ann", T0 + HOUR, "type_event_hours_log") == pytest.approx(log(2))
    assert shop.value("ann", T0 + HOUR, "item_purchases_log") == 0


def test_due_ness_is_time_since_the_last_purchase_in_own_intervals(shop):
    for day in (0, 10, 20):
        shop.happens("ann", "purchase", T0 + day * DAY, item="milk", times=3)
    assert shop.value("ann", T0 + 25 * DAY, "item_dueness") == pytest.approx(5 / 10)
    assert shop.value("ann", T0 + 90 * DAY, "item_dueness") == pytest.approx(4)
    assert shop.value("bob", T0 + 91 * DAY, "item_dueness") == 0


def test_purchases_are_counted_on_a_log_scale(shop):
    shop.happens("ann", "purchase", T0, item="milk", times=4)
    assert shop.value("ann", T0 + 1, "item_purchases_log") == pytest.approx(log(5))


def test_taste_is_the_own_share_smoothed_to_everybodys(shop):
    """Ann bought 30 dairy, Bob 10 bath; dairy has code 3 of 4 categories (unknown, bath, bread, dairy)."""
    shop.happens("ann", "purchase", T0, item="butter", times=30)
    shop.happens("bob", "purchase", T0, item="towel", times=10)
    usual = (30 + 1) / (40 + 4)
    own = (30 + 20 * usual) / (30 + 20)
    assert shop.value("ann", T0 + 1, "category_share_log") == pytest.approx(log(own), abs=1e-4)
    assert shop.value("ann", T0 + 1, "category_lift_log") == pytest.approx(log(own / usual), abs=1e-4)
    assert shop.value(None, T0 + 1, "category_share_log") == pytest.approx(log(usual), abs=1e-4)


def test_an_old_taste_counts_half_after_ninety_days(shop):
    shop.happens("ann", "purchase", T0, item="butter", times=40)
    shop.happens("ann", "purchase", T0 + 90 * DAY, item="towel", times=20)
    at_s = T0 + 90 * DAY + 1
    assert shop.value("ann", at_s, "category_share_log", MILK_AD) == pytest.approx(log(1 / 2), abs=0.02)


def test_the_very_next_second_knows_of_a_click_and_the_same_second_does_not(shop):
    shop.happens("ann", "click", T0, ad=MILK_AD)
    assert shop.value("ann", T0, "item_clicks_log") == 0
    assert shop.value("ann", T0 + 1, "item_clicks_log") == pytest.approx(log(2), abs=1e-4)
    assert shop.value("ann", T0 + 2, "category_clicks_log", TOWEL_AD) == 0


def test_clicks_fade_by_half_in_twelve_hours_and_in_a_week(shop):
    shop.happens("ann", "click", T0, ad=MILK_AD)
    shop.happens("ann", "click", T0 + 12 * HOUR, ad=MILK_AD)
    assert shop.value("ann", T0 + 24 * HOUR, "item_clicks_log") == pytest.approx(log(1 + 1 / 4 + 1 / 2))
    shop.happens("bob", "view", T0, item="butter")
    assert shop.value("bob", T0 + 7 * DAY, "category_clicks_week_log") == pytest.approx(log(1.5))


def test_the_click_rate_of_an_ad_leans_on_its_campaign_and_the_campaign_on_all(shop):
    shop.happens(None, "impression", T0, ad=MILK_AD, times=300)
    shop.happens(None, "impression", T0, ad=TOWEL_AD, times=100)
    shop.happens(None, "click", T0, ad=MILK_AD, times=12)
    overall = (12 + 100 * 0.02) / (400 + 100)
    campaign = (12 + 200 * overall) / (400 + 200)
    milk, towel = (12 + 100 * campaign) / (300 + 100), (0 + 100 * campaign) / (100 + 100)
    assert shop.value("ann", T0 + 1, "ad_click_rate_log", MILK_AD) == pytest.approx(log(milk))
    assert shop.value("ann", T0 + 1, "ad_click_rate_log", TOWEL_AD) == pytest.approx(log(towel))
    assert shop.value("ann", T0 + 1, "shopper_click_rate_log") == pytest.approx(log(overall))


def test_conversions_are_counted_against_clicks(shop):
    shop.happens(None, "click", T0, ad=MILK_AD, times=20)
    shop.happens(None, "conversion", T0, ad=MILK_AD, times=4)
    overall = (4 + 20 * 0.05) / (20 + 20)
    campaign = (4 + 20 * overall) / (20 + 20)
    expected = log((4 + 20 * campaign) / (20 + 20))
    assert shop.value("ann", T0 + 1, "ad_conversion_rate_log", MILK_AD) == pytest.approx(expected)


def test_a_conversion_is_no_second_purchase(shop):
    shop.happens("ann", "purchase", T0, item="milk")
    shop.happens("ann", "conversion", T0, item="milk", ad=MILK_AD)
    assert shop.value("ann", T0 + 1, "item_purchases_log") == pytest.approx(log(2))


def test_fatigue_counts_the_last_twenty_four_hours_of_this_ad(shop):
    for hour in (0, 1, 20):
        shop.happens("ann", "impression", T0 + hour * HOUR, ad=MILK_AD)
    shop.happens("ann", "impression", T0 + 2 * HOUR, ad=TOWEL_AD)
    assert shop.value("ann", T0 + 23 * HOUR, "ad_impressions_day") == 3
    assert shop.value("ann", T0 + 24 * HOUR + 1, "ad_impressions_day") == 2
    assert shop.value("ann", T0 + 24 * HOUR + 2, "ad_impressions_log") == pytest.approx(log(1 + 3))
    assert shop.value("bob", T0 + 24 * HOUR + 3, "ad_impressions_day") == 0


def test_the_latest_impressions_push_the_oldest_out_of_the_day(shop):
    shop.happens("ann", "impression", T0, ad=MILK_AD, times=5)
    shop.happens("ann", "impression", T0 + 1, ad=TOWEL_AD, times=REMEMBERED - 2)
    assert shop.value("ann", T0 + 2, "ad_impressions_day", MILK_AD) == 2
    assert shop.value("ann", T0 + 3, "ad_impressions_log", MILK_AD) == pytest.approx(log(6))


def test_popularity_is_the_share_of_all_purchases_of_five_items(shop):
    shop.happens("ann", "purchase", T0, item="milk", times=3)
    shop.happens(None, "purchase", T0, item="toast", times=7)
    assert shop.value("bob", T0 + 1, "item_popularity_log") == pytest.approx(log((3 + 1) / (10 + 5)))
    later = T0 + 28 * DAY
    assert shop.value("bob", later, "item_popularity_recent_log") == pytest.approx(log((1.5 + 1) / (5 + 5)))


def test_the_price_is_held_against_what_the_shopper_pays_in_the_category(shop):
    """Ann pays 4.00 in dairy; milk costs 1.00. All dairy is Ann's, so the usual price is hers."""
    shop.happens("ann", "purchase", T0, item="butter", price=4_000_000, times=3)
    assert shop.value("ann", T0 + 1, "price_ratio_log") == pytest.approx(log(1 / 4), abs=1e-5)
    assert shop.value("ann", T0 + 1, "price_ratio_log", TOWEL_AD) == 0  # nobody bought bath
    shop.happens("bob", "purchase", T0 + 1, item="milk", price=1_000_000, times=3)
    means = 3 * log(4) / 6
    bob = 5 * means / (3 + 5)
    assert shop.value("bob", T0 + 2, "price_ratio_log") == pytest.approx(log(1) - bob, abs=1e-4)


def test_the_part_of_the_day_is_lifted_for_who_shops_then(shop):
    shop.happens("ann", "purchase", T0 + 1 * HOUR, item="milk", times=40)
    shop.happens("bob", "purchase", T0 + 9 * HOUR, item="toast", times=40)
    usual = (40 + 1) / (80 + 6)
    expected = log((40 + 20 * usual) / (40 + 20) / usual)
    assert shop.value("ann", T0 + DAY + 2 * HOUR, "shopper_hour_lift_log") == pytest.approx(expected, abs=1e-5)
    assert shop.value("ann", T0 + DAY + 9 * HOUR, "shopper_hour_lift_log") < 0
    assert shop.value("bob", T0 + 2 * DAY + 2 * HOUR, "category_hour_lift_log", MILK_AD) > 0


def test_the_canary_is_uniform_and_follows_the_seed(items, book):
    rows, times = np.arange(-1, 199), np.repeat(T0, 200)
    values = []
    for seed in (1, 1, 2):
        features = OnlineFeatures(items, book, Chance(seed))
        features.subject_rows([f"s{i}" for i in range(199)])
        values.append(features.value(rows, times)[..., features.names.index("random_number")])
    assert values[0].tobytes() == values[1].tobytes()
    assert not np.array_equal(values[0], values[2])
    assert len(np.unique(values[0])) == 400
    assert values[0].mean() == pytest.approx(0.5, abs=4 * (1 / 12) ** 0.5 / 400**0.5)


def test_facts_written_ahead_wait_for_their_time(shop):
    shop.happens("ann", "purchase", T0 + 10, item="milk")
    assert shop.value("ann", T0 + 5, "item_purchases_log") == 0
    assert shop.value("ann", T0 + 11, "item_purchases_log") > 0


def test_a_question_about_the_past_is_refused_and_says_why(shop):
    shop.happens("ann", "purchase", T0, item="milk")
    shop.value("ann", T0 + 1, "item_purchases_log")
    assert shop.features.latest_s == T0
    with pytest.raises(AssertionError, match="later than every fact"):
        shop.value("ann", T0, "item_purchases_log")


def test_a_fact_that_names_only_an_ad_is_about_its_item(shop):
    shop.happens("ann", "purchase", T0, ad=TOWEL_AD)
    assert shop.value("ann", T0 + 1, "item_purchases_log", TOWEL_AD) == pytest.approx(log(2))


def test_unknown_shoppers_count_for_the_shop_alone(shop):
    shop.happens(None, "purchase", T0, item="milk", times=10)
    assert shop.value(None, T0 + 1, "item_purchases_log") == 0
    assert shop.value(None, T0 + 1, "item_popularity_log") == pytest.approx(log(11 / 15))


def test_rows_are_kept_while_the_arrays_grow(shop):
    shop.happens("first", "purchase", T0, item="milk", times=2)
    before = shop.value("first", T0 + 1, "item_purchases_log")
    assert shop.features.subject_rows([f"s{i}" for i in range(1_000)]).tolist() == list(range(1, 1_001))
    assert shop.features.subject_row("first") == 0
    assert shop.value("first", T0 + 2, "item_purchases_log") == before
    assert shop.value("s999", T0 + 3, "item_purchases_log") == 0


def test_histories_load_like_facts_written_one_by_one(shop, items, book, make_events):
    rows = [
        ("ann", "purchase", "milk", T0, "o1", 1_000_000),
        ("ann", "purchase", "towel", T0, "o1", 9_000_000),
        ("bob", "view", "milk", T0 + 60),
        ("ann", "purchase", "milk", T0 + 5 * DAY, "o2", None),
    ]
    for subject, kind, item, time_s, _, price in [(*row, *[None] * (6 - len(row))) for row in rows]:
        shop.happens(subject, kind, time_s, item=item, price=-1 if price is None else price)
    loaded = OnlineFeatures(items, book, Chance(1))
    loaded.load(Histories.from_arrow(make_events(rows), items))
    at = (np.array([-1, 0, 1]), np.full(3, T0 + 6 * DAY))
    np.testing.assert_array_equal(loaded.value(*at), shop.features.value(*at))


def test_a_forgotten_shopper_is_unknown_under_the_old_row_and_new_under_the_name(shop):
    shop.happens("ann", "purchase", T0, item="milk")
    old = shop.features.subject_row("ann")
    shop.value("ann", T0 + 1, "item_purchases_log")
    shop.happens("ann", "purchase", T0 + 5, item="milk")  # waiting when the wish comes
    assert shop.features.forget("ann")
    assert not shop.features.forget("ann")
    assert shop.features.subject_row("ann") != old
    shop.features.write([old], [KIND_CODE["purchase"]], [0], [-1], [T0 + 6], [-1])
    values = shop.features.value(np.array([old, 1]), np.full(2, T0 + 9))
    assert (values[..., shop.features.names.index("item_purchases_log")] == 0).all()


def test_an_empty_book_and_no_questions_give_empty_answers(items, book):
    none = AdBook.build((replace(book.campaigns[0], items=()),), items)
    features = OnlineFeatures(items, none, Chance(1))
    features.write([-1], [KIND_CODE["purchase"]], [0], [-1], [T0], [-1])
    assert features.value(np.array([-1]), np.array([T0 + 1])).shape == (1, 0, len(features.names))
    full = OnlineFeatures(items, book, Chance(1))
    assert full.value(np.zeros(0, int), np.zeros(0, int)).shape == (0, 2, len(full.names))


@pytest.mark.parametrize(
    ("place", "bad"), [(0, [0]), (1, [99]), (2, [5]), (3, [2])], ids=["row", "kind", "item", "ad"]
)
def test_facts_about_what_does_not_exist_are_refused(items, book, place, bad):
    features = OnlineFeatures(items, book, Chance(1))
    facts = [[-1], [0], [0], [0], [T0], [-1]]
    facts[place] = bad
    with pytest.raises(AssertionError):
        features.write(*facts)


def test_names_of_columns_are_all_different(items, book):
    names = OnlineFeatures(items, book, Chance(1)).names
    assert len(set(names)) == len(names)


def test_a_fork_goes_its_own_way(shop):
    shop.happens("ann", "purchase", T0, item="milk")
    shop.happens("ann", "purchase", T0 + 50, item="milk")  # still waiting when the ways part
    shop.value("ann", T0 + 1, "item_purchases_log")
    twin = shop.features.fork()
    shop.happens("ann", "purchase", T0 + 60, item="milk")
    shop.happens("bob", "purchase", T0 + 60, item="milk")
    place = twin.names.index("item_purchases_log")
    assert shop.value("ann", T0 + 100, "item_purchases_log") == pytest.approx(log(4))
    assert twin.value(np.array([0]), np.array([T0 + 100]))[0, MILK_AD, place] == pytest.approx(log(3))
    assert shop.features.knows("bob")
    assert not twin.knows("bob")
