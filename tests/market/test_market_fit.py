"""What the market reads from behaviour."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, SourceError
from zhitou.events.schema import EVENT_SCHEMA
from zhitou.market.config import MarketConfig
from zhitou.market.fit import Market
from zhitou.market.habits import due_effect, fit_habits, hour_of_week
from zhitou.market.prices import fit_prices, group_median
from zhitou.market.redemption import fit_redemption, weibull
from zhitou.market.tastes import factorise, fit_tastes, product_types

DAY = 86_400
MONDAY = 345_600


def test_a_slot_that_is_looked_at_more_than_the_first_is_refused():
    with pytest.raises(ConfigError, match="starts with 1"):
        MarketConfig(examination=(0.5, 1.0))
    with pytest.raises(ConfigError, match="slots_max"):
        MarketConfig(examination=(1.0, 0.5), slots_max=1)
    with pytest.raises(ConfigError, match="click_rate"):
        MarketConfig(click_rate=1.0)


def test_a_type_is_the_last_category_and_items_without_one_are_types_of_their_own(make_items):
    items = make_items([(name, "x > y > z" if name in "ad" else None, None, 1) for name in "abcd"])
    kind, types = product_types(items, np.array([5, 1, 9, 0]), loose_max=1)
    assert kind.tolist() == [1, 0, 2, 1]  # c sold best, so b shares the type "unknown"
    assert types == 3


def test_the_factorisation_finds_two_groups_that_share_nothing():
    counts = csr_matrix(np.array([[8.0, 4, 0, 0], [4, 2, 0, 0], [0, 0, 3, 9], [0, 0, 1, 3]]))
    theta, phi = factorise(counts, 2, 60, np.random.default_rng(0))
    np.testing.assert_allclose(theta @ phi, counts.todense(), atol=0.05)


def _tastes(histories, kinds: int):
    return fit_tastes(histories, np.arange(kinds), kinds, MarketConfig(factors=2), np.random.default_rng(0))


def test_own_lines_weigh_more_where_households_differ_than_where_all_are_alike(make_purchases):
    draw = np.random.default_rng(1)
    lines = [(h, int(draw.integers(4)), MONDAY + d * DAY) for h in range(30) for d in range(60)]
    alike = _tastes(make_purchases(lines, 30), 4)
    differ = _tastes(make_purchases([(h, (h * 7 + (i % 10 == 0)) % 4, t) for h, i, t in lines], 30), 4)
    assert differ.concentration < alike.concentration


def test_dirichlet_parameters_of_all_types_sum_to_their_total(shop):
    tastes = shop.market.tastes
    parameters, total = tastes.pseudo_lines(np.arange(tastes.counts.shape[1]))
    np.testing.assert_allclose(parameters.sum(axis=1), total, rtol=1e-5)
    assert (parameters > 0).all()


def test_households_are_seen_to_like_what_they_buy(shop):
    milk = shop.market.type_of_item[shop.items.row("milk0")]
    parameters, total = shop.market.tastes.pseudo_lines(np.array([milk]))
    share = parameters[:, 0] / total
    assert share[0::4].min() > 2 * share[1::4].max()


def test_the_week_starts_on_monday():
    assert hour_of_week(np.array([MONDAY, MONDAY + 25 * 3_600, MONDAY - 3_600])).tolist() == [0, 25, 167]


def test_a_repeat_clock_is_shrunk_to_the_types_own_interval(make_purchases):
    histories = make_purchases(
        [(0, 0, MONDAY), (0, 0, MONDAY + 10 * DAY), (0, 0, MONDAY + 20 * DAY), (1, 0, MONDAY)], 2
    )
    habits = fit_habits(histories, np.zeros(1, dtype=np.int32), 1)
    last, interval = habits.clocks(np.array([0]))
    assert habits.interval_days[0] == pytest.approx((20 + 5 * 10) / (2 + 5))
    assert last[:, 0].tolist() == [4 + 20, 4]
    np.testing.assert_allclose(interval[:, 0], [(20 + 2 * 10) / (2 + 2), 10.0])


def test_a_type_never_bought_is_not_due(make_purchases):
    histories = make_purchases([(0, 0, MONDAY), (1, 1, MONDAY)], 2)
    habits = fit_habits(histories, np.arange(2, dtype=np.int32), 2)
    last, interval = habits.clocks(np.array([0, 1]))
    assert np.isnan(last[0, 1])
    assert due_effect(habits, 30.0 - last, interval)[0, 1] == 0.0


def test_households_that_repeat_like_a_clock_are_due_after_one_interval(make_purchases):
    lines = [(h, 0, MONDAY + (h % 7) * DAY + 7 * n * DAY) for h in range(60) for n in range(25)]
    habits = fit_habits(make_purchases(lines, 60), np.zeros(1, dtype=np.int32), 1)
    early, on_time = due_effect(habits, np.array([2.0, 7.3]), np.array([7.0, 7.0]))
    assert on_time > 1.0 > 0.0 > early


def test_a_median_is_the_lower_of_two_middles_and_missing_where_nothing_was_sold():
    median = group_median(np.array([0, 0, 0, 2, 2]), np.array([5.0, 1.0, 3.0, 7.0, 9.0]), 3)
    assert median[0] == 3.0
    assert np.isnan(median[1])
    assert median[2] == 7.0


def _priced(make_purchases, slope: float):
    """Twelve items over 60 weeks; half the weeks at 0.8 of the price, with lines as the slope says."""
    lines, price = [], []
    for item in range(12):
        for week in range(60):
            cheap = (week + item) % 2 == 0
            for n in range(round(20 * (0.8**slope if cheap else 1.0))):
                lines.append((n % 5, item, MONDAY + week * 7 * DAY + n * 60))
                price.append(round(1e6 * (0.8 if cheap else 1.0)))
    return make_purchases(lines, 5, price)


def test_the_price_slope_of_sales_is_found(make_purchases, make_items):
    items = make_items([(f"i{n:02d}", "a > b > c", None, 1_000_000) for n in range(12)])
    prices = fit_prices(_priced(make_purchases, -2.0), items, np.zeros(12, dtype=np.int32), 1, None)
    assert prices.elasticity == pytest.approx(-2.0, abs=0.05)
    assert np.isnan(prices.promotion_lift)


def test_promoted_weeks_take_their_part_of_the_rise_in_sales(make_purchases, make_items):
    items = make_items([(f"i{n:02d}", "a > b > c", None, 1_000_000) for n in range(12)])
    promoted = [(f"i{n:02d}", week + 1) for n in range(12) for week in range(60) if (week + n) % 4 == 0]
    table = pa.table(
        {
            "item": [p[0] for p in promoted],
            "week": [p[1] for p in promoted],
            "stores_display": [3] * len(promoted),
            "stores_mailer": [0] * len(promoted),
        }
    )
    prices = fit_prices(_priced(make_purchases, -2.0), items, np.zeros(12, dtype=np.int32), 1, table)
    assert prices.promotion_lift == pytest.approx(0.0, abs=0.02)  # these sales follow price alone
    assert prices.elasticity == pytest.approx(-2.0, abs=0.1)


def _responses(contacts: int, redeemed: int, days: float) -> pa.Table:
    sent = [(f"s{n:04d}", "send", 0) for n in range(contacts)]
    acted = [(f"s{n:04d}", "conversion", round(days * DAY * 1e6)) for n in range(redeemed)]
    again = [(subject, kind, at + 10**12) for subject, kind, at in acted[:5]]
    rows = sent + acted + again
    columns = {name: [None] * len(rows) for name in EVENT_SCHEMA.names}
    columns |= {
        "event_id": [f"e{n}" for n in range(len(rows))],
        "tenant": ["t"] * len(rows),
        "subject": [r[0] for r in rows],
        "kind": [r[1] for r in rows],
        "occurred_at": [r[2] for r in rows],
        "received_at": [r[2] for r in rows],
        "context": ['{"campaign": "7"}'] * len(rows),
    }
    return pa.table(columns, schema=EVENT_SCHEMA)


def test_the_redemption_rate_counts_each_contact_once():
    fitted = fit_redemption(_responses(400, 60, 3.0), 10**9, MarketConfig())
    assert fitted.fitted
    assert fitted.rate == 60 / 400
    assert (fitted.delays_days == 3.0).all()


def test_redemptions_after_the_cut_are_not_known():
    fitted = fit_redemption(_responses(400, 60, 3.0), 2 * DAY, MarketConfig(conversion_rate=0.03))
    assert not fitted.fitted
    assert fitted.rate == 0.03


def test_a_shop_without_campaigns_gets_the_stated_assumptions():
    fitted = fit_redemption(None, 10**9, MarketConfig())
    assert (fitted.rate, fitted.shape, fitted.scale_days, fitted.fitted) == (0.05, 1.0, 2.5, False)
    assert fitted.delay_days(np.array([1 - np.exp(-1.0)]))[0] == pytest.approx(2.5)


def test_weibull_parameters_are_recovered():
    values = 15.0 * np.random.default_rng(0).weibull(1.3, 20_000)
    shape, scale = weibull(values)
    assert shape == pytest.approx(1.3, rel=0.03)
    assert scale == pytest.approx(15.0, rel=0.03)


def test_histories_without_a_purchase_are_refused(shop):
    empty = shop.histories.keep(np.zeros(len(shop.histories.item), dtype=bool))
    with pytest.raises(SourceError, match="found none"):
        Market.fit(empty, shop.items, chance=Chance(0))


def test_the_same_seed_fits_the_same_market(shop):
    again = Market.fit(shop.histories, shop.items, config=shop.market.config, chance=Chance(1))
    assert again.tastes.weights.tobytes() == shop.market.tastes.weights.tobytes()
    assert again.tastes.concentration == shop.market.tastes.concentration
    assert again.habits.due.tobytes() == shop.market.habits.due.tobytes()
