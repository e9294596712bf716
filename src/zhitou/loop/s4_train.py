"""Stage 4: the large model learns interest from behaviour, and is held against popular, recent and item-kNN."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.assembly import Shop
from zhitou.evaluation.next_basket import Measured, NextBasket, measure, next_basket
from zhitou.evaluation.ranking import Interval, interval, paired_difference
from zhitou.interest.predict import Interest
from zhitou.interest.train import fit_interest
from zhitou.learning.baselines import ItemKnnBaseline, PopularBaseline, RandomBaseline, RecentBaseline
from zhitou.learning.parallel import workers
from zhitou.learning.progress import Terminal
from zhitou.loop.narrator import Narrator
from zhitou.strategy.ports import InterestModel

METRICS = ("recall@10", "ndcg@10")


@dataclass(frozen=True)
class Standing:
    """One model's figures on the next basket: metric -> interval, for all items and for new ones; and its margin
    over the best baseline (paired by shopper)."""

    name: str
    everything: dict[str, Interval]
    new: dict[str, Interval]


@dataclass(frozen=True)
class Trained:
    """The interest model, the comparison, and examples of interest in words."""

    interest: Interest
    standings: tuple[Standing, ...]
    margins: dict[str, tuple[str, Interval]]
    shoppers: int
    examples: tuple[tuple[str, tuple[Any, ...]], ...]
    curve: tuple[tuple[int, float, float | None], ...] = ()


def learn(narrator: Narrator, shop: Shop, folder: Path, *, resume: bool = False) -> Trained:
    """Train on everything before the cut; judge on each shopper's first basket after it.

    resume: take up a training that was stopped where its last checkpoint stands, instead of starting anew.
    """
    checkpoints = folder.with_name(folder.name + "-checkpoints")
    if not resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    with narrator.stage("train", "the interest model: a decoder over behaviour; baselines beside it"):
        past = shop.past
        narrator.fact(f"{len(past.item):,} acts of {len(past):,} shoppers before the cut; refusers are not read")
        interest = fit_interest(
            past, shop.items, shop.config.interest, shop.chance.child("interest"), checkpoints, Terminal()
        )
        if not workers().first:  # the first one judges and writes
            return Trained(interest, (), {}, 0, (), _curve(interest))
        task = next_basket(shop.histories, shop.cut_s)
        standings, margins = compare(shop, interest, task)
        interest.save(folder, {"cut_s": shop.cut_s, "judged_on": len(task), "metrics": _plain(standings[-1])})
        narrator.table(
            f"next basket of {len(task):,} shoppers (first one after the cut; 95 % intervals)",
            ["model", *(f"{m} {scope}" for scope in ("all", "new") for m in METRICS)],
            [
                [s.name, *(_short(s.everything[m]) for m in METRICS), *(_short(s.new[m]) for m in METRICS)]
                for s in standings
            ],
        )
        for name, (baseline, margin) in margins.items():
            verdict = "above" if margin.low > 0 else "below" if margin.high < 0 else "not distinguishable from"
            narrator.fact(
                f"{name}: the interest model is {verdict} the best baseline ({baseline}): {_signed(margin)}"
            )
        narrator.fact(f"wrote {folder}/")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Trained(interest, standings, margins, len(task), _examples(interest, past), _curve(interest))


def compare(
    shop: Shop, interest: Interest, task: NextBasket
) -> tuple[tuple[Standing, ...], dict[str, tuple[str, Interval]]]:
    """The interest model beside random, popular, recent and item-kNN on the same task."""
    past, chance = shop.past, shop.chance.child("baselines")
    baselines = (RandomBaseline(), PopularBaseline(), RecentBaseline(), ItemKnnBaseline())
    models: list[InterestModel] = [*(b.fit(past, shop.items, chance.child(b.name)) for b in baselines), interest]
    found: dict[str, dict[bool, Measured]] = {
        m.name: {new: measure(m.scores, task, 10, new=new) for new in (False, True)} for m in models
    }
    standings = tuple(
        Standing(
            name,
            *(
                {m: interval(by[new].values[m], chance.stream("bootstrap", name, m)) for m in METRICS}
                for new in (False, True)
            ),
        )
        for name, by in found.items()
    )
    margins = {}
    for new in (False, True):
        for metric in METRICS:
            ours = found[interest.name][new].values[metric]
            best = max((b.name for b in baselines), key=lambda n: float(found[n][new].values[metric].mean()))
            margin = paired_difference(ours, found[best][new].values[metric], chance.stream("margin", metric))
            margins[f"{metric} {'new' if new else 'all'}"] = (best, margin)
    return standings, margins


def _curve(interest: Interest) -> tuple[tuple[int, float, float | None], ...]:
    """(epoch, training loss, validation) of the training whose weights the model has."""
    return tuple((epoch, train, valid) for epoch, train, valid in interest.learnt.get("curve", ()))


def _examples(interest: Interest, past: Any, count: int = 4) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    """Some shoppers' interest in words: those with histories of ordinary length."""
    sizes = np.diff(past.offsets)
    rows = np.flatnonzero((sizes > np.quantile(sizes, 0.4)) & (sizes < np.quantile(sizes, 0.6)))
    rows = rows[:: max(1, len(rows) // count)][:count] if len(rows) else np.flatnonzero(sizes > 0)[:count]
    if not len(rows):
        return ()
    tags = interest.tags(past.select(rows))
    return tuple((str(past.subjects[row]), tuple(found)) for row, found in zip(rows, tags, strict=True))


def _short(value: Interval) -> str:
    return f"{value.mean:.4f} ±{(value.high - value.low) / 2:.4f}"


def _signed(value: Interval) -> str:
    return f"{value.mean:+.4f} [{value.low:+.4f}, {value.high:+.4f}]"


def _plain(standing: Standing) -> dict[str, Any]:
    scopes = {"all": standing.everything, "new": standing.new}
    return {s: {m: [v.mean, v.low, v.high] for m, v in by.items()} for s, by in scopes.items()}
