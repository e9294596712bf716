"""Channels and slots in which a model is off are corrected for, where their own later rows bear it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from zhitou.core.chance import Chance
from zhitou.response.calibrate import Calibration
from zhitou.response.compare import in_slots
from zhitou.response.groups import GroupCalibration, Level
from zhitou.response.places import by_place, table_of
from zhitou.response.practice import practice
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

LOUD = 1.6  # channel 1 is clicked this much more often than the fields say


@pytest.fixture(scope="module")
def rows() -> Rows:
    """A world whose fields do not tell the channel."""
    world = practice(60_000, Chance(5), ctr=0.03)
    rng = np.random.default_rng(5)
    channel = rng.integers(0, 2, len(world.rows)).astype(np.int8)
    chance = expit(logit(world.pclick) + np.log(np.where(channel == 1, LOUD, 1 / LOUD)))
    clicked = rng.random(len(channel)) < chance
    return replace(world.rows, clicked=clicked, converted=np.zeros(len(channel), bool), channel=channel)


@pytest.fixture(scope="module")
def plain(rows) -> Response:
    return fit_response(rows.select(np.arange(40_000)), chance=Chance(1))


def ratio(model: Response, rows: Rows, channel: int) -> float:
    mine = rows.select(rows.channel == channel)
    return float(in_slots(model, mine)[0].sum() / mine.clicked.sum())


def test_a_channel_in_which_people_click_more_gets_its_own_level(rows, plain, tmp_path):
    placed, words = by_place(plain, rows.select(np.arange(40_000)), 0.2)
    later = rows.select(np.arange(40_000, 60_000))
    assert "calibrated by channel and slot" in words
    assert (plain.calibration, placed.calibration) == ("none", "channel and slot")
    # By the true factors one channel's predictions are 1.6 x 1.6 = 2.56 times as high as the other's.
    assert ratio(plain, later, 0) / ratio(plain, later, 1) > 2
    # 70 clicks of the quieter channel were calibrated on: three standard errors of them
    assert ratio(placed, later, 0) / ratio(placed, later, 1) == pytest.approx(1, abs=0.36)
    placed.save(tmp_path / "placed")
    again = Response.load(tmp_path / "placed")
    assert again.version == placed.version != plain.version
    pctr = np.array([0.01, 0.02])
    np.testing.assert_array_equal(again.in_place(pctr, 1, 2), placed.in_place(pctr, 1, 2))


def test_a_channel_never_seen_is_as_all_channels_are(rows, plain):
    placed, _ = by_place(plain, rows.select(np.arange(40_000)), 0.2)
    pctr = np.array([0.01, 0.02])
    for channel in (-1, 2, 100):
        np.testing.assert_allclose(placed.in_place(pctr, channel, 0), pctr)


def test_without_evidence_all_places_stay_alike(rows, plain):
    taught = rows.select(np.arange(40_000))
    unknown, words = by_place(plain, replace(taught, channel=None), 0.2)
    assert (unknown.places, "do not say their channel" in words) == (None, True)
    few, words = by_place(plain, taught.select(np.arange(5_000)), 0.2)
    assert (few.places, "of 200 later clicks" in words) == (None, True)
    mixed = np.random.default_rng(9).permutation(taught.channel)  # a channel that means nothing
    none, words = by_place(plain, replace(taught, channel=mixed), 0.2)
    assert (none.places, "1 needed" in words) == (None, True)
    assert none.version == plain.version


def test_a_slot_in_a_channel_is_one_line_of_both():
    """p has the logit 1 + 2 z in channel 3, and there 0.5 + 3 (1 + 2 z) in slot 1."""
    one = np.ones(1, dtype=np.int64)
    channels = Level((("3",),), np.array([[1.0, 2.0]]), one, one, (0.1, 0.1))
    slots = Level((("3", "1"),), np.array([[0.5, 3.0]]), one, one, (0.1, 0.1))
    table = table_of(GroupCalibration(("channel", "slot"), Calibration(), (channels, slots)))
    assert table.shape == (5, 3, 2)
    assert table[3].tolist() == [[1.0, 2.0], [3.5, 6.0], [1.0, 2.0]]  # slot 0 and unseen ones: as the channel
    assert table[4].tolist() == [[0.0, 1.0]] * 3
