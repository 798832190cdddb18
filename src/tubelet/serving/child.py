"""A child process that reads one video of a stranger: it limits itself, decodes, and says what it found.

What it cannot do any more when it opens the video: take more memory or processor time than allowed, live longer,
write into any file, open more than a few, gain rights by a program, or dump its memory. FFmpeg is allowed only
formats that hold their own pictures: no playlist, no list of other files, no address.
"""

import ctypes
import gc
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch

from tubelet.errors import ConfigError, DecodeError
from tubelet.serving.limits import Limits
from tubelet.serving.samples import SAMPLES
from tubelet.serving.task import Task
from tubelet.serving.wire import Clips, End, Message, Opened, Trouble, Window, parts_of
from tubelet.streaming.sources import Frame, Origin, Pace, origin_of
from tubelet.streaming.windows import Windows
from tubelet.timelines.cuts import with_cuts
from tubelet.video.decode import Video
from tubelet.video.packets import reason
from tubelet.video.view import View

INPUT, OUTPUT = 3, 4
"""The descriptors that a child has, beside the standard ones, which lead nowhere."""
MOST_OPEN = 24
"""Descriptors."""
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,apng,ivf,mxf,nut,dv,wtv,rm,"
    "h264,hevc,m4v,av1,obu,yuv4mpegpipe,gxf,swf,mjpeg,amv,3dostr,vc1,h263,h261"
)
"""FFmpeg's names of the formats that hold their own pictures."""


def decode(task: Task) -> None:
    """Do a task in a process of its own that ends here. `INPUT` is the video, `OUTPUT` where messages go."""
    code = 1
    try:
        limit(task)
        for message in said(task):
            write(message)
        code = 0
    except BrokenPipeError:
        code = 0  # nobody listens any more
    finally:
        os._exit(
            code
        )  # nothing is tidied up: what is here belongs to the process that this one was forked from


def limit(task: Task) -> None:
    """Give up what a decoder does not need."""
    gc.disable()
    for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL if number != signal.SIGPIPE else signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, task.wall_seconds)
    used_data, used_all = memory_used()
    allowed = task.limits.decoder_bytes
    seconds = task.limits.decoder_seconds
    lower(resource.RLIMIT_CPU, seconds, seconds + 1)
    lower(resource.RLIMIT_DATA, used_data + allowed)
    lower(resource.RLIMIT_AS, used_all + allowed + 64 * 2**20)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_NOFILE, MOST_OPEN)


def lower(which: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, no higher than it is. Some systems know a limit and do not set it; docs/serving.md says which."""
    _, most = resource.getrlimit(which)
    ends = [v if most == resource.RLIM_INFINITY else min(v, most) for v in (soft, hard or soft)]
    with suppress(ValueError, OSError):
        resource.setrlimit(which, (ends[0], ends[1]))


def memory_used() -> tuple[int, int]:
    """Bytes of private writable memory, and of all addresses, as Linux counts them for its limits; else guesses."""
    try:
        counts = [int(v) for v in Path("/proc/self/statm").read_text(encoding="ascii").split()]
    except OSError:
        return 2**30, 8 * 2**30
    return counts[5] * resource.getpagesize(), counts[0] * resource.getpagesize()


def no_new_rights() -> None:
    """This process and its children gain nothing by executing a program that would give more rights (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def said(task: Task) -> Iterator[Message]:
    """Everything that is said of a video, whatever happens."""
    path = f"/proc/self/fd/{INPUT}" if sys.platform == "linux" else f"/dev/fd/{INPUT}"
    try:
        yield from messages(task, path)
    except Exception as error:  # a hostile file may bring forth any error
        kind = "decode" if isinstance(error, DecodeError) or not isinstance(error, ConfigError) else "config"
        text = str(error) if isinstance(error, DecodeError | ConfigError) else f"{task.name}: cannot be read."
        yield Trouble("memory" if of_memory(error) else kind, text.replace(path, task.name))


def of_memory(error: BaseException | None) -> bool:
    """Whether an error is one of memory that there was not, or has such a cause."""
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def messages(task: Task, path: str) -> Iterator[Message]:
    """What is said of a video that can be read."""
    limits = task.limits
    opened = examined(path, task.name, limits)
    yield opened
    if task.kind == "timeline":
        yield from timeline(task, path)
        return
    with Video(path) as video:
        check(task.name, limits, len(video), video.duration_seconds)
        if task.kind == "windows":
            for window in task.view.windows_uint8(video):
                yield Window(window.pixels, window.indices, window.start_seconds, window.end_seconds, 0)
        elif task.kind == "clips":
            yield clips(task, video, task.views)
        else:
            yield moment(task, path, video)
    yield End()


def examined(path: str, name: str, limits: Limits) -> Opened:
    """What the file says of itself, if it is of a known format and within the limits.

    Raises:
        DecodeError: if it is not.
    """
    try:
        container = av.open(f"file:{path}", metadata_errors="replace", options={"format_whitelist": FORMATS})
    except Exception as error:  # whatever the bindings raise, the file is what cannot be read
        raise DecodeError(f"{name}: cannot be opened as a video ({reason(error)}).") from error
    with container:
        streams = [s for s in container.streams.video if getattr(s, "codec_context", None) is not None]
        if not streams:
            raise DecodeError(f"{name}: has no video stream that can be decoded.")
        stream = streams[0]
        height, width = stream.codec_context.height, stream.codec_context.width
        if height * width > limits.pixels:
            raise DecodeError(
                f"{name}: its frames have {width}x{height} pixels, and at most {limits.pixels:,} are taken."
            )
        seconds = container.duration / av.time_base if container.duration else None
        check(name, limits, stream.frames, seconds or 0.0)
        return Opened(seconds, max(height, 1), max(width, 1))


def check(name: str, limits: Limits, frames: int, seconds: float) -> None:
    """Refuse what is too long.

    Raises:
        DecodeError: if it is.
    """
    if frames > limits.frames:
        raise DecodeError(f"{name}: has {frames:,} frames, and at most {limits.frames:,} are taken.")
    if seconds > limits.seconds:
        raise DecodeError(f"{name}: lasts {seconds:.0f} s, and at most {limits.seconds:g} s are taken.")


def clips(task: Task, video: Video, views: str) -> Clips:
    """All clips of views."""
    shown = task.view.test_uint8(video, views)
    return Clips(shown.pixels, shown.indices, video.timestamps[shown.indices], video.duration_seconds)


def moment(task: Task, path: str, video: Video) -> Clips:
    """The one clip around a moment, with the times of the whole video."""
    view = task.view
    if task.at_seconds is None or view.uniform:
        return clips(task, video, "1x1")
    step = 1 / view.frames_per_second if view.frames_per_second else (view.stride or 1) / video.frame_rate
    half = view.frames * step / 2
    middle = min(max(task.at_seconds, half), max(video.duration_seconds - half, half))
    # A clip of a video is as long as its view says, or shorter where the video ends: never without a frame.
    first = max(middle - half, 0.0)
    with Video(path, start_seconds=first, end_seconds=middle + half) as part:
        found = clips(task, part, "1x1")
    begin = int(np.searchsorted(video.timestamps + 0.5 / video.frame_rate, first))
    indices = found.indices + begin
    return replace(found, indices=indices, seconds=video.timestamps[indices])


@dataclass
class Counted:
    """An origin whose frames are counted, and refused beyond the limits."""

    task: Task
    origin: Origin

    def open(self, pace: Pace) -> Iterator[Frame]:
        """Its frames."""
        for count, frame in enumerate(self.origin.open(pace), start=1):
            check(self.task.name, self.task.limits, count, frame.seconds)
            yield frame


def timeline(task: Task, path: str) -> Iterator[Message]:
    """Overlapping windows of a stream, decoded once, in order; and the cuts."""
    origin = origin_of(path)
    origin = replace(origin, open=Counted(task, origin).open)
    cuts: list[float] = []
    if task.cuts:
        origin = with_cuts(origin, cuts.append)
    windows = Windows(task.view, task.hop)
    for frame in origin.open(Pace(keep_up=False)):
        for found in windows.see(frame.pixels, frame.seconds, lost=frame.lost, cut=frame.cut):
            yield window_of(
                found.numbers, found.pixels, found.start_seconds, found.end_seconds, found.stretch
            )
    for found in windows.end():
        yield window_of(found.numbers, found.pixels, found.start_seconds, found.end_seconds, found.stretch)
    yield End(tuple(cuts))


def window_of(
    numbers: tuple[int, ...], pixels: tuple[torch.Tensor, ...], start: float, end: float, stretch: int
) -> Window:
    """A window that arrived."""
    return Window(torch.stack(pixels), np.array(numbers, dtype=np.int64), start, end, stretch)


def write(message: Message) -> None:
    """All of it, waiting for who reads."""
    for part in parts_of(message):
        left = memoryview(part)
        while left:
            left = left[os.write(OUTPUT, left) :]


def warm_up() -> None:
    """Do once what is slow the first time, with a clip of our own, so that no child has to."""
    torch.set_num_threads(1)
    file = next(iter(SAMPLES.values())).file
    examined(str(file), file.name, Limits())
    for interpolation in ("bilinear", "antialiased_bilinear"):
        view = View(
            frames=8, frames_per_second=8.0, size=32, value_range=(0.0, 1.0), interpolation=interpolation
        )
        with Video(file) as video:
            list(view.windows_uint8(video))
