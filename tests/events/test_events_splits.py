"""One calendar for everybody: what is learnt from ends before what is judged begins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError
from zhitou.events.histories import Histories
from zhitou.events.splits import TimeSplit, last_days

DAY_S = 86_400


def _histories(*days: float) -> Histories:
    """One shopper who looks at an item on each of these days."""
    n = len(days)
    return Histories(
        subjects=np.array(["s"], dtype=object),
        offsets=np.array([0, n]),
        item=np.zeros(n, dtype=np.int32),
        action=np.zeros(n, dtype=np.int8),
        time_s=np.array([int(day * DAY_S) for day in days], dtype=np.int64),
        step=np.arange(n, dtype=np.int32),
        price_micros=np.full(n, -1),
        quantity=np.ones(n, dtype=np.int64),
    )


def test_the_last_days_are_judged_and_the_days_before_tuned_on() -> None:
    histories = _histories(0.5, 1.5, 7.9, 8, 8.99, 9, 9.5)
    split = last_days(histories, tune_days=1, judge_days=1)
    assert (split.tune_from_s, split.judge_from_s, split.end_s) == (8 * DAY_S, 9 * DAY_S, 10 * DAY_S)
    sizes = [len(part.time_s) for part in (split.learn(histories), split.tune(histories), split.judge(histories))]
    assert sizes == [3, 2, 2]


@given(st.lists(st.floats(0, 100, allow_nan=False), min_size=3, max_size=20), st.integers(1, 5), st.integers(1, 5))
def test_every_event_is_in_one_part_and_no_part_sees_the_next(days, tune, judge) -> None:
    histories = _histories(*sorted([-1.0, *days]))
    try:
        split = last_days(histories, tune, judge)
    except ConfigError:
        return
    parts = [split.learn(histories).time_s, split.tune(histories).time_s, split.judge(histories).time_s]
    assert sum(map(len, parts)) == len(histories.time_s)
    for earlier, later in pairwise(parts):
        assert not len(earlier) or not len(later) or earlier.max() < later.min()


def test_the_part_of_an_instant_is_the_part_of_its_event() -> None:
    split = TimeSplit(10, 20, 30)
    assert [split.part_of(t) for t in (9, 10, 19, 20, 29, 30)] == ["learn", "tune", "tune", "judge", "judge", "after"]


def test_too_few_days_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than 4 days of behaviour, got 3"):
        last_days(_histories(0, 1, 2.5), 2, 2)
    with pytest.raises(ConfigError, match="at least one day"):
        last_days(_histories(0, 1, 2.5), 0, 2)
    with pytest.raises(ConfigError, match="got none"):
        last_days(_histories(), 1, 1)
    with pytest.raises(ConfigError, match="tune_from_s < judge_from_s"):
        TimeSplit(3, 2, 1)
