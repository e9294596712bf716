"""What peers are given to learn from, to answer and to be measured by."""

from __future__ import annotations

import importlib.util
import sys
from math import log2
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zhitou.evaluation.next_item import leave_one_out
from zhitou.events.histories import Histories

PEERS = Path(__file__).parents[2] / "bench" / "peers"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_peers_{name}", PEERS / f"{name}.py")
    assert spec is not None, f"{name}.py lies in {PEERS}"
    assert spec.loader is not None, f"{name}.py is Python"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks its own annotations up
    spec.loader.exec_module(module)
    return module


def histories(rows: list[list[int]]) -> Histories:
    item = np.asarray([item for row in rows for item in row], dtype=np.int32)
    place = [at for row in rows for at in range(len(row))]
    n = len(item)
    return Histories(
        subjects=np.asarray([f"s{number}" for number in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]),
        item=item,
        action=np.zeros(n, dtype=np.int8),
        time_s=np.asarray(place, dtype=np.int64),
        step=np.asarray(place, dtype=np.int32),
        price_micros=np.full(n, -1, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def lists(path: Path) -> list[list[int]]:
    got = read(path)
    return [part.tolist() for part in np.split(got["item"], got["offsets"][1:-1])]


class Catalogue:
    """Ten items, i0 ... i9."""

    ids = np.asarray([f"i{row}" for row in range(10)], dtype=object)

    def __len__(self) -> int:
        return len(self.ids)


def test_a_peer_reads_neither_the_answer_nor_learns_the_validation_item(tmp_path: Path) -> None:
    dump = script("dump")
    protocol = leave_one_out(histories([[9, 3, 5, 7], [3, 9, 5, 2]]))
    task = dump.Task(protocol.learn["strict"], protocol.test, protocol.choose, protocol.valid)
    about = dump.write(tmp_path, "tiny", task, Catalogue())
    # numbers are places among the items known, 3, 5 and 9, and then of those that occur in answers only, 2 and 7
    assert read(tmp_path / "items.npz")["row"].tolist() == [3, 5, 9, 2, 7]
    assert read(tmp_path / "items.npz")["id"].tolist() == ["i3", "i5", "i9", "i2", "i7"]
    assert lists(tmp_path / "sequences.npz") == [[2, 0], [0, 2]]
    assert lists(tmp_path / "ask.npz") == [[2, 0, 1], [0, 2, 1]]
    assert lists(tmp_path / "targets.npz") == [[4], [3]]
    assert lists(tmp_path / "valid" / "ask.npz") == [[2, 0], [0, 2]]
    assert lists(tmp_path / "valid" / "targets.npz") == [[1], [1]]
    assert not (tmp_path / "valid" / "sequences.npz").exists()
    assert (about["items_known"], about["items_in_table"], about["asked"]) == (3, 10, 2)


def test_the_lines_of_a_basket_are_shuffled_and_baskets_stay_in_order() -> None:
    dump = script("dump")
    sorted_lines = histories([list(range(40)), [1, 2]])
    step = np.concatenate([np.repeat([0, 1], 20), [0, 1]]).astype(np.int32)
    mixed = dump.shuffled(dump.replace(sorted_lines, step=step))
    assert mixed.item[:20].tolist() != list(range(20))
    assert sorted(mixed.item[:20].tolist()) == list(range(20))
    assert sorted(mixed.item[20:40].tolist()) == list(range(20, 40))
    assert mixed.item[40:].tolist() == [1, 2]


def test_answers_are_measured_by_hand(tmp_path: Path) -> None:
    measure = script("measure")
    np.savez(tmp_path / "targets.npz", offsets=[0, 1, 2], item=np.int32([4, 5]), cluster=[0, 1])
    top = np.full((2, 20), -1, dtype=np.int32)
    top[0, :3], top[1, :2] = [7, 4, 1], [6, 8]
    np.savez(tmp_path / "top.npz", top=top)
    got = {name: values.tolist() for name, (values, _) in measure.figures(tmp_path, tmp_path).items()}
    assert got["hr@10"] == [1.0, 0.0]
    assert got["ndcg@10"] == pytest.approx([1 / log2(3), 0.0])
    assert got["mrr@20"] == [1 / 2, 0.0]


def test_what_is_new_is_measured_apart(tmp_path: Path) -> None:
    measure = script("measure")
    np.savez(tmp_path / "targets.npz", offsets=[0, 2, 3], item=np.int32([4, 5, 6]), cluster=[0, 1])
    np.savez(tmp_path / "targets_new.npz", offsets=[0, 1], item=np.int32([5]), cluster=[0], row=[0])
    top = np.full((2, 20), -1, dtype=np.int32)
    top[:, :2] = [4, 5]
    np.savez(tmp_path / "top.npz", top=top)
    np.savez(tmp_path / "top_new.npz", top=np.where(top == 4, 9, top))
    got = {name: values.tolist() for name, (values, _) in measure.figures(tmp_path, tmp_path).items()}
    assert got["recall@10"] == [2 / 2, 0 / 1]
    assert got["new mrr@10"] == [1 / 2]


def test_an_answer_that_names_an_item_twice_is_refused(tmp_path: Path) -> None:
    measure = script("measure")
    np.savez(tmp_path / "top.npz", top=np.asarray([[3, 3, -1, -1]]))
    with pytest.raises(SystemExit, match="without repeats"):
        measure.answered(tmp_path / "top.npz")
