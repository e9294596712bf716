"""Cross entropy over a catalogue too large to rank whole: each step ranks a sample of it, weighed so that the sum
over the sample has the expectation of the sum over everything. Meant for catalogues above `FULL_ITEMS`.

P = moments predicted, U = items ranked in this step, M = items of the catalogue, D = width, R = targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from zhitou.core.errors import ConfigError

FULL_ITEMS = 200_000  # up to so many items the softmax over all of them is affordable, and exact
CHUNK = 64

Sparse = tuple[Tensor, Tensor, Tensor]  # moment int64, column int64, value float32, each of one length


@dataclass(frozen=True)
class Ranked:
    """The items that a step ranks: int64 [U], ascending, and the log of what each counts for when it is there by
    chance alone, float32 [U]: -inf for an item that was not drawn and is there because somebody had it."""

    items: np.ndarray
    log_weight: np.ndarray

    def column(self, items: np.ndarray) -> np.ndarray:
        """int64: where these items, all of them among the ranked, stand in `items`."""
        return np.searchsorted(self.items, items)


class Negatives:
    """Draws the items that all moments of a step are ranked against.

    An item is drawn with the chance q: `uniform` of it spread evenly over the catalogue, the rest in proportion to
    its count to the `power`. Without an even share, items never seen would never be pushed down; without the other,
    few of the items that are hard to tell from the target would be drawn.
    """

    def __init__(
        self,
        count: np.ndarray,
        draws: int,
        *,
        among: np.ndarray | None = None,
        uniform: float = 0.5,
        power: float = 0.75,
    ) -> None:
        """count: int64 [M], how often each item was seen. draws: how many, with repetitions, a step takes. among:
        bool [M], the items that are ranked at all (None = every one).

        Refused (ConfigError): no draw at all, nothing to draw from, or an even share outside (0, 1]; at 0 some items
        had no chance.
        """
        if draws < 1 or not 0 < uniform <= 1 or power < 0:
            raise ConfigError(f"need draws >= 1, 0 < uniform <= 1, power >= 0; got {draws}, {uniform}, {power}")
        even = np.ones(len(count)) if among is None else among.astype(np.float64)
        if not even.any():
            raise ConfigError("expected items to draw from, got none; lower min_count")
        popular = even * (count > 0) * count.astype(np.float64) ** power
        self.draws = draws
        self.chance = even / even.sum()
        if popular.any():
            self.chance = uniform * self.chance + (1 - uniform) * popular / popular.sum()
        self._upto = np.cumsum(self.chance)
        self._last = np.flatnonzero(self.chance)[-1]

    def rank(self, seen: np.ndarray, rng: np.random.Generator) -> Ranked:
        """The items of `seen` (int64, any order, repetitions allowed) and a fresh draw.

        One draw falls into each of `draws` equal parts of the chance, so an item is drawn draws * q times in
        expectation, as with independent draws, and more evenly. The cost grows with `seen` and `draws`, not M.
        """
        spots = (np.arange(self.draws) + rng.random(self.draws)) / self.draws * self._upto[-1]
        drawn = np.minimum(np.searchsorted(self._upto, spots, side="right"), self._last)
        drawn, times = np.unique(drawn, return_counts=True)
        items = np.union1d(np.asarray(seen, dtype=np.int64), drawn)
        log_weight = np.full(len(items), -np.inf, dtype=np.float32)
        log_weight[np.searchsorted(items, drawn)] = np.log(times / (self.draws * self.chance[drawn]))
        return Ranked(items, log_weight)


def sampled_loss(
    query: Tensor,
    table: Tensor,
    bias: Tensor,
    own: Sparse,
    target: Sparse,
    log_weight: Tensor,
    groups: tuple[tuple[Sparse, Tensor], ...] = (),
) -> Tensor:
    """Estimate of softmax.next_step_loss over the whole catalogue from U of its items; same arguments but for:

    log_weight: float32 [U], see Ranked. For a moment with sure items S (its targets and its own) and logits s,

        log Z = log( sum over S of exp(s_j)  +  sum over drawn j not in S of exp(s_j + log_weight_j) )

    so what is known to be in the sum counts once, uncorrected, and is no negative of itself; everything else stands
    for the items that could have been drawn in its place. Z is unbiased, the loss up to 1 / draws. Correcting the
    target like a drawn item, as is common, is not: it is in the sum with certainty (Khrylchenko et al. 2025,
    arXiv 2507.09331; with one target this is their loss, their weight 1 - P(target) being in its gradient).
    """
    flat: list[Tensor] = []
    for pair, members in groups:
        flat += [*pair, members]
    return _Sampled.apply(query, table, bias, log_weight, *own, *target, *flat)  # type: ignore[no-any-return]


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, table, bias, log_weight, *flat):
        edges = torch.arange(0, len(query) + CHUNK, CHUNK, device=query.device).clamp_(max=len(query))
        sparse = [flat[0:3], flat[3:6], *(flat[k : k + 3] for k in range(6, len(flat), 4))]
        members = [flat[k] for k in range(9, len(flat), 4)]
        cuts = [torch.searchsorted(moment, edges).tolist() for moment, _, _ in sparse]
        grads = [torch.empty_like(query), torch.zeros_like(table), torch.zeros_like(bias)]
        values = [torch.empty_like(value) for _, _, value in sparse]
        total = query.new_zeros(())
        for n, (a, b) in enumerate(pairwise(edges.tolist())):
            if a < b:
                places = [slice(cut[n], cut[n + 1]) for cut in cuts]
                parts = [[t[place] for t in triple] for triple, place in zip(sparse, places, strict=True)]
                out = [value[place] for value, place in zip(values, places, strict=True)]
                total += _chunk(query[a:b], a, table, bias, log_weight, parts, members, grads, out)
        ctx.save_for_backward(*grads, values[0], *values[2:])
        return total

    @staticmethod
    def backward(ctx, grad):
        d_query, d_table, d_bias, d_own, *d_groups = ctx.saved_tensors
        out = [grad * d_query, grad * d_table, grad * d_bias, None, None, None, grad * d_own, None, None, None]
        for d_group in d_groups:
            out += [None, None, grad * d_group, None]
        return tuple(out)


def _chunk(part, first, table, bias, log_weight, sparse, members, grads, out):
    """Summed loss of the moments `part`, numbered from `first`; their gradients go into `grads` and `out`."""
    width = len(part)
    logits = torch.addmm(bias[:, None], table, part.T)  # [U, width]: adding a group to its items copies whole rows
    cells = logits.view(-1)
    at = [column * width + (moment - first) for moment, column, _ in sparse]
    own_at, want_at, group_at = at[0], at[1], at[2:]
    cells.index_add_(0, own_at, sparse[0][2])
    for (_, _, value), where, of in zip(sparse[2:], group_at, members, strict=True):
        dense = logits.new_zeros((int(of.max()) + 1) * width)
        kept = where < len(dense)  # things without any item in this step
        dense[where[kept]] = value[kept]
        logits.add_(dense.view(-1, width).index_select(0, of))
    weight = sparse[1][2]
    mass = logits.new_zeros(width).index_add_(0, sparse[1][0] - first, weight)
    sure = torch.cat([own_at, want_at])
    known = cells[sure]
    loss = -(known[len(own_at) :] * weight).sum()
    logits.add_(log_weight[:, None])
    cells[sure] = known
    peak = logits.amax(0, keepdim=True)
    logits.sub_(peak).exp_()
    total = logits.sum(0, keepdim=True)
    loss += ((total.log() + peak) * mass).sum()
    logits.mul_(mass / total)
    cells.index_add_(0, want_at, -weight)
    out[0].copy_(cells[own_at])
    for grad, where, of in zip(out[2:], group_at, members, strict=True):
        dense = logits.new_zeros(int(of.max()) + 1, width).index_add_(0, of, logits).view(-1)
        kept = where < len(dense)
        grad.zero_()[kept] = dense[where[kept]]
    grads[0][first : first + width] = logits.T @ table
    grads[1].addmm_(logits, part)
    grads[2] += logits.sum(1)
    return loss
