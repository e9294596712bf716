"""The batch: consent holds, the future is unreadable, the same seed gives the same bytes."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.clock import FixedClock
from zhitou.core.errors import ConfigError, NotFoundError
from zhitou.features.build import FeatureConfig, FeatureSet, build_features
from zhitou.privacy.consent import ConsentBook, ConsentChange
from zhitou.privacy.door import Door

DAY = 86_400
T0 = 1_700_006_400
CUT = T0 + 60 * DAY
FILES = ("profiles.parquet", "segments.parquet", "rules.parquet")


def year(make_events, shoppers=20):
    """Orders of random things at random times before the cut."""
    rng, rows = np.random.default_rng(9), []
    for s in range(shoppers):
        for n in range(rng.integers(2, 12)):
            at_s = T0 + int(rng.integers(60 * DAY))
            for item in rng.choice(("milk", "butter", "toast", "towel"), rng.integers(1, 4), replace=False):
                rows.append((f"s{s:02d}", "purchase", str(item), at_s, f"{s}-{n}", 1_500_000, 1))
    return make_events(rows)


def build(events, items, folder, refused=()):
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    pq.write_table(events, prepared / "events.parquet")
    consent = ConsentBook(("profile",))
    for subject in refused:
        consent.record(ConsentChange(subject, 0, (("profile", False),)))
    door = Door(prepared, consent, FixedClock(CUT * 1_000_000))
    config = FeatureConfig(segments_fewest=2, segments_most=3, rule_support_min=0.05, rule_lift_min=0.9, threads=1)
    return build_features(door, items, folder / "features", config, Chance(1), CUT)


def bytes_of(folder):
    return [(folder / "features" / name).read_bytes() for name in FILES]


def test_three_files_are_written_and_read_back(make_events, items, tmp_path):
    made = build(year(make_events), items, tmp_path)
    again = FeatureSet.read(tmp_path / "features")
    assert again.at_s == CUT
    assert again.profiles.table.equals(made.profiles.table)
    assert again.segments.by_subject() == made.segments.by_subject()
    assert again.rules == made.rules
    assert made.rules.rules


def test_who_refused_a_profile_is_in_none_of_them(make_events, items, tmp_path):
    made = build(year(make_events), items, tmp_path, refused=("s03",))
    assert "s03" not in made.segments.by_subject()
    assert len(made.profiles) == 19
    with pytest.raises(NotFoundError):
        made.profiles.row("s03")
    note = json.loads((tmp_path / "prepared" / "reads.jsonl").read_text())
    assert (note["purpose"], note["subjects_held_back"]) == ("profile", 1)


def test_same_seed_same_bytes_in_whatever_order_the_events_lie(make_events, items, tmp_path):
    events = year(make_events)
    build(events, items, tmp_path / "a")
    shuffled = events.take(pa.array(np.random.default_rng(2).permutation(events.num_rows)))
    build(shuffled, items, tmp_path / "b")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_nothing_from_the_cut_on_changes_a_byte(make_events, items, tmp_path):
    events = year(make_events)
    future = make_events(
        [
            ("s01", "purchase", "towel", CUT, "f1", 9_000_000, 50),
            ("s02", "purchase", "milk", CUT + DAY, "f2", 9_000_000, 50),
            ("s99", "purchase", "milk", CUT + DAY, "f3", 9_000_000, 50),
            ("s01", "purchase", "towel", CUT - DAY, "f4", 9_000_000, 50, CUT + DAY),  # not yet arrived
        ]
    )
    build(events, items, tmp_path / "a")
    build(pa.concat_tables([future, events]), items, tmp_path / "b")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


@pytest.mark.parametrize(
    "wrong",
    [{"segments_fewest": 1}, {"segments_most": 2}, {"rule_support_min": 0.0}, {"rule_length_max": 1}, {"threads": 0}],
)
def test_settings_that_cannot_be_met_are_refused(wrong):
    with pytest.raises(ConfigError):
        FeatureConfig(**wrong)


def test_a_catalogue_of_bare_names_and_views_without_a_purchase_still_make_features(make_events, tmp_path):
    rows = [{"item": name, "currency": "EUR"} for name in ("butter", "milk", "toast", "towel")]
    bare = ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))
    made = build(year(make_events), bare, tmp_path / "bare")
    assert len(made.profiles) == 20
    assert {tag["kind"] for row in made.profiles.table["tags"].to_pylist() for tag in row} == {"time"}
    views = [(f"s{s}", "view", "milk", T0 + s * 7_000) for s in range(9)]
    looked = build(make_events(views), bare, tmp_path / "views")
    assert looked.rules.rules == ()
    assert looked.segments.segments[0].description.startswith("single")
    assert made.profiles.describe("s01")
