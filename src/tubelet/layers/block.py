"""A transformer block: an ordered dict of pre-norm residual branches."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tubelet.layers.parts import in_parts, rows_in_part

ACTIVATIONS: dict[str, nn.Module] = {
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "gelu_erf": nn.GELU(),
    "relu": nn.ReLU(),
}
"""Activations by name. ViViT uses the tanh approximation of GELU; DeiT, timm and Hugging Face's ViT use erf."""


class MLP(nn.Sequential):
    """Linear, activation, dropout, linear: `(..., D)` to `(..., D)`."""

    def __init__(self, width: int, hidden: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.activation = ACTIVATIONS[activation]
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """`(..., D)` to `(..., D)`."""
        flat = tokens.flatten(0, -2)
        rows = rows_in_part(flat, self.fc1.out_features)
        if rows is None:
            return super().forward(tokens)
        return in_parts(super().forward, flat, rows).view(tokens.shape)


class DropPath(nn.Module):
    """Stochastic depth: in training, drops the whole branch for some examples of the batch.

    One draw per example, shared by everything else of it: in the factorised encoder all frames of a video
    keep or drop a spatial branch together. As in the official code the kept branches are not scaled up by
    1 / (1 - rate), which the paper's rates assume; `rescale=True` does scale them.
    """

    def __init__(self, rate: float, rescale: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.rescale = rescale

    def draw(self, branch: Tensor) -> Tensor:
        """Which examples keep the branch: `(B, 1, ..., 1)` of ones and zeros."""
        shape = (branch.shape[0],) + (1,) * (branch.ndim - 1)
        return torch.rand(shape, device=branch.device).ge(self.rate).to(branch.dtype)

    def forward(self, branch: Tensor) -> Tensor:
        """`(B, ...)` to `(B, ...)`."""
        if not self.training or self.rate == 0:
            return branch
        kept = branch * self.draw(branch)
        return kept / (1 - self.rate) if self.rescale else kept

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return f"rate={self.rate:.3g}, rescale={self.rescale}"


class Branch(nn.Module):
    """A pre-norm residual branch: `x + drop_path(dropout(layer(norm(x))))`."""

    def __init__(
        self, layer: nn.Module, width: int, norm_eps: float, dropout: float, drop_path: DropPath
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.layer = layer
        self.dropout = nn.Dropout(dropout)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, first_only: bool = False) -> Tensor:
        """`(B, *grid, D)` to the same, or of `Attention` with `first_only` to `(B, ..., 1, D)`."""
        residual = self.residual_of_first if first_only else self.residual
        rows = rows_in_part(tokens, tokens.shape[1:].numel())
        return residual(tokens) if rows is None else in_parts(residual, tokens, rows)

    def residual(self, tokens: Tensor) -> Tensor:
        """`forward`, of all examples at once."""
        return tokens + self.drop_path(self.dropout(self.layer(self.norm(tokens))))

    def residual_of_first(self, tokens: Tensor) -> Tensor:
        """The same with `first_only`."""
        branch = self.layer(self.norm(tokens), first_only=True)
        return tokens[..., :1, :] + self.drop_path(self.dropout(branch))


class Block(nn.ModuleDict):
    """Branches one after the other, in the order of the dict."""

    def __init__(self, branches: Mapping[str, Branch]) -> None:
        super().__init__(dict(branches))

    def forward(self, tokens: Tensor, first_only: bool = False) -> Tensor:
        """`(B, *grid, D)` to `(B, *grid, D)`.

        With `first_only` to `(B, ..., 1, D)`: what the first token along the last axis of the grid becomes, in a
        block whose only attention is its first branch and along that axis. Of the others no more is computed than
        that one sees.
        """
        first, *others = self.values()
        tokens = first(tokens, first_only)
        for branch in others:
            tokens = branch(tokens)
        return tokens
