"""The model of short histories: titles, what came soon after what, no memory; and items that came after training."""

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
from zhitou.interest.batches import Examples
from zhitou.interest.committee import Committee, fit_committee
from zhitou.interest.config import InterestConfig, newcomers, sequences, visits
from zhitou.interest.newcomers import with_items
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import Vocabulary
from zhitou.interest.train import fit_interest, refresh
from zhitou.learning.fit import FitConfig
from zhitou.learning.transitions import TransitionConfig, Transitions

WALK = 12
COLOURS = ("red", "blue", "green")


def _catalogue(extra: int = 0) -> ItemTable:
    rows = [
        {
            "item": f"i{n:03d}",
            "title": f"{COLOURS[n % 3]} thing of {'left' if n % 2 else 'right'}",
            "category": f"shop > {COLOURS[n % 3]}",
            "brand": "known",
            "price_micros": 1_000_000,
            "currency": "EUR",
        }
        for n in range(WALK + extra)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(rows: list[list[int]]) -> Histories:
    sizes = [len(row) for row in rows]
    n = sum(sizes)
    return Histories(
        subjects=np.asarray([f"s{r:03d}" for r in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item=np.asarray([i for row in rows for i in row], dtype=np.int32),
        action=np.full(n, KIND_CODE["view"], dtype=np.int8),
        time_s=np.concatenate([np.arange(size, dtype=np.int64) * 60 for size in sizes]),
        step=np.concatenate([np.arange(size, dtype=np.int32) for size in sizes]),
        price_micros=np.full(n, -1, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )


def _ring(subjects: int = 24, length: int = 6) -> Histories:
    return _histories([[(start + n) % WALK for n in range(length)] for start in range(subjects)])


def _config(**changes: object) -> InterestConfig:
    small = replace(newcomers(), width=16, heads=1, dropout=0.1, id_dropout=0.0, words=50, positions_batch=64)
    fit = FitConfig(epochs=12, lr=1e-2, warmup=5, patience=None)
    return replace(small, fit=fit, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained() -> Interest:
    return fit_interest(_ring(), _catalogue(), _config(), Chance(1))


def test_it_learns_what_comes_next(trained) -> None:
    asked = _histories([[n, (n + 1) % WALK] for n in range(WALK)])
    top = trained.topk(asked, 1, exclude_seen=True)[:, 0]
    assert (top == (np.arange(WALK) + 2) % WALK).mean() >= 10 / WALK


def test_it_comes_back_from_disk_with_its_words_and_counts(trained, tmp_path) -> None:
    version = trained.save(tmp_path / "one")
    again = Interest.load(tmp_path / "one", _catalogue())
    assert np.array_equal(again.scores(_ring()), trained.scores(_ring()))
    assert again.vocabulary.words.known == trained.vocabulary.words.known
    assert again.save(tmp_path / "two") == version


def test_a_target_never_speaks_for_itself() -> None:
    walks = _histories([[0, 1, 2], [3, 4, 5], [3, 4, 6]])
    near = Transitions.learn(walks, WALK, TransitionConfig())
    vocabulary = Vocabulary.build(walks, _catalogue(), 1)
    examples = Examples(walks, vocabulary, _config(), near=near)
    assert examples.near is not None
    table = examples.near.toarray()  # rows: steps of all subjects; nobody else has 0, 1 or 2
    assert not table[:3].any()
    assert table[4].nonzero()[0].tolist() == [4, 6]  # after 3: the other visit went on to 4 and 6, never to 5
    assert table[7].nonzero()[0].tolist() == [4, 5]


def test_with_visits_that_repeat_own_items_are_remembered() -> None:
    back = _histories([[n, (n + 5) % WALK, n] for n in range(WALK)] * 3)  # everybody goes back to the first
    changes = {"memory": 8, "groups": False}
    interest = fit_interest(back, _catalogue(), _config(**changes), Chance(1))
    asked = _histories([[n, (n + 5) % WALK] for n in range(WALK)])
    assert (interest.topk(asked, 1)[:, 0] == np.arange(WALK)).mean() >= 10 / WALK


def test_an_item_that_came_after_training_is_served_at_once(trained) -> None:
    wide = with_items(trained, _catalogue(extra=3))  # i012 red, right; i013 blue, left; i014 green, right
    walks = _ring()
    shift = wide.scores(walks)[:, :WALK] - trained.scores(walks)  # of all items alike, as if each were seen less
    assert np.allclose(shift, np.log(144 / (144 + 36)) * float(trained.module.items.popularity.detach()), atol=1e-5)
    assert np.isfinite(wide.scores(walks)[:, WALK:]).all()
    names = wide.vocabulary.content[:, 1]
    assert names[12] == names[0]
    assert names[13] == names[1]
    assert wide.vocabulary.own[12:].tolist() == [0, 0, 0]
    assert wide.vocabulary.count[12:].tolist() == [12, 12, 12]  # of each other item there are 24 * 6 / 12


def test_a_newcomer_is_liked_where_its_like_are(trained) -> None:
    wide = with_items(trained, _catalogue(extra=1))  # as i000 and i006: red, right
    scores = wide.scores(_histories([[10, 11], [2, 3]]))
    assert scores[0, 12] > scores[1, 12]  # after 10 and 11 comes 0, after 2 and 3 comes 4


def test_a_catalogue_that_lacks_a_trained_item_is_refused(trained) -> None:
    wide = with_items(trained, _catalogue(extra=1))
    with pytest.raises(ModelError, match="'i012' of the trained model is not in the new catalogue"):
        with_items(wide, _catalogue())


def test_a_refresh_counts_anew_what_came_after_what(trained) -> None:
    newer = _histories([[(2 * n) % WALK for n in range(start, start + 4)] for start in range(12)])
    after = refresh(trained, newer, Chance(2), since_s=0)
    assert after.near is not None
    assert after.near.seen.sum() == 48
    assert trained.near.seen.sum() == 144


def test_training_twice_gives_the_same_bytes(tmp_path) -> None:
    for name in ("one", "two"):
        fit_interest(_ring(), _catalogue(), _config(), Chance(7)).save(tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_the_published_settings_are_valid_and_nonsense_is_refused() -> None:
    assert visits().choose_shares
    assert newcomers().id_dropout > sequences().id_dropout
    with pytest.raises(ConfigError, match="words"):
        replace(sequences(), words=-1)


@pytest.fixture(scope="module")
def committee() -> Committee:
    return fit_committee(_ring(), _catalogue(), _config(), Chance(1), members=2)


def test_its_scores_are_the_mean_of_its_members_log_probabilities(committee) -> None:
    walks = _ring(3, 4)
    parts = [np.exp(member.scores(walks)) for member in committee.members]
    mean = np.mean([np.log(p / p.sum(axis=1, keepdims=True)) for p in parts], axis=0)
    assert np.allclose(committee.scores(walks), mean, atol=1e-4)


def test_its_members_differ_by_chance_alone(committee) -> None:
    one, two = committee.members
    assert one.config == two.config
    assert not np.array_equal(one.scores(_ring()), two.scores(_ring()))


def test_it_ranks_what_is_new_to_the_shopper(committee) -> None:
    asked = _histories([[n, (n + 1) % WALK] for n in range(WALK)])
    top = committee.topk(asked, WALK, exclude_seen=True)
    assert (top[:, -2:] == -1).all()
    assert not (top == asked.item.reshape(WALK, 2)[:, :1]).any()


def test_it_comes_back_from_disk(committee, tmp_path) -> None:
    committee.save(tmp_path)
    assert np.array_equal(Committee.load(tmp_path, _catalogue()).scores(_ring()), committee.scores(_ring()))


def test_an_empty_or_mixed_committee_is_refused(committee, tmp_path) -> None:
    with pytest.raises(ConfigError, match="at least one member"):
        Committee.load(tmp_path, _catalogue())


def test_a_stranger_is_answered_and_so_is_a_history_of_100_000_events(trained) -> None:
    long = _histories([[n % WALK for n in range(100_000)], []])
    scores = trained.scores(long)
    assert np.isfinite(scores).all()
    assert scores[0].argmax() == 100_000 % WALK


def test_an_item_outside_the_catalogue_is_refused_by_name(trained) -> None:
    with pytest.raises(ModelError, match="item number 99 is not in the catalogue of 12 items"):
        trained.scores(_histories([[99, 1]]))
    with pytest.raises(ModelError, match="item number -1"):
        trained.topk(_histories([[-1, 1]]), 3)
    with pytest.raises(ModelError, match="item number 12"):
        trained.scores(_ring(), np.asarray([0, WALK]))
