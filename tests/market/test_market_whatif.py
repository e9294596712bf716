"""What-if answers: auctions held again under other settings, and when the log cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.market.replay import AuctionLog, Calibration, Change, replay, same_policy
from zhitou.market.whatif import Shop, ask, back_test, calibrate
from zhitou.strategy.auction import clear
from zhitou.strategy.exploration import slate
from zhitou.strategy.policies import Context, Zhitou

HOUR_US = 3_600_000_000
POLICY = Zhitou(gamma=100.0)
EVEN = (1 / 24,) * 24
RESERVE = 10_000


@pytest.fixture(scope="module")
def book(shop) -> AdBook:
    """The shop's four campaigns with budgets that nothing exhausts and caps that nobody reaches."""
    campaigns = tuple(
        replace(
            c,
            flight=replace(c.flight, budget_micros_total=10**15, budget_micros_daily=10**15),
            caps=replace(c.caps, campaign_per_day=10**4, ad_per_day=10**4),
        )
        for c in shop.campaigns
    )
    return AdBook.build(campaigns, shop.items)


def make_log(book: AdBook, hours: int = 96, each: int = 30, true: float = 1.0, seed: int = 0) -> AuctionLog:
    """Auctions without pacing or budgets. True click chances are `true` x what the model says, 0.7 of it below."""
    draw, n, ads = np.random.default_rng(seed), hours * each, len(book)
    pctr = draw.uniform(0.05, 0.3, (n, ads))
    worth = draw.integers(50_000, 200_000, (n, ads))
    open_to_all = np.ones((n, ads), dtype=bool)
    shopper, time_us = draw.integers(0, 200, n), np.sort(draw.integers(0, hours * HOUR_US, n))
    context = Context(open_to_all, pctr, worth, shopper, time_us, 2, Chance(0), 0, group=book.campaign)
    proposal, uniforms = POLICY.propose(context), draw.random((n, 2))
    order = slate(proposal.probabilities, uniforms, book.campaign)[0]
    price = clear(proposal.score, order, pctr, worth, open_to_all, RESERVE, book.campaign)
    chance = true * np.take_along_axis(pctr, order, axis=1) * np.array([1.0, 0.7])
    return AuctionLog(
        time_us=time_us,
        shopper=shopper,
        allowed=open_to_all,
        eligible=open_to_all,
        worth_micros=worth.astype(np.float64),
        pctr=pctr,
        score=proposal.score,
        probability=proposal.probabilities,
        uniforms=uniforms,
        shown=order,
        seen=np.ones((n, 2), dtype=bool),
        clicked=draw.random((n, 2)) < chance,
        price_micros=price,
        reserve_micros=RESERVE,
    )


@pytest.fixture(scope="module")
def log(book) -> AuctionLog:
    return make_log(book)


def _ones(book: AdBook) -> Calibration:
    return Calibration(np.ones(2), np.ones(len(book.campaigns)))


def held_shop(book: AdBook) -> Shop:
    return Shop(book, POLICY, EVEN)


def test_nothing_changed_is_the_log_itself(log, book):
    again = replay(log, book, POLICY, _ones(book), Change())
    assert (again.ad == log.shown).all()
    assert (again.price_micros == log.price_micros).all()


def test_the_policy_of_the_log_is_known_again_and_another_is_not(log, book):
    assert same_policy(log, book, POLICY) == 1.0
    assert same_policy(log, book, Zhitou(gamma=5.0)) < 0.1


def test_a_model_that_promises_double_is_halved_and_the_second_slot_weighs_less(book):
    found = calibrate(make_log(book, true=0.5), book)
    assert found.by_slot == pytest.approx([0.5, 0.35], rel=0.1)
    assert found.by_campaign == pytest.approx(np.ones(len(book.campaigns)), abs=0.15)


def test_no_day_of_a_replay_spends_more_than_its_budget(log, book):
    small = tuple(replace(c, flight=replace(c.flight, budget_micros_daily=2_000_000)) for c in book.campaigns)
    tight = replace(book, campaigns=small)
    told = replay(log, tight, POLICY, _ones(book), Change())
    day = log.time_us // (24 * HOUR_US)
    for campaign in range(len(small)):
        mine = (told.ad >= 0) & (book.campaign[np.maximum(told.ad, 0)] == campaign)
        spent = np.bincount(day, np.where(mine, told.spend_micros(), 0).sum(axis=1))
        assert (spent <= 2_000_000 * (1 + 1e-9)).all()
        assert spent.max() > 1_500_000  # and it is used


def test_a_cap_holds_for_every_shopper_and_day(log, book):
    told = replay(log, book, POLICY, _ones(book), Change(campaign=1, cap_per_day=1))
    mine = ((told.ad >= 0) & (book.campaign[np.maximum(told.ad, 0)] == 1)).any(axis=1)
    key = log.shopper[mine] * 100 + log.time_us[mine] // (24 * HOUR_US)
    # within an hour requests are decided together, so a cap may be passed only inside one
    hours = log.time_us[mine] // HOUR_US
    assert len(np.unique(np.stack([key, hours]), axis=1)[0]) == len(np.unique(key))


def test_dearer_rivals_and_lower_bids_cost_impressions(log, book):
    for change in (Change(campaign=0, rivals=1.5), Change(campaign=0, bid=0.6)):
        impressions = ask(log, held_shop(book), change, Chance(1))[0]
        assert impressions.figure == "impressions"
        assert impressions.verdict == "less"
        assert impressions.change.high < 0


def test_a_higher_bid_buys_more_clicks_for_more_money(log, book):
    told = {one.figure: one for one in ask(log, held_shop(book), Change(campaign=0, bid=1.5), Chance(1))}
    assert {one.verdict for one in told.values()} == {"more"}
    assert told["spend"].change.value > told["clicks"].change.value  # what is won besides is dearer


def test_few_clicks_tell_impressions_but_neither_clicks_nor_spend(book):
    log = make_log(book, hours=48, each=20, true=0.02)
    told = ask(log, held_shop(book), Change(campaign=0, bid=2.0), Chance(1))
    assert told[0].verdict == "more"
    assert [one.verdict for one in told[1:]] == ["inconclusive", "inconclusive"]
    assert "too few" in told[1].because


def test_ads_that_the_log_never_showed_cannot_be_told(log, book):
    hidden = book.campaign == 2
    dark = replace(log, worth_micros=np.where(hidden, 1.0, log.worth_micros))
    keep = ~hidden[np.maximum(dark.shown, 0)]
    dark = replace(dark, shown=np.where(keep, dark.shown, -1), seen=dark.seen & keep, clicked=dark.clicked & keep)
    told = ask(dark, held_shop(book), Change(campaign=2, bid=500_000 / 1_000), Chance(1))
    assert {one.verdict for one in told} == {"inconclusive"}


def test_a_log_of_another_policy_is_not_answered_from(log, book):
    told = ask(log, Shop(book, Zhitou(gamma=5.0), EVEN), Change(bid=2.0), Chance(1))
    assert {one.verdict for one in told} == {"inconclusive"}
    assert "policy in use" in told[0].because


def test_the_second_half_is_predicted_and_its_intervals_hold_it_as_often_as_they_say(book):
    inside = [
        one.inside
        for seed in range(6)
        for one in back_test(make_log(book, hours=48, each=20, seed=seed), held_shop(book), Chance(seed))
    ]
    assert len(inside) == 6 * 3 * (1 + len(book.campaigns))
    assert np.mean(inside) >= 0.85


def test_a_shop_that_changed_between_the_halves_is_seen_in_the_error(book):
    log = make_log(book, hours=48, each=20)
    later = log.time_us >= 24 * HOUR_US
    changed = replace(log, clicked=log.clicked & ~later[:, None])
    clicks = [
        p for p in back_test(changed, held_shop(book), Chance(1)) if p.campaign is None and p.figure == "clicks"
    ]
    assert clicks[0].happened == 0
    assert not clicks[0].inside


def test_a_log_of_a_day_is_not_tested_on_itself(book):
    assert back_test(make_log(book, hours=20), held_shop(book), Chance(1)) == ()


def test_the_same_seed_gives_the_same_answer(log, book):
    change = Change(campaign=0, budget=0.5)
    assert ask(log, held_shop(book), change, Chance(4)) == ask(log, held_shop(book), change, Chance(4))
