"""A bar where somebody watches, and nothing where nobody does."""

from __future__ import annotations

import sys
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(Protocol):
    """Is told how far a piece of work has come."""

    def start(self, label: str, total: int | None) -> None:
        """A piece of `total` parts (None = not known) begins."""
        ...

    def advance(self, note: str = "") -> None:
        """One more part is done."""
        ...

    def stop(self) -> None:
        """The piece has ended, well or not."""
        ...


class Silent:
    """Says nothing: for tests, pipes and servers."""

    def start(self, label: str, total: int | None) -> None:
        """Says nothing."""

    def advance(self, note: str = "") -> None:
        """Says nothing."""

    def stop(self) -> None:
        """Says nothing."""


class Terminal:
    """A bar on standard error, only where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def start(self, label: str, total: int | None) -> None:
        self.stop()
        if not sys.stderr.isatty():
            return
        label_column, note_column = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
        columns = label_column, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note_column
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(label, total=total, note="")
        self._bar.start()

    def advance(self, note: str = "") -> None:
        if self._bar:
            self._bar.update(self._task, advance=1, note=note)

    def stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None
