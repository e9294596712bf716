"""The small GPT that writes templates: token embeddings, causal attention blocks, tied output.

B = lines in a batch, T = tokens, D = width, H = heads, V = words known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zhitou.core.errors import ConfigError

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class WriterConfig:
    """Size of the model. tokens_most: head and line together."""

    width: int = 96
    layers: int = 3
    heads: int = 4
    dropout: float = 0.05
    tokens_most: int = 112

    def __post_init__(self) -> None:
        if self.width % self.heads or self.layers < 1:
            raise ConfigError(
                f"width must be a multiple of heads, got {self.width} and {self.heads}; layers at least 1"
            )


class Block(nn.Module):
    """Causal attention, then SwiGLU, each on RMS-normed inputs and added to the stream."""

    def __init__(self, config: WriterConfig) -> None:
        super().__init__()
        d = config.width
        self.heads, self.dropout = config.heads, config.dropout
        inner = 8 * d // 3 // 8 * 8
        self.norm_attention, self.norm_feed = nn.RMSNorm(d), nn.RMSNorm(d)
        self.qkv, self.mix = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.feed, self.back = nn.Linear(d, 2 * inner, bias=False), nn.Linear(inner, d, bias=False)
        for last in (self.mix, self.back):
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(x [B, T, D], keys and values so far [B, H, T', D / H]); `before`: those of the tokens already read."""
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        if before is not None:
            k, v = torch.cat([before[0], k], dim=2), torch.cat([before[1], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=before is None and t > 1)
        x = x + F.dropout(self.mix(mixed.transpose(1, 2).reshape(b, t, d)), self.dropout, self.training)
        gate, value = self.feed(self.norm_feed(x)).chunk(2, dim=-1)
        return x + F.dropout(self.back(F.silu(gate) * value), self.dropout, self.training), (k, v)


class Writer(nn.Module):
    """Logits of the next token of a template."""

    def __init__(self, config: WriterConfig, words: int) -> None:
        super().__init__()
        self.config = config
        self.word = nn.Embedding(words, config.width)
        self.place = nn.Embedding(config.tokens_most, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        for table in (self.word, self.place):
            nn.init.normal_(table.weight, std=1 / math.sqrt(config.width))

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(logits [B, T, V], cache) of these tokens [B, T], which follow those of the cache."""
        past = cache[0][0].shape[2] if cache else 0
        x = self.word(tokens) + self.place.weight[past : past + tokens.shape[1]]
        now: Cache = []
        for n, block in enumerate(self.blocks):
            x, kept = block(x, cache[n] if cache else None)
            now.append(kept)
        return self.norm(x) @ self.word.weight.T, now
