"""The loss over a whole catalogue equals the plain formula, and so do its gradients."""

from __future__ import annotations

import torch

from zhitou.interest.softmax import CHUNK, next_step_loss


def _plain(query, table, bias, own, target, groups):
    logits = query @ table.T + bias
    logits = logits.index_put((own[0], own[1]), own[2], accumulate=True)
    for (moment, thing, value), members in groups:
        dense = torch.zeros(len(query), int(members.max()) + 1).index_put((moment, thing), value)
        logits = logits + dense[:, members]
    share = torch.log_softmax(logits, dim=1)
    return -(share[target[0], target[1]] * target[2]).sum()


def _inputs(moments: int, items: int = 7, width: int = 3):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, requires_grad=True)  # noqa: E731
    row = torch.arange(moments)
    own = (row.repeat_interleave(2), torch.tensor([1, 4]).repeat(moments), draw(2 * moments))
    weights = torch.rand(2 * moments, generator=generator)
    target = (row.repeat_interleave(2), torch.tensor([0, 4]).repeat(moments), weights)
    groups = (
        ((row, row % 3, draw(moments)), torch.tensor([0, 0, 1, 1, 2, 2, 2])),
        ((row, torch.full_like(row, 1), draw(moments)), torch.tensor([0, 1, 0, 1, 0, 1, 0])),
    )
    return draw(moments, width), draw(items, width), draw(items), own, target, groups


def _leaves(inputs):
    query, table, bias, own, _, groups = inputs
    return [query, table, bias, own[2], *(pair[2] for pair, _ in groups)]


def test_loss_and_gradients_equal_those_of_the_plain_formula() -> None:
    for moments in (1, 5, CHUNK, CHUNK + 1, 2 * CHUNK + 3):
        inputs = _inputs(moments)
        ours, plain = next_step_loss(*inputs), _plain(*inputs)
        torch.testing.assert_close(ours, plain)
        gradients = [torch.autograd.grad(loss * 2, _leaves(inputs)) for loss in (ours, plain)]
        for got, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_things_without_items_are_ignored() -> None:
    query, table, bias = torch.zeros(1, 2), torch.zeros(4, 2), torch.zeros(4)
    nothing = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    target = (torch.tensor([0]), torch.tensor([2]), torch.tensor([1.0]))
    stray = ((torch.tensor([0]), torch.tensor([9]), torch.tensor([5.0])), torch.tensor([0, 0, 1, 1]))
    loss = next_step_loss(query, table, bias, nothing, target, (stray,))
    torch.testing.assert_close(loss, torch.tensor(4.0).log())
