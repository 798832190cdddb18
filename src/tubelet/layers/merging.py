"""Token merging: tokens with like keys become one on the way through an encoder (Bolya et al. 2023, ToMe).

Needs no training. What a token stands for is its size, the number of tokens that became it: attention gives it so much
more weight ("proportional attention"), and so does a mean over tokens.

Axis letters: B batch, N tokens, D width, H heads, K head_dim. One axis of tokens: Model 1, or a frame of Model 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, Branch
from tubelet.layers.encoder import Encoder, pool_tokens


def pool_merged(encoder: Encoder, tokens: Tensor, sizes: Tensor | None, merge: float, pool: str) -> Tensor:
    """The blocks, the norm and the pooling of an encoder, some tokens becoming one in every block.

    As many in every example, whatever it shows, so that a batch stays a batch and its company changes no answer.

    Args:
        encoder: of Model 1, or the spatial one of Model 2.
        tokens: with class token and positions, `(B, N, D)`.
        sizes: how many tokens each stands for, `(B, N)`; None: itself alone.
        merge: share of the tokens of a block that it merges away, up to a half.
        pool: as for `pool_tokens`. A token that is taken by its place, the first, is never merged.

    Returns:
        `(B, D)`.
    """
    by_place = pool in ("class", "first")
    for block in encoder.blocks:
        assert isinstance(block, Block)
        attention = block["attention"]
        assert isinstance(attention, Branch)
        tokens, keys = attend_by_size(attention, tokens, sizes)
        count = min(int(merge * tokens.shape[1]), (tokens.shape[1] + 1) // 2 - by_place)
        if count > 0:
            tokens, sizes = merge_tokens(tokens, keys, sizes, count, by_place)
        tokens = block["mlp"](tokens)
    tokens = encoder.norm(tokens)
    if sizes is None or pool not in ("mean", "sum"):
        return pool_tokens(tokens, pool)
    total = torch.einsum("bnd,bn->bd", tokens, sizes.to(tokens.dtype))
    return total if pool == "sum" else total / sizes.sum(dim=1, keepdim=True).to(tokens.dtype)


def attend_by_size(branch: Branch, tokens: Tensor, sizes: Tensor | None) -> tuple[Tensor, Tensor]:
    """The attention branch of a block, in which a token of size s counts as s equal tokens.

    Args:
        branch: around an `Attention` along one axis.
        tokens: `(B, N, D)`.
        sizes: `(B, N)`, or None for all of size one.

    Returns:
        The branch's output `(B, N, D)`, and the keys, the mean over heads, `(B, N, K)`.
    """
    layer = branch.layer
    assert isinstance(layer, Attention)
    normed = branch.norm(tokens)
    projections = (layer.query, layer.key, layer.value)
    query, key, value = (p(normed).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for p in projections)
    # s equal tokens have together s times the weight of one: the logarithm of s more before the softmax.
    bias = None if sizes is None else sizes.log().to(query.dtype)[:, None, None]
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return tokens + layer.out(out.transpose(1, 2).flatten(-2)), key.mean(dim=1)


def merge_tokens(
    tokens: Tensor, keys: Tensor, sizes: Tensor | None, count: int, keep_first: bool
) -> tuple[Tensor, Tensor]:
    """Merge `count` tokens away by bipartite soft matching (ToMe, section 3).

    Every other token, the first of all included, looks among the rest for the one of the likest key; the `count` that
    found the likest are averaged into it, by size.

    Args:
        tokens: `(B, N, D)`.
        keys: what likeness is judged by, `(B, N, K)`: the cosine between them.
        sizes: how many tokens each stands for, `(B, N)`; None: itself alone.
        count: at most half of N, less one where the first is kept.
        keep_first: never merge the first token into another.

    Returns:
        Tokens `(B, N - count, D)` and their sizes, in float32. A kept first token stays the first.
    """
    if sizes is None:
        sizes = tokens.new_ones(tokens.shape[:2], dtype=torch.float32)
    keys = F.normalize(keys, dim=-1)
    likeness = keys[:, ::2] @ keys[:, 1::2].transpose(1, 2)
    if keep_first:
        likeness[:, 0] = -torch.inf
    best, partner = likeness.max(dim=-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    going, staying = order[:, :count], order[:, count:].sort(dim=-1).values
    into = partner.gather(1, going)
    weighed = tokens * sizes.to(tokens.dtype)[..., None]
    width = tokens.shape[-1]
    sums = weighed[:, 1::2].clone()
    sums.scatter_add_(1, wide(into, width), weighed[:, ::2].gather(1, wide(going, width)))
    grown = sizes[:, 1::2].clone().scatter_add_(1, into, sizes[:, ::2].gather(1, going))
    kept = tokens[:, ::2].gather(1, wide(staying, width))
    merged = torch.cat((kept, sums / grown.to(tokens.dtype)[..., None]), dim=1)
    return merged, torch.cat((sizes[:, ::2].gather(1, staying), grown), dim=1)


def wide(index: Tensor, width: int) -> Tensor:
    """`(B, N)` for gathering whole tokens: `(B, N, width)`."""
    return index[..., None].expand(-1, -1, width)
