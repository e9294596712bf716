"""The world that answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.market.fit import Market
from zhitou.market.resemblance import kolmogorov, resemblance, total_variation

DAY = 86_400


def world(shop, seed: int = 3, days: int = 7, **config: float):
    market = replace(shop.market, config=replace(shop.market.config, **config), _last_plan={})
    return market.world(shop.book, Chance(seed), shop.start_s, days)


def play(one, choose) -> tuple[np.ndarray, list]:
    """(sums of impressions, clicks, expected clicks; all outcomes) of a policy."""
    totals, outcomes = np.zeros(3), []
    for tick in one.ticks():
        out = one.respond(tick, choose(one, tick))
        totals += [out.clicked.size, out.clicked.sum(), out.click_chance.sum()]
        outcomes.append(out)
    return totals, outcomes


def uniform(one, tick):
    draw = np.random.default_rng(tick.number)
    return draw.integers(0, len(one.plan.book), (len(tick.subjects), 2))


def oracle(one, tick):
    return np.argsort(-one.truth(tick)[0], axis=1)[:, :2]


def constant(one, tick):
    return np.zeros((len(tick.subjects), 1), dtype=int)


def test_visits_do_not_depend_on_what_is_shown(shop):
    a, b = world(shop), world(shop)
    visits = [[], []]
    for one, kept, choose in ((a, visits[0], uniform), (b, visits[1], constant)):
        for tick in one.ticks():
            one.respond(tick, choose(one, tick))
            kept.append((tick.subjects.tobytes(), tick.time_s.tobytes(), tick.visit.tobytes()))
    assert visits[0] == visits[1]


def test_the_first_days_of_a_longer_world_are_those_of_a_shorter_one(shop):
    short, long = world(shop, days=3).plan.visits, world(shop, days=5).plan.visits
    n = len(short.subject)
    assert (short.time_s == long.time_s[:n]).all()
    assert short.uniform.tobytes() == long.uniform[:n].tobytes()


def test_ticks_are_hours_in_order_and_their_visits_lie_inside(shop):
    one = world(shop)
    ticks = list(one.ticks())
    assert [t.start_s for t in ticks] == [shop.start_s + 3_600 * n for n in range(7 * 24)]
    for tick in ticks:
        assert ((tick.time_s >= tick.start_s) & (tick.time_s < tick.start_s + 3_600)).all()
        assert (np.diff(tick.time_s) >= 0).all()
    assert np.concatenate([t.visit for t in ticks]).tolist() == list(range(len(one.plan.visits.subject)))
    assert (shop.market.subjects == shop.histories.subjects).all()


def test_the_same_policy_and_seed_give_the_same_bytes_and_another_seed_does_not(shop):
    def key(seed):
        return [(o.clicked.tobytes(), o.value_micros.tobytes()) for o in play(world(shop, seed), uniform)[1]]

    assert key(3) == key(3)
    assert key(3) != key(4)


def test_two_worlds_of_a_seed_share_no_state(shop):
    market = replace(shop.market, _last_plan={})
    first = market.world(shop.book, Chance(3), shop.start_s, 2)
    play(first, constant)
    second = market.world(shop.book, Chance(3), shop.start_s, 2)
    fresh = replace(shop.market, _last_plan={}).world(shop.book, Chance(3), shop.start_s, 2)
    assert second.plan is first.plan
    for a, b in zip(second.ticks(), fresh.ticks(), strict=True):
        assert second.truth(a)[0].tobytes() == fresh.truth(b)[0].tobytes()


def test_time_runs_once_and_goes_on_where_it_stopped(shop):
    one, whole = world(shop, days=2), world(shop, days=2)
    first = [tick.number for tick in islice(one.ticks(), 24)]
    rest = list(one.ticks())
    assert first + [tick.number for tick in rest] == list(range(48))
    assert next(one.ticks(), None) is None
    for _ in whole.ticks():
        pass
    assert one.truth(rest[-1])[0].tobytes() == whole.truth(rest[-1])[0].tobytes()


def test_a_forked_world_goes_its_own_way(shop):
    one = world(shop, days=2)
    for tick in islice(one.ticks(), 24):
        one.respond(tick, constant(one, tick))
    twin, still = one.fork(), one.fork()
    play(twin, constant)
    tick = next(one.ticks())
    assert one.truth(tick)[0].tobytes() == still.truth(next(still.ticks()))[0].tobytes()


def test_a_random_policy_clicks_at_the_stated_rate(shop):
    fresh = [play(world(shop, seed, fatigue_weight=0.0), uniform)[0] for seed in range(5)]
    shown, _, expected = np.sum(fresh, axis=0)
    assert expected / shown == pytest.approx(shop.market.config.click_rate, rel=0.1)


def test_clicks_agree_with_the_truth_they_were_drawn_from(shop):
    _, clicked, expected = np.sum([play(world(shop, seed), uniform)[0] for seed in range(8)], axis=0)
    assert abs(clicked - expected) < 4 * np.sqrt(expected)


def test_who_knows_the_truth_does_much_better_than_chance(shop):
    knows, guesses = play(world(shop), oracle)[0], play(world(shop), uniform)[0]
    assert knows[2] / knows[0] > 1.5 * guesses[2] / guesses[0]


def test_the_second_slot_is_looked_at_less(shop):
    one = world(shop, days=1)
    tick = next(t for t in one.ticks() if len(t.subjects))
    pair = np.zeros((len(tick.subjects), 2), dtype=int)
    out = one.respond(tick, pair)
    np.testing.assert_allclose(out.click_chance[:, 1], 0.7 * out.click_chance[:, 0])
    np.testing.assert_allclose(one.examination, [1.0, 0.7])


def test_an_empty_slot_brings_nothing(shop):
    _, outcomes = play(world(shop), lambda one, tick: np.full((len(tick.subjects), 2), -1))
    for out in outcomes:
        assert not out.clicked.any()
        assert (out.click_time_s == -1).all()
        assert (out.click_chance == 0).all()


def test_repeats_tire_and_rest_heals(shop):
    one = world(shop, drift_sd=0.0, trend_sd=0.0, hour_sd=0.0, fatigue_days=1.0)
    chance = []
    for tick in one.ticks():
        if not len(tick.subjects):
            continue
        chance.append(one.truth(tick)[0][tick.subjects == tick.subjects[0]][0, 0])
        shown = np.zeros((len(tick.subjects), 1), dtype=int)
        subject, before = tick.subjects[0], tick
        one.respond(tick, shown)
        break
    after = one._chances(before, np.arange(len(shop.book))[None, :])[0][0, 0]
    seen = one._seen[subject, 0]
    logit = np.log(chance[0] / (1 - chance[0])) - 0.25 * np.log1p(seen)
    assert after == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-3)
    later = replace(before, time_s=before.time_s + 30 * DAY)
    assert one._chances(later, np.arange(len(shop.book))[None, :])[0][0, 0] == pytest.approx(chance[0], rel=1e-3)


def test_what_was_just_bought_is_less_wanted_for_a_while(shop):
    due = np.linspace(-1.0, 0.5, 31)
    market = replace(shop.market, habits=replace(shop.market.habits, due=due), _last_plan={})
    one = market.world(shop.book, Chance(3), shop.start_s, 1)
    tick = next(t for t in one.ticks() if len(t.subjects))
    before = one.truth(tick)[0]
    column = one.plan.appeal.column[0]
    one._coming = [(tick.time_s[0] / DAY, int(tick.subjects[0]), int(column))]
    one._sell_until(tick.time_s[0] / DAY)
    after = one.truth(tick)[0]
    same = one.plan.appeal.column == column
    assert (after[0, same] < before[0, same]).all()
    np.testing.assert_array_equal(after[0, ~same], before[0, ~same])


def test_conversions_follow_clicks_and_pay_whole_pieces(shop):
    one = world(shop, conversion_rate=0.5)
    for tick in one.ticks():
        shown = uniform(one, tick)
        out = one.respond(tick, shown)
        assert not (out.converted & ~out.clicked).any()
        assert (out.click_time_s[out.clicked] > np.repeat(tick.time_s, out.clicked.sum(axis=1))).all()
        assert (out.conversion_time_s[out.converted] > out.click_time_s[out.converted]).all()
        price = shop.book.price_micros[shown]
        assert (out.value_micros[out.converted] % price[out.converted] == 0).all()
        assert (out.value_micros[~out.converted] == 0).all()


def test_conversions_come_at_the_assumed_rate_under_random_ads(shop):
    clicks = sales = 0.0
    for seed in range(3):
        for out in play(world(shop, seed, fatigue_weight=0.0), uniform)[1]:
            clicks += out.click_chance.sum()
            sales += (out.click_chance * out.conversion_chance).sum()
    assert sales / clicks == pytest.approx(shop.market.redemption.rate, rel=0.1)


def test_shoppers_buy_on_their_own_at_their_own_rate(shop):
    bought = [one.organic(tick) for one in [world(shop)] for tick in one.ticks()]
    baskets = len(np.unique(np.concatenate([b.order for b in bought])))
    assert baskets == pytest.approx(40 * 3.5, rel=0.2)  # every other day, for a week
    assert all((b.kind == 4).all() for b in bought)
    assert all((b.price_micros == 2_000_000).all() for b in bought)


def test_an_ads_sale_can_take_the_place_of_the_shoppers_own(shop):
    one = world(shop, displacement=1.0)
    tick = next(t for t in one.ticks() if (one._column(one.organic(t).item) >= 0).any())
    before = one.organic(tick)
    column = one._column(before.item)
    hit = int(np.flatnonzero(column >= 0)[0])
    one._ad_bought_days[before.subjects[hit], column[hit]] = before.time_s[hit] / DAY - 0.01
    after = one.organic(tick)
    assert len(after.item) < len(before.item)
    gone = (before.subjects == before.subjects[hit]) & (column == column[hit])
    assert len(after.item) == len(before.item) - gone.sum()


def test_ads_outside_the_book_and_too_many_slots_are_refused(shop):
    one = world(shop, days=1)
    tick = next(t for t in one.ticks() if len(t.subjects))
    visitors = len(tick.subjects)
    with pytest.raises(AssertionError, match="place in the book"):
        one.respond(tick, np.full((visitors, 1), len(shop.book)))
    with pytest.raises(AssertionError, match="looks at 2 slots"):
        one.respond(tick, np.zeros((visitors, 3), dtype=int))


def test_a_world_needs_days_and_whole_hours(shop):
    with pytest.raises(ConfigError, match="on the hour"):
        shop.market.world(shop.book, Chance(1), shop.start_s + 1, 7)
    with pytest.raises(ConfigError, match="0 days"):
        shop.market.world(shop.book, Chance(1), shop.start_s, 0)


def test_a_shop_without_categories_gets_a_world_too(shop, make_items, make_purchases):
    items = make_items([(f"i{n}", None, None, 1_000_000) for n in range(6)])
    lines = [(h, (h + d) % 6, shop.start_s + d * DAY + 36_000) for h in range(8) for d in range(20)]
    market = Market.fit(make_purchases(lines, 8), items, chance=Chance(1))
    book = replace(shop.book, item=np.arange(len(shop.book), dtype=np.int32) % 6)
    one = market.world(book, Chance(1), shop.start_s + 20 * DAY, 2)
    assert np.isfinite(play(one, oracle)[0]).all()


def test_distances_are_zero_for_equals_and_one_for_strangers():
    assert total_variation(np.array([2, 2]), np.array([1, 1])) == 0.0
    assert total_variation(np.array([2, 0]), np.array([0, 7])) == 1.0
    assert kolmogorov(np.array([1, 2]), np.array([1, 2])) == 0.0
    assert kolmogorov(np.array([1, 2]), np.array([3, 4])) == 1.0
    assert np.isnan(kolmogorov(np.array([]), np.array([1.0])))


def test_the_world_resembles_the_shop_it_was_fitted_to(shop):
    cut = shop.start_s - 28 * DAY
    market = Market.fit(shop.histories.before(cut), shop.items, config=shop.market.config, chance=Chance(1))
    lines = {r.name: r for r in resemblance(market, shop.book, shop.histories.since(cut), Chance(2))}
    assert lines["type shares"].distance < 0.1
    assert lines["baskets a week"].simulated == pytest.approx(lines["baskets a week"].real, rel=0.1)
    assert lines["price paid"].distance == 0.0
    assert lines["repeat share"].real > 0.9
    assert "redemption rate" not in lines
