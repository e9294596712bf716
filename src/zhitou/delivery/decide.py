"""The whole path of a decision, on one screen.

consent -> eligibility and caps -> fields -> pCTR, calibrated for the channel, and pCVR -> bid by value, paced ->
exploration -> slate and price -> money held -> decision. Every filter comes before sampling: what is logged as
propensity is the probability after all filters. B = requests, K = ads, S = slots, C = campaigns, F = fields.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.core.clock import Clock
from zhitou.core.ids import stable_id
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.delivery.candidates import FIRST, Candidates, in_place, placed
from zhitou.delivery.receipt import Asks, Decisions
from zhitou.events.schema import KIND_CODE
from zhitou.privacy.consent import ConsentBook
from zhitou.strategy.auction import biddable, clear
from zhitou.strategy.caps import Exposure
from zhitou.strategy.eligibility import CODE, eligibility
from zhitou.strategy.exploration import slate
from zhitou.strategy.pacing import DualPacing
from zhitou.strategy.policies import Context, Policy
from zhitou.strategy.ports import CreativeSource, Ledger, ResponseModel
from zhitou.strategy.value import bids_micros, paced

HOURS = 24
STRANGER = -1


@dataclass(frozen=True)
class DeskConfig:
    """reserve_micros: the least a click may cost. utc_offset_hours: the shop's local time against UTC.
    traffic: share of a day's traffic by UTC hour (24 numbers that sum to 1), the forecast that pacing follows."""

    tenant: str = "demo"
    reserve_micros: int = 10_000
    utc_offset_hours: int = 0
    traffic: tuple[float, ...] = (1 / HOURS,) * HOURS


@dataclass
class Desk:
    """Decides for one ad book. Not safe for several threads: one decision at a time, in order."""

    book: AdBook
    candidates: Candidates
    response: ResponseModel | None
    policy: Policy
    creatives: CreativeSource
    ledger: Ledger
    consent: ConsentBook
    chance: Chance
    clock: Clock
    config: DeskConfig = DeskConfig()
    segments: Mapping[str, frozenset[str]] = field(default_factory=dict)
    in_stock: np.ndarray | None = None
    interest_version: str = "none"
    log_fields: bool = False
    batches: int = 0

    def __post_init__(self) -> None:
        self.exposure = Exposure(self.book)
        daily = np.asarray([c.flight.budget_micros_daily for c in self.book.campaigns], dtype=np.int64)
        self.pacing = DualPacing(daily)
        self._spent_this_hour = np.zeros(len(daily), dtype=np.int64)
        self._hour: int | None = None
        self._approved: dict[tuple[int, int], np.ndarray] = {}

    def fork(self, policy: Policy, response: ResponseModel | None = None) -> Desk:
        """A desk that knows what this one knows and goes its own way from here; budgets and caps are copied."""
        shared = (self.book, self.response, self.creatives, self.consent, self.chance, self.clock, self.segments)
        state = {id(x): x for x in shared} | {id(self.candidates): self.candidates.fork()}
        twin = copy.deepcopy(self, state)
        twin.policy, twin.response, twin.log_fields = policy, response or self.response, policy.needs_models
        return twin

    def decide(self, asks: Asks) -> Decisions:
        """Choose ads for B requests of about the same moment, in the order given."""
        rows, allowed = self._who(asks)
        self._pace(int(asks.time_us.max()))
        reason = self._filter(asks, rows, allowed)
        fields, plain, pcvr = self._predict(asks, rows)
        pctr = self._placed(plain, asks.channel[:, None], FIRST)
        bid = self._bid(pcvr)
        eligible = biddable(bid, reason == 0, self.config.reserve_micros)
        reason[(reason == 0) & ~eligible] = CODE["below_floor"]
        context = Context(
            eligible, pctr, bid, rows, asks.time_us, asks.slots, self.chance, self.batches, self.book.campaign
        )
        proposal = self.policy.propose(context)
        uniforms = self.chance.stream("slate", self.batches).random((len(asks), asks.slots))
        order, propensity = slate(proposal.probabilities, uniforms, self.book.campaign)
        price = self._price(proposal.score, order, pctr, bid, eligible)
        ids = tuple(stable_id("d", self.config.tenant, str(r)) for r in asks.request_ids)
        at = np.maximum(order, 0)
        there = self._placed(np.take_along_axis(plain, at, axis=1), asks.channel[:, None], np.arange(asks.slots))
        shown = self._hold(ids, asks, order, price, there)
        self.batches += 1
        shown_fields = (
            np.take_along_axis(fields, at[:, :, None], axis=1) if fields.shape[2] else fields[:, : asks.slots]
        )
        return Decisions(
            decision_ids=ids,
            asks=asks,
            rows=rows,
            drawn=order,
            ad=shown,
            price_micros=np.where(order >= 0, price, 0),
            bid_micros=np.take_along_axis(bid, at, axis=1),
            propensity=np.where(order >= 0, propensity, 0.0),
            pctr=np.take_along_axis(pctr, at, axis=1),
            pctr_in_slot=there,
            pcvr=np.take_along_axis(pcvr, at, axis=1),
            fields=shown_fields,
            reason=reason,
            candidate_pctr=pctr,
            candidate_pcvr=pcvr,
            candidate_bid_micros=bid,
            candidate_score=proposal.score,
            candidate_probability=proposal.probabilities,
            uniforms=uniforms,
            multiplier=self.pacing.multiplier,
            consent_basis=tuple(self._basis(str(s), r) for s, r in zip(asks.subjects, rows, strict=True)),
            flat_price=self.policy.flat_price,
            reserve_micros=self.config.reserve_micros,
            policy=self.policy.name,
            response_version=self.response.version if self.response is not None else "none",
            interest_version=self.interest_version,
            calibration=knowing.calibration if (knowing := placed(self.response)) is not None else "none",
            finished_us=self.clock.now_us(),
        )

    def shown(self, decisions: Decisions, seen: np.ndarray) -> None:
        """These ads (bool [B, S]) were on screen: caps and fatigue count them."""
        ads = np.where(seen, decisions.ad, -1)
        self.exposure.add(decisions.rows, ads, decisions.asks.time_us)
        b, s = np.nonzero(ads >= 0)
        if len(b):
            self._write("impression", decisions.rows[b], ads[b, s], decisions.asks.time_us[b] // MICROSECONDS)

    def seen(self, rows: np.ndarray, ads: np.ndarray, at_us: np.ndarray) -> None:
        """Single impressions (int [n] each) that were reported after their decision."""
        self.exposure.add(rows, ads, at_us)
        self._write("impression", rows, ads, at_us // MICROSECONDS)

    def clicked(
        self, keys: list[str], rows: np.ndarray, ads: np.ndarray, prices: np.ndarray, at_us: np.ndarray
    ) -> np.ndarray:
        """int64 [n]: what each click cost its campaign, by key ("decision/slot"), once however often."""
        if not keys:
            return np.zeros(0, dtype=np.int64)
        before = self.ledger.spent_micros()  # a repeated key is answered with its old charge
        charged = self.ledger.charge(keys, self.book.campaign[ads], prices, int(at_us.max()))
        self._spent_this_hour += self.ledger.spent_micros() - before
        self._write("click", rows, ads, at_us // MICROSECONDS)
        return charged

    def _write(self, kind: str, rows: np.ndarray, ads: np.ndarray, time_s: np.ndarray) -> None:
        kinds = np.full(len(rows), KIND_CODE[kind], dtype=np.int8)
        items, prices = self.book.item[ads], self.book.price_micros[ads]
        self.candidates.features.write(rows, kinds, items, ads.astype(np.int32), time_s, prices)

    def _who(self, asks: Asks) -> tuple[np.ndarray, np.ndarray]:
        """(int64 [B] feature rows, -1 for strangers and refused profiles; bool [B] whether ads may be shown)."""
        rows = np.full(len(asks), STRANGER, dtype=np.int64)
        allowed = np.ones(len(asks), dtype=bool)
        for b, subject in enumerate(asks.subjects):
            if subject:
                allowed[b] = self.consent.allows(subject, "ads")
                if allowed[b] and self.consent.allows(subject, "profile"):
                    rows[b] = self.candidates.features.subject_row(subject)
        return rows, allowed

    def _basis(self, subject: str, row: int) -> str:
        if not subject:
            return "stranger: contextual"
        profile = self.consent.basis(subject, "profile")
        return f"ads {self.consent.basis(subject, 'ads')}, profile {profile}" + (": contextual" if row < 0 else "")

    def _filter(self, asks: Asks, rows: np.ndarray, allowed: np.ndarray) -> np.ndarray:
        seen_ad, seen_campaign = self.exposure.seen(rows, asks.time_us)
        hour = (asks.time_us // (3600 * MICROSECONDS) + self.config.utc_offset_hours) % HOURS
        nothing: frozenset[str] = frozenset()
        return eligibility(
            self.book,
            at_us=asks.time_us,
            channel=asks.channel,
            ads_allowed=allowed,
            in_stock=np.ones(len(self.book), dtype=bool) if self.in_stock is None else self.in_stock,
            approved=self._approved_for(asks.size),
            remaining_micros=self.ledger.remaining_micros(int(asks.time_us.max())),
            seen_ad=seen_ad,
            seen_campaign=seen_campaign,
            hour_local=hour,
            segments=[
                self.segments.get(s, nothing) if r >= 0 else nothing for s, r in zip(asks.subjects, rows, strict=True)
            ],
            locale=asks.locale,
        )

    def _approved_for(self, size: tuple[int, int]) -> np.ndarray:
        if size not in self._approved:
            found = [self.creatives.creative_id(ad, size) is not None for ad in self.book.ad_ids]
            self._approved[size] = np.asarray(found, dtype=bool)
        return self._approved[size]

    def _predict(self, asks: Asks, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        none = np.zeros((len(asks), len(self.book)))
        if not (self.policy.needs_models or self.log_fields):
            return np.zeros((len(asks), len(self.book), 0), dtype=np.float32), none, none
        # Facts of the second that has begun are past, too: a click counts for the very next decision.
        fields = self.candidates.fields(rows, asks.time_us // MICROSECONDS + 1)
        if not self.policy.needs_models:
            return fields, none, none
        assert self.response is not None, f"policy {self.policy.name} needs a response model"
        return fields, *self.response.predict(fields)

    def _placed(self, pctr: np.ndarray, channel: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """pctr as it is in these slots of these channels; a policy without a model has none to place."""
        if self.response is None or not self.policy.needs_models:
            return pctr
        return in_place(self.response, pctr, channel, slot)

    def _bid(self, pcvr: np.ndarray) -> np.ndarray:
        if self.policy.flat_price:
            return np.broadcast_to(self.book.bid_micros, pcvr.shape).copy()
        return paced(bids_micros(self.book, pcvr), self.pacing.multiplier, self.book)

    def _price(
        self, score: np.ndarray, order: np.ndarray, pctr: np.ndarray, bid: np.ndarray, eligible: np.ndarray
    ) -> np.ndarray:
        if self.policy.flat_price:
            return np.take_along_axis(bid, np.maximum(order, 0), axis=1)
        return clear(score, order, pctr, bid, eligible, self.config.reserve_micros, self.book.campaign)

    def _hold(
        self, ids: tuple[str, ...], asks: Asks, order: np.ndarray, price: np.ndarray, chance: np.ndarray
    ) -> np.ndarray:
        """The order without the slots that the budget no longer covers. Held is the expected cost: price x the chance
        of a click (float64 [B, S]) where the ad stands."""
        b, s = np.nonzero(order >= 0)
        if not len(b):
            return order
        ads = order[b, s]
        amount = np.ceil(price[b, s] * np.maximum(chance[b, s], 1e-3)).astype(np.int64)
        keys = [f"{ids[i]}/{j}" for i, j in zip(b, s, strict=True)]
        held = self.ledger.hold(keys, self.book.campaign[ads], amount, int(asks.time_us.max()))
        kept = order.copy()
        kept[b[~held], s[~held]] = -1
        return kept

    def _pace(self, at_us: int) -> None:
        """At each new hour, tell the pacing what the hours since the last decision cost."""
        hour = at_us // (3600 * MICROSECONDS)
        if self._hour is None:
            self._hour = hour
            self.pacing.update(np.zeros_like(self._spent_this_hour), sum(self.config.traffic[: hour % HOURS]))
        for past in range(max(self._hour, hour - HOURS), hour):
            self.pacing.update(self._spent_this_hour, self.config.traffic[past % HOURS])
            self._spent_this_hour[:] = 0
        self._hour = hour


def traffic_by_hour(time_s: np.ndarray) -> tuple[float, ...]:
    """The forecast that past behaviour makes: share of events by UTC hour, with one event of prior for each hour."""
    counts = 1.0 + np.bincount((time_s % SECONDS_PER_DAY) // 3600, minlength=HOURS)
    return tuple((counts / counts.sum()).tolist())
