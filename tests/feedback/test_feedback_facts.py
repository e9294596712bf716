"""Events as columns and as objects are the same facts, each once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import MoneyError, SchemaError
from zhitou.events.schema import EVENT_SCHEMA, Event
from zhitou.feedback.facts import Names, facts_of, facts_of_table

CLICK = Event("e1", "shop", "ann", "click", occurred_us=5, received_us=7, item="milk", decision_id="d1")
TIMES = {"occurred_at": "occurred_us", "received_at": "received_us"}


def table_of(events: list[Event]) -> pa.Table:
    columns = {f.name: [getattr(e, TIMES.get(f.name, f.name)) for e in events] for f in EVENT_SCHEMA}
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in EVENT_SCHEMA})


def said(facts) -> dict[str, tuple]:
    """What is known of each event id."""
    rows = np.arange(len(facts))
    columns = {k: v.texts(rows).to_pylist() if isinstance(v, Names) else v.tolist() for k, v in vars(facts).items()}
    ids = columns.pop("event_id")
    return dict(zip(ids, zip(*columns.values(), strict=True), strict=True))


TEXTS = st.sampled_from([None, "", "a", "b"])
EVENTS = st.builds(
    Event,
    event_id=st.sampled_from(["e1", "e2", "e3"]),
    tenant=st.just("shop"),
    subject=st.sampled_from(["ann", "bob"]),
    kind=st.sampled_from(["impression", "click", "conversion", "refund", "view"]),
    occurred_us=st.integers(0, 2),
    received_us=st.integers(0, 2),
    item=TEXTS,
    quantity=st.sampled_from([None, 1, 2]),
    price_micros=st.sampled_from([None, 0, 5]),
    channel=TEXTS,
    decision_id=TEXTS,
    order_id=TEXTS,
    context=st.sampled_from([None, "", '{"slot":1}', '{"link":"x","honeypot":true}', "nonsense"]),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(EVENTS, max_size=8), st.randoms(use_true_random=False))
def test_columns_and_objects_in_any_order_are_the_same_facts(events, random):
    other = events + random.sample(events, random.randint(0, len(events)))
    random.shuffle(other)
    parts = [table_of(other[:3]), table_of(other[3:])]
    assert said(facts_of(events)) == said(facts_of_table(pa.concat_tables(parts)))


def test_of_one_id_the_first_received_counts_and_at_a_tie_the_smallest_content():
    rivals = [
        replace(CLICK, received_us=6, item="soap"),
        replace(CLICK, received_us=6, item="bread"),
        replace(CLICK, received_us=6, item=None),
        replace(CLICK, item="apple"),
    ]
    for events in (rivals, rivals[::-1], rivals[1:] + rivals[:1]):
        fact = facts_of(events)
        assert fact.item.texts(np.arange(1)).to_pylist() == ["bread"]  # unknown comes last
        assert fact.received_us.tolist() == [6]


def test_what_may_be_unknown_may_be_left_out_and_times_may_be_numbers():
    table = pa.table(
        {
            "event_id": pa.array(["e1"]).dictionary_encode(),
            "subject": ["ann"],
            "kind": ["click"],
            "occurred_at": pa.array([5_000], pa.timestamp("ms")),
            "received_at": [7_000_000],
            "decision_id": ["d1"],
        }
    )
    facts = facts_of_table(table)
    assert facts.time_us.tolist() == [5_000_000]
    assert facts.received_us.tolist() == [7_000_000]
    assert facts.slot.tolist() == [-1]


def test_a_table_that_is_not_the_contract_is_refused():
    good = table_of([CLICK])
    with pytest.raises(SchemaError, match="expected a column 'kind'"):
        facts_of_table(good.drop_columns(["kind"]))
    null = good.set_column(0, "event_id", pa.array([None], pa.string()))
    with pytest.raises(SchemaError, match="1 null of 1"):
        facts_of_table(null)
    with pytest.raises(SchemaError, match="1 empty of 1"):
        facts_of_table(good.set_column(0, "event_id", [[""]]))


def test_a_value_is_price_times_pieces_and_never_wraps_around():
    dear = replace(CLICK, kind="conversion", price_micros=2**60, quantity=3)
    assert facts_of([replace(dear, price_micros=7)]).value_micros.tolist() == [21]
    assert facts_of([replace(dear, price_micros=7, quantity=None)]).value_micros.tolist() == [7]
    assert facts_of([replace(dear, price_micros=None)]).value_micros.tolist() == [0]
    assert facts_of([dear]).value_micros.tolist() == [3 * 2**60]
    with pytest.raises(MoneyError, match="12 pieces"):
        facts_of([replace(dear, quantity=12)])


def test_no_events_are_no_facts():
    assert len(facts_of([])) == len(facts_of_table(table_of([]))) == len(facts_of([replace(CLICK, kind="view")])) == 0
