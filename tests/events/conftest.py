"""Small helps of the tests of events: a shop's rows in the eye, prepared in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zhitou.events.clean import PrepareConfig
from zhitou.events.engine import open_engine, stored
from zhitou.events.prepare import Prepared, prepare
from zhitou.events.sources.raw import ITEM_TYPES, RAW_TYPES, RawBehaviour, in_memory
from zhitou.privacy.pseudonyms import Pseudonyms

NOW_US = 1_780_000_000_000_000  # 2026-05-28
DAY_US = 86_400_000_000


def _row(**said: object) -> dict[str, object]:
    """A purchase of one pen for 2 EUR by Ann, two days ago, unless said otherwise."""
    plain = {"raw_subject": "ann@example.org", "kind": "purchase", "item": "pen", "quantity": 1}
    plain |= {"price_micros": 2_000_000, "currency": "EUR", "occurred_at": NOW_US - 2 * DAY_US}
    return {**plain, **said}


def _shop(rows: list[dict[str, object]], **more: object) -> RawBehaviour:
    """A source of these rows; its catalogue lists pens and ink."""
    numbered = [{"source_row": number, **said} for number, said in enumerate(rows)]
    items = [
        {"item": name, "title": name.title(), "category": "Writing", "currency": "EUR"} for name in ("ink", "pen")
    ]
    engine = open_engine(threads=1)
    given = {
        "name": "shop",
        "about": "Rows of a test.",
        "currency": "EUR",
        "engine": engine,
        "events": stored(engine, "rows", in_memory(numbered, RAW_TYPES)),
        "items": stored(engine, "feed", in_memory(items, ITEM_TYPES)),
        "facts": {"lines": len(rows)},
    }
    return RawBehaviour(**{**given, **more})


@pytest.fixture
def row() -> Callable[..., dict[str, object]]:
    """row(kind="view", ...): a row of the raw form, a purchase of a pen unless said otherwise."""
    return _row


@pytest.fixture
def shop() -> Callable[..., RawBehaviour]:
    """shop(rows): a source of these rows."""
    return _shop


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., Prepared]:
    """prepared(raw, **dials): the folder that `prepare` makes of it at NOW_US."""

    def run(raw: RawBehaviour, **dials: object) -> Prepared:
        config = PrepareConfig(**{"threads": 1, **dials})
        return prepare(raw, tmp_path / "prepared", Pseudonyms("test", b"k" * 32), config, NOW_US)

    return run
