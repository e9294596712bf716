"""The one place that knows which engine runs the Ibis expressions: DuckDB, in this process, without a server.

The few functions that Ibis has no word for are declared here by the engine's own name.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

THREADS = 2
MEMORY_MB = 1_200  # DuckDB spills to disk above this; the rest of the 2 GB belongs to Arrow and Python

_SPILL = Path(tempfile.gettempdir()) / "zhitou-spill"


def open_engine(threads: int = THREADS, memory_mb: int = MEMORY_MB) -> Backend:
    """A fresh in-memory DuckDB behind Ibis; times are UTC. Refused: no thread, less than 100 MB."""
    assert threads >= 1, "an engine needs at least one thread"
    assert memory_mb >= 100, "an engine needs at least 100 MB"
    return ibis.duckdb.connect(threads=threads, memory_limit=f"{memory_mb}MB", temp_directory=str(_SPILL))


def stored(engine: Backend, name: str, table: ir.Table | pa.Table) -> ir.Table:
    """The rows of `table`, computed once and kept on the engine under this name; an older table of it goes."""
    expression = ibis.memtable(table) if isinstance(table, pa.Table) else table
    # Ibis 12 writes a DROP without its table's name for overwrite=True, so the old table goes in plain SQL
    engine.raw_sql(f'DROP TABLE IF EXISTS temp.main."{name}"')
    with _quiet():
        return engine.create_table(name, expression, temp=True)


def count_of(value: ir.IntegerScalar) -> int:
    """A count as a whole number; 0 where there was nothing to count."""
    return int(value.to_pyarrow().as_py() or 0)


def kept(engine: Backend, name: str) -> ir.Table:
    """The temporary table of this name."""
    with _quiet():
        return engine.table(name, database=("temp", "main"))


def parquet(engine: Backend, path: Path, name: str) -> ir.Table:
    """The rows of a Parquet file, read when they are needed."""
    with _quiet():
        return engine.read_parquet(path, table_name=name)


@contextmanager
def _quiet() -> Iterator[None]:
    # Ibis 12 asks for a table's columns by a method that DuckDB 2 announces to remove
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fetch_arrow_table", category=DeprecationWarning)
        yield


def batches(engine: Backend, table: ir.Table, rows: int) -> pa.RecordBatchReader:
    """The rows of `table` in order, about `rows` at a time, so that no result needs to fit into memory."""
    # Ibis 12 asks the connection for a method that DuckDB 2 no longer has, so the compiled query runs here
    relation = engine.con.sql(engine.compile(table))
    read = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader  # DuckDB 1 says it so
    return read(rows)


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp('UTC')",), "int64"))
def epoch_us(at):  # type: ignore[no-untyped-def]
    """Microseconds since 1970-01-01 UTC."""


@ibis.udf.scalar.builtin(name="make_timestamptz", signature=(("int64",), "timestamp('UTC', 6)"))
def at_epoch_us(us):  # type: ignore[no-untyped-def]
    """The instant this many microseconds after 1970-01-01 UTC."""


@ibis.udf.scalar.builtin(name="bit_count", signature=(("int64",), "int8"))
def bit_count(word):  # type: ignore[no-untyped-def]
    """How many bits are set."""


@ibis.udf.scalar.builtin(name="timezone", signature=(("string", "timestamp(6)"), "timestamp('UTC', 6)"))
def local_time(zone, at):  # type: ignore[no-untyped-def]
    """The instant at which a wall clock in `zone` shows `at`."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=(("string", "string"), "timestamp(6)"))
def read_time(text, form):  # type: ignore[no-untyped-def]
    """The time that `text` says in this strptime form, null if it says none."""


@ibis.udf.scalar.builtin(name="json_valid", signature=(("string",), "boolean"))
def json_valid(text):  # type: ignore[no-untyped-def]
    """Whether `text` is JSON."""


@ibis.udf.scalar.builtin(name="json_type", signature=(("string",), "string"))
def json_type(text):  # type: ignore[no-untyped-def]
    """OBJECT, ARRAY, VARCHAR ...; an error where `text` is no JSON."""


@ibis.udf.scalar.builtin(name="json_extract_string", signature=(("string", "string"), "string"))
def json_text(text, path):  # type: ignore[no-untyped-def]
    """The value at this path as text, null where there is none."""


@ibis.udf.scalar.builtin(name="json_quote", signature=(("string",), "string"))
def json_quote(text):  # type: ignore[no-untyped-def]
    """`text` as a JSON string with its quotation marks, null for null."""


def json_object(**fields: ir.Value) -> ir.StringValue:
    """A JSON object of these columns; numbers stay numbers, what is null is left out, `{}` if all are."""
    parts: list[ir.Value] = []
    for key, value in fields.items():
        text = json_quote(value) if value.type().is_string() else value.cast("string")
        parts.append((ibis.literal("," + json.dumps(key) + ":") + text).fill_null(""))
    joined = parts[0]
    for part in parts[1:]:
        joined = joined + part
    return ibis.literal("{") + joined[1:] + ibis.literal("}")
