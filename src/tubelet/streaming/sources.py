"""Where frames come from: a file, a folder of images, a webcam, a network stream, standard input, one's own."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import av
import numpy as np
import torch
from av.container import InputContainer
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError, DecodeError
from tubelet.streaming.decoding import Decoding, why_ended
from tubelet.video.decode import Video
from tubelet.video.packets import open_video

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp")
"""Of network streams."""
CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
"""What FFmpeg reads webcams with, by `sys.platform`."""
THUMBNAIL = (36, 64)
"""Height and width in pixels of what cuts are found by."""


class Frame(Protocol):
    """A frame of an arriving video; its pixels are made when they are asked for."""

    @property
    def seconds(self) -> float:
        """When it appears, from the first frame on."""
        ...

    @property
    def lost(self) -> int:
        """Frames between it and the one before that never arrived, were damaged or were left out."""
        ...

    @property
    def cut(self) -> bool:
        """Whether it is known to be the first of a shot."""
        ...

    def pixels(self) -> Tensor:
        """uint8 (3, H, W), RGB, turned as it is to be shown."""
        ...

    def thumbnail(self) -> Tensor:
        """uint8 (3, 36, 64), RGB."""
        ...


@dataclass(frozen=True, eq=False)
class TensorFrame:
    """A frame whose pixels are there."""

    tensor: Tensor
    seconds: float
    lost: int = 0
    cut: bool = False

    def pixels(self) -> Tensor:
        """The tensor."""
        return self.tensor

    def thumbnail(self) -> Tensor:
        """Mean colours of its parts."""
        small = F.interpolate(self.tensor[None].float(), THUMBNAIL, mode="area")[0]
        return (small + 0.5).to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Frames without a container on standard input: RGB, 8 bits, row by row, one frame after the other.

    Raises:
        ConfigError: for what is not above 0.
    """

    width: int
    height: int
    frames_per_second: float = 25.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.width < 1 or self.height < 1 or not 0 < self.frames_per_second < float("inf"):
            raise ConfigError(
                f"Raw frames of {self.width}x{self.height} at {self.frames_per_second} per second: "
                "all three must be above 0."
            )


FrameSource = str | Path | Iterable[tuple[Tensor, float]]
"""A file or a folder of images; `webcam`, `webcam:N` or a device such as `/dev/video0`; the URL of a network stream;
`-` for standard input; or frames of one's own: uint8 (3, H, W) with the seconds at which they appear."""


@dataclass(frozen=True)
class Pace:
    """How a source is read."""

    keep_up: bool
    """Frames that arrive faster than they can be decoded may be left out, and are counted."""
    realtime: bool = False
    """What waits to be read, such as a file, is read no faster than it is to be shown."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A source that can be opened."""

    name: str
    """Without passwords."""
    live: bool
    """It does not wait for who reads it."""
    again: bool
    """It can be opened again where it ended: a device or an address, and not a pipe."""
    open: Callable[[Pace], Iterator[Frame]]
    """Begin to read. Raises DecodeError where it cannot be opened, and where it breaks."""


def origin_of(
    source: FrameSource,
    *,
    raw: Raw | None = None,
    timeout_seconds: float = 10.0,
    stdin: BinaryIO | None = None,
) -> Origin:
    """What a source is, without opening it.

    Args:
        source: see `FrameSource`.
        raw: standard input holds frames without a container.
        timeout_seconds: a device or a network stream that gives nothing for so long has ended.
        stdin: read in place of standard input.

    Raises:
        ConfigError: for an address of an unknown kind, or `raw` of another source than standard input.
        DecodeError: if there is no such file.
    """
    if raw is not None and source != "-":
        raise ConfigError(f"Raw frames are read from standard input (-), and not from {source}.")
    if not isinstance(source, str | Path):
        return Origin(
            name="frames", live=False, again=False, open=lambda pace: paced(own_frames(source), pace)
        )
    text = str(source)
    if text == "-":
        # Not sys.stdin.buffer: a thread that waits in it holds a lock which Python wants when it ends.
        pipe = stdin or open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
        if raw is not None:
            return Origin(name="standard input", live=True, again=False, open=lambda _: raw_frames(pipe, raw))
        return decoded("standard input", lambda: opened_stream("standard input", Pipe(pipe), None, {}, None))
    if text.partition(":")[0] == "webcam" or text.startswith("/dev/video"):
        return decoded(text, lambda: opened_camera(text, timeout_seconds), again=True)
    if "://" in text:
        return network(text, timeout_seconds)
    path = Path(source)
    if path.is_dir():
        return Origin(name=text, live=False, again=True, open=lambda pace: paced(images(path), pace))
    if not path.is_file():
        raise DecodeError(f"{text}: there is no such file.")
    return decoded(text, lambda: opened_file(path), live=False, again=True)


def decoded(
    name: str, opened: Callable[[], InputContainer], *, live: bool = True, again: bool = False
) -> Origin:
    """An origin that is read through FFmpeg."""
    return Origin(
        name=name,
        live=live,
        again=again,
        open=lambda pace: Decoding(
            name, opened(), live=live, keep_up=pace.keep_up, realtime=pace.realtime and not live
        ).frames(),
    )


def opened_file(path: Path) -> InputContainer:
    """A file, opened."""
    try:
        return open_video(path)[0]
    except DecodeError as error:
        raise DecodeError(f"{path}{error}.") from error.__cause__


def network(url: str, timeout_seconds: float) -> Origin:
    """An address. RTSP comes by TCP, where nothing is lost on the way."""
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ConfigError(f"{url}: streams are read from {', '.join(f'{s}://' for s in SCHEMES)}.")
    name = re.sub(r"//[^/@]*@", "//", url)
    options = {"rtsp_transport": "tcp"} if scheme.startswith("rtsp") else {}
    return decoded(name, lambda: opened_stream(name, url, None, options, timeout_seconds), again=True)


def opened_camera(name: str, timeout_seconds: float) -> InputContainer:
    """A webcam by its number, name or device."""
    kind = CAMERAS.get(sys.platform)
    if kind is None:
        raise ConfigError(f"{name}: webcams are read on {', '.join(CAMERAS)}; this is {sys.platform}.")
    which = name.partition(":")[2] or "0" if name.startswith("webcam") else name
    device = {
        "v4l2": f"/dev/video{which}" if which.isdecimal() else which,
        "avfoundation": which,
        "dshow": f"video={which}",
    }[kind]
    return opened_stream(name, device, kind, {}, timeout_seconds)


def opened_stream(
    name: str, place: "str | Pipe", kind: str | None, options: dict[str, str], timeout_seconds: float | None
) -> InputContainer:
    """A stream, opened; what is read to find out its kind is kept.

    Raises:
        DecodeError: if it cannot be opened.
    """
    try:
        return av.open(
            cast("str", place),
            mode="r",
            format=kind,
            options=options,
            timeout=timeout_seconds,
            metadata_errors="replace",
        )
    except Exception as error:  # whatever the bindings raise, the source is what cannot be read
        raise DecodeError(f"{name}: cannot be opened as a video stream ({why_ended(error)}).") from error


class Pipe:
    """A pipe for FFmpeg: what has arrived is handed on at once, and nobody tries to go back in it."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.pipe = pipe

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        read: Callable[[int], bytes | None] = getattr(self.pipe, "read1", self.pipe.read)
        return read(size) or b""


def raw_frames(pipe: BinaryIO, raw: Raw) -> Iterator[Frame]:
    """Frames without a container.

    Raises:
        DecodeError: if the last one is not whole.
    """
    size = 3 * raw.width * raw.height
    number = 0
    while True:
        data = bytearray()
        while len(data) < size and (part := pipe.read(size - len(data))):
            data += part
        if not data:
            return
        if len(data) < size:
            raise DecodeError(
                f"standard input, frame {number}: it ends after {len(data)} of the {size} bytes of a frame of "
                f"{raw.width}x{raw.height} RGB pixels."
            )
        picture = np.frombuffer(data, np.uint8).reshape(raw.height, raw.width, 3)
        yield TensorFrame(torch.from_numpy(picture).permute(2, 0, 1), number / raw.frames_per_second)
        number += 1


def own_frames(frames: Iterable[tuple[Tensor, float]]) -> Iterator[Frame]:
    """Frames that somebody gives, with times that grow.

    Raises:
        DecodeError: if time goes back.
    """
    first: float | None = None
    last = float("-inf")
    for number, (pixels, seconds) in enumerate(frames):
        if seconds <= last:
            raise DecodeError(
                f"frames, frame {number}: it appears at {seconds} s, not after the one before ({last} s)."
            )
        first, last = seconds if first is None else first, seconds
        yield TensorFrame(pixels, seconds - first)


def images(folder: Path) -> Iterator[Frame]:
    """The images of a folder."""
    with Video(folder) as video:
        for number, seconds in enumerate(video.timestamps.tolist()):
            yield TensorFrame(video.frames([number])[0], seconds)


def paced(frames: Iterator[Frame], pace: Pace) -> Iterator[Frame]:
    """Frames at their own times, if that is wanted, as a camera would give them; late ones at once."""
    begun: float | None = None
    for frame in frames:
        if pace.realtime:
            begun = time.monotonic() if begun is None else begun
            time.sleep(max(begun + frame.seconds - time.monotonic(), 0))
        yield frame
