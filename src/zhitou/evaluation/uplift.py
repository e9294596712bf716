"""Who is moved by an ad, not who buys: uplift curves, Qini and AUUC, and the value of a rule who is treated.

R = units of a randomised trial, A = arms (0 = control), G = groups of units with one score. Units with one score are
one step of the curve, whatever their order; a model's figures do not depend on the models that are scored beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import LEVEL, Estimate, Moments

_Cells = tuple[int, int, int, int]  # treated positive, treated negative, control positive, control negative
_DIGIT_BITS = 8
_DIGITS = 8
_DIGIT_MASK = np.uint64(255)
_SIGN = np.int64(-(2**63))
_ROWS_MAX = 2**31


@dataclass(frozen=True)
class UpliftCurve:
    """Sums over the units with the highest scores, after each group of equal scores, best first.

    treated, control: int64 [G], units of each arm; treated_total, control_total: float64 [G], their outcomes.
    """

    treated: np.ndarray
    control: np.ndarray
    treated_total: np.ndarray
    control_total: np.ndarray

    @property
    def units(self) -> np.ndarray:
        """int64 [G]: units of both arms so far."""
        return self.treated + self.control

    def gains(self) -> np.ndarray:
        """float64 [G]: Qini curve, treated outcomes beyond what as many control units had (Radcliffe 2007).

        Y_t - Y_c · N_t / N_c; Y_t as it stands where no control unit has come yet.
        """
        ratio = np.divide(self.treated, self.control, out=np.zeros(len(self.control)), where=self.control > 0)
        return self.treated_total - self.control_total * ratio

    def uplifts(self) -> np.ndarray:
        """float64 [G]: (mean of the treated - mean of the control) · units; a mean of no units counts as 0."""
        top = np.divide(self.treated_total, self.treated, out=np.zeros(len(self.treated)), where=self.treated > 0)
        low = np.divide(self.control_total, self.control, out=np.zeros(len(self.control)), where=self.control > 0)
        return (top - low) * self.units


@dataclass(frozen=True)
class Ranking:
    """How well a score ranks units by what the treatment does to them. All are 0 for one score for everybody.

    qini: area between the Qini curve and the straight line to its end, over that of the best thinkable order of a
    0/1 outcome; NaN for other outcomes. auuc: the same of the uplift curve. gain_per_unit: area between the Qini
    curve and its line, per unit, with units on [0, 1]: in the outcome's own unit, for any outcome.
    """

    qini: float
    auuc: float
    gain_per_unit: float


def uplift_curve(score: np.ndarray, treated: np.ndarray, outcome: np.ndarray) -> UpliftCurve:
    """The curve of one score. score, outcome: float [R]; treated: bool [R].

    Refused (SchemaError): lengths that differ, scores or outcomes that are not numbers, an arm without units.
    Whole-number outcomes (clicks, micros below 2**53) sum exactly; others are summed in an order of their own
    (score, arm, outcome), so the bits do not depend on the order of rows either.
    """
    ordered = _ordered(score, treated, outcome)
    return UpliftCurve(*_sums(ordered.keys, ordered.treated, ordered.outcome))


def rank_quality(score: np.ndarray, treated: np.ndarray, outcome: np.ndarray) -> Ranking:
    """Qini, AUUC and gain of one score; several models are measured one by one and do not touch each other.

    Refuses what uplift_curve refuses. Takes about 40 bytes a unit.
    """
    ordered = _ordered(score, treated, outcome)
    gains, uplifts, gain_end, uplift_end = _areas(ordered.keys, ordered.treated, ordered.outcome)
    end = float(len(ordered.keys))
    gain = (gains - end * gain_end / 2) / end / end
    if ordered.cells is None:
        return Ranking(float("nan"), float("nan"), gain)
    best = _area(*_best_gains(ordered.cells)) - end * gain_end / 2
    best_uplift = _area(*_best_uplifts(ordered.cells)) - end * uplift_end / 2
    return Ranking(
        qini=(gains - end * gain_end / 2) / best if best > 0 else 0.0,
        auuc=(uplifts - end * uplift_end / 2) / best_uplift if best_uplift > 0 else 0.0,
        gain_per_unit=gain,
    )


def arm_scores(
    arm: np.ndarray, outcome: np.ndarray, propensity: np.ndarray, expected: np.ndarray | None = None
) -> np.ndarray:
    """float64 [R, A]: doubly robust scores; the mean of column a is the value of giving arm a to everybody.

    expected[r, a] + 1[arm_r = a] · (outcome_r - expected[r, a]) / propensity[r, a]  (Robins, Rotnitzky, Zhao 1994).
    arm: int [R]. propensity: float [A] or [R, A], by design. expected: float [R, A], from a model that was
    not fitted on row r, None = none: then these are inverse propensity scores.
    """
    own = np.asarray(arm)
    p = np.broadcast_to(np.asarray(propensity, dtype=np.float64), (len(own), np.shape(propensity)[-1]))
    assert (p > 0).all(), "every arm had a chance in every row"
    mu = np.zeros(p.shape) if expected is None else np.asarray(expected, dtype=np.float64)
    scores, rows = mu.copy(), np.arange(len(own))
    scores[rows, own] += (np.asarray(outcome, dtype=np.float64) - mu[rows, own]) / p[rows, own]
    return scores


def policy_value(scores: np.ndarray, share: np.ndarray, level: float = LEVEL) -> Estimate:
    """Mean outcome per unit of a policy. scores: [R, A] of arm_scores; share: int [R], an arm, or float [R, A]."""
    return Moments.of(_reward(scores, share)).interval(level)


def policy_difference(scores: np.ndarray, share: np.ndarray, other: np.ndarray, level: float = LEVEL) -> Estimate:
    """Value of one policy less that of another on the same units; paired, so what both do alike has no noise."""
    return Moments.of(_reward(scores, share) - _reward(scores, other)).interval(level)


def top_share(score: np.ndarray, share: float) -> np.ndarray:
    """float64 [R, 2]: the policy that treats the `share` of units with the highest score.

    Units tied at the cut are treated with equal chance, so that exactly the share is, in whatever order they stand.
    """
    s = np.asarray(score, dtype=np.float64)
    assert 0 <= share <= 1, "a share of the units"
    wanted = share * len(s)
    cut = np.sort(s)[::-1][min(int(wanted), len(s) - 1)] if len(s) else 0.0
    above, at = s > cut, s == cut
    treated = np.where(above, 1.0, np.where(at, (wanted - above.sum()) / max(int(at.sum()), 1), 0.0))
    return np.stack([1 - treated, treated], 1)


def _reward(scores: np.ndarray, share: np.ndarray) -> np.ndarray:
    """float64 [R]: each unit's score under the policy."""
    if np.ndim(share) == 1:
        return scores[np.arange(len(scores)), np.asarray(share, dtype=np.int64)]
    return (scores * share).sum(1)


def _area(units: np.ndarray, values: np.ndarray) -> float:
    """Below the curve through (0, 0) and these points, by trapezoids."""
    x, v = np.append(0.0, units), np.append(0.0, values)
    return float(np.dot(np.diff(x), v[1:] + v[:-1])) / 2


def _steps(counts: list[_Cells]) -> UpliftCurve:
    """A curve from groups (treated positive, treated negative, control positive, control negative)."""
    t1, t0, c1, c0 = np.array([c for c in counts if sum(c)], dtype=np.int64).cumsum(0).T
    return UpliftCurve(t1 + t0, c1 + c0, t1.astype(np.float64), c1.astype(np.float64))


def _best_gains(cells: _Cells) -> tuple[np.ndarray, np.ndarray]:
    """The best order for the Qini curve: treated positives, then all negatives, then control positives."""
    t1, t0, c1, c0 = cells
    curve = _steps([(t1, 0, 0, 0), (0, t0, 0, c0), (0, 0, c1, 0)])
    return curve.units, curve.gains()


def _best_uplifts(cells: _Cells) -> tuple[np.ndarray, np.ndarray]:
    """The best order for the uplift curve: positives of the treated and negatives of the control first."""
    t1, t0, c1, c0 = cells
    if c1 > t0:
        order = [(t1, 0, 0, 0), (0, 0, 0, c0), (0, 0, c1, 0), (0, t0, 0, 0)]
    else:
        order = [(t1, 0, 0, 0), (0, 0, 0, c0), (0, t0, 0, 0), (0, 0, c1, 0)]
    curve = _steps(order)
    return curve.units, curve.uplifts()


@dataclass(frozen=True)
class _Ordered:
    """Units by falling score. keys: uint64 [R], equal for equal scores. cells: of a 0/1 outcome, else None."""

    keys: np.ndarray
    treated: np.ndarray
    outcome: np.ndarray
    cells: _Cells | None


def _ordered(score: np.ndarray, treated: np.ndarray, outcome: np.ndarray) -> _Ordered:
    s, y = np.asarray(score, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    t = np.asarray(treated, dtype=bool)
    if not len(s) == len(y) == len(t):
        raise SchemaError(f"expected one score, arm and outcome a unit, got {len(s)}, {len(t)} and {len(y)}")
    if len(s) >= _ROWS_MAX:
        raise SchemaError(f"expected fewer than 2**31 units, got {len(s):,}; draw a sample")
    keys, packed = np.empty(len(s), np.uint64), np.empty(len(s), np.uint32)
    finite, whole, binary, *cells = _packed(s, t, y, keys, packed)
    if not finite:
        raise SchemaError("expected scores and outcomes that are numbers, got NaN or infinity; leave those units out")
    if cells[0] + cells[1] == 0 or cells[2] + cells[3] == 0:
        raise SchemaError("expected units of both arms, got one arm; an uplift needs a control")
    if whole:
        keys, packed = _radix(keys, packed)
        return _Ordered(keys, packed & 1, packed >> 1, tuple(cells) if binary else None)  # type: ignore[arg-type]
    rows = np.lexsort((y, t)).astype(np.uint32)
    keys, rows = _radix(keys[rows], rows)
    return _Ordered(keys, t[rows].astype(np.uint32), y[rows], None)


@njit(cache=True)
def _packed(score, treated, outcome, keys, packed):  # type: ignore[no-untyped-def]
    """Keys that rise as scores fall, arm and whole outcome in one word, and what kind of outcome it is."""
    finite, whole, binary = True, True, True
    t1 = t0 = c1 = c0 = 0
    bits = (score + 0.0).view(np.int64)  # + 0.0: minus zero is zero
    for i in range(len(score)):
        y = outcome[i]
        finite &= np.isfinite(score[i]) and np.isfinite(y)
        one = y == 1.0
        binary &= one or y == 0.0
        fits = y == np.floor(y) and 0.0 <= y < _ROWS_MAX
        whole &= fits
        b = bits[i]
        keys[i] = np.uint64(~(b ^ ((b >> 63) | _SIGN)))
        packed[i] = (2 * np.int64(y) if fits else 0) + treated[i]
        if treated[i]:
            t1 += one
            t0 += not one
        else:
            c1 += one
            c0 += not one
    return finite, whole, binary, t1, t0, c1, c0


@njit(cache=True)
def _radix(keys, rows):  # type: ignore[no-untyped-def]
    """Keys in rising order and what stood beside each, digit after digit; digits that are all equal are skipped."""
    n = len(keys)
    places = np.zeros((_DIGITS, 1 << _DIGIT_BITS), np.int64)
    for i in range(n):
        key = keys[i]
        for d in range(_DIGITS):
            places[d, (key >> np.uint64(d * _DIGIT_BITS)) & _DIGIT_MASK] += 1
    rows_next, keys_next = np.empty_like(rows), np.empty_like(keys)
    for d in range(_DIGITS):
        shift = np.uint64(d * _DIGIT_BITS)
        if places[d, (keys[0] >> shift) & _DIGIT_MASK] == n:
            continue
        at = 0
        for b in range(1 << _DIGIT_BITS):
            count = places[d, b]
            places[d, b] = at
            at += count
        for i in range(n):
            b = (keys[i] >> shift) & _DIGIT_MASK
            j = places[d, b]
            places[d, b] = j + 1
            keys_next[j] = keys[i]
            rows_next[j] = rows[i]
        keys, keys_next = keys_next, keys
        rows, rows_next = rows_next, rows
    return keys, rows


@njit(cache=True)
def _sums(keys, treated, outcome):  # type: ignore[no-untyped-def]
    """Running sums of each arm after each group of equal keys."""
    n = len(keys)
    groups = 1
    for i in range(1, n):
        groups += keys[i] != keys[i - 1]
    units_t, units_c = np.empty(groups, np.int64), np.empty(groups, np.int64)
    total_t, total_c = np.empty(groups, np.float64), np.empty(groups, np.float64)
    nt = nc = g = 0
    yt = yc = 0.0
    for i in range(n):
        if treated[i]:
            nt += 1
            yt += outcome[i]
        else:
            nc += 1
            yc += outcome[i]
        if i + 1 == n or keys[i + 1] != keys[i]:
            units_t[g], units_c[g], total_t[g], total_c[g] = nt, nc, yt, yc
            g += 1
    return units_t, units_c, total_t, total_c


@njit(cache=True)
def _areas(keys, treated, outcome):  # type: ignore[no-untyped-def]
    """Areas below the Qini and the uplift curve, and their ends, without keeping the curves."""
    n = len(keys)
    nt = nc = last = 0
    yt = yc = gain = uplift = gains = uplifts = 0.0
    for i in range(n):
        if treated[i]:
            nt += 1
            yt += outcome[i]
        else:
            nc += 1
            yc += outcome[i]
        if i + 1 == n or keys[i + 1] != keys[i]:
            step, last = i + 1 - last, i + 1
            control = yc / nc if nc else 0.0
            gain_now = yt - control * nt
            uplift_now = ((yt / nt if nt else 0.0) - control) * (i + 1)
            gains += step * (gain + gain_now)
            uplifts += step * (uplift + uplift_now)
            gain, uplift = gain_now, uplift_now
    return gains / 2, uplifts / 2, gain, uplift
