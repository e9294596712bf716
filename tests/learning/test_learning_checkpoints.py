"""Models on disk: what was written is what is read, or it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zhitou.core.errors import ModelError
from zhitou.learning.checkpoints import load_model, save_groups, save_model

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": np.asarray([1, 2], dtype=np.int64)}


def test_a_model_is_read_back_as_it_was_written(tmp_path) -> None:
    digest = save_model(tmp_path, TENSORS, {"name": "test", "figures": {"ndcg": 0.25}})
    tensors, manifest = load_model(tmp_path)
    assert torch.equal(tensors["a"], TENSORS["a"])
    assert tensors["b"].tolist() == [1, 2]
    assert manifest["figures"] == {"ndcg": 0.25}
    assert manifest["sha256"] == digest


def test_the_same_model_gives_the_same_bytes(tmp_path) -> None:
    for name in ("one", "two"):
        save_model(tmp_path / name, TENSORS, {"name": "test"})
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_a_new_model_replaces_the_old_one_and_leaves_nothing_behind(tmp_path) -> None:
    save_model(tmp_path, TENSORS, {"name": "old"})
    save_model(tmp_path, {"a": torch.zeros(1)}, {"name": "new"})
    tensors, manifest = load_model(tmp_path)
    assert manifest["name"] == "new"
    assert list(tensors) == ["a"]
    assert len(list(tmp_path.iterdir())) == 2


def test_every_altered_byte_is_refused(tmp_path) -> None:
    save_model(tmp_path, TENSORS, {"name": "test"})
    for path in tmp_path.iterdir():
        good = path.read_bytes()
        for position in range(len(good)):
            path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
            with pytest.raises(ModelError):
                load_model(tmp_path)
        path.write_bytes(good)
    load_model(tmp_path)


def test_a_folder_cut_short_is_refused(tmp_path) -> None:
    with pytest.raises(ModelError, match="train one first"):
        load_model(tmp_path / "nowhere")
    save_model(tmp_path, TENSORS, {})
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(ModelError, match="missing"):
        load_model(tmp_path)


def test_a_training_checkpoint_is_not_taken_for_a_model(tmp_path) -> None:
    save_groups(tmp_path, {"current": {"a": torch.ones(1)}, "best": {}}, {})
    with pytest.raises(ModelError, match="training checkpoint"):
        load_model(tmp_path)
