"""Keyed pseudonyms: the same shopper has the same name inside a tenant, and an unlinkable one in another.

HMAC-SHA-256 under a key per tenant, so that nobody without the key can test whether an id is in the data
(a plain hash of an e-mail address falls to a dictionary in minutes).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from pathlib import Path

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY

KEY_BYTES = 32


class Pseudonyms:
    """Names for the shoppers of one tenant. Refused: a key that is not 32 bytes."""

    def __init__(self, tenant: str, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"expected a pseudonym key of {KEY_BYTES} bytes, got {len(key)}")
        self.tenant = tenant
        self._key = hmac.digest(key, b"zhitou/pseudonym/" + tenant.encode(), hashlib.sha256)

    def __repr__(self) -> str:  # the key must not reach a log
        return f"Pseudonyms(tenant={self.tenant!r})"

    def name(self, raw_id: str) -> str:
        """`s_` + 26 hexadecimal digits (104 bits: one collision is expected after 4e15 shoppers)."""
        return "s_" + hmac.digest(self._key, raw_id.encode(), hashlib.sha256).hex()[:26]

    def names(self, raw_ids: list[str]) -> list[str]:
        """`name` of each."""
        return [self.name(raw) for raw in raw_ids]


class Addresses:
    """Names for network addresses, so that clicks from one address can be counted and nobody can say which it was.

    The same address has the same name for one day (UTC) under one key; the next day, under another key, and in
    another tenant it has another. Whoever replaces the key cuts the last tie between old names and addresses.
    Refused (ConfigError): a key that is not 32 bytes.
    """

    def __init__(self, tenant: str, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"expected an address key of {KEY_BYTES} bytes, got {len(key)}")
        self._key = hmac.digest(key, b"zhitou/address/" + tenant.encode(), hashlib.sha256)

    def __repr__(self) -> str:
        return "Addresses()"

    def name(self, address: str, at_us: int) -> str | None:
        """`a_` + 16 hexadecimal digits; None for what is no IP address.

        Of an IPv6 address the first 64 bits count: a home or an office has that many addresses to itself.
        """
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return None
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip
        whole = ip.packed if isinstance(ip, ipaddress.IPv4Address) else ip.packed[:8]
        day = str(at_us // (SECONDS_PER_DAY * MICROSECONDS)).encode()
        of_day = hmac.digest(self._key, day, hashlib.sha256)
        return "a_" + hmac.digest(of_day, whole, hashlib.sha256).hex()[:16]


def load_or_create_key(path: Path) -> bytes:
    """The key in this file; drawn from the system and written with mode 0600 if there is none yet."""
    if path.exists():
        return bytes.fromhex(path.read_text().strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
    return key


def demonstration_key(chance: Chance) -> bytes:
    """A key that follows from the seed, so that a demonstration can be repeated to the byte. Never for real data."""
    return hashlib.sha256(f"demonstration key {chance.number('pseudonym-key')}".encode()).digest()
