"""The memory of own things, redone by hand."""

from __future__ import annotations

from math import log, log1p

import numpy as np
import pytest

from zhitou.events.histories import PURCHASE, Histories
from zhitou.interest.memory import FEATURES, HALF_LIFE_STEPS, SMALL, pairs_at
from zhitou.interest.tokens import steps_of

DAY = 86_400
# Items 0 and 1 are of type 0, item 2 of type 1.
EVERY, TYPE, WHOLE = np.arange(3), np.asarray([0, 0, 1]), np.zeros(3, dtype=np.int64)


def _histories() -> Histories:
    """Subject a: {0, 1} on day 0, {0} on day 4, {2} on day 10. Subject b: {1} on day 2."""
    return Histories(
        subjects=np.asarray(["a", "b"], dtype=object),
        offsets=np.asarray([0, 4, 5]),
        item=np.asarray([0, 1, 0, 2, 1], dtype=np.int32),
        action=np.full(5, PURCHASE, dtype=np.int8),
        time_s=np.asarray([0, 0, 4, 10, 2]) * DAY,
        step=np.asarray([0, 0, 1, 2, 0], dtype=np.int32),
        price_micros=np.full(5, -1),
        quantity=np.ones(5, dtype=np.int64),
    )


def _ask(asked: list[tuple[int, int]], days: list[float], thing=EVERY, kind=TYPE):
    histories = _histories()
    at = np.asarray(asked, dtype=np.int64).reshape(-1, 2)
    return pairs_at(histories, steps_of(histories), thing, kind, at, (np.asarray(days) * DAY).astype(np.int64))


def _row(pairs, moment: int, thing: int) -> dict[str, float]:
    at = np.flatnonzero((pairs.moment == moment) & (pairs.thing == thing))
    assert len(at) == 1
    return dict(zip(FEATURES, pairs.features[at[0]].tolist(), strict=True))


def test_each_moment_has_the_things_had_before_it_and_no_others() -> None:
    pairs = _ask([(0, 0), (0, 1), (0, 3), (1, 1)], [0, 4, 12, 3])
    assert list(zip(pairs.moment.tolist(), pairs.thing.tolist(), strict=True)) == [
        (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 1),
    ]  # fmt: skip


def test_an_item_had_on_day_0_and_4_seen_from_day_12() -> None:
    row = _row(_ask([(0, 3)], [12]), 0, 0)
    expected = {
        "log_steps_with_it": log(2),
        "log_decayed_10_days": log(SMALL + 0.5 ** (12 / 10) + 0.5 ** (8 / 10)),
        "log_decayed_30_days": log(SMALL + 0.5 ** (12 / 30) + 0.5 ** (8 / 30)),
        "log_decayed_120_days": log(SMALL + 0.5 ** (12 / 120) + 0.5 ** (8 / 120)),
        "log_decayed_5_steps": log(SMALL + 0.5 ** (3 / HALF_LIFE_STEPS) + 0.5 ** (2 / HALF_LIFE_STEPS)),
        "log_age_days": log1p(8),
        "log_steps_since": log(2),
        "share_of_steps": 2 / 3,
        "log_age_over_interval": log((8 * 24 + 1) / (4 * 24)),
        "has_interval": 1.0,
        "in_last_step": 0.0,
        "log_variety": 0.0,
        # type 0 was had twice on day 0, as items 0 and 1, and once on day 4
        "log_kind_decayed_30_days": log(SMALL + 2 * 0.5 ** (12 / 30) + 0.5 ** (8 / 30)),
        "log_kind_age_days": log1p(8),
        "log_steps": log(3),
        "log_tenure_days": log1p(12),
    }
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-5), name


def test_a_group_counts_a_step_once_and_knows_how_many_items_of_it_were_tried() -> None:
    row = _row(_ask([(0, 3)], [10], thing=TYPE, kind=WHOLE), 0, 0)
    assert row["log_steps_with_it"] == pytest.approx(log(2))
    assert row["log_variety"] == pytest.approx(log(2))


def test_what_comes_later_and_other_subjects_change_nothing() -> None:
    alone, among = _ask([(0, 2)], [9]), _ask([(0, 2), (0, 3), (1, 1)], [9, 12, 3])
    n = len(alone.moment)
    assert np.array_equal(alone.features, among.features[:n])
    assert np.array_equal(alone.thing, among.thing[:n])


def test_a_subject_is_forgotten_before_the_next() -> None:
    row = _row(_ask([(0, 3), (1, 1)], [12, 3]), 1, 1)
    assert row["log_steps_with_it"] == 0.0
    assert row["log_age_days"] == pytest.approx(log1p(1))
    assert row["in_last_step"] == 1.0


def test_nobody_and_nothing_give_no_pairs() -> None:
    assert len(_ask([], []).moment) == 0
    empty = _histories().keep(np.zeros(5, dtype=bool))
    pairs = pairs_at(empty, steps_of(empty), EVERY, TYPE, np.asarray([[0, 0], [1, 0]]), np.asarray([5, 5]))
    assert pairs.features.shape == (0, len(FEATURES))
