"""Rankings that were made before, ours or a peer's: what bench/interest.py keeps and reads.

Ours, below --out: DATA/MODEL-WAY.npz with top_PREFIX int32 [S, N, 20] (rows of the ItemTable, in the order of the
questions, one layer a seed) and learn_cpu_s. A peer's, below --peers: DATA/PEER/top.npz with top int [N, 20] (or
[S, N, 20]) in the numbers of DATA/items.npz as bench/peers/dump.py writes it (without that file, rows of the
ItemTable), and perhaps DATA/PEER/result.json with learning.cpu_s. A peer whose name ends in "-refit" learnt from the
validation items too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from interest_data import Data

from zhitou.core.errors import SourceError

PEER_NAMES = {"journey": "complete_journey"}  # where theirs differ from ours
EXPECTED = ("rectools", "recbole")  # whose rows say "not run" where nothing is found


@dataclass(frozen=True)
class Answers:
    """top: int [S, N, 20] by prefix of the questions. learn_cpu_s: of one seed, NaN if not known."""

    top: dict[str, np.ndarray]
    learn_cpu_s: float
    rank_cpu_s: float = float("nan")


def keep(path: Path, answers: Answers) -> None:
    """Write these answers to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"top_{prefix}": top.astype(np.int32) for prefix, top in answers.top.items()}
    seconds = {"learn_cpu_s": answers.learn_cpu_s, "rank_cpu_s": answers.rank_cpu_s}
    np.savez_compressed(path, **arrays, **{name: np.float64(value) for name, value in seconds.items()})


def kept(path: Path, data: Data) -> Answers:
    """The answers in this file. Refused (SourceError): those to another number of questions."""
    with np.load(path) as file:
        top = {prefix: file[f"top_{prefix}"] for prefix in data.tests}
        answers = Answers(top, float(file["learn_cpu_s"]), float(file["rank_cpu_s"]))
    for prefix, questions in data.tests.items():
        _check(path, answers.top[prefix], len(questions))
    return answers


def peers(folder: Path | None, data: Data, way: str) -> dict[str, Answers]:
    """By name, what peers answered to the test questions after learning in this way."""
    where = folder / PEER_NAMES.get(data.name, data.name) if folder else Path()
    if folder is None or not where.is_dir():
        return {}
    found = {}
    for path in sorted(where.glob("*/top.npz")):
        name = path.parent.name
        if (way == "refit") == name.endswith("-refit"):
            found[name.removesuffix("-refit")] = _peer(path, where, data)
    return found


def _peer(path: Path, where: Path, data: Data) -> Answers:
    row = _rows(where, data)
    top = {}
    for prefix, questions in data.tests.items():
        file = path if not prefix else path.with_name(f"top_{prefix.rstrip('_')}.npz")
        if file.exists():
            with np.load(file) as stored:
                answered = np.atleast_3d(stored["top"]) if stored["top"].ndim == 3 else stored["top"][None]
            if prefix:
                answered = answered[:, questions.cluster]  # the file answers all, the question is put to some
            _check(file, answered, len(questions))
            top[prefix] = np.where(answered >= 0, row[answered], -1)
    told = path.with_name("result.json")
    learning = json.loads(told.read_text(encoding="utf-8")).get("learning", {}) if told.exists() else {}
    return Answers(top, float(learning.get("cpu_s", "nan")))


def _rows(where: Path, data: Data) -> np.ndarray:
    """int [I]: row of the ItemTable of each of the peer's item numbers; checked against the answers it was given."""
    if not (where / "items.npz").exists():
        return np.arange(len(data.items))
    with np.load(where / "items.npz") as file:
        row = np.asarray(file["row"])
    with np.load(where / "targets.npz") as file:
        same = np.array_equal(row[file["item"]], data.tests[""].targets.item)
    if not same:
        raise SourceError(f"{where} was written for other questions than these; run bench/peers/dump.py again")
    return row


def _check(path: Path, top: np.ndarray, n: int) -> None:
    if top.ndim != 3 or top.shape[1] != n:
        raise SourceError(f"expected {path} to answer {n} questions, got an array of {top.shape}; rank again")
