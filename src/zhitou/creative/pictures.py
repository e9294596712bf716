"""Product photographs from the materials' folder, fitted to a tile. Nothing is fetched and nothing retouched."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from zhitou.core.errors import SourceError
from zhitou.creative.frames import Frame
from zhitou.creative.scene import Box, Picture

BYTES_MAX = 20_000_000
PIXELS_MAX = 40_000_000
PADDING = 8


def read_source(name: str | None, folder: Path | None) -> bytes | None:
    """The picture file of this feed name inside `folder`; None if there is no such file or the name is an address.

    Refused (SourceError): names that lead out of the folder, files that are no picture, or too large.
    """
    if not name or folder is None or "://" in name:
        return None
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise SourceError(f"picture {name!r} lies outside the materials' folder; give a path inside it")
    if not path.is_file():
        return None
    if path.stat().st_size > BYTES_MAX:
        raise SourceError(f"picture {name!r} has more than {BYTES_MAX // 1_000_000} MB; give a smaller one")
    source = path.read_bytes()
    try:
        with Image.open(io.BytesIO(source)) as picture:
            pixels = picture.width * picture.height
            if pixels <= PIXELS_MAX:
                picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SourceError(f"picture {name!r} cannot be read as a picture; give a PNG, JPEG or WebP") from None
    if not 0 < pixels <= PIXELS_MAX:
        raise SourceError(f"picture {name!r} has {pixels} pixels, at most {PIXELS_MAX} are read; give a smaller one")
    return source


def fit_picture(source: bytes, frame: Frame) -> Picture:
    """The whole picture, as large as fits the frame's panel with a margin, in its own proportions, on white."""
    art, pad = frame.art, min(PADDING, frame.art.h // 8)
    if (
        art.y <= frame.label[1] < art.bottom and art.x < frame.label[0] - 12 < art.right
    ):  # the ad label stands on the panel
        low = frame.label[1] + 14 - pad
        art = Box(art.x, low, art.w, art.bottom - low)
    with Image.open(io.BytesIO(source)) as original:
        image = _flat(original)
    scale = min((art.w - 2 * pad) / image.width, (art.h - 2 * pad) / image.height)
    w, h = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = image.resize((w, h), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    fitted.save(out, "PNG", compress_level=6)
    box = Box(art.x + (art.w - w) // 2, art.y + (art.h - h) // 2, w, h)
    return Picture(box, out.getvalue(), hashlib.sha256(source).hexdigest())


def _flat(original: Image.Image) -> Image.Image:
    """As RGB; what is transparent becomes white."""
    if original.has_transparency_data:
        seen = original.convert("RGBA")
        ground = Image.new("RGB", seen.size, "white")
        ground.paste(seen.convert("RGB"), mask=seen.getchannel("A"))
        return ground
    return original.convert("RGB")
