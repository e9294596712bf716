"""Arms by hash, budgets split to the micro, ghosts logged, and readings that are refused when they would be wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.evaluation.designs import BudgetStrain
from zhitou.evaluation.experiment import Claim
from zhitou.feedback.experiments import (
    OUTSIDE,
    Experiment,
    Exposures,
    Holdout,
    Units,
    check_same,
    ghosts,
    read_holdout,
    split_budgets,
)

TEST = Experiment("new bids", salt="s1")
NAMES = [f"s_{n}" for n in range(4_000)]
ANY = Claim("any lift", 0.0)


def test_a_shopper_is_in_the_same_arm_tomorrow_and_on_every_server() -> None:
    arms = TEST.arm_of(NAMES)
    assert (arms == Experiment("new bids", salt="s1").arm_of(NAMES)).all()
    assert (TEST.arm_of(NAMES[::-1])[::-1] == arms).all()
    assert arms[:10].tolist() == TEST.arm_of(NAMES[:10]).tolist()


def test_arms_have_their_shares_and_two_experiments_have_nothing_to_do_with_each_other() -> None:
    three = Experiment("mail", "s2", ("none", "men", "women"), (0.2, 0.3, 0.5))
    counts = np.bincount(three.arm_of(NAMES)) / len(NAMES)
    assert counts == pytest.approx([0.2, 0.3, 0.5], abs=0.03)
    both = np.corrcoef(TEST.arm_of(NAMES), Experiment("new bids", salt="s9").arm_of(NAMES))[0, 1]
    assert abs(both) < 0.06


def test_a_stranger_is_in_no_arm() -> None:
    assert TEST.arm_of(["", "s_1"])[0] == OUTSIDE
    assert not Holdout("s").held([""] * 100, ["c1"]).any()


@pytest.mark.parametrize(
    ("arms", "shares"),
    [(("a",), (1.0,)), (("a", "a"), (0.5, 0.5)), (("a", "b"), (0.5, 0.6)), (("a", "b"), (1.0, 0.0))],
)
def test_arms_without_shares_of_their_own_are_refused(arms: tuple[str, ...], shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        Experiment("x", "s", arms, shares)


@given(
    st.lists(st.integers(0, 2**60), min_size=1, max_size=5),
    st.lists(st.floats(0.01, 1.0), min_size=2, max_size=5),
)
def test_a_split_budget_is_the_whole_budget_to_the_micro(budgets: list[int], weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    parts = split_budgets(np.array(budgets), shares.tolist())
    assert [sum(map(int, row)) for row in parts] == budgets
    assert (parts >= 0).all()
    assert (np.abs(parts - np.array(budgets)[:, None] * shares) <= 2 + np.array(budgets)[:, None] * 6e-6).all()


def test_a_micro_that_cannot_be_halved_goes_to_the_first_arm() -> None:
    assert split_budgets(np.array([7]), (0.5, 0.5)).tolist() == [[4, 3]]
    assert TEST.budgets(np.array([10])).tolist() == [[5, 5]]
    assert Experiment("x", "s", design="user_split").budgets(np.array([10])).tolist() == [[10, 10]]


def test_the_ad_of_a_held_out_campaign_that_won_becomes_a_ghost() -> None:
    drawn = np.array([[0, 2], [1, -1]])  # ads 0 and 1 are of campaign 0, ad 2 of campaign 1
    held = np.array([[True, False], [False, True]])
    assert ghosts(drawn, np.array([0, 0, 1]), held).tolist() == [[True, False], [False, False]]


def test_a_holdout_holds_out_its_share_anew_for_each_campaign() -> None:
    held = Holdout("s", 0.1).held(NAMES, ["c1", "c2"])
    assert held.mean(0) == pytest.approx([0.1, 0.1], abs=0.02)
    assert abs(np.corrcoef(held.T)[0, 1]) < 0.06
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Holdout("s", 0.0)


def test_a_conversion_counts_from_the_first_exposure_or_ghost_within_its_window() -> None:
    exposures = Exposures(
        subject=np.array(["a", "a", "b", "c", "d"], dtype=object),
        time_us=np.array([100, 10, 10, 10, 10]),
        ghost=np.array([False, False, False, True, True]),
    )
    who = ["a", "b", "c", "nobody", "d"]
    found, reading = read_holdout(exposures, who, np.array([20, 5, 15, 15, 99]), window_us=50, share=0.5)
    assert found.difference.value == pytest.approx(1 / 2 - 1 / 2)  # a and c; b came before, d too late
    assert reading.ratio.counts == (2, 2)
    assert reading.verdict == "inconclusive"


def test_a_shopper_who_was_both_shown_and_held_out_spoils_the_holdout() -> None:
    leaked = Exposures(np.array(["a", "a"], dtype=object), np.array([1, 2]), np.array([True, False]))
    with pytest.raises(SchemaError, match="1 of 1 both"):
        read_holdout(leaked, [], np.array([], dtype=np.int64), 50, 0.5)


def test_a_holdout_without_any_exposure_says_nothing() -> None:
    nothing = Exposures(np.array([], dtype=object), np.array([], dtype=np.int64), np.array([], dtype=bool))
    found, reading = read_holdout(nothing, ["a"], np.array([1]), 50, 0.5)
    assert math.isnan(found.lift.value)
    assert reading.verdict == "inconclusive"


def units(lift: float, experiment: Experiment = TEST, subjects: int = 4_000) -> Units:
    rng = np.random.default_rng(0)
    arm = experiment.arm_of(NAMES[:subjects])
    shown = rng.integers(1, 20, subjects)
    clicks = rng.binomial(shown, 0.1 * np.where(arm == 1, 1 + lift, 1.0))
    return Units(arm, clicks.astype(float), shown.astype(float))


def test_a_lift_of_clicks_per_impression_is_read_with_shoppers_as_units() -> None:
    found = units(0.5).read(TEST, ANY, tuned_n=4_000)
    assert found.verdict == "established"
    assert found.lift.low < 0.5 < found.lift.high
    assert units(0.0).read(TEST, ANY, tuned_n=4_000).verdict == "inconclusive"


def test_rows_are_summed_by_shopper_and_strangers_left_out() -> None:
    found = Units.of_rows(TEST, np.array(["a", "b", "a", ""]), np.array([1, 0, 1, 1]), np.ones(4))
    known = found.arm != OUTSIDE
    assert (found.top[known].sum(), found.bottom[known].sum()) == (2, 3)


def test_a_user_split_is_not_read_where_budgets_ran_out_or_nobody_knows() -> None:
    plan = Experiment("new bids", "s1", design="user_split")
    bound = units(0.5).read(plan, ANY, 4_000, strain=BudgetStrain(0.9, 12, sound=False))
    assert bound.verdict == "inconclusive"
    assert "90% of the spend came from 12 campaigns" in str(bound.stopped)
    assert "not known" in str(units(0.5).read(plan, ANY, 4_000).stopped)
    assert units(0.5).read(plan, ANY, 4_000, strain=BudgetStrain(0.0, 0, sound=True)).verdict == "established"


def test_arms_of_unplanned_sizes_are_not_read() -> None:
    some = units(0.5)
    kept = (some.arm == 1) | (np.arange(len(some.arm)) % 2 == 0)
    lost = Units(some.arm[kept], some.top[kept], some.bottom[kept])
    assert "find what loses units" in str(lost.read(TEST, ANY, 4_000).stopped)


def test_an_aa_check_of_shoppers_finds_a_lift_as_often_as_chance_allows() -> None:
    rng = np.random.default_rng(1)
    keen = rng.beta(0.2, 1.8, 300)
    shown = np.full(300, 20)
    clicks = rng.binomial(shown, keen)
    sound = check_same(NAMES[:300], clicks, shown, splits=200)
    assert sound.sound
    assert sound.wrong.low < 0.05 < sound.wrong.high
    with pytest.raises(SchemaError, match="each subject once"):
        check_same(["a", "a"], np.ones(2), np.ones(2), splits=20)
