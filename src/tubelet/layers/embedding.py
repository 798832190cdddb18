"""From pixels to tokens, and where a token stands.

Axis letters: B batch, F frames, C channels, T H W the grid of tubelets, t h w the size of a tubelet, D width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Grid = tuple[int, int, int]
"""Number of tubelets along time, height and width."""


class TubeletEmbedding(nn.Module):
    """Every tubelet of t x h x w pixels, linearly projected to a token (paper section 3.2).

    Equal to a 3D convolution whose stride is its kernel; done as one matrix product.
    """

    def __init__(self, channels: int, tubelet: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.tubelet = tubelet
        self.weight = nn.Parameter(torch.empty(width, channels, *tubelet))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, video: Tensor) -> Tensor:
        """`(B, F, C, H*h, W*w)` with F = T*t to `(B, T, H, W, D)`."""
        return self.project(self.cut(video))

    def cut(self, video: Tensor) -> Tensor:
        """The values of every tubelet: `(B, F, C, H*h, W*w)` to `(B, T, H, W, C*t*h*w)`."""
        t, h, w = self.tubelet
        tubelets = video.unflatten(4, (-1, w)).unflatten(3, (-1, h)).unflatten(1, (-1, t))
        return tubelets.permute(0, 1, 4, 6, 3, 2, 5, 7).flatten(4)

    def project(self, tubelets: Tensor) -> Tensor:
        """`(..., C*t*h*w)` to `(..., D)`."""
        return F.linear(tubelets, self.weight.flatten(1), self.bias)


def uniform_frames(length: int, count: int, official: bool = False) -> list[int]:
    """Indices of `count` frames spread evenly over `length` frames (paper section 3.2, "uniform frame sampling").

    The i-th is `(i + 1) * length / (count + 1)`, rounded half to even.

    Args:
        length: number of frames there are.
        count: number of frames wanted, at most `length`; all of them if equal.
        official: reproduce the official code, which for some pairs (such as 2 of 8, 5 of 16 or 6 of 64)
            returns one frame too many, by a rounding error in counting the steps.
    """
    if count >= length:
        return list(range(length))
    step = length / (count + 1)
    steps = math.ceil((length - step) / step) if official else count
    return [min(round(step + i * step), length - 1) for i in range(steps)]


def sinusoidal_1d(count: int, width: int) -> Tensor:
    """Sines and cosines of the token's number, interleaved: `(count, width)`."""
    position = torch.arange(count, dtype=torch.float64)[:, None]
    angle = position * torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(1e4) / width))
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1).float()


def sinusoidal_3d(grid: Grid, width: int) -> Tensor:
    """Sines and cosines of time, then of the column, then of the row: `(T*H*W, width)`; 6 divides `width`."""
    frequency = 1e4 ** -(torch.arange(width // 6, dtype=torch.float64) / (width // 6))
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (z, x, y)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=-1).float()


def resample(table: Tensor, source: Grid, target: Grid) -> Tensor:
    """Positions of one grid for another: linear along each axis, the end points aligned.

    Args:
        table: `(1, source.T * source.H * source.W, D)`.
        source: the grid of `table`.
        target: the grid that is wanted.

    Returns:
        `(1, target.T * target.H * target.W, D)`; `table` itself where the grids are equal.
    """
    if source == target:
        return table
    volume = table.unflatten(1, source).movedim(-1, 1)
    volume = F.interpolate(volume, size=target, mode="trilinear", align_corners=True)
    return volume.flatten(2).transpose(1, 2)


class Positions(nn.Module):
    """A position for each token of a grid, for the tokens of any grid.

    Args:
        kind: `"learned"`, `"sinusoidal_1d"` or `"sinusoidal_3d"`.
        grid: the table's own grid; another is served by `resample`.
        extra: number of tokens before the grid's (the class token), which have positions of their own.
        width: D.
    """

    def __init__(self, kind: str, grid: Grid, extra: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.grid = grid
        self.extra = extra
        self.width = width
        self.learned = kind == "learned"
        if self.learned:
            self.table = nn.Parameter(torch.empty(1, extra + math.prod(grid), width))
        else:
            self.register_buffer("table", self.fixed_table(), persistent=False)

    def fixed_table(self) -> Tensor:
        """The positions that are not learned: `(1, extra + T*H*W, D)`."""
        if self.kind == "sinusoidal_1d":
            return sinusoidal_1d(self.extra + math.prod(self.grid), self.width)[None]
        return sinusoidal_3d(self.grid, self.width)[None]

    def forward(self, grid: Grid) -> Tensor:
        """Positions of the extra tokens, then of `grid`'s: `(1, extra + T*H*W, D)`."""
        if grid == self.grid:
            return self.table
        extra, table = self.table.split([self.extra, self.table.shape[1] - self.extra], dim=1)
        return torch.cat((extra, resample(table, self.grid, grid)), dim=1)
