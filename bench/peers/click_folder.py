"""The folder of arrays that the peers of click prediction read, and the form of their answers. numpy alone.

    about.json          numeric, categorical: names; cardinalities: of each categorical column; history: null, or
                        {"column": the categorical column whose codes it lists, "length": L}
    train/ valid/ test/ label.npy uint8 [R]; numeric.npy float32 [R, F], NaN = missing; categorical.npy int32 [R, C],
                        0 = missing; history.npy int32 [R, L], 0 = nothing, if about.json tells of one

zhitou.events.sources.click_codes.write_arrays writes it; so may anything else. A peer learns from train, chooses its
epoch and one of its few settings by the log loss of valid, and predicts test with that same model. Nobody learns from
valid. It leaves OUT/test.npy, float64 [R], and OUT/result.json. Runs under each peer's own Python.
"""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """R rows: numeric float32 [R, F], categorical int32 [R, C], history int32 [R, L] or None, label uint8 [R]."""

    numeric: np.ndarray
    categorical: np.ndarray
    history: np.ndarray | None
    label: np.ndarray


@dataclass(frozen=True)
class Folder:
    """All of it, read as memory maps."""

    about: dict[str, Any]
    train: Split
    valid: Split
    test: Split


def arguments(doc: str | None, settings: int) -> Namespace:
    """The command line that all peers share; threads are set before any library is imported."""
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--settings", type=int, default=settings, help=f"try so many of the {settings}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5, help="at most; trees: hundreds of trees at most")
    parser.add_argument("--batch", type=int, default=2_048)
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return args


def read(folder: Path) -> Folder:
    """The folder. Refused (SystemExit): arrays of other lengths or widths than about.json says."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    splits = {}
    for name in SPLITS:
        got = {key: _mapped(folder / name / f"{key}.npy") for key in ("numeric", "categorical", "label")}
        history = _mapped(folder / name / "history.npy") if about.get("history") else None
        splits[name] = Split(history=history, **got)
        widths = (got["numeric"].shape[1], got["categorical"].shape[1])
        if widths != (len(about["numeric"]), len(about["categorical"])) or len({len(a) for a in got.values()}) != 1:
            raise SystemExit(
                f"expected {folder / name} as about.json says, got widths {widths}; write the folder again"
            )
    return Folder(about, **splits)


def for_networks(folder: Folder) -> dict[str, np.ndarray]:
    """float32 [R, F + F'] of each split: sign(x) log(1 + |x|), centred and scaled as in train, missing = 0, and a
    mark for each column that is sometimes missing in train."""
    bent = {name: np.sign(x) * np.log1p(np.abs(x)) for name in SPLITS for x in [getattr(folder, name).numeric]}
    known = np.isfinite(bent["train"])
    count = np.maximum(known.sum(0), 1)
    centre = np.where(known, bent["train"], 0).sum(0, dtype=np.float64) / count
    spread = np.sqrt(np.where(known, (bent["train"] - centre) ** 2, 0).sum(0, dtype=np.float64) / count)
    marked = ~known.all(0)
    made = {}
    for name, x in bent.items():
        scaled = np.nan_to_num((x - centre) / np.where(spread > 0, spread, 1))
        made[name] = np.concatenate([scaled, ~np.isfinite(x[:, marked])], 1).astype(np.float32)
    return made


def log_loss(label: np.ndarray, p: np.ndarray) -> float:
    """Mean over rows, in nats."""
    p = np.clip(p.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(label > 0, np.log(p), np.log1p(-p)).mean())


def choose(
    settings: Iterable[dict[str, Any]],
    fit: Callable[[dict[str, Any]], tuple[np.ndarray, np.ndarray]],
    label: np.ndarray,
) -> tuple[np.ndarray, dict[str, Any]]:
    """(test predictions of the setting with the least log loss on valid, what was tried and what it cost).

    fit: setting -> predictions of valid and of test. CPU seconds are of this process, all threads.
    """
    tried: list[dict[str, Any]] = []
    kept: np.ndarray | None = None
    for setting in settings:
        wall, cpu = time.perf_counter(), time.process_time()
        valid, test = fit(setting)
        cost = {"cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)}
        tried.append({"setting": setting, "valid_log_loss": log_loss(label, valid), **cost})
        print(json.dumps(tried[-1]), flush=True)
        if tried[-1]["valid_log_loss"] == min(one["valid_log_loss"] for one in tried):
            kept = test
    if kept is None:
        raise SystemExit("expected at least one setting with a finite log loss, got none; lower the learning rate")
    chosen = min(tried, key=lambda one: one["valid_log_loss"])
    return kept, {"chosen": chosen, "tried": tried, "cpu_s": round(sum(one["cpu_s"] for one in tried), 3)}


def write(
    out: Path, peer: str, packages: Iterable[str], args: Namespace, test: np.ndarray, told: dict[str, Any]
) -> None:
    """OUT/test.npy and OUT/result.json."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "test.npy", test.astype(np.float64).ravel())
    given = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    result = {"peer": peer, "versions": {name: version(name) for name in packages}, "arguments": given, **told}
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _mapped(path: Path) -> np.ndarray:
    if not path.exists():
        raise SystemExit(f"expected {path}, found nothing; write the folder again")
    return np.load(path, mmap_mode="r")
