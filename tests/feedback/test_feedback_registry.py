"""The registry: one champion, its past, and the way back."""

from __future__ import annotations

import json

import pytest

from zhitou.core.errors import ModelError, NotFoundError
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.promotion import Verdict
from zhitou.feedback.registry import REGISTRY_FILE, Entry, Registry

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
