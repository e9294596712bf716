"""Cross entropy over a whole catalogue without ever keeping the table of logits.

P = moments predicted, U = items ranked, D = width, Q = pairs (moment, own item), R = targets.
The rows are worked through in chunks that stay in the cache; loss and gradients come out of the same pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 64


def next_step_loss(
    query: Tensor, table: Tensor, bias: Tensor, pair: tuple[Tensor, Tensor, Tensor], target: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Mean over moments of the cross entropy between the softmax over U items and the items of the next step.

    query [P, D], table [U, D] and bias [U] make the logits. pair: (moment [Q], column [Q], logit [Q]) is added
    to them, each (moment, column) at most once, in order of moments. target: (moment [R], column [R], weight [R]),
    in order of moments; the weights of a moment sum to one.
    """
    return _NextStep.apply(query, table, bias, *pair, *target)  # type: ignore[no-any-return]


class _NextStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, table, bias, pair_row, pair_col, pair_logit, target_row, target_col, target_weight):
        rows = len(query)
        d_query, d_table = torch.empty_like(query), torch.zeros_like(table)
        d_bias, d_pair = torch.zeros_like(bias), torch.empty_like(pair_logit)
        edges = torch.arange(0, rows + CHUNK, CHUNK).clamp_(max=rows)
        pair_edge = torch.searchsorted(pair_row, edges).tolist()
        target_edge = torch.searchsorted(target_row, edges).tolist()
        bounds = edges.tolist()
        total = torch.zeros(())
        for n, (a, b) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            if a == b:
                continue
            own, want = slice(pair_edge[n], pair_edge[n + 1]), slice(target_edge[n], target_edge[n + 1])
            part = query[a:b]
            logits = torch.addmm(bias, part, table.T)
            flat, columns = logits.view(-1), len(table)
            own_at = (pair_row[own] - a) * columns + pair_col[own]
            want_at = (target_row[want] - a) * columns + target_col[want]
            flat.index_add_(0, own_at, pair_logit[own])
            total -= (flat[want_at] * target_weight[want]).sum()
            peak = logits.amax(1, keepdim=True)
            logits.sub_(peak).exp_()
            mass = logits.sum(1, keepdim=True)
            total += (mass.log() + peak).sum()
            logits.div_(mass * rows)
            flat.index_add_(0, want_at, target_weight[want] / -rows)
            d_pair[own] = flat[own_at]
            d_query[a:b] = logits @ table
            d_table.addmm_(logits.T, part)
            d_bias += logits.sum(0)
        ctx.save_for_backward(d_query, d_table, d_bias, d_pair)
        return total / rows

    @staticmethod
    def backward(ctx, grad):
        d_query, d_table, d_bias, d_pair = ctx.saved_tensors
        return grad * d_query, grad * d_table, grad * d_bias, None, None, grad * d_pair, None, None, None
