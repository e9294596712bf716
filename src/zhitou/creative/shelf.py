"""The shelf: reviewed banners of all ads, on disk with where each came from, ready to be served.

K = ads. Layout of the folder: manifest.json, and files/ID.png and files/ID.html for each approved banner.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.item import Item
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.core.files import replace_whole
from zhitou.creative.brief import ANGLES, SIZES, offer_of, write_brief
from zhitou.creative.copywriter import angles_of
from zhitou.creative.design import draw_genes
from zhitou.creative.fonts import Fonts
from zhitou.creative.make import Creative, make_creative, material_sha256

MANIFEST = "manifest.json"
FILES = "files"
FORMAT = 1
MEDIA_TYPES = {"png": "image/png", "html": "text/html; charset=utf-8"}


class Shelf:
    """Banners by ad and size: implements strategy.ports.CreativeSource.

    A record is the manifest's entry of one banner; `withdrawn` maps creative ids to the reason.
    """

    def __init__(self, folder: Path, manifest: dict) -> None:
        self.folder = folder
        self.manifest = manifest
        self.withdrawn: dict[str, str] = dict(manifest.get("withdrawn", {}))
        self._records: dict[str, dict] = {r["creative_id"]: r for r in manifest["creatives"] if r["creative_id"]}
        self._by_ad = {(r["ad_id"], tuple(r["size"])): r["creative_id"] for r in self._records.values()}

    @classmethod
    def load(cls, folder: Path) -> Shelf:
        """What make_creatives left in this folder. Refused (SourceError): no manifest, or one of another format."""
        path = folder / MANIFEST
        if not path.is_file():
            raise SourceError(f"expected reviewed creatives at {path}, found none; run `zhitou generate` first")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            shelf = cls(folder, manifest)
        except (ValueError, KeyError, TypeError):
            raise SourceError(f"{path} cannot be read as a manifest; run `zhitou generate` again") from None
        if manifest.get("format") != FORMAT:
            raise SourceError(
                f"{path} has format {manifest.get('format')}, expected {FORMAT}; run `zhitou generate` again"
            )
        return shelf

    def __len__(self) -> int:
        return len(self._records)

    @property
    def records(self) -> list[dict]:
        """The manifest's entries, approved and rejected, in the order they were made."""
        return list(self.manifest["creatives"])

    @property
    def rejected(self) -> list[dict]:
        """Entries that did not pass: each has ad_id, item, size and its findings (rule, detail)."""
        return [r for r in self.manifest["creatives"] if not r["creative_id"]]

    def creative_id(self, ad_id: str, size: tuple[int, int]) -> str | None:
        """The id of an approved banner of this ad that was not withdrawn; None if there is none."""
        found = self._by_ad.get((ad_id, tuple(size)))
        return None if found in self.withdrawn else found

    def content(self, creative_id: str, kind: str) -> tuple[bytes, str]:
        """(bytes, media type) of kind "png" or "html".

        Refused: ids unknown or withdrawn, other kinds (NotFoundError); files that were altered (SourceError).
        """
        record = self.record(creative_id)
        if kind not in MEDIA_TYPES:
            raise NotFoundError(f"a creative comes as {' or '.join(MEDIA_TYPES)}, not as {kind!r}")
        if creative_id in self.withdrawn:
            raise NotFoundError(f"creative {creative_id} was withdrawn: {self.withdrawn[creative_id]}")
        path = self.folder / FILES / f"{creative_id}.{kind}"
        try:
            data = path.read_bytes()
        except OSError:
            raise SourceError(f"expected {path}, found nothing; run `zhitou generate` again") from None
        if hashlib.sha256(data).hexdigest() != record["files"][kind]["sha256"]:
            raise SourceError(f"{path} is not the file that was reviewed; run `zhitou generate` again")
        return data, MEDIA_TYPES[kind]

    def record(self, creative_id: str) -> dict:
        """Where this banner came from: brief, genes, texts with their slots, boxes, hashes. Refused: unknown ids."""
        try:
            return self._records[creative_id]
        except KeyError:
            raise NotFoundError(
                f"creative {creative_id!r} is not on the shelf; ask for it with creative_id()"
            ) from None

    def approved(self, book: AdBook, size: tuple[int, int]) -> np.ndarray:
        """bool [K]: which ads of the book have a banner of this size that may be shown."""
        return np.fromiter(
            (self.creative_id(ad, size) is not None for ad in book.ad_ids), dtype=bool, count=len(book)
        )

    def changed(self, items: ItemTable, feed: Mapping[str, Item] | None = None) -> dict[str, str]:
        """creative id -> reason, of each banner whose facts are no longer the feed's: price, availability, title.

        `feed` has the full rows where the caller has them; the ItemTable alone knows no sale price or stock.
        """
        found = {}
        for creative_id, record in self._records.items():
            reason = _difference(record, _row(record["item"], items, feed))
            if reason:
                found[creative_id] = reason
        return found

    def withdraw(self, reasons: Mapping[str, str]) -> None:
        """Take these banners from the shelf, now and after the next load. Refused: unknown ids."""
        for creative_id, reason in reasons.items():
            self.record(creative_id)
            self.withdrawn.setdefault(creative_id, reason)
        self.manifest["withdrawn"] = dict(sorted(self.withdrawn.items()))
        replace_whole(self.folder / MANIFEST, _manifest_bytes(self.manifest))


def make_creatives(
    book: AdBook,
    items: ItemTable,
    folder: Path,
    chance: Chance,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    angles: tuple[str, ...] = ANGLES,
    *,
    feed: Mapping[str, Item] | None = None,
    images: Path | None = None,
    fonts: Fonts | None = None,
    tags: Mapping[str, str] | None = None,
    locale: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Shelf:
    """Banners of every ad in every size, reviewed and written to `folder`; an old shelf there is replaced.

    Each ad has one design and one angle for all its sizes, drawn from `chance` by its id. feed: item id -> full row
    (sale price, availability, attributes), where the caller has more than the ItemTable. images: folder of product
    pictures. tags: ad id -> the interest word that chose it, for the record only. progress(done, of) after each ad.
    """
    fonts = fonts or Fonts()
    (folder / FILES).mkdir(parents=True, exist_ok=True)
    for old in sorted((folder / FILES).glob("cr_*.*")):
        old.unlink()
    records = []
    for k, ad_id in enumerate(book.ad_ids):
        campaign = book.campaigns[int(book.campaign[k])]
        item = (feed or {}).get(str(items.ids[book.item[k]])) or items.item(int(book.item[k]))
        rng = chance.stream("creative", ad_id)
        genes, pick = draw_genes(rng), int(rng.integers(1 << 30))
        possible = angles_of(write_brief(ad_id, item, campaign.material, angles[0], sizes[0], locale))
        usable = [angle for angle in angles if angle in possible] or list(angles[:1])
        for size in sizes:
            angle, tag = usable[pick % len(usable)], (tags or {}).get(ad_id, "")
            brief = write_brief(ad_id, item, campaign.material, angle, size, locale, tag)
            made = make_creative(brief, genes, fonts, images)
            records.append(_record(made, campaign.campaign_id))
            if made.creative_id:
                replace_whole(folder / FILES / f"{made.creative_id}.png", made.png, durable=False)
                replace_whole(folder / FILES / f"{made.creative_id}.html", made.html, durable=False)
        if progress:
            progress(k + 1, len(book))
    manifest = {
        "format": FORMAT,
        "seed": chance.seed,
        "fonts": fonts.fingerprint(),
        "creatives": records,
        "withdrawn": {},
    }
    replace_whole(folder / MANIFEST, _manifest_bytes(manifest))
    return Shelf(folder, manifest)


def _record(made: Creative, campaign_id: str) -> dict:
    """The manifest's entry: everything needed to make the banner again, and to see what it claims and why."""
    brief, item = made.brief, made.brief.item
    files = {"png": made.png, "html": made.html} if made.creative_id else {}
    return {
        "creative_id": made.creative_id,
        "ad_id": brief.ad_id,
        "campaign_id": campaign_id,
        "item": item.item,
        "size": list(brief.size),
        "locale": brief.locale,
        "angle": brief.angle,
        "tag": brief.tag,
        "genes": dataclasses.asdict(made.genes),
        "glyph": made.glyph,
        "facts": _facts(item),
        "texts": [{"role": r, "text": t, "template": m, "slots": dict(s)} for r, t, m, s in made.texts],
        "boxes": [[role, *box] for role, *box in made.boxes],
        "material_sha256": material_sha256(brief.material),
        "picture_sha256": made.picture_sha256,
        "files": {kind: {"bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()} for kind, b in files.items()},
        "findings": [[finding.rule, finding.detail] for finding in made.findings],
    }


def _facts(item: Item) -> dict[str, object]:
    offer = offer_of(item)
    return {
        "title": item.title,
        "price_micros": offer.price_micros,
        "was_micros": offer.was_micros,
        "currency": item.currency,
        "availability": item.availability,
    }


def _row(item_id: str, items: ItemTable, feed: Mapping[str, Item] | None) -> Item | None:
    if feed is not None and item_id in feed:
        return feed[item_id]
    try:
        return items.item(items.row(item_id))
    except NotFoundError:
        return None


def _difference(record: dict, item: Item | None) -> str:
    """What a shopper would find otherwise than the banner says, or nothing."""
    if item is None:
        return "the item left the catalogue"
    now, then = _facts(item), record["facts"]
    names = {
        "availability": "availability",
        "price_micros": "price",
        "was_micros": "was-price",
        "title": "title",
        "currency": "currency",
    }
    changes = [f"{name} was {then[key]!r}, is {now[key]!r}" for key, name in names.items() if now[key] != then[key]]
    return "; ".join(changes)


def _manifest_bytes(manifest: dict) -> bytes:
    """JSON with one creative a line, so that two manifests can be compared line by line."""
    head = {key: value for key, value in manifest.items() if key != "creatives"}
    rows = ",\n".join(json.dumps(record, ensure_ascii=False) for record in manifest["creatives"])
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "creatives": [\n{rows}\n]}}\n'.encode()
