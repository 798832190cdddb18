"""Token merging: tokens with like keys become one on the way through an encoder (Bolya et al. 2023, ToMe).

Needs no training. A token's size is the number of tokens that became it: attention gives it so much more weight
("proportional attention"), and so does a mean over tokens.

In Model 2 tokens merge at the same places in all frames of a clip. Matched in each frame by itself they would differ
from frame to frame for no reason in the video, and what changes over time is what the temporal encoder goes by.

Axis letters: B batch, T time (1 in Model 1), N tokens, D width, H heads, K head_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, Branch
from tubelet.layers.encoder import BY_PLACE, Encoder, pool_tokens


def pool_merged(encoder: Encoder, tokens: Tensor, sizes: Tensor | None, merge: float, pool: str) -> Tensor:
    """The blocks, the norm and the pooling of an encoder, some tokens becoming one in every block.

    As many in every example, whatever it shows, so that a batch stays a batch and its company changes no answer.

    Args:
        encoder: of Model 1, or the spatial one of Model 2.
        tokens: with class token and positions, `(B, T, N, D)`; tokens of one T see and merge with each other.
        sizes: how many tokens each stands for, `(B, N)`; None: itself alone.
        merge: share of the tokens of a block that it merges away, up to a half.
        pool: as for `pool_tokens`. A token that is taken by its place, the first, is never merged.

    Returns:
        `(B, T, D)`.
    """
    by_place = pool in BY_PLACE
    for number, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        attention = block["attention"]
        assert isinstance(attention, Branch)
        alone = by_place and number == len(encoder.blocks)
        tokens, keys = attend_by_size(attention, tokens, sizes, alone)
        here = tokens.shape[2]
        count = min(int(merge * here), (here + 1) // 2 - by_place) if here > 1 else 0
        if count > 0:
            tokens, sizes = merge_tokens(tokens, keys, sizes, count, by_place)
        tokens = block["mlp"](tokens)
    tokens = encoder.norm(tokens)
    if sizes is None or pool not in ("mean", "sum"):
        return pool_tokens(tokens, pool)
    shares = sizes / sizes.sum(dim=1, keepdim=True) if pool == "mean" else sizes
    return torch.einsum("btnd,bn->btd", tokens, shares.to(tokens.dtype))


def attend_by_size(
    branch: Branch, tokens: Tensor, sizes: Tensor | None, first_only: bool
) -> tuple[Tensor, Tensor]:
    """The attention branch of a block, in which a token of size s counts as s equal tokens.

    Args:
        branch: around an `Attention` along one axis.
        tokens: `(B, T, N, D)`.
        sizes: `(B, N)`, or None for all of size one.
        first_only: only what the first token becomes.

    Returns:
        The branch's output `(B, T, N, D)` or `(B, T, 1, D)`, and the keys, the mean over heads, `(B, T, N, K)`.
    """
    layer = branch.layer
    assert isinstance(layer, Attention)
    normed = branch.norm(tokens).flatten(0, 1)
    asking = slice(1) if first_only else slice(None)
    projections = ((layer.query, normed[:, asking]), (layer.key, normed), (layer.value, normed))
    query, key, value = (p(t).unflatten(-1, (layer.heads, -1)).transpose(1, 2) for p, t in projections)
    # s equal tokens have together s times the weight of one: the logarithm of s more before the softmax.
    bias = None
    if sizes is not None:
        bias = sizes.log().to(query.dtype).repeat_interleave(tokens.shape[1], dim=0)[:, None, None]
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    out = layer.out(out.transpose(1, 2).flatten(-2)).unflatten(0, tokens.shape[:2])
    return tokens[:, :, asking] + out, key.mean(dim=1).unflatten(0, tokens.shape[:2])


def merge_tokens(
    tokens: Tensor, keys: Tensor, sizes: Tensor | None, count: int, keep_first: bool
) -> tuple[Tensor, Tensor]:
    """Merge `count` tokens away by bipartite soft matching (ToMe, section 3), the same at every time.

    Every other token, the first of all included, looks among the rest for the one of the likest key; the `count` that
    found the likest are averaged into it, by size.

    Args:
        tokens: `(B, T, N, D)`.
        keys: what likeness is judged by, `(B, T, N, K)`: the cosine between them, the mean over T.
        sizes: how many tokens each stands for, `(B, N)`; None: itself alone.
        count: at most half of N, less one where the first is kept.
        keep_first: never merge the first token into another.

    Returns:
        Tokens `(B, T, N - count, D)` and their sizes, float32 `(B, N - count)`. A kept first token stays the first.
    """
    if sizes is None:
        sizes = tokens.new_ones((tokens.shape[0], tokens.shape[2]), dtype=torch.float32)
    keys = F.normalize(keys, dim=-1)
    likeness = (keys[:, :, ::2] @ keys[:, :, 1::2].transpose(2, 3)).mean(dim=1)
    if keep_first:
        likeness[:, 0] = -torch.inf
    best, partner = likeness.max(dim=-1)
    order = best.argsort(dim=-1, descending=True, stable=True)
    going, staying = order[:, :count], order[:, count:].sort(dim=-1).values
    into = partner.gather(1, going)
    grown = sizes[:, 1::2].scatter_add(1, into, sizes[:, ::2].gather(1, going))
    sums = tokens[:, :, 1::2] * sizes[:, None, 1::2, None].to(tokens.dtype)
    weighed = chosen(tokens[:, :, ::2], going) * sizes[:, ::2].gather(1, going)[:, None, :, None].to(
        tokens.dtype
    )
    sums.scatter_add_(2, into[:, None, :, None].expand_as(weighed), weighed)
    merged = torch.cat(
        (chosen(tokens[:, :, ::2], staying), sums / grown[:, None, :, None].to(sums.dtype)), dim=2
    )
    return merged, torch.cat((sizes[:, ::2].gather(1, staying), grown), dim=1)


def chosen(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens `(B, T, n, D)` of these numbers `(B, n)`, of `(B, T, N, D)`."""
    return tokens.gather(2, index[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3]))
