"""Tells a person what the loop is doing: one heading per stage, facts below it, time beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

STAGES = ("behaviour", "preprocess", "features", "train", "deliver", "feedback", "optimise")


@dataclass
class Narrator:
    """Prints stages and remembers how long each took. Quiet when told so; plain text when no one watches."""

    console: Console = field(default_factory=lambda: _console())
    quiet: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[None]:
        """A stage of the loop: its number, what it does, and at its end how long it took."""
        start = time.perf_counter()
        number = STAGES.index(name) + 1 if name in STAGES else None
        head = f"[{number}/{len(STAGES)}] {name}" if number else name
        self.say(f"[bold]{head}[/bold]: {about}")
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        self.say(f"      [dim]{time.perf_counter() - start:.1f} s[/dim]")

    def say(self, text: str) -> None:
        """One line."""
        if not self.quiet:
            self.console.print(text)

    def fact(self, text: str) -> None:
        """One line below the stage's heading."""
        self.say("      " + text)

    def table(self, title: str, head: list[str], rows: list[list[str]]) -> None:
        """A table, the first column to the left and the others to the right."""
        if self.quiet:
            return
        table = Table(title=title, title_justify="left", header_style="bold")
        for number, name in enumerate(head):
            table.add_column(name, justify="left" if number == 0 else "right", no_wrap=number == 0)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)


def _console() -> Console:
    """As wide as the terminal; 120 columns in a pipe, so that a log holds the tables whole."""
    width = None if sys.stdout.isatty() else 120
    return Console(highlight=False, soft_wrap=True, width=width)
