"""What the deep model reads beside the fields: categories, what the shopper did before, an interest vector.

Ads and requests are told once each, not once a row. A = ads, N = requests, R = rows, C, Q = categories of an ad and
of a request, L = length of a history, D = width of an interest vector, M = shoppers with a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from zhitou.core.errors import SchemaError

UNKNOWN = -1
SHARED = 0  # the code that rare and unknown values share
AGE_DAYS = (0.04, 1.0, 3.0, 7.0, 14.0, 28.0, 56.0, 112.0, 224.0)  # edges between the ages of acts


@dataclass(frozen=True)
class AdSide:
    """A ads. names: of the C categories; codes: int64 [A, C], any numbers of 0 or more, UNKNOWN.

    target: int32 [A], what the ad is of, in the numbers that histories list (an item or its type); 0 = nothing.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    target: np.ndarray

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.shape[1] != len(self.names) or len(self.target) != len(self.codes):
            shapes = self.codes.shape, self.target.shape
            raise SchemaError(f"expected codes [A, {len(self.names)}] and target [A] of ads, got {shapes}")

    @classmethod
    def numbers(cls, ads: int) -> AdSide:
        """Ads of which only their number is known."""
        return cls(("ad",), np.arange(ads, dtype=np.int64)[:, None], np.zeros(ads, dtype=np.int32))

    def of(self, ad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(codes [R, C], target [R]) of ads int [R]; UNKNOWN and 0 for a number that is none of these ads."""
        known = (ad >= 0) & (ad < len(self.codes))
        at = np.where(known, ad, 0)
        if not len(self.codes):
            return np.full((len(ad), len(self.names)), UNKNOWN, dtype=np.int64), np.zeros(len(ad), dtype=np.int32)
        return np.where(known[:, None], self.codes[at], UNKNOWN), np.where(known, self.target[at], 0)


@dataclass(frozen=True)
class RequestSide:
    """N requests, as each stood when it was answered: whoever fills this must read nothing later.

    names, codes: int64 [N, Q], as of ads (hour, weekday, device ...). history: int32 [N, L], what the shopper did
    before, 0 = nothing; age_days: float32 [N, L], how long ago. shopper: int32 [N], row of `interest` float32
    [M, D], -1 = unknown. channel: int16 [N] or None, by which calibration is grouped above slots.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    history: np.ndarray
    age_days: np.ndarray
    shopper: np.ndarray
    interest: np.ndarray
    channel: np.ndarray | None = None

    def __post_init__(self) -> None:
        N = len(self.codes)
        lengths = {len(self.history), len(self.age_days), len(self.shopper)}
        lengths |= set() if self.channel is None else {len(self.channel)}
        if self.codes.ndim != 2 or self.codes.shape[1] != len(self.names) or lengths != {N}:
            raise SchemaError(f"expected codes [N, {len(self.names)}] and N = {N} of all else, got {sorted(lengths)}")
        if self.history.shape != self.age_days.shape or self.interest.ndim != 2:
            raise SchemaError(
                f"expected history and age_days of one shape and interest [M, D], got {self.history.shape}, "
                f"{self.age_days.shape} and {self.interest.shape}"
            )
        if len(self.shopper) and int(self.shopper.max()) >= len(self.interest):
            raise SchemaError(f"shopper {self.shopper.max()} has no row among {len(self.interest):,} of interest")

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def nothing(cls, count: int, like: RequestSide | None = None) -> RequestSide:
        """Requests of which nothing is known, of as many columns as `like`."""
        names = () if like is None else like.names
        length, width = (1, 0) if like is None else (like.history.shape[1], like.interest.shape[1])
        return cls(
            names=names,
            codes=np.full((count, len(names)), UNKNOWN, dtype=np.int64),
            history=np.zeros((count, length), dtype=np.int32),
            age_days=np.zeros((count, length), dtype=np.float32),
            shopper=np.full(count, UNKNOWN, dtype=np.int32),
            interest=np.zeros((0, width), dtype=np.float32),
        )

    def select(self, requests: np.ndarray) -> RequestSide:
        """These requests (int [n]); the vectors stay."""
        channel = None if self.channel is None else self.channel[requests]
        kept = {name: getattr(self, name)[requests] for name in ("codes", "history", "age_days", "shopper")}
        return replace(self, channel=channel, **kept)

    def vectors(self, requests: np.ndarray) -> np.ndarray:
        """float32 [n, D]: the interest vector of each of these requests, zeros where the shopper is unknown."""
        who = self.shopper[requests]
        out = np.zeros((len(who), self.interest.shape[1]), dtype=np.float32)
        out[who >= 0] = self.interest[who[who >= 0]]
        return out

    @property
    def ages(self) -> np.ndarray:
        """int32 [N, L]: which span of AGE_DAYS each act falls in."""
        return np.searchsorted(np.asarray(AGE_DAYS, dtype=np.float32), self.age_days, side="right").astype(np.int32)


@dataclass(frozen=True)
class Side:
    """Both sides, and which request each row answers: int32 [R]."""

    ads: AdSide
    requests: RequestSide
    request: np.ndarray

    @classmethod
    def nothing(cls, ad: np.ndarray) -> Side:
        """For rows (int [R] ads) of which nothing is known beside their fields and the ad's number."""
        return cls(
            AdSide.numbers(int(ad.max(initial=-1)) + 1), RequestSide.nothing(1), np.zeros(len(ad), dtype=np.int32)
        )

    def select(self, rows: np.ndarray) -> Side:
        """These rows (int numbers or bool [R])."""
        return replace(self, request=self.request[rows])


@dataclass(frozen=True)
class Codes:
    """Values of categories -> rows of one table. kept: for each category the values with a row of their own, rising.

    Each category's part of the table starts with the row that its rare and unknown values share.
    """

    names: tuple[str, ...]
    kept: tuple[np.ndarray, ...] = field(default=())

    @classmethod
    def learn(cls, names: tuple[str, ...], values: np.ndarray, rows_least: int, codes_most: int) -> Codes:
        """From training rows, int64 [R, C]. Labels play no part."""
        kept = []
        for column in values.T:
            value, rows = np.unique(column[column >= 0], return_counts=True)
            value, rows = value[rows >= rows_least], rows[rows >= rows_least]
            kept.append(np.sort(value[np.argsort(-rows, kind="stable")[:codes_most]]))
        return cls(names, tuple(kept))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each category's part of the table."""
        return tuple(len(values) + 1 for values in self.kept)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """int32 [R, C]: row of the table for each value of int64 [R, C]."""
        out = np.empty(values.shape, dtype=np.int32)
        start = 0
        for c, kept in enumerate(self.kept):
            out[:, c] = start + SHARED
            if len(kept):
                at = np.minimum(np.searchsorted(kept, values[:, c]), len(kept) - 1)
                hit = kept[at] == values[:, c]
                out[hit, c] = start + 1 + at[hit]
            start += len(kept) + 1
        return out
