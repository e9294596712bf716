"""What every source of behaviour keeps to, whatever it reads."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.events.checks import check
from zhitou.events.clean import PrepareConfig
from zhitou.events.histories import Histories
from zhitou.events.prepare import prepare
from zhitou.events.schema import EVENT_SCHEMA, KINDS
from zhitou.events.sources.complete_journey import read_complete_journey
from zhitou.events.sources.files import read_files
from zhitou.events.sources.mapping import ColumnMapping
from zhitou.events.sources.public import read_public
from zhitou.events.sources.raw import ITEM_TYPES, RAW_TYPES, RawBehaviour
from zhitou.events.sources.segment import read_segment
from zhitou.privacy.pseudonyms import Pseudonyms

NOW_US = 1_780_000_000_000_000
SUBJECT = "ann@example.org"
COLUMNS = {"subject": "who", "item": "what", "quantity": "n", "price": "price", "occurred_at": "when"}
ROWS = [
    {"who": SUBJECT, "what": "pen", "n": 1, "price": 2.5, "when": "2026-03-01 12:00:00"},
    {"who": SUBJECT, "what": "pen", "n": 1, "price": 2.5, "when": "2026-03-01 12:00:00"},
    {"who": "bob", "what": "ink", "n": 0, "price": 2.5, "when": "2026-03-02 12:00:00"},
]


def _files(form: str) -> Callable[[Path], RawBehaviour]:
    def make(folder: Path) -> RawBehaviour:
        path = folder / f"shop.{form}"
        if form == "parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), path)
        elif form == "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in ROWS))
        else:
            lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
            path.write_text("\n".join(lines))
        return read_files(path, ColumnMapping(columns=COLUMNS, kind="purchase", currency="EUR"), threads=1)

    return make


def _segment(folder: Path) -> RawBehaviour:
    lines = [
        {
            "type": "track",
            "messageId": f"m{number // 2}",
            "userId": row["who"],
            "event": "Product Added",
            "timestamp": row["when"],
            "properties": {"product_id": row["what"], "price": row["price"], "quantity": row["n"], "currency": "EUR"},
        }
        for number, row in enumerate(ROWS)
    ]
    (folder / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return read_segment(folder / "m.jsonl", threads=1)


def _journey(folder: Path) -> RawBehaviour:
    at = dt.datetime(2017, 3, 1, 12)
    line = {"household_id": 1, "store_id": 3, "basket_id": 9, "product_id": 7, "quantity": 1, "sales_value": 2.5}
    kind = {
        "department": "GROCERY",
        "brand": "National",
        "product_category": "TEA",
        "product_type": "TEA:GREEN/LOOSE",
    }
    placed = {"product_id": 7, "display_location": "0", "mailer_location": "A", "week": 9}
    redeemed = {"household_id": 1, "coupon_upc": 5, "campaign_id": 2, "redemption_date": at}
    tables = {
        "transactions": [
            {**line, "transaction_timestamp": at},
            {**line, "transaction_timestamp": at},
            {**line, "basket_id": 10, "quantity": 0, "transaction_timestamp": at},
        ],
        "products": [{"product_id": 7, "manufacturer_id": 4, "package_size": "4 OZ", **kind}],
        "campaigns": [{"campaign_id": 2, "household_id": 1}],
        "campaign_descriptions": [{"campaign_id": 2, "start_date": at}],
        "coupon_redemptions": [redeemed],
        "promotions": [{**placed, "store_id": store} for store in (3, 3, 4)],
    }
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return read_complete_journey(folder, threads=1)


def _dummyjson(folder: Path) -> RawBehaviour:
    review = {"reviewerEmail": SUBJECT, "rating": 5, "date": "2025-04-30T09:41:02.053Z"}
    late = {**review, "date": "2999-04-30T09:41:02.053Z"}
    product = {"id": 1, "title": "Pen", "description": "", "category": "pens", "price": 2.5, "stock": 1}
    (folder / "dummyjson").mkdir()
    products = [{**product, "reviews": [review, review, late]}]
    (folder / "dummyjson" / "products.json").write_text(json.dumps(products))
    return read_public("dummyjson", folder, threads=1)


SOURCES = {
    "csv": _files("csv"),
    "jsonl": _files("jsonl"),
    "parquet": _files("parquet"),
    "segment": _segment,
    "complete_journey": _journey,
    "dummyjson": _dummyjson,
}


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RawBehaviour:
    """Each source over rows of which one says the same as another and one is not fit."""
    return SOURCES[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def folder(source: RawBehaviour, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("prepared")
    prepare(source, made, Pseudonyms("test", b"k" * 32), PrepareConfig(threads=1), NOW_US)
    return made


def test_its_events_are_in_the_raw_form(source: RawBehaviour) -> None:
    schema = source.events.schema()
    assert {name: str(kind) for name, kind in schema.items()} == RAW_TYPES
    assert {name: str(kind) for name, kind in source.items.schema().items()} == ITEM_TYPES


def test_its_rows_have_numbers_of_their_own(source: RawBehaviour) -> None:
    rows = source.events.to_pyarrow()["source_row"]
    assert rows.null_count == 0
    assert len(rows.unique()) == len(rows)


def test_it_says_in_a_sentence_what_it_is(source: RawBehaviour) -> None:
    assert source.about.endswith(".")
    assert len(source.about) > 20
    assert source.facts
    assert all(isinstance(count, int) for count in source.facts.values())


def test_its_words_hold_no_subject(source: RawBehaviour) -> None:
    if source.words is not None:
        assert SUBJECT not in json.dumps(source.words.to_pyarrow().to_pylist())


def test_every_row_is_accounted_for(source: RawBehaviour, folder: Path) -> None:
    said = json.loads((folder / "quality.json").read_text())["rows"]
    assert said["in"] == source.events.to_pyarrow().num_rows
    assert said["in"] == said["clean"] + said["duplicates"] + said["quarantined"]
    assert said["duplicates"] == 1
    assert said["quarantined"] == 1


def test_what_is_written_has_the_schema_unique_ids_and_utc(source: RawBehaviour, folder: Path) -> None:
    events = pq.read_table(folder / "events.parquet")
    assert events.schema.equals(EVENT_SCHEMA)
    assert pc.count_distinct(events["event_id"]).as_py() == events.num_rows
    assert str(events["occurred_at"].type) == "timestamp[us, tz=UTC]"
    assert set(events["kind"].to_pylist()) <= set(KINDS)
    assert pc.all(pc.less_equal(events["occurred_at"], events["received_at"])).as_py()


def test_what_is_written_knows_only_pseudonyms(source: RawBehaviour, folder: Path) -> None:
    subjects = pq.read_table(folder / "events.parquet")["subject"].to_pylist()
    assert all(subject.startswith("s_") for subject in subjects)
    for path in folder.iterdir():
        assert SUBJECT.encode() not in path.read_bytes(), path.name


def test_its_items_are_unique_and_make_a_catalogue_that_reads_its_events(source: RawBehaviour, folder: Path) -> None:
    table = pq.read_table(folder / "items.parquet")
    assert table.schema.equals(ITEM_SCHEMA)
    items = ItemTable.from_arrow(table)
    histories = Histories.from_arrow(pq.read_table(folder / "events.parquet"), items)
    assert len(histories.item) >= 1


def test_it_can_be_checked_without_writing(source: RawBehaviour) -> None:
    found = {c.name: c for c in check(source, PrepareConfig(threads=1), NOW_US)}
    assert found["every row is accounted for"].passed
    assert found["rows are said once"].count == 1
