"""Stage 3: tags, preferences, segments and association rules, from behaviour before the cut alone."""

from __future__ import annotations

from pathlib import Path

from zhitou.assembly import Shop
from zhitou.core import columns as c
from zhitou.features.build import FeatureSet, build_features
from zhitou.loop.narrator import Narrator


def mine(narrator: Narrator, shop: Shop, folder: Path) -> FeatureSet:
    """What can be said of shoppers in words, written to `folder`."""
    with narrator.stage("features", "tags, preferences, segments, association rules"):
        found = build_features(
            shop.door, shop.items, folder, shop.config.features, shop.chance.child("features"), shop.cut_s
        )
        narrator.fact(f"{len(found.profiles):,} profiles; one of them:")
        for line in found.profiles.describe(_typical(found))[:4]:
            narrator.fact(f"  {line}")
        narrator.fact(f"{len(found.segments.segments)} segments:")
        for segment in found.segments.segments:
            narrator.fact(f"  {segment.description}")
        narrator.fact(f"{len(found.rules.rules):,} association rules, the strongest:")
        for words in found.rules.top(4):
            narrator.fact(f"  {words}")
        narrator.fact(f"wrote {folder}/")
    return found


def _typical(found: FeatureSet) -> str:
    """A subject from the middle of the table, to show what a profile looks like."""
    return str(found.profiles.table[c.SUBJECT][len(found.profiles) // 2])
