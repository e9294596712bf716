"""Asos Digital Experiments: 78 real online experiments of a fashion shop, as they stood at each look.

Counts, means and variances of two arms, cumulative over time: what a test that is looked at often has to live with.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from zhitou.core.errors import SourceError
from zhitou.events.sources.raw import data_folder, need

ROWS, EXPERIMENTS = 24_153, 78
_SHA256 = "bdf88b27185d3f7e65912cbb421129a32ae347c2fb0d9442fe54d74266551524"
_WHERE = "https://osf.io/64jsb/"
_COLUMNS = ("time_since_start", "count_c", "count_t", "mean_c", "mean_t", "variance_c", "variance_t")


@dataclass(frozen=True)
class RealExperiment:
    """One metric of one variant against its control, at L looks in time's order. All arrays are [L], cumulative.

    days: since the start. control_n, treatment_n: int64, shoppers. *_mean, *_variance: of the metric over shoppers,
    NaN where the source says nothing. metric: 1 to 4; 1 is yes or no, the others count or sum.
    """

    experiment: str
    variant: int
    metric: int
    days: np.ndarray
    control_n: np.ndarray
    treatment_n: np.ndarray
    control_mean: np.ndarray
    treatment_mean: np.ndarray
    control_variance: np.ndarray
    treatment_variance: np.ndarray

    def __len__(self) -> int:
        return len(self.days)


def read_experiments(folder: Path | None = None) -> list[RealExperiment]:
    """All 99 variants with their four metrics, by experiment, variant, metric.

    Refused (SourceError): no file, another file.
    """
    base = (folder or data_folder()) / "asos_experiments"
    path = need(base / "asos_digital_experiments_dataset.parquet", "Asos Digital Experiments", _WHERE)
    table = pq.read_table(path)
    of = {name: table[name].to_numpy(zero_copy_only=False) for name in (*_COLUMNS, "variant_id", "metric_id")}
    name = table["experiment_id"].to_numpy(zero_copy_only=False).astype(str)
    if (len(table), len(np.unique(name))) != (ROWS, EXPERIMENTS):
        found = f"{len(table):,} rows of {len(np.unique(name))} experiments"
        raise SourceError(f"expected {ROWS:,} rows of {EXPERIMENTS} experiments, got {found}; get the original")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise SourceError(f"expected the published file (SHA-256 {_SHA256[:12]}...) at {path}, got another one")
    order = np.lexsort((of["time_since_start"], of["metric_id"], of["variant_id"], name))
    keys = list(zip(name[order], of["variant_id"][order], of["metric_id"][order], strict=True))
    starts = [at for at, key in enumerate(keys) if at == 0 or key != keys[at - 1]]
    out = []
    for begin, end in zip(starts, [*starts[1:], len(keys)], strict=True):
        rows = order[begin:end]
        experiment, variant, metric = keys[begin]
        days, control_n, treatment_n, *rest = (of[column][rows] for column in _COLUMNS)
        sizes = control_n.astype(np.int64), treatment_n.astype(np.int64)
        out.append(RealExperiment(str(experiment), int(variant), int(metric), days, *sizes, *rest))
    return out
