"""Colour arithmetic: OKLab lightness steps of a brand colour, and WCAG contrast.

Colours are #rrggbb; OKLab after Ottosson (2020), contrast after WCAG 2.2: (L1 + 0.05) / (L2 + 0.05).
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from zhitou.core.errors import ConfigError

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def rgb(colour: str) -> tuple[int, int, int]:
    """The three channels, 0 to 255. Refused (ConfigError): anything that is not #rrggbb."""
    if not _HEX.fullmatch(colour):
        raise ConfigError(f"a colour is #rrggbb, got {colour!r}; correct it in the campaign's material")
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _gamma(channel: float) -> float:
    return channel * 12.92 if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055


@lru_cache(maxsize=4096)
def luminance(colour: str) -> float:
    """Relative luminance, 0 (black) to 1 (white)."""
    r, g, b = (_linear(v / 255) for v in rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@lru_cache(maxsize=4096)
def to_lch(colour: str) -> tuple[float, float, float]:
    """OKLab lightness 0..1, chroma 0..0.4, hue in degrees."""
    r, g, b = (_linear(v / 255) for v in rgb(colour))
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    lightness = 0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return lightness, math.hypot(a, b), math.degrees(math.atan2(b, a)) % 360


@lru_cache(maxsize=8192)
def from_lch(lightness: float, chroma: float, hue: float) -> str:
    """The nearest colour on a screen: chroma is lowered until all three channels fit."""
    for share in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0):
        channels = _channels(lightness, chroma * share, hue)
        if all(-0.002 <= v <= 1.002 for v in channels):
            break
    return "#" + "".join(f"{round(255 * _gamma(min(max(v, 0.0), 1.0))):02x}" for v in channels)


def _channels(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def tone(colour: str, lightness: float, chroma: float = 1.0, turn: float = 0.0) -> str:
    """The colour at another lightness, its chroma times `chroma`, its hue turned by `turn` degrees."""
    _, c, h = to_lch(colour)
    return from_lch(round(lightness, 4), round(c * chroma, 5), round((h + turn) % 360, 3))


def ink_on(ground: str, wish: str, at_least: float = 5.0) -> str:
    """`wish`, or its nearest lighter or darker step that has this contrast on the ground; else black or white."""
    if contrast(ground, wish) >= at_least:
        return wish
    start = to_lch(wish)[0]
    down = contrast(ground, "#000000") >= contrast(ground, "#ffffff")
    for step in range(1, 21):
        lightness = start - step * start / 20 if down else start + step * (1 - start) / 20
        found = tone(wish, lightness)
        if contrast(ground, found) >= at_least:
            return found
    return "#000000" if down else "#ffffff"
