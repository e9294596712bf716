"""One banner from one brief: copy, colours, layout, pixels, review. The same brief and genes give the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zhitou.campaign.campaign import Material
from zhitou.core.errors import ZhitouError
from zhitou.core.ids import stable_id
from zhitou.creative.brief import Brief
from zhitou.creative.claims import Finding
from zhitou.creative.copywriter import write_copy
from zhitou.creative.design import FAMILIES, Genes, make_palette
from zhitou.creative.fonts import Fonts
from zhitou.creative.frames import frame_for
from zhitou.creative.glyphs import glyph_for
from zhitou.creative.layout import Infeasible, Laid, lay_out
from zhitou.creative.pictures import fit_picture, read_source
from zhitou.creative.render import draw, html_bytes, png_bytes
from zhitou.creative.review import Drawn, review


@dataclass(frozen=True)
class Creative:
    """One reviewed banner. `findings` is empty if it may be shown; a rejected one has no id and no files.

    texts: (role, text, template, slots) of every line. boxes: (role, x, y, w, h) of every part.
    """

    creative_id: str | None
    brief: Brief
    genes: Genes
    glyph: str
    texts: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...]
    boxes: tuple[tuple[str, int, int, int, int], ...]
    picture_sha256: str | None
    png: bytes
    html: bytes
    findings: tuple[Finding, ...]

    @property
    def approved(self) -> bool:
        return not self.findings


def make_creative(brief: Brief, genes: Genes, fonts: Fonts, images: Path | None = None) -> Creative:
    """The banner in these genes; if they cannot carry it, in the nearest that can. Rejected only if none does.

    `images` is the folder of product pictures; without one, or without a file there, a glyph stands for the product.
    """
    first: Creative | None = None
    for tried in _near(genes):
        made = _make(brief, tried, fonts, images)
        if made.approved:
            return made
        first = first or made
        if any(finding.rule in _ABOUT_THE_FACTS for finding in made.findings):
            break
    assert first is not None, "there is at least one design"
    return first


# Findings that no other design can mend.
_FINAL = (
    "banned forbidden personal urgency stock landing grounded.number grounded.word colour picture glyph"
    " missing.logo missing.headline infeasible.name"
)
_ABOUT_THE_FACTS = frozenset(_FINAL.split())


def _near(genes: Genes) -> Iterator[Genes]:
    """These genes, the same colours in the other families, then the quietest colours in all families."""
    for palette in dict.fromkeys((genes.palette, "paper")):
        for family in dict.fromkeys((genes.family, *FAMILIES)):
            yield dataclasses.replace(genes, palette=palette, family=family)


def _make(brief: Brief, genes: Genes, fonts: Fonts, images: Path | None) -> Creative:
    if brief.angle == "price":
        genes = dataclasses.replace(genes, emphasis="price")
    glyph = glyph_for(brief.item.title, brief.item.category)
    try:
        source = read_source(brief.item.image, images)
        frame = frame_for(brief.size, genes.family, genes.mirrored)
        picture = fit_picture(source, frame) if source else None
        copy, palette = write_copy(brief, genes.verb), make_palette(brief.material, genes.palette)
        laid = lay_out(brief.size, copy, genes, palette, glyph, picture, brief.locale, fonts)
    except ZhitouError as error:
        rule = {"missing_glyph": "glyph", "source": "picture", "config": "colour"}.get(error.code, error.code)
        return _rejected(brief, genes, glyph, Finding(rule, str(error)))
    if isinstance(laid, Infeasible):
        return _rejected(brief, genes, glyph, Finding(f"infeasible.{laid.part}", laid.detail))
    return _finish(brief, genes, glyph, laid, source, fonts)


def _finish(brief: Brief, genes: Genes, glyph: str, laid: Laid, source: bytes | None, fonts: Fonts) -> Creative:
    scene = laid.scene
    image = draw(scene, fonts)
    png, page = png_bytes(image), html_bytes(scene)
    texts = tuple((role, line.text) for role, line in laid.lines)
    findings = review(brief, Drawn(scene, texts, image, png, page, source), fonts)
    number = hashlib.sha256(png + page).hexdigest()
    product = scene.layer("product")
    picture = product.picture if product else None
    return Creative(
        creative_id=None if findings else stable_id("cr", brief.ad_id, *brief.size, number),
        brief=brief,
        genes=genes,
        glyph=glyph,
        texts=tuple((role, line.text, line.template, line.slots) for role, line in laid.lines),
        boxes=tuple((layer.role, layer.box.x, layer.box.y, layer.box.w, layer.box.h) for layer in scene.layers),
        picture_sha256=picture.source_sha256 if picture else None,
        png=png,
        html=page,
        findings=findings,
    )


def _rejected(brief: Brief, genes: Genes, glyph: str, finding: Finding) -> Creative:
    return Creative(None, brief, genes, glyph, (), (), None, b"", b"", (finding,))


def material_sha256(material: Material) -> str:
    """Hash of the material, so that a creative made from another version of it can be told."""
    return hashlib.sha256(json.dumps(dataclasses.asdict(material), sort_keys=True).encode()).hexdigest()
