"""Which frames a clip is made of: pure index arithmetic, without pixels.

A clip has F frames, `step` apart, from a first frame on. With `Clock.stride` a step is a number of frames, with
`Clock.rate` a time, and everything else is the same arithmetic: a clip always begins on a frame, and its i-th frame
is the one that is shown i steps later. The offsets are those of the official sampler (DMVR, as Scenic's ViViT project
calls it).

L: frames of a video. F: frames of a clip. T: clips.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tubelet.errors import ConfigError, TooShortError

Short = Literal["loop", "hold", "refuse"]

# Containers round times to a millisecond or finer; a frame due 1/30 s on is meant even where the file says 0.034.
_CONTAINER_ROUNDING_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Clock:
    """When each frame of a video is shown, and how far apart the frames of a clip are, in one unit."""

    edges: NDArray[np.float64]
    """(L + 1,) frame i is shown from `edges[i]` until `edges[i + 1]`."""
    step: float
    """From one frame of a clip to the next, in the unit of `edges`."""
    tolerance: float
    """Two times nearer than this are the same time."""

    def __post_init__(self) -> None:
        """Refuse an empty video and times that run backwards."""
        if len(self.edges) < 2:
            raise ConfigError("a clip cannot be taken from a video without frames.")
        if not np.all(np.diff(self.edges) >= 0) or self.edges[-1] <= self.edges[0]:
            raise ConfigError(
                "the timestamps of a video must not run backwards; sort the frames by time first."
            )

    @classmethod
    def stride(cls, length: int, stride: int) -> Self:
        """Every `stride`-th of `length` frames, whatever their times."""
        return cls(edges=np.arange(length + 1, dtype=np.float64), step=float(stride), tolerance=1e-6)

    @classmethod
    def rate(cls, edges_seconds: NDArray[np.float64], frames_per_second: float) -> Self:
        """The frames shown at multiples of 1 / `frames_per_second` seconds.

        Args:
            edges_seconds: (L + 1,) from `frame_edges`.
            frames_per_second: Of the clip, not of the video.
        """
        usual_gap = float(np.median(np.diff(edges_seconds))) if len(edges_seconds) > 1 else 0.0
        tolerance = min(_CONTAINER_ROUNDING_SECONDS, usual_gap / 4)
        return cls(edges=edges_seconds, step=1 / frames_per_second, tolerance=tolerance)

    @property
    def length(self) -> int:
        """L."""
        return len(self.edges) - 1

    @property
    def total(self) -> float:
        """The end of the last frame."""
        return float(self.edges[-1])

    def shown(self, when: NDArray[np.float64]) -> NDArray[np.int64]:
        """The frame shown at each time; the first before the video, the last after it."""
        found = np.searchsorted(self.edges, when + self.tolerance, side="right") - 1
        return np.clip(found, 0, self.length - 1).astype(np.int64)

    def starts(self, frames: int) -> int:
        """On how many first frames (0, 1, ...) a clip of F frames fits whole; at least 1, for a short video too."""
        room = self.total - (frames - 1) * self.step - self.tolerance
        return max(int(np.searchsorted(self.edges[:-1], room, side="left")), 1)


def frame_edges(
    length: int, clock: float | NDArray[np.float64], *, end_seconds: float | None = None
) -> NDArray[np.float64]:
    """When each frame appears, and when the last one ends.

    Args:
        length: L.
        clock: Frames per second of the video, or the (L,) seconds at which its frames appear.
        end_seconds: The end of the last frame. None: it is shown for the usual (median) time.

    Returns:
        (L + 1,) seconds.

    Raises:
        ConfigError: where a rate is not positive, or the number of timestamps is not L.
    """
    if isinstance(clock, int | float):
        if not (clock > 0 and math.isfinite(clock)):
            raise ConfigError(
                f"frame rate {clock} of a video; it must be a positive number of frames per second."
            )
        return np.arange(length + 1, dtype=np.float64) / clock
    if clock.shape != (length,):
        raise ConfigError(
            f"{clock.shape} timestamps for a video of {length} frames; give one for each frame."
        )
    if end_seconds is None or (length > 0 and end_seconds <= clock[-1]):
        gap = float(np.median(np.diff(clock))) if length > 1 else 1.0
        end_seconds = float(clock[-1]) + max(gap, 1e-9) if length > 0 else 0.0
    return np.append(clock, end_seconds).astype(np.float64)


def clip(clock: Clock, start: int, frames: int, short: Short = "loop") -> NDArray[np.int64]:
    """The clip of F frames that begins on frame `start`.

    Args:
        clock: The video's times and the clip's step.
        start: In [0, L).
        frames: F.
        short: What comes after the video's end: `"loop"` begins again from its first frame (as the official code),
            `"hold"` repeats the last frame, `"refuse"` is an error.

    Returns:
        (F,) indices in [0, L).

    Raises:
        TooShortError: with `short="refuse"`, where the video ends before the clip.
    """
    when = clock.edges[start] + np.arange(frames) * clock.step
    if short == "refuse" and when[-1] + clock.tolerance >= clock.total:
        raise TooShortError(
            f"a clip of {frames} frames from frame {start} on ends after a video of {clock.length} frames; "
            'choose short="loop" or short="hold", fewer frames, or frames nearer to each other.'
        )
    if short == "loop":
        when = when - np.floor((when + clock.tolerance) / clock.total) * clock.total
    return clock.shown(when)


def even_starts(clock: Clock, frames: int, clips: int) -> NDArray[np.int64]:
    """First frames of T clips spread evenly over the video, ends included: `linspace(0, L - F * stride, T)`, cut.

    One clip begins at 0 here, as in the official function; `middle_start` is what validation uses instead.
    """
    room = max(clock.total - frames * clock.step, 0.0)
    return clock.shown(np.arange(clips) * room / max(clips - 1, 1))


def middle_start(clock: Clock, frames: int) -> int:
    """First frame of the clip in the middle of the video."""
    room = max(clock.total - frames * clock.step, 0.0)
    return int(clock.shown(np.array([room / 2]))[0])


def draw_start(clock: Clock, frames: int, generator: torch.Generator) -> int:
    """First frame of a training clip: uniform over [0, max(L - (F - 1) * stride, 1))."""
    return int(torch.randint(clock.starts(frames), (), generator=generator))


def window_starts(clock: Clock, frames: int, hop: int) -> NDArray[np.int64]:
    """First frames of consecutive windows over the whole video, `hop` steps apart.

    Where the last window does not reach the video's end, one more is aligned to the end, so that every window
    shows real frames and no part of the video goes unseen (with `hop > frames` the gaps are meant). A video shorter
    than a window has one, filled up by `clip`'s policy.
    """
    room = clock.total - (frames - 1) * clock.step - clock.tolerance
    count = max(math.ceil(room / (hop * clock.step)), 1)
    when = np.arange(count, dtype=np.float64) * (hop * clock.step)
    starts = np.unique(clock.shown(when))
    ends = when[-1] + frames * clock.step
    following = when[-1] + hop * clock.step
    last = clock.starts(frames) - 1
    if max(ends, following) + clock.tolerance < clock.total and last > starts[-1]:
        starts = np.append(starts, last)
    return starts


def uniform_clip(length: int, frames: int, phase: float = 0.5, short: Short = "loop") -> NDArray[np.int64]:
    """F frames spread evenly over the whole video: one from each of F equal parts, at `phase` in [0, 1) of the part.

    Fewer than F frames repeat themselves in order, which is neither a loop nor a hold.

    Returns:
        (F,) indices in [0, L), never decreasing.

    Raises:
        ConfigError: for a video without frames.
        TooShortError: with `short="refuse"`, for one of fewer than F frames.
    """
    if length < 1:
        raise ConfigError("a clip cannot be taken from a video without frames.")
    if short == "refuse" and length < frames:
        raise TooShortError(
            f"{frames} different frames cannot be spread over a video of {length}; "
            'choose short="loop" or short="hold" to repeat frames, or fewer frames.'
        )
    part = np.arange(frames, dtype=np.int64)
    found = np.floor((part + phase) * length / frames + 1e-9).astype(np.int64)  # 2.9999... is meant as 3
    return np.minimum(found, ((part + 1) * length - 1) // frames)  # ... but never beyond its own part
