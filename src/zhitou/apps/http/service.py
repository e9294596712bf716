"""The seam between the HTTP door and what decides. The door knows this page and nothing behind it.

The answers are Protocols: any frozen dataclass with these fields will do, so that whoever implements
`Service` imports nothing from here. A service is used by one thread at a time and need not be thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from zhitou.events.schema import Event


@dataclass(frozen=True)
class DecisionRequest:
    """One checked request for ads.

    request_id: drawn by the door, never seen before. subject: pseudonym. at_us: now, by the door's clock.
    channel: one of campaign.CHANNELS. size: (width, height) in px. slots: 1 or more. placement: the page's name
    for the place. locale: language tag or None. consent: what the shopper has just answered, (purpose, granted)
    sorted by purpose, () if the request is silent. context: small JSON object as canonical text, or None.
    """

    request_id: str
    subject: str
    at_us: int
    channel: str
    size: tuple[int, int]
    slots: int
    placement: str
    locale: str | None = None
    consent: tuple[tuple[str, bool], ...] = ()
    context: str | None = None


class ServedAd(Protocol):
    """One ad in one slot (0 is the first); `item` is an id of the catalogue, `creative_id` one for `creative`."""

    @property
    def slot(self) -> int: ...
    @property
    def ad_id(self) -> str: ...
    @property
    def item(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def creative_id(self) -> str: ...


class DecisionAnswer(Protocol):
    """The ads of one decision, in order of slot; `reason` says in a sentence why there is none, else None.
    model: version of the response model that decided."""

    @property
    def decision_id(self) -> str: ...
    @property
    def ads(self) -> Sequence[ServedAd]: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def model(self) -> str: ...


class ObserveAnswer(Protocol):
    """What became of the events passed in: accepted + duplicates + len(quarantined) is their number.

    accepted: new and on disk. duplicates: their (tenant, event_id) was known. quarantined: (position in the
    list passed in, reason in a sentence) of each event refused, such as one about an unknown item.
    """

    @property
    def accepted(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def quarantined(self) -> Sequence[tuple[int, str]]: ...


class PlacedAd(Protocol):
    """What an impression or click event needs to know about one slot of one decision."""

    @property
    def subject(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def item(self) -> str: ...


class Service(Protocol):
    """What answers behind the door. An id that is not known here is refused with NotFoundError."""

    def decide(self, request: DecisionRequest) -> DecisionAnswer:
        """Choose ads; the decision is kept, so that links to it work from now on. No ad is no error."""
        ...

    def observe(self, events: list[Event]) -> ObserveAnswer:
        """Take facts in (subjects are pseudonyms); the next decision knows them."""
        ...

    def receipt(self, decision_id: str) -> dict[str, Any]:
        """The whole record of a decision as plain JSON values, for the advertiser and the operator."""
        ...

    def placed(self, decision_id: str, slot: int) -> PlacedAd:
        """What stood in this slot. Refused: an unknown decision, and a slot that stayed empty."""
        ...

    def clicked(self, decision_id: str, slot: int) -> str:
        """The landing URL of the ad in this slot (http or https); looks up, records nothing."""
        ...

    def creative(self, creative_id: str, kind: str) -> tuple[bytes, str]:
        """(bytes, media type) of kind "png" or "html"."""
        ...

    def why(self, decision_id: str) -> dict[str, Any]:
        """For the shopper: {"sentences": [text, ...], ...}, with nothing beyond what the decision used."""
        ...

    def pseudonym(self, raw_subject: str) -> str:
        """The name under which this shopper is known inside; the raw id goes no further than this call."""
        ...

    def report_html(self) -> bytes:
        """The demonstration's report as one HTML page. Refused (NotFoundError): none was made yet."""
        ...

    def ready(self) -> dict[str, Any]:
        """Facts for an operator (versions, counts; no secret, no person). Raises while it cannot decide."""
        ...
