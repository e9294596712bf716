"""Sampled cross entropy: in expectation what the whole catalogue would have said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zhitou.core.errors import ConfigError
from zhitou.interest.sampled import Negatives, Ranked, sampled_loss

ITEMS, WIDTH, MOMENTS = 40, 4, 3
NONE = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0))


class Problem:
    """Three moments over forty items, the first of which are seen most; moment 0 has two targets and an own item."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.count = (1_000 / (1 + np.arange(ITEMS)) ** 1.5).astype(np.int64)
        self.query, self.table = (torch.from_numpy(rng.normal(0, 1, (n, WIDTH))) for n in (MOMENTS, ITEMS))
        self.bias = torch.from_numpy(rng.normal(0, 0.5, ITEMS))
        self.kind = torch.from_numpy(rng.integers(0, 3, ITEMS))
        self.own = (torch.tensor([0, 1, 1]), np.asarray([7, 0, 30]), torch.tensor([2.0, 1.0, -1.0]).double())
        weights = torch.tensor([0.25, 0.25, 0.3, 0.2]).double()
        self.target = (torch.tensor([0, 0, 1, 2]), np.asarray([2, 7, 0, 39]), weights)
        self.group = (torch.tensor([0, 2]), torch.tensor([1, 2]), torch.tensor([0.7, -0.4]).double())

    def loss(self, ranked: Ranked) -> tuple[Tensor, list[Tensor]]:
        """The loss over these items, and its gradients for queries, own logits and group logits."""
        query = self.query.clone().requires_grad_()
        values = [part[2].clone().requires_grad_() for part in (self.own, self.group)]
        place = torch.from_numpy(ranked.items)
        own, target = (
            (m, torch.from_numpy(ranked.column(i)), v)
            for m, i, v in ((*self.own[:2], values[0]), (*self.target[:2], self.target[2]))
        )
        group = ((*self.group[:2], values[1]), self.kind[place])
        weight = torch.from_numpy(ranked.log_weight).double()
        loss = sampled_loss(query, self.table[place], self.bias[place], own, target, weight, (group,))
        loss.backward()
        return loss.detach(), [query.grad, *(v.grad for v in values)]

    @property
    def seen(self) -> np.ndarray:
        return np.concatenate([self.own[1], self.target[1]])

    def whole(self) -> Ranked:
        """All items, each counting once."""
        return Ranked(np.arange(ITEMS), np.zeros(ITEMS, dtype=np.float32))

    def mean_gap(self, draws: int, uniform: float, corrected: bool = True) -> float:
        """How far the mean gradient of the queries over many draws is from the whole catalogue's, as a share."""
        negatives, rng = Negatives(self.count, draws, uniform=uniform), np.random.default_rng(1)
        total, tries = torch.zeros(MOMENTS, WIDTH, dtype=torch.float64), 250
        for _ in range(tries):
            ranked = negatives.rank(self.seen, rng)
            if not corrected:  # as if every item had had the same chance
                even = np.log(negatives.chance[ranked.items] * ITEMS).astype(np.float32)
                ranked = Ranked(ranked.items, ranked.log_weight + even)
            total += self.loss(ranked)[1][0]
        expected = self.loss(self.whole())[1][0]
        return float((total / tries - expected).norm() / expected.norm())


def test_over_all_items_it_is_the_softmax_over_all_items() -> None:
    problem = Problem()
    query = problem.query.clone().requires_grad_()
    logits = query @ problem.table.T + problem.bias
    logits = logits.index_put((problem.own[0], torch.from_numpy(problem.own[1])), problem.own[2], accumulate=True)
    added = torch.zeros(MOMENTS, 3, dtype=torch.float64).index_put(problem.group[:2], problem.group[2])
    logits = logits + added[:, problem.kind]
    moment, item, weight = problem.target
    expected = -(torch.log_softmax(logits, 1)[moment, torch.from_numpy(item)] * weight).sum()
    expected.backward()
    loss, grads = problem.loss(problem.whole())
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(grads[0], query.grad)


def test_its_gradients_are_those_of_its_value() -> None:
    problem = Problem()
    ranked = Negatives(problem.count, 12).rank(problem.seen, np.random.default_rng(2))
    place = torch.from_numpy(ranked.items)
    own_at, want_at = (torch.from_numpy(ranked.column(part[1])) for part in (problem.own, problem.target))

    def value(query: Tensor, table: Tensor, bias: Tensor, own: Tensor, group: Tensor) -> Tensor:
        sparse = (problem.own[0], own_at, own), (problem.target[0], want_at, problem.target[2])
        groups = (((*problem.group[:2], group), problem.kind[place]),)
        return sampled_loss(query, table, bias, *sparse, torch.from_numpy(ranked.log_weight).double(), groups)

    inputs = (problem.query, problem.table[place], problem.bias[place], problem.own[2], problem.group[2])
    assert torch.autograd.gradcheck(value, tuple(t.clone().requires_grad_() for t in inputs))


def test_the_mean_gradient_comes_the_nearer_to_the_whole_catalogues_the_more_is_drawn() -> None:
    problem = Problem()
    gaps = [problem.mean_gap(draws, uniform=0.5) for draws in (4, 30, 200)]
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]
    assert gaps[2] < 0.01


def test_popular_negatives_are_biased_unless_their_chance_is_taken_out() -> None:
    problem = Problem()
    biased = [problem.mean_gap(draws, uniform=0.1, corrected=False) for draws in (60, 500)]
    assert biased[1] > 0.9 * biased[0] > 0.1, "more draws do not help"
    assert problem.mean_gap(500, uniform=0.1) < 0.01


def test_a_target_that_is_also_drawn_is_no_negative_of_itself() -> None:
    """Two items, logits 0, the target drawn 3 times in 4: the other stands for itself, so the loss is log 2."""
    drawn = Ranked(np.asarray([0, 1]), np.log([3.0, 1.0]).astype(np.float32))
    target = (torch.tensor([0]), torch.from_numpy(drawn.column(np.asarray([0]))), torch.ones(1))
    zeros = torch.zeros(1, 2), torch.zeros(2, 2), torch.zeros(2)
    loss = sampled_loss(*zeros, NONE, target, torch.from_numpy(drawn.log_weight))
    assert float(loss) == pytest.approx(np.log(2))


def test_an_item_that_only_another_subject_had_is_not_ranked_against() -> None:
    """Item 2 is there because moment 1 had it; for moment 0 there are its target and the drawn item 1, worth 4."""
    ranked = Ranked(np.asarray([0, 1, 2]), np.asarray([-np.inf, np.log(4), -np.inf], dtype=np.float32))
    own = (torch.tensor([1]), torch.tensor([2]), torch.zeros(1))
    target = (torch.tensor([0]), torch.tensor([0]), torch.ones(1))
    zeros = torch.zeros(2, 2), torch.zeros(3, 2), torch.zeros(3)
    loss = sampled_loss(*zeros, own, target, torch.from_numpy(ranked.log_weight))
    assert float(loss) == pytest.approx(np.log(1 + 4))


@settings(max_examples=40, deadline=None)
@given(
    count=st.lists(st.integers(0, 1_000), min_size=1, max_size=30),
    draws=st.integers(1, 50),
    uniform=st.floats(0.05, 1),
)
def test_the_drawn_items_stand_for_the_whole_catalogue(count, draws, uniform) -> None:
    """Summed over the drawn items, weight * chance is one: times / draws. All that was seen is among the ranked."""
    negatives = Negatives(np.asarray(count), draws, uniform=uniform)
    seen = np.asarray([len(count) - 1, 0, 0])
    ranked = negatives.rank(seen, np.random.default_rng(0))
    assert set(seen) <= set(ranked.items.tolist())
    assert (np.diff(ranked.items) > 0).all()
    assert float((np.exp(ranked.log_weight) * negatives.chance[ranked.items]).sum()) == pytest.approx(1, rel=1e-5)


def test_an_item_is_drawn_as_often_as_its_chance_says() -> None:
    """Counts 16 and 0 to the power 1/2, half of it even: (1/4 + 1/2, 1/4); eight draws take 6 of the one, 2 of the
    other, in every draw, since each eighth of the chance is drawn from once."""
    negatives = Negatives(np.asarray([16, 0]), 8, uniform=0.5, power=0.5)
    np.testing.assert_allclose(negatives.chance, [3 / 4, 1 / 4])
    ranked = negatives.rank(np.zeros(0, dtype=np.int64), np.random.default_rng(9))
    np.testing.assert_allclose(np.exp(ranked.log_weight), [6 / (8 * 3 / 4), 2 / (8 / 4)], rtol=1e-6)


def test_items_that_are_not_ranked_are_never_drawn() -> None:
    negatives = Negatives(np.asarray([9, 9, 0, 9]), 50, among=np.asarray([False, True, True, False]))
    ranked = negatives.rank(np.zeros(0, dtype=np.int64), np.random.default_rng(1))
    assert ranked.items.tolist() == [1, 2]
    with pytest.raises(ConfigError, match="lower min_count"):
        Negatives(np.ones(2, dtype=np.int64), 4, among=np.zeros(2, dtype=bool))


def test_a_catalogue_of_which_part_could_never_be_drawn_is_refused() -> None:
    for wrong in ({"draws": 0}, {"uniform": 0.0}, {"uniform": 1.5}, {"power": -1.0}):
        with pytest.raises(ConfigError):
            Negatives(np.ones(3, dtype=np.int64), **{"draws": 4, **wrong})
