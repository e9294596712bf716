"""The network that adds what a straight line cannot follow: one cross layer and a small perceptron.

It starts at zero and learns on top of the finished line, so before its first step it already predicts as the line
does. B = rows of a batch, G = columns, H = hidden width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Columns [B, G] -> logits to add [B, 2] (click, conversion).

    crossed = x * (x @ cross + shift) is the cross layer of DCN-v2 (Wang et al.): every product of two fields, read
    out directly and, with the fields themselves, by two hidden layers.
    """

    def __init__(self, columns: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        G, H, half = columns, hidden, max(hidden // 2, 1)

        def random(rows: int, width: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, width, generator=generator) * scale)

        self.cross = random(G, G, 0.02)
        self.cross_shift = nn.Parameter(torch.zeros(G))
        self.cross_out = nn.Parameter(torch.zeros(G, 2))
        self.first = random(G, H, G**-0.5)
        self.first_shift = nn.Parameter(torch.zeros(H))
        self.second = random(H, half, (2 / H) ** 0.5)
        self.second_shift = nn.Parameter(torch.zeros(half))
        self.out = nn.Parameter(torch.zeros(half, 2))

    def forward(self, columns: Tensor) -> Tensor:
        """float32 [B, 2] of columns float32 [B, G]."""
        crossed = columns * (columns @ self.cross + self.cross_shift)
        hidden = torch.relu((columns + crossed) @ self.first + self.first_shift)
        hidden = torch.relu(hidden @ self.second + self.second_shift)
        return crossed @ self.cross_out + hidden @ self.out

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights as float32 arrays: what `response.network_logits` reads."""
        return {name: value.detach().numpy().copy() for name, value in self.named_parameters()}


def joint_loss(logits: Tensor, clicked: Tensor, converted: Tensor, mature: Tensor) -> Tensor:
    """-log likelihood of what the shopper did: nothing, a click, or a click and a conversion. Mean over B rows.

    logits: [B, 2]; clicked, converted: float [B]; mature: float [B], 0 where a conversion may still come. With
    p = P(click), r = P(conversion | click) and z = p · r the three outcomes have the probabilities 1 - p, p - z and
    z, so click and click-and-conversion are learnt over all impressions at once (ESMM, Ma et al.) and the choice of
    who clicks does not bias r. A click that is not mature has p alone: it is not a "no".
    """
    click, conversion = logits.unbind(-1)
    bce = nn.functional.binary_cross_entropy_with_logits
    no_or_click = bce(click, clicked, reduction="none")
    bought_or_not = bce(conversion, converted, reduction="none") * clicked * mature
    return (no_or_click + bought_or_not).mean()
