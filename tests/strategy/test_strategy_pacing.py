"""Pacing on a made-up day: 24 hours of uneven traffic, log-normal values and prices, clicks with 2 %."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.strategy.pacing import DualPacing

HOURS = np.clip(1 + 0.8 * np.sin((np.arange(24) - 8) / 24 * 2 * np.pi), 0.1, None)


class World:
    """Days of opportunities: (value, price, whether it is paid) per stretch of traffic; a budget is a daily sum."""

    def __init__(self, seed: int, stretches_per_hour: int, days: int, paid: float) -> None:
        rng = Chance(seed).stream("pacing-world")
        self.share = np.repeat(HOURS / HOURS.sum() / stretches_per_hour, stretches_per_hour)
        self.days = [[self._stretch(rng, n, paid) for n in rng.multinomial(6000, self.share)] for _ in range(days)]
        self.free_spend = np.mean([sum(int((p * c)[v > p].sum()) for v, p, c in day) for day in self.days])

    @staticmethod
    def _stretch(rng: np.random.Generator, n: int, paid: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value = rng.lognormal(0.0, 0.6, n) * 200_000
        price = (rng.lognormal(-0.3, 0.5, n) * 200_000).astype(np.int64)
        return value, price, rng.random(n) < paid

    def play(self, budget: int, pacing: DualPacing | None) -> list[tuple[int, float]]:
        """(spend, value won) of each day; an opportunity that the budget does not cover is not taken."""
        results = []
        for day in self.days:
            spent, won = 0, 0.0
            for (value, price, paid), share in zip(day, self.share, strict=True):
                wins = value * (pacing.multiplier[0] if pacing else 1.0) > price
                costs = np.cumsum(price * wins * paid)
                taken = wins & paid & (costs <= budget - spent)
                cost = int(price[taken].sum())
                won += float(value[taken].sum())
                spent += cost
                if pacing:
                    pacing.update(np.asarray([cost]), float(share))
            results.append((spent, won))
        return results


@pytest.mark.parametrize("budget_share", [0.5, 0.2])
def test_a_binding_budget_is_spent_to_97_percent_on_the_first_day_and_never_exceeded(budget_share: float) -> None:
    world = World(seed=1, stretches_per_hour=12, days=1, paid=1.0)
    budget = int(world.free_spend * budget_share)
    (spent, _), = world.play(budget, DualPacing(np.asarray([budget])))
    assert 0.97 * budget <= spent <= budget


@pytest.mark.parametrize("stretches_per_hour", [1, 12])
def test_paced_money_buys_far_more_than_the_same_money_spent_as_fast_as_possible(stretches_per_hour: int) -> None:
    world = World(seed=2, stretches_per_hour=stretches_per_hour, days=4, paid=1.0)
    budget = int(world.free_spend * 0.3)
    paced = world.play(budget, DualPacing(np.asarray([budget])))
    hasty = world.play(budget, None)
    assert min(spent for spent, _ in paced[1:]) >= 0.97 * budget
    assert sum(won for _, won in paced[1:]) > 1.4 * sum(won for _, won in hasty[1:])


def test_few_clicks_do_not_fool_it() -> None:
    # about 20 affordable clicks a day in 288 stretches: nearly every stretch has none
    world = World(seed=3, stretches_per_hour=12, days=8, paid=0.02)
    budget = int(world.free_spend * 0.3)
    paced = world.play(budget, DualPacing(np.asarray([budget])))
    hasty = world.play(budget, None)
    assert sum(won for _, won in paced[2:]) > 1.25 * sum(won for _, won in hasty[2:])
    assert sum(spent for spent, _ in paced[2:]) >= 0.9 * 6 * budget


def test_a_loose_budget_is_not_throttled() -> None:
    world = World(seed=4, stretches_per_hour=12, days=2, paid=1.0)
    budget = int(world.free_spend * 2)
    pacing = DualPacing(np.asarray([budget]))
    assert world.play(budget, pacing) == world.play(budget, None)
    assert pacing.multiplier.tolist() == [1.0]


def test_one_step_by_hand() -> None:
    pacing = DualPacing(np.asarray([1000, 1000]), eta=1.0)
    # a tenth of the traffic, so 100 planned; 110 were spent by the first: lambda = exp(1.0 * (110 - 100) / 1000)
    pacing.update(np.asarray([110, 50]), 0.1)
    assert pacing.multiplier == pytest.approx([np.exp(-0.01), 1.0])


def test_a_dear_click_moves_the_multiplier_by_a_clamped_step_and_the_rest_follows() -> None:
    pacing = DualPacing(np.asarray([1000]), eta=1.0)
    pacing.update(np.asarray([80]), 0.0)  # 0.08 wanted, 0.05 allowed, 0.03 owed
    assert pacing.multiplier == pytest.approx([np.exp(-0.05)])
    pacing.update(np.asarray([0]), 0.0)
    assert pacing.multiplier == pytest.approx([np.exp(-0.08)])


def test_nobody_falls_silent() -> None:
    pacing = DualPacing(np.asarray([1]), least=0.5)
    for _ in range(100):
        pacing.update(np.asarray([1000]), 0.001)
        pacing.renew(np.asarray([1]))
    assert pacing.multiplier.tolist() == [0.5]


def test_a_spent_budget_teaches_nothing_and_the_next_day_starts_where_this_one_ended() -> None:
    pacing = DualPacing(np.asarray([100]))
    pacing.update(np.asarray([100]), 0.5)
    before = pacing.multiplier
    pacing.update(np.asarray([0]), 0.5)  # completes the day
    assert pacing.multiplier.tolist() == before.tolist()


def test_a_campaign_without_a_budget_is_left_alone() -> None:
    pacing = DualPacing(np.asarray([0, 100]))
    pacing.update(np.asarray([0, 0]), 0.5)
    assert pacing.multiplier.tolist() == [1.0, 1.0]


def test_settings_that_cannot_pace_are_refused() -> None:
    with pytest.raises(ConfigError, match="eta > 0"):
        DualPacing(np.asarray([1]), eta=0.0)
