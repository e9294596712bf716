"""`zhitou experiment`: sizes, verdicts from files and from a shop's log, and splits that are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from zhitou import configs
from zhitou.apps.experiment import experiment
from zhitou.assembly import write_run
from zhitou.core.errors import ConfigError, SchemaError, SourceError
from zhitou.delivery.store import SqliteStore
from zhitou.events.schema import Event
from zhitou.feedback.experiments import Experiment

RUN = CliRunner()


def asked(*words: str) -> dict[str, object] | list[dict[str, object]]:
    done = RUN.invoke(experiment, [*words, "--json"], catch_exceptions=False)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_sizes_to_find_to_peek_and_to_measure() -> None:
    found = asked("size", "--rate", "0.005", "--lift", "0.3")
    assert isinstance(found, dict)
    assert (found["units_per_arm_to_find"], found["units_per_arm_to_measure"]) == (39_885, 913_684)
    assert found["tuned_n"] == 2 * 39_885
    told = RUN.invoke(experiment, ["size", "--rate", "0.02", "--lift", "0.2", "--ctr", "0.005"]).stdout
    assert "4,221," in told


@pytest.mark.parametrize(
    "words",
    [
        ("--rate", "2", "--lift", "0.3"),
        ("--rate", "0.5", "--lift", "3"),
        ("--rate", "0.5", "--lift", "0"),
        ("--rate", "0.1", "--lift", "0.1", "--rows", "0.5"),
    ],
)
def test_sizes_of_the_impossible_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        RUN.invoke(experiment, ["size", *words], catch_exceptions=False)


def test_counts_add_up_look_after_look(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    days = "".join(f"{day},control,20000,100\n{day},treatment,20000,140\n" for day in (1, 2, 3))
    path.write_text("look,arm,n,positives\n" + days)
    looks = asked("read", str(path))
    assert [look["verdict"] for look in looks] == ["inconclusive", "established", "established"]  # type: ignore[index]
    told = RUN.invoke(experiment, ["read", str(path), "--at-least", "0.3"])
    assert told.exit_code == 0
    assert "a lift of at least +30%: inconclusive; lift 0.4" in told.stdout


def test_reported_means_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "means.parquet"
    arms = {"arm": ["control", "new"], "n": [50_000, 50_000], "mean": [1.0, 1.2], "variance": [4.0, 4.0]}
    pq.write_table(pa.table(arms), path)
    (look,) = asked("read", str(path))
    assert (look["arm"], look["verdict"]) == ("new", "established")  # type: ignore[index]


def test_lost_units_are_a_hard_stop(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("arm,n,positives\ncontrol,50000,250\ntreatment,45000,400\n")
    done = RUN.invoke(experiment, ["read", str(path)])
    assert done.exit_code == 1
    assert "not read: expected 50.00% of units in the treatment, got 47.37%" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arm,positives\ncontrol,1\n", "columns arm, n"),
        ("arm,n\ncontrol,1\n", "positives"),
        ("arm,n,positives\na,10,1\nb,10,1\n", "control"),
        ("arm,n,positives\ncontrol,10,1\n", "beside"),
        ("arm,n,positives\ncontrol,10,11\nb,10,1\n", "0 to 10 positives"),
        ("arm,n,positives\ncontrol,,1\nb,10,1\n", "empty one"),
    ],
)
def test_counts_that_cannot_be_read_say_what_is_missing(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=says):
        RUN.invoke(experiment, ["read", str(path)], catch_exceptions=False)


def test_one_source_is_asked_for(tmp_path: Path) -> None:
    for words in (["read"], ["aa"], ["read", "x.csv", "--out", "out"]):
        with pytest.raises(ConfigError, match="one of the two"):
            RUN.invoke(experiment, words, catch_exceptions=False)
    with pytest.raises(SourceError, match="found nothing"):
        RUN.invoke(experiment, ["read", str(tmp_path / "none.csv")], catch_exceptions=False)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A shop's log: 400 shoppers with ten impressions each; those in the treatment click on five, others on two."""
    config = configs.tiny()
    write_run(tmp_path, config, "test", {})
    arms = Experiment("slots", "s1").arm_of([f"s_{n}" for n in range(400)])
    events = []
    for n, arm in enumerate(arms):
        for at in range(10):
            kinds = ["impression", "click"] if at < (5 if arm == 1 else 2) - n % 2 else ["impression"]
            for kind in kinds:
                name = f"{kind}{n}-{at}"
                events.append(Event(name, config.tenant, f"s_{n}", kind, at, at, decision_id=f"d{n}-{at}"))
    with SqliteStore(tmp_path / "store.sqlite") as store:
        store.add_events(events)
    return tmp_path


def test_a_shops_own_log_is_read_by_the_hash_that_split_it(served: Path) -> None:
    words = ["read", "--out", str(served), "--name", "slots", "--salt", "s1", "--tuned-n", "400"]
    (look,) = asked(*words)
    assert look["verdict"] == "established"  # type: ignore[index]
    assert look["lift"] == pytest.approx(4.5 / 1.5 - 1, rel=0.05)  # type: ignore[index]
    with pytest.raises(ConfigError, match="--name and --salt"):
        RUN.invoke(experiment, ["read", "--out", str(served)], catch_exceptions=False)
    with pytest.raises(SourceError, match="found none"):
        RUN.invoke(experiment, [*words, "--metric", "cvr", "--out", str(served / "none")], catch_exceptions=False)


def test_an_aa_check_of_a_shops_log_passes(served: Path) -> None:
    found = asked("aa", "--out", str(served), "--splits", "100")
    assert isinstance(found, dict)
    assert found["sound"] is True
    with pytest.raises(ConfigError, match="ctr, cvr, conversions"):
        RUN.invoke(experiment, ["aa", "--out", str(served), "--metric", "sales"], catch_exceptions=False)


def test_an_aa_check_reads_a_table_of_subjects(tmp_path: Path) -> None:
    path = tmp_path / "subjects.csv"
    path.write_text("subject,top,bottom\n" + "".join(f"s{n},{n % 3},{3 + n % 4}\n" for n in range(300)))
    done = RUN.invoke(experiment, ["aa", str(path), "--splits", "100"])
    assert done.exit_code == 0
    assert done.stdout.startswith("PASS")
