"""All ads that are running, as arrays: K ads of C campaigns. An ad is one item of one campaign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.campaign.campaign import CHANNELS, Campaign
from zhitou.catalog.table import ItemTable
from zhitou.core.ids import stable_id


@dataclass(frozen=True)
class AdBook:
    """K ads in a fixed order. item: int32 [K] row of the ItemTable; campaign: int32 [K] position in campaigns.

    bid_micros: int64 [K], the most a click may cost; price_micros: int64 [K], the item's price (-1 unknown);
    channels: bool [K, len(CHANNELS)].
    """

    ad_ids: tuple[str, ...]
    campaigns: tuple[Campaign, ...]
    item: np.ndarray
    campaign: np.ndarray
    bid_micros: np.ndarray
    price_micros: np.ndarray
    channels: np.ndarray

    def __len__(self) -> int:
        return len(self.ad_ids)

    @classmethod
    def build(cls, campaigns: tuple[Campaign, ...], items: ItemTable) -> AdBook:
        """One ad per campaign and item, campaigns and items in their given order.

        Refused: an item that the catalogue does not hold (NotFoundError).
        """
        pairs = [(number, items.row(item)) for number, camp in enumerate(campaigns) for item in camp.items]
        campaign = np.asarray([p[0] for p in pairs], dtype=np.int32)
        item = np.asarray([p[1] for p in pairs], dtype=np.int32)
        return cls(
            ad_ids=tuple(stable_id("ad", campaigns[n].campaign_id, str(items.ids[row])) for n, row in pairs),
            campaigns=campaigns,
            item=item,
            campaign=campaign,
            bid_micros=np.asarray([campaigns[n].bid_micros for n in campaign], dtype=np.int64),
            price_micros=items.price_micros[item],
            channels=np.asarray(
                [[ch in campaigns[n].targeting.channels for ch in CHANNELS] for n in campaign], dtype=bool
            ),
        )
