"""Population stability index: how far a column's distribution has moved. R = rows, B = bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bins:
    """How values of one column are told apart: by the reference's quantiles, or value by value where they are few.

    edges: the B' inner limits (a value at a limit belongs above it), or with `by_value` the known values, sorted.
    There is one more bin for unknown values, and with `by_value` one for values never seen before.
    """

    edges: np.ndarray
    by_value: bool

    @classmethod
    def of(cls, column: np.ndarray, bins: int) -> Bins:
        """Bins of about equal numbers of these rows; text, and numbers of at most `bins` values, are categories."""
        x = _plain(column)
        if x.dtype == np.float64:
            known = x[~np.isnan(x)]
            values = np.unique(known)
            if len(values) > bins:
                cuts = np.quantile(known, np.arange(1, bins) / bins, method="higher")
                return cls(np.unique(cuts), False)
            return cls(values, True)
        return cls(np.unique(x[x != ""]), True)

    def __len__(self) -> int:
        return len(self.edges) + 2

    def codes(self, column: np.ndarray) -> np.ndarray:
        """int64 [R]: the bin of each value; the last bin is for unknown ones."""
        x = _plain(column)
        unknown = np.isnan(x) if x.dtype == np.float64 else x == ""
        if self.by_value:
            at = np.searchsorted(self.edges, x)
            safe = np.minimum(at, max(len(self.edges) - 1, 0))
            same = self.edges[safe] == x if len(self.edges) else np.zeros(len(x), dtype=bool)
            at = np.where(same, safe, len(self.edges))
        else:
            at = np.searchsorted(self.edges, x, side="right")
        return np.where(unknown, len(self.edges) + 1, at)

    def counts(self, column: np.ndarray) -> np.ndarray:
        """int64 [B]: rows in each bin."""
        return np.bincount(self.codes(column), minlength=len(self))

    def words(self, code: int) -> str:
        """The bin for people."""
        n = len(self.edges)
        if code == n + 1:
            return "unknown"
        if self.by_value:
            return "a value not seen before" if code == n else f"value {_short(self.edges[code])}"
        if code == 0:
            return f"below {_short(self.edges[0])}"
        if code == n:
            return f"from {_short(self.edges[-1])}"
        return f"from {_short(self.edges[code - 1])} to {_short(self.edges[code])}"


def psi(before: np.ndarray, after: np.ndarray) -> float:
    """Sum over bins of (q - p) · log(q / p), p and q the shares of the rows counted [B] before and after.

    Half a row more per bin that either side uses: an empty bin is rare, not impossible. 0 = the same.

    >>> round(psi([500, 500], [250, 750]), 3)
    0.274
    """
    a, b = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    used = (a > 0) | (b > 0)
    p, q = a[used] + 0.5, b[used] + 0.5
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _plain(column: np.ndarray) -> np.ndarray:
    """float64 for numbers and truth values, str for the rest."""
    x = np.asarray(column)
    return x.astype(np.float64) if x.dtype.kind in "fiub" else x.astype(str)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
