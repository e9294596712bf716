"""Worlds whose truth is known: 34 items, 8 kinds of visitor, about 0.5 % clicks, a log of uniformly random items.

R = rows, K = items, V = kinds of visitor. Nothing here is looked at by an estimator except the log.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.evaluation.offpolicy import Expected, mrdr_weights
from zhitou.response.reward import LoggedActions, block_noise, rates_by

ITEMS, KINDS, CTR = 34, 8, 0.005
BLOCKS = 4
ITEM_SPREAD, KIND_SPREAD = 0.5, 0.3  # of log click rates: between items, and of an item between kinds of visitor
POLICIES = ("uniform", "popular", "personal", "greedy_fifth", "greedy_half")


@dataclass(frozen=True)
class World:
    """rate: float64 [V, K], the true click rates; every kind of visitor is as frequent."""

    rate: np.ndarray

    def truth(self, policy: np.ndarray) -> float:
        """What a policy (float64 [V, K]) earns a decision."""
        return float((policy * self.rate).sum(1).mean())

    def bound(self, policy: np.ndarray, rows: int) -> float:
        """The least relative standard error that an unbiased estimate from so many uniform rows can have.

        The efficient variance is E[w² p (1 - p)] + the spread of the policy's value between kinds, over rows.
        """
        weights = policy * ITEMS
        noise = (weights**2 * self.rate * (1 - self.rate)).mean()
        spread = np.var((policy * self.rate).sum(1))
        return float(np.sqrt((noise + spread) / rows)) / self.truth(policy)


@dataclass(frozen=True)
class Log:
    """kind, item: int32 [R]; reward: float64 [R]. Each item was drawn with propensity 1 / 34."""

    kind: np.ndarray
    item: np.ndarray
    reward: np.ndarray

    def weights(self, policy: np.ndarray) -> np.ndarray:
        """float64 [R]."""
        return policy[self.kind, self.item] * ITEMS


def draw_world(rng: np.random.Generator) -> World:
    """Another shop: items of other appeal, to each kind of visitor a little differently."""
    appeal = rng.normal(0, ITEM_SPREAD, ITEMS) + rng.normal(0, KIND_SPREAD, (KINDS, ITEMS))
    rate = CTR * np.exp(appeal)
    return World(rate * CTR / rate.mean())


def draw_log(world: World, rows: int, rng: np.random.Generator) -> Log:
    """So many uniformly random decisions, in time's order."""
    cell = rng.integers(0, KINDS * ITEMS, rows, dtype=np.int32)
    clicked = rng.random(rows, dtype=np.float32) < world.rate.ravel()[cell]
    return Log(cell // ITEMS, cell % ITEMS, clicked.astype(np.float64))


def draw_policy(name: str, world: World, rng: np.random.Generator) -> np.ndarray:
    """float64 [V, K], of one of POLICIES, as learnt from a log of its own of 200,000 rows.

    popular: in proportion to the items' clicks, the same for everybody (about what Thompson sampling shows);
    personal: half of that and half in proportion to what each kind clicks; greedy_fifth, greedy_half: uniform, but
    one time in five (two) the item with most clicks of this kind.
    """
    past = draw_log(world, 200_000, rng)
    clicks = np.zeros((KINDS, ITEMS))
    np.add.at(clicks, (past.kind, past.item), past.reward)
    everybody = np.tile((clicks.sum(0) + 5) / (clicks.sum() + 5 * ITEMS), (KINDS, 1))
    own = (clicks + 10 * everybody) / (clicks + 10 * everybody).sum(1, keepdims=True)
    uniform = np.full((KINDS, ITEMS), 1 / ITEMS)
    best = np.eye(ITEMS)[own.argmax(1)]
    policies = uniform, everybody, (everybody + own) / 2, 0.8 * uniform + 0.2 * best, 0.5 * uniform + 0.5 * best
    return dict(zip(POLICIES, policies, strict=True))[name]


def expectations(log: Log, policy: np.ndarray, robust: bool = False, past_only: bool = False) -> Expected:
    """Of click rates per kind and item, fitted on the blocks before, the first block's on the second.

    The same as zhitou.response.reward.cross_fit with rates_by, but each model is asked once a cell instead of 34
    times a row. robust: fitted with the weights of MRDR.
    """
    rows = len(log.item)
    fit = rates_by(lambda context: context[:, 0].astype(np.int64), KINDS)
    given = LoggedActions(np.arange(rows), log.kind[:, None].astype(np.float32), log.item, log.reward, ITEMS)
    weight = mrdr_weights(log.weights(policy), np.full(rows, 1 / ITEMS)) if robust else np.ones(rows)
    cells = np.repeat(np.arange(KINDS), ITEMS)[:, None].astype(np.float32), np.tile(np.arange(ITEMS), KINDS)
    logged, target = np.zeros(rows), np.zeros(rows)
    cuts = [rows * block // BLOCKS for block in range(BLOCKS + 1)]
    for block in range(1 if past_only else 0, BLOCKS):
        taught = slice(0, cuts[block]) if block else slice(cuts[1], cuts[2])
        these = slice(cuts[block], cuts[block + 1])
        table = fit(given.select(taught), weight[taught]).expected(*cells).reshape(KINDS, ITEMS)
        logged[these] = table[log.kind[these], log.item[these]]
        target[these] = (policy * table).sum(1)[log.kind[these]]
    return Expected(logged, target, block_noise(BLOCKS, past_only))


def null_policy(world: World, spiky: bool, rng: np.random.Generator) -> np.ndarray:
    """float64 [V, K], other than uniform but exactly as good, for every kind of visitor.

    spiky: half of it on two items of each kind, one better than its kind's mean, one worse, mixed to the mean; else
    every item's chance is moved a little at random.
    """
    uniform = np.full((KINDS, ITEMS), 1 / ITEMS)
    mean = world.rate.mean(1)
    if spiky:
        mixed = np.zeros((KINDS, ITEMS))
        for kind, rate in enumerate(world.rate):
            good, bad = (rng.choice(np.flatnonzero(side)) for side in (rate > mean[kind], rate < mean[kind]))
            share = (mean[kind] - rate[bad]) / (rate[good] - rate[bad])
            mixed[kind, [good, bad]] = share, 1 - share
        return 0.5 * uniform + 0.5 * mixed
    moved = rng.normal(0, 1, (KINDS, ITEMS))
    moved -= moved.mean(1, keepdims=True)
    off = world.rate - mean[:, None]
    moved -= off * ((moved * off).sum(1) / (off * off).sum(1))[:, None]
    return uniform * (1 + 0.9 * moved / np.abs(moved).max())
