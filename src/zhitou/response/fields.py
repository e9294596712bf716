"""Fields made comparable: centred, scaled, long tails drawn in, unknown values set to the mean and marked as such.

R = rows, F = fields, G = columns after it (F and one mark for each field that was sometimes unknown).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import SchemaError

_SKEWED = 1.5  # skewness above which a field that is never negative is taken by its logarithm
_FAR = 5.0  # standard deviations beyond which a value counts as this far: one broken sensor moves no bid
_SEEN_LEAST = 20  # unknown (and known) values needed before "unknown" is a column of its own


@dataclass(frozen=True)
class Scaling:
    """How F raw fields become G columns. Arrays are [F], but `marked` int [G - F]: fields whose absence is marked.

    logged: bool, take log1p(max(x, 0)) first. centre, slope: float32; a column is (x - centre) * slope of a field,
    and slope is one over the training rows' deviation, 0 for a field that never varied.
    """

    logged: np.ndarray
    centre: np.ndarray
    slope: np.ndarray
    marked: np.ndarray

    @classmethod
    def of(cls, fields: np.ndarray) -> Scaling:
        """Measured on training rows, float32 [R, F]."""
        x = fields.astype(np.float64)
        known = np.isfinite(x)
        counts = known.sum(0)
        logged = _skewness(x, known) > _SKEWED
        logged &= np.where(known, x, 0.0).min(0, initial=0.0) >= 0
        x[:, logged] = np.log1p(x[:, logged])
        total = np.maximum(counts, 1)
        centre = np.where(known, x, 0.0).sum(0) / total
        spread = np.sqrt(np.where(known, (x - centre) ** 2, 0.0).sum(0) / total)
        varied = spread > 1e-6 * np.maximum(np.abs(centre), 1e-6)
        slope = np.divide(1.0, spread, out=np.zeros_like(spread), where=varied)
        marked = np.flatnonzero((len(x) - counts >= _SEEN_LEAST) & (counts >= _SEEN_LEAST))
        return cls(logged, centre.astype(np.float32), slope.astype(np.float32), marked.astype(np.int32))

    @property
    def width(self) -> int:
        """G."""
        return len(self.centre) + len(self.marked)

    def columns(self, fields: np.ndarray) -> np.ndarray:
        """float32 [R, G] of raw fields [R, F]. Refused: another F (SchemaError)."""
        if fields.shape[-1] != len(self.centre):
            raise SchemaError(f"expected {len(self.centre)} fields, got {fields.shape[-1]}; see the model's names")
        raw = np.asarray(fields, dtype=np.float32)
        F = raw.shape[1]
        out = np.empty((len(raw), self.width), dtype=np.float32)
        z = out[:, :F]
        z[...] = raw
        if self.logged.any():
            z[:, self.logged] = np.log1p(np.maximum(z[:, self.logged], 0))
        z -= self.centre
        z *= self.slope
        np.clip(z, -_FAR, _FAR, out=z)
        unknown = np.isnan(z)
        if unknown.any():
            z[unknown] = 0.0
        out[:, F:] = unknown[:, self.marked]
        return out


def _skewness(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """float64 [F]: third moment of each field's known values over the cube of their deviation, 0 if constant."""
    n = np.maximum(known.sum(0), 1)
    d = np.where(known, x - np.where(known, x, 0.0).sum(0) / n, 0.0)
    spread = np.sqrt((d**2).sum(0) / n)
    return np.divide((d**3).sum(0) / n, spread**3, out=np.zeros_like(spread), where=spread > 0)
