"""The whole model on a world whose truth is known: sharp, calibrated, careful with little, the same twice."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError, SchemaError
from zhitou.evaluation.classification import entropy
from zhitou.learning.checkpoints import save_model
from zhitou.response.compare import compare, in_slots
from zhitou.response.config import ResponseConfig
from zhitou.response.practice import EXAMINATION, Practice, practice
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

TAUGHT = 60_000


@pytest.fixture(scope="module")
def world() -> Practice:
    return practice(TAUGHT + 60_000, Chance(11))


@pytest.fixture(scope="module")
def rows(world: Practice) -> Rows:
    return world.rows.select(np.arange(TAUGHT))


@pytest.fixture(scope="module")
def response(rows: Rows) -> Response:
    return fit_response(rows, chance=Chance(1))


def _entropy(truth: np.ndarray, p: np.ndarray) -> float:
    """Normalised entropy expected under the true probabilities: the labels' noise left out."""
    loss = -(truth * np.log(p) + (1 - truth) * np.log1p(-p)).mean()
    return float(loss / entropy(float(truth.mean())))


def test_most_of_what_can_be_known_of_a_click_is_found(world: Practice, response: Response) -> None:
    later = world.rows.select(np.arange(TAUGHT, len(world.rows)))
    truth = world.pclick[TAUGHT:]
    found, limit = _entropy(truth, in_slots(response, later)[0]), _entropy(truth, truth)
    assert (1 - found) / (1 - limit) > 0.75


def test_the_level_of_clicks_is_right_on_rows_to_come(world: Practice, response: Response) -> None:
    later = world.rows.select(np.arange(TAUGHT, len(world.rows)))
    ratio = in_slots(response, later)[0].mean() / world.pclick[TAUGHT:].mean()
    assert 0.88 < ratio < 1.12  # about 580 clicks were seen: two standard errors of their count are 8 %


def test_thinning_rows_without_a_click_moves_neither_the_level_nor_the_order(
    world: Practice, response: Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zhitou.response.train._ROWS_LEAST", 0)
    rows = world.rows.select(np.arange(TAUGHT))
    thin = fit_response(rows, ResponseConfig(negatives_per_click_line=20), Chance(1))  # a fifth of the rows
    later = world.rows.select(np.arange(TAUGHT, len(world.rows)))
    one, two = in_slots(response, later)[0], in_slots(thin, later)[0]
    assert two.sum() / one.sum() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(np.log(one), np.log(two))[0, 1] > 0.97


def test_all_rows_are_learnt_from_in_the_end(rows: Rows) -> None:
    # Ad 7 is new on the last day, and clicked five times as often as the others: 100 of 2,000 shows.
    late = np.flatnonzero(rows.time_s >= rows.cut_s(0.85))[:2_000]
    ad, clicked = np.where(rows.ad == 7, 8, rows.ad), rows.clicked.copy()
    ad[late], clicked[late] = 7, np.arange(2_000) % 20 == 0
    told = replace(rows, ad=ad, clicked=clicked, converted=rows.converted & clicked)
    ads = fit_response(told.select(np.arange(len(told))), chance=Chance(1)).click.line.ads
    assert ads[7] == ads.max() > 0.5


def test_the_slots_are_examined_as_they_truly_are(response: Response) -> None:
    assert response.examination[0] == 1
    assert response.examination == pytest.approx(EXAMINATION, abs=0.25)  # the last slot was clicked about 20 times


def test_the_network_finds_what_no_line_and_no_product_of_two_fields_can() -> None:
    rng = np.random.default_rng(1)
    x = rng.choice([-1.0, 1.0], (30_000, 6)).astype(np.float32)
    truth = np.where(x[:, 0] * x[:, 1] * x[:, 2] > 0, 0.4, 0.1)
    clicked = rng.random(len(x)) < truth
    nothing, zero = np.zeros(len(x), dtype=bool), np.zeros(len(x), dtype=int)
    rows = Rows(x, tuple("abcdef"), zero, zero - 1, clicked, nothing, nothing, np.arange(len(x)), zero + 1.0)
    response = fit_response(rows, chance=Chance(1))
    assert response.click.gate > 0
    pctr = response.predict(x)[0]
    assert pctr[truth == 0.4].mean() > 0.36
    assert pctr[truth == 0.1].mean() < 0.14


def test_with_too_few_clicks_for_it_there_is_no_network(rows: Rows) -> None:
    response = fit_response(rows.select(np.arange(20_000)), chance=Chance(1))
    assert response.network is None
    assert response.click.gate == response.conversion.gate == 0


def test_thirty_clicks_give_a_model_of_few_numbers(world: Practice) -> None:
    few = world.rows.select(np.arange(2_500))
    response = fit_response(few, chance=Chance(1))
    assert response.network is None
    pctr, pcvr = response.predict(world.rows.fields[TAUGHT:])
    assert 0.5 < pctr.mean() / world.pctr[TAUGHT:].mean() < 2
    assert pcvr.min() > 0.002
    assert pcvr.max() < 0.3


def test_no_conversion_at_all_leaves_a_small_rate_not_zero(rows: Rows) -> None:
    never = replace(rows, converted=np.zeros(len(rows), dtype=bool))
    pcvr = fit_response(never.select(np.arange(20_000)), chance=Chance(1)).predict(rows.fields[:1_000])[1]
    assert pcvr.min() > 1e-4
    assert pcvr.max() < 0.03


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_handful_of_rows_is_enough_to_answer(rows: Rows, count: int) -> None:
    pctr, pcvr = fit_response(rows.select(np.arange(count)), chance=Chance(1)).predict(rows.fields[:5])
    assert ((pctr > 0) & (pctr < 0.2) & (pcvr > 0) & (pcvr < 0.2)).all()


def test_no_rows_are_refused(rows: Rows) -> None:
    with pytest.raises(ConfigError, match="needs rows"):
        fit_response(rows.select(np.arange(0)))


def test_clicks_that_may_still_convert_are_no_failed_conversions(rows: Rows) -> None:
    # All fresh clicks are marked open: a model that read them as "no" would halve the rate.
    honest = fit_response(rows.select(np.arange(30_000)), chance=Chance(1))
    fresh = rows.select(np.arange(30_000))
    late = fresh.time_s >= fresh.cut_s(0.4)
    open_ = replace(fresh, mature=fresh.mature & ~late, converted=fresh.converted & ~late)
    hidden = fit_response(open_, chance=Chance(1))
    ratio = hidden.predict(rows.fields)[1].mean() / honest.predict(rows.fields)[1].mean()
    assert 0.6 < ratio < 1.6


def test_what_is_served_does_not_depend_on_how_it_is_asked(rows: Rows, response: Response) -> None:
    fields, ads = rows.fields[:600].reshape(3, 200, -1), np.arange(200)
    together = response.for_ads(ads).predict(fields)
    alone = response.for_ads(ads).predict(fields[1])
    one_by_one = [response.predict(fields[1, k], np.array(k)) for k in range(3)]
    assert together[0].shape == (3, 200)
    assert alone[0] == pytest.approx(together[0][1], rel=1e-5)
    assert [float(p[0]) for p in one_by_one] == pytest.approx(alone[0][:3].tolist(), rel=1e-5)


def test_an_unknown_ad_is_answered_like_the_average_one(rows: Rows, response: Response) -> None:
    known, unknown = response.predict(rows.fields, rows.ad)[0], response.predict(rows.fields)[0]
    assert unknown.mean() == pytest.approx(known.mean(), rel=0.05)
    new = response.predict(rows.fields[:9], np.full(9, 10_000))[0]
    assert new == pytest.approx(unknown[:9], rel=1e-5)


def test_a_saved_model_predicts_the_same_bytes_without_torch(tmp_path: Path, rows: Rows, response: Response) -> None:
    response.save(tmp_path)
    loaded = Response.load(tmp_path)
    assert loaded.version == response.version
    assert loaded.figures == response.figures
    assert loaded.predict(rows.fields[:500], rows.ad[:500])[0].tobytes() == (
        response.predict(rows.fields[:500], rows.ad[:500])[0].tobytes()
    )
    script = "import sys, zhitou.response.response; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, {"a": np.zeros(1)}, {"kind": "interest"})
    with pytest.raises(ModelError, match="'interest'"):
        Response.load(tmp_path)


def test_a_model_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path, response: Response) -> None:
    arrays = {name: array for name, array in response.arrays().items() if not name.startswith("terms.")}
    save_model(tmp_path, arrays, response.facts())
    with pytest.raises(ModelError, match="train anew"):
        Response.load(tmp_path)


def test_another_number_of_fields_is_refused(rows: Rows, response: Response) -> None:
    with pytest.raises(SchemaError, match="expected 25 fields, got 24"):
        response.predict(rows.fields[:, 1:])


def test_what_comes_after_the_cut_is_never_trained_on(rows: Rows) -> None:
    small = rows.select(np.arange(0, 60_000, 3))
    cut = small.cut_s(0.7)
    seen: list[np.ndarray] = []

    def spy(earlier: Rows, config: object, chance: Chance) -> Response:
        model = fit_response(earlier, chance=chance)
        seen.append(model.predict(small.fields[:200], small.ad[:200])[0])
        return model

    late = small.time_s >= cut
    shuffled = small.clicked.copy()
    shuffled[late] = np.random.default_rng(0).permutation(shuffled[late])
    other = replace(small, clicked=shuffled, converted=small.converted & shuffled)
    for log in (small, other):
        compare(log, cut, Chance(1), models={"ours": spy})
    assert seen[0].tobytes() == seen[1].tobytes()


def test_a_comparison_is_a_table_with_every_model_and_outcome(rows: Rows) -> None:
    small = rows.select(np.arange(0, 60_000, 3))
    table = compare(small, small.cut_s(0.7), Chance(1), window_s=86_400)
    assert [(s.outcome, s.model) for s in table.scores] == [
        (outcome, model)
        for outcome in ("click", "conversion")
        for model in ("zhitou", "constant", "logistic", "trees")
    ]
    ours, constant = table.scores[:2]
    assert ours.ne.value < constant.ne.value
    assert constant.behind.low > 0
    assert constant.behind.value == pytest.approx(constant.ne.value - ours.ne.value)
    assert len(str(table).splitlines()) == 9


def test_a_cut_outside_the_rows_is_refused(rows: Rows) -> None:
    with pytest.raises(ConfigError, match="both sides"):
        compare(rows, int(rows.time_s.min()), Chance(1))
