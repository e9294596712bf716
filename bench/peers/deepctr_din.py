"""DIN of DeepCTR-Torch on the folder of bench/peers/click_folder.py, which must tell of a history.

    python3.11 -m venv deepctr && deepctr/bin/pip install -r bench/peers/requirements-deepctr.txt
    deepctr/bin/python bench/peers/deepctr_din.py DATA OUT

Runs in an environment of its own and imports nothing of zhitou. DIN weighs each entry of the history by how it fits
the column it lists. The library's own trainer runs, an epoch at a time; the best epoch by the log loss of valid is
kept. Four settings: width of the tables and learning rate. At import the library asks PyPI whether it is the newest;
here it is not let.
"""

from __future__ import annotations

import contextlib
import io
import sys
from types import ModuleType
from typing import Any

from click_folder import arguments, choose, for_networks, log_loss, read, write

SETTINGS = [
    {"embedding_dim": 8, "lr": 1e-3},
    {"embedding_dim": 16, "lr": 1e-3},
    {"embedding_dim": 8, "lr": 3e-4},
    {"embedding_dim": 8, "lr": 3e-3},
]
PATIENCE = 1
ARGS = arguments(__doc__, len(SETTINGS))
sys.modules["requests"] = ModuleType("requests")  # its only use is the question to PyPI

import numpy as np  # noqa: E402
import torch  # noqa: E402

with contextlib.redirect_stdout(io.StringIO()):
    from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DIN


def inputs(split: Any, numbers: np.ndarray, listed: int) -> dict[str, np.ndarray]:
    """A split under DIN's names; what is in a history moves to its beginning, in its order."""
    found = {f"c{at}": np.asarray(split.categorical[:, at]) for at in range(split.categorical.shape[1])}
    empty_last = np.argsort(split.history == 0, axis=1, kind="stable")
    found[f"hist_c{listed}"] = np.take_along_axis(np.asarray(split.history), empty_last, axis=1)
    found["length"] = (split.history > 0).sum(1).astype(np.int32)
    if numbers.shape[1]:
        found["numbers"] = numbers
    return found


def columns(about: dict[str, Any], width: int, numbers: int, listed: int) -> list[Any]:
    """What DIN must know of each input."""
    sizes = about["cardinalities"]
    sparse = [SparseFeat(f"c{at}", size, embedding_dim=width) for at, size in enumerate(sizes)]
    history = SparseFeat(f"hist_c{listed}", sizes[listed], embedding_dim=width, embedding_name=f"c{listed}")
    dense = [DenseFeat("numbers", numbers)] if numbers else []
    return [*sparse, VarLenSparseFeat(history, about["history"]["length"], length_name="length"), *dense]


def main() -> None:
    """Learn, choose, predict, write."""
    torch.set_num_threads(ARGS.threads)
    folder = read(ARGS.data)
    about = folder.about
    if not about.get("history"):
        raise SystemExit(f"expected a history in {ARGS.data / 'about.json'}, got none; DIN is about histories")
    listed = about["categorical"].index(about["history"]["column"])
    numbers = for_networks(folder)
    train, valid, test = (inputs(getattr(folder, n), numbers[n], listed) for n in ("train", "valid", "test"))
    label = np.asarray(folder.train.label, dtype=np.float32)

    def fit(setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        known = columns(about, setting["embedding_dim"], numbers["train"].shape[1], listed)
        model = DIN(known, [f"c{listed}"], device="cpu", seed=ARGS.seed)
        model.compile(torch.optim.Adam(model.parameters(), lr=setting["lr"]), "binary_crossentropy")
        best, waited, kept = np.inf, 0, (np.zeros(0), np.zeros(0))
        for _ in range(ARGS.epochs):
            with contextlib.redirect_stdout(io.StringIO()):
                model.fit(dict(train), label, batch_size=ARGS.batch, epochs=1, verbose=0)
            got = model.predict(dict(valid), ARGS.batch).ravel()
            loss = log_loss(folder.valid.label, got)
            if loss < best:
                best, waited, kept = loss, 0, (got, model.predict(dict(test), ARGS.batch).ravel())
            else:
                waited += 1
            if waited >= PATIENCE:
                break
        return kept

    predicted, told = choose(SETTINGS[: ARGS.settings], fit, folder.valid.label)
    write(ARGS.out, "DeepCTR-Torch DIN", ("deepctr-torch", "torch", "numpy"), ARGS, predicted, told)


if __name__ == "__main__":
    main()
