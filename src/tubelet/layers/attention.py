"""Multi-head attention over chosen axes of a grid of tokens.

Axis letters: B batch, T time, S space, N tokens, D width, H heads, K head_dim.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, cat, nn

READ_AGAIN = 768
"""From so many queries on the CPU's fused kernel reads keys and values again for every 256 of them. Then it is
quicker to lay those of a head side by side first: 1.1 times as fast at 3137 tokens, but 0.9 times at 197."""


def attend(query: Tensor, key: Tensor, value: Tensor, axis: int, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention among the tokens along one axis.

    The other grid axes are folded into the batch: the fused kernels take four dimensions.

    Args:
        query: `(B, *grid, H, K)`; there may be fewer along the axis than keys.
        key: `(B, *grid, H, K)`; `value` likewise.
        value: see `key`.
        axis: the axis of the grid along which tokens see each other, counted from 1 (0 is the batch).
        dropout: probability of dropping an attention weight.

    Returns:
        The form of `query`.
    """
    query, key, value = (x.movedim(axis, -3) for x in (query, key, value))  # (B, *others, axis, H, K)
    folded = query.shape[:-3]
    query, key, value = (x.flatten(0, -4).transpose(1, 2) for x in (query, key, value))  # (B', H, axis, K)
    if key.device.type == "cpu" and query.shape[2] >= READ_AGAIN:
        key, value = key.contiguous(), value.contiguous()
    out = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    return out.transpose(1, 2).unflatten(0, folded).movedim(-3, axis)


class Attention(nn.Module):
    """Multi-head attention whose heads are shared out, in order, over the named axes of the token grid.

    With one axis this is ordinary attention along it. With axes `(1, 2)` over `(B, T, S, D)` the first half
    of the heads attends over time at the same place and the second half over space in the same frame: the
    factorised dot-product attention of Model 4 (paper section 3.3, "Model 4").

    Args:
        width: D, size of a token.
        heads: H, number of heads; a multiple of the number of axes.
        head_dim: K, size of a head (need not be `width / heads`).
        axes: axes of the grid, counted from 1.
        qkv_bias: whether query, key and value have a bias.
        dropout: probability of dropping an attention weight in training.
    """

    def __init__(
        self, width: int, heads: int, head_dim: int, axes: Sequence[int], qkv_bias: bool, dropout: float
    ) -> None:
        super().__init__()
        assert heads % len(axes) == 0, "heads are shared out evenly over the axes"
        self.heads = heads
        self.axes = tuple(axes)
        self.dropout = dropout
        self.query = nn.Linear(width, heads * head_dim, bias=qkv_bias)
        self.key = nn.Linear(width, heads * head_dim, bias=qkv_bias)
        self.value = nn.Linear(width, heads * head_dim, bias=qkv_bias)
        self.out = nn.Linear(heads * head_dim, width)

    def forward(self, tokens: Tensor, first_only: bool = False) -> Tensor:
        """`(B, *grid, D)` to `(B, *grid, D)`.

        Args:
            tokens: the tokens.
            first_only: only what the first token along the one axis, the last of the grid, becomes:
                `(B, *grid, D)` to `(B, ..., 1, D)`. The others are seen, and not computed.

        Raises:
            ValueError: if the grid has not the axes that attention runs along.
        """
        if tokens.ndim < max(self.axes) + 2:
            raise ValueError(
                f"Attention along axis {max(self.axes)} of the grid takes tokens of {max(self.axes) + 2} axes or "
                f"more, (batch, ..., width); these have {tuple(tokens.shape)}."
            )
        assert not first_only or self.axes == (tokens.ndim - 2,), "one axis, the last"
        asking = tokens[..., :1, :] if first_only else tokens
        projections = ((self.query, asking), (self.key, tokens), (self.value, tokens))
        query, key, value = (p(t).unflatten(-1, (self.heads, -1)) for p, t in projections)
        dropout = self.dropout if self.training else 0.0
        parts = len(self.axes)
        shares = zip(self.axes, *(x.chunk(parts, dim=-2) for x in (query, key, value)), strict=True)
        out = [attend(q, k, v, axis, dropout) for axis, q, k, v in shares]
        return self.out((out[0] if parts == 1 else cat(out, dim=-2)).flatten(-2))
