"""Consent: the latest answer counts, a refusal wins a tie, silence is the tenant's default."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import ConsentError, SchemaError
from zhitou.privacy.consent import ConsentBook, ConsentChange


def change(at_us, **purposes):
    return ConsentChange("s_1", at_us, tuple(sorted(purposes.items())))


def test_silence_is_the_default():
    assert not ConsentBook().allows("s_1", "profile")
    assert ConsentBook(("profile",)).allows("s_1", "profile")


def test_the_latest_answer_counts():
    book = ConsentBook()
    book.record(change(2, profile=False))
    book.record(change(1, profile=True))
    assert not book.allows("s_1", "profile")
    assert book.basis("s_1", "profile") == "refused"


def test_at_the_same_instant_a_refusal_wins_whatever_came_first():
    for order in itertools.permutations([change(1, ads=True), change(1, ads=False)]):
        book = ConsentBook()
        for item in order:
            book.record(item)
        assert not book.allows("s_1", "ads")


@given(
    st.permutations([change(1, ads=True), change(2, ads=False), change(3, ads=True), change(3, profile=True)])
)
def test_the_order_of_arrival_changes_nothing(changes):
    book = ConsentBook()
    for item in [*changes, *changes[:2]]:
        book.record(item)
    assert book.allows("s_1", "ads")
    assert book.allows("s_1", "profile")


def test_a_refused_purpose_is_an_error_that_says_what_to_do():
    with pytest.raises(ConsentError, match="did not agree to email"):
        ConsentBook().require("s_1", "email")


@pytest.mark.parametrize(
    "bad",
    [None, "", "[]", "{}", '{"purposes": 1}', '{"purposes": {"ads": "yes"}}', '{"purposes": {"spy": true}}'],
)
def test_a_consent_event_that_says_nothing_clear_is_refused(bad):
    with pytest.raises(SchemaError):
        ConsentChange.from_context("s_1", 1, bad)
