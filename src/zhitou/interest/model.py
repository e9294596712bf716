"""The decoder: item tokens, causal attention over steps, and a repeat path over a subject's own items.

B = subjects in a batch, T = tokens (a start token, then one per step), D = width, H = heads, E = width of a head,
U = items scored, N = lines, P = moments, Q = pairs of a moment and an own item.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.schema import KINDS
from zhitou.interest.config import InterestConfig
from zhitou.interest.memory import FEATURES
from zhitou.interest.tokens import BRAND, FINEST, GAPS, SECOND, WEEKDAYS, Vocabulary
from zhitou.interest.words import Words

MEMORIES = ("of_items", "of_types", "of_lines")


@dataclass(frozen=True)
class TokenBatch:
    """B subjects' steps, left-aligned: cell (b, t) of [B, T] is the token after t steps of subject b.

    line_cell: int64 [N], flat cell each line belongs to; line_item: int64 [N], its column in `items`;
    line_action: int64 [N]; line_weight: float32 [N], 1 / sqrt(lines of its step). items: int64 [U] rows of the
    catalogue. gap, day: int64 [B, T]; days: float32 [B, T], time of the token in days since the first.
    """

    shape: tuple[int, int]
    items: Tensor
    line_cell: Tensor
    line_item: Tensor
    line_action: Tensor
    line_weight: Tensor
    gap: Tensor
    day: Tensor
    days: Tensor


class ItemEncoder(nn.Module):
    """An item's vector: its own embedding, if it was seen often enough, plus those of what it is."""

    own_code: Tensor
    content_code: Tensor
    line_of: Tensor
    log_count: Tensor

    def __init__(self, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        self.register_buffer("own_code", torch.from_numpy(vocabulary.own), persistent=False)
        self.register_buffer("content_code", torch.from_numpy(vocabulary.content), persistent=False)
        self.register_buffer("line_of", torch.from_numpy(vocabulary.line), persistent=False)
        seen = torch.from_numpy(vocabulary.count).float()
        self.register_buffer("log_count", torch.log((seen + 0.5) / max(float(seen.sum()), 1.0)), persistent=False)
        self.own = nn.Embedding(int(vocabulary.own.max(initial=0)) + 1, width)
        self.own_bias = nn.Embedding(int(vocabulary.own.max(initial=0)) + 1, 1)
        self.tables = [nn.Embedding(size, width) for size in vocabulary.sizes]
        self.content = nn.ModuleList(self.tables)
        self.popularity = nn.Parameter(torch.ones(1))
        self.title = None if vocabulary.words is None else Titles(vocabulary.words, width)
        for table in (self.own, *self.content):
            nn.init.normal_(table.weight, std=0.3 / math.sqrt(width))
        nn.init.zeros_(self.own_bias.weight)

    def forward(self, items: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(vectors [U, D], biases [U]) of these items; `hidden` (bool [U]) takes the own embedding away."""
        code = self.own_code[items]
        known = (code > 0).float()
        if hidden is not None:
            known = known * (~hidden).float()
        codes = self.content_code[items]
        vectors = self.own(code) * known[:, None]
        for column, table in enumerate(self.tables):
            vectors = vectors + table(codes[:, column])
        if self.title is not None:
            vectors = vectors + self.title(items)
        return vectors, self.popularity * self.log_count[items] + self.own_bias(code)[:, 0] * known


class Titles(nn.Module):
    """The words of a title as one vector: the sum of theirs over the root of their number."""

    offsets: Tensor
    word: Tensor

    def __init__(self, words: Words, width: int) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.from_numpy(words.offsets), persistent=False)
        self.register_buffer("word", torch.from_numpy(words.word), persistent=False)
        self.weight = nn.Parameter(torch.randn(len(words.known), width) * (0.3 / math.sqrt(width)))

    def forward(self, items: Tensor) -> Tensor:
        """[U, D]: for these items."""
        start, size = self.offsets[items], self.offsets[items + 1] - self.offsets[items]
        first = torch.cumsum(size, 0) - size
        place = torch.arange(int(size.sum())) + torch.repeat_interleave(start - first, size)
        share = torch.repeat_interleave(1.0 / size.clamp_min(1).float().sqrt(), size)
        return F.embedding_bag(self.word[place], self.weight, first, mode="sum", per_sample_weights=share)


class Nearby(nn.Module):
    """How much more likely than by taste an item is that came soon after what the shopper did, in others'
    histories: softplus(a + w . state) * log(1 + score / floor), where a, w and the floor are learnt.

    a and log(floor) are kept as `speed` times a parameter, since an optimiser moves every number by about lr a step,
    and these two may have far to go in few steps.
    """

    def __init__(self, width: int, speed: float) -> None:
        super().__init__()
        self.speed = speed
        self.strength = nn.Parameter(torch.tensor(0.5 / speed))
        self.of_state = nn.Linear(width, 1, bias=False)
        self.log_floor = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.of_state.weight)

    def forward(self, moment: Tensor, score: Tensor, state: Tensor) -> Tensor:
        """[Q]: the logit of each (moment, item) with this score, zero or more; state [P, D]."""
        strength = F.softplus(self.strength * self.speed + self.of_state(state)[:, 0])
        return strength[moment] * torch.log1p(score * torch.exp(-self.log_floor * self.speed))


class Block(nn.Module):
    """Causal attention, then SwiGLU, each on RMS-normed inputs and added to the stream."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        inner = 8 * width // 3 // 8 * 8
        self.norm_attention, self.norm_feed = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mix = nn.Linear(width, width, bias=False)
        self.feed = nn.Linear(width, 2 * inner, bias=False)
        self.back = nn.Linear(inner, width, bias=False)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.back.weight)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(rotate(q, turn), rotate(k, turn), v, is_causal=True)
        x = x + F.dropout(self.mix(mixed.transpose(1, 2).reshape(b, t, d)), self.dropout, self.training)
        gate, value = self.feed(self.norm_feed(x)).chunk(2, dim=-1)
        return x + F.dropout(self.back(F.silu(gate) * value), self.dropout, self.training)


def turns(days: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """(cos, sin), each [B, 1, T, E / 2]: half of the planes turn with the number of the step, half with time."""
    b, t = days.shape
    planes = width // 4
    scale = torch.logspace(0, -1, planes, base=100.0)
    steps = torch.arange(t, dtype=torch.float32).expand(b, t)
    angles = torch.cat([steps[..., None] * scale, days[..., None] * scale * 0.5], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position: planes of x [B, H, T, E] turned by these angles."""
    cos, sin = turn
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cos - two * sin, one * sin + two * cos], dim=-1)


class Memory(nn.Module):
    """How much more likely than by taste alone a thing had before is next: from its counts and gaps, what it is,
    and the shopper's state."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.of_features = nn.Linear(len(FEATURES), hidden)
        self.of_thing = nn.Linear(width, hidden, bias=False)
        self.of_state = nn.Linear(width, hidden, bias=False)
        self.straight = nn.Linear(len(FEATURES), 1)
        self.out = nn.Linear(hidden, 1, bias=False)
        nn.init.zeros_(self.of_state.weight)
        nn.init.zeros_(self.straight.weight)

    def forward(self, features: Tensor, moment: Tensor, thing: Tensor, state: Tensor, table: Tensor) -> Tensor:
        """[Q]: the logit of (moment, thing), given states [P, D] and the vectors of things [G, D]."""
        x = (features - self.mean) * self.scale
        inner = self.of_features(x)
        inner = inner + self.of_thing(table).index_select(0, thing)
        inner = inner + self.of_state(state).index_select(0, moment)
        return (self.straight(x) + self.out(F.silu(inner)))[:, 0]


class Decoder(nn.Module):
    """interest = f(behaviour)."""

    line_code: Tensor
    gap_s: Tensor  # int64, the typical gap between steps in training, seconds

    def __init__(self, config: InterestConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        d = config.width
        self.config = config
        self.items = ItemEncoder(vocabulary, d)
        self.action = nn.Embedding(len(KINDS), d)
        self.gap, self.day = nn.Embedding(GAPS, d), nn.Embedding(WEEKDAYS, d)
        self.start = nn.Parameter(torch.zeros(d))
        self.blocks = nn.ModuleList(Block(d, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.RMSNorm(d)
        self.wait = nn.Embedding(GAPS, d)
        self.query: nn.Module = nn.Identity() if config.tied else nn.Linear(d, d)
        for name in MEMORIES[: config.memories]:
            setattr(self, name, Memory(d, config.memory))
        self.nearby = None if config.nearby is None else Nearby(d, config.nearby_speed)
        lines = np.unique(vocabulary.line, return_index=True)[1]
        self.register_buffer("gap_s", torch.tensor(SECONDS_PER_DAY))
        self.register_buffer("line_code", torch.from_numpy(vocabulary.content[lines]), persistent=False)
        for table in (self.action, self.gap, self.day, self.wait):
            nn.init.normal_(table.weight, std=0.3 / math.sqrt(d))

    def states(self, batch: TokenBatch, table: Tensor) -> Tensor:
        """[B, T, D]: the interest vector after each token, from the vectors `table` [U, D] of batch.items."""
        b, t = batch.shape
        lines = table.index_select(0, batch.line_item) + self.action(batch.line_action)
        x = torch.zeros(b * t, table.shape[1])
        x = x.index_add(0, batch.line_cell, lines * batch.line_weight[:, None])
        x = x.view(b, t, -1) + self.gap(batch.gap) + self.day(batch.day)
        x = torch.cat([(x[:, :1] * 0 + self.start), x[:, 1:]], dim=1)
        x = F.dropout(x, self.config.dropout, self.training)
        turn = turns(batch.days, x.shape[-1] // self.config.heads)
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Of items, of types and of lines, in the order of Vocabulary.things, as far as the model has them."""
        return tuple(getattr(self, name) for name in MEMORIES[: self.config.memories])

    def group_tables(self) -> tuple[Tensor, Tensor]:
        """Vectors [G, D] of all types, and of all lines."""
        content = [table.weight for table in self.items.tables]
        lines = content[SECOND][self.line_code[:, SECOND]] + content[BRAND][self.line_code[:, BRAND]]
        return content[FINEST], lines

    def queries(self, states: Tensor, wait: Tensor) -> Tensor:
        """[P, D]: what is held against item vectors, from states [P, D] and the bucket of the time since [P]."""
        query: Tensor = self.query(states + self.wait(wait))
        return query
