"""What came before an order, and what came before none: the paths that methods over all journeys learn from.

J = journeys, S = steps of all journeys together, K = channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from zhitou.feedback.attribution import Orders, Touches, links_of
from zhitou.feedback.facts import names_of


@dataclass(frozen=True)
class Journeys:
    """journey: int64 [S] ascending from 0; channel: int32 [S] in order of time within each journey.

    converted: bool [J], whether it ended in an order.
    """

    journey: np.ndarray
    channel: np.ndarray
    converted: np.ndarray

    def __len__(self) -> int:
        return len(self.converted)


def journeys_of(orders: Orders, touches: Touches, window_us: int, channels: int) -> Journeys:
    """One journey for each order that has touches, and one for each run of touches that led to no order.

    The steps of an order are its touches within `window_us` before it. Touches of no order are split by subject, and
    where more than window_us lies between two. A touch younger than the window may yet lead to an order: leave such
    touches out, or they count as led to none.
    """
    channel = touches.channel_below(channels)
    links = links_of(orders, touches, window_us)
    journey = np.cumsum(links.place == 0) - 1
    idle = np.ones(len(touches.time_us), dtype=bool)
    idle[links.touch] = False
    idle = np.flatnonzero(idle)
    who = names_of(pa.array(touches.subject, pa.string())).code[idle]
    by_time = np.lexsort((touches.campaign[idle], touches.time_us[idle], who))
    idle, who = idle[by_time], who[by_time]
    apart = np.ones(len(idle), dtype=bool)  # unknown subjects are nobody's: each of their touches is alone
    apart[1:] = (who[1:] != who[:-1]) | (who[1:] < 0) | (np.diff(touches.time_us[idle]) > window_us)
    sold = int((links.place == 0).sum())
    converted = np.arange(sold + int(apart.sum())) < sold
    return Journeys(
        np.concatenate([journey, sold + np.cumsum(apart) - 1]),
        channel[np.concatenate([links.touch, idle])],
        converted,
    )
