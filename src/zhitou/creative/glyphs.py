"""Product glyphs from simple shapes, for feed rows without a picture: a bottle, a loaf, a shoe.

A glyph stands in a square of 100 x 100, y downwards, drawn in four tones of the palette: a main, b dark,
c light,
d accent. It shows the kind of product, never the product.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

from zhitou.creative.scene import Shape

TONES = "abcd"
_Piece = tuple[str, str, tuple[float, ...], float]  # (kind, tone, numbers, radius)


def _r(tone: str, x: float, y: float, w: float, h: float, radius: float = 0.0) -> _Piece:
    return ("rect", tone, (x, y, w, h), radius)


def _e(tone: str, x: float, y: float, rx: float, ry: float | None = None) -> _Piece:
    return ("ellipse", tone, (x, y, rx, rx if ry is None else ry), 0.0)


def _p(tone: str, *numbers: float) -> _Piece:
    return ("polygon", tone, numbers, 0.0)


def _smooth(tone: str, *numbers: float, steps: int = 6) -> _Piece:
    """A closed Catmull-Rom curve through these points."""
    n, out = len(numbers) // 2, []
    for i in range(n):
        for t in (step / steps for step in range(steps)):
            for axis in (0, 1):
                a, b, c, d = (numbers[2 * ((i + k - 1) % n) + axis] for k in range(4))
                curve = (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
                out.append(round(0.5 * (2 * b + (c - a) * t + curve), 2))
    return ("polygon", tone, tuple(out), 0.0)


def _spoke(tone: str, angle: float, length: float, half: float) -> _Piece:
    """A bar through the middle of the square."""
    x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = ((length, half), (length, -half), (-length, -half), (-length, half))
    placed = ((50 + along * x - across * y, 50 + along * y + across * x) for along, across in corners)
    return ("polygon", tone, tuple(round(v, 2) for p in placed for v in p), 0.0)


def _arc(tone: str, x: float, y: float, outer: float, inner: float, start: float, end: float) -> _Piece:
    """Part of a ring, angles in degrees from the right, clockwise."""
    steps = max(4, int(abs(end - start) / 8))
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    rim = [(x + outer * math.cos(a), y + outer * math.sin(a)) for a in angles]
    back = [(x + inner * math.cos(a), y + inner * math.sin(a)) for a in reversed(angles)]
    return ("polygon", tone, tuple(round(v, 2) for p in rim + back for v in p), 0.0)


GLYPHS: dict[str, tuple[_Piece, ...]] = {
    "bottle": (
        _smooth("a", 42, 24, 58, 24, 60, 36, 70, 50, 70, 92, 66, 97, 34, 97, 30, 92, 30, 50, 40, 36),
        _r("b", 41, 6, 18, 12, 3), _r("c", 42, 18, 16, 8), _r("c", 30, 56, 40, 24), _e("d", 50, 68, 8),
        _r("c", 36, 44, 4, 10, 2),
    ),
    "can": (
        _r("a", 27, 12, 46, 80, 9), _r("b", 32, 6, 36, 9, 4), _r("b", 32, 88, 36, 8, 4), _r("c", 27, 34, 46,
        34),
        _e("d", 50, 51, 12), _r("c", 33, 20, 4, 9, 2),
    ),
    "carton": (
        _p("b", 30, 26, 40, 8, 60, 8, 70, 26), _r("a", 30, 26, 40, 70, 2), _r("c", 30, 50, 40, 28), _e("d",
        50, 64, 9),
        _r("b", 40, 4, 20, 7, 2),
    ),
    "box": (
        _r("a", 22, 14, 56, 80, 3), _r("b", 22, 14, 56, 14, 3), _e("c", 50, 56, 21), _e("d", 50, 56, 12),
        _r("c", 32, 84, 36, 4, 2),
    ),
    "bag": (
        _smooth("a", 26, 12, 74, 12, 76, 30, 79, 60, 76, 94, 24, 94, 21, 60, 24, 30), _r("b", 25, 9, 50, 8,
        2),
        _r("b", 24, 90, 52, 7, 2), _e("c", 50, 54, 20), _e("d", 46, 52, 8, 5), _e("d", 56, 59, 7, 4),
    ),
    "jar": (
        _r("b", 31, 8, 38, 14, 4), _r("a", 25, 24, 50, 70, 12), _r("c", 25, 44, 50, 32), _e("d", 50, 60, 11),
        _r("c", 32, 30, 4, 9, 2),
    ),
    "tub": (
        _r("b", 18, 26, 64, 12, 5), _p("a", 22, 38, 78, 38, 71, 88, 29, 88), _r("a", 28, 80, 44, 12, 5),
        _p("c", 24.4, 50, 75.6, 50, 73, 72, 27, 72), _e("d", 50, 61, 9),
    ),
    "bowl": (
        _arc("a", 50, 50, 38, 0, 0, 180), _e("b", 50, 50, 38, 8), _e("d", 42, 47, 9, 7), _e("c", 56, 46, 10,
        7),
        _e("d", 66, 49, 6, 4), _r("b", 36, 86, 28, 6, 3),
    ),
    "fruit": (
        _smooth("a", 50, 32, 66, 26, 82, 38, 82, 62, 68, 90, 56, 92, 50, 90, 44, 92, 32, 90, 18, 62, 18, 38,
        34, 26),
        _r("b", 48, 14, 4, 20, 2), _smooth("d", 52, 22, 62, 10, 78, 10, 70, 24), _smooth("c", 28, 42, 34,
        36, 36, 42, 29, 56),
    ),
    "leaf": (
        _smooth("a", 50, 6, 76, 30, 80, 60, 50, 94, 20, 60, 24, 30), _r("b", 48.5, 26, 3, 70, 1.5),
        _p("c", 50, 52, 66, 38, 67, 41, 50, 57), _p("c", 50, 66, 68, 54, 68, 58, 50, 71),
        _p("c", 50, 52, 34, 38, 33, 41, 50, 57), _p("c", 50, 66, 32, 54, 32, 58, 50, 71),
    ),
    "carrot": (
        _smooth("a", 34, 34, 50, 28, 66, 34, 66, 46, 54, 90, 50, 96, 46, 90, 34, 46),
        _smooth("d", 49, 30, 34, 20, 30, 6, 44, 12), _smooth("d", 51, 30, 66, 20, 70, 6, 56, 12),
        _smooth("d", 50, 30, 44, 14, 50, 2, 56, 14), _r("b", 40, 48, 14, 3, 1.5), _r("b", 48, 62, 10, 3, 1.5),
    ),
    "bread": (
        _r("a", 10, 24, 80, 38, 18), _r("a", 18, 40, 64, 48, 7), _r("c", 22, 30, 56, 24, 12), _r("c", 26,
        42, 48, 40, 4),
        _e("d", 40, 52, 4), _e("d", 56, 62, 3.4), _e("d", 42, 70, 2.8), _e("d", 60, 46, 2.6),
    ),
    "cheese": (
        _p("c", 12, 54, 70, 22, 88, 54), _r("a", 12, 54, 76, 34, 3), _e("b", 32, 70, 8), _e("b", 60, 76, 6),
        _e("b", 74, 64, 5), _e("d", 64, 42, 5, 3.5),
    ),
    "egg": (
        _smooth("a", 50, 10, 70, 34, 76, 62, 64, 86, 50, 92, 36, 86, 24, 62, 30, 34), _e("d", 50, 62, 14),
        _smooth("c", 40, 26, 46, 24, 42, 36, 36, 44),
    ),
    "fish": (
        _smooth("a", 8, 50, 26, 32, 50, 28, 70, 44, 70, 56, 50, 72, 26, 68), _p("b", 66, 50, 92, 28, 86, 50,
        92, 72),
        _e("c", 24, 46, 4), _arc("c", 30, 50, 17, 14, -50, 50), _arc("d", 42, 50, 17, 14, -50, 50),
    ),
    "meat": (
        _p("c", 62, 66, 70, 58, 90, 78, 82, 86), _e("c", 90, 82, 7), _e("c", 83, 89, 7),
        _smooth("a", 14, 34, 28, 14, 50, 12, 70, 28, 74, 52, 68, 68, 52, 74, 30, 66, 14, 50),
        _smooth("d", 24, 34, 34, 24, 44, 22, 40, 30, 30, 40), _smooth("b", 60, 64, 70, 56, 74, 60, 70, 70,
        64, 74),
    ),
    "onion": (
        _smooth("a", 50, 20, 60, 32, 82, 48, 82, 70, 64, 90, 50, 92, 36, 90, 18, 70, 18, 48, 40, 32),
        _smooth("d", 50, 28, 44, 12, 50, 2, 56, 12), _arc("c", 66, 62, 34, 31, 140, 216), _arc("c", 34, 62,
        34, 31, -36, 40),
        _r("b", 44, 90, 12, 4, 2),
    ),
    "potato": (
        _smooth("a", 14, 56, 22, 34, 46, 26, 72, 30, 88, 50, 82, 72, 58, 78, 30, 76), _e("b", 36, 46, 3, 2),
        _e("b", 58, 42, 3, 2),
        _e("b", 48, 62, 3, 2), _e("b", 72, 58, 3, 2), _smooth("c", 26, 42, 36, 36, 40, 38, 30, 46),
    ),
    "tomato": (
        _smooth("a", 50, 32, 72, 26, 88, 46, 84, 72, 64, 90, 50, 90, 36, 90, 16, 72, 12, 46, 28, 26),
        _p("d", 50, 38, 36, 44, 42, 32, 30, 24, 46, 26, 50, 12, 54, 26, 70, 24, 58, 32, 64, 44),
        _smooth("c", 22, 48, 28, 40, 30, 46, 24, 56),
    ),
    "cup": (
        _p("a", 24, 34, 70, 34, 66, 90, 28, 90), _arc("b", 70, 56, 16, 9, -90, 90), _r("b", 22, 28, 50, 8, 4),
        _r("c", 26, 48, 43, 16), _smooth("d", 38, 22, 34, 14, 40, 6, 40, 14), _smooth("d", 54, 22, 50, 14,
        56, 6, 56, 14),
    ),
    "glass": (
        _p("a", 26, 12, 74, 12, 66, 94, 34, 94), _p("c", 28.6, 34, 71.4, 34, 66, 90, 34, 90), _e("d", 46,
        54, 6),
        _e("d", 57, 70, 5), _r("b", 58, 2, 4, 40, 2),
    ),
    "wine": (
        _smooth("a", 32, 8, 68, 8, 72, 34, 50, 54, 28, 34), _r("b", 48, 52, 4, 36), _r("b", 32, 88, 36, 6, 3),
        _smooth("d", 32, 28, 68, 28, 66, 38, 50, 50, 34, 38),
    ),
    "cone": (
        _p("b", 32, 48, 68, 48, 50, 96), _e("a", 38, 40, 15), _e("c", 62, 40, 15), _e("d", 50, 24, 16),
        _p("c", 42, 56, 45, 56, 54, 78, 52, 82), _e("a", 44, 18, 3),
    ),
    "snow": (
        *(_spoke("a", angle, 44, 3) for angle in (0, 60, 120)),
        *(_e("d", 50 + 30 * math.cos(i * math.pi / 3), 50 + 30 * math.sin(i * math.pi / 3), 7) for i in range(6)),
        _e("b", 50, 50, 11),
    ),
    "pizza": (
        _smooth("b", 12, 26, 50, 10, 88, 26, 84, 34, 50, 20, 16, 34), _p("a", 17, 33, 50, 20, 83, 33, 50, 94),
        _e("d", 42, 40, 7), _e("d", 60, 44, 7), _e("d", 49, 64, 6), _e("c", 52, 34, 3), _e("c", 45, 53, 3),
    ),
    "cookie": (
        _e("a", 50, 50, 40), _e("c", 50, 50, 34), _e("b", 38, 38, 6), _e("b", 60, 34, 5), _e("b", 64, 58, 7),
        _e("b", 42, 64, 6), _e("d", 51, 50, 3.5), _e("d", 28, 54, 3),
    ),
    "candy": (
        _p("b", 34, 50, 8, 32, 12, 50, 8, 68), _p("b", 66, 50, 92, 32, 88, 50, 92, 68), _e("a", 50, 50, 24),
        _arc("c", 50, 50, 24, 16, 200, 340), _arc("d", 50, 50, 13, 6, 20, 250),
    ),
    "flower": (
        *(_e("ad"[i % 2], 50 + 19 * math.cos(i * math.pi / 3), 34 + 19 * math.sin(i * math.pi / 3), 13)
          for i in range(6)),
        _e("c", 50, 34, 11), _r("b", 48, 54, 4, 42, 2), _smooth("b", 52, 82, 62, 66, 76, 64, 68, 80),
    ),
    "paw": (
        _smooth("a", 50, 48, 66, 56, 74, 76, 64, 86, 50, 82, 36, 86, 26, 76, 34, 56), _e("b", 24, 46, 9, 12),
        _e("d", 40, 26, 9, 13), _e("d", 60, 26, 9, 13), _e("b", 76, 46, 9, 12),
    ),
    "capsule": (
        _r("b", 32, 6, 36, 16, 4), _r("a", 26, 20, 48, 74, 8), _r("c", 26, 40, 48, 36), _r("d", 46, 46, 8,
        24, 1),
        _r("d", 38, 54, 24, 8, 1),
    ),
    "tube": (
        _p("a", 30, 20, 70, 20, 64, 78, 36, 78), _r("b", 37, 78, 26, 16, 3), _r("b", 28, 8, 44, 12, 2),
        _r("c", 46, 30, 8, 38, 3), _e("d", 50, 49, 8),
    ),
    "lipstick": (
        _p("d", 40, 40, 40, 18, 60, 6, 60, 40), _r("c", 37, 38, 26, 16), _r("a", 32, 52, 36, 42, 3), _r("b",
        32, 52, 36, 6),
    ),
    "spray": (
        _p("b", 34, 8, 66, 8, 70, 18, 56, 24, 42, 24), _p("b", 34, 10, 22, 14, 22, 20, 36, 18), _r("c", 43,
        22, 14, 16),
        _smooth("a", 38, 38, 62, 38, 72, 54, 72, 92, 68, 96, 32, 96, 28, 92, 28, 54), _r("c", 28, 60, 44,
        20), _e("d", 50, 70, 7),
    ),
    "roll": (
        _r("a", 24, 24, 44, 66), _e("a", 46, 90, 22, 6), _p("c", 68, 24, 80, 30, 80, 92, 68, 86), _e("c",
        46, 24, 22, 9),
        _e("b", 46, 24, 8, 3.6), _r("b", 24, 50, 44, 2), _e("d", 36, 66, 4), _e("d", 54, 74, 4),
    ),
    "bulb": (
        _smooth("a", 50, 6, 74, 16, 78, 40, 64, 58, 62, 70, 38, 70, 36, 58, 22, 40, 26, 16), _r("b", 39, 70,
        22, 6, 2),
        _r("b", 39, 78, 22, 6, 2), _r("b", 44, 86, 12, 7, 3), _smooth("c", 34, 24, 42, 16, 40, 26, 32, 38),
        _e("d", 50, 44, 7),
    ),
    "book": (
        _r("b", 20, 12, 62, 78, 5), _r("c", 26, 80, 56, 8), _r("a", 26, 12, 56, 68, 3), _r("c", 38, 28, 32,
        6, 2),
        _r("d", 38, 40, 22, 6, 2),
    ),
    "shirt": (
        _p("a", 34, 14, 66, 14, 92, 32, 82, 50, 72, 44, 72, 90, 28, 90, 28, 44, 18, 50, 8, 32), _arc("b",
        50, 14, 16, 0, 0, 180),
        _arc("c", 50, 14, 11, 0, 0, 180), _r("d", 28, 58, 44, 8),
    ),
    "shoe": (
        _smooth("a", 10, 30, 26, 34, 40, 26, 56, 46, 82, 54, 92, 70, 90, 76, 10, 76), _r("b", 8, 74, 84, 10,
        5),
        _p("c", 44, 36, 50, 32, 53, 36, 47, 41), _p("c", 51, 43, 57, 39, 60, 43, 54, 48), _smooth("d", 12,
        46, 34, 52, 40, 68, 12, 68),
    ),
    "handbag": (
        _arc("b", 50, 40, 24, 17, 180, 360), _p("a", 18, 38, 82, 38, 90, 90, 10, 90), _r("b", 17, 38, 66,
        7), _e("d", 50, 58, 7),
        _r("c", 46, 44, 8, 14, 2),
    ),
    "watch": (
        _p("b", 36, 6, 64, 6, 68, 34, 32, 34), _p("b", 32, 66, 68, 66, 64, 94, 36, 94), _e("a", 50, 50, 28),
        _e("c", 50, 50, 21),
        _r("b", 48.5, 34, 3, 18, 1.5), _r("d", 49, 48.5, 13, 3, 1.5),
    ),
    "eyewear": (
        _e("a", 28, 54, 21, 18), _e("a", 72, 54, 21, 18), _arc("b", 50, 54, 10, 6, 200, 340), _e("d", 28,
        54, 15, 12),
        _e("d", 72, 54, 15, 12), _p("b", 8, 48, 4, 36, 8, 35, 13, 44), _p("b", 92, 48, 96, 36, 92, 35, 87,
        44), _e("c", 23, 49, 4, 3),
    ),
    "phone": (
        _r("b", 28, 6, 44, 88, 8), _r("a", 32, 14, 36, 70, 2), _e("c", 50, 89, 2.5), _e("c", 50, 38, 11),
        _r("d", 38, 56, 24, 6, 3),
        _r("c", 38, 66, 16, 4, 2),
    ),
    "laptop": (
        _r("b", 16, 18, 68, 50, 4), _r("a", 20, 22, 60, 42, 1), _r("c", 6, 70, 88, 9, 4), _e("d", 50, 43,
        11), _r("b", 40, 70, 20, 3, 1.5),
    ),
    "headphones": (
        _arc("b", 50, 54, 38, 30, 180, 360), _r("a", 10, 52, 18, 34, 8), _r("a", 72, 52, 18, 34, 8), _r("d",
        22, 56, 8, 26, 3),
        _r("d", 70, 56, 8, 26, 3),
    ),
    "chair": (
        _r("a", 16, 24, 68, 38, 10), _r("b", 8, 46, 16, 36, 7), _r("b", 76, 46, 16, 36, 7), _r("c", 22, 54,
        56, 22, 5),
        _r("d", 30, 32, 40, 20, 6), _r("b", 20, 82, 6, 10), _r("b", 74, 82, 6, 10),
    ),
    "lamp": (_p("a", 34, 8, 66, 8, 82, 46, 18, 46), _r("b", 47, 46, 6, 40), _r("b", 30, 86, 40, 7, 3.5),
    _e("d", 50, 50, 8, 4)),
    "pan": (
        _e("b", 40, 54, 34, 30), _e("a", 40, 54, 28, 24), _p("b", 68, 44, 96, 24, 99, 30, 72, 54), _e("c",
        40, 56, 16, 13), _e("d", 42, 55, 7),
    ),
    "ball": (
        _e("a", 50, 50, 40), _arc("c", 12, 50, 34, 30, -62, 62), _arc("c", 88, 50, 34, 30, 118, 242),
        _r("d", 48.5, 10, 3, 80),
    ),
    "car": (
        _smooth("a", 22, 46, 32, 26, 68, 26, 80, 46, 94, 52, 94, 70, 6, 70, 6, 52), _p("c", 30, 46, 37, 32,
        48, 32, 48, 46),
        _p("c", 52, 46, 52, 32, 63, 32, 71, 46), _e("b", 26, 72, 11), _e("b", 74, 72, 11), _e("d", 26, 72,
        5), _e("d", 74, 72, 5),
    ),
    "pen": (
        _p("a", 22, 66, 66, 14, 82, 28, 38, 80), _p("c", 22, 66, 38, 80, 14, 88), _p("b", 18, 77, 24, 83,
        12, 90), _p("d", 58, 23.5, 66, 14, 82, 28, 74, 37.5),
    ),
    "gift": (
        _r("a", 18, 42, 64, 50, 3), _r("b", 12, 30, 76, 16, 3), _r("d", 44, 30, 12, 62), _smooth("d", 50,
        30, 34, 26, 26, 12, 40, 12),
        _smooth("d", 50, 30, 66, 26, 74, 12, 60, 12),
    ),
    "basket": (
        _arc("b", 50, 46, 30, 24, 180, 360), _r("b", 10, 42, 80, 10, 5), _p("a", 16, 52, 84, 52, 76, 90, 24,
        90), _r("c", 32, 60, 5, 22, 2),
        _r("c", 47.5, 60, 5, 22, 2), _r("c", 63, 60, 5, 22, 2),
    ),
}  # fmt: skip

# The first row with a word of the title or category wins: what something is stands before what it is made of.
_KEYWORDS = """
pizza: pizza 披萨
bag: chips crisps 薯片
bottle: oil oils vinegar syrup syrups dressing dressings bottle bottles perfume fragrances 香水
cone: ice-cream icecream cream/milk sherbets novelties cones gelato 冰淇淋
paw: cat dog pet pets puppy kitten litter 宠物 猫 狗
wine: wine wines champagne liquor spirits 葡萄酒 酒
can: beer beers ales soda soft cola isotonic energy soup canned tuna 啤酒 可乐 罐头
carton: milk buttermilk juice juices oj creamer creamers dairy eggnog 牛奶 果汁
egg: egg eggs 鸡蛋
cheese: cheese cheeses cheddar mozzarella 奶酪
tub: yogurt yoghurt margarine margarines butter dips spread sour cottage 酸奶 黄油
cookie: cookie cookies crackers cracker biscuits biscuit cake cakes donuts pastries pastry pie pies brownie
cookie: sweets 饼干 蛋糕
candy: candy gum mints chocolate choc candies 糖果 巧克力
bread: bread breads buns rolls bagels muffins toast dough tortilla tortillas 面包
fish: fish seafood salmon shrimp catfish finfish oysters 鱼 海鲜
meat: meat meats frankfurter frankfurters beef pork chicken poultry turkey ham bacon sausage steak lunchmeat bologna
meat: hot-dogs dogs ribs lamb burgers 肉
bowl: cereal oatmeal soup noodles pasta ramen rice salad salads bowl bowls dinner dinners entrees macaroni
bowl: spaghetti 面条 米饭
onion: onion onions garlic 洋葱
potato: potato potatoes yams 土豆
tomato: tomato tomatoes pepper peppers 番茄
carrot: carrot carrots vegetable vegetables veg broccoli corn celery squash mushrooms beans cucumbers radish
carrot: 蔬菜
fruit: apple apples lemon lime orange peach strawberry fruit fruits orange oranges citrus berries plums
fruit: cherries nectarines raisins pineapple grapes banana bananas melon melons pears peaches lemons
fruit: strawberries kiwi mango 水果
bag: chips snack crisps snacks pretzels popcorn nuts bag 零食 薯片
jar: sauce sauces jam jams jelly peanut honey pickle pickles salsa olives condiments mustard catsup mayo
jar: relish 酱
cup: coffee tea cocoa mug mugs 咖啡 茶
glass: water waters drink drinks beverage beverages seltzers 水 饮料
bottle: oil dressing syrup vinegar bottle ketchup perfume fragrance fragrances cologne 油 香水
snow: frozen ice 冷冻
roll: tissue tissues towel towels paper napkins toilet roll foil 纸
spray: cleaning cleaner cleaners bleach detergent detergents dishwash laundry soap household air 清洁 洗衣
lipstick: lipstick makeup cosmetics cosmetic mascara beauty nail eyeshadow 口红 美妆 化妆
tube: cream lotion toothpaste skin skin-care skincare hair shampoo shave shaving facial lotions oral 护肤
tube: 洗发
capsule: vitamin vitamins medication medications cold-remedies health pain antacids supplements 维生素 药
headphones: headphones headphone earphones earbuds airpods audio speaker speakers 耳机 音箱
phone: phone phones smartphone smartphones iphone mobile mobile-accessories prepaid wireless tablet tablets
phone: ipad 手机 平板
laptop: laptop laptops computer macbook notebook pc monitor 电脑 笔记本
watch: watch watches 手表
eyewear: sunglasses glasses eyewear 眼镜 墨镜
shoe: shoe shoes sneaker sneakers boots sandals heels slippers cleats 鞋
handbag: handbag handbags womens-bags purse backpack tote bags 包
shirt: shirt shirts tops dress dresses apparel clothing hosiery jacket jeans sweater top gown 衣 裙 裤
lamp: lamp lamps lantern candle candles t-light light lights holder 灯
bulb: bulb bulbs electrical batteries battery 电池
chair: sofa chair furniture bed table couch cushion 椅 沙发 家具
pan: pan pans pot pots kitchen kitchen-accessories cookware grill wok knife spoon skillet 锅 厨具
car: car vehicle automotive motorcycle motor tyre 汽车
ball: ball balls sports sports-accessories bat racket toys games toy 球 运动 玩具
book: book books magazine magazines newspaper calendar 书 杂志
pen: pen pens pencil pencils stationery writing school crayons 笔 文具
flower: flower flowers floral roses rose bouquet plant plants perennials garden hydrangea 花
gift: gift gifts card cards wrap party greeting christmas ribbon seasonal 礼物 礼品
leaf: salad lettuce herbs spinach cabbage organic organics parsley cilanto greens produce nutrition 叶 有机
box: mix mixes dry flour sugar baking box seasoning spices grain starch 面粉
basket: grocery groceries basket 杂货 食品
"""
_ROWS = (row.partition(":") for row in _KEYWORDS.strip().splitlines())
_WORDS = tuple((glyph, frozenset(words.split())) for glyph, _, words in _ROWS)
_TASTY = (
    "bottle can carton bag jar tub bowl fruit leaf carrot onion potato tomato"
    " bread cheese egg fish meat cup glass wine cone snow pizza cookie candy box"
)
_FOOD = frozenset(_TASTY.split())
_VAGUE = (
    "basket",
    "box",
    "gift",
    "leaf",
)  # glyphs of whole shelves: a title that is more telling goes before them


@lru_cache(maxsize=4096)
def glyph_for(title: str, category: tuple[str, ...]) -> str:
    """The name of the glyph for this product: by its category from the deepest level, then by its title."""
    found = [_glyph_in(text) for text in (*reversed(category[1:]), title, *category[:1])]
    known = [glyph for glyph in found if glyph]
    return next((glyph for glyph in known if glyph not in _VAGUE), known[0] if known else "gift")


def is_food(title: str, category: tuple[str, ...]) -> bool:
    """Whether the product is, by its glyph, something to eat or drink."""
    return glyph_for(title, category) in _FOOD


def names_product(text: str) -> bool:
    """Whether a word of the text says what kind of product it is."""
    return bool(_glyph_in(text))


def _glyph_in(text: str) -> str:
    said = text.lower().replace("hot dog", "frankfurter")
    words = set(re.findall(r"[\w-]+", said)) | set(re.findall(r"\w+", said))
    for glyph, keys in _WORDS:
        if words & keys or any(not key.isascii() and key in text for key in keys):
            return glyph
    return ""


def glyph_shapes(name: str, x: float, y: float, side: float, tones: dict[str, str]) -> tuple[Shape, ...]:
    """The glyph in the square (x, y, side, side), its tones a b c d as colours."""
    k = side / 100
    out = []
    for kind, tone, numbers, radius in GLYPHS[name]:
        if kind == "polygon":
            placed = tuple(round((x if i % 2 == 0 else y) + v * k, 2) for i, v in enumerate(numbers))
        else:
            placed = (x + numbers[0] * k, y + numbers[1] * k, numbers[2] * k, numbers[3] * k)
            placed = tuple(round(v, 2) for v in placed)
        out.append(Shape(kind, placed, tones[tone], radius * k))
    return tuple(out)
