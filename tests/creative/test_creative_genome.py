"""The genome: one representation of a design, with nothing in it that does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import ConfigError
from zhitou.creative.genome import ALWAYS, GENES, PARTS, SIZES, Genomes, gene, part, value


def _designs(n: int = 2) -> Genomes:
    present = np.isin(np.tile(PARTS, (n, 1)), ALWAYS)
    boxes = np.zeros((n, len(PARTS), 4), dtype=np.float32)
    boxes[present] = (0.1, 0.2, 0.5, 0.25)
    return Genomes(np.zeros(n, dtype=np.int64), present, boxes, np.zeros((n, len(GENES)), dtype=np.int64))


def test_a_design_tells_its_boxes_in_pixels_and_its_genes_by_name() -> None:
    designs = _designs()
    designs.genes[1, gene("palette")] = value("palette", "bold")
    one = designs[1]
    assert one.box("headline") == pytest.approx((30.0, 50.0, 150.0, 62.5))
    assert one.box("legal") is None
    assert (one.size, one.gene("palette"), one.gene("family")) == (SIZES[0], "bold", "split")


def test_selected_and_joined_designs_are_the_same_designs() -> None:
    designs = _designs(3)
    designs.genes[:, gene("tone")] = [0, 1, 2]
    back = Genomes.join([designs.select(np.array([2])), designs.select(np.array([0, 1]))])
    assert back.genes[:, gene("tone")].tolist() == [2, 0, 1]
    assert [g.gene("tone") for g in back] == ["bold", "plain", "warm"]


@pytest.mark.parametrize("break_it", ["outside", "gene", "missing", "shape", "size"])
def test_what_is_no_design_is_refused(break_it: str) -> None:
    good = _designs()
    arrays = {name: getattr(good, name).copy() for name in ("size", "present", "boxes", "genes")}
    if break_it == "outside":
        arrays["boxes"][0, 0, 0] = 1.5
    elif break_it == "gene":
        arrays["genes"][0, 0] = 99
    elif break_it == "missing":
        arrays["present"][1, part("button")] = False
    elif break_it == "shape":
        arrays["genes"] = arrays["genes"][:, 1:]
    else:
        arrays["size"][0] = len(SIZES)
    with pytest.raises(ConfigError):
        Genomes(**arrays)
