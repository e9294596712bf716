"""Five estimators and their errors in one pass over a log of any length. R = rows.

16 bytes a row are read once: reward, weight, and what a model expects of the logged action and of the target policy,
each float32. What is kept are sums, so parts of a log (files, days, shards) are passed one by one and added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate
from zhitou.evaluation.offpolicy import Overlap, PolicyValue, overlap_of_sums
from zhitou.evaluation.offpolicy_intervals import Gains

# sums may be taken in any order, so that eight rows go at a time
_fast = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})


@dataclass(frozen=True)
class PolicySums:
    """Sums over rows of w, r, g = w · r, q = q_target, c = w · (r - q_logged) and their products.

    largest: of w; reward_most: of r.

    >>> one = policy_sums(np.ones(2), np.ones(2), np.zeros(2), np.zeros(2))
    >>> (one + one).rows
    4
    """

    rows: int
    w: float
    ww: float
    g: float
    wg: float
    gg: float
    q: float
    qq: float
    c: float
    wc: float
    cc: float
    qc: float
    qw: float
    largest: float
    reward_most: float

    def __add__(self, other: PolicySums) -> PolicySums:
        mine, theirs = self._numbers(), other._numbers()
        added = [a + b for a, b in zip(mine[:-2], theirs[:-2], strict=True)]
        most = [max(a, b) for a, b in zip(mine[-2:], theirs[-2:], strict=True)]
        return PolicySums(int(added[0]), *added[1:], *most)

    @property
    def overlap(self) -> Overlap:
        """How well the log covers the target."""
        return overlap_of_sums(self.rows, self.w, self.ww, self.largest)

    def values(self, level: float = LEVEL) -> dict[str, PolicyValue]:
        """ips, snips, dm, dr and sndr, as in offpolicy.py but for their intervals, which are normal.

        The sums count rows, not shoppers, and know nothing of skewness: for logs with hundreds of rewarded rows. The
        interval of dm is of everything. All are refused where the overlap forbids.
        """
        cover = self.overlap
        if cover.refusal:
            return {name: PolicyValue(name, None, cover, cover.refusal) for name in self._estimates()}
        gains = Gains(self.g, self.gg, self.largest * max(self.reward_most, 1.0))
        found = {}
        for name, (value, squares) in self._estimates().items():
            error = math.sqrt(max(squares, 0.0) / (self.rows - 1) / self.rows)
            estimate = Estimate.normal(value, math.nan if name == "dm" else error, level)
            found[name] = PolicyValue(name, estimate, cover, None, error, None if name == "dm" else gains)
        return found

    def _estimates(self) -> dict[str, tuple[float, float]]:
        """(value, sum of squared influences) of each estimator."""
        n, mean_w = self.rows, self.w / self.rows if self.w else math.nan
        ips, dm, dr = self.g / n, self.q / n, (self.q + self.c) / n
        snips, left = self.g / (n * mean_w), self.c / (n * mean_w)
        about_left = self.cc - 2 * left * self.wc + left * left * self.ww  # sum of (w · (r - q_logged - left))²
        with_q = self.qc - left * self.qw - dm * (self.c - left * self.w)  # its product with q - dm
        q_alone = self.qq - n * dm * dm
        return {
            "ips": (ips, self.gg - n * ips * ips),
            "snips": (snips, (self.gg - 2 * snips * self.wg + snips * snips * self.ww) / mean_w**2),
            "dm": (dm, q_alone),
            "dr": (dr, self.qq + 2 * self.qc + self.cc - n * dr * dr),
            "sndr": (dm + left, q_alone + 2 * with_q / mean_w + about_left / mean_w**2),
        }

    def _numbers(self) -> list[float]:
        return [getattr(self, name) for name in self.__dataclass_fields__]


def policy_sums(
    reward: np.ndarray, weights: np.ndarray, expected_logged: np.ndarray, expected_target: np.ndarray
) -> PolicySums:
    """The sums of these rows; float32 [R] each, or float64 [R] each, summed in float64 either way.

    Refused (SchemaError): unequal lengths, a value that is not finite.
    """
    columns = [np.ascontiguousarray(c) for c in (reward, weights, expected_logged, expected_target)]
    if len({c.shape for c in columns}) != 1 or columns[0].ndim != 1:
        raise SchemaError(f"expected four columns of one length, got shapes {[c.shape for c in columns]}")
    kind = np.float32 if all(c.dtype == np.float32 for c in columns) else np.float64
    r, w, logged, target = (c.astype(kind, copy=False) for c in columns)
    sums = np.zeros(14, dtype=np.float64)
    if len(r):
        _pass(r, w, logged, target, sums)
    if not np.isfinite(sums).all():
        raise SchemaError("expected finite rewards, weights and expectations, got NaN or infinity; drop those rows")
    return PolicySums(len(r), *(float(s) for s in sums))


@_fast
def _pass(reward, weight, logged, target, out):  # type: ignore[no-untyped-def]
    w_ = ww = g_ = wg = gg = q_ = qq = c_ = wc = cc = qc = qw = 0.0
    largest, most = weight[0], reward[0]
    for i in range(reward.shape[0]):
        w, r, q = np.float64(weight[i]), np.float64(reward[i]), np.float64(target[i])
        g = w * r
        c = g - w * np.float64(logged[i])
        w_ += w
        ww += w * w
        g_ += g
        wg += w * g
        gg += g * g
        q_ += q
        qq += q * q
        c_ += c
        wc += w * c
        cc += c * c
        qc += q * c
        qw += q * w
        largest = max(largest, weight[i])
        most = max(most, reward[i])
    out[0], out[1], out[2], out[3], out[4], out[5] = w_, ww, g_, wg, gg, q_
    out[6], out[7], out[8], out[9], out[10], out[11] = qq, c_, wc, cc, qc, qw
    out[12], out[13] = largest, most
