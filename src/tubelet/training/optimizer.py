"""The optimizer of a run: which parameters decay, and which learn at what rate."""

import re

import torch
from torch import nn

from tubelet.models.vivit import ViViT
from tubelet.training.config import Optimizer


def build_optimizer(model: ViViT, settings: Optimizer, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW or SGD over the parameters that require a gradient.

    Groups carry `scale`, the factor of their rate: `set_lr` multiplies by it.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = lr_scale(name, model, settings), settings.weight_decay if decays(name, parameter) else 0.0
            groups.setdefault(key, []).append(parameter)
    parameters = [
        {"params": members, "scale": scale, "weight_decay": decay, "lr": settings.lr * scale}
        for (scale, decay), members in groups.items()
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
