"""Whole banners: whatever the feed says, the outcome is an approved banner or a reason."""

from __future__ import annotations

import dataclasses
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.chance import Chance
from zhitou.creative import colour as col
from zhitou.creative.brief import ANGLES, SIZES, Brief, write_brief
from zhitou.creative.design import (
    BUTTON_SHAPES,
    EMPHASES,
    FAMILIES,
    PALETTES,
    PATTERNS,
    Genes,
    draw_genes,
    make_palette,
)
from zhitou.creative.fonts import Fonts, MissingGlyphError, matplotlib_folder
from zhitou.creative.glyphs import GLYPHS, glyph_for, glyph_shapes
from zhitou.creative.make import make_creative
from zhitou.creative.render import CLICK_MACRO, draw
from zhitou.creative.review import Drawn, review
from zhitou.creative.scene import Box, Layer, Scene, Shape, Text

FONTS = Fonts()
COLA = Item("i1", "SFT DRNK 2 LITER BTL CARB INCL", ("GROCERY", "SOFT DRINKS", "COLA"), None, 1_990_000, "USD")
SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d", slogan="Good food, every day")
PLAIN = Genes("split", "paper", "circle", "title", "pill", False, 0)
HAS_CHINESE = "cjk" in FONTS.families

genes = st.builds(
    Genes, st.sampled_from(FAMILIES), st.sampled_from(PALETTES), st.sampled_from(PATTERNS), st.sampled_from(EMPHASES),
    st.sampled_from(BUTTON_SHAPES), st.booleans(), st.integers(0, 7),
)  # fmt: skip
hexes = st.integers(0, 0xFFFFFF).map(lambda v: f"#{v:06x}")


def brief_of(item: Item = COLA, material: Material = SHOP, size: tuple[int, int] = (300, 250)) -> Brief:
    return write_brief("ad", item, material, "attribute", size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("palette", PALETTES)
def test_every_family_and_palette_carries_an_ordinary_product(
    size: tuple[int, int], family: str, palette: str
) -> None:
    chosen = dataclasses.replace(PLAIN, family=family, palette=palette)
    made = make_creative(brief_of(size=size), chosen, FONTS)
    assert made.findings == ()
    assert made.genes == chosen
    assert Image.open(io.BytesIO(made.png)).size == size


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=60)
    | st.sampled_from(["最佳跑步鞋，轻", "W" * 40, "🔥 SALE 🔥", "ΑΒΓ кофе", "a b c d e f g h i j k l m n o"]),
    st.none() | st.integers(-5, 10**13),
    st.none() | st.integers(-5, 10**13),
    hexes,
    genes,
    st.sampled_from(SIZES),
    st.sampled_from(ANGLES),
)
def test_any_title_price_and_colour_gives_an_approved_banner_or_a_reason(
    title: str,
    price: int | None,
    sale: int | None,
    colour: str,
    chosen: Genes,
    size: tuple[int, int],
    angle: str,
) -> None:
    item = dataclasses.replace(COLA, title=title, price_micros=price, sale_price_micros=sale)
    material = dataclasses.replace(SHOP, colour_primary=colour)
    made = make_creative(write_brief("ad", item, material, angle, size), chosen, FONTS)
    assert made.approved == (made.creative_id is not None)
    rules = {finding.rule for finding in made.findings}
    assert not rules & {
        "overflow",
        "overlap",
        "contrast",
        "margin",
        "button.area",
        "type.min",
        "grounded.number",
        "was.proof",
    }
    for layer in made.boxes:
        assert layer[1] >= 0
        assert layer[1] + layer[3] <= size[0]


@settings(max_examples=40, deadline=None)
@given(hexes, st.sampled_from(PALETTES))
def test_text_colours_keep_their_contrast_for_any_brand_colour(colour: str, role: str) -> None:
    palette = make_palette(dataclasses.replace(SHOP, colour_primary=colour), role)
    for ground, ink in (
        (palette.ground, palette.ink), (palette.ground, palette.soft), (palette.ground, palette.logo),
        (palette.button, palette.button_ink), (palette.badge, palette.badge_ink), (palette.label, palette.label_ink),
        (palette.card, palette.ink), (palette.card, palette.soft), (palette.card, palette.logo),
    ):  # fmt: skip
        assert col.contrast(ground, ink) >= 4.5


def test_contrast_is_that_of_the_standard() -> None:
    assert col.contrast("#000000", "#ffffff") == pytest.approx((1 + 0.05) / (0 + 0.05))
    assert col.tone("#1f7a4d", col.to_lch("#1f7a4d")[0]) == "#1f7a4d"


def test_the_same_brief_and_seed_give_the_same_bytes() -> None:
    chosen = draw_genes(Chance(7).stream("creative", "ad"))
    one, two = (make_creative(brief_of(), chosen, Fonts()) for _ in range(2))
    assert (one.png, one.html, one.creative_id) == (two.png, two.html, two.creative_id)


def test_html_carries_the_texts_as_text_and_no_script() -> None:
    made = make_creative(brief_of(), PLAIN, FONTS)
    page = made.html.decode()
    shown = " ".join(html.unescape(t) for t in re.findall(r"<text[^>]*>([^<]*)</text>", page))
    for _, text, _, _ in made.texts:
        assert "".join(text.split()) in "".join(shown.split())
    assert f'href="{CLICK_MACRO}"' in page
    assert "<script" not in page
    assert 'content="width=300,height=250"' in page


def test_markup_in_a_title_stays_text() -> None:
    made = make_creative(brief_of(dataclasses.replace(COLA, title='Tea <b onclick="x">& Co')), PLAIN, FONTS)
    assert b"<b " not in made.html


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"title": "🔥"}, "approved"),  # its category still names it
        ({"title": "🔥", "category": ()}, "infeasible.name"),
        ({"title": "W" * 60, "category": ()}, "infeasible.headline"),
        ({"availability": "out_of_stock"}, "stock"),
        ({"title": "Guaranteed Miracle Tonic"}, "banned"),
    ],
)
def test_what_cannot_be_advertised_is_rejected_with_its_reason(change: dict, rule: str) -> None:
    made = make_creative(brief_of(dataclasses.replace(COLA, **change)), PLAIN, FONTS)
    assert (made.findings[0].rule if made.findings else "approved") == rule


def test_a_material_with_a_wrong_colour_is_rejected_with_its_reason() -> None:
    made = make_creative(brief_of(material=dataclasses.replace(SHOP, colour_primary="green")), PLAIN, FONTS)
    assert [f.rule for f in made.findings] == ["colour"]
    assert "#rrggbb" in made.findings[0].detail


def test_without_a_chinese_font_the_error_names_the_package() -> None:
    only_latin = Fonts(matplotlib_folder())
    with pytest.raises(MissingGlyphError, match="fonts-noto-cjk"):
        only_latin.width("耳机", "bold", 20)
    zh = write_brief("ad", dataclasses.replace(COLA, title="无线蓝牙耳机"), SHOP, "price", (300, 250), "zh")
    assert [f.rule for f in make_creative(zh, PLAIN, only_latin).findings] == ["glyph"]


def test_matplotlibs_fonts_are_enough_for_latin_banners() -> None:
    only_latin = Fonts(matplotlib_folder())
    for size in SIZES:
        assert make_creative(brief_of(size=size), PLAIN, only_latin).approved


@pytest.mark.skipif(not HAS_CHINESE, reason="needs a Chinese font: apt install fonts-noto-cjk, or set ZHITOU_FONTS")
@pytest.mark.parametrize("size", SIZES)
def test_a_chinese_banner_is_approved(size: tuple[int, int]) -> None:
    item = Item(
        "i2",
        "无线蓝牙耳机 降噪 30小时续航",
        ("数码", "耳机"),
        "声海",
        499_000_000,
        "CNY",
        399_000_000,
        locale="zh-CN",
    )
    material = Material("声海", "声海", "#c8102e", slogan="听见每一天")
    made = make_creative(write_brief("ad", item, material, "brand", size), PLAIN, FONTS)
    assert made.findings == ()
    assert {t[0]: t[1] for t in made.texts}["label"] == "广告"


@pytest.mark.parametrize("name", sorted(GLYPHS))
def test_a_glyph_stays_in_its_square(name: str) -> None:
    for shape in glyph_shapes(name, 0, 0, 100, dict.fromkeys("abcd", "#000000")):
        n = shape.numbers
        xs, ys = n[::2], n[1::2]
        if shape.kind == "ellipse":
            xs, ys = (n[0] - n[2], n[0] + n[2]), (n[1] - n[3], n[1] + n[3])
        if shape.kind == "rect":
            xs, ys = (n[0], n[0] + n[2]), (n[1], n[1] + n[3])
        assert min(*xs, *ys) >= -3  # a curve may swing a little past its points
        assert max(*xs, *ys) <= 103


def test_the_glyph_shows_the_kind_of_product() -> None:
    assert glyph_for("CREAM CHEESE", ("GROCERY", "CHEESE", "CREAM CHEESE")) == "cheese"
    assert glyph_for("Apple AirPods", ("Shop", "mobile-accessories")) == "phone"
    assert glyph_for("Lemon", ("Shop", "groceries")) == "fruit"
    assert glyph_for("Zyx", ()) == "gift"


# The review itself, on scenes that no layout would make.


def scene_of(*layers: Layer) -> Scene:
    return Scene((300, 250), "#ffffff", layers, "en", "")


def findings_of(*layers: Layer) -> set[str]:
    scene = scene_of(*layers)
    texts = tuple((role, text.text) for role, text in scene.texts())
    return {f.rule for f in review(brief_of(), Drawn(scene, texts, draw(scene, FONTS), b"", b""), FONTS)}


def word(role: str, x: int, y: int, fill: str = "#111111", size: int = 20, box: Box | None = None) -> Layer:
    width = FONTS.width("Soft Drink", "bold", size)
    found = box or Box(x, y - size, round(width) + 2, size + 8)
    return Layer(role, found, (), (Text(x, y, "Soft Drink", "bold", size, fill, width),))


def test_the_review_sees_text_on_text() -> None:
    assert "overlap" in findings_of(word("headline", 20, 60), word("subline", 60, 64))
    assert "overlap" not in findings_of(word("headline", 20, 60), word("subline", 20, 120))


def test_the_review_sees_text_on_the_product() -> None:
    product = Layer("product", Box(30, 40, 60, 60), (Shape("rect", (30, 40, 60, 60), "#dddddd"),))
    assert "overlap" in findings_of(product, word("headline", 20, 60))


def test_the_review_sees_text_that_leaves_the_banner_or_its_box() -> None:
    assert "overflow" in findings_of(word("headline", 250, 60))
    assert "overflow" in findings_of(word("headline", 20, 60, box=Box(20, 44, 40, 20)))
    assert "margin" in findings_of(word("headline", 1, 60))


def test_the_review_measures_contrast_in_pixels() -> None:
    assert "contrast" in findings_of(word("headline", 20, 60, fill="#8a8a8a"))
    assert "contrast" not in findings_of(word("headline", 20, 60, fill="#595959"))
    dark = Layer("backdrop", Box(0, 0, 300, 250), (Shape("rect", (0, 0, 300, 250), "#222222"),))
    assert "contrast" in findings_of(dark, word("headline", 20, 60))


def test_the_review_sees_type_too_small_to_read() -> None:
    assert "type.min" in findings_of(word("headline", 20, 60, size=8))


def test_the_review_sees_a_button_too_small_to_hit() -> None:
    tiny = Layer("button", Box(20, 100, 30, 14), (Shape("rect", (20, 100, 30, 14), "#000000"),))
    assert "button.area" in findings_of(tiny)


# Product photographs.


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(3)
    Image.fromarray(rng.integers(0, 255, (90, 160, 3), dtype=np.uint8)).save(folder / "shoe.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "secret.png").write_bytes((folder / "shoe.png").read_bytes())
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_product_picture_is_made_smaller_and_nothing_else(photos: Path, size: tuple[int, int], family: str) -> None:
    item = dataclasses.replace(COLA, image="shoe.png")
    made = make_creative(brief_of(item, size=size), dataclasses.replace(PLAIN, family=family), FONTS, photos)
    assert made.findings == ()
    assert made.picture_sha256 is not None
    x, y, w, h = next(tuple(b[1:]) for b in made.boxes if b[0] == "product")
    shown = np.asarray(Image.open(io.BytesIO(made.png)).crop((x, y, x + w, y + h)))
    source = Image.open(photos / "shoe.png").resize((w, h), Image.Resampling.LANCZOS)
    assert np.array_equal(shown, np.asarray(source))
    assert w / h == pytest.approx(160 / 90, rel=0.05)


@pytest.mark.parametrize("name", ["broken.png", "../secret.png"])
def test_a_broken_or_outlying_picture_is_a_reason_not_a_crash(photos: Path, name: str) -> None:
    made = make_creative(brief_of(dataclasses.replace(COLA, image=name)), PLAIN, FONTS, photos)
    assert [f.rule for f in made.findings] == ["picture"]


def test_an_address_is_never_fetched_and_a_glyph_stands_in(photos: Path) -> None:
    made = make_creative(brief_of(dataclasses.replace(COLA, image="https://example.com/a.png")), PLAIN, FONTS, photos)
    assert made.approved
    assert made.picture_sha256 is None
