"""Feedback as it was logged: Open Bandit, E-shop Clothing 2008, Upworthy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhitou.core.errors import NotFoundError, SourceError
from zhitou.events.sources.logged import read_bandit_log, read_headline_trials, read_shelf_clicks


def read_or_skip(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except SourceError as missing:
        if "found nothing" not in str(missing):
            raise
        pytest.skip(f"{name}: {missing}; set ZHITOU_DATA to the folder that holds it")


@pytest.mark.parametrize(("policy", "clicks"), [("random", 46), ("bts", 69)])
def test_open_bandit_keeps_its_clicks_and_true_propensities(policy: str, clicks: int) -> None:
    log = read_or_skip("open_bandit", lambda: read_bandit_log(policy))
    assert int(log.clicked.sum()) == clicks
    assert (np.diff(log.time_s) >= 0).all()
    assert sorted(set(log.slot.tolist())) == [0, 1, 2]
    assert log.affinity.shape == (10_000, 34)
    if policy == "random":
        assert log.propensity == pytest.approx(np.full(10_000, 1 / 34))
    assert 0 < log.propensity.min() <= log.propensity.max() < 1


def test_no_product_of_the_clothing_shop_ever_moved() -> None:
    clicks = read_or_skip("eshop_clothing_2008", read_shelf_clicks)
    stood = np.unique((clicks.product * 5 + clicks.page) * 6 + clicks.place)
    assert len(stood) == len(np.unique(clicks.product)) == 217
    assert (clicks.day.min(), clicks.page.max(), clicks.place.max()) == (0, 4, 5)


def test_trials_of_headlines_are_numbered_in_the_order_of_their_weeks() -> None:
    trials = read_or_skip("upworthy", read_headline_trials)
    assert (np.diff(trials.test) >= 0).all()
    assert (np.diff(trials.week) >= 0).all()
    assert (trials.clicked <= trials.shown).all()


def test_a_cut_copy_is_refused_with_its_counts(tmp_path: Path) -> None:
    (tmp_path / "upworthy").mkdir()
    columns = {"clickability_test_id": ["a", "a"], "headline": ["x", "y"], "impressions": [9, 9]}
    table = pa.table(columns | {"clicks": [1, 2], "test_week": [201301, 201301]})
    pq.write_table(table, tmp_path / "upworthy" / "upworthy.parquet")
    with pytest.raises(SourceError, match=r"got \{'variants': 2, 'tests': 1\}; the copy is altered"):
        read_headline_trials(tmp_path)


def test_what_is_not_there_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"found nothing; get it from https://archive\.ics\.uci\.edu"):
        read_shelf_clicks(tmp_path)
    with pytest.raises(NotFoundError, match="there are random and bts"):
        read_bandit_log("greedy", tmp_path)
