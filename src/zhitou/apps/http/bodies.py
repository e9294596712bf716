"""The doorstep: who is asking, and is the body JSON of a reasonable size? Checked before anything is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from zhitou.apps.http.problems import Problem
from zhitou.apps.http.settings import ROLES, HttpSettings

PUBLIC = "public"
DEPTH_MAX = 16
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_OPEN_ONLY = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(code for code in range(256) if chr(code) not in "[]{}")

Handler = TypeVar("Handler", bound=Callable[..., Any])


def access(role: str) -> Callable[[Handler], Handler]:
    """Mark a handler with the role a key needs, or PUBLIC. A handler without a mark cannot become a route."""
    assert role in (*ROLES, PUBLIC), "access is a role or PUBLIC"

    def mark(handler: Handler) -> Handler:
        handler.access = role  # type: ignore[attr-defined]
        return handler

    return mark


class DoorRoute(APIRoute):
    """A route that checks the key first, then the body, and only then lets the framework parse."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler behind our checks."""
        inner = super().get_route_handler()
        role = getattr(self.endpoint, "access", None)
        assert role is not None, f"{self.path} says neither which role it needs nor that it is public"
        has_body = self.body_field is not None

        async def handle(request: Request) -> Response:
            settings: HttpSettings = request.app.state.settings
            if role != PUBLIC:
                require(role, request, settings)
            if has_body:
                request = _JsonRequest(request.scope, request.receive)
                await request.read(settings.body_bytes_max)
            return await inner(request)

        return handle


def require(role: str, request: Request, settings: HttpSettings) -> None:
    """Refused: no key or an unknown one (401), a key without this role (403)."""
    key = settings.who(presented_key(request))
    if key is None:
        detail = "expected an API key in Authorization: Bearer or X-Api-Key; none or an unknown one came"
        raise Problem("auth", detail, headers={"WWW-Authenticate": "Bearer"})
    request.scope["state"]["key_name"] = key.name
    if role not in key.roles:
        raise Problem("forbidden", f"the key {key.name!r} lacks the role {role!r}; ask for one that has it")


def presented_key(request: Request) -> str:
    """The text after `Authorization: Bearer`, else X-Api-Key, else "" (which is nobody's key)."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")


class _JsonRequest(Request):
    """A request whose body was read and checked by us."""

    async def read(self, bytes_max: int) -> None:
        """Read at most so many bytes. Refused: other media types, a longer body, whatever length was announced."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" or self.headers.get("content-encoding", "identity") != "identity":
            raise Problem("media_type", "expected Content-Type: application/json without compression")
        announced = self.headers.get("content-length", "0")
        chunks, size = [], int(announced) if announced.isdecimal() else 0
        if size <= bytes_max:
            size = 0
            async for chunk in self.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > bytes_max:
                    break
        if size > bytes_max:
            raise Problem("too_large", f"expected at most {bytes_max:,} bytes, more came")
        self._body = b"".join(chunks) or b" "  # no body at all is malformed JSON, not a missing argument

    async def json(self) -> Any:
        """The object in the body."""
        return parse_object(self._body)


def parse_object(body: bytes) -> dict[str, Any]:
    """One JSON object. Refused: no JSON, NaN, broken UTF-8, another kind of value, more than DEPTH_MAX levels."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem("malformed", f"expected one JSON object; {error}") from None
    if not isinstance(value, dict):
        raise Problem("malformed", f"expected one JSON object, got a {type(value).__name__}")
    if deeper_than(body, DEPTH_MAX):
        raise Problem("too_deep", f"expected at most {DEPTH_MAX} levels of nesting")
    return value


def deeper_than(body: bytes, levels_max: int) -> bool:
    """Whether valid JSON nests deeper: brackets outside strings, the innermost pairs taken away level by level."""
    brackets = _STRINGS.sub(b"", body).translate(_OPEN_ONLY, _NO_BRACKET)
    for _ in range(levels_max):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
