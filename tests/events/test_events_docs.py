"""The page for senders and the code say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from zhitou.events.clean import CONTEXT_BYTES_MAX, PrepareConfig
from zhitou.events.schema import EVENT_SCHEMA, KINDS
from zhitou.events.sources.mapping import mapping_from
from zhitou.events.sources.segment import KIND_OF, events_of

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.S))


@pytest.mark.parametrize("name", [*EVENT_SCHEMA.names, *KINDS])
def test_every_field_and_every_kind_has_its_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", PAGE, flags=re.M)


def test_no_row_of_the_two_tables_is_invented() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M) == [*EVENT_SCHEMA.names, *KINDS]


def test_the_mapping_on_the_page_is_a_mapping() -> None:
    said = mapping_from(tomllib.loads(BLOCKS["toml"]))
    assert said.columns["subject"] == "CustomerID"
    assert [rule.kind for rule in said.rules] == ["refund", "service"]


def test_the_message_on_the_page_is_read_as_the_page_says() -> None:
    import json

    (row,) = events_of(json.loads(BLOCKS["json"]))
    assert (row["kind"], row["event_id"], row["item"], row["quantity"]) == ("purchase", "m-1/0", "p-1", 2)
    assert row["price_micros"] == 9_500_000
    assert row["occurred_at"] == row["received_at"] - 1_000_000  # 12:00:02, a second before it was received


def test_the_limits_on_the_page_are_the_defaults() -> None:
    config = PrepareConfig()
    limits = (config.actions_minute_max, config.actions_day_max, config.items_day_max, config.winsor_lines_min)
    for number in (*limits, CONTEXT_BYTES_MAX):
        assert f"{number:,}" in PAGE
    assert f"{config.winsor_low:.2%}".replace("%", " %") in PAGE
    assert f"{config.winsor_high:.2%}".replace("%", " %") in PAGE


def test_segments_events_are_mapped_as_the_page_says() -> None:
    prose = re.sub(r"\s+", " ", PAGE)
    for theirs in ("Product Added", "Product Removed", "Product Added to Wishlist"):
        assert f"{theirs} `{KIND_OF[theirs.lower()]}`" in prose
