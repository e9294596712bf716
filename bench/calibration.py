"""Which calibration mends which mistake, with how many positives, and what it costs where nothing is wrong?

    python bench/calibration.py [--quick] [--seeds 5] [--positives 100 500 5000] [--rates 0.005 0.01]

Scores of known truth are bent in five ways: not at all; `shift` (30 % too high everywhere); `slope` (too sure: logits
1.3 times as far from their middle); `ends` (too low at both ends); `channel` (four channels, each off by a shift of
its own that no single curve can mend). Each calibrator of zhitou.response.calibrators, scikit-learn's own three (on
a frozen estimator) and zhitou's calibration per channel are fitted on rows with about so many positives and scored
on 200,000 fresh rows. Means over seeds with 95 % intervals:

- true: mean |predicted - true| of ten equal-mass bins, per cent of the base rate: no luck in it
- segment: the same of the four channels' means, the worst of them
- ece, max: expected and largest calibration error of equal-mass bins, labels instead of truth; chance is in it
- ne: normalised entropy; brier: Brier score over that of the truth, minus 1; ratio: predicted over observed

Then the market's goals for calibration per channel and slot, at a million rows. The last line is one JSON object.
--quick: one base rate, two sizes, three seeds.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from lines import last_line
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.evaluation.calibration import (
    brier_score,
    calibration_error_of_truth,
    calibration_ratio,
    expected_calibration_error,
    max_calibration_error,
    segment_errors,
)
from zhitou.evaluation.classification import normalised_entropy
from zhitou.response.calibrators import CALIBRATORS
from zhitou.response.groups import calibrate_groups

WORLDS = ("right", "shift", "slope", "ends", "channel")
CHANNEL_SHARE = (0.5, 0.3, 0.15, 0.05)
CHANNEL_SHIFT = np.array([0.1, -0.25, 0.3, 0.5])
SPREAD = 0.9  # of the true logits
TEST_ROWS = 200_000
METRICS = ("true", "segment", "ece", "max", "ne", "brier", "ratio")


class Logits(ClassifierMixin, BaseEstimator):
    """A finished classifier whose only column is its logit: what scikit-learn calibrates."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Logits:
        """Nothing to learn."""
        self.classes_ = np.array([False, True])
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """The logit."""
        return X[:, 0]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Whether a positive is likelier than not."""
        return X[:, 0] > 0


def sklearn_of(method: str) -> Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """scikit-learn's calibration of this method as one of our calibrators."""

    def fit(z: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        frozen = FrozenEstimator(Logits().fit(z[:2, None], y[:2]))
        model = CalibratedClassifierCV(frozen, method=method).fit(z[:, None], y)
        return lambda new: logit(np.clip(model.predict_proba(new[:, None])[:, 1], 1e-6, 1 - 1e-6))

    return fit


PEERS = {f"sklearn {method}": sklearn_of(method) for method in ("temperature", "sigmoid", "isotonic")}


def draw(world: str, rate: float, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """(logits that a model would give, true probabilities, labels, channel) of so many rows."""
    middle = logit(rate) - SPREAD**2 / 2
    truth = rng.normal(middle, SPREAD, rows)
    channel = rng.choice(len(CHANNEL_SHARE), rows, p=CHANNEL_SHARE)
    off = truth - middle
    bent = {
        "right": truth,
        "shift": truth + np.log(1.3),
        "slope": middle + 1.3 * off,
        "ends": truth - 0.15 * off * np.abs(off) * np.sign(off),
        "channel": truth + CHANNEL_SHIFT[channel],
    }[world]
    p = expit(truth)
    return bent, p, rng.random(rows) < p, channel


def measures(p: np.ndarray, test: tuple[np.ndarray, ...]) -> dict[str, float]:
    """All METRICS of predictions on the test rows."""
    _, truth, labels, channel = test
    rate = float(truth.mean())
    return {
        "true": 100 * calibration_error_of_truth(truth, p) / rate,
        "segment": 100 * max(map(abs, segment_errors(channel, truth, p, rows_least=0).values())),
        "ece": expected_calibration_error(labels, p),
        "max": max_calibration_error(labels, p),
        "ne": normalised_entropy(labels, p).value,
        "brier": brier_score(labels, p) / brier_score(labels, truth) - 1,
        "ratio": calibration_ratio(labels, p).value,
    }


def trial(world: str, rate: float, positives: int, chance: Chance) -> dict[str, dict[str, float]]:
    """Every calibrator on one draw."""
    rng = chance.stream("calibration", world, str(rate), positives)
    z, _, y, channel = draw(world, rate, round(positives / rate), rng)
    test = draw(world, rate, TEST_ROWS, rng)
    out = {}
    for name, fit in (CALIBRATORS | PEERS).items():
        began = time.process_time()
        curve = fit(z, y)
        out[name] = {"cpu_s": time.process_time() - began} | measures(expit(curve(test[0])), test)
    began = time.process_time()
    grouped = calibrate_groups(z, y, (channel,), taught=4 * int(y.sum()), names=("channel",))
    took = time.process_time() - began
    out["zhitou by channel"] = {"cpu_s": took} | measures(expit(grouped(test[0], (test[3],))), test)
    return out


def interval(values: list[float]) -> tuple[float, float]:
    """(mean, half the 95 % interval over seeds)."""
    x = np.asarray(values)
    return float(x.mean()), 1.96 * float(x.std(ddof=1)) / len(x) ** 0.5 if len(x) > 1 else float("nan")


def table(world: str, rate: float, positives: int, runs: list[dict[str, dict[str, float]]]) -> None:
    """One block: calibrators by metrics."""
    print(f"\n{world}, base rate {rate:.1%}, about {positives:,} positives")
    print(f"{'calibrator':20s}" + "".join(f"{m:>20s}" for m in METRICS))
    for name in runs[0]:
        cells = []
        for metric in METRICS:
            mean, half = interval([run[name][metric] for run in runs])
            digits = 1 if metric in ("true", "segment") else 4 if metric in ("ne", "ratio") else 5
            cells.append(f"{mean:.{digits}f} ± {half:.{digits}f}")
        print(f"{name:20s}" + "".join(f"{cell:>20s}" for cell in cells))


def goals(seeds: int, rows: int) -> dict[str, Any]:
    """Five channels of four slots that differ by 10 % and 5 % (sd): errors of segments with 10,000 rows or more."""
    out: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        rng = Chance(seed).stream("segments", rows)
        by_channel, by_slot = rng.normal(0, 0.10, 5), rng.normal(0, 0.05, (5, 4))
        z = rng.normal(logit(0.01) - SPREAD**2 / 2, SPREAD, 2 * rows)
        channel = rng.choice(5, 2 * rows, p=[0.4, 0.25, 0.2, 0.1, 0.05])
        slot = rng.choice(4, 2 * rows, p=[0.5, 0.25, 0.15, 0.1])
        truth = expit(z + by_channel[channel] + by_slot[channel, slot])
        y = rng.random(2 * rows) < truth
        a, b = slice(0, rows), slice(rows, None)
        taught = 4 * int(y[a].sum())
        fits = {
            "all": calibrate_groups(z[a], y[a], (), taught, names=()),
            "grouped": calibrate_groups(z[a], y[a], (channel[a], slot[a]), taught),
        }
        segment = channel[b] * 10 + slot[b]
        for name, fit in fits.items():
            columns = (channel[b], slot[b]) if fit.names else ()
            p = expit(fit(z[b], columns))
            errors = np.abs(list(segment_errors(segment, truth[b], p).values()))
            out[f"{name}_ece_of_truth"].append(calibration_error_of_truth(truth[b], p))
            out[f"{name}_ece"].append(expected_calibration_error(y[b], p))
            out[f"{name}_segment_error_mean"].append(float(errors.mean()))
            out[f"{name}_segment_error_worst"].append(float(errors.max()))
            out[f"{name}_segments_within_2_percent"].append(float((errors <= 0.02).mean()))
    return {name: round(float(np.mean(values)), 5) for name, values in out.items()}


def main() -> None:
    """Every world, rate and size; then the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--positives", type=int, nargs="+", default=[100, 500, 5_000])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.005, 0.01])
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.positives, args.rates = 3, [100, 500], [0.01]
    pooled: dict[tuple[str, int], list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for positives in args.positives:
        for rate in args.rates:
            for world in WORLDS:
                runs = [trial(world, rate, positives, Chance(seed)) for seed in range(args.seeds)]
                table(world, rate, positives, runs)
                for run in runs:
                    for name, found in run.items():
                        pooled[name, positives].append(found["true"])
                        seconds[name].append(found["cpu_s"])
    figures: dict[str, Any] = {"quick": args.quick, "seeds": args.seeds}
    print("\nmean true error over all worlds and rates, per cent of the base rate")
    for (name, positives), values in pooled.items():
        mean, half = interval(values)
        print(f"{positives:>6,} positives  {name:20s} {mean:5.1f} ± {half:.1f}")
        figures[f"{name.replace(' ', '_')}_true_error_percent_{positives}"] = round(mean, 2)
    figures |= {f"{name.replace(' ', '_')}_cpu_s_most": round(max(v), 3) for name, v in seconds.items()}
    for rows in (100_000,) if args.quick else (100_000, 1_000_000):
        found = goals(args.seeds, rows)
        print(f"\nper channel and slot, {rows:,} rows at 1 %: {found}")
        figures |= {f"{name}_{rows}": value for name, value in found.items()}
    last_line("calibration", figures)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
