"""How many conversions are still to come, and how many will be cancelled. N = clicks, D = columns of a design.

Of a click of age e the chance of a conversion by now is p · F(e): p that one ever comes, F how soon. Reading "none
yet" as "none" is far too low while clicks are fresh; waiting until all have come is late. Both p and F are fitted at
once on all clicks, by maximum likelihood (Chapelle 2014, "Modeling delayed feedback in display advertising"):

    L = prod over conversions of p · f(d) x prod over the other clicks of (1 - p · F(e))

with p = sigmoid(offset + intercept + design · weights), d = delay of a conversion, e = age of a click, f = F'. A
refund is the same question asked of conversions: it comes with probability r, after a delay of its own. Because it is
asked of each conversion since it happened, the likelihood of both stages is a product; each is fitted by itself.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit, logit

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.evaluation.experiment import LEVEL, Estimate
from zhitou.response.rows import Rows
from zhitou.response.waits import FAMILIES, Wait, piece_knots, wait_of

CHOOSE = "choose"
CONVERSIONS_LEAST = 10  # fewer say nothing of a delay
LATENESS_LEAST = 20  # from here on young clicks taught more than they misled (JOURNAL: 8 worlds at each number)
_LEFT_OUT = "pCVR leaves out the clicks that are too young to tell"
_CELLS = 2_048  # ages are read at the mean of so many equally full cells: minutes wide in a week, F moves less
_INTERCEPT_SD, _NUMBER_SD = 3.0, 2.0  # in logits, and logs of scale and shape: e² times more or less is no surprise


@dataclass(frozen=True)
class Clicks:
    """N clicks as known at one moment; float64 [N] each, seconds.

    age_s: since the click. delay_s: from the click to its first conversion, NaN = none yet. refund_s: from that
    conversion to its refund, NaN = none yet. Refused (SchemaError): other lengths, times that are negative or lie
    after that moment, a refund without a conversion.
    """

    age_s: np.ndarray
    delay_s: np.ndarray
    refund_s: np.ndarray

    def __post_init__(self) -> None:
        for name in ("age_s", "delay_s", "refund_s"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if not self.age_s.shape == self.delay_s.shape == self.refund_s.shape or self.age_s.ndim != 1:
            shapes = [getattr(self, n).shape for n in ("age_s", "delay_s", "refund_s")]
            raise SchemaError(f"expected one age, delay and refund per click, got shapes {shapes}")
        known = np.nan_to_num(self.delay_s) + np.nan_to_num(self.refund_s)
        wrong = (self.delay_s < 0) | (self.refund_s < 0) | ~(self.age_s >= known)
        if bad := int(wrong.sum()):
            raise SchemaError(f"{bad:,} clicks have times before them or after now; cut the log at one moment")
        if bad := int((~np.isnan(self.refund_s) & ~self.converted).sum()):
            raise SchemaError(f"{bad:,} refunds without a conversion; join refunds to the order they cancel")

    def __len__(self) -> int:
        return len(self.age_s)

    @property
    def converted(self) -> np.ndarray:
        """bool [N]: a conversion is known, refunded or not."""
        return ~np.isnan(self.delay_s)

    @classmethod
    def known_at(
        cls,
        now_s: float,
        click_s: np.ndarray,
        conversion_s: np.ndarray,
        refund_s: np.ndarray | None = None,
    ) -> Clicks:
        """The clicks up to `now_s` and what had become of them by then. Unix seconds [N]; NaN or negative = never."""
        click = np.asarray(click_s, dtype=np.float64)
        kept = click <= now_s
        never = np.full(len(click), np.nan)
        times = (np.asarray(conversion_s), never if refund_s is None else np.asarray(refund_s))
        bought, back = (np.where((t >= 0) & (t <= now_s), t, np.nan)[kept] for t in times)
        return cls(now_s - click[kept], bought - click[kept], back - bought)


@dataclass(frozen=True)
class LateEvent:
    """What comes with a probability and after a delay, as fitted: a conversion after a click, a refund after it.

    wait, numbers: the family of delays and its numbers (`waits`). window_days: later ones do not count, inf = all
    do. coefficients: float64 [1 + D], intercept first; covariance: float64 [1 + D + k, 1 + D + k] of them and the
    numbers. rate: mean probability over the rows of the fit. events: how many were seen; horizon_days: the age of
    the oldest row: what is said of longer delays than that is extrapolated. bic: of each family considered, lower
    is better: twice -log likelihood, and log(events) for each number.
    """

    wait: Wait
    numbers: np.ndarray
    window_days: float
    coefficients: np.ndarray
    covariance: np.ndarray
    rate: Estimate
    events: int
    horizon_days: float
    bic: dict[str, float]

    @property
    def family(self) -> str:
        """The name of the family of delays."""
        return self.wait.family

    @property
    def errors(self) -> np.ndarray:
        """float64 [1 + D + k]: standard errors of the coefficients, then of the delay's numbers."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def beyond(self) -> float:
        """The share of events that no row was old enough to show: known by the shape of the family alone."""
        return 1 - float(self.matured(np.array(self.horizon_days * SECONDS_PER_DAY)))

    def matured(self, elapsed_s: np.ndarray) -> np.ndarray:
        """F, float64 in [0, 1]: that an event which will come has come, so many seconds on."""
        days = np.asarray(elapsed_s, dtype=np.float64) / SECONDS_PER_DAY
        whole = self.wait.cdf(np.array(self.window_days), self.numbers) if math.isfinite(self.window_days) else 1.0
        return np.clip(self.wait.cdf(np.clip(days, 0, self.window_days), self.numbers) / whole, 0.0, 1.0)

    def probability(self, offset: np.ndarray | float = 0.0, design: np.ndarray | None = None) -> np.ndarray:
        """p, float64 [N], of logits [N] and columns [N, D] as in the fit."""
        more = 0.0 if design is None else np.asarray(design, dtype=np.float64) @ self.coefficients[1:]
        return expit(np.asarray(offset, dtype=np.float64) + self.coefficients[0] + more)


@dataclass(frozen=True)
class Delay:
    """Both stages. refund is None where no refunds were asked for or too few are known."""

    conversion: LateEvent
    refund: LateEvent | None

    @property
    def cvr(self) -> Estimate:
        """Conversions per click, those to come included, those that will be cancelled too."""
        return self.conversion.rate

    @property
    def net_cvr(self) -> Estimate:
        """Conversions per click that stay: cvr · (1 - r). Its interval is on the log, by the delta method."""
        if self.refund is None:
            return self.cvr
        p, r = self.cvr, self.refund.rate
        stays = 1 - r.value
        reach = math.hypot(math.log(p.high / p.value), (r.high - r.low) / 2 / stays)
        net = p.value * stays
        return Estimate(net, net * math.exp(-reach), net * math.exp(reach), p.level)

    def matured(self, elapsed_s: np.ndarray) -> np.ndarray:
        """That a conversion which will come has come, so many seconds after the click; float64 in [0, 1]."""
        return self.conversion.matured(elapsed_s)

    def to_come(self, clicks: Clicks, offset: np.ndarray | float = 0.0, design: np.ndarray | None = None) -> float:
        """How many conversions these clicks still owe: p · (1 - F) / (1 - p · F), summed over those without one."""
        p = np.broadcast_to(self.conversion.probability(offset, design), clicks.age_s.shape)[~clicks.converted]
        F = self.matured(clicks.age_s[~clicks.converted])
        return float((p * (1 - F) / (1 - p * F)).sum())


def fit_delay(
    clicks: Clicks,
    window_s: float = math.inf,
    offset: np.ndarray | None = None,
    design: np.ndarray | None = None,
    family: str = CHOOSE,
    refunds: bool = True,
) -> Delay:
    """Fit both stages to these clicks.

    window_s: conversions later than this after the click do not count (feedback.Windows); p is then the
    probability of one within it, and nothing beyond it is extrapolated. offset: float64 [N], logits that are known
    already; design: float64 [N, D], columns that move p. family: one of waits.FAMILIES, or CHOOSE: the one of least
    BIC without offset and design (where p is small only its mean matters to the delay). refunds: fit the second stage
    too, where there are CONVERSIONS_LEAST of them. Refused (ConfigError): fewer conversions, an unknown family.
    """
    if family not in (CHOOSE, *FAMILIES):
        raise ConfigError(f"expected a family of delays out of {(CHOOSE, *FAMILIES)}, got {family!r}")
    window_days = window_s / SECONDS_PER_DAY
    counted = clicks.converted & (clicks.delay_s <= window_s)
    if (seen := int(counted.sum())) < CONVERSIONS_LEAST:
        raise ConfigError(f"expected {CONVERSIONS_LEAST} conversions or more, got {seen}; take more days of clicks")
    waited = np.where(counted, clicks.delay_s, np.nan) / SECONDS_PER_DAY
    conversion = _fit(clicks.age_s / SECONDS_PER_DAY, waited, window_days, offset, design, family)
    if not refunds or int((~np.isnan(clicks.refund_s[counted])).sum()) < CONVERSIONS_LEAST:
        return Delay(conversion, None)
    since = (clicks.age_s - clicks.delay_s)[counted] / SECONDS_PER_DAY
    back = clicks.refund_s[counted] / SECONDS_PER_DAY
    return Delay(conversion, _fit(since, back, math.inf, None, None, family))


@dataclass(frozen=True)
class Lateness:
    """How late conversions come, as one's own log tells it at `now_s`. delay: None where it tells too little, and
    then nothing is corrected; words: what was found, for people."""

    now_s: int
    delay: Delay | None
    words: str

    def matured(self, rows: Rows) -> np.ndarray | None:
        """float64 [R]: what share of a row's conversions is known by now, 1 without a click; None without a delay.

        What `fit_response`, `refresh_response` and `fit_deep` take as `matured`.
        """
        if self.delay is None or rows.click_s is None:
            return None
        age_s = np.where(rows.clicked, self.now_s - rows.click_s, 0)
        return np.where(rows.clicked, self.delay.matured(age_s), 1.0)


def lateness_of(rows: Rows, now_s: int, window_s: float) -> Lateness:
    """The delay of these rows' conversions, as known at `now_s` (Unix seconds); conversions count within `window_s`
    of their click. Fitted from LATENESS_LEAST conversions on."""
    if rows.click_s is None or rows.conversion_s is None or rows.refund_s is None:
        return Lateness(now_s, None, f"the log does not say when conversions came; {_LEFT_OUT}")
    at = rows.clicked
    clicks = Clicks.known_at(now_s, rows.click_s[at], rows.conversion_s[at], rows.refund_s[at])
    if (seen := int(clicks.converted.sum())) < LATENESS_LEAST:
        return Lateness(now_s, None, f"{seen} of {LATENESS_LEAST} conversions that a delay needs; {_LEFT_OUT}")
    delay = fit_delay(clicks, window_s)
    known, share = delay.conversion, float(delay.matured(clicks.age_s).mean())
    words = f"conversion delay of {seen:,} conversions: {known.family}; {share:.0%} of those to come are in"
    if known.beyond > 0.1:
        words += f", {known.beyond:.0%} later than any click is old, by the family's shape alone"
    if delay.refund is not None:
        rate = delay.refund.rate
        words += f"; refunded in the end: {rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
    return Lateness(now_s, delay, words)


def conversions_within(clicks: Clicks, horizon_s: float) -> Estimate:
    """p · F(horizon): conversions per click within a time, by Kaplan and Meier's product limit. No shape is assumed.

    Each click without a conversion counts for as long as it was watched, so no click is too young. The interval is
    Greenwood's on log(-log). Refused (ConfigError): a horizon that no click is old enough for; that needs a shape.
    """
    if not len(clicks) or horizon_s > clicks.age_s.max():
        raise ConfigError(f"no click is {horizon_s:,.0f} s old; ask for less or fit a shape with fit_delay")
    came = clicks.converted & (clicks.delay_s <= horizon_s)
    if not came.any():
        return Estimate(0.0, 0.0, 1.0, LEVEL)
    watched = np.minimum(clicks.age_s, horizon_s)[~came]
    left = stats.ecdf(stats.CensoredData(clicks.delay_s[came], right=watched)).sf
    with warnings.catch_warnings():  # undefined before the first conversion; only the last time is read
        warnings.simplefilter("ignore", RuntimeWarning)
        bounds = left.confidence_interval(LEVEL, method="log-log")
    value, low, high = (float(1 - f.probabilities[-1]) for f in (left, bounds.high, bounds.low))
    return Estimate(value, low, high, LEVEL)


def _fit(
    age: np.ndarray,
    waited: np.ndarray,
    window: float,
    offset: np.ndarray | None,
    design: np.ndarray | None,
    family: str,
) -> LateEvent:
    """One stage, all in days: the family of least BIC on the rows as a whole, then its numbers with all columns."""
    aged = _Aged.of(age, waited, window)
    mean, knots = float(aged.delays.mean()) + 1e-3, piece_knots(aged.delays)
    names = FAMILIES if family == CHOOSE else (family,)
    plain = {name: _maximum(_Likelihood(aged, wait_of(name, mean, knots), None, None)) for name in names}
    bic = {name: fitted.bic[name] for name, fitted in plain.items()}
    best = plain[min(bic, key=lambda name: bic[name])]
    if offset is not None or design is not None:
        best = _maximum(_Likelihood(aged, replace(best.wait, start=best.numbers), offset, design))
    return replace(best, bic=bic)


@dataclass(frozen=True)
class _Aged:
    """The rows of one stage in days, read once for all families.

    cell_age: mean age of a cell; cell: of each row without an event, its cell. Ages end at the window.
    """

    age: np.ndarray
    came: np.ndarray
    delays: np.ndarray
    window: float
    cell_age: np.ndarray
    cell: np.ndarray

    @classmethod
    def of(cls, age: np.ndarray, waited: np.ndarray, window: float) -> _Aged:
        came = ~np.isnan(waited)
        return cls(age, came, waited[came], window, *_cells(np.minimum(age[~came], window)))


class _Likelihood:
    """-log likelihood of one family. Parameters: intercept, D weights, k numbers of the delay."""

    def __init__(self, aged: _Aged, wait: Wait, offset: np.ndarray | None, design: np.ndarray | None) -> None:
        self.aged, self.wait = aged, wait
        n, came = len(aged.age), aged.came
        if offset is None and design is None:  # one p: rows of a cell differ in nothing
            self.cell, self.weight = np.arange(len(aged.cell_age)), np.bincount(aged.cell).astype(np.float64)
            self.x_not, self.x_came = np.ones((len(self.cell), 1)), np.ones((1, 1))
            self.offset_not, self.offset_came = np.zeros(len(self.cell)), np.zeros(1)
            self.weight_came = np.array([float(came.sum())])
            level = 0.0
        else:
            x = np.ones((n, 1)) if design is None else np.column_stack([np.ones(n), design])
            off = np.zeros(n) if offset is None else np.asarray(offset, dtype=np.float64)
            self.cell, self.weight, self.weight_came = aged.cell, np.ones(len(aged.cell)), np.ones(len(aged.delays))
            self.x_not, self.x_came, self.offset_not, self.offset_came = x[~came], x[came], off[~came], off[came]
            level = float(np.log(np.exp(off).mean()))
        self.D = self.x_came.shape[1] - 1
        start = float(logit((came.sum() + 0.5) / (n + 1))) - level
        self.start = np.concatenate([[start], np.zeros(self.D), wait.start])
        self.precision = np.zeros(len(self.start))
        self.precision[0], self.precision[1 + self.D :] = 1 / _INTERCEPT_SD**2, 1 / _NUMBER_SD**2

    def plain(self, at: np.ndarray) -> float:
        """-log likelihood alone."""
        return self._sums(at)[0]

    def __call__(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        """(-log posterior, gradient): the priors are so wide that they only keep few events from running off."""
        value, gradient = self._sums(at)
        off = at - self.start
        return value + 0.5 * float(off @ (self.precision * off)), gradient + self.precision * off

    def _sums(self, at: np.ndarray) -> tuple[float, np.ndarray]:
        F, slope_F, density, slope_density = self._delays(at[1 + self.D :])
        p, q, share = *self._chances(at[: 1 + self.D]), F[self.cell]
        left = 1 - p * share
        value = float(self.weight @ np.log(left)) + float(self.weight_came @ np.log(q)) + density
        pull = -self.weight * share * p * (1 - p) / left
        by_beta = self.x_not.T @ pull + self.x_came.T @ (self.weight_came * (1 - q))
        by_cell = np.bincount(self.cell, -self.weight * p / left, minlength=len(F))
        return -value, -np.concatenate([by_beta, slope_F @ by_cell + slope_density])

    def _chances(self, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """p of the rows without an event and of those with one."""
        return expit(self.offset_not + self.x_not @ beta), expit(self.offset_came + self.x_came @ beta)

    def _delays(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        """(F of the cells, its slopes [k, cells], sum of log densities of the delays, its slopes [k])."""
        wait, aged = self.wait, self.aged
        F, slopes_F = wait.cdf(aged.cell_age, numbers), wait.slopes(aged.cell_age, wait.cdf, numbers)
        density = float(wait.log_density(aged.delays, numbers).sum())
        slopes = wait.slopes(aged.delays, wait.log_density, numbers).sum(1)
        if math.isfinite(aged.window):  # F and f of those that come within the window
            end = np.array([aged.window])
            whole = np.maximum(wait.cdf(end, numbers), 1e-12)
            of_whole = wait.slopes(end, wait.cdf, numbers) / whole
            F, slopes_F = F / whole, slopes_F / whole - F / whole * of_whole
            density -= len(aged.delays) * math.log(whole[0])
            slopes = slopes - len(aged.delays) * of_whole[:, 0]
        return np.clip(F, 0.0, 1.0), slopes_F, density, slopes

    def curvature(self, at: np.ndarray) -> np.ndarray:
        """Second derivatives of -log posterior: by formula between weights, by differences of the gradient else."""
        B, step = 1 + self.D, 1e-4
        out = np.zeros((len(at), len(at)))
        for j in range(B, len(at)):
            move = np.zeros(len(at))
            move[j] = step
            out[j] = (self(at + move)[1] - self(at - move)[1]) / (2 * step)
        out[:B, B:] = out[B:, :B].T
        out[B:, B:] = (out[B:, B:] + out[B:, B:].T) / 2
        F = self._delays(at[B:])[0][self.cell]
        p, q = self._chances(at[:B])
        u, left = p * (1 - p), 1 - p * F
        bend = self.weight * F * u * ((1 - 2 * p) * left + F * u) / left**2
        out[:B, :B] = self.x_not.T @ (self.x_not * bend[:, None])
        out[:B, :B] += self.x_came.T @ (self.x_came * (self.weight_came * q * (1 - q))[:, None])
        out[:B, :B] += np.diag(self.precision[:B])
        return out

    def rate(self, beta: np.ndarray) -> tuple[float, np.ndarray]:
        """(mean p over all rows, its slopes in beta)."""
        (p, q), w, v = self._chances(beta), self.weight, self.weight_came
        slopes = self.x_not.T @ (w * p * (1 - p)) + self.x_came.T @ (v * q * (1 - q))
        return float(w @ p + v @ q) / len(self.aged.age), slopes / len(self.aged.age)


def _maximum(likelihood: _Likelihood) -> LateEvent:
    """The most probable numbers, with standard errors from the curvature there."""
    aged, scale = likelihood.aged, 1 / len(likelihood.aged.delays)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = likelihood(at)
        return value * scale, gradient * scale

    with np.errstate(all="ignore"):  # far steps of a line search may overflow; it turns back from them
        at = minimize(objective, likelihood.start, jac=True, method="BFGS", options={"gtol": 1e-6}).x
        covariance = np.linalg.pinv(likelihood.curvature(at), hermitian=True)
        bic = math.log(len(aged.delays)) * len(at) + 2 * likelihood.plain(at)
    D = likelihood.D
    rate, slopes = likelihood.rate(at[: 1 + D])
    variance = float(slopes @ covariance[: 1 + D, : 1 + D] @ slopes)
    return LateEvent(
        wait=likelihood.wait,
        numbers=at[1 + D :],
        window_days=aged.window,
        coefficients=at[: 1 + D],
        covariance=covariance,
        rate=_on_logit(rate, math.sqrt(max(variance, 0.0))),
        events=len(aged.delays),
        horizon_days=float(aged.age.max()),
        bic={likelihood.wait.family: bic},
    )


def _on_logit(rate: float, error: float) -> Estimate:
    """A probability whose interval is symmetric in its logit, so that it stays inside (0, 1)."""
    near = Estimate.normal(float(logit(rate)), error / (rate * (1 - rate)), LEVEL)
    return Estimate(rate, float(expit(near.low)), float(expit(near.high)), LEVEL)


def _cells(age: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean age of each cell, the cell of each row): equal ages share one, the others in _CELLS of equal size."""
    distinct, which = np.unique(age, return_inverse=True)
    if len(distinct) <= _CELLS:
        return distinct, which
    edges = np.unique(np.quantile(age, np.arange(1, _CELLS) / _CELLS))
    cell = np.searchsorted(edges, age, side="right")
    count = np.bincount(cell, minlength=len(edges) + 1)
    mean = np.divide(np.bincount(cell, age, len(edges) + 1), count, out=np.zeros(len(count)), where=count > 0)
    return mean, cell
