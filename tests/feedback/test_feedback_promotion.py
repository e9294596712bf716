"""No evidence, no new model."""

from __future__ import annotations

import numpy as np
import pytest

from zhitou.core.errors import SchemaError
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.promotion import (
    Gates,
    LaterRows,
    LoggedDecisions,
    Shadow,
    judge,
    paired_loss_difference,
    policy_values,
)


def world(rows: int = 20_000, noise: float = 0.8, seed: int = 0) -> LaterRows:
    """Clicks of a known chance; the candidate knows it, the champion sees it through noise."""
    draw = np.random.default_rng(seed)
    logit = -3 + draw.standard_normal(rows)
    truth = 1 / (1 + np.exp(-logit))
    blurred = 1 / (1 + np.exp(-(logit * 0.3 - 1.8 + noise * 0.1 * draw.standard_normal(rows))))
    return LaterRows(draw.random(rows) < truth, blurred, truth, draw.integers(0, 500, rows))


def swapped(rows: LaterRows) -> LaterRows:
    return LaterRows(rows.labels, rows.candidate, rows.champion, rows.subject)


def decisions(rows: int, good: float, seed: int = 1) -> LoggedDecisions:
    """Two ads shown at even odds, clicked at 5 % and 20 %; the candidate shows the better one with chance `good`."""
    draw = np.random.default_rng(seed)
    action = draw.integers(0, 2, rows)
    reward = (draw.random(rows) < np.where(action, 0.2, 0.05)).astype(float)
    half = np.full(rows, 0.5)
    return LoggedDecisions(reward, half, half, np.where(action, good, 1 - good), draw.integers(0, 300, rows))


def test_a_model_that_knows_more_is_promoted():
    verdict = judge(world())
    assert verdict.promote
    assert verdict.loss_difference.high < 0
    assert "log loss is lower" in verdict.reason


def test_a_model_that_knows_less_is_not():
    verdict = judge(swapped(world()))
    assert not verdict.promote
    assert "no clear gain" in verdict.reason


def test_the_same_model_again_is_no_gain():
    rows = world()
    assert not judge(LaterRows(rows.labels, rows.champion, rows.champion, rows.subject)).promote


def test_a_few_clicks_prove_nothing():
    verdict = judge(world(rows=500))
    assert not verdict.promote
    assert "too little evidence" in verdict.reason


def test_rows_of_one_subject_do_not_count_as_independent():
    rows = world(rows=2_000)
    each = np.arange(2_000)
    tenfold = LaterRows(*(np.tile(v, 10) for v in (rows.labels, rows.champion, rows.candidate, each)))
    once = LaterRows(rows.labels, rows.champion, rows.candidate, each)
    wide, narrow = (paired_loss_difference(r) for r in (once, tenfold))
    assert narrow.value == pytest.approx(wide.value)
    assert narrow.high - narrow.low == pytest.approx(wide.high - wide.low)


def test_a_model_that_predicts_too_much_is_refused_whatever_its_loss():
    rows = world()
    loud = LaterRows(
        rows.labels, np.full(len(rows.labels), 0.5), np.minimum(rows.candidate * 1.4, 0.99), rows.subject
    )
    verdict = judge(loud)
    assert not verdict.promote
    assert "not calibrated" in verdict.reason


def test_a_policy_that_is_proven_worse_blocks_a_better_loss():
    assert judge(world(), decisions=decisions(20_000, good=0.9)).promote
    verdict = judge(world(), decisions=decisions(20_000, good=0.1))
    assert not verdict.promote
    assert "off-policy value falls" in verdict.reason


def test_the_off_policy_difference_holds_the_truth():
    champion, candidate, gain = policy_values(decisions(20_000, good=0.9))
    assert gain.low < (0.9 * 0.2 + 0.1 * 0.05) - 0.125 < gain.high
    assert gain.low > 0
    assert candidate.estimate.value - champion.estimate.value == pytest.approx(gain.value)


def test_logs_that_know_too_little_are_no_evidence():
    few = decisions(300, good=0.1)
    verdict = judge(world(), decisions=few)
    assert verdict.promote
    assert "not estimable" in verdict.value_candidate.refusal
    assert verdict.value_difference is None
    strict = judge(world(), decisions=few, gates=Gates(policy_value_needed=True))
    assert not strict.promote
    assert "not estimable" in strict.reason
    nothing = judge(world(), gates=Gates(policy_value_needed=True))
    assert "no decisions were given" in nothing.reason


def test_a_useless_candidate_is_promoted_in_at_most_one_of_twenty_worlds():
    promoted = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        labels = draw.random(6_000) < 0.05
        a, b = (0.05 * np.exp(0.1 * draw.standard_normal(6_000)) for _ in range(2))
        promoted += judge(LaterRows(labels, a, b, draw.integers(0, 400, 6_000))).promote
    assert promoted <= 5


def test_columns_of_different_length_are_refused():
    rows = world(rows=100)
    with pytest.raises(SchemaError, match="one length"):
        judge(LaterRows(rows.labels, rows.champion[:-1], rows.candidate, rows.subject))


SAME = Estimate(0.8, 0.78, 0.82)
NEEDED = Gates(shadow_requests_least=1_000)


def shadow(requests: int = 2_000, errors: int = 0, left_out: int = 0, p99: float = 3.0) -> Shadow:
    return Shadow(requests, errors, left_out, SAME, 1.0, p99)


def test_a_better_model_that_did_well_in_the_shadow_is_promoted():
    verdict = judge(world(), shadow=shadow(), gates=NEEDED)
    assert verdict.promote
    assert not verdict.waits
    assert verdict.shadow.scored == 2_000


@pytest.mark.parametrize(
    ("did", "why"),
    [
        (shadow(errors=3), "3 errors and 0 left out of 2,000 requests"),
        (shadow(left_out=3), "0 errors and 3 left out"),
        (shadow(p99=101.0), "too slow in the shadow: 101.0 ms"),
    ],
)
def test_a_better_model_that_failed_in_the_shadow_is_refused(did, why):
    verdict = judge(world(), shadow=did, gates=NEEDED)
    assert not verdict.promote
    assert not verdict.waits
    assert why in verdict.reason


def test_too_little_evidence_waits_and_a_refusal_does_not():
    assert judge(world(rows=500)).waits
    few = judge(world(), shadow=shadow(requests=999), gates=NEEDED)
    assert few.waits
    assert "999 requests in the shadow, 1,000 needed" in few.reason
    assert judge(world(), gates=NEEDED).waits
    assert not judge(swapped(world())).waits
