"""Conversions that are still to come: delays, the joint fit, refunds, and a model taught by young clicks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, SchemaError
from zhitou.response.delay import Clicks, Delay, conversions_within, fit_delay, lateness_of
from zhitou.response.late import late_joint_loss, late_line
from zhitou.response.linear import Linear, fit_linear
from zhitou.response.model import joint_loss
from zhitou.response.practice import practice
from zhitou.response.refresh import refresh_response
from zhitou.response.rows import NEVER, Rows
from zhitou.response.train import fit_response
from zhitou.response.waits import FAMILIES, piece_knots, wait_of

DAY = 86_400.0


def _clicks(n: int, rate: float, delay_days: np.ndarray, rng: np.random.Generator, days: float = 7) -> Clicks:
    click = rng.uniform(0, days * DAY, n)
    sale = np.where(rng.random(n) < rate, click + delay_days * DAY, np.nan)
    return Clicks.known_at(days * DAY, click, sale)


def test_what_happens_after_now_is_not_known() -> None:
    clicks = Clicks.known_at(10, np.array([1, 2, 11]), np.array([9, 12, 12]), np.array([10, 13, -1]))
    assert clicks.age_s.tolist() == [9, 8]  # the third is not clicked yet
    assert clicks.converted.tolist() == [True, False]
    assert clicks.delay_s[0] == 8
    assert clicks.refund_s[0] == 1


def test_times_that_cannot_be_are_refused() -> None:
    with pytest.raises(SchemaError, match="1 clicks have times before them or after now"):
        Clicks(np.array([5.0]), np.array([6.0]), np.array([np.nan]))
    with pytest.raises(SchemaError, match="1 refunds without a conversion"):
        Clicks(np.array([5.0]), np.array([np.nan]), np.array([1.0]))
    with pytest.raises(SchemaError, match="one age, delay and refund per click"):
        Clicks(np.zeros(2), np.zeros(1), np.zeros(2))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_density_is_the_slope_of_its_distribution_and_its_numbers_have_the_slopes_they_claim(family: str) -> None:
    wait = wait_of(family, 2.5, np.array([0.0, 0.5, 2.0]))
    numbers = wait.start + 0.1
    t = np.array([0.05, 0.3, 1.7, 6.0])
    h = 1e-6
    slope = (wait.cdf(t + h, numbers) - wait.cdf(t - h, numbers)) / (2 * h)
    assert np.exp(wait.log_density(t, numbers)) == pytest.approx(slope, rel=1e-4)
    for of in (wait.cdf, wait.log_density):
        for j, slopes in enumerate(wait.slopes(t, of, numbers)):
            step = np.eye(len(numbers))[j] * 1e-5
            assert slopes == pytest.approx((of(t, numbers + step) - of(t, numbers - step)) / 2e-5, abs=1e-6)
    assert wait.cdf(np.array([0.0, 1e4]), numbers) == pytest.approx([0, 1], abs=1e-3)


def test_pieces_are_finer_among_the_quick_and_each_holds_enough_conversions() -> None:
    waited = np.arange(1, 1_001) / 100
    knots = piece_knots(waited)
    assert len(knots) == 1 + 13 + 2
    assert piece_knots(waited[:30]).tolist() == [0.0]


def test_late_conversions_are_counted_before_they_come() -> None:
    rng = np.random.default_rng(0)
    clicks = _clicks(200_000, 0.02, rng.exponential(2.5, 200_000), rng)
    naive = clicks.converted.mean()
    # Of a click of age e, 1 - exp(-e / 2.5) of the conversions are in; on average over seven days 0.664.
    assert naive == pytest.approx(0.02 * (1 - 2.5 / 7 * (1 - math.exp(-7 / 2.5))), rel=0.03)
    delay = fit_delay(clicks)
    assert delay.conversion.family == "exponential"
    assert delay.cvr.value == pytest.approx(0.02, rel=0.04)
    assert delay.cvr.low < 0.02 < delay.cvr.high
    assert delay.matured(np.array([0.0, 2.5 * DAY, 1e9])) == pytest.approx([0, 1 - math.exp(-1), 1], abs=0.02)
    assert clicks.converted.sum() + delay.to_come(clicks) == pytest.approx(200_000 * 0.02, rel=0.04)
    assert delay.conversion.beyond == pytest.approx(math.exp(-7 / 2.5), abs=0.02)


@pytest.mark.parametrize(
    ("family", "draw"),
    [
        ("weibull", lambda rng, n: 2.5 / math.gamma(1 + 1 / 0.7) * rng.weibull(0.7, n)),
        ("lognormal", lambda rng, n: rng.lognormal(math.log(2.5) - 0.5, 1.0, n)),
        ("two_speeds", lambda rng, n: np.where(rng.random(n) < 0.4, rng.exponential(0.05, n), rng.exponential(4, n))),
    ],
)
def test_the_family_that_made_the_delays_is_found_and_the_rate_with_it(family: str, draw) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    delay = fit_delay(_clicks(200_000, 0.02, draw(rng, 200_000), rng))
    assert delay.conversion.family == family
    assert delay.cvr.value == pytest.approx(0.02, rel=0.08)


def test_within_a_window_no_tail_is_guessed_and_no_shape_is_needed() -> None:
    rng = np.random.default_rng(2)
    clicks = _clicks(200_000, 0.02, np.where(rng.random(200_000) < 0.5, 0.1, 9.0), rng)  # half at once, half too late
    assert conversions_within(clicks, 3 * DAY).value == pytest.approx(0.01, rel=0.05)
    windowed = fit_delay(clicks, window_s=3 * DAY)
    assert windowed.cvr.value == pytest.approx(0.01, rel=0.05)
    assert windowed.matured(np.array([3 * DAY, 5 * DAY])).tolist() == [1, 1]


def test_the_product_limit_counts_each_click_for_as_long_as_it_was_watched() -> None:
    # Ages 4, 4, 2, 2; one conversion after 1 s, one of the old clicks after 3 s: 1 - (3 / 4) · (1 / 2).
    # At 3 s one old click without a conversion and the one that converts are watched; the young two are gone.
    clicks = Clicks(np.array([4.0, 4, 2, 2]), np.array([3.0, np.nan, 1, np.nan]), np.full(4, np.nan))
    assert conversions_within(clicks, 4).value == pytest.approx(1 - 3 / 4 * 1 / 2)
    assert conversions_within(clicks, 0.5).value == 0
    with pytest.raises(ConfigError, match="no click is 5 s old"):
        conversions_within(clicks, 5)


def test_refunds_to_come_are_taken_off_too() -> None:
    rng = np.random.default_rng(3)
    n = 200_000
    click = rng.uniform(0, 7 * DAY, n)
    sale = np.where(rng.random(n) < 0.05, click + rng.exponential(1.0, n) * DAY, np.nan)
    back = np.where(rng.random(n) < 0.2, sale + rng.exponential(2.0, n) * DAY, np.nan)
    delay = fit_delay(Clicks.known_at(7 * DAY, click, sale, back))
    assert delay.refund is not None
    assert delay.refund.rate.value == pytest.approx(0.2, abs=0.03)
    assert delay.net_cvr.value == pytest.approx(delay.cvr.value * (1 - delay.refund.rate.value))
    assert delay.net_cvr.value == pytest.approx(0.05 * 0.8, rel=0.05)
    assert delay.net_cvr.low < delay.net_cvr.value < delay.net_cvr.high
    without = Delay(delay.conversion, None)
    assert without.net_cvr == without.cvr


def test_columns_move_the_probability_and_their_errors_hold_the_truth() -> None:
    rng = np.random.default_rng(4)
    n = 100_000
    x = rng.normal(size=(n, 3))
    beta = np.array([0.5, -0.3, 0.0])
    click = rng.uniform(0, 7 * DAY, n)
    sale = np.where(rng.random(n) < expit(-3 + x @ beta), click + rng.exponential(2.5, n) * DAY, np.nan)
    clicks = Clicks.known_at(7 * DAY, click, sale)
    found = fit_delay(clicks, design=x).conversion
    assert (np.abs(found.coefficients - [-3, *beta]) / found.errors[:4]).max() < 3.5
    assert found.probability(design=np.zeros((1, 3))) == pytest.approx([expit(found.coefficients[0])])
    offset = fit_delay(clicks, offset=x @ beta).conversion
    assert offset.coefficients == pytest.approx([-3], abs=3.5 * offset.errors[0])


def test_too_few_conversions_say_nothing_of_a_delay() -> None:
    clicks = Clicks(np.full(20, 9.0), np.where(np.arange(20) < 9, 1.0, np.nan), np.full(20, np.nan))
    with pytest.raises(ConfigError, match="expected 10 conversions or more, got 9"):
        fit_delay(clicks)
    with pytest.raises(ConfigError, match="expected a family of delays"):
        fit_delay(clicks, family="normal")


def test_the_same_clicks_give_the_same_numbers() -> None:
    rng = np.random.default_rng(5)
    clicks = _clicks(5_000, 0.1, rng.exponential(2.5, 5_000), rng)
    assert fit_delay(clicks).conversion.coefficients.tolist() == fit_delay(clicks).conversion.coefficients.tolist()


def test_the_late_loss_is_the_likelihood_of_what_can_be_known_by_now() -> None:
    r, F = 0.25, 0.6
    logits = torch.tensor([[-9.0, logit(r)]] * 2, dtype=torch.float64)
    yes = torch.tensor([1.0, 1.0], dtype=torch.float64)
    converted = torch.tensor([1.0, 0.0], dtype=torch.float64)
    late = late_joint_loss(logits, yes, converted, yes, torch.full((2,), F, dtype=torch.float64))
    click = -math.log(expit(-9.0))
    assert float(late) == pytest.approx(click - (math.log(r) + math.log(1 - r * F)) / 2)
    all_known = late_joint_loss(logits, yes, converted, yes, torch.ones(2, dtype=torch.float64))
    assert float(all_known) == pytest.approx(float(joint_loss(logits, yes, converted, yes)))


def test_a_line_of_late_labels_finds_the_rate_that_will_be() -> None:
    rng = np.random.default_rng(6)
    R = 20_000
    matured = rng.uniform(0.2, 1, R)
    labels = rng.random(R) < 0.1 * matured
    x, none = np.zeros((R, 2), dtype=np.float32), np.full(R, -1)

    def fit(soft: np.ndarray) -> Linear:
        return fit_linear(x, soft, np.zeros(R, dtype=np.int8), none, 1, 0.03, (2,))

    assert expit(late_line(fit, x, none, labels, matured).intercept) == pytest.approx(0.1, rel=0.06)
    assert expit(fit(labels.astype(np.float64)).intercept) == pytest.approx(0.06, rel=0.06)


def test_young_clicks_teach_pcvr_without_pulling_it_down() -> None:
    made = practice(15_000, Chance(2), ctr=0.3, cvr=0.15)
    rng = np.random.default_rng(2)
    click_s = made.rows.time_s.astype(np.float64)
    now_s = click_s.max() + 1
    will = made.rows.clicked & (rng.random(15_000) < made.pcvr)
    sale_s = np.where(will, click_s + rng.exponential(3 * DAY, 15_000), np.nan)
    rows = replace(made.rows, converted=will & (sale_s <= now_s), mature=click_s + 6.5 * DAY <= now_s)
    at = made.rows.clicked
    delay = fit_delay(Clicks.known_at(now_s, click_s[at], sale_s[at]))
    matured = np.where(at, delay.matured(now_s - click_s), np.nan)
    pcvr = fit_response(rows, matured=matured).predict(rows.fields[at], rows.ad[at])[1]
    assert pcvr.mean() == pytest.approx(made.pcvr[at].mean(), rel=0.15)  # 300 conversions, and F has its own doubt
    everything = replace(rows, mature=np.ones(15_000, dtype=bool))
    ignoring = fit_response(everything).predict(rows.fields[at], rows.ad[at])[1]
    assert ignoring.mean() < 0.8 * made.pcvr[at].mean()
    with pytest.raises(ConfigError, match="one matured share per row"):
        fit_response(rows, matured=matured[1:])
    with pytest.raises(ConfigError, match=r"matured shares in \[0, 1\]"):
        fit_response(rows, matured=matured + 1)


def young_log(seed: int, clicks: int) -> tuple[Rows, int]:
    """A log of four days in which each row was clicked, one in five buys, after 2 days on average and within 4.

    (rows as known at the end, the end). Clicks are as young as they can be, so the window of most is still open.
    """
    rng = np.random.default_rng(seed)
    now = int(4 * DAY)
    world = practice(clicks, Chance(seed)).rows
    time_s = np.sort(rng.integers(0, now - 60, clicks))
    wait = rng.exponential(2 * DAY, clicks)
    bought_s = (time_s + 10 + wait).astype(np.int64)
    known = (rng.random(clicks) < 0.2) & (wait <= 4 * DAY) & (bought_s <= now)
    return replace(
        world,
        clicked=np.ones(clicks, bool),
        converted=known,
        mature=time_s + 10 + 4 * DAY <= now,
        time_s=time_s,
        click_s=time_s + 10,
        conversion_s=np.where(known, bought_s, NEVER),
        refund_s=np.full(clicks, NEVER),
    ), now


RATE = 0.2 * (1 - math.exp(-2))  # conversions per click within the window of 4 days


def test_the_log_tells_how_late_its_own_conversions_come() -> None:
    rows, now = young_log(1, 6_000)
    late = lateness_of(rows, now, 4 * DAY)
    matured = late.matured(rows)
    assert late.delay is not None
    assert matured is not None
    assert late.delay.cvr.low < RATE < late.delay.cvr.high
    whole = 1 - math.exp(-2)
    expected = (1 - np.exp(-np.minimum(now - rows.click_s, 4 * DAY) / (2 * DAY))) / whole
    np.testing.assert_allclose(matured, expected, atol=0.1)
    assert "of those to come are in" in late.words


def test_too_few_conversions_or_no_times_are_said_and_nothing_is_corrected() -> None:
    rows, now = young_log(1, 60)
    few = lateness_of(rows, now, 4 * DAY)
    assert few.matured(rows) is None
    assert f"{int(rows.converted.sum())} of 20 conversions" in few.words
    bare = replace(rows, click_s=None, conversion_s=None, refund_s=None)
    none = lateness_of(bare, now, 4 * DAY)
    assert none.matured(bare) is None
    assert "does not say when" in none.words


def test_a_row_without_a_click_owes_nothing() -> None:
    rows, now = young_log(1, 6_000)
    late = lateness_of(rows, now, 4 * DAY)
    never = np.full(len(rows), NEVER)
    no = np.zeros(len(rows), bool)
    silent = replace(rows, clicked=no, converted=no, click_s=never, conversion_s=never)
    assert late.matured(silent) == pytest.approx(np.ones(len(rows)))


def test_a_refresh_reads_young_clicks_as_far_as_their_age_lets_them_speak() -> None:
    rows, now = young_log(2, 8_000)
    # The champion is right; what is refreshed is told that conversions are still to come, or is not.
    done = np.random.default_rng(3).random(len(rows)) < RATE
    whole = replace(
        rows, converted=done, mature=np.ones(len(rows), bool), click_s=None, conversion_s=None, refund_s=None
    )
    champion = fit_response(whole, chance=Chance(1))
    told = refresh_response(rows, champion, matured=lateness_of(rows, now, 4 * DAY).matured(rows))
    naive = refresh_response(replace(rows, mature=np.ones(len(rows), bool)), champion)

    def rate(model):
        return float(model.predict(rows.fields, rows.ad)[1].mean())

    assert rate(told) == pytest.approx(RATE, rel=0.08)
    assert rate(naive) < 0.8 * RATE
    full = refresh_response(whole, champion, matured=np.ones(len(rows)))
    assert rate(full) == pytest.approx(rate(refresh_response(whole, champion)), rel=0.01)
