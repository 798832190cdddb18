"""The optimizer of a run: which parameters decay, and which learn at what rate."""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from tubelet.errors import ConfigError
from tubelet.models.vivit import ViViT

Clip = Literal["global", "per_replica"]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """AdamW or momentum SGD, its rate over the run, and what is done to a gradient before it is used.

    Raises:
        ConfigError: where fields make no sense, alone or together.
    """

    kind: Literal["adamw", "sgd"] = "adamw"
    """`adamw`, or `sgd` with momentum (the paper's)."""
    lr: float = 3e-4
    """Highest learning rate."""
    backbone_lr_scale: float = 1.0
    """Factor on the rate of what came from the start (everything but the temporal encoder and the head)."""
    layer_decay: float = 1.0
    """Further factor for each block, counted down from the last one of the backbone (1: none)."""
    weight_decay: float = 0.05
    """Decay of matrices (with `sgd` added to the gradient); biases, norms, positions, class tokens have none.
    The paper's recipes have none at all."""
    l2: float = 0.0
    """Official L2 term, `l2 / 2` times the sum of squares, in the loss itself: it is clipped with it. Of every
    parameter that has more than one axis in the official code, which are the matrices, positions, class tokens and
    the biases of queries, keys and values."""
    explicit_decay: float = 0.0
    """Official explicit decay: after each update matrices are multiplied by `1 - rate * explicit_decay`."""
    betas: tuple[float, float] = (0.9, 0.98)
    """AdamW's decay rates; with `sgd` the first is the momentum."""
    warmup: float | None = None
    """Share of the steps that the rate takes to rise from above 0; it is above 0 at the last step too. None: 0.1,
    unless `warmup_steps` or `warmup_epochs` is given."""
    warmup_steps: float | None = None
    """The official schedule: this many steps of warm-up, whole or not, from a rate of 0 at the first step."""
    warmup_epochs: float | None = None
    """The official schedule with so many epochs of warm-up, whole or not, however many steps they have."""
    clip_norm: float | None = 1.0
    """Largest norm of the whole gradient; None: not clipped."""
    clip: Clip = "global"
    """What is clipped: the gradient of the step, or officially that of each replica group before they are averaged
    (the same where a step is one group)."""
    sam: float | None = None
    """Sharpness-aware minimisation: the gradient of each replica group is taken this far uphill (rho, officially
    0.05 where it is used). Doubles the work. None: off."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "betas", tuple(self.betas))
        for name in ("lr", "clip_norm", "warmup_steps", "warmup_epochs", "sam"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value} is not above 0.")
        for name in ("backbone_lr_scale", "weight_decay", "l2", "explicit_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"{name}={getattr(self, name)} is below 0.")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay={self.layer_decay} is not in (0, 1].")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas={self.betas} are not two numbers in [0, 1).")
        if self.warmup is not None and not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup={self.warmup} is a share of the steps, in [0, 1).")
        given = [
            f"{name}={getattr(self, name)}"
            for name in ("warmup", "warmup_steps", "warmup_epochs")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ConfigError(
                f"{' and '.join(given)}: give one, a share, a number of steps or one of epochs."
            )
        if self.clip not in get_args(Clip):
            raise ConfigError(f"clip={self.clip!r} is not one of {', '.join(get_args(Clip))}.")
        if self.clip == "per_replica" and self.clip_norm is None:
            raise ConfigError(
                "clip='per_replica' says where to clip, and clip_norm=None does not clip at all."
            )


def build_optimizer(model: ViViT, settings: Optimizer, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that require a gradient.

    Groups carry `scale`, the factor of their rate, by which `set_lr` multiplies, and `matrices`, whether their
    parameters are what `decays` names.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = lr_scale(name, model, settings), decays(name, parameter)
            groups.setdefault(key, []).append(parameter)
    parameters = [
        {
            "params": members,
            "scale": scale,
            "matrices": matrices,
            "weight_decay": settings.weight_decay if matrices else 0.0,
            "lr": settings.lr * scale,
        }
        for (scale, matrices), members in groups.items()
    ]
    if settings.kind == "sgd":
        return torch.optim.SGD(parameters, lr=settings.lr, momentum=settings.betas[0])
    return torch.optim.AdamW(parameters, lr=settings.lr, betas=settings.betas, fused=fused)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give each group its share of a rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: to matrices and kernels, not to biases, norms, positions, class tokens."""
    return parameter.ndim > 1 and not name.endswith(("class_token", "positions.table"))


def has_l2(name: str, parameter: nn.Parameter) -> bool:
    """Whether the official L2 term counts a parameter: those of several axes, in the official layout.

    There queries, keys and values have an axis for the heads, their biases too.
    """
    return parameter.ndim > 1 or re.search(r"\.(query|key|value)\.bias$", name) is not None


def lr_scale(name: str, model: ViViT, settings: Optimizer) -> float:
    """Factor of a parameter's rate: 1 for head and temporal encoder, less for what came from an image ViT."""
    if name.startswith(("head.", "temporal.", "representation.")):
        return 1.0
    depth = model.config.depth
    block = re.search(r"\.blocks\.(\d+)\.", name)
    above = 0  # the last norm
    if block is not None:
        above = depth - 1 - int(block[1])
    elif ".norm." not in name:
        above = depth  # the embedding, its positions and class token
    return settings.backbone_lr_scale * settings.layer_decay**above
