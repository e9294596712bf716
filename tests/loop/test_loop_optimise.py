"""A day of a practice world, replayed: a better model gets in, a worse one does not, a spoilt one is sent back."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.promotion import Verdict
from zhitou.feedback.registry import Entry, Registry
from zhitou.loop.guard import Guard
from zhitou.loop.narrator import Narrator
from zhitou.loop.optimise import Optimiser, Plan, keep_guarding, keep_optimising
from zhitou.loop.served import Served
from zhitou.response.compare import in_slots
from zhitou.response.practice import NAMES, practice
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

SECOND = 1_000_000
DAY_ROWS = 60_000
WINDOW_S = 60  # in which a click counts
NOTHING = Estimate(0.0, 0.0, 0.0)
YES = Verdict(True, "log loss is lower", 10, 5, NOTHING, NOTHING)


@pytest.fixture(scope="module")
def day() -> Rows:
    """Rows of one day with about 5 % clicks; the practice week, seven times as fast."""
    rows = practice(DAY_ROWS, Chance(11), ctr=0.05, curved=0.0).rows
    first = int(rows.time_s[0])
    return replace(rows, time_s=first + (rows.time_s - first) // 7)


@dataclass
class Replay:
    """Fulfils `Log`: the rows of a day, each decided by whoever was in use; two rows are one decision."""

    rows: Rows
    registry: Registry
    given: int = 0

    def settled(self, now_us: int, since_us: int = 0) -> Served:
        """As the port says."""
        time_us = self.rows.time_s * SECOND
        return self._served(np.flatnonzero((time_us > since_us) & (time_us + WINDOW_S * SECOND <= now_us)))

    def fresh(self, now_us: int) -> Served:
        """As the port says."""
        closed = int(np.searchsorted(self.rows.time_s, now_us // SECOND - WINDOW_S, side="right"))
        first, self.given = self.given, max(self.given, closed)
        return self._served(np.arange(first, self.given))

    def _served(self, at: np.ndarray) -> Served:
        rows = self.rows.select(at)
        changes = self.registry.history()
        who = np.searchsorted([c.at_us for c in changes], rows.time_s * SECOND, side="right") - 1
        model = np.asarray([c.after for c in changes], dtype=object)[np.maximum(who, 0)]
        decision = np.asarray([f"d{n // 2}" for n in at], dtype=object)
        subject = np.asarray([f"s{n % 900}" for n in at], dtype=object)
        spend = np.where(rows.clicked, 200_000, 0)
        return Served(rows, decision, subject, model if len(at) else decision, spend, "EUR")


def shop(tmp_path, model: Response, at_s: int) -> Registry:
    """A registry with this model in use."""
    folder = tmp_path / "models" / "response"
    registry = Registry(folder)
    add(registry, model, at_s)
    registry.promote(model.version, None, at_s * SECOND)
    return registry


def add(registry: Registry, model: Response, at_s: int, parent: str | None = None) -> str:
    model.save(registry.folder / model.version)
    registry.register(Entry(model.version, parent, at_s * SECOND))
    return model.version


def optimiser(registry: Registry, log, **plan) -> Optimiser:
    plan = {"shadow_requests": 0, "reference_rows": 4_000, **plan}
    folder = registry.folder.parent.parent
    return Optimiser(registry, log, folder, Chance(1), Narrator(quiet=True), Plan(**plan))


def at_row(day: Rows, number: int) -> int:
    """The moment at which this row's click window closes."""
    return (int(day.time_s[number]) + WINDOW_S) * SECOND


def louder(model: Response, logits: float) -> Response:
    """The same model, this much surer of a click."""
    line = replace(model.click.line, intercept=model.click.line.intercept + logits)
    return replace(model, click=replace(model.click, line=line))


def test_a_better_model_is_trained_from_the_champion_and_promoted_with_the_evidence_kept(tmp_path, day):
    first = fit_response(day.select(np.arange(3_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[2_999]))
    record = optimiser(registry, Replay(day, registry)).round(at_row(day, 40_000))
    assert record["verdict"]["outcome"] == "passed"
    champion = registry.champion()
    assert champion != first.version
    assert registry.lineage(champion) == (champion, first.version)
    value, low, high = registry.entry(champion).metrics["log_loss_difference"]
    assert low < value < high < 0
    later = day.select(np.arange(45_000, 60_000))
    loss = [
        -np.log(np.where(later.clicked, p, 1 - p)).mean()
        for p in (in_slots(m, later)[0] for m in (first, Response.load(registry.champion_folder())))
    ]
    assert loss[1] < loss[0]


def test_a_worse_candidate_in_the_shadow_is_refused_and_the_reason_is_kept(tmp_path, day):
    good = fit_response(day.select(np.arange(15_000)), chance=Chance(1))
    registry = shop(tmp_path, good, int(day.time_s[14_999]))
    worse = add(registry, louder(good, 0.6), int(day.time_s[15_000]), good.version)
    registry.set_shadow(worse)
    record = optimiser(registry, Replay(day, registry)).round(at_row(day, 40_000))
    assert record["verdict"]["outcome"] == "refused"
    assert registry.champion() == good.version
    assert [(r.version, "no clear gain" in r.reason) for r in registry.refusals()] == [(worse, True)]
    assert registry.shadow() is None
    assert registry.candidates() == ()
    low, high = registry.measured(worse)[0].metrics["calibration"][1:]
    assert 1.4 < low < high  # it predicts 0.6 logits too much


def test_a_candidate_with_too_little_evidence_stays_in_the_shadow(tmp_path, day):
    good = fit_response(day.select(np.arange(15_000)), chance=Chance(1))
    registry = shop(tmp_path, good, int(day.time_s[14_999]))
    registry.set_shadow(add(registry, louder(good, 0.1), int(day.time_s[20_000]), good.version))
    record = optimiser(registry, Replay(day, registry)).round(at_row(day, 20_300))
    assert record["verdict"]["outcome"] == "waits"
    assert registry.shadow() == louder(good, 0.1).version
    needs = optimiser(registry, Replay(day, registry), shadow_requests=10).round(at_row(day, 40_000))
    assert "0 requests in the shadow, 10 needed" in needs["verdict"]["reason"]


@pytest.fixture(scope="module")
def two_models(day) -> tuple[Response, Response, Rows]:
    """(one that never looked at affinity, one that leans on it, a day on which it turns to noise at row 35,000)."""
    early, column = np.arange(15_000), NAMES.index("affinity")
    blind, broken = day.fields.copy(), day.fields.copy()
    blind[:, column] = 0.0
    broken[35_000:, column] = 3 * np.random.default_rng(5).standard_normal(DAY_ROWS - 35_000)
    models = (fit_response(replace(day, fields=f).select(early), chance=Chance(1)) for f in (blind, day.fields))
    return (*models, replace(day, fields=broken))


def looks(guard: Guard, log: Replay, from_us: int, until_us: int, step_us: int):
    """Look again and again until something is rolled back; the change, None if nothing is."""
    for now_us in range(from_us, until_us, step_us):
        if change := guard.look(now_us):
            return change
    return None


def test_a_model_that_goes_bad_after_its_promotion_is_rolled_back_within_a_second_of_the_evidence(
    tmp_path, two_models
):
    old, new, broken = two_models
    found_us = 0
    for name in ("coarse", "fine"):
        registry = shop(tmp_path / name, old, int(broken.time_s[14_999]))
        log = Replay(broken, registry)
        registry.set_shadow(add(registry, new, int(broken.time_s[15_000]), old.version))
        assert optimiser(registry, log).round(at_row(broken, 25_000))["in_use"] == new.version
        guard = Guard(registry, log)
        if name == "coarse":
            change = looks(guard, log, at_row(broken, 25_001), at_row(broken, 59_999), 30 * SECOND)
            found_us = change.at_us
            continue
        near_us = found_us - 600 * SECOND
        assert looks(guard, log, at_row(broken, 25_001), near_us, 30 * SECOND) is None
        change = looks(guard, log, near_us, found_us + 3_600 * SECOND, SECOND // 4)
    assert (change.action, change.before, change.after) == ("rollback", new.version, old.version)
    assert registry.champion() == old.version
    assert 35_000 < log.given < 50_000
    proof_us = at_row(broken, log.given - 1)  # the row that tipped the scales became known then
    assert 0 <= change.at_us - proof_us < SECOND


def test_a_sound_model_is_not_rolled_back_in_a_whole_day(tmp_path, day, two_models):
    old, new, _ = two_models
    registry = shop(tmp_path, old, int(day.time_s[14_999]))
    add(registry, new, int(day.time_s[15_000]), old.version)
    registry.promote(new.version, YES, int(day.time_s[15_001]) * SECOND)
    log = Replay(day, registry)
    guard = Guard(registry, log)
    assert looks(guard, log, at_row(day, 15_002), at_row(day, 59_999), 60 * SECOND) is None
    assert guard.health.rows > 40_000


def test_the_first_model_has_nothing_to_go_back_to_and_stays(tmp_path, day):
    bad = louder(fit_response(day.select(np.arange(15_000)), chance=Chance(1)), 1.5)
    registry = shop(tmp_path, bad, int(day.time_s[14_999]))
    assert Guard(registry, Replay(day, registry)).look(at_row(day, 59_999)) is None


def test_drift_is_told_once_priced_and_kept_through_a_restart(tmp_path, two_models):
    old, _, broken = two_models
    registry = shop(tmp_path, old, int(broken.time_s[14_999]))
    rounds = optimiser(registry, Replay(broken, registry), rows_least=10**9)
    assert rounds.round(at_row(broken, 34_000))["alarms"] == []
    alarms = rounds.round(at_row(broken, 45_000))["alarms"]
    assert [(a["kind"], a["name"]) for a in alarms] == [("feature", "affinity")]
    assert alarms[0]["cost"]["currency"] == "EUR"
    again = optimiser(registry, Replay(broken, registry), rows_least=10**9)
    assert again.round(at_row(broken, 45_000))["alarms"] == []
    path = tmp_path / "optimise" / "alarms.jsonl"
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["affinity"]


@dataclass
class Waits:
    """Fulfils `Pace`: time passes as it is waited for, and a stop comes after so many waits."""

    now: int
    left: int

    def now_us(self) -> int:
        """As the port says."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """As the port says."""
        self.now += int(seconds * SECOND)
        self.left -= 1
        return self.left > 0


def test_a_stop_between_two_steps_leaves_a_state_that_the_next_run_goes_on_from(tmp_path, day):
    first = fit_response(day.select(np.arange(3_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[2_999]))
    stopped = optimiser(registry, Replay(day, registry))
    keep_optimising(stopped, Waits(at_row(day, 40_000), left=2), every_s=900)
    assert set(stopped.last) >= {"rows", "alarms"}
    assert "verdict" not in stopped.last
    assert registry.champion() == first.version
    assert not (tmp_path / "optimise" / "rounds.jsonl").exists()
    keep_optimising(optimiser(registry, Replay(day, registry)), Waits(at_row(day, 40_000), left=99))
    assert registry.champion() != first.version
    assert len((tmp_path / "optimise" / "rounds.jsonl").read_text().splitlines()) == 1


def test_a_schedule_makes_a_round_at_each_quarter_of_an_hour(tmp_path, day):
    first = fit_response(day.select(np.arange(3_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[2_999]))
    rounds = optimiser(registry, Replay(day, registry), rows_least=10**9)
    pace = Waits(at_row(day, 30_000), left=9)  # a round waits four times: after each of its steps, and for the next
    keep_optimising(rounds, pace, every_s=900)
    lines = (tmp_path / "optimise" / "rounds.jsonl").read_text().splitlines()
    times = [json.loads(line)["at_us"] for line in lines]
    assert np.diff(times).tolist() == [900 * SECOND, 900 * SECOND][: len(times) - 1]
    assert len(times) == 2


def test_a_verdict_that_came_too_late_promotes_nobody(tmp_path, two_models):
    """While the candidate was judged against the champion, the guard sent that one back."""
    old, new, broken = two_models
    registry = shop(tmp_path, old, int(broken.time_s[14_999]))
    add(registry, new, int(broken.time_s[15_000]), old.version)
    registry.promote(new.version, YES, int(broken.time_s[15_001]) * SECOND)
    rounds = optimiser(registry, Replay(broken, registry))
    candidate = add(registry, louder(old, 0.01), int(broken.time_s[15_002]), new.version)
    registry.rollback(int(broken.time_s[15_003]) * SECOND, "meanwhile")
    assert not rounds._promote(candidate, YES, new.version, at_row(broken, 20_000))
    assert registry.champion() == old.version


def test_the_guard_says_what_it_did_and_ends_when_asked(tmp_path, two_models):
    _, new, broken = two_models
    registry = shop(tmp_path, new, int(broken.time_s[14_999]))
    bad = louder(new, 1.0)
    add(registry, bad, int(broken.time_s[15_000]), new.version)
    registry.promote(bad.version, YES, int(broken.time_s[15_001]) * SECOND)
    keep_guarding(
        Guard(registry, Replay(broken, registry)), Narrator(quiet=True), Waits(at_row(broken, 18_000), left=5)
    )
    assert registry.champion() == new.version
    assert "the model before" in registry.history()[-1].reason


def test_a_shop_without_a_model_is_told_how_to_get_one(tmp_path, day):
    registry = Registry(tmp_path / "models" / "response")
    assert optimiser(registry, Replay(day, registry)).round(at_row(day, 100))["champion"] is None


def late(day: Rows, seed: int = 4) -> Rows:
    """The day with a purchase after every fifth click, two hours later on average, six at most."""
    rng, count = np.random.default_rng(seed), len(day)
    wait = rng.exponential(7_200, count)
    bought = day.clicked & (rng.random(count) < 0.2) & (wait < 21_600)
    times = {"click_s": np.where(day.clicked, day.time_s, -1), "refund_s": np.full(count, -1)}
    times["conversion_s"] = np.where(bought, day.time_s + wait.astype(int), -1)
    mature = np.ones(count, bool)  # until a moment is chosen
    return replace(day, clicked=day.clicked, converted=bought, mature=mature, **times)


@dataclass
class LateReplay(Replay):
    """A log that knows at each moment what had come by then."""

    def settled(self, now_us: int, since_us: int = 0) -> Served:
        """As the port says."""
        served = super().settled(now_us, since_us)
        # all of its rows, for the window of a click had closed before
        return replace(served, rows=served.rows.as_known_at(now_us // SECOND + 1, 21_600))


def test_purchases_that_are_still_to_come_are_told_from_purchases_that_never_come(tmp_path, day):
    rows = late(day)
    first = fit_response(rows.select(np.arange(12_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[11_999]))
    plan = {"conversion_seconds": 21_600.0}
    record = optimiser(registry, LateReplay(rows, registry), **plan).round(at_row(day, 30_000))
    assert "of those to come are in" in record["conversion_delay"]
    assert 0.7 < record["conversion_calibration"][0] < 1.4
    assert record["conversions_by_now"] < 0.2 * record["clicks"]
    candidate = Response.load(registry.folder / record["verdict"]["candidate"])
    coming = 0.2 * (1 - np.exp(-3.0))
    clicks = rows.select(rows.clicked)
    assert candidate.predict(clicks.fields, clicks.ad)[1].mean() == pytest.approx(coming, rel=0.15)


def test_a_log_without_times_says_so_and_its_figure_is_named_after_what_it_reads(tmp_path, day):
    first = fit_response(day.select(np.arange(15_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[14_999]))
    record = optimiser(registry, Replay(day, registry), rows_least=10**9).round(at_row(day, 40_000))
    assert "does not say when" in record["conversion_delay"]
    assert "conversion_calibration" not in record
    assert record["conversion_calibration_of_mature_clicks"][0] > 0


def test_a_line_that_a_crash_cut_off_is_no_round(tmp_path, day):
    first = fit_response(day.select(np.arange(3_000)), chance=Chance(1))
    registry = shop(tmp_path, first, int(day.time_s[2_999]))
    path = tmp_path / "optimise" / "rounds.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"at_us": 1}\n{"at_us"')
    rounds = optimiser(registry, Replay(day, registry), rows_least=10**9)
    rounds.round(at_row(day, 30_000))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["at_us"] for line in lines] == [1, at_row(day, 30_000)]
