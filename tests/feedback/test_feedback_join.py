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
from zhitou.feedback.machines import MachineRules

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
    assert {reason: n for reason, n in lost.items() if n} == {"unknown_decision": 1, "outside_window": 1}
    assert joined(event(1, "conversion", 5, price_micros=1)).lost["without_click"] == 1


@settings(max_examples=40, deadline=None)
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


def plainly(events: list[Event], watermark_us: int) -> list[tuple[bool, int, int, int, int]]:
    """Of each row of SHOWN (impressed, click time, conversion time, value, refunded), one event after another."""
    kept: dict[str, Event] = {}
    for e in sorted((e for e in events if e.kind != "view"), key=lambda e: e.received_us):
        kept.setdefault(e.event_id, e)
    known = sorted(
        (e for e in kept.values() if e.received_us <= watermark_us), key=lambda e: (e.occurred_us, e.event_id)
    )
    places = list(zip(SHOWN.decision_id, SHOWN.slot.tolist(), SHOWN.item, strict=True))

    def row_of(e: Event) -> int:
        mine = [n for n, (decision, _, _) in enumerate(places) if decision == e.decision_id]
        if slot_of(e.context) >= 0:
            mine = [n for n in mine if places[n][1] == slot_of(e.context)]
        elif len(mine) > 1:
            mine = [n for n in mine if places[n][2] == e.item]
        return mine[0] if len(mine) == 1 else -1

    impressed, clicks, sales = set(), {}, {}
    for e in known:
        if e.kind == "impression":
            impressed.add(row_of(e))
        elif e.kind == "click" and row_of(e) >= 0 and 0 <= e.occurred_us <= DAY_US:
            clicks.setdefault(row_of(e), e.occurred_us)
    for e in known:
        since = e.occurred_us - clicks.get(row_of(e), END)
        if e.kind == "conversion" and 0 <= since <= 7 * DAY_US:
            sales.setdefault((row_of(e), e.order_id or f"event {e.event_id}", e.item), e)
    open_ = {key: e.price_micros or 0 for key, e in sales.items()}
    refunds = [e for e in known if e.kind == "refund"]
    exact = {(order, item) for _, order, item in sales if item}
    orders = {order for _, order, _ in sales}
    by = [
        (lambda e: (e.order_id, e.item) in exact, lambda key, e: key[1:] == (e.order_id, e.item)),
        (lambda e: e.order_id in orders, lambda key, e: key[1] == e.order_id),
        (lambda e: True, lambda key, e: key[0] == row_of(e)),
    ]
    for is_mine, takes_from in by:
        mine = [e for e in refunds if is_mine(e)]
        refunds = [e for e in refunds if not is_mine(e)]
        for e in sorted(mine, key=lambda e: not e.price_micros):  # amounts first: all of it is then what is left
            asked = e.price_micros or END
            for key in open_:
                if takes_from(key, e):
                    taken = min(asked, open_[key])
                    open_[key], asked = open_[key] - taken, asked - taken
    out = []
    for n in range(len(SHOWN)):
        mine = {key: e for key, e in sales.items() if key[0] == n}
        paid = sum(e.price_micros or 0 for e in mine.values())
        back = paid - sum(open_[key] for key in mine)
        first = min((e.occurred_us for e in mine.values()), default=-1)
        out.append((n in impressed, clicks.get(n, -1), first, paid, back))
    return out


@settings(max_examples=80, deadline=None)
@given(stories(), st.sampled_from([3, 8, 100]))
def test_the_joined_state_is_what_one_event_after_another_gives(events, day):
    state = joined(*events, watermark_us=day * DAY_US)
    columns = (state.impressed, state.click_time_us, state.conversion_time_us, state.value_micros)
    rows = zip(*(c.tolist() for c in (*columns, state.refunded_micros)), strict=True)
    assert list(rows) == plainly(events, day * DAY_US)


@settings(max_examples=60, deadline=None)
@given(stories(), st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_state_is_a_function_of_the_set_of_events(events, random, day):
    mixed = events + random.sample(events, random.randint(0, len(events)))
    random.shuffle(mixed)
    a, b = (joined(*some, watermark_us=day * DAY_US) for some in (events, mixed))
    assert a.state_hash == b.state_hash
    assert (a.refunded_micros <= a.value_micros).all()
    assert not (a.converted & ~a.clicked).any()


@settings(max_examples=40, deadline=None)
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


def test_a_refund_is_of_the_item_that_came_back_and_of_the_order_only_without_one():
    sales = [event(1, "click", 1), event(2, "click", 1, context='{"slot": 1}')]
    sales += [event(3, "conversion", 2, price_micros=10, order_id="o1", item="milk")]
    sales += [event(4, "conversion", 3, price_micros=7, order_id="o1", item="soap", context='{"slot": 1}')]
    known = {"order_id": "o1", "decision_id": None, "context": None}
    assert joined(*sales, event(5, "refund", 9, item="soap", **known)).refunded_micros.tolist() == [0, 7, 0]
    assert joined(*sales, event(5, "refund", 9, **known)).refunded_micros.tolist() == [10, 7, 0]
    assert joined(*sales, event(5, "refund", 9, price_micros=12, **known)).refunded_micros.tolist() == [10, 2, 0]


def test_a_refund_has_the_time_of_the_first_that_took_something():
    assert joined(*STORY).refund_time_us.tolist() == [9 * DAY_US, -1, -1]
    sales = [event(1, "click", 1), event(2, "click", 1, context='{"slot": 1}')]
    sales += [event(3, "conversion", 2, price_micros=10, order_id="o1")]
    sales += [event(4, "conversion", 3, price_micros=7, order_id="o1", context='{"slot": 1}')]
    known = {"order_id": "o1", "decision_id": None, "context": None}
    # 4 and 6 are what the first sale paid; only the third refund, of 5, reaches the second one
    back = [event(n, "refund", at, price_micros=of, **known) for n, at, of in ((7, 30, 5), (6, 20, 6), (5, 10, 4))]
    state = joined(*sales, *back)
    assert state.refunded_micros.tolist() == [10, 5, 0]
    assert state.refund_time_us.tolist() == [10, 30, -1]
    assert joined(*sales, *back, watermark_us=15).refund_time_us.tolist() == [10, -1, -1]


def test_a_refund_never_comes_before_its_sale_whatever_the_clocks_say():
    sale = [event(1, "click", 1), event(2, "conversion", 9, price_micros=10, order_id="o1")]
    assert joined(*sale, event(3, "refund", 5, order_id="o1")).refund_time_us[0] == 9


def test_machine_clicks_join_nothing_and_are_counted_only_where_rules_are_given():
    bot = event(1, "click", HOUR_US, context='{"slot": 0, "purpose": "prefetch"}')
    human = event(2, "click", 2 * HOUR_US)
    sale = event(3, "conversion", 3 * HOUR_US, price_micros=5)
    facts = facts_of([bot, human, sale])
    believed = join(SHOWN, facts, watermark_us=END)
    assert believed.click_time_us[0] == HOUR_US
    assert believed.lost["machine_prefetch"] == 0
    judged = join(SHOWN, facts, watermark_us=END, machines=MachineRules())
    assert judged.click_time_us[0] == 2 * HOUR_US
    assert judged.lost["machine_prefetch"] == 1
    assert judged.state_hash != believed.state_hash
    alone = join(SHOWN, facts_of([bot, sale]), watermark_us=END, machines=MachineRules())
    assert not alone.clicked.any()
    assert alone.lost["without_click"] == 1


def test_a_slot_shown_twice_is_refused():
    twice = replace(SHOWN, slot=np.zeros(3, dtype=np.int8))
    with pytest.raises(SchemaError, match="shown twice"):
        join(twice, facts_of([]), watermark_us=0)
