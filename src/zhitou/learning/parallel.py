"""Several processes that train one module together: who they are, and how their gradients become one.

Started by `torchrun --nproc-per-node W ...`, each process holds the whole module, works out its part of every step,
and adds its gradients to those of the others; then all take the same step. The gradients are summed here, in one
flat array, instead of by torch's DistributedDataParallel: the loss of a step is a weighted mean whose weights are
known only once the parts are built, a part may leave parameters untouched or be empty, row-sparse gradients must
stay sparse, and names in checkpoints must not depend on how many trained. What that forgoes is sending the first
gradients while the last are still worked out.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import Parameter

from zhitou.core.errors import ConfigError

WAIT_SECONDS = 3_600  # the others wait so long at the most, e.g. while the first one validates or writes


@dataclass(frozen=True)
class Workers:
    """This process among `size` that train together: number `rank` of 0 to size - 1. Only number 0 writes."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes checkpoints, shows progress and validates."""
        return self.rank == 0


def workers() -> Workers:
    """Who this process is; alone, unless `joined` (or the caller's own init_process_group) says otherwise."""
    if not (dist.is_available() and dist.is_initialized()):
        return Workers()
    return Workers(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined() -> Iterator[Workers]:
    """Join the processes that torchrun started, by its environment variables; without them, stay alone.

    On a machine with GPUs each process takes the one of its local number (nccl), else they talk by gloo. A later
    `module.to(device)` is the caller's. Refused (ConfigError): half of torchrun's variables.
    """
    wanted = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in wanted if name not in os.environ]
    if "WORLD_SIZE" in missing:
        yield Workers()
        return
    if missing:
        raise ConfigError(f"WORLD_SIZE is set but {', '.join(missing)} is not; start with torchrun, or unset it")
    # Torch's optimisers import this. Were it first imported amid a group, its default arguments would hold that group
    # until the interpreter ends, and the group's threads, still at work then, now and again abort the process.
    importlib.import_module("torch._dynamo")
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=timedelta(seconds=WAIT_SECONDS))
    try:
        yield workers()
    finally:
        dist.destroy_process_group()


def same_start(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values of these, in place."""
    for tensor in tensors:
        dist.broadcast(tensor, src=0)


def of_first(numbers: Sequence[float], device: torch.device) -> list[float]:
    """The first process's numbers, in every process."""
    shared = torch.tensor(numbers, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return [float(number) for number in shared]


def sum_over_workers(dense: Sequence[Parameter], rows: Sequence[Parameter], facts: Sequence[float]) -> list[float]:
    """Sum the gradients of all processes in place, and return the sums of `facts`.

    dense: parameters with ordinary gradients; rows: those with row-sparse ones. A parameter without a gradient in
    some process counts as zero there, and stays without one if no process has any.
    """
    device = (*dense, *rows)[0].device
    present = [float(p.grad is not None) for p in (*dense, *rows)]
    shared = torch.tensor([*facts, *present], dtype=torch.float64, device=device)
    dist.all_reduce(shared)
    numbers = shared.tolist()
    touched = [count > 0 for count in numbers[len(facts) :]]
    _sum_dense([p for p, yes in zip(dense, touched[: len(dense)], strict=True) if yes])
    for parameter, yes in zip(rows, touched[len(dense) :], strict=True):
        if yes:
            parameter.grad = _gathered(parameter)
    return numbers[: len(facts)]


def _sum_dense(parameters: list[Parameter]) -> None:
    if not parameters:
        return
    parts = [torch.zeros_like(p).view(-1) if p.grad is None else p.grad.reshape(-1) for p in parameters]
    flat = torch.cat(parts)
    dist.all_reduce(flat)
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).to(parameter.dtype)


def _gathered(parameter: Parameter) -> Tensor:
    """The row-sparse gradient summed over all processes. Only touched rows travel."""
    size = dist.get_world_size()
    index = torch.zeros(0, dtype=torch.int64, device=parameter.device)
    values = parameter.new_zeros(0, *parameter.shape[1:])
    if parameter.grad is not None:
        grad = parameter.grad.coalesce()
        index, values = grad.indices()[0], grad.values()
    counts = [torch.zeros(1, dtype=torch.int64, device=index.device) for _ in range(size)]
    dist.all_gather(counts, torch.tensor([len(index)], dtype=torch.int64, device=index.device))
    many = [int(count) for count in counts]
    indices, tables = _gather(index, many), _gather(values, many)
    whole = torch.cat(indices)[None], torch.cat(tables)
    return torch.sparse_coo_tensor(*whole, parameter.shape, check_invariants=False).coalesce()


def _gather(part: Tensor, many: list[int]) -> list[Tensor]:
    """The parts of all processes, `many` rows each; shorter ones are padded for the journey."""
    padded = part.new_zeros(max(many), *part.shape[1:])
    padded[: len(part)] = part
    found = [torch.empty_like(padded) for _ in many]
    dist.all_gather(found, padded)
    return [whole[:rows] for whole, rows in zip(found, many, strict=True)]
