"""What has moved since the champion was put in use, where, and what it costs. R = rows, F = features, B = bins.

Three questions, each with its own alarm: has a feature another distribution (population stability index), are the
predictions off (calibration), has the base rate moved (label shift). In a stream without drift all of them together
raise a false alarm with a chance of at most 1 - level, however long the stream and however often one looks. That
takes long to convince where clicks are few; a quick chart besides looks for predictions that are off, and is false on
at most 1 - day_level of days.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from zhitou.core.errors import SchemaError
from zhitou.evaluation.calibration import calibration_ratio
from zhitou.evaluation.classification import rate_interval
from zhitou.evaluation.experiment import LEVEL, Estimate
from zhitou.feedback.chart import RateChart
from zhitou.feedback.psi import Bins, psi

Kind = Literal["feature", "calibration", "base rate"]
_FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0)  # how many times too many (or, inverted, too few) events are looked for


@dataclass(frozen=True)
class DriftRules:
    """When an alarm is raised.

    level: the share of streams without drift that stay silent for ever, at least; day_level: the share of days on
    which the quick chart does, a day being day_rows. window_rows: rows compared with the reference at a time.
    block_rows: rows between two looks at the rates. psi_least: below it a feature's move is no matter, however sure.
    ratio_within: predicted over observed that is no matter. rate_within: change of the base rate that is no matter (a
    day has better and worse hours). ignore: features that move by themselves.
    """

    level: float = LEVEL
    day_level: float = 0.98
    day_rows: int = 30_000
    window_rows: int = 3_000
    block_rows: int = 1_000
    bins: int = 10
    psi_least: float = 0.1
    ratio_within: tuple[float, float] = (0.95, 1.05)
    rate_within: tuple[float, float] = (0.8, 1.25)
    ignore: frozenset[str] = frozenset({"hour_sin", "hour_cos", "weekend", "random_number"})


@dataclass(frozen=True)
class DriftRows:
    """R shown rows in order of time. columns: F arrays [R], numbers or text, NaN or "" = unknown. labels: bool [R].

    predicted: float64 [R], in the row's own slot. spend_micros: int64 [R], what the row cost the advertiser.
    unit: [R], the shopper, whose rows are not independent. Refused (SchemaError): columns of other lengths.
    """

    columns: tuple[np.ndarray, ...]
    labels: np.ndarray
    predicted: np.ndarray
    spend_micros: np.ndarray
    unit: np.ndarray

    def __post_init__(self) -> None:
        lengths = {len(x) for x in (*self.columns, self.labels, self.predicted, self.spend_micros, self.unit)}
        if len(lengths) != 1:
            raise SchemaError(f"expected arrays of one length, got lengths {sorted(lengths)}; align them by row")

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: np.ndarray | slice) -> DriftRows:
        """These rows."""
        rest = (getattr(self, n)[rows] for n in ("labels", "predicted", "spend_micros", "unit"))
        return DriftRows(tuple(c[rows] for c in self.columns), *rest)

    def __add__(self, other: DriftRows) -> DriftRows:
        columns = tuple(np.concatenate(pair) for pair in zip(self.columns, other.columns, strict=True))
        names = ("labels", "predicted", "spend_micros", "unit")
        return DriftRows(columns, *(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))


@dataclass(frozen=True)
class Reference:
    """What is held to be normal: each feature's bins and shares, and the base rate. units: distinct shoppers."""

    names: tuple[str, ...]
    bins: tuple[Bins, ...]
    shares: tuple[np.ndarray, ...]
    rows: int
    clicks: int
    units: int

    @classmethod
    def of(cls, rows: DriftRows, names: Sequence[str], bins: int = 10) -> Reference:
        """Measured on these rows. Refused (SchemaError): names that do not fit, no rows."""
        if len(names) != len(rows.columns) or not len(rows):
            raise SchemaError(f"expected rows with {len(names)} columns, got {len(rows)} with {len(rows.columns)}")
        made = tuple(Bins.of(column, bins) for column in rows.columns)
        shares = tuple(b.counts(c) / len(rows) for b, c in zip(made, rows.columns, strict=True))
        return cls(
            tuple(names), made, shares, len(rows), int(np.sum(rows.labels)), len(np.unique(rows.unit.astype(str)))
        )


@dataclass(frozen=True)
class Cost:
    """Overbid per 1,000 impressions: spend x (predicted / observed - 1); below 0 = underbid, None = no limit."""

    micros: int
    low: int | None
    high: int | None
    currency: str

    def __str__(self) -> str:
        ends = ["?" if end is None else f"{end:,}" for end in (self.low, self.high)]
        return f"{self.micros:,} micros {self.currency} per 1,000 impressions ({ends[0]} to {ends[1]})"


@dataclass(frozen=True)
class Alarm:
    """One thing that moved. rows_seen: rows of the stream when it was named. since_row: about where it began.

    measure: the PSI of a feature, predicted over observed, or the rate over the reference's. where: in words.
    """

    kind: Kind
    name: str
    rows_seen: int
    since_row: int
    measure: float
    where: str
    cost: Cost

    def __str__(self) -> str:
        what = {"feature": "PSI", "calibration": "predicted / observed", "base rate": "times the reference's rate"}
        where = f"; {self.where}" if self.where else ""
        return f"{self.kind} drift in {self.name}: {what[self.kind]} {self.measure:.2f}{where}; overbid {self.cost}"


def overbid(rows: DriftRows, currency: str, level: float = LEVEL) -> Cost:
    """What a wrong level costs on these rows. Bids follow predictions, so 10 % too high pays 10 % too much.

    Without a click the ratio has no upper limit and its lower one is what is known.
    """
    ratio = calibration_ratio(rows.labels, rows.predicted, level)
    spend = int(rows.spend_micros.sum()) * 1_000 / max(len(rows), 1)

    def cost(value: float) -> int | None:
        return round(spend * (value - 1)) if math.isfinite(value) else None

    known = cost(ratio.value)
    low = cost(ratio.low)
    return Cost((low or 0) if known is None else known, low, cost(ratio.high), currency)


class RateAlarm:
    """Whether events come at another rate than expected, at a false-alarm chance of `alpha` over an endless stream.

    For events Y_i of chance m_i given the past, at most l_i, the product over rows of theta^Y · exp(-(theta - 1) l)
    with theta > 1 is a supermartingale, since E[theta^Y] = 1 + (theta - 1) m <= exp((theta - 1) l); likewise for
    theta < 1 and m_i at least l_i. So is its mean over several theta and over starts k with weights 1 / (k (k + 1)):
    a change may begin anywhere. By Ville's inequality it ever exceeds 1 / alpha with a chance of alpha at most. No
    approximation is made: few events only make it slow. (E-detectors: Shin, Ramdas, Rinaldo.)
    """

    def __init__(self, alpha: float, start_rows: int = 1) -> None:
        """start_rows: rows between two starts, so that a long stream of small blocks costs little."""
        self.alpha, self._start_rows = alpha, start_rows
        up = np.asarray(_FACTORS)
        self._theta = np.concatenate([up, 1 / up])
        self._logs = np.zeros((0, len(self._theta)))
        self._rows = np.zeros(0, dtype=np.int64)
        self._seen = 0

    def add(self, rows: int, events: int, most: float, least: float) -> int | None:
        """The next block. most, least: the largest and smallest sum of chances that would be no matter.

        The row at which a change probably began, None while there is no evidence of one.
        """
        if not len(self._rows) or self._seen - self._rows[-1] >= self._start_rows:
            self._logs = np.concatenate([self._logs, np.zeros((1, len(self._theta)))])
            self._rows = np.append(self._rows, self._seen)
        self._seen += rows
        allowed = np.where(self._theta > 1, most, least)
        self._logs += events * np.log(self._theta) - (self._theta - 1) * allowed
        k = np.arange(1, len(self._logs) + 1)
        log_weight = -np.log(k * (k + 1.0))
        of_start = np.logaddexp.reduce(self._logs, axis=1) - math.log(len(self._theta)) + log_weight
        # Starts still to come are worth 1 each: their weights sum to 1 / (k + 1).
        evidence = np.logaddexp(np.logaddexp.reduce(of_start), -math.log(len(k) + 1.0))
        return int(self._rows[np.argmax(of_start)]) if evidence >= -math.log(self.alpha) else None


class DriftWatch:
    """Watches a stream of shown rows against a reference; each thing that moved is named once.

    The chance of a false alarm for ever is shared out: half to the calibration, which is money; a quarter to the base
    rate; a quarter to the features (each, at window w, 1 / (w (w + 1)) of its part). The quick chart has its own.
    """

    def __init__(self, reference: Reference, currency: str, rules: DriftRules | None = None) -> None:
        self.reference, self.currency, self.rules = reference, currency, rules or DriftRules()
        alpha = 1 - self.rules.level
        self._features = [i for i, name in enumerate(reference.names) if name not in self.rules.ignore]
        self._feature_alpha = alpha / 4 / max(1, len(self._features))
        self._ratio, self._rate = RateAlarm(alpha / 2), RateAlarm(alpha / 8)
        # The reference's own rate is only known so well: the other half of the base rate's share is spent on that.
        self._base = rate_interval(reference.clicks, reference.rows, 1 - alpha / 8)
        self._chart = self._charts(reference)
        self._named: set[tuple[Kind, str]] = set()
        self._window: DriftRows | None = None
        self._block: DriftRows | None = None
        self._recent: list[DriftRows] = []
        self._windows = self.rows = 0

    def _charts(self, reference: Reference) -> RateChart:
        """The quick chart for days of as many clicks as the reference's rate makes."""
        rules, (low, high) = self.rules, self.rules.ratio_within
        clicks = max(reference.clicks, 1) / reference.rows * rules.block_rows
        blocks = max(1, round(rules.day_rows / rules.block_rows))
        return RateChart(1 - rules.day_level, blocks, clicks / low, clicks / high)

    def add(self, rows: DriftRows) -> tuple[Alarm, ...]:
        """The next rows of the stream; what they bring to light, if anything."""
        alarms: list[Alarm] = []
        for start in range(0, len(rows), self.rules.block_rows):
            alarms += self._take(rows.select(slice(start, start + self.rules.block_rows)))
        return tuple(alarms)

    def _take(self, rows: DriftRows) -> list[Alarm]:
        alarms: list[Alarm] = []
        block = rows if self._block is None else self._block + rows
        while len(block) >= self.rules.block_rows:
            full = block.select(slice(0, self.rules.block_rows))
            block = block.select(slice(self.rules.block_rows, None))
            self.rows += len(full)
            alarms += self._rates(full)
            self._window = full if self._window is None else self._window + full
            if len(self._window) >= self.rules.window_rows:
                alarms += self._shapes(self._window)
                self._window = None
        self._block = block
        return alarms

    def _rates(self, block: DriftRows) -> list[Alarm]:
        """Calibration and base rate of one more block."""
        clicks, expected = int(np.sum(block.labels)), float(np.sum(block.predicted))
        (low, high), (worse, better) = self.rules.ratio_within, self.rules.rate_within
        n, base = len(block), self._base
        quick = self._chart.add(n, clicks, expected / low, expected / high)
        slow = self._ratio.add(n, clicks, expected / low, expected / high)
        since_ratio = quick if slow is None else slow
        since_rate = self._rate.add(n, clicks, n * base.high * better, n * base.low * worse)
        self._recent = [*self._recent, block][-4 * self.rules.window_rows // self.rules.block_rows :]
        alarms = []
        if since_ratio is not None and self._first("calibration", "predictions"):
            rows = self._since(since_ratio)
            ratio = calibration_ratio(rows.labels, rows.predicted)
            alarms.append(self._alarm("calibration", "predictions", since_ratio, ratio.value, _pair(ratio), rows))
        if since_rate is not None and self._first("base rate", "clicks"):
            rows = self._since(since_rate)
            rate = rate_interval(int(np.sum(rows.labels)), len(rows))
            where = f"{rate.value:.3%} [{rate.low:.3%}, {rate.high:.3%}] of rows, {base.value:.3%} before"
            times = rate.value / base.value if base.value else math.inf
            alarms.append(self._alarm("base rate", "clicks", since_rate, times, where, rows))
        return alarms

    def _shapes(self, window: DriftRows) -> list[Alarm]:
        """The features of one full window."""
        self._windows += 1
        w, ref = self._windows, self.reference
        units = len(np.unique(window.unit.astype(str)))
        # Rows of one shopper hang together, so the spread that chance makes is that of so many shoppers.
        spread = 1 / units + 1 / ref.units
        alarms = []
        for i in self._features:
            counts = ref.bins[i].counts(window.columns[i])
            value = psi(ref.shares[i] * ref.rows, counts)
            used = int(((counts > 0) | (ref.shares[i] > 0)).sum())
            by_chance = spread * float(stats.chi2.isf(self._feature_alpha / (w * (w + 1)), max(used - 1, 1)))
            if value >= max(self.rules.psi_least, by_chance) and self._first("feature", ref.names[i]):
                grown = int(np.argmax(counts / len(window) - ref.shares[i]))
                inside = ref.bins[i].codes(window.columns[i]) == grown
                share = f"{ref.shares[i][grown]:.0%} -> {inside.mean():.0%} of rows"
                where = f"{ref.bins[i].words(grown)}: {share}"
                since = self.rows - len(window)
                rows = window.select(inside)
                alarms.append(self._alarm("feature", ref.names[i], since, value, where, rows))
        return alarms

    def _first(self, kind: Kind, name: str) -> bool:
        new = (kind, name) not in self._named
        self._named.add((kind, name))
        return new

    def _since(self, row: int) -> DriftRows:
        """The kept rows from this row of the stream on (at least the last block, at most four windows)."""
        kept = self._recent[0]
        for block in self._recent[1:]:
            kept = kept + block
        return kept.select(slice(max(0, len(kept) - max(self.rules.block_rows, self.rows - row)), None))

    def _alarm(self, kind: Kind, name: str, since: int, measure: float, where: str, rows: DriftRows) -> Alarm:
        return Alarm(kind, name, self.rows, since, measure, where, overbid(rows, self.currency))


def _pair(ratio: Estimate) -> str:
    return f"interval {ratio.low:.2f} to {ratio.high:.2f}"
