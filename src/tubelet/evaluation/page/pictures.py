"""Frames and clips of a video, small enough to be inside a page."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from tubelet.errors import ConfigError, DecodeError
from tubelet.evaluation.results import VideoResult
from tubelet.video.decode import Video

FRAMES, COLUMNS = 6, 3
"""Frames of a contact sheet, and how many stand side by side."""
THUMB = (200, 150)
"""The box, in pixels, that a frame of it fits."""
CLIP = (320, 320)
"""The box that a clip fits."""
CLIP_SECONDS, CLIP_RATE = 10.0, 25.0
"""Longest clip, and most frames of it per second."""
AT_ONCE = 16
"""Frames of a clip in memory at a time in their full size."""
MOST_BYTES = 32 * 2**20
"""Of all pictures and clips of a page."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a page shows of a video."""

    sheet: str = ""
    """Frames in their order, row by row, as a data URI."""
    width: int = 0
    height: int = 0
    """Pixels of the sheet."""
    frames: int = 0
    """Number of frames on it."""
    clip: str = ""
    """A film of it, as a data URI."""
    cut: bool = False
    """Whether the film ends before the video does."""
    error: str = ""
    """Why there is nothing to show."""


class Pictures:
    """The pictures of a page, up to a size.

    Args:
        clips: make films too.
        most: bytes of all together.

    Raises:
        ConfigError: for films without an encoder of H.264.
    """

    def __init__(self, clips: bool = False, most: int = MOST_BYTES) -> None:
        if clips and "libx264" not in av.codecs_available:
            raise ConfigError("This PyAV has no libx264 to make clips with: leave --clips out for frames.")
        self.clips = clips
        self.left = most
        self.known: dict[int, Picture] = {}

    def of(self, row: VideoResult) -> Picture:
        """What to show of a video; never fails."""
        if row.index not in self.known:
            self.known[row.index] = self.make(row)
        picture = self.known[row.index]
        size = len(picture.sheet) + len(picture.clip)
        if size > self.left:
            return Picture(error="Not shown: the page would become too large.")
        self.left -= size
        return picture

    def make(self, row: VideoResult) -> Picture:
        """Read and draw."""
        if self.left <= 0:
            return Picture(error="Not shown: the page would become too large.")
        if not row.video.startswith(row.path):
            return Picture(error="The video is inside a shard, of which this page shows nothing.")
        if not Path(row.path).exists():
            seen = "" if Path(row.path).is_absolute() else f", seen from {Path.cwd()}"
            return Picture(error=f"The video is not there (any more){seen}.")
        rate = row.image_rate if Path(row.path).is_dir() else None
        try:
            with Video(
                row.path, start_seconds=row.start_seconds, end_seconds=row.end_seconds, frame_rate=rate
            ) as video:
                sheet, frames = contact_sheet(video)
                clip = data_uri("video/mp4", film(video)) if self.clips else ""
                return Picture(
                    sheet=data_uri("image/jpeg", as_jpeg(sheet)),
                    width=sheet.width,
                    height=sheet.height,
                    frames=frames,
                    clip=clip,
                    cut=video.duration_seconds > CLIP_SECONDS,
                )
        except DecodeError as error:
            return Picture(error=str(error))


def contact_sheet(video: Video) -> tuple[Image.Image, int]:
    """Frames spread evenly over a video, row by row, and how many."""
    count = min(FRAMES, len(video))
    indices = ((np.arange(count) + 0.5) * len(video) / count).astype(np.int64)
    frames = [fitted(frame, THUMB) for frame in video.frames(indices).permute(0, 2, 3, 1).numpy()]
    width, height = frames[0].size
    columns = min(COLUMNS, count)
    sheet = Image.new("RGB", (columns * (width + 2) - 2, -(-count // columns) * (height + 2) - 2), (128,) * 3)
    for place, frame in enumerate(frames):
        sheet.paste(frame, (place % columns * (width + 2), place // columns * (height + 2)))
    return sheet, count


def film(video: Video) -> bytes:
    """The beginning of a video as an MP4 that browsers play: H.264, yuv420p."""
    rate = Fraction(min(video.frame_rate, CLIP_RATE)).limit_denominator(1001)
    length = min(video.duration_seconds, CLIP_SECONDS)
    times = np.arange(max(int(length * rate), 1)) / float(rate)
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "26", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for number, picture in enumerate(small_frames(video, times)):
            if number == 0:
                stream.width, stream.height = picture.size
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
    return out.getvalue()


def small_frames(
    video: Video, times: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> Iterator[Image.Image]:
    """The frames shown at these seconds `(N,)`, of an even number of pixels each way."""
    for first in range(0, len(times), AT_ONCE):
        for frame in video.frames_at(times[first : first + AT_ONCE]).permute(0, 2, 3, 1).numpy():
            picture = fitted(frame, CLIP)
            yield picture.resize((max(picture.width // 2 * 2, 2), max(picture.height // 2 * 2, 2)))


def fitted(frame: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", box: tuple[int, int]) -> Image.Image:
    """A frame `(H, W, 3)` as large as the box allows; one that is smaller is made larger."""
    height, width = frame.shape[:2]
    factor = min(box[0] / width, box[1] / height)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BILINEAR)


def as_jpeg(picture: Image.Image) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=82)
    return out.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """Bytes as an address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
