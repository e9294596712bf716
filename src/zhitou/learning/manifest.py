"""A model's folder, whatever reads it: files beside one JSON manifest, replaced in one move and verified at every
load. Knows bytes and numpy arrays and nothing of torch, so that a server without it can read what training wrote.

Layout of a folder: `NAME-<hash>.safetensors` for each group of arrays, and `manifest.json`, which names each
file with its SHA-256. The files are written first and the manifest is put in place last by a rename, so a
reader sees the old model or the new one and never a mixture. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as arrays_to_bytes

from zhitou.core.errors import ModelError
from zhitou.core.files import replace_whole

MANIFEST = "manifest.json"
FORMAT = "zhitou-model/1"
WEIGHTS = "weights"  # the group that a model of one group is in
_RESERVED = ("format", "files", "sha256")


def write_folder(folder: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> str:
    """Write safetensors `files` by group name, and their manifest (JSON values); the SHA-256 of the manifest.

    The manifest's keys `format`, `files` and `sha256` are filled in here. What an earlier model left is removed.
    """
    assert not set(manifest) & set(_RESERVED), f"{_RESERVED} are filled in by write_folder"
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, Any]] = {}
    for name, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        file = f"{name}-{digest[:16]}.safetensors"
        if not (folder / file).exists() or hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
            replace_whole(folder / file, data)
        entries[name] = {"file": file, "sha256": digest, "bytes": len(data)}
    whole = {**manifest, "format": FORMAT, "files": entries}
    whole["sha256"] = hashlib.sha256(_canonical(whole)).hexdigest()
    replace_whole(folder / MANIFEST, _canonical(whole))
    kept = {entry["file"] for entry in entries.values()}
    drafts = (*folder.glob(".*.safetensors.*"), *folder.glob(f".{MANIFEST}.*"))  # of a writer that was killed
    for stale in (*folder.glob("*.safetensors"), *drafts):
        if stale.name not in kept:
            stale.unlink()
    return str(whole["sha256"])


def read_folder(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """(files by group name, manifest) as `write_folder` wrote them.

    Refused (ModelError): a folder without a manifest, a missing file, any byte that is not as it was written.
    """
    manifest = load_manifest(folder)
    files = {}
    for name, entry in manifest["files"].items():
        path = folder / entry["file"]
        if not path.is_file():
            raise ModelError(f"{path} is in the manifest but missing; copy the folder whole or train again")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise ModelError(f"{path} is not as it was written (SHA-256 differs); copy or train it again")
        files[name] = data
    return files, manifest


def one_group(groups: Mapping[str, Any], folder: Path) -> Any:
    """The group of a model that has one. Refused (ModelError): a folder with others, such as a checkpoint."""
    if set(groups) != {WEIGHTS}:
        raise ModelError(f"{folder} holds {sorted(groups)}, expected one model; is it a training checkpoint?")
    return groups[WEIGHTS]


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


def save_arrays(folder: Path, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> str:
    """Write one group of numpy arrays and its manifest; the SHA-256 of the manifest."""
    plain = {name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())}
    return write_folder(folder, {WEIGHTS: arrays_to_bytes(plain)}, manifest)


def load_arrays(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, manifest) of a folder with one group, whoever wrote it. Refused as in `read_folder`."""
    files, manifest = read_folder(folder)
    return dict(arrays_from_bytes(one_group(files, folder))), manifest


def _canonical(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()
