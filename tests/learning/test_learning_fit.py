"""The training loop: what it promises about seeds, resuming, stopping and clocks."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.learning.fit import FitConfig, fit


def _module(seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module


def _rows() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    return x, x.sum(1, keepdim=True)


def _batches(epoch: int, rng: np.random.Generator) -> list[torch.Tensor]:
    return list(torch.from_numpy(rng.permutation(64)).split(16))


def _loss(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    x, y = _rows()
    return nn.functional.mse_loss(module(x[batch]), y[batch])


def _validate(module: nn.Module) -> float:
    x, y = _rows()
    return float(nn.functional.mse_loss(module(x), y).detach())


def _bytes(module: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in module.state_dict().values()]


def test_training_lowers_the_validation_value_and_reports_the_curve() -> None:
    module = _module()
    before = _validate(module.eval())
    report = fit(
        module, batches=_batches, loss=_loss, validate=_validate, config=FitConfig(epochs=6), chance=Chance(1)
    )
    assert _validate(module) < before
    assert [r.epoch for r in report.curve] == [0, 1, 2, 3, 4, 5]
    assert report.steps == 6 * 4
    assert report.stopped_by == "epochs"
    assert min(r.valid for r in report.curve if r.valid is not None) == report.curve[report.best_epoch].valid
    assert not module.training


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    modules = [_module(), _module(), _module()]
    common = {"batches": _batches, "loss": _loss, "validate": _validate, "config": FitConfig(epochs=2)}
    for module, seed in zip(modules, (5, 5, 6), strict=True):
        fit(module, chance=Chance(seed), **common)
    assert _bytes(modules[0]) == _bytes(modules[1])
    assert _bytes(modules[0]) != _bytes(modules[2])


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize(("stop_at_step", "by"), [(1, signal.SIGINT), (8, signal.SIGINT), (11, signal.SIGTERM)])
def test_a_run_stopped_by_ctrl_c_or_sigterm_goes_on_to_the_same_bytes(tmp_path, stop_at_step, by, average) -> None:
    config = FitConfig(epochs=4, patience=None, average=average)
    whole = _module()
    fit(whole, batches=_batches, loss=_loss, validate=_validate, config=config, chance=Chance(3))
    calls = []

    def interrupted(module: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == stop_at_step:
            os.kill(os.getpid(), by)
        return _loss(module, batch)

    common = {"batches": _batches, "validate": _validate, "config": config, "folder": tmp_path}
    common["chance"] = Chance(3)
    first = fit(_module(), loss=interrupted, **common)
    assert first.stopped_by == "interrupt"
    assert first.steps == stop_at_step
    resumed = _module(seed=9)  # its own weights do not matter: the checkpoint's are taken
    second = fit(resumed, loss=_loss, **common)
    assert second.stopped_by == "epochs"
    assert _bytes(resumed) == _bytes(whole)


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    common = {"batches": _batches, "validate": _validate, "config": FitConfig(epochs=2), "folder": tmp_path}
    first, second = _module(), _module(seed=4)
    fit(first, loss=_loss, chance=Chance(3), **common)
    report = fit(second, loss=lambda *_: pytest.fail("trained again"), chance=Chance(3), **common)
    assert report.stopped_by == "epochs"
    assert _bytes(first) == _bytes(second)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path) -> None:
    common = {"batches": _batches, "loss": _loss, "validate": _validate, "folder": tmp_path}
    fit(_module(), config=FitConfig(epochs=1), chance=Chance(3), **common)
    with pytest.raises(ModelError, match="another config"):
        fit(_module(), config=FitConfig(epochs=2), chance=Chance(3), **common)
    with pytest.raises(ModelError, match="another seed"):
        fit(_module(), config=FitConfig(epochs=1), chance=Chance(4), **common)


def test_it_stops_when_validation_no_longer_gets_better_and_keeps_the_best_epoch() -> None:
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    kept: list[list[bytes]] = []

    def validate(module: nn.Module) -> float:
        kept.append(_bytes(module))
        return next(values)

    module = _module()
    config = FitConfig(epochs=9, patience=2)
    report = fit(module, batches=_batches, loss=_loss, validate=validate, config=config, chance=Chance(1))
    assert report.stopped_by == "patience"
    assert report.best_epoch == 1
    assert len(report.curve) == 4
    assert _bytes(module) == kept[1]


def test_a_time_limit_is_kept_by_the_given_timer_and_only_when_asked_for() -> None:
    ticks = iter(range(100))
    config = FitConfig(epochs=9, max_seconds=1.5, patience=None)
    report = fit(
        _module(),
        batches=_batches,
        loss=_loss,
        validate=_validate,
        config=config,
        chance=Chance(1),
        timer=lambda: float(next(ticks)),
    )
    assert report.stopped_by == "max_seconds"
    assert len(report.curve) == 2


def test_a_loss_that_is_not_a_number_and_an_empty_epoch_are_refused() -> None:
    common = {"validate": None, "config": FitConfig(epochs=1), "chance": Chance(1)}
    with pytest.raises(ModelError, match="loss is nan"):
        fit(_module(), batches=_batches, loss=lambda m, b: _loss(m, b) * float("nan"), **common)
    with pytest.raises(ModelError, match="no batch"):
        fit(_module(), batches=lambda epoch, rng: [], loss=_loss, **common)


def test_the_running_mean_is_what_is_kept_and_training_goes_on_from_the_weights_themselves() -> None:
    """One weight w, loss (w - 1)^2: the mean lags behind the weight, which an unaveraged run shows."""
    ends = []
    for average in (0.0, 0.95):
        module = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(module.weight)
        config = FitConfig(epochs=3, lr=0.05, warmup=0, average=average, weight_decay=0.0)
        fit(
            module,
            batches=lambda epoch, rng: range(5),
            loss=lambda m, batch: (m.weight - 1).square().sum(),
            validate=None,
            config=config,
            chance=Chance(1),
        )
        ends.append(float(module.weight.detach()))
    assert 0 < ends[1] < ends[0] < 1


def test_the_global_generator_is_left_as_it_was() -> None:
    module = _module()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(module, batches=_batches, loss=_loss, validate=None, config=FitConfig(epochs=1), chance=Chance(1))
    assert torch.equal(torch.rand(3), expected)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"epochs": 0}, {"lr": 0.0}, {"warmup": -1}, {"patience": 0}, {"max_seconds": 0.0}):
        with pytest.raises(ConfigError):
            FitConfig(**wrong)


def test_two_threads_write_the_same_bytes_twice() -> None:
    def trained() -> bytes:
        module = torch.nn.Embedding(400, 16)
        torch.nn.init.ones_(module.weight)

        def loss(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
            rows = torch.zeros(50, 16).index_add(0, batch % 50, model(batch).sin())
            return (rows * torch.linspace(0, 1, 16)).square().mean()

        def batches(epoch: int, rng: np.random.Generator) -> list[torch.Tensor]:
            return [torch.from_numpy(rng.integers(0, 400, 20_000)) for _ in range(3)]

        fit(module, batches=batches, loss=loss, validate=None, config=FitConfig(epochs=2), chance=Chance(1))
        return module.weight.detach().numpy().tobytes()

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert trained() == trained() == trained()
    finally:
        torch.set_num_threads(before)
