"""The deep response model: what it learns beside the fields, how sure it is, and that what serves is what learnt."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import logit

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError, SchemaError
from zhitou.learning.fit import FitConfig
from zhitou.response.compare import in_slots
from zhitou.response.deep import DeepResponse
from zhitou.response.deep_config import DeepConfig
from zhitou.response.deep_doubt import Doubt
from zhitou.response.deep_fit import fit_deep
from zhitou.response.deep_forward import forward
from zhitou.response.deep_inputs import UNKNOWN, AdSide, Codes, RequestSide, Side
from zhitou.response.deep_module import DeepNetwork, DeepSize
from zhitou.response.linear import Linear
from zhitou.response.practice import practice
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

ADS, THINGS, LENGTH = 12, 6, 5
QUICK = DeepConfig(fit=FitConfig(epochs=6, lr=4e-3, weight_decay=0.1, patience=3, warmup=10, average=0.98))


def _log(count: int, seed: int) -> tuple[Rows, Side, np.ndarray]:
    """(rows, side, true click chance): an ad of a type that stands in the history is clicked four times as often.

    No field tells of it, only the history does.
    """
    rng = np.random.default_rng(seed)
    history = rng.integers(0, THINGS + 1, (count // 2, LENGTH)).astype(np.int32)
    target = (1 + np.arange(ADS) % THINGS).astype(np.int32)
    ad, request = rng.integers(0, ADS, count), np.repeat(np.arange(count // 2), 2)
    slot, x = np.tile([0, 1], count // 2), rng.normal(size=(count, 3)).astype(np.float32)
    had = (history[request] == target[ad][:, None]).any(1)
    chance = np.where(had, 0.12, 0.03) * np.exp(0.3 * x[:, 0]) * np.where(slot, 0.5, 1.0)
    clicked = rng.random(count) < chance
    bought = clicked & (rng.random(count) < 0.1)
    rows = Rows(
        fields=x,
        names=("a", "b", "c"),
        slot=slot,
        ad=ad,
        clicked=clicked,
        converted=bought,
        mature=np.ones(count, dtype=bool),
        time_s=np.arange(count) // 2 * 10,
        propensity=np.full(count, 1 / ADS),
    )
    requests = RequestSide(
        names=("hour",),
        codes=rng.integers(0, 24, (count // 2, 1)),
        history=history,
        age_days=rng.uniform(0, 30, history.shape).astype(np.float32),
        shopper=rng.integers(-1, 50, count // 2).astype(np.int32),
        interest=rng.normal(size=(50, 4)).astype(np.float32),
        channel=rng.integers(0, 2, count // 2).astype(np.int16),
    )
    ads = AdSide(("ad", "type"), np.stack([np.arange(ADS), target], 1).astype(np.int64), target)
    return rows, Side(ads, requests, request.astype(np.int32)), chance


@pytest.fixture(scope="module")
def taught() -> tuple[Rows, Side, np.ndarray]:
    return _log(40_000, 1)


@pytest.fixture(scope="module")
def deep(taught: tuple[Rows, Side, np.ndarray]) -> DeepResponse:
    return fit_deep(taught[0], QUICK, Chance(1), taught[1])


def _expected_loss(truth: np.ndarray, p: np.ndarray) -> float:
    return float(-(truth * np.log(p) + (1 - truth) * np.log1p(-p)).mean())


def test_an_ad_of_a_type_bought_before_is_known_to_be_clicked_more(deep: DeepResponse) -> None:
    rows, side, truth = _log(20_000, 2)
    found = _expected_loss(truth, deep.in_slots(rows, side)[0])
    limit = _expected_loss(truth, truth)
    line = fit_response(_log(40_000, 1)[0], chance=Chance(1))
    without = _expected_loss(truth, in_slots(line, rows)[0])
    assert (found - limit) < 0.25 * (without - limit)


def test_every_slot_and_channel_is_calibrated_on_rows_to_come(deep: DeepResponse) -> None:
    rows, side, truth = _log(20_000, 3)
    p = deep.in_slots(rows, side)[0]
    channel = side.requests.channel
    assert channel is not None
    for which in (rows.slot == 0, rows.slot == 1, channel[side.request] == 0, channel[side.request] == 1):
        # A group's later fold holds 200 clicks, whose count alone leaves 7 %.
        assert p[which].sum() / truth[which].sum() == pytest.approx(1, abs=0.1)
    # 500 and 1,000 clicks taught the slots apart: 5 % of their ratio by the count alone.
    assert deep.examination == pytest.approx([1, 0.5], abs=0.07)


def test_numpy_serves_what_torch_taught() -> None:
    rng = np.random.default_rng(5)
    size = DeepSize(columns=4, codes=9, categories=2, things=6, interest=3)
    network = DeepNetwork(size, 4, 3, (7, 5), torch.Generator().manual_seed(1))
    with torch.no_grad():
        for weights in network.parameters():  # nothing may hide behind a weight that starts at zero
            weights.add_(0.2 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(weights.numel())))
    B, K, L = 3, 5, 4
    columns = rng.normal(size=(B, K, 4)).astype(np.float32)
    codes, target = rng.integers(0, 9, (B, K, 2)).astype(np.int32), rng.integers(0, 6, (B, K)).astype(np.int32)
    history, ages = rng.integers(0, 6, (B, L)).astype(np.int32), rng.integers(0, 10, (B, L)).astype(np.int32)
    interest = rng.normal(size=(B, 3)).astype(np.float32)
    served, _ = forward(network.arrays(), columns, codes, target, history, ages, interest)
    each = np.repeat(np.arange(B), K)
    flat = (columns.reshape(-1, 4), codes.reshape(-1, 2), target.ravel(), history[each], ages[each], interest[each])
    with torch.no_grad():
        told = network(*(torch.from_numpy(a) for a in flat)).numpy()
    assert served.reshape(-1, 2) == pytest.approx(told, abs=1e-5)


def test_a_request_and_a_logged_row_get_the_same_probability(
    deep: DeepResponse, taught: tuple[Rows, Side, np.ndarray]
) -> None:
    rows, side, _ = taught
    top = rows.slot == 0
    some = np.flatnonzero(top)[:40]
    there = deep.in_slots(rows.select(some), side.select(some))
    asked = deep.for_ads(np.arange(ADS)).at(side.requests.select(side.request[some]))
    fields = np.repeat(rows.fields[some][:, None], ADS, axis=1)
    here = np.arange(len(some)), rows.ad[some]
    for one, two in zip(asked.predict(fields), there, strict=True):
        assert one[here] == pytest.approx(two, rel=1e-5)


def test_thinning_more_or_less_leaves_the_level_alone(taught: tuple[Rows, Side, np.ndarray]) -> None:
    rows, side, truth = taught
    thin = replace(QUICK, negatives_per_click=2, line_negatives_per_click=2)
    p = fit_deep(rows, thin, Chance(1), side).in_slots(rows, side)[0]
    assert p.sum() / truth.sum() == pytest.approx(1, abs=0.06)


def test_doubt_shrinks_with_rows(deep: DeepResponse, taught: tuple[Rows, Side, np.ndarray]) -> None:
    rows, side, _ = taught
    early = np.arange(24_000)
    fewer = fit_deep(rows.select(early), QUICK, Chance(1), side.select(early))
    (_, many), (_, few) = (m.click_logit(rows.fields[:200], rows.ad[:200]) for m in (deep, fewer))
    assert many.mean() < few.mean()


def test_doubt_is_that_of_the_level_and_of_the_ad() -> None:
    # 50 rows of one unit of information each of ads 0 and 1, and nothing to tell them apart by. Their terms are drawn
    # in, so ads differ by s² = 0.5² + 1 / (1 / s² + 50), which s² = 0.2686 solves.
    ad = np.repeat([0, 1], 50)
    line = Linear(-3.0, np.zeros(0), np.zeros(1), np.array([0.5, -0.5]))
    none = np.zeros((100, 0), dtype=np.float32)
    doubt = Doubt.of(none, none, ad, np.ones(100), line, (), weight_sd=0.3)
    level = 1 / (1 + 100)
    found = doubt(none[:3], none[:3], np.array([0, 1, 7]))
    shown = level + 1 / (1 / 0.2686 + 50)
    assert found == pytest.approx(np.sqrt([shown, shown, level + 0.2686]), rel=1e-3)


def test_doubt_covers_the_true_logit_about_as_often_as_it_says_where_nothing_is_straight() -> None:
    # 1,000 clicks. When it knew of the columns and not of what the line makes of them, it covered 72 %.
    world = practice(110_000, Chance(1))
    model = fit_deep(world.rows.select(np.arange(100_000)), chance=Chance(1))
    later = world.rows.select(np.arange(100_000, 110_000))
    mean, sd = model.click_logit(later.fields, later.ad)
    inside = np.abs(mean - logit(world.pctr[100_000:])) < 2 * sd
    assert 0.85 < inside.mean() <= 0.99


def test_doubt_covers_the_true_logit_about_as_often_as_it_says() -> None:
    world = practice(30_000, Chance(4), ctr=0.05, curved=0.0)
    model = fit_deep(world.rows, chance=Chance(1))
    mean, sd = model.click_logit(world.rows.fields[:5_000], world.rows.ad[:5_000])
    truth = np.log(world.pctr[:5_000] / (1 - world.pctr[:5_000]))
    inside = (np.abs(mean - truth) < 2 * sd).mean()
    assert 0.7 < inside <= 1.0


def test_a_saved_model_comes_back_the_same_without_torch(deep: DeepResponse, tmp_path: Path) -> None:
    deep.save(tmp_path / "deep")
    fields = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    np.save(tmp_path / "fields.npy", fields)
    code = (
        "import sys, numpy as np; from pathlib import Path; from zhitou.response.deep import DeepResponse;"
        "folder = Path(sys.argv[1]); model = DeepResponse.load(folder / 'deep');"
        "np.save(folder / 'out.npy', model.predict(np.load(folder / 'fields.npy')));"
        "print(model.version); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == deep.version
    assert np.load(tmp_path / "out.npy").tobytes() == np.stack(deep.predict(fields)).tobytes()


def test_a_folder_of_another_model_is_refused(tmp_path: Path) -> None:
    rows = practice(3_000, Chance(2), ctr=0.05).rows
    fit_response(rows, chance=Chance(1), folder=tmp_path)
    with pytest.raises(ModelError, match="kind"):
        DeepResponse.load(tmp_path)
    assert isinstance(Response.load(tmp_path), Response)


def test_below_the_least_clicks_it_is_the_line() -> None:
    rows = practice(3_000, Chance(2), ctr=0.05).rows
    model = fit_deep(rows, chance=Chance(1))
    assert model.network is None
    assert model.gates == (0.0, 0.0)


def test_rare_and_unknown_values_share_one_row_of_the_table() -> None:
    values = np.array([[7, 1], [7, 1], [7, 2], [9, UNKNOWN]])
    codes = Codes.learn(("a", "b"), values, rows_least=2, codes_most=10)
    assert [kept.tolist() for kept in codes.kept] == [[7], [1]]
    # a's part of the table is rows 0 (shared) and 1, b's is 2 (shared) and 3
    assert codes(np.array([[7, 1], [9, 2], [UNKNOWN, 55]])).tolist() == [[1, 3], [0, 2], [0, 2]]


def test_of_too_many_values_the_most_frequent_keep_their_row() -> None:
    values = np.array([[3], [3], [5], [5], [5], [8]])
    assert Codes.learn(("a",), values, rows_least=1, codes_most=2).kept[0].tolist() == [3, 5]


def test_what_does_not_fit_together_is_refused(deep: DeepResponse, taught: tuple[Rows, Side, np.ndarray]) -> None:
    rows, side, _ = taught
    with pytest.raises(ConfigError, match="side of"):
        fit_deep(rows.select(np.arange(10)), QUICK, Chance(1), side)
    with pytest.raises(ConfigError, match="rows"):
        fit_deep(rows.select(np.arange(0)), QUICK, Chance(1))
    with pytest.raises(SchemaError, match="fields"):
        deep.predict(rows.fields[:6].reshape(3, 2, 3), None, side.requests.select(np.arange(2)))
    with pytest.raises(SchemaError, match="hour"):
        deep.predict(rows.fields[:6].reshape(3, 2, 3), None, RequestSide.nothing(3))
    with pytest.raises(SchemaError, match="codes"):
        AdSide(("a",), np.zeros((2, 2), dtype=np.int64), np.zeros(2, dtype=np.int32))


def test_young_clicks_teach_the_deep_model_as_far_as_their_age_lets_them_speak() -> None:
    rows, side, _ = _log(12_000, 3)
    rng = np.random.default_rng(3)
    matured = rng.uniform(0.2, 0.6, len(rows))
    seen = rows.converted & (rng.random(len(rows)) < matured)
    young = replace(rows, converted=seen, mature=np.zeros(len(rows), dtype=bool))
    told = fit_deep(young, QUICK, Chance(1), side, matured=matured)
    naive = fit_deep(replace(young, mature=rows.mature), QUICK, Chance(1), side)
    pcvr = [model.in_slots(rows, side)[1][rows.clicked].mean() for model in (told, naive)]
    assert pcvr[0] == pytest.approx(0.1, rel=0.3)  # 60 conversions are seen: two standard errors
    assert pcvr[1] < 0.6 * pcvr[0]
    with pytest.raises(ConfigError, match="matured"):
        fit_deep(young, QUICK, Chance(1), side, matured=matured[:-1])
