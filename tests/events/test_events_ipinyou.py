"""Auctions of iPinYou: counts are checked, altered copies are refused, and the published Mcpc row comes out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import SourceError
from zhitou.events.sources.ipinyou import CAMPAIGNS, read_sample, read_test_log, read_training
from zhitou.events.sources.raw import data_folder


def lay(folder: Path, log: bytes, **facts: object) -> Path:
    """A folder with this as the test log of 2997, and an info.json with these facts."""
    (folder / "ipinyou_2997").mkdir(exist_ok=True)
    (folder / "ipinyou_rlb" / "info").mkdir(parents=True, exist_ok=True)
    (folder / "ipinyou_2997" / "test.theta.txt.gz").write_bytes(gzip.compress(log))
    (folder / "ipinyou_rlb" / "info" / "2997.info.json").write_text(json.dumps(facts))
    return folder


TWO = b"0 70 0.002\n1 6 0.003\n"


def test_a_log_is_read_as_it_was_held(tmp_path: Path) -> None:
    log = read_test_log(lay(tmp_path, TWO, imp_test=2, clk_test=1, cost_test=76))
    assert (log.clicked.tolist(), log.price.tolist(), log.pctr.tolist()) == ([0, 1], [70, 6], [0.002, 0.003])
    assert log.part(1, 2).price.tolist() == [6]


def test_a_log_that_was_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\(3, 1, 76\), got \(2, 1, 76\)"):
        read_test_log(lay(tmp_path, TWO, imp_test=3, clk_test=1, cost_test=76))


@pytest.mark.parametrize(
    "line",
    [b"2 70 0.1", b"0 301 0.1", b"0 -1 0.1", b"0 1.5 0.1", b"0 1 1.0", b"0 1 nan", b"0 1", b"a b c", b"0 1 1 1"],
)
def test_a_line_that_is_not_an_auction_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(SourceError, match="rlb-dp"):
        read_test_log(lay(tmp_path, line + b"\n", imp_test=1, clk_test=0, cost_test=1))


@settings(max_examples=50)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_sentence(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = lay(tmp_path_factory.mktemp("raw"), raw, imp_test=99, clk_test=1, cost_test=1)
    with pytest.raises(SourceError, match="get it"):
        read_test_log(folder)


def test_a_file_that_is_no_gzip_is_refused(tmp_path: Path) -> None:
    folder = lay(tmp_path, TWO)
    (folder / "ipinyou_2997" / "test.theta.txt.gz").write_bytes(TWO)
    with pytest.raises(SourceError, match="gzip of plain text"):
        read_test_log(folder)


def test_what_is_not_there_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"github\.com/han-cai/rlb-dp"):
        read_test_log(tmp_path)
    with pytest.raises(SourceError, match=r"github\.com/han-cai/rlb-dp"):
        read_training(2997, tmp_path)
    with pytest.raises(SourceError, match="one of the campaigns"):
        read_sample(1, tmp_path)


def test_a_training_log_must_have_the_counts_of_its_histogram(tmp_path: Path) -> None:
    counts = [0] * 301
    counts[10], counts[20] = 3, 1
    right = read_training(
        2997, lay(tmp_path, TWO, imp_train=4, clk_train=2, cost_train=50, price_counter_train=counts)
    )
    assert (right.price_mean, right.cost_per_click) == (12.5, 25.0)
    for wrong in ({"cost_train": 51}, {"imp_train": "4"}, {"price_counter_train": "abc"}, {"clk_train": 5}):
        facts = {"imp_train": 4, "clk_train": 2, "cost_train": 50, "price_counter_train": counts, **wrong}
        with pytest.raises(SourceError, match="altered"):
            read_training(2997, lay(tmp_path, TWO, **facts))


def test_a_sample_has_a_hundred_whole_episodes(tmp_path: Path) -> None:
    folder = tmp_path / "ipinyou_rlb" / "validation_1000"
    folder.mkdir(parents=True)
    episodes = "".join(f"{e}\n0\t{e}\t0.1\n1\t5\t0.2\n" for e in range(100))
    (folder / "2997.validation.txt.gz").write_bytes(gzip.compress(f"9\t2\n{episodes}".encode()))
    sample = read_sample(2997, tmp_path)
    assert len(sample) == 200
    assert sample.price[::2].tolist() == list(range(100))
    assert sample.clicked.sum() == 100
    (folder / "2997.validation.txt.gz").write_bytes(gzip.compress(f"9\t2\n{episodes[:-9]}".encode()))
    with pytest.raises(SourceError, match="100 episodes"):
        read_sample(2997, tmp_path)


def _is_here() -> bool:
    return (data_folder() / "ipinyou_2997").exists() and (data_folder() / "ipinyou_rlb").exists()


here = pytest.mark.skipif(not _is_here(), reason="iPinYou is not here: see zhitou.events.sources.ipinyou")


@here
def test_bidding_what_a_click_has_cost_gives_the_published_mcpc_row() -> None:
    log, training = read_test_log(), read_training(2997)
    budget = int(training.price_mean * 1_000 / 32)
    bids = np.minimum((log.pctr * training.cost_per_click).astype(int), 300).tolist()
    won, left = [], budget
    for t, (bid, price) in enumerate(zip(bids, log.price.tolist(), strict=True)):
        left = budget if t % 1_000 == 0 else left
        if min(bid, left) >= price:
            won.append(t)
            left -= price
    assert (len(won), log.clicked[won].sum(), log.price[won].sum()) == (14_752, 48, 307_751)


@here
@pytest.mark.parametrize("campaign", [2821])
def test_a_sample_agrees_with_its_training_log(campaign: int) -> None:
    sample, training = read_sample(campaign), read_training(campaign)
    assert campaign in CAMPAIGNS
    assert len(sample) == 100_000
    assert sample.price.mean() == pytest.approx(training.price_mean, rel=0.05)
