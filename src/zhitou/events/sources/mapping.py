"""A mapping says in about ten lines which column of a file is what. TOML or JSON; docs/events.md shows one."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from zoneinfo import ZoneInfo

from zhitou.core import columns as c
from zhitou.core.errors import SchemaError, SourceError
from zhitou.events.schema import KINDS

# besides the fields of an event: a price in units of the currency, a total of the line, and words of the item
PRICE, TOTAL = "price", "total"
EVENT_FIELDS = (
    c.EVENT_ID,
    c.SUBJECT,
    c.KIND,
    c.ITEM,
    c.QUANTITY,
    PRICE,
    TOTAL,
    c.PRICE_MICROS,
    c.CURRENCY,
    c.OCCURRED_AT,
    c.RECEIVED_AT,
    c.SESSION,
    c.CHANNEL,
    c.DECISION_ID,
    c.ORDER_ID,
)
ITEM_FIELDS = (c.TITLE, c.DESCRIPTION, c.CATEGORY, c.BRAND, c.IMAGE)
SERVICE = "service"  # what a rule calls a line that is about no item: postage, charges

_RULE = re.compile(
    r"(?P<field>\w+) (?:(?P<below>below) (?P<number>zero|-?\d+(?:\.\d+)?)|(?P<starts>starts with) (?P<prefix>.+?)"
    r"|(?P<one>is) (?P<values>.+?)) means (?P<kind>\w+)"
)
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Rule:
    """When `field` is below `below`, starts with `prefix` or is one of `values`, the row's kind is `kind`."""

    field: str
    kind: str
    below: float | None = None
    prefix: str | None = None
    values: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Rule:
        """From words. Refused (SchemaError): words of another form, a field or kind that does not exist.

        >>> Rule.parse("quantity below zero means refund")
        Rule(field='quantity', kind='refund', below=0.0, prefix=None, values=())
        >>> Rule.parse("item is POST, BANK CHARGES means service").values
        ('POST', 'BANK CHARGES')
        """
        found = _RULE.fullmatch(text.strip())
        if not found:
            raise SchemaError(
                f"expected a rule such as 'quantity below zero means refund', 'order_id starts with C means refund' "
                f"or 'item is POST, M means service', got {text!r}"
            )
        _known(found["field"], EVENT_FIELDS, "field of a rule")
        _known(found["kind"], (*KINDS, SERVICE), "kind of a rule")
        number = found["number"]
        return cls(
            field=found["field"],
            kind=found["kind"],
            below=None if number is None else 0.0 if number == "zero" else float(number),
            prefix=found["prefix"],
            values=tuple(v.strip() for v in found["values"].split(",")) if found["values"] else (),
        )


@dataclass(frozen=True)
class ColumnMapping:
    """Which column is what, and what holds for every row. The names of the fields are the keys of the file.

    columns: our field -> their column. context: key of the context -> their column. kinds: their word -> our kind.
    time_format: strptime form, "unix", "unix_ms", "unix_us", or None for ISO 8601. zone: of times without an offset.
    currency: None = the most frequent one of the currency column. files: which files of a folder are read.
    decimal: the decimal sign of numbers.
    """

    columns: Mapping[str, str]
    name: str = "files"
    about: str = "Behaviour from files of the user."
    files: str = "*"
    currency: str | None = None
    kind: str | None = None
    channel: str | None = None
    time_format: str | None = None
    zone: str = "UTC"
    decimal: str = "."
    context: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for name in self.columns:
            _known(name, (*EVENT_FIELDS, *ITEM_FIELDS), "field in [columns]")
        for needed in (c.SUBJECT, c.OCCURRED_AT):
            if needed not in self.columns:
                raise SchemaError(f'expected [columns] to name the column of {needed}; add {needed} = "<column>"')
        if self.kind is None and c.KIND not in self.columns:
            raise SchemaError('expected kind = "purchase" for every row, or kind = "<column>" in [columns]')
        for kind in (*self.kinds.values(), *([self.kind] if self.kind else [])):
            _known(kind, (*KINDS, SERVICE), "kind")
        if self.currency is not None and not _CURRENCY.fullmatch(self.currency):
            raise SchemaError(f"expected currency to be an ISO 4217 code such as EUR, got {self.currency!r}")
        if self.priced and self.currency is None and c.CURRENCY not in self.columns:
            raise SchemaError('expected currency = "EUR" (say), or a column for it, since a price is mapped')
        if self.decimal not in (".", ","):
            raise SchemaError(f"expected decimal to be '.' or ',', got {self.decimal!r}")
        try:
            ZoneInfo(self.zone)
        except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError of an unknown name
            raise SchemaError(f"expected zone to be a name such as Europe/London, got {self.zone!r}") from None
        except KeyError:
            raise SchemaError(f"expected zone to be a name such as Europe/London, got {self.zone!r}") from None

    @property
    def priced(self) -> bool:
        """Whether some column says what was paid."""
        return any(name in self.columns for name in (PRICE, TOTAL, c.PRICE_MICROS))

    def wanted(self) -> list[str]:
        """Every column of theirs that the mapping names, once, in its order."""
        return list(dict.fromkeys([*self.columns.values(), *self.context.values()]))


def load_mapping(path: Path) -> ColumnMapping:
    """The mapping in a .toml or .json file. Refused: no file (SourceError), unknown keys (SchemaError)."""
    if not path.is_file():
        raise SourceError(f"expected a mapping at {path}, found no file; docs/events.md shows one of ten lines")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        said = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(f"expected {path.name} to be {path.suffix[1:].upper() or 'TOML'}: {error}") from None
    return mapping_from(said)


def mapping_from(said: object) -> ColumnMapping:
    """The mapping in plain values. Refused (SchemaError): values of another form than ColumnMapping says."""
    if not isinstance(said, dict):
        raise SchemaError(f"expected a mapping to be a table of keys, got {type(said).__name__}")
    known = [f.name for f in fields(ColumnMapping)]
    for key, value in said.items():
        _known(key, known, "key of a mapping")
        tables, lists = ("columns", "context", "kinds"), ("rules",)
        form = dict if key in tables else list if key in lists else str
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, form) or not all(isinstance(v, str) for v in inside):
            raise SchemaError(f"expected {key} to be a {form.__name__} of text, got {value!r}")
    rules = tuple(Rule.parse(text) for text in said.get("rules", ()))
    return ColumnMapping(**{"columns": {}, **said, "rules": rules})


def require_columns(wanted: Iterable[str], there: Iterable[str], file: str) -> None:
    """Refused (SchemaError): a wanted column that is not there; says which are, and the closest one."""
    there = list(there)
    for column in wanted:
        if column not in there:
            columns = ", ".join(map(repr, there))
            near = _closest(column, there)
            raise SchemaError(f"expected a column {column!r} in {file}; its columns are {columns}{near}")


def _known(word: str, words: Iterable[str], what: str) -> None:
    words = list(words)
    if word not in words:
        raise SchemaError(f"{word!r} is no {what}{_closest(word, words)}; known are {', '.join(words)}")


def _closest(word: str, words: Iterable[str]) -> str:
    lower = {other.lower(): other for other in words}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
