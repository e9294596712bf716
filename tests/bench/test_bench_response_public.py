"""What click models of the public logs are given: past rates that never see their own row, and equal budgets."""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.events.sources.clicks import click_format, read_clicks

BENCH = Path(__file__).parents[2] / "bench"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name.replace('/', '_')}", BENCH / f"{name}.py")
    assert spec is not None, f"{name}.py lies in {BENCH}"
    assert spec.loader is not None, f"{name}.py is Python"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where a dataclass looks its own annotations up
    spec.loader.exec_module(module)
    return module


def split_of(folder: ModuleType, codes: list[int], clicks: list[int]) -> object:
    n = len(codes)
    return folder.Split(
        numeric=np.zeros((n, 0), np.float32),
        categorical=np.array(codes, dtype=np.int32)[:, None],
        history=None,
        label=np.array(clicks, dtype=np.uint8),
    )


def test_a_row_sees_the_clicks_of_earlier_times_only() -> None:
    ours, folder = script("response_public_ours"), script("peers/click_folder")
    train = split_of(folder, [5, 5, 7, 5, 5], [1, 0, 1, 1, 0])
    told = ours.past_columns(train, np.array([10, 10, 10, 11, 12]))
    # code 5: nothing before hour 10, one of two before 11, two of three before 12
    assert np.expm1(told[:, 1]).round().tolist() == [0, 0, 0, 2, 3]
    rates = 1 / (1 + np.exp(-told[:, 0]))
    before = [(0 + 1) / (0 + 100), (2 + 1) / (3 + 100), (3 + 1) / (4 + 100)]
    assert rates[0] == pytest.approx(before[0])
    assert rates[3] == pytest.approx((1 + 20 * before[1]) / (2 + 20))
    assert rates[4] == pytest.approx((2 + 20 * before[2]) / (3 + 20))


def test_no_label_of_a_row_or_after_it_changes_what_the_row_is_told() -> None:
    ours, folder = script("response_public_ours"), script("peers/click_folder")
    rng = Chance(1).stream("codes")
    codes, clicks, times = rng.integers(0, 5, 60), rng.integers(0, 2, 60), np.sort(rng.integers(0, 20, 60))
    told = ours.past_columns(split_of(folder, codes.tolist(), clicks.tolist()), times)
    turned = np.where(times >= 12, 1 - clicks, clicks)
    again = ours.past_columns(split_of(folder, codes.tolist(), turned.tolist()), times)
    np.testing.assert_array_equal(told[times <= 12], again[times <= 12])
    assert (told[times > 13] != again[times > 13]).any()


def test_later_rows_are_told_what_the_training_rows_said_in_the_end() -> None:
    ours, folder = script("response_public_ours"), script("peers/click_folder")
    rates = ours.PastRates.of(split_of(folder, [2, 2, 3, 3], [1, 0, 0, 0]), [5])
    told = rates.columns(split_of(folder, [2, 4], [1, 1]))
    assert 1 / (1 + np.exp(-told[:, 0])) == pytest.approx([(1 + 20 / 4) / 22, 1 / 4])


def test_the_setting_with_the_least_loss_on_valid_is_taken_and_all_are_told(tmp_path: Path) -> None:
    folder = script("peers/click_folder")
    label = np.array([1, 0, 0, 0], dtype=np.uint8)
    answers = {0.5: np.full(4, 0.5), 0.25: np.full(4, 0.25), 0.9: np.full(4, 0.9)}
    test, told = folder.choose(
        [{"p": 0.5}, {"p": 0.25}, {"p": 0.9}], lambda setting: (answers[setting["p"]], answers[setting["p"]]), label
    )
    assert told["chosen"]["setting"] == {"p": 0.25}
    assert told["chosen"]["valid_log_loss"] == pytest.approx(-(np.log(0.25) + 3 * np.log(0.75)) / 4)
    folder.write(tmp_path / "out", "peer", ("numpy",), Namespace(seed=1), test, told)
    assert np.load(tmp_path / "out" / "test.npy").tolist() == [0.25] * 4
    assert len(json.loads((tmp_path / "out" / "result.json").read_text())["tried"]) == 3


def test_numbers_for_networks_are_scaled_by_the_training_rows_and_missing_ones_marked(tmp_path: Path) -> None:
    folder = script("peers/click_folder")
    splits = {name: split_of(folder, [0, 0], [0, 1]) for name in ("train", "valid", "test")}
    numbers = {"train": [[0.0], [np.e**2 - 1]], "valid": [[np.nan], [0.0]], "test": [[-np.e + 1], [0.0]]}
    known = {
        n: folder.Split(np.array(numbers[n], np.float32), s.categorical, None, s.label) for n, s in splits.items()
    }
    made = folder.for_networks(folder.Folder({}, **known))
    # the logs of training are 0 and 2: centre 1, spread 1; nothing is missing there, so nothing is marked
    assert made["train"].ravel() == pytest.approx([-1.0, 1.0])
    assert made["valid"].ravel() == pytest.approx([0.0, -1.0])
    assert made["test"].ravel() == pytest.approx([-2.0, -1.0])


@pytest.mark.parametrize("name", ["criteo", "avazu"])
def test_the_made_up_file_is_in_the_format_and_the_same_for_a_seed(tmp_path: Path, name: str) -> None:
    practice, form = script("response_public_practice"), click_format(name)
    for copy in ("a", "b"):
        practice.write_practice(tmp_path / copy, form, 300, Chance(1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    (part,) = read_clicks(tmp_path / "a", form)
    assert len(part) == 300
    assert 0 < part.clicked.mean() < 0.5
