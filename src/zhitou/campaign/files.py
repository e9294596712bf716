"""Campaigns as a JSON file: what an advertiser edits and what the loop writes."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from zhitou.campaign.campaign import Campaign, Caps, Flight, Material, Targeting
from zhitou.core.errors import ConfigError, SchemaError, SourceError

_PARTS = {"flight": Flight, "targeting": Targeting, "caps": Caps, "material": Material}


def write_campaigns(path: Path, campaigns: tuple[Campaign, ...]) -> None:
    """The campaigns as indented JSON, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(c) for c in campaigns], indent=1, ensure_ascii=False) + "\n")


def read_campaigns(path: Path) -> tuple[Campaign, ...]:
    """The campaigns in this file.

    Refused: a missing file (SourceError), text that is no list of campaigns, unknown or missing fields, two
    campaigns of one id (SchemaError), values out of range (ConfigError of the campaign).
    """
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError:
        raise SourceError(f"expected campaigns at {path}, found none; run `zhitou demo` or write them") from None
    except ValueError as error:
        raise SchemaError(f"expected JSON in {path}: {error}") from None
    if not isinstance(rows, list):
        raise SchemaError(f"expected a list of campaigns in {path}, got {type(rows).__name__}")
    campaigns = tuple(_campaign(row, number) for number, row in enumerate(rows))
    if len({c.campaign_id for c in campaigns}) < len(campaigns):
        raise SchemaError(f"two campaigns in {path} have the same campaign_id")
    return campaigns


def redated(campaigns: tuple[Campaign, ...], shift_us: int, days_more: int = 0) -> tuple[Campaign, ...]:
    """The same campaigns, every flight moved by shift_us and lengthened by whole days at the same daily budget."""
    more_us = days_more * 86_400_000_000
    return tuple(
        replace(
            c,
            flight=Flight(
                c.flight.start_us + shift_us,
                c.flight.end_us + shift_us + more_us,
                c.flight.budget_micros_total + days_more * c.flight.budget_micros_daily,
                c.flight.budget_micros_daily,
            ),
        )
        for c in campaigns
    )


def _campaign(row: Any, number: int) -> Campaign:
    try:
        parts = {
            key: _PARTS[key](**_tuples(value)) if key in _PARTS else value for key, value in _tuples(row).items()
        }
        return Campaign(**parts)
    except ConfigError:
        raise
    except (TypeError, AttributeError) as error:
        raise SchemaError(f"campaign {number}: {error}; see docs/campaign.md for the fields") from None


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
