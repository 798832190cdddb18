"""Static tubelets: those that show what the one before at their place showed need not be computed again.

As run-length tokenisation does it (Choudhury et al. 2024, "Don't look twice"), without its training: a tubelet is
static where it differs from the last that was computed at its place by no more than a threshold. It is compared with
that one and not with its neighbour in time, so that nothing drifts away unseen in a slow change.

Axis letters: B batch, T H W the grid of tubelets, S = H*W, P values of a tubelet, N tokens of a frame, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tubelet.layers.attention import Attention, attend
from tubelet.layers.block import Block, Branch
from tubelet.layers.embedding import TubeletEmbedding
from tubelet.layers.encoder import Encoder


@dataclass(frozen=True)
class Runs:
    """Which tubelet stands for which."""

    begun: Tensor
    """The time index of the tubelet that stands for each, `(B, T, S)`; its own where it is computed."""

    @property
    def kept(self) -> Tensor:
        """Which tubelets are computed: bool `(B, T, S)`."""
        times = torch.arange(self.begun.shape[1], device=self.begun.device)
        return self.begun == times[:, None]

    @property
    def lengths(self) -> Tensor:
        """For how many tubelets each stands, itself included; 0 where another stands for it: float32 `(B, T, S)`."""
        ones = torch.ones_like(self.begun, dtype=torch.float32)
        return torch.zeros_like(ones).scatter_add_(1, self.begun, ones)


def find_runs(tubelets: Tensor, threshold: float) -> Runs:
    """Runs of tubelets that show the same.

    Args:
        tubelets: `(B, T, H, W, P)`.
        threshold: the largest mean absolute difference of the values of two tubelets that are the same; 0: of equals.
    """
    # One example at a time: what is compared then stays in a core's own cache.
    return Runs(torch.stack([begun_of(one, threshold) for one in tubelets]).flatten(2))


def begun_of(tubelets: Tensor, threshold: float) -> Tensor:
    """`Runs.begun` of one example, `(T, H, W)`."""
    computed = tubelets[0]
    begun = [torch.zeros(computed.shape[:2], dtype=torch.long, device=tubelets.device)]
    for time in range(1, len(tubelets)):
        changed = (tubelets[time] - computed).abs_().mean(dim=-1, dtype=torch.float32) > threshold
        computed = torch.where(changed[..., None], tubelets[time], computed)
        begun.append(torch.where(changed, time, begun[-1]))
    return torch.stack(begun)


def embed_kept(embedding: TubeletEmbedding, tubelets: Tensor, kept: Tensor) -> Tensor:
    """Tokens of the tubelets that are computed, zeros for the others: `(B, T, H, W, P)` to `(B, T, S, D)`."""
    flat = tubelets.flatten(2, 3)
    tokens = flat.new_zeros((*flat.shape[:3], embedding.weight.shape[0]))
    tokens[kept] = embedding.project(flat[kept])
    return tokens


def shared_frames(encoder: Encoder, tokens: Tensor, runs: Runs, first_only: bool) -> Tensor:
    """The spatial encoder of Model 2, where one token stands for a run of static tubelets.

    All frames that it is part of see it, and it sees the frame in which it begins. Where whole frames stand still
    this is what the encoder computes; else it takes what is around a static tubelet for static too. Everything but
    attention itself is computed once a run, over the whole batch, so that examples may keep different numbers of
    tokens.

    Args:
        encoder: the spatial one, of attention along axis 2.
        tokens: with class token and positions, `(B, T, N, D)`.
        runs: of the tubelets, which are the last S of the N tokens; the ones before belong to one frame each.
        first_only: only the first token of every frame, as `Encoder.forward` has it.

    Returns:
        The tokens of every frame, after the norm, `(B, T, N, D)` or `(B, T, 1, D)`.
    """
    extra = tokens.shape[2] - runs.begun.shape[2]
    kept, begun = runs.kept, runs.begun
    if extra:
        times = torch.arange(tokens.shape[1], device=tokens.device)[:, None].expand(*tokens.shape[:2], extra)
        kept = torch.cat((kept.new_ones(times.shape), kept), dim=2)
        begun = torch.cat((times, begun), dim=2)
    seen = standing(kept, begun)
    flat = tokens[kept]  # (M, D)
    for number, block in enumerate(encoder.blocks, start=1):
        assert isinstance(block, Block)
        branch = block["attention"]
        assert isinstance(branch, Branch)
        layer = branch.layer
        assert isinstance(layer, Attention)
        normed = branch.norm(flat)
        key, value = layer.key(normed)[seen], layer.value(normed)[seen]
        if first_only and number == len(encoder.blocks):
            first = seen[:, :, :1]
            query, kept, begun = layer.query(normed[first]), kept[:, :, :1], begun[:, :, :1]
            flat, seen = flat[first[kept]], standing(kept, begun)
        else:
            query = layer.query(normed)[seen]
        query, key, value = (x.unflatten(-1, (layer.heads, -1)) for x in (query, key, value))
        flat = flat + layer.out(attend(query, key, value, axis=2).flatten(-2)[kept])
        flat = block["mlp"](flat)
    return encoder.norm(flat)[seen]


def standing(kept: Tensor, begun: Tensor) -> Tensor:
    """Which of the M tokens that are computed, in order, stands at each place: `(B, T, N)`.

    Args:
        kept: bool `(B, T, N)`, M of them true.
        begun: as of `Runs`, `(B, T, N)`.
    """
    numbers = kept.flatten().cumsum(dim=0).sub(1).view(kept.shape)
    return numbers.gather(1, begun)
