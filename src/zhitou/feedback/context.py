"""What an event's context says about how it came to be: the slot, the link, and signs that no person clicked.

Known keys: `slot` (of the decision), `link` (which link of a message was followed), `honeypot` (true: a link that no
person can see), `ip_hash` (a keyed hash of the address, made at the door, another one each day), `purpose` (as in the
header) and `headers` (names in any case; only the four below are read).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

SLOT, LINK, HONEYPOT, IP_HASH, PURPOSE, HEADERS = "slot", "link", "honeypot", "ip_hash", "purpose", "headers"
CHANNEL = "channel"  # for people who read the log; rules take the event's own column
NOWHERE = -1
SLOTS = 127  # a slot is 0 to 126
PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
PREFETCH_WORDS = frozenset({"prefetch", "prerender", "preview"})


class Said(NamedTuple):
    """What one context says. slot: -1 = none. link, ip_hash: None = not said."""

    slot: int = NOWHERE
    link: str | None = None
    ip_hash: str | None = None
    prefetch: bool = False
    honeypot: bool = False


NOTHING = Said()


def read_context(context: str | None) -> Said:
    """What this context says; a context that is no JSON object says nothing.

    >>> read_context('{"slot": 2, "headers": {"Sec-Purpose": "prefetch;prerender"}}')
    Said(slot=2, link=None, ip_hash=None, prefetch=True, honeypot=False)
    """
    if not context:
        return NOTHING
    try:
        said = orjson.loads(context)
    except ValueError:
        return NOTHING
    if not isinstance(said, dict):
        return NOTHING
    return Said(
        slot=_slot(said.get(SLOT)),
        link=_name(said.get(LINK)),
        ip_hash=_name(said.get(IP_HASH)),
        prefetch=_prefetched(said),
        honeypot=said.get(HONEYPOT) is True,
    )


def slot_of(context: str | None) -> int:
    """The slot in an event's context, -1 where there is none."""
    return read_context(context).slot


def _slot(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SLOTS else NOWHERE


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _prefetched(said: dict[str, Any]) -> bool:
    if PURPOSE not in said and HEADERS not in said:
        return False
    headers, values = said.get(HEADERS), [said.get(PURPOSE)]
    if isinstance(headers, dict):
        values += [value for name, value in headers.items() if name.lower() in PREFETCH_HEADERS]
    words = (value.lower().replace(";", " ").replace(",", " ").split() for value in values if isinstance(value, str))
    return any(not PREFETCH_WORDS.isdisjoint(some) for some in words)
