"""Is it in the feed? Words, signs and numbers of a text, looked for in what the feed row and the material say.

This reads finished texts. It does not know slots or templates, and every word that is not the feed's must be one
of the grammar's own or of a short neutral list: a word that nobody listed is a word that might claim something.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

from zhitou.creative.copywriter import BUTTONS, HEADLINES, SUBLINES, TASTES
from zhitou.creative.wordlist import EXPANSIONS, UNITS
from zhitou.creative.words import claim_terms
from zhitou.creative.words.grammar import lexicon
from zhitou.creative.words.sounds import SIMPLE

_TOKEN = re.compile(r"\d+(?:[.,:/-]\d+)*|\.\d+|[a-zà-ɏ]+(?:\d+[a-z]*)*|[^\W_]|[^\w\s]")
_LATIN = re.compile(r"[^\W\d_]+")
_HANZI = re.compile(r"[\u3400-\u9fff]+")


@lru_cache(maxsize=8192)
def tokens(text: str) -> tuple[str, ...]:
    """Numbers, Latin words with what digits they end in, single other characters; lower case, full width undone."""
    plain = unicodedata.normalize("NFKC", text).lower()
    plain = "".join(ch for ch in plain if unicodedata.category(ch) != "Cf")
    return tuple(t for found in _TOKEN.findall(re.sub(r"(?<=\d)(?=[a-z])", " ", plain)) if (t := found))


def is_number(token: str) -> bool:
    """Whether a token is a number."""
    return bool(re.fullmatch(r"[\d.,:/-]*\d[\d.,:/-]*", token))


def is_word(token: str) -> bool:
    """Whether a token is a word or one Chinese character."""
    return token[0].isalpha()


def spelled(word: str) -> str:
    """A feed word as it is written out: a unit's or abbreviation's long form, else itself; lower case."""
    upper = word.upper()
    return (UNITS.get(upper) or EXPANSIONS.get(upper) or word).lower().split(" ")[0]


@lru_cache(maxsize=4096)
def number_places(source: str) -> frozenset[tuple[str, str]]:
    """(number, the word that follows it or "") for every number the feed says."""
    found = tokens(source)
    pairs = set()
    for n, token in enumerate(found):
        if is_number(token):
            after = found[n + 1] if n + 1 < len(found) else ""
            pairs.add((token, spelled(after) if after and is_word(after) else ""))
            if after == "-" and n + 2 < len(found) and is_word(found[n + 2]):  # "5-pack"
                pairs.add((token, spelled(found[n + 2])))
    return frozenset(pairs)


@cache
def _templates(locale: str) -> tuple[str, ...]:
    """What the templates of banners say outside their slots."""
    found = [option for table in (HEADLINES, SUBLINES) for options in table[locale].values() for option in options]
    found += [*TASTES[locale], *(verb for pair in BUTTONS[locale] for verb in pair)]
    return tuple(piece.strip() for template in found for piece in re.split(r"{\w+}", template) if piece.strip())


@cache
def own_words() -> frozenset[str]:
    """Latin words of the writers' own lines and of the neutral list, lower case."""
    lines = {w.lower() for piece in (*lexicon("en"), *_templates("en")) for w in _LATIN.findall(piece)}
    return frozenset(lines | set(claim_terms.NEUTRAL_EN.split()))


@cache
def own_signs() -> frozenset[str]:
    """Chinese words of the writers' own lines and of the neutral list: whole pieces, and the pairs that they hold."""
    pieces = [run for piece in (*lexicon("zh"), *_templates("zh")) for run in _HANZI.findall(piece)]
    pieces += claim_terms.NEUTRAL_ZH.split()
    pairs = {piece[n : n + 2] for piece in pieces for n in range(len(piece) - 1)}
    return frozenset({*pieces, *pairs})


@lru_cache(maxsize=4096)
def feed_words(source: str) -> frozenset[str]:
    """Latin words that the feed says, those written out, and their singular and plural."""
    known = set(re.findall(r"[^\W\d_\u3400-\u9fff]+", unicodedata.normalize("NFC", source).lower()))
    out = set(known)
    for word in known:
        upper = word.upper()
        out |= set(EXPANSIONS.get(upper, "").lower().split()) | set(UNITS.get(upper, "").lower().split())
        if word.isascii() and len(word) > 3:
            out |= {word + "s", word.removesuffix("s")}
    return frozenset(out)


def unknown_words(text: str, source: str) -> list[str]:
    """Latin words and runs of Chinese characters that neither the feed nor the writers' own words explain.

    A Chinese run must be covered by pieces: anything of two characters or more that stands in the feed, or an
    own word; a single character of the feed counts only as a whole value of it.
    """
    plain = unicodedata.normalize("NFC", text)
    known = own_words() | feed_words(source)
    found: list[str] = []
    for word in _LATIN.findall(plain):
        if _HANZI.search(word):
            found += _uncovered(word.lower(), source.lower())
        elif word.lower() not in known:
            found.append(word)
    return found


@lru_cache(maxsize=16384)
def _uncovered(run: str, source: str) -> tuple[str, ...]:
    """The run itself if no sequence of known pieces makes it up, else nothing."""
    simple, feed, own = run.translate(SIMPLE), source.translate(SIMPLE), own_signs()
    whole = {value for value in re.split(r"[^\u3400-\u9fff]+", feed) if len(value) == 1}
    latin = own_words() | feed_words(source)
    n = len(simple)
    reached = [True] + [False] * n
    for start in range(n):
        if not reached[start]:
            continue
        for end in range(start + 1, min(n, start + 24) + 1):
            piece = simple[start:end]
            if (
                piece in own
                or (len(piece) > 1 and piece in feed and _ends_whole(simple, end))
                or piece in whole
                or (piece in latin and _ends_whole(simple, end) and (start == 0 or not simple[start - 1].isascii()))
            ):
                reached[end] = True
    return () if reached[n] else (run,)


def _ends_whole(text: str, end: int) -> bool:
    """Whether no Latin word is cut at this place."""
    return end == len(text) or not (text[end - 1].isascii() and text[end].isascii())
