"""Which frames of an arriving video make the windows of a view: `View.windows` without knowing what comes next.

A stretch is what arrives without a gap. Its frames are sampled on one grid of times that begins with its first frame,
so that windows share their samples: with `stride` they are the windows of `View.windows`, and with
`frames_per_second` too wherever its windows begin on a frame.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.video.view import View

Picture = Tensor | Callable[[], Tensor]
"""uint8 (3, h, w), or what makes it: only those that are sampled are asked for."""

GAPS = 99
"""So many frames tell how far apart frames are."""
TOLERANCE_SECONDS = 1e-3
"""Containers round times: frames this much too late are on time, as for `tubelet.video.clips.Clock`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrivedWindow:
    """A window of F frames, before the value step."""

    numbers: tuple[int, ...]
    """(F,) places of its frames in the video. Equal numbers are equal frames."""
    pixels: tuple[Tensor, ...]
    """F times uint8 (C, H, W)."""
    start_seconds: float
    end_seconds: float
    stretch: int
    """Which stretch of the video it is of, from 0."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame that a view looks at."""

    number: int
    seconds: float
    pixels: Tensor


class Windows:
    """Frames in, windows out. Holds F prepared frames and one that is not.

    Args:
        view: how the model looks at a video: sampling, crop, size.
        hop: from one window to the next, in frames of a clip.

    Raises:
        ConfigError: for a view that spreads its frames over a whole video, or a hop below 1.
    """

    def __init__(self, view: View, hop: int) -> None:
        if view.uniform:
            raise ConfigError(
                "uniform=True looks at a whole video at once, and a stream has no end: say over how many seconds "
                "to spread the frames (window_seconds), or choose a view with stride or frames_per_second."
            )
        if hop < 1:
            raise ConfigError(f"hop={hop}; it is a number of frames of a clip, at least 1.")
        self.view = view
        self.hop = hop
        self._number = -1  # of the newest frame, in the whole video
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._stretch = -1
        self._begin()

    def _begin(self) -> None:
        """The next frame is the first of a stretch."""
        self._stretch += 1
        self._samples: deque[Sample] = deque(maxlen=self.view.frames)
        self._sampled = 0
        self._frames = 0
        self._first = self._last = 0.0
        self._held: Picture | None = None

    def see(
        self, picture: Picture, seconds: float, *, lost: int = 0, cut: bool = False
    ) -> list[ArrivedWindow]:
        """The windows that are whole now that this frame is here; usually none or one.

        Args:
            picture: the frame.
            seconds: when it appears, after the one before.
            lost: how many frames before it were lost. A window does not reach over them.
            cut: a window does not reach from before this frame into it either.

        Raises:
            ConfigError: if the view cannot show such a frame.
        """
        found = self.end() if lost or cut else []
        self._number += lost
        if not self._frames:
            self._first = seconds
        elif seconds > self._last:
            self._gaps.append(seconds - self._last)
        if self.view.stride is None:
            found += self._rate(picture, seconds)
        elif self._frames % self.view.stride == 0:
            found += self._take(self._number + 1, seconds, prepared(self.view, picture))
        self._number += 1
        self._frames += 1
        self._last, self._held = seconds, picture
        return found

    def end(self) -> list[ArrivedWindow]:
        """End the stretch: at most one more window, of its last F samples, so that none of them goes unseen.

        A stretch shorter than a window is filled up by the view's `short`: with its last sample, or its samples from
        the first; none comes out of it with `"refuse"`.
        """
        if not self._frames:
            return []
        found: list[ArrivedWindow] = []
        end_seconds = self._last + self.gap_seconds
        rate = self.view.frames_per_second
        if rate is not None and self._held is not None:
            while self._due(rate) + self._tolerance() < end_seconds:
                found += self._take(self._number, self._due(rate), self._shown(self._held))
        frames, samples = self.view.frames, list(self._samples)
        if 0 < len(samples) < frames and self.view.short != "refuse":
            more = samples[-1:] if self.view.short == "hold" else samples
            samples += [more[i % len(more)] for i in range(frames - len(samples))]
            found.append(self._window(samples))
        elif len(samples) == frames and (self._sampled - frames) % self.hop:
            found.append(self._window(samples))
        self._begin()
        return [replace(w, end_seconds=min(w.end_seconds, end_seconds)) for w in found]

    @property
    def gap_seconds(self) -> float:
        """How long a frame is usually shown; of one frame alone, a view's step."""
        if self._gaps:
            return median(self._gaps)
        return 1 / (self.view.frames_per_second or 25.0)

    def _tolerance(self) -> float:
        return min(TOLERANCE_SECONDS, median(self._gaps) / 4) if self._gaps else TOLERANCE_SECONDS

    def _due(self, rate: float) -> float:
        """When the next sample is due."""
        return self._first + self._sampled / rate

    def _rate(self, picture: Picture, seconds: float) -> Iterator[ArrivedWindow]:
        """Samples that were due before this frame are the one before it; this one may be on time itself."""
        rate, tolerance = self.view.frames_per_second or 0.0, self._tolerance()
        while self._due(rate) + tolerance < seconds:
            assert self._held is not None, "the first frame of a stretch is on time"
            yield from self._take(self._number, self._due(rate), self._shown(self._held))
        if seconds >= self._due(rate) - tolerance:
            yield from self._take(self._number + 1, self._due(rate), prepared(self.view, picture))

    def _shown(self, held: Picture) -> Tensor:
        """The newest frame, prepared; once, however often it is sampled."""
        if self._samples and self._samples[-1].number == self._number:
            return self._samples[-1].pixels
        return prepared(self.view, held)

    def _take(self, number: int, seconds: float, pixels: Tensor) -> list[ArrivedWindow]:
        self._samples.append(Sample(number, seconds, pixels))
        self._sampled += 1
        whole = self._sampled - self.view.frames
        return [self._window(list(self._samples))] if whole >= 0 and whole % self.hop == 0 else []

    def _window(self, samples: list[Sample]) -> ArrivedWindow:
        step = (
            1 / self.view.frames_per_second
            if self.view.frames_per_second
            else (self.view.stride or 1) * self.gap_seconds
        )
        shapes = {tuple(s.pixels.shape) for s in samples}
        if len(shapes) > 1:
            raise ConfigError(
                f"frames of a window come in several sizes, {' and '.join(map(str, sorted(shapes)))}: the video "
                'changes its size, and the view keeps it; choose one that crops, or fit="squash".'
            )
        return ArrivedWindow(
            numbers=tuple(s.number for s in samples),
            pixels=tuple(s.pixels for s in samples),
            start_seconds=samples[0].seconds,
            end_seconds=max(s.seconds for s in samples) + step,
            stretch=self._stretch,
        )


def prepared(view: View, picture: Picture) -> Tensor:
    """A frame as the model sees it, before the value step: uint8 (C, H, W)."""
    pixels = picture if isinstance(picture, Tensor) else picture()
    if pixels.dtype != torch.uint8 or pixels.ndim != 3:
        raise ConfigError(
            f"a frame is a uint8 tensor (channels, height, width), not {pixels.dtype} of shape {tuple(pixels.shape)}."
        )
    return view.prepare(pixels[None])[0]
