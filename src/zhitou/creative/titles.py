"""Readable product names from feed titles: "SFT DRNK 2 LITER BTL CARB INCL" becomes "Soft Drink Bottle", "2 liter".

Nothing is added: each word of a result is a word of the feed, or that word written out (wordlist.EXPANSIONS).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from zhitou.creative.glyphs import names_product
from zhitou.creative.wordlist import CAPITALS, EXCEPTIONS, EXPANSIONS, NOISE, SMALL, UNITS

NBSP = "\u00a0"
MAX_CHARACTERS = 300  # of a feed title; what comes after is not read
_SIZE = re.compile(
    r"(?<![\w.&])(\d{1,4}(?:\.\d{1,3})?|\.\d{1,3})\s?-?("
    + "|".join(sorted(UNITS, key=len, reverse=True))
    + r")\.?(?![\w])",
    re.IGNORECASE,
)
_CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_WORDS = re.compile(r"[^\W_]", re.UNICODE)


@dataclass(frozen=True)
class Title:
    """What a feed title says. `names` from the fullest to the shortest; `size` such as "2 liter", or empty."""

    names: tuple[str, ...]
    size: str


def clean(text: str) -> str:
    """The text in NFC, one space between words, without emoji, control characters and private symbols.

    What is taken out leaves a space, so that "1", a symbol and "0" do not become 10; only the invisible joiners
    and soft hyphens inside a word leave nothing.
    """
    kept: list[str] = []
    for char in unicodedata.normalize("NFC", text[:MAX_CHARACTERS]):
        kind = unicodedata.category(char)
        if kind == "Cf" or 0xFE00 <= ord(char) <= 0xFE0F:
            kept.append("" if kept and kept[-1].isalpha() else " ")
        else:
            kept.append(" " if kind[0] in "ZC" or kind in ("So", "Sk") else char)
    return re.sub(r" +", " ", "".join(kept)).strip()


def is_cjk(text: str) -> bool:
    """Whether any character is Chinese, Japanese or Korean (or full-width)."""
    return bool(_CJK.search(text))


@lru_cache(maxsize=4096)
def read_title(raw: str) -> Title:
    """The readable names and the pack size in this feed title. No letter or digit at all gives no name."""
    text = clean(raw)
    if not _WORDS.search(text):
        return Title((), "")
    if is_cjk(text):
        return Title(_cjk_names(text), "")
    size, rest = _take_size(text)
    name = _spell_out(rest) if is_shouty(rest) else rest
    names = [name, *_shorter(name)]
    usable = dict.fromkeys(n for n in names if len(n) >= 2 and re.search(r"[^\W\d_]", n))
    return Title(tuple(usable), size)


def is_shouty(text: str) -> bool:
    """Whether the text is all capitals, as stock systems write, and not just an abbreviation."""
    return text.upper() == text and any(len(w) > 2 and w not in CAPITALS for w in re.findall(r"[^\W\d_]+", text))


def _take_size(text: str) -> tuple[str, str]:
    """("2 liter", the rest): the first two measures of the title. A title of measures only stays whole."""
    found = list(_SIZE.finditer(text))
    rest = re.sub(r" +", " ", re.sub(r"(?:\s*/\s*)?" + _SIZE.pattern, " ", text, flags=re.IGNORECASE)).strip(" ,-/")
    if not found or not re.search(r"[^\W\d_]{3}", rest):
        return "", text
    sizes = {m[1]: f"{m[1]}{NBSP}{UNITS[m[2].upper()]}" for m in reversed(found)}  # "2 LITER ... 2 L" is one size
    return ", ".join(list(reversed(sizes.values()))[:2]), rest


def _spell_out(text: str) -> str:
    """Capitals turned into a title; abbreviations written out, stock-list noise and a cut last word left out."""
    text = re.sub(r"\([^)]*\)?|\d+(?:[/&]\d+)+ ?(?:PK)?", " ", text)
    head, _, tail = text.partition(":")
    tail = tail.split("/")[0].strip()
    if tail:
        vague = any(w in EXPANSIONS or not _pronounceable(w) for w in head.split())
        text = f"{tail} {head}" if len(head.split()) == 1 else tail if vague else head
    parts = list(dict.fromkeys(filter(None, map(_spell_words, text.split("/")))))[:2]
    if len(parts) == 2 and not names_product(parts[1]):
        parts = [f"{parts[1]} {parts[0]}" if " " not in "".join(parts) else parts[0]]  # "PIZZA/ECONOMY"
    return " & ".join(parts) or _capitalise(text.split())


def _spell_words(text: str) -> str:
    text = re.sub(r"\bCARB\s+INCL\b", " ", text).replace("&", " & ")
    words = [w for w in re.split(r"[ ,;*]+|(?<=\D)\.|-(?=\s)|(?<=\s)-", text) if w and w != "-"]
    ends = next((i for i, w in enumerate(words) if i and EXCEPTIONS & {*w.split("-")}), len(words))
    kept = [w for w in words[:ends] if not NOISE & {*w.split("-")} and _pronounceable(w)]
    if len(kept) > 1 and len(kept[-1]) <= 2 and kept[-1].isalpha() and kept[-1] not in EXPANSIONS:
        kept.pop()  # stock systems cut titles at a number of characters, often inside a word
    return _capitalise(_drop_repeats([EXPANSIONS.get(w, w) for w in kept]))


def _pronounceable(word: str) -> bool:
    """Not a stock code: one letter, a jumble of digits and letters, or a run of consonants that no one can say."""
    if word in EXPANSIONS or word in CAPITALS or word in ("&", "+"):
        return True
    if any(ch.isdigit() for ch in word):
        return word.isdigit() or word.endswith("%") or bool(re.fullmatch(r"[A-Z]-?\d{1,3}", word))
    vowels = re.search(r"[AEIOUY\u00c0-\uffff]", word)
    return len(word) > 1 and bool(vowels) and not re.search(r"[BCDFGHJKLMNPQRSTVWXZ]{5,}", word)


def _drop_repeats(words: list[str]) -> list[str]:
    seen: dict[str, str] = {}
    for word in words:
        seen.setdefault(word.lower(), word)
    kept = list(seen.values())
    while kept and (kept[-1].lower() in SMALL or kept[-1] in ("&", "-", "+")):
        kept.pop()
    while kept and kept[0] in ("&", "-", "+"):
        kept.pop(0)
    return kept


def _capitalise(words: list[str]) -> str:
    out = []
    for number, word in enumerate(words):
        if word in CAPITALS or any(ch.isdigit() for ch in word):
            out.append(word if word in CAPITALS else word.lower())
        elif word.lower() in SMALL and number:
            out.append(word.lower())
        else:
            out.append("-".join(part[:1].upper() + part[1:].lower() for part in word.split("-")))
    return " ".join(out)


def _shorter(name: str) -> list[str]:
    """Shorter names that stay true: without brackets, then what stands before a comma, a dash or "with".

    Not what stands before "&" or "for" ("Salt & Pepper Mill", "Food for Cats"), and nothing of a name that denies.
    """
    if re.search(r"\b(non|no|not|free|without|substitute|imitation)\b", name.lower()):
        return []
    plain = re.sub(r"\s*[(\[][^)\]]*[)\]]?\s*", " ", name).strip()
    cut = re.split(r",| - | \u2013 | \| |: | [Ww]ith ", plain)[0].strip()
    return [plain, cut]


def _cjk_names(text: str) -> tuple[str, ...]:
    """The title, and its first phrase: Chinese feeds chain phrases with spaces, brackets and bars."""
    plain = re.sub(r"\s*[（(【\[][^）)】\]]*[）)】\]]?\s*", " ", text).strip()
    first = re.split(r"[ ，,|｜/；;]+", plain)[0].strip()
    return tuple(n for n in dict.fromkeys((text, plain, first)) if n and _WORDS.search(n))
