"""Who agreed to what. A purpose that was not granted is refused, in eligibility and in training alike."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import ConsentError, SchemaError

PURPOSES = ("ads", "profile", "measurement", "email", "push", "sms")
SILENT = tuple(purpose for purpose in PURPOSES if purpose != "sms")  # what a shop may take silence for; never a text


@dataclass(frozen=True)
class ConsentChange:
    """One statement of a shopper: from `at_us` on, these purposes are granted or refused."""

    subject: str
    at_us: int
    purposes: tuple[tuple[str, bool], ...]

    @classmethod
    def from_context(cls, subject: str, at_us: int, context: str | None) -> ConsentChange:
        """From a consent event's context, `{"purposes": {"ads": true, "profile": false}}`.

        Refused (SchemaError): anything else, unknown purposes, answers that are not true or false.
        """
        try:
            purposes = json.loads(context or "")["purposes"]
            pairs = tuple(sorted(purposes.items()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SchemaError(
                'a consent event needs context {"purposes": {"ads": true, ...}}; got '
                + repr((context or "")[:80])
            ) from None
        if unknown := sorted({p for p, _ in pairs} - set(PURPOSES)):
            raise SchemaError(f"unknown purposes {unknown}; known are {', '.join(PURPOSES)}")
        if not all(isinstance(v, bool) for _, v in pairs):
            raise SchemaError("consent is true or false for each purpose")
        return cls(subject, at_us, pairs)


class ConsentBook:
    """The latest answer of each subject to each purpose; who never answered gets the tenant's default.

    default_granted: the purposes a silent subject is taken to have granted (empty = opt-in for everything).
    State is a function of the set of changes: order of arrival and repeats change nothing.
    """

    def __init__(self, default_granted: Iterable[str] = ()) -> None:
        self.default_granted = frozenset(default_granted)
        assert self.default_granted <= set(PURPOSES), "defaults name known purposes"
        self._answers: dict[tuple[str, str], tuple[int, bool]] = {}

    def record(self, change: ConsentChange) -> None:
        """Take a statement in. At the same instant a refusal wins over a grant."""
        for purpose, granted in change.purposes:
            key = (change.subject, purpose)
            old = self._answers.get(key)
            if old is None or (change.at_us, not granted) > (old[0], not old[1]):
                self._answers[key] = (change.at_us, granted)

    def allows(self, subject: str, purpose: str) -> bool:
        """Whether this subject granted this purpose."""
        answer = self._answers.get((subject, purpose))
        return answer[1] if answer else purpose in self.default_granted

    def mask(self, subjects: Iterable[str], purpose: str) -> np.ndarray:
        """bool [N]: `allows` for each."""
        return np.fromiter((self.allows(s, purpose) for s in subjects), dtype=bool)

    def require(self, subject: str, purpose: str) -> None:
        """Refused (ConsentError) unless this subject granted this purpose."""
        if not self.allows(subject, purpose):
            raise ConsentError(f"{subject} did not agree to {purpose}; do not process, or ask for consent")

    def basis(self, subject: str, purpose: str) -> str:
        """Why `allows` answers as it does: "granted", "refused", "default granted" or "default refused"."""
        answer = self._answers.get((subject, purpose))
        if answer:
            return "granted" if answer[1] else "refused"
        return "default granted" if purpose in self.default_granted else "default refused"
