"""A stream of auctions against a reference in plain Python, and what may not change its outcome."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.strategy.draws import normal, request_key, seed_of, uniform
from zhitou.strategy.leases import Leases
from zhitou.strategy.stream import Market, Outcomes, run_auctions

SEED = np.uint64(77)
MASK = 2**64 - 1


def auctions(seed: int, size: int, bidders: int) -> tuple[np.ndarray, np.ndarray]:
    """Bids and chances with many ties, some bids of nothing, some chances of nothing."""
    rng = Chance(seed).stream("auctions", size, bidders)
    bid = (rng.integers(0, 12, (size, bidders)) * 500).astype(np.int32)
    chance = (rng.integers(0, 9, (size, bidders)) / 16).astype(np.float32)
    return bid, chance


def plain_mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def plain_uniform(seed: int, number: int, who: int, purpose: int) -> float:
    key = plain_mix((seed + (number + 1) * 0x9E3779B97F4A7C15) & MASK)
    return float(plain_mix((key + (who * 256 + purpose + 1) * 0xD1342543DE82EF95) & MASK) >> 11) / 2**53


def plain_price(market: Market, i: int, scores: list[float], bid: int, quality: float) -> int:
    """Place i's price; scores: of all who take part, best first."""
    to_beat = [scores[k + 1] if k + 1 < len(scores) else 0.0 for k in range(len(market.examination))]
    reserve, looks = market.reserve_micros, [*market.examination, 0.0]
    if market.pricing == "first":
        return bid
    if market.pricing == "second":
        worth = to_beat[i] / quality
    else:
        steps = [(looks[k] - looks[k + 1]) * max(to_beat[k] / quality, reserve) for k in range(i, len(looks) - 1)]
        worth = sum(steps) / looks[i]
    return min(bid, max(reserve, math.ceil(worth * (1 - 1e-12))))


def plain_auctions(market: Market, bid: np.ndarray, chance: np.ndarray, budget: list[int], blocks: int,
                   block_size: int, least: int) -> tuple[list[Any], list[int]]:  # fmt: skip
    """[(winner, price, seen, responded) per slot] per auction and what is left, one auction after the other."""
    pool, rows, looks = list(budget), [], market.examination
    for start in range(0, len(bid), blocks * block_size):
        number = start // (blocks * block_size)
        shares = [min(max(money // least, 1), blocks) for money in pool]
        leased = []
        for w in range(blocks):
            mine = [pool[k] // shares[k] if (w - number) % blocks < shares[k] else 0 for k in range(len(pool))]
            leased.append(mine)
        pool = [money - sum(mine[k] for mine in leased) for k, money in enumerate(pool)]
        for n in range(start, min(len(bid), start + blocks * block_size)):
            money, bids, chances = leased[(n - start) // block_size], bid[n].tolist(), chance[n].tolist()
            by_response = market.paid == "response"
            quality = chances if by_response else [1.0] * len(bids)
            score = [float(np.float32(b) * np.float32(q)) for b, q in zip(bids, quality, strict=True)]
            may = [k for k, b in enumerate(bids) if max(1, market.reserve_micros) <= b <= money[k] and quality[k] > 0]
            may.sort(key=lambda k: (-score[k], k))
            row = []
            for i, k in enumerate(may[: len(looks)]):
                price = plain_price(market, i, [score[m] for m in may], bids[k], quality[k])
                u = plain_uniform(int(SEED), n, k, 0)
                row.append((k, price, u < looks[i], u < looks[i] * chances[k]))
            for k, price, seen, responded in row:
                money[k] -= price if (responded if by_response else seen) else 0
            rows.append(row)
        pool = [money + sum(mine[k] for mine in leased) for k, money in enumerate(pool)]
    return rows, pool


def as_rows(outcomes: Outcomes) -> list[Any]:
    columns = (outcomes.winner, outcomes.price_micros, outcomes.seen, outcomes.responded)
    together = zip(*(column.tolist() for column in columns), strict=True)
    return [[slot for slot in zip(*row, strict=True) if slot[0] >= 0] for row in together]


@pytest.mark.parametrize("paid", ["showing", "response"])
@pytest.mark.parametrize(
    ("pricing", "slots", "size"), [("second", 3, 3000), ("vcg", 3, 1000), ("first", 5, 500), ("second", 1, 500)]
)
def test_winners_prices_outcomes_and_budgets_equal_a_plain_reference(
    pricing: Any, slots: int, size: int, paid: Any
) -> None:
    market = Market((1.0, 0.8, 0.6, 0.5, 0.4)[:slots], 1000, pricing, paid)
    bid, chance = auctions(3, size, 11)
    budget = [100_000_000, 0, 3000, 40_000, 2_000_000, 150_000, 9000, 60_000, 700_000, 2**40, 500_000]
    leases = Leases(np.asarray(budget), blocks=3, block_size=100, least_micros=5500)
    rows, left = plain_auctions(market, bid, chance, budget, 3, 100, 5500)
    outcomes = run_auctions(market, bid, chance, leases, seed=SEED)
    assert as_rows(outcomes) == rows
    assert leases.remaining_micros.tolist() == left
    assert (outcomes.paid_micros.sum() + sum(left)) == sum(budget)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3000), st.data())
def test_no_cut_of_the_stream_changes_its_outcome(
    seed: int, bidders: int, slots: int, reserve: int, data: st.DataObject
) -> None:
    market = Market((1.0, 0.9, 0.5, 0.1)[:slots], reserve, "second", "showing")
    bid, chance = auctions(seed, 300, bidders)
    budget = Chance(seed).stream("budgets").integers(0, 150_000, bidders)
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, 300), max_size=4))), 300]
    whole, parts = (Leases(budget, blocks=4, block_size=20, least_micros=5500) for _ in range(2))
    together = run_auctions(market, bid, chance, whole, seed=SEED)
    rows = []
    for a, b in pairwise(cuts):
        rows += as_rows(run_auctions(market, bid[a:b], chance[a:b], parts, seed=SEED, first=a))
    assert rows == as_rows(together)
    assert parts.remaining_micros.tolist() == whole.remaining_micros.tolist()
    assert (whole.remaining_micros >= 0).all()
    assert budget.sum() - whole.remaining_micros.sum() == together.paid_micros.sum()


def test_money_goes_out_in_shares_and_comes_back() -> None:
    leases = Leases(np.asarray([100, 25, 9]), blocks=4, block_size=10, least_micros=10)
    assert leases.open(0).tolist() == [[25, 12, 9], [25, 12, 0], [25, 0, 0], [25, 0, 0]]
    leases.lease[0, 0] = 0  # spent
    assert leases.remaining_micros.tolist() == [75, 25, 9]
    assert leases.open(1).tolist() == [[18, 0, 0], [18, 12, 9], [18, 12, 0], [18, 0, 0]]
    assert leases.remaining_micros.tolist() == [75, 25, 9]
    with pytest.raises(AssertionError, match="rounds go forward"):
        leases.open(0)


def test_who_cannot_pay_his_bid_is_out_and_the_next_takes_his_place() -> None:
    bid = np.asarray([[500, 400, 300]] * 3, dtype=np.int32)
    leases = Leases(np.asarray([850, 10_000, 10_000]), blocks=1, least_micros=1)
    out = run_auctions(Market(), bid, np.ones((3, 3), dtype=np.float32), leases, seed=SEED)
    assert out.winner[:, 0].tolist() == [0, 1, 1]  # 850 - 400 = 450, less than the bid of 500
    assert out.price_micros[:, 0].tolist() == [400, 300, 300]


def test_vcg_charges_what_a_place_costs_the_others() -> None:
    bid = np.asarray([[20, 10, 8]], dtype=np.int32)
    market = Market((1.0, 0.5), 0, "vcg")
    out = run_auctions(market, bid, np.ones((1, 3), dtype=np.float32), Leases(np.full(3, 99)), seed=SEED)
    # the first pushes the second down (10 * 0.5) and the third out (8 * 0.5): 9; the second the third: 8
    assert out.price_micros.tolist() == [[9, 8]]


def test_a_response_needs_to_be_seen_and_both_happen_as_often_as_stated() -> None:
    size = 40_000
    bid, chance = np.full((size, 2), 100, dtype=np.int32), np.full((size, 2), 0.3, dtype=np.float32)
    leases = Leases(np.full(2, 10**9))
    out = run_auctions(Market((0.8, 0.4)), bid, chance, leases, seed=SEED)
    assert not (out.responded & ~out.seen).any()
    assert out.seen.mean(axis=0) == pytest.approx([0.8, 0.4], abs=4 * 0.5 / size**0.5)
    assert out.responded.mean(axis=0) == pytest.approx([0.24, 0.12], abs=4 * 0.45 / size**0.5)


def test_a_doubtful_chance_is_drawn_within_its_bounds() -> None:
    size = 40_000
    bid = np.full((size, 1), 100, dtype=np.int32)
    chance, doubt = np.full((size, 1), 0.1, dtype=np.float32), np.full((size, 1), 0.2, dtype=np.float32)
    out = run_auctions(Market(), bid, chance, Leases(np.full(1, 10**9)), seed=SEED, doubt=doubt)
    a, b = (0 - 0.1) / 0.2, (1 - 0.1) / 0.2  # mean of the normal cut to [a, b]
    density = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (a, b)]
    inside = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    mean = 0.1 + 0.2 * (density[0] - density[1]) / inside
    assert out.responded.mean() == pytest.approx(mean, abs=4 * 0.5 / size**0.5)


@pytest.mark.skipif(numba.get_num_threads() < 2, reason="NUMBA_NUM_THREADS allows one thread; allow two")
def test_two_threads_end_where_one_does() -> None:
    bid, chance = auctions(5, 1000, 9)
    ends = []
    for threads in (1, 2):
        leases = Leases(np.full(9, 400_000), blocks=4, block_size=64, least_micros=5500)
        out = run_auctions(Market((1.0, 0.5)), bid, chance, leases, seed=SEED, threads=threads)
        ends.append((as_rows(out), leases.remaining_micros.tolist()))
    assert ends[0] == ends[1]


def test_draws_are_those_of_the_plain_formula_and_look_random() -> None:
    seed = seed_of(Chance(3), "test")
    drawn = np.asarray([uniform(np.uint64(request_key(seed, n)), k, 2) for n in range(100) for k in range(100)])
    assert drawn[205] == plain_uniform(int(seed), 2, 5, 2)
    assert drawn.mean() == pytest.approx(0.5, abs=4 * 0.29 / 100)
    table = drawn.reshape(100, 100)
    assert np.corrcoef(table[:, :-1].ravel(), table[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.04)
    assert np.corrcoef(table[:-1].ravel(), table[1:].ravel())[0, 1] == pytest.approx(0, abs=0.04)
    normals = np.asarray([normal(np.uint64(request_key(seed, n)), 0, 4) for n in range(10_000)])
    assert (normals.mean(), normals.std()) == pytest.approx((0, 1), abs=0.04)
