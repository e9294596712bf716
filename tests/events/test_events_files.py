"""Files as users have them: what is wrong with them costs a row or a clear sentence, never silence."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.core.errors import SchemaError, SourceError
from zhitou.events import clean
from zhitou.events.checks import CLEAN, DUPLICATE, check, take_census
from zhitou.events.clean import PrepareConfig
from zhitou.events.sources.files import UNREADABLE_PRICE, UNREADABLE_QUANTITY, UNREADABLE_TIME, read_files
from zhitou.events.sources.mapping import ColumnMapping, Rule, load_mapping, mapping_from
from zhitou.events.sources.raw import RawBehaviour
from zhitou.events.sources.tables import NOT_UTF8, WRONG_QUOTES, WRONG_WIDTH

NOW_US = 1_780_000_000_000_000
COLUMNS = {
    "subject": "who",
    "item": "what",
    "quantity": "n",
    "price": "price",
    "occurred_at": "when",
    "order_id": "order",
}
SHOP = ColumnMapping(columns=COLUMNS, kind="purchase", currency="EUR")
HEADER = "who,what,n,price,when,order"
LINE = "ann,pen,1,2.50,2026-03-01 12:00:00,o1"


def _csv(tmp_path: Path, *lines: str, header: str = HEADER, name: str = "shop.csv") -> Path:
    path = tmp_path / name
    path.write_bytes("\n".join([header, *lines, ""]).encode("utf-8", errors="surrogateescape"))
    return path


def _fates(raw: RawBehaviour) -> dict[str, int]:
    """Clean, duplicate, or reason -> rows."""
    judged = clean.judge(raw, "t", lambda ids: ids, PrepareConfig(threads=1), NOW_US)
    census = take_census(raw, judged, PrepareConfig(threads=1), NOW_US)
    found = {CLEAN: census.with_fate(CLEAN), DUPLICATE: census.with_fate(DUPLICATE), **census.quarantined}
    return {fate: count for fate, count in found.items() if count}


def _only_event(raw: RawBehaviour) -> dict[str, object]:
    (event,) = raw.events.to_pyarrow().to_pylist()
    return event


def test_a_line_is_read_as_the_mapping_says(tmp_path: Path) -> None:
    event = _only_event(read_files(_csv(tmp_path, LINE), SHOP, threads=1))
    said = [
        event[name] for name in ("raw_subject", "kind", "item", "quantity", "price_micros", "currency", "order_id")
    ]
    assert said == ["ann", "purchase", "pen", 1, 2_500_000, "EUR", "o1"]
    assert event["occurred_at"].isoformat() == "2026-03-01T12:00:00+00:00"


WRONG = [
    ("ann,pen,x,2.50,2026-03-01,o1", UNREADABLE_QUANTITY),
    ("ann,pen,1.5,2.50,2026-03-01,o1", UNREADABLE_QUANTITY),
    ("ann,pen,1,two,2026-03-01,o1", UNREADABLE_PRICE),
    ("ann,pen,1,1e30,2026-03-01,o1", UNREADABLE_PRICE),
    ("ann,pen,1,2.50,yesterday,o1", UNREADABLE_TIME),
    ("ann,pen,1,2.50,,o1", clean.NO_TIME),
    ("ann,pen,1,-2.50,2026-03-01,o1", clean.NO_PRICE),
    ("ann,pen,1,2.50,1970-01-01,o1", clean.TIME_IMPOSSIBLE),
    ("ann,pen,1,2.50,2999-01-01,o1", clean.TIME_IMPOSSIBLE),
    (",pen,1,2.50,2026-03-01,o1", clean.NO_SUBJECT),
    ("nan,ink,1,2.50,2026-03-01,o1", clean.NO_SUBJECT),
    ("ann,caf\udce9,1,2.50,2026-03-01,o1", NOT_UTF8),
    ("ann,pen,1,2.50,2026-03-01,o1,more", WRONG_WIDTH),
    ("ann,pen", WRONG_WIDTH),
    ('ann,"p"en,1,2.50,2026-03-01,o1', WRONG_QUOTES),
    (LINE, DUPLICATE),
]


def test_a_wrong_line_costs_one_row_with_a_reason(tmp_path: Path) -> None:
    lines = [line for line, _ in WRONG]
    raw = read_files(_csv(tmp_path, LINE, *lines, LINE.replace("o1", "last")), SHOP, threads=1)
    assert _fates(raw) == {CLEAN: 2, **Counter(fate for _, fate in WRONG)}
    assert raw.facts["lines"] == len(WRONG) + 2


def test_a_tenth_of_the_rows_twice_is_a_tenth_of_duplicates(tmp_path: Path) -> None:
    lines = [f"ann,pen,1,2.50,2026-03-01 12:00:00,o{n}" for n in range(50)]
    raw = read_files(_csv(tmp_path, *lines, *lines[:5]), SHOP, threads=1)
    assert raw.facts["exact_duplicates"] == 5
    assert _fates(raw) == {CLEAN: 50, DUPLICATE: 5}


def test_a_column_of_nothing_is_unknown_not_zero(tmp_path: Path) -> None:
    lines = [f"ann,pen,,2.50,2026-03-01 12:00:00,o{n}" for n in range(3)]
    raw = read_files(_csv(tmp_path, *lines), SHOP, threads=1)
    assert set(raw.events.to_pyarrow()["quantity"].to_pylist()) == {None}
    assert _fates(raw) == {CLEAN: 3}


def test_a_column_of_nothing_where_one_is_needed_quarantines_all(tmp_path: Path) -> None:
    raw = read_files(_csv(tmp_path, ",pen,1,2.50,2026-03-01,o1", ",pen,1,2.50,2026-03-01,o2"), SHOP, threads=1)
    assert _fates(raw) == {clean.NO_SUBJECT: 2}
    assert not next(c for c in check(raw) if c.name == "shoppers are named").passed


def test_a_few_rows_of_another_currency_are_quarantined(tmp_path: Path) -> None:
    lines = [f"{LINE}{n},EUR" for n in range(9)] + [f"{LINE}9,USD"]
    said = ColumnMapping(columns={**COLUMNS, "currency": "cur"}, kind="purchase")
    raw = read_files(_csv(tmp_path, *lines, header=f"{HEADER},cur"), said, threads=1)
    assert raw.currency == "EUR"
    assert _fates(raw) == {CLEAN: 9, clean.FOREIGN_CURRENCY: 1}


def test_an_even_mix_of_currencies_is_refused_with_its_shares(tmp_path: Path) -> None:
    said = ColumnMapping(columns={**COLUMNS, "currency": "cur"}, kind="purchase")
    path = _csv(tmp_path, f"{LINE},EUR", f"{LINE}2,USD", header=f"{HEADER},cur")
    with pytest.raises(SchemaError, match="expected one currency, got EUR 50%, USD 50%"):
        read_files(path, said, threads=1)


def test_a_missing_file_is_named_with_what_lies_beside_it(tmp_path: Path) -> None:
    _csv(tmp_path, LINE)
    with pytest.raises(SourceError, match=r"found nothing; beside it lie shop\.csv"):
        read_files(tmp_path / "shops.csv", SHOP, threads=1)


@pytest.mark.parametrize("content", [b"", b"who,what,n,price,when,order\n", b"\n\n"])
def test_a_file_without_rows_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"expected (rows|a line with the names)"):
        read_files(path, SHOP, threads=1)


def test_a_wrong_column_names_the_right_ones_and_the_closest(tmp_path: Path) -> None:
    path = _csv(tmp_path, LINE, header="who,what,n,Price,when,order")
    with pytest.raises(SchemaError, match=r"column 'price' in shop\.csv; its columns are 'who'.*mean 'Price'\?"):
        read_files(path, SHOP, threads=1)


def test_a_gzip_cut_short_is_refused_and_a_whole_one_is_read(tmp_path: Path) -> None:
    whole = gzip.compress(_csv(tmp_path, *(f"{LINE}{n}" for n in range(2_000))).read_bytes())
    path = tmp_path / "shop.csv.gz"
    path.write_bytes(whole)
    assert read_files(path, SHOP, threads=1).facts["lines"] == 2_000
    for end in (10, len(whole) // 2, len(whole) - 8):
        path.write_bytes(whole[:end])
        with pytest.raises(SourceError, match=r"could not read .*shop\.csv\.gz to its end"):
            read_files(path, SHOP, threads=1)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    path.write_bytes(b"no parquet at all")
    with pytest.raises(SourceError, match="could not read"):
        read_files(path, SHOP, threads=1)


@pytest.mark.parametrize(("sign", "end"), [(",", "\n"), (";", "\r\n"), ("\t", "\n"), ("|", "\r\n")])
def test_delimiters_and_line_ends_are_found(sign: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(("\ufeff" + end.join([HEADER, LINE, ""])).replace(",", sign).encode())
    assert _only_event(read_files(path, SHOP, threads=1))["order_id"] == "o1"


def test_a_quoted_value_may_hold_the_delimiter_quotes_and_a_new_line(tmp_path: Path) -> None:
    raw = read_files(_csv(tmp_path, LINE.replace("pen", '"a ""red"", big\npen"')), SHOP, threads=1)
    assert _only_event(raw)["item"] == 'a "red", big\npen'


def test_a_quotation_mark_that_never_closes_is_refused_with_its_line(tmp_path: Path) -> None:
    lines = [f"{LINE}{n}" for n in range(30)]
    lines[5] = lines[5].replace("pen", '"pen')
    with pytest.raises(SourceError, match=r"line 7 of .* opens a quotation mark that does not close"):
        read_files(_csv(tmp_path, *lines), SHOP, threads=1)


def test_lines_that_end_in_two_ways_are_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(f"{HEADER}\r\n{LINE}\n{LINE}2\r\n".encode())
    with pytest.raises(SourceError, match="save it with one of them"):
        read_files(path, SHOP, threads=1)


def test_bad_lines_anywhere_in_a_large_file_are_all_counted(tmp_path: Path) -> None:
    bad = {0: "ann,caf\udce9,1,2.50,2026-03-01,o1", 1: "ann,pen", 2: f"{LINE},more", 3: 'ann,"p"en,1,2,2026-03-01,o1'}
    lines = [bad[n // 50 % 4] if n % 50 == 0 else f"{LINE}{n}" for n in range(100_000)]
    raw = read_files(_csv(tmp_path, *lines), SHOP, threads=2)
    refused = raw.events.filter(raw.events.refused.notnull()).group_by("refused").agg(n=lambda t: t.count())
    found = {row["refused"]: row["n"] for row in refused.to_pyarrow().to_pylist()}
    assert found == {NOT_UTF8: 500, WRONG_WIDTH: 1_000, WRONG_QUOTES: 500}
    assert raw.facts["lines"] == 100_000


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
def test_all_formats_say_the_same(form: str, tmp_path: Path) -> None:
    rows = [dict(zip(HEADER.split(","), LINE.split(","), strict=True))]
    path = tmp_path / f"shop.{form}"
    if form == "csv":
        _csv(tmp_path, LINE)
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows[0]) + "\n\n" if form == "jsonl" else json.dumps(rows))
    event = _only_event(read_files(path, SHOP, threads=1))
    assert (event["raw_subject"], event["price_micros"], event["order_id"]) == ("ann", 2_500_000, "o1")


def test_parquet_keeps_its_types_and_its_times(tmp_path: Path) -> None:
    import datetime as dt

    at = dt.datetime(2026, 3, 1, 13, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    rows = [{"who": 7, "what": "pen", "n": 2, "price": 0.1, "when": at, "order": 5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    event = _only_event(read_files(tmp_path / "shop.parquet", SHOP, threads=1))
    assert (event["raw_subject"], event["quantity"], event["price_micros"]) == ("7", 2, 100_000)
    assert event["occurred_at"].isoformat() == "2026-03-01T12:00:00+00:00"


def test_a_line_that_is_no_json_costs_a_row(tmp_path: Path) -> None:
    good = dict(zip(HEADER.split(","), LINE.split(","), strict=True))
    lines = [json.dumps(good), "{", "[1]", json.dumps({**good, "order": "o2"})]
    (tmp_path / "shop.jsonl").write_text("\n".join(lines))
    assert _fates(read_files(tmp_path / "shop.jsonl", SHOP, threads=1)) == {
        CLEAN: 2,
        "line that is no JSON object": 2,
    }


def test_a_dot_goes_a_level_down_in_json(tmp_path: Path) -> None:
    (tmp_path / "shop.jsonl").write_text(json.dumps({"user": {"id": "ann"}, "at": "2026-03-01", "sku": "pen"}))
    said = ColumnMapping(columns={"subject": "user.id", "occurred_at": "at", "item": "sku"}, kind="view")
    assert _only_event(read_files(tmp_path / "shop.jsonl", said, threads=1))["raw_subject"] == "ann"


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    _csv(tmp_path, LINE, name="b.csv")
    _csv(tmp_path, LINE.replace("ann", "bob"), name="a.csv")
    (tmp_path / "notes.md").write_text("not data")
    raw = read_files(tmp_path, SHOP, threads=1)
    by_row = raw.events.order_by("source_row").to_pyarrow()
    assert by_row["raw_subject"].to_pylist() == ["bob", "ann"]
    assert by_row["source_row"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "form", "zone", "utc"),
    [
        ("2026-07-01 12:00:00", None, "Europe/London", "2026-07-01T11:00:00+00:00"),  # summer time
        ("2026-01-01 12:00:00", None, "Europe/London", "2026-01-01T12:00:00+00:00"),
        ("2026-07-01T12:00:00+02:00", None, "Europe/London", "2026-07-01T10:00:00+00:00"),
        ("2026-07-01T12:00:00.5Z", None, "Asia/Shanghai", "2026-07-01T12:00:00.500000+00:00"),
        ("2026-07-01", None, "UTC", "2026-07-01T00:00:00+00:00"),
        ("01/07/2026 20:00", "%d/%m/%Y %H:%M", "Asia/Shanghai", "2026-07-01T12:00:00+00:00"),
        ("1782907200", "unix", "UTC", "2026-07-01T12:00:00+00:00"),
        ("1782907200.25", "unix", "UTC", "2026-07-01T12:00:00.250000+00:00"),
        ("1782907200000", "unix_ms", "UTC", "2026-07-01T12:00:00+00:00"),
    ],
)
def test_times_are_read_in_their_form_and_zone(
    text: str, form: str | None, zone: str, utc: str, tmp_path: Path
) -> None:
    columns = {"subject": "who", "occurred_at": "when"}
    said = ColumnMapping(columns=columns, kind="search", time_format=form, zone=zone)
    event = _only_event(read_files(_csv(tmp_path, f"ann,{text}", header="who,when"), said, threads=1))
    assert event["occurred_at"].isoformat() == utc


def test_a_quantity_below_zero_is_a_refund_of_as_many_pieces(tmp_path: Path) -> None:
    said = ColumnMapping(
        columns=COLUMNS,
        kind="purchase",
        currency="EUR",
        rules=(Rule.parse("item is POST means service"), Rule.parse("quantity below zero means refund")),
    )
    lines = [LINE.replace(",1,", ",-3,"), LINE.replace("pen", "POST")]
    raw = read_files(_csv(tmp_path, LINE, *lines), said, threads=1)
    refund = raw.events.filter(raw.events.kind == "refund").to_pyarrow().to_pylist()
    assert [(event["quantity"], event["price_micros"]) for event in refund] == [(3, 2_500_000)]
    assert _fates(raw) == {CLEAN: 2, clean.SERVICE_LINE: 1}
    assert raw.items.to_pyarrow()["item"].to_pylist() == ["pen"]


def test_a_total_is_divided_by_the_pieces(tmp_path: Path) -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "price"}
    said = ColumnMapping(columns={**columns, "total": "price"}, kind="purchase", currency="EUR")
    event = _only_event(read_files(_csv(tmp_path, LINE.replace(",1,", ",4,")), said, threads=1))
    assert event["price_micros"] == 625_000


def test_a_decimal_comma_is_read_where_it_is_said(tmp_path: Path) -> None:
    said = ColumnMapping(columns=COLUMNS, kind="purchase", currency="EUR", decimal=",")
    path = _csv(tmp_path, LINE.replace(",", ";").replace("2.50", "1.234,56"), header=HEADER.replace(",", ";"))
    assert _only_event(read_files(path, said, threads=1))["price_micros"] == 1_234_560_000


def test_their_words_for_kinds_are_translated(tmp_path: Path) -> None:
    said = ColumnMapping(
        columns={"subject": "who", "occurred_at": "when", "kind": "did", "item": "what"}, kinds={"looked": "view"}
    )
    path = _csv(tmp_path, "ann,2026-03-01,looked,pen", "ann,2026-03-02,danced,pen", header="who,when,did,what")
    assert _fates(read_files(path, said, threads=1)) == {CLEAN: 1, clean.UNKNOWN_KIND: 1}


def test_whole_numbers_that_became_floats_are_whole_again(tmp_path: Path) -> None:
    assert (
        _only_event(read_files(_csv(tmp_path, LINE.replace("ann", "17850.0")), SHOP, threads=1))["raw_subject"]
        == "17850"
    )


def test_an_item_takes_its_most_frequent_title_and_its_median_price(tmp_path: Path) -> None:
    said = ColumnMapping(columns={**COLUMNS, "title": "title"}, kind="purchase", currency="EUR")
    told = [("1.00", "Pen"), ("2.00", "Pen"), ("9.00", "damaged?"), ("3.00", "")]
    lines = [f"ann,pen,1,{price},2026-03-01,o{n},{title}" for n, (price, title) in enumerate(told)]
    (item,) = (
        read_files(_csv(tmp_path, *lines, header=f"{HEADER},title"), said, threads=1).items.to_pyarrow().to_pylist()
    )
    assert (item["title"], item["price_micros"], item["currency"]) == ("Pen", 2_500_000, "EUR")


def test_the_words_for_the_quarantine_never_hold_the_subject(tmp_path: Path) -> None:
    raw = read_files(_csv(tmp_path, LINE), SHOP, threads=1)
    (words,) = raw.words.to_pyarrow()["raw"].to_pylist()
    assert json.loads(words) == {
        "what": "pen",
        "n": "1",
        "price": "2.50",
        "when": "2026-03-01 12:00:00",
        "order": "o1",
    }


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ([], "a table of keys"),
        ({"kind": "view", "colums": {}}, "'colums' is no key of a mapping; did you mean 'columns'"),
        ({"kind": "view", "columns": {"subject": "who"}}, "name the column of occurred_at"),
        ({"kind": "veiw", "columns": {"subject": "a", "occurred_at": "b"}}, "did you mean 'view'"),
        ({"columns": {"subject": "a", "occurred_at": "b"}}, 'expected kind = "purchase"'),
        ({"kind": "view", "columns": {"subject": "a", "occurred_at": "b", "pryce": "c"}}, "did you mean 'price'"),
        ({"kind": "view", "columns": {"subject": "a", "occurred_at": "b", "price": "c"}}, "since a price is mapped"),
        ({"kind": "view", "columns": {"subject": 1}}, "a dict of text"),
        ({"kind": "view", "zone": "Mars", "columns": {"subject": "a", "occurred_at": "b"}}, "Europe/London"),
        ({"kind": "view", "currency": "euro", "columns": {"subject": "a", "occurred_at": "b"}}, "ISO 4217"),
        ({"kind": "view", "rules": ["less means more"], "columns": {}}, "expected a rule such as"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_cure(said: object, sentence: str) -> None:
    with pytest.raises(SchemaError) as refused:
        mapping_from(said)
    assert sentence in str(refused.value)


def test_a_mapping_may_be_toml_or_json(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('kind = "view"\ncolumns = { subject = "a", occurred_at = "b" }\n')
    (tmp_path / "m.json").write_text('{"kind": "view", "columns": {"subject": "a", "occurred_at": "b"}}')
    assert load_mapping(tmp_path / "m.toml") == load_mapping(tmp_path / "m.json")
    (tmp_path / "m.toml").write_text("kind = ")
    with pytest.raises(SchemaError, match=r"expected m\.toml to be TOML"):
        load_mapping(tmp_path / "m.toml")
    with pytest.raises(SourceError, match="found no file"):
        load_mapping(tmp_path / "no.toml")


def test_the_example_mapping_loads() -> None:
    said = load_mapping(Path(__file__).parents[2] / "examples" / "online_retail_mapping.toml")
    assert (said.currency, said.zone, len(said.rules)) == ("GBP", "Europe/London", 2)


_CELL = st.text(st.characters(codec="utf-8", exclude_characters='\r\n",\x00'), max_size=8)
_GOOD = st.tuples(st.sampled_from(["ann", ""]), _CELL, _CELL, _CELL, st.sampled_from(["2026-03-01", "x"]), _CELL)
_ROW = st.one_of(
    _GOOD.map(lambda cells: ",".join(cells).encode()),
    st.just(LINE.encode()),
    st.just(b"ann,caf\xe9,1,2,2026-03-01,o1"),
    st.integers(2, 8).filter(lambda n: n != 6).map(lambda n: b"x," * (n - 1) + b"x"),
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_ROW, min_size=1, max_size=200))
def test_every_line_of_a_file_ends_somewhere(rows: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(b"\n".join([HEADER.encode(), *rows, b""]))
    raw = read_files(path, SHOP, threads=1)
    assert raw.facts["lines"] == len(rows)
    assert sum(_fates(raw).values()) == len(rows)
