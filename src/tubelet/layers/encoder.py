"""A transformer encoder: class token, positions, blocks, final norm; and how its tokens become one vector."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tubelet.layers.block import Block
from tubelet.layers.embedding import Grid, Positions


class Encoder(nn.Module):
    """Adds class token and positions to a grid of tokens, and runs the blocks.

    The tokens are `(B, ..., N, D)`: positions belong to the last axis of tokens, and what stands between it
    and the batch (the frames of the factorised encoder) shares them. With `split=True` the blocks see the
    N tokens as `(T, S)`: Models 3 and 4.

    Args:
        blocks: the blocks.
        positions: what is added to the tokens, or None.
        class_token: width of a class token put first, or None for no class token.
        norm: what is applied last (`nn.Identity()` for none).
        dropout: dropout after the positions.
        split: whether blocks see time and space as two axes.
    """

    def __init__(
        self,
        blocks: Iterable[Block],
        positions: Positions | None,
        class_token: int | None,
        norm: nn.Module,
        dropout: float,
        split: bool = False,
    ) -> None:
        super().__init__()
        self.class_token = None if class_token is None else nn.Parameter(torch.zeros(1, 1, class_token))
        self.positions = positions
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.split = split
        self.checkpointing = False

    def forward(self, tokens: Tensor, grid: Grid, first_only: bool = False) -> Tensor:
        """`(B, ..., T*H*W, D)` to the same, with the class token (where there is one) put first.

        Args:
            tokens: the tokens.
            grid: how many there are along time, height and width.
            first_only: the same numbers, but of the first token only, `(B, ..., 1, D)`, where the last block can
                do without the others. (With time and space as two axes it cannot, and all are returned.)
        """
        tokens = self.placed(tokens, grid)
        if self.split:
            tokens = tokens.unflatten(1, (grid[0], -1))
        for number, block in enumerate(self.blocks, start=1):
            alone = first_only and number == len(self.blocks) and not self.split
            if self.checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, alone, use_reentrant=False)
            else:
                tokens = block(tokens, alone)
        if self.split:
            tokens = tokens.flatten(1, 2)
        return self.norm(tokens)

    def placed(self, tokens: Tensor, grid: Grid) -> Tensor:
        """The tokens as the first block takes them, but not split: with class token and positions."""
        if self.class_token is not None:
            tokens = torch.cat((self.class_token.expand(*tokens.shape[:-2], 1, -1), tokens), dim=-2)
        if self.positions is not None:
            tokens = tokens + self.positions(grid)
        return self.dropout(tokens)


BY_PLACE = ("class", "first")
"""The kinds of pooling that read the first token and no other."""


def pool_tokens(tokens: Tensor, pool: str) -> Tensor:
    """`(..., N, D)` to `(..., D)`: the first token (`class`, `first`), or the `mean`, `max` or `sum` of all."""
    if pool in BY_PLACE:
        return tokens[..., 0, :]
    if pool == "max":
        return tokens.amax(dim=-2)
    return tokens.mean(dim=-2) if pool == "mean" else tokens.sum(dim=-2)
