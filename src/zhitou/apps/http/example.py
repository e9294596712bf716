"""The smallest service behind the door: three ads, the one last clicked first. For trying the door without data.

python -m zhitou.apps.http.example            # http://127.0.0.1:8000, prints an API key
"""

from __future__ import annotations

import hashlib
import io
from html import escape
from typing import Any

import orjson
from PIL import Image

from zhitou.apps.http.app import create_app
from zhitou.apps.http.server import serve
from zhitou.apps.http.service import DecisionRequest
from zhitou.apps.http.settings import ROLES, HttpSettings, new_key
from zhitou.core.chance import Chance
from zhitou.core.errors import NotFoundError
from zhitou.core.ids import stable_id
from zhitou.delivery.service import Ad, Answer, Observed, Placed
from zhitou.delivery.store import MemoryStore
from zhitou.events.schema import Event
from zhitou.privacy.pseudonyms import Pseudonyms, demonstration_key
from zhitou.strategy.ports import Store

TENANT = "example"
TITLES = {"tea": "Green tea, 100 g", "mug": "Stoneware mug", "pot": "Iron tea pot"}
COLOURS = {"tea": (46, 110, 72), "mug": (150, 90, 60), "pot": (60, 60, 70)}
DECIDING = ("click", "view", "purchase", "add_to_cart")


class TeaShop:
    """Fulfils `Service`. Whatever a shopper did last (clicked, viewed, bought) is shown first next time."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store or MemoryStore()
        self._names = Pseudonyms(TENANT, demonstration_key(Chance(0)))

    def decide(self, request: DecisionRequest) -> Answer:
        """The ads in order of what this shopper touched last; none for a shopper who refuses ads."""
        decision_id = stable_id("d", request.request_id)
        refused = ("ads", False) in request.consent
        last = self._last_item(request.subject)
        items = sorted(TITLES, key=lambda item: (item != last, item))[: 0 if refused else request.slots]
        record = {
            "decision_id": decision_id,
            "subject": request.subject,
            "channel": request.channel,
            "items": items,
            "because": last,
        }
        self._store.add_decisions([(decision_id, orjson.dumps(record, option=orjson.OPT_SORT_KEYS))])
        ads = tuple(
            Ad(slot, stable_id("ad", item), item, TITLES[item], f"banner-{item}")
            for slot, item in enumerate(items)
        )
        return Answer(decision_id, ads, "the shopper did not agree to ads" if refused else None)

    def observe(self, events: list[Event]) -> Observed:
        """Keep what is about an item of the shop, or about none."""
        quarantined = tuple(
            (position, f"item {event.item!r} is not in the catalogue; add it to the feed first")
            for position, event in enumerate(events)
            if event.item is not None and event.item not in TITLES
        )
        refused = {position for position, _ in quarantined}
        kept = [event for position, event in enumerate(events) if position not in refused]
        accepted = self._store.add_events(kept)
        return Observed(accepted, len(kept) - accepted, quarantined)

    def receipt(self, decision_id: str) -> dict[str, Any]:
        """What was recorded."""
        data = self._store.decision(decision_id)
        if data is None:
            raise NotFoundError(f"decision {decision_id!r} is not known here")
        return dict(orjson.loads(data))

    def placed(self, decision_id: str, slot: int) -> Placed:
        """The item in this slot."""
        record = self.receipt(decision_id)
        if slot >= len(record["items"]):
            raise NotFoundError(f"decision {decision_id!r} left slot {slot} empty")
        return Placed(record["subject"], record["channel"], record["items"][slot])

    def clicked(self, decision_id: str, slot: int) -> str:
        """The page of the item."""
        return f"https://shop.example/items/{self.placed(decision_id, slot).item}"

    def creative(self, creative_id: str, kind: str) -> tuple[bytes, str]:
        """A plain coloured banner."""
        item = creative_id.removeprefix("banner-")
        if item not in TITLES:
            raise NotFoundError(f"creative {creative_id!r} is not known here")
        if kind == "html":
            page = f'<!doctype html><title>{escape(item)}</title><a href="${{CLICK_URL}}">{escape(TITLES[item])}</a>'
            return page.encode(), "text/html"
        picture = io.BytesIO()
        Image.new("RGB", (300, 250), COLOURS[item]).save(picture, "PNG")
        return picture.getvalue(), "image/png"

    def why(self, decision_id: str) -> dict[str, Any]:
        """One sentence."""
        because = self.receipt(decision_id)["because"]
        reason = f"You last looked at {TITLES[because]}." if because else "We know nothing about you yet."
        return {"decision_id": decision_id, "sentences": [reason]}

    def pseudonym(self, raw_subject: str) -> str:
        """The shopper's name in here."""
        return self._names.name(raw_subject)

    def report_html(self) -> bytes:
        """There is none."""
        raise NotFoundError("the example makes no report")

    def ready(self) -> dict[str, Any]:
        """What is loaded."""
        return {"ready": True, "ads": len(TITLES)}

    def _last_item(self, subject: str) -> str | None:
        touched = [e.item for e in self._store.events(TENANT, subject) if e.kind in DECIDING and e.item]
        return touched[-1] if touched else None


def main() -> None:
    """Serve the example on a loopback port until interrupted."""
    text, key = new_key("example", ROLES)
    settings = HttpSettings(tenant=TENANT, link_key=hashlib.sha256(text.encode()).digest(), keys=(key,))
    print(f"the example listens at {settings.public_url} ; API key: {text}", flush=True)
    serve(create_app(TeaShop(), settings))


if __name__ == "__main__":
    main()
