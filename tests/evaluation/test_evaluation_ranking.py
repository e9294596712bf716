"""Ranking metrics, redone by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from zhitou.evaluation import ranking
from zhitou.evaluation.next_basket import measure, next_basket
from zhitou.evaluation.ranking import Targets
from zhitou.events.histories import PURCHASE, Histories

TWO = Targets(np.asarray([0, 2, 3]), np.asarray([1, 4, 0]))


def test_equal_scores_rank_by_item_number_and_forbidden_items_never_appear() -> None:
    scores = np.asarray([[1.0, 3.0, 3.0, 1.0, 0.0], [-np.inf, -np.inf, 2.0, 2.0, -np.inf]])
    assert ranking.topk(scores, 3).tolist() == [[1, 2, 0], [2, 3, -1]]
    assert ranking.topk(scores, 9).tolist() == [[1, 2, 0, 3, 4], [2, 3, -1, -1, -1]]


def test_a_ranking_equals_a_full_stable_sort() -> None:
    scores = np.random.default_rng(3).integers(0, 6, size=(40, 30)).astype(np.float32)
    full = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 7, 30):
        assert np.array_equal(ranking.topk(scores, k), full[:, :k])


def test_a_ranking_of_a_large_catalogue_equals_a_full_stable_sort() -> None:
    rng = np.random.default_rng(4)
    scores = np.where(rng.random((30, 5 * ranking.BLOCK + 9)) < 0.03, rng.integers(1, 4, (30, 1)), 0.0)
    full = np.argsort(-scores, axis=1, kind="stable")
    for k in (1, 4, 5, 6):
        assert np.array_equal(ranking.topk(scores, k), full[:, :k])
    scores[:, 7:] = -np.inf
    assert (ranking.topk(scores, 5) < 7).all()


def test_recall_ndcg_hit_and_reciprocal_rank_by_hand() -> None:
    hit = ranking.hits(np.asarray([[3, 4, 1], [2, 1, 4]]), TWO)
    assert hit.tolist() == [[False, True, True], [False, False, False]]
    assert ranking.recall(hit, TWO.sizes).tolist() == [2 / 2, 0 / 1]
    expected = (1 / log2(3) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3))
    assert ranking.ndcg(hit, TWO.sizes) == pytest.approx([expected, 0.0])
    assert ranking.hit_rate(hit).tolist() == [1.0, 0.0]
    assert ranking.reciprocal_rank(hit).tolist() == [1 / 2, 0.0]


def test_a_perfect_ranking_of_many_targets_has_ndcg_one_and_recall_k_over_size() -> None:
    targets = Targets(np.asarray([0, 4]), np.asarray([0, 1, 2, 3]))
    hit = ranking.hits(np.asarray([[2, 0]]), targets)
    assert ranking.ndcg(hit, targets.sizes).tolist() == [1.0]
    assert ranking.recall(hit, targets.sizes).tolist() == [2 / 4]


def test_an_empty_place_is_never_a_hit() -> None:
    assert not ranking.hits(np.asarray([[-1, -1]]), Targets(np.asarray([0, 1]), np.asarray([0]))).any()


def test_an_interval_holds_its_mean_and_shrinks_with_more_subjects() -> None:
    values = np.asarray([0.0, 1.0] * 50)
    small = ranking.interval(values, np.random.default_rng(1))
    large = ranking.interval(np.tile(values, 16), np.random.default_rng(1))
    assert small.low < small.mean == 0.5 < small.high
    # the standard error is 0.5 / sqrt(100) = 0.05, so the interval is about 0.5 +- 1.96 * 0.05
    assert small.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.01)
    assert (large.high - large.low) == pytest.approx((small.high - small.low) / 4, rel=0.15)
    assert small == ranking.interval(values, np.random.default_rng(1))


def test_a_paired_difference_sees_what_two_separate_intervals_cannot() -> None:
    base = np.linspace(0, 1, 101)
    difference = ranking.paired_difference(base + 0.01, base, np.random.default_rng(2))
    assert difference.low == pytest.approx(0.01)
    assert difference.high == pytest.approx(0.01)


def _histories() -> Histories:
    """Subject a: baskets {0, 1} at 10, {1} at 20, {2, 1} at 30, {3} at 40. b: {4} at 35. c: {0} at 5."""
    item = np.asarray([0, 1, 1, 1, 2, 3, 4, 0], dtype=np.int32)
    return Histories(
        subjects=np.asarray(["a", "b", "c"], dtype=object),
        offsets=np.asarray([0, 6, 7, 8]),
        item=item,
        action=np.full(8, PURCHASE, dtype=np.int8),
        time_s=np.asarray([10, 10, 20, 30, 30, 40, 35, 5]),
        step=np.asarray([0, 0, 1, 2, 2, 3, 0, 0], dtype=np.int32),
        price_micros=np.full(8, -1),
        quantity=np.ones(8, dtype=np.int64),
    )


def test_the_target_is_the_first_basket_after_the_cut_and_the_past_ends_before_it() -> None:
    task = next_basket(_histories(), 30)
    assert task.past.subjects.tolist() == ["a", "b"]
    assert task.past.item.tolist() == [0, 1, 1]
    assert task.targets.item.tolist() == [1, 2, 4]
    assert task.targets.offsets.tolist() == [0, 2, 3]


def test_what_happens_after_the_window_is_no_target() -> None:
    assert next_basket(_histories(), 30, until_s=35).past.subjects.tolist() == ["a"]


def test_the_future_is_unreadable() -> None:
    whole = _histories()
    moved = Histories(**{**vars(whole), "item": np.where(whole.time_s >= 30, 5, whole.item)})
    for name, value in vars(next_basket(whole, 30).past).items():
        assert np.array_equal(value, getattr(next_basket(moved, 30).past, name)), name


def test_measured_by_hand_for_all_items_and_for_new_ones_only() -> None:
    def scores(past: Histories) -> np.ndarray:
        return np.tile(np.asarray([5.0, 4.0, 3.0, 2.0, 1.0], dtype=np.float32), (len(past), 1))

    task = next_basket(_histories(), 30)
    everything = measure(scores, task, k=2)
    assert everything.values["recall@2"].tolist() == [1 / 2, 0.0]
    fresh = measure(scores, task, k=2, new=True)  # a had 0 and 1: its new target is 2, ranked first
    assert fresh.rows.tolist() == [0, 1]
    assert fresh.values["recall@2"].tolist() == [1.0, 0.0]
    assert fresh.values["mrr@2"].tolist() == [1.0, 0.0]
