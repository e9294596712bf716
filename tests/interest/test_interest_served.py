"""The model without torch answers as the one with torch does, and a shopper kept up to date as one read anew."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.catalog.item import ITEM_SCHEMA
from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError, NotFoundError, SchemaError
from zhitou.events.histories import Histories
from zhitou.interest import weights
from zhitou.interest.config import InterestConfig, tiny
from zhitou.interest.kernels import turns
from zhitou.interest.model import Decoder
from zhitou.interest.predict import Interest
from zhitou.interest.served import Served
from zhitou.interest.tokens import Vocabulary, due_s, steps_of
from zhitou.learning.manifest import load_arrays, save_arrays
from zhitou.learning.transitions import TransitionConfig, Transitions

DAY, NOW = 86_400, 1_700_000_000
M = 40  # items
CONTEXT = 8


def _catalogue(size: int = M) -> ItemTable:
    rows = [
        {
            "item": f"i{n:03d}",
            "title": f"item of kind {n % 6} in {n % 4}",
            "category": f"a{n % 2} > b{n % 5} > c{n % 10}",
            "brand": f"brand {n % 3}",
            "price_micros": 1_000_000 * (1 + n % 7),
            "currency": "EUR",
        }
        for n in range(size)
    ]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


def _histories(rows: list[list[tuple[int, int, bool]]]) -> Histories:
    """Row r's events as (item, hours since the event before, whether it is of the same step)."""
    sizes = [len(row) for row in rows]
    flat = [event for row in rows for event in row]
    step, time_s = [], []
    for row in rows:
        number, now = -1, NOW
        for n, (_, hours, same) in enumerate(row):
            if n == 0 or not same:
                number, now = number + 1, now + hours * 3_600
            step.append(number)
            time_s.append(now)
    return Histories(
        subjects=np.asarray([f"s{r:05d}" for r in range(len(rows))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item=np.asarray([item for item, _, _ in flat], dtype=np.int32),
        action=np.asarray([item % 3 for item, _, _ in flat], dtype=np.int8),
        time_s=np.asarray(time_s, dtype=np.int64),
        step=np.asarray(step, dtype=np.int32),
        price_micros=np.full(len(flat), -1, dtype=np.int64),
        quantity=np.ones(len(flat), dtype=np.int64),
    )


def _drawn(seed: int, sizes: list[int]) -> Histories:
    rng = np.random.default_rng(seed)

    def row(size: int) -> Iterator[tuple[int, int, bool]]:
        for _ in range(size):
            yield int(rng.integers(M)), int(rng.integers(0, 200)), bool(rng.random() < 0.3)

    return _histories([list(row(size)) for size in sizes])


def _made(layers: int = 2, **settings: Any) -> Interest:
    """A model with random weights everywhere: nothing is zero by how it starts, so nothing is left untested."""
    items, past = _catalogue(), _drawn(0, [90])
    config = replace(tiny(), width=16, heads=2, layers=layers, context=CONTEXT, min_count=2, **settings)
    vocabulary = Vocabulary.build(past, items, config.min_count, config.words)
    near = None if config.nearby is None else Transitions.learn(past, len(items), config.nearby)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = Decoder(config, vocabulary)
        scales = [tensor for name, tensor in module.named_buffers() if name.endswith(("mean", "scale"))]
        for tensor in (*module.parameters(), *scales):
            torch.nn.init.normal_(tensor, std=0.4)
    module.gap_s.fill_(3 * DAY)
    return Interest(module, vocabulary, config, items, near=near)


@pytest.fixture(scope="module")
def model() -> Interest:
    return _made()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("served") / "model"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def served(folder) -> Served:
    return Served.load(folder, _catalogue())


def _close(one: np.ndarray, two: np.ndarray) -> None:
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)


def _one(histories: Histories, events: int | None = None) -> Histories:
    """The first subject, perhaps with its first events only."""
    row = histories.select(np.asarray([0]))
    return row if events is None else row.keep(np.arange(len(row.item)) < events)


# As with torch.


def test_scores_vectors_and_rankings_are_those_of_the_model_with_torch(served, model) -> None:
    walks = _drawn(3, [0, 1, 2, 5, CONTEXT, CONTEXT + 1, 40, 3, 0])
    few, later = np.asarray([7, 3, 39, 3]), NOW + 90 * DAY
    _close(served.vectors(walks), model.vectors(walks))
    _close(served.scores(walks), model.scores(walks))
    _close(served.scores(walks, at_s=later), model.scores(walks, at_s=later))
    _close(served.scores(walks, few), model.scores(walks)[:, few])
    for seen in (True, False):
        assert np.array_equal(served.topk(walks, M, exclude_seen=seen), model.topk(walks, M, exclude_seen=seen))


@pytest.mark.parametrize("layers", [1, 3])
def test_any_number_of_blocks_is_served(layers, tmp_path) -> None:
    model, walks = _made(layers), _drawn(4, [0, 3, 30])
    model.save(tmp_path)
    _close(Served.load(tmp_path).scores(walks), model.scores(walks))


OTHERS = {
    "no memory": {"memory": 0},
    "a memory of items only": {"groups": False},
    "tied": {"tied": True, "taste_share": 0.5},
    "words": {"words": 50},
    "nearby": {"nearby": TransitionConfig(reach=3, window=4, own=0.5, once=True), "candidates": 12},
    "nearby learnt fast": {"nearby": TransitionConfig(), "candidates": 12, "nearby_speed": 20.0},
    "all that sequences() has": {
        "memory": 0, "tied": True, "words": 50, "nearby": TransitionConfig(), "candidates": 100,
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", OTHERS.values(), ids=list(OTHERS))
def test_every_part_a_model_may_have_or_lack_is_served(settings, tmp_path) -> None:
    model, walks, few = _made(1, **settings), _drawn(4, [0, 3, 30, 2]), np.asarray([5, 1, 30])
    model.save(tmp_path / "model")
    weights.export(tmp_path / "model", tmp_path / "export", "float32")
    for name in ("model", "export"):
        served = Served.load(tmp_path / name)
        _close(served.scores(walks), model.scores(walks))
        _close(served.scores(walks, few), model.scores(walks, few))
        assert np.array_equal(served.topk(walks, 9, exclude_seen=True), model.topk(walks, 9, exclude_seen=True))
        shopper = served.start(_one(walks.select(np.asarray([2])), 11))
        for n in range(11, 30):
            event = (int(column[walks.offsets[2] + n]) for column in (walks.item, walks.action, walks.time_s))
            same = walks.step[walks.offsets[2] + n] == walks.step[walks.offsets[2] + n - 1]
            shopper = served.add(shopper, *event, together=bool(same))
        _close(served.scores_of(shopper), model.scores(walks)[2])


def test_more_threads_and_more_subjects_than_a_chunk_change_nothing(served, folder) -> None:
    walks = _drawn(5, [3, 0, 9] * 200)
    two = Served.load(folder, threads=2)
    assert np.array_equal(two.topk(walks, 5), served.topk(walks, 5))
    assert np.array_equal(two.scores(walks), served.scores(walks))
    _close(served.scores(walks)[401:402], served.scores(walks.select(np.asarray([401]))))


def test_nobody_is_answered_with_nothing(served) -> None:
    nobody = _drawn(5, [3]).select(np.zeros(0, dtype=np.int64))
    assert served.scores(nobody).shape == (0, M)
    assert served.topk(nobody, 3).shape == (0, 3)
    assert served.vectors(nobody).shape == (0, 16)
    assert served.topk(_drawn(5, [3]), 0).shape == (1, 0)


def test_a_fresh_interpreter_serves_without_ever_importing_torch(folder, served) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from zhitou.events.histories import Histories
from zhitou.interest.nearest import Nearest
from zhitou.interest.served import Served
served = Served.load(Path(sys.argv[1]))
none = np.zeros(0, np.int64)
nothing = Histories(np.asarray(["a"], dtype=object), np.zeros(2, np.int64), *[none] * 6)
shopper = served.add(served.start(nothing), 3, 0, 1_700_000_000)
Nearest(served.weights.embeddings.table, served.weights.embeddings.bias).best(served.query_of(shopper), 3)
print(served.topk_of(shopper, 3).tolist(), served.topk(nothing, 3).tolist())
assert "torch" not in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    shopper = served.add(served.start(_drawn(0, [0])), 3, 0, NOW)
    expected = (served.topk_of(shopper, 3).tolist(), served.topk(_drawn(0, [0]), 3).tolist())
    assert run.stdout.strip() == f"{expected[0]} {expected[1]}"


def test_angles_and_due_times_are_the_ones_of_training() -> None:
    for planes in (1, 2, 4, 8, 16):
        scale = torch.logspace(0, -1, planes, base=100.0).numpy()  # itself a few last places off
        np.testing.assert_allclose(turns(4 * planes, 1, 3).scale, scale, rtol=5e-7)
    walks = _drawn(6, [0, 1, 2, 3, 4, 17, 30, 0])
    steps = steps_of(walks)
    times = [steps.time_s[a:b] for a, b in pairwise(steps.offsets)]
    gaps = [int(np.median(np.diff(t))) if len(t) > 1 else 60 for t in times]
    due = [int(t[-1]) + gap if len(t) else 0 for t, gap in zip(times, gaps, strict=True)]
    assert due_s(steps, 60).tolist() == due
    assert np.array_equal(due_s(steps_of(_drawn(6, [0, 0])), 60), [0, 0])


# Kept up to date.

events = st.lists(
    st.tuples(st.integers(0, M - 1), st.integers(0, 5_000), st.booleans()), min_size=0, max_size=3 * CONTEXT
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=events, known=st.integers(0, 3 * CONTEXT), later_s=st.integers(-DAY, 400 * DAY))
def test_a_shopper_kept_up_to_date_equals_one_read_anew(served, row, known, later_s) -> None:
    """Wherever the history is cut, also inside an order, and far beyond the window."""
    whole = _histories([row])
    shopper = served.start(_one(whole, known))
    for n in range(min(known, len(row)), len(row)):
        same = n > 0 and whole.step[n] == whole.step[n - 1]
        shopper = served.add(shopper, int(whole.item[n]), int(whole.action[n]), int(whole.time_s[n]), together=same)
    at_s = NOW + later_s
    _close(shopper.state, served.vectors(whole))
    _close(served.scores_of(shopper)[None], served.scores(whole))
    _close(served.scores_of(shopper, at_s=at_s)[None], served.scores(whole, at_s=at_s))
    few = np.asarray([5, 1, 5])
    _close(served.scores_of(shopper, few), served.scores_of(shopper)[few])
    mine = served.topk_of(shopper, M, exclude_seen=True)
    assert set(mine[mine >= 0].tolist()) == set(range(M)) - set(whole.item.tolist())


def test_the_lines_of_an_order_may_come_together_or_one_by_one(served) -> None:
    at_once = served.add(served.start(_drawn(7, [5])), np.asarray([3, 9, 4]), np.asarray([0, 1, 2]), NOW + 99 * DAY)
    singly = served.start(_drawn(7, [5]))
    for n, (item, action) in enumerate([(3, 0), (9, 1), (4, 2)]):
        singly = served.add(singly, item, action, NOW + 99 * DAY, together=n > 0)
    assert at_once.steps == singly.steps
    _close(served.scores_of(at_once), served.scores_of(singly))


def test_a_query_and_the_table_give_what_the_decoder_says(served) -> None:
    shopper = served.start(_drawn(8, [0]))  # without a history there is nothing to remember
    table, bias = served.weights.embeddings.table, served.weights.embeddings.bias
    _close(table @ served.query_of(shopper) + bias, served.scores_of(shopper))


def test_a_history_of_100_000_events_is_answered(served) -> None:
    rng = np.random.default_rng(9)
    hours = rng.integers(0, 3, 100_000).tolist()
    long = _histories([[(n % M, hours[n], False) for n in range(100_000)]])
    shopper = served.add(served.start(long), 3, 0, int(long.time_s[-1]))
    assert shopper.steps == 100_001
    assert np.isfinite(served.scores_of(shopper)).all()
    _close(served.scores_of(served.start(long))[None], served.scores(long))


# Refused.


def test_what_has_no_answer_is_refused_in_words(served) -> None:
    walk = _drawn(10, [3])
    with pytest.raises(NotFoundError, match="item numbers from 0 to 39, got 40"):
        served.scores(replace(walk, item=np.asarray([1, 40, 2], np.int32)))
    with pytest.raises(NotFoundError, match="got -1"):
        served.scores(walk, np.asarray([3, -1]))
    with pytest.raises(SchemaError, match="actions from 0"):
        served.vectors(replace(walk, action=np.asarray([0, 1, 99], np.int8)))
    with pytest.raises(SchemaError, match="times that do not fall, but event 2, of 's00000'"):
        served.topk(replace(walk, time_s=np.asarray([5, 9, 7])), 3)
    with pytest.raises(SchemaError, match="whole numbers"):
        served.start(replace(walk, time_s=np.asarray([5, np.nan, 7])))
    with pytest.raises(SchemaError, match="Unix seconds as a whole number, got nan"):
        served.scores(walk, at_s=float("nan"))
    with pytest.raises(SchemaError, match="history of one subject, got 2"):
        served.start(_drawn(10, [3, 4]))
    with pytest.raises(ConfigError, match="0 or more"):
        served.topk(walk, -1)
    with pytest.raises(ConfigError, match="threads"):
        Served(served.weights, threads=0)


def test_times_may_fall_from_one_subject_to_the_next(served) -> None:
    walks = replace(_histories([[(1, 0, False)], [], [(2, 0, False)]]), time_s=np.asarray([9 * DAY, 2 * DAY]))
    assert np.isfinite(served.scores(walks)).all()


def test_a_step_that_cannot_be_is_refused_and_leaves_the_shopper_as_it_was(served) -> None:
    shopper = served.start(_drawn(11, [4]))
    before, last_s = served.scores_of(shopper), shopper.last_s
    none = np.zeros(0, dtype=np.int64)
    wrong = [
        (M, 0, last_s, NotFoundError),
        (1, -1, last_s, SchemaError),
        (1, 0, last_s - 1, SchemaError),
        (1, 0, float("nan"), SchemaError),
        (np.asarray([1.5]), 0, last_s, SchemaError),
        (none, none, last_s, SchemaError),
        (np.asarray([1, 2]), np.asarray([0]), last_s, SchemaError),
    ]
    for item, action, time_s, error in wrong:
        with pytest.raises(error):
            served.add(shopper, item, action, time_s)
    assert np.array_equal(served.scores_of(shopper), before)
    with pytest.raises(SchemaError, match="leave out `together`"):
        served.add(served.start(_drawn(11, [0])), 1, 0, NOW, together=True)


def test_altered_files_other_catalogues_other_models_and_broken_weights_are_refused(model, folder, tmp_path) -> None:
    with pytest.raises(ModelError, match="another catalogue of 40 items, this one has 41"):
        Served.load(folder, _catalogue(M + 1))
    arrays, manifest = load_arrays(folder)
    plain = {key: value for key, value in manifest.items() if key not in ("files", "format", "sha256")}
    save_arrays(tmp_path / "other", arrays, {**plain, "model": "response"})
    with pytest.raises(ModelError, match="'response' model"):
        Served.load(tmp_path / "other")
    save_arrays(tmp_path / "broken", {**arrays, "start": arrays["start"] * np.float32(np.nan)}, plain)
    with pytest.raises(ModelError, match=r"not finite in \['start'\]"):
        Served.load(tmp_path / "broken")
    save_arrays(tmp_path / "altered", arrays, plain)
    file = next((tmp_path / "altered").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        Served.load(tmp_path / "altered")


# Other models.


def test_a_table_that_was_saved_is_served_whatever_it_was_made_of(folder, served, tmp_path) -> None:
    arrays, manifest = load_arrays(folder)
    plain = {key: value for key, value in manifest.items() if key not in ("files", "format", "sha256")}
    images = {**arrays, "items.image.weight": np.ones((3, 16), np.float32)}
    save_arrays(tmp_path / "unknown", images, plain)
    with pytest.raises(ModelError, match=r"cannot be served, \['items.image.weight'\]"):
        Served.load(tmp_path / "unknown")
    table, bias = served.weights.embeddings.table[::-1], served.weights.embeddings.bias
    save_arrays(tmp_path / "ready", {**images, "table": table, "bias": bias}, plain)
    assert np.array_equal(Served.load(tmp_path / "ready").weights.embeddings.table, table)


def test_a_model_without_memories_is_served_by_taste_alone(folder, served, tmp_path) -> None:
    arrays, manifest = load_arrays(folder)
    plain = {key: value for key, value in manifest.items() if key not in ("files", "format", "sha256")}
    for gone in (("of_items",), ("of_types", "of_lines"), weights.MEMORIES):
        kept = {key: value for key, value in arrays.items() if key.split(".")[0] not in gone}
        silent = {key: value * 0 if key.split(".")[0] in gone else value for key, value in arrays.items()}
        save_arrays(tmp_path / "kept", kept, plain)
        save_arrays(tmp_path / "silent", silent, plain)
        walks = _drawn(12, [0, 4, 20])
        one, two = Served.load(tmp_path / "kept"), Served.load(tmp_path / "silent")
        _close(one.scores(walks), two.scores(walks))
        assert not np.allclose(one.scores(walks), served.scores(walks))
        assert np.array_equal(one.topk(walks, 9, exclude_seen=True), two.topk(walks, 9, exclude_seen=True))


def test_an_export_serves_the_same_and_says_what_it_is(folder, served, tmp_path) -> None:
    walks, size = _drawn(13, [0, 4, 20]), {}
    exact = served.scores(walks)
    for kind, most in (("float32", 0.0), ("bfloat16", 2.0**-8), ("int8", 2.0**-6)):
        weights.export(folder, tmp_path / kind, kind)
        again = Served.load(tmp_path / kind, _catalogue())
        assert again.weights.facts["tables"] == kind
        assert again.weights.facts["made_from"] == served.weights.facts["sha256"]
        table, kept = served.weights.embeddings.table, again.weights.embeddings.table
        assert np.abs(kept - table).max() <= most * np.abs(table).max()
        assert np.abs(again.scores(walks) - exact).max() <= 100 * most
        stored = load_arrays(tmp_path / kind)[0]
        size[kind] = sum(v.nbytes for k, v in stored.items() if k.split(".")[0] == "table")
    assert size["bfloat16"] == size["float32"] / 2
    assert size["int8"] == size["float32"] / 4 + 4 * M  # and one float per vector
    with pytest.raises(ConfigError, match="int4"):
        weights.export(folder, tmp_path / "no", "int4")


def test_an_export_can_be_exported_again(folder, tmp_path) -> None:
    weights.export(folder, tmp_path / "one", "float32")
    assert weights.export(tmp_path / "one", tmp_path / "two", "int8")
    assert weights.export(folder, tmp_path / "three", "int8")
    two, three = (load_arrays(tmp_path / name)[0] for name in ("two", "three"))
    assert all(np.array_equal(two[key], three[key]) for key in three)


def test_a_trained_model_is_served_as_it_predicts(tmp_path) -> None:
    from zhitou.interest.train import fit_interest

    walks = _drawn(14, [6] * 30)
    config: InterestConfig = replace(tiny(), fit=replace(tiny().fit, epochs=2))
    trained = fit_interest(walks, _catalogue(), config, Chance(1))
    trained.save(tmp_path)
    served = Served.load(tmp_path, _catalogue())
    _close(served.scores(walks), trained.scores(walks))
    assert np.array_equal(served.topk(walks, 10), trained.topk(walks, 10))
