"""Auctions of the iPinYou contest of 2013 as prepared for "Real-Time Bidding by Reinforcement Learning": what was
asked, what winning cost, whether it was clicked. No shopper, no item: not behaviour, but the price side of a market.

N = auctions. Prices are whole numbers of 0 to 300, as in the log (fen of CNY per thousand). No licence file came with
the data: to evaluate with, not to ship. Get it from github.com/han-cai/rlb-dp, gzip the logs and lay them so:

    ipinyou_2997/test.theta.txt.gz                            data/ipinyou-data/2997/test.theta.txt
    ipinyou_rlb/info/<campaign>.info.json                     data/ipinyou-data/<campaign>/info.json
    ipinyou_rlb/validation_1000/<campaign>.validation.txt.gz  data/1000/<campaign>.validation.txt
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zhitou.core.errors import SourceError
from zhitou.events.sources.raw import data_folder, need

CAMPAIGNS = (2261, 2821, 2997, 3358, 3386, 3427, 3476)  # those with a sample of their training log
WHERE = "github.com/han-cai/rlb-dp (see zhitou.events.sources.ipinyou for the places)"
PRICE_MOST = 300
SAMPLE_EPISODES = 100
_TEXT_MOST = 64 * 2**20  # bytes of a log once unpacked; the longest known has 6 MB
_INFO_MOST = 2**20


@dataclass(frozen=True)
class Auctions:
    """N auctions in the order they were held.

    clicked: int8 [N], 0 or 1. price: int64 [N], the least that won. pctr: float64 [N], what a logistic regression of
    the training log expected.
    """

    clicked: np.ndarray
    price: np.ndarray
    pctr: np.ndarray

    def __len__(self) -> int:
        return len(self.price)

    def part(self, start: int, stop: int) -> Auctions:
        """Auctions start..stop - 1."""
        return Auctions(self.clicked[start:stop], self.price[start:stop], self.pctr[start:stop])


@dataclass(frozen=True)
class Training:
    """What is known of a campaign's training log: impressions, clicks, cost, and its prices as int64 [301] counts."""

    impressions: int
    clicks: int
    cost: int
    price_counts: np.ndarray

    @property
    def price_mean(self) -> float:
        """Cost of an impression: what a budget of share c is a share of."""
        return self.cost / self.impressions

    @property
    def cost_per_click(self) -> float:
        """What a click cost whoever bought every impression."""
        return self.cost / self.clicks


def read_training(campaign: int, folder: Path | None = None) -> Training:
    """Refused (SourceError): no such file, other counts than its own histogram's."""
    info = _info(campaign, folder)
    listed = info.get("price_counter_train")
    whole = isinstance(listed, list) and all(type(count) is int and 0 <= count < 2**31 for count in listed)
    counts = np.asarray(listed if whole else [], dtype=np.int64)
    training = Training(_count(info, "imp_train"), _count(info, "clk_train"), _count(info, "cost_train"), counts)
    found = (len(counts), int(counts.sum()), int(counts @ np.arange(len(counts))))
    expected = (PRICE_MOST + 1, training.impressions, training.cost)
    if found != expected or not 0 < training.clicks <= training.impressions:
        raise SourceError(
            f"expected campaign {campaign}'s histogram to have (prices, impressions, cost) {expected}, got {found}; "
            f"the copy is altered: get it from {WHERE}"
        )
    return training


def read_test_log(folder: Path | None = None) -> Auctions:
    """The whole test log of campaign 2997: 156,063 auctions, checked against the counts of its info.json.

    Refused (SourceError): a missing or damaged file, a line that is not `click price pctr`, other counts.
    """
    path = (folder or data_folder()) / "ipinyou_2997" / "test.theta.txt.gz"
    rows = _rows(path, _text(path).split("\n"), " ")
    info = _info(2997, folder)
    found = (len(rows), int(rows.clicked.sum()), int(rows.price.sum()))
    expected = tuple(_count(info, f"{key}_test") for key in ("imp", "clk", "cost"))
    if found != expected:
        raise SourceError(
            f"expected {path} to have (auctions, clicks, cost) {expected}, got {found}; the copy is altered: get it "
            f"from {WHERE}"
        )
    return rows


def read_sample(campaign: int, folder: Path | None = None) -> Auctions:
    """100,000 auctions of a campaign's training log, 100 episodes of 1,000 in a row.

    Refused (SourceError): a campaign without a sample, a missing or damaged file, episodes that are not whole.
    """
    if campaign not in CAMPAIGNS:
        raise SourceError(f"expected one of the campaigns {CAMPAIGNS}, got {campaign}")
    path = (folder or data_folder()) / "ipinyou_rlb" / "validation_1000" / f"{campaign}.validation.txt.gz"
    header, *lines = _text(path).rstrip("\n").split("\n")
    length = header.split("\t")[-1]
    if not length.isascii() or not length.isdigit() or len(lines) != SAMPLE_EPISODES * (int(length) + 1):
        raise SourceError(
            f"expected {path} to begin with its dimension and the length N of an episode, and then {SAMPLE_EPISODES} "
            f"episodes of a number and N lines, got {header[:60]!r} and {len(lines):,} lines; get it from {WHERE}"
        )
    episodes = [lines[start + 1 : start + 1 + int(length)] for start in range(0, len(lines), int(length) + 1)]
    return _rows(path, [line for episode in episodes for line in episode], "\t")


def _info(campaign: int, folder: Path | None) -> dict[str, object]:
    path = (folder or data_folder()) / "ipinyou_rlb" / "info" / f"{campaign}.info.json"
    need(path, f"the counts of iPinYou campaign {campaign}", WHERE)
    text = path.read_bytes()[: _INFO_MOST + 1]
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SourceError(f"expected JSON at {path}, got {error}; get it from {WHERE}") from error
    if len(text) > _INFO_MOST or not isinstance(found, dict):
        raise SourceError(f"expected an object of at most {_INFO_MOST} bytes at {path}; get it from {WHERE}")
    return found


def _count(info: dict[str, object], name: str) -> int:
    """The count of this name, -1 where it is missing or not a whole number."""
    count = info.get(name)
    return count if isinstance(count, int) else -1


def _text(path: Path) -> str:
    """The unpacked file, at most _TEXT_MOST bytes of it."""
    need(path, "a log of iPinYou auctions", WHERE)
    try:
        with gzip.open(path) as file:
            raw = file.read(_TEXT_MOST + 1)
        if len(raw) > _TEXT_MOST:
            raise SourceError(f"expected {path} to unpack to at most {_TEXT_MOST:,} bytes; get it from {WHERE}")
        return raw.decode("ascii")
    except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise SourceError(f"expected a gzip of plain text at {path}, got {error}; get it from {WHERE}") from error


def _rows(path: Path, lines: list[str], between: str) -> Auctions:
    """Refused (SourceError): a line that is not click, price and pCTR."""
    if not any(line.strip() for line in lines):
        raise SourceError(f"expected click, price and pCTR in {path}, found no line; get it from {WHERE}")
    try:
        table = np.loadtxt(io.StringIO("\n".join(lines)), delimiter=between, ndmin=2, comments=None)
    except ValueError as error:
        raise SourceError(f"expected click, price and pCTR in {path}, got {error}; get it from {WHERE}") from error
    if not table.size or table.shape[1] != 3:
        raise SourceError(f"expected 3 columns in {path}, got an array of {table.shape}; get it from {WHERE}")
    click, price, pctr = table.T
    whole = np.isin(click, (0, 1)) & (price == np.floor(price)) & (price >= 0) & (price <= PRICE_MOST)
    wrong = np.flatnonzero(~(whole & (pctr > 0) & (pctr < 1)))
    if wrong.size:
        raise SourceError(
            f"expected click 0 or 1, a whole price up to {PRICE_MOST} and a pCTR between 0 and 1 in {path}, got "
            f"{table[wrong[0]].tolist()} in row {int(wrong[0]) + 1} and {wrong.size - 1} more; get it from {WHERE}"
        )
    return Auctions(click.astype(np.int8), price.astype(np.int64), np.ascontiguousarray(pctr))
