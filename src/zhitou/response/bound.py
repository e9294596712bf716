"""A response model that knows which ads its columns belong to: what all of them pass on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np


class Bindable(Protocol):
    """What is passed on; see strategy.ports.ResponseModel."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def fields(self) -> tuple[str, ...]: ...

    @property
    def examination(self) -> np.ndarray: ...


M = TypeVar("M", bound=Bindable)


@dataclass(frozen=True)
class Bound(Generic[M]):
    """response: the model. ads: int32 [K], the ads of its columns."""

    response: M
    ads: np.ndarray

    @property
    def name(self) -> str:
        """The model's name."""
        return self.response.name

    @property
    def version(self) -> str:
        """The model's version."""
        return self.response.version

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the F columns, in order."""
        return self.response.fields

    @property
    def examination(self) -> np.ndarray:
        """float64 [S]: how much a slot is looked at against the first."""
        return self.response.examination
