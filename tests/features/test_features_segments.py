"""Segments: four kinds of shoppers put in are four segments found, named by what they are."""

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.features.acts import Acts
from zhitou.features.segments import Segments, build_segments
from zhitou.features.tags import build_profiles

DAY = 86_400
T0 = 1_700_006_400
CUT = T0 + 100 * DAY
KINDS = {"milk": (3, 9, 1), "toast": (7, 1, 8), "towel": (12, 1, 14), "butter": (30, 2, 20)}  # every, lines, hour


def shop_of(make_events, items, each=12):
    """`each` shoppers of every kind: they buy one thing, in their rhythm, basket and hour, each a little apart."""
    rows, rng = [], np.random.default_rng(3)
    for item, (every, lines, hour) in KINDS.items():
        for n in range(each):
            for day in range(0, 100 - every, every):
                at_s = T0 + day * DAY + hour * 3_600 + int(rng.integers(3_000))
                rows += [(f"{item}{n:02d}", "purchase", item, at_s, f"{item}{n}-{day}", 1_000_000, 1)] * lines
    acts = Acts.build(make_events(rows), items, CUT)
    return acts, build_profiles(acts, items, threads=1)


@pytest.fixture(scope="module")
def segments(make_events, items):
    acts, profiles = shop_of(make_events, items)
    return build_segments(acts, profiles, items, Chance(5), fewest=2, most=6)


def test_four_kinds_of_shoppers_are_four_segments(segments):
    assert max(segments.silhouettes, key=segments.silhouettes.get) == 4
    groups = {kind: {segments.of(f"{kind}{n:02d}") for n in range(12)} for kind in KINDS}
    assert all(len(names) == 1 for names in groups.values())
    assert len(set.union(*groups.values())) == 4


def test_a_segment_is_described_by_what_it_is(segments):
    milk = next(s for s in segments.segments if s.segment == segments.of("milk00"))
    assert milk.description == "twice weekly big baskets, strong in dairy, low prices, night shoppers; 12 shoppers"
    assert milk.segment == "twice-weekly-big-baskets-strong-in-dairy-low-prices-night-shoppers"
    assert milk.shoppers == 12


def test_segments_are_ordered_by_size_and_cover_everybody(segments):
    sizes = [s.shoppers for s in segments.segments]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(segments.subjects) == 48
    assert segments.by_subject()["towel03"] == segments.of("towel03")


def test_same_seed_same_bytes(make_events, items, segments, tmp_path):
    acts, profiles = shop_of(make_events, items)
    again = build_segments(acts, profiles, items, Chance(5), fewest=2, most=6)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert again.write(tmp_path / "a").read_bytes() == segments.write(tmp_path / "b").read_bytes()


def test_segments_come_back_from_disk_as_they_went(segments, tmp_path):
    segments.write(tmp_path)
    again = Segments.read(tmp_path)
    assert again.segments == segments.segments
    assert again.silhouettes == segments.silhouettes
    assert again.by_subject() == segments.by_subject()
    with pytest.raises(SourceError, match="zhitou features"):
        Segments.read(tmp_path / "nowhere")


def test_too_few_shoppers_are_one_segment(make_events, items):
    rows = [(s, "purchase", "milk", T0, s, 1_000_000, 1) for s in ("ann", "bob")]
    acts = Acts.build(make_events(rows), items, CUT)
    segments = build_segments(acts, build_profiles(acts, items, threads=1), items, Chance(1))
    assert [s.shoppers for s in segments.segments] == [2]
    assert segments.segments[0].description.startswith("single middling baskets")


def test_a_stranger_is_in_no_segment(segments):
    with pytest.raises(NotFoundError, match="in no segment"):
        segments.of("zoe")
