"""Runs are functions that return a frozen Config: tiny() for tests, laptop() for the demonstration.

One dial first: pick a function; change single values with dataclasses.replace.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from zhitou.core.errors import ConfigError
from zhitou.events.clean import PrepareConfig
from zhitou.features.build import FeatureConfig
from zhitou.interest import config as interest
from zhitou.interest.config import InterestConfig
from zhitou.market.campaigns import DemoConfig
from zhitou.market.config import MarketConfig
from zhitou.privacy.consent import SILENT
from zhitou.response.train import ResponseConfig


@dataclass(frozen=True)
class StudyConfig:
    """How the market is played. Every policy lives through the same days in its own copy of each seed's world.

    warm_days: everybody shows ads at random and logs; learn_days: each policy serves and learns; report_days:
    what the table reports. conversion_days: how long after a click a conversion counts. gamma: how greedy our
    policy is (exploration.inverse_gap). seeds: independent worlds. processes: worlds played side by side.
    """

    seeds: int = 10
    warm_days: int = 5
    learn_days: int = 5
    report_days: int = 5
    slots: int = 2
    size: tuple[int, int] = (300, 250)
    campaigns: int = 24
    items_per_campaign: int = 8
    conversion_days: int = 2
    gamma: float = 300.0
    processes: int = 2

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ConfigError(f"an interval needs at least 2 seeds, got {self.seeds}")
        if min(self.warm_days, self.learn_days, self.report_days, self.slots, self.processes) < 1:
            raise ConfigError("days, slots and processes are at least 1")

    @property
    def days(self) -> int:
        """All days of a world."""
        return self.warm_days + self.learn_days + self.report_days


@dataclass(frozen=True)
class Config:
    """Everything a run depends on besides its data.

    judge_days: the last days of the data, kept from every model; the next basket is judged on them and the market
    plays there. refuse_share: share of shoppers whose refusal of a profile is simulated, because the public data
    sets hold no consent. real_shoppers: pseudonyms come from a key drawn by the system instead of one that follows
    from the seed. consent_default: what a silent shopper is taken to have granted.
    """

    name: str
    seed: int = 1
    tenant: str = "demo"
    judge_days: int = 56
    refuse_share: float = 0.02
    real_shoppers: bool = False
    consent_default: tuple[str, ...] = SILENT
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    interest: InterestConfig = field(default_factory=InterestConfig)
    response: ResponseConfig = field(default_factory=ResponseConfig)
    market: MarketConfig = field(default_factory=MarketConfig)
    advertisers: DemoConfig = field(default_factory=DemoConfig)
    study: StudyConfig = field(default_factory=StudyConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.refuse_share < 1:
            raise ConfigError(f"refuse_share is a share below 1, got {self.refuse_share}")
        if self.judge_days < 1:
            raise ConfigError(f"judge_days is at least 1, got {self.judge_days}")


def tiny(seed: int = 1) -> Config:
    """Seconds on a made-up shop of some dozens of shoppers: what the tests of the loop run."""
    return Config(
        name="tiny",
        seed=seed,
        judge_days=14,
        interest=interest.tiny(),
        market=MarketConfig(visits_per_week=14.0, click_rate=0.1),
        advertisers=DemoConfig(click_rate=0.1, visits_per_week=14.0),
        response=ResponseConfig(expected_ctr=0.1),
        study=StudyConfig(
            seeds=2, warm_days=1, learn_days=1, report_days=1, campaigns=4, items_per_campaign=3, processes=1
        ),
    )


def laptop(seed: int = 1) -> Config:
    """Minutes on two cores: what `make demo` uses."""
    return replace(Config(name="laptop", seed=seed), interest=interest.laptop())


def own_data(seed: int = 1) -> Config:
    """For a user's own shoppers: a secret key, no simulated refusals, and training that stops by its own later slice.

    What `zhitou run` and `zhitou prepare --data` use.
    """
    own = replace(laptop(seed), name="own_data", refuse_share=0.0, real_shoppers=True)
    return replace(own, interest=interest.careful())
