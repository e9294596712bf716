"""Several processes train one module: to the weights that one process would have reached.

This file is also what the processes run: `torchrun --nproc-per-node 2 test_learning_parallel.py FOLDER`, or, without
the third process that torchrun itself is, with the variables that it sets.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.learning.fit import FitConfig, Weighted, fit
from zhitou.learning.parallel import Workers, joined, workers

ITEMS, SUBJECTS, SEEN = 30, 46, 5  # 46 subjects in batches of 8: the last has 6, and its halves 3 each
CONFIG = FitConfig(epochs=3, lr=0.02, warmup=3, patience=None, average=0.9)


class Taste(nn.Module):
    """The next item from the mean of the last five: small, but of the interest model's kind."""

    def __init__(self, sparse: bool = False, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.item = nn.Embedding(ITEMS, 8, sparse=sparse)
        self.query, self.never_used = nn.Linear(8, 8), nn.Linear(2, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)

    def forward(self, seen: Tensor) -> Tensor:
        return self.query(self.item(seen).mean(1)) @ self.item.weight.detach().T


def _world() -> tuple[Tensor, Tensor, Tensor]:
    """(seen [S, 5], next [S], weight [S]); subjects do not count alike."""
    rng = np.random.default_rng(3)
    seen = rng.integers(0, ITEMS, (SUBJECTS, SEEN))
    weight = torch.from_numpy(rng.uniform(0.1, 3, SUBJECTS).astype(np.float32))
    return torch.from_numpy(seen), torch.from_numpy(seen.max(1)), weight


def _batches(epoch: int, rng: np.random.Generator, size: int = 8) -> list[Tensor]:
    return list(torch.from_numpy(rng.permutation(SUBJECTS)).split(size))


def _loss(module: nn.Module, batch: Tensor) -> Weighted:
    seen, following, weight = (part[batch] for part in _world())
    each = nn.functional.cross_entropy(module(seen), following, reduction="none")
    return Weighted((each * weight).sum() / weight.sum(), float(weight.sum()))


def _plain_loss(module: nn.Module, batch: Tensor) -> Tensor:
    return _loss(module, batch).loss


def _validate(module: nn.Module) -> float:
    return float(_plain_loss(module, torch.arange(SUBJECTS)))


def _split(batch: Tensor, parts: int) -> list[Tensor]:
    """Uneven on purpose, and for a single subject fewer parts than were asked for."""
    middle = len(batch) // 3
    return [part for part in (batch[:middle], batch[middle:]) if len(part)]


def _train(name: str, module: nn.Module, folder: Path | None = None) -> dict[str, object]:
    """One of the ways to train, the same in one process and in two."""
    common = {"batches": _batches, "validate": _validate, "chance": Chance(4), "folder": folder}
    if name in ("shared", "rows"):
        report = fit(module, loss=_loss, config=CONFIG, split=_split, **common)
    else:
        report = fit(module, loss=_plain_loss, config=replace(CONFIG, accumulate=3), **common)
    weights = {key: value.tolist() for key, value in module.state_dict().items()}
    return {"train": [r.train for r in report.curve], "valid": [r.valid for r in report.curve], "weights": weights}


WAYS = ("shared", "rows", "dealt")


def _run(folder: Path) -> None:
    """What each of the two processes does: train in all ways; the others start from other weights on purpose."""
    torch.set_num_threads(1)
    with joined() as me:
        found = {
            way: _train(way, Taste(way == "rows", seed=me.rank), folder / "run" if way == "shared" else None)
            for way in WAYS
        }
        found["again"] = _train("shared", Taste(seed=7 + me.rank), folder / "run")
    (folder / f"threads{me.rank}.json").write_text(json.dumps(_threads()))
    (folder / f"rank{me.rank}.json").write_text(json.dumps(found))


def _threads() -> list[str]:
    """The names of this process's threads, of any language."""
    return [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, Path]:
    """What two processes found, and the folder they wrote to."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = []
    for rank in ("0", "1"):
        environment = {**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank}
        call = [sys.executable, __file__, str(folder)]
        started.append(subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        message = process.communicate(timeout=120)[1]
        assert process.returncode == 0, message
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    return first, second, folder


def test_no_thread_of_the_group_outlives_it(two) -> None:
    """One that did would now and then abort the process at its exit, after all work was done."""
    for rank in (0, 1):
        names = json.loads((two[2] / f"threads{rank}.json").read_text())
        assert names
        assert not [name for name in names if name.startswith(("gloo", "pt_"))]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_follow_the_same_curve_as_one(two, way) -> None:
    alone = _train(way, Taste(way == "rows"))
    for key in ("train", "valid"):
        assert two[0][way][key] == pytest.approx(alone[key], abs=1e-4)
    for name, value in alone["weights"].items():
        np.testing.assert_allclose(two[0][way]["weights"][name], value, atol=1e-4)


def test_both_processes_end_with_the_same_weights_to_the_bit(two) -> None:
    assert two[0] == two[1]


def test_the_first_process_alone_writes_and_both_read_what_it_wrote(two) -> None:
    assert two[0]["again"] == two[0]["shared"]
    assert {path.name.split("-")[0] for path in (two[2] / "run").iterdir()} == {
        "manifest.json",
        "best",
        "current",
        "mean",
        "optimizer",
    }


def test_a_step_of_many_small_batches_is_a_step_of_one_large_batch() -> None:
    """48 / 8 = 6 batches, three to a step, against batches of 24: weights differ within a batch, so plain means of
    the three would not do."""
    ends = []
    for size, accumulate in ((24, 1), (8, 3)):
        module = Taste()
        report = fit(
            module,
            batches=lambda epoch, rng, size=size: _batches(epoch, rng, size),
            loss=_loss,
            validate=None,
            config=replace(CONFIG, accumulate=accumulate, lr_floor=1.0),
            chance=Chance(4),
        )
        ends.append((report, module))
    assert ends[0][0].steps == ends[1][0].steps == 6
    for one, other in zip(ends[0][1].parameters(), ends[1][1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_the_weight_of_a_step_of_one_part_does_not_matter_to_the_last_bit() -> None:
    modules = [Taste(), Taste()]
    for module, loss in zip(modules, (_loss, _plain_loss), strict=True):
        fit(module, batches=_batches, loss=loss, validate=None, config=CONFIG, chance=Chance(4))
    for one, other in zip(*(m.state_dict().values() for m in modules), strict=True):
        assert torch.equal(one, other)


def test_without_torchrun_a_process_is_alone(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as me:
        assert me == workers() == Workers(rank=0, size=1)
    assert me.first


def test_half_of_torchruns_environment_is_refused(monkeypatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not"), joined():
        pass


def test_bfloat16_off_a_gpu_and_steps_of_no_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="this one is on cpu"):
        fit(
            Taste(),
            batches=_batches,
            loss=_loss,
            validate=None,
            config=replace(CONFIG, bf16=True),
            chance=Chance(1),
        )
    for wrong in ({"accumulate": 0}, {"checkpoint_every_steps": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            FitConfig(**wrong)


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
