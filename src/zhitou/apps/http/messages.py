"""The shapes of requests and answers, as the OpenAPI description shows them. Unknown fields are refused."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from zhitou.apps.http.problems import told
from zhitou.campaign.campaign import CHANNELS
from zhitou.core.ids import stable_id
from zhitou.events.schema import KINDS, Event

SLOTS_MAX = 8
CONTEXT_BYTES_MAX = 2_048
WHOLE_MAX = 2**53 - 1  # the largest whole number that every JSON reader keeps exactly
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def _moment(value: Any) -> Any:
    """Only RFC 3339 text: a bare number leaves open whether it counts seconds or milliseconds."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError("expected RFC 3339 time with an offset, such as 2026-07-01T12:00:00Z")
    return value


def _small(value: Any) -> Any:
    """A context is a small JSON object."""
    if isinstance(value, dict) and len(orjson.dumps(value)) > CONTEXT_BYTES_MAX:
        raise ValueError(f"expected at most {CONTEXT_BYTES_MAX:,} bytes of JSON")
    return value


Text = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Whole = Annotated[int, Field(strict=True, ge=0, le=WHOLE_MAX)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Context = Annotated[dict[str, Any], BeforeValidator(_small)]


class Strict(BaseModel):
    """A request model: what it does not name is refused, so that nothing is assigned by surprise."""

    model_config = ConfigDict(extra="forbid")


class ConsentIn(Strict):
    """What the shopper has just answered; a purpose that is left out keeps its former answer."""

    ads: Annotated[bool, Field(strict=True)] | None = None
    profile: Annotated[bool, Field(strict=True)] | None = None
    measurement: Annotated[bool, Field(strict=True)] | None = None
    email: Annotated[bool, Field(strict=True)] | None = None
    push: Annotated[bool, Field(strict=True)] | None = None

    def answers(self) -> tuple[tuple[str, bool], ...]:
        """(purpose, granted) of those answered, sorted."""
        return tuple(sorted((purpose, granted) for purpose, granted in self if granted is not None))


class DecisionIn(Strict):
    """A request for ads for one shopper, now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"subject": "shopper-7", "channel": "onsite", "size": "300x250", "slots": 2, "placement": "home"}
            ]
        }
    )

    subject: Text = Field(description="Your id of the shopper; it becomes a pseudonym at the door.")
    channel: Literal[CHANNELS] = Field("onsite", description="Where the ads will appear.")  # type: ignore[valid-type]
    size: str = Field(
        pattern=r"^[1-9]\d{0,3}x[1-9]\d{0,3}$", max_length=9, description="Width x height in pixels, such as 300x250."
    )
    slots: int = Field(1, ge=1, le=SLOTS_MAX, strict=True, description="How many ads at the most.")
    placement: str = Field("default", pattern=r"^[A-Za-z0-9_.\-]{1,64}$", description="Your name of the place.")
    locale: str | None = Field(None, pattern=r"^[A-Za-z]{2,3}([_\-][A-Za-z0-9]{2,8}){0,3}$", max_length=35)
    consent: ConsentIn | None = Field(None, description="The shopper's answers, if given with this request.")
    context: Context | None = Field(None, description="A small JSON object (2 KB) about the page.")

    def width_height(self) -> tuple[int, int]:
        """(width, height) in px."""
        width, _, height = self.size.partition("x")
        return int(width), int(height)


class AdOut(BaseModel):
    """One ad: what to draw, what to call when it is seen, and where a click goes."""

    slot: int
    ad_id: str
    item: str
    title: str
    creative_url: str = Field(description="PNG of the banner.")
    html_url: str = Field(description="The same banner as HTML, for a sandboxed iframe.")
    click_url: str = Field(description="Signed; counts one click and leads to the landing page.")
    impression_url: str = Field(description="Signed; a 1x1 GIF that counts one impression.")
    why_url: str = Field(description="Signed; explains to the shopper why this is shown.")


class DecisionOut(BaseModel):
    """The ads for one request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "decision_id": "d_4f1c",
                    "ads": [
                        {
                            "slot": 0,
                            "ad_id": "ad_9a2e",
                            "item": "tea",
                            "title": "Green tea, 100 g",
                            "creative_url": "https://ads.example/creative/c_77d0.png",
                            "html_url": "https://ads.example/creative/c_77d0.html?d=d_5f2a&s=0&e=1767225600&m=...",
                            "click_url": "https://ads.example/t/c?d=d_4f1c&s=0&e=1785499200&m=QIOV...",
                            "impression_url": "https://ads.example/t/i?d=d_4f1c&s=0&e=1785499200&m=VB6c...",
                            "why_url": "https://ads.example/why/d_4f1c?s=0&e=1785499200&m=4laB...",
                        }
                    ],
                    "reason": None,
                    "model": "response_0c1f5ab2",
                }
            ]
        }
    )

    decision_id: str
    ads: list[AdOut]
    reason: str | None = Field(description="Why there is no ad; null if there are some.")
    model: str = Field(description="Version of the response model that decided.")


class EventIn(Strict):
    """One fact about one shopper; docs/events.md explains each field."""

    event_id: Text = Field(description="Yours, unique; sending it again changes nothing.")
    kind: Literal[KINDS]  # type: ignore[valid-type]
    subject: Text = Field(description="Your id of the shopper; it becomes a pseudonym at the door.")
    occurred_at: Moment = Field(description="When it happened: RFC 3339 with an offset.")
    item: Text | None = None
    quantity: Whole | None = None
    price_micros: Whole | None = Field(None, description="Of one piece after discounts, in micros of `currency`.")
    currency: str | None = Field(None, pattern=r"^[A-Z]{3}$")
    session: Text | None = None
    channel: Text | None = None
    decision_id: Text | None = None
    order_id: Text | None = None
    context: Context | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> EventIn:
        if self.price_micros is not None and self.currency is None:
            raise ValueError("price_micros needs a currency")
        if microseconds(self.occurred_at) < 0:
            raise ValueError("occurred_at lies before 1970")
        slot = (self.context or {}).get("slot", 0)
        if self.kind in ("impression", "click") and (type(slot) is not int or not 0 <= slot < SLOTS_MAX):
            raise ValueError(f"context.slot is a whole number from 0 to {SLOTS_MAX - 1}")
        return self


@dataclass(frozen=True)
class Misfit:
    """An event of a batch that is not of the contract's shape, and why."""

    event_id: str | None
    reason: str


def _one_by_one(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One bad event does not spoil its batch: it is carried on as a Misfit and refused in the answer."""
    try:
        return validate(value)
    except ValidationError as error:
        event_id = value.get("event_id") if isinstance(value, dict) else None
        known = event_id if isinstance(event_id, str) and len(event_id) <= 256 else None
        first = told(error.errors(include_url=False, include_input=False, include_context=False))[0]
        return Misfit(known, f"{first['at']}: {first['message']}")


class EventsIn(Strict):
    """A batch of events."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sent_at": "2026-07-01T12:00:05Z",
                    "events": [
                        {
                            "event_id": "web-1",
                            "kind": "view",
                            "subject": "shopper-7",
                            "item": "tea",
                            "occurred_at": "2026-07-01T12:00:00Z",
                        }
                    ],
                }
            ]
        }
    )

    events: list[Annotated[EventIn, WrapValidator(_one_by_one)]] = Field(min_length=1)
    sent_at: Moment | None = Field(
        None, description="Your clock when sending. If it is far from ours, the events' times are corrected by it."
    )


class EventResult(BaseModel):
    """What became of one event; `position` is its place in the batch, from 0."""

    position: int
    event_id: str | None
    status: Literal["kept", "refused"]
    reason: str | None = None


class EventsOut(BaseModel):
    """What became of the batch: accepted + duplicates + refused is its size."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accepted": 1,
                    "duplicates": 0,
                    "refused": 0,
                    "clock_skew_seconds": 0,
                    "results": [{"position": 0, "event_id": "web-1", "status": "kept", "reason": None}],
                }
            ]
        }
    )

    accepted: int
    duplicates: int
    refused: int
    clock_skew_seconds: int = Field(description="Your clock minus ours when sending; 0 if near, or not said.")
    results: list[EventResult]


class ProblemOut(BaseModel):
    """A refusal (RFC 9457): what was expected, what came, what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable name of this kind of problem.")
    instance: str = Field(description="Names the request in the server's log.")
    errors: list[dict[str, str]] | None = Field(None, description="Each field that is wrong, and why.")
    results: list[EventResult] | None = Field(None, description="What became of each event of a batch.")


def microseconds(moment: dt.datetime) -> int:
    """UTC microseconds since 1970, exactly."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def canonical(context: dict[str, Any] | None) -> str | None:
    """A context as the text that is kept: sorted keys, no spaces."""
    return None if not context else orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode()


def to_event(given: EventIn, tenant: str, subject: str, received_us: int, skew_us: int) -> Event:
    """The event to keep. subject: pseudonym. skew_us: what the sender's clock is ahead; noted in the context."""
    context = dict(given.context or {})
    if skew_us:
        context["clock_skew_us"] = skew_us
    return Event(
        event_id=given.event_id,
        tenant=tenant,
        subject=subject,
        kind=given.kind,
        occurred_us=max(0, microseconds(given.occurred_at) - skew_us),
        received_us=received_us,
        item=given.item,
        quantity=given.quantity,
        price_micros=given.price_micros,
        currency=given.currency,
        session=given.session,
        channel=given.channel,
        decision_id=given.decision_id,
        order_id=given.order_id,
        context=canonical(context),
    )


def link_event_id(decision_id: str, slot: int, kind: str) -> str:
    """The id of what a signed link reports: the same link, the same event, however often it is followed."""
    return stable_id("t", decision_id, slot, kind)
