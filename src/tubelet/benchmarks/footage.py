"""Videos to be read: those of a folder, or made here; the same pictures in every codec and size."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from tubelet.data.disk import clips_below
from tubelet.errors import DecodeError
from tubelet.video.decode import Video

RATE = 25


@dataclass(frozen=True)
class Codec:
    """How pictures become a file."""

    encoder: str
    options: dict[str, str]


CODECS = {
    "h264": Codec("libx264", {"preset": "veryfast", "x264-params": "threads=1"}),
    "hevc": Codec(
        "libx265", {"preset": "ultrafast", "x265-params": "pools=1:frame-threads=1:log-level=none"}
    ),
    "mpeg4": Codec("mpeg4", {"b": "2M"}),
    "vp9": Codec("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "1M"}),
    "av1": Codec("libsvtav1", {"preset": "11", "crf": "40", "svtav1-params": "lp=1"}),
}


def codecs_here() -> dict[str, Codec]:
    """Those that this PyAV can write."""
    return {name: codec for name, codec in CODECS.items() if codec.encoder in av.codecs_available}


def files_of(folder: Path | None, most: int, scratch: Path) -> list[Path]:
    """Videos of a folder in their order, or as many short ones that are made here."""
    if folder is not None:
        found = [file for file in clips_below(folder, images=False) if can_be_read(file)][:most]
        if not found:
            raise DecodeError(f"{folder}: no video in it can be read.")
        return found
    made: list[Path] = []
    for number in range(most):
        file = scratch / f"made-{number:03}.mp4"
        if not file.exists():
            encode(CODECS["h264"], (320, 240), made_pictures((320, 240), 80, number), file)
        made.append(file)
    return made


def can_be_read(file: Path) -> bool:
    """Whether the first frame can."""
    try:
        with Video(file) as video:
            video.frames([0])
    except DecodeError:
        return False
    return True


def pictures(folder: Path | None, size: tuple[int, int], count: int) -> Iterator[NDArray[np.uint8]]:
    """Of the largest video of a folder, forward and backward until there are enough, at this (width, height)."""
    if folder is None:
        yield from made_pictures(size, count, 0)
        return
    largest = max(files_of(folder, 1000, folder), key=os.path.getsize)
    with Video(largest) as video:
        some = min(len(video), 100)
        forth = [video.frames([index])[0] for index in range(some)]
    width, height = size
    for frame in islice(cycle([*forth, *reversed(forth)]), count):
        resized = interpolate(frame[None], (height, width), mode="bilinear", antialias=True)[0]
        yield resized.permute(1, 2, 0).contiguous().numpy()


def made_pictures(size: tuple[int, int], count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """A camera that goes over a landscape of noise with the spectrum of photographs, and a little grain."""
    width, height = size
    generator = np.random.default_rng(seed)
    rows, columns = height + 2 * count, width + 3 * count
    far = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None]) + 1 / max(rows, columns)
    planes = [np.fft.irfft2(np.fft.rfft2(generator.standard_normal((rows, columns))) / far) for _ in range(3)]
    ground = np.stack([128 + 50 * plane / plane.std() for plane in planes], axis=-1)
    for number in range(count):
        seen = ground[2 * number : 2 * number + height, 3 * number : 3 * number + width]
        grain = generator.standard_normal((height, width, 1)) * 2
        yield np.clip(seen + grain, 0, 255).astype(np.uint8)


def encode(codec: Codec, size: tuple[int, int], frames: Iterator[NDArray[np.uint8]], file: Path) -> Path:
    """Write a video of this (width, height) and 25 frames per second."""
    os.environ.setdefault(
        "SVT_LOG", "1"
    )  # SVT-AV1 says much of itself on standard error, and more than errors
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec.encoder, rate=RATE, options=codec.options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for number, picture in enumerate(frames):
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file
