"""The contract of a feature, run by every feature; and that no feature, online or in a table, sees its own future."""

from datetime import UTC, datetime

import ibis
import numpy as np
import pyarrow as pa
import pytest

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import Campaign, Flight, Material
from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.events.schema import EVENT_SCHEMA, KIND_CODE, KINDS
from zhitou.features.cells import AdCells
from zhitou.features.online import OnlineFeatures, all_features
from zhitou.features.protocol import SHOP, SHOPPER
from zhitou.features.table import TABLE_COLUMNS, training_table

START_S = 1_700_000_000
ASK_S = START_S + 40 * 86_400
SHOPPERS = ("ann", "bob", "cyd", "dan")


def catalogue():
    """Twelve items: three departments with categories and types, two brands; one item names neither."""
    paths = ("food > dairy > milk", "food > dairy > butter", "food > bread > toast", "home > paper > towels", "toys")
    rows = [
        {
            "item": f"i{n:02d}",
            "title": f"thing {n}",
            "category": paths[n % 5] if n != 11 else None,
            "brand": ("own", "other")[n % 2] if n != 11 else None,
            "price_micros": (n + 1) * 500_000 if n != 10 else None,
            "currency": "EUR",
        }
        for n in range(12)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def book(items):
    """Ten ads of three campaigns; two campaigns advertise the same item."""
    camps = [
        Campaign(
            campaign_id=f"c{n}",
            advertiser="a",
            name="n",
            currency="EUR",
            flight=Flight(0, 10**18, 10**9, 10**9),
            objective="clicks",
            bid_micros=100_000,
            items=tuple(str(items.ids[i]) for i in chosen),
            material=Material("b", "b", "#000000"),
        )
        for n, chosen in enumerate(((0, 1, 2, 10), (3, 4, 11), (0, 5, 6)))
    ]
    return AdBook.build(tuple(camps), items)


ITEMS = catalogue()
BOOK = book(ITEMS)
COLUMNS = tuple(c for f in all_features(AdCells.build(ITEMS, BOOK), Chance(0)) for c in f.columns)


def facts(n, seed, start_s=START_S, end_s=ASK_S):
    """n random facts as the six arrays of OnlineFeatures.write; some name no shopper, item, ad or price."""
    rng = np.random.default_rng(seed)
    codes = np.array([KIND_CODE[k] for k in ("purchase", "purchase", "click", "view", "impression", "conversion")])
    return (
        rng.integers(-1, len(SHOPPERS), n),
        rng.choice(codes, n).astype(np.int8),
        rng.integers(-1, len(ITEMS), n).astype(np.int32),
        rng.integers(-1, len(BOOK), n).astype(np.int32),
        rng.integers(start_s, end_s, n),
        rng.choice([-1, 0, 900_000, 2_500_000], n),
    )


def online(seed=7, shoppers=SHOPPERS):
    features = OnlineFeatures(ITEMS, BOOK, Chance(seed))
    features.subject_rows(list(shoppers))
    return features


def answers(features, time_s=ASK_S):
    rows = np.arange(-1, len(SHOPPERS))
    return features.value(rows, np.full(len(rows), time_s))


@pytest.mark.parametrize(
    "feature", all_features(AdCells.build(ITEMS, BOOK), Chance(0)), ids=lambda f: type(f).__name__
)
class TestEveryFeature:
    def test_says_of_each_column_what_it_is_in_which_unit_and_range(self, feature):
        for column in feature.columns:
            assert column.name
            assert column.what
            assert column.unit
            assert column.low < column.high

    def test_declares_its_states_once_each(self, feature):
        names = [state.name for state in feature.states()]
        assert len(set(names)) == len(names)
        assert all(state.per in (SHOPPER, SHOP) for state in feature.states())

    def test_tells_every_ad_its_cell_in_every_column(self, feature):
        keys = feature.keys()
        assert len(keys) == len(feature.columns)
        for key in keys:
            assert key.of_ad.shape == (len(BOOK),)
            assert key.of_ad.min() >= 0
            assert key.of_ad.max() < key.cells


@pytest.mark.parametrize("place", range(len(COLUMNS)), ids=[c.name for c in COLUMNS])
class TestEveryColumn:
    def test_stays_in_its_range(self, place):
        features = online()
        features.write(*facts(3_000, seed=1))
        for time_s in (ASK_S, ASK_S + 400 * 86_400):
            values = answers(features, time_s)[..., place]
            assert np.isfinite(values).all()
            assert values.min() >= np.float32(COLUMNS[place].low)
            assert values.max() <= np.float32(COLUMNS[place].high)

    def test_gives_an_unknown_shopper_its_neutral_value(self, place):
        features = online(shoppers=(*SHOPPERS, "new"))
        features.write(*facts(500, seed=2))
        unknown, new = features.value(np.array([-1, len(SHOPPERS)]), np.full(2, ASK_S))[..., place]
        if COLUMNS[place].neutral is not None:
            assert unknown == pytest.approx(COLUMNS[place].neutral, abs=1e-6)
        if COLUMNS[place].name != "random_number":
            np.testing.assert_array_equal(unknown, new)

    def test_cannot_see_its_own_future(self, place):
        past = facts(400, seed=3)
        alone = online()
        alone.write(*past)
        truth = answers(alone)[..., place]
        future = facts(300, seed=4, start_s=ASK_S, end_s=ASK_S + 86_400)
        future[4][:20] = ASK_S  # the very second of the question is future too
        order = np.random.default_rng(5).permutation(300)
        for invented in (future, [a[order] for a in future], [a[:100] for a in future]):
            features = online()
            features.write(*invented)
            features.write(*past)
            np.testing.assert_array_equal(answers(features)[..., place], truth)

    def test_is_the_same_however_the_facts_are_cut_and_ordered_when_written(self, place):
        given = facts(400, seed=6)
        given[4][:] = np.random.default_rng(7).permutation(len(given[4])) * 60 + START_S  # no two at one time
        whole, cut = online(), online()
        whole.write(*given)
        for part in np.array_split(np.random.default_rng(8).permutation(400), 7):
            cut.write(*(a[part] for a in given))
        np.testing.assert_array_equal(answers(cut)[..., place], answers(whole)[..., place])

    def test_is_the_same_when_facts_arrive_late_but_in_time_for_the_question(self, place):
        given = facts(400, seed=9)
        given[4][:] = np.random.default_rng(10).permutation(len(given[4])) * 60 + START_S
        prompt, late = online(), online()
        prompt.write(*given)
        half = np.arange(400) % 2 == 0
        late.write(*(a[half] for a in given))
        answers(late, ASK_S - 1)
        late.write(*(a[~half] for a in given))
        np.testing.assert_allclose(answers(late)[..., place], answers(prompt)[..., place], rtol=1e-5, atol=1e-5)

    def test_answers_a_batch_of_many_moments_like_one_at_a_time(self, place):
        given = facts(400, seed=11)
        rows = np.array([0, 1, 2, 3, 0, -1])
        times = START_S + np.array([30, 3, 20, 10, 25, 39]) * 86_400
        batch = online()
        batch.write(*given)
        together = batch.value(rows, times)[..., place]
        single = online()
        single.write(*given)
        for b in np.argsort(times):
            np.testing.assert_array_equal(single.value(rows[b : b + 1], times[b : b + 1])[0, :, place], together[b])

    def test_forgets_a_shopper_who_asks_for_it(self, place):
        features = online()
        features.write(*facts(400, seed=12))
        answers(features, ASK_S - 86_400)
        assert features.forget("bob")
        again = features.subject_row("bob")
        features.write(*(a[:0] for a in facts(1, seed=0)))
        values = features.value(np.array([again, -1, 1]), np.full(3, ASK_S))[..., place]
        if COLUMNS[place].name != "random_number":
            np.testing.assert_array_equal(values[0], values[1])
            np.testing.assert_array_equal(values[2], values[1])


def event_rows(n, seed, start_s=START_S, end_s=ASK_S):
    """n random events as dicts of EVENT_SCHEMA; one in five arrives up to ten days late, all times differ."""
    rng = np.random.default_rng(seed)
    kinds = ("purchase", "purchase", "purchase", "view", "click", "impression")
    times = start_s + rng.choice(end_s - start_s, n, replace=False)
    late = np.where(rng.random(n) < 0.2, rng.integers(1, 10 * 86_400, n), 0)
    return [
        {
            "event_id": f"e{seed}_{i}",
            "tenant": "t",
            "subject": str(rng.choice(SHOPPERS)),
            "kind": str(rng.choice(kinds)),
            "item": f"i{rng.integers(0, 13):02d}",  # i12 is not in the catalogue
            "occurred_at": datetime.fromtimestamp(int(times[i]), UTC),
            "received_at": datetime.fromtimestamp(int(times[i] + late[i]), UTC),
        }
        for i in range(n)
    ]


def request_rows(seed, n=60):
    rng = np.random.default_rng(seed)
    return [
        {
            "request": i,
            "subject": str(rng.choice((*SHOPPERS, "stranger"))),
            "item": str(ITEMS.ids[BOOK.item[rng.integers(len(BOOK))]]),
            "time_s": int(START_S + rng.integers(86_400, 39 * 86_400)),
        }
        for i in range(n)
    ]


def table_of(events, requests):
    events = ibis.memtable(pa.Table.from_pylist(events, schema=EVENT_SCHEMA))
    con = ibis.duckdb.connect()
    wanted = training_table(events, ITEMS, ibis.memtable(pa.Table.from_pylist(requests)))
    out = con.to_pyarrow(wanted.order_by("request"))
    con.disconnect()
    return out


def test_no_column_of_the_table_can_see_the_future():
    events, requests = event_rows(600, seed=20), request_rows(seed=21)
    cut = sorted(r["time_s"] for r in requests)[len(requests) // 2]
    asked = [r for r in requests if r["time_s"] <= cut]
    known = [e for e in events if e["occurred_at"].timestamp() < cut and e["received_at"].timestamp() <= cut]
    unknown = [e for e in events if e not in known]
    assert len(asked) > 20
    assert any(e["occurred_at"].timestamp() < cut for e in unknown), "some of them happened, and had not arrived"
    truth = table_of(known, asked)
    invented = event_rows(300, seed=22, start_s=cut, end_s=cut + 86_400)
    for future in (list(reversed(unknown)), unknown[::3] + invented):
        seen = table_of(known + future, asked)
        for name in seen.column_names[:3]:
            assert seen[name].equals(truth[name])
        for name in TABLE_COLUMNS:  # a window adds floats in its own order: last digits may differ
            np.testing.assert_allclose(seen[name].to_numpy(), truth[name].to_numpy(), rtol=0, atol=1e-12)


def replay(events, requests):
    """The online features of each request's ad, facts written in the order in which they arrived."""
    features, arrays = online(), Histories.from_arrow(pa.Table.from_pylist(events, schema=EVENT_SCHEMA), ITEMS)
    assert len(arrays) <= len(SHOPPERS)
    waiting = sorted(events, key=lambda e: e["received_at"])
    values, done = {}, 0
    for request in sorted(requests, key=lambda r: r["time_s"]):
        while done < len(waiting) and waiting[done]["received_at"].timestamp() <= request["time_s"]:
            event = waiting[done]
            item = ITEMS.find([event["item"]])
            row, kind = features.subject_row(event["subject"]), KINDS.index(event["kind"])
            time_s = int(event["occurred_at"].timestamp())
            if event["kind"] != "impression":
                features.write([row], [kind], item, [-1], [time_s], [-1])
            done += 1
        row = SHOPPERS.index(request["subject"]) if request["subject"] in SHOPPERS else -1
        answer = features.value(np.array([row]), np.array([request["time_s"]]))[0]
        ad = int(np.flatnonzero(ITEMS.ids[BOOK.item] == request["item"])[0])
        values[request["request"]] = dict(zip(features.names, answer[ad], strict=True))
    return values


def test_the_table_and_the_online_features_agree_on_every_column_they_share():
    events, requests = event_rows(600, seed=30), request_rows(seed=31)
    table, truth = table_of(events, requests), replay(events, requests)
    assert table.num_rows == len(requests)
    for row in table.to_pylist():
        for name in TABLE_COLUMNS:
            assert row[name] == pytest.approx(truth[row["request"]][name], abs=2e-5), name
