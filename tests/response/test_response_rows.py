"""Rows: what is refused at the door, and how they are split by time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.response.folds import Folds
from zhitou.response.rows import Rows


def _rows(**changes: Any) -> Rows:
    """Four rows at 10, 20, 30 and 40 seconds; the first and third were clicked, the third converted."""
    columns: dict[str, Any] = {
        "fields": [[0.0, 1.0], [1.0, np.nan], [2.0, 3.0], [3.0, 4.0]],
        "names": ("affinity", "recency"),
        "slot": [0, 1, 0, 1],
        "ad": [7, 7, 8, -1],
        "clicked": [True, False, True, False],
        "converted": [False, False, True, False],
        "mature": [True, True, True, False],
        "time_s": [10, 20, 30, 40],
        "propensity": [0.5, 0.5, 0.2, 1.0],
    }
    return Rows(**{**columns, **changes})


def test_columns_get_the_types_of_the_contract() -> None:
    rows = _rows()
    kinds = {name: getattr(rows, name).dtype.name for name in ("fields", "slot", "ad", "clicked", "time_s")}
    assert kinds == {"fields": "float32", "slot": "int8", "ad": "int32", "clicked": "bool", "time_s": "int64"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("affinity",)}, "as named"),
        ({"slot": [0, 1]}, "4 values of slot"),
        ({"fields": [[np.inf, 0.0]] * 4}, "infinite .'affinity'."),
        ({"slot": [0, -1, 0, 0]}, "negative"),
        ({"converted": [True, True, False, False]}, "without a click"),
        ({"propensity": [0.5, 0.0, 0.5, 0.5]}, "propensities"),
        ({"propensity": [0.5, np.nan, 0.5, 0.5]}, "propensities"),
    ],
)
def test_rows_that_break_the_contract_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        _rows(**changes)


def test_a_split_puts_the_cut_itself_on_the_later_side() -> None:
    early, late = _rows().split(30)
    assert (early.time_s.tolist(), late.time_s.tolist()) == ([10, 20], [30, 40])
    again = Rows.concat(early, late)
    assert again.ad.tolist() == [7, 7, 8, -1]
    assert np.isnan(again.fields[1, 1])


def test_rows_with_other_fields_are_never_joined() -> None:
    with pytest.raises(SchemaError, match="recency"):
        Rows.concat(_rows(), _rows(names=("recency", "affinity")))


def test_the_cut_leaves_rows_on_both_sides_if_two_times_differ() -> None:
    assert _rows().cut_s(0.5) == 30
    assert _rows(time_s=[10, 10, 10, 40]).cut_s(0.5) == 40
    assert _rows(time_s=[10, 40, 40, 40]).cut_s(0.9) == 40
    early, late = _rows(time_s=[10, 10, 10, 10]).split(_rows(time_s=[10, 10, 10, 10]).cut_s(0.5))
    assert (len(early), len(late)) == (4, 0)


def test_what_had_time_left_to_convert_at_the_cut_is_not_known_yet() -> None:
    then = _rows().as_known_at(now_s=40, window_s=15)
    assert then.time_s.tolist() == [10, 20, 30]
    assert then.mature.tolist() == [True, True, False]  # 30 + 15 > 40
    assert then.converted.tolist() == [False, False, False]


TIMES = {"click_s": [12, -1, 31, -1], "conversion_s": [-1, -1, 35, -1], "refund_s": [-1, -1, 38, -1]}


def test_with_times_each_outcome_is_known_from_its_own_moment_on() -> None:
    rows = _rows(**TIMES)
    for now_s, clicked, converted, refunded in ((31, 1, 0, 0), (35, 1, 1, 0), (38, 1, 1, 1)):
        then = rows.as_known_at(now_s, window_s=15)
        assert then.clicked.tolist() == [True, False, bool(clicked)]
        assert then.converted.tolist() == [False, False, bool(converted)]
        assert then.refund_s is not None
        assert (then.refund_s >= 0).tolist() == [False, False, bool(refunded)]
        assert then.mature.tolist() == [now_s >= 27, now_s >= 35, False]  # a click's window runs from the click
    assert rows.as_known_at(30, window_s=15).clicked.tolist() == [True, False]
    assert rows.as_known_at(11, window_s=15).clicked.tolist() == [False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"click_s": [12, -1, 31, -1]}, "all of"),
        ({**TIMES, "click_s": [-1, -1, 31, -1]}, "1 rows are clicked without a time"),
        ({**TIMES, "conversion_s": [-1, -1, 30, -1]}, "before their click"),
        ({**TIMES, "refund_s": [13, -1, -1, -1]}, "refunded before"),
        ({**TIMES, "channel": [0, 1]}, "4 values of channel"),
    ],
)
def test_times_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        _rows(**changes)


def test_what_one_part_does_not_know_is_not_known_of_all() -> None:
    known, unknown = _rows(**TIMES, channel=[0, 0, 1, 1]), _rows(channel=[2, 2, 2, 2])
    both = Rows.concat(known, unknown)
    assert both.click_s is None
    assert both.channel is not None
    assert both.channel.tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    assert known.select(np.array([2])).channel == np.array([1])


def test_later_rows_judge_and_conversions_have_a_later_fold_of_their_own() -> None:
    rows = _rows(clicked=[True, True, True, False], converted=[False] * 4)
    folds = Folds.of(rows, later_share=0.25)
    assert folds.click_early.tolist() == [True, True, True, False]
    assert folds.click_later.tolist() == [False, False, False, True]
    # Mature clicks at 10, 20 and 30: the last of them judges, though it teaches clicks.
    assert folds.buy_early.tolist() == [True, True, False, False]
    assert folds.buy_later.tolist() == [False, False, True, False]
