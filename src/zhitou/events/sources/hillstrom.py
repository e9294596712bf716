"""Hillstrom's e-mail trial: 64,000 customers of a shop, drawn into a men's mail, a women's mail or none.

The one complete randomised trial that anybody may look at. Altered copies with invented arms are in circulation, so
counts of arms and outcomes are checked.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zhitou.core.errors import SourceError
from zhitou.events.sources.raw import data_folder, need

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")  # place = arm; 0 is the control
_WHERE = "https://blog.minethatdata.com/2008/03/minethatdata-e-mail-analytics-and-data.html"
_NUMBERS = ("recency", "history", "mens", "womens", "newbie")
_WORDS = ("zip_code", "channel")
_KNOWN = {
    "customers": (21_306, 21_307, 21_387),
    "visits": (2_262, 3_894, 3_238),
    "buyers": (122, 267, 189),
    "cents spent": (1_390_833, 3_031_169, 2_303_811),
}


@dataclass(frozen=True)
class EmailTrial:
    """R customers. arm: int8 [R], place in ARMS. visited, bought: bool [R], in the two weeks after the mail.

    spent_micros: int64 [R], US dollars. known: float64 [R, F], what was known before, by `names`: months since the
    last order, a year's spending in dollars, what was bought, and marks for where they live and how they buy.
    """

    arm: np.ndarray
    visited: np.ndarray
    bought: np.ndarray
    spent_micros: np.ndarray
    known: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.arm)


def read_email_trial(folder: Path | None = None) -> EmailTrial:
    """The trial below `folder`, ZHITOU_DATA if None. Refused (SourceError): no file, other counts in any arm."""
    base = (folder or data_folder()) / "hillstrom"
    path = need(base / "hillstrom.csv.gz", "Hillstrom's e-mail trial", _WHERE)
    names, *rows = csv.reader(gzip.decompress(path.read_bytes()).decode("utf-8").splitlines())
    missing = {*_NUMBERS, *_WORDS, "segment", "visit", "conversion", "spend"} - set(names)
    if missing:
        raise SourceError(f"expected columns {', '.join(sorted(missing))} in {path}, got {', '.join(names)}")
    text = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    unknown = set(np.unique(text["segment"]).tolist()) - set(ARMS)
    if unknown:
        raise SourceError(f"expected the arms {', '.join(ARMS)} in {path}, got {', '.join(sorted(unknown))}")
    arm = np.select([text["segment"] == name for name in ARMS], range(len(ARMS))).astype(np.int8)
    cents = np.rint(text["spend"].astype(np.float64) * 100).astype(np.int64)
    visited, bought = text["visit"] == "1", text["conversion"] == "1"
    found = {
        name: tuple(int(x) for x in np.bincount(arm, weights, minlength=len(ARMS)))
        for name, weights in zip(_KNOWN, (np.ones(len(arm)), visited, bought, cents), strict=True)
    }
    if found != _KNOWN:
        raise SourceError(f"expected {_KNOWN} by arm, got {found}; the copy is altered: get the original")
    columns = {name: text[name].astype(np.float64) for name in _NUMBERS}
    for name in _WORDS:
        columns |= {f"{name}={word}": (text[name] == word) * 1.0 for word in np.unique(text[name])[1:].tolist()}
    return EmailTrial(
        arm=arm,
        visited=visited,
        bought=bought,
        spent_micros=cents * 10_000,
        known=np.stack(list(columns.values()), 1),
        names=tuple(columns),
    )
