"""Models on disk as torch sees them: safetensors and one JSON manifest, verified at every load (see manifest.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from zhitou.learning.manifest import FORMAT, MANIFEST, WEIGHTS, load_manifest, one_group, read_folder, write_folder

__all__ = ["FORMAT", "MANIFEST", "load_groups", "load_manifest", "load_model", "save_groups", "save_model"]

Groups = Mapping[str, Mapping[str, Tensor | np.ndarray]]


def save_model(folder: Path, tensors: Mapping[str, Tensor | np.ndarray], manifest: Mapping[str, Any]) -> str:
    """Write one group of tensors and its manifest (JSON values) to `folder`; the SHA-256 of the manifest.

    The same tensors and manifest give the same bytes. The manifest's keys `format`, `files` and `sha256` are
    filled in here.
    """
    return save_groups(folder, {WEIGHTS: tensors}, manifest)


def load_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, manifest) of a folder written by `save_model`.

    Refused (ModelError): a folder without a manifest, a missing file, any byte that is not as it was written.
    """
    groups, manifest = load_groups(folder)
    tensors: dict[str, Tensor] = one_group(groups, folder)
    return tensors, manifest


def save_groups(folder: Path, groups: Groups, manifest: Mapping[str, Any]) -> str:
    """`save_model` for several groups of tensors, each in a file of its own."""
    files = {
        name: tensors_to_bytes({key: _plain(value) for key, value in sorted(group.items())})
        for name, group in groups.items()
    }
    return write_folder(folder, files, manifest)


def load_groups(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(groups, manifest) of a folder written by `save_groups`. Refused as in `load_model`."""
    files, manifest = read_folder(folder)
    return {name: dict(tensors_from_bytes(data)) for name, data in files.items()}, manifest


def _plain(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.array(value, order="C"))  # a copy: torch wants arrays that may be written
    return value.detach().cpu().contiguous().clone()
