"""The review: every banner is measured as it was drawn, and nothing with a finding ships.

It looks at pixels and finished texts, not at how the layout came about. A = ink of one part, as a bool [h, w] mask.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from zhitou.creative.brief import Brief
from zhitou.creative.claims import Finding, check_claims
from zhitou.creative.fonts import Fonts
from zhitou.creative.scene import Box, Layer, Scene, Text

WEIGHT_BYTES = {(300, 250): 150_000, (728, 90): 150_000, (320, 50): 50_000}  # IAB initial load
MARGIN_PIXELS = 4
MARGIN_PIXELS_LABEL = 1
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3; the larger-type allowance is not used
OVERHANG = 0.1  # of the type size: letters such as J reach a little out of their own width
TYPE_MIN = {"latin": 9, "cjk": 11}
BUTTON_AREA = (0.02, 0.18)  # share of the banner; real IAB banners have a median of 0.041
BUTTON_PIXELS = (44, 24)

_LINEAR = np.array([v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in range(256)])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Drawn:
    """A finished banner and its files."""

    scene: Scene
    texts: tuple[tuple[str, str], ...]
    image: Image.Image
    png: bytes
    html: bytes
    source_picture: bytes | None = None


def review(brief: Brief, drawn: Drawn, fonts: Fonts) -> tuple[Finding, ...]:
    """All findings about this banner; empty means approved."""
    found = check_claims(drawn.texts, brief.item, brief.material)
    found += _files(brief, drawn)
    found += _geometry(drawn.scene, fonts)
    found += _contrast(drawn.scene, drawn.image, fonts)
    found += _picture(drawn)
    return tuple(found)


def _files(brief: Brief, drawn: Drawn) -> Iterator[Finding]:
    if drawn.image.size != brief.size:
        yield Finding("size", f"the picture is {drawn.image.size}, the slot {brief.size}")
    for kind, content in (("png", drawn.png), ("html", drawn.html)):
        if len(content) > WEIGHT_BYTES[brief.size]:
            yield Finding(
                "weight",
                f"the {kind} has {len(content)} bytes, at most {WEIGHT_BYTES[brief.size]} are allowed",
            )
    on_banner = " ".join(text.text for _, text in drawn.scene.texts())
    for role, text in drawn.texts:
        if "".join(text.split()) not in "".join(on_banner.split()):
            yield Finding("text.lost", f"{role} {text!r} is not on the banner as it was written")


def _ink(text: Text, fonts: Fonts) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels that this text inks, from the left end of its baseline."""
    left, top, right, bottom = fonts.font(text.text, text.weight, text.size).getbbox(text.text, anchor="ls")
    return int(left), int(top), int(right), int(bottom)


def _extent(layer: Layer, fonts: Fonts) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of all that this layer inks."""
    boxes: list[tuple[float, float, float, float]] = []
    for text in layer.texts:
        left, top, right, bottom = _ink(text, fonts)
        boxes.append((text.x + left, text.y + top, text.x + right, text.y + bottom))
    for shape in layer.shapes:
        n = shape.numbers
        if shape.kind == "rect":
            boxes.append((n[0], n[1], n[0] + n[2], n[1] + n[3]))
        elif shape.kind == "ellipse":
            boxes.append((n[0] - n[2], n[1] - n[3], n[0] + n[2], n[1] + n[3]))
        else:
            boxes.append((min(n[::2]), min(n[1::2]), max(n[::2]), max(n[1::2])))
    if layer.picture is not None:
        b = layer.picture.box
        boxes.append((b.x, b.y, b.right, b.bottom))
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )


def _geometry(scene: Scene, fonts: Fonts) -> Iterator[Finding]:
    w, h = scene.size
    parts = [(layer, _extent(layer, fonts)) for layer in scene.layers if layer.role != "backdrop"]
    for layer, (left, top, right, bottom) in parts:
        margin = {"product": 0, "label": MARGIN_PIXELS_LABEL}.get(layer.role, MARGIN_PIXELS)
        if left < 0 or top < 0 or right > w or bottom > h:
            yield Finding("overflow", f"{layer.role} reaches outside the banner")
        elif left < margin or top < margin or right > w - margin or bottom > h - margin:
            yield Finding("margin", f"{layer.role} is nearer than {margin} px to the edge")
        yield from _inside(layer, fonts)
    for number, (one, a) in enumerate(parts):
        for other, b in parts[number + 1 :]:
            meet = a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
            if meet and (mask(one, scene.size, fonts) & mask(other, scene.size, fonts)).any():
                yield Finding("overlap", f"{one.role} and {other.role} lie on each other")
    yield from _button(scene)


def _inside(layer: Layer, fonts: Fonts) -> Iterator[Finding]:
    """Ink of text must stay in the box that the part was given, and be large enough to read."""
    b = layer.box
    for text in layer.texts:
        left, top, right, bottom = _ink(text, fonts)
        over = max(1, round(text.size * OVERHANG))
        wide = text.x + left < b.x - over or text.x + right > b.right + over
        if wide or text.y + top < b.y - 1 or text.y + bottom > b.bottom + 1:
            yield Finding("overflow", f"{layer.role} {text.text!r} inks outside its box")
        smallest = TYPE_MIN[fonts.family(text.text, text.weight)]
        if text.size < smallest:
            yield Finding("type.min", f"{layer.role} is set in {text.size} px, at least {smallest} are readable")


def _button(scene: Scene) -> Iterator[Finding]:
    button = scene.layer("button")
    if button is None:
        return
    share = button.box.w * button.box.h / (scene.size[0] * scene.size[1])
    if not BUTTON_AREA[0] <= share <= BUTTON_AREA[1]:
        yield Finding("button.area", f"the button takes {share:.1%} of the banner, expected {BUTTON_AREA}")
    if button.box.w < BUTTON_PIXELS[0] or button.box.h < BUTTON_PIXELS[1]:
        yield Finding(
            "button.area",
            f"the button has {button.box.w} x {button.box.h} px, at least {BUTTON_PIXELS} are needed",
        )


def mask(layer: Layer, size: tuple[int, int], fonts: Fonts) -> np.ndarray:
    """bool [h, w]: where this layer alone puts ink."""
    sheet = Image.new("L", size, 0)
    pen = ImageDraw.Draw(sheet)
    for shape in layer.shapes:
        n = shape.numbers
        if shape.kind == "rect":
            pen.rounded_rectangle((n[0], n[1], n[0] + n[2] - 1, n[1] + n[3] - 1), shape.radius, fill=255)
        elif shape.kind == "ellipse":
            pen.ellipse((n[0] - n[2], n[1] - n[3], n[0] + n[2], n[1] + n[3]), fill=255)
        else:
            pen.polygon(list(n), fill=255)
    if layer.picture is not None:
        b = layer.picture.box
        pen.rectangle((b.x, b.y, b.right - 1, b.bottom - 1), fill=255)
    for text in layer.texts:
        pen.text(
            (text.x, text.y),
            text.text,
            fill=255,
            font=fonts.font(text.text, text.weight, text.size),
            anchor="ls",
        )
    return np.asarray(sheet) > 64


def _contrast(scene: Scene, image: Image.Image, fonts: Fonts) -> Iterator[Finding]:
    pixels = np.asarray(image)
    for role, text in scene.texts():
        ratio = measured_contrast(text, pixels, fonts)
        if ratio < CONTRAST_MIN:
            yield Finding(
                "contrast",
                f"{role} {text.text!r} has {ratio:.2f} : 1 on its ground, at least {CONTRAST_MIN} are needed",
            )


def measured_contrast(text: Text, pixels: np.ndarray, fonts: Fonts) -> float:
    """WCAG ratio in the drawn banner (uint8 [h, w, 3]): letters against the worst twentieth of what is around them.

    Letters are the pixels that are inked fully, or as fully as any; around them are those within two pixels.
    """
    font = fonts.font(text.text, text.weight, text.size)
    left, top, right, bottom = font.getbbox(text.text, anchor="ls")
    x, y = max(0, text.x + int(left) - 2), max(0, text.y + int(top) - 2)
    area = pixels[y : text.y + int(bottom) + 3, x : text.x + int(right) + 3]
    sheet = Image.new("L", (area.shape[1], area.shape[0]), 0)
    ImageDraw.Draw(sheet).text((text.x - x, text.y - y), text.text, fill=255, font=font, anchor="ls")
    ink = np.asarray(sheet)
    ring = _near(ink > 0) & (ink == 0)
    if text.strike:
        row = text.y - round(text.size * 0.3) - y
        ring[max(0, row - 1) : row + 3] = False
    if not ring.any() or not ink.any():
        return 0.0
    letter = float(np.median(_LINEAR[area[ink >= min(int(ink.max()), 235)]] @ _LUMINANCE))
    around = np.sort(_LINEAR[area[ring]] @ _LUMINANCE)
    worst = around[-1 - len(around) // 20] if letter > around[len(around) // 2] else around[len(around) // 20]
    return float((max(worst, letter) + 0.05) / (min(worst, letter) + 0.05))


def _near(ink: np.ndarray) -> np.ndarray:
    """bool [h, w]: within two pixels of ink, along rows and columns."""
    rows = ink.copy()
    for by in (1, 2):
        rows[by:] |= ink[:-by]
        rows[:-by] |= ink[by:]
    near = rows.copy()
    for by in (1, 2):
        near[:, by:] |= rows[:, :-by]
        near[:, :-by] |= rows[:, by:]
    return near


def _picture(drawn: Drawn) -> Iterator[Finding]:
    """A product picture may be made smaller, and nothing else: each pixel must be the resized source's."""
    layer = drawn.scene.layer("product")
    if layer is None or layer.picture is None:
        return
    picture, source = layer.picture, drawn.source_picture
    if source is None or hashlib.sha256(source).hexdigest() != picture.source_sha256:
        yield Finding("picture.source", "the picture on the banner is not the one in the materials")
        return
    box: Box = picture.box
    with Image.open(io.BytesIO(source)) as original:
        ratio = original.width / original.height
        wanted = _on_white(original).resize((box.w, box.h), Image.Resampling.LANCZOS)
    if abs(ratio - box.w / box.h) > ratio * 0.05 + 1 / min(box.w, box.h):
        yield Finding("picture.exact", f"the picture was stretched from {ratio:.2f} to {box.w / box.h:.2f}")
    shown = drawn.image.crop((box.x, box.y, box.right, box.bottom))
    if not np.array_equal(np.asarray(shown), np.asarray(wanted)):
        yield Finding("picture.exact", "the picture on the banner differs from the resized source")


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        ground = Image.new("RGB", picture.size, "white")
        ground.paste(picture.convert("RGB"), mask=picture.convert("RGBA").getchannel("A"))
        return ground
    return picture.convert("RGB")
