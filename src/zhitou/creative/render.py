"""One scene, two back ends: pixels by Pillow, and HTML with real text. The same scene gives the same bytes."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable

from PIL import Image, ImageDraw

from zhitou.creative.colour import rgb
from zhitou.creative.fonts import Fonts
from zhitou.creative.scene import Box, Layer, Scene, Shape, Text

FINE = 4  # shapes are drawn this many times larger and averaged down: Pillow's own edges are not smooth
CLICK_MACRO = "${CLICK_URL}"
FONT_STACK = "Inter,Lato,'Noto Sans','Noto Sans CJK SC','PingFang SC','Microsoft YaHei',Arial,sans-serif"


def draw(scene: Scene, fonts: Fonts) -> Image.Image:
    """The banner as an RGB picture of exactly scene.size."""
    w, h = scene.size
    fine = Image.new("RGB", (w * FINE, h * FINE), rgb(scene.ground))
    for layer in scene.layers:
        if layer.clip is None:
            _draw_shapes(ImageDraw.Draw(fine), layer.shapes, 0, 0)
        else:
            _draw_clipped(fine, layer, layer.clip)
    image = fine.reduce(FINE)
    pen = ImageDraw.Draw(image)
    for layer in scene.layers:
        if layer.picture is not None:
            with Image.open(io.BytesIO(layer.picture.png)) as picture:
                image.paste(picture.convert("RGB"), (layer.picture.box.x, layer.picture.box.y))
        for text in layer.texts:
            _draw_text(pen, text, fonts)
    return image


def png_bytes(image: Image.Image) -> bytes:
    """The picture as PNG without metadata."""
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _draw_shapes(pen: ImageDraw.ImageDraw, shapes: Iterable[Shape], dx: float, dy: float) -> None:
    for shape in shapes:
        n = shape.numbers
        if shape.kind == "rect":
            corners = (
                (n[0] - dx) * FINE,
                (n[1] - dy) * FINE,
                (n[0] + n[2] - dx) * FINE - 1,
                (n[1] + n[3] - dy) * FINE - 1,
            )
            radius = min(shape.radius, n[2] / 2, n[3] / 2) * FINE
            if radius > 0:
                pen.rounded_rectangle(corners, radius, fill=shape.fill)
            else:
                pen.rectangle(corners, fill=shape.fill)
        elif shape.kind == "ellipse":
            x, y, rx, ry = (n[0] - dx) * FINE, (n[1] - dy) * FINE, n[2] * FINE, n[3] * FINE
            pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=shape.fill)
        else:
            pen.polygon([((n[i] - dx) * FINE, (n[i + 1] - dy) * FINE) for i in range(0, len(n), 2)], fill=shape.fill)


def _draw_clipped(fine: Image.Image, layer: Layer, clip: Box) -> None:
    """Shapes that may reach beyond `clip` are drawn on a sheet of its size and pasted through its rounded mask."""
    size = (clip.w * FINE, clip.h * FINE)
    at = (clip.x * FINE, clip.y * FINE)
    sheet = fine.crop((*at, at[0] + size[0], at[1] + size[1]))
    _draw_shapes(ImageDraw.Draw(sheet), layer.shapes, clip.x, clip.y)
    if layer.clip_radius:
        mask = Image.new("L", size, 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), layer.clip_radius * FINE, fill=255)
        fine.paste(sheet, at, mask)
    else:
        fine.paste(sheet, at)


def _draw_text(pen: ImageDraw.ImageDraw, text: Text, fonts: Fonts) -> None:
    if text.strike:
        y = text.y - round(text.size * 0.3)
        pen.rectangle((text.x - 1, y, text.x + round(text.width), y + max(0, text.size // 14)), fill=text.fill)
    pen.text(
        (text.x, text.y),
        text.text,
        fill=text.fill,
        font=fonts.font(text.text, text.weight, text.size),
        anchor="ls",
    )


def html_bytes(scene: Scene) -> bytes:
    """The banner as one HTML5 document: no request, no script, text as text.

    The text's width is pinned, so that a reader without our fonts sees no overflow. The link is CLICK_MACRO, which
    the ad server replaces by its signed click address (already escaped for an attribute).
    """
    w, h = scene.size
    body = "".join(_svg_layer(layer, number) for number, layer in enumerate(scene.layers))
    page = (
        f'<!doctype html><html lang="{"zh-CN" if scene.locale == "zh" else "en"}"><head><meta charset="utf-8">'
        f'<meta name="ad.size" content="width={w},height={h}"><title>{html.escape(scene.alt)}</title><style>'
        f"html,body{{margin:0}}a,svg{{display:block;width:{w}px;height:{h}px}}"
        f"text{{font-family:{FONT_STACK};white-space:pre}}"
        ".bold{font-weight:700}.strike{text-decoration:line-through}"
        f'</style></head><body><a href="{CLICK_MACRO}" target="_blank" rel="noopener sponsored">'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" role="img"'
        f' aria-label="{html.escape(scene.alt)}">'
        f'<rect width="{w}" height="{h}" fill="{scene.ground}"/>{body}</svg></a></body></html>'
    )
    return page.encode()


def _svg_layer(layer: Layer, number: int) -> str:
    shapes = "".join(_svg_shape(shape) for shape in layer.shapes)
    if layer.clip is not None:
        c, name = layer.clip, f"c{number}"
        rect = f'<rect x="{c.x}" y="{c.y}" width="{c.w}" height="{c.h}" rx="{layer.clip_radius}"/>'
        shapes = f'<clipPath id="{name}">{rect}</clipPath><g clip-path="url(#{name})">{shapes}</g>'
    picture = ""
    if layer.picture is not None:
        p = layer.picture
        data = base64.b64encode(p.png).decode()
        place = f'x="{p.box.x}" y="{p.box.y}" width="{p.box.w}" height="{p.box.h}"'
        picture = f'<image {place} href="data:image/png;base64,{data}"/>'
    return f'<g id="{layer.role}">{shapes}{picture}{"".join(_svg_text(t) for t in layer.texts)}</g>'


def _number(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _svg_shape(shape: Shape) -> str:
    n = [_number(v) for v in shape.numbers]
    if shape.kind == "rect":
        radius = f' rx="{_number(shape.radius)}"' if shape.radius else ""
        return f'<rect x="{n[0]}" y="{n[1]}" width="{n[2]}" height="{n[3]}"{radius} fill="{shape.fill}"/>'
    if shape.kind == "ellipse":
        return f'<ellipse cx="{n[0]}" cy="{n[1]}" rx="{n[2]}" ry="{n[3]}" fill="{shape.fill}"/>'
    return f'<polygon points="{" ".join(n)}" fill="{shape.fill}"/>'


def _svg_text(text: Text) -> str:
    classes = " ".join(c for c in ("bold" if text.weight == "bold" else "", "strike" if text.strike else "") if c)
    named = f' class="{classes}"' if classes else ""
    return (
        f'<text x="{text.x}" y="{text.y}" font-size="{text.size}"{named} fill="{text.fill}"'
        f' textLength="{_number(text.width)}" lengthAdjust="spacingAndGlyphs">{html.escape(text.text)}</text>'
    )
