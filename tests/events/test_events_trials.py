"""Hillstrom's e-mail trial and Asos' experiments: the counts they are known by, and copies that are refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhitou.core.errors import SourceError
from zhitou.evaluation.experiment import Counts, relative_lift
from zhitou.events.sources.asos import read_experiments
from zhitou.events.sources.hillstrom import ARMS, read_email_trial

HEADER = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"


def read_or_skip(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except SourceError as missing:
        if "found nothing" not in str(missing):
            raise
        pytest.skip(f"{name}: {missing}; set ZHITOU_DATA to the folder that holds it")


def test_the_e_mail_trial_has_its_lifts() -> None:
    trial = read_or_skip("hillstrom", read_email_trial)
    assert len(trial) == 64_000
    assert trial.known.shape == (64_000, len(trial.names))
    arms = [Counts(int((trial.arm == a).sum()), int(trial.visited[trial.arm == a].sum())) for a in range(len(ARMS))]
    lift = relative_lift(arms[1], arms[0])
    assert [round(x * 100, 1) for x in (lift.value, lift.low, lift.high)] == [72.1, 64.0, 80.6]
    assert not (trial.bought & ~trial.visited).any()
    assert ((trial.spent_micros > 0) == trial.bought).all()


def test_the_experiments_grow_from_look_to_look() -> None:
    tests = read_or_skip("asos_experiments", read_experiments)
    assert len({test.experiment for test in tests}) == 78
    assert sum(map(len, tests)) == 24_153
    for test in tests:
        assert (np.diff(test.days) > 0).all()
        assert (np.diff(test.control_n) >= 0).all()


def written(folder: Path, lines: list[str]) -> Path:
    (folder / "hillstrom").mkdir()
    data = gzip.compress("\n".join(lines).encode())
    (folder / "hillstrom" / "hillstrom.csv.gz").write_bytes(data)
    return folder


def test_a_trial_with_invented_arms_is_refused(tmp_path: Path) -> None:
    row = "10,2) $100 - $200,142.44,1,0,Urban,0,Phone,Pets E-Mail,0,0,0.0"
    with pytest.raises(SourceError, match="Pets E-Mail"):
        read_email_trial(written(tmp_path, [HEADER, row]))


def test_a_trial_with_other_counts_is_refused(tmp_path: Path) -> None:
    row = "10,2) $100 - $200,142.44,1,0,Urban,0,Phone,Mens E-Mail,1,0,0.0"
    with pytest.raises(SourceError, match="altered"):
        read_email_trial(written(tmp_path, [HEADER, row]))


def test_a_trial_without_outcomes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="conversion"):
        read_email_trial(written(tmp_path, [HEADER.replace(",conversion", ""), "1,2,3,4,5,6,7,8,9,10,11"]))


def test_sets_that_are_not_there_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="minethatdata"):
        read_email_trial(tmp_path)
    with pytest.raises(SourceError, match=r"osf\.io"):
        read_experiments(tmp_path)


def test_experiments_cut_short_are_refused(tmp_path: Path) -> None:
    (tmp_path / "asos_experiments").mkdir()
    columns = ["time_since_start", "count_c", "count_t", "mean_c", "mean_t", "variance_c", "variance_t"]
    table = pa.table({"experiment_id": ["a"], "variant_id": [1], "metric_id": [1]} | {c: [1.0] for c in columns})
    pq.write_table(table, tmp_path / "asos_experiments" / "asos_digital_experiments_dataset.parquet")
    with pytest.raises(SourceError, match="1 rows of 1 experiments"):
        read_experiments(tmp_path)
