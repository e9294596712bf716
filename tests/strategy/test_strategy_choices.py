"""Decisions in batches follow the law of one decision."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.chance import Chance
from zhitou.strategy.choices import choose, choose_linear
from zhitou.strategy.exploration import inverse_gap
from zhitou.strategy.sieve import Sieve, packed

SEED = np.uint64(5)
RULE: dict[str, Any] = {"seed": SEED, "gamma": 30.0, "floor": 0.01}


def sieve(may: np.ndarray, cap: np.ndarray | None = None) -> Sieve:
    """Each request has a row of its own for the first filter and passes the others, but for the caps."""
    size, ads = may.shape
    table = packed(np.concatenate([may, np.ones((1, ads), dtype=bool)]))
    place = np.full((size, 8), size, dtype=np.int32)
    place[:, 0] = np.arange(size)
    capped = np.zeros((size, 2, table.shape[1]), dtype=np.uint64)
    if cap is not None:
        capped[:, 1] = packed(cap)
    return Sieve(table, place, capped, ads)


def requests(seed: int, size: int, ads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sieve]:
    """(known, weights, eligible, sieve); whole numbers, so that sums are exact and ties are many."""
    rng = Chance(seed).stream("choices", size, ads)
    known = rng.integers(-2, 6, (size, 7)).astype(np.float32)
    weights = rng.integers(-1, 4, (7, ads)).astype(np.float32)
    may, capped = rng.random((size, ads)) < rng.random(), rng.random((size, ads)) < 0.2
    return known, weights, may & ~capped, sieve(may, capped)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 140), st.integers(1, 20), st.floats(0, 1e4))
def test_propensities_are_those_of_the_inverse_gap_rule(seed: int, ads: int, top: int, gamma: float) -> None:
    known, weights, eligible, strained = requests(seed, 90, ads)
    made = choose_linear(known, weights, strained, seed=SEED, gamma=gamma, floor=0.02, top=top)
    values = (known @ weights).astype(np.float64)
    law = inverse_gap(values, eligible, gamma, 0.02, top=top)
    some = eligible.any(axis=1)
    assert (made["shown"][~some] == -1).all()
    assert (made["propensity"][~some] == 0).all()
    at = np.maximum(made["shown"], 0)[:, None]
    assert made["propensity"][some] == pytest.approx(np.take_along_axis(law, at, axis=1)[some, 0])
    assert (made["propensity"][some] >= 0.02 * (1 - 1e-9)).all()
    assert made["eligible"].tolist() == eligible.sum(axis=1).tolist()
    best = np.where(eligible, values, -np.inf)
    assert made["best"][some].tolist() == best.argmax(axis=1)[some].tolist()
    assert made["best_value"][some].tolist() == best.max(axis=1)[some].tolist()
    if top > 1:
        rivals = np.where(np.arange(best.shape[1]) == made["shown"][:, None], -np.inf, best).max(axis=1)
        assert made["rival_value"].tolist() == np.where(np.isfinite(rivals), rivals, 0.0).tolist()


def test_an_ad_is_shown_as_often_as_its_propensity_says() -> None:
    size, values = 40_000, np.asarray([10.0, 8.0, 9.5, 5.0, -1.0], dtype=np.float32)
    may = np.asarray([True, True, False, True, True])
    made = choose(np.tile(values, (size, 1)), sieve(np.tile(may, (size, 1))), **RULE)
    law = inverse_gap(values[None].astype(np.float64), may[None], 30.0, 0.01)[0]
    shares = np.bincount(made["shown"], minlength=5) / size
    assert shares == pytest.approx(law, abs=4 * 0.5 / size**0.5)
    assert made["propensity"][:100].tolist() == pytest.approx(law[made["shown"][:100]].tolist())


def test_a_request_is_decided_alike_alone_and_in_any_batch() -> None:
    rng = Chance(4).stream("batches")
    known, weights = rng.random((150, 13), dtype=np.float32), rng.random((13, 70), dtype=np.float32)
    may = rng.random((150, 70)) < 0.7
    whole = choose_linear(known, weights, sieve(may), **RULE)
    for start, end in ((0, 1), (1, 4), (4, 71), (71, 150)):
        part = choose_linear(known[start:end], weights, sieve(may[start:end]), first=start, **RULE)
        assert part.tobytes() == whole[start:end].tobytes()


@pytest.mark.skipif(numba.get_num_threads() < 2, reason="NUMBA_NUM_THREADS allows one thread; allow two")
def test_two_threads_decide_as_one_does() -> None:
    known, weights, _, strained = requests(8, 3000, 30)
    one, two = (choose_linear(known, weights, strained, threads=threads, **RULE) for threads in (1, 2))
    assert one.tobytes() == two.tobytes()


def test_values_that_are_not_numbers_are_a_mistake() -> None:
    for number in (np.nan, np.inf, -np.inf, -np.float32(np.nan)):
        values = np.asarray([[1.0, number]], dtype=np.float32)
        with pytest.raises(AssertionError, match="values are finite"):
            choose(values, sieve(np.ones((1, 2), dtype=bool)), **RULE)
    with pytest.raises(AssertionError, match="floor is at most 1 / top"):
        choose(values, sieve(np.ones((1, 2), dtype=bool)), seed=SEED, gamma=1.0, floor=0.5)
