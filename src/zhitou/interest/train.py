"""Training the interest model on behaviour, and bringing it up to date with newer behaviour."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ModelError
from zhitou.evaluation.next_basket import measure, next_basket
from zhitou.events.histories import Histories
from zhitou.interest.batches import Example, Examples
from zhitou.interest.config import InterestConfig
from zhitou.interest.model import Decoder
from zhitou.interest.predict import Interest
from zhitou.interest.quick_softmax import fast_here, quick_loss
from zhitou.interest.sampled import FULL_ITEMS, Negatives, sampled_loss
from zhitou.interest.shares import chosen_shares, with_shares
from zhitou.interest.size import DRAWS
from zhitou.interest.softmax import Sparse, next_step_loss
from zhitou.interest.tokens import FINEST, Vocabulary, typical_gap_s
from zhitou.learning.fit import FitReport, Weighted, fit
from zhitou.learning.progress import Progress
from zhitou.learning.transitions import Transitions

VALID_POSITIONS = 3_000
VALID_SUBJECTS = 600
VALID_SUBJECTS_LEAST = 100  # with fewer, a ranking metric is too coarse to stop on
VALID_BACK_LEAST = 0.5
SAID = 5_000  # subjects from whom the usual size of what is said of nearby items is taken
LATER_STRENGTH = 1.3  # of the term for nearby items where it is not learnt: what fits visits best if it stands alone


def fit_interest(
    histories: Histories,
    items: ItemTable,
    config: InterestConfig,
    chance: Chance,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Interest:
    """A model of these histories. `folder` keeps checkpoints of the training, so that it can be taken up again.

    The last `valid_share` of the time line is held back to choose the number of epochs, and shares if they are to be
    chosen; with `refit` the model is then trained anew on everything with these. Refused (ModelError): histories
    without any event.
    """
    if not len(histories.time_s):
        raise ModelError("expected behaviour to learn from, got no event; check the mapping and the consent")
    start_s, end_s = int(histories.time_s.min()), int(histories.time_s.max())
    cut_s = end_s - round(config.valid_share * (end_s - start_s))
    past = histories.before(cut_s)
    if config.valid_share and len(past.time_s):
        interest, report = _train(past, histories, cut_s, items, config, chance, _inside(folder, "choose"), progress)
        if config.choose_shares:
            taste, popular = chosen_shares(interest, histories, cut_s, chance.stream("interest-shares"))
            interest = with_shares(interest, taste, popular)
            config = replace(config, taste_share=taste, popular_share=popular)
        if not config.refit:
            return _with_all_counts(interest, histories)
        epochs = replace(config.fit, epochs=report.best_epoch + 1)
        config = replace(config, fit=epochs)
    return _train(histories, None, 0, items, config, chance, _inside(folder, "all"), progress)[0]


def refresh(
    interest: Interest,
    histories: Histories,
    chance: Chance,
    *,
    since_s: int,
    epochs: int = 1,
    lr_share: float = 0.25,
    progress: Progress | None = None,
) -> Interest:
    """The same model after some more steps on the behaviour at `since_s` (Unix seconds) or later; a new object.

    Nothing is forgotten of what the model knows of items; those that became frequent since keep their content
    embedding until the next full training.
    """
    config = replace(
        interest.config,
        fit=replace(
            interest.config.fit, epochs=epochs, lr=interest.config.fit.lr * lr_share, warmup=5, patience=None
        ),
    )
    module = Decoder(interest.config, interest.vocabulary)
    module.load_state_dict(interest.module.state_dict())
    near = None if config.nearby is None else Transitions.learn(histories, len(interest.vocabulary), config.nearby)
    examples = _examples(histories, interest.vocabulary, config, since_s, near)
    if len(examples.subjects):
        _fit(module, examples, None, config, chance.child("refresh"), None, progress)
    learnt = {**interest.learnt, "refreshed": _learnt(histories.since(since_s))}
    return Interest(module.eval(), interest.vocabulary, interest.config, interest.items, learnt, near)


def _train(
    past: Histories,
    whole: Histories | None,
    cut_s: int,
    items: ItemTable,
    config: InterestConfig,
    chance: Chance,
    folder: Path | None,
    progress: Progress | None,
) -> tuple[Interest, FitReport]:
    vocabulary = Vocabulary.build(past, items, config.min_count, config.words)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(chance.number("interest-start") % 2**63)
        module = Decoder(config, vocabulary)
    module.gap_s.fill_(typical_gap_s(past))
    if len(vocabulary.frequent) > FULL_ITEMS:
        module.items.own.sparse = module.items.own_bias.sparse = True
    near = None if config.nearby is None else Transitions.learn(past, len(items), config.nearby)
    examples = _examples(past, vocabulary, config, None, near)
    _standardise(module, examples, chance)
    if near is not None:
        _start_nearby(module, past, near, examples)
    validate = None if whole is None else _validation(whole, vocabulary, config, items, cut_s, chance, near)
    report = _fit(module, examples, validate, config, chance, folder, progress)
    curve = [[result.epoch, result.train, result.valid] for result in report.curve]
    learnt = {**_learnt(past), "curve": curve, "best_epoch": report.best_epoch, "steps": report.steps}
    return Interest(module, vocabulary, config, items, learnt, near), report


def _examples(
    histories: Histories,
    vocabulary: Vocabulary,
    config: InterestConfig,
    since_s: int | None,
    near: Transitions | None,
    apart: bool = True,
) -> Examples:
    """Examples of these histories, with negatives drawn where the catalogue is too large to rank."""
    negatives = _negatives(vocabulary)
    near = None if config.nearby_later else near
    return Examples(histories, vocabulary, config, since_s=since_s, negatives=negatives, near=near, apart=apart)


def _negatives(vocabulary: Vocabulary) -> Negatives | None:
    """Where the softmax over all frequent items is too dear, what is drawn of them."""
    if len(vocabulary.frequent) <= FULL_ITEMS:
        return None
    return Negatives(vocabulary.count, DRAWS, among=vocabulary.own > 0)


def _fit(
    module: Decoder,
    examples: Examples,
    validate: Callable[[torch.nn.Module], float] | None,
    config: InterestConfig,
    chance: Chance,
    folder: Path | None,
    progress: Progress | None,
) -> FitReport:
    return fit(
        module,
        batches=lambda epoch, rng: examples.epoch(rng),
        loss=part_loss,
        split=lambda plan, parts: plan.split(parts),
        validate=validate,
        config=config.fit,
        chance=chance,
        folder=folder,
        progress=progress,
    )


def part_loss(module: torch.nn.Module, plan: Any) -> Weighted:
    """The loss of a batch, or of a share of one (a plan of Examples.epoch), and what it counts for beside others."""
    example = plan.build()
    return Weighted(example_loss(module, example), example.weight)


def example_loss(module: torch.nn.Module, example: Example) -> Tensor:
    """Mean cross entropy of the next step's items over the moments of this example, a scalar."""
    assert isinstance(module, Decoder)
    tokens = example.tokens
    table, bias = module.items(tokens.items, example.hidden)
    states = module.states(tokens, table).flatten(0, 1).index_select(0, example.cell)
    target = (example.target_moment, example.target_column, example.target_weight)
    query = module.queries(states, example.wait)
    vectors = (table, *(module.group_tables() if len(module.memories) > 1 else ()))[: len(module.memories)]
    none = torch.zeros(0, dtype=torch.int64)
    own, *groups = [
        (moment, thing, memory(features, moment, thing, states, of))
        for memory, of, (moment, thing, features) in zip(module.memories, vectors, example.memories, strict=True)
    ] or [(none, none, torch.zeros(0))]
    if module.nearby is not None and example.near is not None:
        moment, column, score = example.near
        own = _joined(own, (moment, column, module.nearby(moment, score, states)))
    of_group = (module.items.content_code[:, FINEST], module.items.line_of)
    pairs = tuple((group, of[tokens.items]) for group, of in zip(groups, of_group[: len(groups)], strict=True))
    if example.log_weight is not None:
        return sampled_loss(query, table, bias, own, target, example.log_weight, pairs)
    if not pairs and module.config.bfloat16 and fast_here():
        return quick_loss(query, table, bias, own, target)
    return next_step_loss(query, table, bias, own, target, pairs)


def _joined(one: Sparse, two: Sparse) -> Sparse:
    """The sum of two sparse tables, in order, each cell once."""
    if not len(one[0]):
        return two
    column = torch.cat([one[1], two[1]])
    width = int(column.max()) + 1
    cells, place = torch.unique(torch.cat([one[0], two[0]]) * width + column, return_inverse=True)
    summed = torch.zeros(len(cells)).index_add(0, place, torch.cat([one[2], two[2]]))
    return cells // width, cells % width, summed


def _validation(
    whole: Histories,
    vocabulary: Vocabulary,
    config: InterestConfig,
    items: ItemTable,
    cut_s: int,
    chance: Chance,
    near: Transitions | None,
) -> Callable[[torch.nn.Module], float]:
    """1 - NDCG@10 of first steps after the cut; the cross entropy of all steps after it where few subjects come
    back, as in a stream of sessions: the first click of a stranger says nothing of how histories are read."""
    task = next_basket(whole, cut_s)
    back = np.diff(task.past.offsets) > 0
    if back.sum() < VALID_SUBJECTS_LEAST or back.mean() < VALID_BACK_LEAST:
        return _cross_entropy(_examples(whole, vocabulary, config, cut_s, near, apart=False), chance)
    rows = chance.stream("interest-valid").permutation(len(task))[:VALID_SUBJECTS]
    chosen = np.searchsorted(whole.subjects, task.past.subjects[np.sort(rows)])
    sample = next_basket(whole.select(chosen), cut_s)

    def validate(module: torch.nn.Module) -> float:
        assert isinstance(module, Decoder)
        interest = Interest(module, vocabulary, config, items, near=near)
        found = measure(lambda histories: interest.scores(histories, at_s=cut_s), sample)
        return 1.0 - float(found.values["ndcg@10"].mean())

    return validate


def _cross_entropy(examples: Examples, chance: Chance) -> Callable[[torch.nn.Module], float]:
    """Mean cross entropy on a fixed sample of the steps that `examples` predicts."""
    plans = examples.epoch(chance.stream("interest-sample"))
    kept, count = [], 0
    for plan in plans:
        if count < VALID_POSITIONS:
            kept.append(examples.example(plan.part, None))
            count += len(kept[-1].cell)

    def validate(module: torch.nn.Module) -> float:
        sums = [float(example_loss(module, e)) * len(e.cell) for e in kept]
        return sum(sums) / max(count, 1)

    return validate


def _standardise(module: Decoder, examples: Examples, chance: Chance) -> None:
    """Set mean and scale of the memory's features from a sample of the training moments."""
    plans = examples.epoch(chance.stream("interest-scale"))[:8]
    samples = [plan.build().memories for plan in plans]
    for number, memory in enumerate(module.memories):
        features = torch.cat([sample[number][2] for sample in samples])
        if len(features) > 1:
            memory.mean.copy_(features.mean(0))
            memory.scale.copy_(1.0 / features.std(0).clamp_min(0.05))


def _start_nearby(module: Decoder, past: Histories, near: Transitions, examples: Examples) -> None:
    """Set the floor of what is said of nearby items to the median of what is said, and, where it is not learnt,
    its strength."""
    nearby, config = module.nearby, module.config
    assert nearby is not None, "there are counts only for a model with a term for them"
    said = near.scores(past.select(np.arange(min(len(past), SAID)))) if examples.near is None else examples.near
    if said.nnz:
        nearby.log_floor.data.fill_(float(np.log(np.median(said.data))) / config.nearby_speed)
    if config.nearby_later:
        nearby.strength.data.fill_(float(np.log(np.expm1(LATER_STRENGTH))) / config.nearby_speed)


def _with_all_counts(interest: Interest, histories: Histories) -> Interest:
    """The same model; if its counts were no part of the training, with those of all these histories."""
    config, near = interest.config, interest.near
    if near is None or not config.nearby_later:
        return interest
    near = Transitions.learn(histories, len(near), near.config)
    return Interest(interest.module, interest.vocabulary, config, interest.items, interest.learnt, near)


def _learnt(histories: Histories) -> dict[str, Any]:
    """What was learnt from: how much, until when (Unix seconds), and a SHA-256 over the events' arrays."""
    digest = hashlib.sha256()
    for part in (histories.offsets, histories.item, histories.action, histories.time_s, histories.step):
        digest.update(np.ascontiguousarray(part).tobytes())
    return {
        "subjects": len(histories),
        "events": len(histories.item),
        "until_s": int(histories.time_s.max(initial=0)),
        "data_sha256": digest.hexdigest(),
    }


def _inside(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name
