"""Which model is in use, which were, and why: JSON files beside the model folders, switched atomically.

models/response/
    registry.json      the champion and the history, replaced in one step
    v1/  v1.json       a model folder, and what is known about it (written once)
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zhitou.core.errors import ModelError, NotFoundError
from zhitou.core.files import replace_whole
from zhitou.feedback.promotion import Verdict

REGISTRY_FILE = "registry.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Entry:
    """One registered model. metrics: (value, low, high) by name. parent: the version it was trained from."""

    version: str
    parent: str | None
    registered_us: int
    metrics: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    data: str = ""  # fingerprint of what it was trained on


@dataclass(frozen=True)
class Change:
    """One change of the champion: from, to, when, why. action: "first", "promote" or "rollback"."""

    action: str
    before: str | None
    after: str
    at_us: int
    reason: str


class Registry:
    """The models of one folder. One writer at a time; readers always see a whole registry.

    Refused: versions that are no plain file name, or have no folder here (NotFoundError); registering a version
    twice with other facts, promoting against the verdict (ModelError).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def register(self, entry: Entry) -> None:
        """Make a model folder known as a candidate. The same entry again changes nothing."""
        self._folder_of(entry.version)
        if entry.parent is not None:
            self.entry(entry.parent)
        path = self.folder / f"{entry.version}.json"
        if path.exists():
            if self.entry(entry.version) != entry:
                raise ModelError(f"{entry.version} is registered with other facts; give the new model a new version")
            return
        _write(path, asdict(entry))

    def entry(self, version: str) -> Entry:
        """What is known about a version."""
        if not _NAME.fullmatch(version) or not (path := self.folder / f"{version}.json").exists():
            raise NotFoundError(f"no model {version!r} in {self.folder}; register it first")
        raw = json.loads(path.read_text())
        raw["metrics"] = {name: tuple(value) for name, value in raw["metrics"].items()}
        return Entry(**raw)

    def versions(self) -> tuple[str, ...]:
        """All registered versions, oldest first."""
        names = [path.stem for path in self.folder.glob("*.json") if path.name != REGISTRY_FILE]
        found = [name for name in names if (self.folder / name).is_dir()]
        return tuple(sorted(found, key=lambda v: (self.entry(v).registered_us, v)))

    def candidates(self) -> tuple[str, ...]:
        """Registered versions that never were champion, oldest first."""
        used = {change.after for change in self.history()}
        return tuple(v for v in self.versions() if v not in used)

    def champion(self) -> str | None:
        """The version in use, None before the first."""
        history = self.history()
        return history[-1].after if history else None

    def champion_folder(self) -> Path:
        """Where the version in use lies. Refused (NotFoundError): none yet, or its folder is gone."""
        version = self.champion()
        if version is None:
            raise NotFoundError(f"no model is in use in {self.folder}; train one and promote it")
        return self._folder_of(version)

    def history(self) -> tuple[Change, ...]:
        """Every change of the champion, oldest first."""
        path = self.folder / REGISTRY_FILE
        if not path.exists():
            return ()
        return tuple(Change(**change) for change in json.loads(path.read_text())["history"])

    def lineage(self, version: str) -> tuple[str, ...]:
        """The version, its parent, and so on back to the first."""
        line = [version]
        while (parent := self.entry(line[-1]).parent) is not None:
            line.append(parent)
        return tuple(line)

    def promote(self, version: str, verdict: Verdict | None, at_us: int) -> None:
        """Put a candidate in use, on a verdict that says so. Only the first model needs none (None)."""
        self.entry(version)
        self._folder_of(version)
        before = self.champion()
        if before is None:
            self._switch(Change("first", None, version, at_us, verdict.reason if verdict else "the first model"))
            return
        if verdict is None or not verdict.promote:
            why = verdict.reason if verdict else "no verdict was given"
            raise ModelError(f"{version} may not replace {before}: {why}")
        if before != version:
            self._switch(Change("promote", before, version, at_us, verdict.reason))

    def rollback(self, at_us: int, reason: str) -> str:
        """Put the version that was in use before this one back; returns it. Refused (ModelError): there is none."""
        stack: list[str] = []
        for change in self.history():
            if change.action == "rollback":
                stack.pop()
            else:
                stack.append(change.after)
        if len(stack) < 2:
            raise ModelError("no earlier model to roll back to; train and promote another")
        self._folder_of(stack[-2])
        self._switch(Change("rollback", stack[-1], stack[-2], at_us, reason))
        return stack[-2]

    def _folder_of(self, version: str) -> Path:
        if not _NAME.fullmatch(version) or not (self.folder / version).is_dir():
            raise NotFoundError(f"expected a model folder {version!r} in {self.folder}; save the model there first")
        return self.folder / version

    def _switch(self, change: Change) -> None:
        history = [asdict(c) for c in (*self.history(), change)]
        _write(self.folder / REGISTRY_FILE, {"champion": change.after, "history": history})


def _write(path: Path, content: dict[str, Any]) -> None:
    """The whole file or none of it, on disk when this returns."""
    replace_whole(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
