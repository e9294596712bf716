"""Experiments on a live shop: who is in which arm, what each arm may spend, who would have seen a held-out ad.

Both users and budgets are split unless somebody says otherwise: with shared budgets a user split takes one arm's
money for the other's gain. B = requests, S = slots, K = ads, C = campaigns, A = arms, R = rows of a log,
U = subjects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.evaluation.designs import BudgetStrain, Incrementality, incrementality
from zhitou.evaluation.experiment import Claim, Counts, Estimate, RatioMoments, relative_lift
from zhitou.evaluation.sequential import ConfidenceSequence, Reading

Design = Literal["budget_split", "user_split"]

OUTSIDE = -1  # the arm of a stranger: without a name nobody can be shown the same thing twice
_WORST_P = 0.001  # A/A checks cry wolf once in a thousand


@dataclass(frozen=True)
class Experiment:
    """Who is in which arm. shares: of the arms, in their order, the control first. salt: secret or not, one a test.

    A subject's arm follows from salt, name and pseudonym alone: it is the same tomorrow, on every server, and has
    nothing to do with the arm in another experiment. Refused (ConfigError): fewer than two arms, shares that do not
    sum to 1.
    """

    name: str
    salt: str
    arms: tuple[str, ...] = ("control", "treatment")
    shares: tuple[float, ...] = (0.5, 0.5)
    design: Design = "budget_split"

    def __post_init__(self) -> None:
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"expected two or more arms of different names, got {', '.join(self.arms) or 'none'}")
        if len(self.arms) != len(self.shares) or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-9:
            raise ConfigError(
                f"expected a share above 0 for each of {len(self.arms)} arms, in all 1, got {self.shares}"
            )

    def arm_of(self, subjects: Sequence[str] | np.ndarray) -> np.ndarray:
        """int8 [B]: place of each subject's arm; OUTSIDE for "", a stranger."""
        edges = np.cumsum(self.shares)[:-1]
        place = _places(f"{self.salt}\x1f{self.name}", subjects)
        arm = np.searchsorted(edges, place, side="right").astype(np.int8)
        arm[np.asarray([not s for s in subjects], dtype=bool)] = OUTSIDE
        return arm

    def budgets(self, budget_micros: np.ndarray) -> np.ndarray:
        """int64 [C, A]: what each arm may spend of each campaign's budget (int64 [C]).

        A budget split gives every arm its share, to the micro, and nothing is lost or made. Under a user split
        every arm may spend all of it, from one purse: see evaluation.designs.budget_strain before reading that.
        """
        whole = np.asarray(budget_micros, dtype=np.int64)
        if self.design == "user_split":
            return np.repeat(whole[:, None], len(self.arms), 1)
        return split_budgets(whole, self.shares)


def split_budgets(budget_micros: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """int64 [C, A]: each budget (int64 [C], not negative) divided by these shares; every row sums to its budget.

    Whole micros that rounding down leaves go to the arms with the largest remainder, the first arm at a tie. Shares
    count to a millionth.
    """
    whole = np.asarray(budget_micros, dtype=np.int64)
    parts = np.rint(np.asarray(shares, dtype=np.float64) / sum(shares) * 1_000_000).astype(np.int64)
    parts[np.argmax(parts)] += 1_000_000 - parts.sum()
    assert (whole >= 0).all(), "a budget is not negative"
    assert (parts > 0).all(), "every arm has a share of a millionth or more"
    high, low = np.divmod(whole, 1_000_000)  # so that no product leaves int64
    product = low[:, None] * parts
    out = high[:, None] * parts + product // 1_000_000
    order = np.argsort(-(product % 1_000_000), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return np.asarray(out + (rank < (whole - out.sum(1))[:, None]), dtype=np.int64)


@dataclass(frozen=True)
class Holdout:
    """A share of subjects that a campaign is not shown to, drawn anew for every campaign."""

    salt: str
    share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(
                f"expected a share of subjects between 0 and 1, got {self.share}; 0.01 to 0.05 is usual"
            )

    def held(self, subjects: Sequence[str] | np.ndarray, campaign_ids: Sequence[str]) -> np.ndarray:
        """bool [B, C]: whether this campaign is held back from this subject. Strangers are never held out."""
        out = np.zeros((len(subjects), len(campaign_ids)), dtype=bool)
        named = np.asarray([bool(s) for s in subjects], dtype=bool)
        for c, campaign in enumerate(campaign_ids):
            out[:, c] = (_places(f"{self.salt}\x1fholdout\x1f{campaign}", subjects) < self.share) & named
        return out


def ghosts(drawn: np.ndarray, campaign: np.ndarray, held: np.ndarray) -> np.ndarray:
    """bool [B, S]: slots whose winner is held back: log it as a ghost and give the slot to the draw without it.

    drawn: int [B, S], the ads that won, -1 = none. campaign: int [K]. held: bool [B, C]. The auction runs with the
    held-out campaign in it; only so is it known who would have seen the ad.
    """
    slate = np.asarray(drawn)
    of = np.asarray(campaign)[np.maximum(slate, 0)]
    out: np.ndarray = np.take_along_axis(np.asarray(held), of.astype(np.int64), 1) & (slate >= 0)
    return out


@dataclass(frozen=True)
class Exposures:
    """R wins of one campaign. subject: object [R]; time_us: int64 [R]; ghost: bool [R], only logged, not shown."""

    subject: np.ndarray
    time_us: np.ndarray
    ghost: np.ndarray

    def __len__(self) -> int:
        return len(self.subject)


def read_holdout(
    exposures: Exposures, converted: Sequence[str] | np.ndarray, at_us: np.ndarray, window_us: int, share: float
) -> tuple[Incrementality, Reading]:
    """What the campaign caused, among those it won for, and whether the holdout may be read.

    converted: object [N], subjects of conversions, at_us: int64 [N]. A subject counts from the first exposure or
    ghost on, and converts if a conversion follows within the window. share: the planned one of the holdout. Refused
    (SchemaError): subjects who are both exposed and ghosts, for then the holdout leaked.
    """
    names, code = np.unique(np.asarray(exposures.subject, dtype=str), return_inverse=True)
    ghost = np.zeros(len(names), dtype=bool)
    ghost[code[exposures.ghost]] = True
    leaked = np.unique(code[~exposures.ghost & ghost[code]])
    if len(leaked):
        raise SchemaError(
            f"expected each subject exposed or held out, got {len(leaked):,} of {len(names):,} both; "
            "assign by Holdout.held alone and keep its salt"
        )
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, code, np.asarray(exposures.time_us, dtype=np.int64))
    who = np.asarray(converted, dtype=str)
    place = np.minimum(np.searchsorted(names, who), max(len(names) - 1, 0))
    since = np.asarray(at_us, dtype=np.int64) - first[place] if len(names) else np.empty(0)
    after = (names[place] == who) & (since >= 0) & (since <= window_us) if len(names) else np.empty(0, dtype=bool)
    done = np.zeros(len(names), dtype=bool)
    done[place[after]] = True
    shown, held = (Counts(int(arm.sum()), int((arm & done).sum())) for arm in (~ghost, ghost))
    sequence = ConfidenceSequence(max(len(names), 1), treated_share=1 - share)
    return incrementality(shown, held), sequence.read(Claim("ads cause conversions", 0.0), shown, held)


@dataclass(frozen=True)
class Units:
    """U subjects with what they were shown and did. arm: int8 [U]. top, bottom: float64 [U], such as clicks and
    impressions, or conversions and clicks: the ratio of their sums is the metric."""

    arm: np.ndarray
    top: np.ndarray
    bottom: np.ndarray

    @classmethod
    def of_rows(cls, experiment: Experiment, subject: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> Units:
        """Rows (impressions) summed by subject; strangers are left out."""
        names, code = np.unique(np.asarray(subject, dtype=str), return_inverse=True)
        sums = [np.bincount(code, np.asarray(v, dtype=np.float64), minlength=len(names)) for v in (top, bottom)]
        return cls(experiment.arm_of(names.tolist()), *sums)

    def ratio(self, arm: int) -> RatioMoments:
        """The metric of one arm, with subjects as units."""
        own = self.arm == arm
        return RatioMoments.of(self.top[own], self.bottom[own])

    def read(
        self,
        experiment: Experiment,
        claim: Claim,
        tuned_n: int,
        arm: int = 1,
        strain: BudgetStrain | None = None,
    ) -> Reading:
        """The verdict on `arm` against the control, at this look. tuned_n: subjects planned for both arms together.

        Stopped by a wrong sample ratio, and under a user split unless `strain` says that no budget ran out.
        """
        share = experiment.shares[arm] / (experiment.shares[0] + experiment.shares[arm])
        sequence = ConfidenceSequence(tuned_n, treated_share=share)
        assigned = (int((self.arm == arm).sum()), int((self.arm == 0).sum()))
        reading = sequence.read(claim, self.ratio(arm), self.ratio(0), assigned)
        if reading.stopped or experiment.design == "budget_split" or (strain is not None and strain.sound):
            return reading
        known = (
            f"{strain.bound_share:.0%} of the spend came from {strain.campaigns_bound} campaigns whose budget ran out"
            if strain is not None
            else "it is not known whether any ran out"
        )
        reason = f"users were split and budgets were not, and {known}; repeat it with the design budget_split"
        nothing = Estimate(float("nan"), -np.inf, np.inf, sequence.level)
        return Reading(claim, "inconclusive", nothing, reading.ratio, reading.exact, reason)


@dataclass(frozen=True)
class SameCheck:
    """An A/A check: one shop split again and again, where no lift is true. wrong: share of splits that found one.

    uniform_p: of Kolmogorov's test that p-values are uniform; the splits share their subjects, so it only tells a
    gross error. sound: the wrong ones are as rare as they should be.
    """

    splits: int
    wrong: Estimate
    uniform_p: float
    sound: bool


def check_same(
    subjects: Sequence[str] | np.ndarray, top: np.ndarray, bottom: np.ndarray, splits: int = 500, salt: str = "aa"
) -> SameCheck:
    """Split these subjects (U, each once) by `splits` salts and look for lifts that are not there.

    Not sound: more splits "find" a lift than 5 % allow, beyond chance: then the unit or the variance is wrong.
    """
    y, x = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    if len(set(subjects)) != len(y):
        raise SchemaError("expected each subject once; sum its rows first, the subject is what is split")
    p_values = np.empty(splits)
    for number in range(splits):
        half = _places(f"{salt}\x1f{number}", subjects) < 0.5
        lift = relative_lift(RatioMoments.of(y[half], x[half]), RatioMoments.of(y[~half], x[~half]))
        p_values[number] = _p_of(lift)
    found = int((p_values < 0.05).sum())
    wrong = Counts(splits, found).interval()
    uniform = float(stats.kstest(p_values, "uniform").pvalue)
    return SameCheck(splits, wrong, uniform, bool(stats.binom.sf(found - 1, splits, 0.05) >= _WORST_P))


def _p_of(lift: Estimate) -> float:
    """Two-sided p-value of no lift, from the interval on the log of the ratio; 1 where nothing is known."""
    if not np.isfinite(lift.high):
        return 1.0
    error = (np.log1p(lift.high) - np.log1p(lift.low)) / 2 / stats.norm.ppf((1 + lift.level) / 2)
    return float(2 * stats.norm.sf(abs(np.log1p(lift.value)) / error)) if error > 0 else 1.0


def _places(salt: str, subjects: Sequence[str] | np.ndarray) -> np.ndarray:
    """float64 [B] in [0, 1): BLAKE2b of salt and subject."""
    start = hashlib.blake2b(f"{salt}\x1f".encode(), digest_size=8)
    out = np.empty(len(subjects))
    for at, subject in enumerate(subjects):
        h = start.copy()
        h.update(str(subject).encode())
        out[at] = int.from_bytes(h.digest(), "little") // 2**11 / 2**53  # 53 bits: never 1 after rounding
    return out
