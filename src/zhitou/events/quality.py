"""The quality report: what came, what was kept, what was not and why, as JSON for programs and HTML for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from zhitou.events import clean
from zhitou.events.checks import CLEAN, DUPLICATE, RETURNED, Census, Check
from zhitou.events.clean import PrepareConfig
from zhitou.events.sources.raw import RawBehaviour

JSON_FILE = "quality.json"
HTML_FILE = "quality.html"

POLICIES = (
    (
        "exact duplicates",
        "The first row stays; later rows with the same id, or the same event in other words, are dropped.",
    ),
    (
        "no shopper named",
        "Quarantined: of no use for one person's interest. They stay counted, and their words stay.",
    ),
    ("returns", "Kept as kind refund with a positive quantity, where the mapping or the sender says so."),
    ("no positive quantity", "Quarantined, unless it is a return."),
    ("no positive price", "Quarantined for purchases and refunds; other kinds may leave the price out."),
    ("service lines", "Postage, charges, corrections: quarantined, since no item of the catalogue was chosen."),
    ("missing price, quantity, session, channel", "Unknown, never zero: null where the kind does not need it."),
    ("missing arrival time", "Set to the time of occurrence: as if learnt at once."),
    ("impossible times", "Quarantined: before the shop existed, or more than a day after arrival."),
    ("clock skew of up to a day", "The time of occurrence is set to the arrival."),
    ("unusual prices and quantities", "Set to the stated quantile of their item or category, and counted."),
    ("robots", "All rows of a subject with superhuman rates are quarantined."),
    ("another currency", "Quarantined, while the minority is small; else the source is refused."),
    ("items that the feed does not list", "The events are kept; the catalogue gains nothing without a title."),
)


def report(
    raw: RawBehaviour, census: Census, checks: Sequence[Check], ours: Mapping[str, int], config: PrepareConfig
) -> dict[str, object]:
    """Everything that quality.json says, as plain values."""
    return {
        "source": {"name": raw.name, "about": raw.about, "currency": raw.currency},
        "rows": {
            "in": census.total,
            "clean": census.with_fate(CLEAN),
            "duplicates": census.with_fate(DUPLICATE),
            "quarantined": sum(census.quarantined.values()),
        },
        "quarantine": [{"reason": reason, "count": count} for reason, count in census.quarantined.items()],
        "checks": [asdict(check) for check in checks],
        "facts": _facts(raw, census, ours),
        "policies": [{"case": case, "policy": policy} for case, policy in POLICIES],
        "config": asdict(config),
        "order_of_judgement": list(clean.REASONS),
    }


def _facts(raw: RawBehaviour, census: Census, ours: Mapping[str, int]) -> list[dict[str, object]]:
    """Each count of the source beside what our checks counted in its rows, and what is left in what we wrote."""
    seen = {
        "lines": census.total,
        "exact_duplicates": census.with_fate(DUPLICATE),
        "lines_without_shopper": sum(census.fates_of(clean.NO_SUBJECT).values()),
        "lines_without_positive_quantity": sum(census.fates_of(RETURNED).values()),
        "lines_without_positive_price": sum(census.fates_of(clean.NO_PRICE).values()),
    }
    left = {**ours, "lines": census.with_fate(CLEAN)} | dict.fromkeys([name for name in seen if name != "lines"], 0)
    return [
        {"name": name, "source": count, "counted": seen.get(name), "ours": left.get(name)}
        for name, count in raw.facts.items()
    ]


def write(quality: Mapping[str, object], folder: Path) -> None:
    """quality.json and quality.html in `folder`."""
    (folder / JSON_FILE).write_text(json.dumps(quality, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    pages = Environment(loader=PackageLoader("zhitou.events", "."), autoescape=True, undefined=StrictUndefined)
    pages.filters["count"] = lambda number: f"{number:,}"
    (folder / HTML_FILE).write_text(pages.get_template(HTML_FILE).render(q=quality), encoding="utf-8")
