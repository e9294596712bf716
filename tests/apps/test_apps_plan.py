"""`zhitou plan` on plans that lie on disk; making one from a run is tested with the loop."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from zhitou.apps.plan import app
from zhitou.core.errors import ConfigError, SourceError
from zhitou.loop.planning import write_plan
from zhitou.strategy.channels import CHANNELS
from zhitou.strategy.plan import Audience, PlanProblem, Terms
from zhitou.strategy.plan_solve import solve


def problem(budget: int) -> PlanProblem:
    """Three shoppers, one campaign, mail only."""
    k = len(CHANNELS)
    consent = np.zeros((3, k), dtype=bool)
    consent[:, 1] = True
    names = np.asarray(["ann", "ben", "cam"], dtype=object)
    base = np.asarray([[3_000.0], [2_000.0], [1_000.0]])
    audience = Audience.of(names, np.zeros((3, 1), dtype=int), base, np.ones((3, k)), consent)
    terms = Terms(
        start_us=1_782_907_200_000_000,  # 2026-07-01T12:00:00Z
        currency="EUR",
        channels=CHANNELS,
        campaigns=("spring",),
        ads=("tea",),
        ad_campaign=np.zeros(1, dtype=np.int32),
        hour_response=np.ones((1, 1, 24), dtype=np.float32),
        zones=("UTC",),
        quiet_hours=((21, 8),),
        open=np.ones((1, k, 2), dtype=bool),
        cost_micros=np.asarray([[c.cost_micros for c in CHANNELS]]),
        budget_micros=np.asarray([budget]),
        capacity=np.full((k, 2), 9),
        campaign_per_day=np.ones(1, dtype=int),
    )
    return PlanProblem(audience, terms)


@pytest.fixture
def plans(tmp_path):
    """Folders of a plan for everybody and of one whose budget pays two of three mails."""
    folders = []
    for name, budget in (("rich", 10_000), ("poor", 1_000)):
        question = problem(budget)
        write_plan(solve(question), question, tmp_path / name)
        folders.append(tmp_path / name)
    return folders


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_a_plan_on_disk_is_whole_and_the_same_bytes_each_time(plans, tmp_path):
    question = problem(10_000)
    write_plan(solve(question), question, tmp_path / "again")
    for path in plans[0].iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    told = json.loads((plans[0] / "plan.json").read_text())
    assert (told["messages"], told["cost_micros"], told["value_micros"]) == (3, 1_500, 6_000)
    assert sum(told["violations"].values()) == 0
    assert told["alternatives"]["sent"] == 3


def test_diff_says_who_and_how_much_money_moved(plans, tmp_path):
    answer = call("diff", *plans, "--changes", tmp_path / "changes.csv")
    assert "same 2" in answer.stdout
    assert "only before 1" in answer.stdout
    with (tmp_path / "changes.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["change"], row["subject"], row["ad"]) == ("removed", "cam", "tea")
    told = json.loads(call("diff", *plans, "--json").stdout)
    assert told["channels"]["email"]["cost_micros"] == [1_500, 1_000]


def test_export_hands_the_same_messages_on_as_csv_and_parquet(plans, tmp_path):
    for name in ("m.csv", "m.parquet"):
        assert "3 messages" in call("export", tmp_path / name, "--plan", plans[0]).stdout
    with (tmp_path / "m.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "m.parquet").to_pylist()
    assert [row["subject"] for row in rows] == [row["subject"] for row in table] == ["ann", "ben", "cam"]
    assert rows[0]["value_micros"] == "3000"


def test_what_cannot_be_done_says_what_to_do(plans, tmp_path):
    with pytest.raises(ConfigError, match="csv or"):
        call("export", tmp_path / "m.xlsx", "--plan", plans[0])
    with pytest.raises(SourceError, match="plan make"):
        call("export", tmp_path / "m.csv", "--plan", tmp_path)
