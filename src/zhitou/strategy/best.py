"""The best few of one row of ads: the kernel that ranking, pricing and exploration share."""

from __future__ import annotations

import numpy as np
from numba import njit


def groups(group: np.ndarray | None, ads: int) -> np.ndarray:
    """int32 [K]: the group of each ad as kernels take it; without groups every ad is its own."""
    return np.arange(ads, dtype=np.int32) if group is None else np.ascontiguousarray(group, dtype=np.int32)


@njit(cache=True)
def best_of_row(score, eligible, group, out):  # type: ignore[no-untyped-def]
    """Fill out (int32 [n]) with the eligible ads of the highest score (float64 [K]), at most one of each group, best
    first; return how many.

    Ties go to the lowest index; places without an ad are -1. By insertion: K comparisons and few moves, as most ads
    do not enter.
    """
    found, size = 0, out.shape[0]
    for k in range(score.shape[0]):
        if not eligible[k] or (found == size and score[k] <= score[out[size - 1]]):
            continue
        same = -1
        for place in range(found):
            if group[out[place]] == group[k]:
                same = place
        if same >= 0 and score[k] <= score[out[same]]:
            continue
        if same >= 0:
            place = same
        else:
            place = found if found < size else size - 1
            found = min(found + 1, size)
        while place > 0 and score[k] > score[out[place - 1]]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = k
    for place in range(found, size):
        out[place] = -1
    return found
