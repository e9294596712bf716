"""Every refusal of the door, as problem+json (RFC 9457): what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from zhitou.core.errors import ZhitouError

MEDIA_TYPE = "application/problem+json"
ERRORS_SHOWN_MAX = 20


@dataclass(frozen=True)
class Kind:
    """One kind of problem: its HTTP status, its title, and what its reader can do."""

    status: int
    title: str
    advice: str


# The machine name of each problem. Those of core/errors.py keep their codes.
KINDS: Mapping[str, Kind] = {
    "malformed": Kind(400, "The body is not JSON", "Send one JSON object in UTF-8, without NaN or Infinity."),
    "too_deep": Kind(400, "The JSON is nested too deeply", "Flatten the object; context is meant to be small."),
    "host": Kind(400, "The Host header is not one of this server", "Use the server's own name, or add it to hosts."),
    "error": Kind(400, "The request could not be served", "Read `detail`."),
    "source": Kind(400, "A source is missing or damaged", "Read `detail`."),
    "config": Kind(400, "A setting is out of range", "Read `detail`."),
    "auth": Kind(401, "The API key is missing or wrong", "Send `Authorization: Bearer KEY` or `X-Api-Key: KEY`."),
    "forbidden": Kind(403, "The API key lacks the role", "Use a key that has the role named in `detail`."),
    "link": Kind(403, "The link is not valid", "Use the link exactly as it was given out, before it expires."),
    "consent": Kind(403, "The shopper did not agree", "Ask for consent, or do not process."),
    "not_found": Kind(404, "There is nothing here", "Check the id or the path; /docs lists every route."),
    "method": Kind(405, "The route does not take this method", "Use a method named in the Allow header."),
    "budget": Kind(409, "The budget does not cover it", "Read `detail`."),
    "too_large": Kind(413, "The body is too large", "Send less in one request; split the batch."),
    "media_type": Kind(415, "The body must be plain JSON", "Send `Content-Type: application/json`, not compressed."),
    "invalid": Kind(422, "The request is not of the documented shape", "Correct the fields named in `errors`."),
    "refused_events": Kind(422, "All events were refused", "Correct the events as `results` says, send them again."),
    "schema": Kind(422, "The message is not of the contract's shape", "Read `detail`."),
    "money": Kind(422, "The amount is not valid", "Amounts are whole micros of one ISO 4217 currency."),
    "internal": Kind(500, "The server failed", "The request is fine; quote `instance` to the operator."),
    "model": Kind(500, "A model is not usable", "Quote `instance` to the operator."),
    "missing_extra": Kind(501, "A part is not installed", "Read `detail`."),
    "overloaded": Kind(503, "Too many requests are waiting", "Try again after the seconds in Retry-After."),
    "not_ready": Kind(503, "The server cannot decide yet", "Try again after the seconds in Retry-After."),
}
_OF_STATUS = {404: "not_found", 405: "method"}


class Problem(HTTPException):
    """A refusal by the door itself; `code` is a key of KINDS, `members` are extra fields of the answer."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(KINDS[code].status, detail, headers)
        self.code, self.members = code, members


def problem(
    code: str,
    detail: str,
    request_id: str,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """The answer for a problem; `instance` names the request, so that the operator finds its line in the log."""
    kind = KINDS.get(code, KINDS["error"])
    body = {
        "type": f"/docs#problem-{code}",
        "title": kind.title,
        "status": status or kind.status,
        "detail": detail,
        "code": code,
        "instance": f"urn:zhitou:request:{request_id}",
        **(members or {}),
    }
    return Response(orjson.dumps(body), body["status"], dict(headers or {}), MEDIA_TYPE)


def request_id(request: Request) -> str:
    """The id that the guard gave this request."""
    return str(request.scope.get("state", {}).get("request_id", "none"))


def told(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Where and what of validation errors, without the values that came (they may be personal)."""
    return [
        {"at": ".".join(str(part) for part in error["loc"]) or "body", "message": str(error["msg"])}
        for error in errors[:ERRORS_SHOWN_MAX]
    ]


async def on_http_error(request: Request, error: Exception) -> Response:
    """Problems of the door, and the framework's own 404 and 405."""
    assert isinstance(error, HTTPException), "registered for HTTPException"
    if isinstance(error, Problem):
        return problem(error.code, error.detail, request_id(request), headers=error.headers, members=error.members)
    code = _OF_STATUS.get(error.status_code, "error")
    detail = f"{request.method} is not served at this path; /docs lists every route"
    return problem(code, detail, request_id(request), status=error.status_code, headers=error.headers)


async def on_invalid(request: Request, error: Exception) -> Response:
    """A request whose fields are not the documented ones."""
    assert isinstance(error, RequestValidationError), "registered for RequestValidationError"
    errors = told(error.errors())
    detail = f"{errors[0]['at']}: {errors[0]['message']}" if errors else "the request is not of the documented shape"
    return problem("invalid", detail, request_id(request), members={"errors": errors})


async def on_refusal(request: Request, error: Exception) -> Response:
    """What the service behind the door refused."""
    assert isinstance(error, ZhitouError), "registered for ZhitouError"
    return problem(error.code, str(error), request_id(request), status=error.status)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for OpenAPI: each status once, with an example of each problem."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = KINDS[code]
        entry = responses.setdefault(kind.status, {"description": "", "content": {MEDIA_TYPE: {}}})
        entry["description"] = "; ".join(filter(None, [entry["description"], kind.title]))
        content = entry["content"][MEDIA_TYPE]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        example = {"type": f"/docs#problem-{code}", "title": kind.title, "status": kind.status, "code": code}
        example |= {"detail": kind.advice, "instance": "urn:zhitou:request:5f0c9e1a2b3c4d5e"}
        content.setdefault("examples", {})[code] = {"summary": kind.title, "value": example}
    return responses
