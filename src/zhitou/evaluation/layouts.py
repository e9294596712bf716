"""How good layouts are, by the measures of the published tables, on plain arrays.

A layout is up to P boxes on a canvas: boxes float [N, P, 4] (x, y, width, height as shares of the canvas, x and y of
the upper left corner), present bool [N, P], kinds int [N, P] where a measure asks what an element is. What absent
places hold is never read. A measure of one layout gives float64 [N], NaN where it says nothing of a layout (an
underlay score without an underlay); `average` is the mean of what is said. Two families of papers use one name for
different sums, so the names here say whose: PosterLayout (Hsu et al., CVPR 2023), LayoutGAN++ (Kikuchi et al., MM
2021; LayoutDM's tables), RALF (Horita et al., CVPR 2024).

N = layouts, P = places, K = kinds, M = layouts of another set, D = features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from zhitou.core.errors import ConfigError

SMALLEST_AREA = 0.001  # of the canvas: below it an element of a poster counts as empty (PosterLayout)
INSIDE = 1 - float(np.finfo(np.float32).eps)  # of an element's area: this much is all of it (RALF)


def average(values: np.ndarray) -> float:
    """The mean over the layouts that the measure says something of; NaN where it says nothing of any."""
    said = values[~np.isnan(values)]
    return float(said.mean()) if len(said) else math.nan


def valid(boxes: np.ndarray, present: np.ndarray, smallest: float = SMALLEST_AREA) -> np.ndarray:
    """bool [N, P]: present elements whose area on the canvas is at least this share of it. PosterLayout measures the
    others on these alone: pass it on as `present`."""
    boxes = _read(boxes, present)
    low, high = np.clip(boxes[..., :2], 0, None), np.clip(boxes[..., :2] + boxes[..., 2:], None, 1)
    area = np.abs((high[..., 0] - low[..., 0]) * (high[..., 1] - low[..., 1]))
    return np.asarray(present & (area >= smallest))


def validity(boxes: np.ndarray, present: np.ndarray, smallest: float = SMALLEST_AREA) -> float:
    """Val: the share of all present elements that are `valid`."""
    count = int(present.sum())
    return float(valid(boxes, present, smallest).sum()) / count if count else math.nan


def outside(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N]: the share of each layout's total element area that lies beyond the canvas; 0 without area."""
    boxes = _read(boxes, present)
    low, high = np.clip(boxes[..., :2], 0, 1), np.clip(boxes[..., :2] + boxes[..., 2:], 0, 1)
    area, on = boxes[..., 2:].prod(-1), (high - low).prod(-1)
    return 1 - _share(on.sum(1), area.sum(1), 1.0)


def pair_overlap(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Overlap of LayoutGAN++: the sum over ordered pairs i != j of area(i and j) / area(i), over the elements.

    float64 [N], NaN below two elements (LayoutDM's own averages count such layouts as 0). The tables print it times
    100; it exceeds 100 where many overlap.
    """
    common, area = _intersections(boxes, present), _areas(boxes, present)
    n = present.sum(1)
    return _share(_share(common, area[:, :, None], 0.0).sum((1, 2)), np.where(n > 1, n, 0), math.nan)


def poster_overlap(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Ove of PosterLayout: the sum of IoU over unordered pairs, over the number of elements. float64 [N].

    Underlays are meant to be covered: leave them out, `present & (kinds != underlay)`.
    """
    return _share(pair_iou(boxes, present).sum((1, 2)) / 2, present.sum(1), 0.0)


def mean_overlap(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Ove of RALF: the mean IoU of pairs. float64 [N], NaN below two elements. Leave underlays out as above."""
    n = present.sum(1)
    return _share(pair_iou(boxes, present).sum((1, 2)), n * (n - 1), math.nan)


def pair_iou(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, P, P]: intersection over union of each pair of different present elements, else 0."""
    common, area = _intersections(boxes, present), _areas(boxes, present)
    return _share(common, area[:, :, None] + area[:, None, :] - common, 0.0)


def alignment(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Ali of LayoutGAN++: the mean over elements of -ln(1 - d), d the least distance of one of its six lines (left,
    centre, right; top, middle, bottom) to the same line of another element.

    float64 [N], NaN below two elements (LayoutDM's own averages count such layouts as 0). Low is
    aligned. The tables print it times 100. Boxes heaped on one place score perfectly: read it with overlap.
    """
    nearest = np.clip(_nearest_line(boxes, present), 0, 1 - 1e-9)
    n = present.sum(1)
    return _share(-np.log1p(-nearest).sum(1), np.where(n > 1, n, 0), math.nan)


def ralf_alignment(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """`alignment` with log10 and boxes cut at the canvas, as RALF prints it."""
    low = np.clip(boxes[..., :2], 0, 1)
    cut = np.concatenate([low, np.clip(boxes[..., :2] + boxes[..., 2:], 0, 1) - low], -1)
    return alignment(cut, present) / math.log(10)


def poster_alignment(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Ali of PosterLayout: n times the least over the six lines of -log10(1 - d), d the least distance of that line
    between any two elements (the paper says of each element; its code takes one pair of all). float64 [N]; 0 below
    two elements."""
    nearest = np.clip(_nearest_line(boxes, present), 0, 1 - 1e-9)
    n = present.sum(1)
    least = np.where(present, nearest, np.inf).min(1, initial=np.inf)
    return np.where(n > 1, -np.log10(1 - np.where(n > 1, least, 0.0)) * n, 0.0)


def underlay_loose(boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray, underlay: int) -> np.ndarray:
    """Und_l: for each underlay the largest share of another element that it covers, averaged over the layout's
    underlays. float64 [N], NaN without one."""
    under, other = present & (kinds == underlay), present & (kinds != underlay)
    covered = _covered(boxes, present) * other[:, None, :]
    return _share((covered.max(2, initial=0.0) * under).sum(1), under.sum(1), math.nan)


def underlay_strict(
    boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray, underlay: int, published: bool = False
) -> np.ndarray:
    """Und_s: the share of a layout's underlays that hold another element whole. float64 [N], NaN without one.

    published: as the code of PosterLayout's paper computes it, which forgets to compare the right edges
    (`xr_2 >= xr_2`), so that its table can be reproduced. Never for a new figure.
    """
    under, other = present & (kinds == underlay), present & (kinds != underlay)
    low, high = boxes[..., :2], boxes[..., :2] + boxes[..., 2:]
    holds = (low[:, :, None] <= low[:, None]).all(-1) & (high[:, :, None, 1] >= high[:, None, :, 1])
    if not published:
        holds &= high[:, :, None, 0] >= high[:, None, :, 0]
    return _share(((holds & other[:, None]).any(2) & under).sum(1), under.sum(1), math.nan)


def ralf_underlay_strict(boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray, underlay: int) -> np.ndarray:
    """Und_s of RALF: holding is covering all but a rounding error; a layout of a single element says nothing."""
    under, other = present & (kinds == underlay), present & (kinds != underlay)
    whole = ((_covered(boxes, present) >= INSIDE) & other[:, None]).any(2) & under
    said = np.where(present.sum(1) > 1, under.sum(1), 0)
    return _share(whole.sum(1), said, math.nan)


def utility(boxes: np.ndarray, present: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Uti: the share of the calm area (1 - saliency) that elements use. float64 [N]; 0 where nothing is calm.

    saliency: [N, H, W], 0 calm to 1 salient. PosterLayout's figures take 750 x 513, the larger of two maps.
    """
    calm = 1 - saliency.astype(np.float64)
    cover = covered_pixels(boxes, present, saliency.shape[1], saliency.shape[2])
    return _share((calm * cover).sum((1, 2)), calm.sum((1, 2)), 0.0)


def occlusion(boxes: np.ndarray, present: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Occ: the mean saliency under the elements. float64 [N]; 0 where they cover no pixel. saliency: as above."""
    cover = covered_pixels(boxes, present, saliency.shape[1], saliency.shape[2])
    return _share((saliency * cover).sum((1, 2)), cover.sum((1, 2)), 0.0)


def unreadability(
    boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray, text: int, underlay: int, gradient: np.ndarray
) -> np.ndarray:
    """Rea: the mean gradient (0 to 1, [N, H, W]) under text that has no underlay beneath. float64 [N]."""
    height, width = gradient.shape[1:]
    under = covered_pixels(boxes, present & (kinds == underlay), height, width)
    cover = covered_pixels(boxes, present & (kinds == text), height, width) & ~under
    return _share((gradient * cover).sum((1, 2)), cover.sum((1, 2)), 0.0)


def covered_pixels(boxes: np.ndarray, present: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool [N, height, width]: pixels under a present box; edges are cut to whole pixels as PosterLayout does."""
    boxes, scale = _read(boxes, present), np.array([width, height])
    low = np.clip((boxes[..., :2] * scale).astype(np.int64), 0, scale)
    high = np.clip(((boxes[..., :2] + boxes[..., 2:]) * scale).astype(np.int64), 0, scale)
    cover = np.zeros((len(boxes), height, width), dtype=bool)
    for n, p in np.argwhere(present).tolist():
        cover[n, low[n, p, 1] : high[n, p, 1], low[n, p, 0] : high[n, p, 0]] = True
    return cover


def layout_features(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, 5 P]: what `spread` may compare: presence and box of each place, 0 where absent. Fits layouts
    whose places have a meaning (place 0 is the product in all of them), as designs have."""
    filled = _read(boxes, present)
    return np.concatenate([present.astype(np.float64), filled.reshape(len(boxes), -1)], axis=1)


@dataclass(frozen=True)
class Spread:
    """How two sets of feature vectors lie to each other (Kynkaanniemi et al. 2019; Naeem et al. 2020).

    precision, recall: share of one set inside a k-nearest ball of the other. density: how many balls of real points
    hold a made one, over k (above 1 where made points crowd at the centre). coverage: the share of real points whose
    ball holds a made one; the one to read for collapse.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def spread(real: np.ndarray, made: np.ndarray, k: int = 5) -> Spread:
    """PRDC of float [N, D] real and [M, D] made vectors. Two samples of one source: coverage near 1 - 2^-k for N = M.

    Refused (ConfigError): k points or fewer in a set. N, M <= some 10,000: all distances are held.
    """
    if min(len(real), len(made)) <= k:
        raise ConfigError(f"the ball of {k} neighbours needs more points than that, got {len(real)} and {len(made)}")
    across = cdist(real, made)
    real_ball, made_ball = _ball(real, k), _ball(made, k)
    inside = across < real_ball[:, None]
    return Spread(
        precision=float(inside.any(0).mean()),
        recall=float((across < made_ball[None]).any(1).mean()),
        density=float(inside.sum(0).mean()) / k,
        coverage=float((across.min(1) < real_ball).mean()),
    )


def _ball(points: np.ndarray, k: int) -> np.ndarray:
    return np.asarray(np.partition(cdist(points, points), k, axis=1)[:, k])  # place 0 is the point itself


def _read(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, P, 4] without what absent places hold, be it NaN."""
    return np.where(present[..., None], boxes, 0.0).astype(np.float64)


def _areas(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    return np.asarray(_read(boxes, present)[..., 2:].prod(-1))


def _intersections(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, P, P]: the common area of different present elements."""
    boxes = _read(boxes, present)
    low, high = boxes[..., :2], boxes[..., :2] + boxes[..., 2:]
    sides = np.minimum(high[:, :, None], high[:, None]) - np.maximum(low[:, :, None], low[:, None])
    pair = present[:, :, None] & present[:, None] & ~np.eye(boxes.shape[1], dtype=bool)
    return np.asarray(np.clip(sides, 0, None).prod(-1) * pair)


def _covered(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, P, P]: the share of element j that lies in element i."""
    return _share(_intersections(boxes, present), _areas(boxes, present)[:, None, :], 0.0)


def _nearest_line(boxes: np.ndarray, present: np.ndarray) -> np.ndarray:
    """float64 [N, P]: the least distance of one of an element's six lines to the same line of another; 0 if alone."""
    boxes = _read(boxes, present)
    low, size = boxes[..., :2], boxes[..., 2:]
    lines = np.concatenate([low, low + size / 2, low + size], -1)
    apart = np.abs(lines[:, :, None] - lines[:, None]).min(-1)
    pair = present[:, :, None] & present[:, None] & ~np.eye(boxes.shape[1], dtype=bool)
    nearest = np.where(pair, apart, np.inf).min(2, initial=np.inf)
    return np.where(np.isfinite(nearest), nearest, 0.0)


def _share(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    """part / whole, `otherwise` where the whole is 0 (or below, a box of negative area)."""
    whole = np.broadcast_to(np.asarray(whole, dtype=np.float64), np.shape(part))
    return np.divide(part, whole, out=np.full(np.shape(part), otherwise), where=whole > 0)
