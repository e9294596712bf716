"""What a click is worth under each objective."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.strategy.value import bids_micros, paced


def book(*objectives: dict[str, Any], price_micros: int = 2_000_000) -> AdBook:
    camps = tuple(
        Campaign(
            campaign_id=f"c{n}",
            advertiser="a",
            name="n",
            currency="EUR",
            flight=Flight(0, 1, 1, 1),
            bid_micros=100_000,
            items=("i",),
            material=Material("b", "b", "#000000"),
            **what,
        )
        for n, what in enumerate(objectives)
    )
    ads = len(camps)
    return AdBook(
        ad_ids=tuple(f"ad{n}" for n in range(ads)),
        campaigns=camps,
        item=np.arange(ads, dtype=np.int32),
        campaign=np.arange(ads, dtype=np.int32),
        bid_micros=np.full(ads, 100_000),
        price_micros=np.full(ads, price_micros),
        channels=np.ones((ads, 3), dtype=bool),
    )


CLICKS = {"objective": "clicks"}
CPA = {"objective": "conversions", "target_cpa_micros": 3_000_000}
ROAS = {"objective": "value", "target_roas": 4.0}


def bid(objective: dict[str, Any], pcvr: float, **changes: Any) -> int:
    return int(bids_micros(book(objective, **changes), np.asarray([[pcvr]]))[0, 0])


def test_a_click_is_worth_the_bid_when_clicks_are_the_objective() -> None:
    assert bid(CLICKS, 0.0) == 100_000


def test_a_click_is_worth_the_conversions_it_brings_at_the_target_cost() -> None:
    assert bid(CPA, 0.02) == 60_000  # 0.02 * 3,000,000


def test_a_click_is_worth_the_revenue_it_brings_over_the_target_return() -> None:
    assert bid(ROAS, 0.05) == 25_000  # 0.05 * 2,000,000 / 4


def test_no_bid_exceeds_the_campaigns_most() -> None:
    assert bid(CPA, 0.9) == 100_000
    assert bid(ROAS, 0.9) == 100_000


def test_parts_of_a_micro_are_dropped() -> None:
    assert bid(CPA, 1e-6) == 3
    assert bid(CPA, 0.9e-6) == 2  # 2.7 micros


@pytest.mark.parametrize("objective", [CPA, ROAS])
def test_nothing_is_bid_on_what_is_not_known(objective: dict[str, Any]) -> None:
    assert bid(objective, float("nan")) == 0
    assert bid(ROAS, 0.05, price_micros=-1) == 0
    assert bid(CLICKS, float("nan")) == 100_000


def test_pacing_multiplies_each_campaigns_bids_and_rounds_down() -> None:
    the_book = book(CLICKS, CPA)
    bids = np.asarray([[101, 7], [0, 100_000]])
    assert paced(bids, np.asarray([0.5, 1.0]), the_book).tolist() == [[50, 7], [0, 100_000]]


def test_bids_are_whole_numbers() -> None:
    the_book = book(CLICKS, CPA, ROAS)
    bids = bids_micros(the_book, np.full((2, 3), 0.01))
    assert bids.dtype == np.int64
    assert paced(bids, np.full(3, 0.3), the_book).dtype == np.int64
