"""The door as others meet it: over a real socket, through its OpenAPI description, and as docs/http.md tells it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from zhitou.apps.http.app import create_app
from zhitou.apps.http.example import TENANT, TeaShop
from zhitou.apps.http.server import config
from zhitou.apps.http.settings import ROLES, HttpSettings, new_key

HTTP_DOC = Path(__file__).parents[2] / "docs" / "http.md"
KEY_TEXT, KEY = new_key("test", ROLES)
BOUNDED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture
def address() -> Iterator[str]:
    """A real server on a free loopback port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    app = create_app(TeaShop(), HttpSettings(tenant=TENANT, link_key=bytes(32), keys=(KEY,), public_url=url))
    server = uvicorn.Server(config(app, "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it started"
        time.sleep(0.01)
    yield url
    server.should_exit = True
    thread.join(10)


def test_the_whole_round_over_a_real_socket(address: str) -> None:
    with httpx.Client(base_url=address, headers={"X-Api-Key": KEY_TEXT}) as client:
        ads = client.post("/v1/decisions", json={"subject": "a", "size": "300x250", "slots": 2}).json()["ads"]
        assert client.get(ads[1]["impression_url"]).headers["content-type"] == "image/gif"
        assert client.get(ads[1]["creative_url"]).content.startswith(b"\x89PNG")
        assert client.get(ads[1]["click_url"]).headers["location"] == "https://shop.example/items/pot"
        again = client.post("/v1/decisions", json={"subject": "a", "size": "300x250", "slots": 2}).json()["ads"]
        assert again[0]["item"] == ads[1]["item"]


def test_bytes_that_are_no_http_do_not_disturb_the_server(address: str) -> None:
    port = int(address.rpartition(":")[2])
    for nonsense in (
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000,
        b"POST /v1/events HTTP/1.1\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(nonsense)
    half = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: " + KEY_TEXT.encode()
    half += b"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(half)  # and hang up in the middle of the body
    assert httpx.get(address + "/healthz").json() == {"status": "ok"}


def test_no_request_made_from_the_description_fails_the_server(make_shop) -> None:
    shop = make_shop(hosts=("*",), keys=(KEY,))
    schema = schemathesis.openapi.from_asgi("/openapi.json", shop.app)
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        statuses = seen.setdefault(operation.label, set())
        statuses |= statuses_of(operation, GenerationMode.POSITIVE)
        if operation.body or operation.path_parameters or operation.query:
            statuses |= statuses_of(operation, GenerationMode.NEGATIVE)
    assert 200 in seen["POST /v1/decisions"]
    assert 422 in seen["POST /v1/decisions"]
    assert len(seen) == 9


def statuses_of(operation: schemathesis.APIOperation, mode: GenerationMode) -> set[int]:
    """What a few requests of the described shape (or, NEGATIVE, of others) are answered with."""
    statuses: set[int] = set()

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        statuses.add(answered(case))

    ask()
    return statuses


def answered(case: schemathesis.Case) -> int:
    """The status of the answer to this request; a refusal must be a problem, and never the server's own failure."""
    answer = case.call(headers={"X-Api-Key": KEY_TEXT})
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == ["application/problem+json"]
        assert json.loads(answer.content)["status"] == answer.status_code
    return int(answer.status_code)


def test_the_description_has_an_example_and_the_problems_of_each_route(make_shop) -> None:
    described = make_shop().app.openapi()
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert operation["summary"], path
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
                    assert answer["content"]["application/problem+json"]["examples"]
            if "requestBody" in operation:
                reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                assert described["components"]["schemas"][reference.rpartition("/")[2]]["examples"]
    assert "Problem" in described["components"]["schemas"]


def test_the_examples_of_the_description_are_taken(make_shop) -> None:
    shop = make_shop(keys=(KEY,))
    for path, model in [("/v1/decisions", "DecisionIn"), ("/v1/events", "EventsIn")]:
        (example,) = shop.app.openapi()["components"]["schemas"][model]["examples"]
        assert shop.post(path, KEY_TEXT, json=example).status_code == 200


def test_the_description_is_drawn_without_script_or_network(make_shop) -> None:
    shop = make_shop()
    page = shop.browser.get("/docs").text
    for path in shop.app.openapi()["paths"]:
        assert f"<code>{path}</code>" in page
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert 'id="problem-too_large"' in page
    assert "shopper-7" in page


def test_the_session_of_the_page_on_http_runs_as_printed(address: str, tmp_path: Path) -> None:
    """Each ```bash block is run, all in one shell; the ```text block behind it must match (`...` = anything)."""
    steps = re.findall(r"```bash\n(.*?)```\n\n```text\n(.*?)```", HTTP_DOC.read_text(), re.S)
    assert len(steps) >= 8, "docs/http.md shows events, a decision, a picture, a click, an explanation, problems"
    ran = subprocess.run(
        ["bash", "-c", "\n".join(f"{command}\nprintf '\\036'" for command, _ in steps)],
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "URL": address, "KEY": KEY_TEXT},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    for (command, wanted), got in zip(steps, ran.stdout.split("\x1e")[:-1], strict=True):
        pattern = re.escape(wanted.strip()).replace(re.escape("..."), ".*?")
        assert re.fullmatch(pattern, got.strip(), re.S), f"{command}\nprinted\n{got}{ran.stderr}"
