"""Ways to reach a shopper: what each costs, what it needs consent to, and when it may not be used.

N = shoppers, K = channels, Z = time zones, H = slots of one hour, C = campaigns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROSECONDS

MINUTES_PER_DAY = 1_440
MINUTES_PER_SLOT = 60
_MOST_A_DAY = 8


@dataclass(frozen=True)
class Channel:
    """One way to reach a shopper.

    purposes: all that he must have agreed to. cost_micros: of one message, paid by its campaign. per_day: messages a
    shopper may get through it a day. interrupts: it comes to him, so quiet hours and the minimal gap bind it; what he
    finds when he comes by himself (the site, a feed) interrupts nobody. response: answers to a message here, as a
    multiple of those to the same ad on the site, where nothing more is known of the shopper.

    Refused (ConfigError): a cost or response below zero, a cap that is not 0 to 8.
    """

    name: str
    purposes: tuple[str, ...]
    cost_micros: int
    per_day: int
    interrupts: bool
    response: float = 1.0

    def __post_init__(self) -> None:
        if self.cost_micros < 0 or not self.response >= 0:
            raise ConfigError(f"channel {self.name}: cost_micros and response are zero or more")
        if not 0 <= self.per_day <= _MOST_A_DAY:
            raise ConfigError(f"channel {self.name}: per_day is 0 to {_MOST_A_DAY}, got {self.per_day}")


# Costs and responses are a shop's own facts: these are round figures to start from, not measurements. "sms" is a
# purpose of its own, so that nobody gets a text message because he agreed to something else.
CHANNELS: tuple[Channel, ...] = (
    Channel("onsite", ("ads",), 0, 2, False, 1.0),
    Channel("email", ("ads", "email"), 500, 1, True, 1.5),
    Channel("push", ("ads", "push"), 100, 1, True, 1.2),
    Channel("sms", ("ads", "sms"), 40_000, 1, True, 2.5),
    Channel("app", ("ads",), 0, 2, False, 1.1),
    Channel("social", ("ads", "profile"), 4_000, 2, False, 0.6),
)


def consent_mask(channels: Sequence[Channel], granted: Mapping[str, np.ndarray], shoppers: int) -> np.ndarray:
    """bool [N, K]: whether each shopper agreed to all purposes of each channel.

    granted: bool [N] by purpose, as ConsentBook.mask gives them. A purpose that is not among them was asked of
    nobody, so nobody granted it.
    """
    nobody = np.zeros(shoppers, dtype=bool)
    out = np.ones((shoppers, len(channels)), dtype=bool)
    for k, channel in enumerate(channels):
        for purpose in channel.purposes:
            out[:, k] &= granted.get(purpose, nobody)
    return out


def local_minutes(zones: Sequence[str], start_us: int, slots: int) -> np.ndarray:
    """int16 [Z, H]: the minute of the day on a clock of each zone at which each slot begins.

    zones: IANA names such as Asia/Kolkata. start_us: UTC, a whole minute. Summer time changes where the law says so.
    Refused (ConfigError): a zone that is not known here.
    """
    starts = [dt.datetime.fromtimestamp(start_us // MICROSECONDS + 3600 * slot, tz=dt.UTC) for slot in range(slots)]
    out = np.empty((len(zones), slots), dtype=np.int16)
    for z, name in enumerate(zones):
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigError(f"expected a time zone such as Europe/London, got {name!r}") from None
        local = [start.astimezone(zone) for start in starts]
        out[z] = [at.hour * 60 + at.minute for at in local]
    return out


def quiet_slots(local_minute: np.ndarray, hours: tuple[int, int] | None) -> np.ndarray:
    """bool like local_minute: slots with any minute inside the quiet hours [start, end), which may pass midnight.

    A message may leave at any minute of its slot. Where a clock is half an hour off, a slot lies in two local hours
    and is quiet if either is. None, or start == end: no hour is quiet.
    """
    if hours is None or hours[0] == hours[1]:
        return np.zeros(local_minute.shape, dtype=bool)
    start, end = hours[0] * 60, hours[1] * 60
    into = (np.asarray(local_minute, dtype=np.int64) - start) % MINUTES_PER_DAY  # minutes since it became quiet
    length = (end - start) % MINUTES_PER_DAY
    answer: np.ndarray = (into < length) | (into + MINUTES_PER_SLOT > MINUTES_PER_DAY)
    return answer


def middle_hours(local_minute: np.ndarray) -> np.ndarray:
    """int8 like local_minute: the local hour, 0 to 23, in the middle of each slot."""
    middle = (np.asarray(local_minute, dtype=np.int64) + MINUTES_PER_SLOT // 2) % MINUTES_PER_DAY
    answer: np.ndarray = (middle // 60).astype(np.int8)
    return answer
