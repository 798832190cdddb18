"""Making the tensors of one model fit another: inflation of kernels, positions for another grid."""

from typing import Literal

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.layers.embedding import Grid, resample

Inflation = Literal["central_frame", "average", "average_arp"]
"""How a 2D kernel becomes a 3D one (paper section 3.4; `average_arp` weights the frames by approximate rank
pooling and exists in the official code only)."""

PositionRule = Literal["tile", "resize_tile"]
"""How the positions of an image serve a video: the same for every step of time (`tile`, which needs an equal
grid of patches), or resized over the image first, linearly with aligned end points (`resize_tile`)."""


def inflate(kernel: Tensor, frames: int, how: Inflation) -> Tensor:
    """A kernel of one frame `(D, C, 1, h, w)` for tubelets of several: `(D, C, frames, h, w)`.

    `central_frame`: the kernel at frame `frames // 2`, zeros elsewhere: the model starts as an image model of
    that frame. `average`: the kernel divided by `frames`, in each: an image model of the mean frame.
    """
    if how == "central_frame":
        inflated = kernel.new_zeros(*kernel.shape[:2], frames, *kernel.shape[3:])
        inflated[:, :, frames // 2] = kernel[:, :, 0]
        return inflated
    weights = torch.ones(frames, dtype=torch.float64)
    if how == "average_arp":
        harmonic = torch.cat((torch.zeros(1), (1 / torch.arange(1, frames + 1)).cumsum(0))).double()
        i = torch.arange(1, frames + 1, dtype=torch.float64)
        weights = 2 * (frames - i + 1) - (frames + 1) * (harmonic[frames] - harmonic[:-1])
    weights = (weights / frames).to(kernel.dtype)
    return kernel * weights[:, None, None]


def fit_positions(table: Tensor, source: Grid, target: Grid, rule: PositionRule) -> Tensor:
    """Positions of an image's patches for a video's tubelets.

    Args:
        table: `(1, source.H * source.W, D)`, without a class token's.
        source: grid of the image, `(1, H, W)`.
        target: grid of the video, `(T, H, W)`; or `(1, H, W)` where frames share positions (Model 2).
        rule: see `PositionRule`.

    Returns:
        `(1, target.T * target.H * target.W, D)`.

    Raises:
        ConfigError: if `tile` meets another grid of patches.
    """
    if rule == "tile" and source[1:] != target[1:]:
        raise ConfigError(
            f"positions='tile' needs the file's own {source[1]}x{source[2]} patches, and the model has "
            f"{target[1]}x{target[2]}: use positions='resize_tile', or another size."
        )
    return resample(table, source, (1, *target[1:])).repeat(1, target[0], 1)
