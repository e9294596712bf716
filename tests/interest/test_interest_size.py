"""The sizes on paper are those of models that are really built."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zhitou.core.errors import ConfigError
from zhitou.interest.model import Block, Decoder, turns
from zhitou.interest.sampled import FULL_ITEMS
from zhitou.interest.size import CONTENT, DEPTHS, DRAWS, deepest, describe, size
from zhitou.interest.tokens import Vocabulary


def _vocabulary(items: int, sizes: tuple[int, ...] = CONTENT) -> Vocabulary:
    """Every second item has an embedding of its own."""
    own = np.zeros(2 * items, dtype=np.int64)
    own[::2] = np.arange(1, items + 1)
    return Vocabulary(own, np.zeros((2 * items, len(sizes)), dtype=np.int64), np.ones_like(own), sizes)


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_the_parameters_on_paper_are_those_of_the_model_that_is_built(name) -> None:
    config = size(name, items=300)
    built = Decoder(config, _vocabulary(300))
    report = describe(config, 300)
    assert report.total == sum(p.numel() for p in built.parameters())
    assert report.weight_bytes == sum(p.numel() * p.element_size() for p in built.parameters())
    assert report.parameters["items"] == (300 + 1) * (config.width + 1)


def test_a_model_of_a_billion_parameters_is_counted_without_the_memory_for_it() -> None:
    config = size("large", items=180_000)
    with torch.device("meta"):
        built = Decoder(config, _vocabulary(180_000))
    report = describe(config, 180_000)
    assert report.total == sum(p.numel() for p in built.parameters())
    assert 0.9e9 < report.total < 1.1e9
    assert report.parameters["blocks"] == 40 * (12 * 1280**2 + 2 * 1280 + 3 * 1280 * (3408 - 8 * 1280 / 3))


def test_a_real_vocabulary_gives_the_same_as_its_number_of_frequent_items() -> None:
    config = size("base", items=300)
    paper, real = describe(config, 300), describe(config, _vocabulary(300))
    assert paper.parameters == real.parameters
    assert real.catalogue_bytes == 2 * paper.catalogue_bytes  # the 300 rare items have codes and counts as well


def test_one_dial_sets_the_whole_shape() -> None:
    """Depth 2 is 64 wide, depth 8 256; parameters of the blocks grow as the cube, 64-fold from 2 to 8."""
    shapes = [(c.layers, c.width, c.heads, c.context) for c in (size(depth, items=100) for depth in (1, 2, 8, 40))]
    assert shapes == [(1, 32, 1, 64), (2, 64, 2, 128), (8, 256, 4, 512), (40, 1280, 20, 1024)]
    blocks = [describe(size(depth, items=100), 100).parameters["blocks"] for depth in (2, 8)]
    assert blocks[1] / blocks[0] == pytest.approx(64, rel=0.02)
    assert size("base", items=FULL_ITEMS).positions_batch * 4 == size("base", items=FULL_ITEMS + 1).positions_batch


@pytest.mark.parametrize("depth", [1, 2, 8])
def test_what_a_step_keeps_for_its_way_back_is_what_its_blocks_keep(depth) -> None:
    config = size(depth, items=100)
    b, t = 2, 48
    block = Block(config.width, config.heads, config.dropout).train()
    weights = {p.untyped_storage().data_ptr() for p in block.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(b, t, config.width, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = block(x, turns(torch.rand(b, t), config.width // config.heads))
    assert out.requires_grad
    report = describe(config, 0)
    assert sum(kept.values()) / (b * t) == pytest.approx(
        report.activation_bytes / (report.tokens * config.layers), rel=0.1
    )


def test_above_the_limit_a_step_ranks_a_sample_and_a_prediction_everything() -> None:
    """One more item than the limit: 2 D^2 + 2 D U per moment, three times that in training, with U = 8,192 there."""
    config = size("base", items=FULL_ITEMS + 1)
    report = describe(config, FULL_ITEMS + 1)
    assert report.ranked == DRAWS
    assert report.moment_flops == 2 * 64 * 64 + 2 * 64 * (FULL_ITEMS + 1)
    assert report.training_moment_flops == 3 * (2 * 64 * 64 + 2 * 64 * DRAWS)


def test_the_deepest_model_within_a_budget_leaves_no_room_for_a_deeper_one() -> None:
    config = deepest(20_000_000, items=10_000)
    assert describe(config, 10_000).total <= 20_000_000 < describe(size(config.layers + 1, 10_000), 10_000).total
    with pytest.raises(ConfigError, match="raise min_count"):
        deepest(1_000, items=10_000)


def test_the_report_prints_as_a_table_of_two_columns() -> None:
    text = str(describe(size("base", items=1_000_000), 1_000_000))
    assert text.startswith("2 layers of 64, 2 heads, context 128, memory 32\n1,000,000 items, 8,192 ranked")
    assert "weights" in text
    assert len({len(line) for line in text.splitlines()[2:]}) == 1


def test_an_unknown_size_is_refused_with_those_that_are_known() -> None:
    for wrong in ("huge", 0, 129):
        with pytest.raises(ConfigError, match=", ".join(DEPTHS)):
            size(wrong, items=10)
