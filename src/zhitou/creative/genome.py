"""A design as numbers: which parts an ad has, where they stand, and the decisions that a designer would take.

What the grammar writes, the networks learn and make, the projection mends, the renderer draws and the bandit
credits is one and the same thing: the genome. It holds no pixels and no words; words and pictures come from the
materials, so nothing that a network does can touch a product or invent a fact.

N = designs, P = len(PARTS), G = len(GENES).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import ConfigError

# What can stand on an ad, from the most to the least important. The ad label ("Ad", "广告") is no part of a design:
# it always stands, and the renderer keeps its corner free.
PARTS = ("product", "headline", "price", "button", "logo", "subline", "was_price", "badge", "legal")
ALWAYS = ("product", "headline", "button", "logo")

SIZES = (
    (300, 250), (728, 90), (160, 600), (320, 50), (320, 100), (970, 250), (336, 280), (300, 600), (1080, 1080),
    (1200, 628),
)  # fmt: skip

# Each decision and its values. The order of both is part of every saved model.
GENES: Mapping[str, tuple[str, ...]] = {
    "family": (
        "split", "band", "card", "poster", "column", "ribbon", "frame", "stage", "diagonal", "shelf", "ticket",
        "window", "stack", "corner",
    ),
    "picture": ("cutout", "card", "full_bleed", "split", "circle"),
    "background": ("plain", "circle", "arch", "dots", "stripes", "waves"),
    "palette": ("paper", "tint", "bold", "deep", "night", "pastel", "contrast", "mono"),
    "type": ("plain", "strong", "light", "editorial", "compact", "wide"),
    "emphasis": ("product", "headline", "price", "offer", "brand"),
    "button": ("pill", "round", "square", "underline"),
    "badge": ("circle", "pill", "ribbon", "burst", "corner", "text"),
    "angle": ("benefit", "attribute", "price", "urgency", "social", "curiosity", "gift"),
    "tone": ("plain", "warm", "bold", "playful", "elegant", "expert"),
    "offer": ("percent_off", "amount_off", "price_anchor", "from_price", "free_shipping", "none"),
    "verb": ("shop", "view", "discover", "try", "gift", "choose", "save", "order", "explore", "compare"),
}  # fmt: skip
GENE_SIZES = tuple(len(values) for values in GENES.values())
_PART = {name: place for place, name in enumerate(PARTS)}
_GENE = {name: place for place, name in enumerate(GENES)}


@dataclass(frozen=True)
class Genome:
    """One design. size: (width, height) in pixels. boxes: float32 [P, 4], x, y, width, height as shares of the ad,
    all 0 where a part is absent (`present`: bool [P]). genes: int64 [G], the place of each decision in GENES."""

    size: tuple[int, int]
    present: np.ndarray
    boxes: np.ndarray
    genes: np.ndarray

    def gene(self, name: str) -> str:
        """The value of this decision."""
        return GENES[name][int(self.genes[_GENE[name]])]

    def box(self, part: str) -> tuple[float, float, float, float] | None:
        """(x, y, width, height) in pixels, None where the ad has no such part."""
        place = _PART[part]
        if not self.present[place]:
            return None
        x, y, w, h = (float(v) for v in self.boxes[place])
        return x * self.size[0], y * self.size[1], w * self.size[0], h * self.size[1]


@dataclass(frozen=True)
class Genomes:
    """N designs of any sizes. size: int64 [N], the place in SIZES. present: bool [N, P]. boxes: float32 [N, P, 4].
    genes: int64 [N, G]. As in `Genome`.

    Refused (ConfigError): shapes that do not fit each other, a size or gene that does not exist, boxes outside
    [0, 1], a part that must be there and is not.
    """

    size: np.ndarray
    present: np.ndarray
    boxes: np.ndarray
    genes: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.size)
        shapes = {"present": (n, len(PARTS)), "boxes": (n, len(PARTS), 4), "genes": (n, len(GENES))}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ConfigError(f"{name} of {n} designs has shape {shape}, got {getattr(self, name).shape}")
        if n and not (self.size.min() >= 0 and self.size.max() < len(SIZES)):
            raise ConfigError(f"sizes are places in SIZES, 0 to {len(SIZES) - 1}, got up to {self.size.max()}")
        if n and not ((self.genes >= 0) & (self.genes < np.array(GENE_SIZES))).all():
            raise ConfigError("each gene is the place of a value in GENES; one lies outside")
        if not (np.isfinite(self.boxes).all() and (self.boxes >= 0).all() and (self.boxes <= 1 + 1e-5).all()):
            raise ConfigError("boxes are shares of the ad, from 0 to 1; scale pixels by the ad's width and height")
        missing = [part for part in ALWAYS if not self.present[:, _PART[part]].all()]
        if missing:
            raise ConfigError(f"every ad has {', '.join(ALWAYS)}; {missing[0]} is missing in some design")

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, row: int) -> Genome:
        return Genome(SIZES[int(self.size[row])], self.present[row], self.boxes[row], self.genes[row])

    def __iter__(self) -> Iterator[Genome]:
        return (self[row] for row in range(len(self)))

    def select(self, rows: np.ndarray) -> Genomes:
        """The designs in these rows."""
        return Genomes(self.size[rows], self.present[rows], self.boxes[rows], self.genes[rows])

    @classmethod
    def join(cls, some: Sequence[Genomes]) -> Genomes:
        """All designs, one after the other."""
        names = ("size", "present", "boxes", "genes")
        return cls(*(np.concatenate([getattr(designs, name) for designs in some]) for name in names))


def part(name: str) -> int:
    """The place of this part in PARTS."""
    return _PART[name]


def gene(name: str) -> int:
    """The place of this decision in GENES."""
    return _GENE[name]


def value(name: str, chosen: str) -> int:
    """The number of this value of a decision. Refused (ConfigError): values that it does not have."""
    if chosen not in GENES[name]:
        raise ConfigError(f"{name} is one of {GENES[name]}, got {chosen!r}")
    return GENES[name].index(chosen)
