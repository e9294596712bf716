"""What a text should be: its place, angle and tone, and the interest that decides what is named first.

The interest chooses; it is never named. Words of a shopper's tags are read here and nowhere else, and leave only as
one of INTERESTS and as the order of facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import ConfigError
from zhitou.creative.genome import GENES
from zhitou.creative.words.facts import Facts

PLACES = ("headline", "subline", "button", "push", "subject", "body")
ANGLES = GENES["angle"]
TONES = GENES["tone"]
LOCALES = ("en", "zh")

# An angle may be taken only if the feed has one of these; () asks for nothing.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "benefit": (),
    "attribute": ("material", "style", "colour", "pattern", "fit", "flavour", "scent", "feature", "cut", "detail",
                  "size"),
    "price": ("price",),
    "urgency": ("ends", "few"),
    "social": ("rating",),
    "curiosity": (),
    "gift": (),
}  # fmt: skip


@dataclass(frozen=True)
class Interest:
    """What one kind of shopper looks at. angles: the first it has facts for is taken. first: slots to name first.
    words: parts of tags that show it."""

    angles: tuple[str, ...]
    first: tuple[str, ...]
    words: tuple[str, ...]


INTERESTS: Mapping[str, Interest] = {
    "bargain": Interest(("price", "urgency"), ("saving", "price", "was"), (
        "price", "bargain", "discount", "deal", "coupon", "saver", "cheap", "sale",
        "划算", "折扣", "优惠", "低价", "促销")),
    "material": Interest(("attribute",), ("material", "feature"), (
        "material", "cotton", "linen", "wool", "silk", "leather", "wood", "denim",
        "材质", "棉", "麻", "羊毛", "丝", "皮", "牛仔")),
    "look": Interest(("attribute",), ("style", "colour", "pattern"), (
        "style", "fashion", "colour", "color", "pattern", "dress",
        "风格", "颜色", "图案", "时尚", "穿搭", "复古", "简约")),
    "fit": Interest(("attribute", "benefit"), ("fit", "cut", "detail"), (
        "fit", "size", "cut", "shape", "shirt", "shoe", "版型", "尺码", "显瘦", "宽松", "裤", "裙")),
    "function": Interest(("benefit", "attribute"), ("feature", "material"), (
        "function", "tech", "phone", "laptop", "tool", "sport", "outdoor", "功能", "数码", "运动", "户外", "家电")),
    "taste": Interest(("benefit", "attribute"), ("flavour", "size", "category"), (
        "food", "drink", "snack", "grocery", "soup", "milk", "cheese", "flavour", "cook", "meat",
        "食", "饮", "零食", "口味")),
    "scent": Interest(("benefit", "attribute"), ("scent", "feature"), (
        "scent", "perfume", "fragrance", "beauty", "skin", "makeup", "care", "香", "美妆", "护肤", "彩妆")),
    "brand": Interest(("benefit",), ("brand", "title"), ("brand", "loyal", "label", "品牌", "老顾客", "旗舰")),
    "gift": Interest(("gift",), ("title", "category"), (
        "gift", "present", "holiday", "toy", "jewel", "礼", "节日", "首饰")),
    "proof": Interest(("social", "attribute"), ("rating", "warranty"), (
        "review", "rating", "careful", "compare", "评价", "口碑", "比较")),
    "novelty": Interest(("curiosity",), ("category", "title"), (
        "new", "explor", "discover", "variety", "trend", "新", "尝鲜", "潮流")),
    "service": Interest(("benefit",), ("shipping", "warranty", "returns"), (
        "delivery", "shipping", "service", "return", "quick", "配送", "服务", "退换", "物流")),
}  # fmt: skip
ANY = "any"


@dataclass(frozen=True)
class Ask:
    """One text wanted. first: slots to name before others; fewest, most: how many slots of the facts to name.
    width_pixels: the most the text may measure on one line, None without a limit.

    Refused (ConfigError): a place, angle, tone or interest that does not exist.
    """

    place: str
    angle: str
    tone: str
    interest: str = ANY
    first: tuple[str, ...] = ()
    width_pixels: float | None = None

    def __post_init__(self) -> None:
        for name, chosen, known in (
            ("place", self.place, PLACES), ("angle", self.angle, ANGLES), ("tone", self.tone, TONES),
            ("interest", self.interest, (*INTERESTS, ANY)),
        ):  # fmt: skip
            if chosen not in known:
                raise ConfigError(f"{name} must be one of {tuple(known)}, got {chosen!r}")


def interest_of(tags: Sequence[str]) -> str:
    """The interest that a shopper's tags show, the earlier tags counting more; ANY if they show none.

    >>> interest_of(["WOOL SOCKS", "coupon user"]), interest_of(["xyz"])
    ('material', 'any')
    """
    best, chosen = 0.0, ANY
    for name, interest in INTERESTS.items():
        votes = (1 / (1 + n) for n, tag in enumerate(tags) if any(word in tag.lower() for word in interest.words))
        if (weight := sum(votes)) > best:
            best, chosen = weight, name
    return chosen


def possible_angles(facts: Facts) -> tuple[str, ...]:
    """The angles that the feed has facts for: urgency and social proof only where it proves them."""
    return tuple(a for a in ANGLES if not NEEDS[a] or any(slot in facts.slots for slot in NEEDS[a]))


def ask_for(
    facts: Facts, place: str, interest: str, rng: np.random.Generator, tone: str | None = None,
    angle: str | None = None, width_pixels: float | None = None,
) -> Ask:  # fmt: skip
    """What to write for this interest: its angle if there are facts for it, what it looks at first.

    Refused (ConfigError): an angle given that the feed has no proof for.
    """
    possible = possible_angles(facts)
    if angle is not None and angle not in possible:
        raise ConfigError(f"the feed row proves no {angle}; possible angles are {possible}")
    wish = INTERESTS.get(interest)
    own = [a for a in wish.angles if a in possible] if wish else []
    chosen = angle or (own[0] if own else possible[int(rng.integers(len(possible)))])
    first = tuple(slot for slot in (wish.first if wish else ()) if slot in facts.slots)
    return Ask(place, chosen, tone or TONES[int(rng.integers(len(TONES)))], interest, first, width_pixels)
