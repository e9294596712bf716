import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.campaign.campaign import CHANNELS as NAMED
from zhitou.campaign.campaign import MESSAGES
from zhitou.core.errors import ConfigError
from zhitou.strategy.channels import CHANNELS, Channel, consent_mask, local_minutes, middle_hours, quiet_slots

NAMES = [c.name for c in CHANNELS]
JULY_US = 1_782_864_000_000_000  # 2026-07-01T00:00:00Z


def test_a_channel_is_open_only_to_who_agreed_to_all_that_it_needs():
    ads, email = np.array([True, True, False]), np.array([True, False, True])
    mask = consent_mask(CHANNELS, {"ads": ads, "email": email}, 3)
    assert mask[:, NAMES.index("email")].tolist() == [True, False, False]
    assert mask[:, NAMES.index("onsite")].tolist() == [True, True, False]


def test_the_planner_knows_the_channels_that_campaigns_name_and_which_of_them_disturb():
    assert tuple(NAMES) == NAMED
    assert {c.name for c in CHANNELS if c.interrupts} == set(MESSAGES)


def test_what_nobody_was_asked_nobody_granted():
    everything = {"ads": np.array([True]), "email": np.array([True]), "push": np.array([True])}
    assert not consent_mask(CHANNELS, everything, 1)[0, NAMES.index("sms")]


def test_a_slot_begins_at_the_minute_that_clocks_there_show():
    minutes = local_minutes(["UTC", "Asia/Kolkata", "America/New_York"], JULY_US, 3)
    assert minutes.tolist() == [[0, 60, 120], [330, 390, 450], [1_200, 1_260, 1_320]]


def test_clocks_that_are_put_forward_skip_an_hour():
    begin = dt.datetime(2026, 3, 29, tzinfo=dt.UTC)
    minutes = local_minutes(["Europe/Berlin"], int(begin.timestamp()) * 1_000_000, 3)
    assert minutes.tolist() == [[60, 180, 240]]  # 01:00, then 03:00: there is no 02:00 that night


def test_half_an_hour_inside_the_quiet_hours_makes_a_slot_quiet():
    at = np.array([20 * 60 + 30, 20 * 60, 7 * 60 + 30, 8 * 60])  # 20:30, 20:00, 07:30, 08:00
    assert quiet_slots(at, (21, 8)).tolist() == [True, False, True, False]


def test_without_quiet_hours_no_slot_is_quiet():
    assert not quiet_slots(np.arange(0, 1_440, 60), None).any()
    assert not quiet_slots(np.arange(0, 1_440, 60), (8, 8)).any()


ODD = ["Asia/Kathmandu", "Australia/Adelaide", "Asia/Tokyo"]


@given(st.integers(0, 23), st.integers(0, 23), st.sampled_from(ODD))
def test_quiet_slots_are_those_with_a_quiet_minute_on_the_clock(start, end, zone):
    minutes = local_minutes([zone], JULY_US, 24)
    found = quiet_slots(minutes, (start, end))[0]
    for slot in range(24):
        begin = dt.datetime.fromtimestamp(JULY_US / 1e6, tz=dt.UTC) + dt.timedelta(hours=slot)
        clocks = [(begin + dt.timedelta(minutes=m)).astimezone(ZoneInfo(zone)).hour for m in range(60)]
        quiet = {h % 24 for h in range(start, end if end >= start else end + 24)}
        assert found[slot] == any(hour in quiet for hour in clocks)


def test_the_local_hour_of_a_slot_is_that_of_its_middle():
    assert middle_hours(np.array([0, 30, 1_410])).tolist() == [0, 1, 0]  # 00:30, 01:00, 24:00


def test_unknown_zones_and_impossible_channels_are_refused():
    with pytest.raises(ConfigError, match="time zone"):
        local_minutes(["Atlantis/Harbour"], 0, 1)
    with pytest.raises(ConfigError, match="zero or more"):
        Channel("fax", ("ads",), -1, 1, True)
    with pytest.raises(ConfigError, match="per_day"):
        Channel("fax", ("ads",), 0, 9, True)
