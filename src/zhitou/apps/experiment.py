"""`zhitou experiment`: how large a test must be, what its counts say, and whether the splitting itself is sound.

Exit codes: 0 done, whatever the verdict; 1 the experiment may not be read (its sample ratio is off, an A/A check
fails) or the input is refused; 2 the command was called wrongly.
"""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zhitou.core.errors import ConfigError, SchemaError, SourceError

if TYPE_CHECKING:
    from zhitou.evaluation.experiment import Statistic
    from zhitou.evaluation.sequential import Reading

experiment = typer.Typer(
    name="experiment", help="Plan, read and check experiments; a lift is proven or refused.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for programs.")]
METRICS = {
    "ctr": ("click", "impression"),
    "cvr": ("conversion", "click"),
    "conversions": ("conversion", "impression"),
}


@experiment.command()
def size(
    rate: Annotated[float, typer.Option(help="Rate of the control, such as 0.005 clicks an impression.")],
    lift: Annotated[float, typer.Option(help="The lift to find: 0.3 for +30 %.")],
    power: Annotated[float, typer.Option(help="Chance to find it.")] = 0.8,
    width: Annotated[float, typer.Option(help="Also measure it to plus or minus this much.")] = 0.05,
    ctr: Annotated[float, typer.Option(help="If the rate is per click: clicks an impression.")] = 1.0,
    rows: Annotated[float, typer.Option(help="Rows a user, where users are assigned and rows counted.")] = 1.0,
    correlation: Annotated[float, typer.Option(help="Of two rows of one user.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Units an arm before the test begins: `zhitou experiment size --rate 0.005 --lift 0.3`."""
    from zhitou.evaluation.power import (
        design_effect,
        impressions_for_clicks,
        sample_size,
        sequence_factor,
        size_for_half_width,
    )

    _within("--rate", rate, 0, 1)
    _within("--power", power, 0, 1)
    _within("--ctr", ctr, 0, 1 + 1e-12)
    _within("--width", width, 0, math.inf)
    _within("--rows", rows, 1 - 1e-12, math.inf)
    _within("--correlation", correlation, -1e-12, 1)
    _within("rate after the lift", rate * (1 + lift), 0, 1)
    if lift == 0:
        raise ConfigError("expected --lift other than 0, got 0; no experiment finds nothing")
    effect = design_effect(rows, correlation)
    find = math.ceil(sample_size(rate, lift, power) * effect)
    measure = math.ceil(size_for_half_width(rate, lift, width) * effect)
    answer = {
        "units_per_arm_to_find": find,
        "units_per_arm_to_find_by_peeking": math.ceil(find * sequence_factor()),
        "units_per_arm_to_measure": measure,
        "impressions_per_arm_to_find": impressions_for_clicks(find, ctr),
        "design_effect": round(effect, 4),
        "tuned_n": 2 * find,
    }
    if as_json:
        print(json.dumps(answer))
        return
    print(f"to find {lift:+.0%} on {rate:.3%} with a chance of {power:.0%}:  {find:>13,} units an arm")
    print(f"  the same by intervals that may be looked at always:  {answer['units_per_arm_to_find_by_peeking']:>13,}")
    print(f"to measure it to ±{width * 100:g} points:  {measure:>13,}")
    if ctr < 1:
        print(f"impressions an arm for so many clicks:  {answer['impressions_per_arm_to_find']:>13,}")
    if effect > 1:
        print(f"all with the design effect of users: {effect:.2f}")


@experiment.command()
def read(
    counts: Annotated[
        Path | None, typer.Argument(help="CSV or Parquet: arm, n, positives (or mean, variance), perhaps look.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Or the folder of a run that served.")] = None,
    name: Annotated[str, typer.Option(help="Of the experiment, with --out.")] = "",
    salt: Annotated[str, typer.Option(help="Of the experiment, with --out.")] = "",
    metric: Annotated[str, typer.Option(help="With --out: ctr, cvr or conversions.")] = "ctr",
    at_least: Annotated[float, typer.Option(help="The claim: 0.3 for a lift of at least +30 %.")] = 0.0,
    tuned_n: Annotated[int, typer.Option(min=1, help="Units planned for both arms together.")] = 80_000,
    share: Annotated[float, typer.Option(help="Planned share of units in the treatment.")] = 0.5,
    control: Annotated[str, typer.Option(help="Name of the control arm.")] = "control",
    as_json: Json = False,
) -> None:
    """The verdict, right under any peeking: `zhitou experiment read counts.csv --at-least 0.3`.

    Rows of one arm add up; with a column look, they add up look after look, and each look is read.
    """
    from zhitou.evaluation.experiment import Claim
    from zhitou.evaluation.sequential import ConfidenceSequence

    _within("--share", share, 0, 1)
    claim = Claim(f"a lift of at least {at_least:+.0%}", at_least)
    if (counts is None) == (out is None):
        raise ConfigError("expected a file of counts or --out with a run's folder, one of the two")
    if counts is not None:
        sequence = ConfidenceSequence(tuned_n, treated_share=share)
        looks = [(look, arm, sequence.read(claim, t, c)) for look, arm, t, c in _looks(counts, control)]
    else:
        assert out is not None
        looks = [("log", "treatment", _from_log(out, name, salt, metric, share, claim, tuned_n))]
    if as_json:
        print(json.dumps([{"look": look, "arm": arm} | _plain(reading) for look, arm, reading in looks]))
    else:
        for look, arm, reading in looks:
            print(f"{look:<12} {arm:<16} {reading}" + ("  (exact: few positives)" if reading.exact else ""))
    if any(reading.stopped for _, _, reading in looks):
        raise typer.Exit(1)


@experiment.command()
def aa(
    units: Annotated[Path | None, typer.Argument(help="CSV or Parquet: subject, top, bottom, one row each.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Or the folder of a run that served.")] = None,
    metric: Annotated[str, typer.Option(help="With --out: ctr, cvr or conversions.")] = "ctr",
    splits: Annotated[int, typer.Option(min=20, help="How often to split.")] = 500,
    as_json: Json = False,
) -> None:
    """Split one shop again and again; a lift is found as often as chance allows: `zhitou experiment aa --out out`."""
    from zhitou.feedback.experiments import check_same

    if (units is None) == (out is None):
        raise ConfigError("expected a file of subjects or --out with a run's folder, one of the two")
    if units is not None:
        table = _table(units, ("subject", "top", "bottom"))
        subjects, top, bottom = table["subject"], table["top"], table["bottom"]
    else:
        assert out is not None
        subjects, top, bottom = _of_subjects(out, metric)
    found = check_same([str(s) for s in subjects], _floats(top), _floats(bottom), splits)
    if as_json:
        print(json.dumps(dataclasses.asdict(found)))
    else:
        mark = "PASS" if found.sound else "FAIL"
        print(f"{mark}  {found.splits} splits of {len(subjects):,} subjects: a lift in {found.wrong} (5 % by chance)")
    if not found.sound:
        raise typer.Exit(1)


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ConfigError(f"expected {what} between {low:g} and {high:g}, got {value:g}")


def _plain(reading: Reading) -> dict[str, Any]:
    return {
        "verdict": reading.verdict,
        "lift": _finite(reading.lift.value),
        "low": _finite(reading.lift.low),
        "high": _finite(reading.lift.high),
        "sample_ratio_p": reading.ratio.p_value,
        "stopped": reading.stopped,
        "exact": reading.exact,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _floats(values: list[Any]) -> Any:
    import numpy as np

    return np.asarray(values, dtype=np.float64)


def _table(path: Path, needed: tuple[str, ...]) -> dict[str, list[Any]]:
    """The columns of a CSV or Parquet file. Refused (SourceError): no such file; (SchemaError): other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    if not path.exists():
        raise SourceError(f"expected a CSV or Parquet file at {path}, found nothing")
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    except pa.ArrowInvalid as error:
        raise SourceError(f"expected a CSV or Parquet file at {path}: {error}") from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise SchemaError(f"expected columns {', '.join(needed)} in {path}, got {', '.join(table.column_names)}")
    columns: dict[str, list[Any]] = table.to_pydict()
    for name in needed:
        if None in columns[name]:
            raise SchemaError(f"expected a value in each row of {name} in {path}, got an empty one; fill or drop it")
    return columns


def _looks(path: Path, control: str) -> list[tuple[str, str, Statistic, Statistic]]:
    """(look, arm, treatment so far, control so far), every other arm against the control, in order of looks."""
    from zhitou.evaluation.experiment import Counts, Moments

    table = _table(path, ("arm", "n"))
    if "positives" not in table and not {"mean", "variance"} <= set(table):
        raise SchemaError(f"expected a column positives in {path}, or mean and variance, got {', '.join(table)}")
    arms, sizes = [str(a) for a in table["arm"]], table["n"]
    if control not in arms:
        raise SchemaError(f"expected rows of the arm {control!r} in {path}, got {', '.join(sorted(set(arms)))}")
    so_far: dict[str, Any] = {}
    out: list[tuple[str, str, Statistic, Statistic]] = []
    marks = [str(look) for look in table.get("look", ["all"] * len(arms))]
    for look in dict.fromkeys(marks):
        for at in (at for at, mark in enumerate(marks) if mark == look):
            n = int(sizes[at])
            if "positives" in table:
                if not 0 <= table["positives"][at] <= n:
                    raise SchemaError(f"expected 0 to {n:,} positives in row {at + 1}, got {table['positives'][at]}")
                one: Any = Counts(n, int(table["positives"][at]))
            else:
                mean, variance = float(table["mean"][at]), float(table["variance"][at])
                one = Moments.from_mean(n, mean, variance)
            so_far[arms[at]] = so_far[arms[at]] + one if arms[at] in so_far else one
        others = (arm for arm in so_far if arm != control)
        out += [(look, arm, so_far[arm], so_far[control]) for arm in others if control in so_far]
    if not out:
        raise SchemaError(f"expected an arm beside {control!r} in {path}, got none")
    return out


def _of_subjects(out: Path, metric: str) -> tuple[list[str], list[float], list[float]]:
    """(subjects, top, bottom) of a run that served. Refused: another metric, a log without events."""
    from collections import Counter

    from zhitou.assembly import read_run
    from zhitou.delivery.reading import LogReader

    if metric not in METRICS:
        raise ConfigError(f"expected --metric {', '.join(METRICS)}, got {metric!r}")
    above, below = METRICS[metric]
    config, _ = read_run(out)
    tops: Counter[str] = Counter()
    bottoms: Counter[str] = Counter()
    reader = LogReader(out / "store.sqlite")
    try:
        for _, event in reader.events(config.tenant, (above, below)):
            if event.decision_id:
                (tops if event.kind == above else bottoms)[event.subject] += 1
    finally:
        reader.close()
    if not bottoms:
        raise SourceError(f"expected {below} events in {out}, found none; serve some first with `zhitou serve`")
    subjects = sorted(subject for subject in bottoms if subject)
    return subjects, [float(tops[s]) for s in subjects], [float(bottoms[s]) for s in subjects]


def _from_log(out: Path, name: str, salt: str, metric: str, share: float, claim: Any, tuned_n: int) -> Reading:
    from zhitou.feedback.experiments import Experiment, Units

    if not (name and salt):
        raise ConfigError("expected --name and --salt of the experiment with --out; they say who was in which arm")
    plan = Experiment(name, salt, shares=(1 - share, share))
    subjects, top, bottom = _of_subjects(out, metric)
    units = Units(plan.arm_of(subjects), _floats(top), _floats(bottom))
    return units.read(plan, claim, tuned_n)
