"""Which item comes next: what each protocol shows a model, and what its figures and intervals are made of."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from zhitou.core.errors import SourceError
from zhitou.evaluation.next_basket import measure, next_basket
from zhitou.evaluation.next_item import (
    compare,
    every_click,
    figures,
    first_baskets,
    global_time,
    leave_one_out,
    ranked,
    session_prefixes,
    top_items,
)
from zhitou.events.histories import Histories


def histories(*rows: list[int], begins_s: list[int] | None = None) -> Histories:
    """One subject a row, an item every ten seconds from its begin on."""
    item = np.asarray([item for row in rows for item in row], dtype=np.int32)
    step = np.asarray([s for row in rows for s in range(len(row))], dtype=np.int32)
    begin = np.repeat(begins_s or [0] * len(rows), [len(row) for row in rows])
    return Histories(
        subjects=np.asarray([f"s{number:03d}" for number in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        item=item,
        action=np.zeros(len(item), dtype=np.int8),
        time_s=begin.astype(np.int64) + 10 * step,
        step=step,
        price_micros=np.full(len(item), -1, dtype=np.int64),
        quantity=np.ones(len(item), dtype=np.int64),
    )


def shown(given: Histories) -> list[list[int]]:
    return [given.item[a:b].tolist() for a, b in zip(given.offsets[:-1], given.offsets[1:], strict=True)]


def test_strict_never_learns_the_validation_item_but_asks_with_it() -> None:
    protocol = leave_one_out(histories([1, 2, 3, 4], [5, 6]))
    assert shown(protocol.learn["strict"]) == [[1, 2], [5, 6]]  # two events are too few to ask about
    assert shown(protocol.learn["refit"]) == [[1, 2, 3], [5, 6]]
    assert protocol.choose is protocol.learn["strict"]
    assert (shown(protocol.valid.past), protocol.valid.target.tolist()) == ([[1, 2]], [3])
    assert (shown(protocol.test.past), protocol.test.target.tolist()) == ([[1, 2, 3]], [4])
    assert protocol.test.exclude_seen


def test_leave_one_out_of_nobody_with_three_events_is_refused() -> None:
    with pytest.raises(SourceError, match="3 events or more, there are none"):
        leave_one_out(histories([1, 2]))


def test_every_click_but_the_first_is_asked_for_given_those_before_it() -> None:
    asked = every_click(histories([7, 7, 8], [9], [1, 2]))
    assert shown(asked.past) == [[7], [7, 7], [1]]
    assert asked.target.tolist() == [7, 8, 2]
    assert asked.cluster.tolist() == [0, 0, 2]
    assert shown(asked.select(np.asarray([1])).past) == [[7, 7]]


def test_the_latest_visits_are_held_back_to_choose_settings_on() -> None:
    visits = histories([1, 2], [3, 4], [5, 6], begins_s=[100, 300, 200])
    protocol = session_prefixes(visits, every_click(histories([8, 9])), valid_share=1 / 3)
    assert shown(protocol.choose) == [[1, 2], [5, 6]]
    assert (shown(protocol.valid.past), protocol.valid.target.tolist()) == ([[3]], [4])
    assert len(protocol.learn["all"]) == 3
    assert protocol.test.target.tolist() == [9]


def test_nothing_from_the_cut_on_is_learnt_and_visits_that_began_before_it_are_not_asked() -> None:
    visits = histories([1, 2], [3, 4, 5], [6, 7], begins_s=[0, 85, 100])
    protocol = global_time(visits, cut_s=100, valid_s=50)
    assert shown(protocol.learn["all"]) == [[1, 2], [3, 4]]  # 5 came at 105
    assert (shown(protocol.test.past), protocol.test.target.tolist()) == ([[6]], [7])
    assert shown(protocol.choose) == [[1, 2]]
    assert (shown(protocol.valid.past), protocol.valid.target.tolist()) == ([[3]], [4])


def test_a_future_of_other_items_changes_nothing_that_is_learnt() -> None:
    begins = [0, 85, 100]
    one = global_time(histories([1, 2], [3, 4, 5], [6, 7], begins_s=begins), 100, 50)
    two = global_time(histories([1, 2], [3, 4, 0], [0, 0], begins_s=begins), 100, 50)
    for name in ("choose", "valid", "learn"):
        a, b = getattr(one, name), getattr(two, name)
        a, b = (a["all"], b["all"]) if name == "learn" else (a, b)
        a, b = (a.past, b.past) if name == "valid" else (a, b)
        assert shown(a) == shown(b)


def test_figures_are_of_the_place_of_the_target() -> None:
    values = figures(np.asarray([[4, 5, 6], [1, 2, 3], [7, 8, -1]]), np.asarray([5, 1, 9]), (1, 3))
    assert values["hr@3"].tolist() == [1, 1, 0]
    assert values["hr@1"].tolist() == [0, 1, 0]
    assert values["mrr@3"].tolist() == [1 / 2, 1, 0]
    assert values["ndcg@3"] == pytest.approx([1 / log2(3), 1, 0])


def test_seen_items_are_left_out_only_where_the_protocol_says_so() -> None:
    rank = ranked(lambda past: np.tile([3.0, 2.0, 1.0], (len(past), 1)))
    strict = leave_one_out(histories([0, 1, 2]))
    assert top_items(rank, strict.test, 3).tolist() == [[2, -1, -1]]
    assert top_items(rank, every_click(histories([0, 1])), 2).tolist() == [[0, 1]]


def test_baskets_as_questions_give_the_figures_of_next_basket() -> None:
    task = next_basket(histories([0, 1, 2], [3, 3], [1, 0], begins_s=[0, 0, 0]), cut_s=10)

    def scores(past: Histories) -> np.ndarray:
        return np.tile([4.0, 3.0, 2.0, 1.0], (len(past), 1))

    for new in (False, True):
        asked, measured = first_baskets(task, new=new), measure(scores, task, 2, new=new)
        values = figures(top_items(ranked(scores), asked, 2), asked.targets, (2,))
        assert asked.cluster.tolist() == measured.rows.tolist()
        for name in ("recall@2", "ndcg@2", "mrr@2"):
            assert values[name].tolist() == measured.values[name].tolist()


def test_equal_answers_differ_by_nothing_and_better_ones_by_their_difference() -> None:
    a = np.asarray([[0.0, 1.0, 0.0, 1.0]])
    found = compare({"a": a, "same": a, "better": a + 0.5}, np.arange(4), "a", np.random.default_rng(0))
    assert (found["same"].gain.low, found["same"].gain.high) == (0, 0)
    assert found["better"].gain.low == pytest.approx(0.5)
    assert found["a"].mean.mean == 0.5
    assert found["a"].mean.low < 0.5 < found["a"].mean.high


def test_the_interval_is_wider_where_seeds_disagree() -> None:
    people = np.asarray([0.4, 0.6] * 50)
    agree = np.stack([people] * 5)
    disagree = agree + np.asarray([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    found = compare({"agree": agree, "disagree": disagree}, np.arange(100), "agree", np.random.default_rng(0))
    width = {name: got.mean.high - got.mean.low for name, got in found.items()}
    assert found["agree"].mean.mean == pytest.approx(found["disagree"].mean.mean)
    # the seeds' standard error is sqrt(0.1 / 4 ... ) / sqrt(5) = 0.0707, and 2 x 1.96 of it is 0.277
    assert width["disagree"] == pytest.approx(2 * 1.96 * np.sqrt(0.1 / 4) / np.sqrt(5), rel=0.1)
    assert width["agree"] == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(100), rel=0.1)


def test_questions_of_one_visit_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0] * 20, 10)[None]  # 40 visits whose ten questions go the same way
    apart = compare({"m": values}, np.arange(400), "m", np.random.default_rng(0))["m"].mean
    together = compare({"m": values}, np.repeat(np.arange(40), 10), "m", np.random.default_rng(0))["m"].mean
    assert (together.high - together.low) == pytest.approx(np.sqrt(10) * (apart.high - apart.low), rel=0.15)
