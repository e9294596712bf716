"""Language models from outside: what they invent does not pass, what they break does not spread."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, MissingExtraError
from zhitou.creative.words.ask import PLACES, Ask, ask_for
from zhitou.creative.words.authors import Wanted
from zhitou.creative.words.facts import facts_of
from zhitou.creative.words.ports import (
    Breaker,
    Endpoint,
    EndpointAuthor,
    EndpointError,
    LocalAuthor,
    prompt_for,
    read_answer,
)  # fmt: skip
from zhitou.creative.words.verify import check_text
from zhitou.creative.words.write import Copywriter

BENCH = Path(__file__).parents[2] / "bench"
SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
MUG = Item(
    "m1", "Blue Mug", ("kitchen", "cups"), "Claywell", 8_000_000, "USD", attributes='{"material": "stoneware"}'
)
FACTS = facts_of(MUG, SHOP, "en")
WANT = Wanted(FACTS, Ask("headline", "benefit", "plain"))
RNG = np.random.default_rng(0)


class Server:
    """Answers with what it is told to: bytes as they are, or a status."""

    def __init__(self) -> None:
        self.body: bytes = b""
        self.status, self.wait_seconds, self.headers = 200, 0.0, dict[str, str]()
        self.seen: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.seen.append(dict(self.headers))
                time.sleep(server.wait_seconds)
                self.send_response(server.status)
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(server.body)))
                self.end_headers()
                try:
                    self.wfile.write(server.body)
                except OSError:
                    return

            def log_message(self, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def says(self, content: object) -> None:
        self.body = json.dumps({"choices": [{"message": {"content": content}}]}).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    thread.join(timeout=5)
    made.http.server_close()


def test_an_answer_that_the_feed_proves_is_used(server: Server) -> None:
    server.says('{"text": "Meet Blue Mug, in stoneware"}')
    (written,) = Copywriter(EndpointAuthor(Endpoint(server.url, "m"))).write([WANT], RNG)
    assert written is not None
    assert (written.text, written.author) == ("Meet Blue Mug, in stoneware", "endpoint")
    assert written.template == "Meet {title}, in {material}"


def test_an_invented_fact_never_passes(server: Server) -> None:
    server.says('{"text": "Blue Mug, dishwasher safe, now $5"}')
    (written,) = Copywriter(EndpointAuthor(Endpoint(server.url, "m"))).write([WANT], RNG)
    assert written is not None
    assert written.author == "grammar"
    assert {rule for _, rule in written.findings} >= {"claim.quality", "grounded.money"}


def test_of_an_inventor_that_lies_in_a_third_of_its_answers_nothing_comes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    inventing, checker = (
        importlib.import_module("creative_copy_inventor"),
        importlib.import_module("creative_copy_check"),
    )
    rng = np.random.default_rng(4)
    wanted = [Wanted(FACTS, ask_for(FACTS, PLACES[n % 6], "any", rng)) for n in range(200)]
    with inventing.Inventor(0.3, Chance(1)) as inventor:
        written = Copywriter(EndpointAuthor(Endpoint(inventor.url, "m"))).write(wanted, rng)
        assert 40 <= inventor.lied <= 80
    row, price = {"all": FACTS.source}, (MUG.price_micros, MUG.sale_price_micros, "USD")
    for text in written:
        assert text is not None
        assert check_text(text.text, text.ask.place, FACTS) == []
        assert checker.unsupported(text.text, row, price) == []
        assert not any(lie.lower() in text.text.lower() for lie in inventor.invented)
    assert sum(text is not None and text.author == "endpoint" for text in written) > 100


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": 3}}]}',
        b'{"choices": {"0": 1}}',
        b"\xff\xfe",
    ],
)
def test_an_answer_in_no_known_form_is_an_error_that_names_the_address(server: Server, broken: bytes) -> None:
    server.body = broken
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1"):
        Endpoint(server.url, "m").ask("x")


def test_an_answer_that_is_too_large_is_refused(server: Server) -> None:
    server.says("x" * 100_000)
    with pytest.raises(EndpointError):
        Endpoint(server.url, "m", bytes_most=10_000).ask("x")


def test_a_slow_address_is_not_waited_for(server: Server) -> None:
    server.says("late")
    server.wait_seconds = 0.6
    begun = time.monotonic()
    with pytest.raises(EndpointError, match="did not answer"):
        Endpoint(server.url, "m", timeout_seconds=0.1).ask("x")
    assert time.monotonic() - begun < 0.5


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.status, server.headers = 302, {"Location": "http://127.0.0.1:9/elsewhere"}
    with pytest.raises(EndpointError, match="302"):
        Endpoint(server.url, "m").ask("x")


def test_the_key_is_sent_and_stands_nowhere_else(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPY_KEY", "sk-very-secret")
    endpoint = Endpoint(server.url, "m", key_name="COPY_KEY")
    server.says('{"text": "Meet Blue Mug"}')
    author = EndpointAuthor(endpoint)
    (written,) = Copywriter(author).write([WANT], RNG)
    assert server.seen[0]["Authorization"] == "Bearer sk-very-secret"
    server.status = 401
    with pytest.raises(EndpointError) as told:
        endpoint.ask("x")
    for record in (repr(endpoint), repr(author), repr(written), str(told.value), repr(told.value), prompt_for(WANT)):
        assert "very-secret" not in record


def test_a_key_over_plain_http_to_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="https"):
        Endpoint("http://example.org/v1", "m", key_name="COPY_KEY")
    assert Endpoint("https://example.org/v1", "m", key_name="COPY_KEY").model == "m"


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "file:///etc/passwd", "http://", "http://user:pw@host/v1", "https://host/v1?key=1", "x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        Endpoint(url, "m")


def test_an_address_that_fails_is_left_alone_and_tried_again_later(server: Server) -> None:
    clock = [0.0]
    author = EndpointAuthor(Endpoint(server.url, "m"), Breaker(failures=2, pause_seconds=30.0, now=lambda: clock[0]))
    server.status = 500
    assert author.propose([WANT] * 5, RNG) == [None] * 5
    assert (len(server.seen), author.failures) == (2, {"no answer": 2, "paused": 3})
    server.status = 200
    server.says('{"text": "Meet Blue Mug"}')
    clock[0] = 29.0
    assert author.propose([WANT], RNG) == [None]
    clock[0] = 31.0
    assert [p.text for p in author.propose([WANT, WANT], RNG) if p] == ["Meet Blue Mug"] * 2


def test_without_any_answer_the_grammar_writes() -> None:
    author = EndpointAuthor(Endpoint("http://127.0.0.1:9/v1", "m", timeout_seconds=0.2))
    (written,) = Copywriter(author).write([WANT], RNG)
    assert written is not None
    assert written.author == "grammar"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"text": "Meet Blue Mug"}', "Meet Blue Mug"),
        ('```json\n{"text": "Meet Blue Mug"}\n```', "Meet Blue Mug"),
        ('{"thought": 1} {"text": "Hi"}', "Hi"),
        ('{"text": "a\\nb"}', "a b"),
        ("Meet Blue Mug", None),
        ('{"text": ""}', None),
        ('{"text": ["x"]}', None),
        ('{"text": "' + "x" * 500 + '"}', None),
        ('{"text": "unfinished', None),
        ("{" * 3_000, None),
    ],
)
def test_the_text_is_found_in_the_forms_that_models_answer_in(answer: str, text: str | None) -> None:
    assert read_answer(answer, "headline") == text


@given(st.text(max_size=200))
def test_any_answer_can_be_read(answer: str) -> None:
    read_answer(answer, "body")


def test_the_prompt_holds_the_facts_and_no_word_about_the_shopper() -> None:
    wanted = Wanted(FACTS, dataclasses.replace(WANT.ask, interest="taste", first=("material",)))
    prompt = prompt_for(wanted)
    assert "taste" not in prompt
    facts = json.loads(next(line for line in prompt.splitlines() if line.startswith("{")))
    assert next(iter(facts)) == "material"
    assert facts["price"] == "$8.00"


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        LocalAuthor(tmp_path)


def test_a_missing_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="pip install 'transformers"):
        LocalAuthor(tmp_path)
