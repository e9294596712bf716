"""Eight ways to write a banned term so that a plain search misses it; of Chinese terms and of Latin ones."""

from __future__ import annotations

import numpy as np

from zhitou.creative.words.banned import is_hanzi
from zhitou.creative.words.sounds import SIMPLE, syllables

KINDS = ("full_width", "spaced", "zero_width", "punctuated", "traditional", "homophone", "pinyin", "mixed_case")
_LATIN = dict(zip("aeiostcpxy", "@3!0$7сρху", strict=True))
_ACCENTS = str.maketrans("aeioucn", "áéíôüçñ")
_CYRILLIC = str.maketrans("aeopcxysi", "аеорсхуѕі")
_SIGNS = "·.-_*~"


def disguise(term: str, kind: str, rng: np.random.Generator) -> str:
    """The term written in this way. Latin terms have no characters that sound alike: they get accents, letters of
    another script, and digits for letters instead of traditional characters, homophones and pinyin."""
    if any(is_hanzi(ch) for ch in term):
        return _chinese(term, kind, rng)
    if kind == "full_width":
        return "".join(chr(ord(ch) + 0xFEE0) if "!" <= ch <= "~" else ch for ch in term)
    if kind == "spaced":
        return "  ".join(" ".join(word) for word in term.split())
    if kind in ("zero_width", "punctuated"):
        return " ".join(_between(word, kind, rng) for word in term.split())
    if kind == "traditional":
        return term.translate(_ACCENTS)
    if kind == "homophone":
        return term.translate(_CYRILLIC)
    if kind == "pinyin":
        return "".join({"e": "3", "a": "@", "o": "0", "s": "$", "i": "1"}.get(ch, ch) for ch in term)
    return _mixed(term)


def _chinese(term: str, kind: str, rng: np.random.Generator) -> str:
    if kind == "full_width":
        return "\u3000".join(term)
    if kind == "spaced":
        return " ".join(term)
    if kind in ("zero_width", "punctuated"):
        return _between(term, kind, rng)
    if kind == "traditional":
        back = {
            chr(simple): chr(many)
            for many, simple in ((k, ord(v) if isinstance(v, str) else v) for k, v in SIMPLE.items())
        }
        return "".join(back.get(ch, ch) for ch in term)
    if kind == "homophone":
        return _homophone(term, rng)
    spoken = "".join(syllables().get(ch, ch) for ch in term)
    return spoken if kind == "pinyin" else _mixed(spoken)


def _homophone(term: str, rng: np.random.Generator) -> str:
    """Every second character replaced by another of the same sound, at least one."""
    alike: dict[str, list[str]] = {}
    for char, sound in syllables().items():
        alike.setdefault(sound, []).append(char)
    out = list(term)
    for n in range(int(rng.integers(2)), len(term), 2):
        others = [ch for ch in alike.get(syllables().get(term[n], ""), []) if ch != term[n]]
        if others:
            out[n] = others[int(rng.integers(len(others)))]
    return "".join(out)


def _between(word: str, kind: str, rng: np.random.Generator) -> str:
    sign = "\u200b" if kind == "zero_width" else _SIGNS[int(rng.integers(len(_SIGNS)))]
    return sign.join(word)


def _mixed(term: str) -> str:
    return "".join(ch.upper() if n % 2 else ch.lower() for n, ch in enumerate(term))
