"""The registry: one champion, its past, and the way back."""

from __future__ import annotations

import json
import threading

import pytest

from zhitou.core.errors import ModelError, NotFoundError
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.promotion import Verdict
from zhitou.feedback.registry import REGISTRY_FILE, Entry, Refusal, Registry

NOTHING = Estimate(0.0, 0.0, 0.0, 0.95)
YES = Verdict(True, "log loss is lower", 10, 5, NOTHING, NOTHING)
NO = Verdict(False, "no clear gain", 10, 5, NOTHING, NOTHING)


@pytest.fixture
def registry(tmp_path) -> Registry:
    """Three models, v1 <- v2 <- v3, none in use."""
    registry = Registry(tmp_path)
    parent = None
    for number, version in enumerate(("v1", "v2", "v3")):
        (tmp_path / version).mkdir()
        registry.register(Entry(version, parent, number, {"ne": (0.9, 0.88, 0.92)}))
        parent = version
    return registry


def test_the_first_model_needs_no_verdict_and_the_next_does(registry):
    assert registry.champion() is None
    registry.promote("v1", None, 10)
    assert registry.champion() == "v1"
    with pytest.raises(ModelError, match="no verdict was given"):
        registry.promote("v2", None, 11)
    with pytest.raises(ModelError, match="no clear gain"):
        registry.promote("v2", NO, 11)
    assert registry.champion() == "v1"
    registry.promote("v2", YES, 12)
    assert registry.champion_folder() == registry.folder / "v2"


def test_the_history_says_when_and_why(registry):
    registry.promote("v1", None, 10)
    registry.promote("v2", YES, 12)
    assert [(c.action, c.before, c.after, c.at_us, c.reason) for c in registry.history()] == [
        ("first", None, "v1", 10, "the first model"),
        ("promote", "v1", "v2", 12, "log loss is lower"),
    ]


def test_a_rollback_goes_back_one_step_at_a_time(registry):
    registry.promote("v1", None, 10)
    registry.promote("v2", YES, 11)
    registry.promote("v3", YES, 12)
    assert registry.rollback(13, "clicks fell") == "v2"
    assert registry.rollback(14, "clicks fell again") == "v1"
    with pytest.raises(ModelError, match="no earlier model"):
        registry.rollback(15, "and again")
    assert registry.champion() == "v1"
    registry.promote("v3", YES, 16)
    assert registry.rollback(17, "no") == "v1"


def test_candidates_are_those_never_used_and_lineage_leads_back(registry):
    registry.promote("v1", None, 10)
    assert registry.versions() == ("v1", "v2", "v3")
    assert registry.candidates() == ("v2", "v3")
    assert registry.lineage("v3") == ("v3", "v2", "v1")
    assert registry.entry("v2").metrics == {"ne": (0.9, 0.88, 0.92)}


def test_facts_about_a_version_are_written_once(registry):
    registry.register(Entry("v1", None, 0, {"ne": (0.9, 0.88, 0.92)}))
    with pytest.raises(ModelError, match="new version"):
        registry.register(Entry("v1", None, 0, {"ne": (0.5, 0.4, 0.6)}))


def test_a_version_without_a_folder_or_with_a_path_in_its_name_is_refused(registry):
    for name in ("v9", "../v1", "", "a/b"):
        with pytest.raises(NotFoundError):
            registry.register(Entry(name, None, 0))
    with pytest.raises(NotFoundError):
        registry.champion_folder()
    with pytest.raises(NotFoundError):
        registry.promote("v9", YES, 1)


def test_another_reader_sees_the_switch_and_an_unfinished_one_is_not_there(registry):
    registry.promote("v1", None, 10)
    (registry.folder / f".{REGISTRY_FILE}.draft").write_text('{"champion": "v2"')  # a writer that died
    assert Registry(registry.folder).champion() == "v1"
    Registry(registry.folder).promote("v2", YES, 11)
    assert registry.champion() == "v2"
    assert json.loads((registry.folder / REGISTRY_FILE).read_text())["champion"] == "v2"


def test_a_candidate_may_stand_in_the_shadow_and_leaves_it_when_promoted_or_refused(registry):
    registry.promote("v1", None, 10)
    assert registry.shadow() is None
    registry.set_shadow("v2")
    assert registry.shadow() == "v2"
    registry.promote("v2", YES, 11)
    assert registry.shadow() is None
    registry.set_shadow("v3")
    registry.refuse("v3", 12, "no clear gain")
    assert registry.shadow() is None
    assert registry.candidates() == ()
    assert registry.refusals() == (Refusal("v3", 12, "no clear gain"),)
    with pytest.raises(ModelError, match="is in use"):
        registry.set_shadow("v2")


def test_another_candidate_being_promoted_leaves_the_shadow_alone(registry):
    registry.promote("v1", None, 10)
    registry.set_shadow("v3")
    registry.promote("v2", YES, 11)
    assert registry.shadow() == "v3"
    assert registry.champion() == "v2"


def test_figures_that_come_later_are_kept_with_their_intervals_and_times(registry):
    registry.measure("v1", {"calibration": (1.1, 1.0, 1.2)}, 20)
    registry.measure("v2", {"calibration": (0.9, 0.8, 1.0)}, 21)
    registry.measure("v1", {"calibration": (1.0, 0.9, 1.1)}, 22)
    assert [(m.at_us, m.metrics["calibration"]) for m in registry.measured("v1")] == [
        (20, (1.1, 1.0, 1.2)),
        (22, (1.0, 0.9, 1.1)),
    ]


def test_what_a_rollback_would_uncover_is_known_beforehand(registry):
    assert registry.before_champion() is None
    for at, version in enumerate(("v1", "v2", "v3")):
        registry.promote(version, YES, at)
    assert registry.before_champion() == "v2"
    registry.rollback(9, "no")
    assert (registry.champion(), registry.before_champion()) == ("v2", "v1")


def test_a_verdict_or_a_rollback_about_another_champion_changes_nothing(registry):
    registry.promote("v1", None, 10)
    registry.promote("v2", YES, 11, against="v1")
    with pytest.raises(ModelError, match="judged against v1, but v2 is in use"):
        registry.promote("v3", YES, 12, against="v1")
    with pytest.raises(ModelError, match="not in use any more"):
        registry.rollback(12, "late news", against="v1")
    assert registry.champion() == "v2"


def test_writers_take_turns_and_none_loses_its_change(registry):
    registry.promote("v1", None, 0)

    def write(worker: int) -> None:
        for n in range(10):
            Registry(registry.folder).measure("v1", {"n": (worker, n, 0)}, worker * 100 + n)

    workers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(m.at_us for m in registry.measured("v1")) == [w * 100 + n for w in range(4) for n in range(10)]


def test_a_registry_of_an_earlier_version_is_read(registry):
    change = {"action": "first", "before": None, "after": "v1", "at_us": 1, "reason": "the first model"}
    (registry.folder / REGISTRY_FILE).write_text(json.dumps({"champion": "v1", "history": [change]}))
    assert (registry.champion(), registry.shadow(), registry.refusals()) == ("v1", None, ())
