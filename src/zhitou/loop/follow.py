"""Keeps an open shop on the registry's champion: the model is swapped between two requests, none is dropped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from zhitou.core.errors import ZhitouError
from zhitou.delivery.service import LiveService
from zhitou.feedback.registry import REGISTRY_FILE, Registry
from zhitou.response.response import BoundResponse, Response

LOOK_SECONDS = 0.1
LOG = logging.getLogger("zhitou.follow")


def shadow_file(folder: Path, version: str) -> Path:
    """Where a run's folder keeps what this candidate did in the shadow."""
    return folder / "shadow" / f"{version}.jsonl"


class Follower:
    """Looks whether the registry has changed. A model that cannot be read or used leaves the old one in use."""

    def __init__(self, service: LiveService, registry: Registry, folder: Path) -> None:
        self._service, self._registry, self._folder = service, registry, folder
        self._seen: tuple[int, int] | None = None
        self._champion: str | None = None
        self._shadow: str | None = None

    def look(self) -> bool:
        """Whether something changed; if so, it is in use for the next request when this returns."""
        state = (self._registry.folder / REGISTRY_FILE).stat()
        if (state.st_mtime_ns, state.st_ino) == self._seen:
            return False
        self._seen = (state.st_mtime_ns, state.st_ino)
        champion, shadow = self._registry.champion(), self._registry.shadow()
        try:
            if champion is not None and champion != self._champion:
                self._service.swap(self._model(champion))
                self._champion = champion
            if shadow != self._shadow:
                candidate = None if shadow is None else self._model(shadow)
                self._service.set_shadow(candidate, shadow_file(self._folder, shadow or ""))
                self._shadow = shadow
        except (ZhitouError, OSError) as error:
            LOG.error("kept the model in use: %s", error)
            self._service.facts["model_refused"] = str(error)
            return False
        self._service.facts.pop("model_refused", None)
        return True

    def _model(self, version: str) -> BoundResponse:
        response = Response.load(self._registry.folder / version)
        return response.for_ads(np.arange(len(self._service.desk.book)))


@contextmanager
def following(service: LiveService, registry: Registry, folder: Path) -> Iterator[Follower]:
    """Look ten times a second on a thread of its own for as long as the block runs."""
    follower, stop = Follower(service, registry, folder), threading.Event()
    follower.look()

    def work() -> None:
        while not stop.wait(LOOK_SECONDS):
            follower.look()

    thread = threading.Thread(target=work, name="follow", daemon=True)
    thread.start()
    try:
        yield follower
    finally:
        stop.set()
        thread.join()
