"""How near made layouts are to real ones of the same elements: MaxIoU and DocSim, matched element by element.

Arrays as in `evaluation.layouts`: boxes float [N, P, 4] (x, y, width, height), present bool [N, P], kinds int [N, P].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from zhitou.core.errors import ConfigError

COUNTS_APART = 3  # layouts whose numbers of elements differ by this or more have a DocSim of 0


@dataclass(frozen=True)
class Elements:
    """One layout: kinds int [n] in rising order, boxes float64 [n, 4] beside them."""

    kinds: np.ndarray
    boxes: np.ndarray

    @property
    def key(self) -> bytes:
        """Equal for layouts of the same multiset of kinds."""
        return np.asarray(self.kinds, dtype=np.int64).tobytes()


def elements(boxes: np.ndarray, present: np.ndarray, kinds: np.ndarray) -> list[Elements]:
    """Each layout's present elements, by kind."""
    found = []
    for box, here, kind in zip(boxes, present, kinds, strict=True):
        order = np.flatnonzero(here)[np.argsort(kind[here], kind="stable")]
        found.append(Elements(kind[order], box[order].astype(np.float64)))
    return found


def layout_iou(one: Elements, other: Elements) -> float:
    """The mean IoU of two layouts of the same kinds under the best matching of elements within each kind."""
    if one.key != other.key:
        raise ConfigError("the IoU of two layouts needs the same kinds of elements in both")
    iou = box_iou(one.boxes, other.boxes) * (one.kinds[:, None] == other.kinds)
    rows, columns = linear_sum_assignment(iou, maximize=True)
    return float(iou[rows, columns].sum()) / max(len(one.kinds), 1)


def max_iou(made: Sequence[Elements], real: Sequence[Elements]) -> np.ndarray:
    """MaxIoU (Kikuchi et al. 2021, as LayoutDM computes it): of all layouts of one multiset of kinds, made ones are
    matched to real ones so that the sum of `layout_iou` is greatest. float64, one value a matched pair.

    Their mean is the published figure. Multisets on one side only say nothing and are left out.
    """
    groups: dict[bytes, tuple[list[Elements], list[Elements]]] = {}
    for side, some in enumerate((made, real)):
        for layout in some:
            groups.setdefault(layout.key, ([], []))[side].append(layout)
    values = []
    for ours, theirs in groups.values():
        if ours and theirs:
            scores = np.array([[layout_iou(one, other) for other in theirs] for one in ours])
            values.append(scores[linear_sum_assignment(scores, maximize=True)])
    return np.concatenate(values) if values else np.zeros(0)


def doc_sim(one: Elements, other: Elements) -> float:
    """DocSim (Patil et al. 2020): the mean, over the best matching of elements of equal kind, of
    sqrt(the smaller area) * 2 ** (-distance of centres - 2 * (difference of widths + of heights)).

    0 where the numbers of elements differ by COUNTS_APART or more. Large boxes weigh more: 1 is two equal pages.
    """
    if abs(len(one.kinds) - len(other.kinds)) >= COUNTS_APART or not min(len(one.kinds), len(other.kinds)):
        return 0.0
    a, b = one.boxes[:, None], other.boxes[None]
    centres = np.linalg.norm((a[..., :2] + a[..., 2:] / 2) - (b[..., :2] + b[..., 2:] / 2), axis=-1)
    sizes = np.abs(a[..., 2:] - b[..., 2:]).sum(-1)
    area = np.minimum(a[..., 2:].prod(-1), b[..., 2:].prod(-1))
    likeness = np.sqrt(area) * 2.0 ** (-centres - 2 * sizes) * (one.kinds[:, None] == other.kinds)
    return float(likeness[linear_sum_assignment(likeness, maximize=True)].mean())


def box_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64 [n, m]: intersection over union of boxes [n, 4] and [m, 4]; 0 where both are empty."""
    a, b = one[:, None], other[None]
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
