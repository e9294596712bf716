"""Stage 5: one world of the market, lived through by every policy: random, popular, Thompson, ours, and an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from zhitou.assembly import Stage
from zhitou.core.chance import Chance
from zhitou.core.clock import FixedClock
from zhitou.core.units import MICROSECONDS
from zhitou.delivery.decide import Desk
from zhitou.events.histories import PURCHASE, Histories
from zhitou.loop.play import Stretch, play
from zhitou.market.fit import Market
from zhitou.market.world import Tick, World
from zhitou.strategy.policies import BernoulliThompson, Context, Greedy, Policy, Popular, Random, Zhitou
from zhitou.strategy.ports import ResponseModel

HOURS = 24
BASELINES = ("random", "popular", "thompson", "oracle")


@dataclass
class Life:
    """A world and the desk that serves it; `fork` copies both, so that two policies can go on from one morning."""

    world: World
    desk: Desk
    rows: np.ndarray
    past: Histories
    truth: _Truth = field(default_factory=lambda: _Truth())

    def serve(self, stage: Stage, days: int, keep: int = 0) -> Stretch:
        """Let the desk serve the next days."""
        study = stage.shop.config.study
        ticks = self.truth.watching(self.world, islice(self.world.ticks(), days * HOURS))
        return play(self.desk, self.world, ticks, self.rows, size=study.size, slots=study.slots, keep=keep)

    def fork(self, policy: Policy, response: ResponseModel | None = None) -> Life:
        """The same world and knowledge, another policy."""
        return Life(self.world.fork(), self.desk.fork(policy, response), self.rows, self.past)


class _Truth:
    """Holds the tick that is being served, so that the oracle can ask the world about it."""

    def __init__(self) -> None:
        self._world: World | None = None
        self._tick: Tick | None = None

    def watching(self, world: World, ticks: Iterator[Tick]) -> Iterator[Tick]:
        for tick in ticks:
            self._world, self._tick = world, tick
            yield tick

    def click(self, context: Context) -> np.ndarray:
        """The true chance of a click of every ad for every request of this tick."""
        assert self._world is not None, "an oracle is asked while a tick is served"
        assert self._tick is not None, "an oracle is asked while a tick is served"
        return self._world.truth(self._tick)[0]


def begin(stage: Stage, market: Market, scores: np.ndarray, chance: Chance) -> Life:
    """A world at the cut, served at random: nothing is known yet of who clicks on what.

    scores: float32 [S, K], the interest model's scores of all shoppers of stage.shop.histories for the ads.
    """
    shop, study = stage.shop, stage.shop.config.study
    past = shop.past
    features = stage.features(past)
    world = market.world(stage.book, chance.child("world"), shop.cut_s, study.days)
    clock = FixedClock(shop.cut_s * MICROSECONDS)
    desk = stage.desk(Random(), None, features, clock=clock, chance=chance.child("desk"))
    desk.log_fields = True
    desk.candidates.board.put(np.arange(len(past)), scores)
    rows = np.asarray([past.row(s) for s in market.subjects], dtype=np.int64)
    return Life(world, desk, rows, past)


def baseline(stage: Stage, life: Life, name: str, warm: Stretch) -> Life:
    """The life after the warm-up under one of BASELINES. Thompson knows what the warm-up's ads led to."""
    if name == "random":
        return life.fork(Random())
    if name == "popular":
        past = stage.shop.past
        sold = np.bincount(past.item[past.action == PURCHASE], minlength=len(stage.shop.items))
        return life.fork(Popular(sold[stage.book.item].astype(np.float64)))
    if name == "thompson":
        policy = BernoulliThompson(len(stage.book))
        policy.learn(warm.shown.ad, warm.shown.clicked)
        return life.fork(policy)
    assert name == "oracle", f"a baseline is one of {BASELINES}"
    fork = life.fork(Random())
    fork.desk.policy = Greedy(fork.truth.click, "oracle", needs_models=False)
    return fork


def ours(stage: Stage, life: Life, response: ResponseModel) -> Life:
    """The life after the warm-up under our policy and this response model."""
    return life.fork(Zhitou(gamma=stage.shop.config.study.gamma), response)
