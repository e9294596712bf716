"""A day planned from the folder of a finished run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from zhitou.apps.plan import app
from zhitou.core.clock import FixedClock
from zhitou.core.errors import ConfigError, NotFoundError, SourceError
from zhitou.events.histories import Histories
from zhitou.loop.planning import PlanSettings, make_plan, read_plan, row_of, send_times

NOW_US = 1_720_000_000_000_000


def test_a_run_is_planned_explained_and_planned_again_to_the_same_bytes(two_runs, tmp_path):
    run = two_runs[0].folder
    clock, settings = FixedClock(NOW_US), PlanSettings()
    told = make_plan(run, clock, settings, tmp_path / "one")
    make_plan(run, clock, settings, tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert told["messages"] > 0
    assert sum(told["violations"].values()) == 0
    assert told["bound_gap"] < 0.05
    plan, problem = read_plan(tmp_path / "one", run, clock)
    assert (len(plan), plan.digest) == (told["messages"], told["problem"])
    assert plan.total_micros == pytest.approx(told["total_micros"], abs=1.0)
    refused = set(two_runs[0].stage.shop.everybody.subjects) - set(problem.audience.shoppers)
    assert not refused & set(problem.audience.shoppers[plan.shopper])
    name = str(problem.audience.shoppers[plan.shopper[0]])
    words = ["explain", name, "--out", str(run), "--plan", str(tmp_path / "one"), "--json"]
    lines = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert lines[0]["reason"] == "sent"
    assert {line["reason"] for line in lines if line["channel"] == "sms"} <= {"consent", "closed"}
    with pytest.raises(NotFoundError, match="audience"):
        row_of(problem, "nobody")


def test_a_plan_of_a_run_that_changed_is_not_explained(two_runs, tmp_path):
    clock = FixedClock(NOW_US)
    make_plan(two_runs[0].folder, clock, PlanSettings(), tmp_path / "plan")
    file = tmp_path / "plan" / "settings.json"
    file.write_bytes(file.read_bytes().replace(b'"per_day": 3', b'"per_day": 2'))
    with pytest.raises(SourceError, match="has changed"):
        read_plan(tmp_path / "plan", two_runs[0].folder, clock)


def test_settings_come_from_a_file_and_go_back_to_plain_values(tmp_path):
    file = tmp_path / "plan.toml"
    lines = ("per_day = 2", 'zone = "Europe/Berlin"', "[channel.email]", "cost_micros = 700", "[per_shopper_hour]")
    file.write_text("\n".join((*lines, "email = 1")))
    settings = PlanSettings.read(file)
    mail = next(c for c in settings.channels if c.name == "email")
    assert (settings.per_day, mail.cost_micros, dict(settings.per_shopper_hour)) == (2, 700, {"email": 1.0})
    assert PlanSettings.of(settings.plain()) == settings


@pytest.mark.parametrize(
    "text", ["per_day = ", "colour = 1", "[channel.fax]\ncost_micros = 1", 'zone = "Nowhere"', "quiet_hours = 3"]
)
def test_settings_that_mean_nothing_are_refused(tmp_path, text):
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(ConfigError):
        PlanSettings.read(tmp_path / "plan.toml")


def test_hours_are_learnt_from_what_shoppers_did_on_their_own_clocks():
    # ten days of one order each at 07:00 UTC, which is 09:00 in Berlin in summer
    day = 86_400
    time_s = 1_782_864_000 + np.arange(10) * day + 7 * 3_600
    ten = np.zeros(10, dtype=np.int64)
    past = Histories(
        subjects=np.asarray(["a"], dtype=object),
        offsets=np.asarray([0, 10]),
        item=ten.astype(np.int32),
        action=ten.astype(np.int8),
        time_s=time_s,
        step=np.arange(10, dtype=np.int32),
        price_micros=ten,
        quantity=ten + 1,
    )
    times = send_times(past, {"a": frozenset(["early"])}, int(time_s[-1]) + day, "Europe/Berlin")
    assert times.answered[0].tolist() == [10.0 if hour == 9 else 0.0 for hour in range(24)]
    assert times.mean(np.asarray([0])).argmax() == 9
