"""Around everything: request ids, Host and origin checks, security headers, the log, and no bare failure.

What is logged of a request: its id, method, route (the pattern, not the path), status, time and the name of
the key. Never a body, a query, a key or an id of a shopper.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
import traceback
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zhitou.apps.http.problems import problem
from zhitou.apps.http.settings import HttpSettings

log = logging.getLogger("zhitou.http")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_CORS_METHODS = "GET, POST, OPTIONS"
_CORS_HEADERS = "authorization, content-type, x-api-key, x-request-id"


class Guard:
    """The outermost layer of the door (ASGI)."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app, self._settings = app, settings
        self._headers = dict(_default_headers(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other kinds of traffic pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        origin = headers.get("origin", "")
        allowed = origin if origin in self._settings.cors_origins else None
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._dress(MutableHeaders(scope=message), request_id, allowed)
            await send(message)

        try:
            early = self._turned_away(scope, headers, allowed, request_id)
            await (early or self._app)(scope, receive, answer)
        except ClientDisconnect:
            status = status or 499  # nobody is left to answer
        except Exception as error:
            log.error("request=%s failed: %s", request_id, _frames(error))
            if not status:
                detail = "the server failed; the operator finds the cause under this request id"
                await problem("internal", detail, request_id)(scope, receive, answer)
        finally:
            _note(scope, request_id, status, time.perf_counter() - started)

    def _turned_away(self, scope: Scope, headers: Headers, allowed: str | None, request_id: str) -> Response | None:
        """The answer of requests that go no further: a strange Host, or a browser's preflight."""
        if "*" not in self._settings.hosts and _host_name(headers.get("host", "")) not in self._settings.hosts:
            return problem("host", "the Host header names another server; use this server's own name", request_id)
        if allowed and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            permit = {"Access-Control-Allow-Methods": _CORS_METHODS, "Access-Control-Allow-Headers": _CORS_HEADERS}
            return Response(None, 204, permit | {"Access-Control-Max-Age": "600"})
        return None

    def _dress(self, headers: MutableHeaders, request_id: str, allowed: str | None) -> None:
        for name, value in self._headers.items():
            headers.setdefault(name, value)
        headers["X-Request-Id"] = request_id
        if self._settings.cors_origins:
            headers.add_vary_header("Origin")
        if allowed:
            headers["Access-Control-Allow-Origin"] = allowed


def no_content_policy(frame_ancestors: Iterable[str] = ("'none'",)) -> str:
    """A CSP under which nothing loads and nothing runs."""
    ancestors = " ".join(frame_ancestors)
    return f"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"


def _default_headers(settings: HttpSettings) -> Iterable[tuple[str, str]]:
    """What every answer carries unless its route said otherwise."""
    yield "X-Content-Type-Options", "nosniff"
    yield "Referrer-Policy", "no-referrer"
    yield "Cross-Origin-Resource-Policy", "same-origin"
    yield "Content-Security-Policy", no_content_policy()
    yield "Cache-Control", "no-store"
    if settings.public_url.startswith("https://"):
        yield "Strict-Transport-Security", "max-age=31536000"


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return re.sub(r":\d{1,5}$", "", host).lower()


def _frames(error: Exception) -> str:
    """Type and place of a failure. Its message stays out: it may quote what a client sent."""
    places = (f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)[-8:])
    return f"{type(error).__name__} at " + " < ".join(reversed(list(places)))


def _note(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "-")
    key_name = scope["state"].get("key_name", "-")
    log.info("request=%s %s %s %d %.1fms key=%s", request_id, scope["method"], route, status, seconds * 1e3, key_name)
