"""The best few of one row of ads: the kernel that ranking, pricing and exploration share."""

from __future__ import annotations

from numba import njit


@njit(cache=True)
def best_of_row(score, eligible, out):  # type: ignore[no-untyped-def]
    """Fill out (int32 [n]) with the eligible ads of the highest score (float64 [K]), best first; return how many.

    Ties go to the lowest index; places without an ad are -1. By insertion: K comparisons and few moves, as most ads
    do not enter.
    """
    found, size = 0, out.shape[0]
    for k in range(score.shape[0]):
        if not eligible[k] or (found == size and score[k] <= score[out[size - 1]]):
            continue
        place = found if found < size else size - 1
        while place > 0 and score[k] > score[out[place - 1]]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = k
        found = min(found + 1, size)
    for place in range(found, size):
        out[place] = -1
    return found
