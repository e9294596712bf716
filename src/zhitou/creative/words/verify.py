"""The verifier: a finished text against the feed row and the material. Nothing that is shown has not been through it.

It is the same for every writer - grammar, model, or a language model behind a port - and trusts none of them: it
reads the text, not how it came about. Findings say which rule was broken and what was measured.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache

from zhitou.creative.brief import offer_of, price_text
from zhitou.creative.words.banned import Found, Terms, find_banned, forbidden
from zhitou.creative.words.claim_terms import CLAIMS, URGENCY
from zhitou.creative.words.facts import Facts
from zhitou.creative.words.finding import Finding
from zhitou.creative.words.ground import is_number, is_word, number_places, own_signs, spelled, tokens, unknown_words

CHARACTERS_MOST = {"headline": 90, "subline": 120, "button": 24, "push": 160, "subject": 120, "body": 600}
PERSONAL = (
    "because you", "you are", "you re", "we know you", "your age", "your weight", "your health",
    "your pregnancy", "pregnant", "your debt", "your religion", "you bought", "you viewed", "regular of",
    "new to you", "people like you", "based on your", "we noticed", "your history", "your search", "因为你", "因为您",
    "你是", "您是", "你的年龄", "怀孕", "你买过", "您买过", "你浏览", "您浏览", "根据你", "根据您", "猜你",
)  # fmt: skip
_CURRENCY = "$€£¥￥₹₩"
_CODES = r"USD|EUR|GBP|CNY|RMB|JPY|INR|KRW|BRL|dollars?|euros?|pounds?|yuan|bucks|元|块钱|美元|欧元"
_MONEY = re.compile(
    rf"(?:R?[{_CURRENCY}])\s*(\d[\d.,]*)|(\d(?:[\d.,]*\d)?)\s?(?:[{_CURRENCY}](?!\s*\d)|(?:{_CODES})(?![a-z]))",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"(\d[\d.,]*)\s*(?:%|％|percent|per cent)", re.IGNORECASE)
_WAS_BEFORE = re.compile(r"(was|down from|instead of|原价|原价为)\s*$", re.IGNORECASE)
_RATED = ("rated", "rating", "stars", "评分", "打分")
_NUMERAL = re.compile(
    r"[一二三四五六七八九十百千万亿两半零〇]+(?=折|元|块|年|月|天|日|小时|倍|成|克|斤|毫升|升|人|次|分钟|个月|万|重|层|项|大)"
)
_STRANGE = ("Cc", "Cs", "Co", "Cn", "So")


def check_text(text: str, place: str, facts: Facts) -> list[Finding]:
    """Everything this text says that it may not. Empty: it may be shown as the headline, body, ... of this item."""
    found = list(_form(text, place))
    text = unicodedata.normalize("NFKC", text)  # ＄９ and ½ are amounts too
    found += _money(text, facts)
    found += _percents(text, facts)
    found += _numbers(text, facts)
    found += [Finding("grounded.word", f"{word!r} is in neither feed row nor material") for word in
              unknown_words(_without_codes(text, facts), facts.source)]  # fmt: skip
    found += unproven_claims(text, facts.source, " | ".join(facts.slots.values()))
    found += _proofs(text, facts)
    found += _terms(text, facts)
    return found


def _form(text: str, place: str) -> Iterator[Finding]:
    if not any(ch.isalnum() for ch in text):
        yield Finding("text.empty", f"the {place} has no word")
    if len(text) > CHARACTERS_MOST[place]:
        yield Finding(
            "text.long", f"the {place} has {len(text)} characters, at most {CHARACTERS_MOST[place]} are read"
        )
    strange = [ch for ch in text if unicodedata.category(ch) in _STRANGE]
    if strange or any(mark in text for mark in "{}<>[]"):
        yield Finding("text.sign", f"the {place} has a sign that is no text: {(strange or ['a bracket'])[0]!r}")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text.rstrip(".,").replace(",", "")).normalize()
    except InvalidOperation:
        return Decimal(-1)


def _amounts(facts: Facts) -> tuple[Decimal | None, Decimal | None, str]:
    """(price, was-price, currency sign), as they are printed, from the feed row itself."""
    offer = offer_of(facts.item)
    if offer.price_micros is None:
        return None, None, ""
    now = price_text(offer.price_micros, offer.currency, facts.locale)
    sign = next((ch for ch in now if ch in _CURRENCY), "")
    was = None
    if offer.was_micros is not None:
        was = _decimal(
            re.sub(r"[^\d.,]", "", price_text(offer.was_micros, offer.currency, facts.locale, round_up=False))
        )
    return _decimal(re.sub(r"[^\d.,]", "", now)), was, sign


def _money(text: str, facts: Facts) -> Iterator[Finding]:
    """Each amount is the price, or the was-price where it is called so, in the feed's currency."""
    now, was, sign = _amounts(facts)
    for match in _MONEY.finditer(text):
        amount, before = _decimal(match[1] or match[2]), text[: match.start()]
        shown = next((ch for ch in match[0] if ch in _CURRENCY), "").replace("￥", "¥")
        called_was = bool(_WAS_BEFORE.search(before))
        right = amount == was and was is not None if called_was else amount == now and now is not None
        if (
            not right
            or (shown and shown != sign)
            or (not shown and facts.item.currency.lower() not in match[0].lower())
        ):
            yield Finding(
                "grounded.money", f"{match[0]!r}: the feed's price is {now}, was {was}, in {facts.item.currency}"
            )
    for sign_alone in re.findall(rf"[{_CURRENCY}](?!\s*\d)(?<!\d[{_CURRENCY}])", text):
        yield Finding("grounded.money", f"{sign_alone!r} without an amount")


def _percents(text: str, facts: Facts) -> Iterator[Finding]:
    saving = offer_of(facts.item).discount_percent
    for match in _PERCENT.finditer(text):
        around = text[match.end() : match.end() + 5].lower(), text[: match.start()]
        is_saving = around[0].startswith((" off", "off")) or around[1].endswith(("立减", "省"))
        if is_saving and saving is not None and _decimal(match[1]) == saving:
            continue
        if not is_saving and _in_feed(match[0], text[match.end() :], facts.source):
            continue
        yield Finding("grounded.percent", f"{match[0]!r}: the feed proves a saving of {saving} %")


def _in_feed(share: str, rest: str, source: str) -> bool:
    """Whether the feed says this percentage of the same thing: "5% fat"."""
    after = re.match(r"\s*([^\W\d_]+)", rest)
    said = re.escape(re.sub(r"\s+", "", share))
    wanted = rf"(?<![\d.,]){said}\s*{re.escape(after[1]) if after else ''}"
    return bool(re.search(wanted, source, re.IGNORECASE))


def _numbers(text: str, facts: Facts) -> Iterator[Finding]:
    """Every other number stands in the feed before the same word; a rating or a stock is the feed's own."""
    rest = _PERCENT.sub(" , ", _MONEY.sub(" , ", text))
    found = tokens(rest)
    source = facts.source + " | " + " | ".join(facts.slots.get(s, "") for s in ("title", "size"))
    places, feed = number_places(source), frozenset(tokens(source))
    rating, few = facts.slots.get("rating", ""), facts.slots.get("few", "")
    for n, token in enumerate(found):
        if not is_number(token):
            if any(ch.isdigit() for ch in token) and token not in feed:
                yield Finding("grounded.number", f"{token!r} is not in the feed row")
            continue
        after = found[n + 1] if n + 1 < len(found) else ""
        before = "".join(found[max(0, n - 12) : n])
        if any(word in before[-12:] for word in _RATED) and not _follows_name(found, n, facts):
            if token != rating:
                yield Finding("grounded.number", f"a rating of {token}, the feed says {rating or 'none'}")
        elif after in ("left", "remaining", "件") and (after != "件" or before.endswith(("余", "剩", "仅"))):
            if token != few:
                yield Finding("grounded.number", f"{token} {after}, the feed says {few or 'none'}")
        elif (token, spelled(after) if after and is_word(after) else "") not in places and not _joined(
            token, after, places
        ):
            yield Finding("grounded.number", f"{token!r} before {after or 'the end'!r} is not in the feed row")
    for numeral in _NUMERAL.finditer(text):
        said = text[numeral.start() : numeral.end() + 1]
        if said not in facts.source and said not in own_signs():
            yield Finding("grounded.number", f"{said!r} is not in the feed row")


def _follows_name(found: tuple[str, ...], n: int, facts: Facts) -> bool:
    """Whether the number is inside the product's name ("rating of Apple Watch Series 4: 4.8" rates it 4.8)."""
    name = tokens(facts.slots.get("title", ""))
    return any(name[k] == found[n] and found[n - k : n] == name[:k] for k in range(len(name)) if k and k <= n)


def _joined(token: str, after: str, places: frozenset[tuple[str, str]]) -> bool:
    """A number at the end of a value may be followed by a word of the line: "X21 until", "4 for"; the value itself
    must end in it in the feed."""
    return (
        (token, "") in places
        and after.isascii()
        and after in ("for", "until", "in", "with", "and", "by", "from", "off")
    )


def _without_codes(text: str, facts: Facts) -> str:
    """The text without the feed's own currency code, which is no word."""
    code = facts.item.currency
    return re.sub(rf"\b{code}\b", " ", text) if code else text


@cache
def _claim_terms() -> Terms:
    return Terms((f"claim.{group}", term) for group, terms in CLAIMS.items() for term in terms)


@lru_cache(maxsize=8192)
def _said_in(source: str) -> frozenset[str]:
    return frozenset(found.term for found in _claim_terms().find(source))


def unproven_claims(text: str, *sources: str) -> Iterator[Finding]:
    """Statements about the product that no source makes, see claim_terms.py."""
    said = [found for found in _claim_terms().find(text) if not found.by_sound or not _is_hanzi_only(text, found)]
    if said:
        proven = frozenset[str]().union(*map(_said_in, sources))
        for found in said:
            if found.term not in proven:
                yield Finding(found.rule, f"says {found.term!r}, which neither feed row nor material does")


def _is_hanzi_only(text: str, found: Found) -> bool:
    """Claims are looked for by sound only where pinyin is written: many of them sound like ordinary words."""
    span = text[found.start : found.end]
    return not any(ch.isascii() and ch.isalpha() for ch in span)


@cache
def _urgency_terms() -> Terms:
    return Terms(("urgency", term) for term in URGENCY)


@cache
def _personal_terms() -> Terms:
    return Terms(("personal", term) for term in PERSONAL)


def hurry(text: str) -> list[Found]:
    """Words of urgency in this text."""
    return [found for found in _urgency_terms().find(text) if not found.by_sound]


def about_the_shopper(text: str) -> list[Found]:
    """Words that speak of the shopper instead of the product."""
    return [found for found in _personal_terms().find(text) if not found.by_sound]


def _proofs(text: str, facts: Facts) -> Iterator[Finding]:
    """Urgency needs an end or a small stock in the feed; so do the words of a rating."""
    if not ("ends" in facts.slots or "few" in facts.slots):
        for found in hurry(text):
            yield Finding("urgency", f"says {found.term!r} and the feed row has no end and no small stock")
    lower = text.lower()
    if "rating" not in facts.slots and re.search(r"\brated\b|\brating\b|评分|打分|好评", lower):
        outside = lower.replace(facts.slots.get("title", "\0").lower(), " ")
        if re.search(r"\brated\b|\brating\b|评分|打分|好评", outside):
            yield Finding("social", "speaks of a rating and the feed row has none worth showing")


def _terms(text: str, facts: Facts) -> Iterator[Finding]:
    for found in find_banned(text):
        yield Finding("banned", f"says {found.term!r} ({found.rule})")
    if facts.material.forbidden_claims:
        for found in forbidden(facts.material.forbidden_claims).find(text):
            yield Finding("forbidden", f"says {found.term!r}, which the advertiser forbids")
    for found in about_the_shopper(text):
        yield Finding("personal", f"says {found.term!r}: an ad does not speak of the shopper")
