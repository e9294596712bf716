"""The routes for browsers: impressions, clicks, pictures, and why something is shown."""

from __future__ import annotations

import hashlib
import re
from html import escape
from typing import Any
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from zhitou.apps.http.bodies import PUBLIC, access
from zhitou.apps.http.door import Door
from zhitou.apps.http.guard import no_content_policy
from zhitou.apps.http.links import ID_PATTERN
from zhitou.apps.http.messages import link_event_id
from zhitou.apps.http.pages import why_page
from zhitou.apps.http.problems import documented
from zhitou.core.errors import NotFoundError
from zhitou.events.schema import Event
from zhitou.feedback.context import CHANNEL, IP_HASH, SLOT

# The smallest transparent GIF: a header, a colour table of two, and one pixel.
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
MEDIA_TYPES = {"png": "image/png", "html": "text/html; charset=utf-8"}
# A host must follow; blanks and control characters would end the Location header early.
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#\x00-\x20\x7f]+[^\s\x00-\x20\x7f]*")
CLICK_MACRO = b"${CLICK_URL}"  # what an HTML banner carries where its click link belongs
NOWHERE = "about:blank"
_LINK = ("link", "not_found", "invalid")


def _slot() -> Any:
    return Query(pattern=r"^\d{1,3}$", description="Slot, from 0.")


def _end() -> Any:
    return Query(pattern=r"^\d{1,12}$", description="When the link ends, Unix seconds.")


def _signature() -> Any:
    return Query(pattern=r"^[A-Za-z0-9_\-]{43}$", description="Signature.")


def add_shopper_routes(app: FastAPI, door: Door) -> None:
    """Add /t/i, /t/c, /creative and /why."""
    _add_links_that_count(app, door)
    _add_creatives(app, door)
    _add_why(app, door)


def _add_links_that_count(app: FastAPI, door: Door) -> None:
    @app.get(
        "/t/i",
        tags=["tracking"],
        summary="An ad was seen",
        response_class=Response,
        responses={200: {"description": "A 1x1 GIF", "content": {"image/gif": {}}}, **documented(*_LINK)},
    )
    @access(PUBLIC)
    async def impression(
        request: Request,
        d: str = Query(pattern=ID_PATTERN, description="Decision."),
        s: str = _slot(),
        e: str = _end(),
        m: str = _signature(),
    ) -> Response:
        """Counts one impression of the signed slot, however often it is called."""
        now_us = door.clock.now_us()
        slot = door.links.check("impression", d, s, e, m, now_us)
        if not _prefetched(request):
            origin = _origin(door, request, now_us)
            await door.turns.take(lambda: _record(door, "impression", d, slot, now_us, origin), patient=True)
        return Response(PIXEL, media_type="image/gif", headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    @app.get(
        "/t/c",
        tags=["tracking"],
        summary="An ad was clicked",
        status_code=302,
        response_class=Response,
        responses={302: {"description": "To the landing page of the campaign"}, **documented(*_LINK)},
    )
    @access(PUBLIC)
    async def click(
        request: Request,
        d: str = Query(pattern=ID_PATTERN, description="Decision."),
        s: str = _slot(),
        e: str = _end(),
        m: str = _signature(),
    ) -> Response:
        """Counts one click of the signed slot and leads to the landing page, which no query can change."""
        now_us = door.clock.now_us()
        slot = door.links.check("click", d, s, e, m, now_us)
        counts, origin = not _prefetched(request), _origin(door, request, now_us)
        landing = await door.turns.take(lambda: _clicked(door, d, slot, now_us, counts, origin), patient=True)
        return Response(None, 302, {"Location": landing})


def _add_creatives(app: FastAPI, door: Door) -> None:
    @app.get(
        "/creative/{name}",
        tags=["creatives"],
        summary="A banner",
        response_class=Response,
        responses={
            200: {"description": "The banner", "content": {"image/png": {}, "text/html": {}}},
            304: {"description": "You have it already"},
            **documented(*_LINK),
        },
    )
    @access(PUBLIC)
    async def creative(
        request: Request,
        name: str = Path(pattern=r"^[A-Za-z0-9_\-]{1,128}(\.png|\.html)?$"),
        d: str | None = Query(
            None, pattern=ID_PATTERN, description="Decision, for an HTML banner that counts clicks."
        ),
        s: str | None = Query(None, pattern=r"^\d{1,3}$", description="Its slot."),
        e: str | None = Query(None, pattern=r"^\d{1,12}$", description="When its click link ends, Unix seconds."),
        m: str | None = Query(None, pattern=r"^[A-Za-z0-9_\-]{43}$", description="Signature of its click link."),
    ) -> Response:
        """The banner as `ID.png` or `ID.html`; without a suffix, what the Accept header prefers. An HTML banner with
        the four parts of a click link leads there; without them it leads nowhere."""
        creative_id, _, suffix = name.partition(".")
        kind = suffix or ("html" if _wants_html(request) else "png")
        content, _ = await door.turns.take(lambda: door.service.creative(creative_id, kind), patient=True)
        if kind == "html":
            link = NOWHERE
            if d and s and e and m:
                link = door.links.again("click", d, s, e, m, door.clock.now_us())
            content = content.replace(CLICK_MACRO, escape(link).encode())
        return _picture(door, content, kind, request.headers.get("if-none-match", ""), vary=not suffix)


def _add_why(app: FastAPI, door: Door) -> None:
    @app.get(
        "/why/{decision_id}",
        tags=["creatives"],
        summary="Why am I shown this?",
        response_class=Response,
        responses={
            200: {"description": "The reasons", "content": {"text/html": {}, "application/json": {}}},
            **documented(*_LINK),
        },
    )
    @access(PUBLIC)
    async def why(
        request: Request,
        decision_id: str = Path(pattern=ID_PATTERN),
        s: str = _slot(),
        e: str = _end(),
        m: str = _signature(),
    ) -> Response:
        """The explanation for the shopper, as a page or (Accept: application/json) as JSON."""
        door.links.check("why", decision_id, s, e, m, door.clock.now_us())
        reasons = await door.turns.take(lambda: door.service.why(decision_id), patient=True)
        if "application/json" in request.headers.get("accept", ""):
            return Response(orjson.dumps(reasons), media_type="application/json", headers={"Vary": "Accept"})
        policy = no_content_policy() + "; style-src 'unsafe-inline'"
        headers = {"Content-Security-Policy": policy, "Vary": "Accept"}
        return Response(why_page(reasons), media_type="text/html; charset=utf-8", headers=headers)


def _origin(door: Door, request: Request, now_us: int) -> str | None:
    """The name of the address that a browser calls from; the address itself goes no further than this call."""
    return door.addresses.name(request.client.host, now_us) if request.client else None


def _record(door: Door, kind: str, decision_id: str, slot: int, now_us: int, origin: str | None) -> None:
    """Pass the impression or click on as an event; its id makes a second one a duplicate.

    Its context says what machine clicks are told by (feedback.machines): slot, channel and the address's name.
    """
    placed = door.service.placed(decision_id, slot)
    context: dict[str, Any] = {CHANNEL: placed.channel, SLOT: slot}
    if origin is not None:
        context[IP_HASH] = origin
    event = Event(
        event_id=link_event_id(decision_id, slot, kind),
        tenant=door.settings.tenant,
        subject=placed.subject,
        kind=kind,
        occurred_us=now_us,
        received_us=now_us,
        item=placed.item,
        channel=placed.channel,
        decision_id=decision_id,
        context=orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode(),
    )
    door.service.observe([event])


def _clicked(door: Door, decision_id: str, slot: int, now_us: int, counts: bool, origin: str | None) -> str:
    """The landing page; the click is recorded first. Refused (NotFoundError): an ad without a web address."""
    landing = door.service.clicked(decision_id, slot)
    if not _WEB_ADDRESS.fullmatch(landing):
        raise NotFoundError("this ad has no landing page; set landing_url of its campaign to an http address")
    if counts:
        _record(door, "click", decision_id, slot, now_us, origin)
    return quote(landing, safe="%/:=&?~#+!$,;'@()*[]")


def _prefetched(request: Request) -> bool:
    """Whether a browser fetches ahead of its user, which is neither a look nor a click."""
    headers = request.headers
    return "prefetch" in headers.get("sec-purpose", "") + headers.get("purpose", "")


def _wants_html(request: Request) -> bool:
    """Whether HTML is named at all: an <img> asks for image types only, an iframe names text/html first."""
    return "text/html" in request.headers.get("accept", "")


def _picture(door: Door, content: bytes, kind: str, known: str, *, vary: bool) -> Response:
    """A creative never changes under its id, so that browsers and proxies may keep it for ever."""
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if vary:
        headers["Vary"] = "Accept"
    if kind == "html":
        policy = no_content_policy(door.settings.frame_ancestors)
        policy += "; img-src 'self' data:; style-src 'unsafe-inline'; font-src data:; sandbox allow-popups"
        headers["Content-Security-Policy"] = policy
    if known == headers["ETag"]:
        return Response(None, 304, headers)
    return Response(content, 200, headers, MEDIA_TYPES[kind])
