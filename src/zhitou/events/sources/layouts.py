"""Layouts from outside: public sets of posters, interfaces and banners, and a user's own designs, in one form.

None of the data is part of the project; each reader says where a user gets it. A reader hands over what the file
says: boxes that leave the canvas stay as they are, elements that cannot be read are counted in `refused`.

N = layouts, P = places (the most elements of a layout).
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from zhitou.core.errors import SourceError
from zhitou.events.sources.raw import data_folder, need

POSTER_KINDS = ("text", "logo", "underlay")
CGL_KINDS = ("logo", "text", "underlay", "embellishment", "highlighted text")
CRELLO_KINDS = ("coloredBackground", "imageElement", "maskElement", "svgElement", "textElement")
BANNER_KINDS = ("background", "image", "panel", "logo", "text", "button", "price", "legal")
RICO_KINDS = 25  # numbered in the arrays, as LayoutDM's data set numbers them
POSTER_CANVAS = (513, 750)  # pixels; every poster of PKU PosterLayout has this canvas
RICO_TRAIN, RICO_ALL = 3_374, 4_218

_PKU = "https://github.com/PKU-ICST-MIPL/PosterLayout-CVPR2023 (by the form there)"
_CGL = "https://github.com/minzhouGithub/CGL-GAN (by the form there)"
_CRELLO = "https://huggingface.co/datasets/cyberagent/crello"
_RICO = "https://github.com/CyberAgentAILab/layout-dm (Rico25, test split: labels and boxes as arrays)"
_BANNERS = (
    "banners that you may measure: a JSON list of {path, size: [width, height], quality, elements: [{k: the kind, "
    "box: [x, y, width, height] as shares}]}"
)
_OWN = "your own designs: docs/creative.md shows the two forms, CSV and JSON lines"


@dataclass(frozen=True)
class Layouts:
    """N layouts. boxes: float64 [N, P, 4], x, y, width, height as shares of the canvas, 0 where absent. present: bool
    [N, P], the first places of a row. kinds: int64 [N, P], the place of the kind in `names`, 0 where absent. ids:
    what each is called. sizes: int64 [N, 2], the canvas in pixels, 0 where unknown. refused: reason -> elements that
    could not be read.

    Refused (SourceError): no layout at all, shapes that do not fit each other.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    boxes: np.ndarray
    present: np.ndarray
    kinds: np.ndarray
    sizes: np.ndarray
    refused: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ids)
        if not n:
            raise SourceError("expected at least one layout with an element, found none")
        found = (self.boxes.shape, self.present.shape, self.kinds.shape, self.sizes.shape)
        p = self.present.shape[-1]
        if found != ((n, p, 4), (n, p), (n, p), (n, 2)):
            raise SourceError(
                f"{n} layouts need boxes [N, P, 4], present, kinds [N, P] and sizes [N, 2], got {found}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray) -> Layouts:
        """The layouts in these rows (int [n])."""
        ids = tuple(self.ids[row] for row in rows.tolist())
        arrays = (self.boxes[rows], self.present[rows], self.kinds[rows], self.sizes[rows])
        return Layouts(self.names, ids, *arrays, self.refused)


@dataclass(frozen=True)
class RicoBenchmark:
    """Real interfaces and what LayoutDM made for the same labels, [4,218] each. train, test: rows of the fixed split;
    no learning may look at `test`."""

    real: Layouts
    layoutdm: Layouts
    train: np.ndarray
    test: np.ndarray


def read_rico(folder: Path | None = None) -> RicoBenchmark:
    """Rico25's test split below `folder` (ZHITOU_DATA if None), with the split that the figures here are of:
    rows of numpy's default_rng(0).permutation(4218), the first 3,374 to learn from, the last 844 to be judged on.

    Refused (SourceError): a missing file, another number of layouts, labels that differ between the two files.
    """
    base = (folder or data_folder()) / "rico_layouts"
    real, made = (_rico(base / f"rico25_test4218_{name}.npz") for name in ("real", "layoutdm_c2sp"))
    if not (np.array_equal(real.kinds, made.kinds) and np.array_equal(real.present, made.present)):
        raise SourceError(
            f"expected LayoutDM's layouts of the same labels as the real ones in {base}; get both again"
        )
    order = np.random.default_rng(0).permutation(RICO_ALL)
    return RicoBenchmark(real, made, order[:RICO_TRAIN], order[RICO_TRAIN:])


def read_dsgan(folder: Path | None = None) -> Layouts:
    """The 905 layouts that DS-GAN made for PosterLayout's test canvases, as its authors published them."""
    path = need((folder or data_folder()) / "posterlayout" / "dsgan_test905.npz", "DS-GAN's 905 layouts", _PKU)
    with np.load(path) as file:
        edges, classes = file["boxes_ltrb"].astype(np.float64), file["classes"][..., 0].astype(np.int64)
    if len(edges) != 905:
        raise SourceError(f"expected 905 layouts in {path}, got {len(edges)}; get the published output")
    boxes, present = np.concatenate([edges[..., :2], edges[..., 2:] - edges[..., :2]], -1), classes > 0
    boxes, kinds = np.where(present[..., None], boxes, 0.0), np.where(present, classes - 1, 0)
    sizes = np.tile(np.array(POSTER_CANVAS), (905, 1))
    return Layouts(POSTER_KINDS, tuple(str(n) for n in range(905)), boxes, present, kinds, sizes)


def read_real_posters(folder: Path | None = None) -> dict[str, np.ndarray]:
    """Measures of 8,734 real posters of PosterLayout's training set by RALF's definitions: name -> float64 [8,734],
    NaN where a measure says nothing of a poster."""
    base = (folder or data_folder()) / "posterlayout"
    path = need(base / "real_train8734_metrics.json.gz", "the measures of 8,734 real posters", _PKU)
    table = json.loads(gzip.decompress(path.read_bytes()))
    return {name: np.array([np.nan if v is None else v for v in values]) for name, values in table.items()}


def read_banners(folder: Path | None = None, quality: str | None = "clean") -> Layouts:
    """Boxes measured in real IAB banners. quality: "clean" (a button, no text over text), "no_cta", "overlap"; None
    is all of them."""
    path = need((folder or data_folder()) / "iab_banners" / "banners.json", "boxes of real banners", _BANNERS)
    rows = [row for row in json.loads(path.read_bytes()) if quality in (None, row["quality"])]
    made = ((row["path"], row["size"], [(e["k"], e["box"]) for e in row["elements"]]) for row in rows)
    return _gathered(BANNER_KINDS, made)


def read_poster_csv(path: Path) -> Layouts:
    """PKU PosterLayout's annotation (train_csv_9973.csv): one row an element, columns poster_path, cls_elem (1 text,
    2 logo, 3 underlay) and box_elem ("[left, top, right, bottom]" in pixels of 513 x 750).

    Refused: a missing file or column (SourceError); rows of another class or box are counted.
    """
    rows = _csv_rows(need(path, "PKU PosterLayout's annotation", _PKU), ("poster_path", "cls_elem", "box_elem"), _PKU)

    def element(row: Mapping[str, str]) -> tuple[str, list[float]]:
        left, top, right, bottom = (float(v) for v in json.loads(row["box_elem"]))
        kind = POSTER_KINDS[int(row["cls_elem"]) - 1] if row["cls_elem"] in ("1", "2", "3") else "?"
        return kind, _shares((left, top, right - left, bottom - top), POSTER_CANVAS)

    return _grouped(POSTER_KINDS, ((row["poster_path"], POSTER_CANVAS, row) for row in rows), element)


def read_cgl(path: Path) -> Layouts:
    """CGL-Dataset's annotation (layout_train_6w_fixed_v2.json): `images` with id, file_name, width, height;
    `annotations`, a list or a list of lists, with image_id, category_id (1 logo, 2 text, 3 underlay, 4
    embellishment, 5 highlighted text) and bbox [left, top, width, height] in pixels."""
    data = json.loads(need(path, "CGL-Dataset's annotation", _CGL).read_bytes())
    if not isinstance(data, dict) or not {"images", "annotations"} <= set(data):
        raise SourceError(f"expected an object with images and annotations in {path}; get it from {_CGL}")
    images = {image["id"]: image for image in data["images"]}
    flat = [a for some in data["annotations"] for a in (some if isinstance(some, list) else [some])]
    known = [a for a in flat if a.get("image_id") in images]

    def row(a: Mapping[str, Any]) -> tuple[str, tuple[int, int], Mapping[str, Any]]:
        image = images[a["image_id"]]
        return str(image["file_name"]), (int(image["width"]), int(image["height"])), a

    def element(a: Mapping[str, Any]) -> tuple[str, list[float]]:
        image, number = images[a["image_id"]], int(a["category_id"])
        kind = CGL_KINDS[number - 1] if 1 <= number <= len(CGL_KINDS) else "?"
        return kind, _shares((float(v) for v in a["bbox"]), (image["width"], image["height"]))

    lost = {"element of an unknown image": len(flat) - len(known)} if len(flat) > len(known) else {}
    return _grouped(CGL_KINDS, map(row, known), element, lost)


def read_crello(path: Path) -> Layouts:
    """Crello's Parquet files: one row a design with id, canvas_width, canvas_height and lists type (a name or its
    number), left, top, width, height, as shares of the canvas.

    Refused (SourceError): a missing file or column; boxes in pixels (a later version of the set), to be divided by
    the canvas first.
    """
    table = pq.read_table(need(path, "Crello's templates (Parquet)", _CRELLO))
    columns = ("id", "canvas_width", "canvas_height", "type", "left", "top", "width", "height")
    _need_columns(path, columns, table.column_names, _CRELLO)
    rows = table.select(list(columns)).to_pylist()
    if any(abs(v) > 10 for row in rows for name in columns[4:] for v in row[name]):
        raise SourceError(f"expected shares of the canvas in {path}, got pixels; divide them by the canvas first")

    def elements(row: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[float]]]:
        for kind, *box in zip(*(row[name] for name in columns[3:]), strict=True):
            known = CRELLO_KINDS[kind] if isinstance(kind, int) and kind < len(CRELLO_KINDS) else str(kind)
            yield known, box

    made = ((str(r["id"]), (int(r["canvas_width"]), int(r["canvas_height"])), list(elements(r))) for r in rows)
    return _gathered(CRELLO_KINDS, made)


def read_own(path: Path, names: Sequence[str] | None = None) -> Layouts:
    """A user's own designs, from .csv or .jsonl.

    CSV: one row an element, columns layout, kind, x, y, width, height, and, where boxes are in pixels, canvas_width
    and canvas_height; without these, boxes are shares of the canvas. JSON lines: one object a layout, {"id": "a",
    "canvas": [300, 250], "elements": [{"kind": "logo", "box": [x, y, width, height]}]}, shares without "canvas".
    names: the kinds that may appear; those found, by alphabet, if None. Refused (SourceError): another ending, a
    missing file or column, a line that is no JSON object with elements; single bad elements are counted.
    """
    need(path, "layouts as .csv or .jsonl", _OWN)
    if path.suffix == ".jsonl":
        made = list(_own_objects(path))
        found = {kind for _, _, elements in made for kind, _ in elements}
        return _gathered(tuple(names or sorted(found)), iter(made))
    if path.suffix != ".csv":
        raise SourceError(f"expected layouts in a .csv or .jsonl file, got {path.name}; see {_OWN}")
    rows = _csv_rows(path, ("layout", "kind", "x", "y", "width", "height"), _OWN)

    def canvas(row: Mapping[str, str]) -> tuple[int, int]:
        width, height = row.get("canvas_width") or "0", row.get("canvas_height") or "0"
        return (int(width), int(height)) if width.isdecimal() and height.isdecimal() else (0, 0)

    def element(row: Mapping[str, str]) -> tuple[str, list[float]]:
        box = (float(row[name]) for name in ("x", "y", "width", "height"))
        return row["kind"], _shares(box, canvas(row) if all(canvas(row)) else (1, 1))

    kinds = tuple(names or sorted({row["kind"] for row in rows}))
    return _grouped(kinds, ((row["layout"], canvas(row), row) for row in rows), element)


_Made = tuple[str, Sequence[int], list[tuple[str, Sequence[float]]]]


def _own_objects(path: Path) -> Iterator[_Made]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            canvas = tuple(int(v) for v in row.get("canvas", (0, 0)))
            scale = canvas if all(canvas) else (1, 1)
            elements: list[tuple[str, Sequence[float]]] = [
                (str(e["kind"]), _shares((float(v) for v in e["box"]), scale)) for e in row["elements"]
            ]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(
                f"expected a layout at line {number} of {path.name}, got {error!r}; see {_OWN}"
            ) from None
        yield str(row.get("id", number)), canvas, elements


def _rico(path: Path) -> Layouts:
    need(path, "Rico25's layouts as arrays", _RICO)
    with np.load(path) as file:
        flat, label, offset = file["bbox_cxcywh"].astype(np.float64), file["label"].astype(np.int64), file["offset"]
    if len(offset) - 1 != RICO_ALL:
        raise SourceError(f"expected {RICO_ALL:,} layouts in {path}, got {len(offset) - 1:,}; get it from {_RICO}")
    sizes = np.diff(offset)
    present = np.arange(sizes.max()) < sizes[:, None]
    boxes, kinds = np.zeros((*present.shape, 4)), np.zeros(present.shape, dtype=np.int64)
    boxes[present] = np.concatenate([flat[:, :2] - flat[:, 2:] / 2, flat[:, 2:]], 1)
    kinds[present] = label
    names, ids = tuple(str(k) for k in range(RICO_KINDS)), tuple(str(n) for n in range(RICO_ALL))
    return Layouts(names, ids, boxes, present, kinds, np.zeros((RICO_ALL, 2), dtype=np.int64))


def _shares(box: Iterable[float], canvas: Sequence[float]) -> list[float]:
    x, y, w, h = box
    return [x / canvas[0], y / canvas[1], w / canvas[0], h / canvas[1]]


def _csv_rows(path: Path, columns: Sequence[str], where: str) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    _need_columns(path, columns, reader.fieldnames or (), where)
    return rows


def _need_columns(path: Path, columns: Iterable[str], found: Iterable[str], where: str) -> None:
    missing = [name for name in columns if name not in set(found)]
    if missing:
        raise SourceError(f"expected columns {', '.join(missing)} in {path}, got {', '.join(found)}; from {where}")


def _grouped(
    names: Sequence[str], rows: Iterable[tuple[str, Sequence[int], Any]], element: Any, lost: Mapping[str, int] = {}
) -> Layouts:
    """Rows of one element each, gathered by layout in the order of first appearance."""
    refused = dict(lost)
    of: dict[str, tuple[Sequence[int], list[tuple[str, Sequence[float]]]]] = {}
    for layout, canvas, row in rows:
        _, some = of.setdefault(layout, (canvas, []))
        try:
            some.append(element(row))
        except (ValueError, TypeError, KeyError):
            refused["unreadable box or class"] = refused.get("unreadable box or class", 0) + 1
    return _gathered(names, ((layout, canvas, some) for layout, (canvas, some) in of.items()), refused)


def _gathered(names: Sequence[str], made: Iterable[_Made], lost: Mapping[str, int] = {}) -> Layouts:
    place = {name: number for number, name in enumerate(names)}
    refused, kept = dict(lost), []
    for layout, canvas, elements in made:
        good = []
        for kind, box in elements:
            sound = np.isfinite(box).all() and box[2] > 0 and box[3] > 0
            reason = None if kind in place and sound else "box without area" if kind in place else "unknown kind"
            if reason:
                refused[reason] = refused.get(reason, 0) + 1
            else:
                good.append((place[kind], box))
        if good:
            kept.append((layout, tuple(canvas), good))
    n, p = len(kept), max((len(good) for _, _, good in kept), default=0)
    boxes, kinds = np.zeros((n, p, 4)), np.zeros((n, p), dtype=np.int64)
    present, sizes = np.zeros((n, p), dtype=bool), np.zeros((n, 2), dtype=np.int64)
    for row, (_, canvas, good) in enumerate(kept):
        sizes[row] = canvas
        present[row, : len(good)] = True
        kinds[row, : len(good)], boxes[row, : len(good)] = [k for k, _ in good], [b for _, b in good]
    return Layouts(tuple(names), tuple(name for name, _, _ in kept), boxes, present, kinds, sizes, refused)
