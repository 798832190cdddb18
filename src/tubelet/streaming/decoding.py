"""Decoding what arrives, in order and once; where that is too slow, all up to the next key frame is left out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from tubelet.errors import DecodeError
from tubelet.video.index import Turn
from tubelet.video.packets import reason
from tubelet.video.reader import rgb_of

BEHIND_SECONDS = 1.0
"""A live source may be ahead of the decoder by so much."""
DRIFT = 2e-4
"""The source's clock may be slower than ours by this share."""
BACKWARDS_SECONDS = 1.0
"""Times that go back by more are a new clock; by less, a container's rounding."""
HOLE_SECONDS = 5.0
"""A live source that shows nothing new for longer was away."""
BAD_PACKETS = 100
"""In a row: then a live source is broken, and not only disturbed."""
THREADS = 4
"""To decode a file with. What is live has one: others would each hold a frame back."""
UNKNOWN_RATE = 25.0


@dataclass(eq=False)
class DecodedFrame:
    """A frame as FFmpeg gave it."""

    frame: VideoFrame
    seconds: float
    lost: int
    reformatter: VideoReformatter
    name: str
    cut: bool = False

    def pixels(self) -> Tensor:
        """uint8 (3, H, W), RGB, turned as it is to be shown; as `Video.frames` gives it."""
        try:
            picture = Turn.of(self.frame)(rgb_of(self.frame, self.reformatter))
        except (FFmpegError, ValueError, OSError) as error:
            raise DecodeError(
                f"{self.name}, {self.seconds:.3f} s: no RGB picture ({reason(error)})."
            ) from error
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1)

    def thumbnail(self) -> Tensor:
        """uint8 (3, 36, 64), RGB, not turned."""
        small = self.frame.reformat(64, 36, "rgb24", interpolation=Interpolation.AREA)
        return torch.from_numpy(small.to_ndarray()).permute(2, 0, 1)


class Decoding:
    """One pass over a container's first moving picture.

    Args:
        name: what messages call it.
        container: opened; closed by `frames` when it ends.
        live: damage is passed over, and a long hole in time counts as a lost frame.
        keep_up: leave frames out where the source is ahead of the decoder by more than `BEHIND_SECONDS`.
        realtime: read a file no faster than it is to be shown.

    Raises:
        DecodeError: if there is no moving picture in it.
    """

    def __init__(
        self, name: str, container: InputContainer, *, live: bool, keep_up: bool, realtime: bool = False
    ) -> None:
        self.name, self.container = name, container
        self.live, self.keep_up, self.realtime = live, keep_up, realtime
        streams = [s for s in container.streams.video if getattr(s, "codec_context", None) is not None]
        if not streams:
            container.close()
            raise DecodeError(f"{name}: has no video stream that can be decoded.")
        self.stream: VideoStream = streams[0]
        hurried = live or keep_up
        self.stream.codec_context.thread_count = 1 if hurried else THREADS
        if not hurried:
            self.stream.thread_type = "AUTO"  # pyright: ignore[reportAttributeAccessIssue]
        rate: Fraction | None = self.stream.average_rate or self.stream.guessed_rate
        self.frame_seconds = 1 / float(rate) if rate else 1 / UNKNOWN_RATE
        self.lost = 0  # frames since the last one that was given
        self._inside = 0  # packets that the decoder has and gave no frame for yet
        self._leaving_out = False
        self._least_delay = float("inf")
        self._asked = 0.0

    def frames(self) -> Iterator[DecodedFrame]:
        """All frames in presentation order, their times counted from the first.

        Raises:
            DecodeError: where a file is damaged or cut short, and where a live source breaks.
        """
        reformatter = VideoReformatter()
        first, last = 0.0, -1.0
        try:
            for frame in self._decoded():
                stamp = self._seconds(frame.pts)
                seconds = max(last, 0.0) + self.frame_seconds if stamp is None else stamp - first
                if last < 0:
                    first, seconds = stamp or 0.0, 0.0
                elif stamp is not None and seconds < last - BACKWARDS_SECONDS:
                    seconds, self.lost = last + self.frame_seconds, max(self.lost, 1)
                    first = stamp - seconds
                elif seconds <= last:
                    seconds = last + 1e-6
                elif self.live and seconds > last + max(HOLE_SECONDS, 5 * self.frame_seconds):
                    self.lost = max(self.lost, 1)
                yield DecodedFrame(frame, seconds, self.lost, reformatter, self.name)
                last, self.lost = seconds, 0
            self._check_end(last)
        except (FFmpegError, OSError) as error:
            raise DecodeError(
                f"{self.name}, {max(last, 0.0):.1f} s: it breaks off ({why_ended(error)})."
            ) from error
        finally:
            self.container.close()

    def _decoded(self) -> Iterator[VideoFrame]:
        bad = 0
        begun: float | None = None
        for packet in self.container.demux(self.stream):
            when = self._seconds(packet.pts if packet.dts is None else packet.dts)
            if self.realtime and when is not None:
                begun = time.monotonic() - when if begun is None else begun
                time.sleep(max(begun + when - time.monotonic(), 0))
            if (
                packet.size
                and self.keep_up
                and when is not None
                and self._leave_out(when, packet.is_keyframe)
            ):
                self.lost += 1
                continue
            try:
                self._inside += packet.size > 0
                for frame in packet.decode():
                    self._inside -= 1
                    yield frame
                bad = 0
            except (FFmpegError, OSError):
                bad += 1
                if not self.live or bad >= BAD_PACKETS:
                    raise
                self.lost += 1
                self._inside -= 1

    def _leave_out(self, when: float, key: bool) -> bool:
        """Whether the source is so far ahead that frames must go, which then go up to a key frame."""
        now = time.monotonic()
        delay = now - when
        self._least_delay = min(self._least_delay + DRIFT * (now - self._asked), delay)
        self._asked = now
        behind = delay - self._least_delay
        if not self._leaving_out and behind > BEHIND_SECONDS:
            self._leaving_out = True
            self.stream.codec_context.flush_buffers()
            self.lost += max(self._inside, 0)
            self._inside = 0
        elif self._leaving_out and key and behind < BEHIND_SECONDS / 2:
            self._leaving_out = False
        return self._leaving_out

    def _seconds(self, ticks: int | None) -> float | None:
        base: Fraction | None = self.stream.time_base
        return None if ticks is None or base is None else float(ticks * base)

    def _check_end(self, last: float) -> None:
        """Refuse what held no frame, and a file that ends long before it said it would."""
        if last < 0:
            raise DecodeError(f"{self.name}: no frame can be decoded.")
        announced = self._seconds(self.stream.duration)
        if announced is None and len(self.container.streams) == 1 and self.container.duration:
            announced = self.container.duration / 1e6  # else sound may go on for longer than the picture
        seconds = last + self.frame_seconds
        if not self.live and announced is not None and seconds < announced - max(1.0, 0.05 * announced):
            raise DecodeError(
                f"{self.name}: the file is cut short: it announces {announced:.1f} s and its pictures end at "
                f"{seconds:.1f} s."
            )


def why_ended(error: BaseException) -> str:
    """FFmpeg's words for an error, as a part of a sentence; those for too long a wait are our own."""
    return "nothing arrived in time" if isinstance(error, ExitError) else reason(error)
