"""Pixels of a clip: resizing, cropping, flipping and value ranges, on uint8 (N, C, H, W) tensors.

Every function does the same to all frames of its argument; what is random is drawn once, from a generator that the
caller gives. The arithmetic is that of the official input pipeline (DMVR and Scenic's video operations), which is not
torchvision's: bilinear resizing samples without antialiasing, in float, and cuts the result to uint8.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError

Interpolation = Literal[
    "bilinear", "antialiased_bilinear", "antialiased_bicubic", "nearest", "lanczos", "box", "hamming"
]

_PILLOW = {
    "antialiased_bilinear": Image.Resampling.BILINEAR,
    "antialiased_bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}


Part = tuple[int, int, int, int]
"""A rectangle of a frame: top, left, height, width, in pixels."""


def resize(
    frames: Tensor,
    size: tuple[int, int],
    interpolation: Interpolation = "bilinear",
    part: Part | None = None,
) -> Tensor:
    """Resize without keeping the aspect ratio.

    Args:
        frames: uint8 (N, C, H, W), on the CPU.
        size: (height, width) in pixels.
        interpolation: `"bilinear"` is the official one: between the four nearest pixels, in float, cut to uint8.
            The others are Pillow's filters, by Pillow itself: torch's antialiased bilinear differs from it in up to
            a quarter of the values, its bicubic by up to 17 grey levels.
        part: of the resized frames, which is all that is wanted of them: the same pixels as by `crop` afterwards,
            for less work. None: the whole.

    Returns:
        uint8 (N, C, height, width), of the part.

    Raises:
        ConfigError: where the part is not inside the resized frame.
    """
    _uint8(frames)
    part = (0, 0, *size) if part is None else part
    _check_inside(part, size)
    if tuple(frames.shape[-2:]) == size:
        return _cut(frames, part)
    if interpolation == "bilinear":
        return _bilinear(frames, (frames.shape[-2], frames.shape[-1]), size, part)
    return _cut(_pillow(frames, size, _PILLOW[interpolation]), part)


def resize_twice(
    frames: Tensor,
    first: tuple[int, int],
    second: tuple[int, int],
    interpolation: Interpolation,
    part: Part,
) -> Tensor:
    """Resize to the first size and then to the second: the same pixels as by `resize` twice, for less work.

    Of the frames between nothing is computed but what the part of the last ones is made of.

    Args:
        frames: uint8 (N, C, H, W), on the CPU.
        first: (height, width) in pixels.
        second: (height, width) in pixels.
        interpolation: As for `resize`.
        part: of the frames of the second size, which is all that is wanted of them.

    Returns:
        uint8 (N, C, height, width), of the part.
    """
    _uint8(frames)
    _check_inside(part, second)
    if interpolation != "bilinear" or first == second:
        return resize(resize(frames, first, interpolation), second, interpolation, part)
    taken = [_taps(*of)[:2] for of in zip(first, second, part[:2], part[2:], strict=True)]
    top, left = (int(first[0]) for first, _ in taken)
    bottom, right = (int(last[-1]) + 1 for _, last in taken)
    between = resize(frames, first, interpolation, (top, left, bottom - top, right - left))
    return _bilinear(between, first, second, part, (top, left))


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
    _check_inside((top, left, *size), (frames.shape[-2], frames.shape[-1]))
    return _cut(frames, (top, left, *size))


def _check_inside(part: Part, size: tuple[int, int]) -> None:
    top, left, height, width = part
    rows, columns = size
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        raise ConfigError(
            f"a crop of {height}x{width} pixels at ({top}, {left}) does not fit frames of {rows}x{columns}; "
            "resize to a larger size, crop a smaller one, or say pad=True for a black border."
        )


def _cut(frames: Tensor, part: Part) -> Tensor:
    top, left, height, width = part
    return frames[..., top : top + height, left : left + width]


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
    return _cut(frames, region_part((frames.shape[-2], frames.shape[-1]), region))


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
    return frames.to(torch.float32, copy=True).mul_((high - low) / 255).add_(low)


def standardise(frames: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x / 255 - mean) / std for each channel: (..., C, H, W) -> float32 of the same shape, on any device."""
    if len(mean) not in (1, frames.shape[-3]):
        raise ConfigError(f"{len(mean)} means for frames of {frames.shape[-3]} channels; give one for each.")
    scale = torch.tensor([1 / (255 * s) for s in std], device=frames.device)[:, None, None]
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=frames.device)[:, None, None]
    return frames.to(torch.float32, copy=True).mul_(scale).sub_(shift)


def _uint8(frames: Tensor) -> None:
    if frames.dtype != torch.uint8 or frames.ndim != 4:
        raise ConfigError(
            f"frames must be a uint8 tensor (N, C, H, W), not {frames.dtype} of shape {tuple(frames.shape)}."
        )


def _taps(
    inputs: int, outputs: int, start: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For some output pixels, their two input pixels and the weight of the second, with half-pixel centres."""
    scale = np.float32(inputs) / np.float32(outputs)
    centre = (np.arange(start, start + count, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(centre)
    first = np.clip(below, 0, inputs - 1).astype(np.int64)
    second = np.clip(below + 1, 0, inputs - 1).astype(np.int64)
    return first, second, centre - below


# Rows that are resized at a time: what they need stays in a core's own cache.
_ROWS_AT_ONCE = 64


def _bilinear(
    frames: Tensor,
    whole: tuple[int, int],
    size: tuple[int, int],
    part: Part,
    corner: tuple[int, int] = (0, 0),
) -> Tensor:
    # What is given may be a part of the whole frames, from this corner on, which has all that is needed.
    # First along rows, then columns, each as a + (b - a) * weight, in the order that the golden values were made:
    # the cut to uint8 turns a last-bit difference into a grey level, and equal pixels must stay equal.
    # A few rows at a time in numpy: no float copy of large frames, and where many processes share few cores,
    # torch's threads wait for each other at every one of these small steps.
    top, left, height, width = part
    count, channels = frames.shape[:2]
    up, down, downwards = _taps(whole[0], size[0], top, height)
    near, far, across = _taps(whole[1], size[1], left, width)
    up, down, near, far = up - corner[0], down - corner[0], near - corner[1], far - corner[1]
    # Decoded frames have their channels side by side; in others every plane is a picture of its own.
    together = channels if frames.stride(1) == 1 else 1
    pictures = frames if together == channels else frames.reshape(count * channels, 1, *frames.shape[-2:])
    # Each as (rows, columns x channels).
    rows = pictures.permute(0, 2, 3, 1).reshape(len(pictures), pictures.shape[-2], -1).numpy()
    place = np.arange(together)[:, None]
    near, far = (together * near + place).ravel(), (together * far + place).ravel()
    across = np.tile(across, together)
    result = np.empty((len(pictures), together, height, width), dtype=np.uint8)

    def along(chosen: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _between(chosen[:, near], chosen[:, far], across)

    for number, picture in enumerate(rows):
        for first in range(0, height, _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            above, below = up[some], down[some]
            low, high = above[0], below[-1] + 1
            if high - low < 2 * len(above):  # neighbours share rows: each is resized once
                between = along(picture[low:high])
                mixed = _between(between[above - low], between[below - low], downwards[some, None])
            else:
                mixed = _between(along(picture[above]), along(picture[below]), downwards[some, None])
            result[number, :, some] = mixed.reshape(-1, together, width).swapaxes(0, 1)
    return torch.from_numpy(result.reshape(count, channels, height, width))


def _between(a: NDArray[Any], b: NDArray[Any], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    a, mixed = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
    mixed -= a
    mixed *= weight
    mixed += a
    return mixed


def _pillow(frames: Tensor, size: tuple[int, int], resampling: Image.Resampling) -> Tensor:
    height, width = size
    result = torch.empty((*frames.shape[:-2], height, width), dtype=torch.uint8)
    colour = frames.shape[-3] == 3  # Pillow knows pictures of one and of three channels
    for number, frame in enumerate(frames.numpy()):
        planes = [frame.transpose(1, 2, 0)] if colour else frame
        small = [
            np.array(Image.fromarray(np.ascontiguousarray(p)).resize((width, height), resampling))
            for p in planes
        ]
        result[number] = torch.from_numpy(small[0].transpose(2, 0, 1) if colour else np.stack(small))
    return result
