"""The work behind `View`'s methods: from a video's frames to the pixels that a model is shown.

L: frames of the video. T: clips. F: frames of a clip. V: views, clips x crops.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video import augment, clips, colour, transforms
from tubelet.video.checks import parse_views
from tubelet.video.geometry import centred, draw_geometry, fitted, padded, shown_size

if TYPE_CHECKING:
    from tubelet.video.view import View

# Decoded frames wait in memory before they are made small; no more than this many bytes of them at a time.
DECODED_BYTES = 256 * 2**20


class Frames(Protocol):
    """What a `View` needs of a video; `tubelet.video.decode.Video` is one."""

    @property
    def height(self) -> int:
        """Pixels."""
        ...

    @property
    def width(self) -> int:
        """Pixels."""
        ...

    @property
    def duration_seconds(self) -> float:
        """From the first frame's appearance to the last frame's end."""
        ...

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(L,) seconds at which each frame appears; the first is 0."""
        ...

    def __len__(self) -> int:
        """L, the number of frames."""
        ...

    def frames(self, indices: NDArray[np.int64]) -> Tensor:
        """uint8 (N, 3, H, W): these frames, in this order. For a view of other than 1 or 3 channels, as many."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """Several looks at one video: T clips, each in one or three crops, V = crops * T."""

    pixels: Tensor
    """(V, F, C, H, W), all clips of the first crop, then of the second, then of the third (the official order)."""
    indices: NDArray[np.int64]
    """(T, F) the frames of each clip."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingClips:
    """V random clips of one video, as `View.train_clips` draws them."""

    pixels: Tensor
    """uint8 (V, F, C, H, W), before the value step."""
    flipped: tuple[bool, ...]
    """Whether each clip is mirrored: what is left in it then stands at the right."""
    colour: Tensor | None
    """float32 (V, 6), what `View.finish` does to the colours of each clip; None for a view without `colour`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """One window of a long video."""

    start_seconds: float
    """When its first frame appears."""
    end_seconds: float
    """When the next window begins if windows follow one another, at most the video's end."""
    indices: NDArray[np.int64]
    """(F,)."""
    pixels: Tensor
    """(F, C, H, W)."""


def clock_of(view: "View", length: int, times: float | NDArray[np.float64] | None) -> clips.Clock | None:
    """The clock by which `view` chooses frames; None where it spreads them uniformly."""
    if view.uniform:
        return None
    if view.stride is not None:
        return clips.Clock.stride(length, view.stride)
    if times is None or view.frames_per_second is None:
        raise ConfigError("frames_per_second needs the video's frame rate or timestamps; give `clock`.")
    return clips.Clock.rate(clips.frame_edges(length, times), view.frames_per_second)


def video_clock(view: "View", video: Frames) -> clips.Clock | None:
    """As `clock_of`, with the times that the video knows."""
    if view.frames_per_second is not None:
        return clips.Clock.rate(edges_of(video), view.frames_per_second)
    return clock_of(view, len(video), None)


def edges_of(video: Frames) -> NDArray[np.float64]:
    """(L + 1,) seconds at which frames appear, and the end of the last."""
    return clips.frame_edges(len(video), video.timestamps, end_seconds=video.duration_seconds)


def test_clips(view: "View", clock: clips.Clock | None, length: int, count: int) -> NDArray[np.int64]:
    """(T, F) frames of T test clips."""
    if count < 1:
        raise ConfigError(f"{count} test clips; there must be at least one.")
    if clock is None:
        phases = [(t + 0.5) / count for t in range(count)]
        return np.stack([clips.uniform_clip(length, view.frames, phase, view.short) for phase in phases])
    if count == 1:
        starts = [clips.middle_start(clock, view.frames)]
    else:
        starts = clips.even_starts(clock, view.frames, count).tolist()
    return np.stack([clips.clip(clock, start, view.frames, view.short) for start in starts])


def train_clip(
    view: "View", clock: clips.Clock | None, length: int, generator: torch.Generator
) -> NDArray[np.int64]:
    """(F,) frames of a random clip."""
    if clock is None:
        phase = float(torch.rand((), generator=generator, dtype=torch.float64))
        first, last = 0, length
        if view.trim:
            shares = torch.rand(2, generator=generator, dtype=torch.float64) * view.trim
            left, right = torch.floor(shares * length + 0.5).long().tolist()
            first, last = min(left, length - 1), max(length - right, left + 1)
        return first + clips.uniform_clip(min(last, length) - first, view.frames, phase, view.short)
    return clips.clip(clock, clips.draw_start(clock, view.frames, generator), view.frames, view.short)


def test_views(view: "View", video: Frames, views: str | tuple[int, int]) -> Views:
    """All views of a video, uint8, crop-major; each distinct frame is decoded once."""
    count, crops = parse_views(views)
    if crops == 3 and not view.crop:
        raise ConfigError("a View with crop=False shows the whole frame; ask for one crop, such as '4x1'.")
    indices = test_clips(view, video_clock(view, video), len(video), count)
    if crops == 3:
        frames, place = load(view, video, indices, fitted)
        pieces = transforms.three_crops(padded(view, frames), (view.height, view.width))
    else:
        frames, place = load(view, video, indices, centred)
        pieces = (frames,)
    placed = [at(piece, place) for piece in pieces]
    return Views(pixels=placed[0] if len(placed) == 1 else torch.cat(placed), indices=indices)


def train_clips(view: "View", video: Frames, generator: torch.Generator, count: int) -> TrainingClips:
    """Random clips of a video, in the official order of work; each distinct frame is decoded once."""
    if count < 1:
        raise ConfigError(f"{count} training clips; there must be at least one.")
    clock = video_clock(view, video)
    indices = np.stack([train_clip(view, clock, len(video), generator) for _ in range(count)])
    pixels: list[Tensor] = []
    flipped: list[bool] = []
    colours: list[Tensor] = []
    size = shown_size(view, (video.height, video.width))
    several = load(view, video, indices, fitted) if count > 1 else None
    for number in range(count):
        looked = draw_geometry(view, size, generator)
        if several is None:
            # Frames become small as they are decoded, and nothing is resized but what the crop shows.
            shown, where = load(view, video, indices[number], looked.of_frames)
        else:
            distinct, where = several[1][number].unique(return_inverse=True)
            shown = looked.of_fitted(view, several[0][distinct])
        pixels.append(train_pixels(view, at(shown, where), generator).contiguous())
        flipped.append(looked.mirrored)
        if view.colour is not None:
            colours.append(colour.draw(*view.colour, generator))
    drawn = torch.stack(colours) if colours else None
    stacked = pixels[0][None] if count == 1 else torch.stack(pixels)
    return TrainingClips(pixels=stacked, flipped=tuple(flipped), colour=drawn)


def train_pixels(view: "View", clip: Tensor, generator: torch.Generator) -> Tensor:
    """What is done to the grey levels of a whole clip, frames that stand in it twice included."""
    if view.rand_augment is not None:
        clip = augment.rand_augment(clip, *view.rand_augment, generator, view.rand_augment_set)
    if view.erase:
        clip = augment.erase(clip, view.erase, generator)
    return clip


def windows_of(view: "View", video: Frames) -> Iterator[Window]:
    """Consecutive windows, uint8, one at a time; frames that two neighbours share are decoded once."""
    clock = video_clock(view, video)
    if clock is None:
        raise ConfigError(
            "uniform=True looks at a whole video at once; windows need stride or frames_per_second."
        )
    seconds = edges_of(video)
    ready: dict[int, Tensor] = {}
    for start in clips.window_starts(clock, view.frames, view.hop or view.frames).tolist():
        indices = clips.clip(clock, start, view.frames, view.short)
        wanted = set(indices.tolist())
        fresh = np.array(sorted(wanted - ready.keys()), dtype=np.int64)
        ready = {i: frame for i, frame in ready.items() if i in wanted}
        if len(fresh):
            frames, _ = load(view, video, fresh, centred)
            ready |= dict(zip(fresh.tolist(), frames, strict=True))
        end = float(clock.edges[start]) + view.frames * clock.step
        if view.stride is not None:
            end = float(seconds[min(round(end), len(video))])
        yield Window(
            start_seconds=float(seconds[start]),
            end_seconds=min(end, float(seconds[-1])),
            indices=indices,
            pixels=torch.stack([ready[i] for i in indices.tolist()]),
        )


def load(
    view: "View", video: Frames, indices: NDArray[np.int64], prepare: Callable[["View", Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The distinct frames, as `fitted` or `centred` leaves them; and which of them stands at each place of `indices`.

    Returns:
        uint8 (N, C, h, w), and int64 of the shape of `indices`.
    """
    distinct, place = np.unique(indices, return_inverse=True)
    at_once = max(DECODED_BYTES // (3 * video.height * video.width), 1)
    parts = [prepare(view, video.frames(distinct[i : i + at_once])) for i in range(0, len(distinct), at_once)]
    frames = parts[0] if len(parts) == 1 else torch.cat(parts)
    return frames, torch.from_numpy(place.reshape(indices.shape))


def at(frames: Tensor, place: Tensor) -> Tensor:
    """Which of the frames stands at each place: (N, C, h, w), and int64 (...) -> (..., C, h, w), contiguous.

    Not copied where every frame stands once and in order.
    """
    if not torch.equal(place.flatten(), torch.arange(len(frames))):
        frames = frames.index_select(0, place.flatten())
    return frames.contiguous().view(*place.shape, *frames.shape[1:])
