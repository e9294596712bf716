"""Tables of which few rows are touched: what is not touched is not moved, and nothing is lost by waiting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from zhitou.core.chance import Chance
from zhitou.learning.fit import FitConfig, fit
from zhitou.learning.rows import RowAdagrad, RowMean, clip_gradients, row_parameters

ROWS = 6


def _touch(table: nn.Embedding, rows: list[int], slope: float) -> None:
    """Leave the gradient `slope` in each cell of these rows, once per mention."""
    table.weight.grad = None
    (table(torch.tensor(rows)).sum() * slope).backward()


def test_a_row_steps_by_its_gradient_over_the_root_of_its_own_past() -> None:
    """Row 1 has gradients 3 and 4 in both cells: steps of lr * 3 / sqrt(9) and lr * 4 / sqrt(9 + 16)."""
    table = nn.Embedding(ROWS, 2, sparse=True)
    nn.init.zeros_(table.weight)
    optimizer = RowAdagrad([table.weight], lr=0.1)
    for slope in (3.0, 4.0):
        _touch(table, [1], slope)
        optimizer.step()
    expected = torch.zeros(ROWS, 2)
    expected[1] = -0.1 * (1 + 4 / 5)
    torch.testing.assert_close(table.weight.detach(), expected)


def test_a_row_mentioned_twice_takes_one_step_of_the_sum() -> None:
    once, twice = nn.Embedding(ROWS, 1, sparse=True), nn.Embedding(ROWS, 1, sparse=True)
    for table, rows, slope in ((once, [2], 6.0), (twice, [2, 2], 3.0)):
        nn.init.zeros_(table.weight)
        _touch(table, rows, slope)
        RowAdagrad([table.weight], lr=0.1).step()
    assert torch.equal(once.weight, twice.weight)


def test_on_tables_one_wide_it_is_torchs_adagrad() -> None:
    tables = [nn.Embedding(ROWS, 1, sparse=sparse) for sparse in (True, False)]
    for table in tables:
        nn.init.ones_(table.weight)
    optimizers = RowAdagrad([tables[0].weight], lr=0.1), torch.optim.Adagrad([tables[1].weight], lr=0.1, eps=1e-20)
    for rows in ([0, 3], [3, 5, 3], [1]):
        for table, optimizer in zip(tables, optimizers, strict=True):
            table.weight.grad = None
            table(torch.tensor(rows)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(tables[0].weight, tables[1].weight)


def test_gradients_of_rows_are_clipped_with_all_others() -> None:
    """Norms 3 * 2 and 8 make 10; clipped to 5 each is halved."""
    module = nn.ModuleDict({"table": nn.Embedding(ROWS, 4, sparse=True), "line": nn.Linear(1, 1, bias=False)})
    _touch(module["table"], [2], 3.0)
    module["line"].weight.grad = torch.tensor([[8.0]])
    clip_gradients(module, row_parameters(module), 5.0)
    torch.testing.assert_close(module["table"].weight.grad.to_dense()[2], torch.full((4,), 1.5))
    assert float(module["line"].weight.grad) == pytest.approx(4.0)


def test_the_running_mean_of_rows_is_that_of_every_step_though_few_are_touched() -> None:
    rng = np.random.default_rng(2)
    table = nn.Embedding(ROWS, 3, sparse=True)
    plain = table.weight.detach().clone()
    means = {"table": plain.clone()}
    mean = RowMean({"table": table.weight}, means)
    optimizer = RowAdagrad([table.weight], lr=0.3)
    for step in range(30):
        _touch(table, rng.integers(0, ROWS, 1).tolist(), float(rng.normal()))
        touched = mean.before()
        optimizer.step()
        keep = min(0.9, (1 + step) / (10 + step))
        mean.after(touched, keep)
        plain.lerp_(table.weight.detach(), 1 - keep)
    mean.show()
    torch.testing.assert_close(table.weight.detach(), plain)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_training_touches_the_rows_of_its_batches_and_no_others(average) -> None:
    module = nn.Embedding(ROWS, 2, sparse=True)
    nn.init.ones_(module.weight)
    report = fit(
        module,
        batches=lambda epoch, rng: [torch.tensor([0, 2]), torch.tensor([2])],
        loss=lambda m, batch: m(batch).square().sum(),
        validate=None,
        config=FitConfig(epochs=2, average=average, warmup=0),
        chance=Chance(1),
    )
    assert report.steps == 4
    moved = (module.weight.detach() != 1).all(dim=1)
    assert moved.tolist() == [True, False, True, False, False, False]
