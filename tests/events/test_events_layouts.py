"""Layouts from outside: each documented form on a made-up file, and what a reader says of one it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhitou.core.errors import SourceError
from zhitou.events.sources.layouts import (
    BANNER_KINDS,
    CGL_KINDS,
    CRELLO_KINDS,
    POSTER_KINDS,
    Layouts,
    read_banners,
    read_cgl,
    read_crello,
    read_dsgan,
    read_own,
    read_poster_csv,
    read_real_posters,
    read_rico,
)


def test_the_posters_annotation_is_edges_in_pixels_of_513_by_750(tmp_path: Path) -> None:
    path = tmp_path / "train_csv_9973.csv"
    path.write_text(
        "poster_path,total_elem,cls_elem,box_elem\n"
        'train/1.png,2,1,"[0, 75, 513, 150]"\n'
        'train/1.png,2,3,"[0, 0, 513, 375]"\n'
        'train/2.png,2,2,"[51.3, 75, 102.6, 150]"\n'
        'train/2.png,2,7,"[0, 0, 9, 9]"\n'
        'train/2.png,2,1,"[0, 0"\n'
        'train/3.png,1,1,"[9, 9, 9, 9]"\n'
    )
    found = read_poster_csv(path)
    assert found.ids == ("train/1.png", "train/2.png")  # the third has no element left
    assert found.boxes[0].tolist() == [[0, 0.1, 1, 0.1], [0, 0, 1, 0.5]]
    assert [POSTER_KINDS[kind] for kind in found.kinds[0]] == ["text", "underlay"]
    assert found.present.tolist() == [[True, True], [True, False]]
    assert found.refused == {"unknown kind": 1, "unreadable box or class": 1, "box without area": 1}


def test_cgl_is_an_object_of_images_and_lists_of_boxes_in_pixels(tmp_path: Path) -> None:
    image = {"id": 5, "file_name": "a.jpg", "width": 200, "height": 100}
    boxes = [
        {"image_id": 5, "category_id": 1, "bbox": [0, 0, 100, 50]},
        {"image_id": 5, "category_id": 3, "bbox": [20, 10, 20, 10]},
    ]
    stray = {"image_id": 6, "category_id": 2, "bbox": [0, 0, 1, 1]}
    path = tmp_path / "layout_train_6w_fixed_v2.json"
    path.write_text(json.dumps({"images": [image], "annotations": [boxes, [stray]]}))
    nested = read_cgl(path)
    path.write_text(json.dumps({"images": [image], "annotations": [*boxes, stray]}))
    flat = read_cgl(path)
    for found in (nested, flat):
        assert found.boxes[0].tolist() == [[0, 0, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]]
        assert [CGL_KINDS[kind] for kind in found.kinds[0]] == ["logo", "underlay"]
        assert found.sizes.tolist() == [[200, 100]]
        assert found.refused == {"element of an unknown image": 1}


def _crello(path: Path, left: list[float], kinds: list[int] | list[str]) -> Path:
    row = {"left": left, "top": [0.0, 0.5], "width": [1.0, 0.2], "height": [1.0, 0.1], "type": kinds}
    pq.write_table(pa.Table.from_pylist([{"id": "d1", "canvas_width": 600, "canvas_height": 314, **row}]), path)
    return path


def test_crello_is_lists_of_shares_with_kinds_by_name_or_number(tmp_path: Path) -> None:
    for kinds in ([0, 4], ["coloredBackground", "textElement"]):
        found = read_crello(_crello(tmp_path / "train.parquet", [0.0, 0.25], kinds))
        assert found.boxes[0].tolist() == [[0, 0, 1, 1], [0.25, 0.5, 0.2, 0.1]]
        assert [CRELLO_KINDS[kind] for kind in found.kinds[0]] == ["coloredBackground", "textElement"]
    with pytest.raises(SourceError, match="got pixels; divide"):
        read_crello(_crello(tmp_path / "pixels.parquet", [0.0, 150.0], [0, 4]))


def test_own_designs_are_read_from_csv_and_from_json_lines_alike(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "layout,kind,x,y,width,height,canvas_width,canvas_height\n"
        "a,logo,30,25,60,50,300,250\na,headline,0,125,300,125,300,250\nb,logo,0.5,0.5,0.5,0.5,,\n"
    )
    headline = {"kind": "headline", "box": [0, 125, 300, 125]}
    lines = [
        {"id": "a", "canvas": [300, 250], "elements": [{"kind": "logo", "box": [30, 25, 60, 50]}, headline]},
        {"id": "b", "elements": [{"kind": "logo", "box": [0.5, 0.5, 0.5, 0.5]}]},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    one, other = read_own(tmp_path / "own.csv"), read_own(tmp_path / "own.jsonl")
    assert one.names == other.names == ("headline", "logo")
    assert one.ids == other.ids == ("a", "b")
    for name in ("boxes", "present", "kinds", "sizes"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.boxes[0].tolist() == [[0.1, 0.1, 0.2, 0.2], [0, 0.5, 1, 0.5]]
    assert read_own(tmp_path / "own.csv", ["logo"]).refused == {"unknown kind": 1}


def test_a_file_that_cannot_be_read_says_what_it_should_be_and_where_it_comes_from(tmp_path: Path) -> None:
    readers = {
        read_poster_csv: "PosterLayout",
        read_cgl: "CGL-GAN",
        read_crello: "cyberagent/crello",
        read_own: "creative.md",
    }
    for reader, where in readers.items():
        with pytest.raises(SourceError, match=f"found nothing; get it from .*{where}"):
            reader(tmp_path / "missing.csv")
    for public, where in ((read_rico, "layout-dm"), (read_dsgan, "PKU"), (read_real_posters, "PKU")):
        with pytest.raises(SourceError, match=f"found nothing; get it from .*{where}"):
            public(tmp_path)
    (tmp_path / "x.csv").write_text("layout,kind,x\na,logo,1\n")
    with pytest.raises(SourceError, match="expected columns y, width, height"):
        read_own(tmp_path / "x.csv")
    (tmp_path / "x.jsonl").write_text('{"id": "a", "elements": [{"kind": "logo"}]}\n')
    with pytest.raises(SourceError, match=r"at line 1 of x\.jsonl"):
        read_own(tmp_path / "x.jsonl")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(SourceError, match=r"a \.csv or \.jsonl file"):
        read_own(tmp_path / "x.txt")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(SourceError, match="images and annotations"):
        read_cgl(tmp_path / "x.json")
    (tmp_path / "empty.csv").write_text("layout,kind,x,y,width,height\n")
    with pytest.raises(SourceError, match="at least one layout"):
        read_own(tmp_path / "empty.csv")


def test_shapes_that_do_not_fit_are_no_layouts() -> None:
    with pytest.raises(SourceError, match=r"need boxes \[N, P, 4\]"):
        Layouts(("a",), ("1",), np.zeros((1, 2, 3)), np.ones((1, 2), bool), np.zeros((1, 2), int), np.zeros((1, 2)))


def _skipping(missing: SourceError) -> None:
    pytest.skip(f"{missing}; set ZHITOU_DATA to the folder that holds it")


def test_ricos_fixed_split_is_disjoint_and_complete() -> None:
    try:
        data = read_rico()
    except SourceError as missing:
        _skipping(missing)
    assert sorted([*data.train, *data.test]) == list(range(4_218))
    assert (len(data.train), len(data.test)) == (3_374, 844)
    assert data.real.boxes.shape == (4_218, 25, 4)


def test_clean_banners_have_a_button_and_known_kinds() -> None:
    try:
        banners = read_banners()
    except SourceError as missing:
        _skipping(missing)
    assert (len(banners), len(read_banners(quality=None))) == (54, 222)
    assert banners.refused == {}
    button = BANNER_KINDS.index("button")
    assert ((banners.kinds == button) & banners.present).any(1).all()
