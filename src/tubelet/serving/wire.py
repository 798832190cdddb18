"""What a decoding child says, as bytes: a fixed header of numbers, each of which is checked, and then the pixels.

A child has read a file of a stranger, so nothing that it says is unpickled or believed: shapes must be those that the
view makes, and sizes below the limits.

Letters: V views, F frames of a clip, C channels, H W pixels, T clips in time.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.serving.limits import MOST_CLIPS, Limits
from tubelet.video.view import View

HEADER = struct.Struct("<4sI6q3d")
"""A mark, which message, six whole numbers and three numbers; what they are depends on the message."""
MARK = b"tblt"
OPENED, CLIPS, WINDOW, TROUBLE, END = range(1, 6)
TROUBLES = ("decode", "config", "memory")
LONGEST_TEXT = 2000
MOST_CUTS = 100_000


class ForgedError(Exception):
    """A child said what no child says."""


@dataclass(frozen=True)
class Opened:
    """The video could be opened."""

    duration_seconds: float | None
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Clips:
    """All clips of a video."""

    pixels: Tensor
    """uint8 (V, F, C, H, W)."""
    indices: NDArray[np.int64]
    """(T, F)."""
    seconds: NDArray[np.float64]
    """(T, F) when these frames appear."""
    duration_seconds: float


@dataclass(frozen=True, eq=False)
class Window:
    """A window of a video."""

    pixels: Tensor
    """uint8 (F, C, H, W)."""
    numbers: NDArray[np.int64]
    """(F,)."""
    start_seconds: float
    end_seconds: float
    stretch: int


@dataclass(frozen=True)
class Trouble:
    """The video cannot be read, and why."""

    kind: Literal["decode", "config", "memory"]
    message: str


@dataclass(frozen=True)
class End:
    """Nothing follows."""

    cuts: tuple[float, ...] = ()
    """Seconds at which shots begin, where they were asked for."""


Number = TypeVar("Number", bound=np.generic)
Message = Opened | Clips | Window | Trouble | End


def header(kind: int, whole: tuple[int, ...] = (), numbers: tuple[float, ...] = ()) -> bytes:
    """The header of a message, filled up with zeros."""
    return HEADER.pack(MARK, kind, *whole, *(0,) * (6 - len(whole)), *numbers, *(0.0,) * (3 - len(numbers)))


def parts_of(message: Message) -> list[bytes | memoryview]:
    """The bytes of a message."""
    if isinstance(message, Opened):
        unknown = math.nan if message.duration_seconds is None else message.duration_seconds
        return [header(OPENED, (message.height, message.width), (unknown,))]
    if isinstance(message, Clips):
        head = header(CLIPS, (*message.pixels.shape, len(message.indices)), (message.duration_seconds,))
        return [head, raw(message.pixels.numpy()), raw(message.indices), raw(message.seconds)]
    if isinstance(message, Window):
        times = (message.start_seconds, message.end_seconds)
        head = header(WINDOW, (*message.pixels.shape, message.stretch), times)
        return [head, raw(message.pixels.numpy()), raw(message.numbers)]
    if isinstance(message, Trouble):
        text = message.message.encode(errors="replace")[:LONGEST_TEXT]
        return [header(TROUBLE, (TROUBLES.index(message.kind), len(text))), text]
    cuts = np.array(message.cuts[:MOST_CUTS], dtype=np.float64)
    return [header(END, (len(cuts),)), raw(cuts)]


def raw(array: NDArray[np.generic]) -> memoryview:
    """The bytes of an array."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class Receiver:
    """Reads messages.

    Args:
        read_into: fills a buffer whole. Raises EOFError where the child has ended.
        view: how the child was told to look at the video.
        limits: what was allowed.
    """

    def __init__(self, read_into: Callable[[memoryview], None], view: View, limits: Limits) -> None:
        self._read_into = read_into
        self._view, self._limits = view, limits

    def next(self) -> Message:
        """The next message.

        Raises:
            ForgedError: for what does not belong here.
            EOFError: if the child has ended.
        """
        mark, kind, *rest = HEADER.unpack(self._bytes(HEADER.size))
        whole, numbers = cast("list[int]", rest[:6]), cast("list[float]", rest[6:])
        check(mark == MARK and OPENED <= kind <= END, "a header")
        if kind == OPENED:
            height, width, seconds = *whole[:2], numbers[0]
            check(height > 0 and width > 0, "a size")
            return Opened(seconds if 0 <= seconds < math.inf else None, height, width)
        if kind == CLIPS:
            views, *shape, clips = whole
            check(0 < clips <= views <= MOST_CLIPS and views % clips == 0, "a number of clips")
            pixels = self._pixels(views, *shape)
            indices = self._array((clips, shape[0]), np.int64)
            check(bool((indices >= 0).all()), "frames")
            seconds = self._array((clips, shape[0]), np.float64)
            check(bool(np.isfinite(seconds).all()) and math.isfinite(numbers[0]), "times")
            return Clips(pixels, indices, seconds, numbers[0])
        if kind == WINDOW:
            *shape, stretch, _ = whole
            pixels = self._pixels(1, *shape)[0]
            found = self._array((shape[0],), np.int64)
            start, end, _ = numbers
            check(bool((found >= 0).all()) and stretch >= 0 and 0 <= start <= end < math.inf, "times")
            return Window(pixels, found, start, end, stretch)
        if kind == TROUBLE:
            place, length = whole[:2]
            check(0 <= place < len(TROUBLES) and 0 <= length <= LONGEST_TEXT, "a text")
            text = bytes(self._bytes(length)).decode(errors="replace")
            return Trouble(TROUBLES[place], "".join(c if c.isprintable() else " " for c in text))
        check(0 <= whole[0] <= MOST_CUTS, "cuts")
        cuts = self._array((whole[0],), np.float64)
        check(bool(np.isfinite(cuts).all()), "cuts")
        return End(tuple(cuts.tolist()))

    def _pixels(self, views: int, *shape: int) -> Tensor:
        """Those of clips `(views, *shape)`, if the view makes such."""
        view = self._view
        frames, channels, height, width = shape
        check((frames, channels) == (view.frames, view.channels), "frames")
        if view.crop:
            check((height, width) == (view.height, view.width), "a crop")
        else:
            check(height > 0 and width > 0 and height * width <= self._limits.pixels, "a picture")
        size = views * frames * channels * height * width
        check(size <= self._limits.decoder_bytes, "pixels")
        return torch.from_numpy(self._array((views, *shape), np.uint8))

    def _array(self, shape: tuple[int, ...], dtype: type[Number]) -> NDArray[Number]:
        found = np.empty(shape, dtype)
        if found.size:
            self._read_into(found.reshape(-1).view(np.uint8).data)
        return found

    def _bytes(self, size: int) -> bytearray:
        found = bytearray(size)
        if size:
            self._read_into(memoryview(found))
        return found


def check(holds: bool, what: str) -> None:
    """Refuse what no child says.

    Raises:
        ForgedError: if it does not hold.
    """
    if not holds:
        raise ForgedError(f"A decoding child sent {what} that cannot be.")
