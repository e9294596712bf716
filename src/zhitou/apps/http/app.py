"""The door as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from zhitou.apps.http.bodies import DoorRoute
from zhitou.apps.http.door import Door
from zhitou.apps.http.guard import Guard
from zhitou.apps.http.links import Links
from zhitou.apps.http.messages import ProblemOut
from zhitou.apps.http.operator_routes import add_operator_routes
from zhitou.apps.http.problems import on_http_error, on_invalid, on_refusal
from zhitou.apps.http.routes import add_program_routes
from zhitou.apps.http.service import Service
from zhitou.apps.http.settings import HttpSettings
from zhitou.apps.http.shopper_routes import add_shopper_routes
from zhitou.apps.http.turns import Turns
from zhitou.core.clock import Clock, SystemClock
from zhitou.core.errors import ZhitouError

DESCRIPTION = """Ads for a shop's own pages: report what shoppers do, ask for ads, draw them, count what happens.

Programs send an API key (`Authorization: Bearer KEY` or `X-Api-Key: KEY`). Browsers follow signed links and need
none. Every refusal is problem+json (RFC 9457)."""


def create_app(service: Service, settings: HttpSettings, clock: Clock | None = None) -> FastAPI:
    """The door in front of this service. clock: what "now" is (the machine's clock if None)."""
    links = Links(settings.link_key, settings.public_url, settings.link_seconds)
    door = Door(service, settings, Turns(settings.waiting_max), links, settings.addresses, clock or SystemClock())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        door.turns.close()

    app = FastAPI(
        title="zhitou",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.router.route_class = DoorRoute
    app.add_middleware(Guard, settings=settings)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(ZhitouError, on_refusal)
    add_program_routes(app, door)
    add_shopper_routes(app, door)
    add_operator_routes(app, door)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The framework's description, plus the problem and the two ways to send a key; made once."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        parts = schema.setdefault("components", {})
        problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        parts["schemas"] |= problem.pop("$defs", {}) | {"Problem": problem}
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        }
        app.openapi_schema = schema
    return app.openapi_schema
