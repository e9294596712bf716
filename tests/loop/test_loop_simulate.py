"""What-if answers from a shop's own log: two weeks of the practice market, served and written by the real desk."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from zhitou.apps.simulate import simulate as command
from zhitou.assembly import CAMPAIGNS_FILE, RESPONSE
from zhitou.campaign.adbook import AdBook
from zhitou.campaign.files import read_campaigns, write_campaigns
from zhitou.core.clock import FixedClock
from zhitou.core.errors import ConfigError, NotFoundError, SourceError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.delivery.receipt import receipt, to_bytes
from zhitou.delivery.store import SqliteStore
from zhitou.events.schema import Event
from zhitou.feedback.registry import Registry
from zhitou.loop.play import play
from zhitou.loop.run import fit_market
from zhitou.loop.s6_feedback import outcome_events
from zhitou.loop.simulate import Question, lines_of, plain, simulate
from zhitou.response.response import Response
from zhitou.strategy.policies import Zhitou

DAYS = 14
MONTH_US = 30 * SECONDS_PER_DAY * MICROSECONDS


@pytest.fixture(scope="module")
def served(tmp_path_factory, two_runs):
    """A run's folder whose store holds two weeks of decisions and what came of them."""
    ran = two_runs[0]
    folder = tmp_path_factory.mktemp("simulate") / "run"
    shutil.copytree(ran.folder, folder)
    (folder / "store.sqlite").unlink()
    campaigns = tuple(
        replace(c, flight=replace(c.flight, end_us=c.flight.end_us + MONTH_US, budget_micros_total=10**12))
        for c in read_campaigns(folder / CAMPAIGNS_FILE)
    )
    write_campaigns(folder / CAMPAIGNS_FILE, campaigns)
    shop = ran.stage.shop
    stage = replace(ran.stage, book=AdBook.build(campaigns, shop.items))
    market = fit_market(shop)
    world = market.world(stage.book, shop.chance.child("two weeks"), shop.cut_s, DAYS)
    response = Response.load(Registry(folder / RESPONSE).champion_folder()).for_ads(np.arange(len(stage.book)))
    desk = stage.desk(Zhitou(gamma=shop.config.study.gamma), response, stage.features(shop.past))
    desk.candidates.board.put(np.arange(len(shop.past)), ran.stage.interest.scores(shop.past, stage.book.item))
    rows = np.asarray([shop.past.row(s) for s in market.subjects], dtype=np.int64)
    study = shop.config.study
    stretch = play(desk, world, world.ticks(), rows, size=study.size, slots=study.slots, keep=10**6)
    with SqliteStore(folder / "store.sqlite") as store:
        for d in stretch.decisions:
            none = [None] * d.asks.slots
            lines = [(d.decision_ids[b], to_bytes(receipt(d, b, stage.book, none))) for b in range(len(d))]
            store.add_decisions(lines)
        store.add_events(_impressions(stretch.shown, shop) + outcome_events(stage, stretch.shown))
    clock = FixedClock((shop.cut_s + (DAYS + 1) * SECONDS_PER_DAY) * MICROSECONDS)
    return SimpleNamespace(folder=folder, clock=clock, shown=stretch.shown, campaigns=campaigns, book=stage.book)


def _impressions(shown, shop):
    return [
        Event(
            f"e_{decision}_{slot}",
            shop.config.tenant,
            str(shop.everybody.subjects[subject]),
            "impression",
            int(at) * MICROSECONDS,
            int(at) * MICROSECONDS,
            decision_id=str(decision),
            context=json.dumps({"slot": int(slot)}),
        )
        for decision, slot, subject, at in zip(shown.decision, shown.slot, shown.subject, shown.time_s, strict=True)
    ]


@pytest.fixture(scope="module")
def unchanged(served):
    return simulate(served.folder, Question(), served.clock)


def test_the_log_is_read_whole(served, unchanged):
    assert unchanged.seen == len(served.shown)
    assert unchanged.clicks == int(served.shown.clicked.sum())
    assert (unchanged.other, unchanged.share) == (0, 1.0)


def test_as_things_were_the_replay_comes_near_what_happened(served, unchanged):
    told = {one.figure: one.before for one in unchanged.answers}
    assert told["impressions"].value == pytest.approx(len(served.shown), rel=0.1)
    assert told["clicks"].value == pytest.approx(served.shown.clicked.sum(), rel=0.2)
    assert told["spend"].value == pytest.approx(served.shown.cost_micros.sum(), rel=0.25)


def test_a_question_that_changes_nothing_is_answered_by_no_difference(unchanged):
    assert all(one.change.value == pytest.approx(0, abs=1e-9) for one in unchanged.answers)
    assert all(one.verdict == "inconclusive" for one in unchanged.answers)


def test_the_second_week_is_predicted_from_the_first_and_mostly_inside_the_interval(unchanged):
    week = {p.figure: p for p in unchanged.past if p.campaign is None}
    assert abs(week["impressions"].error) < 0.15
    assert unchanged.covered >= 0.8
    assert len(unchanged.past) == 3 * (1 + len(unchanged.names))


def test_a_lower_bid_costs_less(served):
    told = {one.figure: one for one in simulate(served.folder, Question(bid=0.5), served.clock).answers}
    assert told["spend"].verdict == "less"
    assert told["spend"].change.high < 0


def test_a_cap_of_none_a_day_shows_the_campaign_to_nobody(served):
    shown = np.bincount(served.book.campaign[served.shown.ad])
    most = served.campaigns[int(shown.argmax())].campaign_id
    told = simulate(served.folder, Question(campaign=most, cap_per_day=0), served.clock).answers
    assert told[0].after.value == 0
    assert told[0].verdict == "less"


def test_a_part_of_the_shoppers_stands_for_all(served, unchanged):
    part = simulate(served.folder, Question(), served.clock, requests_max=unchanged.requests // 2)
    assert part.requests < 0.75 * unchanged.requests
    assert part.answers[0].before.value == pytest.approx(unchanged.answers[0].before.value, rel=0.5)


def test_without_outcomes_every_answer_is_inconclusive_and_says_why(served, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(served.folder, folder, ignore=shutil.ignore_patterns("store.sqlite*"))
    with SqliteStore(served.folder / "store.sqlite") as full, SqliteStore(folder / "store.sqlite") as bare:
        names = dict.fromkeys(str(name) for name in served.shown.decision[:200])
        bare.add_decisions([(name, full.decision(name)) for name in names])
    told = simulate(folder, Question(bid=2.0), served.clock)
    assert {one.verdict for one in told.answers} == {"inconclusive"}
    assert "no ad was reported as seen" in told.answers[0].because
    assert told.past == ()
    assert plain(told)["past_covered"] is None
    assert "error on the past: unknown" in lines_of(told)[-1]


def test_the_answer_is_plain_json_and_text(unchanged):
    told = json.loads(json.dumps(plain(unchanged), allow_nan=False))
    assert set(told["answers"]) == {"impressions", "clicks", "spend"}
    assert "inside their 95 % interval" in lines_of(unchanged)[-1]


def test_the_command_prints_the_table_or_one_json_object(served, monkeypatch):
    monkeypatch.setattr("zhitou.core.clock.SystemClock", lambda: served.clock)
    app = typer.Typer()
    app.command()(command)
    asked = ["--out", str(served.folder), "--bid", "0.5"]
    table = CliRunner().invoke(app, asked)
    assert table.exit_code == 0, table.output
    assert "spend, EUR" in table.output
    told = CliRunner().invoke(app, [*asked, "--json"])
    assert json.loads(told.output)["answers"]["spend"]["verdict"] == "less"


def test_what_cannot_be_asked_is_refused(served, tmp_path):
    with pytest.raises(NotFoundError, match="expected one of the campaigns"):
        simulate(served.folder, Question(campaign="c_nobody"), served.clock)
    with pytest.raises(ConfigError, match="factors above 0"):
        simulate(served.folder, Question(bid=0.0), served.clock)
    with pytest.raises(ConfigError, match="name it"):
        simulate(served.folder, Question(rivals=1.1), served.clock)
    with pytest.raises(SourceError, match="found none"):
        simulate(tmp_path, Question(), served.clock)
