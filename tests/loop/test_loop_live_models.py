"""An open shop under constant requests while its model changes: nothing is dropped, and evidence acts by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn

from zhitou.apps.http.app import create_app
from zhitou.apps.http.server import config
from zhitou.apps.http.service import DecisionRequest
from zhitou.apps.http.settings import ROLES, HttpSettings, new_key
from zhitou.assembly import CAMPAIGNS_FILE, RESPONSE, open_service
from zhitou.campaign.campaign import CHANNELS
from zhitou.campaign.files import read_campaigns, write_campaigns
from zhitou.core.clock import FixedClock, SystemClock
from zhitou.core.errors import ConfigError, ModelError
from zhitou.delivery.explain import for_advertiser
from zhitou.delivery.receipt import matches
from zhitou.evaluation.experiment import Estimate
from zhitou.events.schema import Event
from zhitou.feedback.promotion import Gates, Verdict
from zhitou.feedback.registry import Entry, Registry
from zhitou.loop.follow import Follower, following, shadow_file
from zhitou.loop.narrator import Narrator
from zhitou.loop.optimise import Plan
from zhitou.loop.schedule import open_schedule
from zhitou.loop.shadowed import read_shadow, shadow_of
from zhitou.response.response import Response

NOW_US = 1_720_000_000_000_000
SECOND = 1_000_000
KEY_TEXT, KEY = new_key("test", ROLES)
NOTHING = Estimate(0.0, 0.0, 0.0)
YES = Verdict(True, "log loss is lower", 10, 5, NOTHING, NOTHING)
Ask = partial(DecisionRequest, channel="onsite", size=(300, 250), slots=2, placement="home")


@pytest.fixture
def folder(tmp_path, two_runs) -> Path:
    """A finished run whose advertisers have all the money in the world: no ad is left out for want of it."""
    target = tmp_path / "run"
    shutil.copytree(two_runs[0].folder, target)
    campaigns = read_campaigns(target / CAMPAIGNS_FILE)
    rich = [
        replace(c, flight=replace(c.flight, budget_micros_total=10**12, budget_micros_daily=10**12))
        for c in campaigns
    ]
    write_campaigns(target / CAMPAIGNS_FILE, tuple(rich))
    return target


@pytest.fixture
def registry(folder) -> Registry:
    return Registry(folder / RESPONSE)


def variant(registry: Registry, logits: float) -> str:
    """A registered candidate: the champion, this much surer of a click."""
    model = Response.load(registry.champion_folder())
    line = replace(model.click.line, intercept=model.click.line.intercept + logits)
    model = replace(model, click=replace(model.click, line=line))
    model.save(registry.folder / model.version)
    registry.register(Entry(model.version, registry.champion(), 1))
    return model.version


@contextmanager
def served(folder: Path) -> Iterator[httpx.Client]:
    """The folder's shop behind a real socket, following its registry."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    service = open_service(folder, SystemClock())
    app = create_app(service, HttpSettings(tenant="demo", link_key=bytes(32), keys=(KEY,), public_url=url))
    server = uvicorn.Server(config(app, "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    with following(service, Registry(folder / RESPONSE), folder):
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server ended before it started"
            time.sleep(0.01)
        with httpx.Client(base_url=url, headers={"X-Api-Key": KEY_TEXT}, timeout=30) as client:
            yield client
        server.should_exit = True
        thread.join(10)
    service.close()


def decide(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/v1/decisions", json={"subject": f"v{number}", "size": "300x250", "slots": 2})


def model_of(client: httpx.Client, answer: httpx.Response) -> str:
    """The version that the answer's receipt names."""
    return client.get(f"/v1/decisions/{answer.json()['decision_id']}").json()["models"]["response"]


def test_the_model_changes_under_constant_requests_and_none_is_dropped(folder, registry):
    old, new = registry.champion(), variant(registry, 0.5)
    answers: list[tuple[float, float, httpx.Response]] = []  # sent, answered
    stop = threading.Event()

    def ask(worker: int, client: httpx.Client) -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            sent = time.monotonic()
            answer = decide(client, worker * 10_000 + number)
            answers.append((sent, time.monotonic(), answer))

    with served(folder) as client:
        workers = [threading.Thread(target=ask, args=(n, client)) for n in range(3)]
        for worker in workers:
            worker.start()
        time.sleep(0.5)
        first = switch(lambda: registry.promote(new, YES, 2))
        time.sleep(1.8)
        second = switch(lambda: registry.rollback(3, "a test"))
        time.sleep(1.5)
        stop.set()
        for worker in workers:
            worker.join()
        assert {answer.status_code for _, _, answer in answers} == {200}
        named = [(sent, answered, model_of(client, answer)) for sent, answered, answer in answers]
        assert client.get("/readyz").json()["response"] == old
    assert len(named) > 20
    assert {name for _, answered, name in named if answered < first[0]} <= {old}
    assert {name for sent, answered, name in named if sent >= first[1] + 1 and answered < second[0]} == {new}
    assert {name for sent, _, name in named if sent >= second[1] + 1} == {old}


def switch(change) -> tuple[float, float]:
    """When a change of the registry began and when it was done."""
    begun = time.monotonic()
    change()
    return begun, time.monotonic()


def test_a_bad_model_is_rolled_back_within_a_second_of_the_evidence_while_the_shop_serves(folder, registry):
    """The command beside the server, as a user runs both: it sees impressions, no clicks, and acts."""
    old, bad = registry.champion(), variant(registry, 4.0)
    registry.promote(bad, YES, 2)
    command = [sys.executable, "-m", "zhitou.apps.cli", "optimise", "--out", str(folder)]
    command += ["--every", "15m", "--clicks-within", "1s"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with served(folder) as client:
        beside = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert beside.stdout is not None
        assert any("in use" in line for line in beside.stdout), "the first round was made"
        seen_s, first_s = [], None
        for number in range(400):
            answer = decide(client, number)
            if model_of(client, answer) == old:
                first_s = time.monotonic()
                break
            for ad in answer.json()["ads"]:
                client.get(ad["impression_url"])
            seen_s.append(time.monotonic())
        assert first_s is not None, "it was never rolled back"
        # What was seen a second before is the newest evidence there can be: its click window has just closed.
        evidence = [at + 1.0 for at in seen_s if at + 1.0 <= first_s]
        assert len(evidence) >= 5
        assert first_s - evidence[-1] < 1.0
        beside.send_signal(signal.SIGTERM)
        told, _ = beside.communicate(timeout=30)
    assert beside.returncode == 0
    assert f"rolled back from {bad} to {old}" in told
    change = registry.history()[-1]
    assert (change.action, change.after) == ("rollback", old)
    assert "predicts" in change.reason or "foretells" in change.reason


# The shadow


@pytest.fixture
def shop(folder):
    service = open_service(folder, FixedClock(NOW_US))
    yield service
    service.close()


def serve_some(shop, first: int, count: int, rng: np.random.Generator, rate: float = 0.5) -> None:
    """Decisions a second apart for 90 shoppers, each ad seen and clicked at this rate, told every five seconds."""
    events: list[Event] = []
    for n in range(first, first + count):
        at_us, subject = NOW_US + n * SECOND, f"s_{n % 90}"
        answer = shop.decide(Ask(f"r{n}", subject, at_us))
        for ad in answer.ads:
            context = json.dumps({"slot": ad.slot})
            for kind in ("impression", "click")[: 1 + (rng.random() < rate)]:
                name = f"{kind}{n}_{ad.slot}"
                more = {"item": ad.item, "decision_id": answer.decision_id, "context": context}
                told_us = at_us + (1_000 if kind == "impression" else 600_000)  # sooner, it would be a machine's
                events.append(Event(name, "demo", subject, kind, told_us, told_us, **more))
        if n % 5 == 4 or n == first + count - 1:
            shop.observe(events)
            events = []


def test_a_candidate_is_trained_shadowed_and_promoted_from_the_shops_own_log(folder, registry, shop):
    """Shoppers click far more than the first model thinks; the second verdict rests on what came after the first."""
    old, rng = registry.champion(), np.random.default_rng(1)
    follower = Follower(shop, registry, folder)
    follower.look()
    # Small gates: what is shown is the way through the shop's own log; the gates have tests of their own.
    gates = Gates(25, 15, calibration_within=(0.6, 1.7), shadow_latency_ms_p99_most=1_000.0)
    plan = Plan(rows_least=100, shadow_requests=40, gates=gates)
    serve_some(shop, 0, 110, rng)
    with open_schedule(folder, FixedClock(NOW_US), Narrator(quiet=True), plan, click_seconds=10) as schedule:
        with pytest.raises(ConfigError, match="another"), open_schedule(folder, FixedClock(0), Narrator(quiet=True)):
            pass
        first = schedule.optimiser.round(NOW_US + 150 * SECOND)
        assert first["verdict"]["outcome"] == "passed"
        candidate = registry.shadow()
        assert candidate == first["verdict"]["candidate"]
        assert registry.champion() == old
        assert follower.look()
        assert shop.ready()["shadow"] == candidate
        waits = schedule.optimiser.round(NOW_US + 151 * SECOND)
        assert waits["verdict"]["outcome"] == "waits"
        serve_some(shop, 200, 70, rng)
        shop.set_shadow(None)  # what waits in its queue is scored first
        second = schedule.optimiser.round(NOW_US + 400 * SECOND)
    assert second["verdict"]["outcome"] == "passed", second["verdict"]["reason"]
    assert registry.champion() == candidate
    assert follower.look()
    assert shop.decide(Ask("last", "s_0", NOW_US + 500 * SECOND)).model == candidate
    lines = read_shadow(shadow_file(folder, candidate))
    told = shadow_of(lines)
    assert (told.requests, told.errors, told.left_out) == (70, 0, 0)
    assert {line["champion"] for line in lines} == {old}
    assert all(0 <= chance <= 1 for line in lines for chance in line["chance"] if chance is not None)
    assert "shadow_agreement" in registry.measured(candidate)[0].metrics


def test_the_champion_in_its_own_shadow_agrees_with_itself_to_the_bit(folder, registry, shop):
    path = folder / "shadow" / "self.jsonl"
    shop.set_shadow(shop.desk.response, path)
    answers = [shop.decide(Ask(f"r{n}", f"s_{n}", NOW_US + n * SECOND)) for n in range(12)]
    shop.set_shadow(None)
    for answer, line in zip(answers, read_shadow(path), strict=True):
        record = shop.receipt(answer.decision_id)
        assert line["decision_id"] == answer.decision_id
        assert line["same"]
        for slot in record["slots"]:
            if slot["ad_id"]:
                assert line["chance"][slot["slot"]] == slot["propensity"]
                assert line["pctr"][slot["slot"]] == slot["pctr"]


def test_the_desk_calibrates_by_the_requests_channel_and_slot_and_the_receipt_says_so(folder, registry, shop):
    """Twice the odds of a click in the first slot of one channel; elsewhere all as before."""
    model = Response.load(registry.champion_folder())

    def placed(channel: str) -> Response:
        places = np.tile([0.0, 1.0], (len(CHANNELS) + 1, 3, 1))
        places[CHANNELS.index(channel), 0] = np.log(2), 1.0
        return replace(model, places=places)

    def odds(p: float) -> float:
        return p / (1 - p)

    versions = {"none": (model, 1), "here": (placed("onsite"), 2), "elsewhere": (placed("email"), 1)}
    for name, (version, times) in versions.items():
        shop.swap(version.for_ads(np.arange(len(shop.desk.book))))
        record = shop.receipt(shop.decide(Ask(name, "s_1", NOW_US)).decision_id)
        assert matches(record)
        assert record["models"]["calibration"] == ("none" if name == "none" else "channel and slot")
        for n, slot in enumerate(record["slots"]):
            ad = shop.desk.book.ad_ids.index(slot["ad_id"])
            plain = float(model.predict(np.asarray(slot["fields"], dtype=np.float32), np.array(ad))[0])
            there = plain * model.examination[n]
            assert odds(slot["pctr"]) == pytest.approx(times * odds(plain), rel=1e-5)
            assert odds(slot["pctr_in_slot"]) == pytest.approx((times, 1)[n] * odds(there), rel=1e-5)
        assert f"{record['slots'][1]['pctr_in_slot']:.4%} here" in for_advertiser(record)[-1]


class Broken:
    """Fails at every request after its trial."""

    name = version = "broken"
    examination = np.ones(2)

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields

    def predict(self, fields):
        raise ArithmeticError("no such number")


def test_a_candidate_that_fails_is_counted_and_no_answer_suffers(folder, shop):
    path = folder / "shadow" / "broken.jsonl"
    shop.set_shadow(Broken(shop.desk.candidates.names), path)
    answers = [shop.decide(Ask(f"r{n}", f"s_{n}", NOW_US + n * SECOND)) for n in range(5)]
    shop.set_shadow(None)
    assert all(len(answer.ads) == 2 for answer in answers)
    told = shadow_of(read_shadow(path))
    assert (told.requests, told.errors, told.scored) == (5, 5, 0)


def test_a_model_that_cannot_decide_here_is_not_swapped_in(folder, registry, shop):
    with pytest.raises(ModelError, match="cannot predict"):
        shop.swap(Broken(shop.desk.candidates.names))
    with pytest.raises(ModelError, match="other fields"):
        shop.swap(Broken(("a", "b")))
    old = registry.champion()
    torn = variant(registry, 0.5)
    (weights,) = (registry.folder / torn).glob("*.safetensors")
    weights.write_bytes(b"torn")
    follower = Follower(shop, registry, folder)
    follower.look()
    registry.promote(torn, YES, 2)
    assert not follower.look()
    assert shop.decide(Ask("r", "s", NOW_US)).model == old
    assert "model_refused" in shop.ready()
    registry.rollback(3, "torn")
    follower.look()
    assert "model_refused" not in shop.ready()


def test_who_refuses_a_profile_is_learnt_from_no_more(folder, registry, shop):
    rng = np.random.default_rng(2)
    serve_some(shop, 0, 20, rng)
    with open_schedule(folder, FixedClock(NOW_US), Narrator(quiet=True), click_seconds=10) as schedule:
        log = schedule.optimiser.log
        assert "s_3" in set(log.settled(NOW_US + 99 * SECOND).subject)
        shop.decide(Ask("no", "s_3", NOW_US + 30 * SECOND, consent=(("profile", False),)))
        assert "s_3" not in set(log.settled(NOW_US + 99 * SECOND).subject)
