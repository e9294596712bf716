"""Writes what a peer's script reads: the same histories, questions and answers that zhitou is measured on, as arrays.

    python bench/peers/dump.py out/peers [beauty sports diginetica yoochoose journey]

Runs in zhitou's environment. The protocols are those of bench/interest_data.py (in leave-one-out, "strict"). Below
the folder, for each data set:

    sequences.npz        what is learnt from: offsets int64 [S + 1], item int32 [E], time_s int64 [E]
    ask.npz              the N histories to rank for: offsets int64 [N + 1], item int32, filter_seen bool
    targets.npz          what came next: offsets int64 [N + 1], item int32, cluster int64 [N], whose question it is;
                         only measure.py and bench/interest.py read it
    ask_new.npz          the same N histories with filter_seen; targets_new.npz has the answers that were new, to the
                         questions `row` int64 that have one (journey)
    valid/               ask.npz and targets.npz for choosing settings, and, where it is not the same as above,
                         sequences.npz to learn from meanwhile
    items.npz            row int32 [I']: row of the ItemTable of each item number; id: its id; known: I, how many
                         have an event in sequences.npz or ask.npz. The rest, I ... I' - 1, occur in answers only
    about.json           counts

A peer's answers go to a folder of their own beside these files, where bench/interest.py --peers finds them. In the
journey the lines of a basket stand in an order drawn at random: sorted ones teach a model of single items the sort.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.evaluation.next_item import Questions
from zhitou.evaluation.ranking import Targets
from zhitou.events.histories import Histories

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the other benches
from interest_answers import PEER_NAMES
from interest_data import NAMES, read


@dataclass(frozen=True)
class Task:
    """What is learnt from and asked in the end, and what settings are chosen with. new: only about what is new."""

    learn: Histories
    test: Questions
    choose: Histories
    valid: Questions
    new: Questions | None = None


def main() -> None:
    """Prepare and write each data set that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all if none is named")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"no data set is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        data = read(name)
        protocol, tests = data.protocol, data.tests
        task = Task(data.learn(refit=False), tests[""], protocol.choose, protocol.valid, tests.get("new_"))
        if name == "journey":
            task = with_shuffled_baskets(task)
        called = PEER_NAMES.get(name, name)
        print(json.dumps(write(given.folder / called, called, task, data.items)), flush=True)


def with_shuffled_baskets(task: Task) -> Task:
    """The same task with the lines of each basket in an order drawn at random; answers are sets and stay."""
    test, valid = (replace(asked, past=shuffled(asked.past)) for asked in (task.test, task.valid))
    return Task(shuffled(task.learn), test, shuffled(task.choose), valid, task.new)


def shuffled(histories: Histories) -> Histories:
    """The same histories with the items of each step in an order drawn at random (seed 1)."""
    drawn = np.random.default_rng(1).random(len(histories.item))
    order = np.lexsort((drawn, histories.step, histories.subject_of_event))
    return replace(histories, item=histories.item[order])


def write(folder: Path, name: str, task: Task, items: ItemTable) -> dict[str, Any]:
    """The files of one data set; returns what about.json says."""
    seen = np.unique(np.concatenate([task.learn.item, task.test.past.item]))
    row = np.concatenate([seen, np.setdiff1d(task.test.targets.item, seen)]).astype(np.int32)
    number = np.full(len(items), -1, dtype=np.int32)
    number[row] = np.arange(len(row))
    ids = np.asarray([str(items.ids[r]) for r in row])
    (folder / "valid").mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "items.npz", row=row, id=ids, known=np.int64(len(seen)))
    _write_learn(folder, task.learn, number)
    _write_asked(folder, task.test, number)
    if task.new is not None:
        past, new = _arrays(task.test.past, number), _arrays(task.new.targets, number)
        np.savez_compressed(folder / "ask_new.npz", **past, filter_seen=np.bool_(True))
        np.savez_compressed(folder / "targets_new.npz", **new, cluster=task.new.cluster, row=task.new.cluster)
    if task.choose is not task.learn:
        _write_learn(folder / "valid", task.choose, number)
    _write_asked(folder / "valid", task.valid, number)
    about = {
        "data": name,
        "items_known": len(seen),
        "items_in_table": len(items),
        **_counts(task.learn, task.test),
        **{f"valid_{key}": count for key, count in _counts(task.choose, task.valid).items()},
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def _write_learn(folder: Path, learn: Histories, number: np.ndarray) -> None:
    np.savez_compressed(folder / "sequences.npz", **_arrays(learn, number), time_s=learn.time_s)


def _write_asked(folder: Path, asked: Questions, number: np.ndarray) -> None:
    past, seen = _arrays(asked.past, number), np.bool_(asked.exclude_seen)
    np.savez_compressed(folder / "ask.npz", **past, filter_seen=seen)
    np.savez_compressed(folder / "targets.npz", **_arrays(asked.targets, number), cluster=asked.cluster)


def _arrays(lists: Histories | Targets, number: np.ndarray) -> dict[str, np.ndarray]:
    item = number[lists.item]
    assert (item >= 0).all(), "every item of a task has a number"
    return {"offsets": lists.offsets.astype(np.int64), "item": item}


def _counts(learn: Histories, asked: Questions) -> dict[str, int]:
    return {
        "sequences": int((np.diff(learn.offsets) > 0).sum()),
        "events": len(learn.item),
        "asked": len(asked),
        "answers": len(asked.targets.item),
    }


if __name__ == "__main__":
    main()
