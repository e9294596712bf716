"""The planner: dual prices on slots and budgets make shoppers independent; a repair makes the plan whole.

max sum(worth) subject to capacities and budgets couples all shoppers. With a price on each slot (lambda) and on each
budget (mu), every shopper takes the best set that his own caps, gaps, consent and quiet hours allow, exactly; by weak
duality sum_n best_n(lambda, mu) + lambda · capacity + mu · budget is a limit that no plan exceeds, whatever the
prices. Prices that make this limit small are found on samples that grow, by sign steps of their own for each price,
then on everybody. N = shoppers, T = messages a shopper may get; other letters as in `plan`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.strategy.plan import Plan, PlanProblem, Prices
from zhitou.strategy.plan_choose import OUT, Tables, answer, reassign, tally, users, workspace

_BLOCK = 16_384
_STEP_FIRST, _STEP_UP, _STEP_DOWN = 0.1, 1.2, 0.5
_TARGET_FIRST, _VAIN_MOST = 0.03, 10
_POLISHED, _POLISH_MOST = 1_000_000, 200  # shoppers asked while polishing, in all steps; steps
_OFFER = 0.9  # of the prices, at which what the repair left over is offered
_GIVEN_AWAY = 200_000  # shoppers up to which the last of it is then offered for nothing, a pass that adds 0.01 %


@dataclass(frozen=True)
class SolveConfig:
    """How long prices are looked for. stages: (shoppers, steps) of each growing sample; full_steps: on everybody.

    threads: 1 or more; the plan does not depend on it. seed: of the samples.
    """

    stages: tuple[tuple[int, int], ...] = ((8_000, 60), (64_000, 20))
    full_steps: int = 3
    threads: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        if self.threads < 1 or self.full_steps < 1 or any(n < 1 or steps < 1 for n, steps in self.stages):
            raise ConfigError("threads, full_steps and the stages' shoppers and steps are at least 1")


def solve(problem: PlanProblem, config: SolveConfig | None = None) -> Plan:
    """A plan that violates nothing, with the limit that no plan exceeds."""
    config = config or SolveConfig()
    order = Chance(config.seed).stream("plan sample").permutation(len(problem))
    everybody = _Crowd(problem, np.arange(len(problem)), config.threads)
    search = _Search(everybody)
    steps_left = config.full_steps
    for shoppers, steps in config.stages:
        if 2 * shoppers <= len(problem):
            search.begin(_Crowd(problem, np.sort(order[:shoppers]), config.threads, everybody.tables))
            for _ in range(steps):
                search.step()
        else:
            steps_left += steps
    search.begin(everybody)
    for _ in range(steps_left):
        search.step()
    polishing = _POLISHED // max(1, len(problem))
    if polishing >= _VAIN_MOST:
        search.polish(min(polishing, _POLISH_MOST))
    assert search.best is not None, "at least one step was made on everybody"
    return _whole(everybody, search.best, order)


def first_come(problem: PlanProblem, seed: int = 1) -> Plan:
    """The plan without prices: shoppers in chance order take what is best for each of what is left. A baseline."""
    everybody = _Crowd(problem, np.arange(len(problem)), 1)
    terms = problem.terms
    nothing = everybody.demand(np.zeros(terms.capacity.shape), np.zeros(len(terms.campaigns)))
    picks = np.full_like(nothing.picks, -1)
    _Repair(everybody, nothing, picks).again(Chance(seed).stream("first come").permutation(len(problem)), False, 0.0)
    return _plan(problem, nothing, picks)


@dataclass(frozen=True)
class _Demand:
    """What shoppers choose at some prices. limit_micros: what no plan exceeds. unproven: sets that are not exact."""

    slot: np.ndarray
    budget: np.ndarray
    limit_micros: float
    usage: np.ndarray
    spent: np.ndarray
    worth: np.ndarray
    picks: np.ndarray
    unproven: int


class _Crowd:
    """Some shoppers (int64 [n] rows of the problem) and their share of all capacities and budgets."""

    def __init__(self, problem: PlanProblem, rows: np.ndarray, threads: int, tables: Tables | None = None) -> None:
        self.problem, self.rows, self.threads = problem, np.asarray(rows, dtype=np.int64), threads
        self.tables = tables or Tables(problem)
        share = len(rows) / max(1, len(problem))
        self.capacity = problem.terms.capacity * share
        self.budget = problem.terms.budget_micros * share
        self.cost = np.ascontiguousarray(problem.terms.cost_micros, dtype=np.int64)

    def demand(
        self,
        slot: np.ndarray,
        budget: np.ndarray,
        closed: np.ndarray | None = None,
        broke: np.ndarray | None = None,
    ) -> _Demand:
        """Everybody's best set at these prices; closed: float64 [K, H], OUT for slots that may not be used; broke:
        bool [C, K], campaigns that may not."""
        n, terms = len(self.rows), self.problem.terms
        price = self.tables.price(slot, budget)
        worth, limit = np.zeros(n), np.zeros(n)
        picks = np.empty((n, terms.per_day), dtype=np.int32)
        shut = np.zeros(slot.shape) if closed is None else closed
        poor = np.zeros(self.cost.shape, dtype=bool) if broke is None else broke

        def block(begin: int) -> None:
            part = slice(begin, begin + _BLOCK)
            work = workspace(self.problem.audience.candidate.shape[1], *slot.shape)
            facts, rules = self.tables.facts, self.tables.rules
            answer(self.rows[part], price, shut, poor, facts, rules, work, worth[part], limit[part], picks[part])

        self.each_block(block, n)
        usage, spent = np.zeros(slot.shape, dtype=np.int64), np.zeros(len(budget), dtype=np.int64)
        tally(self.rows, picks, self.tables.facts, self.cost, usage, spent)
        total = float(limit.sum() + (slot * self.capacity).sum() + (budget * self.budget).sum())
        unproven = int((limit > worth * (1 + 1e-7)).sum())
        return _Demand(slot, budget, total, usage, spent, worth, picks, unproven)

    def each_block(self, work, n: int) -> None:  # type: ignore[no-untyped-def]
        """Blocks of shoppers, on as many threads as are allowed; the compiled loops do not hold Python's lock."""
        begins = range(0, n, _BLOCK)
        if self.threads == 1 or n <= _BLOCK:
            for begin in begins:
                work(begin)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(work, begins))


class _Search:
    """Prices that make the limit small: each moves by a step of its own against the sign of its excess.

    The step grows while the sign stays and halves when it turns (Riedmiller and Braun, 1993, resilient propagation):
    the sum over many different shoppers is nearly smooth, and steps of their own serve slots whose demands differ by
    orders of magnitude.
    """

    def __init__(self, crowd: _Crowd) -> None:
        terms = crowd.problem.terms
        k, h = terms.capacity.shape
        few = _Crowd(crowd.problem, crowd.rows[: _BLOCK // 4], 1, crowd.tables)
        free = few.demand(np.zeros((k, h)), np.zeros(len(terms.campaigns)))
        unit = max(1.0, float(free.worth.sum()) / max(1, int((free.picks >= 0).sum())))
        paid = terms.cost_micros[terms.cost_micros > 0]
        self._message_micros = float(paid.mean()) if len(paid) else 1.0
        self._shape = (k, h)
        self._unit = np.repeat([unit, unit / self._message_micros], [k * h, len(terms.campaigns)])
        self._x = _STEP_FIRST * self._unit
        self._step, self._sign, self._crowd = self._x.copy(), np.zeros(len(self._x)), few
        self.best: _Demand | None = None

    def begin(self, crowd: _Crowd) -> None:
        """Go on with other shoppers. Steps are at least as long as chance in the last crowd left a price in doubt:
        what rests on m messages is known to about 1 / sqrt(m) of itself."""
        messages = np.concatenate([self._crowd.capacity.ravel(), self._crowd.budget / self._message_micros])
        if self.best is not None:
            self._step = np.maximum(self._step, self._x / np.sqrt(1.0 + messages))
        self._crowd, self._sign, self.best = crowd, np.zeros(len(self._x)), None

    def _ask(self, x: np.ndarray) -> tuple[_Demand, np.ndarray]:
        """(demand at these prices, what is asked for beyond capacities and budgets)."""
        cells = self._shape[0] * self._shape[1]
        demand = self._crowd.demand(x[:cells].reshape(self._shape), x[cells:])
        over = demand.usage - self._crowd.capacity
        return demand, np.concatenate([over.ravel(), demand.spent - self._crowd.budget])

    def polish(self, steps: int) -> None:
        """Where shoppers are few or alike, the limit has kinks that steps by sign stop at. From the best prices,
        steps of Polyak (1969), (limit - target) / |excess|^2, along excesses averaged over steps (Camerini, Fratta
        and Maffioli 1975). The target is a share below the best limit, halved after ten steps in vain."""
        assert self.best is not None, "polish after at least one step"
        share, in_vain, trend, x = _TARGET_FIRST, 0, np.zeros(len(self._x)), self._at_best()
        for _ in range(steps):
            demand, over = self._ask(x)
            better = demand.limit_micros < self.best.limit_micros
            in_vain = 0 if demand.limit_micros < self.best.limit_micros * (1 - 1e-5) else in_vain + 1
            if better:
                self.best = demand
            trend = 0.5 * trend + np.where((x <= 0) & (over < 0), 0.0, over * self._unit)
            size = float(trend @ trend)
            if size == 0.0:
                break
            if in_vain >= _VAIN_MOST:
                share, in_vain, trend, x = share / 2, 0, np.zeros(len(x)), self._at_best()
                continue
            distance = demand.limit_micros - self.best.limit_micros * (1 - share)
            x = np.maximum(0.0, x + distance / size * trend * self._unit)

    def _at_best(self) -> np.ndarray:
        assert self.best is not None, "there is a best after the first step"
        return np.concatenate([self.best.slot.ravel(), self.best.budget])

    def step(self) -> None:
        """One look at demand, one step of every price."""
        demand, over = self._ask(self._x)
        if self.best is None or demand.limit_micros < self.best.limit_micros:
            self.best = demand
        sign = np.sign(over)
        turned = sign * self._sign
        self._step *= np.where(turned < 0, _STEP_DOWN, np.where(turned > 0, _STEP_UP, 1.0))
        self._sign = sign
        self._x = np.maximum(0.0, self._x + sign * self._step)


class _Repair:
    """Sets of messages (int32 [N, T], changed in place) on their way to a plan that fits."""

    def __init__(self, crowd: _Crowd, asked: _Demand, picks: np.ndarray) -> None:
        terms = crowd.problem.terms
        self._crowd, self._asked, self.picks = crowd, asked, picks
        self._work = workspace(crowd.problem.audience.candidate.shape[1], *terms.capacity.shape)
        self._capacity = np.ascontiguousarray(terms.capacity, dtype=np.int64)
        self._money = np.ascontiguousarray(terms.budget_micros, dtype=np.int64)
        self._usage = np.zeros_like(self._capacity)
        self._spent = np.zeros_like(self._money)
        tally(crowd.rows, picks, crowd.tables.facts, crowd.cost, self._usage, self._spent)

    def again(self, order: np.ndarray, only_over: bool, share: float) -> None:
        """Shoppers of this order choose again among what is left, at this share of the prices."""
        crowd, tables = self._crowd, self._crowd.tables
        price = tables.price(self._asked.slot * share, self._asked.budget * share)
        state = (self._capacity, self._money, self._work, self.picks, self._usage, self._spent)
        reassign(order, only_over, price, tables.facts, tables.rules, crowd.cost, *state)

    def settle(self) -> None:
        """What is asked for too often goes, least loss first: what a shopper loses where all of that is closed."""
        crowd, asked = self._crowd, self._asked
        full, broke = self._usage > self._capacity, (self._spent > self._money)[:, None] & (crowd.cost > 0)
        asking = users(self.picks, crowd.tables.facts, full, broke)
        some = _Crowd(crowd.problem, asking, crowd.threads, crowd.tables)
        without = some.demand(asked.slot, asked.budget, np.where(full, OUT, 0.0), broke)
        loss = asked.worth[asking] - without.worth
        self.again(asking[np.argsort(loss, kind="stable")], True, 1.0)


def _whole(crowd: _Crowd, best: _Demand, order: np.ndarray) -> Plan:
    """The plan that repairs this demand; what is left is offered to all in this order, cheaper, then for nothing."""
    repair = _Repair(crowd, best, best.picks.copy())
    repair.settle()
    repair.again(order, False, _OFFER)
    if len(order) <= _GIVEN_AWAY:
        repair.again(order, False, 0.0)
    return _plan(crowd.problem, best, repair.picks)


def _plan(problem: PlanProblem, best: _Demand, picks: np.ndarray) -> Plan:
    """The sets as messages."""
    k, h = problem.terms.capacity.shape
    shopper, where = np.nonzero(picks >= 0)
    code = picks[shopper, where]
    return Plan.of(
        problem,
        shopper,
        code // (k * h),
        code // h % k,
        code % h,
        prices=Prices(best.slot, best.budget),
        bound_micros=best.limit_micros,
        unproven=best.unproven,
    )
