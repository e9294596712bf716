"""The routes for operators and visitors: health, readiness, the report and the description of the door."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import Response

from zhitou.apps.http.bodies import PUBLIC, access
from zhitou.apps.http.door import Door
from zhitou.apps.http.guard import no_content_policy
from zhitou.apps.http.pages import docs_page, welcome_page
from zhitou.apps.http.problems import Problem, documented
from zhitou.core.errors import NotFoundError, ZhitouError

HTML = "text/html; charset=utf-8"
# The report is a page of ours that draws its own pictures: its inline script runs, nothing is loaded or sent.
REPORT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_operator_routes(app: FastAPI, door: Door) -> None:
    """Add /, /healthz, /readyz, /docs and /openapi.json."""

    @app.get(
        "/healthz",
        tags=["operation"],
        summary="The process answers",
        response_model=dict[str, str],
        response_description="Alive",
    )
    @access(PUBLIC)
    async def healthz() -> Response:
        """Never waits for a decision."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get(
        "/readyz",
        tags=["operation"],
        summary="The service can decide",
        response_model=dict[str, Any],
        response_description="What is loaded",
        responses=documented("not_ready"),
    )
    @access(PUBLIC)
    async def readyz() -> Response:
        """Facts about what is loaded; 503 until decisions can be made."""
        try:
            facts = await door.turns.take(door.service.ready, patient=True)
        except ZhitouError as error:
            raise Problem("not_ready", str(error), headers={"Retry-After": "5"}) from None
        return Response(orjson.dumps(facts), media_type="application/json")

    @app.get("/", include_in_schema=False)
    @access(PUBLIC)
    async def report() -> Response:
        """The demonstration's report, or how to make one."""
        try:
            page = await door.turns.take(door.service.report_html, patient=True)
        except NotFoundError as error:
            return _page(welcome_page(str(error)), no_content_policy() + "; style-src 'unsafe-inline'")
        return _page(page, REPORT_POLICY)

    @app.get("/docs", include_in_schema=False)
    @access(PUBLIC)
    async def docs() -> Response:
        """The description of every route, drawn here: it needs no network and no script."""
        return _page(docs_page(app.openapi()), no_content_policy() + "; style-src 'unsafe-inline'")

    @app.get("/openapi.json", include_in_schema=False)
    @access(PUBLIC)
    async def openapi() -> Response:
        """The same for programs."""
        return Response(orjson.dumps(app.openapi()), media_type="application/json")


def _page(content: bytes, policy: str) -> Response:
    return Response(content, media_type=HTML, headers={"Content-Security-Policy": policy})
