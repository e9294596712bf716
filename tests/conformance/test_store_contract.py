"""What every Store promises (strategy/ports.py), run by each implementation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.delivery.store import MemoryStore, SqliteStore
from zhitou.events.schema import Event

AnyStore = SqliteStore | MemoryStore
SETTINGS = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    made: AnyStore = SqliteStore(tmp_path / "s.sqlite") if request.param == "sqlite" else MemoryStore()
    yield made
    made.close()


def event(event_id: str, at_us: int = 0, subject: str = "s_1", tenant: str = "shop") -> Event:
    return Event(event_id, tenant, subject, "view", at_us, at_us)


def test_an_event_added_twice_is_kept_once(store: AnyStore) -> None:
    assert store.add_events([event("a"), event("b")]) == 2
    assert store.add_events([event("b"), event("c")]) == 1
    assert [e.event_id for e in store.events("shop")] == ["a", "b", "c"]


def test_an_event_that_stands_twice_in_one_batch_is_new_once(store: AnyStore) -> None:
    assert store.add_events([event("a"), event("a")]) == 1


def test_a_known_event_is_never_overwritten(store: AnyStore) -> None:
    store.add_events([event("a", at_us=1)])
    assert store.add_events([event("a", at_us=2, subject="s_2")]) == 0
    assert store.events("shop") == [event("a", at_us=1)]


def test_two_tenants_may_use_the_same_event_id_and_never_see_each_other(store: AnyStore) -> None:
    assert store.add_events([event("a", tenant="shop"), event("a", tenant="rival")]) == 2
    assert store.events("shop") == [event("a", tenant="shop")]
    assert store.events("rival", "s_1") == [event("a", tenant="rival")]


def test_events_come_in_order_of_time_then_id(store: AnyStore) -> None:
    store.add_events([event("b", 2), event("c", 1), event("a", 2)])
    assert [e.event_id for e in store.events("shop")] == ["c", "a", "b"]


def test_events_of_one_subject_are_only_that_subjects(store: AnyStore) -> None:
    store.add_events([event("a"), event("b", subject="s_2")])
    assert [e.event_id for e in store.events("shop", "s_2")] == ["b"]
    assert store.events("shop", "s_3") == []


def test_every_field_comes_back_and_the_unknown_stays_unknown(store: AnyStore) -> None:
    full = Event(
        "a", "shop", "s_1", "purchase", 1, 2, "tea", 3, 4, "EUR", "v", "onsite", "d_1", "o_1", '{"色":"绿\\u0000"}'
    )
    store.add_events([full, event("b", 5)])
    assert store.events("shop") == [full, event("b", 5)]


def test_nothing_added_is_nothing_new(store: AnyStore) -> None:
    assert store.add_events([]) == 0
    store.add_decisions([])
    assert store.events("shop") == []


def test_a_decision_comes_back_to_the_byte_and_the_first_stays(store: AnyStore) -> None:
    store.add_decisions([("d_1", b'{"a":1}'), ("d_2", b"")])
    store.add_decisions([("d_1", b"other")])
    assert store.decision("d_1") == b'{"a":1}'
    assert store.decision("d_2") == b""
    assert store.decision("d_3") is None


def test_it_says_which_ids_a_tenant_has_used_already(store: AnyStore) -> None:
    store.add_events([event(f"e{n}") for n in range(1_500)] + [event("x", tenant="rival")])
    asked = [f"e{n}" for n in range(1_400, 1_600)] * 11 + ["x", "é'--"]
    assert store.known_events("shop", asked) == {f"e{n}" for n in range(1_400, 1_500)}
    assert store.known_events("shop", []) == set()


def test_pages_are_bounded_and_together_hold_everything_once(store: AnyStore) -> None:
    store.add_events([event(f"e{n}", at_us=n // 3) for n in range(10)])
    pages = list(store.pages("shop", rows_max=4))
    assert [len(page) for page in pages] == [4, 4, 2]
    assert [e for page in pages for e in page] == store.events("shop")


def test_a_page_starts_behind_the_place_given_even_if_that_event_is_gone(store: AnyStore) -> None:
    store.add_events([event("a", 1), event("c", 1), event("a2", 2)])
    assert [e.event_id for e in store.events_page("shop", after=(1, "b"), rows_max=5)] == ["c", "a2"]
    assert store.events_page("shop", after=(2, "a2")) == []


def test_many_writers_at_once_lose_nothing_and_count_each_event_once(store: AnyStore) -> None:
    def write(worker: int) -> int:
        return sum(store.add_events([event(f"e{n}", at_us=n)]) for n in range(worker * 5, worker * 5 + 10))

    with ThreadPoolExecutor(8) as pool:
        new = sum(pool.map(write, range(8)))
    assert new == 45  # 8 workers overlap by 5: 7 * 5 + 10 distinct ids
    assert len(store.events("shop")) == 45


ROWS = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from(["s_1", "s_2"])), max_size=12)


@SETTINGS
@given(first=ROWS, second=ROWS)
def test_adding_again_in_any_order_changes_nothing(first: list, second: list) -> None:
    once, again = MemoryStore(), MemoryStore()
    events = [event(*row) for row in first + second]
    once.add_events(events)
    for one in (*events, *reversed(events)):
        again.add_events([one])
    assert once.events("shop") == again.events("shop")


@pytest.mark.parametrize("rows", [[("a", 3, "s_1"), ("b", 1, "s_2"), ("a", 0, "s_2")]])
def test_both_stores_answer_alike(tmp_path: Path, rows: list) -> None:
    events = [event(*row) for row in rows]
    memory = MemoryStore()
    with SqliteStore(tmp_path / "s.sqlite") as sqlite:
        assert sqlite.add_events(events) == memory.add_events(events)
        assert sqlite.events("shop") == memory.events("shop")
