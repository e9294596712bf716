"""Forgetting at a constant rate, without touching what is stored.

Forward decay (Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009): a fact at time t weighs 2 ** ((t - L) / h) for
a fixed landmark L and half-life h. Sums of such weights need no upkeep: divided by the weight of the moment of
the question they are decayed counts, and in a share the divisor cancels. float64 holds this, at half-lives of
28 days or more, for all times from 1942 to 2098.
"""

from __future__ import annotations

import numpy as np

from zhitou.core.units import SECONDS_PER_DAY

LANDMARK_S = 1_577_836_800  # 2020-01-01 UTC
TASTE_HALF_LIFE_DAYS = 90  # a purchase of last season counts half
RECENT_HALF_LIFE_DAYS = 28  # what sells now


def weight(time_s: np.ndarray, half_life_days: float) -> np.ndarray:
    """float64, 2 ** ((time - landmark) / half-life): the stored weight of a fact at each time.

    >>> float(weight(np.array([LANDMARK_S + 28 * 86_400]), 28)[0])
    2.0
    """
    return np.exp2((np.asarray(time_s, dtype=np.float64) - LANDMARK_S) / (half_life_days * SECONDS_PER_DAY))
