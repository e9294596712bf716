"""Stage 1: behaviour comes in, from the default data set or from a user's own files."""

from __future__ import annotations

from pathlib import Path

from zhitou.core.errors import ConfigError
from zhitou.events.sources.complete_journey import read_complete_journey
from zhitou.events.sources.files import read_files
from zhitou.events.sources.raw import RawBehaviour
from zhitou.events.sources.segment import read_segment
from zhitou.loop.narrator import Narrator

SEGMENT = "segment"


def collect(narrator: Narrator, data: Path | None = None, mapping: Path | None = None) -> RawBehaviour:
    """The behaviour to work on: The Complete Journey, or `data` as `mapping` describes it.

    data: a file or folder; mapping: a mapping file (docs/events.md), or the word "segment" for Segment's JSONL.
    Refused (ConfigError): data without a mapping, or a mapping without data.
    """
    with narrator.stage("behaviour", "read what shoppers did, in the words of the event contract"):
        if data is None and mapping is None:
            raw = read_complete_journey()
        elif data is None or mapping is None:
            raise ConfigError("expected --data and --mapping together; docs/events.md shows a mapping of ten lines")
        elif str(mapping) == SEGMENT:
            raw = read_segment(data)
        else:
            raw = read_files(data, mapping)
        narrator.fact(f"{raw.name}: {raw.about}")
        narrator.fact(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in raw.facts.items()))
    return raw
