"""The routes for programs: decisions, receipts, events."""

from __future__ import annotations

import secrets
from typing import Any, cast

import orjson
from fastapi import FastAPI, Path
from starlette.responses import Response

from zhitou.apps.http.bodies import access
from zhitou.apps.http.door import Door
from zhitou.apps.http.links import ID_PATTERN
from zhitou.apps.http.messages import (
    DecisionIn,
    DecisionOut,
    EventIn,
    EventsIn,
    EventsOut,
    Misfit,
    canonical,
    microseconds,
    to_event,
)
from zhitou.apps.http.problems import Problem, documented
from zhitou.apps.http.service import DecisionAnswer, DecisionRequest, ObserveAnswer
from zhitou.core.units import MICROSECONDS
from zhitou.events.schema import Event

SKEW_SECONDS = 300  # two clocks nearer than this are taken to agree
KEYED: dict[str, Any] = {"security": [{"bearer": []}, {"api_key": []}]}
_BODY = ("malformed", "too_deep", "too_large", "media_type", "overloaded")
_KEY = ("auth", "forbidden")


def add_program_routes(app: FastAPI, door: Door) -> None:
    """Add /v1/decisions and /v1/events."""

    @app.post(
        "/v1/decisions",
        tags=["decisions"],
        summary="Choose ads for one shopper",
        response_model=DecisionOut,
        response_description="The ads, perhaps none",
        responses=documented(*_KEY, "consent", "invalid", *_BODY),
        openapi_extra=KEYED,
    )
    @access("decide")
    async def decide(asked: DecisionIn) -> Response:
        """Chooses up to `slots` ads and keeps the decision. An empty `ads` is an answer; `reason` says why."""
        now_us = door.clock.now_us()
        answer = await door.turns.take(lambda: _decide(door, asked, now_us))
        return _json(_decision_out(door, answer, now_us))

    @app.get(
        "/v1/decisions/{decision_id}",
        tags=["decisions"],
        summary="The whole record of a decision",
        response_model=dict[str, Any],
        response_description="The record",
        responses=documented(*_KEY, "not_found", "invalid", "overloaded"),
        openapi_extra=KEYED,
    )
    @access("decide")
    async def receipt(decision_id: str = Path(pattern=ID_PATTERN)) -> Response:
        """The receipt: request, candidates, scores, prices, versions. For the shop, not for shoppers."""
        return _json(await door.turns.take(lambda: door.service.receipt(decision_id)))

    @app.post(
        "/v1/events",
        tags=["events"],
        summary="Report what shoppers did",
        response_model=EventsOut,
        response_description="At least one event was kept",
        responses=documented(*_KEY, "invalid", "refused_events", *_BODY),
        openapi_extra=KEYED,
    )
    @access("ingest")
    async def observe(batch: EventsIn) -> Response:
        """Takes a batch in. Each event stands for itself: the good are kept, the others refused with a reason."""
        if len(batch.events) > door.settings.events_max:
            detail = f"expected at most {door.settings.events_max:,} events, got {len(batch.events):,}; split them"
            raise Problem("invalid", detail, errors=[{"at": "body.events", "message": detail}])
        received_us = door.clock.now_us()
        return _json(await door.turns.take(lambda: _observe(door, batch, received_us)))


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _decide(door: Door, asked: DecisionIn, now_us: int) -> DecisionAnswer:
    """On the service's thread: the raw id ends here."""
    request = DecisionRequest(
        request_id=secrets.token_hex(16),
        subject=door.service.pseudonym(asked.subject),
        at_us=now_us,
        channel=asked.channel,
        size=asked.width_height(),
        slots=asked.slots,
        placement=asked.placement,
        locale=asked.locale,
        consent=asked.consent.answers() if asked.consent else (),
        context=canonical(asked.context),
    )
    return door.service.decide(request)


def _decision_out(door: Door, answer: DecisionAnswer, now_us: int) -> dict[str, Any]:
    base, name = door.settings.public_url, answer.decision_id
    clicks = {ad.slot: door.links.make("click", name, ad.slot, now_us) for ad in answer.ads}
    ads = [
        {
            "slot": ad.slot,
            "ad_id": ad.ad_id,
            "item": ad.item,
            "title": ad.title,
            "creative_url": f"{base}/creative/{ad.creative_id}.png",
            "html_url": f"{base}/creative/{ad.creative_id}.html?{clicks[ad.slot].partition('?')[2]}",
            "click_url": clicks[ad.slot],
            "impression_url": door.links.make("impression", name, ad.slot, now_us),
            "why_url": door.links.make("why", name, ad.slot, now_us),
        }
        for ad in answer.ads
    ]
    return {"decision_id": name, "ads": ads, "reason": None if ads else answer.reason, "model": answer.model}


def _observe(door: Door, batch: EventsIn, received_us: int) -> dict[str, Any]:
    """On the service's thread. Refused (Problem "refused_events"): a batch of which nothing could be kept."""
    skew_us = _skew_us(batch, received_us)
    reasons: dict[int, str] = {}
    places: list[int] = []
    events: list[Event] = []
    for place, given in enumerate(cast("list[EventIn | Misfit]", batch.events)):
        if isinstance(given, Misfit):
            reasons[place] = given.reason
        elif reason := _from_the_future(given, received_us, skew_us):
            reasons[place] = reason
        else:
            subject = door.service.pseudonym(given.subject)
            places.append(place)
            events.append(to_event(given, door.settings.tenant, subject, received_us, skew_us))
    answer: ObserveAnswer | None = door.service.observe(events) if events else None
    for position, reason in answer.quarantined if answer else ():
        reasons[places[position]] = reason
    results = [_result(place, given, reasons.get(place)) for place, given in enumerate(batch.events)]
    if len(reasons) == len(results):
        detail = f"all {len(results)} events were refused; the first because: {results[0]['reason']}"
        raise Problem("refused_events", detail, results=results)
    assert answer is not None, "an event that was not refused was passed on"
    return {
        "accepted": answer.accepted,
        "duplicates": answer.duplicates,
        "refused": len(reasons),
        "clock_skew_seconds": skew_us // MICROSECONDS,
        "results": results,
    }


def _result(place: int, given: EventIn | Misfit, reason: str | None) -> dict[str, Any]:
    status = "kept" if reason is None else "refused"
    return {"position": place, "event_id": given.event_id, "status": status, "reason": reason}


def _skew_us(batch: EventsIn, received_us: int) -> int:
    """How far the sender's clock is ahead of ours; 0 if they agree, or it did not say what its clock shows."""
    if batch.sent_at is None:
        return 0
    skew_us = microseconds(batch.sent_at) - received_us
    return skew_us if abs(skew_us) > SKEW_SECONDS * MICROSECONDS else 0


def _from_the_future(given: EventIn, received_us: int, skew_us: int) -> str | None:
    """Why this event cannot have happened yet, None if it can."""
    ahead_us = microseconds(given.occurred_at) - skew_us - received_us
    if ahead_us <= SKEW_SECONDS * MICROSECONDS:
        return None
    return f"clock skew: occurred_at lies {ahead_us // MICROSECONDS:,} s in the future; correct it, or send sent_at"
