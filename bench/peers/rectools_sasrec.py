"""RecTools' SASRec and eSASRec on the files of bench/peers/dump.py, with what they cost.

    python3.11 -m venv rectools && rectools/bin/pip install -r bench/peers/requirements-rectools.txt
    rectools/bin/python bench/peers/rectools_sasrec.py DATA OUT [--layers ligr] [--loss sampled_softmax] ...
    rectools/bin/python bench/peers/rectools_sasrec.py DATA OUT --epochs 1 --time-only

Runs in an environment of its own (RecTools 0.19 asks for numpy below 2) and imports nothing of zhitou. DATA is one
data set's folder. Writes OUT/top.npz (top int32 [N, 20], item numbers, best first, -1 = none), OUT/top_new.npz where
DATA has ask_new.npz, and OUT/result.json. The epoch is chosen by NDCG@10 on DATA/valid; where valid/ has sequences of
its own, a second model then learns from all sequences for as many epochs. A history without any item the model knows
is answered with the most popular ones, and counted. eSASRec is --layers ligr --loss sampled_softmax --negatives 256.
Seconds of an epoch are of training alone: building, validating and recommending are counted beside it. All batches
are padded to the same shape, so that --epochs 1 --time-only --batches 20 tells the whole epoch's cost from 20.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

VALID_ROWS = 4_000  # enough to choose an epoch on: the standard error of NDCG@10 is then about 0.003


def arguments() -> argparse.Namespace:
    """The command line. Defaults are those of RecTools where it has one, but for the length of a session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loss", choices=("softmax", "sampled_softmax", "gBCE", "BCE"), default="softmax")
    parser.add_argument("--layers", choices=("sasrec", "ligr"), default="sasrec")
    parser.add_argument("--negatives", type=int, default=256)
    parser.add_argument("--gbce-t", type=float, default=0.75)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--length", type=int, default=50, help="items of a history that the model reads")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=100, help="at the most")
    parser.add_argument("--patience", type=int, default=5, help="epochs without a better NDCG@10 on valid/")
    parser.add_argument("--minutes", type=float, default=1e9, help="CPU minutes after which no epoch begins")
    parser.add_argument("--batches", type=int, help="for timing: only so many in an epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-only", action="store_true", help="neither choose nor keep answers")
    return parser.parse_args()


ARGS = arguments()
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = str(ARGS.threads)  # before numpy and torch are there
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pytorch_lightning as pl  # noqa: E402
import torch  # noqa: E402
from cost import Clock, K, arrays, machine_gflop_per_cpu_s  # noqa: E402
from rectools.dataset import Dataset  # noqa: E402
from rectools.models.nn.transformers.ligr import LiGRLayers  # noqa: E402
from rectools.models.nn.transformers.sasrec import SASRecModel, SASRecTransformerLayers  # noqa: E402


def frame(lists: dict[str, np.ndarray], last: int) -> pd.DataFrame:
    """The interactions of RecTools: the user is the row, the time is the place in the row. Keeps the last `last`."""
    sizes = np.diff(lists["offsets"])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(owner)) - lists["offsets"][owner]
    kept = place >= (sizes[owner] - last)
    times = pd.to_datetime(place[kept], unit="s")
    return pd.DataFrame({"user_id": owner[kept], "item_id": lists["item"][kept], "weight": 1.0, "datetime": times})


def ndcg(top: np.ndarray, targets: dict[str, np.ndarray], rows: np.ndarray) -> float:
    """Mean NDCG@10 of `top` [n, 10] against the targets of `rows`."""
    gain = 1.0 / np.log2(np.arange(2, 12))
    total = 0.0
    for found, row in zip(top, rows, strict=True):
        wanted = targets["item"][targets["offsets"][row] : targets["offsets"][row + 1]]
        total += gain[np.isin(found, wanted)].sum() / gain[: min(len(wanted), 10)].sum()
    return total / len(rows)


class Watch(pl.Callback):
    """Times each epoch and, with `valid`, keeps the weights of the best one and stops in time."""

    def __init__(self, args: argparse.Namespace, valid: Path | None, epochs: int) -> None:
        self.args, self.valid, self.epochs = args, valid, epochs
        self.told: list[dict[str, float]] = []
        self.best: tuple[float, int, dict[str, torch.Tensor]] | None = None
        self.clock = Clock()
        self.share = 1.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """The clock starts with the first batch."""
        self.clock = Clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Note, validate, decide."""
        whole = len(trainer.train_dataloader)
        self.share = min(self.args.batches or whole, whole) / whole
        line = self.clock.read() | {"loss": float(trainer.callback_metrics.get("train_loss", float("nan")))}
        if self.valid is not None:
            line["valid_ndcg_at_10"] = round(self._validate(pl_module), 5)
            if self.best is None or line["valid_ndcg_at_10"] > self.best[0]:
                state = copy.deepcopy(pl_module.torch_model.state_dict())
                self.best = (line["valid_ndcg_at_10"], len(self.told) + 1, state)
        self.told.append(line)
        print(json.dumps({"epoch": len(self.told), **line}), flush=True)
        late = self.best is not None and len(self.told) - self.best[1] >= self.args.patience
        spent_s = sum(epoch["cpu_s"] for epoch in self.told)
        trainer.should_stop = late or len(self.told) >= self.epochs or spent_s >= 60 * self.args.minutes

    def _validate(self, module: Any) -> float:
        assert self.valid is not None, "there is something to validate on"
        ask, targets = arrays(self.valid / "ask.npz"), arrays(self.valid / "targets.npz")
        lists = np.flatnonzero(np.diff(ask["offsets"]) > 0)
        chosen = np.sort(np.random.default_rng(0).permutation(lists)[:VALID_ROWS])
        table = frame(ask, self.args.length)
        table = table[table["user_id"].isin(chosen)]
        preparator, dataset = module.data_preparator, Dataset.construct(table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = preparator.transform_dataset_u2i(dataset, chosen)
        loader = preparator.get_dataloader_recommend(known, 256)
        queries, items = module._get_user_item_embeddings(loader, "cpu")
        module.train()
        rows = known.user_id_map.external_ids
        external = np.concatenate([[-1], preparator.get_known_item_ids().astype(np.int64)])
        top = np.full((len(chosen), 10), -1, dtype=np.int64)
        place = {row: at for at, row in enumerate(chosen)}
        for start in range(0, len(rows), 256):
            scores = queries[start : start + 256] @ items.T
            scores[:, 0] = -torch.inf  # padding
            if bool(ask["filter_seen"]):
                for at, row in enumerate(rows[start : start + 256]):
                    seen = ask["item"][ask["offsets"][row] : ask["offsets"][row + 1]]
                    scores[at, np.flatnonzero(np.isin(external, seen))] = -torch.inf
            best = scores.topk(10, dim=1).indices.numpy()
            for at, row in enumerate(rows[start : start + 256]):
                top[place[row]] = external[best[at]]
        return ndcg(top, targets, chosen)


def learn(args: argparse.Namespace, sequences: Path, valid: Path | None, epochs: int) -> tuple[SASRecModel, Watch]:
    """A trained model and its Watch; with `valid` the model has the weights of its best epoch."""
    pl.seed_everything(args.seed, verbose=False)

    def trainer() -> pl.Trainer:
        watch = Watch(args, valid, epochs)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        return pl.Trainer(
            max_epochs=epochs,
            min_epochs=1,
            limit_train_batches=args.batches or 1.0,
            accelerator="cpu",
            devices=1,
            logger=False,
            callbacks=[watch],
            **quiet,
        )

    model = SASRecModel(
        n_blocks=args.blocks,
        n_heads=args.heads,
        n_factors=args.factors,
        dropout_rate=args.dropout,
        session_max_len=args.length,
        loss=args.loss,
        n_negatives=args.negatives,
        gbce_t=args.gbce_t,
        lr=args.lr,
        batch_size=args.batch,
        transformer_layers_type=LiGRLayers if args.layers == "ligr" else SASRecTransformerLayers,
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
    )
    model.fit(Dataset.construct(frame(arrays(sequences), args.length + 1)))
    # RecTools trains with a copy of the trainer, and so of the callback
    watch = next(callback for callback in model.fit_trainer.callbacks if isinstance(callback, Watch))
    if watch.best is not None:
        model.torch_model.load_state_dict(watch.best[2])
    return model, watch


def recommend(model: SASRecModel, ask: dict[str, np.ndarray], popular: np.ndarray) -> tuple[np.ndarray, dict]:
    """top int32 [N, K] by RecTools' own recommend(), and what it cost."""
    n = len(ask["offsets"]) - 1
    top = np.full((n, K), -1, dtype=np.int32)
    rows = np.flatnonzero(np.diff(ask["offsets"]) > 0)
    dataset = Dataset.construct(frame(ask, sys.maxsize))
    clock = Clock()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.recommend(
            users=rows,
            dataset=dataset,
            k=K,
            filter_viewed=bool(ask["filter_seen"]),
            on_unsupported_targets="ignore",
        )
    cost = clock.read()
    top[found["user_id"].to_numpy(), found["rank"].to_numpy() - 1] = found["item_id"].to_numpy()
    silent = np.flatnonzero(top[:, 0] < 0)
    for row in silent:
        seen = ask["item"][ask["offsets"][row] : ask["offsets"][row + 1]] if bool(ask["filter_seen"]) else []
        best = popular[~np.isin(popular, seen)][:K]
        top[row, : len(best)] = best
    return top, cost | {"asked": n, "answered_by_popularity": len(silent), "per_cpu_s": round(n / cost["cpu_s"], 1)}


def told(watch: Watch) -> dict[str, Any]:
    """The epochs of one training, and the median one."""
    wall, cpu = ([epoch[key] for epoch in watch.told] for key in ("wall_s", "cpu_s"))
    return {
        "epochs": len(watch.told),
        "best_epoch": watch.best[1] if watch.best else None,
        "valid_ndcg_at_10": watch.best[0] if watch.best else None,
        "share_of_epoch": round(watch.share, 4),
        "epoch_cpu_s_median": round(float(np.median(cpu)) / watch.share, 3),
        "epoch_wall_s_median": round(float(np.median(wall)) / watch.share, 3),
        "cpu_s": round(sum(cpu), 2),
        "wall_s": round(sum(wall), 2),
        "each": watch.told,
    }


def main() -> None:
    """Choose, learn, rank, write."""
    args, whole = ARGS, Clock()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    libraries = ("rectools", "torch", "pytorch-lightning", "numpy", "pandas")
    result: dict[str, Any] = {
        "peer": "RecTools",
        "settings": settings,
        "versions": {name: version(name) for name in libraries},
        "machine_gflop_per_cpu_s": [machine_gflop_per_cpu_s()],
    }
    valid = args.data / "valid"
    apart = (valid / "sequences.npz").exists()
    epochs = args.epochs
    if not args.time_only and apart:
        _, watch = learn(args, valid / "sequences.npz", valid, epochs)
        result["choosing"] = told(watch)
        epochs = watch.best[1] if watch.best else epochs
    model, watch = learn(args, args.data / "sequences.npz", None if args.time_only or apart else valid, epochs)
    result["learning"] = told(watch)
    result["parameters"] = sum(p.numel() for p in model.torch_model.parameters())
    counts = np.bincount(arrays(args.data / "sequences.npz")["item"])
    popular = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    for name in ("ask", "ask_new"):
        if (args.data / f"{name}.npz").exists():
            top, result[name] = recommend(model, arrays(args.data / f"{name}.npz"), popular)
            if not args.time_only:
                np.savez_compressed(args.out / f"{name.replace('ask', 'top')}.npz", top=top)
    result["whole"] = whole.read()
    result["machine_gflop_per_cpu_s"].append(machine_gflop_per_cpu_s())
    (args.out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: result[key] for key in ("learning", "ask", "whole")}), flush=True)


if __name__ == "__main__":
    main()
