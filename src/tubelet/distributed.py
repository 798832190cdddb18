"""Several processes that train one model: the only file that says DDP or FSDP2.

`torchrun --nproc-per-node N` starts the processes and tells each its rank. Two ways to share the work:

- every process holds the whole model, and the gradients of all are added up after the backward pass. That is what
  DDP does, without its buckets: a step may clip each replica group's gradient before it is added.
- every process holds a part of each tensor (FSDP2, `shard`): less memory, more traffic.

Everything here is a plain call on one process too, where it does nothing.
"""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tubelet.errors import ConfigError, TubeletError

T = TypeVar("T")

BUCKET = 2**25
"""Numbers that are added up in one message: 128 MiB of float32."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Those that train together, seen from one of them."""

    rank: int = 0
    """This one's number."""
    count: int = 1
    """How many there are."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """This one's."""

    @property
    def first(self) -> bool:
        """Whether this one writes the files and talks to the user."""
        return self.rank == 0

    def sums(self, *numbers: float) -> list[float]:
        """Each number added up over the processes, in double precision."""
        if self.count == 1:
            return list(numbers)
        # A GPU of Apple's knows no doubles, but it does not train with others either.
        together = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(together)
        return together.tolist()

    @torch.no_grad()
    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Add up tensors over the processes, in place, many of them in one message."""
        if self.count == 1:
            return
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up `.grad` of the same parameters on every process; None where no process has one."""
        if self.count == 1:
            return
        have = self.sums(*(float(parameter.grad is not None) for parameter in parameters))
        used = [parameter for parameter, count in zip(parameters, have, strict=True) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add_up([parameter.grad for parameter in used if parameter.grad is not None])

    @torch.no_grad()
    def same(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gather(self, value: T) -> list[T]:
        """What each process has, in the order of their ranks, for all of them."""
        if self.count == 1:
            return [value]
        found: list[T | None] = [None] * self.count
        dist.all_gather_object(found, value)
        return cast("list[T]", found)

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, for all of them; also its error, where it fails.

        Raises:
            TubeletError: whatever of this kind `make` raises, on every process.
        """
        if self.count == 1:
            return make()
        made: T | None = None
        failed: TubeletError | None = None
        if self.first:
            try:
                made = make()
            except TubeletError as error:
                failed = error
        said: list[tuple[T | None, TubeletError | None]] = [(made, failed)]
        dist.broadcast_object_list(said, src=0)
        made, failed = said[0]
        if failed is not None:
            raise failed
        return cast("T", made)


@contextmanager
def processes(device: str) -> Generator[Processes]:
    """Join those that torchrun started; on its own, a process is the only one.

    Args:
        device: `auto` takes a GPU where there is one; each process of a machine has one of its own.

    Raises:
        ConfigError: if a machine has fewer GPUs than processes.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if count == 1:
        yield Processes(device=torch.device(kind))
        return
    here = torch.device(kind)
    if here.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= gpus:
            raise ConfigError(
                f"This is process {local} of this machine, counted from 0, and it has {gpus} GPUs: start at most as "
                "many processes."
            )
        here = torch.device("cuda", local)
        torch.cuda.set_device(here)
    began = not dist.is_initialized()
    if began:
        dist.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield Processes(rank=dist.get_rank(), count=dist.get_world_size(), device=here)
    finally:
        if began:
            dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that talks to the user, as torchrun says; before anything is joined."""
    return int(os.environ.get("RANK", "0")) == 0


def buckets(tensors: Iterable[Tensor]) -> list[list[Tensor]]:
    """Tensors in their order, in lists of one type and of at most `BUCKET` numbers (or of one tensor)."""
    found: list[list[Tensor]] = []
    size = 0
    for tensor in tensors:
        if not found or size + tensor.numel() > BUCKET or tensor.dtype != found[-1][0].dtype:
            found.append([])
            size = 0
        found[-1].append(tensor)
        size += tensor.numel()
    return found


def shard(model: nn.Module, blocks: Iterable[nn.Module], who: Processes) -> None:
    """Leave each process a part of every tensor, in place (FSDP2).

    A block's tensors are brought together while it computes. Gradients are added up, not averaged: a step has
    divided them already.

    Args:
        model: whole, and the same on every process.
        blocks: the parts of it that are brought together one at a time.
        who: the processes.
    """
    from torch.distributed.device_mesh import init_device_mesh  # takes seconds
    from torch.distributed.fsdp import FSDPModule, fully_shard

    mesh = init_device_mesh(who.device.type, (who.count,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


@contextmanager
def gradients_wait(model: nn.Module, wait: bool) -> Generator[None]:
    """Inside, the gradients of a divided model stay where they are: more groups of the same step follow."""
    switch = getattr(model, "set_requires_gradient_sync", None)
    if switch is None:
        yield
        return
    switch(not wait)
    try:
        yield
    finally:
        switch(True)


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together from its parts, which every process must ask for; one that is whole is given back."""
    gather = getattr(tensor, "full_tensor", None)  # asked by name: importing DTensor takes seconds
    return tensor if gather is None else gather()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory; of one that is not divided, all of it."""
    own = getattr(tensor, "to_local", None)
    return tensor if own is None else own()


@torch.no_grad()
def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, as `like` is divided; all of it where `like` is whole."""
    if not hasattr(like, "to_local"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
