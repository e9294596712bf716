"""Which model is in use, which were, and why: JSON files beside the model folders, switched atomically.

models/response/
    registry.json      the champion, its history, who is in the shadow, who was refused; replaced in one step
    v1/  v1.json       a model folder, and what is known about it (written once)
    .lock              held while registry.json changes, so that two processes may change it
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zhitou.core.errors import ModelError, NotFoundError
from zhitou.core.files import replace_whole
from zhitou.feedback.promotion import Verdict

REGISTRY_FILE = "registry.json"
LOCK_FILE = ".lock"
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


@dataclass(frozen=True)
class Refusal:
    """A candidate that was judged and not promoted."""

    version: str
    at_us: int
    reason: str


@dataclass(frozen=True)
class Measured:
    """Figures of a model from after its registration. metrics: (value, low, high) by name."""

    version: str
    at_us: int
    metrics: dict[str, tuple[float, float, float]]


class Registry:
    """The models of one folder. Writers take turns by a lock; readers always see a whole registry.

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
        """Registered versions that never were champion and were not refused, oldest first."""
        used = {change.after for change in self.history()} | {refusal.version for refusal in self.refusals()}
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
        return tuple(Change(**change) for change in self._read().get("history", ()))

    def refusals(self) -> tuple[Refusal, ...]:
        """Every candidate that was judged and not promoted, oldest first."""
        return tuple(Refusal(**refusal) for refusal in self._read().get("refused", ()))

    def measured(self, version: str) -> tuple[Measured, ...]:
        """What `measure` noted of this version, oldest first."""
        found = (Measured(**raw) for raw in self._read().get("measured", ()) if raw["version"] == version)
        return tuple(Measured(m.version, m.at_us, {k: _triple(v) for k, v in m.metrics.items()}) for m in found)

    def shadow(self) -> str | None:
        """The candidate that scores the champion's requests unseen, None if there is none."""
        return self._read().get("shadow")

    def before_champion(self) -> str | None:
        """The version a rollback would put back in use, None if there is none."""
        stack = self._stack()
        return stack[-2] if len(stack) > 1 else None

    def lineage(self, version: str) -> tuple[str, ...]:
        """The version, its parent, and so on back to the first."""
        line = [version]
        while (parent := self.entry(line[-1]).parent) is not None:
            line.append(parent)
        return tuple(line)

    def set_shadow(self, version: str | None) -> None:
        """Let a candidate score the champion's requests unseen, or (None) nobody. Refused: the champion itself."""
        if version is not None:
            self.entry(version)
            self._folder_of(version)
        with self._changing() as state:
            if version is not None and version == self.champion():
                raise ModelError(f"{version} is in use; a shadow is a candidate beside it")
            state["shadow"] = version

    def measure(self, version: str, metrics: dict[str, tuple[float, float, float]], at_us: int) -> None:
        """Note figures that came to be known after the registration."""
        self.entry(version)
        with self._changing() as state:
            noted = asdict(Measured(version, at_us, metrics))
            state["measured"] = [*state.get("measured", ()), noted]

    def refuse(self, version: str, at_us: int, reason: str) -> None:
        """Note that a candidate was judged and not promoted; it is no candidate and in no shadow any more."""
        self.entry(version)
        with self._changing() as state:
            state["refused"] = [*state.get("refused", ()), asdict(Refusal(version, at_us, reason))]
            if state.get("shadow") == version:
                state["shadow"] = None

    def promote(self, version: str, verdict: Verdict | None, at_us: int, against: str | None = None) -> None:
        """Put a candidate in use, on a verdict that says so. Only the first model needs none (None).

        against: the champion that the verdict compares with; refused (ModelError) if another is in use by now.
        """
        self.entry(version)
        self._folder_of(version)
        with self._changing() as state:
            before = self.champion()
            if before is None:
                why = verdict.reason if verdict else "the first model"
                _switch(state, Change("first", None, version, at_us, why))
                return
            if verdict is None or not verdict.promote:
                why = verdict.reason if verdict else "no verdict was given"
                raise ModelError(f"{version} may not replace {before}: {why}")
            if against is not None and against != before:
                raise ModelError(f"{version} was judged against {against}, but {before} is in use; judge it again")
            if before != version:
                _switch(state, Change("promote", before, version, at_us, verdict.reason))

    def rollback(self, at_us: int, reason: str, against: str | None = None) -> str:
        """Put the version that was in use before this one back; returns it. Refused (ModelError): there is none.

        against: the champion that the reason speaks of; refused (ModelError) if another is in use by now.
        """
        with self._changing() as state:
            stack = self._stack()
            if len(stack) < 2:
                raise ModelError("no earlier model to roll back to; train and promote another")
            if against is not None and against != stack[-1]:
                raise ModelError(f"{against} is not in use any more, {stack[-1]} is; nothing is rolled back")
            self._folder_of(stack[-2])
            _switch(state, Change("rollback", stack[-1], stack[-2], at_us, reason))
            return stack[-2]

    def _stack(self) -> list[str]:
        """Versions in use, one above the other, as rollbacks would uncover them."""
        stack: list[str] = []
        for change in self.history():
            if change.action == "rollback":
                stack.pop()
            else:
                stack.append(change.after)
        return stack

    def _read(self) -> dict[str, Any]:
        path = self.folder / REGISTRY_FILE
        state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return state

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The state, to be changed by one process at a time; written when the block ends without an error."""
        lock = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._read()
            state = dict(before)
            yield state
            if state != before:
                _write(self.folder / REGISTRY_FILE, state)
        finally:
            os.close(lock)

    def _folder_of(self, version: str) -> Path:
        if not _NAME.fullmatch(version) or not (self.folder / version).is_dir():
            raise NotFoundError(f"expected a model folder {version!r} in {self.folder}; save the model there first")
        return self.folder / version


def _switch(state: dict[str, Any], change: Change) -> None:
    """The champion of `state` becomes another; one that steps out of the shadow leaves it empty."""
    state["champion"] = change.after
    state["history"] = [*state.get("history", ()), asdict(change)]
    if state.get("shadow") == change.after:
        state["shadow"] = None


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    value, low, high = values
    return value, low, high


def _write(path: Path, content: dict[str, Any]) -> None:
    """The whole file or none of it, on disk when this returns."""
    replace_whole(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())
