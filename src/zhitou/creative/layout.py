"""From copy, genes and frame to a scene: the largest type and the fullest text that keep every constraint.

The search is small and complete: headlines from the fullest, with a subline or without, type sizes from the largest.
The first that fits every box is taken; if none does, the banner is infeasible and the reason says which part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from zhitou.creative.copywriter import Copy, Line
from zhitou.creative.design import Genes, Palette, backdrop
from zhitou.creative.fonts import Fonts
from zhitou.creative.frames import Frame, frame_for
from zhitou.creative.glyphs import glyph_shapes
from zhitou.creative.scene import Box, Layer, Picture, Scene, Shape, Text
from zhitou.creative.text import Fitted, fit
from zhitou.creative.titles import is_cjk

LEGAL_SIZE = 9
LABEL_SIZE = 9
CJK_SIZE_MIN = 11
STEPS = 8


@dataclass(frozen=True)
class Infeasible:
    """No arrangement keeps the constraints. `part` did not fit, `detail` says into what."""

    part: str
    detail: str


@dataclass(frozen=True)
class Laid:
    """A scene, and the lines that were chosen for it by role."""

    scene: Scene
    lines: tuple[tuple[str, Line], ...]


@dataclass(frozen=True)
class _Foot:
    layers: tuple[Layer, ...]
    lines: tuple[tuple[str, Line], ...]
    top: int
    left: int


@dataclass(frozen=True)
class _Head:
    layers: tuple[Layer, ...]
    lines: tuple[tuple[str, Line], ...]


def lay_out(
    size: tuple[int, int],
    copy: Copy,
    genes: Genes,
    palette: Palette,
    glyph: str,
    picture: Picture | None,
    locale: str,
    fonts: Fonts,
) -> Laid | Infeasible:
    """The scene of this copy in this design, or why there is none."""
    frame = frame_for(size, genes.family, genes.mirrored)
    if not copy.headlines:
        return Infeasible("name", "the feed row has no readable name and no category")
    pen = _Pen(fonts)
    found: tuple[_Foot, _Head] | Infeasible = Infeasible("headline", "nothing tried")
    for lesser in _lesser(copy, frame):
        found = _text(frame, lesser, genes, palette, pen)
        if not isinstance(found, Infeasible):
            break
    if isinstance(found, Infeasible):
        return found
    foot, head = found
    art = _art(size, frame, genes, palette, glyph, picture)
    extras, extra_lines = _extras(size[1], frame, copy, palette, pen, picture)
    layers = (*art, *extras, *head.layers, *foot.layers)
    lines = (*head.lines, *foot.lines, *extra_lines)
    alt = " · ".join(line.text for role, line in lines if role in ("logo", "headline", "price"))
    return Laid(Scene(size, palette.ground, layers, locale, alt), lines)


def _lesser(copy: Copy, frame: Frame) -> Iterator[Copy]:
    """The copy; then, in a small strip, with the short button; then without the price, which the page shows."""
    yield copy
    if frame.foot_mode == "side":
        yield replace(copy, buttons=copy.buttons[-1:])
        yield replace(copy, buttons=copy.buttons[-1:], price=None, was_price=None)


def _text(frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen) -> tuple[_Foot, _Head] | Infeasible:
    """Foot first, because price and button are not negotiable; the head gets what is left."""
    foot = _foot(frame, copy, genes, palette, pen)
    if isinstance(foot, Infeasible):
        return foot
    box = frame.head
    if frame.foot_mode == "side":
        box = replace(box, w=foot.left - 14 - box.x)
    else:
        free = foot.top - 8 - box.y
        box = replace(box, h=min(free, box.h) if box.h else free)
    head = _head(box, frame, copy, genes, palette, pen)
    return head if isinstance(head, Infeasible) else (foot, head)


class _Pen:
    """Sets text: fits it at a size, and places fitted lines as Text."""

    def __init__(self, fonts: Fonts) -> None:
        self._fonts = fonts

    def fit(self, text: str, weight: str, size: int, width: float, lines: int, leading: float = 1.2) -> Fitted | None:
        """None if the text does not fit, or is Chinese and smaller than it can be read."""
        if is_cjk(text) and size < CJK_SIZE_MIN:
            return None
        return fit(text, size, width, lines, lambda piece, at: self._fonts.width(piece, weight, at), leading)

    def largest(self, text: str, weight: str, sizes: tuple[int, int], width: float, lines: int = 1) -> Fitted | None:
        """The largest size from sizes[0] down to sizes[1] that fits."""
        tried = (self.fit(text, weight, size, width, lines) for size in range(sizes[0], sizes[1] - 1, -1))
        return next((found for found in tried if found), None)

    @staticmethod
    def place(
        fitted: Fitted, x: float, y: int, weight: str, fill: str, centre: float = 0, strike: bool = False
    ) -> tuple[Text, ...]:
        """The lines from (x, y) downwards; centred in `centre` pixels if that is not 0."""
        texts = []
        for number, (line, width) in enumerate(zip(fitted.lines, fitted.widths, strict=True)):
            left = round(x + (centre - width) / 2) if centre else round(x)
            base = y + number * fitted.line_height + round(fitted.line_height / 2 + fitted.size * 0.36)
            texts.append(Text(left, base, line, weight, fitted.size, fill, round(width, 1), strike))
        return tuple(texts)


def _sizes(text: str, largest: int, smallest: int) -> tuple[int, int]:
    """The type sizes to try; Chinese is not readable as small as Latin."""
    least = max(smallest, CJK_SIZE_MIN) if is_cjk(text) else smallest
    return max(largest, least), least


def _head(box: Box, frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen) -> _Head | Infeasible:
    """Logo, headline and, where there is room, subline."""
    beside_label = box.right > frame.label[0] - 30 and box.y < frame.label[1] + 12
    logo_width = box.w - (30 if beside_label else 0)
    logo = pen.largest(copy.logo.text, "bold", _sizes(copy.logo.text, frame.logo, 9), logo_width)
    if logo is None:
        return Infeasible(
            "logo", f"the wordmark {copy.logo.text!r} is wider than {logo_width} px at its smallest size"
        )
    for headline, subline, share in _attempts(copy, genes, _is_small(frame)):
        found = _try_head(
            box, frame, headline, subline, share, logo, subline is not None and subline is copy.legal, pen
        )
        if found is None:
            continue
        title, sub, tops = found
        layers = [
            _layer("logo", pen.place(logo, box.x, tops[0], "bold", palette.logo), box.x, tops[0], logo),
            _layer("headline", pen.place(title, box.x, tops[1], "bold", palette.ink), box.x, tops[1], title),
        ]
        lines = [("logo", copy.logo), ("headline", headline)]
        if sub is not None and subline is not None:
            role = "legal" if subline is copy.legal else "subline"
            layers.append(_layer(role, pen.place(sub, box.x, tops[2], "regular", palette.soft), box.x, tops[2], sub))
            lines.append((role, subline))
        return _Head(tuple(layers), tuple(lines))
    return Infeasible("headline", f"no name of the product fits {box.w} x {box.h} px at {frame.headline[1]} px")


def _is_small(frame: Frame) -> bool:
    """A strip too low for a legal line of its own: there it takes the subline's place."""
    return frame.foot_mode == "side" and frame.foot.h < 40


def _attempts(copy: Copy, genes: Genes, small: bool) -> Iterator[tuple[Line, Line | None, float]]:
    """(headline, subline, how far the type has shrunk from 0 to 1), the best first."""
    start = 3 if genes.emphasis == "price" and copy.price else 0
    for floor, ceiling in ((start, 5), (0, STEPS + 1)):
        for headline in copy.headlines:
            said = headline.text.lower()
            sublines = [s for s in copy.sublines if not any(v.lower() in said for _, v in s.slots)]
            if small and copy.legal:
                yield from ((headline, copy.legal, step / STEPS) for step in range(floor, ceiling))
                continue
            for step in range(floor, ceiling):
                for subline in sublines[:3]:
                    yield headline, subline, step / STEPS
            for step in range(floor, ceiling):
                yield headline, None, step / STEPS


def _try_head(
    box: Box,
    frame: Frame,
    headline: Line,
    subline: Line | None,
    share: float,
    logo: Fitted,
    legal: bool,
    pen: _Pen,
) -> tuple[Fitted, Fitted | None, tuple[int, int, int]] | None:
    """The fitted parts and their tops, or None if they need more than the box."""
    largest, smallest = frame.headline
    size = round(largest - share * (largest - smallest))
    title = pen.fit(headline.text, "bold", size, box.w, frame.headline_lines, 1.14)
    if title is None:
        return None
    sub = None
    if subline is not None:
        sizes = _sizes(subline.text, *((LEGAL_SIZE, LEGAL_SIZE) if legal else frame.subline))
        sub = pen.largest(subline.text, "regular", sizes, box.w, frame.subline_lines)
        if sub is None:
            return None
    tight = box.h <= 80
    gaps = (max(1, size // 10), max(1, size // 8)) if tight else (10, 6)
    height = logo.height + gaps[0] + title.height + (gaps[1] + sub.height if sub else 0)
    if height > box.h:
        return None
    top = box.y + ((box.h - height) // 2 if tight else 0)
    below = top + logo.height + gaps[0]
    return title, sub, (top, below, below + title.height + gaps[1])


def _layer(
    role: str, texts: tuple[Text, ...], x: float, y: int, fitted: Fitted, shapes: tuple[Shape, ...] = ()
) -> Layer:
    return Layer(role, Box(round(x), y, round(fitted.width + 0.5), fitted.height), shapes, texts)


def _foot(frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen) -> _Foot | Infeasible:
    """Price, was-price, button and legal line: stacked, in a row, or side by side at the right end of a strip."""
    height, size, pad = frame.button
    words = copy.buttons[0]
    verb = pen.largest(words.text, "bold", (size, 11), frame.foot.w - 2 * pad)
    if verb is None:
        return Infeasible("button", f"{words.text!r} does not fit its button")
    width = max(round(verb.width) + 2 * pad, 44)
    legal = None
    if copy.legal and not _is_small(frame):
        legal_width = frame.foot.w if frame.foot_mode != "side" else 170
        legal = pen.largest(
            copy.legal.text, "regular", _sizes(copy.legal.text, LEGAL_SIZE, LEGAL_SIZE), legal_width, 2
        )
        if legal is None:
            return Infeasible("legal", f"the legal line does not fit {legal_width} px in two lines")
    bottom = frame.foot.bottom - (legal.height + 6 if legal else 0)
    places = {"stack": _stack, "row": _row, "side": _side}[frame.foot_mode]
    placed = places(frame, copy, genes, palette, pen, width, bottom)
    if isinstance(placed, Infeasible):
        return placed
    layers, lines, button, top, left = placed
    radius = {"pill": height / 2, "round": 6.0, "square": 2.0}[genes.button_shape]
    face = Shape("rect", (button.x, button.y, button.w, button.h), palette.button, radius)
    y = button.y + (button.h - verb.line_height) // 2
    texts = pen.place(verb, button.x, y, "bold", palette.button_ink, centre=button.w)
    layers.append(Layer("button", button, (face,), texts))
    lines.append(("button", words))
    if legal and copy.legal:
        x = frame.foot.x if frame.foot_mode != "side" else frame.foot.right - round(legal.width)
        y = frame.foot.bottom - legal.height
        layers.append(_layer("legal", pen.place(legal, x, y, "regular", palette.soft), x, y, legal))
        lines.append(("legal", copy.legal))
        left = min(left, x)
    return _Foot(tuple(layers), tuple(lines), top, left)


_Placed = tuple[list[Layer], list[tuple[str, Line]], Box, int, int]  # layers, lines, button, top, left


def _prices(
    frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen, width: float
) -> tuple[Fitted | None, Fitted | None] | Infeasible:
    """The fitted price and was-price; the was-price is left out before the price shrinks below its size."""
    if copy.price is None:
        return None, None
    largest, smallest = frame.price
    if genes.emphasis != "price":
        largest = round(largest * 0.84)
    price = pen.largest(copy.price.text, "bold", (max(largest, smallest), smallest), width)
    if price is None:
        return Infeasible("price", f"the price {copy.price.text!r} does not fit {width:.0f} px at {smallest} px")
    was = None
    if copy.was_price:
        was = pen.largest(copy.was_price.text, "regular", (max(11, price.size // 2), 9), width)
    return price, was


def _price_layers(
    price: Fitted, was: Fitted | None, x: float, y: int, beside: bool, copy: Copy, palette: Palette, pen: _Pen
) -> tuple[list[Layer], list[tuple[str, Line]]]:
    assert copy.price is not None, "a fitted price has a line"
    layers = [_layer("price", pen.place(price, x, y, "bold", palette.ink), x, y, price)]
    lines = [("price", copy.price)]
    if was is not None and copy.was_price is not None:
        was_x = x + price.width + 8 if beside else x
        base = y + round(price.line_height / 2 + price.size * 0.36)
        was_y = base - round(was.line_height / 2 + was.size * 0.36) if beside else y + price.height
        texts = pen.place(was, was_x, was_y, "regular", palette.soft, strike=True)
        layers.append(_layer("was_price", texts, was_x, was_y, was))
        lines.append(("was_price", copy.was_price))
    return layers, lines


def _stack(
    frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen, width: int, bottom: int
) -> _Placed | Infeasible:
    button = Box(frame.foot.x, bottom - frame.button[0], width, frame.button[0])
    fitted = _prices(frame, copy, genes, palette, pen, frame.foot.w)
    if isinstance(fitted, Infeasible):
        return fitted
    price, was = fitted
    if price is None:
        return [], [], button, button.y - 4, frame.foot.x
    beside = was is None or price.width + 8 + was.width <= frame.foot.w
    y = button.y - 8 - price.height - (0 if beside or was is None else was.height)
    layers, lines = _price_layers(price, was, frame.foot.x, y, beside, copy, palette, pen)
    return layers, lines, button, y, frame.foot.x


def _row(
    frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen, width: int, bottom: int
) -> _Placed | Infeasible:
    height = frame.button[0]
    fitted = _prices(frame, copy, genes, palette, pen, frame.foot.w - width - 16)
    if isinstance(fitted, Infeasible):
        return fitted
    price, was = fitted
    if price is None:
        return [], [], Box(frame.foot.x, bottom - height, width, height), bottom - height, frame.foot.x
    beside = was is None or price.width + 8 + was.width <= frame.foot.w - width - 16
    both = price.height + (0 if beside or was is None else was.height)
    tall = max(height, both)
    button = Box(frame.foot.right - width, bottom - tall + (tall - height) // 2, width, height)
    y = bottom - tall + (tall - both) // 2
    layers, lines = _price_layers(price, was, frame.foot.x, y, beside, copy, palette, pen)
    return layers, lines, button, bottom - tall, frame.foot.x


def _side(
    frame: Frame, copy: Copy, genes: Genes, palette: Palette, pen: _Pen, width: int, bottom: int
) -> _Placed | Infeasible:
    height = frame.button[0]
    foot = frame.foot
    top = foot.y + max(0, (bottom - foot.y - height)) // 2
    if bottom == foot.bottom and not _is_small(frame):
        top = (90 - height) // 2
    button = Box(foot.right - width, top, width, height)
    fitted = _prices(frame, copy, genes, palette, pen, foot.w * 0.2 + 40)
    if isinstance(fitted, Infeasible):
        return fitted
    price, was = fitted
    if price is None:
        return [], [], button, top, button.x
    if _is_small(frame):
        was = None
    block = max(price.width, was.width if was else 0)
    x = button.x - (10 if _is_small(frame) else 18) - round(block)
    tall = price.height + (was.height if was else 0)
    y = top + (height - tall) // 2
    layers, lines = _price_layers(price, was, x, y, False, copy, palette, pen)
    return layers, lines, button, top, x


def _art(
    size: tuple[int, int], frame: Frame, genes: Genes, palette: Palette, glyph: str, picture: Picture | None
) -> list[Layer]:
    """The panel and the product on it: its picture if there is one, else a glyph of its kind."""
    x, y, side = frame.product
    whole = Box(0, 0, *size)
    layers = []
    if frame.card is not None:
        c = frame.card
        ground = Shape("rect", (0, 0, *size), palette.panel)
        layers.append(Layer("backdrop", whole, (ground, Shape("rect", (c.x, c.y, c.w, c.h), palette.card, 14))))
    if picture is not None:
        b = picture.box
        panel, radius = (b.inset(-6), 8) if frame.free_art else (frame.art, frame.art_radius)
        tile = Shape("rect", (panel.x, panel.y, panel.w, panel.h), "#ffffff", radius)
        layers.append(Layer("backdrop", panel, (tile,)))
        return [*layers, Layer("product", b, (), (), picture)]
    if frame.free_art:
        circle = Shape("ellipse", (x + side / 2, y + side / 2, side * 0.84, side * 0.84), palette.panel)
        ring = Shape("ellipse", (x + side / 2, y + side / 2, side * 0.66, side * 0.66), palette.accent_shape)
        layers.append(Layer("backdrop", whole, (circle, ring), clip=whole))
    else:
        shapes = backdrop(frame.art, genes.pattern, palette, frame.product)
        layers.append(Layer("backdrop", frame.art, shapes, clip=frame.art, clip_radius=frame.art_radius))
    box = Box(round(x), round(y), round(side), round(side))
    return [*layers, Layer("product", box, glyph_shapes(glyph, x, y, side, palette.glyph))]


def _extras(
    height: int, frame: Frame, copy: Copy, palette: Palette, pen: _Pen, picture: Picture | None
) -> tuple[list[Layer], list[tuple[str, Line]]]:
    """The ad label, and the discount badge where it has room and does not cover the picture."""
    layers, lines = [], []
    size = CJK_SIZE_MIN if is_cjk(copy.label.text) else LABEL_SIZE
    label = pen.fit(copy.label.text, "regular", size, 60, 1)
    if label is not None:
        width = round(label.width) + 8
        box = Box(frame.label[0] - width, min(frame.label[1], height - label.height - 2), width, label.height + 1)
        pill = Shape("rect", (box.x, box.y, box.w, box.h), palette.label, 3)
        texts = pen.place(label, box.x, box.y, "regular", palette.label_ink, centre=box.w)
        layers.append(Layer("label", box, (pill,), texts))
        lines.append(("label", copy.label))
    if copy.badge and frame.badge and not (picture and _covers(frame.badge, picture.box)):
        x, y, radius = frame.badge
        badge = pen.largest(copy.badge.text, "bold", (max(9, round(radius * 0.62)), 9), radius * 1.75)
        if badge is not None:
            box = Box(x - radius, y - radius, 2 * radius, 2 * radius)
            disc = Shape("ellipse", (x, y, radius, radius), palette.badge)
            texts = pen.place(badge, box.x, y - badge.line_height // 2, "bold", palette.badge_ink, centre=box.w)
            layers.append(Layer("badge", box, (disc,), texts))
            lines.append(("badge", copy.badge))
    return layers, lines


def _covers(disc: tuple[int, int, int], box: Box) -> bool:
    x, y, radius = disc
    return box.x - radius < x < box.right + radius and box.y - radius < y < box.bottom + radius
