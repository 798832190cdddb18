"""Programs and libraries that decode videos, each as its documentation shows, on one thread."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from tubelet.video.decode import Video

# How many frames are in memory at a time where all of a video are wanted.
TOGETHER = 8


def installed(module: str) -> bool:
    """Whether a library can be imported, with what it needs of the system."""
    if find_spec(module) is None:
        return False
    try:
        __import__(module)
    except (ImportError, OSError, RuntimeError):  # torchcodec without FFmpeg's libraries
        return False
    return True


def ffmpeg_program() -> str | None:
    """The `ffmpeg` of the system, else the one that imageio-ffmpeg brings, else None."""
    if (found := shutil.which("ffmpeg")) is not None:
        return found
    if find_spec("imageio_ffmpeg") is None:
        return None
    from imageio_ffmpeg import get_ffmpeg_exe  # pyright: ignore[reportMissingImports]

    return str(get_ffmpeg_exe())


def ffmpeg_decodes(program: str, file: Path, passes: int, *, rgb: bool) -> None:
    """Decode all of a video some times and throw it away; converted to RGB before, or not."""
    convert = ["-pix_fmt", "rgb24", "-filter_threads", "1"] if rgb else []
    again = ["-stream_loop", str(passes - 1)]
    command = [
        program,
        "-v",
        "error",
        "-threads",
        "1",
        *again,
        "-i",
        str(file),
        "-an",
        *convert,
        "-f",
        "null",
        "-",
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ffmpeg_frames(program: str, file: Path, count: int, size: tuple[int, int]) -> Tensor:
    """The first frames as ffmpeg gives them: uint8 (count, 3, height, width)."""
    command = [program, "-v", "error", "-i", str(file), "-frames:v", str(count), "-pix_fmt", "rgb24"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True)
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(count, size[1], size[0], 3)
    return torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2)


def tubelet_decodes(file: Path) -> None:
    """All frames, as RGB."""
    with Video(file) as video:
        for first in range(0, len(video), TOGETHER):
            video.frames(range(first, min(first + TOGETHER, len(video))))


def pyav_decodes(file: Path, *, rgb: bool) -> None:
    """All frames; converted to RGB, or not."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            if rgb:
                frame.to_ndarray(format="rgb24")


def torchcodec_decodes(file: Path) -> None:
    """All frames, as RGB."""
    decoder = torchcodec_decoder(file, "exact")
    for first in range(0, len(decoder), TOGETHER):
        decoder.get_frames_in_range(first, min(first + TOGETHER, len(decoder)))


def torchcodec_decoder(file: Path, seek_mode: str, **settings: Any) -> Any:
    """A decoder on one thread."""
    from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]

    return VideoDecoder(str(file), num_ffmpeg_threads=1, seek_mode=seek_mode, **settings)


def pyav_frames(file: Path, indices: Sequence[int]) -> Tensor:
    """As the documentation of transformers shows it: decode from the beginning, keep what is wanted."""
    wanted, frames = set(indices), list[np.ndarray[Any, Any]]()
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number > indices[-1]:
                break
            if number in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def pyav_sought(file: Path, indices: Sequence[int]) -> Tensor:
    """As PyAV's documentation shows it: go to the key frame before the first wanted one, and decode from there."""
    frames: list[np.ndarray[Any, Any]] = []
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        assert stream.average_rate is not None
        assert stream.time_base is not None
        step = 1 / stream.average_rate / stream.time_base
        wanted = {round(index * step) + (stream.start_time or 0) for index in indices}
        container.seek(min(wanted), stream=stream)
        for frame in container.decode(stream):
            if frame.pts in wanted:
                frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == len(wanted):
                break
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def torchcodec_frames(file: Path, indices: Sequence[int], seek_mode: str = "exact") -> Tensor:
    """By index."""
    return torchcodec_decoder(file, seek_mode).get_frames_at(list(indices)).data


def decord_frames(file: Path, indices: Sequence[int]) -> Tensor:
    """By index."""
    from decord import VideoReader  # pyright: ignore[reportMissingImports]

    return torch.from_numpy(VideoReader(str(file), num_threads=1).get_batch(list(indices)).asnumpy()).permute(
        0, 3, 1, 2
    )


Reads = Callable[[Path, Sequence[int]], Tensor]


def readers_here() -> dict[str, Reads]:
    """Readers of some frames by index that are installed here."""
    found: dict[str, Reads] = {}
    if installed("torchcodec"):
        found["torchcodec"] = torchcodec_frames
        found["torchcodec, approximate"] = lambda file, indices: torchcodec_frames(
            file, indices, "approximate"
        )
    if installed("decord"):
        found["decord"] = decord_frames
    found["PyAV"] = pyav_sought
    return found


def absent_readers() -> list[str]:
    """A sentence on those that are not."""
    absent = [name for name in ("torchcodec", "decord") if not installed(name)]
    return [f"Not installed here, so not compared: {', '.join(absent)}."] if absent else []
