"""The whole loop on a made-up shop: it closes, twice the same to the byte, and the shop can then be opened."""

import json
import sqlite3

import pytest

from zhitou.assembly import open_service
from zhitou.core.clock import FixedClock
from zhitou.core.errors import NotFoundError
from zhitou.delivery.receipt import from_bytes, matches
from zhitou.loop.run import figures
from zhitou.loop.study import POLICIES

NOW_US = 1_720_000_000_000_000


def receipts(outcome):
    with sqlite3.connect(outcome.folder / "store.sqlite") as store:
        return store.execute("select * from decisions order by 1").fetchall()


def test_every_row_of_the_source_is_accounted_for(two_runs):
    prepared = two_runs[0].prepared
    assert prepared.rows_in == prepared.events + prepared.duplicates + sum(prepared.quarantined.values())


def test_every_policy_has_shown_ads_in_every_world(two_runs):
    for result in two_runs[0].results:
        assert tuple(result.tallies) == POLICIES
        assert all(tally.impressions > 0 for tally in result.tallies.values())


def test_nobody_spends_more_than_a_budget(two_runs):
    assert [t.over_budget_micros for r in two_runs[0].results for t in r.tallies.values()] == [0] * 12


def test_the_same_seed_gives_the_same_decisions_and_receipts_to_the_byte(two_runs):
    first, second = two_runs
    assert [r.digest for r in first.results] == [r.digest for r in second.results]
    assert receipts(first) == receipts(second)
    assert len(receipts(first)) > 10


def test_the_same_seed_gives_the_same_banners_and_models_to_the_byte(two_runs):
    def contents(outcome, part):
        folder = outcome.folder / part
        return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    assert contents(two_runs[0], "creatives") == contents(two_runs[1], "creatives")
    assert contents(two_runs[0], "models/response") == contents(two_runs[1], "models/response")


def test_every_receipt_replays_to_the_last_bit(two_runs):
    for _, data, *_ in receipts(two_runs[0])[:50]:
        assert matches(from_bytes(data if isinstance(data, bytes) else data.encode()))


def test_who_refused_a_profile_is_not_learnt_from_and_gets_contextual_ads(two_runs):
    shop = two_runs[0].stage.shop
    refused = [s for s in shop.everybody.subjects if not shop.consent.allows(s, "profile")]
    assert refused
    assert not set(refused) & set(shop.histories.subjects)
    for batch in two_runs[0].results[0].decisions:
        for subject, row, basis in zip(batch.asks.subjects, batch.rows, batch.consent_basis, strict=True):
            assert (row == -1) == (subject in refused)
            assert ("contextual" in basis) == (subject in refused)


def test_propensities_are_logged_after_the_filters(two_runs):
    for batch in two_runs[0].results[0].decisions:
        total = batch.candidate_probability.sum(axis=1)
        assert abs(total[total > 0] - 1).max() < 1e-9
        assert (batch.candidate_probability[batch.reason > 0] == 0).all()
        assert (batch.propensity[batch.drawn >= 0] > 0).all()


def test_the_report_is_one_page_that_loads_nothing(two_runs):
    page = (two_runs[0].folder / "report.html").read_text()
    assert "Simulated:" in page
    assert "data:image/png;base64," in page
    assert "<link" not in page
    assert 'src="http' not in page


def test_the_figures_are_plain_json(two_runs):
    assert json.loads(json.dumps(figures(two_runs[0])))["policies"]["popular"]["ctr_lift"][0] == 0


def test_the_open_shop_explains_what_the_loop_decided(two_runs):
    service = open_service(two_runs[0].folder, FixedClock(NOW_US))
    try:
        decision_id = two_runs[0].results[0].decisions[0].decision_ids[0]
        assert service.receipt(decision_id)["decision_id"] == decision_id
        with pytest.raises(NotFoundError, match="not known here"):
            service.receipt("d_0")
    finally:
        service.close()
