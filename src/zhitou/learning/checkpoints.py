"""Models on disk: safetensors and one JSON manifest, replaced in one move and verified at every load.

Layout of a folder: `NAME-<hash>.safetensors` for each group of tensors, and `manifest.json`, which names each
file with its SHA-256. The files are written first and the manifest is put in place last by a rename, so a
reader sees the old model or the new one and never a mixture. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from zhitou.core.errors import ModelError

MANIFEST = "manifest.json"
FORMAT = "zhitou-model/1"
_RESERVED = ("format", "files", "sha256")

Groups = Mapping[str, Mapping[str, Tensor | np.ndarray]]


def save_model(folder: Path, tensors: Mapping[str, Tensor | np.ndarray], manifest: Mapping[str, Any]) -> str:
    """Write one group of tensors and its manifest (JSON values) to `folder`; the SHA-256 of the manifest.

    The same tensors and manifest give the same bytes. The manifest's keys `format`, `files` and `sha256` are
    filled in here.
    """
    return save_groups(folder, {"weights": tensors}, manifest)


def load_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, manifest) of a folder written by `save_model`.

    Refused (ModelError): a folder without a manifest, a missing file, any byte that is not as it was written.
    """
    groups, manifest = load_groups(folder)
    if set(groups) != {"weights"}:
        raise ModelError(f"{folder} holds {sorted(groups)}, expected one model; is it a training checkpoint?")
    return groups["weights"], manifest


def save_groups(folder: Path, groups: Groups, manifest: Mapping[str, Any]) -> str:
    """`save_model` for several groups of tensors, each in a file of its own."""
    assert not set(manifest) & set(_RESERVED), f"{_RESERVED} are filled in by save_model"
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for name, group in groups.items():
        data = tensors_to_bytes({key: _plain(value) for key, value in sorted(group.items())})
        digest = hashlib.sha256(data).hexdigest()
        file = f"{name}-{digest[:16]}.safetensors"
        if not (folder / file).exists() or hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
            _replace(folder / file, data)
        files[name] = {"file": file, "sha256": digest, "bytes": len(data)}
    whole = {**manifest, "format": FORMAT, "files": files}
    whole["sha256"] = hashlib.sha256(_canonical(whole)).hexdigest()
    _replace(folder / MANIFEST, _canonical(whole))
    kept = {entry["file"] for entry in files.values()}
    for stale in folder.glob("*.safetensors"):
        if stale.name not in kept:
            stale.unlink()
    return str(whole["sha256"])


def load_groups(folder: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(groups, manifest) of a folder written by `save_groups`. Refused as in `load_model`."""
    manifest = load_manifest(folder)
    groups = {}
    for name, entry in manifest["files"].items():
        path = folder / entry["file"]
        if not path.is_file():
            raise ModelError(f"{path} is in the manifest but missing; copy the folder whole or train again")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise ModelError(f"{path} is not as it was written (SHA-256 differs); copy or train it again")
        groups[name] = dict(tensors_from_bytes(data))
    return groups, manifest


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest alone, verified. Refused (ModelError): a missing or altered one."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"expected a model at {folder}, found no {MANIFEST}; train one first")
    data = path.read_bytes()
    try:
        manifest = json.loads(data)
        claimed = manifest.pop("sha256")
        known = manifest["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{path} is no manifest of a model; copy it again or train again") from None
    if not known:
        found = manifest["format"]
        raise ModelError(f"{path} has format {found!r}, not {FORMAT!r}; use the version that wrote it")
    honest = hashlib.sha256(_canonical(manifest)).hexdigest() == claimed
    if not honest or _canonical({**manifest, "sha256": claimed}) != data:
        raise ModelError(f"{path} is not as it was written (SHA-256 differs); copy or train it again")
    return {**manifest, "sha256": claimed}


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()


def _plain(value: Tensor | np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
    return tensor.detach().cpu().contiguous().clone()


def _replace(path: Path, data: bytes) -> None:
    """The whole of `data` at `path` or nothing of it, also if the power goes."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
