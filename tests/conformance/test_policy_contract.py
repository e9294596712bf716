"""What every policy promises. Each test runs on every policy there is, baselines first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.strategy.auction import clear, rank
from zhitou.strategy.exploration import slate
from zhitou.strategy.policies import BernoulliThompson, Context, Greedy, Policy, Popular, Random, Zhitou
from zhitou.strategy.thompson import GaussianThompson

B, K, S = 60, 12, 2


def learned_thompson() -> BernoulliThompson:
    policy = BernoulliThompson(K)
    rng = Chance(2).stream("history")
    shown = rng.integers(0, K, 3000)
    policy.learn(shown, rng.random(3000) < 0.02 * (1 + shown))
    return policy


def worth_and_doubt(asked: Context) -> tuple[np.ndarray, np.ndarray]:
    worth = asked.bid_micros * asked.pctr
    return worth, 0.3 * worth + 1.0


MAKERS: dict[str, Callable[[], Policy]] = {
    "random": Random,
    "popular": lambda: Popular(np.arange(K, dtype=float)),
    "thompson, new": lambda: BernoulliThompson(K),
    "thompson, learned": learned_thompson,
    "greedy": lambda: Greedy(lambda context: context.pctr, "greedy"),
    "zhitou": Zhitou,
    "last layer": lambda: GaussianThompson(worth_and_doubt),
}


@pytest.fixture(params=list(MAKERS))
def policy(request: pytest.FixtureRequest) -> Policy:
    return MAKERS[request.param]()


def context(seed: int = 1, eligible: np.ndarray | None = None, number: int = 0) -> Context:
    rng = Chance(seed).stream("policy-context")
    may = rng.random((B, K)) < 0.5
    may[0], may[1] = False, np.arange(K) == 3
    return Context(
        eligible=may if eligible is None else eligible,
        pctr=rng.beta(2, 100, (B, K)),
        bid_micros=rng.integers(1, 500_000, (B, K)),
        rows=np.arange(B),
        at_us=np.zeros(B, dtype=np.int64),
        slots=S,
        chance=Chance(seed),
        number=number,
    )


def test_it_is_a_policy(policy: Policy) -> None:
    assert isinstance(policy, Policy)
    assert policy.name


def test_probabilities_sum_to_one_over_the_eligible_ads(policy: Policy) -> None:
    asked = context()
    proposal = policy.propose(asked)
    assert proposal.probabilities.shape == proposal.score.shape == (B, K)
    assert (proposal.probabilities >= 0).all()
    assert proposal.probabilities.sum(axis=1) == pytest.approx(asked.eligible.any(axis=1).astype(float))


def test_an_ineligible_ad_has_no_chance_and_no_score(policy: Policy) -> None:
    asked = context()
    proposal = policy.propose(asked)
    assert not proposal.probabilities[~asked.eligible].any()
    assert not proposal.score[~asked.eligible].any()


def test_scores_are_finite_and_not_negative(policy: Policy) -> None:
    score = policy.propose(context()).score
    assert np.isfinite(score).all()
    assert (score >= 0).all()


def test_the_same_context_gives_the_same_proposal(policy: Policy) -> None:
    one, two = policy.propose(context()), policy.propose(context())
    assert one.score.tobytes() == two.score.tobytes()
    assert one.probabilities.tobytes() == two.probabilities.tobytes()


def test_every_slot_is_filled_while_eligible_ads_are_left(policy: Policy) -> None:
    asked = context()
    uniforms = Chance(9).stream("draw").random((B, S))
    order, propensity = slate(policy.propose(asked).probabilities, uniforms)
    free = np.minimum(asked.eligible.sum(axis=1), S)
    assert (order >= 0).sum(axis=1).tolist() == free.tolist()
    assert asked.eligible[np.nonzero(order >= 0)[0], order[order >= 0]].all()
    assert ((propensity[order >= 0] > 0) & (propensity[order >= 0] <= 1)).all()


def test_every_price_lies_between_nothing_and_the_bid(policy: Policy) -> None:
    asked = context()
    proposal = policy.propose(asked)
    order, _ = slate(proposal.probabilities, Chance(9).stream("draw").random((B, S)))
    prices = clear(proposal.score, order, asked.pctr, asked.bid_micros, asked.eligible, 1)
    bids = np.take_along_axis(asked.bid_micros, np.maximum(order, 0), axis=1)
    assert ((prices >= (order >= 0)) & (prices <= bids)).all()


def test_a_request_does_not_depend_on_its_batch(policy: Policy) -> None:
    asked = context()
    whole = policy.propose(asked)
    part = policy.propose(
        Context(
            eligible=asked.eligible[7:9],
            pctr=asked.pctr[7:9],
            bid_micros=asked.bid_micros[7:9],
            rows=asked.rows[7:9],
            at_us=asked.at_us[7:9],
            slots=S,
            chance=asked.chance,
        )
    )
    assert part.score.tolist() == whole.score[7:9].tolist()
    assert part.probabilities.tolist() == whole.probabilities[7:9].tolist()


def test_only_ours_and_the_given_score_need_models() -> None:
    needing = {name for name, make in MAKERS.items() if make().needs_models}
    flat = {name for name, make in MAKERS.items() if make().flat_price}
    assert needing == {"greedy", "zhitou", "last layer"}
    assert flat == set(MAKERS) - {"zhitou", "last layer"}


def test_zhitou_prefers_what_a_showing_is_worth() -> None:
    asked = context()
    proposal = Zhitou(gamma=1e9).propose(asked)
    best = rank(asked.bid_micros * asked.pctr, asked.eligible, 1)[:, 0]
    assert proposal.probabilities[np.arange(B)[best >= 0], best[best >= 0]].min() > 0.98


def test_popular_shows_the_most_bought() -> None:
    everything = np.ones((1, K), dtype=bool)
    asked = context(eligible=np.broadcast_to(everything, (B, K)))
    order, _ = slate(Popular(np.arange(K, dtype=float)).propose(asked).probabilities, np.full((B, S), 0.5))
    assert order.tolist() == [[K - 1, K - 2]] * B


def test_thompson_tries_each_ad_as_often_as_it_may_be_the_best() -> None:
    policy = BernoulliThompson(2, draws=256)
    clicked = [True] * 8 + [False] * 32 + [True] * 4 + [False] * 36 + [False] * 5  # Beta(9, 33) and Beta(5, 37)
    policy.learn(np.repeat([0, 1, -1], [40, 40, 5]), np.asarray(clicked))
    both = np.ones((B, 2), dtype=bool)
    shares = []
    for number in range(40):
        asked = Context(both, np.zeros((B, 2)), np.zeros((B, 2)), np.zeros(B), np.zeros(B), 1, Chance(3), number)
        shares.append(policy.propose(asked).probabilities[0])
    draws = Chance(4).stream("by-hand").beta([9, 5], [33, 37], size=(200_000, 2))
    assert np.mean(shares, axis=0)[0] == pytest.approx((draws[:, 0] > draws[:, 1]).mean(), abs=0.01)
    assert np.std(np.asarray(shares)[:, 0]) > 0  # each batch draws anew
