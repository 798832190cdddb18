"""What a model holds on its way from a video to logits: hidden states and attention weights.

The model itself keeps none of it, and is not slowed: hooks listen during one call of `record`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import Branch
from tubelet.layers.encoder import Encoder
from tubelet.models.vivit import ViViT


@dataclass(frozen=True)
class Recording:
    """One forward pass. Letters as in `vivit.py`; N counts the class token, where there is one."""

    logits: Tensor
    """`(B, sum(classes))`."""
    features: Tensor
    """What the head sees: `(B, D)`, or `(B, representation)`."""
    last_hidden_state: Tensor
    """Tokens of the last encoder after its norm: `(B, N, D)`."""
    hidden_states: tuple[Tensor, ...]
    """Tokens as they enter the first block and as they leave each, before the norm: `(B, N, D)`. Model 2: of the
    spatial encoder, `(B, T, N, D)`, then of the temporal one."""
    attentions: tuple[Tensor, ...]
    """Attention weights of each block; empty unless they are asked for. Model 1: `(B, H, N, N)`. Model 2:
    `(B, T, H, N, N)` of the spatial encoder, then `(B, H, N, N)` of the temporal one. Model 3: two of each block
    in its order, over time `(B, S, H, T, T)` and over space `(B, T, H, S, S)`. Model 4: likewise, first time,
    with half of the heads each."""


def record(model: ViViT, video: Tensor, attentions: bool = False) -> Recording:
    """Run a model and keep what it holds on the way. Gradients flow through all of it.

    Args:
        model: must not be run by another thread meanwhile.
        video: what `ViViT.forward` takes.
        attentions: keep the attention weights too; they are computed a second time, and take memory of the square
            of the number of tokens.

    Raises:
        ConfigError: if the model answers from fewer tokens.
    """
    if model.fewer_tokens is not None:
        raise ConfigError(
            "A model that answers from fewer tokens has none to record of every place: record the exact model, "
            "before with_fewer_tokens or after answer_from(None)."
        )
    hidden: list[Tensor] = []
    weights: list[Tensor] = []
    normed: list[Tensor] = []
    features: list[Tensor] = []

    def keep(into: list[Tensor], flat: bool) -> Callable[..., None]:
        def hook(module: nn.Module, arguments: Any, output: Tensor) -> None:
            into.append(output.flatten(1, 2) if flat and output.ndim == 4 else output)

        return hook

    def weigh(module: Branch, arguments: tuple[Tensor], output: Tensor) -> None:
        # Not a hook on the layer itself, which inference may call a part of the batch at a time.
        if isinstance(module.layer, Attention):
            weights.extend(attention_weights(module.layer, module.norm(arguments[0])))

    with ExitStack() as listening:
        for module in model.modules():
            if isinstance(module, Encoder):
                listening.enter_context(module.dropout.register_forward_hook(keep(hidden, False)))
                listening.enter_context(module.norm.register_forward_hook(keep(normed, False)))
                for block in module.blocks:
                    listening.enter_context(block.register_forward_hook(keep(hidden, module.split)))
            elif attentions and isinstance(module, Branch):
                listening.enter_context(module.register_forward_hook(weigh))
        listening.enter_context(
            model.head.register_forward_pre_hook(lambda module, arguments: features.append(arguments[0]))
        )
        logits = model(video, every_token=True)
    return Recording(logits, features[0], normed[-1], tuple(hidden), tuple(weights))


def attention_weights(layer: Attention, tokens: Tensor) -> list[Tensor]:
    """The weights by which a layer averages values, before dropout.

    Args:
        layer: the layer.
        tokens: its input, `(B, *grid, D)`.

    Returns:
        For each of its axes, `(B, *others, H, N, N)` over the N tokens along it, with that axis' share of the heads.
    """
    query, key = (p(tokens).unflatten(-1, (layer.heads, -1)) for p in (layer.query, layer.key))
    parts = len(layer.axes)
    found: list[Tensor] = []
    for axis, q, k in zip(layer.axes, query.chunk(parts, dim=-2), key.chunk(parts, dim=-2), strict=True):
        q, k = (x.movedim(axis, -3).transpose(-3, -2) for x in (q, k))  # (B, *others, H, N, K)
        scores = torch.matmul(q, k.transpose(-2, -1)) * q.shape[-1] ** -0.5
        found.append(scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype))
    return found
