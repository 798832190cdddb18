"""Where and in what precision a model computes; and the same weights in another model's hands."""

import copy

import torch
from torch import nn

from tubelet.errors import ConfigError
from tubelet.layers.int8 import is_quantised, quantise
from tubelet.models.vivit import ViViT


def precision_of(model: ViViT) -> torch.dtype:
    """That of its weights; int8 where its blocks multiply int8 weights, whatever the rest is in."""
    return torch.int8 if is_quantised(model) else model.dtype


def place(model: ViViT, device: torch.device | None, dtype: torch.dtype | None) -> None:
    """Move a model, and turn it into a precision; None: as it is. See `Classifier.to`.

    Raises:
        ConfigError: for int8 elsewhere than on a CPU with oneDNN, or a model in int8 that is to become another.
    """
    if is_quantised(model):
        if dtype not in (None, torch.int8) or (device is not None and device.type != "cpu"):
            raise ConfigError("An int8 model computes in int8 on the CPU: load it again for another use.")
        return
    model.to(device=device)
    if dtype != torch.int8:
        model.to(dtype=dtype)
        return
    here = model.device
    if here.type != "cpu":
        raise ConfigError(f'int8 is for CPUs, and the model is on {here}: use bfloat16 or "auto" there.')
    if not torch.backends.mkldnn.is_available():
        raise ConfigError('int8 needs oneDNN, which this PyTorch is built without: use float32 or "auto".')
    quantise(model.float())


def twin(model: ViViT) -> ViViT:
    """A model of the same weights in the same memory, whose settings and precision are its own."""
    shared = {id(p): nn.Parameter(p.data, requires_grad=p.requires_grad) for p in model.parameters()}
    return copy.deepcopy(model, {**shared, **{id(b): b for b in model.buffers()}})
