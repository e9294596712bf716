"""What is believed of taste and popularity is chosen on steps that nobody trained on."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.events.schema import KIND_CODE
from zhitou.interest.config import InterestConfig, visits
from zhitou.interest.predict import Interest
from zhitou.interest.served import Served
from zhitou.interest.shares import chosen_shares, later_steps, with_shares
from zhitou.interest.train import fit_interest
from zhitou.learning.fit import FitConfig

RING, LENGTH = 30, 5
MINUTE = 60


def _catalogue() -> ItemTable:
    rows = [
        {"item": f"i{n:02d}", "title": "", "category": "", "brand": "", "price_micros": 1, "currency": "EUR"}
        for n in range(RING)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _walks(subjects: int) -> Histories:
    """Visitor n begins at minute n and goes round the ring from place n, a thing a minute."""
    start = np.repeat(np.arange(subjects), LENGTH)
    step = np.tile(np.arange(LENGTH, dtype=np.int32), subjects)
    return Histories(
        subjects=np.asarray([f"s{n:03d}" for n in range(subjects)], dtype=object),
        offsets=np.arange(subjects + 1, dtype=np.int64) * LENGTH,
        item=((start * 7 + step) % RING).astype(np.int32),
        action=np.full(len(step), KIND_CODE["view"], dtype=np.int8),
        time_s=(start + step).astype(np.int64) * MINUTE,
        step=step,
        price_micros=np.full(len(step), -1, dtype=np.int64),
        quantity=np.ones(len(step), dtype=np.int64),
    )


def _config(**changes: object) -> InterestConfig:
    fit = FitConfig(epochs=2, lr=1e-2, warmup=2, patience=None)
    small = replace(visits(), width=16, heads=1, words=0, positions_batch=64, valid_share=0.3, fit=fit)
    return replace(small, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> Interest:
    return fit_interest(_walks(60), _catalogue(), _config(choose_shares=False, refit=False), Chance(1))


def test_one_later_step_of_each_visitor_is_asked_given_what_came_before_it() -> None:
    walks = _walks(40)
    past, target = later_steps(walks, 30 * MINUTE, np.random.default_rng(1))
    asked = [int(name[1:]) for name in past.subjects]
    # visitor n's last step is at minute n + 4, so 26 is the first who does anything at minute 30 or later
    assert asked == list(range(26, 40))
    known = np.diff(past.offsets)
    assert known.min() >= 1
    assert target.tolist() == [(n * 7 + k) % RING for n, k in zip(asked, known.tolist(), strict=True)]
    assert all(n + k >= 30 for n, k in zip(asked, known.tolist(), strict=True))


def test_taste_that_says_nothing_is_not_believed(trained) -> None:
    module = copy.deepcopy(trained.module)
    with torch.no_grad():
        for parameter in module.items.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 3)
    noise = Interest(module, trained.vocabulary, trained.config, trained.items, near=trained.near)
    taste, popular = chosen_shares(noise, _walks(60), 40 * MINUTE, np.random.default_rng(1))
    assert taste <= 0.1
    assert popular <= 0.1


def test_shares_reach_predictions_alike_with_and_without_torch(trained, tmp_path) -> None:
    model = with_shares(trained, 0.5, 0.25)
    model.save(tmp_path / "model")
    served = Served.load(tmp_path / "model", _catalogue())
    asked = _walks(5)
    np.testing.assert_allclose(served.scores(asked), model.scores(asked), atol=1e-3)
    none, taste, popular = (with_shares(trained, *s).scores(asked) for s in ((0, 0), (1, 0), (0, 1)))
    expected = none + 0.5 * (taste - none) + 0.25 * (popular - none)
    np.testing.assert_allclose(model.scores(asked), expected, atol=1e-4)


def test_counts_that_join_later_know_the_part_held_back(trained) -> None:
    """Visitor 59, who went from 23 to 24, was held back from the weights but not from the counts."""
    assert trained.near is not None
    assert trained.near.seen.sum() == 60 * LENGTH  # nobody was anywhere twice


def test_shares_cannot_be_chosen_on_nothing() -> None:
    with pytest.raises(ConfigError, match="held back"):
        _config(valid_share=0.0, choose_shares=True)
