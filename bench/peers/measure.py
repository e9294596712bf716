"""What the answers of a peer are worth, by zhitou's own metrics.

    python bench/peers/measure.py DATA OUT [OUT ...]

Runs in zhitou's environment. DATA is one data set's folder of bench/peers/dump.py, each OUT a folder with top.npz of
the same questions. Prints one JSON object for each OUT: mean and 95 % interval of hr, recall, ndcg and mrr at 10 and
20, over clusters (people, visits), and the difference to the first OUT, paired; with "new", those of top_new.npz,
where only items count that the shopper never had, in answers and rankings alike.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation import next_item
from zhitou.evaluation.ranking import Interval, Targets

KS = (10, 20)


def main() -> None:
    """Measure each folder and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="+")
    given = parser.parse_args()
    measured = {str(out): figures(given.data, out) for out in given.out}
    lines: dict[str, dict[str, Any]] = {name: {"data": given.data.name, "out": name} for name in measured}
    for metric in next(iter(measured.values())):
        values = {name: got[metric][0][None] for name, got in measured.items() if metric in got}
        reference = next(iter(values))
        stream = Chance(1).stream("peers", metric)
        cluster = measured[reference][metric][1]
        for name, compared in next_item.compare(values, cluster, reference, stream).items():
            lines[name][metric] = _rounded(compared.mean)
            if name != reference:
                lines[name][f"{metric} - first"] = _rounded(compared.gain)
    for line in lines.values():
        print(json.dumps(line))


def figures(data: Path, out: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(float64 [n], cluster int64 [n]) of each metric, for the questions that it is defined for."""
    values = {}
    for ending, prefix in (("", ""), ("_new", "new ")):
        if not (out / f"top{ending}.npz").exists():
            continue
        answers = arrays(data / f"targets{ending}.npz")
        targets = Targets(answers["offsets"], answers["item"].astype(np.int64))
        top = answered(out / f"top{ending}.npz")
        top = top[answers["row"]] if "row" in answers else top
        if len(top) != len(targets):
            raise SystemExit(f"expected {len(targets)} rankings in {out}, got {len(top)}; rank for this data again")
        got = next_item.figures(top, targets, KS)
        values |= {f"{prefix}{name}": (value, answers["cluster"]) for name, value in got.items()}
    return values


def answered(path: Path) -> np.ndarray:
    """int64 [N, 20]: the rankings in this file. Refused: an item named twice in one."""
    top = arrays(path)["top"].astype(np.int64)
    ordered = np.sort(top, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise SystemExit(f"expected rankings without repeats in {path}, got one that names an item twice")
    return top


def arrays(path: Path) -> dict[str, np.ndarray]:
    """What one npz file holds."""
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _rounded(got: Interval) -> list[float]:
    return [round(value, 5) for value in (got.mean, got.low, got.high)]


if __name__ == "__main__":
    main()
