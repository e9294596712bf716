"""Money: whole micros, one currency, nothing lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import MoneyError
from zhitou.core.units import Money

amounts = st.integers(min_value=-(10**15), max_value=10**15)


def test_decimal_text_becomes_micros():
    assert Money.parse("12.34", "EUR") == Money(12_340_000, "EUR")


def test_the_seventh_decimal_is_rounded_half_to_even():
    assert Money.parse("0.0000005", "EUR").micros == 0
    assert Money.parse("0.0000015", "EUR").micros == 2


def test_an_amount_is_printed_with_at_least_two_decimals():
    assert str(Money(-12_300_000, "EUR")) == "-12.30 EUR"
    assert str(Money(1, "EUR")) == "0.000001 EUR"


@pytest.mark.parametrize("bad", [1.5, True, "1", None])
def test_an_amount_that_is_no_whole_number_is_refused(bad):
    with pytest.raises(MoneyError, match="whole number of micros"):
        Money(bad, "EUR")


@pytest.mark.parametrize("bad", ["eur", "EURO", "", "E1R", None])
def test_a_currency_that_is_not_three_capitals_is_refused(bad):
    with pytest.raises(MoneyError, match="ISO 4217"):
        Money(1, bad)


@pytest.mark.parametrize("bad", ["", "abc", "NaN", "Infinity", 0.1])
def test_text_that_is_no_finite_decimal_is_refused(bad):
    with pytest.raises(MoneyError):
        Money.parse(bad, "EUR")


def test_two_currencies_do_not_add_up():
    with pytest.raises(MoneyError, match="expected EUR, got USD"):
        Money(1, "EUR") + Money(1, "USD")


@given(amounts, amounts)
def test_what_is_added_can_be_taken_away(a, b):
    assert Money(a, "EUR") + Money(b, "EUR") - Money(b, "EUR") == Money(a, "EUR")


@given(amounts, st.integers(min_value=1, max_value=50))
def test_a_split_loses_and_invents_nothing(amount, parts):
    pieces = [m.micros for m in Money(amount, "EUR").split(parts)]
    assert sum(pieces) == amount
    assert max(pieces) - min(pieces) <= 1


@given(amounts)
def test_what_is_printed_reads_back(amount):
    text = str(Money(amount, "EUR")).split()[0]
    assert Money.parse(Decimal(text), "EUR").micros == amount
