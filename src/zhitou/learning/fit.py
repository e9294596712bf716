"""The only training loop: epochs of batches, a later time slice to stop on, checkpoints that resume exactly.

Same module, batches, config and seed give the same bytes on the same machine with as many threads: the order
of batches depends on (seed, epoch), dropout on (seed, epoch, batch), and nothing on the clock, unless
`max_seconds` is set. That is also why an interrupted run needs no generator state to go on where it stopped.

Several processes (learning/parallel.py) train one module: all draw the same order of batches, each works out its
part of every step, and the sum of the gradients is the one that one process would have had, within rounding.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, Parameter

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.learning.checkpoints import MANIFEST, load_groups, save_groups
from zhitou.learning.parallel import of_first, same_start, sum_over_workers, workers
from zhitou.learning.progress import Progress, Silent
from zhitou.learning.rows import RowAdagrad, RowMean, clip_gradients, row_parameters

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
    so None is the default and limits in epochs are preferred. row_lr: peak step of tables with row-sparse
    gradients (learning/rows.py), on the same course. accumulate: batches that make up one step, as if they
    were one large batch. bf16: work out the loss in bfloat16 where that pays (autocast); only for a module on a GPU,
    on processors it was measured to be slower. checkpoint_every_steps: also leave a checkpoint after so many steps,
    for runs whose epochs are too long to lose; it changes no result.
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
    row_lr: float = 0.1
    accumulate: int = 1
    bf16: bool = False
    checkpoint_every_steps: int | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.lr, self.row_lr) <= 0 or self.warmup < 0:
            raise ConfigError("training needs epochs >= 1, lr and row_lr > 0 and warmup >= 0")
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"patience is at least 1 epoch, or None for never; got {self.patience}")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise ConfigError(f"max_seconds must be above zero, got {self.max_seconds}")
        every = self.checkpoint_every_steps
        if self.accumulate < 1 or (every is not None and every < 1):
            raise ConfigError(f"accumulate and checkpoint_every_steps are at least 1, got {self.accumulate}, {every}")


@dataclass(frozen=True)
class Weighted:
    """The loss of a part of a step, a scalar, and what it counts for beside the other parts of the same step.

    The loss of a step is the sum of weight * loss over its parts, divided by the sum of the weights, wherever they
    were worked out. A loss that is a mean over rows has their number as its weight, a weighted mean the sum of its
    weights. When a step has one part, its weight does not matter. A plain scalar weighs 1.
    """

    loss: Tensor
    weight: float


Loss = Callable[[Module, Batch], Tensor | Weighted]
Split = Callable[[Batch, int], Sequence[Batch]]


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
def _deterministic(device: torch.device) -> Iterator[None]:
    """Sums in one order, whatever the threads do: without it two threads gave other weights in each of three runs."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses to be deterministic without
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
    loss: Loss[Batch],
    validate: Callable[[Module], float] | None,
    config: FitConfig,
    chance: Chance,
    folder: Path | None = None,
    progress: Progress | None = None,
    timer: Callable[[], float] = time.perf_counter,
    split: Split[Batch] | None = None,
) -> FitReport:
    """Train `module` in place and leave it, in eval mode, with the weights of its best epoch.

    batches(epoch, generator) yields one epoch; loss(module, batch) is a scalar, with a weight where the parts of a
    step do not count alike (Weighted); validate(module) is lower when better and must look at a later time slice
    than the batches (None: the last epoch is the best). With a `folder`, each epoch ends in a checkpoint, Ctrl-C and
    SIGTERM stop after the step at hand and leave one too, and a later call with the same arguments goes on from it
    to the same bytes; so it does from the last checkpoint if the process was killed.

    Among several processes (parallel.joined), each takes its part of every batch, split(batch, processes), which has
    at most that many parts; without `split`, each takes whole batches of the `accumulate` that make up a step. Only
    the first validates, writes and shows progress; all must see the same `folder`.

    Refused (ModelError): a checkpoint of another config, seed or module; a loss that is not finite. Refused
    (ConfigError): bf16 off a GPU; more processes than batches in a step without `split`.
    """
    run = _Run(module, config, chance, folder, split)
    progress = progress if progress is not None and run.workers.first else Silent()
    begun = timer()
    gpus = [run.device] if run.device.type == "cuda" else []
    with _interrupt() as interrupted, torch.random.fork_rng(devices=gpus), _deterministic(run.device):
        try:
            while run.stopped_by is None:
                _epoch(run, batches, loss, progress, interrupted)
                if run.interrupted:
                    break
                run.finish_epoch(validate)
                if config.max_seconds is not None and run.agreed(timer() - begun) >= config.max_seconds:
                    run.stopped_by = run.stopped_by or "max_seconds"
                run.save()
        finally:
            progress.stop()
    if run.stopped_by is None:
        run.save()
    run.take_best()
    return FitReport(tuple(run.curve), run.best_epoch, timer() - begun, run.stopped_by or "interrupt", run.steps_done)


def _epoch(
    run: _Run[Batch],
    batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    loss: Loss[Batch],
    progress: Progress,
    interrupted: threading.Event,
) -> None:
    """Train on what is left of the run's current epoch, `accumulate` batches to a step."""
    stream = batches(run.epoch, run.chance.stream("batches", run.epoch))
    total = len(stream) if isinstance(stream, Sized) else None
    progress.start(f"epoch {run.epoch + 1}/{run.config.epochs}", total)
    run.module.train()
    at, rest = 0, iter(stream)
    while group := list(islice(rest, run.config.accumulate)):
        if at >= run.step:
            run.learn(loss, group, total, interrupted)
        at += len(group)
        for _ in group:
            progress.advance(f"loss {run.train_sum / max(run.step, 1):.4f}")
        if run.interrupted:
            return
    if run.step == 0:
        raise ModelError(f"epoch {run.epoch + 1} had no batch; the training slice holds no behaviour")


def _validated(module: Module, validate: Callable[[Module], float]) -> float:
    module.eval()
    with torch.no_grad():
        return float(validate(module))


class _Run(Generic[Batch]):
    """Where a training run stands: all that a checkpoint must hold. `step` counts batches of the current epoch."""

    def __init__(
        self, module: Module, config: FitConfig, chance: Chance, folder: Path | None, split: Split[Batch] | None
    ) -> None:
        self.module, self.config, self.chance, self.folder = module, config, chance.child("fit"), folder
        self.split, self.workers, self.device = split, workers(), next(module.parameters()).device
        self._refuse()
        self.tables = row_parameters(module)
        self.optimizers = _optimizers(module, self.tables, config)
        self.epoch, self.step, self.steps_done, self.train_sum = 0, 0, 0, 0.0
        self.curve: list[EpochResult] = []
        self.best_epoch, self.best_value = -1, math.inf
        self.best: dict[str, Tensor] = {}
        self.stopped_by: str | None = None
        self.interrupted = False
        self.mean: dict[str, Tensor] = {}
        if config.average:
            self.mean = {k: v.detach().clone() for k, v in module.named_parameters()}
        self.row_mean = RowMean(self.tables if self.mean else {}, self.mean)
        if folder is not None and (folder / MANIFEST).exists():
            self._resume(folder)
        if self.workers.size > 1:
            self._start_together()

    def _refuse(self) -> None:
        size, accumulate = self.workers.size, self.config.accumulate
        if self.config.bf16 and self.device.type != "cuda":
            raise ConfigError(f"bf16 is for a module on a GPU, this one is on {self.device}; leave it off")
        if self.split is None and accumulate < size:
            raise ConfigError(
                f"{size} processes cannot share a step of {accumulate} batches; "
                f"give fit a `split`, set accumulate to {size} or more, or start fewer"
            )

    def _start_together(self) -> None:
        mine = [float(self.epoch), float(self.step), float(self.steps_done)]
        if mine != of_first(mine, self.device):
            raise ModelError(f"the processes go on from different steps; {self.folder} must be the same for all")
        same_start((*self.module.state_dict().values(), *self.mean.values()))

    def learn(self, loss: Loss[Batch], group: list[Batch], total: int | None, interrupted: threading.Event) -> None:
        """One step of the optimisers, on these batches."""
        for name, optimizer in self.optimizers.items():
            optimizer.zero_grad(set_to_none=True)
            for settings in optimizer.param_groups:
                settings["lr"] = self._lr(total, self.config.row_lr if name == "rows" else self.config.lr)
        alone = len(group) == 1 and self.workers.size == 1
        summed, weight = 0.0, 0.0
        for seed, part in self._mine(group):
            torch.manual_seed(seed)
            with self._cast():
                found = loss(self.module, part)
            value, share = (found.loss, float(found.weight)) if isinstance(found, Weighted) else (found, 1.0)
            (value if alone else value * share).backward()  # type: ignore[no-untyped-call]
            number = float(value.detach())
            summed, weight = (number, 1.0) if alone else (summed + number * share, weight + share)
        if self.workers.size > 1:
            facts = (summed, weight, float(interrupted.is_set()))
            tables = list(self.tables.values())
            summed, weight, asked = sum_over_workers(self._dense(), tables, facts)
        if not alone:
            self._scale(1 / weight if weight > 0 else 0.0)
        number = summed / weight if weight > 0 else 0.0
        if not math.isfinite(number):
            raise ModelError(f"the loss is {number} in epoch {self.epoch + 1}; lower lr or check the inputs")
        self._move()
        self.train_sum += number * len(group)
        self.step += len(group)
        self.steps_done += 1
        self.interrupted = asked > 0 if self.workers.size > 1 else interrupted.is_set()
        every = self.config.checkpoint_every_steps
        if every is not None and self.steps_done % every == 0:
            self.save()

    def _mine(self, group: list[Batch]) -> Iterator[tuple[int, Batch]]:
        """(seed of dropout, part) for what this process works out of a step's batches."""
        rank, size = self.workers.rank, self.workers.size
        for number, batch in enumerate(group):
            keys: tuple[int | str, ...] = (self.epoch, self.step + number)
            if size == 1 or (self.split is None and number % size == rank):
                yield self.chance.number("step", *keys) % 2**63, batch
            elif self.split is not None:
                parts = self.split(batch, size)
                assert len(parts) <= size, "split(batch, n) gives at most n parts"
                if rank < len(parts):
                    keys = (*keys, "rank", rank) if rank else keys
                    yield self.chance.number("step", *keys) % 2**63, parts[rank]

    def _move(self) -> None:
        """Clip the gradients, take the step, and let the running mean follow."""
        clip_gradients(self.module, self.tables, self.config.clip)
        touched = self.row_mean.before()
        for optimizer in self.optimizers.values():
            optimizer.step()
        if self.mean:
            keep = min(self.config.average, (1 + self.steps_done) / (10 + self.steps_done))
            for name, parameter in self.module.named_parameters():
                if name not in self.tables:
                    self.mean[name].lerp_(parameter.detach(), 1 - keep)
            self.row_mean.after(touched, keep)

    def _cast(self) -> AbstractContextManager[object]:
        return torch.autocast("cuda", torch.bfloat16) if self.config.bf16 else nullcontext()

    def _dense(self) -> list[Parameter]:
        return [p for name, p in self.module.named_parameters() if name not in self.tables and p.requires_grad]

    def _scale(self, factor: float) -> None:
        for parameter in self.module.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def agreed(self, number: float) -> float:
        """The first process's number."""
        return number if self.workers.size == 1 else of_first([number], self.device)[0]

    def _lr(self, total: int | None, peak: float) -> float:
        """Linear warm-up by steps, then a cosine over epochs (over steps where an epoch has a length)."""
        warm = min(1.0, (self.steps_done + 1) / (self.config.warmup + 1))
        passed = (self.epoch + (self.step / total if total else 0.0)) / self.config.epochs
        fall = 0.5 * (1 + math.cos(math.pi * min(passed, 1.0)))
        return peak * warm * (self.config.lr_floor + (1 - self.config.lr_floor) * fall)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module with the running mean of its weights, if one is kept; afterwards with its own again."""
        own = {name: parameter.detach().clone() for name, parameter in self.module.named_parameters() if self.mean}
        self.row_mean.show()
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if name not in self.row_mean.tables:
                    parameter.copy_(self.mean.get(name, parameter))
        yield
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(own.get(name, parameter))

    def finish_epoch(self, validate: Callable[[Module], float] | None) -> None:
        """Validate the running mean, in the first process, and note the result."""
        with self.averaged():
            if validate is None:
                self.close_epoch(None)
            else:
                self.close_epoch(self.agreed(_validated(self.module, validate) if self.workers.first else 0.0))

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
        del config["checkpoint_every_steps"]  # a run may go on with another: no result depends on it
        shapes = {k: list(v.shape) for k, v in self.module.state_dict().items()}
        return {"config": config, "seed": self.chance.seed, "shapes": shapes}

    def save(self) -> None:
        """Everything needed to go on from here, in one move, by the first process."""
        if self.folder is None or not self.workers.first:
            return
        groups = {"current": self.module.state_dict(), "best": self.best, "mean": self.mean}
        for name, optimizer in self.optimizers.items():
            state = optimizer.state_dict()["state"]
            groups[name] = {f"{p}.{key}": value for p, entry in state.items() for key, value in entry.items()}
        if self.row_mean.tables:
            groups["row_mean"] = self.row_mean.state()
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
        self.mean.update({name: value.to(self.device) for name, value in groups["mean"].items()})
        if self.row_mean.tables:
            self.row_mean.load(groups["row_mean"])
        for group, optimizer in self.optimizers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in groups[group].items():
                number, key = name.split(".", 1)
                moments.setdefault(int(number), {})[key] = value
            packed = optimizer.state_dict()
            optimizer.load_state_dict({"state": moments, "param_groups": packed["param_groups"]})
        where = manifest["progress"]
        self.epoch, self.step, self.steps_done = where["epoch"], where["step"], where["steps_done"]
        self.train_sum, self.best, self.best_epoch = where["train_sum"], groups["best"], where["best_epoch"]
        self.best_value = math.inf if where["best_value"] is None else where["best_value"]
        self.curve = [EpochResult(*row) for row in where["curve"]]
        stopped = where["stopped_by"]
        self.stopped_by = None if stopped == "max_seconds" else stopped


def _optimizers(module: Module, tables: dict[str, Parameter], config: FitConfig) -> dict[str, torch.optim.Optimizer]:
    """AdamW, and for tables with row-sparse gradients one that touches no other rows; named as in checkpoints."""
    wanted = [p for name, p in module.named_parameters() if p.requires_grad and name not in tables]
    matrices, vectors = [p for p in wanted if p.dim() >= 2], [p for p in wanted if p.dim() < 2]
    groups = [(matrices, config.weight_decay), (vectors, 0.0)]
    used = [{"params": members, "weight_decay": decay} for members, decay in groups if members]
    found: dict[str, torch.optim.Optimizer] = {}
    if used:
        found["optimizer"] = torch.optim.AdamW(used, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)
    if tables:
        found["rows"] = RowAdagrad(tables.values(), lr=config.row_lr)
    return found


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets instead of killing the run; the second of a kind kills it after all."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: object) -> None:
        event.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
