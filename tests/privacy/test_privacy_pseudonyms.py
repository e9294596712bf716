"""Pseudonyms: stable inside a tenant, unlinkable outside."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.privacy.pseudonyms import Addresses, Pseudonyms, demonstration_key, load_or_create_key

KEY = bytes(range(32))


@given(st.text())
def test_a_shopper_keeps_the_same_name_and_it_does_not_hold_the_raw_id(raw):
    name = Pseudonyms("shop", KEY).name(raw)
    assert name == Pseudonyms("shop", KEY).name(raw)
    assert len(name) == 28
    assert len(raw) < 4 or raw not in name


def test_two_tenants_and_two_keys_share_no_name():
    raw = "ann@example.com"
    names = {Pseudonyms(t, k).name(raw) for t in ("a", "b") for k in (KEY, bytes(32))}
    assert len(names) == 4


def test_the_key_is_not_in_the_representation():
    assert KEY.hex() not in repr(Pseudonyms("shop", KEY))
    assert "_key" not in repr(Pseudonyms("shop", KEY))


def test_a_short_key_is_refused():
    with pytest.raises(ConfigError, match="32 bytes"):
        Pseudonyms("shop", b"short")


def test_a_key_file_is_drawn_once_and_readable_by_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "shop.key"
    key = load_or_create_key(path)
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_demonstration_key_follows_from_the_seed():
    assert demonstration_key(Chance(1)) == demonstration_key(Chance(1)) != demonstration_key(Chance(2))


DAY_US = 86_400_000_000


def test_an_address_has_one_name_a_day_under_one_key_and_tenant():
    names = Addresses("shop", bytes(32))
    name = names.name("203.0.113.9", 0)
    assert name is not None
    assert (name[:2], len(name)) == ("a_", 18)
    assert names.name("203.0.113.9", DAY_US - 1) == name
    others = {
        names.name("203.0.113.9", DAY_US),
        names.name("203.0.113.10", 0),
        Addresses("other", bytes(32)).name("203.0.113.9", 0),
        Addresses("shop", b"k" * 32).name("203.0.113.9", 0),
    }
    assert len(others | {name}) == 5


def test_a_home_with_many_addresses_of_the_new_kind_has_one_name():
    names = Addresses("shop", bytes(32))
    assert names.name("2001:db8:1:2::1", 0) == names.name("2001:db8:1:2:ffff::9", 0)
    assert names.name("2001:db8:1:2::1", 0) != names.name("2001:db8:1:3::1", 0)
    assert names.name("::ffff:203.0.113.9", 0) == names.name("203.0.113.9", 0)


def test_what_is_no_address_has_no_name_and_the_key_shows_nowhere():
    names = Addresses("shop", b"k" * 32)
    assert [names.name(text, 0) for text in ("", "testclient", "203.0.113", "unix:socket")] == [None] * 4
    assert repr(names) == "Addresses()"
    with pytest.raises(ConfigError, match="32 bytes"):
        Addresses("shop", b"short")
