"""Whether the champion serves as its verdict promised, looked at after every decision. R = rows, U = units.

Labels tell against the champion in two ways: the model before it would have foretold the same rows better, or its
predictions are off by more than a bid may be, and the model before is nearer. Both rules may be looked at as often as
one likes; a sound champion is rolled back with a chance of at most 1 - level in its whole life.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zhitou.evaluation.classification import log_losses
from zhitou.evaluation.experiment import LEVEL, Moments, sequence_half_width
from zhitou.feedback.drift import RateAlarm


@dataclass(frozen=True)
class HealthRules:
    """When a champion is rolled back.

    ratio_within: predicted over observed that is no reason. expected_least: clicks foretold before the losses are
    compared, since the bound is one for many rows. tuned_units: decisions at which that bound is narrowest.
    start_rows: a fall may begin anywhere; how many rows lie between two beginnings that are looked at.
    """

    level: float = LEVEL
    ratio_within: tuple[float, float] = (0.8, 1.25)
    expected_least: float = 20.0
    tuned_units: int = 2_000
    start_rows: int = 2_000


class Health:
    """The case against one champion, from the rows it decided, in order of time."""

    def __init__(self, rules: HealthRules | None = None) -> None:
        self.rules = rules or HealthRules()
        self._rate = RateAlarm((1 - self.rules.level) / 2, self.rules.start_rows)
        self._gains: list[Moments] = []  # one for each beginning
        self._begun: list[tuple[int, float]] = []  # (rows, clicks foretold) before it
        self.rows = self.clicks = 0
        self.expected = self.parent_expected = 0.0

    def add(self, labels: np.ndarray, champion: np.ndarray, parent: np.ndarray, unit: np.ndarray) -> str | None:
        """The next rows; why the champion is to be rolled back, None while nothing proves it.

        labels: bool [R]; champion, parent: float64 [R], the chances that each of the two gives; unit: int or object
        [R], the decision. Rows of one unit come in one call.
        """
        if not len(labels):
            return None
        if not self._begun or self.rows - self._begun[-1][0] >= self.rules.start_rows:
            self._begun.append((self.rows, self.expected))
            self._gains.append(Moments(0, 0.0, 0.0))
        self.rows, self.clicks = self.rows + len(labels), self.clicks + int(np.sum(labels))
        self.expected += float(np.sum(champion))
        self.parent_expected += float(np.sum(parent))
        gain = log_losses(labels, champion) - log_losses(labels, parent)  # above 0: the parent foretold better
        code = np.unique(unit.astype(str), return_inverse=True)[1]
        news = Moments.of(np.bincount(code, gain))
        self._gains = [g + news for g in self._gains]
        low, high = self.rules.ratio_within
        expected = float(np.sum(champion))
        off = self._rate.add(len(labels), int(np.sum(labels)), expected / low, expected / high) is not None
        return self._worse() or (self._off() if off else None)

    def _worse(self) -> str | None:
        """The parent's log loss is lower since one of the beginnings, by an interval that holds at all looks."""
        for k, (gain, (rows, expected)) in enumerate(zip(self._gains, self._begun, strict=True), start=1):
            if gain.n < 2 or self.expected - expected < self.rules.expected_least or not gain.mean > 0:
                continue
            # One side of a two-sided bound can roll back: half of what is allowed, shared out by 1 / (k (k + 1)).
            level = 1 - (1 - self.rules.level) / (k * (k + 1))
            reach = sequence_half_width(gain.n, math.sqrt(gain.variance), self.rules.tuned_units, level)
            if gain.mean > reach:
                return (
                    f"the model before foretells {self.rows - rows:,} rows better: log loss lower by {gain.mean:.2g} "
                    f"nats a decision, {gain.mean - reach:.2g} to {gain.mean + reach:.2g} at any look"
                )
        return None

    def _off(self) -> str | None:
        """The champion's level is wrong, and the parent's is nearer."""
        if abs(_log(self.parent_expected, self.clicks)) >= abs(_log(self.expected, self.clicks)):
            return None  # the world moved under both: going back mends nothing
        return (
            f"predicts {self.expected:,.1f} clicks of {self.rows:,} rows, {self.clicks:,} came; "
            f"the model before says {self.parent_expected:,.1f}"
        )


def _log(expected: float, clicks: int) -> float:
    """log of expected over seen, half a click added to both."""
    return math.log((expected + 0.5) / (clicks + 0.5))
