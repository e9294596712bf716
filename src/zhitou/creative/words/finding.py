"""One broken rule, as every check of a creative reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One broken rule: its id and what was measured."""

    rule: str
    detail: str
