"""Words of a banner: templates whose every fact is a slot filled from the feed row.

A template's own words promise nothing: no number, brand, price or date stands in one. Facts come in only through
slots, so a claim that the feed does not make cannot be written; the review checks it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from zhitou.creative.brief import Brief, attributes_of, price_text
from zhitou.creative.glyphs import is_food, names_product
from zhitou.creative.titles import NBSP, clean, is_cjk, is_shouty, read_title

SLOTS = ("title", "size", "attribute", "price", "brand", "category")

# angle -> templates of headline and subline, the fullest first. A template is used only if all its slots are filled.
HEADLINES = {
    "en": {
        "attribute": ("{title}, {size}", "{title}"),
        "price": ("{title}",),
        "brand": ("{title} by {brand}", "{title}"),
        "category": ("{title}",),
        "newness": ("Meet {title}", "{title}"),
    },
    "zh": {
        "attribute": ("{title} {size}", "{title}"),
        "price": ("{title}",),
        "brand": ("{brand} {title}", "{title}"),
        "category": ("{title}",),
        "newness": ("认识一下{title}", "{title}"),
    },
}
# What is eaten or drunk is not met, it is tried.
TASTES = {"en": ("Try {title}", "{title}"), "zh": ("尝尝{title}", "{title}")}
SUBLINES = {
    "en": {
        "attribute": ("{attribute}", "{size}", "{category}"),
        "price": ("{size}", "{category}"),
        "brand": ("From {brand}", "{size}", "{category}"),
        "category": ("See more in {category}", "More {category}", "{category}"),
        "newness": ("Something different in {category}", "{size}", "{category}"),
    },
    "zh": {
        "attribute": ("{attribute}", "{size}", "{category}"),
        "price": ("{size}", "{category}"),
        "brand": ("来自{brand}", "{size}", "{category}"),
        "category": ("更多{category}", "{category}"),
        "newness": ("换一种选择，看看{category}", "看看{category}", "{size}", "{category}"),
    },
}
# (words, short words for a button of a small banner)
BUTTONS = {
    "en": (
        ("Shop now", "Shop"),
        ("View product", "View"),
        ("See details", "Details"),
        ("Take a look", "See it"),
    ),
    "zh": (("去看看", "看看"), ("查看详情", "查看"), ("立即选购", "选购"), ("看一看", "看看")),
}
AD_LABEL = {"en": "Ad", "zh": "广告"}
DISCOUNT = {"en": "-{percent}%", "zh": "-{percent}%"}

# A brand that a data set made up to hide the true one says nothing to a shopper.
_PLACEHOLDER = re.compile(
    r"(brand|manufacturer)[ _-]?\d+|private( label)?|national|unknown|generic|n/?a|-+", re.IGNORECASE
)
_TELLING = (
    "material",
    "colour",
    "color",
    "flavour",
    "flavor",
    "scent",
    "style",
    "pattern",
    "材质",
    "颜色",
    "口味",
    "功能",
)


@dataclass(frozen=True)
class Line:
    """One text of the banner: the template and what filled its slots, as (slot, text) pairs."""

    text: str
    template: str
    slots: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Copy:
    """Texts to choose from, the fullest first in headlines, sublines and buttons; None: no such part."""

    headlines: tuple[Line, ...]
    sublines: tuple[Line, ...]
    buttons: tuple[Line, ...]
    price: Line | None
    was_price: Line | None
    badge: Line | None
    logo: Line
    legal: Line | None
    label: Line


def write_copy(brief: Brief, button: int = 0, lines: Mapping[str, Line] | None = None) -> Copy:
    """All the texts this brief allows; `button` picks the button's words. No headline: the feed row has no name.

    lines: what the copywriter of words/ wrote for this ad ("headline", "subline", "button"); it is tried before the
    templates, which stay as what is shown where it does not fit.
    """
    own = lines or {}
    slots = slots_of(brief)
    offer, locale = brief.offer, brief.locale
    percent = {} if offer.discount_percent is None else {"percent": str(offer.discount_percent)}
    verbs = BUTTONS[locale][button % len(BUTTONS[locale])]
    return Copy(
        headlines=_led(own.get("headline"), _headlines(brief, slots)),
        sublines=_led(own.get("subline"), _sublines(brief, slots)),
        buttons=_led(own.get("button"), tuple(Line(verb, verb, ()) for verb in verbs)),
        price=_fill("{price}", slots),
        was_price=_fill("{was}", _was(brief)),
        badge=_fill(DISCOUNT[locale], percent),
        logo=Line(clean(brief.material.logo_text or brief.material.brand), "{logo}", ()),
        legal=_own(brief.material.legal),
        label=Line(AD_LABEL[locale], AD_LABEL[locale], ()),
    )


def _led(first: Line | None, others: tuple[Line, ...]) -> tuple[Line, ...]:
    """The line before the others; each text once."""
    return tuple({line.text: line for line in ((first,) if first else ()) + others}.values())


def slots_of(brief: Brief) -> dict[str, str]:
    """The facts of the feed row that a template may use; "title" holds the fullest name, missing facts are absent."""
    title = read_title(brief.item.title)
    found = {
        "size": title.size,
        "brand": _brand(brief),
        "category": _category(brief),
        "attribute": _attribute(brief),
    }
    if names := names_of(brief):
        found["title"] = names[0]
    if brief.offer.price_micros is not None:
        found["price"] = price_text(brief.offer.price_micros, brief.offer.currency, brief.locale)
    return {slot: text for slot, text in found.items() if text}


def names_of(brief: Brief) -> tuple[str, ...]:
    """Names of the product, the fullest first; its category's where the title has none.

    A stock system's short title may lack its noun ("TRADITIONAL" under ICE CREAM): the category gives it.
    """
    names = read_title(brief.item.title).names
    category = _category(brief, short=True)
    if not names:
        return (category,) if category else ()
    category = category.split(" & ")[0]
    lacks_noun = is_shouty(brief.item.title) and len(names[0].split()) <= 2 and not names_product(names[0])
    if lacks_noun and category and names_product(category) and category.lower() not in names[0].lower():
        return (f"{names[0]} {category}",)
    return names


def angles_of(brief: Brief) -> tuple[str, ...]:
    """The angles that this feed row has facts for."""
    slots = slots_of(brief)
    needs = {
        "attribute": ("size", "attribute"),
        "price": ("price",),
        "brand": ("brand",),
        "category": ("category",),
    }
    return tuple(a for a in HEADLINES["en"] if a not in needs or any(slot in slots for slot in needs[a]))


def _headlines(brief: Brief, slots: dict[str, str]) -> tuple[Line, ...]:
    names = names_of(brief)
    lines = []
    taste = brief.angle == "newness" and is_food(brief.item.title, brief.item.category)
    for template in TASTES[brief.locale] if taste else HEADLINES[brief.locale][brief.angle]:
        for name in names:
            line = _fill(template, {**slots, "title": name})
            if line and not (slots.get("brand", "").lower() in name.lower() and "{brand}" in template):
                lines.append(line)
    plain = [line for name in names if (line := _fill("{title}", {"title": name}))]
    return tuple({line.text: line for line in (*lines, *plain)}.values())


def _sublines(brief: Brief, slots: dict[str, str]) -> tuple[Line, ...]:
    lines = [_fill(template, slots) for template in SUBLINES[brief.locale][brief.angle]]
    own = _own(brief.material.slogan)
    kept = [line for line in lines if line]
    return tuple({line.text: line for line in ([*kept[:1], own, *kept[1:]] if own else kept)}.values())


def _fill(template: str, slots: dict[str, str]) -> Line | None:
    """The line, or None if a slot of the template has no fact."""
    names = re.findall(r"{(\w+)}", template)
    if any(name not in slots for name in names):
        return None
    text = re.sub(r"{(\w+)}", lambda m: slots[m[1]], template)
    return Line(text.replace(" " + NBSP, NBSP), template, tuple((n, slots[n]) for n in names))


def _own(text: str) -> Line | None:
    """The advertiser's own words."""
    words = clean(text)
    return Line(words, "{own}", (("own", words),)) if words else None


def _was(brief: Brief) -> dict[str, str]:
    offer = brief.offer
    if offer.was_micros is None:
        return {}
    return {"was": price_text(offer.was_micros, offer.currency, brief.locale, round_up=False)}


def _brand(brief: Brief) -> str:
    brand = clean(brief.item.brand or "")
    return "" if _PLACEHOLDER.fullmatch(brand) else brand


def _category(brief: Brief, short: bool = False) -> str:
    """The second level of the category (the first is a department, the last repeats the title), else the last."""
    path = brief.item.category
    if not path:
        return ""
    names = read_title(path[min(1, len(path) - 1)].replace("-", " ").replace("_", " ")).names
    if not names:
        return ""
    name = names[-1] if short or len(names[0]) > 24 else names[0]
    return name if is_cjk(name) or not name.islower() else name.title()


def _attribute(brief: Brief) -> str:
    """One attribute that tells something about the product, such as a flavour or a material."""
    found = attributes_of(brief.item)
    return next((clean(v).capitalize() for k, v in found.items() if k.lower() in _TELLING and clean(v)), "")
