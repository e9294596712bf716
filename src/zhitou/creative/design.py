"""The genes of a design and the colours they make of a brand's own: what a designer would decide before layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zhitou.campaign.campaign import Material
from zhitou.creative import colour as col
from zhitou.creative.scene import Box, Shape

FAMILIES = ("split", "band", "card", "poster")
PALETTES = ("paper", "tint", "bold", "deep")
PATTERNS = ("circle", "arch", "dots", "stripes", "waves", "quarters", "plain")
EMPHASES = ("title", "price")
LABEL_CONTRAST = 7.2  # the strokes of the smallest type never reach their full colour
BUTTON_SHAPES = ("pill", "round", "square")


@dataclass(frozen=True)
class Genes:
    """The decisions behind one design. `mirrored`: picture on the left. `verb` picks the button's words."""

    family: str
    palette: str
    pattern: str
    emphasis: str
    button_shape: str
    mirrored: bool
    verb: int


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for, each #rrggbb; text colours have their contrast on the ground they stand on."""

    ground: str
    card: str
    panel: str
    accent_shape: str
    pattern: str
    glyph: dict[str, str]
    ink: str
    soft: str
    logo: str
    button: str
    button_ink: str
    badge: str
    badge_ink: str
    label: str
    label_ink: str


def draw_genes(rng: np.random.Generator) -> Genes:
    """One value for each gene, from this stream."""
    return Genes(
        family=FAMILIES[int(rng.integers(len(FAMILIES)))],
        palette=PALETTES[int(rng.integers(len(PALETTES)))],
        pattern=PATTERNS[int(rng.integers(len(PATTERNS)))],
        emphasis=EMPHASES[int(rng.integers(len(EMPHASES)))],
        button_shape=BUTTON_SHAPES[int(rng.integers(len(BUTTON_SHAPES)))],
        mirrored=bool(rng.integers(2)),
        verb=int(rng.integers(64)),
    )


def make_palette(material: Material, role: str) -> Palette:
    """The colours of this brand in this role. Refused (ConfigError): a material colour that is not #rrggbb."""
    brand, paper, ink = material.colour_primary, material.colour_paper, material.colour_ink
    for value in (brand, paper, ink):
        col.rgb(value)
    if col.to_lch(paper)[0] < 0.8:
        paper = "#ffffff"
    ground, panel = {
        "paper": (paper, col.tone(brand, 0.925, 0.45)),
        "tint": (col.tone(brand, 0.965, 0.22), _middle(brand)),
        "bold": (
            _middle(brand),
            col.tone(_middle(brand), min(0.86, col.to_lch(_middle(brand))[0] + 0.14), 0.85),
        ),
        "deep": (col.tone(brand, 0.27, 0.6), col.tone(brand, 0.36, 0.75)),
    }[role]
    dark = col.luminance(ground) < 0.18
    card = ground if role != "tint" else paper
    text = col.ink_on(ground, "#ffffff" if dark else ink, 7.0 if dark else 6.0)
    button = _button(brand, ground, dark)
    pale_panel = col.to_lch(panel)[0] > 0.75
    pill = (
        panel
        if max(col.contrast(panel, c) for c in ("#000000", "#ffffff")) > LABEL_CONTRAST
        else col.tone(panel, 0.36)
    )
    badge = col.tone(brand, 0.82, 0.9, 150) if dark else col.tone(brand, 0.42, 1.0, 150)
    return Palette(
        ground=ground,
        card=card,
        panel=panel,
        accent_shape=col.tone(panel, col.to_lch(panel)[0] + (-0.07 if pale_panel else 0.09), 1.15),
        pattern=col.tone(panel, col.to_lch(panel)[0] + (-0.045 if pale_panel else 0.055), 1.05),
        glyph=_glyph_tones(brand, pale_panel),
        ink=text,
        soft=col.ink_on(ground, col.tone(brand, 0.88 if dark else 0.42, 0.35), 5.4),
        logo=col.ink_on(ground, "#ffffff" if dark else brand, 5.4),
        button=button,
        button_ink=col.ink_on(button, "#ffffff" if col.luminance(button) < 0.3 else "#111111", 5.2),
        badge=badge,
        badge_ink=col.ink_on(badge, "#ffffff" if col.luminance(badge) < 0.3 else "#111111", 5.2),
        label=pill,
        label_ink=col.ink_on(pill, col.tone(brand, 0.35 if pale_panel else 0.95, 0.3), LABEL_CONTRAST),
    )


def _middle(brand: str) -> str:
    """The brand colour, moved only where it is too near black or white to be a ground of its own."""
    lightness = col.to_lch(brand)[0]
    return brand if 0.3 <= lightness <= 0.84 else col.tone(brand, min(max(lightness, 0.34), 0.82))


def _button(brand: str, ground: str, dark: bool) -> str:
    """A button that stands out from the ground: the brand colour, or a near-white or near-black one on it."""
    if col.contrast(brand, ground) >= 3.0:
        return brand
    return col.tone(brand, 0.97, 0.2) if dark else col.tone(brand, 0.3, 0.8)


def _glyph_tones(brand: str, pale_panel: bool) -> dict[str, str]:
    """Main, dark, light and accent of the glyph; the accent is a neighbour of the brand's hue, half a turn warmer."""
    if pale_panel:
        main, dark, light = col.tone(brand, 0.62, 1.0), col.tone(brand, 0.36, 0.9), col.tone(brand, 0.97, 0.2)
    else:
        main, dark, light = col.tone(brand, 0.93, 0.3), col.tone(brand, 0.25, 0.8), col.tone(brand, 0.8, 0.7)
    hue = col.to_lch(brand)[2]
    return {"a": main, "b": dark, "c": light, "d": col.from_lch(0.78, 0.15, round((hue + 150) % 360, 1))}


def backdrop(box: Box, pattern: str, palette: Palette, focus: tuple[float, float, float]) -> tuple[Shape, ...]:
    """The panel behind the product. focus: (x, y, side) of the product's square, in pixels."""
    x, y, side = focus
    shapes = [Shape("rect", (box.x, box.y, box.w, box.h), palette.panel)]
    shapes += _PATTERNS[pattern](box, palette, side)
    centre, low = (x + side / 2, y + side / 2), y + side
    if pattern in ("arch", "stripes"):
        shapes.append(_arch(centre[0], low + side * 0.06, side * 0.62, side * 1.12, palette.accent_shape, box))
    else:
        shapes.append(Shape("ellipse", (*centre, side * 0.61, side * 0.61), palette.accent_shape))
    return tuple(shapes)


def _arch(x: float, base: float, half: float, height: float, fill: str, box: Box) -> Shape:
    """A round-headed window standing on the panel's lower edge."""
    top = base - height
    rim = [(x + half * math.cos(a), top + half + half * math.sin(a)) for a in np.linspace(math.pi, 2 * math.pi, 25)]
    points = [(x - half, float(box.bottom)), *rim, (x + half, float(box.bottom))]
    return Shape("polygon", tuple(round(v, 2) for p in points for v in p), fill)


def _dots(box: Box, palette: Palette, side: float) -> list[Shape]:
    step = max(10, round(side / 6))
    return [
        Shape(
            "ellipse",
            (box.x + i * step + step / 2, box.y + j * step + step / 2, step * 0.13, step * 0.13),
            palette.pattern,
        )
        for i in range(box.w // step + 1)
        for j in range(box.h // step + 1)
    ]


def _stripes(box: Box, palette: Palette, side: float) -> list[Shape]:
    step = max(12, round(side / 4))
    shapes = []
    for left in range(box.x - box.h, box.right, 2 * step):
        corners = (left, box.bottom, left + step, box.bottom, left + step + box.h, box.y, left + box.h, box.y)
        shapes.append(Shape("polygon", corners, palette.pattern))
    return shapes


def _waves(box: Box, palette: Palette, side: float) -> list[Shape]:
    length, rise = max(24.0, side * 0.7), side * 0.07
    shapes = []
    for top in np.arange(box.y + side * 0.12, box.bottom, side * 0.34):
        xs = np.arange(box.x - 4, box.right + 6, 4.0)
        upper = [(x, top + rise * math.sin(2 * math.pi * (x - box.x) / length)) for x in xs]
        lower = [(x, y + side * 0.12) for x, y in reversed(upper)]
        shapes.append(Shape("polygon", tuple(round(float(v), 2) for p in upper + lower for v in p), palette.pattern))
    return shapes


def _quarters(box: Box, palette: Palette, side: float) -> list[Shape]:
    radius = side * 0.52
    corners = ((box.x, box.y), (box.right, box.bottom)) if box.h > 60 else ((box.x, box.bottom),)
    return [Shape("ellipse", (x, y, radius, radius), palette.pattern) for x, y in corners]


_PATTERNS = {
    "circle": lambda box, palette, side: [],
    "plain": lambda box, palette, side: [],
    "arch": lambda box, palette, side: [],
    "dots": _dots,
    "stripes": _stripes,
    "waves": _waves,
    "quarters": _quarters,
}
