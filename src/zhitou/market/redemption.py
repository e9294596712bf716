"""What became of earlier campaigns: how many of the contacted acted, and after how long."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.optimize import minimize

from zhitou.core import columns as c
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.market.config import MarketConfig

CONTACTS_MIN = 200
REDEEMED_MIN = 50


@dataclass(frozen=True)
class Redemption:
    """rate: redeeming share of contacts. Delay in days: Weibull(shape, scale_days). fitted: read from data.

    contacts, redeemed: counts behind the rate. delays_days: float64 [redeemed], the real delays.
    """

    rate: float
    shape: float
    scale_days: float
    fitted: bool
    contacts: int
    redeemed: int
    delays_days: np.ndarray

    def delay_days(self, uniform: np.ndarray) -> np.ndarray:
        """The delay at each quantile in [0, 1)."""
        return self.scale_days * (-np.log1p(-uniform)) ** (1 / self.shape)


def fit_redemption(responses: pa.Table | None, end_s: int, config: MarketConfig) -> Redemption:
    """From events of kinds send and conversion before `end_s` (EVENT_SCHEMA), joined by subject and campaign.

    The campaign stands in the context, {"campaign": ...}; without one, a subject's contacts are one. Only the
    first conversion after a contact counts. Falls back on the configuration where there is too little.
    """
    assumed = Redemption(config.conversion_rate, 1.0, config.delay_days, False, 0, 0, np.zeros(0))
    if responses is None or responses.num_rows == 0:
        return assumed
    sent, acted = _first_times(responses, "send", end_s), _first_times(responses, "conversion", end_s)
    pairs = [(start, acted.get(key)) for key, start in sorted(sent.items())]
    delays = np.asarray([(end - start) / SECONDS_PER_DAY for start, end in pairs if end is not None and end >= start])
    if len(pairs) < CONTACTS_MIN or len(delays) < REDEEMED_MIN:
        return assumed
    shape, scale = weibull(np.maximum(delays, 1 / 24))
    return Redemption(len(delays) / len(pairs), shape, scale, True, len(pairs), len(delays), delays)


def weibull(values: np.ndarray) -> tuple[float, float]:
    """(shape, scale) of greatest likelihood for positive values."""
    logs = np.log(values)

    def loss(point: np.ndarray) -> float:
        shape, scale = np.exp(point)
        z = logs - np.log(scale)
        return float(-(np.log(shape / scale) + (shape - 1) * z - np.exp(shape * z)).mean())

    found = minimize(loss, np.array([0.0, np.log(values.mean())]), method="Nelder-Mead", options={"maxiter": 400})
    shape, scale = np.exp(found.x)
    return float(shape), float(scale)


def _first_times(responses: pa.Table, kind: str, end_s: int) -> dict[tuple[str, str], int]:
    """Earliest Unix second by (subject, campaign)."""
    table = responses.filter(pa.compute.equal(responses[c.KIND], kind))
    seconds = table[c.OCCURRED_AT].cast(pa.int64()).to_numpy() // MICROSECONDS
    first: dict[tuple[str, str], int] = {}
    subjects, contexts = table[c.SUBJECT].to_pylist(), table[c.CONTEXT].to_pylist()
    for subject, context, at in zip(subjects, contexts, seconds.tolist(), strict=True):
        if at < end_s:
            key = (subject, _campaign(context))
            first[key] = min(at, first.get(key, at))
    return first


def _campaign(context: str | None) -> str:
    try:
        return str(json.loads(context or "{}").get(c.CAMPAIGN, ""))
    except (ValueError, AttributeError):
        return ""
