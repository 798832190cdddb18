"""Video files, image folders and bytes as exact, indexable frames.

Legend: N frames asked for, H height, W width.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from tubelet.errors import ConfigError, DecodeError
from tubelet.video.images import ImageReader
from tubelet.video.reader import FileReader

# Times that differ by less are one time: far below any frame's step, far above rounding.
_SAME_SECONDS = 1e-6


class _Reader(Protocol):
    """What a video is read through: a file or a folder of images."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def times(self) -> NDArray[np.float64]: ...
    @property
    def last_seconds(self) -> float: ...
    @property
    def nominal_rate(self) -> float | None: ...
    def pictures(self, ranks: Sequence[int]) -> Iterator[NDArray[np.uint8]]: ...
    def close(self) -> None: ...


class Video:
    """The frames of a video by exact index, in presentation order, turned as they are meant to be shown.

    Opening reads the file's packets once to count its frames, without decoding, and remembers the list for
    other segments of the same file; the number in the header is not believed. The decoder stays open between
    calls, so going forward never seeks again. An object may be pickled or inherited by a forked worker: each
    process opens its own decoder. It is not for use by several threads at once.

    With `damaged="raise"`, damage that shows in the packets (a cut file) raises when the video is opened, and
    damage that shows only in decoding raises in `frames`, when a frame at or after it is asked for. With
    `damaged="keep"` the whole file is decoded once when opened, and the video has the frames that come out before
    the damage, at their own times. A bare stream, a transport stream or a GIF that was cut between two frames does
    not show it.

    Args:
        source: A video file, an animated GIF, a folder of images (jpg, png, webp, bmp in natural order: `2`
            before `10`), or the bytes of a file.
        damaged: What to do about damage: `"raise"` or `"keep"` the frames before it.
        start_seconds: Begin the video at the first frame shown at this time or later, to within half a frame.
        end_seconds: End it before the first frame shown at this time or later, to within half a frame.
        frame_rate: Frames per second of a folder of images, 25 if not given; a file knows its own.
        threads: Decoder threads.

    Raises:
        DecodeError: Nothing there, not a video, no video stream, no frame, damage (see above), no frame in the
            segment.
        ConfigError: Arguments outside what is allowed.
    """

    name: str
    """What messages call it."""
    height: int
    """Pixels, after rotation."""
    width: int
    """Pixels, after rotation."""
    frame_rate: float
    """Average frames per second."""
    duration_seconds: float
    """From the first frame's appearance to the last frame's end."""
    timestamps: NDArray[np.float64]
    """(len,) seconds at which each frame appears; the first is 0."""

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        damaged: Literal["raise", "keep"] = "raise",
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        frame_rate: float | None = None,
        threads: int = 1,
    ):
        _check(damaged, start_seconds, end_seconds, frame_rate, threads)
        keep = damaged == "keep"
        self.name = f"video of {len(source)} bytes" if isinstance(source, bytes) else os.fspath(source)
        self._reader: _Reader
        place = source if isinstance(source, bytes) else Path(source).absolute()
        if isinstance(place, Path) and place.is_dir():
            self._reader = ImageReader(place, self.name, keep=keep, frame_rate=frame_rate or 25.0)
        elif frame_rate is not None:
            raise ConfigError(
                f"{self.name}: frame_rate={frame_rate} is for folders of images; this is no folder."
            )
        elif isinstance(place, Path) and not place.is_file():
            raise DecodeError(f"{self.name}: there is no such file.")
        else:
            self._reader = FileReader(place, self.name, keep=keep, threads=threads)
        self.height, self.width = self._reader.height, self._reader.width
        times = self._reader.times
        self._first, end = 0, len(times)
        self.frame_rate, self.duration_seconds = _rate(self._reader, 0, end)
        if start_seconds is not None or end_seconds is not None:
            self._first, end = self._segment(times, start_seconds, end_seconds)
            self.frame_rate, self.duration_seconds = _rate(self._reader, self._first, end)
        self.timestamps = times[self._first : end] - times[self._first]
        self.timestamps.flags.writeable = False

    def __len__(self) -> int:
        return len(self.timestamps)

    def __repr__(self) -> str:
        shape = f"{len(self)} frames of {self.width}x{self.height}"
        return f"Video({self.name!r}: {shape}, {self.frame_rate:g} per second)"

    def frames(self, indices: Sequence[int] | ArrayLike | Tensor) -> Tensor:
        """The frames of these indices, in the order asked; an index may come more than once.

        Args:
            indices: (N,) integers in 0..len-1; negative ones are not counted from the end.

        Returns:
            uint8 (N, 3, H, W), RGB, stored with the channels last.

        Raises:
            IndexError: An index outside the video.
            DecodeError: A frame that cannot be decoded.
        """
        wanted = np.asarray(indices)
        if wanted.size == 0:
            wanted = wanted.astype(np.int64)
        if wanted.ndim != 1 or not np.issubdtype(wanted.dtype, np.integer):
            raise TypeError(
                f"{self.name}: frames takes a flat list of integers, not {wanted.dtype} of shape {wanted.shape}."
            )
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"{self.name}: frame {outside[0]} is outside 0..{len(self) - 1}.")
        ranks, places = np.unique(wanted.astype(np.int64) + self._first, return_inverse=True)
        pixels = np.empty((len(wanted), self.height, self.width, 3), dtype=np.uint8)
        order, ends = np.argsort(places, kind="stable").tolist(), np.bincount(places).cumsum().tolist()
        begin = 0
        for picture, end in zip(self._reader.pictures(ranks.tolist()), ends, strict=True):
            for place in order[begin:end]:
                pixels[place] = picture
            begin = end
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def frames_at(self, seconds: Sequence[float] | ArrayLike | Tensor) -> Tensor:
        """The frames being shown at these times: for each, the last one that has appeared by then.

        Args:
            seconds: (N,) in 0..duration_seconds, counted as in `timestamps`.

        Returns:
            uint8 (N, 3, H, W), RGB, stored with the channels last.

        Raises:
            IndexError: A time outside the video.
            DecodeError: A frame that cannot be decoded.
        """
        return self.frames(self.indices_at(seconds))

    def indices_at(self, seconds: Sequence[float] | ArrayLike | Tensor) -> NDArray[np.int64]:
        """The indices (N,) of the frames being shown at these times (N,). Raises IndexError as `frames_at`."""
        times = np.asarray(seconds, dtype=np.float64)
        if times.ndim != 1:
            raise TypeError(f"{self.name}: times are a flat list of seconds, not of shape {times.shape}.")
        inside = (times >= -_SAME_SECONDS) & (times <= self.duration_seconds + _SAME_SECONDS)
        if not inside.all():
            raise IndexError(
                f"{self.name}: {times[~inside][0]:g} s is outside 0..{self.duration_seconds:g} s."
            )
        found = np.searchsorted(self.timestamps, times + _SAME_SECONDS, side="right") - 1
        return found.astype(np.int64)

    def close(self) -> None:
        """Let the decoder go. Frames asked for later open it again."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _segment(
        self, times: NDArray[np.float64], start_seconds: float | None, end_seconds: float | None
    ) -> tuple[int, int]:
        half_frame = 0.5 / self.frame_rate
        start = 0.0 if start_seconds is None else start_seconds
        end = math.inf if end_seconds is None else end_seconds
        # A frame half a step early counts as shown at that time, for both ends alike: segments never overlap.
        first, stop = np.searchsorted(times + half_frame, [start, end], side="left").tolist()
        if first >= stop:
            upto = "its end" if end_seconds is None else f"{end_seconds:g} s"
            raise DecodeError(
                f"{self.name}: no frame lies from {start:g} s to {upto}; "
                f"the video lasts {self.duration_seconds:g} s."
            )
        return first, stop


def _check(
    damaged: str,
    start_seconds: float | None,
    end_seconds: float | None,
    frame_rate: float | None,
    threads: int,
) -> None:
    if damaged not in ("raise", "keep"):
        raise ConfigError(f'damaged is {damaged!r}; it may be "raise" or "keep".')
    if frame_rate is not None and not 0 < frame_rate < math.inf:
        raise ConfigError(f"frame_rate is {frame_rate}; it must be a positive number of frames per second.")
    if threads < 1:
        raise ConfigError(f"threads is {threads}; it must be at least 1.")
    start = 0.0 if start_seconds is None else start_seconds
    end = math.inf if end_seconds is None else end_seconds
    if not 0 <= start < end:
        raise ConfigError(
            f"start_seconds={start_seconds}, end_seconds={end_seconds}: a segment begins at 0 or later "
            "and ends after its start."
        )


def _rate(reader: _Reader, first: int, end: int) -> tuple[float, float]:
    """Average frames per second, and seconds from frame `first`'s appearance to frame `end - 1`'s end."""
    times, nominal = reader.times, reader.nominal_rate
    span = float(times[end - 1] - times[first])
    if end < len(times):
        last = float(times[end] - times[end - 1])
    elif reader.last_seconds > 0:
        last = reader.last_seconds
    else:
        last = span / (end - first - 1) if span > 0 else 1 / (nominal or 25.0)
    measured = (end - first) / (span + last)
    # Times are rounded to the container's ticks: the announced rate is the exact one where both agree.
    rate = nominal if nominal and abs(nominal / measured - 1) < 0.01 else measured
    return rate, span + last
