"""One training step, exactly as the official code takes it, on one process or on many.

A step is R replica groups of b clips each, R and b fixed by the recipe. A group is what one device held officially:
it is mixed inside itself, its loss is the mean over its clips, its gradient may be clipped alone. Whatever is random
in a group is drawn from (seed, step, group). A process, and an accumulation step, hold whole groups, so that the same
training comes out however many of them there are.

    for each group of this process:  mix, forward, loss, backward [+ L2] [again uphill: SAM] [clip per replica]
    sum over the groups / R, reduce over the processes, [+ L2] [clip globally], update, [explicit decay]

Legend: R replica groups, b clips of a group, F frames, C channels, H W pixels, K outputs of all heads.
"""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tubelet.data.dataset import mix
from tubelet.distributed import gradients_wait, local, whole
from tubelet.errors import TubeletError
from tubelet.labels import Labels
from tubelet.training.loss import objective
from tubelet.training.mixing import mix_group
from tubelet.training.optimizer import Optimizer, has_l2

STEP = 0x57E9
"""Keeps the draws of steps apart from those of clips, which have a seed and two numbers too."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """A replica group of a step."""

    number: int
    """0 to R - 1, the same whichever process holds it."""
    inputs: Tensor
    """What the model takes, on its device: float `(b, F, C, H, W)`, or `(b, ...)` where nothing is mixed."""
    targets: Tensor
    """`(b, K)` as `Labels.targets` makes them."""
    weights: Tensor | None = None
    """`(b,)`, how much each clip counts; None: all the same."""


@dataclass(frozen=True, kw_only=True)
class GroupLoss:
    """What a group's forward pass said."""

    objective: float
    """What was differentiated: with smoothing, class weights and the L2 term."""
    loss: float
    """Without any of these; of the mixed clips and targets where clips are mixed."""
    clips: int
    """b."""


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What a step does beside the optimizer's own arithmetic."""

    labels: Labels
    """The heads."""
    optimizer: Optimizer
    """Clipping, SAM, L2 and explicit decay."""
    seed: int
    """Of mixing, dropout and stochastic depth."""
    label_smoothing: float = 0.0
    """As `Train.label_smoothing`."""
    class_weights: Sequence[Tensor | None] | None = None
    """For each head the weight of each class, or None."""
    mixup: float | None = None
    """As `Train.mixup`."""
    cutmix: float | None = None
    """As `Train.cutmix`."""
    autocast: torch.dtype | None = None
    """Type of matrix products (autocast); None: that of the weights."""


def nothing() -> None:
    """Of one process: its sum of gradients is the whole one."""


class Step:
    """Takes training steps.

    Args:
        model: its parameters that require a gradient learn.
        forward: `inputs` of a group to logits `(b, K)`: the model itself, a part of it, or it in a wrapper.
        optimizer: of `build_optimizer`.
        learning: the rest.
        reduce: called once the gradients of this process's groups are summed, each already divided by R: adds up
            the gradients of all processes, in place. Not for a model that is divided among them, which does so in
            its backward pass, and cannot have `sam` or clip `per_replica`.
        scaler: of the loss, for float16, whose small gradients would be 0; not with `sam` or `per_replica` either.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        learning: Learning,
        reduce: Callable[[], None] = nothing,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.forward, self.optimizer, self.learning, self.reduce = forward, optimizer, learning, reduce
        self.model, self.scaler = model, scaler
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        self.with_l2 = [p for name, p in named if has_l2(name, p)] if learning.optimizer.l2 else []

    def __call__(self, number: int, groups: Sequence[Group], replicas: int) -> list[GroupLoss]:
        """Take one step; the rate is what the optimizer has.

        Args:
            number: of the step in the run, from 0 on.
            groups: those of this process.
            replicas: R, the groups of all processes.

        Returns:
            The losses of this process's groups.

        Raises:
            TubeletError: if a loss is no number; nothing has been updated then.
        """
        settings = self.learning.optimizer
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[GroupLoss] = []
        for place, group in enumerate(groups, start=1):
            with gradients_wait(self.model, place < len(groups)):
                losses.append(self.add_gradient(number, group, replicas))
        self.reduce()
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if not self.apart:
            self.add_l2()
        if settings.clip == "global" and settings.clip_norm is not None:
            clip_gradient(self.parameters, settings.clip_norm)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if settings.explicit_decay:
            decay_matrices(self.optimizer, settings.explicit_decay)
        return losses

    @property
    def apart(self) -> bool:
        """Whether each group's gradient is needed by itself before it is added: a second buffer of gradients."""
        return self.learning.optimizer.sam is not None or self.learning.optimizer.clip == "per_replica"

    def add_gradient(self, number: int, group: Group, replicas: int) -> GroupLoss:
        """Add a group's share of the step's gradient, 1 / R of its own, to `.grad`."""
        settings = self.learning.optimizer
        drawn = mix(self.learning.seed, STEP, number, group.number)
        inputs, targets = mix_group(
            group.inputs,
            group.targets,
            self.learning.mixup,
            self.learning.cutmix,
            np.random.default_rng(drawn),
        )
        group = Group(number=group.number, inputs=inputs, targets=targets, weights=group.weights)
        if not self.apart:
            return self.backward(group, drawn, 1 / replicas)
        before = [p.grad for p in self.parameters]
        loss = self.whole_gradient(group, drawn)
        if settings.sam is not None:
            with uphill(self.parameters, settings.sam):
                self.whole_gradient(group, drawn)
        if settings.clip == "per_replica" and settings.clip_norm is not None:
            clip_gradient(self.parameters, settings.clip_norm)
        for parameter, others in zip(self.parameters, before, strict=True):
            if parameter.grad is None:
                parameter.grad = others
                continue
            parameter.grad.div_(replicas)
            if others is not None:
                parameter.grad.add_(others)
        return loss

    def whole_gradient(self, group: Group, drawn: int) -> GroupLoss:
        """A group's own gradient in `.grad`, the L2 term's with it, and nothing else."""
        for parameter in self.parameters:
            parameter.grad = None
        loss = self.backward(group, drawn, 1.0)
        self.add_l2()
        return loss

    def backward(self, group: Group, drawn: int, share: float) -> GroupLoss:
        """Forward and backward of a group that is mixed: adds `share` of the gradient of its loss to `.grad`."""
        learning, device = self.learning, group.inputs.device
        with seeded(drawn, device), precision(device, learning.autocast):
            logits = self.forward(group.inputs)
        loss = objective(
            logits,
            group.targets,
            learning.labels,
            smoothing=learning.label_smoothing,
            class_weights=learning.class_weights,
            weights=group.weights,
        )
        with torch.no_grad():
            squares = sum(
                (whole(p.square().sum()) for p in self.with_l2), start=torch.zeros((), device=device)
            )
            plain = objective(logits, group.targets, learning.labels, weights=group.weights)
            total, bare = torch.stack((loss + learning.optimizer.l2 / 2 * squares, plain)).tolist()
        if not math.isfinite(total):
            raise TubeletError(
                f"The loss is {total}: try a lower learning rate, a longer warm-up, or precision fp32. What was "
                "saved before is kept."
            )
        scaled = loss * share if self.scaler is None else self.scaler.scale(loss * share)
        scaled.backward()
        return GroupLoss(objective=total, loss=bare, clips=len(group.inputs))

    @torch.no_grad()
    def add_l2(self) -> None:
        """Add the gradient of the L2 term: the parameters themselves."""
        for parameter in self.with_l2:
            if parameter.grad is not None:
                parameter.grad.add_(parameter, alpha=self.learning.optimizer.l2)


@torch.no_grad()
def clip_gradient(parameters: Sequence[nn.Parameter], largest: float) -> Tensor:
    """Scale the gradient so that its norm over all parameters is at most `largest`; returns the norm it had.

    As officially by `largest / norm` where the norm is not below `largest`; torch's own adds 1e-6 to the norm.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = whole(torch.nn.utils.get_total_norm(gradients))
    factor = torch.where(norm >= largest, largest / norm, torch.ones_like(norm))
    for gradient in gradients:
        local(gradient).mul_(factor)
    return norm


@contextmanager
def uphill(parameters: Sequence[nn.Parameter], distance: float) -> Generator[None]:
    """Inside, the parameters are moved by `distance` along their gradient (Foret et al. 2021, equation 2)."""
    with torch.no_grad():
        moved = [p for p in parameters if p.grad is not None]
        gradients = [p.grad for p in moved if p.grad is not None]
        here = [p.detach().clone() for p in moved]
        factor = distance / (whole(torch.nn.utils.get_total_norm(gradients)) + 1e-7)
        for parameter, gradient in zip(moved, gradients, strict=True):
            local(parameter).add_(local(gradient) * factor)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moved, here, strict=True):
                parameter.copy_(value)


@torch.no_grad()
def decay_matrices(optimizer: torch.optim.Optimizer, decay: float) -> None:
    """Multiply matrices by `1 - rate * decay`."""
    for group in optimizer.param_groups:
        if group["matrices"]:
            for parameter in group["params"]:
                parameter.mul_(1 - group["lr"] * decay)


def precision(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Matrix products in a type; None: in that of the weights."""
    return torch.autocast(device.type, dtype, enabled=dtype is not None)


@contextmanager
def seeded(seed: int, device: torch.device) -> Generator[None]:
    """Inside, torch's own source of random numbers starts at `seed`; afterwards it is where it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def groups_of(inputs: Tensor, targets: Tensor, size: int) -> list[Group]:
    """A batch as consecutive replica groups of `size` clips; those of an incomplete batch may be smaller or fewer."""
    parts = zip(inputs.split(size), targets.split(size), strict=True)
    return [Group(number=n, inputs=i, targets=t) for n, (i, t) in enumerate(parts)]
