"""Rules on the words of a banner: what it says must be in the feed row or the material, and be allowed to be said.

Written apart from the copywriter on purpose: it reads the finished texts and the feed row, and trusts neither
templates nor slots. Sources: Advertising Law of the PRC, articles 9(3), 14 and 28; FTC Act section 5 with 16 CFR
233 (deceptive pricing). The lists are a first net, no legal advice.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from functools import lru_cache

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.creative.copywriter import BUTTONS, HEADLINES, SUBLINES, TASTES
from zhitou.creative.wordlist import EXPANSIONS, UNITS


@dataclass(frozen=True)
class Finding:
    """One broken rule: its id and what was measured."""

    rule: str
    detail: str


BANNED = (
    "国家级", "世界级", "最高级", "最佳", "最好", "最优", "最大", "最强", "最低价", "全网最低", "第一",
    "唯一", "顶级", "极品", "极致", "绝对", "万能", "首选", "史无前例", "永久", "百分百有效", "根治",
    "治愈", "特效", "无副作用", "零风险", "稳赚", "number one", "no 1", "# 1", "world s best", "guaranteed",
    "guarantee results", "clinically proven", "scientifically proven", "doctor recommended", "miracle",
    "cures", "risk free", "no side effects", "lowest price", "best price", "lose weight fast",
    "100 effective", "get rich",
)  # fmt: skip
URGENCY = (
    "today only", "last chance", "limited time", "hurry", "ends soon", "ends today", "only a few left",
    "almost gone", "while it lasts", "act now", "now or never", "仅限今日", "最后一天", "最后机会", "限时",
    "抢购", "秒杀", "即将售罄", "仅剩", "手慢无",
)  # fmt: skip
PERSONAL = (
    "because you", "you are", "you re", "we know you", "your age", "your weight", "your health",
    "your pregnancy", "pregnant", "your debt", "your religion", "you bought", "you viewed", "regular of",
    "new to you", "people like you", "因为你", "因为您", "你是", "您是", "你的年龄", "怀孕", "你买过",
    "您买过", "你浏览", "您浏览",
)  # fmt: skip
REQUIRED = ("logo", "headline", "button", "label")
LABELS = ("Ad", "广告")

_TRADITIONAL = str.maketrans("國級極絕對萬頂選價網無療癒體長", "国级极绝对万顶选价网无疗愈体长")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\.\d+")


def check_claims(texts: Iterable[tuple[str, str]], item: Item, material: Material) -> list[Finding]:
    """What the texts, as (role, text) pairs, say that they may not. Empty: nothing found."""
    pairs = [(role, text) for role, text in texts]
    found = list(_missing(pairs))
    for role, text in pairs:
        if role != "label":
            found += _numbers(role, text, item, material)
            found += _words(role, text, item, material)
            found += _terms(role, text, material, item)
    found += _prices(dict(pairs), item)
    return found + _facts(item, material)


@lru_cache(maxsize=8192)
def normal(text: str) -> str:
    """Full width, traditional characters, spacing and punctuation made equal, so that no variant slips through."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_TRADITIONAL)
    plain = "".join(ch for ch in plain if unicodedata.category(ch) != "Cf")
    plain = re.sub(r"[^\w#]+", " ", plain).replace("_", " ")
    plain = re.sub(r"#\s*", "# ", plain)
    return " " + re.sub(r"(?<=[\u2e80-\u9fff]) +(?=[\u2e80-\u9fff])", "", plain).strip() + " "


def said(text: str, terms: Iterable[str]) -> list[str]:
    """Which of the terms the text contains: whole words in Latin script, anywhere in Chinese."""
    heard = normal(text)
    wanted = ((term, normal(term)) for term in terms)
    return [term for term, key in wanted if key.strip() and (key if key.isascii() else key.strip()) in heard]


def _missing(pairs: list[tuple[str, str]]) -> Iterator[Finding]:
    present = {role: text for role, text in pairs if text.strip()}
    for role in REQUIRED:
        if role not in present:
            yield Finding(f"missing.{role}", f"the banner has no {role}")
    if present.get("label", LABELS[0]) not in LABELS:
        yield Finding("missing.label", f"the ad label reads {present['label']!r}; expected one of {LABELS}")


def _terms(role: str, text: str, material: Material, item: Item) -> Iterator[Finding]:
    for rule, terms in (("banned", BANNED), ("forbidden", material.forbidden_claims), ("personal", PERSONAL)):
        for term in said(text, terms):
            yield Finding(rule, f"{role} says {term!r}")
    hurried = said(text, URGENCY)
    if hurried and not _attributes(item).get("sale_ends"):
        yield Finding("urgency", f"{role} says {hurried[0]!r} and the feed row has no sale_ends")


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


def _literal_words() -> frozenset[str]:
    templates: list[str] = []
    for table in (HEADLINES, SUBLINES):
        templates += [t for angles in table.values() for options in angles.values() for t in options]
    templates += [t for options in TASTES.values() for t in options]
    templates += [verb for verbs in BUTTONS.values() for pair in verbs for verb in pair]
    return frozenset(re.findall(r"[^\W\d_]+", " ".join(re.sub(r"{\w+}", " ", t) for t in templates).lower()))


_LITERALS = _literal_words()
_LITERAL_SIGNS = frozenset("".join(word for word in _LITERALS if not word.isascii()))


def _words(role: str, text: str, item: Item, material: Material) -> Iterator[Finding]:
    """Every word must be in the feed row or the material, be one of theirs written out, or be a template's own."""
    feed = (item.title, item.description, item.attributes, item.brand or "", *item.category)
    own = (material.brand, material.logo_text, material.slogan, material.legal)
    source = unicodedata.normalize("NFC", " ".join((*feed, *own)))
    known = {w.lower() for w in re.findall(r"[^\W\d_]+", source)}
    spelled = {EXPANSIONS[w.upper()].lower() for w in known if w.upper() in EXPANSIONS}
    units = {unit.lower() for w in known if w.upper() in UNITS for unit in UNITS[w.upper()].split()}
    currency = {item.currency.lower(), "r"}
    allowed = known | spelled | units | currency | _LITERALS
    signs = set(source) | _LITERAL_SIGNS
    for word in re.findall(r"[^\W\d_]+", text):
        if word.lower() not in allowed and not (not word.isascii() and all(ch in signs for ch in word)):
            yield Finding("grounded.word", f"{role} says {word!r}, which neither feed row nor material does")


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
