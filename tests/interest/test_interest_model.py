"""The trained model: what it learns, keeps, refuses, and never reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.events.histories import Histories
from zhitou.events.schema import KIND_CODE
from zhitou.interest.config import InterestConfig, laptop, one_gpu, tiny
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import Vocabulary, expected_next_s, gap_bucket, steps_of, typical_gap_s, weekday
from zhitou.interest.train import fit_interest, refresh
from zhitou.learning.fit import FitConfig

DAY = 86_400
WALK = 12  # items 0..11 are clicked in a ring: after n comes n + 1


def _catalogue(size: int = WALK, extra: int = 0) -> ItemTable:
    rows = [
        {
            "item": f"i{n:03d}",
            "title": f"item {n}",
            "category": "shoes > boots" if n % 2 else "hats > caps",
            "brand": "left" if n < size // 2 else "right",
            "price_micros": 1_000_000 * (1 + n),
            "currency": "EUR",
        }
        for n in range(size + extra)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(rows: list[list[int]], action: str = "view", gap_s: int = DAY) -> Histories:
    """Row r's items one after the other, `gap_s` apart, each a step of its own."""
    sizes = [len(row) for row in rows]
    n = sum(sizes)
    return Histories(
        subjects=np.asarray([f"s{r:03d}" for r in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item=np.asarray([i for row in rows for i in row], dtype=np.int32),
        action=np.full(n, KIND_CODE[action], dtype=np.int8),
        time_s=np.concatenate([np.arange(size, dtype=np.int64) * gap_s for size in sizes] or [np.zeros(0, np.int64)]),
        step=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes] or [np.zeros(0, np.int32)]),
        price_micros=np.full(n, -1, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )


def _ring(subjects: int = 12, length: int = 10) -> Histories:
    return _histories([[(start + n) % WALK for n in range(length)] for start in range(subjects)])


@pytest.fixture(scope="module")
def trained() -> Interest:
    config = replace(tiny(), refit=False, valid_share=0.0, id_dropout=0.0, dropout=0.0)
    config = replace(config, fit=FitConfig(epochs=40, lr=2e-2, warmup=5, patience=None))
    return fit_interest(_ring(), _catalogue(), config, Chance(1))


def test_it_learns_that_after_n_comes_n_plus_one_in_a_stream_of_clicks(trained) -> None:
    walks = _histories([[3, 4, 5], [8, 9, 10], [10, 11, 0]])
    assert trained.topk(walks, 1)[:, 0].tolist() == [6, 11, 1]


def test_seen_items_can_be_left_out_of_the_ranking(trained) -> None:
    walks = _histories([[3, 4, 5], []])
    top = trained.topk(walks, WALK, exclude_seen=True)
    assert set(top[0, :-3].tolist()) == set(range(WALK)) - {3, 4, 5}
    assert top[0, -3:].tolist() == [-1, -1, -1]
    assert sorted(top[1].tolist()) == list(range(WALK))


def test_what_is_read_of_an_order_does_not_depend_on_the_order_of_its_lines(trained) -> None:
    one, two = (_histories([row]) for row in ([2, 7, 4], [7, 2, 4]))
    together = [replace(h, step=np.asarray([0, 0, 1], np.int32), time_s=np.asarray([0, 0, DAY])) for h in (one, two)]
    np.testing.assert_allclose(trained.scores(together[0]), trained.scores(together[1]), rtol=1e-4, atol=1e-5)


def test_tags_are_words_of_the_catalogue_with_shares_of_the_next_step(trained) -> None:
    tags = trained.tags(_histories([[3, 4, 5], []]), top=3)
    assert tags[0]
    for tag in tags[0]:
        assert tag.word in {"shoes > boots", "hats > caps", "left", "right"}
        assert 0 < tag.weight <= 1 + 1e-6
    assert tags[1] == ()  # without a history nothing lies above the prior


def test_it_comes_back_from_disk_as_it_was(trained, tmp_path) -> None:
    walks = _ring(3, 4)
    version = trained.save(tmp_path / "one", {"figures": {"ndcg": 0.5}})
    again = Interest.load(tmp_path / "one", _catalogue())
    assert np.array_equal(again.scores(walks), trained.scores(walks))
    assert again.save(tmp_path / "two", {"figures": {"ndcg": 0.5}}) == version
    assert again.config == trained.config
    assert again.learnt == trained.learnt
    assert again.learnt["events"] == 12 * 10


def test_a_model_of_another_catalogue_is_refused(trained, tmp_path) -> None:
    trained.save(tmp_path)
    with pytest.raises(ModelError, match="another catalogue of 12 items, this one has 15"):
        Interest.load(tmp_path, _catalogue(extra=3))


def test_training_twice_with_one_seed_writes_the_same_bytes(tmp_path) -> None:
    for name in ("one", "two"):
        fit_interest(_ring(), _catalogue(), tiny(), Chance(7)).save(tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_a_training_that_was_kept_is_taken_up_again(tmp_path) -> None:
    first, second = (fit_interest(_ring(), _catalogue(), tiny(), Chance(7), tmp_path) for _ in range(2))
    assert np.array_equal(first.scores(_ring()), second.scores(_ring()))


def test_behaviour_without_any_event_is_refused() -> None:
    with pytest.raises(ModelError, match="no event"):
        fit_interest(_histories([[], []]), _catalogue(), tiny(), Chance(1))


def test_one_shopper_with_one_click_is_enough_to_train_on() -> None:
    model = fit_interest(_histories([[3]]), _catalogue(), tiny(), Chance(1))
    assert np.isfinite(model.scores(_histories([[3], []]))).all()


def test_refreshing_moves_scores_towards_newer_behaviour_and_leaves_the_old_model_alone(trained) -> None:
    asked = _histories([[2, 1]])
    before = trained.scores(asked).copy()
    newer = _histories([[2, 1, 7], [0, 1, 7], [5, 1, 7]] * 8)
    fresh = refresh(trained, newer, Chance(2), since_s=0, epochs=8, lr_share=0.5)
    assert trained.topk(asked, 1)[0, 0] != 7
    assert fresh.topk(asked, 1)[0, 0] == 7
    assert np.array_equal(trained.scores(asked), before)


def test_refreshing_with_nothing_new_changes_nothing(trained) -> None:
    fresh = refresh(trained, _ring(2, 3), Chance(2), since_s=10**9)
    assert np.array_equal(fresh.scores(_ring(2, 3)), trained.scores(_ring(2, 3)))


def test_items_never_seen_in_training_are_scored_by_what_they_are() -> None:
    """Every shopper takes hats only; of two items nobody ever saw, the hat comes first."""
    catalogue = _catalogue(extra=2)  # item 12 is a hat, item 13 are boots
    hats = _histories([[2 * ((start + n) % 6) for n in range(8)] for start in range(20)])
    config = replace(tiny(), id_dropout=0.5)
    scores = fit_interest(hats, catalogue, config, Chance(1)).scores(_histories([[0, 2, 4]]))
    assert scores[0, 12] > scores[0, 13]


def test_a_long_history_is_cut_to_the_context_for_the_decoder(trained) -> None:
    context = trained.config.context
    recent = [n % WALK for n in range(context)]
    one, two = _histories([[1, 2, 3, *recent]]), _histories([[9, 7, 9, *recent]])
    np.testing.assert_allclose(trained.vectors(one), trained.vectors(two), rtol=1e-4, atol=1e-5)
    assert not np.allclose(trained.scores(one), trained.scores(two))  # the memory still knows the beginning


def test_steps_gaps_and_weekdays() -> None:
    orders = replace(_histories([[1, 2, 3], [], [4]]), step=np.asarray([0, 0, 1, 0], np.int32))
    steps = steps_of(orders)
    assert steps.sizes.tolist() == [2, 0, 1]
    assert steps.lines.tolist() == [0, 2, 3, 4]
    assert gap_bucket(np.asarray([0, 900, 2_700])).tolist() == [1, 2, 3]
    assert weekday(np.asarray([0, 4 * DAY])).tolist() == [3, 0]  # 1970-01-01 was a Thursday


def test_the_next_step_is_expected_after_the_median_gap_but_not_in_the_past() -> None:
    walks = _histories([[1, 2, 3], [4], []])
    assert expected_next_s(walks, None, 60).tolist() == [3 * DAY, 60, 0]
    assert expected_next_s(walks, 9 * DAY, 60).tolist() == [9 * DAY] * 3


def test_the_typical_gap_is_measured_inside_subjects_only() -> None:
    assert typical_gap_s(_histories([[1, 2, 3], [], [4], [5, 6]], gap_s=60)) == 60
    assert typical_gap_s(_histories([[1], [2], []])) == DAY


def test_only_items_seen_often_enough_have_an_embedding_of_their_own() -> None:
    vocabulary = Vocabulary.build(_histories([[1, 1, 2]]), _catalogue(), min_count=2)
    assert np.flatnonzero(vocabulary.own).tolist() == [1]
    assert vocabulary.count[:3].tolist() == [0, 2, 1]


def test_settings_are_checked_and_presets_are_valid() -> None:
    assert all(isinstance(make(), InterestConfig) for make in (tiny, laptop, one_gpu))
    for wrong in ({"width": 20, "heads": 2}, {"context": 0}, {"valid_share": 1.0}):
        with pytest.raises(ConfigError):
            InterestConfig(**wrong)
