"""One forward and backward pass of a model, and what an explanation needs of it.

Axis letters: B batch, T time, S space, N tokens, D width, H heads, K head_dim.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.layers.attention import Attention
from tubelet.layers.encoder import Encoder
from tubelet.models.vivit import ViViT


@dataclass(eq=False)
class AttentionTrace:
    """What a layer of attention computed."""

    axes: tuple[int, ...]
    """Of the grid, counted from 1; the heads are shared out over them in order."""
    query: Tensor
    """`(B, *grid, H, K)`; `key` and `value` likewise."""
    key: Tensor
    value: Tensor
    gradient: Tensor
    """Of the answer by what the heads found, `(B, *grid, H, K)`."""


@dataclass(eq=False)
class EncoderTrace:
    """What an encoder computed."""

    tokens: Tensor
    """`(B, ..., N, D)`: what comes out, the class token first where there is one."""
    layers: list[AttentionTrace]
    """From the first block to the last."""
    split: bool
    """Whether the layers see the N tokens as (T, S)."""
    extra: int
    """Tokens before the grid's: 1 with a class token."""


@dataclass(eq=False)
class Trace:
    """A pass of a model over clips."""

    logits: Tensor
    """`(B, sum(classes))`."""
    grid: tuple[int, int, int]
    """Tubelets along time, height and width."""
    pool: str
    encoder: EncoderTrace | None
    """Of Models 1, 3 and 4."""
    spatial: EncoderTrace | None
    """Of Model 2; its tokens are `(B, T, N, D)`."""
    temporal: EncoderTrace | None
    """Of Model 2, where it has one; its tokens are `(B, N, D)`."""


@dataclass(eq=False)
class Recorded:
    """Tensors of one encoder while the model runs; of each layer `axes`, `query`, `key`, `value` and `joined`."""

    tokens: Tensor | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)


def trace(model: ViViT, video: Tensor, answer: Callable[[Tensor], Tensor]) -> Trace:
    """Run a model on clips, and take the gradient of what is to be explained.

    Args:
        model: any of the four models, in evaluation.
        video: `(B, F, C, H, W)`, as the model takes it.
        answer: what is to be explained, of the logits `(B, sum(classes))`: `(B,)`.

    Returns:
        All that `maps` needs; its tensors hold no graph.
    """
    encoders = {"encoder": model.encoder, "spatial": model.spatial, "temporal": model.temporal}
    records: dict[str, tuple[Encoder, Recorded]] = {}
    with torch.enable_grad(), recording(encoders, records):
        # Parameters may be frozen; a graph begins where the pixels are.
        logits = model(video.detach().requires_grad_(), every_token=True)
        wanted = [layer["joined"] for _, record in records.values() for layer in record.layers]
        found = torch.autograd.grad(answer(logits).sum(), wanted, materialize_grads=True)
    gradients = {id(tensor): gradient for tensor, gradient in zip(wanted, found, strict=True)}
    traced = {name: traced_encoder(*records[name], gradients) for name in records}
    return Trace(
        logits=logits.detach(),
        grid=model.config.grid_of(video.shape[1], *video.shape[-2:]),
        pool=model.config.pool or "class",
        encoder=traced.get("encoder"),
        spatial=traced.get("spatial"),
        temporal=traced.get("temporal"),
    )


def traced_encoder(encoder: Encoder, record: Recorded, gradients: dict[int, Tensor]) -> EncoderTrace:
    """What was recorded of an encoder, with its gradients."""
    assert record.tokens is not None, "the model has run"
    layers = [
        AttentionTrace(
            axes=layer["axes"],
            query=layer["query"].detach(),
            key=layer["key"].detach(),
            value=layer["value"].detach(),
            gradient=gradients[id(layer["joined"])].unflatten(-1, layer["query"].shape[-2:]),
        )
        for layer in record.layers
    ]
    return EncoderTrace(
        tokens=record.tokens.detach(),
        layers=layers,
        split=encoder.split,
        extra=0 if encoder.class_token is None else 1,
    )


@contextmanager
def recording(
    encoders: dict[str, Encoder | None], records: dict[str, tuple[Encoder, Recorded]]
) -> Generator[None]:
    """While open, what the encoders compute is kept in `records`, under their names."""
    handles: list[Any] = []
    try:
        for name, encoder in encoders.items():
            if encoder is not None:
                record = Recorded()
                records[name] = encoder, record
                handles += hooks_of(encoder, record)
        yield
    finally:
        for handle in handles:
            handle.remove()


def hooks_of(encoder: Encoder, record: Recorded) -> list[Any]:
    """Hooks that keep an encoder's output, and queries, keys, values and joined heads of its attention."""

    def keep_tokens(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        record.tokens = output

    handles: list[Any] = [encoder.register_forward_hook(keep_tokens)]
    for module in encoder.modules():
        if isinstance(module, Attention):
            layer: dict[str, Any] = {"axes": module.axes}
            record.layers.append(layer)
            named = {"query": module.query, "key": module.key, "value": module.value}
            handles += [p.register_forward_hook(keep(layer, n, module.heads)) for n, p in named.items()]
            handles.append(module.out.register_forward_pre_hook(keep_input(layer)))
    return handles


def keep(layer: dict[str, Any], name: str, heads: int) -> Any:
    """A hook that keeps what comes out, `(B, *grid, H, K)`."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        layer[name] = output.unflatten(-1, (heads, -1))

    return hook


def keep_input(layer: dict[str, Any]) -> Any:
    """A hook that keeps what goes in."""

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        layer["joined"] = inputs[0]

    return hook
