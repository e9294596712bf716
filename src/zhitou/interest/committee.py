"""Several models of the same behaviour, trained from different starts, that answer as one.

What single models make of sparse data differs by chance; the mean of their log-probabilities differs less. It costs
as many times the training and the serving. N = subjects, M = items.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.interest.config import InterestConfig
from zhitou.interest.predict import Interest, best_items
from zhitou.interest.train import fit_interest
from zhitou.learning.progress import Progress


class Committee:
    """The mean of the members' log-probabilities. Implements strategy.ports.InterestModel."""

    name = "committee"

    def __init__(self, members: Sequence[Interest]) -> None:
        """Refused (ConfigError): no member, or members of different catalogues."""
        if not members:
            raise ConfigError("a committee has at least one member")
        if any(not np.array_equal(m.items.ids, members[0].items.ids) for m in members):
            raise ConfigError("the members of a committee know the same catalogue; train them on the same items")
        self.members = tuple(members)

    def scores(self, histories: Histories, items: np.ndarray | None = None, *, at_s: int | None = None) -> np.ndarray:
        """float32 [N, len(items)] (all M if None), as Interest.scores; log-probabilities among these items."""
        total = 0.0
        for member in self.members:
            scores = member.scores(histories, items, at_s=at_s)
            peak = scores.max(axis=1, keepdims=True)
            total = total + (scores - peak - np.log(np.exp(scores - peak).sum(axis=1, keepdims=True)))
        return np.asarray(total / len(self.members), dtype=np.float32)

    def vectors(self, histories: Histories) -> np.ndarray:
        """float32 [N, D of all members]: their interest vectors side by side."""
        return np.concatenate([member.vectors(histories) for member in self.members], axis=1)

    def topk(
        self, histories: Histories, k: int, *, exclude_seen: bool = False, at_s: int | None = None
    ) -> np.ndarray:
        """int64 [N, k], as Interest.topk."""
        scores, most = partial(self.scores, at_s=at_s), len(self.members[0].items)
        return best_items(scores, histories, min(k, most), exclude_seen)

    def save(self, folder: Path) -> list[str]:
        """Write each member to a folder of its own below `folder`; their versions."""
        return [member.save(folder / f"member-{n}") for n, member in enumerate(self.members)]

    @classmethod
    def load(cls, folder: Path, items: ItemTable) -> Committee:
        """The committee in this folder. Refused as in Interest.load, and (ConfigError) without any member."""
        return cls([Interest.load(path, items) for path in sorted(folder.glob("member-*"))])


def fit_committee(
    histories: Histories,
    items: ItemTable,
    config: InterestConfig,
    chance: Chance,
    members: int = 3,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Committee:
    """Train so many members, each with chance of its own; `folder` keeps their checkpoints."""
    return Committee(
        [
            fit_interest(
                histories,
                items,
                config,
                chance.child("member", n),
                None if folder is None else folder / f"member-{n}",
                progress,
            )
            for n in range(members)
        ]
    )
