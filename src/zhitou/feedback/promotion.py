"""A new model replaces the old one only on evidence from later rows of our own logs. R = rows of that slice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.core.errors import SchemaError
from zhitou.evaluation.calibration import calibration_ratio
from zhitou.evaluation.classification import log_losses
from zhitou.evaluation.experiment import LEVEL, Estimate, RatioMoments
from zhitou.evaluation.offpolicy import PolicyValue, importance_weights, snips


@dataclass(frozen=True)
class Gates:
    """What a candidate must pass. calibration_within: predicted over observed; the interval must reach into it.

    shadow_*: of what it did beside the champion: requests that it must have scored (0: none needed), the share of
    them that may have failed or been left out, and the milliseconds that 99 of 100 may take.
    """

    positives_least: int = 100
    subjects_least: int = 50
    calibration_within: tuple[float, float] = (0.95, 1.05)
    policy_value_needed: bool = False
    shadow_requests_least: int = 0
    shadow_failed_most: float = 0.001
    shadow_latency_ms_p99_most: float = 100.0
    level: float = LEVEL


@dataclass(frozen=True)
class LaterRows:
    """Rows that neither model was trained on. labels: bool [R]; champion, candidate: float64 [R] probabilities;
    subject: int or object [R], whose rows are not independent of each other.
    """

    labels: np.ndarray
    champion: np.ndarray
    candidate: np.ndarray
    subject: np.ndarray


@dataclass(frozen=True)
class LoggedDecisions:
    """Decisions of a randomising policy, D of them. reward: float64 [D]; propensity: float64 [D], as logged.

    champion, candidate: float64 [D], chance that each model's policy takes the logged action. subject: [D].
    """

    reward: np.ndarray
    propensity: np.ndarray
    champion: np.ndarray
    candidate: np.ndarray
    subject: np.ndarray


@dataclass(frozen=True)
class Shadow:
    """What a candidate did with the champion's own requests, unseen by any shopper.

    requests: how many it was given; errors: how many it could not score; left_out: how many came too fast for it.
    same: share of the scored ones in which it would have filled every slot alike. latency_ms_*: of scoring one.
    """

    requests: int
    errors: int
    left_out: int
    same: Estimate
    latency_ms_p50: float
    latency_ms_p99: float

    @property
    def scored(self) -> int:
        """Requests with a decision of the candidate."""
        return self.requests - self.errors - self.left_out


@dataclass(frozen=True)
class Verdict:
    """promote, and why in one sentence. loss_difference: candidate - champion in nats a row, below 0 is better.

    calibration: of the candidate on the rows, which were shown. value_*: off-policy values, None where no decisions
    were given; value_difference: None where either is refused. shadow: as given. waits: nothing speaks against the
    candidate but too little evidence, so that the same question may be put again later.
    """

    promote: bool
    reason: str
    rows: int
    positives: int
    loss_difference: Estimate
    calibration: Estimate
    value_champion: PolicyValue | None = None
    value_candidate: PolicyValue | None = None
    value_difference: Estimate | None = None
    shadow: Shadow | None = None
    waits: bool = False


def judge(
    rows: LaterRows,
    *,
    decisions: LoggedDecisions | None = None,
    shadow: Shadow | None = None,
    gates: Gates | None = None,
) -> Verdict:
    """Whether the candidate may replace the champion. Without clear evidence the champion stays.

    In order: enough rows and requests in the shadow; it answered them, in time; log loss lower beyond its interval
    (clustered by subject); calibrated; and, where decisions are given, no proven loss of off-policy value. A value
    that is not estimable is no evidence: it blocks only where gates.policy_value_needed. Put the question once per
    candidate (and again while the verdict `waits`): every further look at a refused one is a new chance to be wrong.
    """
    gates = gates or Gates()
    if not len(rows.labels) == len(rows.champion) == len(rows.candidate) == len(rows.subject):
        raise SchemaError("expected labels, champion, candidate and subject of one length; align them by row")
    difference = paired_loss_difference(rows, gates.level)
    calibration = calibration_ratio(rows.labels, rows.candidate, gates.level)
    values = policy_values(decisions, gates.level) if decisions is not None else (None, None, None)
    waiting = _too_little(rows, shadow, gates)
    refusal = waiting or _shadow_refusal(shadow, gates) or _refusal(gates, difference, calibration, values)
    reach = f"interval {-difference.high:.2g} to {-difference.low:.2g}"
    better = f"log loss is lower by {-difference.value:.2g} nats a row, {reach}"
    return Verdict(
        promote=refusal is None,
        reason=refusal or better,
        rows=len(rows.labels),
        positives=int(np.sum(rows.labels)),
        loss_difference=difference,
        calibration=calibration,
        value_champion=values[0],
        value_candidate=values[1],
        value_difference=values[2],
        shadow=shadow,
        waits=waiting is not None,
    )


def paired_loss_difference(rows: LaterRows, level: float = LEVEL) -> Estimate:
    """Mean log loss of the candidate less the champion's, row by row, its interval over subjects."""
    each = log_losses(rows.labels, rows.candidate) - log_losses(rows.labels, rows.champion)
    code = np.unique(rows.subject, return_inverse=True)[1]
    return RatioMoments.of(np.bincount(code, each), np.bincount(code).astype(float)).interval(level)


def policy_values(
    decisions: LoggedDecisions, level: float = LEVEL
) -> tuple[PolicyValue, PolicyValue, Estimate | None]:
    """(champion's value, candidate's, candidate - champion) by self-normalised weights; None where refused.

    The difference is linearised and clustered by subject: both values come from the same rows.
    """
    weights = [importance_weights(t, decisions.propensity) for t in (decisions.champion, decisions.candidate)]
    code = np.unique(decisions.subject, return_inverse=True)[1]
    champion, candidate = (snips(decisions.reward, w, level, code) for w in weights)
    if champion.estimate is None or candidate.estimate is None:
        return champion, candidate, None
    influence = [
        w / w.mean() * (decisions.reward - value.estimate.value)
        for w, value in zip(weights, (champion, candidate), strict=True)
        if value.estimate is not None
    ]
    units = np.bincount(code, influence[1] - influence[0])
    n = len(units)
    error = float(np.sqrt(n / max(n - 1, 1) * (units @ units))) / len(code)
    gain = candidate.estimate.value - champion.estimate.value
    return champion, candidate, Estimate.normal(gain, error, level)


def _too_little(rows: LaterRows, shadow: Shadow | None, gates: Gates) -> str | None:
    """What is still missing before anything can be said, None if nothing is."""
    positives, subjects = int(np.sum(rows.labels)), len(np.unique(rows.subject))
    if positives < gates.positives_least or subjects < gates.subjects_least:
        return (
            f"too little evidence: {positives} positives of {subjects} subjects, "
            f"{gates.positives_least} of {gates.subjects_least} needed"
        )
    requests = shadow.requests if shadow else 0
    if requests < gates.shadow_requests_least:
        return f"too little evidence: {requests:,} requests in the shadow, {gates.shadow_requests_least:,} needed"
    return None


def _shadow_refusal(shadow: Shadow | None, gates: Gates) -> str | None:
    """What the candidate did wrong in the shadow, None if nothing."""
    if shadow is None or not shadow.requests:
        return None
    failed = shadow.errors + shadow.left_out
    if failed > gates.shadow_failed_most * shadow.requests:
        return (
            f"failed in the shadow: {shadow.errors:,} errors and {shadow.left_out:,} left out "
            f"of {shadow.requests:,} requests"
        )
    if shadow.latency_ms_p99 > gates.shadow_latency_ms_p99_most:
        return f"too slow in the shadow: {shadow.latency_ms_p99:.1f} ms for 99 of 100 requests"
    return None


def _refusal(
    gates: Gates,
    difference: Estimate,
    calibration: Estimate,
    values: tuple[PolicyValue | None, PolicyValue | None, Estimate | None],
) -> str | None:
    """The first gate that the candidate's predictions fail, in words; None if they pass them all."""
    low, high = gates.calibration_within
    if not difference.high < 0:
        return f"no clear gain: log loss changes by {difference.low:.2g} to {difference.high:.2g} nats a row"
    if calibration.high < low or calibration.low > high:
        return f"not calibrated: predicts {calibration.value:.2f} times what happened, {low} to {high} allowed"
    champion, candidate, gain = values
    if gain is not None and gain.high < 0:
        return f"off-policy value falls by {-gain.high:.2g} to {-gain.low:.2g} a decision"
    if gates.policy_value_needed and gain is None:
        refused = [v.refusal for v in (candidate, champion) if v is not None and v.refusal]
        return f"policy value needed, but {refused[0] if refused else 'no decisions were given'}"
    return None
