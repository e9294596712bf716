"""Everything a batch makes of behaviour before a cut: profiles, segments, rules, written side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.features.acts import COLUMNS, Acts
from zhitou.features.rules import Rules, build_rules
from zhitou.features.segments import Segments, build_segments
from zhitou.features.tags import Profiles, build_profiles
from zhitou.privacy.door import Door

PURPOSE = "profile"


@dataclass(frozen=True)
class FeatureConfig:
    """What the batch looks for. Refused: numbers that cannot be met.

    segments_fewest, segments_most: how many segments are tried. rule_support_min: share of all baskets;
    rule_lift_min: over chance; rule_length_max: things in a rule; rule_sample_baskets: baskets that candidates are
    grown on. threads: of the engine.
    """

    segments_fewest: int = 4
    segments_most: int = 9
    rule_support_min: float = 0.01
    rule_lift_min: float = 1.2
    rule_length_max: int = 3
    rule_sample_baskets: int = 20_000
    threads: int = 2

    def __post_init__(self) -> None:
        if not 1 < self.segments_fewest <= self.segments_most:
            raise ConfigError("segments: expected 1 < segments_fewest <= segments_most")
        if not 0 < self.rule_support_min < 1:
            raise ConfigError(f"rule_support_min is a share of all baskets, got {self.rule_support_min}")
        if self.rule_length_max < 2 or self.rule_sample_baskets < 1 or self.threads < 1:
            raise ConfigError("rule_length_max is 2 or more, rule_sample_baskets and threads 1 or more")


@dataclass(frozen=True)
class FeatureSet:
    """What is known at `at_s` (Unix seconds), strictly from before it."""

    profiles: Profiles
    segments: Segments
    rules: Rules
    at_s: int

    @classmethod
    def read(cls, folder: Path) -> FeatureSet:
        """From the three files that `build_features` wrote. Refused (SourceError): one is missing."""
        profiles = Profiles.read(folder)
        return cls(profiles, Segments.read(folder), Rules.read(folder), profiles.at_s)


def build_features(
    door: Door, items: ItemTable, folder: Path, config: FeatureConfig, chance: Chance, at_s: int
) -> FeatureSet:
    """Read through the door, make the three, write them to `folder`.

    Only shoppers who agreed to a profile, and only what happened, and had arrived, before `at_s` (Unix seconds).
    """
    acts = Acts.build(door.read(PURPOSE, columns=COLUMNS), items, at_s)
    profiles = build_profiles(acts, items, config.threads)
    segments = build_segments(acts, profiles, items, chance, config.segments_fewest, config.segments_most)
    rules = build_rules(
        acts,
        items,
        chance,
        config.rule_support_min,
        config.rule_lift_min,
        config.rule_length_max,
        config.rule_sample_baskets,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for part in (profiles, segments, rules):
        part.write(folder)
    return FeatureSet(profiles, segments, rules, at_s)
