"""A refresh goes on from the champion: fresh rows move it, silence leaves it as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, SchemaError
from zhitou.evaluation.classification import log_loss
from zhitou.response.compare import in_slots
from zhitou.response.model import Network
from zhitou.response.practice import Practice, practice
from zhitou.response.refresh import refresh_response, straightened
from zhitou.response.response import Response
from zhitou.response.train import fit_response

FIRST, FRESH = 40_000, 20_000


@pytest.fixture(scope="module")
def world() -> Practice:
    return practice(120_000, Chance(3))


@pytest.fixture(scope="module")
def champion(world) -> Response:
    return fit_response(world.rows.select(np.arange(FIRST)), chance=Chance(1))


def fresh(world, count=FRESH):
    return world.rows.select(np.arange(FIRST, FIRST + count))


def expected_loss(model, world) -> float:
    """Log loss on the last rows under their true chances: no noise of labels in it."""
    rows = np.arange(80_000, 120_000)
    p, q = in_slots(model, world.rows.select(rows))[0], world.pclick[rows]
    return float(-(q * np.log(p) + (1 - q) * np.log1p(-p)).mean())


def test_a_refresh_on_few_rows_is_better_than_a_new_model_of_them_and_than_the_champion(world, champion):
    again = refresh_response(fresh(world), champion)
    alone = fit_response(fresh(world), chance=Chance(1))
    assert expected_loss(again, world) < expected_loss(champion, world) < expected_loss(alone, world)


def test_a_refresh_costs_a_fraction_of_training_on_everything(world, champion):
    def seconds(call) -> float:
        start = time.process_time()
        call()
        return time.process_time() - start

    everything = world.rows.select(np.arange(FIRST + FRESH))
    whole = seconds(lambda: fit_response(everything, chance=Chance(1)))
    assert seconds(lambda: refresh_response(fresh(world), champion)) < whole / 2


def test_the_level_follows_a_base_rate_that_has_doubled(champion):
    double = practice(20_000, Chance(3), ctr=0.024).rows
    late = double.select(np.arange(10_000, 20_000))
    again = refresh_response(double.select(np.arange(10_000)), champion)
    before, after = (in_slots(model, late)[0].sum() / late.clicked.sum() for model in (champion, again))
    assert before < 0.7
    assert 0.8 < after < 1.25
    assert log_loss(late.clicked, in_slots(again, late)[0]) < log_loss(late.clicked, in_slots(champion, late)[0])


def test_a_level_that_has_jumped_twentyfold_is_followed_by_the_level_and_not_by_bent_weights(champion):
    other = practice(3_000, Chance(3), ctr=0.3).rows
    again = refresh_response(other.select(np.arange(600)), champion)
    late = other.select(np.arange(600, 3_000))
    assert 0.8 < in_slots(again, late)[0].sum() / late.clicked.sum() < 1.25
    assert np.abs(again.click.line.weights - straightened(champion.click).weights).max() < 0.5


def test_an_ad_and_a_slot_that_the_fresh_rows_do_not_show_keep_what_was_known(world, champion):
    rows = fresh(world)
    kept = rows.select((rows.slot == 0) & (rows.ad != 7))
    again = refresh_response(kept, champion)
    np.testing.assert_allclose(again.examination[1:], champion.examination[1:])
    one = np.zeros((2, len(champion.fields)), dtype=np.float32)

    def gap(model) -> float:
        """How much ad 7 is above a new ad, in logits."""
        p = model.predict(one, np.asarray([7, -1]))[0]
        return float(np.diff(np.log(p / (1 - p)))[0])

    assert gap(champion) != 0
    assert gap(again) == pytest.approx(gap(champion), abs=0.25)
    assert np.sign(gap(again)) == np.sign(gap(champion))


def test_the_champions_network_is_taken_along(world, champion):
    network = Network(champion.scaling.width, 4, torch.Generator().manual_seed(1)).arrays()
    rng = np.random.default_rng(2)
    network |= {name: rng.normal(0, 1.0, network[name].shape).astype(np.float32) for name in ("cross_out", "out")}
    deep = replace(champion, network=network, click=replace(champion.click, gate=0.5))
    again = refresh_response(fresh(world, 500), deep)
    assert again.network is not None
    rows = world.rows.select(np.arange(80_000, 82_000))
    logits = [np.log(p / (1 - p)) for p in (in_slots(model, rows)[0] for model in (deep, champion, again))]
    gaps = [np.std(logits[0] - other) for other in logits[1:]]
    assert gaps[1] < 0.5 * gaps[0]  # 500 rows move little of what the network says


def test_a_straight_calibration_is_folded_in_exactly(world, champion):
    rows = fresh(world)
    line = straightened(champion.click)
    x = champion.terms(champion.scaling.columns(rows.fields)).astype(np.float64)
    head = champion.click
    folded = x @ line.weights + line.intercept
    calibrated = head.calibration.shift + head.calibration.low * (x @ head.line.weights + head.line.intercept)
    np.testing.assert_allclose(folded, calibrated)


def test_the_same_rows_give_the_same_model_and_it_survives_the_disk(world, champion, tmp_path):
    again = refresh_response(fresh(world), champion, folder=tmp_path / "v2")
    assert again.version == refresh_response(fresh(world), champion).version != champion.version
    assert Response.load(tmp_path / "v2").version == again.version
    assert again.figures["refreshed_from"] == champion.version


def test_no_rows_and_other_fields_are_refused(world, champion):
    with pytest.raises(ConfigError, match="needs rows"):
        refresh_response(world.rows.select(np.arange(0)), champion)
    other = world.rows.select(np.arange(50))
    object.__setattr__(other, "names", tuple(reversed(other.names)))
    with pytest.raises(SchemaError, match="champion's fields"):
        refresh_response(other, champion)
