"""The planner against HiGHS' LP on a small made-up world: the LP lies between the plan and what it may lack."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("highspy", reason="the LP that plans are compared with: pip install highspy")

from zhitou.strategy.plan_check import violations
from zhitou.strategy.plan_solve import solve

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def planner() -> ModuleType:
    sys.path.insert(0, str(BENCH))  # for its own neighbour, lines.py
    spec = importlib.util.spec_from_file_location("bench_planner", BENCH / "planner.py")
    assert spec is not None, f"planner.py lies in {BENCH}"
    assert spec.loader is not None, "planner.py is Python"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    sys.path.remove(str(BENCH))
    return module


def test_the_plan_is_within_two_percent_of_the_lp_and_never_above_it(planner):
    problem = planner.world(600, seed=4)
    plan = solve(problem)
    optimum, left_open, _, _ = planner.lp_optimum(problem, plan.prices.slot_micros, plan.prices.budget)
    assert left_open < 1e-5  # no column that could matter was left out
    assert sum(violations(plan, problem).values()) == 0
    assert 0.98 * optimum < plan.total_micros <= optimum * (1 + 1e-6)
    # LP and Lagrangian relax the same problem, the latter keeping each shopper's caps whole: their values meet
    assert plan.bound_micros == pytest.approx(optimum, rel=0.005)


def test_columns_close_from_useless_prices_too(planner):
    problem = planner.world(200, seed=5)
    shape = problem.terms.capacity.shape
    plan = solve(problem)
    good = planner.lp_optimum(problem, plan.prices.slot_micros, plan.prices.budget)[0]
    poor = planner.lp_optimum(problem, np.zeros(shape), np.zeros(len(problem.terms.campaigns)))[0]
    assert poor == pytest.approx(good, rel=1e-5)
