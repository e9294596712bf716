"""78 real experiments of a fashion shop, replayed look by look: the sequential test against the test at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import Estimate, Moments, difference
from zhitou.evaluation.sequential import ConfidenceSequence, anytime_sample_ratio
from zhitou.events.sources.asos import RealExperiment, read_experiments

UNITS_LEAST = 1_000  # an arm; before that a mean of heavy-tailed spending is not normal
DAYS_LEAST = (0, 7, 14)  # whole weeks: an effect of the first days may be newness, or the weekday
NAMES = {-1: "worse", 0: "undecided", 1: "better"}


@dataclass(frozen=True)
class Replay:
    """What two tests say of one metric. ours, theirs, naive: -1 worse, 0 undecided, 1 better; at: share of the whole

    sample at which ours was decided (1 if never). naive: the first look at which the one-look interval excludes 0.
    """

    ours: int
    theirs: int
    naive: int
    at: float


def asos(chance: Chance, quick: bool) -> dict[str, Any]:
    """Print the table of verdicts and the alarms; the same as figures. Nothing here is drawn or shortened."""
    tests = read_experiments()
    alarms, figures = _ratios(tests)
    read = [_looks(test) for test in tests if (test.experiment, test.variant) not in alarms]
    known = [looks for looks in read if looks is not None]
    replays = [_replay(looks) for looks in known]
    table = Counter((replay.ours, replay.theirs) for replay in replays)
    print(f"\n== Asos: {len(replays)} metrics that may be read, {sum(len(looks.days) for looks in known):,} looks ==")
    print("sequential, any look   at the end, fixed: worse   undecided   better")
    for ours in (-1, 0, 1):
        print(f"{NAMES[ours]:<20}" + "".join(f"{table[ours, theirs]:>17}" for theirs in (-1, 0, 1)))
    agreed = [r.at for r in replays if r.ours and r.ours == r.theirs]
    figures |= {
        "asos_tests": len(replays),
        "asos_decided": sum(bool(r.ours) for r in replays),
        "asos_found_at_end": sum(bool(r.theirs) for r in replays),
        "asos_found_by_both": len(agreed),
        "asos_sample_at_verdict_median": float(np.median(agreed)),
    }
    print(
        f"of {figures['asos_found_at_end']} found at the end {len(agreed)} were found by looking, the median at "
        f"{figures['asos_sample_at_verdict_median']:.0%} of the sample"
    )
    print(
        "no verdict before day   opposite at the end   not confirmed   of all   first significant look, not confirmed"
    )
    for days in DAYS_LEAST:
        later = [_replay(looks, days) for looks in known]
        both = sum(bool(r.ours and r.theirs) for r in later)
        opposite = sum(r.ours * r.theirs < 0 for r in later)
        alone = sum(bool(r.ours) and not r.theirs for r in later)
        naive = sum(bool(r.naive) and r.naive != r.theirs for r in later)
        print(f"{days:>21}   {opposite:>9} of {both:<7}   {alone:>13}   {len(later):>6}   {naive:>24}")
        mark = f"_from_day_{days}" if days else ""
        figures |= {
            f"asos_contradictions{mark}": opposite / both,
            f"asos_not_confirmed{mark}": (opposite + alone) / len(later),
            f"asos_naive_not_confirmed{mark}": naive / len(later),
        }
    return figures


@dataclass(frozen=True)
class Looks:
    """Readable looks of one metric, [L]. share: of the whole sample. ours, once: what the intervals say, -1, 0, 1."""

    days: list[float]
    share: list[float]
    ours: list[int]
    once: list[int]


def _looks(test: RealExperiment) -> Looks | None:
    """None where no look has enough shoppers and a variance."""
    looks = [at for at in range(len(test)) if _readable(test, at)]
    if not looks:
        return None
    pairs = [_arms(test, at) for at in looks]
    sizes = [t.n + c.n for t, c in pairs]
    plan = ConfidenceSequence(sizes[-1])  # the length was planned; nothing of the outcomes is known by it
    return Looks(
        [float(test.days[at]) for at in looks],
        [size / sizes[-1] for size in sizes],
        [_sign(plan.difference(*pair)) for pair in pairs],
        [_sign(difference(*pair)) for pair in pairs],
    )


def _replay(looks: Looks, days_least: float = 0.0) -> Replay:
    """The first verdicts from that day on."""
    allowed = [at for at, day in enumerate(looks.days) if day >= days_least]
    first = next((at for at in allowed if looks.ours[at]), None)
    naive = next((looks.once[at] for at in allowed if looks.once[at]), 0)
    if first is None:
        return Replay(0, looks.once[-1], naive, 1.0)
    return Replay(looks.ours[first], looks.once[-1], naive, looks.share[first])


def _readable(test: RealExperiment, at: int) -> bool:
    variances = test.control_variance[at], test.treatment_variance[at]
    return bool(min(test.control_n[at], test.treatment_n[at]) >= UNITS_LEAST and np.isfinite(variances).all())


def _arms(test: RealExperiment, at: int) -> tuple[Moments, Moments]:
    """(treatment, control)."""
    return (
        Moments.from_mean(
            int(test.treatment_n[at]), float(test.treatment_mean[at]), float(test.treatment_variance[at])
        ),
        Moments.from_mean(int(test.control_n[at]), float(test.control_mean[at]), float(test.control_variance[at])),
    )


def _sign(estimate: Estimate) -> int:
    return int(estimate.low > 0) - int(estimate.high < 0)


def _ratios(tests: list[RealExperiment]) -> tuple[set[tuple[str, int]], dict[str, Any]]:
    """Variants whose arms are not of the same size, at any look. The plans are not told; equal arms are assumed."""
    print("\n== Asos: sample ratios that are off, if arms of equal size were planned ==")
    alarms, checked = set(), 0
    for test in tests:
        if test.metric != 1:
            continue
        checked += 1
        for at in range(len(test)):
            counts = (int(test.treatment_n[at]), int(test.control_n[at]))
            ratio = anytime_sample_ratio(counts, (0.5, 0.5))
            if not ratio.sound:
                share = counts[0] / sum(counts)
                final = int(test.treatment_n[-1]) / max(int(test.treatment_n[-1] + test.control_n[-1]), 1)
                alarms.add((test.experiment, test.variant))
                print(
                    f"  {test.experiment}-{test.variant}: {share:.2%} in the treatment at day {test.days[at]:g} "
                    f"({sum(counts):,} shoppers), {final:.2%} at the end"
                )
                break
    print(f"  {len(alarms)} of {checked} variants: not to be read until the reason is known")
    return alarms, {"asos_sample_ratio_alarms": len(alarms), "asos_variants": checked}
