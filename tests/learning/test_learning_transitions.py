"""What came soon after what: the counts, the scores, and a subject that does not speak for itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.learning.item_similarity import ItemKnn
from zhitou.learning.transitions import TransitionConfig, Transitions, log_scores

PLAIN = TransitionConfig(window=2, decay=1.0, backward=0.5, reach=2, fade=1.0, rarity=0.0, row=0.0, smooth=1.0)


def histories(*rows: list[int], steps: list[list[int]] | None = None) -> Histories:
    """One subject a row, items in order, each a step of its own unless `steps` says otherwise."""
    item = np.asarray([item for row in rows for item in row], dtype=np.int32)
    step = [s for row in steps for s in row] if steps else [s for row in rows for s in range(len(row))]
    return Histories(
        subjects=np.asarray([f"s{number:03d}" for number in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
        item=item,
        action=np.zeros(len(item), dtype=np.int8),
        time_s=np.asarray(step, dtype=np.int64) * 86_400,
        step=np.asarray(step, dtype=np.int32),
        price_micros=np.full(len(item), -1, dtype=np.int64),
        quantity=np.ones(len(item), dtype=np.int64),
    )


def dense(table: Transitions) -> np.ndarray:
    out = np.zeros((len(table), len(table)))
    for q in range(len(table)):
        row = slice(table.offsets[q], table.offsets[q + 1])
        out[q, table.item[row]] = table.count[row]
    return out


def test_a_pair_counts_less_the_further_apart_and_half_as_much_backwards() -> None:
    counts = dense(Transitions.learn(histories([0, 1, 2, 3]), 4, PLAIN))
    assert counts[0].tolist() == [0, 1, 1 / 2, 0]  # 3 is three steps away, out of the window of two
    assert counts[2].tolist() == [1 / 2 * 1 / 2, 1 / 2, 0, 1]


def test_lines_of_one_basket_count_in_both_directions_alike() -> None:
    counts = dense(Transitions.learn(histories([0, 1, 2], steps=[[0, 0, 1]]), 3, PLAIN))
    assert counts[0].tolist() == [0, (1 + 1 / 2) / 2, 1]
    assert counts[1].tolist() == [(1 + 1 / 2) / 2, 0, 1]


def test_the_score_is_the_sum_of_what_the_last_steps_say() -> None:
    table = Transitions.learn(histories([0, 2], [1, 2], [1, 3]), 4, PLAIN)
    scores = table.scores(histories([3, 0, 1])).toarray()[0]
    # 1 was last and says 2 and 3; 0, one step before, says 2 with half a voice; 3 is out of reach
    assert scores.tolist() == [0, 0, 1 + 1 / 2, 1]


def test_rare_items_and_quiet_rows_weigh_more_by_their_powers() -> None:
    config = TransitionConfig(window=1, backward=0.0, reach=1, rarity=1.0, row=1.0, smooth=1.0)
    scores = Transitions.learn(histories([0, 1], [0, 2], [2, 2]), 3, config).scores(histories([0])).toarray()[0]
    # mass(0) = 2; 1 was seen once, 2 three times
    assert scores == pytest.approx([0, 1 / (2 + 1) / (1 + 1), 1 / (2 + 1) / (3 + 1)])


def test_an_item_follows_itself_as_often_as_own_says() -> None:
    config = TransitionConfig(window=1, backward=0.0, reach=1, rarity=0.0, row=0.0, own=0.5)
    scores = Transitions.learn(histories([0, 1], [0, 2]), 3, config).scores(histories([0])).toarray()[0]
    assert scores.tolist() == [0.5 * (2 + config.smooth), 1, 1]


def test_somebody_who_goes_to_and_fro_counts_once() -> None:
    counts = dense(Transitions.learn(histories([0, 1, 0, 1], [2, 0, 1]), 3, replace(PLAIN, once=True)))
    assert counts[0].tolist() == [0, 2, 1 / 2]  # 2 came before 0
    assert counts[1].tolist() == [1 + 1 / 2, 0, 1 / 2 * 1 / 2]  # 0 once after 1 and once only before it
    table = Transitions.learn(histories([0, 1, 0, 1], [2, 0, 1]), 3, replace(PLAIN, once=True))
    assert table.mass.tolist() == table.seen.tolist() == [2, 2, 1]


def test_counted_once_without_distance_and_direction_it_is_item_knn() -> None:
    rows = histories([0, 1, 0, 3], [2, 0, 1], [3, 1], [2, 3, 0])
    config = TransitionConfig(
        window=9, decay=0, backward=1, reach=9, fade=1, rarity=0.5, row=0.5, smooth=10, once=True
    )
    asked = histories([2, 1])
    found = Transitions.learn(rows, 4, config).scores(asked).toarray()
    knn = ItemKnn(rows, 4, shrink=10.0, fade=1.0)
    np.testing.assert_allclose(found, knn.scores(asked) - knn.crowd, rtol=1e-4, atol=1e-7)


def test_a_subject_does_not_speak_for_its_own_target() -> None:
    table = Transitions.learn(histories([0, 1], [0, 2]), 3, PLAIN)
    found = table.moments(histories([0, 1], [0, 2]), np.asarray([0, 1]), np.asarray([1, 1])).toarray()
    assert found[0].tolist() == [0, 0, 1]
    assert found[1].tolist() == [0, 1, 0]


def test_lines_of_the_same_basket_are_not_known_before_it() -> None:
    basket = histories([0, 1, 2], steps=[[0, 1, 1]])
    table = Transitions.learn(histories([0, 3], [1, 4]), 5, PLAIN)
    assert table.moments(basket, np.asarray([0]), np.asarray([2])).toarray()[0].tolist() == [0, 0, 0, 1, 0]


ROWS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=2, max_size=6)
CONFIGS = st.builds(
    TransitionConfig,
    window=st.integers(1, 4),
    decay=st.sampled_from([0.0, 0.7]),
    backward=st.sampled_from([0.0, 0.3]),
    reach=st.integers(1, 4),
    rarity=st.sampled_from([0.0, 0.5]),
    row=st.sampled_from([0.0, 0.5]),
    own=st.sampled_from([0.0, 0.3]),
    once=st.booleans(),
)


@given(ROWS, CONFIGS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_moment_scores_as_if_its_subject_had_never_been_learnt_from(
    rows: list[list[int]], config: TransitionConfig, data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(rows) - 1))
    place = data.draw(st.integers(0, len(rows[n]) - 1))
    everybody = histories(*rows)
    found = Transitions.learn(everybody, 6, config).moments(everybody, np.asarray([n]), np.asarray([place]))
    others = Transitions.learn(histories(*rows[:n], *rows[n + 1 :]), 6, config)
    expected = others.scores(histories(rows[n][:place]))
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-4, atol=1e-7)


@given(ROWS, CONFIGS, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_ranking_is_that_of_the_scores_and_then_of_popularity(
    rows: list[list[int]], config: TransitionConfig, k: int
) -> None:
    table = Transitions.learn(histories(*rows), 6, config)
    scores = table.scores(histories(*rows)).toarray()
    top = table.topk(histories(*rows), k)
    for row in range(len(rows)):
        key = sorted(range(6), key=lambda c: (-scores[row, c], -table.seen[c] if not scores[row, c] else 0, c))
        assert top[row].tolist() == key[:k]


def test_what_was_seen_is_left_out_and_places_that_nothing_fills_are_minus_one() -> None:
    table = Transitions.learn(histories([0, 1, 2]), 3, PLAIN)
    assert table.topk(histories([0, 1]), 3, exclude_seen=True).tolist() == [[2, -1, -1]]


def test_somebody_without_history_gets_the_most_common_items() -> None:
    assert Transitions.learn(histories([1, 2, 1]), 3, PLAIN).topk(histories([]), 2).tolist() == [[1, 2]]


def test_only_the_best_candidates_are_kept_where_a_limit_says_so() -> None:
    table = Transitions.learn(histories([0, 1], [0, 1], [0, 2]), 3, PLAIN)
    assert table.scores(histories([0]), limit=1).toarray()[0].tolist() == [0, 2, 0]


def test_a_row_is_cut_to_its_largest_counts_and_keeps_its_mass() -> None:
    config = TransitionConfig(window=1, backward=0.0, neighbours=1)
    table = Transitions.learn(histories([0, 1], [0, 2], [0, 2]), 3, config)
    assert dense(table)[0].tolist() == [0, 0, 2]
    assert table.mass[0] == 3


def test_the_logarithm_is_zero_where_nothing_is_known() -> None:
    table = Transitions.learn(histories([0, 1]), 3, PLAIN)
    logs = log_scores(table.scores(histories([0])), floor=0.5).toarray()[0]
    assert logs == pytest.approx([0, np.log(1 + 1 / 0.5), 0])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="window is at least 1, got 0"):
        TransitionConfig(window=0)
    with pytest.raises(ConfigError, match="fade is a number from 0"):
        TransitionConfig(fade=-1.0)
    with pytest.raises(ConfigError, match="smooth is a number of events above 0"):
        TransitionConfig(smooth=0.0)
