"""From a pass of a model to where it looked: attention rollout, and gradient-weighted attention.

Both carry a relevance of tokens from the answer back to the first block, a layer at a time. So they need no matrix of
all tokens by all tokens, and a layer over time or over space moves relevance over time or over space only: each
of the four models has the structure of its own.

Axis letters: B batch, T time, S space, N tokens, H heads, K head_dim, Q queries.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tubelet.explanation.trace import AttentionTrace, EncoderTrace, Trace

Step = Callable[[AttentionTrace, Tensor], Tensor]
"""How relevance goes back through a layer: the layer, relevance `(B, *grid)` behind it -> before it."""
QUERY_VALUES = 2**24
"""Most attention weights in memory at a time."""


def rollout(trace: Trace) -> Tensor:
    """Attention rollout (Abnar and Zuidema 2020): where what the answer rests on came from.

    Every layer mixes half of what a token was with what its attention brought, heads averaged. It is the same for
    all classes.

    Returns:
        `(B, T, H, W)`, each clip's sum 1.
    """

    def step(layer: AttentionTrace, relevance: Tensor) -> Tensor:
        return (relevance + moved(layer, relevance, weighted=False)) / 2

    return finished(trace, back(trace, step, own=True))


def gradient_map(trace: Trace) -> Tensor:
    """Class-specific attention: what of it the answer depends on.

    The propagation of Chefer, Gur and Wolf (2021), but attention weights count by the size of their gradient, not
    only where it is positive: a class is often told by what speaks against the others. What attention did not move
    is left out: where tokens are averaged, each is a part of the answer, whatever it holds.

    Returns:
        `(B, T, H, W)`, not negative, each clip's sum 1; all 0 where the answer depends on nothing.
    """

    def step(layer: AttentionTrace, relevance: Tensor) -> Tensor:
        return relevance + moved(layer, relevance, weighted=True)

    return finished(trace, back(trace, step, own=False))


def finished(trace: Trace, relevance: Tensor) -> Tensor:
    """Relevance `(B, T*H*W)` as a map whose sum is 1."""
    relevance = relevance.clamp(min=0)  # of what was taken off a rounding error may be left
    total = relevance.sum(dim=1, keepdim=True)
    shares = torch.where(total > 0, relevance / total.clamp(min=1e-30), torch.zeros_like(relevance))
    return shares.unflatten(1, trace.grid)


def back(trace: Trace, step: Step, own: bool) -> Tensor:
    """Relevance of the tubelets, `(B, T*H*W)`; `own`: with what a token kept and no attention moved."""
    times = trace.grid[0]
    if trace.encoder is not None:
        start = first(trace.encoder, trace.pool)
        return through(trace.encoder, start, step, times, own).flatten(1)
    assert trace.spatial is not None, "Model 2 has one"
    start = first(trace.spatial, trace.pool)  # (B, T, N)
    if trace.temporal is not None:
        when = through(trace.temporal, first(trace.temporal, trace.pool), step, times, own)  # (B, T)
        start = start * when[:, :, None]
    return through(trace.spatial, start, step, times, own).flatten(1)


def first(encoder: EncoderTrace, pool: str) -> Tensor:
    """How much of the answer rests on each token that comes out of an encoder: `(B, ..., N)`, over N the sum 1."""
    shape = encoder.tokens.shape[:-1]
    if pool in ("class", "first"):
        start = encoder.tokens.new_zeros(shape)
        start[..., 0] = 1
        return start
    if pool == "max":
        largest = encoder.tokens == encoder.tokens.amax(dim=-2, keepdim=True)
        return largest.to(encoder.tokens).mean(dim=-1)
    return encoder.tokens.new_full(shape, 1 / shape[-1])


def through(encoder: EncoderTrace, start: Tensor, step: Step, times: int, own: bool) -> Tensor:
    """Relevance `(B, ..., N)` behind an encoder as that of the tokens of its grid before it."""
    if encoder.split:
        start = start.unflatten(1, (times, -1))
    relevance = start
    for layer in reversed(encoder.layers):
        relevance = step(layer, relevance)
    if not own:
        relevance = relevance - start
    return relevance if encoder.split else relevance[..., encoder.extra :]


def moved(layer: AttentionTrace, relevance: Tensor, weighted: bool) -> Tensor:
    """Relevance `(B, *grid)` of the queries as that of the keys, by the mean of the heads' weights."""
    parts = len(layer.axes)
    heads = layer.query.shape[-2]
    tensors = (layer.query, layer.key, layer.value, layer.gradient)
    shares = (x.chunk(parts, dim=-2) for x in tensors)
    found = torch.zeros_like(relevance)
    for axis, query, key, value, slope in zip(layer.axes, *shares, strict=True):
        query, key, value, slope = (x.movedim(axis, -3).transpose(-3, -2) for x in (query, key, value, slope))
        behind = relevance.movedim(axis, -1)  # (B, *others, Q); the others are (B, *others, H, Q, K)
        part = moved_along(query, key, value, slope, behind, weighted)
        found = found + part.movedim(-1, axis) / heads
    return found


def moved_along(
    query: Tensor, key: Tensor, value: Tensor, slope: Tensor, relevance: Tensor, weighted: bool
) -> Tensor:
    """Relevance `(..., Q)` of the queries as that of the keys, summed over heads; some queries at a time."""
    scale = query.shape[-1] ** -0.5
    keys = key.shape[-2]
    found = torch.zeros_like(relevance)
    at_a_time = max(1, QUERY_VALUES // (query.shape[:-2].numel() * keys))
    for begin in range(0, query.shape[-2], at_a_time):
        some = slice(begin, begin + at_a_time)
        weights = (query[..., some, :] @ key.mT * scale).softmax(dim=-1)  # (..., H, q, N)
        if weighted:
            weights = (weights * (slope[..., some, :] @ value.mT)).abs()
        found += torch.einsum("...q,...hqn->...n", relevance[..., some], weights)
    return found
