"""Whether a market may be used to compare policies: a list of criteria, each met or not met, none of them softened.

A criterion holds a simulated figure against a real one. Real rows that judge were not fitted to, wherever rows are
compared; where a fit is held against the figure it was fitted to, the criterion's name says "fitted".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
from sklearn.metrics import roc_auc_score

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import LEVEL, Estimate, Moments
from zhitou.market.bandit_fit import PUBLISHED, BanditFit, Replay, replay
from zhitou.market.resemblance import kolmogorov
from zhitou.market.responses import ARMS, Answers, Customers, MailResponse

LIFT_POINTS = 0.05
PRICE_DISTANCE = 0.02
WIN_RATE_DISTANCE = 0.02
TELLS_APART = 0.55  # area under the curve of a classifier that tells real from simulated; 0.5 is blind
WORLDS = 500
MAILS_EACH = 20  # simulated answers of each customer, so that their own chance is small beside the real one's
AUCTIONS = 200_000


@dataclass(frozen=True)
class Criterion:
    """One line of the report. low, high: where the simulated figure must lie, both ends included."""

    name: str
    real: float
    simulated: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether it lies there; a figure that could not be computed (NaN) fails."""
        return bool(self.low <= self.simulated <= self.high)


@dataclass(frozen=True)
class Report:
    """All criteria of a market. accepted: every one of them, and at least one, is met."""

    criteria: tuple[Criterion, ...]

    @property
    def accepted(self) -> bool:
        """Whether the market may be used."""
        return bool(self.criteria) and all(one.passed for one in self.criteria)

    def failed(self) -> tuple[Criterion, ...]:
        """Those that are not met."""
        return tuple(one for one in self.criteria if not one.passed)

    def lines(self) -> list[str]:
        """The report as text, one line a criterion, the verdict last."""
        head = f"{'criterion':58}{'real':>11}{'simulated':>11}{'must lie in':>24}  verdict"
        body = [
            f"{one.name:58}{one.real:11.4g}{one.simulated:11.4g}{f'[{one.low:.4g}, {one.high:.4g}]':>24}  "
            + ("passed" if one.passed else "FAILED")
            for one in self.criteria
        ]
        failed = len(self.failed())
        told = "accepted" if self.accepted else f"NOT accepted: {failed} of {len(self.criteria)} failed"
        return [head, *body, told]


def lift_criteria(
    fit: BanditFit, chance: Chance, rates: Sequence[np.ndarray] | None = None, *, worlds: int = WORLDS
) -> tuple[Criterion, ...]:
    """Thompson over random in fresh worlds, within 5 points of each published lift.

    chance: another seed than the fit's. rates: one float64 [W, I] for each of PUBLISHED, the true click rates of a
    market's own ads; drawn from the fit if None.
    """
    criteria = []
    for number, one in enumerate(PUBLISHED):
        own = None if rates is None else rates[number]
        told: Replay = replay(fit, one, worlds, chance.child("accept-lift"), own)
        name = f"Thompson over random, {one.campaign} (fitted)" if own is None else _own_ads(one.campaign)
        criteria.append(Criterion(name, one.lift, told.lift, one.lift - LIFT_POINTS, one.lift + LIFT_POINTS))
    return tuple(criteria)


def _own_ads(campaign: str) -> str:
    return f"Thompson over random, {campaign}, this market's own ads"


def mail_criteria(
    fit: MailResponse,
    customers: Customers,
    arm: np.ndarray,
    answers: Answers,
    chance: Chance,
    *,
    each: int = MAILS_EACH,
) -> tuple[Criterion, ...]:
    """Each arm's level and each mail's effect on visits, conversions and spend inside the trial's 95 % intervals.

    The trial: customers, arm and answers [N]. Simulated: every customer `each` times under each arm.
    """
    draw = chance.stream("accept-mail")
    everybody = np.tile(np.arange(len(customers)), each)
    many = customers.take(everybody)
    simulated = [fit.answer(many, np.full(len(many), one), draw) for one in range(len(ARMS))]
    criteria = []
    for column, scale in (("visited", 1.0), ("converted", 1.0), ("spend_micros", 1e6)):
        real = [Moments.of(getattr(answers, column)[arm == one] / scale) for one in range(len(ARMS))]
        made = [float(getattr(s, column).mean()) / scale for s in simulated]
        for one, name in enumerate(ARMS):
            told = real[one].interval()
            criteria.append(Criterion(f"mail {name}: {column}", told.value, made[one], told.low, told.high))
        for one in range(1, len(ARMS)):
            gap = np.sqrt(real[one].variance_of_mean + real[0].variance_of_mean)
            told = Estimate.normal(real[one].mean - real[0].mean, float(gap), LEVEL)
            name = f"mail {ARMS[one]} over none: {column}"
            criteria.append(Criterion(name, told.value, made[one] - made[0], told.low, told.high))
    return tuple(criteria)


def price_criteria(name: str, counts: np.ndarray, simulated: np.ndarray) -> tuple[Criterion, ...]:
    """Prices of one campaign: Kolmogorov distance to the real histogram (int64 [P], by whole price), and the largest
    gap between real and simulated win rate of a bid at each tenth of the real prices.
    """
    real = np.repeat(np.arange(len(counts)), np.asarray(counts))
    distance = kolmogorov(real, simulated)
    bids = np.quantile(real, np.linspace(0.1, 0.9, 9), method="lower")
    gaps = [abs(float((real <= bid).mean()) - float((simulated <= bid).mean())) for bid in bids]
    return (
        Criterion(f"price of {name}: distance (fitted)", 0.0, distance, 0.0, PRICE_DISTANCE),
        Criterion(f"price of {name}: win rates (fitted)", 0.0, max(gaps), 0.0, WIN_RATE_DISTANCE),
    )


def apart_criterion(name: str, real: np.ndarray, simulated: np.ndarray, chance: Chance) -> Criterion:
    """A classifier must not tell held-out real rows from simulated ones (float64 [N, columns], NaN = missing)."""
    told = two_sample_auc(real, simulated, chance)
    return Criterion(f"{name}: a classifier's AUC", 0.5, told, 0.0, TELLS_APART)


def two_sample_auc(real: np.ndarray, simulated: np.ndarray, chance: Chance) -> float:
    """How well gradient-boosted trees tell the two apart: area under the curve, on rows they did not learn from.

    Two folds: each half judges what the other taught; the mean of both. Equal numbers of rows are taken from both
    sides at random. 0.5: not at all; 1: always. Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests" (2017).
    """
    draw = chance.stream("two-sample")
    size = min(len(real), len(simulated))
    assert size >= 2, "two halves need two rows of each side"
    sides = [side[draw.permutation(len(side))[:size]] for side in (real, simulated)]
    rows, is_real = np.concatenate(sides), np.repeat([1, 0], size)
    half = draw.permutation(2 * size) % 2 == 0
    scores = []
    for taught in (half, ~half):
        trees = lightgbm.LGBMClassifier(
            n_estimators=100,
            num_leaves=15,
            learning_rate=0.05,
            min_child_samples=50,
            random_state=int(draw.integers(2**31)),
            n_jobs=1,
            verbose=-1,
        ).fit(rows[taught], is_real[taught])
        scores.append(roc_auc_score(is_real[~taught], np.asarray(trees.predict_proba(rows[~taught]))[:, 1]))
    return float(np.mean(scores))
