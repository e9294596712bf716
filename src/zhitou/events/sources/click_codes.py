"""From a click log to arrays that a model learns from: rows split by time, categories as small whole numbers.

R = rows, F = numeric columns, C = categorical columns, B = buckets. Three passes over a file (measure, learn codes,
write), and no more memory than one part and C · B counts: arrays are written and read as memory maps.

The folder that `write_arrays` leaves is what every model of bench/response_public.py reads:

    about.json                    names, cardinalities, rows, splits, what was refused
    train/ valid/ test/           numeric.npy float32 [R, F], NaN = missing; categorical.npy int32 [R, C];
                                  label.npy uint8 [R]; time.npy int64 [R]
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.core.errors import ConfigError, SourceError
from zhitou.events.sources.clicks import MISSING, ClickFormat, ClickPart, SetAside, read_clicks

SPLITS = ("train", "valid", "test")
CODE_MISSING, CODE_RARE = 0, 1  # what is not given; what was seen too rarely in the training rows, or never


@dataclass(frozen=True)
class ClickCodes:
    """Category -> code, one table per column, learnt on training rows alone.

    table: int32 [C, B]; bucket_of(value) of each column gives its row's place. A bucket seen fewer than `least`
    times is CODE_RARE. Two values that share a bucket share a code: the price of bounded memory; with B of 2^18 and
    100,000 kept values a third of them do, so take more buckets for more values.
    """

    table: np.ndarray
    least: int

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many codes each column has, missing and rare among them."""
        return tuple(int(n) for n in self.table.max(1) + 1)

    def __call__(self, categorical: np.ndarray) -> np.ndarray:
        """int32 [R, C] of values int64 [R, C]."""
        buckets = bucket_of(categorical, self.table.shape[1])
        codes: np.ndarray = np.take_along_axis(self.table, buckets.T, axis=1).T
        codes[categorical == MISSING] = CODE_MISSING
        return codes

    @classmethod
    def learn(cls, parts: Iterator[ClickPart], columns: int, least: int = 10, buckets: int = 1 << 18) -> ClickCodes:
        """From training rows. Codes follow the bucket, never the label. Refused (ConfigError): least below 1."""
        if least < 1 or buckets < 2:
            raise ConfigError(f"expected least >= 1 and buckets >= 2, got {least} and {buckets}")
        seen = np.zeros((columns, buckets), dtype=np.int64)
        for part in parts:
            place = bucket_of(part.categorical, buckets)
            for column in range(columns):
                known = part.categorical[:, column] != MISSING
                seen[column] += np.bincount(place[known, column], minlength=buckets)
        kept = seen >= least
        return cls(np.where(kept, kept.cumsum(1) + CODE_RARE, CODE_RARE).astype(np.int32), least)


def bucket_of(values: np.ndarray, buckets: int) -> np.ndarray:
    """int64 [R, C]: where each value falls, by splitmix64 (Steele, Lea, Flood) of value and column."""
    column = np.arange(values.shape[1], dtype=np.uint64) + np.uint64(1)
    x: np.ndarray = values.astype(np.int64).view(np.uint64) + column * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> np.uint64(31))) % np.uint64(buckets)
    return x.astype(np.int64)


@dataclass(frozen=True)
class TimeCuts:
    """Rows before `valid` teach, from there to `test` choose, from `test` on judge; in units of ClickPart.time."""

    valid: int
    test: int

    def split(self, part: ClickPart) -> dict[str, ClickPart]:
        """The rows of each of SPLITS."""
        early, late = part.time < self.valid, part.time >= self.test
        return {"train": part.select(early), "valid": part.select(~early & ~late), "test": part.select(late)}


def time_cuts(times: np.ndarray, counts: np.ndarray, shares: tuple[float, float] = (0.7, 0.85)) -> TimeCuts:
    """The first times before which at least these shares of all rows lie. Rows of one time are never parted.

    times: int64 [T], rising and distinct; counts: int64 [T], rows of each. Refused (SourceError): too few times for
    three parts that all have rows.
    """
    before = np.concatenate([[0], np.cumsum(counts)])[:-1]
    total = int(counts.sum())
    valid, test = (int(np.searchsorted(before, share * total)) for share in shares)
    if not 0 < valid < test < len(times):
        raise SourceError(
            f"expected rows of several times to teach, choose and judge, got {total:,} rows of {len(times)} times; "
            "read more of the file"
        )
    return TimeCuts(int(times[valid]), int(times[test]))


def write_arrays(
    path: Path,
    form: ClickFormat,
    folder: Path,
    rows: int | None = None,
    least: int = 10,
    buckets: int = 1 << 18,
) -> dict[str, Any]:
    """The folder above, of the whole file, or of about `rows` rows spread evenly over it; returns about.json.

    Spread, because the first rows of a log are one night and say nothing of the week. Refused as in read_clicks and
    time_cuts.
    """
    aside = SetAside()
    total, cuts = _measure(read_clicks(path, form, aside), form)

    def parts() -> Iterator[dict[str, ClickPart]]:
        return (cuts.split(part) for part in spread(read_clicks(path, form), total, rows or total))

    sizes = dict.fromkeys(SPLITS, 0)

    def training() -> Iterator[ClickPart]:
        for split in parts():
            for name, part in split.items():
                sizes[name] += len(part)
            yield split["train"]

    codes = ClickCodes.learn(training(), len(form.categorical), least, buckets)
    if not all(sizes.values()):
        raise SourceError(f"expected rows to teach, choose and judge, got {sizes}; read more of {path}")
    _write(parts(), sizes, codes, folder)
    about = {
        "data": form.name,
        "numeric": list(form.numeric),
        "categorical": list(form.categorical),
        "cardinalities": list(codes.cardinalities),
        "history": None,
        "rows_in_file": total,
        "rows_published": form.known_rows,
        "refused": aside.counts,
        "split": {"by": form.hour or "order", "valid_from": cuts.valid, "test_from": cuts.test},
        "rows": sizes,
        "least": least,
        "buckets": buckets,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def spread(parts: Iterator[ClickPart], total: int, wanted: int) -> Iterator[ClickPart]:
    """About every (total / wanted)-th row of parts that hold `total` in all: exactly `wanted`, or all if fewer."""
    wanted, before = min(wanted, total), 0
    for part in parts:
        marks = (before + np.arange(len(part) + 1)) * wanted // total
        yield part.select(np.diff(marks) > 0)
        before += len(part)


def _measure(parts: Iterator[ClickPart], form: ClickFormat) -> tuple[int, TimeCuts]:
    """How many rows there are, and where they are cut."""
    found: dict[int, int] = {}
    total = 0
    for part in parts:
        total += len(part)
        if form.hour is not None:
            for time, count in zip(*np.unique(part.time, return_counts=True), strict=True):
                found[int(time)] = found.get(int(time), 0) + int(count)
    if form.hour is not None:
        return total, time_cuts(np.array(list(found)), np.array(list(found.values())))
    # every row is a time of its own, its number: a hundred times stand for them all
    steps = np.unique(np.linspace(0, total, 101, dtype=np.int64))
    return total, time_cuts(steps[:-1], np.diff(steps))


def _write(parts: Iterator[dict[str, ClickPart]], sizes: dict[str, int], codes: ClickCodes, folder: Path) -> None:
    open_arrays: dict[str, dict[str, np.ndarray]] = {}
    at = dict.fromkeys(SPLITS, 0)
    for split in parts:
        for name, part in split.items():
            arrays = {
                "numeric": part.numeric,
                "categorical": codes(part.categorical),
                "label": part.clicked.astype(np.uint8),
                "time": part.time,
            }
            if name not in open_arrays:
                open_arrays[name] = {key: _created(folder / name, key, sizes[name], a) for key, a in arrays.items()}
            for key, values in arrays.items():
                open_arrays[name][key][at[name] : at[name] + len(part)] = values
            at[name] += len(part)


def _created(folder: Path, name: str, rows: int, like: np.ndarray) -> np.ndarray:
    folder.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", like.dtype, (rows, *like.shape[1:]))
