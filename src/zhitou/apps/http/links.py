"""Signed links: what a browser follows without a key. The signature is the authority.

A link names a decision, a slot and when it ends; it never carries a price, a shopper or a target address. The
signature is HMAC-SHA-256 (RFC 2104) over the kind of link and these three, exactly as they stand in the query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from zhitou.apps.http.problems import Problem
from zhitou.core.units import MICROSECONDS

PATHS = {"impression": "/t/i", "click": "/t/c", "why": "/why"}
ID_PATTERN = r"^[A-Za-z0-9_\-]{1,128}$"


class Links:
    """Makes and checks the links of one server."""

    def __init__(self, key: bytes, public_url: str, seconds: int) -> None:
        self._key, self._public_url, self._seconds = key, public_url, seconds

    def make(self, kind: str, decision_id: str, slot: int, at_us: int) -> str:
        """The link of this kind ("impression", "click" or "why"), valid for the settings' seconds from `at_us`."""
        end = str(at_us // MICROSECONDS + self._seconds)
        signature = self.signature(kind, decision_id, str(slot), end)
        if kind == "why":
            return f"{self._public_url}{PATHS[kind]}/{decision_id}?s={slot}&e={end}&m={signature}"
        return f"{self._public_url}{PATHS[kind]}?d={decision_id}&s={slot}&e={end}&m={signature}"

    def check(self, kind: str, decision_id: str, slot: str, end: str, signature: str, now_us: int) -> int:
        """The slot of a link with these texts. Refused (Problem "link"): any other text, or too late."""
        expected = self.signature(kind, decision_id, slot, end)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Problem("link", "the signature does not fit this link; use it exactly as it was given out")
        if int(end) * MICROSECONDS < now_us:
            raise Problem("link", "the link has expired; ask for a new decision")
        return int(slot)

    def again(self, kind: str, decision_id: str, slot: str, end: str, signature: str, now_us: int) -> str:
        """The link that these texts are. Refused (Problem "link"): texts that were not given out, or too late."""
        self.check(kind, decision_id, slot, end, signature, now_us)
        return f"{self._public_url}{PATHS[kind]}?d={decision_id}&s={slot}&e={end}&m={signature}"

    def signature(self, kind: str, decision_id: str, slot: str, end: str) -> str:
        """43 characters of base64url over exactly these texts."""
        text = "\n".join(("zhitou link 1", kind, decision_id, slot, end))
        digest = hmac.digest(self._key, text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
