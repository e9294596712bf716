"""The shelf: what was reviewed is what is served, until the feed changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.catalog.item import ITEM_SCHEMA, Item
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.creative.brief import SIZES
from zhitou.creative.fonts import Fonts
from zhitou.creative.gallery import contact_sheet, gallery_html
from zhitou.creative.shelf import MANIFEST, Shelf, make_creatives
from zhitou.strategy.ports import CreativeSource

FONTS = Fonts()
ROWS = [
    ("a", "WHITE BREAD 20 OZ", "GROCERY > BAKED BREAD/BUNS/ROLLS > WHITE BREAD", 1_990_000),
    ("b", "POTATO CHIPS 11 OZ", "GROCERY > BAG SNACKS > POTATO CHIPS", 2_000_000),
    ("c", "Guaranteed Miracle Tonic", "DRUG > HEALTH > TONIC", 9_000_000),
]
SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
FLIGHT = Flight(0, 10, 1_000_000, 1_000_000)


def table_of(rows: list[tuple[str, str, str, int]]) -> ItemTable:
    names = ("item", "title", "category", "price_micros")
    facts = [{**dict(zip(names, row, strict=True)), "currency": "USD"} for row in rows]
    return ItemTable.from_arrow(pa.Table.from_pylist(facts, schema=ITEM_SCHEMA))


ITEMS = table_of(ROWS)
BOOK = AdBook.build(
    (Campaign("c1", "Fresh Market", "Test", "USD", FLIGHT, "clicks", 100_000, ("a", "b", "c"), SHOP),), ITEMS
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return make_creatives(BOOK, ITEMS, tmp_path / "creatives", Chance(1), fonts=FONTS)


def test_every_ad_has_a_banner_of_each_size_or_a_reason(shelf: Shelf) -> None:
    for size in SIZES:
        assert shelf.approved(BOOK, size).tolist() == [True, True, False]
    assert {(r["item"], r["findings"][0][0]) for r in shelf.rejected} == {("c", "banned")}
    assert len(shelf) == 6


def test_the_shelf_is_a_creative_source(shelf: Shelf) -> None:
    source: CreativeSource = shelf
    found = source.creative_id(BOOK.ad_ids[0], (300, 250))
    assert found is not None
    assert source.content(found, "png")[1] == "image/png"
    assert source.content(found, "html")[0].startswith(b"<!doctype html>")
    assert source.creative_id(BOOK.ad_ids[2], (300, 250)) is None
    assert source.creative_id("nobody", (300, 250)) is None


def test_unknown_ids_and_kinds_are_refused(shelf: Shelf) -> None:
    with pytest.raises(NotFoundError, match="cr_none"):
        shelf.content("cr_none", "png")
    known = shelf.creative_id(BOOK.ad_ids[0], (300, 250)) or ""
    with pytest.raises(NotFoundError, match="gif"):
        shelf.content(known, "gif")


def test_a_loaded_shelf_serves_the_same_bytes(shelf: Shelf) -> None:
    again = Shelf.load(shelf.folder)
    for record in shelf.records:
        if record["creative_id"]:
            assert again.content(record["creative_id"], "png") == shelf.content(record["creative_id"], "png")
    assert [r["findings"] for r in again.rejected] == [r["findings"] for r in shelf.rejected]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(shelf: Shelf, tmp_path: Path) -> None:
    again = make_creatives(BOOK, ITEMS, tmp_path / "again", Chance(1), fonts=FONTS)
    other = make_creatives(BOOK, ITEMS, tmp_path / "other", Chance(2), fonts=FONTS)
    written = [(shelf.folder / MANIFEST).read_bytes(), (again.folder / MANIFEST).read_bytes()]
    assert written[0] == written[1]
    assert (other.folder / MANIFEST).read_bytes() != written[0]


def test_a_second_run_leaves_no_file_of_the_first(shelf: Shelf) -> None:
    smaller = make_creatives(BOOK, ITEMS, shelf.folder, Chance(1), sizes=((320, 50),), fonts=FONTS)
    assert len(list((shelf.folder / "files").iterdir())) == 2 * len(smaller)


def test_an_altered_file_is_not_served(shelf: Shelf) -> None:
    known = shelf.creative_id(BOOK.ad_ids[0], (300, 250)) or ""
    (shelf.folder / "files" / f"{known}.png").write_bytes(b"other")
    with pytest.raises(SourceError, match="reviewed"):
        shelf.content(known, "png")


def test_a_new_price_withdraws_the_banners_that_show_the_old_one(shelf: Shelf) -> None:
    dearer = table_of([(i, t, c, p + 100_000 if i == "a" else p) for i, t, c, p in ROWS])
    changed = shelf.changed(dearer)
    assert len(changed) == len(SIZES)
    assert set(changed.values()) == {"price was 1990000, is 2090000"}
    shelf.withdraw(changed)
    assert shelf.approved(BOOK, (300, 250)).tolist() == [False, True, False]
    assert Shelf.load(shelf.folder).approved(BOOK, (300, 250)).tolist() == [False, True, False]
    with pytest.raises(NotFoundError, match="withdrawn"):
        shelf.content(next(iter(changed)), "png")


def test_what_is_sold_out_or_gone_is_withdrawn_and_what_stayed_is_not(shelf: Shelf) -> None:
    assert shelf.changed(ITEMS) == {}
    sold_out = {"a": dataclasses.replace(ITEMS.item(0), availability="out_of_stock")}
    assert set(shelf.changed(ITEMS, sold_out).values()) == {"availability was 'in_stock', is 'out_of_stock'"}
    assert set(shelf.changed(table_of(ROWS[1:])).values()) == {"the item left the catalogue"}


def test_a_full_feed_row_brings_its_sale_price(tmp_path: Path) -> None:
    feed: dict[str, Item] = {"a": dataclasses.replace(ITEMS.item(0), sale_price_micros=990_000)}
    shelf = make_creatives(BOOK, ITEMS, tmp_path, Chance(1), feed=feed, fonts=FONTS)
    texts = {t["role"]: t["text"] for t in shelf.record(shelf.creative_id(BOOK.ad_ids[0], (300, 250)) or "")["texts"]}
    assert (texts["price"], texts["was_price"], texts["badge"]) == ("$0.99", "$1.99", "-50%")


def test_every_slot_of_an_approved_banner_is_in_the_manifest(shelf: Shelf) -> None:
    for record in shelf.records:
        for text in record["texts"]:
            filled = text["template"]
            for slot, value in text["slots"].items():
                filled = filled.replace("{" + slot + "}", value)
            assert text["role"] == "logo" or filled.replace(" \xa0", "\xa0") == text["text"]


def test_a_missing_or_foreign_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="zhitou generate"):
        Shelf.load(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(SourceError, match="zhitou generate"):
        Shelf.load(tmp_path)


def test_progress_is_told_after_each_ad(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    make_creatives(
        BOOK,
        ITEMS,
        tmp_path,
        Chance(1),
        sizes=((320, 50),),
        fonts=FONTS,
        progress=lambda k, n: told.append((k, n)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_gallery_is_one_page_with_its_pictures_and_the_refusals(shelf: Shelf) -> None:
    page = gallery_html(shelf)
    assert page.count("data:image/png;base64,") == 6
    assert "Guaranteed Miracle Tonic" in page
    assert not any(mark in page for mark in ("http://", "https://", "<script"))
    assert contact_sheet(shelf, (300, 250), 2, 1).startswith(b"\x89PNG")
