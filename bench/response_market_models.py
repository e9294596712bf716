"""The models of bench/response_market.py, each learnt from the same earlier rows. R = rows.

Every model but the two of zhitou learns from one thinned sample (all clicks, some rows without), and its odds are put
back exactly. `valid` chooses settings and epochs; zhitou has none to choose and stops and calibrates on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import click_folder
from response_public_ours import TREE_SETTINGS

from zhitou.core.chance import Chance
from zhitou.response.baselines import fit_constant, fit_logistic
from zhitou.response.calibrate import without_downsampling
from zhitou.response.compare import in_slots
from zhitou.response.config import ResponseConfig
from zhitou.response.deep import DeepResponse
from zhitou.response.deep_config import DeepConfig
from zhitou.response.deep_fit import fit_deep
from zhitou.response.deep_inputs import Side
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

PEERS = {"catboost": "catboost_clicks", "fuxictr": "fuxictr_dcnv2", "deepctr": "deepctr_din"}
ROUNDS_MOST, PATIENCE = 400, 30


@dataclass(frozen=True)
class Split:
    """Rows before `valid`, of it, and after it; the thinned sample's rows and the share of unclicked ones kept."""

    rows: Rows
    side: Side
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    thinned: dict[str, np.ndarray]
    kept: float

    @classmethod
    def of(cls, rows: Rows, side: Side, negatives_per_click: int, chance: Chance) -> Split:
        """By time: 60 % teach, 20 % choose and calibrate, 20 % judge."""
        cuts = rows.cut_s(0.6), rows.cut_s(0.8)
        which = np.searchsorted(np.asarray(cuts), rows.time_s, side="right")
        parts = [np.flatnonzero(which == n) for n in range(3)]
        clicks = rows.clicked[parts[0]]
        kept = min(1.0, negatives_per_click * int(clicks.sum()) / int((~clicks).sum()))
        draw, thinned = chance.stream("thinned"), {}
        for name, part in zip(("train", "valid"), parts[:2], strict=True):
            thinned[name] = part[rows.clicked[part] | (draw.random(len(part)) < kept)]
        return cls(rows, side, *parts, thinned | {"test": parts[2]}, kept)


@dataclass(frozen=True)
class Answer:
    """A model's click probabilities of the test rows, each in its own slot, and CPU seconds of learning."""

    p: np.ndarray
    cpu_s: float


def ours(split: Split, share: float) -> tuple[dict[str, Answer], DeepResponse]:
    """The deep model, the line and the constant; `share`: of train and valid together, what valid is."""
    early = np.concatenate([split.train, split.valid])
    rows, later, config = split.rows.select(early), split.rows.select(split.test), ResponseConfig(later_share=share)
    begun = time.process_time()
    deep = fit_deep(rows, DeepConfig(line=config), Chance(1), split.side.select(early))
    cpu = [time.process_time() - begun]
    begun = time.process_time()
    line = fit_response(rows, config, Chance(1))
    cpu.append(time.process_time() - begun)
    constant = fit_constant(rows, config)
    answers = {
        "zhitou deep": Answer(deep.in_slots(later, split.side.select(split.test))[0], cpu[0]),
        "zhitou line": Answer(in_slots(line, later)[0], cpu[1]),
        "constant": Answer(in_slots(constant, later)[0], 0.0),
    }
    return answers, deep


def logistic(split: Split) -> Answer:
    """scikit-learn's logistic regression, by `baselines.fit_logistic` on the thinned rows."""
    some = np.concatenate([split.thinned["train"], split.thinned["valid"]])
    begun = time.process_time()
    model = fit_logistic(split.rows.select(some), ResponseConfig(later_share=0.25), Chance(1))
    cpu_s = time.process_time() - begun
    later = split.rows.select(split.test)
    pctr = without_downsampling(model.predict(later.fields, later.ad)[0], split.kept)
    # A slot's factor on thinned odds is nearly that on all: both are small.
    return Answer(pctr * model.examination[later.slot], cpu_s)


def trees(split: Split, settings: int) -> Answer:
    """LightGBM on fields, slot and the ads' and requests' categories, the best of its settings on valid."""
    import lightgbm

    tables = {name: _table(split, at) for name, at in split.thinned.items()}
    categories = list(range(split.rows.fields.shape[1], tables["test"].shape[1]))
    label = {name: split.rows.clicked[at] for name, at in split.thinned.items()}
    fixed = {"objective": "binary", "num_threads": 1, "verbosity": -1, "seed": 1, "deterministic": True}

    def fit(setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        made = {"categorical_feature": categories, "free_raw_data": False}
        data = [lightgbm.Dataset(tables[name], label[name], **made) for name in ("train", "valid")]
        stop = [lightgbm.early_stopping(PATIENCE, verbose=False)]
        more = {**fixed, "force_row_wise": True, "cat_smooth": 50, **setting}
        booster = lightgbm.train(more, data[0], ROUNDS_MOST, valid_sets=[data[1]], callbacks=stop)
        return np.asarray(booster.predict(tables["valid"])), np.asarray(booster.predict(tables["test"]))

    small_first = sorted(TREE_SETTINGS, key=lambda one: (one["num_leaves"], -one["learning_rate"]))
    p, told = click_folder.choose(small_first[:settings], fit, label["valid"])
    return Answer(without_downsampling(p, split.kept), told["cpu_s"])


def peers(
    split: Split, pythons: dict[str, Path | None], made: Path, settings: int, epochs: int
) -> tuple[dict[str, Answer], dict[str, str]]:
    """({model: answer}, {model: why it did not run}) of the peers, each in the environment of its Python."""
    answers, notes = {}, {}
    if any(pythons.values()):
        _write_folder(split, made / "arrays")
    for name, script in PEERS.items():
        python = pythons.get(name)
        if python is None or not python.exists():
            install = f"python3.11 -m venv {name} && {name}/bin/pip install -r bench/peers/requirements-{name}.txt"
            notes[name] = f"not run: {install}, then --{name} {name}/bin/python"
            continue
        command = [python, Path(__file__).parent / "peers" / f"{script}.py", made / "arrays", made / name]
        told = ["--settings", str(settings), "--epochs", str(epochs)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        done = subprocess.run([*command, *told], check=False, text=True, **quiet)
        if done.returncode:
            said = done.stderr.strip().splitlines()
            notes[name] = f"failed: {said[-1] if said else 'no message'}"
            continue
        result = json.loads((made / name / "result.json").read_text(encoding="utf-8"))
        p = np.load(made / name / "test.npy")
        answers[result["peer"]] = Answer(without_downsampling(p, split.kept), result["cpu_s"])
    return answers, notes


def _categories(split: Split, at: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(codes int64 [R, C], 0 = unknown, their names): the slot, the ad's, the request's."""
    side, rows = split.side, split.rows
    request = side.requests.codes[side.request[at]]
    codes = np.concatenate([rows.slot[at][:, None], side.ads.of(rows.ad[at])[0], request], 1).astype(np.int64) + 1
    return codes, ["slot", *side.ads.names, *side.requests.names]


def _table(split: Split, at: np.ndarray) -> np.ndarray:
    return np.concatenate([split.rows.fields[at], _categories(split, at)[0].astype(np.float32)], 1)


def _write_folder(split: Split, folder: Path) -> None:
    """The arrays that bench/peers/click_folder.py describes; the history lists the ads' types."""
    names, sizes = [], []
    for name, at in split.thinned.items():
        (folder / name).mkdir(parents=True)
        codes, names = _categories(split, at)
        codes[:, names.index("type")] = split.side.ads.of(split.rows.ad[at])[1]
        codes[:, names.index("item")] = codes[:, names.index("ad")]  # an ad is one item; its catalogue row is large
        history = split.side.requests.history[split.side.request[at]]
        arrays = {"label": split.rows.clicked[at].astype(np.uint8), "numeric": split.rows.fields[at]}
        arrays |= {"categorical": codes.astype(np.int32), "history": history.astype(np.int32)}
        for key, value in arrays.items():
            np.save(folder / name / f"{key}.npy", value)
        largest = codes.max(0)
        largest[names.index("type")] = max(int(largest[names.index("type")]), int(history.max(initial=0)))
        sizes.append(largest)
    about = {
        "numeric": list(split.rows.names),
        "categorical": names,
        "cardinalities": (np.max(sizes, 0) + 1).tolist(),
        "history": {"column": "type", "length": split.side.requests.history.shape[1]},
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
