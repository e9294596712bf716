"""A training process that is killed outright goes on from its last checkpoint as if nothing had been.

This file is also what the process to be killed runs: `python test_learning_kill.py FOLDER`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zhitou.core.chance import Chance
from zhitou.learning.fit import FitConfig, FitReport, fit

ROWS, BATCHES = 40, 7
CONFIG = FitConfig(epochs=5, lr=0.02, warmup=3, patience=None, average=0.9)


class Mixed(nn.Module):
    """Row-sparse and dense parameters, and dropout."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table, self.line = nn.Embedding(ROWS, 4, sparse=True), nn.Linear(4, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))


def _batches(epoch: int, rng: np.random.Generator) -> list[Tensor]:
    return [torch.from_numpy(rng.integers(0, ROWS, 6)) for _ in range(BATCHES)]


def _loss(module: nn.Module, batch: Tensor) -> Tensor:
    assert isinstance(module, Mixed)
    dropped = nn.functional.dropout(module.table(batch), 0.3, module.training)
    return (module.line(dropped)[:, 0] - batch / ROWS).square().mean()


def _validate(module: nn.Module) -> float:
    return float(_loss(module, torch.arange(ROWS)))


def _fit(module: nn.Module, config: FitConfig, folder: Path | None, loss=_loss) -> FitReport:
    return fit(
        module, batches=_batches, loss=loss, validate=_validate, config=config, chance=Chance(8), folder=folder
    )


def _run(folder: Path) -> None:
    """Train slowly and say each step aloud."""

    def loss(module: nn.Module, batch: Tensor) -> Tensor:
        print("step", flush=True)
        time.sleep(0.01)
        return _loss(module, batch)

    _fit(Mixed(seed=1), replace(CONFIG, checkpoint_every_steps=2), folder, loss)


def _steps_of(folder: Path) -> int:
    return json.loads((folder / "manifest.json").read_text())["progress"]["steps_done"]


def test_a_run_killed_twice_at_random_steps_ends_with_the_same_bytes(tmp_path) -> None:
    rng = np.random.default_rng(12)
    reached = [0]
    for _ in range(2):
        process = subprocess.Popen([sys.executable, __file__, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(rng.integers(3, 12)):
            assert process.stdout.readline() == "step\n"
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        reached.append(_steps_of(tmp_path))
    assert 0 < reached[1] < reached[2] < BATCHES * CONFIG.epochs
    whole, resumed = Mixed(seed=1), Mixed(seed=2)
    expected = _fit(whole, CONFIG, None)
    found = _fit(resumed, CONFIG, tmp_path)
    assert found.steps == expected.steps == BATCHES * CONFIG.epochs
    assert found.curve == expected.curve
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_a_killed_process_was_writing_is_cleared_away_by_the_next_checkpoint(tmp_path) -> None:
    draft = tmp_path / ".current-0123456789abcdef.safetensors.4711"
    draft.write_bytes(b"half a tens")
    _fit(Mixed(seed=1), replace(CONFIG, epochs=1), tmp_path)
    assert not draft.exists()


if __name__ == "__main__":
    torch.set_num_threads(1)
    _run(Path(sys.argv[1]))
