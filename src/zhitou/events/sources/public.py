"""Public data sets of behaviour, found in the folder that ZHITOU_DATA names. None of them is part of the project.

Each loader checks the counts that the data set is known by: altered copies are in circulation.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zhitou.core import columns as c
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.core.units import MICROS, MICROSECONDS, NO_CURRENCY, SECONDS_PER_DAY
from zhitou.events.engine import THREADS, open_engine, stored
from zhitou.events.sources.files import read_files
from zhitou.events.sources.mapping import ColumnMapping, load_mapping
from zhitou.events.sources.raw import (
    ITEM_TYPES,
    RAW_SUBJECT,
    RAW_TYPES,
    RawBehaviour,
    data_folder,
    in_memory,
    need,
)

Row = dict[str, Any]
Loader = Callable[[Path, int], RawBehaviour]

UCI = "https://archive.ics.uci.edu"
DIGINETICA = "CIKM Cup 2016, as prepared for GCE-GNN"
DAY_US = SECONDS_PER_DAY * MICROSECONDS


def read_public(name: str, folder: Path | None = None, threads: int = THREADS) -> RawBehaviour:
    """The data set of this name (a key of LOADERS) below `folder`, which is ZHITOU_DATA if None.

    Refused: an unknown name (NotFoundError), a file that is missing or has other counts than known (SourceError).
    """
    if name not in LOADERS:
        raise NotFoundError(f"no data set is called {name!r}; known are {', '.join(sorted(LOADERS))}")
    return LOADERS[name](folder or data_folder(), threads)


def _counted(raw: RawBehaviour, known: Mapping[str, int]) -> RawBehaviour:
    found = {key: raw.facts.get(key) for key in known}
    if found != dict(known):
        raise SourceError(
            f"expected {raw.name} to count {dict(known)}, got {found}; the copy is altered: get the original"
        )
    return raw


def _behaviour(
    name: str, about: str, currency: str, threads: int, events: Iterable[Row], items: Iterable[Row], **more: Any
) -> RawBehaviour:
    rows = [{**row, c.SOURCE_ROW: number} for number, row in enumerate(events, start=1)]
    plain = {c.AVAILABILITY: "in_stock", c.LOCALE: "en", c.ATTRIBUTES: "{}"}
    feed = sorted(({**plain, **item} for item in items), key=lambda item: item[c.ITEM])
    facts = {"lines": len(rows), "shoppers": len({row[RAW_SUBJECT] for row in rows}), "items": len(feed)}
    engine = open_engine(threads)
    return RawBehaviour(
        name=name,
        about=about,
        currency=currency,
        engine=engine,
        events=stored(engine, "rows", in_memory(rows, RAW_TYPES)),
        items=stored(engine, "feed", in_memory(feed, ITEM_TYPES)),
        **{"facts": facts, "has_prices": currency != NO_CURRENCY, **more},
    )


def _online_retail(folder: Path, threads: int) -> RawBehaviour:
    data = need(folder / "online_retail", "UCI Online Retail", f"{UCI}/dataset/352")
    mapping = Path(__file__).resolve().parents[4] / "examples" / "online_retail_mapping.toml"
    raw = read_files(data, load_mapping(mapping), threads)
    return _counted(
        raw, {"lines": 541_909, "orders": 25_900, "shoppers": 4_372, "items": 4_070, "exact_duplicates": 5_268}
    )


def _yoochoose_100k(folder: Path, threads: int) -> RawBehaviour:
    where = "the RecSys Challenge 2015 (YooChoose), its last 100,000 clicks"
    data = need(folder / "yoochoose_100k", "YooChoose 100k", where)
    mapping = ColumnMapping(
        name="yoochoose_100k",
        about="YooChoose clicks of 2014: real anonymous visits of a European shop (research use).",
        files="train_full.txt*",
        kind="view",
        time_format="unix",
        columns={"subject": "SessionId", "session": "SessionId", "item": "ItemId", "occurred_at": "Time"},
    )
    return _counted(read_files(data, mapping, threads), {"lines": 70_278})


def _amazon(name: str, file: str, shoppers: int, items: int, actions: int) -> Loader:
    """The S3-Rec files. Their order is all that is known of time: a shopper's n-th review is put n days after
    2014-01-01, so times may be compared inside one shopper's history and nowhere else.

    Items carry the numbers of their attributes as attributes JSON, {"words": "a12 a7 a9"}: each number stands for a
    category or a brand, which is not said. Beauty's title, brand and category path come from another file and are in
    plain words; Sports has none, and the same words stand as title there, so that a reader of titles has a bag
    of words.
    """

    def read(folder: Path, threads: int) -> RawBehaviour:
        path = need(folder / "amazon_s3rec" / f"{file}.txt.gz", f"Amazon {file}", "the S3-Rec repository")
        rows = list(_sequences(path, "favourite", named=True))
        known = _attributed_items(folder / "amazon_s3rec" / f"{file}_item2attributes.json.gz")
        if file == "Beauty":
            known |= _beauty_items(folder / "amazon_s3rec" / "beauty_items.csv.gz", known)
        raw = _behaviour(
            name,
            f"Amazon reviews 2014, {file}: real reviews in their order; times are positions (research use).",
            NO_CURRENCY,
            threads,
            rows,
            (known.get(item, {c.ITEM: item}) for item in {row[c.ITEM] for row in rows}),
        )
        return _counted(raw, {"lines": actions, "shoppers": shoppers, "items": items})

    return read


def _diginetica(folder: Path, threads: int) -> RawBehaviour:
    """The training visits. The file has them in the order in which they began, and no times: visit n is put 70
    seconds after visit n - 1, which spreads them over the five months they are known to cover, and its clicks are
    put a minute apart. That the order is time's shows in what is looked at: each tenth of the file is most like its
    neighbours, and the test visits, of the week after, are most like the last tenth (correlation of counts 0.68, with
    the first tenth 0.25).
    """
    path = need(folder / "diginetica" / "train_sessions.txt.gz", "Diginetica", DIGINETICA)
    rows = list(_sequences(path, "view", named=False))
    about = "Diginetica, CIKM Cup 2016: real anonymous visits of a shop; times say the order only (research use)."
    items = ({c.ITEM: item} for item in {row[c.ITEM] for row in rows})
    return _counted(
        _behaviour("diginetica", about, NO_CURRENCY, threads, rows, items),
        {"lines": 906_140, "shoppers": 186_670, "items": 43_097},
    )


def read_diginetica_test(folder: Path | None = None) -> list[tuple[list[str], str]]:
    """The published test questions, 60,858 in the file's order: the items of a visit so far, and the next one.

    A visit's questions stand together, the longest first. `folder` is ZHITOU_DATA if None. Refused as in read_public.
    """
    path = need((folder or data_folder()) / "diginetica" / "test_prefix_target.tsv.gz", "Diginetica", DIGINETICA)
    lines = (line.split("\t") for line in _lines(path))
    found = [(prefix.split(), target.strip()) for prefix, target in lines]
    if len(found) != 60_858:
        raise SourceError(f"expected {path} to hold 60858 questions, got {len(found)}; get the original")
    return found


def _sequences(path: Path, kind: str, *, named: bool) -> Iterator[Row]:
    """A line is one shopper's items in order, after the shopper's name if `named`; positions become times: days after
    2014-01-01 of a shopper, minutes of a visit that begins 70 seconds after the line before."""
    named_us, visits_us, step_us = _day_us(2014, 1, 1), _day_us(2016, 1, 1), DAY_US if named else 60 * MICROSECONDS
    for number, line in enumerate(_lines(path)):
        words, begin_us = line.split(), named_us if named else visits_us + 70 * MICROSECONDS * number
        subject, items = (words[0], words[1:]) if named else (f"visit {number}", words)
        for position, item in enumerate(items):
            yield {
                RAW_SUBJECT: subject,
                c.KIND: kind,
                c.ITEM: item,
                c.OCCURRED_AT: begin_us + position * step_us,
                c.EVENT_ID: f"{path.name.split('.')[0]}/{number}/{position}",
            }


def _attributed_items(path: Path) -> dict[str, Row]:
    found = {}
    for item, numbers in json.loads("".join(_lines(need(path, "item attributes", "the S3-Rec repository")))).items():
        words = " ".join(f"a{number}" for number in numbers)
        found[item] = {c.ITEM: item, c.TITLE: words or None, c.ATTRIBUTES: json.dumps({"words": words})}
    return found


def _beauty_items(path: Path, known: Mapping[str, Row]) -> dict[str, Row]:
    """Title, brand, category path. A line's words are the brand, where it is known, and then the categories: the
    first word of 4,607 of 12,101 lines is a department, where the path of every line with a brand begins."""
    rows = [(row, html.unescape(row["attributes"]).split("|")) for row in _table(path)]
    departments = {words[1] for _, words in rows if len(words) > 1}
    found = {}
    for row, words in rows:
        item, branded = row["s3rec_item_id"], words[0] not in departments
        brand = words[0] if branded and words[0] != "Unknown" else None
        category = c.CATEGORY_SEPARATOR.join(words[1:] if branded else words) or None
        title = html.unescape(row["title"]) or None
        found[item] = {**known.get(item, {}), c.ITEM: item, c.TITLE: title, c.CATEGORY: category, c.BRAND: brand}
    return found


def _cdnow(folder: Path, threads: int) -> RawBehaviour:
    path = need(folder / "cdnow" / "CDNOW_master.txt.gz", "CDNOW", "https://www.brucehardie.com/datasets/")
    rows: list[Row] = []
    for line in list(_lines(path))[1:]:
        subject, day, pieces, value = line.split()
        micros = round(float(value) * MICROS / max(int(pieces), 1))
        rows.append(
            {
                RAW_SUBJECT: subject,
                c.KIND: "purchase",
                c.ITEM: "cd",
                c.QUANTITY: int(pieces),
                c.PRICE_MICROS: micros,
                c.CURRENCY: "USD",
                c.OCCURRED_AT: _day_us(int(day[:4]), int(day[4:6]), int(day[6:])),
                c.CHANNEL: "web",
            }
        )
    about = "CDNOW: real purchases at a web shop for music, 1997-1998, one line per order (classic research set)."
    items = [{c.ITEM: "cd", c.TITLE: "Compact disc", c.CURRENCY: "USD"}]
    raw = _behaviour("cdnow", about, "USD", threads, rows, items, earliest_us=_day_us(1997, 1, 1))
    return _counted(raw, {"lines": 69_659, "shoppers": 23_570})


def _eshop_clothing_2008(folder: Path, threads: int) -> RawBehaviour:
    path = need(
        folder / "eshop_clothing_2008" / "eshop_clothing_2008.csv.gz", "E-shop Clothing 2008", f"{UCI}/dataset/553"
    )
    kinds = {"1": "Trousers", "2": "Skirts", "3": "Blouses", "4": "Sale"}
    items: dict[str, Row] = {}
    rows: list[Row] = []
    for line in _table(path):
        item, price = line["clothing_model_code"], int(line["price"]) * MICROS
        context = {key: int(line[key]) for key in ("page", "location", "model_photography", "colour", "country")}
        rows.append(
            {
                RAW_SUBJECT: line["session_id"],
                c.SESSION: line["session_id"],
                c.KIND: "view",
                c.ITEM: item,
                c.PRICE_MICROS: price,
                c.CURRENCY: "USD",
                # the hour is not known, the order in the visit is: ten seconds a click
                c.OCCURRED_AT: _day_us(int(line["year"]), int(line["month"]), int(line["day"]))
                + int(line["order"]) * 10 * MICROSECONDS,
                c.CHANNEL: "web",
                c.CONTEXT: json.dumps(context, separators=(",", ":")),
            }
        )
        items[item] = {
            c.ITEM: item,
            c.TITLE: f"{kinds[line['main_category']]}, model {item}",
            c.CATEGORY: kinds[line["main_category"]],
            c.PRICE_MICROS: price,
            c.CURRENCY: "USD",
        }
    about = (
        "UCI 553: real clicks in a shop for maternity clothes, 2008; hours within a day are not known (CC BY 4.0)."
    )
    raw = _behaviour("eshop_clothing_2008", about, "USD", threads, rows, items.values())
    return _counted(raw, {"lines": 165_474, "shoppers": 24_026, "items": 217})


def _dummyjson(folder: Path, threads: int) -> RawBehaviour:
    path = need(
        folder / "dummyjson" / "products.json", "DummyJSON products", "https://dummyjson.com/products?limit=0"
    )
    products = json.loads(path.read_text(encoding="utf-8"))
    items: list[Row] = []
    rows: list[Row] = []
    for product in products:
        price = round(product["price"] * MICROS)
        items.append(
            {
                c.ITEM: str(product["id"]),
                c.TITLE: product["title"],
                c.DESCRIPTION: product["description"],
                c.CATEGORY: product["category"],
                c.BRAND: product.get("brand"),
                c.PRICE_MICROS: price,
                c.CURRENCY: "USD",
                c.AVAILABILITY: "in_stock" if product["stock"] else "out_of_stock",
                c.IMAGE: product.get("thumbnail"),
            }
        )
        rows.extend(_reviews(product))
    about = "DummyJSON: an invented feed with texts, prices and reviews, for tests (MIT)."
    return _behaviour("dummyjson", about, "USD", threads, rows, items)


def _reviews(product: Mapping[str, Any]) -> Iterator[Row]:
    for review in product["reviews"]:
        yield {
            RAW_SUBJECT: review["reviewerEmail"],
            c.KIND: "favourite",
            c.ITEM: str(product["id"]),
            c.OCCURRED_AT: _iso_us(review["date"]),
            c.CONTEXT: json.dumps({"rating": review["rating"]}),
        }


def _open_bandit(policy: str) -> Loader:
    def read(folder: Path, threads: int) -> RawBehaviour:
        where = "https://research.zozo.com/data.html"
        path = need(folder / "open_bandit" / policy / "men" / "men.csv.gz", f"Open Bandit ({policy})", where)
        rows: list[Row] = []
        for number, line in enumerate(_table(path)):
            at_us = _iso_us(line["timestamp"])
            context = {"position": int(line["position"]), "propensity": float(line["propensity_score"])}
            # nobody is named in it: each request is a visitor of its own
            shown: Row = {RAW_SUBJECT: f"request {number}", c.ITEM: line["item_id"], c.CHANNEL: "web"}
            shown |= {c.CONTEXT: json.dumps(context), c.DECISION_ID: f"{policy}/{number}", c.OCCURRED_AT: at_us}
            rows.append({**shown, c.KIND: "impression"})
            if line["click"] == "1":
                rows.append({**shown, c.KIND: "click"})
        about = (
            f"Open Bandit, campaign men, policy {policy}: real impressions with their propensities (ZOZO Research)."
        )
        items = ({c.ITEM: item} for item in {row[c.ITEM] for row in rows})
        raw = _behaviour(f"open_bandit_{policy}", about, NO_CURRENCY, threads, rows, items)
        return _counted(raw, {"shoppers": 10_000, "items": 34})

    return read


def _hillstrom(folder: Path, threads: int) -> RawBehaviour:
    path = need(
        folder / "hillstrom" / "hillstrom.csv.gz", "Hillstrom's e-mail trial", "https://blog.minethatdata.com"
    )
    arms = {"Mens E-Mail": 0, "Womens E-Mail": 0, "No E-Mail": 0}
    sent_us = _day_us(2008, 3, 20)  # of the challenge; the trial's own days are not known
    rows: list[Row] = []
    for number, line in enumerate(_table(path)):
        arms[line["segment"]] += 1
        context = json.dumps({"campaign": line["segment"]})
        shared = {RAW_SUBJECT: str(number), c.CHANNEL: "email", c.CONTEXT: context}
        if line["segment"] != "No E-Mail":
            rows.append({**shared, c.KIND: "send", c.OCCURRED_AT: sent_us})
        if line["conversion"] == "1":
            spent = {c.PRICE_MICROS: round(float(line["spend"]) * MICROS), c.CURRENCY: "USD"}
            rows.append({**shared, **spent, c.KIND: "conversion", c.OCCURRED_AT: sent_us + DAY_US})
    about = "Hillstrom's e-mail trial: 64,000 real customers, two mailings and none at random; days are not known."
    facts = {
        "customers": sum(arms.values()),
        "mens": arms["Mens E-Mail"],
        "womens": arms["Womens E-Mail"],
        "lines": len(rows),
    }
    raw = replace(_behaviour("hillstrom", about, "USD", threads, rows, []), facts=facts)
    return _counted(raw, {"customers": 64_000, "mens": 21_307, "womens": 21_387})


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


def _table(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _day_us(year: int, month: int, day: int) -> int:
    return _iso_us(f"{year:04d}-{month:02d}-{day:02d}T00:00:00+00:00")


def _iso_us(text: str) -> int:
    at = dt.datetime.fromisoformat(text)
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


LOADERS: Mapping[str, Loader] = {
    "online_retail": _online_retail,
    "yoochoose_100k": _yoochoose_100k,
    "amazon_beauty": _amazon("amazon_beauty", "Beauty", 22_363, 12_101, 198_502),
    "amazon_sports": _amazon("amazon_sports", "Sports_and_Outdoors", 35_598, 18_357, 296_337),
    "diginetica": _diginetica,
    "eshop_clothing_2008": _eshop_clothing_2008,
    "cdnow": _cdnow,
    "dummyjson": _dummyjson,
    "open_bandit_random": _open_bandit("random"),
    "open_bandit_bts": _open_bandit("bts"),
    "hillstrom": _hillstrom,
}
