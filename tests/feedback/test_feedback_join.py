"""decision -> impression -> click -> conversion -> refund."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import SchemaError
from zhitou.events.schema import Event
from zhitou.feedback.facts import facts_of, slot_of
from zhitou.feedback.join import DAY_US, Shown, Windows, join

END = 100 * DAY_US
HOUR_US = DAY_US // 24


def texts(*values: str) -> np.ndarray:
    return np.asarray(values, dtype=object)


# two slots of decision d1 for ann, one of d2 for bob, all shown at time 0
SHOWN = Shown(
    decision_id=texts("d1", "d1", "d2"),
    slot=np.array([0, 1, 0], dtype=np.int8),
    subject=texts("ann", "ann", "bob"),
    item=texts("milk", "soap", "milk"),
    time_us=np.zeros(3, dtype=np.int64),
)


def event(number: int, kind: str, at_us: int, **fields) -> Event:
    values = {"decision_id": "d1", "context": '{"slot": 0}', "received_us": at_us, **fields}
    return Event(event_id=f"e{number:03d}", tenant="t", subject="ann", kind=kind, occurred_us=at_us, **values)


def joined(*events: Event, watermark_us: int = END, **windows: int):
    return join(SHOWN, facts_of(events), watermark_us=watermark_us, windows=Windows(**windows))


STORY = (
    event(1, "impression", 1),
    event(2, "click", HOUR_US),
    event(3, "conversion", DAY_US, price_micros=2_000_000, quantity=3, order_id="o1"),
    event(4, "refund", 9 * DAY_US, price_micros=2_000_000, quantity=1, order_id="o1", decision_id=None, context=None),
    event(5, "click", 2 * HOUR_US, decision_id="d2", context=None),
    event(6, "conversion", DAY_US, decision_id=None, context=None, price_micros=5_000_000, order_id="o2"),
    event(7, "click", HOUR_US, decision_id="d9"),
    event(8, "conversion", 20 * DAY_US, decision_id="d2", context=None, price_micros=7_000_000),
)


def test_an_outcome_reaches_the_row_that_its_ids_name():
    state = joined(*STORY)
    assert state.impressed.tolist() == [True, False, False]
    assert state.clicked.tolist() == [True, False, True]
    assert state.click_time_us.tolist() == [HOUR_US, -1, 2 * HOUR_US]
    assert state.converted.tolist() == [True, False, False]
    assert state.conversion_time_us.tolist() == [DAY_US, -1, -1]
    assert state.value_micros.tolist() == [3 * 2_000_000, 0, 0]
    assert state.refunded.tolist() == [True, False, False]
    assert state.refunded_micros.tolist() == [2_000_000, 0, 0]


def test_a_conversion_without_a_decision_is_organic():
    state = joined(*STORY)
    assert state.organic.conversions == 1
    assert state.organic.value_micros == 5_000_000


def test_what_joins_no_row_is_counted_with_its_reason():
    lost = joined(*STORY).lost
    assert lost == {"unknown_decision": 1, "unclear_slot": 0, "outside_window": 1, "without_click": 0}
    assert joined(event(1, "conversion", 5, price_micros=1)).lost["without_click"] == 1


@settings(max_examples=60, deadline=None)
@given(st.permutations(STORY), st.lists(st.sampled_from(STORY), max_size=12))
def test_order_and_duplicates_change_nothing(order, again):
    assert joined(*order, *again).state_hash == joined(*STORY).state_hash


@st.composite
def stories(draw):
    kinds = st.sampled_from(["impression", "click", "conversion", "refund", "view"])
    events = []
    for number in range(draw(st.integers(1, 12))):
        at = draw(st.integers(0, 12)) * DAY_US
        events.append(
            event(
                number,
                draw(kinds),
                at,
                received_us=at + draw(st.integers(0, 5)) * DAY_US,
                decision_id=draw(st.sampled_from(["d1", "d2", "d9", None])),
                context=draw(st.sampled_from(['{"slot": 0}', '{"slot": 1}', None, "not json"])),
                price_micros=draw(st.sampled_from([None, 1_000_000, 3_000_001])),
                order_id=draw(st.sampled_from(["o1", "o2", None])),
                item=draw(st.sampled_from(["milk", "soap", None])),
            )
        )
    return events


@settings(max_examples=150, deadline=None)
@given(stories(), st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_state_is_a_function_of_the_set_of_events(events, random, day):
    mixed = events + random.sample(events, random.randint(0, len(events)))
    random.shuffle(mixed)
    a, b = (joined(*some, watermark_us=day * DAY_US) for some in (events, mixed))
    assert a.state_hash == b.state_hash
    assert (a.refunded_micros <= a.value_micros).all()
    assert not (a.converted & ~a.clicked).any()


@settings(max_examples=60, deadline=None)
@given(stories())
def test_what_is_known_at_a_time_does_not_depend_on_what_arrives_later(events):
    watermark = 6 * DAY_US
    known = [e for e in events if e.received_us <= watermark]
    assert joined(*events, watermark_us=watermark).state_hash == joined(*known, watermark_us=watermark).state_hash


def test_a_late_click_counts_from_the_watermark_that_has_seen_it():
    late = event(1, "click", HOUR_US, received_us=3 * DAY_US)
    assert not joined(late, watermark_us=2 * DAY_US).clicked.any()
    state = joined(late, watermark_us=3 * DAY_US)
    assert state.click_time_us[0] == HOUR_US


def test_one_id_with_two_contents_counts_as_it_was_first_received():
    first = event(1, "click", HOUR_US, received_us=2 * HOUR_US)
    other = replace(first, decision_id="d2", received_us=3 * HOUR_US)
    assert joined(other, first).clicked.tolist() == [True, False, False]


def test_an_order_that_arrives_under_two_event_ids_is_paid_once():
    click = event(1, "click", 1)
    twice = [event(n, "conversion", DAY_US, price_micros=9, order_id="o1") for n in (2, 3)]
    other = event(4, "conversion", DAY_US, price_micros=5, order_id="o2")
    assert joined(click, *twice, other).value_micros[0] == 9 + 5


def test_clicks_and_conversions_outside_their_windows_do_not_count():
    assert not joined(event(1, "click", 2 * DAY_US)).clicked.any()
    assert not joined(event(1, "click", -1)).clicked.any()
    assert joined(event(1, "click", 2 * DAY_US), click_us=3 * DAY_US).clicked[0]
    story = [event(1, "click", 1), event(2, "conversion", 1 + 8 * DAY_US)]
    assert not joined(*story).converted.any()
    assert joined(*story, conversion_us=8 * DAY_US).converted[0]


def test_a_row_is_mature_when_its_window_has_passed():
    click = event(1, "click", HOUR_US)
    windows = {"click_us": DAY_US, "conversion_us": 7 * DAY_US}
    before = joined(click, watermark_us=HOUR_US + 7 * DAY_US - 1, **windows)
    after = joined(click, watermark_us=HOUR_US + 7 * DAY_US, **windows)
    assert before.mature.tolist() == [False, True, True]  # the others were not clicked within a day
    assert after.mature.tolist() == [True, True, True]
    assert joined(watermark_us=DAY_US - 1).mature.tolist() == [False] * 3


def test_without_a_slot_the_item_tells_the_row_and_doubt_is_no_row():
    assert joined(event(1, "click", 1, context=None, item="soap")).clicked.tolist() == [False, True, False]
    unclear = joined(event(1, "click", 1, context=None))
    assert not unclear.clicked.any()
    assert unclear.lost["unclear_slot"] == 1
    assert joined(event(1, "click", 1, context='{"slot": 7}')).lost["unclear_slot"] == 1


def test_a_slot_is_a_small_whole_number():
    assert slot_of('{"slot": 3}') == 3
    wrong = (None, "", "slot", '{"slot": true}', '{"slot": -1}', '{"slot": "0"}', '["slot"]', '{"slot": 1000}')
    for nonsense in wrong:
        assert slot_of(nonsense) == -1


def test_a_refund_without_an_amount_is_of_all_and_never_of_more():
    sale = [event(1, "click", 1), event(2, "conversion", 2, price_micros=10, order_id="o1")]
    assert joined(*sale, event(3, "refund", 3)).refunded_micros[0] == 10
    assert joined(*sale, event(3, "refund", 3, price_micros=99)).refunded_micros[0] == 10
    assert not joined(event(3, "refund", 3)).refunded.any()


def test_a_slot_shown_twice_is_refused():
    twice = replace(SHOWN, slot=np.zeros(3, dtype=np.int8))
    with pytest.raises(SchemaError, match="shown twice"):
        join(twice, facts_of([]), watermark_us=0)
