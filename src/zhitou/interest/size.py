"""How large an interest model is: one dial that sets its shape, and on paper what a shape weighs and costs.

    >>> print(size("base", items=92_331).width, size(8, items=92_331).layers)
    64 8

The dial is the depth L. Everything else follows: width D = 32 L, heads of 32 (of 64 from depth 8 on, where it is
even), context min(64 L, 1024) steps, memory min(16 L, 256), a feed-forward of 8 / 3 D, and a rate of learning that
falls as 1 / D. So parameters in the blocks grow as L^3: 0.1 million at base, 0.8 billion at 40.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from zhitou.core.errors import ConfigError
from zhitou.interest.config import InterestConfig, careful
from zhitou.interest.memory import FEATURES
from zhitou.interest.model import Decoder
from zhitou.interest.sampled import FULL_ITEMS
from zhitou.interest.tokens import Vocabulary

DEPTHS = {"tiny": 1, "base": 2, "large": 40}
CONTENT = (40, 300, 2_400, 6_000, 11)  # categories of three levels, brands and price bands of a large shop
DRAWS = 8_192  # items drawn for a step of a catalogue above FULL_ITEMS
FLOAT_BYTES = 4
DEPTH_MAX = 128


def size(dial: str | int, items: int) -> InterestConfig:
    """The settings of a model of this name ("tiny", "base", "large") or depth, for a catalogue of `items`.

    Above sampled.FULL_ITEMS a step predicts four times as many moments: they share the items that are drawn, and
    fetching and moving those is most of what such a step costs. Refused (ConfigError): another name, a depth
    outside 1 to 128.
    """
    depth = DEPTHS.get(dial, 0) if isinstance(dial, str) else dial
    if not 1 <= depth <= DEPTH_MAX:
        raise ConfigError(f"expected {', '.join(DEPTHS)} or a depth of 1 to {DEPTH_MAX}, got {dial!r}")
    start = careful()
    return replace(
        start,
        width=32 * depth,
        layers=depth,
        heads=depth // 2 if depth >= 8 and depth % 2 == 0 else depth,
        context=min(64 * depth, 1_024),
        memory=min(16 * depth, 256),
        positions_batch=start.positions_batch * (1 if items <= FULL_ITEMS else 4),
        fit=replace(start.fit, lr=start.fit.lr * DEPTHS["base"] / depth),
    )


def deepest(parameters: int, items: int) -> InterestConfig:
    """The deepest model of at most so many parameters, the tables of `items` included.

    Refused (ConfigError): a number that not even depth 1 keeps to; most of it is then tables of items.
    """
    fitting = 0
    for step in (64, 32, 16, 8, 4, 2, 1):  # bits of the depth, from the highest
        if describe(size(fitting + step, items), items).total <= parameters:
            fitting += step
    if not fitting:
        least = describe(size(1, items), items).total
        raise ConfigError(f"{items:,} items need {least:,} parameters or more, got {parameters:,}; raise min_count")
    return size(fitting, items)


@dataclass(frozen=True)
class SizeReport:
    """What a model of this shape weighs and costs.

    parameters: their number by part: "items" (embeddings and biases of single items), "content" (of what items
    are), "blocks", "memories", "rest". ranked: items a training step ranks. Bytes are of float32: weights; optimizer
    (two moments and the running mean); catalogue, what is known of the items and not learnt; activations, what one
    step keeps for its way back, of `tokens` tokens. FLOPs count a multiplication and an addition as two; per token
    read, and per moment predicted; training is three times the way forward. Not counted: the memory of own things,
    memory_flops_pair for each thing of a subject at each moment, and whatever is no matrix product.
    """

    config: InterestConfig
    items: int
    ranked: int
    tokens: int
    parameters: dict[str, int]
    weight_bytes: int
    optimizer_bytes: int
    catalogue_bytes: int
    activation_bytes: int
    token_flops: int
    moment_flops: int
    training_moment_flops: int
    memory_flops_pair: int

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(self.parameters.values())

    @property
    def training_token_flops(self) -> int:
        """FLOPs of a token read in training."""
        return 3 * self.token_flops

    def __str__(self) -> str:
        c = self.config
        shape = f"{c.layers} layers of {c.width}, {c.heads} heads, context {c.context:,}, memory {c.memory}"
        ranked = f"{self.ranked:,} ranked in a training step of {c.positions_batch:,} moments"
        parts = [(f"  {name}", _count(number)) for name, number in self.parameters.items()]
        lines = [
            ("parameters", _count(self.total)),
            *parts,
            ("weights", _bytes(self.weight_bytes)),
            ("moments and mean", _bytes(self.optimizer_bytes)),
            ("catalogue", _bytes(self.catalogue_bytes)),
            (f"activations, {self.tokens:,} tokens", _bytes(self.activation_bytes)),
            ("reading a token", f"{_count(self.token_flops)}FLOP"),
            ("  in training", f"{_count(self.training_token_flops)}FLOP"),
            ("predicting a moment", f"{_count(self.moment_flops)}FLOP"),
            ("  in training", f"{_count(self.training_moment_flops)}FLOP"),
        ]
        width = max(len(name) for name, _ in lines)
        table = "\n".join(f"{name:{width}}  {value:>12}" for name, value in lines)
        return f"{shape}\n{self.items:,} items, {ranked}\n{table}"


def describe(config: InterestConfig, items: int | Vocabulary) -> SizeReport:
    """The report on a model of these settings over so many items with embeddings of their own, with content of
    CONTENT; or over the vocabulary of a real catalogue. Parameters are counted, not estimated: on a model built
    without memory (torch's meta device)."""
    many = items if isinstance(items, int) else len(items.frequent)
    vocabulary = _stand_in(many) if isinstance(items, int) else items
    with torch.device("meta"):
        module = Decoder(config, vocabulary)
    parameters = _by_part(module)
    total = sum(parameters.values())
    catalogue = sum(buffer.numel() * buffer.element_size() for buffer in module.items.buffers())
    ranked = many if many <= FULL_ITEMS else DRAWS
    tokens = max(config.positions_batch, config.context)
    d, inner = config.width, 8 * config.width // 3 // 8 * 8
    block = 2 * (4 * d * d + 3 * d * inner) + 4 * d * (config.context // 2)  # causal: half of the window on average
    kept = 15 * d + 4 * inner + config.heads + 2  # floats of a block and token, counted on its saved tensors
    softmax = 2 * d * d + 2 * d * many
    return SizeReport(
        config=config,
        items=many,
        ranked=ranked,
        tokens=tokens,
        parameters=parameters,
        weight_bytes=FLOAT_BYTES * total,
        optimizer_bytes=FLOAT_BYTES * total * 3,
        catalogue_bytes=catalogue * (many if isinstance(items, int) else 1),
        activation_bytes=FLOAT_BYTES * (tokens * config.layers * kept + 2 * ranked * d),
        token_flops=config.layers * block,
        moment_flops=softmax,
        training_moment_flops=3 * (2 * d * d + 2 * d * ranked),
        memory_flops_pair=2 * (len(FEATURES) + 1) * (config.memory + 1),
    )


def _stand_in(items: int) -> Vocabulary:
    """A vocabulary whose one item has the number of the last of `items`: tables get their size, arrays stay short."""
    one = np.zeros(1, dtype=np.int64)
    return Vocabulary(one + items, np.zeros((1, len(CONTENT)), dtype=np.int64), one + 1, CONTENT)


def _by_part(module: Decoder) -> dict[str, int]:
    found = dict.fromkeys(("items", "content", "blocks", "memories", "rest"), 0)
    starts = {"items.own": "items", "items.": "content", "blocks.": "blocks", "of_": "memories", "": "rest"}
    for name, parameter in module.named_parameters():
        found[next(part for start, part in starts.items() if name.startswith(start))] += parameter.numel()
    return found


def _count(number: float) -> str:
    return _scaled(number, 1_000, ("", "k", "M", "G", "T"), 3)


def _bytes(number: float) -> str:
    return _scaled(number, 1_024, ("B", "KiB", "MiB", "GiB", "TiB"), 4)


def _scaled(number: float, step: int, units: tuple[str, ...], digits: int) -> str:
    for unit in units[:-1]:
        if number < step:
            return f"{number:.{digits}g} {unit}"
        number /= step
    return f"{number:.{digits}g} {units[-1]}"
