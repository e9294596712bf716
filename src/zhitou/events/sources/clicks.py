"""Public click logs of millions of rows, read as a stream: Criteo's Display Advertising Challenge and Avazu.

R = rows of a part, F = numeric columns, C = categorical columns. A file never stands in memory: parts of some hundred
thousand rows come one after the other, in the file's order, which is time's. A row that is not in the documented
format is set aside under one reason and counted; a file in which such rows are many is refused as another file.

Criteo, `train.txt`: no header, tabs, 1 label (0 or 1), 13 whole numbers, 26 categories of 8 hexadecimal digits, and
an empty field where a value is missing. Seven days in time's order, no clock. Clicks and non-clicks were thinned at
different rates that are not told, so its click rate is nobody's. Avazu, `train.csv`: a header, commas, id, click,
hour (YYMMDDHH, ten days of October 2014), then 21 categories, written as whole numbers or as hexadecimal digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from zhitou.core.errors import NotFoundError, SourceError
from zhitou.events.sources.raw import need

MISSING = np.iinfo(np.int64).min  # a category that is not given; -1 is a value of Avazu's C20
BLOCK_BYTES = 1 << 22  # Arrow reads up to 32 blocks ahead: 128 MiB
_REFUSED_MOST = 0.01  # share of rows set aside above which it is another file
_JUDGED_FROM = 1_000  # rows from which on that share is held against a file while it is still being read
_EXAMPLES = 3

WRONG_WIDTH = "wrong number of columns"
BAD_LABEL = "label is neither 0 nor 1"
BAD_NUMBER = "numeric field is no whole number"
BAD_CATEGORY = "category is neither a whole number nor hexadecimal"
BAD_HOUR = "hour is not YYMMDDHH"


@dataclass(frozen=True)
class ClickFormat:
    """How a click log is written. known_rows: of the whole published file, without the header.

    columns: in the file's order. A column is the `label`, the `hour` (None: only the order of rows tells of time),
    `numeric`, a category written in `hexadecimal` digits or `coded` as a whole number, or is not read further.
    """

    name: str
    where: str
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    label: str
    hour: str | None
    numeric: tuple[str, ...]
    hexadecimal: frozenset[str]
    coded: frozenset[str]
    known_rows: int

    @property
    def categorical(self) -> tuple[str, ...]:
        """The C categories, in the file's order."""
        return tuple(c for c in self.columns if c in self.hexadecimal or c in self.coded)


_CRITEO_NUMBERS = tuple(f"I{n}" for n in range(1, 14))
_CRITEO_CATEGORIES = tuple(f"C{n}" for n in range(1, 27))
_AVAZU_PLACES = ("site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category")
_AVAZU_HEX = (*_AVAZU_PLACES, "device_id", "device_ip", "device_model")
_AVAZU_CODED = ("C1", "banner_pos", "device_type", "device_conn_type", *(f"C{n}" for n in range(14, 22)))

FORMATS = {
    "criteo": ClickFormat(
        name="criteo",
        where="https://www.kaggle.com/c/criteo-display-ad-challenge (dac.tar.gz, its train.txt)",
        delimiter="\t",
        header=False,
        columns=("label", *_CRITEO_NUMBERS, *_CRITEO_CATEGORIES),
        label="label",
        hour=None,
        numeric=_CRITEO_NUMBERS,
        hexadecimal=frozenset(_CRITEO_CATEGORIES),
        coded=frozenset(),
        known_rows=45_840_617,
    ),
    "avazu": ClickFormat(
        name="avazu",
        where="https://www.kaggle.com/c/avazu-ctr-prediction (train.gz)",
        delimiter=",",
        header=True,
        columns=("id", "click", "hour", *_AVAZU_CODED[:2], *_AVAZU_HEX, *_AVAZU_CODED[2:]),
        label="click",
        hour="hour",
        numeric=(),
        hexadecimal=frozenset(_AVAZU_HEX),
        coded=frozenset(_AVAZU_CODED),
        known_rows=40_428_967,
    ),
}


@dataclass(frozen=True)
class ClickPart:
    """R rows of a log, in time's order.

    clicked: bool [R]. time: int64 [R], the hour as Unix seconds, or the row's number among the well-formed ones (from
    0) where only the order is known. numeric: float32 [R, F], NaN = missing. categorical: int64 [R, C], the number
    that was written (hexadecimal ones read as such), MISSING = missing.
    """

    clicked: np.ndarray
    time: np.ndarray
    numeric: np.ndarray
    categorical: np.ndarray

    def __len__(self) -> int:
        return len(self.clicked)

    def select(self, rows: np.ndarray) -> ClickPart:
        """These rows (int numbers, bool [R] or a slice), in that order."""
        return ClickPart(self.clicked[rows], self.time[rows], self.numeric[rows], self.categorical[rows])

    @classmethod
    def concat(cls, parts: list[ClickPart]) -> ClickPart:
        """All rows of the parts, one after the other."""
        assert parts, "something is concatenated"
        names = ("clicked", "time", "numeric", "categorical")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass
class SetAside:
    """What was not in the format: reason -> number of rows, and the beginnings of a few of them."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    kept: int = 0

    @property
    def rows(self) -> int:
        """How many rows were set aside."""
        return sum(self.counts.values())

    def add(self, reason: str, count: int, examples: list[str]) -> None:
        """Count these rows under the reason."""
        if not count:
            return
        self.counts[reason] = self.counts.get(reason, 0) + count
        kept = self.examples.setdefault(reason, [])
        kept.extend(text[:80] for text in examples[: _EXAMPLES - len(kept)])

    def __str__(self) -> str:
        """Like "12 of 10,000 refused: 12 label is neither 0 nor 1"."""
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.counts.items())) or "none"
        return f"{self.rows:,} of {self.kept + self.rows:,} refused: {why}"


def click_format(name: str) -> ClickFormat:
    """The format of this name. Refused: an unknown one (NotFoundError)."""
    if name not in FORMATS:
        raise NotFoundError(f"no click log is called {name!r}; known are {', '.join(sorted(FORMATS))}")
    return FORMATS[name]


def read_clicks(
    path: Path, form: ClickFormat, aside: SetAside | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[ClickPart]:
    """The rows of the file, plain or .gz, a part at a time; `aside` collects what was refused.

    A part has the rows of about `block_bytes`, and at most some 32 such blocks are in memory. Refused (SourceError):
    no file, a header that is another one, more than 1 % of rows not in the format, no row, hours that run backwards.
    """
    aside = SetAside() if aside is None else aside
    need(path, f"the click log {form.name}", form.where)
    _refuse_other_header(path, form)
    latest: int | None = None
    for batch in _batches(path, form, aside, block_bytes):
        part = _part(batch, form, aside, aside.kept)
        aside.kept += len(part)
        _refuse_many(path, form, aside, least=_JUDGED_FROM)
        if not len(part):
            continue
        if form.hour and (part.time[0] < (latest or 0) or (np.diff(part.time) < 0).any()):
            raise SourceError(f"expected {path} in time's order, its hours run backwards; sort it by {form.hour}")
        latest = int(part.time[-1])
        yield part
    if not aside.kept and not aside.rows:
        raise SourceError(f"expected rows of {form.name} in {path}, it is empty; get it from {form.where}")
    _refuse_many(path, form, aside, least=0)


def fingerprint(path: Path) -> tuple[str, int]:
    """(SHA-256 of the file's bytes, its size), so that a figure says of which bytes it is."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _refuse_other_header(path: Path, form: ClickFormat) -> None:
    with pa.input_stream(str(path), compression="detect", buffer_size=1 << 16) as stream:
        first = bytes(stream.read(1 << 14)).partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "replace")
    names = tuple(first.split(form.delimiter))
    if form.header and names != form.columns:
        raise SourceError(
            f"expected {path} to begin with the header of {form.name} ({', '.join(form.columns[:4])}, ...), "
            f"got {first[:60]!r}; get it from {form.where}"
        )


def _refuse_many(path: Path, form: ClickFormat, aside: SetAside, least: int) -> None:
    rows = aside.kept + aside.rows
    if rows >= least and aside.rows > _REFUSED_MOST * rows:
        example = next(iter(aside.examples.values()))[0]
        raise SourceError(
            f"expected {path} in the format of {form.name}, {aside}, such as {example!r}; get it from {form.where}"
        )


def _batches(path: Path, form: ClickFormat, aside: SetAside, block_bytes: int) -> Iterator[pa.RecordBatch]:
    """The file's fields as bytes. Rows of another width never get this far: they are counted here."""

    def refuse(row: csv.InvalidRow) -> str:
        aside.add(WRONG_WIDTH, 1, [row.text])
        return "skip"

    # Everything is read as bytes: a bad value then costs one row and never the file.
    reading = csv.ReadOptions(
        use_threads=False,
        block_size=block_bytes,
        column_names=list(form.columns),
        skip_rows=1 if form.header else 0,
    )
    parsing = csv.ParseOptions(delimiter=form.delimiter, quote_char=False, invalid_row_handler=refuse)
    casting = csv.ConvertOptions(
        column_types={name: pa.binary() for name in form.columns}, strings_can_be_null=False, check_utf8=False
    )
    with pa.input_stream(str(path), compression="detect") as stream:
        try:
            yield from csv.open_csv(stream, read_options=reading, parse_options=parsing, convert_options=casting)
        except pa.ArrowInvalid as error:
            if "Empty CSV file" not in str(error):
                raise SourceError(f"cannot read {path}: {error}; get it from {form.where}") from error


def _part(batch: pa.RecordBatch, form: ClickFormat, aside: SetAside, before: int) -> ClickPart:
    """The well-formed rows of a batch. A row refused for two reasons counts under the first."""
    rows = batch.num_rows
    good = np.ones(rows, dtype=bool)

    def judge(right: np.ndarray, reason: str, column: str) -> None:
        bad = np.flatnonzero(good & ~right)
        words = [f"{column}={batch[column][int(at)].as_py().decode('utf-8', 'replace')}" for at in bad[:_EXAMPLES]]
        aside.add(reason, len(bad), words)
        good[bad] = False

    label, right = _whole_numbers(batch[form.label])
    judge(right & ((label == 0) | (label == 1)), BAD_LABEL, form.label)
    time = np.zeros(rows, dtype=np.int64)
    if form.hour:
        time, right = _hours(batch[form.hour])
        judge(right, BAD_HOUR, form.hour)
    numeric = np.empty((rows, len(form.numeric)), dtype=np.float32)
    for at, name in enumerate(form.numeric):
        value, right = _whole_numbers(batch[name])
        empty = _sizes(batch[name]) == 0
        judge(right | empty, BAD_NUMBER, name)
        numeric[:, at] = np.where(empty, np.nan, value)
    categorical = np.empty((rows, len(form.categorical)), dtype=np.int64)
    for at, name in enumerate(form.categorical):
        value, right = _hexadecimal(batch[name]) if name in form.hexadecimal else _whole_numbers(batch[name])
        empty = _sizes(batch[name]) == 0
        judge(right | empty, BAD_CATEGORY, name)
        categorical[:, at] = np.where(empty, MISSING, value)
    part = ClickPart(label == 1, time, numeric, categorical).select(good)
    if form.hour is None:
        part = ClickPart(part.clicked, before + np.arange(len(part)), part.numeric, part.categorical)
    return part


def _sizes(column: pa.Array) -> np.ndarray:
    return np.asarray(pc.binary_length(column), dtype=np.int64)


def _whole_numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [R], 0 where it is none; bool [R] whether it is one of at most 18 digits)."""
    right = pc.match_substring_regex(column, "^-?[0-9]{1,18}$")
    plain = pc.if_else(right, column, pa.scalar(b"0", pa.binary()))
    return np.asarray(pc.cast(pc.cast(plain, pa.string()), pa.int64())), np.asarray(right)


_DIGIT = np.full(256, -1, dtype=np.int64)
for _value, _both in enumerate("0123456789abcdef"):
    _DIGIT[[ord(_both), ord(_both.upper())]] = _value


def _hexadecimal(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(int64 [R], bool [R] whether it is 1 to 15 hexadecimal digits). Fifteen fit an int64 and leave MISSING out."""
    sizes = _sizes(column)
    _, offsets, data = column.buffers()
    starts = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column)].astype(np.int64)
    letters = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    value, right = np.zeros(len(column), dtype=np.int64), (sizes > 0) & (sizes <= 15)
    for place in range(int(sizes[right].max(initial=0))):
        here = right & (place < sizes)
        digit = _DIGIT[letters[np.where(here, starts + place, 0)]]
        value = np.where(here, value * 16 + np.maximum(digit, 0), value)
        right &= ~here | (digit >= 0)
    return value, right


def _hours(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(Unix seconds int64 [R], bool [R] whether it is an hour) of YYMMDDHH, read as UTC of this century."""
    right = np.asarray(pc.match_substring_regex(column, "^[0-9]{8}$"))
    number = _whole_numbers(column)[0]
    distinct, of = np.unique(np.where(right, number, 0), return_inverse=True)
    seconds = np.array([_hour_s(int(one)) for one in distinct], dtype=np.int64)
    return seconds[of], right & (seconds[of] >= 0)


def _hour_s(number: int) -> int:
    """Unix seconds of YYMMDDHH, -1 if the calendar has no such hour."""
    year, month, day, hour = 2000 + number // 10**6, number // 10**4 % 100, number // 100 % 100, number % 100
    try:
        at = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}", "s")
    except ValueError:
        return -1
    return int(at.astype(np.int64))
