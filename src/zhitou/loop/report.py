"""The report of a run: one self-contained page that says what was found, and what of it is real."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from zhitou.assembly import REPORT_FILE
from zhitou.loop import pictures
from zhitou.loop.run import Outcome
from zhitou.loop.study import POLICIES, verdicts

BANNERS = 9


def write_report(outcome: Outcome) -> Path:
    """Write report.html into the run's folder; returns its path."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zhitou.loop"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html").render(plotly=get_plotlyjs(), **_values(outcome))
    path = outcome.folder / REPORT_FILE
    path.write_text(page, encoding="utf-8")
    return path


def _values(outcome: Outcome) -> dict[str, Any]:
    """What the page shows, as plain values and finished pictures."""
    results, lead = outcome.results, outcome.results[0]
    return {
        "source": outcome.source,
        "about": outcome.about,
        "config": outcome.config,
        "prepared": outcome.prepared,
        "checks": outcome.prepared.checks,
        "lines": outcome.lines,
        "verdicts": verdicts(outcome.lines),
        "seeds": len(results),
        "study": outcome.config.study,
        "promoted": sum(r.verdict.promote for r in results),
        "lead": lead,
        "over": sum(t.over_budget_micros for r in results for t in r.tallies.values()),
        "trained": outcome.trained,
        "margins": outcome.trained.margins,
        "segments": outcome.features.segments.segments,
        "rules": outcome.features.rules.top(8),
        "banners": _banners(outcome),
        "refused_banners": len(outcome.shelf.rejected),
        "approved_banners": len(outcome.shelf),
        "decision_ids": [d for batch in lead.decisions[:1] for d in batch.decision_ids[:5]],
        "seconds": outcome.seconds,
        "policies": POLICIES,
        "pictures": _pictures(outcome),
        "comparison": lead.comparison,
    }


def _pictures(outcome: Outcome) -> dict[str, str]:
    lead, book = outcome.results[0], outcome.stage.book
    drawn = {
        "policies": pictures.policies(outcome.lines),
        "headroom": pictures.headroom(outcome.lines),
        "next_basket": pictures.next_basket(outcome.trained.standings),
    }
    if outcome.trained.curve:
        drawn["training"] = pictures.training(outcome.trained.curve)
    if lead.spend_by_hour is not None:
        budgets = np.asarray([c.flight.budget_micros_daily for c in book.campaigns], dtype=np.int64)
        names = [c.name for c in book.campaigns]
        days = outcome.config.study.report_days
        drawn["spend"] = pictures.spend(lead.spend_by_hour, names, budgets, days, outcome.stage.shop.items.currency)
    if lead.shown is not None and lead.models is not None:
        examined = lead.models[1].examination[np.minimum(lead.shown.slot, len(lead.models[1].examination) - 1)]
        drawn["calibration"] = pictures.calibration(lead.shown.pctr * examined, lead.shown.clicked)
    return {name: pictures.html(figure) for name, figure in drawn.items()}


def _banners(outcome: Outcome) -> list[dict[str, Any]]:
    """Some approved banners of each size as data URIs, from different campaigns."""
    found: list[dict[str, Any]] = []
    by_size: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for record in outcome.shelf.records:
        if record["creative_id"]:
            by_size.setdefault(tuple(record["size"]), []).append(record)
    for size, records in sorted(by_size.items(), key=lambda pair: -pair[0][1]):
        step = max(1, len(records) // BANNERS)
        for record in records[::step][: BANNERS if size[1] > 100 else 3]:
            data, media = outcome.shelf.content(record["creative_id"], "png")
            uri = f"data:{media};base64,{base64.b64encode(data).decode()}"
            found.append({"uri": uri, "width": size[0], "height": size[1], "title": record["facts"]["title"]})
    return found
