"""What may be said of an item: the feed row and the material as slots, each a text that stands in them.

A slot is a kind of fact ("material", "price"); its text is the feed's own, joined where the feed has several values.
Nothing here is worded: sentences are the grammar's and the model's.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.creative.brief import offer_of, price_text
from zhitou.creative.titles import clean, is_cjk, read_title

# Attributes that say what the product is like, in the order they are named unless an interest asks otherwise.
TRAITS = ("material", "style", "colour", "pattern", "fit", "flavour", "scent", "feature", "cut", "detail")
PROOFS = ("price", "was", "saving", "ends", "few", "rating", "shipping", "warranty", "returns")
SLOTS = ("title", "brand", "category", "size", *TRAITS, *PROOFS)
VALUES_MOST = 6  # of one slot; a feed that lists more is not read out
VALUE_CHARACTERS_MOST = 60

_KEYS: tuple[tuple[str, str], ...] = (
    ("material", r"material|fabric|材质|面料|材料"),
    ("colour", r"colou?r|颜色|色系"),
    ("style", r"style|风格"),
    ("pattern", r"pattern|print|图案|花纹"),
    ("fit", r"fit|版型"),
    ("flavour", r"flavou?r|taste|口味"),
    ("scent", r"scent|fragrance|香型|香味"),
    ("feature", r"features?|function|benefit|功能|特点"),
    ("detail", r"details?|.*领型|.*袖型|.*袖长|.*下摆|.*门襟|.*腰型|裤口|.*款式|工艺|细节"),
    ("cut", r"cut|shape|length|type|类型|.*样式|裙型|裤型|裙长|裤长|.*衣长|品类"),
    ("ends", r"sale_ends|sale_end|offer_ends|活动截止"),
    ("rating", r"rating|stars|评分"),
    ("shipping", r"shipping|delivery|配送|物流"),
    ("warranty", r"warranty|质保|保修"),
    ("returns", r"returns?|return_policy|退换"),
    ("few", r"stock_left|stock|库存"),
)
_KEY = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KEYS)
_NOTHING = re.compile(r"(no|none|without|n/?a|0|无|没有|不支持)\b.*|[-–—.]*", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"(brand|manufacturer)[ _-]?\d+|private( label)?|national|unknown|generic|n/?a|-+", re.IGNORECASE
)
FEW = 10  # so many left, by the feed, may be called few
RATING_LEAST = 4.0  # of five; a lower one is no reason to buy


@dataclass(frozen=True)
class Facts:
    """One item's facts. slots: slot -> text, in the order of SLOTS. values: the single values of each slot.
    source: everything the feed row and the material say, as one text; what is checked is checked against it."""

    item: Item
    material: Material
    locale: str
    slots: Mapping[str, str]
    values: Mapping[str, tuple[str, ...]] = field(repr=False)
    source: str = field(repr=False)

    @property
    def traits(self) -> tuple[str, ...]:
        """The slots of TRAITS that this item has."""
        return tuple(slot for slot in TRAITS if slot in self.slots)


def facts_of(item: Item, material: Material, locale: str, first: Sequence[str] = ()) -> Facts:
    """The facts of this item, for texts in this language ("en", "zh").

    first: words of an interest; a value that one of them names stands before the others of its slot.
    """
    values = _attributes(item)
    title = read_title(item.title)
    if title.names:
        values["title"] = [(title.names[-1] if is_cjk(item.title) else title.names[0]).strip()]
    values["size"] = [title.size] if title.size else []
    values["brand"] = [brand] if (brand := clean(item.brand or "")) and not _PLACEHOLDER.fullmatch(brand) else []
    values["category"] = [name] if (name := _category(item)) else []
    named = " ".join(values.get("title", ())).lower()
    for slot in ("brand", "category", "cut"):  # what the name says already is not said again
        values[slot] = [value for value in values.get(slot, ()) if value.lower() not in named]
    values |= _offer(item, locale)
    if values["cut"]:  # "dress, long dress": the longer word says both
        values["cut"] = [v for v in values["cut"] if not any(v != other and v in other for other in values["cut"])]
    kept = {slot: _first(values[slot], first) for slot in SLOTS if values.get(slot)}
    turns = {slot: zlib.crc32(f"{item.item} {slot}".encode()) for slot in kept}
    if not first:  # nobody asked for an order: each item has its own, so that not every text lists alike
        kept = {
            slot: found[turns[slot] % len(found) :] + found[: turns[slot] % len(found)]
            for slot, found in kept.items()
        }
    slots = {slot: join_values(found, locale, turns[slot] // 8) for slot, found in kept.items()}
    return Facts(item, material, locale, slots, {s: tuple(v) for s, v in kept.items()}, source_of(item, material))


def source_of(item: Item, material: Material) -> str:
    """Everything that the feed row and the material say in words."""
    own = (material.brand, material.logo_text, material.slogan, material.legal)
    spoken = _said(item)
    return " | ".join((item.title, item.description, spoken, item.brand or "", *item.category, *own))


def join_values(values: Sequence[str], locale: str, turn: int = 0) -> str:
    """Several values as one text; `turn` picks among the ways a Chinese list may end.

    >>> join_values(["cotton", "linen"], "en"), join_values(["复古", "文艺"], "zh", 1)
    ('cotton and linen', '复古与文艺')
    """
    if locale == "zh":
        last = ("、", "与", "、", "和", "加", "、")[turn % 6]
        return values[0] if len(values) == 1 else "、".join(values[:-1]) + last + values[-1]
    return values[0] if len(values) == 1 else ", ".join(values[:-1]) + " and " + values[-1]


def _said(item: Item) -> str:
    try:
        found = json.loads(item.attributes or "{}")
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    flat = [v for value in found.values() for v in (value if isinstance(value, list) else [value])]
    return " | ".join(str(v) for v in flat if isinstance(v, str | int | float))


def _attributes(item: Item) -> dict[str, list[str]]:
    """Slot -> values, from the feed's attributes; what has no slot is left out."""
    try:
        found = json.loads(item.attributes or "{}")
    except ValueError:
        return {}
    values: dict[str, list[str]] = {}
    for key, value in found.items() if isinstance(found, dict) else ():
        slot = next((kind for kind, pattern in _KEY if pattern.fullmatch(str(key).strip())), None)
        for one in value if isinstance(value, list) else [value]:
            text = clean(str(one)) if isinstance(one, str | int | float) and not isinstance(one, bool) else ""
            if slot and text and len(text) <= VALUE_CHARACTERS_MOST and not _NOTHING.fullmatch(text):
                known = values.setdefault(slot, [])
                if text not in known and len(known) < VALUES_MOST:
                    known.append(text)
    if "few" in values:
        left = values["few"][0]
        if not (left.isdigit() and 0 < int(left) <= FEW):
            del values["few"]
    if "rating" in values and not _is_good(values["rating"][0]):
        del values["rating"]
    return values


def _is_good(rating: str) -> bool:
    try:
        return RATING_LEAST <= float(rating) <= 5.0
    except ValueError:
        return False


def _offer(item: Item, locale: str) -> dict[str, list[str]]:
    offer, found = offer_of(item), {}
    if offer.price_micros is not None:
        found["price"] = [price_text(offer.price_micros, offer.currency, locale)]
    if offer.was_micros is not None:
        found["was"] = [price_text(offer.was_micros, offer.currency, locale, round_up=False)]
    if offer.discount_percent is not None:
        found["saving"] = [f"{offer.discount_percent}%"]
    return found


def _category(item: Item) -> str:
    """The second level of the category (the first is a department, the last repeats the title), else the last."""
    if not item.category:
        return ""
    names = read_title(item.category[min(1, len(item.category) - 1)].replace("-", " ").replace("_", " ")).names
    name = names[0] if names else ""
    return name if is_cjk(name) or not name.islower() else name.title()


def _first(values: Sequence[str], first: Sequence[str]) -> list[str]:
    wanted = [word.lower() for word in first if word]
    named = [v for v in values if any(v.lower() in word or word in v.lower() for word in wanted)]
    return [*named, *(v for v in values if v not in named)]
