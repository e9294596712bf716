"""DCN-v2 of FuxiCTR on the folder of bench/peers/click_folder.py.

    python3.11 -m venv fuxictr && fuxictr/bin/pip install -r bench/peers/requirements-fuxictr.txt
    fuxictr/bin/python bench/peers/fuxictr_dcnv2.py DATA OUT

Runs in an environment of its own and imports nothing of zhitou. FuxiCTR 2.3 installs its parts and its models of long
histories, but not the DCNv2 of its model zoo; here its parts are put together in that model's default structure
("parallel": a cross net beside a perceptron, one linear layer over both). Its own trainer runs, with its own early
stop (the best epoch by the log loss of valid). A history, if there is one, is averaged, its table shared with its
column. Four settings: width of the tables and learning rate, 1e-5 on the tables' squares.
"""

from __future__ import annotations

import logging
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click_folder import arguments, choose, for_networks, read, write

SETTINGS = [
    {"embedding_dim": 10, "learning_rate": 1e-3},
    {"embedding_dim": 16, "learning_rate": 1e-3},
    {"embedding_dim": 10, "learning_rate": 5e-4},
    {"embedding_dim": 10, "learning_rate": 2e-3},
]
LAYERS, HIDDEN, TABLES_L2, PATIENCE = 3, [256, 128], 1e-5, 1
ARGS = arguments(__doc__, len(SETTINGS))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from fuxictr.features import FeatureMap  # noqa: E402
from fuxictr.pytorch.layers import CrossNetV2, FeatureEmbedding, MLP_Block  # noqa: E402
from fuxictr.pytorch.models import BaseModel  # noqa: E402
from fuxictr.pytorch.torch_utils import seed_everything  # noqa: E402
from torch import Tensor, nn  # noqa: E402


class Batches:
    """Batches of a split as FuxiCTR's trainer reads them: {column: [B] or [B, L]}, shuffled each time if told."""

    def __init__(self, columns: dict[str, np.ndarray], shuffle: bool) -> None:
        self.columns, self.shuffle = columns, shuffle
        self.rows = len(columns["label"])
        self.random = np.random.default_rng(ARGS.seed)

    def __len__(self) -> int:
        return -(-self.rows // ARGS.batch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = self.random.permutation(self.rows) if self.shuffle else np.arange(self.rows)
        for start in range(0, self.rows, ARGS.batch):
            rows = order[start : start + ARGS.batch]
            yield {name: torch.from_numpy(values[rows]) for name, values in self.columns.items()}


class DCNv2(BaseModel):
    """Cross net beside a perceptron on all columns' tables."""

    def __init__(self, feature_map: FeatureMap, embedding_dim: int, learning_rate: float, **more: Any) -> None:
        super().__init__(feature_map, model_id="DCNv2", embedding_regularizer=TABLES_L2, **more)
        self.embedding_layer = FeatureEmbedding(feature_map, embedding_dim)
        width = embedding_dim * len(feature_map.features)
        self.crossnet = CrossNetV2(width, LAYERS)
        self.dnn = MLP_Block(input_dim=width, output_dim=None, hidden_units=HIDDEN)
        self.fc = nn.Linear(width + HIDDEN[-1], 1)
        self.compile("adam", "binary_crossentropy", learning_rate)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """{"y_pred": [B, 1]}."""
        tables = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        both = torch.cat([self.crossnet(tables), self.dnn(tables)], dim=-1)
        return {"y_pred": self.output_activation(self.fc(both))}


def features(folder: Any, numbers: int, made: Path) -> FeatureMap:
    """What FuxiCTR must know of each column."""
    about, known = folder.about, FeatureMap("clicks", str(made))
    columns: dict[str, dict[str, Any]] = OrderedDict((f"n{at}", {"type": "numeric"}) for at in range(numbers))
    for at, size in enumerate(about["cardinalities"]):
        columns[f"c{at}"] = {"type": "categorical", "vocab_size": size, "padding_idx": 0}
    if about.get("history"):
        at = about["categorical"].index(about["history"]["column"])
        shared = {"share_embedding": f"c{at}", "feature_encoder": "layers.MaskedAveragePooling()"}
        size = {"max_len": about["history"]["length"], "vocab_size": about["cardinalities"][at], "padding_idx": 0}
        columns["history"] = {"type": "sequence", **size, **shared}
    known.features, known.labels, known.num_fields = columns, ["label"], len(columns)
    return known


def columns(split: Any, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """A split under the names that `features` gave."""
    found = {f"n{at}": np.ascontiguousarray(numbers[:, at]) for at in range(numbers.shape[1])}
    for at in range(split.categorical.shape[1]):
        found[f"c{at}"] = np.ascontiguousarray(split.categorical[:, at])
    if split.history is not None:
        found["history"] = np.ascontiguousarray(split.history)
    return found | {"label": np.asarray(split.label, dtype=np.float32)}


def main() -> None:
    """Learn, choose, predict, write."""
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(ARGS.threads)
    folder = read(ARGS.data)
    numbers = for_networks(folder)
    train, valid, test = (columns(getattr(folder, name), numbers[name]) for name in ("train", "valid", "test"))

    def fit(setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        seed_everything(ARGS.seed)
        with tempfile.TemporaryDirectory() as made:
            (Path(made) / "clicks").mkdir()
            more = {"monitor": {"logloss": -1}, "monitor_mode": "max", "early_stop_patience": PATIENCE}
            model = DCNv2(
                features(folder, numbers["train"].shape[1], Path(made)),
                model_root=made,
                metrics=["logloss"],
                verbose=0,
                **more,
                **setting,
            )
            model.fit(Batches(train, True), epochs=ARGS.epochs, validation_data=Batches(valid, False))
        return model.predict(Batches(valid, False)), model.predict(Batches(test, False))

    predicted, told = choose(SETTINGS[: ARGS.settings], fit, folder.valid.label)
    write(ARGS.out, "FuxiCTR DCNv2", ("fuxictr", "torch", "numpy"), ARGS, predicted, told)


if __name__ == "__main__":
    main()
