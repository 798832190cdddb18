"""Blocks in int8 on a CPU: weights in int8 once, what they multiply in uint8 as it comes ("dynamic quantisation").

The matrix product is oneDNN's, which PyTorch brings along; it is quick where the CPU has VNNI or AMX instructions. No
clips are needed to prepare it. What multiplies no weights (attention itself, norms, activations), the tubelets'
embedding and the head stay in float32.

Axis letters: B batch, R rows, I inputs, O outputs, D width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tubelet.layers.attention import Attention
from tubelet.layers.block import MLP

LEVELS = 254
"""Steps that the inputs' range is cut into: 255 less one, so that rounding its zero to a level clips nothing."""
ROWS = 512
"""Tokens that share a scale, and are computed together while they are in the processor's caches."""


class Int8Linear(nn.Module):
    """A linear layer: int8 weights, a scale for each output; uint8 inputs, a scale and a zero for each `ROWS` tokens.

    The scale is that of tokens of one example, so that what else is in the batch changes no answer.

    Args:
        linear: the layer, on the CPU. It is not kept.
    """

    scale: Tensor
    zero: Tensor
    packed: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        scale = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        rounded = (weight / scale[:, None]).round().to(torch.int8)
        self.register_buffer("scale", scale)
        self.register_buffer("zero", torch.zeros(self.out_features, dtype=torch.int64), persistent=False)
        # Laid out as the CPU's kernel wants it, and not to be read again.
        packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, None)
        self.register_buffer("packed", packed, persistent=False)
        bias = linear.bias.detach().float() if linear.bias is not None else None  # pyright: ignore[reportUnnecessaryComparison]
        self.register_buffer("bias", bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, ..., I)` to `(B, ..., O)`, float32."""
        return row_by_row(self.rows, tokens, self.out_features)

    def rows(self, rows: Tensor) -> Tensor:
        """`(R, I)` to `(R, O)`, with one scale."""
        low, high = (float(value) for value in torch.aminmax(rows))
        low, high = min(low, 0.0), max(high, 0.0)  # zero must be a level
        step = (high - low) / LEVELS or 1.0
        zero = round(-low / step)
        # Adding a half and cutting off is rounding: what is cut is never negative.
        levels = rows.mul(1 / step).add_(zero + 0.5).to(torch.uint8)
        return torch.ops.onednn.qlinear_pointwise(
            levels, step, zero, self.packed, self.scale, self.zero, self.bias, 1.0, 0, torch.float32, "none", [], ""
        )  # fmt: skip


class Int8MLP(nn.Module):
    """Linear, activation, linear, both of them `Int8Linear`; there is no dropout, for it cannot be trained.

    Args:
        mlp: the layer, on the CPU. It is not kept.
    """

    def __init__(self, mlp: MLP) -> None:
        super().__init__()
        self.fc1 = Int8Linear(mlp.fc1)
        self.activation = mlp.activation
        self.fc2 = Int8Linear(mlp.fc2)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(B, ..., D)` to `(B, ..., D)`."""
        return row_by_row(
            lambda rows: self.fc2.rows(self.activation(self.fc1.rows(rows))), tokens, self.fc2.out_features
        )


def row_by_row(compute: Callable[[Tensor], Tensor], tokens: Tensor, width: int) -> Tensor:
    """`compute` on up to `ROWS` rows of one example at a time: `(B, ..., I)` to `(B, ..., width)`.

    Tokens `(N, I)` are those of one.
    """
    if tokens.ndim == 2:
        return row_by_row(compute, tokens[None], width)[0]
    out = tokens.new_empty((*tokens.shape[:-1], width))
    for example, into in zip(tokens.flatten(1, -2), out.view(len(tokens), -1, width), strict=True):
        for begin in range(0, len(example), ROWS):
            into[begin : begin + ROWS] = compute(example[begin : begin + ROWS])
    return out


def quantise(model: nn.Module) -> None:
    """Put int8 layers in the place of those of all blocks. What the model knew in float32 is gone from it.

    Args:
        model: in float32 on the CPU.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, MLP):
                setattr(module, name, Int8MLP(child))
            elif isinstance(child, nn.Linear) and isinstance(module, Attention):
                setattr(module, name, Int8Linear(child))


def is_quantised(model: nn.Module) -> bool:
    """Whether there are int8 layers in it."""
    return any(isinstance(module, Int8Linear) for module in model.modules())
