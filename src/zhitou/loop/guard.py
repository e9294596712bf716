"""Stands beside the champion: looks at each row as its outcome is known, and rolls back at once on evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from zhitou.core.errors import ModelError
from zhitou.core.units import MICROSECONDS
from zhitou.feedback.registry import Change, Registry
from zhitou.feedback.watch import Health, HealthRules
from zhitou.loop.served import Log
from zhitou.response.compare import in_slots
from zhitou.response.response import Response


@dataclass
class Models:
    """The response models of a registry, each read from disk once."""

    registry: Registry
    _read: dict[str, Response] = field(default_factory=dict)

    def __getitem__(self, version: str) -> Response:
        if version not in self._read:
            self._read[version] = Response.load(self.registry.folder / version)
        return self._read[version]


class Guard:
    """The health of whichever model is in use. `look` is quick: only rows that no earlier look has seen are read."""

    def __init__(self, registry: Registry, log: Log, rules: HealthRules | None = None) -> None:
        self._registry, self._log, self._rules = registry, log, rules
        self._models = Models(registry)
        self._in_use: tuple[str | None, int] = (None, 0)
        self.health = Health(rules)

    def look(self, now_us: int) -> Change | None:
        """Take the newest outcomes in; the rollback, if one was made."""
        history = self._registry.history()
        if not history:
            return None
        champion, since_us = history[-1].after, history[-1].at_us
        if (champion, since_us) != self._in_use:
            self._in_use, self.health = (champion, since_us), Health(self._rules)
        rows = self._log.fresh(now_us)
        parent = self._registry.before_champion()
        if parent is None or not len(rows):
            return None
        model = self._models[champion]
        own = rows.select((rows.model == model.version) & (rows.rows.time_s >= since_us // MICROSECONDS))
        if not len(own):
            return None
        told = [in_slots(m, own.rows)[0] for m in (model, self._models[parent])]
        reason = self.health.add(own.rows.clicked, told[0], told[1], np.asarray(own.decision))
        if reason is None:
            return None
        try:
            self._registry.rollback(now_us, reason, against=champion)
        except ModelError:
            if self._registry.champion() == champion:
                raise
            return None  # another was promoted in this very moment: the reason speaks of one that is gone
        return self._registry.history()[-1]
