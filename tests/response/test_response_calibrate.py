"""Undoing downsampling, the rule of calibration, late labels, groups held near their parents."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from zhitou.core.errors import ConfigError, ModelError, SchemaError
from zhitou.response.calibrate import Calibration, calibrate, jump, settled, without_downsampling
from zhitou.response.calibrators import CALIBRATORS
from zhitou.response.groups import GroupCalibration, calibrate_groups


def test_a_tenth_of_the_negatives_makes_the_odds_ten_times_too_high() -> None:
    # 10 positives beside 990 negatives, of which 99 are kept: q = 10 / 109, and p is 1 % again.
    assert without_downsampling(np.array([10 / 109]), 0.1) == pytest.approx([0.01])
    with pytest.raises(ConfigError, match="share of negatives"):
        without_downsampling(np.array([0.5]), 0.0)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(1e-4, 1))
def test_undoing_downsampling_is_the_exact_inverse_of_thinning(p: float, kept: float) -> None:
    thinned = p / (p + (1 - p) * kept)
    assert without_downsampling(np.array([thinned]), kept)[0] == pytest.approx(p, rel=1e-9)
    shifted = expit(logit(thinned) + math.log(kept))
    assert without_downsampling(np.array([thinned]), kept)[0] == pytest.approx(shifted, rel=1e-9)


def _scores(rows: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(logit(rate) - 0.4, 0.9, rows)
    return truth, rng.random(rows) < expit(truth)


def test_scores_that_are_right_are_left_nearly_alone_by_few_positives() -> None:
    truth, labels = _scores(10_000, 0.01, 3)
    found = calibrate(truth, labels, taught=400)
    assert np.abs(found(truth) - truth).mean() < 0.15
    assert expit(found(truth)).mean() == pytest.approx(expit(truth).mean(), rel=0.1)


def test_a_later_fold_that_contradicts_the_scores_is_believed() -> None:
    truth, labels = _scores(50_000, 0.01, 4)
    wrong = truth + math.log(1.5)
    left = expit(calibrate(wrong, labels, taught=2_000)(wrong)).mean() / labels.mean()
    assert left == pytest.approx(1, abs=0.03)


def test_luck_of_a_later_fold_does_not_move_the_level_and_a_jump_does() -> None:
    # 2,000 clicks teach and 500 more judge: 5 % more than foretold are within their chance, 50 % more are not.
    assert jump(525, 500.0, taught=2_000) < 0.15
    assert jump(750, 500.0, taught=2_000) > 0.99
    truth, labels = _scores(50_000, 0.01, 4)
    lucky = truth + math.log(expit(truth).sum() / labels.sum() / 1.05)  # as if 5 % more than foretold had come
    kept = expit(settled(lucky, truth, labels, taught=2_000)(truth)).sum()
    assert kept == pytest.approx(expit(truth).sum(), rel=0.01)
    halved = truth - math.log(2)
    moved = expit(settled(halved, halved, labels, taught=2_000)(halved)).sum()
    assert moved == pytest.approx(labels.sum(), rel=0.03)


def test_scores_that_tell_nothing_give_way_to_one_rate_where_that_may_be() -> None:
    # 60 positives among 6,000, scores drawn without regard to them and as wide as those of real clicks.
    truth, labels = _scores(6_000, 0.01, 7)
    idle = np.random.default_rng(8).permutation(truth)
    believed, doubted = (calibrate(idle, labels, taught=240, idle=share)(idle).std() for share in (0.0, 0.2))
    assert doubted < 0.5 * believed
    right = calibrate(truth, labels, taught=240, idle=0.2)(truth)
    assert right.std() > 0.8 * truth.std()


def test_counting_rows_of_nearly_the_same_score_changes_no_calibration(monkeypatch) -> None:
    truth, labels = _scores(60_000, 0.01, 9)
    each = calibrate(truth + 0.3, labels, taught=2_000)
    monkeypatch.setattr("zhitou.response.calibrate._FEW", 10_000)
    counted = calibrate(truth + 0.3, labels, taught=2_000)
    assert counted(truth) == pytest.approx(each(truth), abs=1e-3)


def test_isotonic_steps_keep_the_level_to_the_last_positive() -> None:
    truth, labels = _scores(300_000, 0.02, 5)
    found = calibrate(truth, labels, taught=20_000)
    assert found.kind == "isotonic"
    assert expit(found(truth)).sum() == pytest.approx(labels.sum(), rel=1e-6)


def test_late_labels_are_calibrated_to_what_will_be() -> None:
    truth, labels = _scores(40_000, 0.05, 6)
    rng = np.random.default_rng(6)
    matured = rng.uniform(0.1, 1, len(truth))
    known = labels & (rng.random(len(truth)) < matured)
    found = expit(calibrate(truth, known, 1_000, matured)(truth)).mean()
    assert found == pytest.approx(expit(truth).mean(), rel=0.08)
    assert expit(calibrate(truth, known, 1_000)(truth)).mean() < 0.7 * expit(truth).mean()
    whole = np.ones(len(truth))
    late, plain = calibrate(truth, labels, 1_000, whole), calibrate(truth, labels, 1_000)
    if plain.kind == late.kind:
        assert late(truth) == pytest.approx(plain(truth), abs=1e-6)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_every_calibrator_that_can_mend_a_level_does_on_many_rows(name: str) -> None:
    truth, labels = _scores(100_000, 0.05, 7)
    wrong = truth + math.log(1.5)
    mended = expit(CALIBRATORS[name](wrong, labels)(wrong)).mean() / labels.mean()
    assert mended == pytest.approx(1.43 if name == "none" else 1.0, abs=0.06)


def _shops(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(logits, labels, channel, slot, truth): mail is clicked half as often as told, its slot 1 as told there."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-4, 0.8, rows)
    channel = np.array(["web", "mail", "app", "push"])[rng.choice(4, rows, p=[0.6, 0.3, 0.09, 0.01])]
    slot = rng.integers(0, 3, rows)
    truth = expit(z + np.where((channel == "mail") & (slot != 1), math.log(0.5), 0.0))
    return z, rng.random(rows) < truth, channel, slot, truth


def test_a_group_with_rows_gets_its_own_level_and_one_without_gets_its_parents() -> None:
    z, labels, channel, slot, truth = _shops(150_000)
    found = calibrate_groups(z, labels, (channel, slot), taught=10_000)
    p = expit(found(z, (channel, slot)))
    for name, s in (("mail", 0), ("mail", 1), ("web", 2)):
        rows = (channel == name) & (slot == s)
        assert p[rows].mean() == pytest.approx(truth[rows].mean(), rel=0.15)  # 150 positives and more: 8 % of luck
    ask = np.array([-4.0, -4.0])
    new_slot = found(ask, (np.array(["mail", "mail"]), np.array([9, 9])))
    of_mail = GroupCalibration(found.names[:1], found.base, found.levels[:1])
    assert new_slot.tolist() == of_mail(ask, (np.array(["mail", "mail"]),)).tolist()
    new_channel = found(ask, (np.array(["tv", "tv"]), np.array([0, 1])))
    assert new_channel.tolist() == found.base(ask).tolist()


def test_a_group_of_few_rows_stays_near_its_parent() -> None:
    z, labels, channel, _, _ = _shops(50_000, seed=1)
    labels[channel == "push"] = True  # 500 rows could say it; five may not
    keep = (channel != "push") | (np.cumsum(channel == "push") <= 2)
    found = calibrate_groups(z[keep], labels[keep], (channel[keep],), taught=1_000, names=("channel",))
    at = found.levels[0].keys.index(("push",))
    assert found.levels[0].rows[at] == 2
    ask = np.array([-4.0])
    moved = found(ask, (np.array(["push"]),)) - found.base(ask)
    assert 0 < moved[0] < 1.5  # always clicked would be +10


def test_groups_that_do_not_differ_are_left_at_their_parent() -> None:
    rng = np.random.default_rng(8)
    z = rng.normal(-4, 0.8, 100_000)
    groups = rng.integers(0, 20, 100_000)
    found = calibrate_groups(z, rng.random(100_000) < expit(z), (groups,), 5_000, ("slot",))
    p, base = expit(found(z, (groups,))), expit(found.base(z))
    ratios = [p[groups == g].mean() / base[groups == g].mean() for g in range(20)]
    assert np.std(ratios) < 0.03  # 100 positives each: their own rates scatter by a tenth


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 50))
def test_groups_share_out_their_parents_positives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, coarse, fine = rng.normal(-2, 1, 600), rng.integers(0, 3, 600), rng.integers(0, 4, 600)
    found = calibrate_groups(z, rng.random(600) < expit(z + 0.3 * coarse), (coarse, fine), 100)
    whole = GroupCalibration(("channel",), found.base, found.levels[:1])
    p, parent = expit(found(z, (coarse, fine))), expit(whole(z, (coarse,)))
    for g in range(3):
        assert p[coarse == g].sum() == pytest.approx(parent[coarse == g].sum(), rel=1e-6)
    assert parent.sum() == pytest.approx(expit(found.base(z)).sum(), rel=1e-6)


def test_an_only_child_is_its_parent() -> None:
    z, labels, channel, _, _ = _shops(20_000, seed=2)
    found = calibrate_groups(z, labels, (np.zeros(20_000, dtype=int), channel), 1_000)
    assert found.levels[0].lines.tolist() == [[0.0, 1.0]]


def test_group_calibration_is_kept_to_the_last_bit_and_nothing_else_is_read_as_one(tmp_path: Path) -> None:
    z, labels, channel, slot, _ = _shops(20_000, seed=3)
    for base in (None, Calibration("isotonic", knots=np.array([[-6.0, -1.0], [-5.5, -1.2]]))):
        found = calibrate_groups(z, labels, (channel, slot), 1_000, base=base)
        found.save(tmp_path / "groups.json")
        again = GroupCalibration.load(tmp_path / "groups.json")
        assert again(z, (channel, slot)).tolist() == found(z, (channel, slot)).tolist()
    (tmp_path / "other.json").write_text('{"kind": "cake"}')
    with pytest.raises(ModelError, match="cake"):
        GroupCalibration.load(tmp_path / "other.json")
    with pytest.raises(ModelError, match="save it again"):
        GroupCalibration.load(tmp_path / "missing.json")


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SchemaError, match="expected a column"):
        calibrate_groups(np.zeros(3), np.zeros(3, dtype=bool), (np.zeros(2),), 1, ("channel",))
    with pytest.raises(SchemaError, match="expected a column"):
        calibrate_groups(np.zeros(3), np.zeros(3, dtype=bool), (np.zeros(3),), 1)


def test_no_rows_give_a_calibration_that_changes_nothing() -> None:
    none = np.zeros(0)
    found = calibrate_groups(none, none.astype(bool), (none, none), 0)
    assert found(np.array([-3.0]), (np.array(["web"]), np.array([1]))).tolist() == [-3.0]


@pytest.mark.parametrize("score", [-800.0, -60.0, 60.0, 800.0])
@pytest.mark.parametrize("matured", [None, np.array([0.5])])
def test_one_row_with_a_score_that_is_too_sure_is_calibrated_to_a_number(score, matured) -> None:
    for label in (False, True):
        calibration = calibrate(np.array([score]), np.array([label]), 3, matured)
        assert np.isfinite(calibration(np.array([score]))).all()
