"""The campaign in a media buyer's words."""

from __future__ import annotations

from dataclasses import dataclass, field

from zhitou.core.errors import ConfigError

OBJECTIVES = ("clicks", "conversions", "value")
CHANNELS = ("onsite", "email", "push", "sms", "app", "social")
MESSAGES = ("email", "push", "sms")  # these come to the shopper; what he finds by himself disturbs nobody


@dataclass(frozen=True)
class Flight:
    """When the campaign may run: [start_us, end_us), UTC microseconds, and what it may spend in all and a day."""

    start_us: int
    end_us: int
    budget_micros_total: int
    budget_micros_daily: int

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            raise ConfigError("a flight ends after it starts; swap or correct its dates")
        if self.budget_micros_total < 0 or self.budget_micros_daily < 0:
            raise ConfigError("a budget is zero or more micros")


@dataclass(frozen=True)
class Targeting:
    """Whom to reach. An empty tuple means everyone; a shopper must match each field that is not empty."""

    segments: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("onsite",)
    locales: tuple[str, ...] = ()


@dataclass(frozen=True)
class Caps:
    """At most so many impressions per shopper: of the whole campaign a day, of one ad a day."""

    campaign_per_day: int = 6
    ad_per_day: int = 3


@dataclass(frozen=True)
class Material:
    """What an ad may be made of: the brand kit and the advertiser's own words. Colours are #rrggbb."""

    brand: str
    logo_text: str
    colour_primary: str
    colour_ink: str = "#111111"
    colour_paper: str = "#ffffff"
    slogan: str = ""
    legal: str = ""
    forbidden_claims: tuple[str, ...] = ()
    landing_url: str = ""
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Campaign:
    """One advertiser's order. Money is micros of `currency`.

    bid_micros is the most one click may cost; target_cpa_micros the price of a conversion the advertiser
    accepts (objective "conversions"), target_roas the revenue per unit of spend (objective "value").
    quiet_hours are local hours (start, end) without messages (e-mail, push, sms); what a shopper finds by himself
    they do not bind.
    """

    campaign_id: str
    advertiser: str
    name: str
    currency: str
    flight: Flight
    objective: str
    bid_micros: int
    items: tuple[str, ...]
    material: Material
    target_cpa_micros: int | None = None
    target_roas: float | None = None
    targeting: Targeting = field(default_factory=Targeting)
    caps: Caps = field(default_factory=Caps)
    quiet_hours: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.objective == "conversions" and not self.target_cpa_micros:
            raise ConfigError(f"campaign {self.campaign_id}: objective conversions needs target_cpa_micros")
        if self.objective == "value" and not self.target_roas:
            raise ConfigError(f"campaign {self.campaign_id}: objective value needs target_roas")
        if self.bid_micros <= 0:
            raise ConfigError(f"campaign {self.campaign_id}: bid_micros must be above zero")
        if unknown := set(self.targeting.channels) - set(CHANNELS):
            raise ConfigError(f"campaign {self.campaign_id}: unknown channels {sorted(unknown)}")
