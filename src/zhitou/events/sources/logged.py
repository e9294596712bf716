"""Feedback as it was logged, as arrays: Open Bandit, E-shop Clothing 2008, the Upworthy headline trials.

`public.py` reads behaviour, to learn interests from. Here each row is what was shown and what came of it. Every
loader checks the counts its set is known by: altered copies are in circulation.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from zhitou.core.errors import NotFoundError, SourceError
from zhitou.events.sources.raw import data_folder, need

OPEN_BANDIT_ITEMS = 34  # of the campaign "men"
_OPEN_BANDIT_SLOTS = 3
_WHERE = {
    "open_bandit": "https://research.zozo.com/data.html",
    "eshop": "https://archive.ics.uci.edu/dataset/553",
    "upworthy": "https://upworthy.natematias.com (the archive's exploratory and confirmatory trials)",
}


@dataclass(frozen=True)
class BanditLog:
    """R impressions of one policy of Open Bandit, campaign "men", in time's order. I = 34 items.

    time_s: int64 [R], Unix seconds. item: int32 [R]. slot: int8 [R], 0 = left, 1 = middle, 2 = right. clicked: bool
    [R]. propensity: float64 [R], the policy's true chance of this item in this slot. affinity: float32 [R, I], the
    visitor's earlier clicks on each item. user: str [R, 4], item_about: str [I, 3], categories under hashed names;
    item_number: float32 [I], the one number that is told of an item.
    """

    policy: str
    time_s: np.ndarray
    item: np.ndarray
    slot: np.ndarray
    clicked: np.ndarray
    propensity: np.ndarray
    affinity: np.ndarray
    user: np.ndarray
    item_about: np.ndarray
    item_number: np.ndarray

    def __len__(self) -> int:
        return len(self.item)


@dataclass(frozen=True)
class ShelfClicks:
    """R clicks in the E-shop, ordered inside each session. There are no impressions: what was seen is not known.

    session, order, day (since 2008-04-01), category (0 to 3), product, page (0 to 4), place (0 to 5, left to right,
    then the row below), profile (1 = photographed in profile, 0 = en face), colour: int32 [R]. price: int32 [R], USD.
    """

    session: np.ndarray
    order: np.ndarray
    day: np.ndarray
    category: np.ndarray
    product: np.ndarray
    page: np.ndarray
    place: np.ndarray
    profile: np.ndarray
    colour: np.ndarray
    price: np.ndarray

    def __len__(self) -> int:
        return len(self.product)


@dataclass(frozen=True)
class HeadlineTrials:
    """V variants of the Upworthy trials. Totals only: when an impression fell, and whose it was, was not kept.

    test: int32 [V], numbered in the order of their first week; week: int32 [V], year and week, the first of the test.
    headline: object [V]. shown, clicked: int64 [V], visitors who saw the variant, and who clicked.
    """

    test: np.ndarray
    week: np.ndarray
    headline: np.ndarray
    shown: np.ndarray
    clicked: np.ndarray

    def __len__(self) -> int:
        return len(self.test)


def read_bandit_log(policy: str, folder: Path | None = None) -> BanditLog:
    """The log of "random" or "bts" below `folder`, ZHITOU_DATA if None: the 10,000 rows that obp comes with.

    Refused: another policy (NotFoundError), no file or other counts (SourceError).
    """
    if policy not in ("random", "bts"):
        raise NotFoundError(f"Open Bandit has no policy {policy!r}; there are random and bts")
    base = (folder or data_folder()) / "open_bandit"
    rows = _table(need(base / policy / "men" / "men.csv.gz", f"Open Bandit ({policy})", _WHERE["open_bandit"]))
    # the items are the same ones under both policies, and their table lies beside the random one's rows
    about = _table(need(base / "random" / "men" / "item_context.csv", "Open Bandit's items", _WHERE["open_bandit"]))
    about = dict(
        zip(about, (np.asarray(v)[np.argsort(about["item_id"].astype(int))] for v in about.values()), strict=True)
    )
    item = rows["item_id"].astype(np.int32)
    _counted(
        f"Open Bandit ({policy})", {"rows": len(item), "items": len(np.unique(item))}, {"rows": 10_000, "items": 34}
    )
    affinity = [rows[f"user-item_affinity_{n}"] for n in range(OPEN_BANDIT_ITEMS)]
    return BanditLog(
        policy=policy,
        time_s=np.array([text[:19] for text in rows["timestamp"]], dtype="datetime64[s]").astype(np.int64),
        item=item,
        slot=(rows["position"].astype(np.int8) - 1).astype(np.int8),
        clicked=rows["click"] == "1",
        propensity=rows["propensity_score"].astype(np.float64),
        affinity=np.stack(affinity, 1).astype(np.float32),
        user=np.stack([rows[f"user_feature_{n}"] for n in range(4)], 1),
        item_about=np.stack([about[f"item_feature_{n}"] for n in (1, 2, 3)], 1),
        item_number=about["item_feature_0"].astype(np.float32),
    )


def read_shelf_clicks(folder: Path | None = None) -> ShelfClicks:
    """E-shop Clothing 2008, all 165,474 clicks. Refused (SourceError): no file, other counts."""
    base = (folder or data_folder()) / "eshop_clothing_2008"
    rows = _table(need(base / "eshop_clothing_2008.csv.gz", "E-shop Clothing 2008", _WHERE["eshop"]))
    number = {name: values.astype(np.int32) for name, values in rows.items()}
    dates = [
        f"{y:04d}-{m:02d}-{d:02d}" for y, m, d in zip(number["year"], number["month"], number["day"], strict=True)
    ]
    product = number["clothing_model_code"] - 1
    found = {
        "clicks": len(product),
        "sessions": len(np.unique(number["session_id"])),
        "products": len(np.unique(product)),
    }
    _counted("E-shop Clothing 2008", found, {"clicks": 165_474, "sessions": 24_026, "products": 217})
    return ShelfClicks(
        session=number["session_id"],
        order=number["order"],
        day=(np.array(dates, dtype="datetime64[D]") - np.datetime64("2008-04-01")).astype(np.int32),
        category=number["main_category"] - 1,
        product=product,
        page=number["page"] - 1,
        place=number["location"] - 1,
        profile=number["model_photography"] - 1,
        colour=number["colour"] - 1,
        price=number["price"],
    )


def read_headline_trials(folder: Path | None = None) -> HeadlineTrials:
    """The Upworthy trials, all variants. Refused (SourceError): no file, other counts, more clicks than visitors."""
    path = need((folder or data_folder()) / "upworthy" / "upworthy.parquet", "Upworthy", _WHERE["upworthy"])
    columns = ["clickability_test_id", "headline", "impressions", "clicks", "test_week"]
    table = {
        name: column.to_numpy(zero_copy_only=False)
        for name, column in zip(columns, pq.read_table(path, columns=columns).columns, strict=True)
    }
    ids, of = np.unique(table["clickability_test_id"].astype(str), return_inverse=True)
    _counted("Upworthy", {"variants": len(of), "tests": len(ids)}, {"variants": 18_225, "tests": 3_924})
    if bad := int((table["clicks"] > table["impressions"]).sum()):
        raise SourceError(f"expected no more clicks than visitors in {path}, got more in {bad:,} variants")
    first = np.full(len(ids), np.iinfo(np.int32).max, dtype=np.int32)
    np.minimum.at(first, of, table["test_week"].astype(np.int32))
    number = np.empty(len(ids), dtype=np.int32)
    number[np.lexsort((np.arange(len(ids)), first))] = np.arange(len(ids))
    order = np.argsort(number[of], kind="stable")
    return HeadlineTrials(
        test=number[of][order],
        week=first[of][order],
        headline=table["headline"].astype(object)[order],
        shown=table["impressions"].astype(np.int64)[order],
        clicked=table["clicks"].astype(np.int64)[order],
    )


def _table(path: Path) -> dict[str, np.ndarray]:
    """Each column as text."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()
    names, *rows = csv.reader(lines)
    columns = zip(*rows, strict=True)
    return {name: np.array(values, dtype=str) for name, values in zip(names, columns, strict=True)}


def _counted(name: str, found: dict[str, int], known: dict[str, int]) -> None:
    if found != known:
        raise SourceError(f"expected {name} to count {known}, got {found}; the copy is altered: get the original")
