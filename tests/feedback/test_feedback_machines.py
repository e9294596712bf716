"""Clicks that no person made are told apart by a rule with a name, and people are left alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError
from zhitou.events.schema import Event
from zhitou.feedback.context import read_context
from zhitou.feedback.facts import facts_of
from zhitou.feedback.machines import RULES, MachineRules, judge_clicks

SECOND = 1_000_000
MS = 1_000


def event(kind: str, at_us: int, subject: str = "ann", decision: str | None = "d1", item=None, **context) -> Event:
    said = json.dumps(context) if context else None
    name = f"{kind} {at_us} {subject} {decision} {item} {said}"
    return Event(name, "t", subject, kind, at_us, at_us, item=item, decision_id=decision, context=said)


def verdicts(events: list[Event], rules: MachineRules | None = None) -> list[str]:
    """The reasons of the clicks, in the order given."""
    facts = facts_of(events)
    judged = judge_clicks(facts, rules)
    told = dict(zip(facts.event_id.texts(judged.click).to_pylist(), judged.reason_of(), strict=True))
    assert judged.machine.sum() == sum(reason != "human" for reason in told.values())
    return [told[e.event_id] for e in events if e.kind == "click"]


# a person: looks for some seconds, opens three offers of a message in a row, comes back in the evening
PERSON = [
    event("impression", 0, slot=0),
    event("click", 4 * SECOND, slot=0, link="a", ip_hash="home"),
    event(
        "click", 5 * SECOND, slot=1, link="b", ip_hash="home", headers={"User-Agent": "prefetch is not my purpose"}
    ),
    event("click", 6 * SECOND, slot=2, link="c", ip_hash="home"),
    event("click", 3_600 * SECOND, slot=0, link="a", ip_hash="home"),
]
SCANNER = [event("click", 50 * SECOND + n * 100 * MS, "bob", "d2", link=f"l{n}") for n in range(4)]
ROBOT = [event("click", n * SECOND, "eve", f"e{n}") for n in range(31)]


def test_a_person_is_not_caught_beside_machines():
    assert verdicts([*PERSON, *SCANNER, *ROBOT]) == ["human"] * 4 + ["scanner"] * 4 + ["subject_rate"] * 31


@pytest.mark.parametrize(
    "context",
    [
        {"purpose": "prefetch"},
        {"headers": {"Sec-Purpose": "prefetch;prerender"}},
        {"headers": {"X-Moz": "Prefetch"}},
        {"headers": {"x-purpose": "preview"}},
    ],
)
def test_a_browser_that_fetches_ahead_says_so(context):
    assert verdicts([event("click", 9 * SECOND, **context)]) == ["prefetch"]


@pytest.mark.parametrize("context", [{"purpose": "navigate"}, {"headers": {"accept": "prefetch"}}, {"headers": 1}])
def test_other_headers_are_no_reason(context):
    assert verdicts([event("click", 9 * SECOND, **context)]) == ["human"]


def test_many_links_of_one_message_within_seconds_are_a_scanner_whoever_it_says_it_is():
    assert verdicts(SCANNER) == ["scanner"] * 4
    assert verdicts(SCANNER[:3]) == ["human"] * 3
    assert verdicts([replace(e, subject=f"s{n}") for n, e in enumerate(SCANNER)]) == ["scanner"] * 4
    assert verdicts([replace(e, decision_id=f"d{n}") for n, e in enumerate(SCANNER)]) == ["human"] * 4
    assert verdicts([replace(e, decision_id=None) for e in SCANNER]) == ["human"] * 4


def test_one_link_pressed_again_and_again_is_no_scanner():
    assert verdicts([event("click", n * 100 * MS, link="a", n=n) for n in range(8)]) == ["human"] * 8


def test_links_without_a_name_are_told_apart_by_slot_then_by_item():
    assert verdicts([event("click", n, slot=n) for n in range(4)]) == ["scanner"] * 4
    assert verdicts([event("click", n, item=f"item {n}") for n in range(4)]) == ["scanner"] * 4


def test_a_scanner_is_told_by_a_moving_window_and_the_later_click_stays_a_persons():
    spread = [event("click", n * 2 * SECOND, link=f"l{n}") for n in range(6)]  # two links in any three seconds
    assert verdicts(spread) == ["human"] * 6
    assert verdicts(spread, MachineRules(scanner_seconds=6)) == ["scanner"] * 6
    later = event("click", 900 * SECOND, "bob", "d2", link="l0")
    assert verdicts([*SCANNER, later])[-1] == "human"


def test_a_link_that_nobody_sees_is_bait_and_tells_of_the_clicks_beside_it():
    bait = event("click", 10 * SECOND, honeypot=True, link="bait")
    beside = event("click", 12 * SECOND, link="a")
    later = event("click", 60 * SECOND, link="a")
    other = event("click", 10 * SECOND, decision="d2", link="a")
    assert verdicts([bait, beside, later, other]) == ["honeypot", "honeypot", "human", "human"]
    assert verdicts([event("click", 1, honeypot="yes")]) == ["human"]


def test_faster_after_the_impression_than_anybody_can_see_is_no_person():
    seen = event("impression", SECOND, slot=0)
    clicks = [event("click", SECOND + ms * MS, slot=0) for ms in (-5, 0, 200, 201)]
    assert verdicts([seen, *clicks]) == ["human", "too_fast", "too_fast", "human"]  # before it: two clocks disagree
    assert verdicts([seen, *clicks], MachineRules(fast_ms=300))[-1] == "too_fast"
    assert verdicts([seen, event("click", SECOND + 5, slot=1)]) == ["human"]  # that slot was not seen then
    assert verdicts([seen, event("click", SECOND + 5)]) == ["too_fast"]  # no slot: the decision
    again = event("impression", 9 * SECOND, slot=0)  # seen a second time: the first look counts
    assert verdicts([seen, again, event("click", 9 * SECOND + 5, slot=0)]) == ["human"]


def test_more_clicks_than_a_person_makes_in_a_minute_are_all_a_program():
    assert verdicts(ROBOT[:30]) == ["human"] * 30
    late = event("click", 600 * SECOND, "eve", "later")
    assert verdicts([*ROBOT, late]) == ["subject_rate"] * 31 + ["human"]
    slow = [event("click", n * 2 * SECOND, "eve", f"e{n}") for n in range(31)]
    assert verdicts(slow) == ["human"] * 31  # 31 in 60 s would be too many, the last is exactly 60 s after the first


def test_one_address_may_click_more_than_one_person_but_not_without_end():
    office = [event("click", n * 100 * MS, f"s{n}", f"e{n}", ip_hash="x") for n in range(6)]
    assert verdicts(office) == ["human"] * 6
    assert verdicts(office, MachineRules(ip_clicks_max=5)) == ["ip_rate"] * 6
    assert verdicts(office, MachineRules(ip_clicks_max=6)) == ["human"] * 6


def test_each_reason_is_counted():
    facts = facts_of([*PERSON, *SCANNER, *ROBOT, event("click", 1, "cat", "d7", purpose="prefetch")])
    counts = judge_clicks(facts).counts()
    expected = dict.fromkeys(RULES, 0) | {"prefetch": 1, "scanner": 4, "subject_rate": 31}
    assert counts == expected
    assert judge_clicks(facts_of([])).counts() == dict.fromkeys(RULES, 0)


def test_a_context_that_says_nothing_says_nothing():
    for nonsense in (None, "", "[1]", "null", '{"slot": "0", "link": 3, "ip_hash": "", "honeypot": 1}', "{"):
        assert read_context(nonsense) == (-1, None, None, False, False)


def test_a_rule_that_would_tell_everybody_is_refused():
    with pytest.raises(ConfigError, match="fast_ms of at least 1, got 0"):
        MachineRules(fast_ms=0)


CLICKS = st.builds(
    event,
    kind=st.sampled_from(["click", "click", "impression"]),
    at_us=st.integers(0, 12),
    subject=st.sampled_from(["ann", "bob"]),
    decision=st.sampled_from(["d1", "d2", None]),
    slot=st.integers(-1, 2),
    link=st.sampled_from(["a", "b", "c", None]),
    ip_hash=st.sampled_from(["x", "y", None]),
    honeypot=st.sampled_from([True, False, False, False]),
)
TIGHT = MachineRules(fast_ms=1, scanner_links=2, subject_clicks_max=3, ip_clicks_max=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(CLICKS, max_size=12, unique_by=lambda e: e.event_id), st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_the_order_of_arrival(events, random):
    told = dict(zip([e.event_id for e in events if e.kind == "click"], verdicts(events, TIGHT), strict=True))
    mixed = events + random.sample(events, random.randint(0, len(events)))
    random.shuffle(mixed)
    clicks = [e.event_id for e in mixed if e.kind == "click"]
    assert [told[name] for name in clicks] == verdicts(mixed, TIGHT)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abc")), max_size=12), st.integers(1, 4), st.integers(1, 3)
)
def test_a_scanner_is_what_trying_every_stretch_of_time_finds(clicks, seconds, many):
    clicks = sorted(set(clicks))
    events = [event("click", at * SECOND, link=link) for at, link in clicks]
    told = set()
    for begin in range(9):
        stretch = [n for n, (at, _) in enumerate(clicks) if begin <= at <= begin + seconds]
        if len({clicks[n][1] for n in stretch}) >= many:
            told.update(stretch)
    expected = ["scanner" if n in told else "human" for n in range(len(clicks))]
    assert verdicts(events, MachineRules(scanner_links=many, scanner_seconds=seconds)) == expected
