"""Credit by what would be missing: a Markov chain over channels, and the share of orders lost without each.

K = channels. States: channel 0 to K - 1, then START, CONVERSION and NULL (K, K + 1, K + 2). Attributed, never caused:
the chain describes who was touched by what, and nobody was chosen at random.
"""

from __future__ import annotations

import numpy as np

from zhitou.feedback.attribution import Credits, Orders, Touches, by_channel_credit
from zhitou.feedback.journeys import Journeys, journeys_of

OUTSIDE = 3  # states that are no channel


def markov(orders: Orders, touches: Touches, window_us: int, channels: int) -> Credits:
    """Orders shared among the channels that touched them in proportion to the channels' removal effects.

    channels: K. See removal_effects for the effects and attribution.by_channel_credit for the sharing.
    """
    effects = removal_effects(journeys_of(orders, touches, window_us, channels), channels)
    return by_channel_credit(orders, touches, window_us, effects, "markov removal effect")


def removal_effects(journeys: Journeys, channels: int) -> np.ndarray:
    """float64 [K]: the part of all orders that the chain loses when a channel is taken out, each from 0 to 1.

    Anderl, Becker, von Wangenheim, Schumann, "Mapping the customer journey", IJRM 33 (2016): effect of channel s =
    1 - P(conversion without s) / P(conversion), where without s all steps into s lead to NULL. They do not sum to 1;
    divide by their sum for shares. All 0 where nobody converted.
    """
    counts = transition_counts(journeys, channels)
    everything = conversion_probability(counts)
    if everything <= 0:
        return np.zeros(channels)
    without = np.array([conversion_probability(counts, removed=channel) for channel in range(channels)])
    return np.clip(1.0 - without / everything, 0.0, 1.0)


def transition_counts(journeys: Journeys, channels: int) -> np.ndarray:
    """int64 [K + 3, K + 3]: how often a state followed another; journeys go from START to CONVERSION or NULL."""
    start, states = channels, channels + OUTSIDE
    first = np.ones(len(journeys.journey), dtype=bool)
    first[1:] = journeys.journey[1:] != journeys.journey[:-1]
    last = np.append(first[1:], True)[: len(first)]
    channel = journeys.channel.astype(np.int64)
    before = np.where(first, start, np.roll(channel, 1))
    end = np.where(journeys.converted[journeys.journey[last]], channels + 1, channels + 2)
    steps = np.concatenate([before * states + channel, channel[last] * states + end])
    return np.bincount(steps, minlength=states * states).reshape(states, states)


def conversion_probability(counts: np.ndarray, removed: int | None = None) -> float:
    """The chance that a walk from START ends in CONVERSION, where steps into `removed` end in NULL.

    h = Q h + r over the channels and START, solved once. Q: the chances of a step between them, r: of one to
    CONVERSION.
    """
    inner = len(counts) - OUTSIDE + 1  # the channels and START
    leaving = counts.sum(axis=1)
    chance = counts / np.maximum(leaving, 1)[:, None]
    step, wins = chance[:inner, :inner].copy(), chance[:inner, inner]
    if removed is not None:
        step[:, removed] = 0.0
    return float(np.linalg.solve(np.eye(inner) - step, wins)[inner - 1])
