"""What becomes of a row: clean, duplicate, or quarantined under one reason."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, SourceError
from zhitou.events import clean
from zhitou.events.checks import check
from zhitou.events.clean import PrepareConfig

DAY_US = 86_400_000_000
NOW_US = 1_780_000_000_000_000


WRONG = [
    ({"kind": "gaze"}, clean.UNKNOWN_KIND),
    ({"kind": None}, clean.UNKNOWN_KIND),
    ({"occurred_at": None}, clean.NO_TIME),
    ({"occurred_at": 0}, clean.TIME_IMPOSSIBLE),  # 1970
    ({"occurred_at": NOW_US + 2 * DAY_US}, clean.TIME_IMPOSSIBLE),
    ({"occurred_at": 32_472_144_000_000_000}, clean.TIME_IMPOSSIBLE),  # 2999
    ({"occurred_at": NOW_US - DAY_US, "received_at": NOW_US - 3 * DAY_US}, clean.TIME_IMPOSSIBLE),
    ({"item": None}, clean.NO_ITEM),
    ({"quantity": 0}, clean.NO_QUANTITY),
    ({"quantity": -3}, clean.NO_QUANTITY),
    ({"price_micros": 0}, clean.NO_PRICE),
    ({"price_micros": None}, clean.NO_PRICE),
    ({"price_micros": -1}, clean.NO_PRICE),
    ({"kind": "view", "price_micros": -1}, clean.NO_PRICE),
    ({"kind": "refund", "price_micros": None}, clean.NO_PRICE),
    ({"currency": "USD"}, clean.FOREIGN_CURRENCY),
    ({"context": "{"}, clean.BAD_CONTEXT),
    ({"context": "[1]"}, clean.BAD_CONTEXT),
    ({"context": json.dumps({"a": "x" * 5_000})}, clean.BAD_CONTEXT),
    ({"kind": "consent", "context": '{"purposes": {"ads": "maybe"}}'}, clean.BAD_CONSENT),
    ({"kind": "consent", "context": None}, clean.BAD_CONSENT),
    ({"raw_subject": None}, clean.NO_SUBJECT),
    ({"refused": "unreadable price"}, "unreadable price"),
]
WIDE = {"winsor_high": 0.99, "actions_minute_max": 999}
RIGHT = [
    {"kind": "view", "price_micros": None, "currency": None, "quantity": None},
    {"kind": "search", "item": None, "price_micros": None},
    {"kind": "refund"},
    {"kind": "consent", "context": '{"purposes": {"ads": true}}'},
    {"kind": "send", "item": None, "quantity": None, "price_micros": None, "currency": None, "channel": "mail"},
    {"quantity": None},
    {"item": "a thing the feed does not list"},
]


def test_a_wrong_row_is_quarantined_under_its_reason(row, shop, prepared) -> None:
    made = prepared(shop([row(), *(row(order_id=str(n), **said) for n, (said, _) in enumerate(WRONG))]))
    held = pq.read_table(made.folder / "quarantine.parquet").to_pylist()
    found = {line["source_row"]: line["reason"] for line in held}
    assert found == {n: reason for n, (_, reason) in enumerate(WRONG, start=1)}
    assert (made.events, made.duplicates) == (1, 0)


def test_a_right_row_is_kept(row, shop, prepared) -> None:
    made = prepared(shop([row(order_id=str(n), **said) for n, said in enumerate(RIGHT)]))
    assert made.quarantined == {}
    assert made.events == len(RIGHT)


def test_the_first_of_equal_rows_stays(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(), row(item="ink"), row()]))
    assert (made.events, made.duplicates) == (2, 2)


def test_the_senders_id_decides_where_there_is_one(row, shop, prepared) -> None:
    made = prepared(shop([row(event_id="a"), row(event_id="b"), row(event_id="a", item="ink")]))
    assert (made.events, made.duplicates) == (2, 1)
    events = pq.read_table(made.folder / "events.parquet").to_pylist()
    assert [(event["event_id"], event["item"]) for event in events] == [("a", "pen"), ("b", "pen")]


def test_what_could_not_be_read_is_never_called_a_duplicate(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(refused="unreadable price"), row(refused="unreadable price")]))
    assert (made.duplicates, dict(made.quarantined)) == (0, {"unreadable price": 2})


def test_a_clock_that_runs_ahead_is_set_to_the_arrival(row, shop, prepared) -> None:
    arrived = NOW_US - DAY_US
    made = prepared(shop([row(occurred_at=arrived + 3_600_000_000, received_at=arrived)]))
    (event,) = pq.read_table(made.folder / "events.parquet").to_pylist()
    assert event["occurred_at"] == event["received_at"]
    assert next(c for c in made.checks if c.name == "clocks agree").count == 1


def test_a_late_row_keeps_both_its_times(row, shop, prepared) -> None:
    made = prepared(shop([row(occurred_at=NOW_US - 9 * DAY_US, received_at=NOW_US)]))
    (event,) = pq.read_table(made.folder / "events.parquet").to_pylist()
    assert (event["received_at"] - event["occurred_at"]).days == 9
    assert next(c for c in made.checks if c.name == "rows arrive in time").count == 1


def test_a_robot_is_quarantined_whole_and_a_long_order_is_no_robot(row, shop, prepared) -> None:
    minute = NOW_US - 2 * DAY_US - (NOW_US - 2 * DAY_US) % 60_000_000
    robot = [row(raw_subject="robot", kind="view", occurred_at=minute + n * 1_000_000) for n in range(4)]
    later = [row(raw_subject="robot", kind="view", item="ink", occurred_at=minute + DAY_US)]
    order = [row(order_id="o", item=f"thing {n}", occurred_at=minute) for n in range(9)]
    made = prepared(shop(robot + later + order), actions_minute_max=3)
    assert dict(made.quarantined) == {clean.ROBOT_MINUTE: 5}
    assert made.events == 9


def test_a_shopper_at_the_limit_is_human(row, shop, prepared) -> None:
    minute = NOW_US - 2 * DAY_US - (NOW_US - 2 * DAY_US) % 60_000_000
    looks = [row(kind="view", occurred_at=minute + n * 1_000_000) for n in range(3)]
    assert prepared(shop(looks), actions_minute_max=3).events == 3


def test_looking_at_too_many_different_items_in_a_day_is_a_robots_way(row, shop, prepared) -> None:
    noon = NOW_US - NOW_US % DAY_US - DAY_US
    looks = [row(kind="view", item=f"thing {n}", occurred_at=noon + n * 600_000_000) for n in range(5)]
    made = prepared(shop([*looks, row(raw_subject="bob")]), items_day_max=4)
    assert dict(made.quarantined) == {clean.ROBOT_ITEMS: 5}


def test_an_unusual_price_is_set_to_the_quantile_and_counted(row, shop, prepared) -> None:
    usual = [row(price_micros=2_000_000, order_id=str(n)) for n in range(99)]
    made = prepared(
        shop([*usual, row(price_micros=900_000_000, quantity=7, order_id="odd")]),
        winsor_high=0.99,
        actions_minute_max=999,
    )
    events = pq.read_table(made.folder / "events.parquet")
    assert set(events["price_micros"].to_pylist()) == {2_000_000}
    assert set(events["quantity"].to_pylist()) == {1}
    assert next(c for c in made.checks if c.name == "prices are usual").count == 1
    assert next(c for c in made.checks if c.name == "quantities are usual").count == 1


def test_an_item_with_few_lines_is_held_against_its_category(row, shop, prepared) -> None:
    pens = [row(price_micros=2_000_000, order_id=str(n)) for n in range(99)]
    made = prepared(
        shop([*pens, row(item="ink", price_micros=50_000_000)]),
        winsor_high=0.99,
        winsor_lines_min=50,
        actions_minute_max=999,
    )
    events = pq.read_table(made.folder / "events.parquet")
    assert max(events["price_micros"].to_pylist()) == 2_000_000


def test_checks_without_writing_say_what_prepare_says(row, shop, prepared) -> None:
    rows = [row(), row(), row(quantity=0), row(kind="gaze"), row(raw_subject=None)]
    told = {c.name: (c.passed, c.count) for c in check(shop(rows), clock_us=NOW_US)}
    made = {c.name: (c.passed, c.count) for c in prepared(shop(rows)).checks}
    assert told.items() <= made.items()
    assert told["rows are said once"] == (False, 1)
    assert told["every row is accounted for"] == (True, 5)


def test_without_a_clock_no_time_after_this_century_is_believed(row, shop) -> None:
    found = {c.name: c.count for c in check(shop([row(), row(occurred_at=32_472_144_000_000_000)]))}
    assert found["times are possible"] == 1


def test_a_source_without_a_fit_row_is_refused_with_its_reasons(row, shop, prepared) -> None:
    with pytest.raises(SourceError, match="no row of 1 is fit: 1 no positive quantity"):
        prepared(shop([row(quantity=0)]))


def test_a_source_without_prices_needs_none(row, shop, prepared) -> None:
    made = prepared(shop([row(price_micros=None, currency=None)], currency="XXX", has_prices=False))
    assert made.events == 1


def test_dials_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="winsor_low < winsor_high"):
        PrepareConfig(winsor_low=0.9, winsor_high=0.1)
    with pytest.raises(ConfigError, match="threads"):
        PrepareConfig(threads=0)


_VALUES = {
    "raw_subject": st.sampled_from(["ann", "bob", None]),
    "kind": st.sampled_from(["view", "purchase", "refund", "gaze", None]),
    "item": st.sampled_from(["pen", "ink", None]),
    "quantity": st.sampled_from([1, 2, 0, -1, None]),
    "price_micros": st.sampled_from([1, 2_000_000, 0, -5, None]),
    "currency": st.sampled_from(["EUR", "USD", None]),
    "context": st.sampled_from(["{}", "{", None]),
    "refused": st.sampled_from([None, None, None, "unreadable time"]),
    "occurred_at": st.sampled_from([NOW_US - DAY_US, NOW_US, 0, None, 32_472_144_000_000_000]),
}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries(_VALUES), min_size=5, max_size=60))
def test_rows_in_are_clean_plus_duplicates_plus_quarantined(rows, row, shop, prepared) -> None:
    made = prepared(shop([row(raw_subject="fit"), *rows]))
    assert made.rows_in == len(rows) + 1
    assert made.rows_in == made.events + made.duplicates + sum(made.quarantined.values())
    held = pq.read_table(made.folder / "quarantine.parquet")
    assert held.num_rows == sum(made.quarantined.values())
    assert pq.read_metadata(made.folder / "events.parquet").num_rows == made.events
