"""A network that mends what retrieval says of a layout: element queries that read the exemplars' boxes.

One module makes boxes (a conditional VAE's decoder), one reads the truth for the VAE half, one criticises for the
GAN half. Training is in `creative.layout_fit`; the numpy side, which decides, in `creative.layout_retrieval`.

B = layouts, P = places, E = exemplars of each, K = kinds, C = condition inputs, D = width, Z = width of the latent.
Letters at the end of a name are its axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

MOST_RANK = 25  # elements of one kind that have a number of their own


@dataclass(frozen=True)
class Condition:
    """What is known of B layouts before a box is drawn. kinds, ranks: int64 [B, P], the kind, and which of its kind
    this is. present: bool [B, P]. counts: float32 [B, K]. exemplars: float32 [B, E, P, 4] (x, y, width, height).
    borrowed: float32 [B, E, P]. distance: float32 [B, E]. anchor: float32 [B, P, 4], the boxes that retrieval
    chose."""

    kinds: Tensor
    ranks: Tensor
    present: Tensor
    counts: Tensor
    exemplars: Tensor
    borrowed: Tensor
    distance: Tensor
    anchor: Tensor

    def rows(self, chosen: Tensor) -> Condition:
        """These layouts, cut to as many places as the longest of them has."""
        longest = int(self.present[chosen].sum(1).max())
        return Condition(
            self.kinds[chosen, :longest],
            self.ranks[chosen, :longest],
            self.present[chosen, :longest],
            self.counts[chosen],
            self.exemplars[chosen, :, :longest],
            self.borrowed[chosen, :, :longest],
            self.distance[chosen],
            self.anchor[chosen, :longest],
        )


@dataclass(frozen=True)
class NetSize:
    """kinds: K. width: D, heads of attention and layers. latent: Z."""

    kinds: int
    width: int = 48
    heads: int = 4
    layers: int = 2
    latent: int = 8


class Block(nn.Module):
    """Self-attention over the elements, attention of each element to its own exemplars' boxes, a wider layer."""

    def __init__(self, width: int, heads: int, crossing: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.self_in, self.self_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.crossing = crossing
        if crossing:
            self.ask, self.offer = nn.Linear(width, width), nn.Linear(width, 2 * width)
            self.cross_out = nn.Linear(width, width)
        self.wider = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x_BPD: Tensor, mask_BP: Tensor, tokens_BPED: Tensor | None) -> Tensor:
        """float32 [B, P, D]. mask: bool, present. tokens: what each element's E exemplars look like."""
        B, P, D = x_BPD.shape
        h, d = self.heads, D // self.heads
        q, k, v = self.self_in(self.norms[0](x_BPD)).view(B, P, 3, h, d).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask_BP[:, None, None])
        x = x_BPD + self.self_out(seen.transpose(1, 2).reshape(B, P, D))
        if self.crossing:
            assert tokens_BPED is not None, "a crossing block reads exemplars"
            E = tokens_BPED.shape[2]
            q = self.ask(self.norms[1](x)).view(B * P, 1, h, d).transpose(1, 2)
            k, v = self.offer(tokens_BPED).view(B * P, E, 2, h, d).permute(2, 0, 3, 1, 4)
            read = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + self.cross_out(read.transpose(1, 2).reshape(B, P, D))
        return torch.as_tensor(x + self.wider(self.norms[2](x)))


class LayoutNet(nn.Module):
    """Boxes from a condition and a latent z, and how likely each exemplar is: the generator.

    A box is the anchor's, moved: its centre by at most `REACH` of the canvas, its size by at most a factor of 2 each
    way. At the start nothing moves, so that before its first step the network is retrieval.
    """

    REACH = 0.25

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        D = size.width
        self.size = size
        self.kind, self.rank = nn.Embedding(size.kinds, D), nn.Embedding(MOST_RANK, D)
        self.whole = nn.Linear(size.kinds, D)
        self.latent = nn.Linear(size.latent, D)
        self.anchor = nn.Linear(8, D)
        self.exemplar = nn.Sequential(nn.Linear(10, D), nn.GELU(), nn.Linear(D, D))
        self.blocks = nn.ModuleList([Block(D, size.heads, crossing=True) for _ in range(size.layers)])
        self.norm = nn.LayerNorm(D)
        self.move = nn.Linear(D, 4)
        self.match = nn.Linear(D, D)
        self.trust = nn.Linear(2, 1)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def forward(self, given: Condition, z_BZ: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(boxes [B, P, 4] as x, y, width, height; log-weights of the exemplars, not normalised: [B, E] for the whole
        layout, and [B, E, P] to be added for one place, equal within a kind)."""
        B, E, P, _ = given.exemplars.shape
        far = given.distance[:, :, None].expand(B, E, P)
        facts = torch.stack((given.borrowed, far / 4), -1)
        tokens = self.exemplar(torch.cat((sides(given.exemplars), facts), -1)).transpose(1, 2)
        tokens = tokens + self.kind(given.kinds)[:, :, None]
        x = self.kind(given.kinds) + self.rank(given.ranks.clamp(max=MOST_RANK - 1))
        x = x + self.anchor(sides(given.anchor))
        x = x + (self.whole(torch.log1p(given.counts)) + self.latent(z_BZ))[:, None]
        for block in self.blocks:
            x = block(x, given.present, tokens)
        x = self.norm(x)
        mask = given.present[..., None].float()
        local = (self.match(x)[:, :, None] * tokens).sum(-1) * self.size.width**-0.5
        likeness = (local * mask).sum(1) / mask.sum(1)
        lacking = (given.borrowed * given.present[:, None]).sum(-1) / mask.sum((1, 2))[:, None]
        whole = likeness + self.trust(torch.stack((given.distance, lacking), -1))[..., 0]
        each = local.transpose(1, 2) @ same_kind(given)
        return moved(given.anchor, self.move(x), self.REACH), whole, each


class Posterior(nn.Module):
    """(mean, log variance) [B, Z] of the latent that would have made these boxes: the VAE's encoder."""

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        self.kind, self.box = nn.Embedding(size.kinds, size.width), nn.Linear(16, size.width)
        self.block = Block(size.width, size.heads, crossing=False)
        self.out = nn.Linear(size.width, 2 * size.latent)

    def forward(self, boxes_BP4: Tensor, given: Condition) -> tuple[Tensor, Tensor]:
        """boxes: the true ones, in the order of the condition's places."""
        x = self.kind(given.kinds) + self.box(torch.cat((sides(boxes_BP4), sides(given.anchor)), -1))
        mean, spread = self.out(_pooled(self.block(x, given.present, None), given.present)).chunk(2, -1)
        return mean, spread.clamp(-6, 2)


class Critic(nn.Module):
    """How real boxes look for these kinds ([B], unbounded), and the boxes again from the pooled view of them.

    Having to reproduce the boxes keeps the critic looking at all of them (LayoutGAN++, Kikuchi et al. 2021).
    """

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        D = size.width
        self.kind, self.rank = nn.Embedding(size.kinds, D), nn.Embedding(MOST_RANK, D)
        self.box = nn.Linear(8, D)
        self.blocks = nn.ModuleList([Block(D, size.heads, crossing=False) for _ in range(size.layers)])
        self.score = nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.Linear(D, 1))
        self.again = nn.Sequential(nn.Linear(2 * D, 2 * D), nn.GELU(), nn.Linear(2 * D, 4))

    def forward(self, boxes_BP4: Tensor, given: Condition) -> tuple[Tensor, Tensor]:
        """(score [B], boxes [B, P, 4])."""
        place = self.kind(given.kinds) + self.rank(given.ranks.clamp(max=MOST_RANK - 1))
        x = place + self.box(sides(boxes_BP4))
        for block in self.blocks:
            x = block(x, given.present, None)
        view = _pooled(x, given.present)
        each = torch.cat((place, view[:, None].expand_as(place)), -1)
        return self.score(view)[:, 0], torch.sigmoid(self.again(each))


def same_kind(given: Condition) -> Tensor:
    """float32 [B, P, P]: a product with it averages over the places of one kind."""
    same = (given.kinds[:, :, None] == given.kinds[:, None]) & given.present[:, None] & given.present[:, :, None]
    return same.float() / same.sum(1, keepdim=True).clamp(min=1)


def sides(boxes: Tensor) -> Tensor:
    """[..., 8]: x, y, width, height, centre and far corner, all as they are and none in the log, since 0 occurs."""
    low, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((boxes, low + size / 2, low + size), -1)


def moved(anchor: Tensor, step: Tensor, reach: float) -> Tensor:
    """The anchor's boxes [..., 4] after a step [..., 4] of centre and size, inside the canvas."""
    centre = anchor[..., :2] + anchor[..., 2:] / 2 + reach * torch.tanh(step[..., :2])
    size = anchor[..., 2:] * torch.exp2(torch.tanh(step[..., 2:]))
    low, high = (centre - size / 2).clamp(0, 1), (centre + size / 2).clamp(0, 1)
    return torch.cat((low, high - low), -1)


def box_loss(made: Tensor, truth: Tensor, present: Tensor) -> Tensor:
    """[B]: the mean over elements of 1 - GIoU + the L1 distance of the boxes."""
    low, high = made[..., :2], made[..., :2] + made[..., 2:]
    low_true, high_true = truth[..., :2], truth[..., :2] + truth[..., 2:]
    common = (torch.minimum(high, high_true) - torch.maximum(low, low_true)).clamp(min=0).prod(-1)
    union = made[..., 2:].prod(-1) + truth[..., 2:].prod(-1) - common
    hull = (torch.maximum(high, high_true) - torch.minimum(low, low_true)).prod(-1)
    giou = common / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
    each = 1 - giou + (made - truth).abs().sum(-1)
    return (each * present).sum(1) / present.sum(1).clamp(min=1)


def _pooled(x_BPD: Tensor, present_BP: Tensor) -> Tensor:
    mask = present_BP[..., None].float()
    return torch.as_tensor((x_BPD * mask).sum(1) / mask.sum(1).clamp(min=1))
