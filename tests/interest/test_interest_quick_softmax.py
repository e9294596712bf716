"""The fast softmax says what the exact one says, to the precision of bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zhitou.interest import quick_softmax
from zhitou.interest.quick_softmax import _exp_rows, quick_loss
from zhitou.interest.softmax import next_step_loss


def _case(moments: int = 70, items: int = 300, width: int = 16):
    make = torch.Generator().manual_seed(3)
    query, table = (torch.randn(n, width, generator=make) for n in (moments, items))
    bias = torch.randn(items, generator=make)
    moment = torch.arange(moments).repeat_interleave(3)
    column = torch.stack([torch.randperm(items, generator=make)[:3].sort().values for _ in range(moments)]).flatten()
    own = (moment, column, torch.randn(len(moment), generator=make))
    target = (torch.arange(moments), column[::3].clone(), torch.full((moments,), 1 / moments))
    return query, table, bias, own, target


def _gradients(loss, query, table, bias, own, target):
    leaves = [part.clone().requires_grad_() for part in (query, table, bias, own[2])]
    value = loss(*leaves[:3], (own[0], own[1], leaves[3]), target)
    value.backward()
    return float(value.detach()), [leaf.grad for leaf in leaves]


def test_loss_and_gradients_are_those_of_the_exact_softmax_to_one_percent() -> None:
    case = _case()
    exact, exact_grads = _gradients(lambda *a: next_step_loss(*a, ()), *case)
    quick, quick_grads = _gradients(quick_loss, *case)
    assert quick == pytest.approx(exact, rel=2e-3)
    for one, two in zip(quick_grads, exact_grads, strict=True):
        assert (one - two).norm() < 0.01 * two.norm()


def test_a_batch_in_blocks_is_the_batch_in_one(monkeypatch) -> None:
    case = _case(moments=200)
    whole, whole_grads = _gradients(quick_loss, *case)
    monkeypatch.setattr(quick_softmax, "BLOCK_BYTES", 1)  # the least block then has 64 moments
    parts, parts_grads = _gradients(quick_loss, *case)
    assert parts == pytest.approx(whole, rel=1e-5)
    for one, two in zip(parts_grads, whole_grads, strict=True):
        assert (one - two).norm() < 0.003 * two.norm()


def test_the_exponential_is_right_to_a_bit_of_bfloat16() -> None:
    logits = torch.linspace(-60, 0, 1000).bfloat16()[None]
    bits = logits.clone().view(torch.int16).numpy()
    _exp_rows(bits, np.zeros(1, dtype=np.float32))
    found = torch.from_numpy(bits).view(torch.bfloat16).double()
    assert (found / logits.double().exp() - 1).abs().max() < 2**-7


def test_two_threads_give_the_bytes_of_one() -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            logits = torch.randn(64, 500, generator=torch.Generator().manual_seed(1)).bfloat16()
            quick_softmax._exponentials(logits, logits.amax(1).float())
            found.append(logits)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_without_own_items_nothing_is_added() -> None:
    query, table, bias, _, target = _case()
    none = torch.zeros(0, dtype=torch.int64)
    own = (none, none, torch.zeros(0))
    exact = torch.nn.functional.cross_entropy(query @ table.T + bias, target[1])
    assert float(quick_loss(query, table, bias, own, target)) == pytest.approx(float(exact), rel=2e-3)


def test_own_items_may_stand_in_any_order_within_a_moment() -> None:
    query, table, bias, own, target = _case()
    backwards = torch.arange(len(own[0])).view(-1, 3).flip(1).flatten()  # of three a moment the last one first
    turned = tuple(part[backwards] for part in own)
    _, straight_grads = _gradients(quick_loss, query, table, bias, own, target)
    _, turned_grads = _gradients(quick_loss, query, table, bias, turned, target)
    assert torch.equal(turned_grads[3], straight_grads[3][backwards])
    for one, two in zip(turned_grads[:3], straight_grads[:3], strict=True):
        assert torch.equal(one, two)
