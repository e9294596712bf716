"""What training wrote with torch is read without it, and the other way round."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zhitou.core.errors import ModelError
from zhitou.learning.checkpoints import load_model, save_groups, save_model
from zhitou.learning.manifest import load_arrays, save_arrays


def test_arrays_are_the_tensors_that_were_saved(tmp_path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2]), "c": np.asarray([True, False])}
    version = save_model(tmp_path, tensors, {"model": "test"})
    arrays, manifest = load_arrays(tmp_path)
    assert manifest["sha256"] == version
    assert {key: value.tolist() for key, value in arrays.items()} == {
        "a": [[0, 1, 2], [3, 4, 5]], "b": [1, 2], "c": [True, False],
    }  # fmt: skip


def test_tensors_are_the_arrays_that_were_saved(tmp_path) -> None:
    save_arrays(tmp_path, {"a": np.asarray([[1.0, 2.0]], np.float32).T}, {"model": "test"})
    assert load_model(tmp_path)[0]["a"].tolist() == [[1.0], [2.0]]


def test_an_array_that_may_not_be_written_is_saved_like_any_other(tmp_path) -> None:
    save_model(tmp_path, {"text": np.frombuffer(b"abc", dtype=np.uint8)}, {})
    assert load_arrays(tmp_path)[0]["text"].tobytes() == b"abc"


def test_a_checkpoint_is_no_model_and_a_folder_of_nothing_neither(tmp_path) -> None:
    save_groups(tmp_path, {"model": {}, "optimiser": {}}, {})
    with pytest.raises(ModelError, match="training checkpoint"):
        load_arrays(tmp_path)
    with pytest.raises(ModelError, match="train one first"):
        load_arrays(tmp_path / "none")
