"""LoRA: a model learns through small adapters beside its frozen layers (Hu et al. 2021, arXiv 2106.09685).

    tubelet.lora.add(classifier.model, rank=8)      # only the adapters and the head learn from here on
    ...                                             # train as always
    classifier.save("runs/mine")                    # saved merged: a plain model, which loads without peft

Needs the extra `lora` (`pip install 'tubelet[lora]'`), which brings peft.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.vivit import ViViT

TARGETS = ("query", "key", "value", "out", "fc1", "fc2")
"""The layers of a block that can have an adapter: of its attention, and of its MLP."""


def add(
    model: ViViT,
    rank: int = 8,
    *,
    alpha: float | None = None,
    targets: Sequence[str] = ("query", "value"),
    dropout: float = 0.0,
) -> ViViT:
    """Put an adapter beside the named layers of every block, and freeze everything but these and the head.

    The model computes what it did, to the bit, until an adapter has learned. An optimizer is to be made afterwards.

    Args:
        model: any of the four models; changed in place, and returned.
        rank: of each adapter: it adds `B @ A` to a weight, of shapes `(out, rank)` and `(rank, in)`.
        alpha: the adapter's product is scaled by `alpha / rank`. None: twice the rank, so by 2.
        targets: which layers, of `TARGETS`: `query`, `key`, `value` and `out` of all attention, over space and over
            time, and `fc1` and `fc2` of the MLPs.
        dropout: of what goes into the adapters, in training.

    Raises:
        ConfigError: where the arguments make no sense, if the model has adapters already, or peft is not installed.
    """
    unknown = [name for name in targets if name not in TARGETS]
    if unknown or not targets:
        raise ConfigError(f"targets={tuple(targets)} are not some of {', '.join(TARGETS)}.")
    if rank < 1:
        raise ConfigError(f"rank={rank} is not a whole number of at least 1.")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout={dropout} is not a probability in [0, 1).")
    if has_adapters(model):
        raise ConfigError("The model has adapters already: tubelet.lora.merge makes a plain model of it.")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("LoRA needs peft: pip install 'tubelet[lora]'.") from error
    settings = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,  # pyright: ignore[reportArgumentType]
        target_modules=rf".*\.blocks\.\d+\.\w+\.layer\.({'|'.join(targets)})",
        lora_dropout=dropout,
        bias="none",
    )
    inject_adapter_in_model(settings, model)  # freezes all but the adapters
    model.head.requires_grad_(True)
    return model


def merge(model: ViViT) -> ViViT:
    """Add the adapters to the weights that they stand beside: a plain model again, all of which can learn.

    Args:
        model: changed in place, and returned. Without adapters it stays as it is.
    """
    for name, layer in list(adapted(model)):
        weight, plain = merged_weight(layer), layer.get_base_layer()
        with torch.no_grad():
            plain.weight.copy_(weight)
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, plain)
    return model.requires_grad_(True)


def has_adapters(model: nn.Module) -> bool:
    """Whether there is an adapter anywhere in a model."""
    return any(True for _ in adapted(model))


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model by name, as if its adapters had been merged; the model stays as it is."""
    state: dict[str, Tensor] = {}
    weights = {f"{name}.weight": layer for name, layer in adapted(model)}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        state[plain] = merged_weight(weights[plain]) if plain in weights else tensor
    return state


def adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers that have an adapter, by name. They are peft's, which is not imported for the question."""
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            yield name, module


@torch.no_grad()
def merged_weight(layer: Any) -> Tensor:
    """The weight of a layer with its adapters added."""
    weight = layer.get_base_layer().weight
    if layer.merged:  # by peft's own hand
        return weight.detach()
    merged = weight.detach().clone()
    for adapter in layer.active_adapters:
        merged += layer.get_delta_weight(adapter)
    return merged
