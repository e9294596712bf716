"""What every response model promises, ours and the ones it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.response.baselines import fit_constant, fit_logistic, fit_trees
from zhitou.response.compare import in_slots
from zhitou.response.deep_fit import fit_deep
from zhitou.response.practice import NAMES, Practice, practice
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response
from zhitou.strategy.ports import ResponseModel

Fit = Callable[..., Any]
FITS: dict[str, Fit] = {
    "zhitou": fit_response,
    "deep": fit_deep,
    "constant": fit_constant,
    "logistic": fit_logistic,
    "trees": fit_trees,
}
LEARNERS = [name for name in FITS if name != "constant"]
TAUGHT = 30_000


@pytest.fixture(scope="module")
def world() -> Practice:
    return practice(TAUGHT + 15_000, Chance(3), ctr=0.04)


@pytest.fixture(scope="module")
def rows(world: Practice) -> Rows:
    return world.rows.select(np.arange(TAUGHT))


@pytest.fixture(scope="module")
def fitted(rows: Rows) -> dict[str, Any]:
    return {name: fit(rows, None, Chance(1)) for name, fit in FITS.items()}


@pytest.mark.parametrize("name", FITS)
def test_it_is_a_response_model(name: str, fitted: dict[str, Any]) -> None:
    model = fitted[name]
    assert isinstance(model, ResponseModel)
    assert model.name == name
    assert model.version
    assert model.fields == NAMES


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 3, 2), (0,), ()])
def test_it_answers_every_leading_shape_with_probabilities(
    name: str, shape: tuple[int, ...], fitted: dict[str, Any], rows: Rows
) -> None:
    count = int(np.prod(shape))
    fields = rows.fields[:count].reshape(*shape, len(NAMES)) if shape else rows.fields[0]
    for p in fitted[name].predict(fields):
        assert p.shape == shape
        assert p.dtype == np.float64
        assert ((p > 0) & (p < 1)).all()


@pytest.mark.parametrize("name", FITS)
def test_absurd_and_unknown_fields_still_get_a_probability(name: str, fitted: dict[str, Any]) -> None:
    strange = np.array([[np.nan] * 25, [1e30] * 25, [-1e30] * 25], dtype=np.float32)
    for p in fitted[name].predict(strange):
        assert ((p > 0) & (p < 1)).all()


@pytest.mark.parametrize("name", FITS)
def test_the_first_slot_is_the_measure_of_the_others(name: str, fitted: dict[str, Any]) -> None:
    examination = fitted[name].examination
    assert examination.shape == (3,)
    assert examination[0] == 1
    assert ((examination > 0) & (examination < 1.2)).all()


@pytest.mark.parametrize("name", FITS)
def test_it_is_calibrated_on_rows_to_come(name: str, fitted: dict[str, Any], world: Practice) -> None:
    later = world.rows.select(np.arange(TAUGHT, len(world.rows)))
    pclick, pcvr = in_slots(fitted[name], later)
    # About 1,000 clicks and 30 conversions were seen: two and a half standard errors of their counts.
    assert pclick.sum() / world.pclick[TAUGHT:].sum() == pytest.approx(1, abs=0.08)
    assert (pclick * pcvr).sum() / (world.pclick * world.pcvr)[TAUGHT:].sum() == pytest.approx(1, abs=0.45)


@pytest.mark.parametrize("name", LEARNERS)
def test_more_affinity_is_never_a_clearly_lower_click_probability(name: str, fitted: dict[str, Any]) -> None:
    # All other fields at their middle: the world's pctr rises in affinity throughout.
    fields = np.zeros((9, len(NAMES)), dtype=np.float32)
    fields[:, NAMES.index("affinity")] = np.linspace(-2, 2, 9)
    pctr, _ = fitted[name].predict(fields)
    assert (np.diff(np.log(pctr)) > -0.1).all()
    assert pctr[-1] > 3 * pctr[0]


@pytest.mark.parametrize("name", FITS)
def test_the_same_seed_gives_the_same_bytes(name: str, fitted: dict[str, Any], rows: Rows) -> None:
    again = FITS[name](rows, None, Chance(1))
    assert again.version == fitted[name].version
    for one, two in zip(again.predict(rows.fields[:300]), fitted[name].predict(rows.fields[:300]), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("name", FITS)
def test_other_rows_give_another_version(name: str, fitted: dict[str, Any], rows: Rows) -> None:
    fewer = FITS[name](rows.select(np.arange(10_000)), None, Chance(1))
    assert fewer.version != fitted[name].version


@pytest.mark.parametrize("name", FITS)
def test_a_log_without_clicks_is_answered_with_a_low_rate(name: str, rows: Rows) -> None:
    none = np.zeros(len(rows), dtype=bool)
    pctr, pcvr = FITS[name](replace(rows, clicked=none, converted=none), None, Chance(1)).predict(rows.fields[:50])
    assert (pctr < 0.01).all()
    assert ((pcvr > 0.001) & (pcvr < 0.1)).all()


@pytest.mark.parametrize("name", FITS)
def test_labels_that_are_not_mature_are_never_read(name: str, rows: Rows, fitted: dict[str, Any]) -> None:
    # Open clicks pretend to have converted all; nothing may change.
    lie = replace(rows, converted=rows.converted | (rows.clicked & ~rows.mature))
    told = FITS[name](lie, None, Chance(1)).predict(rows.fields[:200])
    for one, two in zip(told, fitted[name].predict(rows.fields[:200]), strict=True):
        assert one.tobytes() == two.tobytes()
