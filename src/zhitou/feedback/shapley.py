"""Credit by fair division: the exact Shapley value of each channel over all sets of channels. K = channels.

A set of channels is a whole number from 0 to 2**K - 1: bit k says that channel k is in it. Attributed, never caused.
"""

from __future__ import annotations

import numpy as np

from zhitou.core.errors import ConfigError
from zhitou.feedback.attribution import Credits, Orders, Touches, by_channel_credit
from zhitou.feedback.journeys import Journeys, journeys_of

CHANNELS_MAX = 12


def shapley(orders: Orders, touches: Touches, window_us: int, channels: int) -> Credits:
    """Orders shared among the channels that touched them in proportion to the channels' Shapley values.

    channels: K, at most 12. See conversions_of_sets for what a set of channels is worth, and
    attribution.by_channel_credit for the sharing.
    """
    values = shapley_values(conversions_of_sets(journeys_of(orders, touches, window_us, channels), channels))
    return by_channel_credit(orders, touches, window_us, values, "shapley")


def conversions_of_sets(journeys: Journeys, channels: int) -> np.ndarray:
    """int64 [2**K]: the orders whose journeys used channels of the set and no other.

    Refused (ConfigError): more than 12 channels; join small ones first.
    """
    if not 1 <= channels <= CHANNELS_MAX:
        raise ConfigError(f"expected 1 to {CHANNELS_MAX} channels, got {channels}; join the smallest into one")
    sets = np.zeros(len(journeys), dtype=np.int64)
    np.bitwise_or.at(sets, journeys.journey, np.int64(1) << journeys.channel.astype(np.int64))
    return _over_subsets(np.bincount(sets[journeys.converted], minlength=2**channels).astype(np.int64), 1)


def shapley_values(value: np.ndarray) -> np.ndarray:
    """float64 [K]: what each channel adds to a set, on average over all orders in which the sets can grow.

    value: [2**K], what each set is worth. By dividends d, value(S) = sum of d(T) over subsets T of S (Harsanyi,
    "A simplified bargaining model for the n-person cooperative game", IER 4 (1963)): the value of channel k is the
    sum of d(T) / |T| over sets T with k. K 2**K additions instead of K! orders; whole numbers are divided last. The
    values sum to value(all) - value(none).

    >>> shapley_values(np.array([0, 10, 20, 60])).tolist()  # together they are worth 30 more than apart
    [25.0, 35.0]
    """
    channels = len(value).bit_length() - 1
    assert len(value) == 2**channels, "one value for each set of channels"
    dividend = _over_subsets(value, -1)
    sets = np.arange(len(value))
    size = np.bitwise_count(sets)
    values = np.zeros(channels)
    for channel in range(channels):
        inside = (sets >> channel) & 1 == 1
        by_size = [dividend[inside & (size == s)].sum() / s for s in range(1, channels + 1)]
        values[channel] = sum(by_size)
    return values


def _over_subsets(of_set: np.ndarray, sign: int) -> np.ndarray:
    """The sum over all subsets of each set (sign 1), or the inverse of that (sign -1)."""
    out = of_set.copy()
    for channel in range(len(out).bit_length() - 1):
        halves = out.reshape(-1, 2, 2**channel)
        halves[:, 1] += sign * halves[:, 0]
    return out
