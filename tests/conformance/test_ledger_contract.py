"""What every ledger promises. Each test runs on every ledger there is."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.campaign.ledger import MemoryLedger, SqliteLedger
from zhitou.core.errors import ConfigError, MoneyError
from zhitou.strategy.ports import Ledger

DAY = 86_400_000_000
MINUTE = 60_000_000
AnyLedger = MemoryLedger | SqliteLedger
Opener = Callable[[tuple[Campaign, ...]], AnyLedger]


def campaign(name: str, total: int, daily: int) -> Campaign:
    flight = Flight(start_us=0, end_us=30 * DAY, budget_micros_total=total, budget_micros_daily=daily)
    return Campaign(
        campaign_id=name,
        advertiser="a",
        name=name,
        currency="EUR",
        flight=flight,
        objective="clicks",
        bid_micros=10,
        items=("i",),
        material=Material("b", "b", "#000000"),
    )


@pytest.fixture(params=["memory", "sqlite"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    def opener(campaigns: tuple[Campaign, ...]) -> AnyLedger:
        if request.param == "memory":
            return MemoryLedger(campaigns)
        ledger = SqliteLedger(tmp_path / "ledger.sqlite", campaigns)
        request.addfinalizer(ledger.close)
        return ledger

    return opener


def charge(ledger: AnyLedger, key: str, amount: int, at_us: int = 0, camp: int = 0) -> int:
    return int(ledger.charge([key], np.asarray([camp]), np.asarray([amount]), at_us)[0])


def hold(ledger: AnyLedger, key: str, amount: int, at_us: int = 0, camp: int = 0) -> bool:
    return bool(ledger.hold([key], np.asarray([camp]), np.asarray([amount]), at_us)[0])


def test_it_is_the_ledger_that_strategy_asks_for(open_ledger: Opener) -> None:
    ledger: Ledger = open_ledger((campaign("c", 100, 60),))
    assert ledger.remaining_micros(0).tolist() == [60]
    assert ledger.remaining_micros(0).dtype == np.int64


def test_a_key_is_charged_once_and_says_the_same_again(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    assert charge(ledger, "click", 40) == 40
    assert charge(ledger, "click", 40) == 40
    assert charge(ledger, "click", 7, at_us=DAY) == 40
    assert ledger.spent_micros().tolist() == [40]


def test_a_key_that_comes_twice_in_one_call_is_charged_once(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    paid = ledger.charge(["k", "k"], np.asarray([0, 0]), np.asarray([40, 40]), 0)
    assert paid.tolist() == [40, 40]
    assert ledger.spent_micros().tolist() == [40]


def test_a_click_beyond_the_budget_is_charged_as_far_as_it_reaches(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    assert [charge(ledger, key, 40) for key in "abc"] == [40, 60 - 40, 0]
    assert ledger.over_delivered_micros().tolist() == [3 * 40 - 60]


def test_the_daily_budget_returns_at_midnight_utc_until_the_total_is_spent(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    assert charge(ledger, "a", 60, DAY - 1) == 60
    assert ledger.remaining_micros(DAY - 1).tolist() == [0]
    assert ledger.remaining_micros(DAY).tolist() == [100 - 60]
    assert charge(ledger, "b", 60, DAY) == 40
    assert ledger.remaining_micros(2 * DAY).tolist() == [0]


def test_a_late_charge_counts_on_its_own_day(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    charge(ledger, "today", 60, DAY)
    assert charge(ledger, "yesterday", 30, DAY - 1) == 30
    assert ledger.spent_micros_today(DAY - 1).tolist() == [30]


def test_what_is_held_cannot_be_held_again(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    granted = ledger.hold(["a", "b", "c"], np.asarray([0, 0, 0]), np.asarray([40, 30, 20]), 0)
    assert granted.tolist() == [True, False, True]  # first come, first served: 40, not 30 more, but 20 more
    assert ledger.held_micros(0).tolist() == [60]


def test_holding_a_key_again_sets_nothing_more_aside(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    assert hold(ledger, "a", 40)
    assert hold(ledger, "a", 40)
    assert ledger.remaining_micros(0).tolist() == [60 - 40]


def test_a_charged_key_holds_nothing(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    charge(ledger, "a", 10)
    assert hold(ledger, "a", 40)
    assert ledger.held_micros(0).tolist() == [0]


def test_a_charge_ends_its_hold_and_a_release_gives_it_back(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    hold(ledger, "clicked", 20)
    hold(ledger, "ignored", 20)
    charge(ledger, "clicked", 15)
    ledger.release(["ignored", "never heard of"], 0)
    assert ledger.held_micros(0).tolist() == [0]
    assert ledger.remaining_micros(0).tolist() == [60 - 15]


def test_a_hold_that_nobody_used_is_swept_after_half_an_hour(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    hold(ledger, "a", 40)
    assert ledger.remaining_micros(30 * MINUTE - 1).tolist() == [20]
    assert ledger.remaining_micros(30 * MINUTE).tolist() == [60]


def test_a_click_after_its_hold_was_swept_is_still_paid(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    hold(ledger, "a", 40)
    assert charge(ledger, "a", 40, 40 * MINUTE) == 40


def test_no_click_goes_free_while_there_is_money_even_if_it_is_held(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    hold(ledger, "shown", 50)
    assert charge(ledger, "clicked", 30) == 30
    assert ledger.remaining_micros(0).tolist() == [0]


def test_campaigns_do_not_touch_each_others_money(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60), campaign("d", 9, 9)))
    ledger.charge(["a", "b"], np.asarray([1, 0]), np.asarray([20, 5]), 0)
    assert ledger.spent_micros().tolist() == [5, 9]
    assert ledger.over_delivered_micros().tolist() == [0, 20 - 9]


def test_an_empty_call_is_no_call(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    none = np.zeros(0, dtype=np.int64)
    assert ledger.hold([], none, none, 0).shape == (0,)
    assert ledger.charge([], none, none, 0).shape == (0,)


def test_the_statement_adds_up(open_ledger: Opener) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    charge(ledger, "a", 45)
    charge(ledger, "b", 45)
    charge(ledger, "c", 5, DAY)
    hold(ledger, "d", 7, DAY)
    (line,) = ledger.statement(DAY)
    assert (line.campaign_id, line.currency, line.charges) == ("c", "EUR", 3)
    assert (line.spent_micros_total, line.spent_micros_today) == (60 + 5, 5)
    assert (line.held_micros, line.remaining_micros) == (7, 100 - 65 - 7)
    assert line.over_delivered_micros == 45 + 45 - 60


@pytest.mark.parametrize("amounts", [np.asarray([0.5]), np.asarray([-1])])
def test_parts_of_micros_and_negative_amounts_are_refused(open_ledger: Opener, amounts: np.ndarray) -> None:
    ledger = open_ledger((campaign("c", 100, 60),))
    with pytest.raises(MoneyError, match="whole micros"):
        ledger.charge(["a"], np.asarray([0]), amounts, 0)
    assert ledger.spent_micros().tolist() == [0]


def test_two_campaigns_of_one_id_are_refused(open_ledger: Opener) -> None:
    with pytest.raises(ConfigError, match="same campaign_id"):
        open_ledger((campaign("c", 1, 1), campaign("c", 1, 1)))


def columns(calls: list[tuple[str, int, int]]) -> tuple[list[str], np.ndarray, np.ndarray]:
    keys, where, amounts = zip(*calls, strict=True)
    return list(keys), np.asarray(where), np.asarray(amounts)


TOTALS, DAILIES = (100, 37), (60, 37)
KEYS = st.sampled_from([f"k{n}" for n in range(12)])
CALLS = st.lists(st.tuples(KEYS, st.integers(0, 1), st.integers(0, 40)), min_size=1, max_size=4)
TIMES = st.integers(0, 3 * DAY)  # not in order: clicks arrive late


class AnyInterleaving(RuleBasedStateMachine):
    """Holds, charges, releases and restarts in any order and with any repeats, on both ledgers side by side."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.campaigns = tuple(campaign(f"c{n}", TOTALS[n], DAILIES[n]) for n in (0, 1))
        self.memory = MemoryLedger(self.campaigns)
        self.disk = SqliteLedger(Path(self.folder.name) / "ledger.sqlite", self.campaigns)
        self.asked: dict[str, tuple[int, int]] = {}  # key: (campaign, amount) of the first charge
        self.paid: dict[str, int] = {}

    @rule(calls=CALLS, at_us=TIMES)
    def hold(self, calls: list[tuple[str, int, int]], at_us: int) -> None:
        keys, where, amounts = columns(calls)
        held = self.memory.hold(keys, where, amounts, at_us)
        assert held.tolist() == self.disk.hold(keys, where, amounts, at_us).tolist()

    @rule(calls=CALLS, at_us=TIMES)
    def charge(self, calls: list[tuple[str, int, int]], at_us: int) -> None:
        keys, where, amounts = columns(calls)
        paid = self.memory.charge(keys, where, amounts, at_us)
        assert paid.tolist() == self.disk.charge(keys, where, amounts, at_us).tolist()
        for (key, camp, amount), micros in zip(calls, paid.tolist(), strict=True):
            self.asked.setdefault(key, (camp, amount))
            assert self.paid.setdefault(key, micros) == micros, "a key is charged once"

    @rule(keys=st.lists(KEYS, max_size=3), at_us=TIMES)
    def release(self, keys: list[str], at_us: int) -> None:
        self.memory.release(keys, at_us)
        self.disk.release(keys, at_us)

    @rule()
    def restart(self) -> None:
        self.disk.close()
        self.disk = SqliteLedger(Path(self.folder.name) / "ledger.sqlite", self.campaigns)

    @precondition(lambda self: bool(self.paid))
    @rule(at_us=TIMES)
    def replay_every_charge(self, at_us: int) -> None:
        before = self.memory.spent_micros().tolist()
        keys = sorted(self.paid)
        where = np.asarray([self.asked[key][0] for key in keys])
        amounts = np.asarray([self.asked[key][1] for key in keys])
        for ledger in (self.memory, self.disk):
            assert ledger.charge(keys, where, amounts, at_us).tolist() == [self.paid[key] for key in keys]
        assert self.memory.spent_micros().tolist() == before

    @invariant()
    def no_budget_is_exceeded_and_no_micro_is_lost(self) -> None:
        for camp in (0, 1):
            keys = [key for key, (owner, _) in self.asked.items() if owner == camp]
            spent = int(self.memory.spent_micros()[camp])
            assert spent == sum(self.paid[key] for key in keys)
            over = sum(self.asked[key][1] for key in keys) - spent
            assert over == self.memory.over_delivered_micros()[camp]
            days = [int(self.memory.spent_micros_today(day * DAY)[camp]) for day in range(5)]
            assert sum(days) == spent <= TOTALS[camp]
            assert max(days) <= DAILIES[camp]

    @invariant()
    def both_ledgers_say_the_same(self) -> None:
        assert self.memory.statement(0) == self.disk.statement(0)

    def teardown(self) -> None:
        if hasattr(self, "disk"):
            self.disk.close()
            self.folder.cleanup()


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
