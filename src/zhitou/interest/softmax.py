"""Cross entropy over a whole catalogue without ever keeping the table of logits.

P = moments predicted, U = items ranked, D = width, Q = pairs (moment, thing), R = targets, G = things of a group.
The moments are worked through in chunks that stay in the cache; loss and gradients come out of the same pass.
Logits lie as [U, moments of the chunk], so that adding a group's logit to its items copies whole rows.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

CHUNK = 64

Sparse = tuple[Tensor, Tensor, Tensor]  # moment int64, column int64, value float32, each of one length


def next_step_loss(
    query: Tensor, table: Tensor, bias: Tensor, own: Sparse, target: Sparse, groups: tuple[tuple[Sparse, Tensor], ...]
) -> Tensor:
    """Weighted mean over moments of the cross entropy between the softmax over U items and the next step's items.

    query [P, D], table [U, D] and bias [U] make the logits. own: (moment, column, logit) is added to them, each
    (moment, column) at most once. target: (moment, column, weight); the weights of a moment sum to the weight of
    the moment, those of all moments to one. groups: for each grouping of the items, (moment, thing, logit) and the
    thing that each item counts as (int64 [U]): the logit is added to all its items. All are in order of moments.
    """
    flat: list[Tensor] = []
    for pair, members in groups:
        flat += [*pair, members]
    return _NextStep.apply(query, table, bias, *own, *target, *flat)  # type: ignore[no-any-return]


class _Ragged:
    """(moment, column, value) cut into chunks of moments."""

    def __init__(self, sparse: Sparse, edges: Tensor) -> None:
        self.moment, self.column, self.value = sparse
        self.edges = torch.searchsorted(self.moment, edges).tolist()

    def chunk(self, n: int, start: int, width: int) -> tuple[slice, Tensor]:
        """(where chunk n lies, flat positions of its cells in a table [columns, width])."""
        part = slice(self.edges[n], self.edges[n + 1])
        return part, self.column[part] * width + (self.moment[part] - start)


class _NextStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, table, bias, *flat):
        rows = len(query)
        edges = torch.arange(0, rows + CHUNK, CHUNK).clamp_(max=rows)
        own, target = _Ragged(flat[:3], edges), _Ragged(flat[3:6], edges)
        groups = [(_Ragged(flat[k : k + 3], edges), flat[k + 3]) for k in range(6, len(flat), 4)]
        grads = [torch.empty_like(query), torch.zeros_like(table), torch.zeros_like(bias)]
        logit_grads = [torch.empty_like(part.value) for part in (own, *(g for g, _ in groups))]
        mass = torch.zeros(rows).index_add_(0, target.moment, target.value)
        total = torch.zeros(())
        for n, (a, b) in enumerate(pairwise(edges.tolist())):
            if a < b:
                total += _chunk(n, a, b, query, table, bias, own, target, groups, mass[a:b], grads, logit_grads)
        ctx.save_for_backward(*grads, *logit_grads)
        return total

    @staticmethod
    def backward(ctx, grad):
        d_query, d_table, d_bias, d_own, *d_groups = ctx.saved_tensors
        out = [grad * d_query, grad * d_table, grad * d_bias, None, None, grad * d_own, None, None, None]
        for d_group in d_groups:
            out += [None, None, grad * d_group, None]
        return tuple(out)


def _chunk(n, a, b, query, table, bias, own, target, groups, mass, grads, logit_grads):
    """Summed loss of moments a to b, whose weights are `mass`; their part of the gradients is added to the others."""
    part, width = query[a:b], b - a
    logits = torch.addmm(bias[:, None], table, part.T)
    cells = logits.view(-1)
    own_part, own_at = own.chunk(n, a, width)
    cells.index_add_(0, own_at, own.value[own_part])
    places = []
    for group, members in groups:
        group_part, group_at = group.chunk(n, a, width)
        size = int(members.max()) + 1
        kept = group_at < size * width  # things without any item in this batch
        dense = torch.zeros(size, width)
        dense.view(-1)[group_at[kept]] = group.value[group_part][kept]
        logits.add_(dense.index_select(0, members))
        places.append((group_part, group_at, kept, size))
    want_part, want_at = target.chunk(n, a, width)
    weight = target.value[want_part]
    loss = -(cells[want_at] * weight).sum()
    peak = logits.amax(0, keepdim=True)
    logits.sub_(peak).exp_()
    total = logits.sum(0, keepdim=True)
    loss += ((total.log() + peak) * mass).sum()
    logits.mul_(mass / total)
    cells.index_add_(0, want_at, -weight)
    logit_grads[0][own_part] = cells[own_at]
    for grad, (_, members), (group_part, group_at, kept, size) in zip(logit_grads[1:], groups, places, strict=True):
        dense = torch.zeros(size, width).index_add_(0, members, logits)
        found = torch.zeros(len(kept))
        found[kept] = dense.view(-1)[group_at[kept]]
        grad[group_part] = found
    grads[0][a:b] = logits.T @ table
    grads[1].addmm_(logits, part)
    grads[2] += logits.sum(1)
    return loss
