"""Pixels of a clip: sizes, cropping, flipping and value ranges, on uint8 (N, C, H, W) tensors.

Every function does the same to all frames of its argument; what is random is drawn once, from a generator that the
caller gives. The arithmetic is that of the official input pipeline (DMVR and Scenic's video operations).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.video.resizing import Interpolation, Part, check_inside, cut, resize


def shorter_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) with the shorter side at `side` and the longer one in proportion, cut to whole pixels."""
    shorter, longer = min(height, width), max(height, width)
    scaled = side * longer // shorter
    return (side, scaled) if height <= width else (scaled, side)


def jitter_scale(
    frames: Tensor,
    scale: tuple[float, float],
    generator: torch.Generator,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Resize height and width by independent factors, uniform in [min, max] (the official scale jitter).

    Args:
        frames: uint8 (N, C, H, W).
        scale: (min, max).
        generator: Draws both factors.
        interpolation: As for `resize`.
    """
    return rescale(frames, draw_factors(scale, generator), interpolation)


def draw_factors(scale: tuple[float, float], generator: torch.Generator) -> tuple[float, float]:
    """Of height and width, each uniform in [min, max]."""
    height, width = torch.empty(2).uniform_(*scale, generator=generator).tolist()
    return height, width


def rescale(
    frames: Tensor, factors: tuple[float, float], interpolation: Interpolation = "bilinear"
) -> Tensor:
    """Resize height and width by these factors, cut to whole pixels."""
    return resize(frames, rescaled_size(frames.shape[-2], frames.shape[-1], factors), interpolation)


def rescaled_size(height: int, width: int, factors: tuple[float, float]) -> tuple[int, int]:
    """(height, width) times their factors, cut to whole pixels."""
    sides = [int(np.float32(side) * np.float32(f)) for side, f in zip((height, width), factors, strict=True)]
    return max(sides[0], 1), max(sides[1], 1)


def crop(frames: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
    """The (height, width) rectangle with this upper left corner; a view of the same memory.

    Raises:
        ConfigError: where the rectangle is not inside the frame.
    """
    check_inside((top, left, *size), (frames.shape[-2], frames.shape[-1]))
    return cut(frames, (top, left, *size))


def centre_crop(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle (height, width); an odd pixel is left over at the bottom and right."""
    top, left, *_ = centre_part((frames.shape[-2], frames.shape[-1]), size)
    return crop(frames, top, left, size)


def centre_part(frame: tuple[int, int], size: tuple[int, int]) -> Part:
    """Where `centre_crop` cuts (height, width) out of a frame of this (height, width)."""
    return (frame[0] - size[0]) // 2, (frame[1] - size[1]) // 2, *size


def three_crops(frames: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Left, centre and right of a wide or square frame; top, centre and bottom of a tall one.

    The official test crops. The centre's offset is rounded up, ceil((side - crop) / 2), where `centre_crop` rounds
    down: on an odd difference the two centres are one pixel apart, as in the official code.
    """
    rows, columns = frames.shape[-2:]
    spare_rows, spare_columns = rows - size[0], columns - size[1]
    top, left = (spare_rows + 1) // 2, (spare_columns + 1) // 2
    if rows > columns:
        corners = [(0, left), (top, left), (spare_rows, left)]
    else:
        corners = [(top, 0), (top, left), (top, spare_columns)]
    first, centre, last = (crop(frames, *corner, size) for corner in corners)
    return first, centre, last


def random_crop(frames: Tensor, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A (height, width) rectangle anywhere inside the frame, the same for all frames."""
    top, left, *_ = draw_part((frames.shape[-2], frames.shape[-1]), size, generator)
    return crop(frames, top, left, size)


def draw_part(frame: tuple[int, int], size: tuple[int, int], generator: torch.Generator) -> Part:
    """Where `random_crop` cuts (height, width) out of a frame of this (height, width)."""
    spare = [max(side - wanted, 0) for side, wanted in zip(frame, size, strict=True)]
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for room in spare)
    return top, left, *size


def random_flip(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror left and right, all frames or none, with probability one half."""
    return frames.flip(-1) if draw_flip(generator) else frames


def draw_flip(generator: torch.Generator) -> bool:
    """Whether to mirror: half of the time."""
    return float(torch.rand((), generator=generator)) < 0.5


def pad_to(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """A black border around frames smaller than (height, width); an odd pixel more at the top and left."""
    spare = [max(wanted - side, 0) for side, wanted in zip(frames.shape[-2:], size, strict=True)]
    if not any(spare):
        return frames
    (top, left), (bottom, right) = [(s + 1) // 2 for s in spare], [s // 2 for s in spare]
    return F.pad(frames, (left, right, top, bottom))


def cut_region(frames: Tensor, region: tuple[float, float, float, float]) -> Tensor:
    """The part of the frame between (top, left, bottom, right), in fractions of its height and width."""
    return cut(frames, region_part((frames.shape[-2], frames.shape[-1]), region))


def region_part(frame: tuple[int, int], region: tuple[float, float, float, float]) -> Part:
    """Where `cut_region` cuts frames of this (height, width); one pixel at least."""
    rows, columns = frame
    top, left = min(round(region[0] * rows), rows - 1), min(round(region[1] * columns), columns - 1)
    bottom, right = max(round(region[2] * rows), top + 1), max(round(region[3] * columns), left + 1)
    return top, left, bottom - top, right - left


def luma(frames: Tensor) -> Tensor:
    """Brightness of RGB frames: uint8 (N, 3, H, W) -> (N, 1, H, W), with the weights of ITU-R BT.601."""
    red, green, blue = frames.to(torch.int32).unbind(-3)
    # 16-bit fixed point, rounded, as Pillow's mode "L".
    return ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16).to(torch.uint8).unsqueeze(-3)


def to_range(frames: Tensor, low: float, high: float) -> Tensor:
    """Map 0..255 to `low`..`high`: float32, same shape, on any device."""
    return as_floats(frames).mul_((high - low) / 255).add_(low)


def standardise(frames: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x / 255 - mean) / std for each channel: (..., C, H, W) -> float32 of the same shape, on any device."""
    if len(mean) not in (1, frames.shape[-3]):
        raise ConfigError(f"{len(mean)} means for frames of {frames.shape[-3]} channels; give one for each.")
    scale = torch.tensor([1 / (255 * s) for s in std], device=frames.device)[:, None, None]
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=frames.device)[:, None, None]
    return as_floats(frames).mul_(scale).sub_(shift)


def as_floats(frames: Tensor) -> Tensor:
    """A copy in float32.

    On a CPU in memory of numpy's, which asks the system for large pages and has them: else fetching the pages of a
    batch takes as long as all that is done to its values.
    """
    if frames.device.type != "cpu" or torch.compiler.is_compiling():
        return frames.to(torch.float32, copy=True)
    return torch.from_numpy(np.empty(frames.shape, np.float32)).copy_(frames)
