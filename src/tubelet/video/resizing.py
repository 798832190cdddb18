"""Resizing frames: uint8 (N, C, H, W) tensors, bit for bit as the official pipeline and Pillow do it."""

from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

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
    check_uint8(frames)
    part = (0, 0, *size) if part is None else part
    check_inside(part, size)
    if tuple(frames.shape[-2:]) == size:
        return cut(frames, part)
    if interpolation == "bilinear":
        return _bilinear(frames, (frames.shape[-2], frames.shape[-1]), size, part)
    return cut(_pillow(frames, size, _PILLOW[interpolation]), part)


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
    check_uint8(frames)
    check_inside(part, second)
    if interpolation != "bilinear" or first == second:
        return resize(resize(frames, first, interpolation), second, interpolation, part)
    taken = [_taps(*of)[:2] for of in zip(first, second, part[:2], part[2:], strict=True)]
    top, left = (int(first[0]) for first, _ in taken)
    bottom, right = (int(last[-1]) + 1 for _, last in taken)
    between = resize(frames, first, interpolation, (top, left, bottom - top, right - left))
    return _bilinear(between, first, second, part, (top, left))


def check_inside(part: Part, size: tuple[int, int]) -> None:
    """Raise ConfigError where the rectangle is not inside a frame of this (height, width)."""
    top, left, height, width = part
    rows, columns = size
    if top < 0 or left < 0 or top + height > rows or left + width > columns:
        raise ConfigError(
            f"a crop of {height}x{width} pixels at ({top}, {left}) does not fit frames of {rows}x{columns}; "
            "resize to a larger size, crop a smaller one, or say pad=True for a black border."
        )


def cut(frames: Tensor, part: Part) -> Tensor:
    """A rectangle of the frames; a view of the same memory."""
    top, left, height, width = part
    return frames[..., top : top + height, left : left + width]


def check_uint8(frames: Tensor) -> None:
    """Raise ConfigError for frames that are not uint8 (N, C, H, W)."""
    if frames.dtype != torch.uint8 or frames.ndim != 4:
        raise ConfigError(
            f"frames must be a uint8 tensor (N, C, H, W), not {frames.dtype} of shape {tuple(frames.shape)}."
        )


_Taps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _taps(inputs: int, outputs: int, start: int, count: int) -> _Taps:
    """For some output pixels, their two input pixels and the weight of the second, with half-pixel centres."""
    scale = np.float32(inputs) / np.float32(outputs)
    centre = (np.arange(start, start + count, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    below = np.floor(centre)
    first = np.clip(below, 0, inputs - 1).astype(np.int64)
    second = np.clip(below + 1, 0, inputs - 1).astype(np.int64)
    return first, second, centre - below


@cache
def compiled() -> Any | None:
    """Bilinear resizing compiled for this processor; None where numba is not installed, or not for this numpy."""
    try:
        from tubelet.video.compiled import bilinear
    except ImportError:
        return None
    return bilinear


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
    if (bilinear := compiled()) is not None:
        bilinear(np.ascontiguousarray(rows), up, down, downwards, near, far, across, result)
    else:
        for picture, resized in zip(rows, result, strict=True):
            _bilinear_picture(picture, (up, down, downwards), (near, far, across), resized)
    return torch.from_numpy(result.reshape(count, channels, height, width))


# Rows that are resized at a time: what they need stays in a core's own cache.
_ROWS_AT_ONCE = 64


def _bilinear_picture(
    picture: NDArray[np.uint8], vertical: _Taps, horizontal: _Taps, result: NDArray[np.uint8]
) -> None:
    """One picture (rows, columns x channels) into (channels, height, width)."""
    # A few rows at a time in numpy: no float copy of large frames, and where many processes share few cores,
    # torch's threads wait for each other at every one of these small steps.
    up, down, downwards = vertical
    near, far, across = horizontal
    together, height, width = result.shape

    def along(chosen: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _between(chosen[:, near], chosen[:, far], across)

    for first in range(0, height, _ROWS_AT_ONCE):
        some = slice(first, first + _ROWS_AT_ONCE)
        above, below = up[some], down[some]
        low, high = above[0], below[-1] + 1
        if high - low < 2 * len(above):  # neighbours share rows: each is resized once
            between = along(picture[low:high])
            mixed = _between(between[above - low], between[below - low], downwards[some, None])
        else:
            mixed = _between(along(picture[above]), along(picture[below]), downwards[some, None])
        result[:, some] = mixed.reshape(-1, together, width).swapaxes(0, 1)


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
