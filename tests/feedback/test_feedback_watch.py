"""A champion that serves worse than promised is found out; a sound one is left alone however often one looks."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.feedback.watch import Health, HealthRules


def chances(rows: int, seed: int, ctr: float = 0.03) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """(true chances, labels, generator)."""
    draw = np.random.default_rng(seed)
    true = np.minimum(ctr * np.exp(0.7 * draw.standard_normal(rows) - 0.245), 0.9)
    return true, draw.random(rows) < true, draw


def blurred(true: np.ndarray, draw: np.random.Generator, spread: float) -> np.ndarray:
    return np.clip(true * np.exp(spread * draw.standard_normal(len(true)) - spread**2 / 2), 1e-6, 0.95)


def found(labels, champion, parent, step: int = 50, rules: HealthRules | None = None) -> tuple[int, str] | None:
    """(rows seen, reason) at the first look that rolls back; two rows are a decision."""
    health, unit = Health(rules), np.arange(len(labels)) // 2
    for start in range(0, len(labels), step):
        some = slice(start, start + step)
        if reason := health.add(labels[some], champion[some], parent[some], unit[some]):
            return start + step, reason
    return None


def test_a_champion_that_promises_three_times_too_much_is_found_within_a_thousand_rows():
    for seed in range(10):
        true, labels, draw = chances(4_000, seed)
        rows, reason = found(labels, np.minimum(3 * true, 0.99), blurred(true, draw, 0.3))
        assert rows <= 1_000
        assert "the model before" in reason


def test_a_champion_that_promises_a_third_is_found_too():
    true, labels, draw = chances(6_000, 3)
    assert found(labels, true / 3, blurred(true, draw, 0.3)) is not None


def test_a_champion_of_the_right_level_that_knows_less_is_found_by_its_losses():
    for seed in range(10):
        true, labels, draw = chances(20_000, seed)
        rows, reason = found(labels, blurred(true, draw, 1.2), blurred(true, draw, 0.2))
        assert rows < 10_000
        assert "foretells" in reason


def test_a_fall_after_a_long_good_time_is_found_about_as_fast():
    true, labels, draw = chances(30_000, 4)
    champion = np.where(np.arange(30_000) < 20_000, true, blurred(true, draw, 1.5))
    rows, _ = found(labels, champion, blurred(true, draw, 0.4))
    assert 20_000 < rows < 28_000


def test_two_models_as_good_as_each_other_are_hardly_ever_swapped():
    swaps = 0
    for seed in range(60):
        true, labels, draw = chances(10_000, 100 + seed)
        swaps += found(labels, blurred(true, draw, 0.5), blurred(true, draw, 0.5), step=200) is not None
    assert swaps <= 3


def test_a_world_that_moves_under_both_models_is_no_reason_to_go_back():
    true, labels, _ = chances(10_000, 5)
    assert found(labels, np.minimum(2 * true, 0.99), np.minimum(2.2 * true, 0.99)) is None


def test_nothing_is_said_before_enough_clicks_were_foretold():
    true, labels, _ = chances(40, 6)
    assert found(labels, true, true * 0.9, step=10) is None
    assert Health().add(labels[:0], true[:0], true[:0], np.zeros(0)) is None


def test_wider_limits_forgive_more():
    true, labels, draw = chances(3_000, 7)
    champion, parent = np.minimum(2.5 * true, 0.99), blurred(true, draw, 0.1)
    patient = HealthRules(ratio_within=(0.3, 3.0), expected_least=10**9)
    assert found(labels, champion, parent, rules=patient) is None
    assert found(labels, champion, parent) is not None


def test_the_health_counts_what_it_has_seen():
    true, labels, _ = chances(1_000, 8)
    health = Health()
    health.add(labels, true, true, np.arange(1_000))
    assert (health.rows, health.clicks) == (1_000, int(labels.sum()))
    assert health.expected == pytest.approx(true.sum())
