"""Who gets which ad, through which channel, in which hour: the question, and its answer as facts.

N = shoppers, J = candidate ads of each, A = ads, C = campaigns, K = channels, H = slots of one hour, Z = time zones,
G = hour profiles. All money is micros of one currency; values are expectations, so they are doubles until told.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.strategy.channels import Channel, local_minutes, middle_hours, quiet_slots

HOURS = 24
MOST_A_DAY = 8
LONG_AGO = -32_768


@dataclass(frozen=True)
class Audience:
    """What is known of each shopper.

    shoppers: object or str [N], names. candidate: int32 [N, J], ads he may get, -1 none; base_micros: float32 [N, J],
    what his seeing that ad on the site is worth in expectation, pCTR x pCVR x value x iota (the share that would
    not have happened anyway). channel_response: float32 [N, K], how he answers a channel against the site.
    profile: int32 [N], row of Terms.hour_response. zone: int32 [N], row of Terms.zones. consent: bool
    [N, K]. fatigue_micros: float32 [N], what the first message of a day costs in later attention.
    sent_channel: uint8 [N, K] and sent_campaign: uint8 [N, J], messages already got today through each channel and of
    each candidate's campaign. last_slot: int16 [N], slot of the last interrupting message, -3 = three hours before
    the plan begins, LONG_AGO = none.
    value_micros: float32 [N, J, K, H] or None: the worth of each message where it is no product of these factors.
    """

    shoppers: np.ndarray
    candidate: np.ndarray
    base_micros: np.ndarray
    channel_response: np.ndarray
    profile: np.ndarray
    zone: np.ndarray
    consent: np.ndarray
    fatigue_micros: np.ndarray
    sent_channel: np.ndarray
    sent_campaign: np.ndarray
    last_slot: np.ndarray
    value_micros: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        shoppers: np.ndarray,
        candidate: np.ndarray,
        base_micros: np.ndarray,
        channel_response: np.ndarray,
        consent: np.ndarray,
        *,
        profile: np.ndarray | None = None,
        zone: np.ndarray | None = None,
        fatigue_micros: np.ndarray | float = 0.0,
        sent_channel: np.ndarray | None = None,
        sent_campaign: np.ndarray | None = None,
        last_slot: np.ndarray | None = None,
        value_micros: np.ndarray | None = None,
    ) -> Audience:
        """With the usual answers for what is not said: one profile, one zone, no fatigue, nothing sent yet."""
        n, j = candidate.shape
        k = consent.shape[1]
        fatigue = np.broadcast_to(np.asarray(fatigue_micros, dtype=np.float32), (n,))

        def given(array: np.ndarray | None, shape: tuple[int, ...], kind: type, fill: int = 0) -> np.ndarray:
            return np.full(shape, fill, dtype=kind) if array is None else np.ascontiguousarray(array, dtype=kind)

        return cls(
            shoppers=np.asarray(shoppers),
            candidate=given(candidate, (n, j), np.int32),
            base_micros=given(base_micros, (n, j), np.float32),
            channel_response=given(channel_response, (n, k), np.float32),
            profile=given(profile, (n,), np.int32),
            zone=given(zone, (n,), np.int32),
            consent=given(consent, (n, k), np.bool_),
            fatigue_micros=np.ascontiguousarray(fatigue),
            sent_channel=given(sent_channel, (n, k), np.uint8),
            sent_campaign=given(sent_campaign, (n, j), np.uint8),
            last_slot=given(last_slot, (n,), np.int16, LONG_AGO),
            value_micros=None if value_micros is None else np.ascontiguousarray(value_micros, dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.shoppers)

    def take(self, rows: np.ndarray) -> Audience:
        """These shoppers (int [n] rows), in this order."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {name: None if a is None else a[rows] for name, a in arrays.items()}
        return Audience(**taken)


@dataclass(frozen=True)
class Terms:
    """What holds for everybody.

    start_us: UTC time at which slot 0 begins. channels: K of them. campaigns: C names; ads: A names and
    ad_campaign: int32 [A], the campaign of each. hour_response: float32 [G, K, 24] or [G, 1, 24], how a profile
    answers in each local hour against its mean. zones: Z names such as Europe/London. quiet_hours: of each campaign,
    local hours [start, end) in which it interrupts nobody, or None.
    open: bool [C, K, H], flight and targeting let the campaign use the channel in the slot.
    cost_micros: int64 [C, K], what a message costs the campaign. budget_micros: int64 [C], for the plan's slots.
    capacity: int64 [K, H], messages that can be sent. per_day: messages a shopper may get in all; campaign_per_day:
    int [C]; gap_hours: from one interrupting message of a shopper to the next (1: not in the same slot, 0: no rule).
    A shopper gets at most one message through one channel in one slot. The m-th message of a day costs
    fatigue_micros * (1 + fatigue_growth * (m - 1)).
    """

    start_us: int
    currency: str
    channels: tuple[Channel, ...]
    campaigns: tuple[str, ...]
    ads: tuple[str, ...]
    ad_campaign: np.ndarray
    hour_response: np.ndarray
    zones: tuple[str, ...]
    quiet_hours: tuple[tuple[int, int] | None, ...]
    open: np.ndarray
    cost_micros: np.ndarray
    budget_micros: np.ndarray
    capacity: np.ndarray
    campaign_per_day: np.ndarray
    per_day: int = 3
    gap_hours: int = 4
    fatigue_growth: float = 1.0

    @property
    def slots(self) -> int:
        """H."""
        return int(self.capacity.shape[1])

    @cached_property
    def local_minute(self) -> np.ndarray:
        """int16 [Z, H]: the minute of the local day at which each slot begins."""
        return local_minutes(self.zones, self.start_us, self.slots)

    @cached_property
    def hour_of_slot(self) -> np.ndarray:
        """int8 [Z, H]: the local hour of each slot, by which hour_response is read."""
        return middle_hours(self.local_minute)

    @cached_property
    def quiet(self) -> np.ndarray:
        """bool [C, Z, H]: slots in which a campaign may not interrupt a shopper of the zone."""
        return np.stack([quiet_slots(self.local_minute, hours) for hours in self.quiet_hours])


@dataclass(frozen=True)
class PlanProblem:
    """An audience under terms. Refused (ConfigError, SchemaError): shapes that do not fit, negative money or caps,
    numbers that are not finite, more than a day of slots (the caps are for one day), indices of nothing."""

    audience: Audience
    terms: Terms

    def __post_init__(self) -> None:
        _check(self.audience, self.terms)

    def __len__(self) -> int:
        return len(self.audience)

    def sample(self, rows: np.ndarray) -> PlanProblem:
        """These shoppers, with their share of capacities and budgets, rounded down to whole messages and micros."""
        n, of = len(rows), max(1, len(self))
        terms = replace(
            self.terms,
            budget_micros=np.asarray([int(b) * n // of for b in self.terms.budget_micros], dtype=np.int64),
            capacity=self.terms.capacity * n // of,
        )
        return PlanProblem(self.audience.take(rows), terms)

    def digest(self) -> str:
        """24 hexadecimal digits that change with every number of the problem."""
        state = hashlib.blake2b(digest_size=12)
        for part in (self.audience, self.terms):
            for field in fields(part):
                value = getattr(part, field.name)
                state.update(f"{field.name}:".encode())
                if isinstance(value, np.ndarray) and value.dtype.kind not in "OUS":
                    state.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
                else:
                    state.update(repr(value.tolist() if isinstance(value, np.ndarray) else value).encode())
        return state.hexdigest()


@dataclass(frozen=True)
class Prices:
    """The dual prices: slot_micros float64 [K, H], of one message more in a slot; budget float64 [C], of a micro more
    of a campaign's budget, in micros of value beyond the micro itself."""

    slot_micros: np.ndarray
    budget: np.ndarray


@dataclass(frozen=True)
class Plan:
    """M messages, sorted by shopper and slot, all int32 [M]: row of the audience, place among his candidates, channel
    and slot. value_micros: float64 [M], what each is worth before costs; cost_micros: int64 [M].

    total_micros: what the plan is worth less its costs and fatigue. bound_micros: no plan is worth more, by weak
    duality at `prices`. unproven: shoppers whose share of the bound is an upper limit instead of his exact optimum.
    """

    shopper: np.ndarray
    place: np.ndarray
    channel: np.ndarray
    slot: np.ndarray
    value_micros: np.ndarray
    cost_micros: np.ndarray
    prices: Prices
    total_micros: float
    bound_micros: float
    unproven: int
    digest: str

    def __len__(self) -> int:
        return len(self.shopper)

    @classmethod
    def of(
        cls,
        problem: PlanProblem,
        shopper: np.ndarray,
        place: np.ndarray,
        channel: np.ndarray,
        slot: np.ndarray,
        *,
        prices: Prices,
        bound_micros: float,
        unproven: int,
    ) -> Plan:
        """From the messages (int [M] each, in any order): sorted, and with what they are worth."""
        order = np.lexsort((channel, slot, shopper))
        shopper, place, channel, slot = (
            np.asarray(a, dtype=np.int32)[order] for a in (shopper, place, channel, slot)
        )
        value = message_values(problem, shopper, place, channel, slot)
        camp = problem.terms.ad_campaign[problem.audience.candidate[shopper, place]]
        cost = problem.terms.cost_micros[camp, channel].astype(np.int64)
        fatigue = fatigue_of(problem.audience, problem.terms.fatigue_growth, shopper, numbers(problem, shopper))
        return cls(
            shopper=shopper,
            place=place,
            channel=channel,
            slot=slot,
            value_micros=value,
            cost_micros=cost,
            prices=prices,
            total_micros=float(value.sum() - fatigue.sum()) - int(cost.sum()),
            bound_micros=bound_micros,
            unproven=unproven,
            digest=problem.digest(),
        )

    @property
    def bound_gap(self) -> float:
        """(bound - total) / bound: the plan lacks at most this share of the best; 0 where nothing can be won."""
        return max(0.0, 1.0 - self.total_micros / self.bound_micros) if self.bound_micros > 0 else 0.0

    def ad(self, problem: PlanProblem) -> np.ndarray:
        """int32 [M]: the ad of each message."""
        answer: np.ndarray = problem.audience.candidate[self.shopper, self.place]
        return answer

    def campaign(self, problem: PlanProblem) -> np.ndarray:
        """int32 [M]: the campaign of each message."""
        answer: np.ndarray = problem.terms.ad_campaign[self.ad(problem)]
        return answer

    def usage(self, problem: PlanProblem) -> np.ndarray:
        """int64 [K, H]: messages in each slot."""
        k, h = problem.terms.capacity.shape
        return np.bincount(self.channel.astype(np.int64) * h + self.slot, minlength=k * h).reshape(k, h)

    def spend_micros(self, problem: PlanProblem) -> np.ndarray:
        """int64 [C]: what each campaign pays."""
        out = np.zeros(len(problem.terms.campaigns), dtype=np.int64)
        np.add.at(out, self.campaign(problem), self.cost_micros)
        return out


def fatigue_of(audience: Audience, growth: float, rows: np.ndarray, number: np.ndarray) -> np.ndarray:
    """float64 [m]: what the number-th message of a day (int [m], from 1) costs each of these shoppers (int [m])."""
    answer: np.ndarray = audience.fatigue_micros[rows].astype(np.float64) * (1.0 + growth * (number - 1))
    return answer


def numbers(problem: PlanProblem, shopper: np.ndarray) -> np.ndarray:
    """int64 [m]: which message of his day each is, from 1, those already sent counted; shopper: int [m], sorted."""
    at = np.arange(len(shopper))
    first = np.searchsorted(shopper, shopper, side="left")
    answer: np.ndarray = at - first + 1 + problem.audience.sent_channel[shopper].sum(axis=1, dtype=np.int64)
    return answer


def message_values(
    problem: PlanProblem, shopper: np.ndarray, place: np.ndarray, channel: np.ndarray, slot: np.ndarray
) -> np.ndarray:
    """float64 [m]: what each message (int [m] each) is worth before costs, prices and fatigue."""
    a, t = problem.audience, problem.terms
    if a.value_micros is not None:
        return np.asarray(a.value_micros[shopper, place, channel, slot], dtype=np.float64)
    hour = t.hour_of_slot[a.zone[shopper], slot]
    row = np.minimum(channel, t.hour_response.shape[1] - 1)
    answers = a.channel_response[shopper, channel].astype(np.float64) * t.hour_response[a.profile[shopper], row, hour]
    return np.asarray(a.base_micros[shopper, place] * answers, dtype=np.float64)


def _check(audience: Audience, terms: Terms) -> None:
    n, j = audience.candidate.shape
    k, h = terms.capacity.shape
    c, a = len(terms.campaigns), len(terms.ads)
    g = len(terms.hour_response)
    wide = terms.hour_response.shape[1]
    expected: dict[str, tuple[np.ndarray | None, tuple[int, ...]]] = {
        "shoppers": (audience.shoppers, (n,)),
        "base_micros": (audience.base_micros, (n, j)),
        "channel_response": (audience.channel_response, (n, k)),
        "profile": (audience.profile, (n,)),
        "zone": (audience.zone, (n,)),
        "consent": (audience.consent, (n, k)),
        "fatigue_micros": (audience.fatigue_micros, (n,)),
        "sent_channel": (audience.sent_channel, (n, k)),
        "sent_campaign": (audience.sent_campaign, (n, j)),
        "last_slot": (audience.last_slot, (n,)),
        "value_micros": (audience.value_micros, (n, j, k, h)),
        "ad_campaign": (terms.ad_campaign, (a,)),
        "hour_response": (terms.hour_response, (g, k if wide > 1 else 1, HOURS)),
        "open": (terms.open, (c, k, h)),
        "cost_micros": (terms.cost_micros, (c, k)),
        "budget_micros": (terms.budget_micros, (c,)),
        "campaign_per_day": (terms.campaign_per_day, (c,)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise SchemaError(f"{name}: expected the shape {shape}, got {array.shape}")
    if not c or len(terms.quiet_hours) != c:
        raise SchemaError(f"expected quiet_hours (or None) of each of {c} campaigns, got {len(terms.quiet_hours)}")
    if len(terms.channels) != k or not 1 <= h * 3600 <= SECONDS_PER_DAY:
        raise ConfigError(f"expected {len(terms.channels)} channels and 1 to 24 slots, got capacity {k} x {h}")
    _check_ranges(audience, terms)


def _check_ranges(audience: Audience, terms: Terms) -> None:
    if not 1 <= terms.per_day <= MOST_A_DAY or not 0 <= terms.gap_hours <= HOURS or terms.fatigue_growth < 0:
        raise ConfigError(f"per_day is 1 to {MOST_A_DAY}, gap_hours 0 to {HOURS}, fatigue_growth zero or more")
    for name in ("cost_micros", "budget_micros", "capacity", "campaign_per_day"):
        array = getattr(terms, name)
        if array.dtype.kind not in "iu" or (array.size and array.min() < 0):
            raise ConfigError(f"{name} is whole numbers, none below zero; got {array.dtype}")
    limits = {
        "candidate": (audience.candidate, -1, len(terms.ads)),
        "profile": (audience.profile, 0, len(terms.hour_response)),
        "zone": (audience.zone, 0, len(terms.zones)),
        "ad_campaign": (terms.ad_campaign, 0, len(terms.campaigns)),
    }
    for name, (array, least, end) in limits.items():
        if array.size and not least <= array.min() <= array.max() < end:
            raise SchemaError(f"{name}: expected {least} to {end - 1}, got {array.min()} to {array.max()}")
    numbers = ("base_micros", "channel_response", "fatigue_micros", "value_micros")
    for name, array in [(n, getattr(audience, n)) for n in numbers] + [("hour_response", terms.hour_response)]:
        if array is not None and not np.isfinite(array).all():
            raise SchemaError(f"{name}: expected finite numbers; leave an unknown ad out of the candidates (-1)")
    if audience.fatigue_micros.size and audience.fatigue_micros.min() < 0:
        raise ConfigError("fatigue_micros is zero or more")
