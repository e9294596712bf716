"""The seams: what decisions need from models, stores and the world. Plain arrays in, plain arrays out.

B = requests, K = ads, N = subjects, M = items, D = width of an interest vector, F = fields of the response model.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from zhitou.events.histories import Histories
from zhitou.events.schema import Event


@runtime_checkable
class InterestModel(Protocol):
    """interest = f(behaviour). Implemented by the decoder and by every baseline."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def scores(self, histories: Histories, items: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, len(items)] (all M if None): log-scale score of each item being next; higher is better."""
        ...

    def vectors(self, histories: Histories) -> np.ndarray:
        """float32 [N, D]: interest vectors; a subject without history gets the model's prior vector."""
        ...


@runtime_checkable
class ResponseModel(Protocol):
    """Calibrated probabilities of a click, and of a conversion given a click, in the first slot."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def version(self) -> str:
        """A name that changes with every number the predictions depend on."""
        ...

    def predict(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), each float64 [...], for fields float32 [..., F]; columns as in the model's `fields`."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the F columns, in order."""
        ...

    @property
    def examination(self) -> np.ndarray:
        """float64 [slots]: how much a slot is looked at against the first; examination[0] == 1."""
        ...


@runtime_checkable
class PlacedResponse(ResponseModel, Protocol):
    """A response model that knows of a request where its ads would stand, and nothing else: its channel and slots.

    A desk asks any other model for `examination` alone and takes all channels as one.
    """

    @property
    def calibration(self) -> str:
        """By what places differ, as receipts name it ("channel and slot"); "none" where all are alike."""
        ...

    def in_place(self, pctr: np.ndarray, channel: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """float64, of the arguments' common shape: the chance of a click there, for pctr as `predict` gives it.

        channel: int, place in campaign.CHANNELS, -1 = not told; slot: int, 0 = the first. One channel and slot
        never turn the order of two ads round.
        """
        ...


class CreativeSource(Protocol):
    """Reviewed creatives by ad and size."""

    def creative_id(self, ad_id: str, size: tuple[int, int]) -> str | None:
        """The id of an approved creative of this ad, None if there is none (then the ad may not be shown)."""
        ...

    def content(self, creative_id: str, kind: str) -> tuple[bytes, str]:
        """(bytes, media type) of kind "png" or "html". Refused: unknown ids (NotFoundError)."""
        ...


class Ledger(Protocol):
    """The campaigns' money in integer micros. Never spends more than a flight's total or daily budget."""

    def remaining_micros(self, at_us: int) -> np.ndarray:
        """int64 [C]: what each campaign may still spend at this time (min of total and today's, less holds)."""
        ...

    def hold(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """bool [n]: whether each amount was set aside under its key, first come first served; False = no money."""
        ...

    def charge(self, keys: list[str], campaigns: np.ndarray, amounts: np.ndarray, at_us: int) -> np.ndarray:
        """int64 [n]: what was charged for each key: the amount, clipped to what remains. A key is charged once."""
        ...

    def spent_micros(self) -> np.ndarray:
        """int64 [C]: what each campaign has paid so far."""
        ...

    def release(self, keys: list[str], at_us: int) -> None:
        """Give holds back that no click used."""
        ...


class Store(Protocol):
    """Where events and decisions are kept. Adding the same event twice changes nothing."""

    def add_events(self, events: list[Event]) -> int:
        """How many of these were new; all of them are on disk when this returns."""
        ...

    def events(self, tenant: str, subject: str | None = None) -> list[Event]:
        """Events in order of (occurred_us, event_id)."""
        ...

    def known_events(self, tenant: str, event_ids: list[str]) -> set[str]:
        """Those of these ids that are kept already."""
        ...

    def add_decisions(self, decisions: list[tuple[str, bytes]]) -> None:
        """Keep (decision id, receipt as canonical JSON)."""
        ...

    def decision(self, decision_id: str) -> bytes | None:
        """The receipt, None if unknown."""
        ...
