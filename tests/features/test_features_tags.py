"""Profiles: numbers by hand, tags by lift, sentences a shopper can read."""

import numpy as np
import pytest

from zhitou.core.errors import NotFoundError, SourceError
from zhitou.features.acts import POINT, Acts
from zhitou.features.tags import Profiles, build_profiles, describe, long_names, quintiles, short_names

DAY = 86_400
T0 = 1_700_006_400  # midnight UTC
CUT = T0 + 100 * DAY


@pytest.fixture
def events(make_events):
    """Ann: two mornings, ten days apart, dairy. Bob: one evening, bath. Both at the cut's eve."""
    rows = []
    for day, order in ((80, "o1"), (90, "o2")):
        at_s = T0 + day * DAY + 8 * 3_600
        rows += [("ann", "purchase", "milk", at_s, order, 1_000_000, 2)] * 3
        rows += [("ann", "purchase", "butter", at_s, order, 2_000_000, 1)]
    rows += [("bob", "purchase", "towel", T0 + 99 * DAY + 20 * 3_600, "o3", 8_000_000, 1)] * 4
    rows += [("cyd", "view", "toast", T0 + 50 * DAY)]
    return make_events(rows)


@pytest.fixture
def profiles(events, items):
    return build_profiles(Acts.build(events, items, CUT), items, threads=1)


def test_recency_frequency_and_money_are_counted_from_orders(profiles):
    ann = profiles.row("ann")
    assert ann["orders"] == 2
    assert ann["lines_per_order"] == 4
    assert ann["spend_micros"] == 2 * (3 * 2 * 1_000_000 + 2_000_000)
    assert ann["interval_days_median"] == 10
    assert ann["last_s"] == T0 + 90 * DAY + 8 * 3_600


def test_a_shopper_who_only_looked_has_no_orders_and_no_interval(profiles):
    cyd = profiles.row("cyd")
    assert cyd["orders"] == 0
    assert cyd["lines_per_order"] is None
    assert cyd["interval_days_median"] is None
    assert cyd["tags"] == []
    assert cyd["last_categories"] == ["bread"]


def test_tags_say_what_tells_a_shopper_apart(profiles):
    bath = next(t for t in profiles.row("bob")["tags"] if t["kind"] == "category")
    assert bath["tag"] == "bath"
    assert bath["weight"] == 1
    points = {day: 2.0 ** (-(100 - day) / 90) for day in (80 + 8 / 24, 90 + 8 / 24, 99 + 20 / 24)}
    ann, bob = (4 * points[80 + 8 / 24] + 4 * points[90 + 8 / 24]), 4 * points[99 + 20 / 24]
    cyd = 0.1 * 2.0 ** (-50 / 90)
    assert bath["lift"] == pytest.approx(1 / (bob / (ann + bob + cyd)), rel=1e-5)


def test_time_of_day_and_price_level_and_brand_are_tags_too(profiles):
    tags = {(t["kind"], t["tag"]) for t in profiles.row("ann")["tags"]}
    assert {("category", "dairy"), ("brand", "own"), ("time", "morning")} <= tags
    assert ("time", "evening") in {(t["kind"], t["tag"]) for t in profiles.row("bob")["tags"]}


def test_what_everybody_does_is_no_tag(items, make_events):
    rows = [(s, "purchase", "milk", T0, s, 1_000_000, 1) for s in ("ann", "bob") for _ in range(5)]
    profiles = build_profiles(Acts.build(make_events(rows), items, CUT), items, threads=1)
    assert profiles.row("ann")["tags"] == []


def test_equal_values_share_a_quintile():
    assert quintiles(np.array([1, 1, 1, 1, 9])).tolist() == [1, 1, 1, 1, 5]
    assert quintiles(np.arange(10)).tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_sentences_hold_the_facts(profiles):
    ann = " ".join(profiles.describe("ann"))
    assert "2 orders, 4.0 lines and 8.00 EUR each; last seen 10 days before the cut." in ann
    assert "about every 10.0 days" in ann
    assert "Strong in dairy (100% of acts" in ann
    assert "Last seen 50 days before the cut." in describe(profiles.row("cyd"), CUT, "EUR")


def test_profiles_come_back_from_disk_as_they_went(profiles, tmp_path):
    profiles.write(tmp_path)
    again = Profiles.read(tmp_path)
    assert again.table.equals(profiles.table)
    assert (again.at_s, again.currency) == (CUT, "EUR")
    with pytest.raises(SourceError, match="zhitou features"):
        Profiles.read(tmp_path / "nowhere")


def test_a_stranger_has_no_profile(profiles):
    with pytest.raises(NotFoundError, match="no profile of 'zoe'"):
        profiles.describe("zoe")


def test_acts_are_strictly_before_the_cut_and_had_arrived_by_then(items, make_events):
    rows = [
        ("ann", "purchase", "milk", CUT - 1, "o1", 1, 1),
        ("ann", "purchase", "milk", CUT, "o2", 1, 1),
        ("ann", "purchase", "milk", CUT - 9, "o3", 1, 1, CUT + 1),
        ("ann", "impression", "milk", CUT - 9),
        ("ann", "purchase", "unheard of", CUT - 9, "o4", 1, 1),
    ]
    acts = Acts.build(make_events(rows), items, CUT)
    assert acts.column("time_s").tolist() == [CUT - 1]
    with pytest.raises(SourceError, match="choose a later cut"):
        Acts.build(make_events(rows), items, CUT - 100)


def test_points_halve_in_ninety_days_and_a_view_is_a_tenth(items, make_events):
    rows = [("ann", "purchase", "milk", CUT - 90 * DAY, "o1", 1, 1), ("ann", "view", "milk", CUT - 90 * DAY)]
    acts = Acts.build(make_events(rows), items, CUT)
    assert sorted(acts.column("points").tolist()) == [POINT // 20, POINT // 2]


def test_baskets_are_orders_and_without_an_order_seconds(items, make_events):
    rows = [
        ("ann", "purchase", "milk", T0, "o1"),
        ("ann", "purchase", "toast", T0 + 5, "o1"),
        ("bob", "purchase", "toast", T0, "o1"),
        ("ann", "purchase", "milk", T0),
        ("ann", "purchase", "toast", T0),
        ("ann", "purchase", "toast", T0 + 5),
    ]
    basket = Acts.build(make_events(rows), items, CUT).column("basket").tolist()
    assert basket[0] == basket[1]
    assert basket[3] == basket[4]
    assert len(set(basket)) == 4


def test_names_are_the_last_levels_in_small_letters():
    assert short_names(("", "GROCERY > FRZN PIZZA")) == ("", "frzn pizza")
    assert long_names(("GROCERY > PASTA SAUCE > MAINSTREAM",)) == ("pasta sauce: mainstream",)
