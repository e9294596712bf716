"""Public data sets, where they are: their known counts, and that a missing or altered copy is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from zhitou.core.errors import NotFoundError, SourceError
from zhitou.events.clean import NO_PRICE, NO_SUBJECT, SERVICE_LINE, PrepareConfig
from zhitou.events.prepare import Prepared, prepare
from zhitou.events.sources.public import LOADERS, read_public
from zhitou.events.sources.raw import data_folder
from zhitou.privacy.pseudonyms import Pseudonyms

NOW_US = 1_780_000_000_000_000


def _prepared(name: str, folder: Path) -> Prepared:
    try:
        raw = read_public(name)
    except SourceError as missing:
        if "found nothing" not in str(missing):
            raise
        pytest.skip(f"{name}: {missing}; set ZHITOU_DATA to the folder that holds it")
    return prepare(raw, folder, Pseudonyms("test", b"k" * 32), PrepareConfig(), NOW_US)


@pytest.mark.slow  # 541,909 lines
def test_online_retail_is_counted_as_it_came_and_every_fault_has_its_fate(tmp_path: Path) -> None:
    made = _prepared("online_retail", tmp_path)
    facts = {fact["name"]: fact["source"] for fact in made.quality["facts"]}
    assert facts["lines"] == 541_909
    assert facts["exact_duplicates"] == 5_268
    assert facts["lines_without_shopper"] == 135_080
    assert facts["lines_without_positive_quantity"] == 10_624
    assert facts["lines_without_positive_price"] == 2_517
    said = {check.name: check for check in made.checks}
    assert "24.9 %" in said["shoppers are named"].sentence
    assert said["quantities are positive"].count == 10_624
    assert "8,506 kept" in said["quantities are positive"].sentence
    assert said["prices are positive"].count == 2_517
    assert set(made.quarantined) == {NO_SUBJECT, NO_PRICE, SERVICE_LINE}
    # two rows more than the file repeats say the same in other words: only the item's title differs
    assert made.duplicates == 5_268 + 2
    assert made.rows_in == made.events + made.duplicates + sum(made.quarantined.values())
    page = (tmp_path / "quality.html").read_text()
    for figure in ("5,268", "135,080", "24.9 %", "10,624", "2,517"):
        assert figure in page


@pytest.mark.parametrize("name", ["dummyjson", "open_bandit_random", "yoochoose_100k"])
def test_a_small_set_comes_through_whole(name: str, tmp_path: Path) -> None:
    made = _prepared(name, tmp_path)
    assert made.quarantined == {}
    assert made.duplicates <= 1
    subjects = pq.read_table(tmp_path / "events.parquet")["subject"].to_pylist()
    assert all(subject.startswith("s_") and "@" not in subject for subject in subjects)


def test_a_set_that_is_not_there_says_where_to_get_it(tmp_path: Path) -> None:
    for name in LOADERS:
        with pytest.raises(SourceError, match="found nothing; get it from"):
            read_public(name, tmp_path)


def test_an_altered_copy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cdnow").mkdir()
    path = tmp_path / "cdnow" / "CDNOW_master.txt.gz"
    path.write_bytes(gzip.compress(b" id date n value\n 00001 19970101 1 11.77\n"))
    with pytest.raises(SourceError, match="the copy is altered"):
        read_public("cdnow", tmp_path)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="known are amazon_beauty"):
        read_public("netflix")


def test_the_folder_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZHITOU_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("ZHITOU_DATA")
    assert data_folder().parts[-2:] == ("shared", "data")
