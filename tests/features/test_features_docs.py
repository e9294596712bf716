"""docs/features.md repeats what the columns say of themselves; this reads both."""

from pathlib import Path

from zhitou.core.chance import Chance
from zhitou.features.online import OnlineFeatures
from zhitou.features.tags import TAG_KINDS

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_page_lists_every_column_with_its_meaning_unit_range_and_neutral_value(items, book):
    lines = PAGE.read_text().splitlines()
    columns = OnlineFeatures(items, book, Chance(0)).columns
    expected = []
    for column in columns:
        neutral = "the average's" if column.neutral is None else f"{column.neutral:.4g}"
        bounds = f"{column.low:.4g} to {column.high:.4g}"
        expected.append(f"| `{column.name}` | {column.what} | {column.unit} | {bounds} | {neutral} |")
    assert [line for line in lines if line.startswith("| `") and line.count("|") == 6] == expected
    assert f"in {len(columns)} columns" in PAGE.read_text()


def test_the_page_names_the_kinds_of_tags():
    assert "Tags of categories, brands, price levels and parts of the day" in " ".join(PAGE.read_text().split())
    assert set(TAG_KINDS) == {"category", "brand", "price", "time"}
