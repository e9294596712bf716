"""The experiments bench: its shortcuts say what the library says, and its market spends no money it does not have."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.evaluation.sequential import ConfidenceSequence

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(BENCH))
    names = ("sequential", "budget", "asos", "holdout")
    return SimpleNamespace(**{name: importlib.import_module(f"experiments_{name}") for name in names})


def test_verdicts_on_arrays_are_those_of_the_library(bench: SimpleNamespace) -> None:
    assert bench.sequential._agreement(ConfidenceSequence(79_770), Chance(3)) == 0


def test_an_auction_charges_the_second_bid_and_stops_at_the_budget(bench: SimpleNamespace) -> None:
    value, rate = np.array([10.0, 6.0, 1.0]), np.array([0.5, 0.5, 0.5])
    who = np.tile(np.array([0, 1, 2], dtype=np.int16), (4, 1))
    draw, arm = np.zeros(4), np.zeros(4, dtype=np.int8)
    budget = np.array([[15], [100], [100]], dtype=np.int64)
    clicks, spent = bench.budget._auctions(
        value, rate, who, draw, arm, np.ones(2), np.zeros(2, dtype=np.int64), budget
    )
    # campaign 0 pays 6 and has 9 left, below its bid of 10; then campaign 1 wins three times and pays 1
    assert clicks[:, 0].tolist() == [1, 3, 0]
    assert spent[:, 0].tolist() == [6, 3, 0]
    assert not clicks[:, 1].any()


def test_an_arm_with_its_own_purse_leaves_the_other_s_alone(bench: SimpleNamespace) -> None:
    value, rate = np.array([10.0]), np.array([0.5])
    who, draw = np.zeros((6, 1), dtype=np.int16), np.zeros(6)
    arm = np.array([0, 0, 0, 1, 1, 1], dtype=np.int8)
    purses = np.array([[9, 100]], dtype=np.int64)
    clicks, _ = bench.budget._auctions(value, rate, who, draw, arm, np.ones(2), np.arange(2), purses)
    assert clicks.tolist() == [[0, 3]]


def test_a_replay_takes_the_first_verdict_from_its_day_on(bench: SimpleNamespace) -> None:
    looks = bench.asos.Looks(days=[1.0, 5.0, 9.0], share=[0.1, 0.5, 1.0], ours=[1, 0, -1], once=[1, 1, -1])
    early, late = bench.asos._replay(looks), bench.asos._replay(looks, 7)
    assert (early.ours, early.theirs, early.at) == (1, -1, 0.1)
    assert (late.ours, late.at) == (-1, 1.0)


def test_the_money_buys_the_best_value_for_money_and_no_more(bench: SimpleNamespace) -> None:
    bought = bench.holdout._bought(np.array([1.0, 3.0, 2.0]), np.array([1.0, 1.0, 2.0]), 2.0)
    assert bought.tolist() == [1, 0]
