"""The deep network: tables of categories, target attention over the history, interest x target, a cross layer.

It starts at zero and learns on top of the finished line, so before its first step it predicts as the line does.
B = rows, G = columns, C = categories, L = length of a history, D = width of an interest vector, d = width of the
tables, X = width of what the cross layer reads, r = its rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zhitou.response.deep_inputs import AGE_DAYS


@dataclass(frozen=True)
class DeepSize:
    """How large: G columns, rows of the categories' table, C of them, rows of the history's table, D."""

    columns: int
    codes: int
    categories: int
    things: int
    interest: int


class DeepNetwork(nn.Module):
    """(columns, categories, target, history, ages, interest) -> logits to add [B, 2] (click, conversion).

    Attention (after DIN, Zhou et al.): act l of the history counts exp(s_l), s_l = q.k_l / sqrt(d) + a bias of its
    age + a bias if it is the target itself, and an empty seat counts 1: what was done often and lately outweighs it.
    Cross layer (DCN-v2, Wang et al.): x * ((x U) V + shift), every product of two inputs, at rank r.
    """

    def __init__(
        self, size: DeepSize, width: int, rank: int, hidden: tuple[int, int], generator: torch.Generator
    ) -> None:
        super().__init__()
        d, X = width, size.columns + size.categories * width + 4 * width + 1

        def random(rows: int, columns: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns, generator=generator) * scale)

        self.codes = random(max(size.codes, 1), d, 0.05)
        self.codes_out = nn.Parameter(torch.zeros(max(size.codes, 1), 2))
        self.things = random(max(size.things, 1), d, 0.3)
        self.age_bias = nn.Parameter(torch.zeros(len(AGE_DAYS) + 1) - 2.0)
        self.match_bias = nn.Parameter(torch.ones(1))
        self.interest = random(size.interest, d, max(size.interest, 1) ** -0.5)
        self.cross_in = random(X, rank, X**-0.5)
        self.cross_back = random(rank, X, 0.1)
        self.cross_shift = nn.Parameter(torch.zeros(X))
        self.cross_out = nn.Parameter(torch.zeros(X, 2))
        self.first = random(X, hidden[0], X**-0.5)
        self.first_shift = nn.Parameter(torch.zeros(hidden[0]))
        self.second = random(hidden[0], hidden[1], (2 / hidden[0]) ** 0.5)
        self.second_shift = nn.Parameter(torch.zeros(hidden[1]))
        self.out = nn.Parameter(torch.zeros(hidden[1], 2))

    def forward(
        self, columns: Tensor, codes: Tensor, target: Tensor, history: Tensor, ages: Tensor, interest: Tensor
    ) -> Tensor:
        """float32 [B, 2]. columns: float32 [B, G]; codes: int [B, C]; target: int [B]; history, ages: int [B, L],
        history 0 = nothing; interest: float32 [B, D]."""
        embedding = nn.functional.embedding
        q, k = embedding(target, self.things), embedding(history, self.things)
        score = (k @ q.unsqueeze(-1)).squeeze(-1) * q.shape[-1] ** -0.5 + self.age_bias[ages]
        score = score + self.match_bias * ((history == target.unsqueeze(-1)) & (target > 0).unsqueeze(-1))
        weight = torch.exp(score.clamp(max=8.0)) * (history > 0)
        mass = weight.sum(-1, keepdim=True)
        attended = (weight.unsqueeze(-2) @ k).squeeze(-2) / (1 + mass)
        wish = interest @ self.interest
        parts = (embedding(codes, self.codes).flatten(1), q, attended, attended * q, wish * q, torch.log1p(mass))
        x = torch.cat((columns, *parts), -1)
        crossed = x * ((x @ self.cross_in) @ self.cross_back + self.cross_shift)
        hidden = torch.relu((x + crossed) @ self.first + self.first_shift)
        hidden = torch.relu(hidden @ self.second + self.second_shift)
        alone = embedding(codes, self.codes_out).sum(1)
        return crossed @ self.cross_out + hidden @ self.out + alone

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights as float32 arrays: what `deep_forward.forward` reads."""
        return {name: value.detach().numpy().copy() for name, value in self.named_parameters()}
