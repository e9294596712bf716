"""The interest bench: who is asked what, how settings are chosen, and whose answers are taken."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.evaluation.next_item import leave_one_out
from zhitou.events.histories import Histories

BENCH = Path(__file__).parents[2] / "bench"
ROWS = [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1]]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(BENCH))
    names = ("interest_data", "interest_als", "interest_models", "interest_answers", "interest_ours")
    modules: dict[str, ModuleType] = {name.removeprefix("interest_"): importlib.import_module(name) for name in names}
    return SimpleNamespace(**modules)


def catalogue(*ids: str) -> ItemTable:
    return ItemTable.from_arrow(pa.Table.from_pylist([{"item": item} for item in ids], schema=ITEM_SCHEMA))


def histories(rows: list[list[int]]) -> Histories:
    item = np.asarray([item for row in rows for item in row], dtype=np.int32)
    step = np.asarray([s for row in rows for s in range(len(row))], dtype=np.int32)
    return Histories(
        subjects=np.asarray([f"s{number}" for number in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        item=item,
        action=np.zeros(len(item), dtype=np.int8),
        time_s=step.astype(np.int64) * 60,
        step=step,
        price_micros=np.full(len(item), -1, dtype=np.int64),
        quantity=np.ones(len(item), dtype=np.int64),
    )


def reviews(bench: SimpleNamespace, rows: list[list[int]] = ROWS) -> object:
    protocol = leave_one_out(histories(rows))
    metrics, tests = {"hr_at_10": "hr@10", "ndcg_at_10": "ndcg@10"}, {"": protocol.test}
    items = catalogue("a", "b", "c", "d")
    return bench.data.Data(
        "beauty", items, protocol, metrics, "ndcg_at_10", tests, timed=False, ways=("strict", "refit")
    )


def test_prefixes_of_one_visit_are_one_cluster(bench: SimpleNamespace) -> None:
    asked = [(["a", "b"], "c"), (["a"], "b"), (["a"], "d"), (["d", "c"], "a"), (["d"], "c")]
    questions = bench.data.visit_questions(asked, catalogue("a", "b", "c", "d"))
    assert questions.cluster.tolist() == [0, 0, 1, 2, 2]
    assert questions.target.tolist() == [2, 1, 3, 0, 2]
    assert questions.past.select(np.asarray([3])).item.tolist() == [3, 2]


def test_refit_learns_one_item_more_of_everybody(bench: SimpleNamespace) -> None:
    data = reviews(bench)
    assert len(data.learn(refit=False).item) == 3 * 2
    assert len(data.learn(refit=True).item) == 3 * 3


def test_a_walk_keeps_what_helps_and_logs_every_trial(bench: SimpleNamespace) -> None:
    data = reviews(bench)

    def learn(learnt: Histories, data: object, settings: dict[str, int], chance: Chance) -> object:
        assert len(learnt.item) == 3 * 2, "a trial sees no validation target"
        target = data.protocol.valid.target  # type: ignore[attr-defined]
        return lambda past, k, seen: np.where(settings["good"] > 1, target, -1)[:, None].repeat(20, axis=1)

    model = bench.models.Model("m", learn, {"good": 1}, ({"good": 2}, {"good": 0}, {"good": 3}))
    settings, log = bench.models.chosen(model, data, Chance(1))
    assert settings == {"good": 2}
    assert [trial["kept"] for trial in log] == [True, True, False, False]
    assert len(bench.models.chosen(model, data, Chance(1), most=2)[1]) == 2


def test_no_baseline_gets_more_than_twelve_trials(bench: SimpleNamespace) -> None:
    for model in (*bench.models.SEQUENCES, *bench.models.BASKETS):
        assert 1 + len(model.changes) + len(model.timed_changes) <= bench.models.TRIALS


@pytest.mark.parametrize("name", ["random", "popular", "item-knn", "ease", "transitions"])
def test_a_baseline_ranks_what_was_not_seen(name: str, bench: SimpleNamespace) -> None:
    data = reviews(bench)
    model = bench.models.models(data)[name]
    rank = model.learn(data.learn(refit=True), data, model.start, Chance(1))
    top = rank(data.tests[""].past, 4, True)
    assert top[:, 0].tolist() == data.tests[""].target.tolist()  # of four items, three were seen
    assert (top[:, 1:] == -1).all()


def test_rankings_are_kept_and_come_back_only_for_the_same_questions(bench: SimpleNamespace, tmp_path: Path) -> None:
    answers = bench.answers.Answers({"": np.arange(60).reshape(1, 3, 20)}, 1.5, 0.5)
    bench.answers.keep(tmp_path / "m-strict.npz", answers)
    again = bench.answers.kept(tmp_path / "m-strict.npz", reviews(bench))
    assert again.top[""].tolist() == answers.top[""].tolist()
    assert (again.learn_cpu_s, again.rank_cpu_s) == (1.5, 0.5)
    with pytest.raises(SourceError, match="answer 2 questions"):
        bench.answers.kept(tmp_path / "m-strict.npz", reviews(bench, ROWS[:2]))


def test_a_peers_item_numbers_become_ours_and_foreign_questions_are_refused(
    bench: SimpleNamespace, tmp_path: Path
) -> None:
    data, where = reviews(bench), tmp_path / "beauty"
    (where / "sasrec").mkdir(parents=True)
    (where / "sasrec-refit").mkdir()
    row = np.asarray([3, 2, 1, 0])
    np.savez(where / "items.npz", row=row)
    np.savez(where / "targets.npz", item=row[data.tests[""].target])  # the permutation is its own inverse
    top = np.full((3, 20), -1)
    top[:, 0] = 1
    np.savez(where / "sasrec" / "top.npz", top=top)
    (where / "sasrec" / "result.json").write_text(json.dumps({"learning": {"cpu_s": 12.5}}))
    found = bench.answers.peers(tmp_path, data, "strict")
    assert list(found) == ["sasrec"]
    assert found["sasrec"].top[""][0, :, :2].tolist() == [[2, -1]] * 3
    assert found["sasrec"].learn_cpu_s == 12.5
    assert bench.answers.peers(tmp_path / "nowhere", data, "strict") == {}
    np.savez(where / "targets.npz", item=row[[0, 0, 0]])
    with pytest.raises(SourceError, match="other questions than these"):
        bench.answers.peers(tmp_path, data, "strict")
