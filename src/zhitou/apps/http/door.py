"""What the routes share: the service and its turns, the settings, the links and the clock."""

from __future__ import annotations

from dataclasses import dataclass

from zhitou.apps.http.links import Links
from zhitou.apps.http.service import Service
from zhitou.apps.http.settings import HttpSettings
from zhitou.apps.http.turns import Turns
from zhitou.core.clock import Clock
from zhitou.privacy.pseudonyms import Addresses


@dataclass(frozen=True)
class Door:
    """The parts of one door. Every call of `service` goes through `turns`."""

    service: Service
    settings: HttpSettings
    turns: Turns
    links: Links
    addresses: Addresses
    clock: Clock
