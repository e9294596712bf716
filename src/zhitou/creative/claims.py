"""Rules on the words of a banner: what it says must be in the feed row or the material, and be allowed to be said.

Written apart from the copywriter on purpose: it reads the finished texts and the feed row, and trusts neither
templates nor slots. Sources: Advertising Law of the PRC, articles 9(3), 14 and 28; FTC Act section 5 with 16 CFR
233 (deceptive pricing). The lists are a first net, no legal advice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.creative.titles import read_title
from zhitou.creative.words.banned import find_banned, forbidden
from zhitou.creative.words.banned_terms import RULES
from zhitou.creative.words.facts import source_of
from zhitou.creative.words.finding import Finding
from zhitou.creative.words.ground import unknown_words
from zhitou.creative.words.verify import about_the_shopper, hurry, unproven_claims

__all__ = ["BANNED", "Finding", "check_claims", "said"]


BANNED = tuple(term for rule in RULES for term in rule.terms)
REQUIRED = ("logo", "headline", "button", "label")
LABELS = ("Ad", "广告")

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\.\d+")


def check_claims(texts: Iterable[tuple[str, str]], item: Item, material: Material) -> list[Finding]:
    """What the texts, as (role, text) pairs, say that they may not. Empty: nothing found."""
    pairs = list(texts)
    found = list(_missing(pairs))
    for role, text in pairs:
        if role != "label":
            found += _numbers(role, text, item, material)
            found += _words(role, text, item, material)
            found += _terms(role, text, material, item)
    found += _prices(dict(pairs), item)
    return found + _facts(item, material)


def said(text: str, terms: Iterable[str]) -> list[str]:
    """Which of the terms the text contains, however they are written: see words/banned.py."""
    return [found.term for found in forbidden(tuple(terms)).find(text)]


def _missing(pairs: list[tuple[str, str]]) -> Iterator[Finding]:
    present = {role: text for role, text in pairs if text.strip()}
    for role in REQUIRED:
        if role not in present:
            yield Finding(f"missing.{role}", f"the banner has no {role}")
    if present.get("label", LABELS[0]) not in LABELS:
        yield Finding("missing.label", f"the ad label reads {present['label']!r}; expected one of {LABELS}")


def _terms(role: str, text: str, material: Material, item: Item) -> Iterator[Finding]:
    for found in find_banned(text):
        yield Finding("banned", f"{role} says {found.term!r} ({found.rule})")
    for found in forbidden(tuple(material.forbidden_claims)).find(text):
        yield Finding("forbidden", f"{role} says {found.term!r}")
    for found in about_the_shopper(text):
        yield Finding("personal", f"{role} says {found.term!r}")
    hurried = hurry(text)
    if hurried and not _attributes(item).get("sale_ends"):
        yield Finding("urgency", f"{role} says {hurried[0].term!r} and the feed row has no sale_ends")


def _attributes(item: Item) -> dict[str, object]:
    try:
        found = json.loads(item.attributes or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _decimals(text: str) -> set[Decimal]:
    out = set()
    for match in _NUMBER.findall(text):
        try:
            out.add(Decimal(match.replace(",", "")).normalize())
        except InvalidOperation:
            out.add(Decimal(-1))
    return out


def _money(item: Item) -> tuple[Decimal | None, Decimal | None]:
    """(what the shopper pays, what it was) as the feed has them, in units of currency."""
    price, sale = item.price_micros, item.sale_price_micros
    if not price or price <= 0:
        return None, None
    full = Decimal(price) / 1_000_000
    if sale and 0 < sale < price:
        return Decimal(sale) / 1_000_000, full
    return full, None


def _shown(amount: Decimal, rounding: str) -> set[Decimal]:
    return {amount.quantize(step, rounding=rounding).normalize() for step in (Decimal("0.01"), Decimal(1))}


def _numbers(role: str, text: str, item: Item, material: Material) -> Iterator[Finding]:
    """Every number must be in the feed row; a legal line and the brand's own name may have theirs."""
    if role == "legal":
        return
    allowed = _decimals(" ".join((item.title, item.description, item.attributes, item.brand or "", *item.category)))
    if role == "logo":
        allowed |= _decimals(f"{material.logo_text} {material.brand}")
    now, was = _money(item)
    if now is not None:
        allowed |= _shown(now, ROUND_CEILING)
    if was is not None and now is not None:
        allowed |= _shown(was, ROUND_FLOOR) | {Decimal(int((was - now) * 100 / was)).normalize()}
    for number in sorted(_decimals(text) - allowed):
        yield Finding("grounded.number", f"{role} says {number}, which the feed row does not")


def _words(role: str, text: str, item: Item, material: Material) -> Iterator[Finding]:
    """Every word must be in the feed row or the material, be one of theirs written out, or be a writer's own; and
    what it states of the product must be stated there."""
    source = " | ".join((source_of(item, material), item.attributes))
    code = rf"\b{re.escape(item.currency)}\b|R(?=\$)" if item.currency else r"R(?=\$)"
    for word in unknown_words(re.sub(code, " ", text), source):
        yield Finding("grounded.word", f"{role} says {word!r}, which neither feed row nor material does")
    names = " | ".join(
        (*read_title(item.title).names, *(n for part in item.category for n in read_title(part).names))
    )
    if role not in ("legal", "logo"):
        yield from unproven_claims(text, source, names)


def _prices(texts: dict[str, str], item: Item) -> Iterator[Finding]:
    """Price, was-price and discount must be exactly the feed's."""
    now, was = _money(item)
    if "price" in texts and (now is None or not _decimals(texts["price"]) & _shown(now, ROUND_CEILING)):
        yield Finding("price.exact", f"the price reads {texts['price']!r}, the feed says {now}")
    if "was_price" in texts and (was is None or not _decimals(texts["was_price"]) & _shown(was, ROUND_FLOOR)):
        yield Finding(
            "was.proof", f"a was-price {texts['was_price']!r} without a sale price in the feed that proves it"
        )
    if "badge" in texts:
        saved = 0 if was is None or now is None else int((was - now) * 100 / was)
        claimed = _decimals(texts["badge"])
        if not claimed or max(claimed) > saved:
            yield Finding("was.proof", f"the badge reads {texts['badge']!r}, the feed proves {saved} %")


def _facts(item: Item, material: Material) -> list[Finding]:
    found = []
    if item.availability not in ("in_stock", "in stock", "preorder"):
        found.append(Finding("stock", f"the item is {item.availability!r}; only what can be had is advertised"))
    if material.landing_url and not re.match(r"https?://[^\s/]+", material.landing_url):
        found.append(Finding("landing", f"the landing page {material.landing_url[:60]!r} is no http address"))
    return found
