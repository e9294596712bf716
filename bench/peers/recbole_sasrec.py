"""RecBole's SASRec with full cross entropy on the files of bench/peers/dump.py, with what it costs.

    python3.11 -m venv recbole && recbole/bin/pip install -r bench/peers/requirements-recbole.txt
    recbole/bin/python bench/peers/recbole_sasrec.py DATA OUT [--epochs 1]

Runs in an environment of its own and imports nothing of zhitou. RecBole 1.2.1 fails with numpy 2 (np.bool8), so numpy
is pinned; its checkpoints, which today's torch refuses to load, are neither written nor read here. DATA is the folder
of one leave-one-out data set: RecBole splits by itself, so it is given the questions of ask.npz, holds back the last
item of each (the validation item) and learns from the rest, which is sequences.npz. Writes OUT/top.npz (top int32
[N, 20], item numbers, best first, -1 = none) and OUT/result.json. No epoch is chosen: the model is the one after
--epochs. RecBole makes one example of each prefix of a sequence.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    """The command line. Defaults are RecBole's own but for the length of a history."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--length", type=int, default=50, help="items of a history that the model reads")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=2_048)
    parser.add_argument("--batches", type=int, help="for timing: only so many in an epoch; no answers are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


ARGS = arguments()
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = str(ARGS.threads)  # before numpy and torch are there
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from cost import Clock, K, arrays, machine_gflop_per_cpu_s  # noqa: E402
from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.data.interaction import Interaction  # noqa: E402
from recbole.model.sequential_recommender import SASRec  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402
from recbole.utils import init_seed  # noqa: E402


def write_inter(ask: dict[str, np.ndarray], folder: Path) -> None:
    """RecBole's atomic file of these histories; the time is the place in the row."""
    sizes = np.diff(ask["offsets"])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(owner)) - ask["offsets"][owner]
    (folder / "peer").mkdir()
    with (folder / "peer" / "peer.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"{u}\t{i}\t{t}\n" for u, i, t in zip(owner, ask["item"], place, strict=True))


def configured(args: argparse.Namespace, folder: Path) -> Config:
    """RecBole's settings."""
    given = {
        "data_path": str(folder),
        "checkpoint_dir": str(folder / "saved"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"LS": "valid_only"}, "group_by": "user", "order": "TO", "mode": "full"},
        "train_neg_sample_args": None,
        "loss_type": "CE",
        "epochs": args.epochs,
        "n_layers": args.layers,
        "n_heads": args.heads,
        "hidden_size": args.factors,
        "inner_size": 4 * args.factors,
        "hidden_dropout_prob": args.dropout,
        "attn_dropout_prob": args.dropout,
        "MAX_ITEM_LIST_LENGTH": args.length,
        "learning_rate": args.lr,
        "train_batch_size": args.batch,
        "seed": args.seed,
        "use_gpu": False,
        "show_progress": False,
        "state": "WARNING",
    }
    return Config(model="SASRec", dataset="peer", config_dict=given)


class First:
    """The first n batches of a loader, or all of them."""

    def __init__(self, loader: Any, n: int | None) -> None:
        self.loader, self.n = loader, min(n or len(loader), len(loader))

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Any]:
        return itertools.islice(iter(self.loader), self.n)


class TimedTrainer(Trainer):
    """RecBole's trainer over `batches` of an epoch; `told` has the cost and the loss of each, `share` of how much."""

    def __init__(self, config: Config, model: SASRec, batches: int | None) -> None:
        super().__init__(config, model)
        self.batches, self.share = batches, 1.0
        self.told: list[dict[str, float]] = []

    def _train_epoch(self, train_data: Any, *args: Any, **kwargs: Any) -> Any:
        first = First(train_data, self.batches)
        self.share = len(first) / len(train_data)
        clock = Clock()
        loss = super()._train_epoch(first, *args, **kwargs)
        self.told.append(clock.read() | {"loss": float(loss)})
        print(json.dumps({"epoch": len(self.told), **self.told[-1]}), flush=True)
        return loss


def recommend(model: SASRec, dataset: Any, ask: dict[str, np.ndarray], length: int) -> tuple[np.ndarray, dict]:
    """top int32 [N, K] by full_sort_predict, 256 histories at a time, and what it cost."""
    n = len(ask["offsets"]) - 1
    tokens = dataset.field2id_token["item_id"]  # "[PAD]" and then item numbers as text
    external = np.asarray([-1, *(int(token) for token in tokens[1:])])
    internal = np.zeros(external.max() + 1, dtype=np.int64)
    internal[external[1:]] = np.arange(1, len(external))
    top = np.full((n, K), -1, dtype=np.int32)
    clock = Clock()
    model.eval()
    with torch.no_grad():
        for start in range(0, n, 256):
            rows = range(start, min(start + 256, n))
            lists = [internal[ask["item"][ask["offsets"][r] : ask["offsets"][r + 1]]] for r in rows]
            read = torch.zeros(len(lists), length, dtype=torch.int64)
            for at, items in enumerate(lists):
                recent = items[-length:]
                read[at, : len(recent)] = torch.from_numpy(recent)
            sizes = (read > 0).sum(dim=1)
            scores = model.full_sort_predict(Interaction({model.ITEM_SEQ: read, model.ITEM_SEQ_LEN: sizes}))
            scores[:, 0] = -torch.inf  # padding
            if bool(ask["filter_seen"]):
                for at, items in enumerate(lists):
                    scores[at, torch.from_numpy(items)] = -torch.inf
            top[start : start + len(lists)] = external[scores.topk(K, dim=1).indices.numpy()]
    cost = clock.read()
    return top, cost | {"asked": n, "per_cpu_s": round(n / cost["cpu_s"], 1)}


def main() -> None:
    """Learn, rank, write."""
    args, whole = ARGS, Clock()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    ask, speed = arrays(args.data / "ask.npz"), [machine_gflop_per_cpu_s()]
    with tempfile.TemporaryDirectory() as made:
        write_inter(ask, Path(made))
        config = configured(args, Path(made))
        init_seed(args.seed, reproducibility=True)
        dataset = create_dataset(config)
        train_data, _, _ = data_preparation(config, dataset)
        model = SASRec(config, train_data.dataset)
        trainer = TimedTrainer(config, model, args.batches)
        trainer.fit(train_data, valid_data=None, verbose=False, saved=False, show_progress=False)
        top, answered = recommend(model, dataset, ask, args.length)
    if args.batches is None:
        np.savez_compressed(args.out / "top.npz", top=top)
    wall, cpu = ([epoch[key] for epoch in trainer.told] for key in ("wall_s", "cpu_s"))
    result = {
        "peer": "RecBole",
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        "versions": {name: version(name) for name in ("recbole", "torch", "numpy", "pandas")},
        "learning": {
            "epochs": len(trainer.told),
            "examples": len(train_data.dataset),
            "share_of_epoch": round(trainer.share, 4),
            "epoch_cpu_s_median": round(float(np.median(cpu)) / trainer.share, 3),
            "epoch_wall_s_median": round(float(np.median(wall)) / trainer.share, 3),
            "cpu_s": round(sum(cpu), 2),
            "wall_s": round(sum(wall), 2),
            "each": trainer.told,
        },
        "parameters": sum(p.numel() for p in model.parameters()),
        "ask": answered,
        "whole": whole.read(),
        "machine_gflop_per_cpu_s": [*speed, machine_gflop_per_cpu_s()],
    }
    (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("learning", "ask", "whole")}), flush=True)


if __name__ == "__main__":
    main()
