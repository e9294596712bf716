"""Files as one table of text: every row of them is there, and what could not be split into columns says why.

The formats are CSV (comma, semicolon, tab, bar), JSONL, JSON and Parquet; .gz of the first three.
"""

from __future__ import annotations

import csv
import fnmatch
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from zhitou.core.errors import SchemaError, SourceError
from zhitou.events.engine import count_of, json_text, json_type, json_valid, kept, parquet, stored
from zhitou.events.sources.raw import REFUSED

FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
FORMATS |= {".parquet": "parquet", ".pq": "parquet"}
DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 1_048_576
SAMPLE_LINES = 1_000  # JSONL lines whose keys are told when one is missing

NOT_UTF8 = "text that is not UTF-8"
WRONG_WIDTH = "more or fewer columns than the header"
WRONG_QUOTES = "quotation marks that do not close"
NO_JSON = "line that is no JSON object"
UNREADABLE_LINE = "unreadable line"

# the engine's names of what can be wrong with a line of CSV
_REJECTS = {
    "INVALID ENCODING": NOT_UTF8,
    "TOO MANY COLUMNS": WRONG_WIDTH,
    "MISSING COLUMNS": WRONG_WIDTH,
    "UNQUOTED VALUE": WRONG_QUOTES,
}

Require = Callable[[list[str], str], None]


def find_files(data: Path, pattern: str) -> list[Path]:
    """The file, or the files of the folder that match, in name order.

    Refused (SourceError): nothing there, files of several formats, a file of no known format, an empty one.
    """
    if not data.exists():
        near = sorted(p.name for p in data.parent.iterdir()) if data.parent.is_dir() else []
        beside = f"; beside it lie {', '.join(near[:10])}" if near else ""
        raise SourceError(f"expected data at {data}, found nothing{beside}")
    paths = [data] if data.is_file() else _inside(data, pattern)
    formats = {_format(path) for path in paths}
    if len(formats) > 1:
        raise SourceError(
            f'expected files of one format in {data}, got {sorted(formats)}; say files = "*.csv" in the mapping'
        )
    for path in paths:
        if path.stat().st_size == 0:
            raise SourceError(f"expected rows in {path}, the file is empty")
    return paths


def _inside(folder: Path, pattern: str) -> list[Path]:
    known = [p for p in sorted(folder.iterdir()) if p.is_file() and fnmatch.fnmatch(p.name, pattern)]
    known = [p for p in known if _suffix(p) in FORMATS] if pattern == "*" else known
    if not known:
        raise SourceError(f"expected files like {pattern!r} ({', '.join(FORMATS)}, also .gz) in {folder}, found none")
    return known


def _suffix(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _format(path: Path) -> str:
    try:
        return FORMATS[_suffix(path)]
    except KeyError:
        raise SourceError(f"expected one of {', '.join(FORMATS)} (also .gz), got {path.name}") from None


def read_lines(engine: Backend, paths: list[Path], require: Require) -> ir.Table:
    """All rows as text columns, with source_row (1, 2, 3 ... over all files) and REFUSED, kept on the engine.

    require: called with the columns of each file and its name; raises where one is missing.
    Refused (SourceError): a file that cannot be opened to its end, or has no row.
    """
    readers = {"csv": _csv, "jsonl": _jsonl, "json": _json, "parquet": _parquet}
    tables = []
    for number, path in enumerate(paths):
        try:
            table = readers[_format(path)](engine, path, f"file_{number}", require)
        except (duckdb.Error, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SourceError(f"could not read {path} to its end: {_why(error)}; fetch or export it anew") from None
        if not count_of(table.count()):
            raise SourceError(f"expected rows in {path}, found only a header")
        tables.append(table)
    columns = list(dict.fromkeys(name for table in tables for name in table.columns if name != "line_number"))
    aligned = [
        table.select(
            *(_or_null(table, name) for name in columns), line_number=table.line_number, file=ibis.literal(i)
        )
        for i, table in enumerate(tables)
    ]
    together = ibis.union(*aligned, distinct=False) if len(aligned) > 1 else aligned[0]
    row = ibis.row_number().over(order_by=["file", "line_number", REFUSED]) + 1
    return stored(engine, "lines", together.select(*columns, source_row=row.cast("int64")))


def _or_null(table: ir.Table, name: str) -> ir.Value:
    return table[name].name(name) if name in table.columns else ibis.null("string").name(name)


def _why(error: BaseException) -> str:
    if "invalid state" in str(error):  # what the reader says of a file whose lines end in both ways
        return "its lines end sometimes in \\n and sometimes in \\r\\n; save it with one of them"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _csv(engine: Backend, path: Path, name: str, require: Require) -> ir.Table:
    header, delimiter = _header(path)
    require(header, path.name)
    return _split(engine, path, name, header, delimiter, quote='"', has_header=True)


def _header(path: Path) -> tuple[list[str], str]:
    """The names in the first line and the sign between them. Refused: no names, a name twice."""
    head = io.StringIO(_head(path).decode("utf-8-sig", errors="replace"))
    first = head.readline()
    delimiter = max(DELIMITERS, key=first.count)
    head.seek(0)
    names = [name.strip() for name in next(csv.reader(head, delimiter=delimiter), [])]
    if not any(names):
        raise SourceError(f"expected a line with the names of the columns in {path}, found none")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(
            f"expected different names of columns in {path.name}, got {', '.join(map(repr, twice))} twice"
        )
    return names, delimiter


def _head(path: Path) -> bytes:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _split(
    engine: Backend, path: Path, name: str, header: list[str], delimiter: str, *, quote: str, has_header: bool
) -> ir.Table:
    """Rows in the order of the file, then the lines that could not be split, each with its reason."""
    columns = ", ".join(f"{_quoted(column)}: 'VARCHAR'" for column in header)
    engine.raw_sql("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    engine.raw_sql(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT *, row_number() OVER () AS line_number, "  # noqa: S608
        f"NULL::VARCHAR AS {REFUSED} FROM read_csv({_quoted(str(path))}, auto_detect = false, "
        f"columns = {{{columns}}}, header = {str(has_header).lower()}, delim = {_quoted(delimiter)}, "
        f"quote = {_quoted(quote)}, escape = {_quoted(quote)}, store_rejects = true)"
    )
    reasons = " ".join(f"WHEN {_quoted(key)} THEN {_quoted(reason)}" for key, reason in _REJECTS.items())
    _refuse_swallowed(engine, path)
    engine.raw_sql(
        f"INSERT INTO {name} BY NAME SELECT line AS line_number, "  # noqa: S608
        f"CASE min(error_type::VARCHAR) {reasons} ELSE {_quoted(UNREADABLE_LINE)} END AS {REFUSED} "
        "FROM reject_errors GROUP BY file_id, line"
    )
    return kept(engine, name)


def _refuse_swallowed(engine: Backend, path: Path) -> None:
    """Refused (SourceError): a quotation mark that never closes, since it swallows an unknown number of rows."""
    found = engine.raw_sql(
        "SELECT min(line) FROM reject_errors WHERE error_type::VARCHAR LIKE '%LINE SIZE%' "
        "OR (error_type = 'UNQUOTED VALUE' AND contains(rtrim(csv_line, chr(10) || chr(13)), chr(10)))"
    ).fetchone()
    if found and found[0] is not None:
        raise SourceError(
            f"line {found[0]:,} of {path} opens a quotation mark that does not close, and the rows behind it cannot "
            "be told apart; close it or write it twice"
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _jsonl(engine: Backend, path: Path, name: str, require: Require) -> ir.Table:
    lines = _split(engine, path, f"{name}_text", ["line"], "\x01", quote="\x02", has_header=False)
    return _from_json(engine, lines.filter(_not_blank(lines)), path, name, require)


def _not_blank(lines: ir.Table) -> ir.BooleanValue:
    return lines[REFUSED].notnull() | (lines.line.fill_null("").strip() != "")


def _json(engine: Backend, path: Path, name: str, require: Require) -> ir.Table:
    """A file with one array of objects; a file with an object per line is read as JSONL."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        try:
            rows = json.loads(file.read().decode("utf-8-sig", errors="strict"))
        except ValueError:
            return _jsonl(engine, path, name, require)
    if not isinstance(rows, list):
        return _jsonl(engine, path, name, require)
    texts = pa.table(
        {"line": [json.dumps(row) for row in rows], "line_number": pa.array(range(1, len(rows) + 1), pa.int64())}
    )
    table = stored(engine, f"{name}_text", texts)
    return _from_json(engine, table.mutate(**{REFUSED: ibis.null("string")}), path, name, require)


def _from_json(engine: Backend, lines: ir.Table, path: Path, name: str, require: Require) -> ir.Table:
    good = json_valid(lines.line).fill_null(False)
    is_object = (json_type(good.ifelse(lines.line, "null")) == "OBJECT").fill_null(False)
    sample = lines.filter(is_object).select("line").limit(SAMPLE_LINES).to_pyarrow()["line"].to_pylist()
    if not sample:
        raise SourceError(f"expected a JSON object per line in {path}, found none in its lines")
    keys = list(dict.fromkeys(key for line in sample for key in _paths(json.loads(line))))
    require(keys, path.name)
    columns = {key: json_text(is_object.ifelse(lines.line, "{}"), _json_path(key)) for key in keys}
    why = lines[REFUSED].fill_null(is_object.ifelse(ibis.null("string"), NO_JSON))
    return stored(engine, name, lines.select(line_number=lines.line_number, **{REFUSED: why}, **columns))


def _paths(value: dict[str, object], before: str = "") -> list[str]:
    """Keys, with a dot between the levels: properties.price."""
    found = []
    for key, inside in value.items():
        found.append(before + key)
        if isinstance(inside, dict):
            found += _paths(inside, before + key + ".")
    return found


def _json_path(key: str) -> str:
    return "$." + ".".join('"' + re.sub(r'(["\\])', r"\\\1", part) + '"' for part in key.split("."))


def _parquet(engine: Backend, path: Path, name: str, require: Require) -> ir.Table:
    table = parquet(engine, path, f"{name}_parquet")
    require(list(table.columns), path.name)
    texts = {column: table[column].cast("string") for column in table.columns}
    return table.select(**texts, line_number=ibis.row_number().cast("int64") + 1, **{REFUSED: ibis.null("string")})
