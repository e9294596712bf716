"""The sequence benchmarks: what the loaders say of items and times, where the files are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.events.sources.public import read_diginetica_test, read_public
from zhitou.events.sources.raw import RAW_SUBJECT, RawBehaviour


def _raw(name: str) -> RawBehaviour:
    try:
        return read_public(name, threads=1)
    except SourceError as missing:
        if "found nothing" not in str(missing):
            raise
        pytest.skip(f"{name}: {missing}; set ZHITOU_DATA to the folder that holds it")


def _items(raw: RawBehaviour) -> dict[str, dict[str, str | None]]:
    return {row[c.ITEM]: row for row in raw.items.to_pyarrow().to_pylist()}


def test_a_beauty_item_has_its_title_its_category_path_and_a_brand_only_where_one_is_known() -> None:
    items = _items(_raw("amazon_beauty"))
    assert items["1"][c.BRAND] == "OPI"
    assert items["1"][c.CATEGORY] == "Makeup > Nails > Nail Polish"
    assert str(items["1"][c.TITLE]).startswith("OPI Nail Lacquer")
    # the line of item 5 begins with its department, that of item 3 with the word Unknown
    assert (items["5"][c.BRAND], items["5"][c.CATEGORY]) == (None, "Skin Care > Hands & Nails > Paraffin Baths")
    assert items["3"][c.BRAND] is None
    departments = {str(item[c.CATEGORY]).split(" > ")[0] for item in items.values()}
    assert departments == {"Makeup", "Skin Care", "Hair Care", "Bath & Body", "Tools & Accessories", "Fragrance"}
    assert not any("&#" in str(item[c.TITLE]) + str(item[c.BRAND]) for item in items.values())


def test_a_sports_item_has_the_numbers_of_its_attributes_as_words() -> None:
    items = _items(_raw("amazon_sports"))
    assert len(items) == 18_357
    assert items["1"][c.TITLE] == "a1 a2 a3 a4 a5 a6"
    assert json.loads(str(items["1"][c.ATTRIBUTES])) == {"words": "a1 a2 a3 a4 a5 a6"}


@pytest.mark.slow  # 906,140 clicks
def test_visits_of_diginetica_begin_in_the_order_of_the_file_where_items_appear_by_their_numbers() -> None:
    events = _raw("diginetica").events.to_pyarrow()
    number = np.asarray([int(name.split()[1]) for name in events[RAW_SUBJECT].to_pylist()])
    time_us = events[c.OCCURRED_AT].cast("int64").to_numpy()
    order = np.lexsort((time_us, number))
    number, time_us = number[order], time_us[order]
    first = np.flatnonzero(np.diff(number, prepend=-1))
    assert set(np.diff(time_us[first]).tolist()) == {70_000_000}
    seen = np.asarray([int(item) for item in events[c.ITEM].to_pylist()])[order]
    newest = np.maximum.accumulate(seen)
    assert newest[0] == 1
    assert set(np.diff(newest).tolist()) == {0, 1}


def test_diginetica_asks_60858_questions_and_a_shorter_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "diginetica").mkdir()
    (tmp_path / "diginetica" / "test_prefix_target.tsv.gz").write_bytes(gzip.compress(b"3 4\t5\n3\t4\n"))
    with pytest.raises(SourceError, match="60858 questions, got 2"):
        read_diginetica_test(tmp_path)
    try:
        asked = read_diginetica_test()
    except SourceError as missing:
        pytest.skip(f"diginetica: {missing}; set ZHITOU_DATA to the folder that holds it")
    assert asked[1] == (["21553", "20071", "8762", "21566"], "6381")
