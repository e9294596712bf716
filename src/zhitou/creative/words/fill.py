"""From a template to the text that is read: slots filled, sentences begun with a capital."""

from __future__ import annotations

import re
from collections.abc import Mapping

from zhitou.creative.titles import NBSP
from zhitou.creative.words.facts import SLOTS

_SLOT = re.compile(r"{(\w+)}")
_SENTENCE = re.compile(r"(^|[.?!] )([a-z])(?![A-Z])")


def fill(template: str, slots: Mapping[str, str], locale: str) -> str:
    """The text. Refused (KeyError): a slot without a fact; a template names only what its writer was given.

    >>> fill("in {material}, for every day", {"material": "cotton"}, "en")
    'In cotton, for every day'
    """
    text = _SLOT.sub(lambda m: slots[m[1]], template).replace(" " + NBSP, NBSP)
    return text if locale == "zh" else _SENTENCE.sub(lambda m: m[1] + m[2].upper(), text)


def unfill(text: str, slots: Mapping[str, str]) -> str:
    """The template behind a text: each fact that it states becomes its slot again, the longest facts first.

    >>> unfill("Meet Wool Socks in grey", {"title": "Wool Socks", "colour": "grey"})
    'Meet {title} in {colour}'
    """
    for slot in sorted((s for s in SLOTS if slots.get(s)), key=lambda s: -len(slots[s])):
        fact = re.escape(slots[slot])
        bounds = (r"(?<![\w{])", r"(?![\w}])") if slots[slot].isascii() else ("", "")
        text = re.sub(bounds[0] + fact + bounds[1], f"{{{slot}}}", text, count=1, flags=re.IGNORECASE)
    return text
