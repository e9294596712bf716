"""The only training loop: epochs of batches, a later time slice to stop on, checkpoints that resume exactly.

Same module, batches, config and seed give the same bytes on the same machine with as many threads: the order
of batches depends on (seed, epoch), dropout on (seed, epoch, step), and nothing on the clock, unless
`max_seconds` is set. That is also why an interrupted run needs no generator state to go on where it stopped.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.learning.checkpoints import MANIFEST, load_groups, save_groups
from zhitou.learning.progress import Progress, Silent

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    epochs: passes over the batches at the most. lr: peak step of AdamW, reached after `warmup` steps, then
    falling along a cosine to `lr_floor` times itself at the last epoch. weight_decay touches matrices only.
    patience: stop after so many epochs without a better validation (None = never). clip: largest norm of a
    gradient. eps: what AdamW adds below its fraction; a large one keeps rows that are seldom touched from
    being moved by noise alone. average: above 0, the weights that are validated and kept are a running mean that
    keeps this share of itself at each step. max_seconds: a wall limit; it makes the result depend on the machine,
    so None is the default and limits in epochs are preferred.
    """

    epochs: int = 5
    lr: float = 3e-3
    lr_floor: float = 0.1
    weight_decay: float = 0.01
    warmup: int = 20
    patience: int | None = 2
    clip: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    average: float = 0.0
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.lr <= 0 or self.warmup < 0:
            raise ConfigError("training needs epochs >= 1, lr > 0 and warmup >= 0")
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"patience is at least 1 epoch, or None for never; got {self.patience}")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise ConfigError(f"max_seconds must be above zero, got {self.max_seconds}")


@dataclass(frozen=True)
class EpochResult:
    """Mean training loss of an epoch and the validation value after it (None without validation)."""

    epoch: int
    train: float
    valid: float | None


@dataclass(frozen=True)
class FitReport:
    """What happened. best_epoch counts from 0 and is the one whose weights the module now has.

    seconds are of this call alone. stopped_by: "epochs", "patience", "interrupt" or "max_seconds".
    """

    curve: tuple[EpochResult, ...]
    best_epoch: int
    seconds: float
    stopped_by: str
    steps: int


@contextmanager
def _deterministic() -> Iterator[None]:
    """Sums in one order, whatever the threads do: without it two threads gave other weights in each of three runs."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def fit(
    module: Module,
    *,
    batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    loss: Callable[[Module, Batch], Tensor],
    validate: Callable[[Module], float] | None,
    config: FitConfig,
    chance: Chance,
    folder: Path | None = None,
    progress: Progress | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> FitReport:
    """Train `module` in place and leave it, in eval mode, with the weights of its best epoch.

    batches(epoch, generator) yields one epoch; loss(module, batch) is a scalar; validate(module) is lower
    when better and must look at a later time slice than the batches (None: the last epoch is the best). With
    a `folder`, each epoch ends in a checkpoint, Ctrl-C stops after the step at hand and leaves one too, and a
    later call with the same arguments goes on from it to the same bytes.

    Refused (ModelError): a checkpoint of another config, seed or module; a loss that is not finite.
    """
    run = _Run(module, config, chance, folder)
    progress = progress or Silent()
    begun = timer()
    with _interrupt() as interrupted, torch.random.fork_rng(devices=[]), _deterministic():
        try:
            while run.stopped_by is None:
                _epoch(run, batches, loss, progress, interrupted)
                if interrupted.is_set():
                    break
                with run.averaged():
                    run.close_epoch(None if validate is None else _validated(module, validate))
                if config.max_seconds is not None and timer() - begun >= config.max_seconds:
                    run.stopped_by = run.stopped_by or "max_seconds"
                run.save()
        finally:
            progress.stop()
    if run.stopped_by is None:
        run.save()
    run.take_best()
    return FitReport(tuple(run.curve), run.best_epoch, timer() - begun, run.stopped_by or "interrupt", run.steps_done)


def _epoch(
    run: _Run,
    batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    loss: Callable[[Module, Batch], Tensor],
    progress: Progress,
    interrupted: threading.Event,
) -> None:
    """Train on what is left of the run's current epoch, one optimiser step a batch."""
    stream = batches(run.epoch, run.chance.stream("batches", run.epoch))
    total = len(stream) if isinstance(stream, Sized) else None
    progress.start(f"epoch {run.epoch + 1}/{run.config.epochs}", total)
    run.module.train()
    for step, batch in enumerate(stream):
        if step >= run.step:
            run.learn(loss, batch, total)
        progress.advance(f"loss {run.train_sum / max(run.step, 1):.4f}")
        if interrupted.is_set():
            return
    if run.step == 0:
        raise ModelError(f"epoch {run.epoch + 1} had no batch; the training slice holds no behaviour")


def _validated(module: Module, validate: Callable[[Module], float]) -> float:
    module.eval()
    with torch.no_grad():
        return float(validate(module))


class _Run:
    """Where a training run stands: all that a checkpoint must hold."""

    def __init__(self, module: Module, config: FitConfig, chance: Chance, folder: Path | None) -> None:
        self.module, self.config, self.chance, self.folder = module, config, chance.child("fit"), folder
        self.optimizer = _optimizer(module, config)
        self.epoch, self.step, self.steps_done, self.train_sum = 0, 0, 0, 0.0
        self.curve: list[EpochResult] = []
        self.best_epoch, self.best_value = -1, math.inf
        self.best: dict[str, Tensor] = {}
        self.stopped_by: str | None = None
        self.mean: dict[str, Tensor] = {}
        if config.average:
            self.mean = {k: v.detach().clone() for k, v in module.named_parameters()}
        if folder is not None and (folder / MANIFEST).exists():
            self._resume(folder)

    def learn(self, loss: Callable[[Module, Batch], Tensor], batch: Batch, total: int | None) -> None:
        """One optimiser step."""
        torch.manual_seed(self.chance.number("step", self.epoch, self.step) % 2**63)
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr(total)
        self.optimizer.zero_grad(set_to_none=True)
        value = loss(self.module, batch)
        number = float(value.detach())
        if not math.isfinite(number):
            raise ModelError(f"the loss is {number} in epoch {self.epoch + 1}; lower lr or check the inputs")
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip, foreach=True)
        self.optimizer.step()
        if self.mean:
            keep = min(self.config.average, (1 + self.steps_done) / (10 + self.steps_done))
            for name, parameter in self.module.named_parameters():
                self.mean[name].lerp_(parameter.detach(), 1 - keep)
        self.train_sum += number
        self.step += 1
        self.steps_done += 1

    def _lr(self, total: int | None) -> float:
        """Linear warm-up by steps, then a cosine over epochs (over steps where an epoch has a length)."""
        warm = min(1.0, (self.steps_done + 1) / (self.config.warmup + 1))
        passed = (self.epoch + (self.step / total if total else 0.0)) / self.config.epochs
        fall = 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))
        return self.config.lr * warm * (self.config.lr_floor + (1 - self.config.lr_floor) * fall)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module with the running mean of its weights, if one is kept; afterwards with its own again."""
        own = {name: parameter.detach().clone() for name, parameter in self.module.named_parameters() if self.mean}
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(self.mean.get(name, parameter))
        yield
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(own.get(name, parameter))

    def close_epoch(self, valid: float | None) -> None:
        """Note the epoch's result and decide whether the run ends here."""
        self.curve.append(EpochResult(self.epoch, self.train_sum / self.step, valid))
        if valid is None or valid < self.best_value:
            self.best_epoch, self.best_value = self.epoch, math.inf if valid is None else valid
            self.best = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        patience = self.config.patience
        if patience is not None and valid is not None and self.epoch - max(self.best_epoch, 0) >= patience:
            self.stopped_by = "patience"
        self.epoch, self.step, self.train_sum = self.epoch + 1, 0, 0.0
        if self.epoch >= self.config.epochs:
            self.stopped_by = self.stopped_by or "epochs"

    def take_best(self) -> None:
        """Give the module the best weights seen, if an epoch was finished, and leave it in eval mode."""
        if self.best:
            self.module.load_state_dict(self.best)
        self.module.eval()

    def _facts(self) -> dict[str, object]:
        config = {**asdict(self.config), "betas": list(self.config.betas)}
        shapes = {k: list(v.shape) for k, v in self.module.state_dict().items()}
        return {"config": config, "seed": self.chance.seed, "shapes": shapes}

    def save(self) -> None:
        """Everything needed to go on from here, in one move."""
        if self.folder is None:
            return
        state = self.optimizer.state_dict()["state"]
        moments = {f"{p}.{key}": value for p, entry in state.items() for key, value in entry.items()}
        groups = {"current": self.module.state_dict(), "best": self.best, "optimizer": moments, "mean": self.mean}
        where = {
            "epoch": self.epoch,
            "step": self.step,
            "steps_done": self.steps_done,
            "train_sum": self.train_sum,
            "curve": [[r.epoch, r.train, r.valid] for r in self.curve],
            "best_epoch": self.best_epoch,
            "best_value": None if math.isinf(self.best_value) else self.best_value,
            "stopped_by": self.stopped_by,
        }
        save_groups(self.folder, groups, {**self._facts(), "progress": where})

    def _resume(self, folder: Path) -> None:
        groups, manifest = load_groups(folder)
        for key, value in self._facts().items():
            if manifest.get(key) != value:
                raise ModelError(f"{folder} is of a run with another {key}; use a new folder or its settings")
        self.module.load_state_dict(groups["current"])
        self.mean = groups["mean"]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in groups["optimizer"].items():
            number, key = name.split(".", 1)
            moments.setdefault(int(number), {})[key] = value
        packed = self.optimizer.state_dict()
        self.optimizer.load_state_dict({"state": moments, "param_groups": packed["param_groups"]})
        where = manifest["progress"]
        self.epoch, self.step, self.steps_done = where["epoch"], where["step"], where["steps_done"]
        self.train_sum, self.best, self.best_epoch = where["train_sum"], groups["best"], where["best_epoch"]
        self.best_value = math.inf if where["best_value"] is None else where["best_value"]
        self.curve = [EpochResult(*row) for row in where["curve"]]
        stopped = where["stopped_by"]
        self.stopped_by = None if stopped == "max_seconds" else stopped


def _optimizer(module: Module, config: FitConfig) -> torch.optim.Optimizer:
    wanted = [p for p in module.parameters() if p.requires_grad]
    matrices, vectors = [p for p in wanted if p.dim() >= 2], [p for p in wanted if p.dim() < 2]
    groups = [(matrices, config.weight_decay), (vectors, 0.0)]
    used = [{"params": members, "weight_decay": decay} for members, decay in groups if members]
    return torch.optim.AdamW(used, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets instead of killing the run; a second Ctrl-C kills it after all."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def note(_number: int, _frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
