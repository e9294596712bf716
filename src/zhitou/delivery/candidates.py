"""What is known about each (request, ad) pair at decision time: the columns the response model reads.

B = requests, K = ads, F = fields. The same columns are logged with each shown ad and trained on later, so that
training and serving cannot differ.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np

from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.features.online import OnlineFeatures
from zhitou.strategy.ports import InterestModel, PlacedResponse, ResponseModel

INTEREST_FIELDS = ("interest_score", "interest_lift", "interest_rank")
CONTEXT_FIELDS = ("hour_sin", "hour_cos", "weekend")


class InterestBoard:
    """The interest model's view of every shopper on every ad, kept until the shopper does something new.

    Columns per pair: the score (log scale), its lift over the shopper-free prior, and its rank among the ads
    (0 lowest .. 1 highest). A row that was never set, and row -1, hold the prior: what a stranger gets.
    """

    def __init__(self, model: InterestModel, ad_items: np.ndarray) -> None:
        self._ad_items = np.asarray(ad_items, dtype=np.int32)
        self._board = np.zeros((0, len(self._ad_items), len(INTEREST_FIELDS)), dtype=np.float32)
        self._set = np.zeros(0, dtype=bool)
        self.model = model
        self.swap(model)

    def swap(self, model: InterestModel) -> None:
        """Use another model from now on; every shopper is the prior again until set anew."""
        self.model = model
        self._prior = model.scores(_nobody(), self._ad_items)[0]
        self._stranger = self._columns(self._prior[None, :])[0]
        self._set[:] = False

    def set(self, rows: np.ndarray, histories: Histories) -> None:
        """Score these shoppers (int [N] rows, in the order of `histories`) anew."""
        if len(rows) == 0:
            return
        self.put(rows, self.model.scores(histories, self._ad_items))

    def put(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """Take scores (float32 [N, K]) that the model made earlier, so that many worlds share one computation."""
        self._grow(int(np.max(rows)) + 1)
        self._board[rows] = self._columns(scores)
        self._set[rows] = True

    def fork(self) -> InterestBoard:
        """The same board, on its own from here; the model is shared."""
        twin = copy.copy(self)
        twin._board, twin._set = self._board.copy(), self._set.copy()
        return twin

    def forget(self, row: int) -> None:
        """Make this shopper a stranger."""
        if 0 <= row < len(self._set):
            self._set[row] = False

    def value(self, rows: np.ndarray) -> np.ndarray:
        """float32 [B, K, 3] for these rows."""
        safe = np.where((rows >= 0) & (rows < len(self._set)), rows, 0)
        known = (rows >= 0) & (rows < len(self._set))
        if len(self._set):
            known &= self._set[safe]
            found = self._board[safe]
        else:
            found = np.zeros((len(rows), *self._stranger.shape), dtype=np.float32)
        return np.where(known[:, None, None], found, self._stranger[None])

    def _columns(self, scores: np.ndarray) -> np.ndarray:
        rank = np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")
        rank = rank / max(1, scores.shape[1] - 1)
        return np.stack([scores, scores - self._prior, rank], axis=2).astype(np.float32)

    def _grow(self, size: int) -> None:
        if size <= len(self._set):
            return
        capacity = max(size, 2 * len(self._set), 64)
        board = np.zeros((capacity, *self._board.shape[1:]), dtype=np.float32)
        board[: len(self._board)] = self._board
        known = np.zeros(capacity, dtype=bool)
        known[: len(self._set)] = self._set
        self._board, self._set = board, known


def context(time_s: np.ndarray) -> np.ndarray:
    """float32 [B, 3]: hour of day on a circle, and whether it is Saturday or Sunday (UTC)."""
    angle = 2 * np.pi * (time_s % SECONDS_PER_DAY) / SECONDS_PER_DAY
    weekday = (time_s // SECONDS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday
    return np.stack([np.sin(angle), np.cos(angle), weekday >= 5], axis=1).astype(np.float32)


def placed(model: ResponseModel | None) -> PlacedResponse | None:
    """The model as one that knows places, None where it does not.

    By what sets such a model apart: isinstance with a port looks up each of its members, three times a decision.
    """
    return cast(PlacedResponse, model) if hasattr(model, "in_place") and hasattr(model, "calibration") else None


def in_place(model: ResponseModel, pctr: np.ndarray, channel: np.ndarray, slot: np.ndarray) -> np.ndarray:
    """float64, of the arguments' common shape: the chance of a click in these slots of these channels, int each, for
    pctr as the model gives it for the first slot of any channel."""
    if (knowing := placed(model)) is not None:
        return knowing.in_place(pctr, channel, slot)
    return np.asarray(pctr * model.examination[np.minimum(slot, len(model.examination) - 1)])


FIRST = np.zeros(1, dtype=np.int64)  # the slot that auctions compare ads in


class Candidates:
    """Builds the fields [B, K, F] from features, interest and context, in one fixed order of columns."""

    def __init__(self, features: OnlineFeatures, board: InterestBoard) -> None:
        self.features, self.board = features, board
        self.names = (*features.names, *INTEREST_FIELDS, *CONTEXT_FIELDS)

    def fork(self) -> Candidates:
        """The same knowledge, on its own from here."""
        return Candidates(self.features.fork(), self.board.fork())

    def fields(self, rows: np.ndarray, time_s: np.ndarray) -> np.ndarray:
        """float32 [B, K, F]; row -1 is a stranger, about whom only the ad and the hour are known."""
        features = self.features.value(rows, time_s)
        moment = np.broadcast_to(context(time_s)[:, None, :], (*features.shape[:2], len(CONTEXT_FIELDS)))
        return np.concatenate([features, self.board.value(rows), moment], axis=2, dtype=np.float32)


def _nobody() -> Histories:
    """One subject without any history."""
    empty = np.zeros(0, dtype=np.int64)
    return Histories(
        subjects=np.asarray([""], dtype=object),
        offsets=np.zeros(2, dtype=np.int64),
        item=empty.astype(np.int32),
        action=empty.astype(np.int8),
        time_s=empty,
        step=empty.astype(np.int32),
        price_micros=empty,
        quantity=empty,
    )
