"""What the market assumes. Everything else about it is fitted; docs/market.md gives the source of each number."""

from __future__ import annotations

from dataclasses import dataclass

from zhitou.core.errors import ConfigError


@dataclass(frozen=True)
class MarketConfig:
    """Dials of fit and world. Weights are on the logit scale; `sd` is a standard deviation there.

    Refused: a slot that is looked at more than the first, rates outside (0, 1), no slot at all.
    """

    # fit
    factors: int = 16  # shopping motives in the household x type factorisation
    iterations: int = 20
    loose_types_max: int = 4_000  # items without a category are types of their own, at most so many

    # traffic
    visits_per_week: float = 10.0  # of an average shopper; 2,469 of them make 147 an hour
    slots_max: int = 4
    examination: tuple[float, ...] = (1.0, 0.7)  # how much each slot is looked at against the first

    # clicks: what a model can learn from behaviour
    click_rate: float = 0.01  # mean over shoppers, ads and slots under a uniformly random policy
    taste_weight: float = 0.68
    popularity_weight: float = 0.26
    brand_weight: float = 0.35
    own_item_weight: float = 0.25
    due_weight: float = 0.5
    price_fit_weight: float = 0.3
    deal_weight: float = 0.5  # share of the fitted price elasticity that already acts on the click
    taste_clip: float = 2.5

    # clicks: what no behaviour shows, only feedback
    ad_spread: float | None = None  # sd of the ads' log mean click rates; None: as the parts above and ad_sd make it
    ad_sd: float = 0.2
    item_sd: float = 0.35
    brand_sd: float = 0.3
    drift_sd: float = 0.35
    drift_memory: float = 0.9  # of one day for the next
    trend_sd: float = 0.15
    hour_sd: float = 0.1
    fatigue_weight: float = 0.25
    fatigue_days: float = 3.0

    # conversions
    conversion_rate: float = 0.05  # used only where no response to earlier campaigns is in the data
    conversion_taste_share: float = 0.5  # of the click's taste that acts again on buying
    conversion_sd: float = 0.3
    at_once_share: float = 0.5  # of conversions that follow within the visit
    at_once_minutes: float = 20.0
    delay_days: float = 2.5  # mean delay of the others; used only where none is in the data
    displacement: float = 0.3  # chance that an ad's sale takes the place of one of the shopper's own

    def __post_init__(self) -> None:
        if not self.examination or self.examination[0] != 1.0 or not all(0 < e <= 1 for e in self.examination):
            raise ConfigError(f"examination starts with 1 and stays in (0, 1], got {self.examination}")
        if len(self.examination) > self.slots_max:
            raise ConfigError(f"{len(self.examination)} slots, but slots_max is {self.slots_max}; raise it")
        for name in ("click_rate", "conversion_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} lies between 0 and 1, got {getattr(self, name)}")
        if self.ad_spread is not None and not 0 <= self.ad_spread <= 2:
            raise ConfigError(f"ad_spread lies between 0 and 2 on the log scale, or is None, got {self.ad_spread}")


def public_logs() -> MarketConfig:
    """The second edition: clicks as the Open Bandit Data show them, everything else as above.

    bench/market_accept.py fits these numbers anew and prints both; docs/market.md tells what each rests on.
    """
    return MarketConfig(click_rate=0.0051, examination=(1.0, 1.0, 0.76), ad_spread=0.35)
