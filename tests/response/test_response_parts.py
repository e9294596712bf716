"""Scaling, the line, calibration, the joint loss: each against numbers that can be redone by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from zhitou.core.errors import SchemaError
from zhitou.response.calibrate import BETA_FROM, ISOTONIC_FROM, Calibration, calibrate
from zhitou.response.fields import Scaling
from zhitou.response.linear import Terms, ad_terms, fit_linear, telling_pairs
from zhitou.response.model import Network, joint_loss
from zhitou.response.response import network_logits


def test_columns_are_centred_scaled_and_know_what_is_unknown() -> None:
    fields = np.array([[-1.0, 5.0], [1.0, 5.0]] * 25, dtype=np.float32)
    fields[:20, 0] = np.nan
    scaling = Scaling.of(fields)
    columns = scaling.columns(np.array([[1.0, 5.0], [np.nan, 9.0]], dtype=np.float32))
    # First field: mean 0, deviation 1, sometimes unknown, so it has a mark. The second never varied: always 0.
    assert columns.tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(SchemaError, match="expected 2 fields, got 3"):
        scaling.columns(np.zeros((1, 3), dtype=np.float32))


def test_long_tails_are_logged_and_far_values_stop_at_five() -> None:
    basket = np.exp(np.random.default_rng(0).normal(3, 1, (500, 1))).astype(np.float32)
    scaling = Scaling.of(basket)
    assert scaling.logged.tolist() == [True]
    assert scaling.columns(np.array([[1e30], [-4.0]], dtype=np.float32)).max() == 5


def _terms(columns: int, *pairs: tuple[int, int]) -> Terms:
    each, none = np.arange(columns, dtype=np.int32), np.zeros(0, dtype=np.int32)
    knots = np.zeros(columns, dtype=np.float32)
    return Terms(columns, each, knots, none, none.astype(np.float32), np.array(pairs, dtype=np.int32).reshape(-1, 2))


def test_terms_are_columns_what_exceeds_their_knots_marks_and_chosen_products() -> None:
    terms = Terms(
        width=2,
        hinged=np.array([0, 1, 1], dtype=np.int32),
        knots=np.array([2.0, 3.0, 3.5], dtype=np.float32),
        marked=np.array([0], dtype=np.int32),
        atoms=np.array([1.0], dtype=np.float32),
        pairs=np.array([[0, 1]], dtype=np.int32),
    )
    assert terms(np.array([[1.0, 4.0]], dtype=np.float32)).tolist() == [[1, 4, 0, 1, 0.5, 1, 1 * 4]]
    assert terms.groups == (2, 3, 1, 1)


def test_a_value_that_stands_for_never_gets_a_mark_and_no_knot() -> None:
    # Column 0: half "never" (9), the others 1, 2, 3, 4, 5 in turn: quartiles 2, 3, 4. Column 1 has two values.
    hours = np.where(np.arange(1_000) % 2 == 0, 9, 1 + np.arange(1_000) // 2 % 5)
    terms = Terms.of(np.stack([hours, np.arange(1_000) % 2], 1).astype(np.float32))
    assert (terms.hinged.tolist(), terms.knots.tolist()) == ([0, 0, 0], [2, 3, 4])
    assert (terms.marked.tolist(), terms.atoms.tolist()) == ([0], [9])


def test_of_all_products_only_the_one_that_matters_is_found() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(20_000, 12)).astype(np.float32)
    p = expit(-3 + 0.4 * x[:, 0] + 0.4 * x[:, 2] * x[:, 5])
    without = expit(-3 + 0.4 * x[:, 0])
    found = [telling_pairs(x, rng.random(20_000) < p, p0).tolist() for p0 in (without, p)]
    assert found[0][0] == [2, 5]
    assert [2, 5] not in found[1]  # the line knows it now
    assert len(found[1]) <= 1  # 66 idle pairs: one in four draws has one above the bar


def _line(clicks: np.ndarray, ad: np.ndarray | None = None, slot: np.ndarray | None = None, slots: int = 1):  # type: ignore[no-untyped-def]
    R = len(clicks)
    none = np.full(R, -1) if ad is None else ad
    first = np.zeros(R, dtype=np.int8) if slot is None else slot
    return fit_linear(np.zeros((R, 2), dtype=np.float32), clicks, first, none, slots, rate=0.01, groups=(2,))


def test_without_a_click_the_rate_is_below_the_expected_one_and_above_zero() -> None:
    line = _line(np.zeros(200, dtype=bool))
    assert 0.001 < expit(line.intercept) < 0.01


def test_many_rows_outweigh_the_expected_rate() -> None:
    line = _line(np.arange(20_000) % 20 == 0)
    assert expit(line.intercept) == pytest.approx(0.05, rel=0.01)


def test_a_rare_ad_is_taken_for_the_average_one() -> None:
    # Ads 0 and 1: 4,000 rows with 5 % and 1 % clicks. Ad 2: three rows, all clicked. Ad 3 never shown.
    ad = np.repeat([0, 1, 2], [4_000, 4_000, 3])
    clicks = np.concatenate([np.arange(4_000) % 20 == 0, np.arange(4_000) % 100 == 0, np.ones(3, dtype=bool)])
    ads = _line(clicks, ad).ads
    assert ads[0] - ads[1] == pytest.approx(logit(0.05) - logit(0.01), abs=0.25)
    assert ads[2] < logit(0.9) - logit(0.03)  # far from "always clicked"
    assert ad_terms(ads, np.array([-1, 99])).tolist() == [0, 0]


def test_an_unknown_ad_counts_as_the_average_impression() -> None:
    ad = np.repeat([0, 1], 5_000)
    clicks = np.concatenate([np.arange(5_000) % 20 == 0, np.arange(5_000) % 100 == 0])
    assert expit(_line(clicks, ad).intercept) == pytest.approx((0.05 + 0.01) / 2, rel=0.05)


def test_the_slot_term_is_what_the_slot_takes_from_the_odds() -> None:
    slot = np.repeat([0, 1], 20_000)
    clicks = np.concatenate([np.arange(20_000) % 20 == 0, np.arange(20_000) % 50 == 0])
    line = _line(clicks, slot=slot, slots=2)
    assert line.slots[0] == 0
    assert line.slots[1] == pytest.approx(logit(0.02) - logit(0.05), abs=0.03)


def test_idle_columns_get_hardly_any_weight_and_a_strong_one_keeps_its_own() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20_000, 10)).astype(np.float32)
    y = rng.random(20_000) < expit(-3 + 0.7 * x[:, 0])
    terms = _terms(10)
    line = fit_linear(terms(x), y, np.zeros(20_000, dtype=np.int8), np.full(20_000, -1), 1, 0.01, terms.groups)
    slope = line.weights[:10] + line.weights[10:] / 2
    assert slope[0] == pytest.approx(0.7, abs=0.08)
    assert np.abs(slope[1:]).max() < 0.1


@pytest.mark.parametrize(
    ("positives", "kind"),
    [(0, "platt"), (BETA_FROM - 1, "platt"), (BETA_FROM, "beta"), (ISOTONIC_FROM, "isotonic")],
)
def test_the_number_of_positives_chooses_the_calibration(positives: int, kind: str) -> None:
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.arange(20_000) < positives)
    found = calibrate(rng.normal(-3, 1, 20_000) + labels, labels, taught=4 * positives)
    assert found.kind == kind


def test_no_later_rows_change_nothing() -> None:
    assert calibrate(np.zeros(0), np.zeros(0, dtype=bool), 100)(np.array([-1.5, 2.0])).tolist() == [-1.5, 2.0]


@pytest.mark.parametrize(("rows", "taught"), [(60_000, 100), (400_000, 10_000)])
def test_calibration_mends_scores_that_are_twice_too_high(rows: int, taught: int) -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(-3.2, 0.8, rows)
    labels = rng.random(rows) < expit(truth)
    wrong = truth + math.log(2)
    mended = expit(calibrate(wrong, labels, taught=taught)(wrong)).mean()
    assert mended == pytest.approx(labels.mean(), rel=0.03)


@pytest.mark.parametrize("positives", [100, 1_000, 6_000])
def test_calibration_never_turns_the_order_of_two_ads(positives: int) -> None:
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.arange(60_000) < positives)
    found = calibrate(rng.normal(-3, 1, 60_000) + 0.5 * labels, labels, taught=positives)
    assert (np.diff(found(np.linspace(-12, 6, 400))) > 0).all()


def test_beta_calibration_with_equal_powers_is_platts_line() -> None:
    logits = np.linspace(-5, 5, 11)
    nearly = Calibration("beta", 0.1, 0.8, 0.8 + 1e-12)
    assert nearly(logits) == pytest.approx(Calibration("platt", 0.1, 0.8, 0.8)(logits))


def test_the_joint_loss_is_the_log_likelihood_of_three_outcomes() -> None:
    p, r = 0.2, 0.25
    logits = torch.tensor([[logit(p), logit(r)]] * 4, dtype=torch.float64)
    clicked = torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    converted = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    mature = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    likelihood = (1 - p) * (p * (1 - r)) * (p * r) * p  # nothing; click; click and conversion; click, open
    assert float(joint_loss(logits, clicked, converted, mature)) == pytest.approx(-math.log(likelihood) / 4)


def test_numpy_and_torch_compute_the_same_network() -> None:
    network = Network(6, 8, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1)
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    assert network_logits(network.arrays(), x) == pytest.approx(expected, abs=1e-5)


def test_a_network_adds_nothing_before_its_first_step() -> None:
    network = Network(6, 8, torch.Generator().manual_seed(1))
    assert network(torch.ones(3, 6)).tolist() == [[0, 0]] * 3


def test_a_column_that_few_rows_carry_is_never_multiplied():
    rng = np.random.default_rng(3)
    columns = rng.standard_normal((20_000, 3)).astype(np.float32)
    columns[:, 0] = 0.0
    columns[rng.choice(20_000, 60, replace=False), 0] = 12.0  # recent clicks: rare, and large where they are
    y = (rng.random(20_000) < 0.01) | ((columns[:, 0] > 0) & (columns[:, 1] > 0))
    assert 0 not in telling_pairs(columns, y, np.full(20_000, 0.01))
    bell = columns[:, 1] * columns[:, 2] > 1.5
    assert telling_pairs(columns, (rng.random(20_000) < 0.01) | bell, np.full(20_000, 0.01)).tolist() == [[1, 2]]
