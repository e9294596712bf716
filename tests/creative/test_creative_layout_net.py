"""The layout network: it starts as retrieval, learns whom to trust, stays on the canvas, and repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.creative.layout_fit import LayoutConfig, agreed, condition, fit_layouts, learn_layouts, lesson_of
from zhitou.creative.layout_net import Condition, Critic, LayoutNet, NetSize, box_loss, moved
from zhitou.creative.layout_retrieval import Retriever, Slots, in_slots

torch.set_num_threads(1)  # layouts this small only wait for each other
TINY = LayoutConfig(exemplars=6, epochs=8, batch=32, samples=0, width=16, adversarial=0.0, learning_rate=5e-3)


def _world(seed: int, n: int) -> Slots:
    """Layouts of kind 0 and, at times, 1 to 3: with kind 3 everything stands at the bottom, else at the top. Kinds 1
    and 2 only disturb, so that the nearest exemplar is often of the other half."""
    draw = np.random.default_rng(seed)
    present = np.concatenate([np.ones((n, 1)), draw.random((n, 3)) < 0.5], 1).astype(bool)
    kinds = np.tile(np.arange(4), (n, 1))
    y = np.where(present[:, 3], 0.75, 0.05)[:, None] + 0.02 * draw.random((n, 4))
    boxes = np.stack([np.tile(np.arange(4) / 4, (n, 1)), y, np.full((n, 4), 0.2), np.full((n, 4), 0.15)], -1)
    return in_slots(boxes, present, kinds, 4)


def _given(slots: Slots, config: LayoutConfig) -> Condition:
    found = Retriever(slots).candidates(slots, config.exemplars, np.arange(len(slots)))
    return condition(slots, found, agreed(slots, found, config))


def test_before_its_first_step_the_network_is_retrieval() -> None:
    given = _given(_world(1, 20), TINY)
    made, whole, local = LayoutNet(NetSize(4, width=16))(given, torch.randn(20, 8))
    assert torch.allclose(made[given.present], given.anchor[given.present], atol=1e-6)
    assert whole.shape == (20, 6)
    assert local.shape == (20, 6, 4)


def test_a_step_never_leaves_the_canvas_nor_turns_a_box_inside_out() -> None:
    boxes = moved(torch.rand(50, 4), 5 * torch.randn(50, 4), 0.25)
    assert (boxes >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 1 + 1e-6).all()


def test_what_absent_places_hold_changes_no_box() -> None:
    given = _given(_world(2, 16), TINY)
    torch.manual_seed(0)
    net, z = LayoutNet(NetSize(4, width=16)), torch.randn(16, 8)
    torch.nn.init.normal_(net.move.weight)
    other = replace(
        given,
        anchor=torch.where(given.present[..., None], given.anchor, 0.7),
        exemplars=torch.where(given.present[:, None, :, None], given.exemplars, 0.3),
    )
    one, two = net(given, z), net(other, z)
    assert torch.allclose(one[0][given.present], two[0][given.present], atol=1e-5)
    assert torch.allclose(one[1], two[1], atol=1e-5)


def test_the_loss_of_the_truth_is_nothing_and_of_half_a_box_is_by_hand() -> None:
    truth = torch.tensor([[[0.0, 0.0, 0.4, 0.5]]])
    half = torch.tensor([[[0.0, 0.0, 0.2, 0.5]]])
    here = torch.ones(1, 1, dtype=torch.bool)
    assert box_loss(truth, truth, here).tolist() == pytest.approx([0.0])
    assert box_loss(half, truth, here).tolist() == pytest.approx([1 - 0.5 + 0.2])


def test_the_network_learns_which_element_decides_where_all_stand() -> None:
    train, test = _world(3, 192), _world(4, 60)
    model = fit_layouts(train, TINY, Chance(5))
    found = model.retriever.candidates(test, TINY.exemplars)
    plain = np.abs(found.boxes[:, 0, 0, 1] - test.boxes[:, 0, 1]).mean()
    made = model.make(test, Chance(6))
    assert np.abs(made[:, 0, 1] - test.boxes[:, 0, 1]).mean() < 0.5 * plain + 0.02
    assert (made[~test.present] == 0).all()


def test_the_same_corpus_and_chance_give_the_same_layouts() -> None:
    train, test = _world(7, 64), _world(8, 10)
    config = replace(TINY, epochs=2, adversarial=0.05, samples=2)
    lesson = lesson_of(train, config)
    torch.manual_seed(1)
    one = learn_layouts(lesson, config, Chance(9)).make(test, Chance(1))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    two = learn_layouts(lesson, config, Chance(9)).make(test, Chance(1))
    assert np.array_equal(one, two)
    assert torch.equal(state, torch.get_rng_state())  # nobody else's chance is used up
    with pytest.raises(ConfigError, match="batch of 32"):
        fit_layouts(_world(7, 20), config, Chance(1))


def test_boxes_of_the_query_are_never_read() -> None:
    train, test = _world(10, 64), _world(11, 12)
    config = replace(TINY, epochs=1, samples=1)
    model = fit_layouts(train, config, Chance(1))
    blind = replace(test, boxes=np.zeros_like(test.boxes))
    assert np.array_equal(model.make(test, Chance(2)), model.make(blind, Chance(2)))
    assert np.array_equal(model.move(test, Chance(2)), model.move(blind, Chance(2)))


def test_the_critic_tells_a_score_and_the_boxes_again() -> None:
    given = _given(_world(12, 8), TINY)
    score, again = Critic(NetSize(4, width=16))(given.anchor, given)
    assert score.shape == (8,)
    assert again.shape == given.anchor.shape
