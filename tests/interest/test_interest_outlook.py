"""Probabilities of what a shopper does next: that they mean what they say, and never come from the future."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.events.histories import PURCHASE, Histories
from zhitou.events.schema import KIND_CODE
from zhitou.interest.config import tiny
from zhitou.interest.heads import fit_line, fit_platt, fit_shifts, fit_temperature
from zhitou.interest.outlook import Outlook, OutlookConfig
from zhitou.interest.outlook_fit import bought_within_7_days, categories_within_7_days, fit_outlook
from zhitou.interest.portraits import (
    CATEGORY_HABITS,
    HABITS,
    NEVER_DAYS,
    category_habits,
    category_shares,
    habits,
)
from zhitou.interest.predict import Interest
from zhitou.interest.train import fit_interest

DAY, WEEK = 86_400, 7 * 86_400
WEEKS, SHOPPERS = 14, 60
CUT_S = 12 * WEEK  # the last two weeks are the future
VIEW, CART = KIND_CODE["view"], KIND_CODE["add_to_cart"]
CONFIG = OutlookConfig(learn_weeks=5, calibrate_weeks=3)


def _catalogue() -> ItemTable:
    rows = [
        {
            "item": f"i{n:02d}",
            "title": f"item {n}",
            "category": f"shop > {('tea', 'shoes')[n // 10]}" if n < 20 else "shop > never",
            "brand": "b",
            "price_micros": 1_000_000,
            "currency": "EUR",
        }
        for n in range(21)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(rows: list[list[tuple[int, int, int]]]) -> Histories:
    """Row r's (second, action, item), each a step of its own."""
    flat = [event for row in rows for event in row]
    sizes = [len(row) for row in rows]
    time_s, action, item = (np.asarray([event[n] for event in flat], dtype=np.int64) for n in range(3))
    return Histories(
        subjects=np.asarray([f"s{r:03d}" for r in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item=item.astype(np.int32),
        action=action.astype(np.int8),
        time_s=time_s,
        step=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes] or [np.zeros(0, np.int32)]),
        price_micros=np.full(len(flat), -1, dtype=np.int64),
        quantity=np.ones(len(flat), dtype=np.int64),
    )


def _behaviour() -> Histories:
    """Even shoppers look, put in the cart and buy tea in nearly every week, odd ones shoes in one week of eight."""
    rng = np.random.default_rng(5)
    rows = []
    for shopper in range(SHOPPERS):
        often, row = shopper % 2 == 0, []
        for week in range(WEEKS):
            if rng.random() < (0.9 if often else 0.12) or week == 0:
                second = week * WEEK + int(rng.integers(0, 6 * DAY))
                item = int(rng.integers(0, 10)) + 10 * (not often)
                row += [(second + 60 * n, kind, item) for n, kind in enumerate((VIEW, CART, PURCHASE))]
        rows.append(row)
    return _histories(rows)


@pytest.fixture(scope="module")
def histories() -> Histories:
    return _behaviour()


@pytest.fixture(scope="module")
def interest(histories) -> Interest:
    config = replace(tiny(), refit=False, valid_share=0.0)
    return fit_interest(histories.before(CUT_S), _catalogue(), config, Chance(1))


@pytest.fixture(scope="module")
def outlook(interest, histories) -> Outlook:
    return fit_outlook(interest, histories, Chance(1), cut_s=CUT_S, config=CONFIG)


# What it says


def test_those_who_buy_in_nearly_every_week_are_told_from_those_who_seldom_do(outlook, histories) -> None:
    said = outlook.buys_within_7_days(histories, CUT_S)
    assert said.dtype == np.float64
    assert said.shape == (SHOPPERS,)
    assert said[::2].mean() == pytest.approx(0.9, abs=0.1)
    assert said[1::2].mean() == pytest.approx(0.12, abs=0.1)


def test_a_shopper_buys_in_the_category_that_it_always_buys_in(outlook, histories) -> None:
    names = outlook.interest.items.category_names[1]
    said = outlook.category(histories, CUT_S)
    assert said.shape == (SHOPPERS, len(names))
    tea, shoes, never = (said[:, names.index(f"shop > {kind}")] for kind in ("tea", "shoes", "never"))
    assert tea[::2].min() > 0.6
    assert shoes[::2].max() < 0.2
    assert never.max() < 0.1
    assert (said > 0).all()
    assert (said <= outlook.buys_within_7_days(histories, CUT_S)[:, None]).all()


def test_after_a_look_comes_the_cart_and_after_the_cart_the_purchase(outlook) -> None:
    looked, carted = [(0, VIEW, 1)], [(0, VIEW, 1), (60, CART, 1)]
    said = outlook.next_action(_histories([looked, carted]), 90)
    assert outlook.kinds == ("view", "add_to_cart", "purchase")
    np.testing.assert_allclose(said.sum(axis=1), 1.0)
    assert [outlook.kinds[n] for n in said.argmax(axis=1)] == ["add_to_cart", "purchase"]


def test_of_a_shopper_without_history_the_rate_of_the_others_is_said(outlook) -> None:
    nobody = _histories([[]])
    assert outlook.buys_within_7_days(nobody, CUT_S).tolist() == [outlook.learnt["buys_share"]]
    assert (outlook.category(nobody, CUT_S)[0] <= outlook.learnt["buys_share"]).all()
    assert outlook.next_action(nobody, CUT_S)[0].sum() == pytest.approx(1.0)
    assert outlook.buys_within_7_days(_histories([]), CUT_S).shape == (0,)


# The future


def test_nothing_at_or_after_the_cut_is_read_in_learning(interest, histories, outlook, tmp_path) -> None:
    late = histories.time_s >= CUT_S
    other = replace(
        histories,
        item=np.where(late, 15, histories.item).astype(np.int32),
        action=np.where(late, VIEW, histories.action).astype(np.int8),
    )
    for name, seen in (("altered", other), ("gone", histories.before(CUT_S))):
        fit_outlook(interest, seen, Chance(1), cut_s=CUT_S, config=CONFIG).save(tmp_path / name)
    outlook.save(tmp_path / "whole")
    whole, altered, gone = (_bytes(tmp_path / name) for name in ("whole", "altered", "gone"))
    assert whole == altered == gone


def test_every_seven_days_that_teach_are_over_before_the_cut_less_the_delay(interest, histories) -> None:
    found = fit_outlook(interest, histories, Chance(1), cut_s=CUT_S, config=replace(CONFIG, delay_days=3)).learnt
    assert found["moments_calibrated_s"][-1] + WEEK == CUT_S - 3 * DAY
    assert found["moments_learnt_s"][-1] + WEEK <= found["moments_calibrated_s"][0]
    assert len(found["moments_learnt_s"]) == 5
    late = replace(histories, item=np.where(histories.time_s >= CUT_S - 3 * DAY, 0, histories.item).astype(np.int32))
    again = fit_outlook(interest, late, Chance(1), cut_s=CUT_S, config=replace(CONFIG, delay_days=3))
    assert again.learnt == found


def test_nothing_at_or_after_the_question_is_read_in_an_answer(outlook, histories) -> None:
    at_s = 10 * WEEK
    for question in (outlook.buys_within_7_days, outlook.category, outlook.next_action):
        assert np.array_equal(question(histories, at_s), question(histories.before(at_s), at_s))


def test_labels_count_purchases_from_the_moment_on_for_seven_days() -> None:
    rows = [[(99, PURCHASE, 0)], [(100, PURCHASE, 10)], [(100 + WEEK, PURCHASE, 0)], [(100, VIEW, 0)], []]
    histories = _histories(rows)
    assert bought_within_7_days(histories, 100).tolist() == [False, True, False, False, False]
    code = np.repeat([0, 1], 10)
    assert categories_within_7_days(histories, code, 2, 100).tolist()[1] == [False, True]


# Kept and refused


def test_it_comes_back_from_disk_and_belongs_to_one_interest_model(outlook, interest, histories, tmp_path) -> None:
    version = outlook.save(tmp_path / "one", {"auc": 0.8})
    again = Outlook.load(tmp_path / "one", interest)
    for name in ("buys_within_7_days", "category", "next_action"):
        one, two = (getattr(o, name)(histories, CUT_S) for o in (outlook, again))
        assert np.array_equal(one, two)
    assert again.config == outlook.config
    assert again.save(tmp_path / "two", {"auc": 0.8}) == version
    other = fit_interest(histories.before(CUT_S), _catalogue(), replace(interest.config, width=8), Chance(2))
    with pytest.raises(ModelError, match="another interest model"):
        Outlook.load(tmp_path / "one", other)
    interest.save(tmp_path / "interest")
    with pytest.raises(ModelError, match="'interest' model, expected 'outlook'"):
        Outlook.load(tmp_path / "interest", interest)


def test_without_the_interest_model_counts_alone_answer(interest, histories) -> None:
    plain = fit_outlook(interest, histories, Chance(1), cut_s=CUT_S, config=replace(CONFIG, with_interest=False))
    said = plain.buys_within_7_days(histories, CUT_S)
    assert np.median(said[::2]) > 0.8
    assert np.median(said[1::2]) < 0.2
    assert plain.category(histories, CUT_S).shape == (SHOPPERS, 4)


def test_vectors_that_say_nothing_are_not_computed_again(interest, histories, tmp_path) -> None:
    left_out = replace(CONFIG, penalties_vectors=(float("inf"),))
    found = fit_outlook(interest, histories, Chance(1), cut_s=CUT_S, config=left_out)
    assert len(found.heads.buys.mean) == 2 * len(HABITS)
    found.save(tmp_path)
    again = Outlook.load(tmp_path, interest)
    assert again.config == left_out
    plain = fit_outlook(interest, histories, Chance(1), cut_s=CUT_S, config=replace(CONFIG, with_interest=False))
    said, counted = (o.buys_within_7_days(histories, CUT_S) for o in (again, plain))
    np.testing.assert_allclose(said, counted, rtol=1e-6)


def test_too_little_time_and_nothing_to_tell_apart_are_refused(interest, histories) -> None:
    with pytest.raises(ConfigError, match="more than 21 days of behaviour before the cut"):
        fit_outlook(interest, histories, Chance(1), cut_s=2 * WEEK)
    with pytest.raises(ConfigError, match="more than 21 days"):
        fit_outlook(interest, _histories([[]]), Chance(1))
    looks = replace(histories, action=np.full(len(histories.item), VIEW, dtype=np.int8))
    with pytest.raises(ConfigError, match="at least 30 weeks with a purchase and as many without"):
        fit_outlook(interest, looks, Chance(1), cut_s=CUT_S)
    with pytest.raises(ConfigError, match="at least one week to learn from"):
        OutlookConfig(learn_weeks=0)


# The numbers under it


def test_habits_can_be_counted_by_hand() -> None:
    at_s = 20 * DAY
    row = [(10 * DAY, VIEW, 0), (12 * DAY, PURCHASE, 0), (18 * DAY, PURCHASE, 10), (20 * DAY, PURCHASE, 0)]
    found = dict(zip(HABITS, habits(_histories([row, []]), at_s)[0], strict=True))
    assert found["log_days_since_last"] == pytest.approx(np.log1p(2))
    assert found["log_gap_days_median"] == pytest.approx(np.log1p(2))  # gaps of 2 and 6: the lower
    assert found["log_steps"] == pytest.approx(np.log1p(3))
    assert found["log_bought_7_days"] == pytest.approx(np.log1p(1))
    assert [found[f"bought_{n}_weeks_ago"] for n in (1, 2, 3)] == [1.0, 1.0, 0.0]
    # two of the two weeks since the first event had a purchase
    assert found["logit_weeks_bought_of_4"] == pytest.approx(np.log((2 + 0.5) / (0 + 0.5)))
    assert np.isfinite(habits(_histories([row, []]), at_s)).all()
    assert not habits(_histories([row, []]), at_s)[1].any()


def test_category_habits_can_be_counted_by_hand() -> None:
    row = [(0, PURCHASE, 0), (10 * DAY, PURCHASE, 1), (10 * DAY + 1, VIEW, 10)]
    items = _catalogue()
    found = category_habits(_histories([row]), items, 20 * DAY)[0]
    names = items.category_names[1]
    tea = dict(zip(CATEGORY_HABITS, found[names.index("shop > tea")], strict=True))
    assert tea["log_steps_decayed_10_days"] == pytest.approx(np.log(0.01 + 0.5 + 0.25), rel=1e-5)
    assert tea["log_days_since"] == pytest.approx(np.log1p(10), rel=1e-6)
    assert tea["log_weeks_of_13"] == pytest.approx(np.log(0.2 + 2), rel=1e-6)
    shoes = dict(zip(CATEGORY_HABITS, found[names.index("shop > shoes")], strict=True))
    assert shoes["log_days_since"] == np.float32(np.log1p(NEVER_DAYS))  # looked at, never bought


def test_category_shares_are_where_the_softmax_falls(interest, histories) -> None:
    some = histories.select(np.arange(3))
    found = category_shares(interest, some, CUT_S)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)
    scores = interest.scores(some.before(CUT_S), at_s=CUT_S).astype(np.float64)
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    tea = interest.items.category_names[1].index("shop > tea")
    np.testing.assert_allclose(found[:, tea], share[:, :10].sum(axis=1), rtol=1e-4)


@given(st.floats(-2, 2), st.floats(0.5, 2), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_calibration_finds_the_line_that_labels_were_drawn_with(shift: float, slope: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, 20_000)
    labels = rng.random(20_000) < expit(shift + slope * logits)
    np.testing.assert_allclose(fit_platt(logits, labels), (shift, slope), atol=0.2)


def test_calibration_of_few_rows_stays_near_what_was_said() -> None:
    assert fit_platt(np.zeros(0), np.zeros(0, dtype=bool)) == (0.0, 1.0)
    shift, slope = fit_platt(np.zeros(2), np.ones(2, dtype=bool))
    assert 0 < shift < 0.5
    assert slope == pytest.approx(1.0)
    assert abs(fit_shifts(np.zeros((2, 1)), np.ones((2, 1), dtype=bool), sd=0.1)[0]) < 0.02


def test_shifts_bring_each_column_to_its_rate() -> None:
    labels = np.zeros((10_000, 2), dtype=bool)
    labels[:1_000, 0] = labels[:5_000, 1] = True
    found = fit_shifts(np.full((10_000, 2), logit(0.5)), labels, sd=10.0)
    np.testing.assert_allclose(found, [logit(0.1), 0.0], atol=1e-3)


def test_a_temperature_cools_what_was_too_sure() -> None:
    rng = np.random.default_rng(1)
    said = rng.normal(0, 3, (5_000, 3))
    truth = said / 2 + np.asarray([0.5, 0.0, -0.5])
    labels = np.asarray([rng.choice(3, p=np.exp(t) / np.exp(t).sum()) for t in truth])
    slope, shifts = fit_temperature(said, labels)
    assert slope == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(shifts - shifts.mean(), [0.5, 0.0, -0.5], atol=0.1)


def test_an_infinite_penalty_takes_a_column_out() -> None:
    x = np.random.default_rng(1).normal(size=(500, 2))
    line = fit_line(x, x[:, 0] + x[:, 1] > 0, np.asarray([1.0, np.inf]))
    one, two = line(np.asarray([[0.0, 5.0], [0.0, -5.0]]))[:, 0]
    assert one == two
    assert line(np.asarray([[3.0, 0.0]]))[0, 0] > 1


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
