"""Are layouts measured as the published tables measure them, and does a learned generator beat plain retrieval?

    python bench/creative_layout.py [--quick] [--seeds 3]

Measures first: DS-GAN's row of PosterLayout's table from its own 905 layouts and the mean of 8,734 real posters. Then
label-to-boxes on Rico's fixed split: 3,374 layouts to learn from, 844 to be judged on, of which only the kinds of
elements are read. Per row: MaxIoU, alignment x 100, overlap x 100 (`evaluation.layouts`); learned rows are means over
seeds with half of a 95 % interval.

- nearest: the exemplar whose counts of kinds are nearest, each kind equal; `weighted`: rare kinds count more
- agreement: of 12 exemplars the one the others agree with; `by kind`: each kind's boxes by themselves, overlap priced
- VAE, GAN, VAE-GAN alone: one sample of the network that moves the agreed boxes
- trust: the network's weights of exemplars decide, nothing is moved; all: and samples of the VAE-GAN may be chosen

The last line is one JSON object. --quick: one seed, two passes over the data.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from lines import last_line

from zhitou.core.chance import Chance
from zhitou.creative.layout_fit import LayoutConfig, LayoutModel, agreed, learn_layouts, lesson_of
from zhitou.creative.layout_retrieval import Retriever, Slots, in_slots
from zhitou.evaluation import layouts as measure
from zhitou.evaluation.layouts_match import elements, max_iou
from zhitou.events.sources.layouts import RICO_KINDS, read_dsgan, read_real_posters, read_rico

UNDERLAY = 2
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t of as many seeds
Row = tuple[float, float, float]


def main() -> None:
    """Print both tables and the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a critic that runs away otherwise slows every step some thirty times
    figures = {**posters(), **rico(1 if asked.quick else asked.seeds, 2 if asked.quick else LayoutConfig().epochs)}
    last_line("creative_layout", {**figures, "quick": asked.quick})


def posters() -> dict[str, float]:
    """DS-GAN's row by PosterLayout's definitions, real posters by RALF's."""
    made = read_dsgan()
    present = measure.valid(made.boxes, made.present)
    said = (made.boxes, present, made.kinds, UNDERLAY)
    figures = {
        "dsgan_validity": measure.validity(made.boxes, made.present),
        "dsgan_overlap": measure.average(measure.poster_overlap(made.boxes, present & (made.kinds != UNDERLAY))),
        "dsgan_alignment": measure.average(measure.poster_alignment(made.boxes, present)),
        "dsgan_underlay_loose": measure.average(measure.underlay_loose(*said)),
        "dsgan_underlay_strict": measure.average(measure.underlay_strict(*said, published=True)),
        "dsgan_underlay_strict_mended": measure.average(measure.underlay_strict(*said)),
    }
    names = {
        "real_overlap": "overlay",
        "real_alignment": "alignment-LayoutGAN++",
        "real_underlay_loose": "underlay_effectiveness_loose",
        "real_underlay_strict": "underlay_effectiveness_strict",
    }
    table = read_real_posters()
    figures |= {name: measure.average(table[column]) for name, column in names.items()}
    for name, value in figures.items():
        print(f"{name:32} {value:9.5f}")
    return figures


def rico(seeds: int, epochs: int) -> dict[str, float]:
    """The table of label-to-boxes."""
    data = read_rico()
    real, theirs = (in_slots(some.boxes, some.present, some.kinds, RICO_KINDS) for some in (data.real, data.layoutdm))
    train, test = real.select(data.train), real.select(data.test)
    table: dict[str, list[Row]] = {
        "real": [scored(test.boxes, test)],
        "LayoutDM": [scored(theirs.boxes[data.test], test)],
        **retrieval(train, test),
    }
    seconds = []
    config = replace(LayoutConfig(), epochs=epochs)
    lesson = lesson_of(train, config)
    for seed in range(seeds):
        chance, before = Chance(seed), time.process_time()
        whole = learn_layouts(lesson, config, chance)
        seconds.append(time.process_time() - before)
        alone = {"VAE alone": replace(config, adversarial=0.0), "GAN alone": replace(config, reconstruct=0.0)}
        models = {name: learn_layouts(lesson, only, chance) for name, only in alone.items()}
        for name, model in {**models, "VAE-GAN alone": whole}.items():
            table.setdefault(name, []).append(scored(model.move(test, chance), test))
        only_trust = LayoutModel(whole.retriever, whole.net, replace(config, samples=0), whole.figures)
        for name, model in {"trust": only_trust, "all": whole}.items():
            table.setdefault(name, []).append(scored(model.make(test, chance), test))
    return printed(table, float(np.median(seconds)))


def retrieval(train: Slots, test: Slots) -> dict[str, list[Row]]:
    """What needs no learning."""
    config, retriever = LayoutConfig(), Retriever(train)
    found = retriever.candidates(test, config.exemplars)
    equal = Retriever(train, np.ones(RICO_KINDS))
    return {
        "nearest": [scored(equal.candidates(test, 1).boxes[:, 0], test)],
        "nearest, weighted": [scored(found.boxes[:, 0], test)],
        "agreement": [scored(agreed(test, found, config, whole=True), test)],
        "agreement by kind": [scored(agreed(test, found, config), test)],
    }


def scored(boxes: np.ndarray, truth: Slots) -> Row:
    """(MaxIoU, alignment x 100, overlap x 100) of boxes [N, P, 4] for the truth's elements."""
    iou = max_iou(
        elements(boxes, truth.present, truth.kinds), elements(truth.boxes, truth.present, truth.kinds)
    ).mean()
    aligned, overlap = (measure.average(of(boxes, truth.present)) for of in (measure.alignment, measure.pair_overlap))
    return float(iou), 100 * aligned, 100 * overlap


def printed(table: dict[str, list[Row]], seconds: float) -> dict[str, float]:
    """Print it; the figures of the last line."""
    print(f"\n{'Rico, 844 layouts':20} {'MaxIoU':>16} {'align x 100':>16} {'overlap x 100':>16}")
    figures = {"rico_train_cpu_s": seconds}
    for name, rows in table.items():
        cells = []
        for values in zip(*rows, strict=True):
            half = T_95[len(rows)] * np.std(values, ddof=1) / len(rows) ** 0.5 if len(rows) in T_95 else 0.0
            cells.append(f"{np.mean(values):.4f}" + (f" +-{half:.4f}" if half else ""))
        print(f"{name:20} {cells[0]:>16} {cells[1]:>16} {cells[2]:>16}")
        short = (
            "rico" if name == "all" else "rico_" + name.lower().replace(",", "").replace("-", "_").replace(" ", "_")
        )
        for measured, value in zip(("max_iou", "alignment", "overlap"), np.mean(rows, axis=0).tolist(), strict=True):
            figures[f"{short}_{measured}"] = value
    return figures


if __name__ == "__main__":
    main()
