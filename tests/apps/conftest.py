"""A door in front of the example shop, called in process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

with warnings.catch_warnings():  # it works with httpx as well as with the successor it would rather have
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

from zhitou.apps.http.app import create_app
from zhitou.apps.http.example import TENANT, TeaShop
from zhitou.apps.http.settings import HttpSettings, new_key
from zhitou.core.clock import FixedClock

NOON_US = 1_782_907_200_000_000  # 2026-07-01T12:00:00Z
DECIDE_KEY, DECIDE = new_key("page", ["decide"])
INGEST_KEY, INGEST = new_key("tracker", ["ingest"])


def make_settings(**changes: Any) -> HttpSettings:
    """Settings under which the in-process client is let in."""
    usual: dict[str, Any] = {
        "tenant": TENANT,
        "link_key": bytes(range(32)),
        "keys": (DECIDE, INGEST),
        "public_url": "http://testserver",
        "hosts": ("testserver",),
    }
    return HttpSettings(**usual | changes)


class Shop:
    """The door with the example behind it, and a hand for each of its callers."""

    def __init__(self, **changes: Any) -> None:
        self.service = TeaShop()
        self.clock = FixedClock(NOON_US)
        self.app = create_app(self.service, make_settings(**changes), self.clock)
        self.browser = TestClient(self.app, follow_redirects=False)

    def post(self, path: str, key: str, **kwargs: Any) -> Any:
        """POST with a key."""
        headers = {"Authorization": f"Bearer {key}", **kwargs.pop("headers", {})}
        return self.browser.post(path, headers=headers, **kwargs)

    def decide(self, subject: str = "shopper-7", **fields: Any) -> Any:
        """A decision for this shopper."""
        asked = {"subject": subject, "size": "300x250", "slots": 2, "placement": "home", **fields}
        return self.post("/v1/decisions", DECIDE_KEY, json=asked)

    def report(self, *events: Any, **batch: Any) -> Any:
        """Send events."""
        return self.post("/v1/events", INGEST_KEY, json={"events": list(events), **batch})

    def counted(self, kind: str) -> int:
        """How many events of this kind the service keeps."""
        return sum(event.kind == kind for event in self.service._store.events(TENANT))


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    with made.browser:
        yield made


@pytest.fixture
def make_shop() -> Callable[..., Shop]:
    return Shop


@pytest.fixture
def decide_key() -> str:
    return DECIDE_KEY


@pytest.fixture
def ingest_key() -> str:
    return INGEST_KEY


@pytest.fixture
def view() -> Callable[..., dict[str, Any]]:
    """Makes a view of an item; fields can be changed or added."""

    def made(event_id: str = "e1", item: str = "tea", **fields: Any) -> dict[str, Any]:
        usual = {"event_id": event_id, "kind": "view", "subject": "shopper-7", "item": item}
        return {**usual, "occurred_at": "2026-07-01T11:59:00Z", **fields}

    return made
