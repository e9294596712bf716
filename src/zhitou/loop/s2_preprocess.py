"""Stage 2: duplicates, missing values, outliers, robots, sessions; what is refused is counted and kept."""

from __future__ import annotations

from pathlib import Path

from zhitou.configs import Config
from zhitou.core.clock import Clock
from zhitou.events.prepare import Prepared, prepare
from zhitou.events.sources.raw import RawBehaviour
from zhitou.loop.narrator import Narrator
from zhitou.privacy.pseudonyms import Pseudonyms


def preprocess(
    narrator: Narrator, raw: RawBehaviour, folder: Path, pseudonyms: Pseudonyms, config: Config, clock: Clock
) -> Prepared:
    """Clean behaviour in `folder`, with the report of its quality."""
    with narrator.stage("preprocess", "clean it; refuse with a reason and a count"):
        prepared = prepare(raw, folder, pseudonyms, config.prepare, clock.now_us())
        narrator.fact(
            f"{prepared.rows_in:,} rows in = {prepared.events:,} clean + {prepared.duplicates:,} duplicates + "
            f"{sum(prepared.quarantined.values()):,} in quarantine"
        )
        for reason, count in list(prepared.quarantined.items())[:6]:
            narrator.fact(f"  {count:,} of {prepared.rows_in:,} refused: {reason}")
        failed = [check for check in prepared.checks if not check.passed]
        narrator.fact(f"{len(prepared.checks) - len(failed)} of {len(prepared.checks)} checks passed")
        for check in failed:
            narrator.fact(f"  FAIL {check.name}: {check.sentence}")
        narrator.fact(f"wrote {folder}/ (events, items, quarantine, quality.html)")
    return prepared
