"""The scene: what stands where on a banner, in whole pixels, before anyone draws it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# From back to front. "product" is the picture or the glyph; text never lies on it.
ROLES = (
    "backdrop", "product", "badge", "logo", "headline", "subline", "price", "was_price", "button", "legal", "label",
)  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle in whole pixels; x + w and y + h are the first pixels outside."""

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        return self.x + self.w

    @property
    def bottom(self) -> int:
        return self.y + self.h

    def inset(self, by: int) -> Box:
        """The box without a margin of `by` pixels on each side."""
        return Box(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)


@dataclass(frozen=True)
class Shape:
    """kind "rect" (x, y, w, h), "ellipse" (centre x, y, radii) or "polygon" (x0, y0, x1, y1 ...); fill #rrggbb."""

    kind: str
    numbers: tuple[float, ...]
    fill: str
    radius: float = 0.0


@dataclass(frozen=True)
class Text:
    """One line of text; (x, y) is the left end of its baseline, `width` its advance. `strike`: struck through."""

    x: int
    y: int
    text: str
    weight: str
    size: int
    fill: str
    width: float
    strike: bool = False


@dataclass(frozen=True)
class Picture:
    """A product photograph, fitted into its box. `png` is the fitted picture, already at its size."""

    box: Box
    png: bytes
    source_sha256: str


@dataclass(frozen=True)
class Layer:
    """What one part of the banner draws. `clip`: shapes are cut to this box, its corners rounded by clip_radius."""

    role: str
    box: Box
    shapes: tuple[Shape, ...] = ()
    texts: tuple[Text, ...] = ()
    picture: Picture | None = None
    clip: Box | None = None
    clip_radius: int = 0


@dataclass(frozen=True)
class Scene:
    """One banner. `ground` is its background colour; `alt` says it to those who do not see it."""

    size: tuple[int, int]
    ground: str
    layers: tuple[Layer, ...]
    locale: str
    alt: str

    def layer(self, role: str) -> Layer | None:
        """The layer with this role, None if the banner has none."""
        return next((layer for layer in self.layers if layer.role == role), None)

    def texts(self) -> Iterator[tuple[str, Text]]:
        """(role, text) of every line on the banner."""
        for layer in self.layers:
            for text in layer.texts:
                yield layer.role, text
