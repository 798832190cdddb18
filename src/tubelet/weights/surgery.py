"""Making the tensors of one model fit another: kernels for more frames or channels, positions for another grid.

Axis letters: D width of a token, C channels, t h w the size of a tubelet, T H W a grid of tubelets.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.layers.embedding import Grid, resample

Inflation = Literal["central_frame", "average", "average_arp"]
"""How the kernel of one frame becomes that of a tubelet (paper section 3.4; `average_arp` weights the frames by
approximate rank pooling and exists in the official code only)."""

ChannelRule = Literal["energy", "grey", "extend"]
"""How a kernel for some channels becomes one for others; see `change_channels`."""

PositionRule = Literal["resize", "resize_tile", "tile", "resize_square"]
"""How the positions of one grid serve another; see `fit_positions`."""


def inflate(kernel: Tensor, frames: int, how: Inflation) -> Tensor:
    """A kernel `(D, C, t, h, w)` for tubelets of another number of frames: `(D, C, frames, h, w)`.

    Args:
        kernel: of an image model, t = 1, or of a video model.
        frames: frames of the tubelet that is wanted.
        how: `central_frame`: the kernel in the middle (for t = 1 at frame `frames // 2`, the official place), zeros
            elsewhere: the model starts as one of that frame. `average`: the kernel divided by `frames`, in each: a
            model of the mean frame; of t > 1 frames, the kernel stretched in time, so that it answers a still
            clip as before. `average_arp`: that mean weighted by approximate rank pooling, for t = 1 only.

    Raises:
        ConfigError: if the rule is not defined for these numbers of frames.
    """
    given = kernel.shape[2]
    if given == frames:
        return kernel
    if how == "central_frame":
        if given > frames:
            raise ConfigError(
                f"inflation='central_frame' makes tubelets longer, and these go from {given} frames to {frames}: "
                "use inflation='average'."
            )
        first = frames // 2 - given // 2
        inflated = kernel.new_zeros(*kernel.shape[:2], frames, *kernel.shape[3:])
        inflated[:, :, first : first + given] = kernel
        return inflated
    if how == "average_arp":
        if given != 1:
            raise ConfigError(
                f"inflation='average_arp' is for kernels of one frame, and this one has {given}: use "
                "inflation='average'."
            )
        share = rank_pooling(frames)[:, None]
    else:
        share = overlap(given, frames)
    return torch.einsum("dcshw,ts->dcthw", kernel, share.to(kernel))


def rank_pooling(frames: int) -> Tensor:
    """Weights `(frames,)` of approximate rank pooling, divided by `frames`: the official code's."""
    harmonic = torch.cat((torch.zeros(1), (1 / torch.arange(1, frames + 1)).cumsum(0))).double()
    i = torch.arange(1, frames + 1, dtype=torch.float64)
    return (2 * (frames - i + 1) - (frames + 1) * (harmonic[frames] - harmonic[:-1])) / frames


def overlap(given: int, wanted: int) -> Tensor:
    """How much of each of `given` equal parts of a span lies in each of `wanted` equal parts: `(wanted, given)`.

    Each column sums to 1, so nothing is lost and nothing is added.
    """
    start = torch.arange(wanted, dtype=torch.float64)[:, None] / wanted
    own = torch.arange(given, dtype=torch.float64)[None] / given
    shared = torch.minimum(start + 1 / wanted, own + 1 / given) - torch.maximum(start, own)
    return shared.clamp(min=0) * given


def new_normalisation(
    mean: tuple[float, ...], std: tuple[float, ...], channels: int, how: ChannelRule
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of `channels` channels, from those of others: what `change_channels` counts on."""
    more = channels - len(mean) if how == "extend" else channels
    own = len(mean) if how == "extend" else 0
    middle, spread = sum(mean) / len(mean), sum(std) / len(std)
    return (*mean[:own], *(middle,) * more), (*std[:own], *(spread,) * more)


def change_channels(
    kernel: Tensor,
    bias: Tensor,
    channels: int,
    how: ChannelRule,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> tuple[Tensor, Tensor]:
    """A patch embedding for another number of channels, normalised as `new_normalisation` says.

    Let w_k be the kernel's part for channel k. What all rules begin with is its answer to brightness, w = sum of
    w_k over k: what it computes of a grey picture. Patches do not overlap and have no border, so where the old
    channels are normalised differently that moves exactly into w and the bias: the new channels share the mean of
    the old means and deviations.

    Args:
        kernel: `(D, C, t, h, w)`.
        bias: `(D,)`.
        channels: N, number of channels wanted.
        how: `energy`: w / sqrt(N) for each channel. N independent channels of one variance then give answers of
            exactly the variance (the energy) that the old model gives to grey pictures of it: for channels that show
            different things, such as depth, flow or modalities. `grey`: w / N for each channel. The same
            picture in every channel then gives exactly the old model's answer to it in grey: for channels that
            show almost the same, such as slices of a volume. With one channel both rules are the same. `extend`:
            the old channels as they are, and zeros for those that come after them: the new model starts as the
            old one, for RGB with something more.
        mean: of each of the old channels.
        std: of each of the old channels.

    Returns:
        kernel `(D, N, t, h, w)` and bias `(D,)`.

    Raises:
        ConfigError: if `extend` would have to drop channels.
    """
    given = kernel.shape[1]
    if given == channels:
        return kernel, bias
    if how == "extend":
        if channels < given:
            raise ConfigError(
                f"channels='extend' adds channels, and these go from {given} to {channels}: use channels='energy' "
                "or channels='grey'."
            )
        zeros = kernel.new_zeros(kernel.shape[0], channels - given, *kernel.shape[2:])
        return torch.cat((kernel, zeros), dim=1), bias
    means, stds = (torch.tensor(x, dtype=torch.float64) for x in (mean, std))
    scale, shift = (stds.mean() / stds).to(kernel), ((means.mean() - means) / stds).to(kernel)
    brightness = torch.einsum("dcthw,c->dthw", kernel, scale)[:, None]
    share = brightness / (channels if how == "grey" else math.sqrt(channels))
    moved = bias + torch.einsum("dcthw,c->d", kernel, shift)
    return share.expand(-1, channels, -1, -1, -1).contiguous(), moved


def fit_positions(table: Tensor, source: Grid, target: Grid, rule: PositionRule) -> Tensor:
    """Positions of one grid of tokens for another.

    Args:
        table: `(1, source.T * source.H * source.W, D)`, without a class token's.
        source: grid of the table; of an image, `(1, H, W)`.
        target: grid that is wanted; `(1, H, W)` where frames share positions (Model 2), whose value is then the
            mean over the source's time.
        rule: `resize`: linear along each axis with aligned end points, which repeats what has only one step of
            time. `resize_tile`: linear over height and width, then repeated along time. `tile`: repeated along time
            only. `resize_square`: what the official code does under the name of "resize" to all tokens of
            Model 1: as if source and target were square pictures of as many tokens.

    Returns:
        `(1, target.T * target.H * target.W, D)`.

    Raises:
        ConfigError: if the rule is not defined for these grids.
    """
    if source == target:
        return table
    if rule == "resize_square":
        sides = [math.isqrt(math.prod(grid)) for grid in (source, target)]
        if any(side * side != math.prod(grid) for side, grid in zip(sides, (source, target), strict=True)):
            raise ConfigError(
                f"positions='resize_square' needs square numbers of tokens, not {math.prod(source)} and "
                f"{math.prod(target)}: use positions='resize'."
            )
        return precisely(table, (1, sides[0], sides[0]), (1, sides[1], sides[1]))
    if target[0] == 1 < source[0]:
        table, source = table.unflatten(1, source).mean(dim=1).flatten(1, 2), (1, *source[1:])
    if rule == "resize":
        return precisely(table, source, target)
    if rule == "tile" and source[1:] != target[1:]:
        raise ConfigError(
            f"positions='tile' needs the file's own {source[1]}x{source[2]} patches, and the model has "
            f"{target[1]}x{target[2]}: use positions='resize', or another size."
        )
    if target[0] % source[0]:
        raise ConfigError(
            f"positions={rule!r} repeats {source[0]} steps of time, which {target[0]} is no multiple of: use "
            "positions='resize', or another number of frames."
        )
    return precisely(table, source, (source[0], *target[1:])).repeat(1, target[0] // source[0], 1)


def precisely(table: Tensor, source: Grid, target: Grid) -> Tensor:
    """`resample`, in double precision as the official code: this is done once."""
    return resample(table.double(), source, target).to(table.dtype)
