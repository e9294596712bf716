"""What stands in the folder after preparation."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pyarrow.parquet as pq

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.events.engine import open_engine, stored
from zhitou.events.histories import Histories
from zhitou.events.prepare import PROMOTION_SCHEMA, QUARANTINE_SCHEMA
from zhitou.events.schema import EVENT_SCHEMA
from zhitou.events.sources.raw import PROMOTION_TYPES, in_memory
from zhitou.privacy.pseudonyms import Pseudonyms

HOUR_US = 3_600_000_000


def test_the_files_have_the_schemas_of_the_contract(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(quantity=0)]))
    schemas = {"events": EVENT_SCHEMA, "items": ITEM_SCHEMA, "quarantine": QUARANTINE_SCHEMA}
    for name, schema in schemas.items():
        assert pq.read_schema(made.folder / f"{name}.parquet").equals(schema), name


def test_no_raw_id_is_in_any_file(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(quantity=0), row(kind="gaze")]))
    for path in made.folder.iterdir():
        table = path.suffix == ".parquet"
        text = json.dumps(pq.read_table(path).to_pylist(), default=str) if table else path.read_text()
        assert "ann@example.org" not in text, path.name


def test_a_refused_row_keeps_its_words_and_takes_the_pseudonym(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(quantity=0, item='a "quoted" item')]))
    (held,) = pq.read_table(made.folder / "quarantine.parquet").to_pylist()
    name = Pseudonyms("test", b"k" * 32).name("ann@example.org")
    said = json.loads(held["raw"])
    assert (held["reason"], held["source_row"], held["subject"]) == ("no positive quantity", 1, name)
    assert (said["subject"], said["item"], said["quantity"]) == (name, 'a "quoted" item', 0)


def test_the_id_of_an_event_depends_on_the_pseudonym_not_on_the_raw_id(row, shop, tmp_path) -> None:
    from zhitou.events.clean import PrepareConfig
    from zhitou.events.prepare import prepare

    ids = []
    for tenant in ("one", "two"):
        folder = tmp_path / tenant
        prepare(shop([row()]), folder, Pseudonyms(tenant, b"k" * 32), PrepareConfig(threads=1), 1_780_000_000_000_000)
        ids += pq.read_table(folder / "events.parquet")["event_id"].to_pylist()
    assert ids[0] != ids[1]


def test_events_are_sorted_by_subject_time_and_id(row, shop, prepared) -> None:
    rows = [row(raw_subject=f"s{n % 3}", occurred_at=row()["occurred_at"] - n * HOUR_US) for n in range(9)]
    events = pq.read_table(prepared(shop(rows)).folder / "events.parquet").to_pylist()
    keys = [(e["subject"], e["occurred_at"], e["event_id"]) for e in events]
    assert keys == sorted(keys)


def test_the_same_rows_give_the_same_bytes(row, shop, prepared) -> None:
    rows = [row(raw_subject=f"s{n % 3}", order_id=str(n), quantity=n) for n in range(9)]
    first = prepared(shop(rows)).folder
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    prepared(shop(rows))
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_histories_can_be_made_of_what_is_written(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(item="ink", occurred_at=row()["occurred_at"] + HOUR_US), row(item="unlisted")]))
    items = ItemTable.from_arrow(pq.read_table(made.folder / "items.parquet"))
    histories = Histories.from_arrow(pq.read_table(made.folder / "events.parquet"), items)
    assert [str(items.ids[i]) for i in histories.item] == ["pen", "ink"]


def test_an_item_told_twice_is_listed_once(row, shop, prepared) -> None:
    raw = shop([row()])
    twice = shop([row()], items=raw.items.union(raw.items), engine=raw.engine, events=raw.events)
    assert prepared(twice).items == 2


def test_promotions_are_written_in_order_and_go_when_there_are_none(row, shop, prepared) -> None:
    raw = shop([row()])
    weeks = [{"item": "pen", "week": w, "stores_display": w, "stores_mailer": 0} for w in (2, 1)]
    table = stored(raw.engine, "promotions", in_memory(weeks, PROMOTION_TYPES))
    made = prepared(shop([row()], engine=raw.engine, events=raw.events, items=raw.items, promotions=table))
    written = pq.read_table(made.folder / "promotions.parquet")
    assert written.schema.equals(PROMOTION_SCHEMA)
    assert written["week"].to_pylist() == [1, 2]
    again = prepared(shop([row()]))
    assert not (again.folder / "promotions.parquet").exists()


class _Rows(HTMLParser):
    """The cells of all rows of all tables of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_report_says_the_same_on_paper_and_to_programs(row, shop, prepared) -> None:
    made = prepared(shop([row(), row(), row(quantity=0)], name="<b>shop</b>"))
    said = json.loads((made.folder / "quality.json").read_text())
    page = (made.folder / "quality.html").read_text()
    rows = _Rows(page).rows
    assert said["rows"] == {"in": 3, "clean": 1, "duplicates": 1, "quarantined": 1}
    assert ["no positive quantity", "1", ""] in rows
    assert ["lines", "3", "3", "1"] in rows
    for check in said["checks"]:
        verdict = "PASS" if check["passed"] else "FAIL"
        assert [check["name"], verdict, f"{check['count']:,}", check["sentence"]] in rows
    assert "<b>shop</b>" not in page
    assert "http" not in page  # nothing is fetched from elsewhere


def test_a_query_runs_on_the_threads_it_is_given() -> None:
    engine = open_engine(threads=1)
    assert engine.raw_sql("SELECT current_setting('threads')").fetchone()[0] == 1
