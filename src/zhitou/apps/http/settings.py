"""What the door is told at its start: who may enter, under which name it is reached, and how much it takes."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zhitou.core.errors import ConfigError, SourceError
from zhitou.core.files import replace_whole
from zhitou.privacy.pseudonyms import Addresses

ROLES = ("decide", "ingest")
KEY_BYTES = 32
KEYS_FILE = "keys.json"
LINK_KEY_FILE = "link.key"
ADDRESS_KEY_FILE = "address.key"
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key: its name for the log, its roles, and the SHA-256 of its text."""

    name: str
    roles: frozenset[str]
    sha256: str

    def __post_init__(self) -> None:
        if unknown := sorted(self.roles - set(ROLES)):
            raise ConfigError(f"key {self.name}: unknown roles {unknown}; known are {', '.join(ROLES)}")


def new_key(name: str, roles: Sequence[str]) -> tuple[str, ApiKey]:
    """A fresh key: (its text, to be shown once and kept by its owner; what the server keeps of it)."""
    text = "zt_" + secrets.token_urlsafe(KEY_BYTES)
    return text, ApiKey(name, frozenset(roles), hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class HttpSettings:
    """Settings of the door. Sizes in bytes, times in seconds.

    link_key: 32 bytes that sign links. address_key: 32 bytes under which events of links name the address that they
    came from (privacy.pseudonyms.Addresses); without them, 32 that follow from link_key. public_url: how browsers
    reach this server; links are made from it, never from a request's Host header. hosts: accepted Host names ("*"
    takes any). cors_origins: pages of other origins whose scripts may call. frame_ancestors: CSP sources that may
    embed an HTML creative.
    """

    tenant: str
    link_key: bytes = field(repr=False)
    keys: tuple[ApiKey, ...] = ()
    address_key: bytes | None = field(default=None, repr=False)
    public_url: str = "http://127.0.0.1:8000"
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    cors_origins: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ("'self'",)
    body_bytes_max: int = 1_048_576
    events_max: int = 1_000
    waiting_max: int = 64
    link_seconds: int = 30 * 86_400

    def __post_init__(self) -> None:
        if len(self.link_key) != KEY_BYTES:
            raise ConfigError(f"expected a link key of {KEY_BYTES} bytes, got {len(self.link_key)}")
        if self.address_key is not None and len(self.address_key) != KEY_BYTES:
            raise ConfigError(f"expected an address key of {KEY_BYTES} bytes, got {len(self.address_key)}")
        for origin in (self.public_url, *self.cors_origins):
            if not _ORIGIN.fullmatch(origin):
                raise ConfigError(f"expected an origin such as https://ads.example, got {origin!r}; drop its path")
        if min(self.body_bytes_max, self.events_max, self.waiting_max, self.link_seconds) <= 0:
            raise ConfigError("the limits of the door are above zero")

    @property
    def addresses(self) -> Addresses:
        """Names for the addresses that links are followed from."""
        key = self.address_key or hmac.digest(self.link_key, b"zhitou/address key", hashlib.sha256)
        return Addresses(self.tenant, key)

    def who(self, presented: str) -> ApiKey | None:
        """The key that this text is. Every stored key is compared, in constant time, whatever matches."""
        digest = hashlib.sha256(presented.encode()).hexdigest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def load_keys(folder: Path) -> tuple[ApiKey, ...]:
    """The keys noted in this folder, none if nothing was noted. Refused: a damaged file (SourceError)."""
    path = folder / KEYS_FILE
    if not path.exists():
        return ()
    try:
        rows = json.loads(path.read_text())
        return tuple(ApiKey(row["name"], frozenset(row["roles"]), row["sha256"]) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} does not list keys ({error}); delete it and make new keys") from None


def add_key(folder: Path, name: str, roles: Sequence[str] = ROLES) -> str:
    """Make a key, note its hash in this folder and give its text back; it cannot be shown again later."""
    text, key = new_key(name, roles)
    kept = [k for k in load_keys(folder) if k.name != name] + [key]
    rows = [{"name": k.name, "roles": sorted(k.roles), "sha256": k.sha256} for k in kept]
    folder.mkdir(parents=True, exist_ok=True)
    replace_whole(folder / KEYS_FILE, (json.dumps(rows, indent=1) + "\n").encode(), private=True)
    return text


def load_or_create_link_key(folder: Path) -> bytes:
    """The key that signs links, drawn from the system at the first start."""
    return _load_or_create(folder / LINK_KEY_FILE, "links given out so far end")


def load_or_create_address_key(folder: Path) -> bytes:
    """The key that hashes addresses, drawn from the system at the first start. Delete its file to change it."""
    return _load_or_create(folder / ADDRESS_KEY_FILE, "addresses get new names")


def _load_or_create(path: Path, after: str) -> bytes:
    """32 bytes in hexadecimal, readable by their owner alone. after: what deleting the file leads to."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(path, f"{secrets.token_hex(KEY_BYTES)}\n".encode(), private=True)
    try:
        return bytes.fromhex(path.read_text().strip())
    except ValueError:
        raise SourceError(f"{path} holds no key in hexadecimal; delete it ({after})") from None
