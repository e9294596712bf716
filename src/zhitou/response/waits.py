"""How long what comes takes to come: families of waiting times, each with its distribution and its log density.

t = waiting time in days, float64 of any shape. A family's numbers are unbounded reals, so that any step of an
optimiser is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, gammainc, gammaln, log_expit, ndtr

FAMILIES = ("exponential", "weibull", "gamma", "lognormal", "two_speeds", "pieces")
_SHORTEST_DAYS = 0.5 / 86_400  # half a second: times are logged in whole seconds, and no density is read at 0
_PIECE_SHARE = 0.05  # of the conversions seen, in each of the early pieces
# Pieces are fine where hazards fall fast; the last one, wide, says what comes beyond the data.
_LATE_CUTS = (0.7, 0.8)
_PER_PIECE = 25  # conversions at least that a piece's hazard is read from: it is then known to 20 %
_STEP = 1e-5  # of numeric derivatives: the functions are smooth and of few numbers
_LOG_HALF_TAU = 0.5 * np.log(2 * np.pi)

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wait:
    """One family. cdf(t, numbers), log_density(t, numbers); start: float64 [k], where an optimiser begins.

    knots: float64 [k], from when on each hazard of `pieces` holds; empty for the other families.
    """

    family: str
    cdf: Function
    log_density: Function
    start: np.ndarray
    knots: np.ndarray

    def slopes(self, t: np.ndarray, of: Function, numbers: np.ndarray) -> np.ndarray:
        """float64 [k, len(t)]: derivatives of `of` (this family's cdf or log_density) in its numbers."""
        if self.family == "pieces":
            pieces: _Pieces = self.cdf.__self__  # type: ignore[attr-defined]
            return pieces.cdf_slopes(t, numbers) if of == self.cdf else pieces.density_slopes(t, numbers)
        steps = np.eye(len(numbers)) * _STEP
        return np.stack([(of(t, numbers + s) - of(t, numbers - s)) / (2 * _STEP) for s in steps])


def wait_of(family: str, mean_days: float, knots: np.ndarray | None = None) -> Wait:
    """The family of this name, begun at an exponential of this mean. `pieces` needs its knots (`piece_knots`)."""
    scale = np.log(mean_days)
    none = np.zeros(0)
    if family == "exponential":
        return Wait(family, _exponential_cdf, _exponential_density, np.array([scale]), none)
    if family == "weibull":
        return Wait(family, _weibull_cdf, _weibull_density, np.array([scale, 0.0]), none)
    if family == "gamma":
        return Wait(family, _gamma_cdf, _gamma_density, np.array([scale, 0.0]), none)
    if family == "lognormal":
        return Wait(family, _lognormal_cdf, _lognormal_density, np.array([scale - 0.5, 0.0]), none)
    if family == "two_speeds":
        return Wait(family, _two_speeds_cdf, _two_speeds_density, np.array([scale, scale - 3.0, -1.0]), none)
    assert family == "pieces", f"a family of waiting times is one of {FAMILIES}"
    assert knots is not None, "pieces are cut somewhere"
    pieces = _Pieces(knots)
    return Wait(family, pieces.cdf, pieces.log_density, np.full(len(knots), -scale), knots)


def piece_knots(waited_days: np.ndarray) -> np.ndarray:
    """float64 [k], 0 first: quantiles of what was seen, closer together among the quick ones."""
    share = max(_PIECE_SHARE, _PER_PIECE / len(waited_days))
    early = np.arange(share, _LATE_CUTS[0] - share / 2, share)
    late = [cut for cut in _LATE_CUTS if (1 - _LATE_CUTS[1]) >= share]
    return np.unique(np.concatenate([[0.0], np.quantile(waited_days, np.append(early, late))]))


def _exponential_cdf(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    return -np.expm1(-t * np.exp(-n[0]))


def _exponential_density(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    return -n[0] - t * np.exp(-n[0])


def _weibull_cdf(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    return -np.expm1(-np.exp(np.exp(n[1]) * (_log(t) - n[0])))


def _weibull_density(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    z = np.exp(n[1]) * (_log(t) - n[0])
    return n[1] + z - _log(t) - np.exp(z)


def _gamma_cdf(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    return gammainc(np.exp(n[1]), t * np.exp(-n[0]))


def _gamma_density(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    shape = np.exp(n[1])
    return shape * (_log(t) - n[0]) - _log(t) - t * np.exp(-n[0]) - gammaln(shape)


def _lognormal_cdf(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    return ndtr((_log(t) - n[0]) * np.exp(-n[1]))


def _lognormal_density(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    z = (_log(t) - n[0]) * np.exp(-n[1])
    return -0.5 * z * z - n[1] - _log(t) - _LOG_HALF_TAU


def _two_speeds_cdf(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Two exponentials: most of scale e^n[0], a share of logit n[2], who buy at once, of scale e^n[1]."""
    at_once = expit(n[2])
    return at_once * _exponential_cdf(t, n[1:]) + (1 - at_once) * _exponential_cdf(t, n)


def _two_speeds_density(t: np.ndarray, n: np.ndarray) -> np.ndarray:
    quick, slow = _exponential_density(t, n[1:]), _exponential_density(t, n)
    return np.logaddexp(log_expit(n[2]) + quick, log_expit(-n[2]) + slow)


class _Pieces:
    """A hazard constant between knots that stays what it was last: any shape inside the data, no bend beyond."""

    def __init__(self, knots: np.ndarray) -> None:
        self.knots = knots
        self.ends = np.append(knots[1:], np.inf)

    def _spent(self, t: np.ndarray) -> np.ndarray:
        """float64 [..., k]: days of t spent in each piece."""
        return np.clip(np.asarray(t)[..., None], self.knots, self.ends) - self.knots

    def cdf(self, t: np.ndarray, n: np.ndarray) -> np.ndarray:
        return -np.expm1(-(self._spent(t) @ np.exp(n)))

    def log_density(self, t: np.ndarray, n: np.ndarray) -> np.ndarray:
        piece = np.searchsorted(self.knots, t, side="right") - 1
        return n[piece] - self._spent(t) @ np.exp(n)

    def cdf_slopes(self, t: np.ndarray, n: np.ndarray) -> np.ndarray:
        spent = self._spent(t) * np.exp(n)
        return (np.exp(-spent.sum(-1))[:, None] * spent).T

    def density_slopes(self, t: np.ndarray, n: np.ndarray) -> np.ndarray:
        piece = np.searchsorted(self.knots, t, side="right") - 1
        return (np.eye(len(n))[piece] - self._spent(t) * np.exp(n)).T


def _log(t: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(t, _SHORTEST_DAYS))
