"""Where the parts of a banner may stand, by size and family: the grid that the layout then solves on.

Margins: 16 px in 300x250, 14 px in 728x90,
8 px in 320x50. Pictures bleed to the edge or stand in a rounded tile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zhitou.creative.scene import Box


@dataclass(frozen=True)
class Frame:
    """The grid of one size and family.

    art: the panel behind the product. product: (x, y, side) of its square. head: logo, headline and subline.
    A head's height of 0: down to the foot. foot: price, button and legal line,
    arranged as `foot_mode` ("stack", "row" or "side") says. label: right end and
    top of the ad label. badge: centre and radius, None if the size has no room. Type sizes are (largest,
    smallest).
    """

    art: Box
    art_radius: int
    product: tuple[float, float, float]
    head: Box
    foot: Box
    foot_mode: str
    label: tuple[int, int]
    badge: tuple[int, int, int] | None
    headline: tuple[int, int]
    headline_lines: int
    price: tuple[int, int]
    logo: int
    subline: tuple[int, int]
    subline_lines: int
    button: tuple[int, int, int]  # height, type size, padding at each side
    card: Box | None = None
    free_art: bool = False  # the product stands on the ground itself, before a large circle


_MEDIUM = Frame(
    art=Box(182, 0, 118, 250), art_radius=0, product=(197.0, 81.0, 88.0), head=Box(16, 14, 154, 0),
    foot=Box(16, 0, 154, 236),
    foot_mode="stack", label=(294, 6), badge=(241, 212, 23), headline=(26, 14), headline_lines=4, price=(32,
    20), logo=13,
    subline=(13, 11), subline_lines=2, button=(34, 14, 18),
)  # fmt: skip
_STRIP = Frame(
    art=Box(0, 0, 150, 90), art_radius=0, product=(42.0, 12.0, 66.0), head=Box(168, 8, 0, 74), foot=Box(0,
    17, 714, 66),
    foot_mode="side", label=(724, 4), badge=(131, 70, 16), headline=(27, 14), headline_lines=2, price=(28,
    18), logo=12,
    subline=(14, 11), subline_lines=1, button=(36, 14, 20),
)  # fmt: skip
_MOBILE = Frame(
    art=Box(0, 0, 60, 50), art_radius=0, product=(11.0, 6.0, 38.0), head=Box(68, 5, 0, 39), foot=Box(0, 6,
    312, 28),
    foot_mode="side", label=(317, 36), badge=None, headline=(16, 11), headline_lines=2, price=(17, 13),
    logo=9,
    subline=(10, 10), subline_lines=1, button=(26, 11, 10),
)  # fmt: skip

FRAMES: dict[tuple[tuple[int, int], str], Frame] = {
    ((300, 250), "split"): _MEDIUM,
    ((300, 250), "band"): replace(
        _MEDIUM, art=Box(0, 0, 300, 104), product=(110.0, 12.0, 80.0), head=Box(16, 112, 268, 0),
        foot=Box(16, 0, 268, 238),
        foot_mode="row", badge=(246, 58, 24), headline=(22, 14), headline_lines=2, price=(28, 18),
        subline_lines=1,
    ),
    ((300, 250), "card"): replace(
        _MEDIUM, art=Box(24, 24, 108, 136), art_radius=10, product=(40.0, 54.0, 76.0), head=Box(146, 27,
        132, 0),
        foot=Box(26, 0, 248, 225), foot_mode="row", label=(282, 17), badge=(111, 139, 16), headline=(22, 13),
        price=(32, 20), card=Box(12, 12, 276, 226), subline=(12, 11),
    ),
    ((300, 250), "poster"): replace(
        _MEDIUM, art=Box(150, 116, 150, 134), product=(184.0, 136.0, 96.0), head=Box(18, 16, 250, 88),
        foot=Box(18, 0, 126, 234),
        label=(294, 6), badge=(166, 224, 17), price=(32, 16), headline=(27, 16), headline_lines=3,
        free_art=True,
    ),
    ((728, 90), "split"): _STRIP,
    ((728, 90), "band"): replace(_STRIP, art=Box(0, 0, 196, 90), product=(65.0, 12.0, 66.0), head=Box(212,
    8, 0, 74), badge=(168, 64, 18)),
    ((728, 90), "card"): replace(_STRIP, art=Box(10, 10, 126, 70), art_radius=10, product=(46.0, 17.0,
    56.0), head=Box(152, 8, 0, 74), badge=(120, 63, 14)),
    ((728, 90), "poster"): replace(_STRIP, art=Box(0, 0, 150, 90), product=(36.0, 11.0, 68.0), badge=(136,
    22, 16), free_art=True),
    ((320, 50), "split"): _MOBILE,
    ((320, 50), "band"): replace(_MOBILE, art=Box(0, 0, 68, 50), product=(15.0, 6.0, 38.0), head=Box(76, 5,
    0, 39)),
    ((320, 50), "card"): replace(_MOBILE, art=Box(5, 5, 50, 40), art_radius=7, product=(13.0, 8.0, 34.0),
    head=Box(63, 5, 0, 39)),
    ((320, 50), "poster"): replace(_MOBILE, free_art=True),
}  # fmt: skip


def frame_for(size: tuple[int, int], family: str, mirrored: bool) -> Frame:
    """The frame; mirrored only where reading order allows it: a picture beside a column of text, not in a strip."""
    frame = FRAMES[size, family]
    if not mirrored or frame.foot_mode != "stack" or frame.free_art:
        return frame
    width = size[0]

    def flip(box: Box) -> Box:
        return replace(box, x=width - box.x - box.w)

    x, y, side = frame.product
    badge = frame.badge and (width - frame.badge[0], *frame.badge[1:])
    return replace(
        frame, art=flip(frame.art), product=(width - x - side, y, side), head=flip(frame.head),
        foot=flip(frame.foot),
        badge=badge, label=(frame.art.w - 6, frame.label[1]),
    )  # fmt: skip
